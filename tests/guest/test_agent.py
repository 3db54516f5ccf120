# SPDX-License-Identifier: LGPL-2.1-or-later
"""Agents that hang, are slow, fail, or go away at the wrong moment."""

import time

import pytest

from harness.client import fails
from harness.guest import wait_until
from service import Standstill, assert_thawed, seconds_until_writes, wait_thawed

# The agent stops in the middle of a freeze: its hook is done, and nothing is frozen yet.
STOP_AT_FREEZE = """#!/bin/sh
echo $1 >>/run/hook.log
[ $1 = thaw ] || kill -STOP $(cat /run/agent.pid)
"""
FAIL_AT_FREEZE = "#!/bin/sh\necho $1 >>/run/hook.log\n[ $1 = thaw ]\n"
FAIL_AT_FIRST_THAW = """#!/bin/sh
[ $1 = freeze ] || [ -e /run/hook.failed ] || { >/run/hook.failed; echo full >&2; exit 1; }
"""


FAIL_AT_THAW = "#!/bin/sh\necho $1 >>/run/hook.log\n[ $1 = freeze ]\n"
SLOW_AT_THAW = "#!/bin/sh\necho $1 >>/run/hook.log\n[ $1 = freeze ] || sleep 8\n"


def slow_freeze(seconds: float) -> str:
    return f"#!/bin/sh\necho $1 >>/run/hook.log\n[ $1 = thaw ] || sleep {seconds}\n"


def released(client, freeze) -> list[str]:
    """What became of a freeze that is gone: why it was lost, if it was, and why released."""
    return [signal.body[0] for signal in client.signals()
            if signal.path == freeze and signal.member in ("Lost", "Released")]


# Hung

def test_hung_before_the_freeze(guest, root, domain):
    guest.stop_agent()
    with fails("AgentUnavailable"):
        root.freeze(domain)
    assert root.get(domain, "FreezeState") == "thawed"   # nothing was sent
    assert_thawed(guest, agent=False)
    guest.cont_agent()
    root.thaw(root.freeze(domain))
    assert_thawed(guest)


def test_hung_during_the_freeze_and_its_undo(libvirtd, guest, root, domain, hook):
    """When the agent goes on, it freezes the guest for a caller who has had his error long ago."""
    hook(STOP_AT_FREEZE)
    with fails("AgentUnavailable"):
        root.freeze(domain)
    assert root.get(domain, "FreezeState") == "in-doubt"
    assert root.freezes() == []
    assert_thawed(guest, agent=False)
    libvirtd.pause()   # no thaw comes until we have seen it frozen
    guest.cont_agent()
    Standstill(guest, agent=False)
    libvirtd.resume()
    root.wait_property(domain, "FreezeState", "thawed", timeout=20)
    assert_thawed(guest)
    hook()
    root.thaw(root.freeze(domain))
    assert_thawed(guest)


def test_hung_while_frozen(guest, root, domain):
    other, freeze = root.freeze(domain), root.freeze(domain)
    still = Standstill(guest, agent=False)
    guest.stop_agent()
    # Where others hold it, a Thaw verifies that it is frozen; no answer says nothing.
    with fails("AgentUnavailable"):
        root.thaw(other)
    assert root.get(freeze, "State") == "held"
    with fails("AgentUnavailable"):
        root.thaw(freeze)
    assert (root.get(freeze, "State"), root.get(domain, "FreezeState")) == ("thawing", "thawing")
    still.check()
    # Another Thaw joins the first.
    again = root.begin_thaw(freeze)
    guest.cont_agent()
    again.result()
    assert released(root, freeze) == ["thawed"]
    root.wait_gone(other)
    assert released(root, other) == ["thawed"]
    assert_thawed(guest)


def test_hung_when_the_caller_leaves(guest, root, connect, domain):
    caller = connect()
    freeze = caller.freeze(domain)
    still = Standstill(guest, agent=False)
    guest.stop_agent()
    caller.kill()
    root.wait_gone(freeze)
    still.check()
    assert root.get(domain, "FreezeState") == "thawing"   # the debt is the domain's
    guest.cont_agent()
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)


def test_a_freeze_waits_for_an_owed_thaw(guest, root, connect, domain):
    first, second = connect(), connect()
    freeze = first.freeze(domain)
    before = guest.writer_count("a")
    guest.stop_agent()
    with fails("AgentUnavailable"):
        first.thaw(freeze)
    with fails("AgentUnavailable"):
        second.freeze(domain)   # until FreezeTimeout
    later = second.begin_freeze(domain)
    guest.cont_agent()
    freeze = later.result()
    Standstill(guest)
    assert guest.writer_count("a") > before   # it was thawed in between
    second.thaw(freeze)
    assert_thawed(guest)


# Slow

@pytest.mark.config("AgentTimeout=1s\nFreezeTimeout=5s\nVerifyInterval=500ms\n")
def test_a_freeze_that_completes_after_libvirt_gave_up(libvirtd, guest, root, domain, hook, say):
    """And after the first undo has failed, too; nobody calls the service meanwhile."""
    hook(slow_freeze(5))
    called = time.monotonic()
    with fails("AgentUnavailable"):
        root.freeze(domain)
    assert time.monotonic() - called < 4
    assert guest.check("cat /run/hook.log") == "freeze\n"
    assert_thawed(guest, agent=False)   # as yet
    libvirtd.pause()   # no thaw comes until we have seen it frozen
    wait_until(lambda: guest.is_writer_stalled("a", 0), 15, "the freeze, late")
    Standstill(guest, agent=False)
    libvirtd.resume()
    root.wait_signal("PropertiesChanged", domain, 20,
                     lambda _, changed, __: changed.get("FreezeState") == "thawed")
    say(f"thawed {time.monotonic() - called:.1f} s after the call")
    assert_thawed(guest)
    assert root.freezes() == []
    assert "thaw" in guest.check("cat /run/hook.log")


@pytest.mark.config("AgentTimeout=2s\nFreezeTimeout=1s\nVerifyInterval=500ms\n")
def test_a_freeze_that_takes_longer_than_freeze_timeout(guest, root, domain, hook):
    hook(slow_freeze(1.5))
    with fails("Timeout"):
        root.freeze(domain)
    root.wait_property(domain, "FreezeState", "thawed")
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"
    assert_thawed(guest)
    assert root.freezes() == []


# Failing

def test_a_freeze_hook_that_fails(guest, root, domain, hook):
    hook(FAIL_AT_FREEZE)
    with fails("AgentFailed"):
        root.freeze(domain)
    # An error is no proof: a thaw was sent.
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"
    assert root.get(domain, "FreezeState") == "thawed"
    assert_thawed(guest)


def test_a_thaw_hook_that_fails(guest, root, domain, hook):
    """Everything is thawed all the same, so the retry thaws nothing; the freeze did hold."""
    hook(FAIL_AT_FIRST_THAW)
    freeze = root.freeze(domain)
    Standstill(guest)
    with fails("AgentFailed", match="hook"):
        root.thaw(freeze)
    root.wait_gone(freeze)
    assert released(root, freeze) == ["thawed"]
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    root.thaw(root.freeze(domain))
    assert_thawed(guest)


@pytest.mark.parametrize("script", [FAIL_AT_THAW, SLOW_AT_THAW], ids=["fails", "takes-too-long"])
def test_a_thaw_hook_that_never_does(guest, root, domain, hook, script):
    """Each thaw gets an error, or no answer; the guest is asked what it is, and the hook is not
    run for ever."""
    hook(script)
    freeze = root.freeze(domain)
    Standstill(guest)
    with fails("AgentFailed" if script == FAIL_AT_THAW else "AgentUnavailable"):
        root.thaw(freeze)
    root.wait_gone(freeze, 60)
    assert released(root, freeze) == ["thawed"]
    root.wait_property(domain, "FreezeState", "thawed")
    assert guest.check("cat /run/hook.log").split().count("thaw") <= 2
    hook()
    root.thaw(root.freeze(domain))
    assert_thawed(guest)


# Gone

def test_an_owed_thaw_is_done_at_once_when_the_agent_comes_back(guest, root, domain, say):
    freeze = root.freeze(domain)
    still = Standstill(guest, agent=False)
    guest.kill_agent()
    # Each Thaw joins the first, and learns of one more attempt; they get further and further apart.
    for _ in range(5):
        with fails("AgentUnavailable"):
            root.thaw(freeze)
    still.check()
    guest.check("guest-agent")
    root.wait_property(domain, "AgentConnected", True)
    took = seconds_until_writes(guest, time.monotonic())
    say(f"the guest writes {took * 1000:.0f} ms after its agent has come back")
    assert took < 1
    root.wait_gone(freeze)
    assert released(root, freeze) == ["thawed"]
    assert_thawed(guest)


def test_an_agent_killed_while_it_freezes(guest, root, domain, hook):
    hook(slow_freeze(10))
    freezing = root.begin_freeze(domain)
    root.wait_property(domain, "FreezeState", "freezing")
    wait_until(lambda: guest.sh("cat /run/hook.log")[1] == "freeze\n", 5, "hook")
    guest.kill_agent()
    with fails("AgentUnavailable", "AgentFailed"):
        freezing.result()
    hook()
    guest.start_agent()
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert root.freezes() == []
    wait_thawed(guest)
