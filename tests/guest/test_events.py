# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to guests besides freezes: what the owner of a freeze sees, how the guest ends."""

import os
import signal

import pytest

from harness.client import MS, S, fails
from harness.guest import VirshError, wait_until
from service import LOG_HOOK, Standstill, assert_lost, assert_thawed, assert_works, wait_thawed

# The guest begins anew

ENDINGS = {
    "reset": ("reset", lambda guest: guest.reset(wait=False)),
    "reboot": ("reset", lambda guest: guest.reboot(wait=False)),
    "destroy": ("domain-stopped", lambda guest: guest.destroy()),
    "poweroff": ("domain-stopped", lambda guest: guest.check("(usleep 100000; poweroff -f) &")),
    "crash": ("domain-stopped", lambda guest: os.kill(guest.pid, signal.SIGKILL)),
}


@pytest.mark.parametrize("why, end", ENDINGS.values(), ids=ENDINGS)
def test_end_of_the_run(guest, service, root, connect, domain, why, end):
    other = connect().watch()
    freezes = root.freeze(domain), other.freeze(domain, lifetime="lease")
    Standstill(guest)
    end(guest)
    assert_lost(root, freezes[0], why)
    assert_lost(other, freezes[1], why)
    assert root.get(domain, "FreezeState") == "thawed"
    if why == "reset":
        guest.wait_ready()
    else:
        root.wait_property(domain, "State", "shutoff")
        guest.start()
    assert_thawed(guest)
    assert_works(guest, root, domain)
    assert list(service.state_dir.glob("*.freeze")) == []


def test_kernel_panic(guest, root, domain):
    """libvirt tells nothing of it: to the host, the guest runs with an agent that hangs."""
    freeze = root.freeze(domain, hold=2 * S)
    with pytest.raises(TimeoutError):
        guest.sh("echo c >/proc/sysrq-trigger", timeout=0.5)
    with fails("AgentUnavailable"):
        root.thaw(freeze)
    assert root.get(domain, "FreezeState") == "thawing"
    guest.destroy()
    assert_lost(root, freeze, "domain-stopped")
    assert root.get(domain, "FreezeState") == "thawed"
    guest.kernel_log.write_text("")   # or the panic in it would be taken for one of the next boot
    guest.start()
    assert_thawed(guest)
    assert_works(guest, root, domain)


def test_undefined_while_frozen(guest, root, domain):
    xml = guest.folder / "inactive.xml"
    xml.write_text(guest.virsh("dumpxml", "--inactive"))
    freeze, lost = root.freeze(domain), root.freeze(domain)
    still = Standstill(guest)
    guest.virsh("undefine")
    still.check()
    root.thaw(freeze)
    still.check()

    # The lost freeze stays for its owner, beyond its domain.
    guest.destroy()
    root.wait_gone(domain)
    assert root.freezes() == [lost]
    assert_lost(root, lost, "domain-stopped")
    guest.libvirtd.virsh("define", xml)
    guest.start()
    assert root.domain(guest.name) == domain
    assert_works(guest, root, domain)


def test_rename(guest, root, domain):
    """libvirt renames no running domain; a lost freeze stays where it is."""
    freeze = root.freeze(domain)
    still = Standstill(guest)
    with pytest.raises(VirshError):
        guest.virsh("domrename", "other")
    still.check()
    guest.destroy()
    root.wait_property(domain, "State", "shutoff")
    guest.virsh("domrename", "other")
    root.wait_property(domain, "Name", "other")
    assert root.freezes(domain) == [freeze]
    assert_lost(root, freeze, "domain-stopped")
    guest.libvirtd.virsh("domrename", "other", guest.name)
    root.wait_property(domain, "Name", guest.name)
    guest.start()
    assert_works(guest, root, domain)


# Paused

def test_pause_keeps_a_freeze(guest, root, domain):
    freeze = root.freeze(domain)
    still = Standstill(guest)
    guest.suspend()
    root.wait_property(domain, "State", "paused")
    assert root.get(freeze, "State") == "held"
    guest.resume()
    root.wait_property(domain, "State", "running")
    still.check()
    root.thaw(freeze)
    assert_thawed(guest)


def test_thaw_while_paused_is_owed_until_the_guest_resumes(guest, root, domain):
    freeze = root.freeze(domain)
    Standstill(guest)
    guest.suspend()
    root.wait_property(domain, "State", "paused")
    with fails("NotRunning"):
        root.thaw(freeze)
    assert (root.get(freeze, "State"), root.get(domain, "FreezeState")) == ("thawing", "thawing")
    guest.resume()
    assert root.wait_signal("Released", freeze).body == ("thawed",)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)


def test_deadline_while_paused(guest, root, domain):
    freeze = root.freeze(domain, hold=1500 * MS)
    Standstill(guest)
    guest.suspend()
    assert_lost(root, freeze, "expired")
    assert root.get(domain, "FreezeState") == "thawing"
    guest.resume()
    wait_thawed(guest)
    assert_works(guest, root, domain)


# While it freezes

@pytest.fixture
def freezing(guest, root, domain, hook):
    """A call whose guest is about to freeze: its hook runs."""
    hook(f"{LOG_HOOK}[ $1 = thaw ] || sleep 1\n")
    call = root.begin_freeze(domain)
    root.wait_property(domain, "FreezeState", "freezing")
    wait_until(lambda: guest.sh("cat /run/hook.log")[1] == "freeze\n", 5, "hook")
    return call


def test_paused_while_it_freezes(guest, root, domain, freezing):
    """It goes on freezing when it is resumed, for a caller who has had his error."""
    guest.suspend()
    with fails("AgentUnavailable", "NotRunning"):
        freezing.result()
    assert root.get(domain, "FreezeState") == "in-doubt"
    guest.resume()
    wait_until(lambda: "thaw" in guest.check("cat /run/hook.log"), 10, "thaw")
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert_works(guest, root, domain)


def test_reset_while_it_freezes(guest, root, domain, freezing):
    guest.reset(wait=False)
    with fails("AgentUnavailable", "NotRunning"):
        freezing.result()
    guest.wait_ready()
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert_works(guest, root, domain)


# Thawed by others

def test_agent_restarted_while_frozen(guest, root, domain):
    """The agent keeps in a file that it is frozen."""
    freeze = root.freeze(domain)
    still = Standstill(guest)
    guest.kill_agent()
    root.wait_property(domain, "AgentConnected", False)
    assert root.get(freeze, "State") == "held"
    guest.start_agent()
    root.wait_property(domain, "AgentConnected", True)
    still.check()
    root.thaw(freeze)
    assert_thawed(guest)


def test_thawed_outside_is_found_by_verification(guest, root, connect, domain):
    other = connect().watch()
    freezes = root.freeze(domain), other.freeze(domain)
    Standstill(guest)
    guest.virsh("domfsthaw")
    assert_lost(root, freezes[0], "thawed-outside")
    assert_lost(other, freezes[1], "thawed-outside")
    assert_thawed(guest)
    assert_works(guest, root, domain)


@pytest.mark.config("AgentTimeout=2s\nVerifyInterval=1h\n")
def test_thawed_outside_is_found_by_thaw(guest, root, domain):
    """By the count of the first thaw; where others still hold it, by the verification."""
    freeze = root.freeze(domain)
    guest.virsh("domfsthaw")
    with fails("ConsistencyLost"):
        root.thaw(freeze)

    freezes = root.freeze(domain), root.freeze(domain)
    guest.virsh("domfsthaw")
    with fails("ConsistencyLost"):
        root.thaw(freezes[0])
    assert root.get(freezes[1], "State") == "lost"
    with fails("ConsistencyLost"):
        root.thaw(freezes[1])
    assert_works(guest, root, domain)


def test_thaw_all(guest, root, connect, domain):
    other = connect().watch()
    freezes = root.freeze(domain), other.freeze(domain, lifetime="lease")
    still = Standstill(guest)
    with fails("InteractiveAuthorizationRequired"):
        other.thaw_all(domain)
    still.check()
    root.thaw_all(domain)
    assert_thawed(guest)
    assert_lost(root, freezes[0], "thawed-by-other")
    assert_lost(other, freezes[1], "thawed-by-other")
    assert_works(guest, root, domain)


def test_thaw_all_of_what_others_froze(guest, root, domain):
    guest.virsh("domfsfreeze")
    Standstill(guest)
    root.thaw_all(domain)
    assert_thawed(guest)


def test_thaw_all_waits_for_a_freeze_under_way(guest, root, connect, domain, hook):
    hook(f"{LOG_HOOK}[ $1 = thaw ] || sleep 1\n")
    caller = connect().watch()
    freezing = caller.begin_freeze(domain)
    root.wait_property(domain, "FreezeState", "freezing")
    root.thaw_all(domain)
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"
    assert_thawed(guest)
    freeze = freezing.result()
    assert_lost(caller, freeze, "thawed-by-other")


def test_thaw_by_another(guest, root, connect, domain):
    caller = connect().watch()
    freeze = caller.freeze(domain)
    Standstill(guest)
    root.thaw(freeze)
    assert_thawed(guest)
    assert_lost(caller, freeze, "thawed-by-other")
