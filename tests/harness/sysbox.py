# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine to install on: a real systemd with dbus-daemon, polkitd and libvirtd, over a view of
this one that is thrown away.

    with SystemBox() as box:
        box.install(*packages())
        box.check("systemctl", "is-active", "virtfreezed")

It is a container of systemd-nspawn, without network, with an overlay of / as its root, or of
another system's root in $VIRTFREEZE_BOX_ROOT. It has a
cgroup of its own, also where the machine has the old hierarchies beside the new one. All processes
are in a process namespace whose first process is killed when we end, however that happens; then
nothing is left of it.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.box import SOURCE
from harness.bus import undisturbed
from harness.client import Client
from harness.libvirtd import VirshError, children, wait_until

SYSTEM_BUS = "/run/dbus/system_bus_socket"
PROGRAMS = ("systemd-nspawn", "unshare", "nsenter", "setpriv", "dpkg", "dbus-daemon", "useradd")

# Nothing of the machine is started there but what a test needs.
TARGET = """
[Unit]
Requires=basic.target dbus.socket systemd-journald.service
After=basic.target dbus.socket
AllowIsolate=yes
"""

# As harness.bus.undisturbed() does, for the same reason.
UNDISTURBED = f"""
[Service]
CPUSchedulingPolicy=fifo
CPUSchedulingPriority=1
CPUAffinity={min(os.sched_getaffinity(0))}
"""

# For guests under emulation, in a container; what the packages bring stays as it is.
QEMU_CONF = """
user = "root"
group = "root"
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""

# Stays outside, to clean up. Its standard input ends when we do.
OUTER = """
cgroup=$1 folder=$2; shift 2
exec 3<&0
sh -c 'echo $$ >"$1/cgroup.procs"; shift
    exec unshare --mount --propagation private --cgroup --pid --fork --kill-child --mount-proc \
        sh -c "$@"' start "$cgroup" "$0" box "$@" </dev/null 3<&- &
box=$!
{ cat <&3 >/dev/null; kill -KILL $box; } &
watcher=$!
exec 3<&-
wait $box
kill $watcher
tries=600
while [ -d "$cgroup" ] && [ $((tries -= 1)) -gt 0 ]; do
    find "$cgroup" -depth -type d -exec rmdir {} \\; || sleep 0.05
done 2>/dev/null
rm -rf -- "$folder"
"""

# IPAddressDeny= and DevicePolicy= need bpf(2) and do nothing without it.
INNER = """
set -e
name=$1; root=$2; shift 2
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t tmpfs -o mode=0755 tmpfs "$root"
mkdir "$root/changes" "$root/work" "$root/box"
cp -a "$root.files/." "$root/changes"
layers="lowerdir=${VIRTFREEZE_BOX_ROOT:-/},upperdir=$root/changes,workdir=$root/work"
mount -t overlay -o "$layers" overlay "$root/box"
exec systemd-nspawn --quiet --directory="$root/box" --boot --machine="$name" --register=no \
    --keep-unit --private-network --link-journal=no --capability=all --system-call-filter=bpf \
    --console=pipe "$@" systemd.unit=sysbox.target </dev/null
"""


def missing() -> str | None:
    """Why there can be no such machine, or None."""
    if os.geteuid() != 0:
        return "a machine to install on needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    return f"missing: {', '.join(absent)}" if absent else None


def packages(*names: str) -> list[Path]:
    """The Debian packages of this tree, built if a source is newer, or those in the folder
    $VIRTFREEZE_PACKAGES; all unless named."""
    if given := os.environ.get("VIRTFREEZE_PACKAGES"):
        return chosen(Path(given), names)
    folder = SOURCE / "build" / "packages"
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"], cwd=SOURCE, capture_output=True, check=True, text=True)
    sources = [SOURCE / name for name in listed.stdout.split("\0")
               if name and not name.startswith(("tests/", "run"))]
    newest = max(path.stat().st_mtime for path in sources if path.exists())
    built = [path for path in folder.glob("*.deb") if path.stat().st_mtime > newest]
    if not built:
        done = subprocess.run([SOURCE / "run", "packages"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
    return chosen(folder, names)


def chosen(folder: Path, names: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.glob("*.deb") if "-dbgsym_" not in path.name
                  and (not names or path.name.partition("_")[0] in names))


_numbers = itertools.count(1)


class SystemBox:
    """Boots when made; `close` ends it and removes all."""

    def __init__(self, binds: tuple[Path, ...] = ()):
        """`binds`: folders that are the same inside."""
        unified = Path("/sys/fs/cgroup/unified")
        self.folder = Path(tempfile.mkdtemp(prefix="virtfreeze-system-", dir="/tmp"))
        self.folder.chmod(0o755)
        name = f"virtfreeze-{os.getpid()}-{next(_numbers)}"
        self._cgroup = (unified if unified.is_dir() else unified.parent) / name
        self._cgroup.mkdir()
        # What is bound into it lives outside of its /tmp, which is a file system of its own there.
        self.shared = self.folder / "shared"
        root = self.folder / "root"
        root.mkdir()
        self.shared.mkdir()
        self._write_files(self.folder / "root.files")
        options = [f"--bind={self.shared}", f"--bind-ro={SOURCE}:/virtfreeze"]
        options += [f"--bind={folder}" for folder in binds]
        self._console = tempfile.TemporaryFile("w+", errors="replace")
        # In a session of its own: an interrupt from the terminal is ours to handle first.
        self._process = subprocess.Popen(
            ["sh", "-c", OUTER, INNER, str(self._cgroup), str(self.folder), name, str(root),
             *options], stdin=subprocess.PIPE, stdout=self._console, stderr=self._console,
            start_new_session=True)
        try:
            self._leader = wait_until(self._find_leader, 30, "start of systemd")
            wait_until(self._booted, 60, "boot of systemd")
            # A machine without services says so to dpkg, and manual pages take time.
            self.check("rm", "-f", "/usr/sbin/policy-rc.d", "/var/lib/man-db/auto-update")
        except BaseException as error:
            self._console.seek(0)
            error.add_note(self._console.read())
            self.close()
            raise

    def _write_files(self, files: Path):
        """What the box has beside, or instead of, files of the machine."""
        def write(path: str, text: str):
            target = files / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        write("etc/machine-id", "")
        write("etc/systemd/system/sysbox.target", TARGET)
        write("etc/libvirt/qemu.conf", QEMU_CONF)
        if undisturbed():
            write("etc/systemd/system/polkit.service.d/undisturbed.conf", UNDISTURBED)
        # The overlay takes the attributes of folders from here.
        for path in [files, *files.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        for service in ("systemd-machined", "dbus-org.freedesktop.machine1", "libvirt-guests"):
            (files / f"etc/systemd/system/{service}.service").symlink_to("/dev/null")

    def _find_leader(self) -> int | None:
        if self._process.poll() is not None:
            raise RuntimeError("the box ended")
        # unshare, nspawn, systemd.
        for unshare in children(self._process.pid):
            for nspawn in children(unshare):
                for pid in children(nspawn):
                    with contextlib.suppress(OSError):
                        if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                            return pid
        return None

    def _booted(self) -> bool:
        self._find_leader()   # or it has ended
        return (self.run("systemctl", "is-active", "sysbox.target").stdout == "active\n")

    def close(self):
        """Ends it at once, with all that runs there."""
        self._process.stdin.close()
        self._process.wait(60)
        self._console.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Commands

    def command(self, *words, user: str | None = None) -> list[str]:
        """A command line that runs this inside."""
        enter = ["nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--net",
                 "--pid", "--cgroup", "--root", "--wd", "--"]
        if user:
            enter += ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"]
        return [*enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                *map(str, words)]

    def run(self, *words, user: str | None = None, timeout: float = 60, input: str | None = None):
        """→ CompletedProcess with text."""
        return subprocess.run(self.command(*words, user=user), capture_output=True, text=True,
                              timeout=timeout, **({"input": input} if input is not None
                                                  else {"stdin": subprocess.DEVNULL}))

    def check(self, *words, **options) -> str:
        """Its standard output; RuntimeError where it fails."""
        done = self.run(*words, **options)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: exit status {done.returncode}: "
                               f"{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def sh(self, script: str, *, user: str | None = None, timeout: float = 60) -> str:
        return self.check("sh", "-ec", script, user=user, timeout=timeout)

    def write(self, path: str, text: str):
        self.check("sh", "-ec", 'mkdir -p "${1%/*}"; cat >"$1"; chmod 644 "$1"', "sh", path,
                   input=text)

    def show(self, unit: str, *properties: str) -> list[str]:
        """Properties of a unit, in that order."""
        lines = self.check("systemctl", "show", unit, *(f"--property={name}"
                                                       for name in properties)).splitlines()
        values = dict(line.split("=", 1) for line in lines)
        return [values[name] for name in properties]

    def pid(self, unit: str = "virtfreezed") -> int:
        """Its main process, as counted inside; 0 if there is none."""
        return int(self.show(unit, "MainPID")[0])

    def wait_state(self, unit: str, *states: str, timeout: float = 30):
        """Until its ActiveState is one of those."""
        wait_until(lambda: self.show(unit, "ActiveState")[0] in states, timeout,
                   f"{unit}: {' or '.join(states)}")

    def restart(self, unit: str):
        """As often as it takes: no start limit counts."""
        self.check("systemctl", "reset-failed", unit)
        self.check("systemctl", "restart", unit)

    def messages(self, unit: str = "virtfreezed") -> str:
        return self.check("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    # Users and installing

    def add_user(self, name: str, *groups: str, password: str | None = None) -> str:
        self.check("useradd", "--no-create-home", "--shell", "/bin/sh", "--user-group",
                   *(["--groups", ",".join(groups)] if groups else []), name)
        if password:
            self.check("chpasswd", input=f"{name}:{password}\n")
        return name

    def uid(self, user: str) -> int:
        return int(self.check("id", "-u", user))

    def install(self, *debs: Path) -> str:
        """By dpkg; what they depend on is on the machine."""
        for deb in debs:
            shutil.copy(deb, self.shared)
        return self.check("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install",
                          *(self.shared / deb.name for deb in debs), timeout=180)

    def set_rules(self, rules: str):
        """The administrator's polkit rules; polkitd is started again for them."""
        self.write("/etc/polkit-1/rules.d/10-test.rules", rules)
        self.restart("polkit")

    # The bus

    def client(self, user: str = "root") -> Client:
        """A caller on its system bus."""
        program = ["/usr/bin/python3", "-I", "-S", "/virtfreeze/tests/harness/caller.py"]
        return Client(SYSTEM_BUS, caller=(0 if user == "root" else self.uid(user), self.command(
            *program, user=None if user == "root" else user)))


class BoxLibvirtd:
    """The libvirtd of a box, as harness.guest.Guest wants one: started by its socket."""

    uri = "qemu:///system"

    def __init__(self, box: SystemBox):
        self._box = box
        self.folder = box.shared
        box.check("systemctl", "start", "libvirtd.socket", "libvirtd-ro.socket")

    def virsh(self, *arguments: str, timeout: float = 60) -> str:
        done = self._box.run("virsh", "--quiet", "--connect", self.uri, *arguments,
                             timeout=timeout)
        if done.returncode != 0:
            raise VirshError(done.stderr.strip())
        return done.stdout.strip()
