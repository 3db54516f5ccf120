# SPDX-License-Identifier: LGPL-2.1-or-later
"""The harness itself: what other tests of this suite take for granted."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.guest import SMALL, Guest, VirshError, Volume, wait_until

FROZEN_BY_AGENT = ("a", "b", "span")


def filesystems(guest) -> dict[str, tuple[str, str, set[str]]]:
    """Mountpoint -> guest device, type, targets."""
    lines = [line.split() for line in guest.virsh("domfsinfo").splitlines()]
    return {mountpoint: (device, type_, set(targets.split(",")))
            for mountpoint, device, type_, targets in lines}


def test_targets_map_to_filesystems_and_names_prove_nothing(guest):
    found = filesystems(guest)
    assert {mount: (type_, targets) for mount, (_, type_, targets) in found.items()} == {
        "/mnt/a": ("ext4", {"vdx"}),
        "/mnt/a-bind": ("ext4", {"vdx"}),
        "/mnt/b": ("xfs", {"vdy"}),
        "/mnt/span": ("ext4", {"vdz", "vdaa"}),
        "/mnt/efi": ("vfat", {"vdab"}),
    }
    # The disk that libvirt calls vda is blank, and the guest calls another one so.
    assert found["/mnt/a"][0] == found["/mnt/a-bind"][0] == "vda"


def test_all_writers_write(guest):
    for name in ("a", "b", "span", "efi", "tick"):
        guest.wait_writer_progress(name)


def test_freeze_stalls_what_can_freeze_and_thaw_lets_it_go_on(guest):
    guest.virsh("domfsfreeze")
    assert guest.agent_frozen()
    for name in FROZEN_BY_AGENT:
        assert guest.is_writer_stalled(name)
        assert guest.kernel_frozen(f"/mnt/{name}")
    guest.wait_writer_progress("efi")

    guest.virsh("domfsthaw")
    assert not guest.agent_frozen()
    for name in FROZEN_BY_AGENT:
        guest.wait_writer_progress(name)
        assert not guest.kernel_frozen(f"/mnt/{name}")
        assert not guest.is_writer_stalled(name)


def test_no_stall_is_seen_in_a_paused_guest(guest):
    guest.suspend()
    with pytest.raises(TimeoutError):
        guest.is_writer_stalled("a")
    guest.resume()


def test_mend_repairs_and_tells(libvirtd, guest):
    guest.stop_agent()
    assert guest.mend() == ["with a stopped agent"]
    guest.virsh("domfsfreeze")
    guest.suspend()
    libvirtd.pause()
    assert libvirtd.mend() == ["libvirtd paused"]
    assert guest.mend() == ["paused", "frozen"]
    assert libvirtd.mend() + guest.mend() == []


def test_shell_answers_while_a_command_of_it_hangs(guest):
    guest.virsh("domfsfreeze")
    with pytest.raises(TimeoutError):
        guest.sh("touch /mnt/a/blocked", timeout=0.5)
    assert guest.sh("echo here; exit 3") == (3, "here\n")
    guest.virsh("domfsthaw")
    wait_until(lambda: guest.sh("test -e /mnt/a/blocked")[0] == 0, 5, "the blocked command")


def test_stopped_agent_hangs_until_continued(guest):
    guest.stop_agent()
    assert guest.agent_connected()
    with pytest.raises(VirshError):
        guest.agent("guest-ping", timeout=1)
    guest.cont_agent()
    guest.agent("guest-ping")


def test_killed_agent_disconnects_and_comes_back_frozen(guest):
    guest.virsh("domfsfreeze")
    guest.kill_agent()
    assert not guest.agent_connected()
    guest.start_agent()
    assert guest.agent_frozen()
    guest.virsh("domfsthaw")


def test_agent_takes_options(guest):
    guest.kill_agent()
    guest.start_agent("--block-rpcs=guest-get-fsinfo")
    with pytest.raises(VirshError):
        guest.virsh("domfsinfo")
    guest.agent("guest-get-time")
    guest.kill_agent()
    guest.start_agent()


def test_hook_runs_around_a_freeze(guest):
    guest.set_hook("#!/bin/sh\necho $1 >>/run/hook.log\n")
    guest.virsh("domfsfreeze")
    guest.virsh("domfsthaw")
    guest.set_hook("#!/bin/sh\nexit 1\n")
    with pytest.raises(VirshError):
        guest.virsh("domfsfreeze")
    guest.set_hook()
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_guest_outlives_libvirtd(libvirtd, guest, end):
    qemu = guest.pid
    guest.virsh("domfsfreeze")
    getattr(libvirtd, end)()
    assert guest.is_writer_stalled("a")
    libvirtd.start()
    assert guest.pid == qemu
    guest.wait_agent()
    assert guest.agent_frozen()
    guest.virsh("domfsthaw")


def test_paused_libvirtd_answers_later(libvirtd, guest):
    libvirtd.pause()
    with pytest.raises(TimeoutError):
        libvirtd.virsh("list", timeout=0.5)
    libvirtd.resume()
    assert guest.is_running()


def test_disk_comes_and_goes(guest):
    guest.attach_disk("vdh")
    wait_until(lambda: guest.sh("grep -q hotvdh /sys/block/vd*/serial")[0] == 0, 5, "new disk")
    guest.detach_disk("vdh")
    assert guest.sh("grep -q hotvdh /sys/block/vd*/serial")[0] != 0


def test_reset_thaws_and_boots_again(guest):
    guest.virsh("domfsfreeze")
    guest.reset()
    assert not guest.agent_frozen()
    guest.wait_writer_progress("a")


def test_transient_guest_with_its_root_on_a_disk_shuts_down(libvirtd, image):
    guest = Guest(libvirtd, image, "rooted", (Volume("root", ("vdq",), "ext4"),), persistent=False)
    guest.start()
    assert filesystems(guest) == {"/": ("vda", "ext4", {"vdq"})}
    guest.virsh("domfsfreeze")
    assert guest.is_writer_stalled("root")
    # The shell needs nothing of the frozen root but to read it.
    assert guest.sh("fsfreeze -f /")[0] != 0
    guest.virsh("domfsthaw")
    guest.wait_writer_progress("root")
    guest.shutdown()
    assert "rooted" not in libvirtd.virsh("list", "--all", "--name").split()
    guest.remove()


def test_several_guests_boot_together(libvirtd, image):
    guests = [Guest(libvirtd, image, f"small{number}", SMALL) for number in range(2)]
    for guest in guests:
        guest.start(wait=False)
    for guest in guests:
        guest.wait_ready()
    guests[0].virsh("domfsfreeze")
    assert guests[0].agent_frozen() and not guests[1].agent_frozen()
    for guest in guests:
        guest.remove()


def test_nothing_is_left_when_the_harness_is_killed(image):
    script = """
import os
from harness.libvirtd import Libvirtd
server = Libvirtd()
print(server.folder, server.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=tests, capture_output=True, text=True)
    folder, pid = done.stdout.split()
    wait_until(lambda: not Path(folder).exists(), 10, "end of the files")
    assert not Path(f"/proc/{pid}").exists()
