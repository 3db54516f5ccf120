# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real guests: QEMU under emulation, a Linux kernel, qemu-ga, and filesystems that are written to.

    with Libvirtd() as libvirtd:
        guest = Guest(libvirtd, image_folder()).start()
        libvirtd.virsh("domfsfreeze", guest.name)
        assert guest.is_writer_stalled("a")

Beside the guest agent (`agent`, through libvirt) a guest has a root shell that works with the agent
hung and filesystems frozen (`sh`), and a log on the host (`log`), where each writer says how many
records it got to disk.
"""

import argparse
import base64
import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.libvirtd import Libvirtd, VirshError, missing, wait_until
from harness.volume import BLANK, SMALL, VOLUMES, Volume

__all__ = ["BLANK", "Guest", "Libvirtd", "SMALL", "VOLUMES", "VirshError", "Volume",
           "image_folder", "missing", "wait_until"]

READY = "guest-init: ready"

# `quiet` and the rest save time under emulation. Without `norandmaps` each start of a program has
# addresses of its own, for which QEMU translates it once more; thousands of translations of one
# page later, a write to that page, as after a reset, takes minutes.
KERNEL_ARGUMENTS = ("console=ttyS0 quiet nokaslr norandmaps mitigations=off cryptomgr.notests "
                    "no_timer_check tsc=reliable acpi=noirq")


def image_folder() -> Path:
    """Where vmlinux and initramfs are: $VIRTFREEZE_GUEST_IMAGE, else below the build folder, where
    they are built when they are missing or old."""
    if ready := os.environ.get("VIRTFREEZE_GUEST_IMAGE"):
        return Path(ready)
    tests = Path(__file__).resolve().parents[1]
    build = Path(os.environ.get("MESON_BUILD_ROOT") or tests.parent / "build")
    folder = build / "guest-image"
    done = subprocess.run([tests / "guest" / "image.sh", folder], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"no image of a guest: {done.stderr.strip()}")
    return folder


class Log:
    """What guest-init and the writers print: a file on the host that only grows."""

    def __init__(self, path: Path):
        self.path = path
        path.touch()
        self.counts: dict[str, int] = {}
        self._read = 0
        self._partial = b""

    def text(self) -> str:
        return self.path.read_text(errors="replace")

    def size(self) -> int:
        return self.path.stat().st_size

    def follow(self):
        """Brings `counts` up to date."""
        with open(self.path, "rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        *lines, self._partial = (self._partial + new).split(b"\n")
        for line in lines:
            if found := re.match(rb"writer (\w+) (\d+)\r?$", line):
                self.counts[found[1].decode()] = int(found[2])

    def has(self, text: str, start: int = 0) -> bool:
        """Whether a text appeared at or after the offset `start`."""
        with open(self.path, "rb") as log:
            log.seek(start)
            return text.encode() in log.read()


class Shell:
    """Client of serve_shell in guest-init; see there for the protocol.

    The port ends in a pair of FIFOs, which are there before QEMU and after it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._buffer = b""
        self._ids = itertools.count(1)
        self._answers: dict[str, tuple[int, str]] = {}
        self._lock = threading.Lock()
        self._files = []
        for end in ("in", "out"):   # as QEMU sees it
            os.mkfifo(f"{path}.{end}")
            # Opened for both, so that it neither waits for QEMU nor ends with it.
            self._files.append(os.open(f"{path}.{end}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))

    def run(self, command: str, timeout: float) -> tuple[int, str]:
        deadline = time.monotonic() + timeout
        number = str(next(self._ids))
        request = base64.b64encode(command.encode()).decode()
        os.write(self._files[0], f"{number} {request}\n".encode())
        # Several threads may wait; whoever reads does it for all.
        while number not in self._answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the guest's shell did not answer: {command}")
            with self._lock:
                self._read(0.01)
        return self._answers.pop(number)

    def _read(self, timeout: float):
        if not select.select([self._files[1]], [], [], timeout)[0]:
            return
        *lines, self._buffer = (self._buffer + os.read(self._files[1], 65536)).split(b"\n")
        for line in lines:
            number, status, output = line.decode().split(" ")
            self._answers[number] = int(status), base64.b64decode(output).decode(errors="replace")

    def close(self):
        while self._files:
            os.close(self._files.pop())


class Guest:
    """A domain. Defined when made; `start` boots it."""

    def __init__(self, libvirtd: Libvirtd, image: Path, name: str = "guest",
                 volumes: tuple[Volume, ...] = VOLUMES, *, channel: bool = True, agent: bool = True,
                 persistent: bool = True, writer_ms: int = 50, memory_mib: int = 192):
        """`channel`: the domain has an agent channel; `agent`: qemu-ga is started at boot."""
        self.libvirtd = libvirtd
        self.name = name
        self.volumes = volumes
        self.persistent = persistent
        self._writer_ms = writer_ms
        self._agent_at_boot = channel and agent
        self.folder = libvirtd.folder / name
        self.folder.mkdir()
        self.log = Log(self.folder / "guest.log")
        self.kernel_log = self.folder / "kernel.log"
        self._shell = Shell(self.folder / "shell")
        self._xml = self.folder / "domain.xml"
        self._xml.write_text(self._domain_xml(image, channel, memory_mib))
        if persistent:
            libvirtd.virsh("define", self._xml)

    def _domain_xml(self, image: Path, channel: bool, memory_mib: int) -> str:
        disks = [(target, serial, path) for volume in self.volumes for target, serial, path
                 in zip(volume.targets, volume.serials(), volume.make(self.folder))]
        arguments = (f"{KERNEL_ARGUMENTS} GUEST_DISKS={len(disks)} GUEST_PORTS={2 + channel} "
                     f"GUEST_AGENT={self._agent_at_boot:d} GUEST_WRITER_MS={self._writer_ms}")
        if any(volume.name == "a" for volume in self.volumes):
            arguments += " GUEST_BIND=a"
        # The order of the slots is that of the guest's names.
        disk_xml = "".join(f"""
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='unsafe'/>
              <source file='{path}'/>
              <target dev='{target}' bus='virtio'/>
              <serial>{serial}</serial>
              <address type='pci' domain='0' bus='0' slot='{slot}' function='0'/>
            </disk>""" for slot, (target, serial, path) in enumerate(disks, 8))
        channel_xml = """
            <channel type='unix'>
              <target type='virtio' name='org.qemu.guest_agent.0'/>
            </channel>""" if channel else ""
        return f"""
        <domain type='qemu'>
          <name>{self.name}</name>
          <memory unit='MiB'>{memory_mib}</memory>
          <vcpu>1</vcpu>
          <os>
            <type arch='x86_64' machine='pc'>hvm</type>
            <kernel>{image.resolve()}/vmlinux</kernel>
            <initrd>{image.resolve()}/initramfs</initrd>
            <cmdline>{arguments}</cmdline>
          </os>
          <features><acpi/></features>
          <devices>{disk_xml}
            <controller type='usb' model='none'/>
            <serial type='file'>
              <source path='{self.kernel_log}' append='on'/><target port='0'/>
            </serial>
            <channel type='file'>
              <source path='{self.log.path}' append='on'/>
              <target type='virtio' name='org.virtfreeze.log'/>
            </channel>
            <channel type='pipe'>
              <source path='{self._shell.path}'/>
              <target type='virtio' name='org.virtfreeze.shell'/>
            </channel>{channel_xml}
            <memballoon model='none'/>
          </devices>
        </domain>"""

    def virsh(self, command: str, *arguments: str, timeout: float = 60) -> str:
        """A command of virsh that takes the domain first."""
        return self.libvirtd.virsh(command, self.name, *arguments, timeout=timeout)

    # Running and not

    def start(self, wait: bool = True):
        self._booting_from = self.log.size()
        if self.persistent:
            self.virsh("start")
        else:
            self.libvirtd.virsh("create", self._xml)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 60):
        """Waits for the end of the boot that was started last, and for the agent if it has one."""
        def ready():
            if "Kernel panic" in self.kernel_log.read_text(errors="replace"):
                raise RuntimeError(f"{self.name} crashed")
            return self.log.has(READY, self._booting_from)
        try:
            wait_until(ready, timeout, f"boot of {self.name}")
        except (RuntimeError, TimeoutError) as error:
            error.add_note(self.log.text() + self.kernel_log.read_text(errors="replace"))
            error.add_note(self._where())
            raise
        self.log.follow()
        if self._agent_at_boot:
            self.wait_agent()

    def _where(self) -> str:
        """What it does, as QEMU sees it, for one that hangs."""
        try:
            return self.virsh("domstate", "--reason") + "".join(
                self.virsh("qemu-monitor-command", "--hmp", command)
                for command in ("info status", "info registers", "x/8i $pc", "info chardev") * 2)
        except VirshError as error:
            return str(error)

    def suspend(self):
        self.virsh("suspend")

    def resume(self):
        self.virsh("resume")

    def reset(self, wait: bool = True):
        """As the button does."""
        self._boot_again(lambda: self.virsh("reset"), wait)

    def reboot(self, wait: bool = True):
        """From inside. (By the agent it works too, but libvirt 9.0 calls it an error if the agent
        goes away before the reset.)"""
        self._boot_again(lambda: self.check("(usleep 100000; reboot -f) >/dev/null 2>&1 &"), wait)

    def _boot_again(self, action, wait: bool):
        self._booting_from = self.log.size()
        action()
        if wait:
            self.wait_ready()

    def shutdown(self, timeout: float = 30):
        """By the agent; returns when the domain is shut off."""
        try:
            self.virsh("shutdown", "--mode", "agent")
        except VirshError as error:
            if "End of file" not in str(error):   # it was off before its agent answered
                raise
        wait_until(lambda: not self.is_running(), timeout, f"shutdown of {self.name}")

    def destroy(self):
        self.virsh("destroy")

    def remove(self):
        """The domain and its files."""
        if self.is_running():
            self.destroy()
        if self.persistent:
            self.virsh("undefine")
        self._shell.close()
        shutil.rmtree(self.folder)

    def is_running(self) -> bool:
        return self.name in self.libvirtd.virsh("list", "--name").split()

    @property
    def pid(self) -> int:
        """That of QEMU."""
        return self.libvirtd.qemu_pid(self.name)

    def mend(self) -> list[str]:
        """Makes it run, thawed, with an agent that answers; says what of this it was not."""
        wrong = []
        try:
            state = self.virsh("domstate")
            if state == "paused":
                wrong.append(state)
                self.resume()
            elif state != "running":
                wrong.append(state)
                self.start()
            if "State:\tT" in self.sh("cat /proc/$(cat /run/agent.pid)/status")[1]:
                wrong.append("with a stopped agent")
                self.cont_agent()
            elif not self.agent_connected():
                wrong.append("without an agent")
                self.start_agent()
            if self.agent("guest-fsfreeze-status", timeout=5) == "frozen":
                wrong.append("frozen")
                self.set_hook()
                self.virsh("domfsthaw")
        except (VirshError, TimeoutError, RuntimeError) as error:
            wrong.append(f"broken: {error}")
            self.destroy()
            self.start()
        return wrong

    # The guest agent

    def agent(self, command: str, timeout: float = 10, **arguments):
        """The answer to a command of the agent. `VirshError` if there is none, or it is an error;
        `TimeoutError` if another call to the agent does not end."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value
                                    for name, value in arguments.items()}
        answer = self.virsh("qemu-agent-command", "--timeout", str(max(1, int(timeout))),
                            json.dumps(request), timeout=timeout + 2)
        return json.loads(answer)["return"]

    def agent_connected(self) -> bool:
        """As libvirt sees it."""
        state = ElementTree.fromstring(self.virsh("dumpxml")).find(
            "./devices/channel/target[@name='org.qemu.guest_agent.0']")
        return state is not None and state.get("state") == "connected"

    def agent_answers(self) -> bool:
        try:
            self.agent("guest-ping", timeout=1)
        except (VirshError, TimeoutError):
            return False
        return True

    def wait_agent(self, timeout: float = 10):
        wait_until(lambda: self.agent_connected() and self.agent_answers(), timeout,
                   f"agent of {self.name}")

    def agent_frozen(self) -> bool:
        return self.agent("guest-fsfreeze-status") == "frozen"

    def stop_agent(self):
        """SIGSTOP: connected, and hung."""
        self.check("kill -STOP $(cat /run/agent.pid)")

    def cont_agent(self):
        self.check("kill -CONT $(cat /run/agent.pid)")

    def kill_agent(self, timeout: float = 10):
        """SIGKILL; returns when libvirt knows."""
        self.check("kill -KILL $(cat /run/agent.pid)")
        wait_until(lambda: not self.agent_connected(), timeout, f"end of the agent of {self.name}")

    def start_agent(self, *options: str):
        """With options of qemu-ga, such as `--block-rpcs=guest-get-fsinfo`."""
        self.check(" ".join(["guest-agent", *options]))
        self.wait_agent()

    def set_hook(self, script: str = "#!/bin/sh\nexit 0\n"):
        """Replaces what qemu-ga runs with `freeze` before it freezes and `thaw` after it thawed."""
        encoded = base64.b64encode(script.encode()).decode()
        # Renamed into place: a script that is being run cannot be written to.
        self.check(f"echo {encoded} | base64 -d >/run/new-hook; chmod 755 /run/new-hook; "
                   "mv /run/new-hook /run/agent-hook")

    # Inside

    def sh(self, command: str, timeout: float = 10) -> tuple[int, str]:
        """Exit status and output of a shell command. After TimeoutError it still runs there."""
        return self._shell.run(command, timeout)

    def check(self, command: str, timeout: float = 10) -> str:
        status, output = self.sh(command, timeout)
        if status != 0:
            raise RuntimeError(f"{self.name}: {command}: exit status {status}: {output}")
        return output

    # Proofs of freezing

    def writer_count(self, name: str) -> int:
        """Records of this writer on disk: volume names, and `tick` for the one that never stops."""
        self.log.follow()
        return self.log.counts.get(name, 0)

    def wait_writer_progress(self, name: str, timeout: float = 10):
        """Waits for the writer to write more than one record: one may be on its way already."""
        count = self.writer_count(name)
        wait_until(lambda: self.writer_count(name) not in range(count, count + 2), timeout,
                   f"writer {name} of {self.name}")

    def is_writer_stalled(self, name: str, for_s: float = 0.5) -> bool:
        """Whether the writer writes nothing for a while, measured on the guest's own clock: a guest
        that is paused or gets no processor is a TimeoutError, and never passes for a frozen one."""
        self._wait_ticks(2)   # what was written before may still be on its way
        count = self.writer_count(name)
        self._wait_ticks(max(2, int(for_s * 1000 / self._writer_ms)))
        return self.writer_count(name) == count

    def _wait_ticks(self, ticks: int):
        goal = self.writer_count("tick") + ticks
        wait_until(lambda: self.writer_count("tick") >= goal, 5 + ticks * self._writer_ms / 100,
                   f"clock of {self.name}")

    def kernel_frozen(self, mountpoint: str) -> bool:
        """What the guest's kernel says. It has no way to ask, so this freezes the filesystem and
        thaws it at once if it was not frozen; writers stall for a moment. Prefer their counts."""
        status, output = self.sh(f"fsfreeze -f {mountpoint} && fsfreeze -u {mountpoint}")
        if status != 0 and "busy" not in output:
            raise RuntimeError(f"{self.name}: {output}")
        return status != 0

    # Disks

    def attach_disk(self, target: str, mib: int = 16):
        path = self.folder / f"{target}.img"
        with open(path, "wb") as image:
            image.truncate(mib << 20)
        self.virsh("attach-disk", str(path), target, "--targetbus", "virtio", "--subdriver", "raw",
                   "--serial", f"hot{target}", "--live")

    def detach_disk(self, target: str, timeout: float = 10):
        """Returns when the guest has let go of it."""
        self.virsh("detach-disk", target, "--live")
        wait_until(lambda: target not in self.virsh("domblklist").split(), timeout,
                   f"end of {target}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Boot a guest, run a command beside it (or a shell), and remove it all again.")
    parser.add_argument("--guests", type=int, default=1, metavar="N")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="default: $SHELL")
    options = parser.parse_args()
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    command = options.command or [os.environ.get("SHELL", "/bin/sh")]
    image = image_folder()
    with Libvirtd() as libvirtd:
        names = ["guest", *(f"guest{number}" for number in range(2, options.guests + 1))]
        guests = [Guest(libvirtd, image, name).start(wait=False) for name in names]
        for guest in guests:
            guest.wait_ready()
        print(f"libvirt: virsh --connect '{libvirtd.uri}' (LIBVIRT_DEFAULT_URI is set)\n"
              f"guests:  {' '.join(names)}\n"
              f"log:     {guests[0].log.path}", file=sys.stderr)
        environment = {"LIBVIRT_DEFAULT_URI": libvirtd.uri, "VIRTFREEZE_GUEST": names[0],
                       "VIRTFREEZE_GUESTS": " ".join(names)}
        # Leaving by an exception ends the command, and then the guests.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            return subprocess.run(command, env={**os.environ, **environment}).returncode
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
