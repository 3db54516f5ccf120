# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ends a freeze besides its owner's Thaw."""

import statistics
import time

import pytest

from harness.box import MEMBER, NOBODY, OTHER
from harness.client import GONE, MS, S, fails

# They may freeze, and not thaw what is another's.
RULES = """
polkit.addRule(function(action, subject) {
    if (action.id == "org.virtfreeze1.freeze" && subject.user == "vf-other")
        return polkit.Result.YES;
});
"""


def thawed(client, domain) -> bool:
    return client.get(domain, "FreezeState") == "thawed" and not client.frozen(domain)


# Callers

def test_a_caller_that_leaves_releases_its_freezes(root, connect, domain):
    caller = connect(MEMBER)
    freezes = {caller.freeze(domain), caller.freeze(domain, "vda")}
    caller.close()
    for _ in range(2):
        released = root.wait_signal("Released")
        assert released.body == ("caller-vanished",)
        freezes.remove(released.path)
        root.wait_gone(released.path)
    root.wait_property(domain, "FreezeState", "thawed")
    assert root.freezes() == []


def test_a_killed_caller_leads_to_the_thaw_within_100_ms(root, connect, domain):
    times = []
    for _ in range(5):
        caller = connect(MEMBER)
        caller.freeze(domain)
        killed = time.monotonic()
        caller.kill()
        root.wait_signal("PropertiesChanged", domain,
                         wanted=lambda _, changed, __: changed.get("FreezeState") == "thawed")
        times.append(time.monotonic() - killed)
        assert thawed(root, domain)
    assert statistics.median(times) < 0.1, times


def test_a_caller_that_leaves_takes_only_its_own_along(root, connect, domain):
    caller, other = connect(MEMBER), connect(MEMBER)
    caller.freeze(domain)
    kept = other.freeze(domain)
    caller.kill()
    root.wait_signal("Released")
    assert root.freezes() == [kept]
    assert root.get(domain, "FreezeState") == "frozen"
    other.thaw(kept)
    assert thawed(root, domain)


def test_another_connection_of_the_same_user_is_no_owner(root, connect, domain):
    caller, other = connect(MEMBER), connect(MEMBER)
    freeze = caller.freeze(domain)
    with fails("InteractiveAuthorizationRequired"):
        other.thaw(freeze)
    caller.thaw(freeze)


# Leases

def test_a_lease_outlives_its_caller_and_is_its_users(root, connect, domain):
    caller = connect(MEMBER)
    lease = caller.freeze(domain, lifetime="lease")
    assert root.properties(lease)["Lifetime"] == "lease"
    assert root.get(lease, "Owner") == caller.name
    caller.kill()
    root.wait_property(lease, "Owner", "")
    assert root.get(lease, "OwnerUID") == caller.uid
    assert root.get(domain, "FreezeState") == "frozen"

    stranger = connect(OTHER)
    with fails("InteractiveAuthorizationRequired"):
        stranger.thaw(lease)
    with fails("AccessDenied"):
        stranger.renew(lease, 30 * S)

    same_user = connect(MEMBER)
    same_user.renew(lease, 30 * S)
    same_user.filesystems(lease)
    same_user.thaw(lease)
    assert thawed(root, domain)


def test_a_lease_can_be_thawed_while_its_creator_is_there(connect, root, domain):
    lease = connect(MEMBER).freeze(domain, lifetime="lease")
    connect(MEMBER).thaw(lease)
    assert root.freezes() == []


def test_a_lease_ends_with_its_deadline(root, connect, domain):
    caller = connect(MEMBER)
    lease = caller.freeze(domain, lifetime="lease", hold=200 * MS)
    caller.close()
    assert root.wait_signal("Lost", lease).body == ("expired",)
    root.wait_property(domain, "FreezeState", "thawed")
    # The lost object is its user's, too.
    with fails("InteractiveAuthorizationRequired", "ConsistencyLost"):
        connect(OTHER).thaw(lease)
    assert root.freezes() == [lease]
    with fails("ConsistencyLost"):
        connect(MEMBER).thaw(lease)
    assert root.freezes() == []


# Deadlines

def test_deadline(root, connect, domain):
    caller = connect(MEMBER)
    before = time.monotonic()
    freeze = caller.freeze(domain, hold=200 * MS)
    assert root.wait_signal("Lost", freeze).body == ("expired",)
    assert 0.2 <= time.monotonic() - before < 2
    root.wait_property(domain, "FreezeState", "thawed")
    assert thawed(root, domain)

    # The object stays for its owner to learn of it.
    assert root.get(freeze, "State") == "lost"
    assert root.freezes() == [freeze]
    with fails("ConsistencyLost", match="time"):
        caller.renew(freeze, S)
    with fails("ConsistencyLost", match="time"):
        caller.thaw(freeze)
    assert root.wait_signal("Released", freeze).body == ("lost",)
    with fails(*GONE):
        caller.thaw(freeze)


def test_a_lost_freeze_goes_with_its_caller(root, connect, domain):
    caller = connect(MEMBER)
    freeze = caller.freeze(domain, hold=50 * MS)
    root.wait_signal("Lost", freeze)
    caller.kill()
    root.wait_signal("Released", freeze)
    root.wait_gone(freeze)
    assert root.freezes() == []


def test_thaw_of_a_lost_freeze_by_another_leaves_it_to_its_owner(root, connect, domain):
    caller = connect(MEMBER)
    freeze = caller.freeze(domain, hold=50 * MS)
    root.wait_signal("Lost", freeze)
    with fails("ConsistencyLost"):
        root.thaw(freeze)
    assert root.freezes() == [freeze]
    with fails("ConsistencyLost"):
        caller.thaw(freeze)


def test_an_expired_freeze_does_not_thaw_what_others_hold(root, connect, domain):
    first, second = connect(MEMBER), connect(MEMBER)
    expiring = first.freeze(domain, hold=100 * MS)
    held = second.freeze(domain)
    root.wait_signal("Lost", expiring)
    assert root.get(domain, "FreezeState") == "frozen"
    with fails("ConsistencyLost"):
        first.thaw(expiring)
    assert root.frozen(domain) == {"/", "/boot"}
    second.thaw(held)
    assert thawed(root, domain)


def test_each_freeze_has_a_deadline_of_its_own(root, domain):
    freezes = [root.freeze(domain, hold=hold * MS) for hold in (400, 200, 300)]
    freezes.sort(key=lambda freeze: root.get(freeze, "Deadline"))
    assert [root.wait_signal("Lost").path for _ in freezes] == freezes
    root.wait_property(domain, "FreezeState", "thawed")


# Renew

def test_renew_moves_the_deadline(root, domain):
    freeze = root.freeze(domain, hold=1 * S)
    other = root.freeze(domain, hold=1 * S)
    before = root.get(freeze, "Deadline")
    root.renew(freeze, 60 * S)
    assert 59 * S < root.get(freeze, "Deadline") - before <= 61 * S
    root.wait_signal("Lost", other)   # later than the old deadline
    assert root.get(freeze, "State") == "held"
    root.renew(freeze, 50 * MS)
    assert root.wait_signal("Lost", freeze).body == ("expired",)


@pytest.mark.parametrize("hold", [0, 600 * S + 1, 2**64 - 1])
def test_renew_takes_what_a_freeze_takes(root, domain, hold):
    freeze = root.freeze(domain)
    deadline = root.get(freeze, "Deadline")
    with fails("InvalidArgs"):
        root.renew(freeze, hold)
    assert root.get(freeze, "Deadline") == deadline


def test_renew_is_the_owners_alone(root, connect, domain):
    freeze = connect(MEMBER).freeze(domain)
    for client in (root, connect(MEMBER), connect(NOBODY)):
        with fails("AccessDenied"):
            client.renew(freeze, S)


# MaxHold

@pytest.mark.config("MaxHold=30s\nDefaultHold=20s")
def test_no_chain_of_freezes_goes_beyond_max_hold(root, domain):
    with fails("InvalidArgs"):
        root.freeze(domain, hold=30 * S + 1)
    first = root.freeze(domain, hold=30 * S)
    limit = root.get(domain, "FrozenSince") + 30 * S
    # Some time has passed, so the same hold is too long now.
    with fails("LimitsExceeded", match="MaxHold"):
        root.freeze(domain, hold=30 * S)
    with fails("LimitsExceeded"):
        root.renew(first, 30 * S)
    second = root.freeze(domain, hold=25 * S)
    root.thaw(first)
    with fails("LimitsExceeded"):
        root.renew(second, 30 * S)
    root.renew(second, 28 * S)
    for freeze in root.freezes():
        assert root.get(freeze, "Deadline") <= limit + 1000
    # It begins anew once the guest has been thawed.
    root.thaw(second)
    root.thaw(root.freeze(domain, hold=30 * S))


@pytest.mark.config("MaxHold=10s\nDefaultHold=10s")
def test_max_hold_counts_for_the_default_hold(root, domain):
    root.freeze(domain)
    with fails("LimitsExceeded"):
        root.freeze(domain)
    root.freeze(domain, hold=5 * S)


@pytest.mark.config("MaxHold=2s\nDefaultHold=2s")
def test_max_hold_is_kept_by_the_clock(root, connect, domain):
    """Callers that renew and follow each other as long as they are let."""
    clients = connect(MEMBER), connect(MEMBER)
    begin = time.monotonic()
    held = clients[0].freeze(domain, hold=S), clients[1].freeze(domain, hold=S)
    with fails("LimitsExceeded", "ConsistencyLost"):
        while True:
            for client, freeze in zip(clients, held):
                client.renew(freeze, 500 * MS)
    root.wait_property(domain, "FreezeState", "thawed")
    assert 1.4 < time.monotonic() - begin < 4
