# SPDX-License-Identifier: LGPL-2.1-or-later
"""A libvirtd of our own, as root, that touches nothing of the machine's.

It lives in namespaces of its own (mounts, processes, network), with a temporary folder in place of
/etc/libvirt, /var/lib/libvirt and so on. The first process of the process namespace is a `cat` that
reads from a pipe of ours: when we end, however that happens, it reads the end of the file and
exits, and the kernel kills libvirtd and every QEMU with it. Nothing is found by name and killed.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("libvirtd", "virsh", "qemu-system-x86_64", "unshare", "nsenter", "mkfs.ext4",
            "mkfs.xfs", "mkfs.vfat")

# Folder of the machine -> folder of ours that hides it.
FOLDERS = {
    "/etc/libvirt": "etc",
    "/run/libvirt": "run",
    "/var/cache/libvirt": "cache",
    "/var/lib/libvirt": "lib",
    "/var/log/libvirt": "log",
}

# A fresh /run also hides the system bus, udev and machined: libvirtd would register guests there.
# `cat` ignores SIGCHLD so that the kernel reaps the QEMU processes, which end up as its children;
# libvirtd takes a zombie for one that refuses to die.
HOLDER = """
set -e
mount -t tmpfs tmpfs /run
mkdir /run/libvirt
while [ $# -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
echo ready
exec env --ignore-signal=CHLD cat
"""

# What is left of the folder is removed by a process outside, after all processes inside are gone.
OUTSIDE = """
folder=$1; shift
unshare --mount --pid --net --fork --kill-child --mount-proc sh -c "$0" holder "$@"
rm -rf -- "$folder"
"""

LIBVIRTD_CONF = """
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0777"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

QEMU_CONF = """
user = "root"
group = "root"
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""


def missing() -> str | None:
    """Why real guests cannot run here, or None."""
    if os.geteuid() != 0:
        return "real guests need root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    absent += [folder for folder in FOLDERS
               if not folder.startswith("/run") and not os.path.isdir(folder)]
    if absent:
        return f"missing: {', '.join(absent)}"
    if subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"]).returncode != 0:
        return "cannot make namespaces"
    return None


def wait_until(condition, timeout: float, what: str):
    """Polls every 10 ms; returns what `condition` returned once that is true."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: nothing for {timeout:g} s")
        time.sleep(0.01)
    return result


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class VirshError(Exception):
    """virsh failed; the message is what it wrote to standard error."""


class Libvirtd:
    """Starts when made; `close` ends libvirtd, its guests, and removes all files."""

    def __init__(self):
        # A short path, since that of a socket has 107 bytes, and open to a service of any user.
        self.folder = Path(tempfile.mkdtemp(prefix="virtfreeze-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.socket = self.folder / "run" / "libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self.guests = []
        self._nsenter: subprocess.Popen | None = None
        self._pid = 0

        binds = []
        for theirs, ours in FOLDERS.items():
            (self.folder / ours).mkdir()
            binds += [str(self.folder / ours), theirs]
        (self.folder / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF)
        (self.folder / "etc" / "qemu.conf").write_text(QEMU_CONF)
        # In a session of its own: an interrupt from the terminal is ours to handle first.
        self._outside = subprocess.Popen(
            ["sh", "-c", OUTSIDE, HOLDER, str(self.folder), *binds],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self._outside.stdout.readline() != b"ready\n":
            self._outside.wait()
            raise RuntimeError("cannot make the namespaces of libvirtd")
        [unshare] = children(self._outside.pid)
        [self._holder] = children(unshare)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Returns when libvirtd answers. Guests of an earlier one are adopted by it."""
        assert self._nsenter is None, "libvirtd runs already"
        self._nsenter = subprocess.Popen(
            ["nsenter", "--mount", "--pid", "--net", "--target", str(self._holder), "libvirtd"],
            stdin=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})
        # nsenter stays, as the parent of libvirtd.
        [self._pid] = wait_until(lambda: self._alive() and children(self._nsenter.pid), 10,
                                 "start of libvirtd")
        wait_until(self._accepts, 30, "socket of libvirtd")
        self.virsh("list", timeout=30)

    def _alive(self) -> bool:
        if self._nsenter.poll() is not None:
            log = self.folder / "log" / "libvirtd.log"
            raise RuntimeError(f"libvirtd ended: {log.read_text() if log.exists() else 'no log'}")
        return True

    def _accepts(self) -> bool:
        self._alive()
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    @property
    def pid(self) -> int:
        """As the host counts, outside of the namespace."""
        return self._pid

    def _end(self, number: int):
        if self._nsenter:
            os.kill(self._pid, number)
            with contextlib.suppress(ProcessLookupError):
                self.resume()
            try:
                # libvirtd gives its workers 30 s.
                self._nsenter.wait(40)
            except subprocess.TimeoutExpired:
                print("libvirtd does not end, and is killed", flush=True)   # as systemd does
                os.kill(self._pid, signal.SIGKILL)
                self._nsenter.wait(30)
            self._nsenter = None

    def stop(self):
        """SIGTERM. Guests run on."""
        self._end(signal.SIGTERM)

    def kill(self):
        """SIGKILL. Guests run on."""
        self._end(signal.SIGKILL)

    def restart(self):
        self.stop()
        self.start()

    def pause(self):
        """SIGSTOP: connections stay open, and nothing is answered."""
        os.kill(self._pid, signal.SIGSTOP)
        wait_until(self._is_paused, 10, "pause of libvirtd")

    def _is_paused(self) -> bool:
        return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def resume(self):
        # nsenter stops itself along with its child.
        os.kill(self._pid, signal.SIGCONT)
        os.kill(self._nsenter.pid, signal.SIGCONT)

    def mend(self) -> list[str]:
        """Makes it run; says what it did instead."""
        if self._nsenter is None:
            self.start()
            return ["libvirtd stopped"]
        if self._is_paused():
            self.resume()
            return ["libvirtd paused"]
        return []

    def virsh(self, *arguments: str, timeout: float = 60) -> str:
        """Standard output of virsh. `VirshError` if it fails, `TimeoutError` if it does not end."""
        command = ["virsh", "--quiet", "--connect", self.uri, *map(str, arguments)]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=timeout, env={**os.environ, "LC_ALL": "C"})
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"virsh {arguments[0]}: no answer for {timeout:g} s") from error
        if done.returncode != 0:
            raise VirshError(done.stderr.strip())
        return done.stdout.strip()

    def qemu_pid(self, name: str) -> int:
        """The QEMU of a running guest, as the host counts."""
        for pid in children(self._holder):
            if f"guest={name},".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise ProcessLookupError(f"no QEMU of {name}")

    def close(self):
        """Ends everything at once, hung guests included."""
        if self._outside.stdin.closed:
            return
        self._outside.stdin.close()
        self._outside.wait(30)
        self._outside.stdout.close()
        if self._nsenter:
            self._nsenter.wait(30)
            self._nsenter = None
