# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirtd stops, dies, hangs, or is not there yet. Guests run on without it."""

import os
import signal
import time

import pytest

from harness.client import ROOT, S, fails
from harness.guest import wait_until
from service import Standstill, assert_thawed, seconds_until_writes, wait_thawed

SLOW_FREEZE = "#!/bin/sh\necho $1 >>/run/hook.log\n[ $1 = thaw ] || sleep 2\n"
SLOW_FIRST_THAW = """#!/bin/sh
echo $1 >>/run/hook.log
[ $1 = freeze ] || [ -e /run/hook.slept ] || { >/run/hook.slept; sleep 1.5; }
"""
LONG = 40   # s: for a connection that is noticed to be dead


def wait_connected(client, connected: bool):
    client.wait_property(ROOT, "Connected", connected, LONG)


# Stopped, restarted

@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_freeze_outlives_libvirtd(libvirtd, guest, root, domain, end):
    assert root.get(ROOT, "Connected")
    freeze = root.freeze(domain)
    still = Standstill(guest)
    getattr(libvirtd, end)()
    wait_connected(root, False)
    with fails("Disconnected"):
        root.freeze(domain)
    assert root.domain(guest.name) == domain
    with fails("Disconnected"):
        root.domain("unknown")
    assert root.get(freeze, "State") == "held"
    root.renew(freeze, 60 * S)

    libvirtd.start()
    wait_connected(root, True)
    still.check()
    assert root.get(freeze, "State") == "held"
    # It still works, and so do events.
    guest.suspend()
    root.wait_property(domain, "State", "paused")
    guest.resume()
    root.wait_property(domain, "State", "running")
    root.thaw(freeze)
    assert_thawed(guest)


def test_thaw_without_libvirtd_is_owed(libvirtd, guest, root, domain, say):
    freeze = root.freeze(domain)
    Standstill(guest)
    libvirtd.stop()
    wait_connected(root, False)
    called = time.monotonic()
    with fails("Disconnected"):
        root.thaw(freeze)
    assert time.monotonic() - called < 1
    assert (root.get(freeze, "State"), root.get(domain, "FreezeState")) == ("thawing", "thawing")
    libvirtd.start()
    started = time.monotonic()
    took = seconds_until_writes(guest, started)
    say(f"the guest writes {took * 1000:.0f} ms after libvirtd answers")
    assert root.wait_signal("Released", freeze).body == ("thawed",)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)


def test_deadline_and_leaving_caller_without_libvirtd(libvirtd, guest, root, connect, domain):
    caller = connect()
    gone, freeze = caller.freeze(domain), root.freeze(domain, hold=3 * S)
    Standstill(guest)
    libvirtd.stop()
    wait_connected(root, False)
    caller.kill()
    root.wait_gone(gone)
    assert root.wait_signal("Lost", freeze).body == ("expired",)
    assert root.get(domain, "FreezeState") == "thawing"
    libvirtd.start()
    wait_thawed(guest)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    with fails("ConsistencyLost"):
        root.thaw(freeze)


def test_a_guest_that_dies_without_libvirtd(libvirtd, guest, root, domain):
    freeze = root.freeze(domain)
    pid = guest.pid
    libvirtd.stop()
    wait_connected(root, False)
    os.kill(pid, signal.SIGKILL)
    libvirtd.start()
    wait_connected(root, True)
    assert root.wait_signal("Lost", freeze).body == ("domain-stopped",)
    root.wait_property(domain, "State", "shutoff")
    assert root.get(domain, "FreezeState") == "thawed"
    guest.start()
    assert_thawed(guest)


# A reply is lost

def test_killed_during_a_freeze(libvirtd, guest, root, domain, hook):
    """The agent has the command, and freezes the guest for nobody."""
    hook(SLOW_FREEZE)
    freezing = root.begin_freeze(domain)
    root.wait_property(domain, "FreezeState", "freezing")
    wait_until(lambda: guest.sh("cat /run/hook.log")[1] == "freeze\n", 5, "hook")
    libvirtd.kill()
    with fails("Disconnected"):
        freezing.result()
    assert root.get(domain, "FreezeState") == "in-doubt"
    wait_until(lambda: guest.is_writer_stalled("a", 0), 10, "the freeze")
    Standstill(guest, agent=False)
    libvirtd.start()
    wait_connected(root, True)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert root.freezes() == []
    assert "thaw" in guest.check("cat /run/hook.log")


def test_killed_during_a_thaw(libvirtd, guest, root, domain, hook):
    """The retry thaws nothing: it was thawed already. That is no loss."""
    hook(SLOW_FIRST_THAW)
    freeze = root.freeze(domain)
    Standstill(guest)
    thawing = root.begin_thaw(freeze)
    wait_until(lambda: "thaw" in guest.sh("cat /run/hook.log")[1], 5, "hook")
    libvirtd.kill()
    with fails("Disconnected"):
        thawing.result()
    libvirtd.start()
    assert root.wait_signal("Released", freeze, LONG).body == ("thawed",)
    assert "Lost" not in [signal.member for signal in root.signals()]
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)


# Hanging

def test_hanging_for_a_while(libvirtd, guest, root, connect, domain):
    freeze = root.freeze(domain)
    still = Standstill(guest, agent=False)
    libvirtd.pause()
    asked = time.monotonic()
    assert root.objects()[freeze]["State"] == "held"
    assert root.domain(guest.name) == domain
    assert time.monotonic() - asked < 1   # the service itself does not hang
    thawing, freezing = root.begin_thaw(freeze), connect().begin_freeze(domain)
    with fails("Timeout"):
        thawing.result()
    with fails("Timeout"):
        freezing.result()
    assert (root.get(freeze, "State"), root.get(domain, "FreezeState")) == ("thawing", "thawing")
    still.check()
    libvirtd.resume()
    assert root.wait_signal("Released", freeze).body == ("thawed",)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert root.get(ROOT, "Connected")


def test_hanging_for_long(libvirtd, guest, root, domain, say):
    """Then the connection is given up."""
    freeze = root.freeze(domain)
    still = Standstill(guest, agent=False)
    libvirtd.pause()
    paused = time.monotonic()
    wait_connected(root, False)
    say(f"Connected is false after {time.monotonic() - paused:.0f} s")
    with fails("Disconnected"):
        root.freeze(domain)
    still.check()
    libvirtd.resume()
    wait_connected(root, True)
    still.check()
    assert root.get(freeze, "State") == "held"
    root.thaw(freeze)
    assert_thawed(guest)


# Not there yet

def test_service_starts_without_libvirtd(libvirtd, guest, start, connect, say):
    libvirtd.stop()
    started = time.monotonic()
    start()
    say(f"ready after {time.monotonic() - started:.1f} s")
    assert time.monotonic() - started < 4
    root = connect(None).watch()
    assert not root.get(ROOT, "Connected")
    with fails("Disconnected"):
        root.domain(guest.name)
    assert list(root.objects()) == []
    libvirtd.start()
    wait_connected(root, True)
    domain = root.domain(guest.name)
    guest.wait_agent()   # what libvirtd tells of it at first is what it was before
    freeze = root.freeze(domain)
    Standstill(guest)
    root.thaw(freeze)
    assert_thawed(guest)


def test_freezes_are_taken_up_without_libvirtd(libvirtd, guest, service, start, root, connect,
                                               domain):
    caller = connect()
    freeze, kept = caller.freeze(domain), root.freeze(domain)
    still = Standstill(guest)
    libvirtd.stop()
    service.kill()
    start(state_dir=service.state_dir)
    assert root.freezes() == [freeze, kept]
    with fails("Disconnected"):
        caller.thaw(freeze)
    libvirtd.start()
    wait_connected(root, True)
    guest.wait_agent()
    still.check()
    root.thaw(kept)
    assert_thawed(guest)
    assert root.freezes() == []
