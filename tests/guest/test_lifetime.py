# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ends the freeze of a real guest besides its owner's Thaw, and who comes first."""

import ctypes
import statistics
import threading
import time

import pytest

from harness.client import MS, S, fails
from service import Standstill, assert_thawed, seconds_until_writes, wait_thawed

SLOW_FREEZE = "#!/bin/sh\necho $1 >>/run/hook.log\n[ $1 = thaw ] || sleep 1\n"
SLOW_THAW = "#!/bin/sh\n[ $1 = freeze ] || sleep 1\n"


class PlainThaw(threading.Thread):
    """virDomainFSThaw and nothing around it."""

    def __init__(self, uri: str, name: str):
        super().__init__()
        self._api = ctypes.CDLL("libvirt.so.0")
        for function in (self._api.virConnectOpen, self._api.virDomainLookupByName):
            function.restype = ctypes.c_void_p
        connection = ctypes.c_void_p(self._api.virConnectOpen(uri.encode()))
        self._domain = ctypes.c_void_p(self._api.virDomainLookupByName(connection, name.encode()))

    def run(self):
        self._api.virDomainFSThaw(self._domain, None, 0, 0)


def test_a_killed_caller_leads_to_the_thaw_within_100_ms(libvirtd, guest, connect, domain, say):
    """Beyond the time of the thaw itself; both until a writer writes again."""
    ours, plain = [], []
    for _ in range(5):
        caller = connect()
        caller.freeze(domain)
        Standstill(guest)
        killed = time.monotonic()
        caller.kill()
        ours.append(seconds_until_writes(guest, killed))
        wait_thawed(guest)

        guest.virsh("domfsfreeze")
        Standstill(guest)
        thaw = PlainThaw(libvirtd.uri, guest.name)
        started = time.monotonic()
        thaw.start()
        plain.append(seconds_until_writes(guest, started))
        thaw.join()
    ours, plain = (sorted(round(value * 1000) for value in values) for values in (ours, plain))
    say(f"from SIGKILL to the thaw: {ours} ms; virDomainFSThaw: {plain} ms")
    assert statistics.median(ours) - statistics.median(plain) < 100


def test_a_killed_caller_takes_only_its_own_along(guest, root, connect, domain):
    caller, other = connect(), connect()
    first = caller.freeze(domain, "vdx")
    kept = other.freeze(domain, "vdy")
    still = Standstill(guest)
    caller.kill()
    assert root.wait_signal("Released", first).body == ("caller-vanished",)
    still.check()
    other.thaw(kept)
    assert_thawed(guest)


def test_a_caller_gone_while_the_guest_is_freezing(guest, root, connect, domain, hook):
    hook(SLOW_FREEZE)
    caller = connect()
    caller.begin_freeze(domain)
    root.wait_property(domain, "FreezeState", "freezing")
    caller.kill()
    root.wait_property(domain, "FreezeState", "thawed")
    assert root.freezes() == []
    assert_thawed(guest)
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"   # it did freeze


# Leases and deadlines

def test_a_lease_outlives_its_caller(guest, root, connect, domain):
    caller = connect()
    lease = caller.freeze(domain, lifetime="lease")
    still = Standstill(guest)
    caller.kill()
    root.wait_property(lease, "Owner", "")
    still.check()
    connect().thaw(lease)
    assert_thawed(guest)


def test_a_lease_ends_with_its_deadline(guest, root, connect, domain):
    caller = connect()
    lease = caller.freeze(domain, lifetime="lease", hold=2500 * MS)
    still = Standstill(guest)
    caller.kill()
    still.check()
    assert root.wait_signal("Lost", lease).body == ("expired",)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    with fails("ConsistencyLost"):
        connect().thaw(lease)


def test_the_deadline_thaws_the_guest_in_time(guest, root, domain, say):
    freeze = root.freeze(domain, hold=1500 * MS)
    Standstill(guest)
    seconds_until_writes(guest, time.monotonic())
    late = time.time() - root.get(freeze, "Deadline") / S
    say(f"the guest writes {late * 1000:.0f} ms after the deadline")
    assert 0 <= late < 0.5
    assert root.wait_signal("Lost", freeze).body == ("expired",)
    assert_thawed(guest)
    assert root.get(freeze, "State") == "lost"
    with fails("ConsistencyLost", match="time"):
        root.renew(freeze, S)
    with fails("ConsistencyLost", match="time"):
        root.thaw(freeze)
    assert root.freezes() == []


def test_renew_moves_the_deadline(guest, root, domain):
    freeze, other = root.freeze(domain, hold=S), root.freeze(domain, hold=1500 * MS)
    root.renew(freeze, 60 * S)
    still = Standstill(guest)
    root.wait_signal("Lost", other)   # after the old deadline
    still.check()
    root.renew(freeze, 50 * MS)
    root.wait_signal("Lost", freeze)
    wait_thawed(guest)


@pytest.mark.config("MaxHold=2s\nDefaultHold=1s")
def test_no_chain_of_freezes_and_renewals_goes_beyond_max_hold(guest, root, connect, domain):
    callers = connect(), connect()
    begin = time.monotonic()
    freezes = [caller.freeze(domain) for caller in callers]
    still = Standstill(guest)
    with fails("LimitsExceeded", "ConsistencyLost"):
        while True:
            for caller, freeze in zip(callers, freezes):
                caller.renew(freeze, 500 * MS)
    still.check()
    assert time.monotonic() - begin > 1.4   # it went on as long as it could
    root.wait_property(domain, "FreezeState", "thawed")
    assert root.get(freezes[0], "State") == "lost"
    assert_thawed(guest)
    created = root.get(freezes[0], "Created")
    assert root.get(freezes[0], "Deadline") - created <= 2 * S + 10 * MS


# Who comes first

def test_freeze_while_the_last_thaw_is_under_way(guest, root, connect, domain, hook):
    hook(SLOW_THAW)
    first, second = connect(), connect()
    freeze = first.freeze(domain)
    before = guest.writer_count("a")
    thaw = first.begin_thaw(freeze)
    root.wait_property(domain, "FreezeState", "thawing")
    later = second.begin_freeze(domain)
    thaw.result()
    freeze = later.result()
    still = Standstill(guest)
    assert guest.writer_count("a") > before   # thawed it was, too
    still.check()
    hook()
    second.thaw(freeze)
    assert_thawed(guest)


def test_thaw_before_the_deadline_wins(guest, root, domain, hook):
    """Even if the guest thaws after it."""
    hook(SLOW_THAW)
    freeze = root.freeze(domain, hold=500 * MS)
    root.thaw(freeze)
    assert root.wait_signal("Released", freeze).body == ("thawed",)
    assert "Lost" not in [signal.member for signal in root.signals()]
    assert_thawed(guest)


def test_thaw_after_the_deadline_fails(guest, root, domain, hook):
    """Even if the guest has not thawed yet."""
    hook(SLOW_THAW)
    freeze = root.freeze(domain, hold=500 * MS)
    root.wait_signal("Lost", freeze)
    assert root.get(domain, "FreezeState") == "thawing"
    with fails("ConsistencyLost"):
        root.thaw(freeze)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)


def test_thaw_and_deadline_at_the_same_time(guest, root, domain, say):
    """However it falls out, both sides say the same, and the guest thaws."""
    ends = []
    for early_us in (0, 500, 1000, 2000, 4000, 8000):
        freeze = root.freeze(domain, hold=300 * MS)
        at = root.get(freeze, "Deadline") - early_us
        while time.time() * S < at:
            pass
        error = root.begin_thaw(freeze).message().get_error_name()
        root.wait_gone(freeze)
        told = [(signal.member, *signal.body) for signal in root.signals() if signal.path == freeze]
        if error:
            assert error.endswith(".ConsistencyLost")
            assert ("Lost", "expired") in told and ("Released", "lost") in told
        else:
            assert ("Lost", "expired") not in told and ("Released", "thawed") in told
        ends.append("deadline" if error else "thaw")
        root.wait_property(domain, "FreezeState", "thawed")
        assert_thawed(guest)
    say(f"who came first: {', '.join(ends)}")
