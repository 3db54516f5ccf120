# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two things at once. Each test goes through many interleavings, and asserts what holds in all.

Sleeps here wait for nothing: they vary which of the two comes first.
"""

import time

import pytest

from harness.box import MEMBER
from harness.client import MS, S, BusError, fails

TURNS = 30
HOLD = 20 * MS   # longer than it takes to freeze and call again


def settle(root, domain):
    """Until nothing is frozen or on its way."""
    root.wait_property(domain, "FreezeState", "thawed")
    assert root.freezes() == []
    assert root.frozen(domain) == set()


# A caller that leaves

@pytest.mark.parametrize("leave", ["close", "kill"])
def test_gone_during_the_polkit_check_freezes_nothing(bus, root, polkit, connect, domain, leave):
    caller = connect(MEMBER)
    polkit.pause()
    caller.begin_freeze(domain)
    caller.sync()
    root.sync_service()   # it has got the call
    getattr(caller, leave)()
    bus.wait_name_gone(caller.name)
    root.sync_service()   # and heard of the end
    polkit.resume()
    # A check that was begun later, so that the first one has been answered.
    connect(MEMBER).filesystems(domain)
    settle(root, domain)
    assert not any(signal.member in ("InterfacesAdded", "PropertiesChanged")
                   for signal in root.signals())


@pytest.mark.parametrize("lifetime", ["caller", "lease"])
def test_gone_while_the_guest_is_freezing(root, connect, domain, lifetime):
    """Before the answer not even a lease is anybody's."""
    for turn in range(TURNS):
        caller = connect(MEMBER)
        caller.begin_freeze(domain, lifetime=lifetime)
        # Later and later: before the check, during it, while it freezes, after.
        time.sleep(turn * 0.3 / 1000)
        caller.kill()
        root.sync_service()
        if lifetime == "caller":
            settle(root, domain)
            continue
        # Where the answer had been sent, the lease is held and without its creator.
        root.wait_idle(domain)
        for lease in root.freezes():
            root.wait_property(lease, "Owner", "")
            root.thaw(lease)
            with fails("ConsistencyLost"):
                connect(MEMBER).thaw(lease)
        settle(root, domain)


def test_gone_while_many_are_freezing(root, connect, domain):
    for _ in range(TURNS // 6):
        callers = [connect(MEMBER) for _ in range(6)]
        for caller in callers:
            caller.begin_freeze(domain)
        for caller in callers[::2]:
            caller.kill()
        for caller in callers[1::2]:
            caller.begin_freeze(domain).result()
            caller.close()
        root.wait_property(domain, "FreezeState", "thawed")
        settle(root, domain)


# Thaw against deadline

def test_thaw_against_deadline(root, domain):
    """One of the two ends the freeze, and all that is told agrees on which."""
    endings = {"thawed": 0, "expired": 0}
    for turn in range(TURNS):
        freeze = root.freeze(domain, hold=HOLD)
        root.history.clear()
        # From too early to too late.
        time.sleep(turn * 2 * HOLD / TURNS / 1e6)
        try:
            root.thaw(freeze)
            ending = "thawed"
        except BusError as error:
            assert error.name == "org.virtfreeze1.Error.ConsistencyLost"
            ending = "expired"
        told = [(signal.member, signal.body) for signal in root.signals()
                if signal.path == freeze and signal.member in ("Lost", "Released")]
        if ending == "thawed":
            assert told == [("Released", ("thawed",))]
        else:
            assert told == [("Lost", ("expired",)), ("Released", ("lost",))]
        endings[ending] += 1
        settle(root, domain)
    assert all(endings.values()), endings


def test_renew_against_deadline(root, domain):
    """A freeze that was renewed is held; one that was lost stays lost."""
    for turn in range(TURNS):
        freeze = root.freeze(domain, hold=HOLD)
        time.sleep(turn * 2 * HOLD / TURNS / 1e6)
        try:
            root.renew(freeze, 10 * S)
        except BusError as error:
            assert error.name == "org.virtfreeze1.Error.ConsistencyLost"
            assert root.get(freeze, "State") == "lost"
            with fails("ConsistencyLost"):
                root.thaw(freeze)
        else:
            assert root.get(freeze, "State") == "held"
            assert root.get(domain, "FreezeState") == "frozen"
            root.thaw(freeze)
        settle(root, domain)


# Freeze against the end of another

def test_freeze_while_the_last_thaw_is_under_way(root, connect, domain):
    """Whichever comes first: who was told that the guest is frozen finds it so."""
    other = connect()
    for _ in range(TURNS):
        first = root.freeze(domain)
        thaw = root.begin_thaw(first)
        freeze = other.begin_freeze(domain)
        second = freeze.result()
        assert other.get(second, "State") == "held"
        assert other.get(domain, "FreezeState") == "frozen"
        assert other.frozen(domain) == {"/", "/boot"}
        thaw.result()
        assert other.get(domain, "FreezeState") == "frozen"
        other.thaw(second)
        settle(root, domain)


def test_freeze_while_the_last_one_expires(root, connect, domain):
    other = connect()
    for turn in range(TURNS):
        first = root.freeze(domain, hold=HOLD)
        time.sleep(turn * 2 * HOLD / TURNS / 1e6)
        second = other.freeze(domain)
        assert other.get(domain, "FreezeState") == "frozen"
        root.wait_signal("Lost", first)
        assert other.get(second, "State") == "held"
        assert other.frozen(domain) == {"/", "/boot"}
        with fails("ConsistencyLost"):
            root.thaw(first)
        other.thaw(second)
        settle(root, domain)


def test_freeze_against_thaw_all(root, connect, domain):
    """The brake waits for a freeze under way. Who holds one afterwards was let in after it."""
    caller = connect()
    for _ in range(TURNS):
        freeze = caller.begin_freeze(domain)
        root.thaw_all(domain)
        path = freeze.result()
        if caller.get(path, "State") == "held":
            assert caller.frozen(domain) == {"/", "/boot"}
            caller.thaw(path)
        else:
            with fails("ConsistencyLost"):
                caller.thaw(path)
        settle(root, domain)


def test_thaws_of_all_kinds_at_once(root, connect, domain):
    """Owner, somebody else, and the brake: the owner learns the truth, and only once."""
    owner, other = connect(), connect()
    for turn in range(TURNS):
        freeze = owner.freeze(domain)
        root.history.clear()
        calls = [lambda: owner.begin_thaw(freeze), lambda: other.begin_thaw(freeze),
                 lambda: root.begin(domain, "ThawAll")]
        pending = {}
        for index in range(3):
            which = (index + turn) % 3
            pending[which] = calls[which]()
        owners = pending[0].message().get_error_name()
        pending[2].result()
        others = pending[1].message().get_error_name()
        root.sync_service()
        members = [signal.member for signal in root.signals() if signal.path == freeze]
        assert members.count("Released") == 1
        assert (owners is None) == ("Lost" not in members)
        assert owners in (None, "org.virtfreeze1.Error.ConsistencyLost")
        assert others is None or others.rpartition(".")[2] in (
            "ConsistencyLost", "UnknownMethod", "UnknownObject")
        settle(root, domain)
