# SPDX-License-Identifier: LGPL-2.1-or-later
"""Engine exec when a side dies: the dead man's switch in the guest, debts, restarts."""

import signal
import time

import pytest

pytest.register_assert_rewrite("fsfreeze")
from fsfreeze import (CONFIG, deadline, goes_on, guard_pids, guard_seconds, guards, guest,
                      move_mount, still, thawed_at, wait_guards)
from harness.client import S, fails
from harness.guest import wait_until
from service import assert_lost, assert_thawed

AFTER = 5   # s: the latest that a guard thaws behind the deadline


def assert_thaws_itself(guest, name: str, due: float, say=None):
    """`due`: the deadline. By the writer: not before it, and soon afterwards."""
    late = thawed_at(guest, name) - due
    if say:
        say(f"{name}: thawed by its guard {late:.2f} s after the deadline")
    assert 0 < late <= AFTER


# The host is dead for good

@pytest.mark.parametrize("also", ["alone", "with-libvirtd"])
def test_the_guest_thaws_itself(libvirtd, guest, service, root, domain, say, also):
    """Each filesystem by its own deadline."""
    short = root.freeze(domain, "vdx", hold=3 * S)
    long = root.freeze(domain, "vdy", "vdz", hold=9 * S)
    due, later = deadline(root, short), deadline(root, long)
    wait_guards(guest, 3)
    still(guest, "a", "b", "span")
    service.kill()
    if also == "with-libvirtd":
        libvirtd.kill()
    try:
        assert_thaws_itself(guest, "a", due, say)
        assert_thaws_itself(guest, "b", later, say)
        goes_on(guest, "a", "b", "span")
        wait_guards(guest, 0)
    finally:
        if also == "with-libvirtd":
            libvirtd.start()


def test_a_joining_freeze_extends_it(guest, service, root, connect, domain, say):
    root.freeze(domain, "vdx", "vdz", hold=2 * S)
    later = deadline(root, connect().freeze(domain, "vdx", hold=9 * S))
    still(guest, "a")
    wait_guards(guest, 2)
    service.kill()
    goes_on_at = thawed_at(guest, "span")
    assert goes_on_at < later
    still(guest, "a")
    assert_thaws_itself(guest, "a", later, say)


def test_renew_extends_it(guest, service, root, domain, say):
    freeze = root.freeze(domain, "vdx", hold=5 * S)
    wait_guards(guest, 1)
    first = guard_pids(guest)
    root.renew(freeze, 12 * S)
    wait_guards(guest, 1)
    assert not first & guard_pids(guest)
    later = deadline(root, freeze)
    still(guest, "a")
    service.kill()
    assert_thaws_itself(guest, "a", later, say)


def test_a_shorter_hold_does_not_shorten_it(guest, service, root, connect, domain, say):
    later = deadline(root, root.freeze(domain, "vdx", hold=7 * S))
    connect().freeze(domain, "vdx", hold=1 * S)
    still(guest, "a")
    service.kill()
    assert_thaws_itself(guest, "a", later, say)


def test_it_reaches_odd_mountpoints(guest, service, root, domain, say):
    odd = "/mnt/-x y\"'$(touch /run/pwned)\\\n"
    move_mount(guest, "/mnt/b", odd)
    try:
        due = deadline(root, root.freeze(domain, "vdy", hold=2 * S))
        still(guest, "b")
        service.kill()
        assert_thaws_itself(guest, "b", due, say)
        assert guest.sh("ls /run/pwned")[0] != 0
    finally:
        move_mount(guest, odd, "/mnt/b")


def test_it_thaws_though_the_agent_hangs(guest, root, domain, say):
    freeze = root.freeze(domain, "vdx", hold=2 * S)
    due = deadline(root, freeze)
    still(guest, "a")
    guest.stop_agent()
    assert_thaws_itself(guest, "a", due, say)
    guest.cont_agent()
    assert root.wait_signal("Lost", freeze).body == ("expired",)
    with fails("ConsistencyLost"):
        root.thaw(freeze)
    root.wait_property(domain, "FreezeState", "thawed", timeout=30)


@pytest.mark.config(CONFIG + "FreezeGuard=no\n")
def test_without_a_guard(guest, root, domain):
    freeze = root.freeze(domain, "vdx")
    a = still(guest, "a")
    root.renew(freeze, 30 * S)
    assert guards(guest) == 0
    a.check()
    root.thaw(freeze)
    assert_thawed(guest)


def test_it_ends_with_the_last_freeze(guest, root, connect, domain):
    caller = connect()
    first, second = root.freeze(domain, "vdx", "vdy"), caller.freeze(domain, "vdx")
    wait_guards(guest, 2)
    root.thaw(first)
    wait_guards(guest, 1)
    still(guest, "a")
    goes_on(guest, "b")
    caller.kill()                      # and with it the second
    root.wait_gone(second)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    wait_guards(guest, 0)


def test_a_deadline_comes_before_the_guard(guest, root, domain):
    freeze = root.freeze(domain, "vdx", hold=1500 * 1000)
    due = deadline(root, freeze)
    still(guest, "a")
    late = thawed_at(guest, "a") - due
    assert 0 < late < 2
    assert_lost(root, freeze, "expired")
    wait_guards(guest, 0)


# The service ends, and starts again

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1], ids=["killed", "restarted"])
def test_freezes_are_taken_up_again(guest, service, start, root, connect, domain, say, number):
    caller = connect()
    freeze = caller.freeze(domain, "vdx", hold=30 * S)
    lease = caller.freeze(domain, "vdy", "vdx", lifetime="lease", hold=60 * S)
    a, b = still(guest, "a"), still(guest, "b")
    wait_guards(guest, 2)
    before = guard_pids(guest)
    service.send(number)
    service.wait()
    again = start(state_dir=service.state_dir, config=CONFIG)
    assert root.freezes(domain) == [freeze, lease]
    assert {root.get(path, "Engine") for path in (freeze, lease)} == {"exec"}
    root.wait_property(domain, "AgentConnected", True)
    # New guards, since nothing is known of the old ones but that they may be there.
    wait_until(lambda: len(now := guard_pids(guest)) == 2 and not now & before, 30, "new guards")
    a.check()
    third = caller.freeze(domain, "vdz")        # it still grows
    still(guest, "span")
    caller.thaw(third)
    caller.thaw(lease)
    goes_on(guest, "b")
    a.check()
    caller.renew(freeze, 7 * S)
    due = deadline(root, freeze)
    wait_until(lambda: max(guard_seconds(guest)) <= 7 + AFTER, 30, "a guard for less")
    again.kill()
    assert_thaws_itself(guest, "a", due, say)


def test_a_caller_that_left_meanwhile(guest, service, start, root, connect, domain):
    caller, other = connect(), connect()
    caller.freeze(domain, "vdx")
    kept = other.freeze(domain, "vdy")
    b = still(guest, "b")
    service.kill()
    caller.kill()
    start(state_dir=service.state_dir, config=CONFIG)
    goes_on(guest, "a")
    assert root.freezes(domain) == [kept]
    b.check()
    other.thaw(kept)
    assert_thawed(guest)


def test_thawed_by_its_guard_meanwhile(guest, service, start, root, domain):
    """The lease has ended, and nobody says that it held."""
    root.freeze(domain, "vdx", lifetime="lease", hold=1 * S)
    still(guest, "a")
    service.kill()
    thawed_at(guest, "a")
    start(state_dir=service.state_dir, config=CONFIG)
    root.wait_property(domain, "FreezeState", "thawed")
    assert root.freezes() == []
    assert_thawed(guest)


# The agent

def test_hung_at_the_thaw(guest, root, domain):
    kept, freeze = root.freeze(domain, "vdy"), root.freeze(domain, "vdx")
    a, b = still(guest, "a"), still(guest, "b")
    guest.stop_agent()
    with fails("AgentUnavailable"):
        root.thaw(freeze)
    assert (root.get(freeze, "State"), root.get(kept, "State")) == ("thawing", "held")
    a.check()
    again = root.begin_thaw(freeze)
    guest.cont_agent()
    again.result(30)
    goes_on(guest, "a")
    b.check()
    root.thaw(kept)
    assert_thawed(guest)
    wait_guards(guest, 0)


def test_restarted_while_frozen(guest, root, domain):
    """What it had started lives on, and it does not know."""
    freeze = root.freeze(domain, "vdx")
    a = still(guest, "a")
    guest.kill_agent()
    root.wait_property(domain, "AgentConnected", False)
    guest.start_agent()
    root.wait_property(domain, "AgentConnected", True)
    a.check()
    second = root.freeze(domain, "vdy")
    still(guest, "b")
    root.renew(freeze, 60 * S)
    wait_guards(guest, 2)
    root.thaw(freeze)
    goes_on(guest, "a")
    root.thaw(second)
    assert_thawed(guest)
    wait_guards(guest, 0)


def test_reset_while_frozen(guest, root, domain):
    freeze = root.freeze(domain, "vdx")
    still(guest, "a")
    guest.reset()
    assert root.wait_signal("Lost", freeze).body == ("reset",)
    root.wait_property(domain, "AgentConnected", True)
    root.thaw(root.freeze(domain, "vdx"))
    assert_thawed(guest)
