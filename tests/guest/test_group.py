# SPDX-License-Identifier: LGPL-2.1-or-later
"""FreezeDomains on real guests: all of them or none, by their own word."""

import json
import statistics
import subprocess
import threading
import time

import pytest

from harness.client import MS, S, fails
from harness.guest import SMALL, wait_until
from service import Standstill, assert_thawed, writers

LATER_HOOK = "#!/bin/sh\n[ $1 = thaw ] || sleep 1\n"


@pytest.fixture
def domains(guest, second_guest, root):
    """The objects of both guests."""
    paths = [root.domain(each.name) for each in (guest, second_guest)]
    for path in paths:
        root.wait_property(path, "AgentConnected", True)
    return paths


@pytest.fixture
def second_hook(second_guest):
    yield second_guest.set_hook
    second_guest.set_hook()


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


def test_nothing_appears_before_both_are_frozen(guest, root, connect, domains, second_hook):
    second_hook(LATER_HOOK)
    client = connect()
    root.history.clear()
    call = client.begin_group(*domains)
    root.wait_property(domains[0], "FreezeState", "frozen")
    assert guest.agent_frozen()
    assert root.get(domains[1], "FreezeState") == "freezing"
    assert added(root) == [] == root.freezes()
    assert root.get(domains[0], "Freezes") == []
    freezes = call.result()
    assert added(root) == freezes == root.freezes()
    assert [root.get(domain, "Freezes") for domain in domains] == [[freeze] for freeze in freezes]
    for freeze in freezes:
        client.thaw(freeze)


def test_each_hold_begins_when_its_own_guest_is_frozen(root, connect, domains, second_hook):
    second_hook(LATER_HOOK)
    freezes = connect().freeze_group(*domains, hold=30 * S)
    created, deadlines = zip(*((root.get(freeze, "Created"), root.get(freeze, "Deadline"))
                               for freeze in freezes))
    assert created[1] - created[0] > 0.5 * S
    for begin, end in zip(created, deadlines):
        assert abs(end - begin - 30 * S) < S / 10


def test_others_join_and_leave_meanwhile(guest, root, connect, domains, second_hook):
    second_hook(LATER_HOOK)
    client, other = connect(), connect()
    call = client.begin_group(*domains)
    root.wait_property(domains[0], "FreezeState", "frozen")
    single = other.freeze(domains[0])
    assert root.freezes() == [single]
    standstill = Standstill(guest)
    other.thaw(single)
    standstill.check()
    freezes = call.result()
    standstill.check()
    for freeze in freezes:
        client.thaw(freeze)
    assert_thawed(guest)


# One fails

def assert_none(guests, root, domains):
    assert root.freezes() == []
    for domain in domains:
        root.wait_property(domain, "FreezeState", "thawed")
    for each in guests:
        assert_thawed(each)


def seen_by_each(guests, call):
    """The error of the call, and whether each guest's agent says that it is thawed as soon as it is
    there."""
    with fails("AgentFailed", "AgentUnavailable", "NotRunning") as caught:
        call.result()
    return caught.value, [not each.agent_frozen() for each in guests]


def test_a_failing_guest_thaws_the_other_before_the_error(guest, second_guest, root, connect,
                                                          domains, second_hook):
    second_hook("#!/bin/sh\n[ $1 = thaw ] && exit 0\nsleep 1\nexit 1\n")
    root.history.clear()
    call = connect().begin_group(*domains)
    root.wait_property(domains[0], "FreezeState", "frozen")
    Standstill(guest)
    error, thawed = seen_by_each((guest, second_guest), call)
    assert thawed == [True, True]
    assert "“second”" in error.message and error.name.endswith("AgentFailed")
    assert added(root) == []
    assert_none((guest, second_guest), root, domains)


def test_a_hung_agent_thaws_the_other_before_the_error(guest, second_guest, root, connect,
                                                       domains):
    """Whichever of the two it is."""
    guests = guest, second_guest
    for hung, other in (guests, guests[::-1]):
        hung.stop_agent()
        begin = time.monotonic()
        call = connect().begin_group(*domains)
        root.wait_property(root.domain(other.name), "FreezeState", "frozen")
        with fails("AgentUnavailable", match=f"“{hung.name}”"):
            call.result()
        assert not other.agent_frozen()
        assert time.monotonic() - begin < 5.5   # FreezeTimeout is 5 s
        hung.cont_agent()
        assert_none(guests, root, domains)


def test_a_guest_that_is_too_slow(guest, second_guest, root, connect, domains, second_hook):
    """At FreezeTimeout the thaws are owed: that of the slow one as long as it takes."""
    second_hook("#!/bin/sh\n[ $1 = thaw ] || sleep 1.9\n")
    guest.set_hook()
    client = connect()
    begin = time.monotonic()
    # Its first freeze takes nearly as long as the agent may.
    for _ in range(2):
        second_guest.stop_agent()
        call = client.begin_group(*domains)
        root.wait_property(domains[0], "FreezeState", "frozen")
        with fails("AgentUnavailable", "Timeout", match="“second”"):
            call.result()
        second_guest.cont_agent()
        for domain in domains:
            root.wait_property(domain, "FreezeState", "thawed")
    assert time.monotonic() - begin < 30
    assert_none((guest, second_guest), root, domains)


def test_the_error_is_that_of_the_first_request(guest, second_guest, root, connect, domains):
    second_guest.suspend()
    guest.kill_agent()
    for domain in domains[:1]:
        root.wait_property(domain, "AgentConnected", False)
    root.wait_property(domains[1], "State", "paused")
    client = connect()
    with fails("NotRunning", match="“second”"):
        client.freeze_group(domains[1], domains[0])
    with fails("NotRunning", match="“second”"):
        client.freeze_group(*domains)   # known before anything is tried
    second_guest.resume()
    guest.start_agent()


def test_a_guest_that_is_reset_meanwhile(guest, second_guest, root, connect, domains, second_hook):
    second_hook("#!/bin/sh\n[ $1 = thaw ] || sleep 1.5\n")
    call = connect().begin_group(*domains)
    root.wait_property(domains[0], "FreezeState", "frozen")
    guest.reset(wait=False)
    with fails("ConsistencyLost", match=f"“{guest.name}”.*reset"):
        call.result()
    assert not second_guest.agent_frozen()
    guest.wait_ready()
    assert_none((guest, second_guest), root, domains)


def test_a_guest_that_is_thawed_outside_meanwhile(guest, second_guest, root, connect, domains,
                                                  second_hook):
    second_hook("#!/bin/sh\n[ $1 = thaw ] || sleep 1.8\n")
    call = connect().begin_group(*domains)
    root.wait_property(domains[0], "FreezeState", "frozen")
    guest.virsh("domfsthaw")
    with fails("ConsistencyLost", match=f"“{guest.name}”"):   # found by verification
        call.result()
    assert_none((guest, second_guest), root, domains)


def test_a_hold_that_is_over_before_the_others_are_frozen(guest, second_guest, root, connect,
                                                          domains, second_hook):
    second_hook(LATER_HOOK)
    with fails("ConsistencyLost", match=f"“{guest.name}”"):
        connect().freeze_group(*domains, hold=200 * MS)
    assert_none((guest, second_guest), root, domains)


@pytest.mark.parametrize("lifetime", ["caller", "lease"])
def test_a_caller_gone_meanwhile(guest, second_guest, root, connect, domains, second_hook,
                                 lifetime):
    second_hook(LATER_HOOK)
    client = connect()
    root.history.clear()
    client.begin_group(*domains, lifetime=lifetime)
    root.wait_property(domains[0], "FreezeState", "frozen")
    client.close()
    root.wait_property(domains[0], "FreezeState", "thawed")
    root.wait_property(domains[1], "FreezeState", "thawed")
    assert added(root) == []
    assert_none((guest, second_guest), root, domains)


def test_the_brake_during_a_group(guest, second_guest, root, connect, domains, second_hook):
    second_hook(LATER_HOOK)
    call = connect().begin_group(*domains)
    root.wait_property(domains[0], "FreezeState", "frozen")
    root.thaw_all(domains[0])
    assert not guest.agent_frozen()
    with fails("ConsistencyLost", match=f"“{guest.name}”"):
        call.result()
    assert_none((guest, second_guest), root, domains)


def test_a_service_that_stops_meanwhile(guest, second_guest, root, service, connect, domains,
                                        second_hook):
    second_hook(LATER_HOOK)
    call = connect().begin_group(*domains)
    root.wait_property(domains[0], "FreezeState", "frozen")
    assert service.stop() == 0
    with fails("Disconnected"):
        call.result()
    for each in guest, second_guest:
        assert_thawed(each)


