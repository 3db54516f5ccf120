# SPDX-License-Identifier: LGPL-2.1-or-later
"""What other tools and the guest itself do to freezes: rows of data/doc/interoperability.md that no
other file of this suite checks."""

import pytest

from harness.client import S, fails
from harness.guest import VirshError
from service import LOG_HOOK, Standstill, assert_lost, assert_thawed, assert_works
from test_exec import guards

CONFIG = "AgentTimeout=5s\nFreezeTimeout=15s\nVerifyInterval=500ms\n"
exec_engine = pytest.mark.config(f"{CONFIG}Engine=exec\n")


def snapshot(guest, *options):
    """As others make one; afterwards the guest has its own images again."""
    guest.virsh("snapshot-create-as", "other", "--disk-only", "--atomic", "--no-metadata", *options)


def undo_snapshot(guest):
    for volume in guest.volumes:
        for target in volume.targets:
            guest.virsh("blockcommit", target, "--active", "--pivot")
            (guest.folder / f"{target}.other").unlink()


# Other tools that freeze and thaw

def test_quiesce_fails_while_we_hold(guest, root, domain):
    freeze = root.freeze(domain)
    still = Standstill(guest)
    with pytest.raises(VirshError):
        snapshot(guest, "--quiesce")
    still.check()
    root.thaw(freeze)
    assert not list(guest.folder.glob("*.other"))
    assert_works(guest, root, domain)


def test_quiesce_works_after_we_thawed(new_guest, root):
    guest = new_guest("quiesced").start()
    domain = root.domain("quiesced")
    root.wait_property(domain, "AgentConnected", True)
    root.thaw(root.freeze(domain))
    snapshot(guest, "--quiesce")
    undo_snapshot(guest)
    assert_works(guest, root, domain)


def test_domfsfreeze_fails_while_we_hold(guest, root, domain):
    freeze = root.freeze(domain)
    still = Standstill(guest)
    with pytest.raises(VirshError):
        guest.virsh("domfsfreeze")
    still.check()
    root.thaw(freeze)
    assert_thawed(guest)


@exec_engine
def test_exec_domfsfreeze_takes_the_rest_and_its_thaw_takes_all(guest, root, domain):
    freeze = root.freeze(domain, "vdx", hold=60 * S)
    a = Standstill(guest, ("a",), agent=False)
    guest.virsh("domfsfreeze")
    Standstill(guest)
    a.check()
    assert root.get(freeze, "State") == "held"
    guest.virsh("domfsthaw")
    assert_lost(root, freeze, "thawed-outside")
    assert_works(guest, root, domain)


@exec_engine
def test_exec_thaw_waits_for_a_domfsfreeze_of_others(guest, root, domain):
    """A frozen agent starts no programs; and their thaw is one of ours, too."""
    freeze = root.freeze(domain, "vdx", hold=60 * S)
    Standstill(guest, ("a",), agent=False)
    guest.virsh("domfsfreeze")
    with fails("AgentFailed", "AgentUnavailable", "Timeout"):
        root.thaw(freeze)
    assert root.get(freeze, "State") == "thawing"
    Standstill(guest)
    guest.virsh("domfsthaw")
    assert_lost(root, freeze, "thawed-outside")
    assert_works(guest, root, domain)


@exec_engine
def test_exec_quiesce_thaws_what_we_hold(new_guest, root):
    guest = new_guest("quiesced").start()
    domain = root.domain("quiesced")
    root.wait_property(domain, "AgentConnected", True)
    freeze = root.freeze(domain, "vdx", hold=60 * S)
    Standstill(guest, ("a",), agent=False)
    snapshot(guest, "--quiesce")
    assert_lost(root, freeze, "thawed-outside")
    undo_snapshot(guest)
    assert_works(guest, root, domain)


@exec_engine
def test_exec_frozen_inside_is_left_alone(guest, root, domain):
    guest.check("fsfreeze -f /mnt/a")
    still = Standstill(guest, ("a",), agent=False)
    with fails("FrozenElsewhere"):
        root.freeze(domain, "vdx")
    still.check()
    guest.check("fsfreeze -u /mnt/a")
    assert_works(guest, root, domain)


@exec_engine
def test_exec_frozen_by_domfsfreeze_is_left_alone(guest, root, domain):
    guest.virsh("domfsfreeze")
    still = Standstill(guest)
    with fails("FrozenElsewhere"):
        root.freeze(domain, "vdx")
    still.check()
    root.thaw_all(domain)
    assert_works(guest, root, domain)


# Other users of the agent

def test_other_calls_to_a_frozen_agent_fail(guest, root, domain):
    commands = ("domfsinfo", "domfstrim", "domtime", "guestinfo --filesystem")
    for command in commands:
        guest.virsh(*command.split())
    freeze = root.freeze(domain)
    still = Standstill(guest)
    for command in commands:
        with pytest.raises(VirshError):
            guest.virsh(*command.split())
    with pytest.raises(VirshError):
        guest.virsh("shutdown", "--mode", "agent")
    still.check()
    root.thaw(freeze)
    guest.virsh("domfsinfo")
    assert_thawed(guest)


@exec_engine
def test_exec_leaves_the_agent_to_others(guest, root, domain):
    freeze = root.freeze(domain, "vdx")
    still = Standstill(guest, ("a",), agent=False)
    guest.virsh("domfsinfo")
    guest.virsh("domtime")
    still.check()
    root.thaw(freeze)
    assert_thawed(guest)


@exec_engine
def test_exec_runs_no_hooks(guest, root, domain, hook):
    hook(LOG_HOOK)
    root.thaw(root.freeze(domain, "vdx"))
    assert guest.sh("cat /run/hook.log")[0] != 0
    guest.virsh("domfsfreeze")
    guest.virsh("domfsthaw")
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"


def test_agent_timeout_of_others_replaces_ours(guest, root, domain, hook):
    root.thaw(root.freeze(domain))   # ours is set by now
    guest.virsh("guest-agent-timeout", "--timeout", "1")
    hook("#!/bin/sh\n[ $1 = thaw ] || sleep 3\n")
    with fails("AgentUnavailable"):
        root.freeze(domain)
    hook()
    guest.virsh("guest-agent-timeout", "--timeout", "5")
    root.wait_property(domain, "FreezeState", "thawed", 30)
    assert_works(guest, root, domain)


def test_agent_timeout_of_ours_is_for_others_too(guest, root, domain):
    root.thaw(root.freeze(domain))
    guest.stop_agent()
    with pytest.raises(VirshError):
        guest.virsh("domfsinfo", timeout=60)
    guest.cont_agent()
    assert_works(guest, root, domain)


@pytest.mark.parametrize("engine", ["agent", "exec"])
def test_taint(new_guest, start, connect, engine):
    """By guest-exec, as libvirt calls each command that it does not know."""
    start(config=f"{CONFIG}Engine={engine}\n")
    root = connect(None).watch()
    guest = new_guest("taint", writer_ms=0).start(wait=False)
    domain = root.domain("taint")
    root.wait_property(domain, "AgentConnected", True, 60)
    freeze = root.freeze(domain, "vdx")
    assert root.get(freeze, "Engine") == engine
    root.thaw(freeze)
    commands = "custom guest agent control commands"
    assert (commands in guest.virsh("dominfo")) == (engine == "exec")


# Filesystems that come, go, or hide

def blank_disk(guest) -> str:
    """Its name in the guest."""
    return guest.check("grep -lx blank /sys/block/vd*/serial 2>/dev/null || "
                       "for s in /sys/block/vd*/serial; do "
                       "[ \"$(cat $s)\" != blank ] || echo $s; done").split("/")[3]


@pytest.fixture
def late_mount(guest):
    """Mounts a new filesystem on the blank disk."""
    def mount(where="/mnt/late"):
        guest.check(f"mke2fs -F /dev/{blank_disk(guest)} >/dev/null && mkdir -p {where} && "
                    f"mount -t ext4 /dev/{blank_disk(guest)} {where}")
        mounted.append(where)
    mounted = []
    yield mount
    for where in mounted:
        guest.check(f"umount {where}; head -c 65536 /dev/zero >/dev/{blank_disk(guest)}")


def write(guest, where):
    guest.check(f"echo x >{where}/file && sync {where}/file")


def test_mounted_during_a_freeze_is_not_frozen(guest, root, domain, late_mount):
    freeze = root.freeze(domain)
    still = Standstill(guest)
    late_mount()
    write(guest, "/mnt/late")
    joined = root.freeze(domain, "vda")   # counts, and freezes nothing
    write(guest, "/mnt/late")
    still.check()
    root.thaw(joined)
    root.thaw(freeze)
    assert_thawed(guest)


@exec_engine
def test_exec_mounted_during_a_freeze_can_be_frozen(guest, root, domain, late_mount):
    freeze = root.freeze(domain, "vdx")
    still = Standstill(guest, ("a",), agent=False)
    late_mount()
    write(guest, "/mnt/late")
    joined = root.freeze(domain, "vda")
    assert guest.kernel_frozen("/mnt/late")
    still.check()
    root.thaw(joined)
    write(guest, "/mnt/late")
    root.thaw(freeze)
    assert_thawed(guest)


@pytest.mark.parametrize("engine", ["agent", "exec"])
def test_a_mountpoint_below_another_filesystem(guest, start, connect, engine):
    """Nobody in the guest reaches it by its path."""
    start(config=f"{CONFIG}Engine={engine}\n")
    root = connect(None).watch()
    domain = root.domain(guest.name)
    root.wait_property(domain, "AgentConnected", True)
    guest.check("mount -t tmpfs none /mnt/b")
    try:
        with fails("Incomplete"):
            root.freeze(domain, "vdy")
    finally:
        guest.check("umount /mnt/b")
    assert_works(guest, root, domain)


@exec_engine
def test_exec_a_mountpoint_below_one_of_another_disk(guest, root, domain, late_mount):
    late_mount("/mnt/b")
    with fails("Incomplete"):
        root.freeze(domain, "vdy")


# The guest ends processes

def test_a_frozen_agent_does_not_end_at_sigterm(guest, root, domain):
    """It would have to write its log. systemd sends SIGKILL after TimeoutStopSec."""
    freeze = root.freeze(domain, hold=60 * S)
    still = Standstill(guest)
    agent = guest.check("cat /run/agent.pid").strip()
    guest.check(f"kill -TERM {agent}")
    still.check()   # it answers
    assert root.get(domain, "AgentConnected")
    root.thaw(freeze)
    assert_thawed(guest)
    assert guest.check("cat /run/agent.pid").strip() == agent
    assert_works(guest, root, domain)


def end_guards(guest, signal):
    guest.check("g=virtfreeze; for p in /proc/[0-9]*; do "
                "case $(tr '\\0' ' ' <$p/cmdline) in *\" $g-guard \"*) "
                f"[ ${{p#/proc/}} = $$ ] || kill -{signal} ${{p#/proc/}} ;; "
                "esac; done 2>/dev/null; :")


@exec_engine
def test_exec_guards_that_are_ended_thaw(guest, root, domain):
    """As systemd does when it stops or restarts qemu-guest-agent."""
    freeze = root.freeze(domain, "vdx", hold=60 * S)
    Standstill(guest, ("a",), agent=False)
    end_guards(guest, "TERM")
    guest.wait_writer_progress("a")
    assert_lost(root, freeze, "thawed-outside")
    assert_works(guest, root, domain)


@exec_engine
def test_exec_guards_that_are_killed_do_not(guest, root, domain):
    freeze = root.freeze(domain, "vdx", hold=60 * S)
    still = Standstill(guest, ("a",), agent=False)
    assert guards(guest) == 1
    end_guards(guest, "KILL")
    assert guards(guest) == 0
    still.check()
    root.thaw(freeze)
    assert_works(guest, root, domain)
