# SPDX-License-Identifier: LGPL-2.1-or-later
"""FreezeDomains on real guests: all of them or none, by their own word."""

import signal
import time

import pytest

from harness.client import S, fails
from service import Standstill, assert_thawed

CONFIG = "AgentTimeout=15s\nFreezeTimeout=20s\nVerifyInterval=500ms\n"


@pytest.fixture
def domains(guest, second_guest, root):
    """The objects of both guests."""
    paths = [root.domain(each.name) for each in (guest, second_guest)]
    for path in paths:
        root.wait_property(path, "AgentConnected", True)
    return paths


@pytest.fixture
def begin(root, domains, second_gate):
    """Begins a group; returns when the first guest is frozen, and the second waits at the gate."""
    def begin(client, **options):
        root.history.clear()
        call = client.begin_group(*domains, **options)
        root.wait_property(domains[0], "FreezeState", "frozen", 20)
        second_gate.wait()
        return call
    return begin


def added(root) -> list[str]:
    """Freezes that have been announced."""
    root.sync_service()
    return [signal.body[0] for signal in root.signals() if signal.member == "InterfacesAdded"]


# Both are frozen

def test_both_stand_still_until_each_is_thawed(guest, second_guest, root, connect, domains):
    client = connect()
    freezes = client.freeze_group(*reversed(domains), reason="nightly")
    standstills = Standstill(second_guest), Standstill(guest)
    assert [root.get(freeze, "Domain") for freeze in freezes] == domains[::-1]
    client.thaw(freezes[0])
    assert_thawed(second_guest)
    standstills[1].check()
    client.thaw(freezes[1])
    assert_thawed(guest)


def test_a_snapshot_of_two_guests_has_no_gap(guest, second_guest, connect, domains):
    """What stands still in one stands still in the other, all the time."""
    client = connect()
    freezes = client.freeze_group(*domains, hold=60 * S)
    standstills = [Standstill(each) for each in (guest, second_guest)]
    for _ in range(3):
        for standstill in standstills:
            standstill.check()
    for freeze in freezes:
        client.thaw(freeze)
    for each in guest, second_guest:
        assert_thawed(each)


def test_nothing_appears_before_both_are_frozen(guest, root, connect, domains, begin, second_gate):
    client = connect()
    call = begin(client)
    assert guest.agent_frozen()
    assert root.get(domains[1], "FreezeState") == "freezing"
    assert added(root) == [] == root.freezes()
    assert root.get(domains[0], "Freezes") == []
    second_gate.open()
    freezes = call.result(20)
    assert added(root) == freezes
    assert set(root.freezes()) == set(freezes)   # by number: as the guests' maps came
    assert [root.get(domain, "Freezes") for domain in domains] == [[freeze] for freeze in freezes]
    for freeze in freezes:
        client.thaw(freeze)


def test_each_hold_begins_when_its_own_guest_is_frozen(root, connect, begin, second_gate):
    client = connect()
    call = begin(client, hold=30 * S)
    opened = time.time() * S
    second_gate.open()
    freezes = call.result(20)
    created, deadlines = zip(*((root.get(freeze, "Created"), root.get(freeze, "Deadline"))
                               for freeze in freezes))
    assert created[0] < opened < created[1]
    for start, end in zip(created, deadlines):
        assert abs(end - start - 30 * S) < S / 10
    for freeze in freezes:
        client.thaw(freeze)


def test_others_join_and_leave_meanwhile(guest, root, connect, domains, begin, second_gate):
    client, other = connect(), connect()
    call = begin(client)
    single = other.freeze(domains[0])
    assert root.freezes() == [single]
    standstill = Standstill(guest)
    other.thaw(single)
    standstill.check()
    second_gate.open()
    freezes = call.result(20)
    standstill.check()
    for freeze in freezes:
        client.thaw(freeze)
    assert_thawed(guest)


# One fails

def assert_none(guests, root, domains):
    assert added(root) == [] == root.freezes()
    for domain in domains:
        root.wait_property(domain, "FreezeState", "thawed", 20)
    for each in guests:
        assert_thawed(each)


def test_a_failing_guest_thaws_the_other_before_the_error(guest, second_guest, root, connect,
                                                          domains, begin, second_gate):
    call = begin(connect())
    Standstill(guest)
    second_gate.open(1)
    with fails("AgentFailed", match="“second”"):
        call.result(20)
    assert not guest.agent_frozen()
    assert not second_guest.agent_frozen()
    assert_none((guest, second_guest), root, domains)


@pytest.mark.config("AgentTimeout=10s\nFreezeTimeout=25s\nVerifyInterval=500ms\n")
@pytest.mark.parametrize("hung", [0, 1])
def test_a_hung_agent_thaws_the_other_before_the_error(guest, second_guest, root, connect, domains,
                                                       hung):
    guests = guest, second_guest
    guests[hung].stop_agent()
    call = connect().begin_group(*domains)
    root.wait_property(domains[1 - hung], "FreezeState", "frozen", 20)
    with fails("AgentUnavailable", match=f"“{guests[hung].name}”"):
        call.result(30)
    assert not guests[1 - hung].agent_frozen()
    guests[hung].cont_agent()
    assert_none(guests, root, domains)


@pytest.mark.config("AgentTimeout=15s\nFreezeTimeout=6s\nVerifyInterval=500ms\n")
def test_a_guest_slower_than_freeze_timeout(guest, second_guest, root, connect, domains, begin,
                                            second_gate):
    """Its thaw is owed, as that of the other is, which is done at once."""
    start = time.monotonic()
    call = begin(connect())
    with fails("Timeout", match="“second”"):
        call.result(20)
    assert 5.5 < time.monotonic() - start < 12
    root.wait_property(domains[0], "FreezeState", "thawed", 20)
    assert_thawed(guest)
    assert root.get(domains[1], "FreezeState") == "freezing"
    second_gate.open()
    assert_none((guest, second_guest), root, domains)


def test_what_is_known_to_fail_fails_before_anything_is_frozen(second_guest, root, connect,
                                                               domains):
    second_guest.suspend()
    root.wait_property(domains[1], "State", "paused")
    root.history.clear()
    for order in domains, domains[::-1]:
        with fails("NotRunning", match="“second”"):
            connect().freeze_group(*order)
    root.sync_service()
    assert root.signals() == []
    second_guest.resume()


def test_a_guest_that_is_reset_meanwhile(guest, second_guest, root, connect, domains, begin,
                                         second_gate):
    call = begin(connect())
    guest.reset(wait=False)
    root.wait_property(domains[0], "FreezeState", "thawed", 20)
    second_gate.open()
    with fails("ConsistencyLost", match=f"“{guest.name}”.*reset"):
        call.result(20)
    assert not second_guest.agent_frozen()
    guest.wait_ready()
    root.wait_property(domains[0], "AgentConnected", True)
    assert_none((guest, second_guest), root, domains)


def test_a_guest_that_is_thawed_outside_meanwhile(guest, second_guest, root, connect, domains,
                                                  begin, second_gate):
    call = begin(connect())
    guest.virsh("domfsthaw")
    root.wait_property(domains[0], "FreezeState", "thawed", 20)   # found by verification
    second_gate.open()
    with fails("ConsistencyLost", match=f"“{guest.name}”"):
        call.result(20)
    assert_none((guest, second_guest), root, domains)


def test_a_hold_that_is_over_before_the_other_is_frozen(guest, second_guest, root, connect, domains,
                                                        begin, second_gate):
    call = begin(connect(), hold=3 * S)
    root.wait_property(domains[0], "FreezeState", "thawed", 20)
    second_gate.open()
    with fails("ConsistencyLost", match=f"“{guest.name}”"):
        call.result(20)
    assert_none((guest, second_guest), root, domains)


@pytest.mark.parametrize("lifetime", ["caller", "lease"])
def test_a_caller_gone_meanwhile(guest, second_guest, root, connect, domains, begin, second_gate,
                                 lifetime):
    client = connect()
    begin(client, lifetime=lifetime)
    client.close()
    root.wait_property(domains[0], "FreezeState", "thawed", 20)
    assert_thawed(guest)
    second_gate.open()
    assert_none((guest, second_guest), root, domains)


def test_the_brake_during_a_group(guest, second_guest, root, connect, domains, begin, second_gate):
    call = begin(connect())
    root.thaw_all(domains[0])
    assert not guest.agent_frozen()
    second_gate.open()
    with fails("ConsistencyLost", match=f"“{guest.name}”"):
        call.result(20)
    assert_none((guest, second_guest), root, domains)


def test_a_service_that_stops_meanwhile(guest, second_guest, service, connect, begin, second_gate):
    call = begin(connect())
    service.send(signal.SIGTERM)
    with fails("Disconnected"):
        call.result(20)
    second_gate.open()
    assert service.wait(20) == 0
    for each in guest, second_guest:
        assert_thawed(each)
