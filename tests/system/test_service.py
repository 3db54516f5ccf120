# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed service under a real systemd: starts, authorization, sandbox, and what becomes of a
freeze when the service is killed, restarted, stopped or given up on."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import CONFIG, DROP_IN
from harness.box import SOURCE
from harness.client import ROOT, MS, S, fails
from harness.connection import run_as
from harness.guest import wait_until

HELD_ON = 300 * S


def assert_frozen(guest):
    assert guest.agent_frozen()
    assert guest.is_writer_stalled("a", 0.3) and guest.is_writer_stalled("b", 0)


def assert_thawed(guest):
    assert not guest.agent_frozen()
    guest.wait_writer_progress("a", 30)
    guest.wait_writer_progress("b", 30)


def wait_thawed(guest):
    """Until the guest's own agent says so."""
    wait_until(lambda: not guest.agent_frozen(), 60, "thaw of the guest")
    assert_thawed(guest)


def wait_restarted(box, before: int) -> int:
    """→ the process that systemd started instead of that one."""
    return wait_until(lambda: (box.show("virtfreezed", "ActiveState")[0] == "active"
                               and box.pid() != before and box.pid()), 60, "restart")


# Installed, and started

def test_installed_it_runs_and_comes_with_the_boot(box):
    """Nothing has failed on the way: the bus knew the policy, libvirt the user."""
    box.wait_state("virtfreezed", "active")
    assert box.show("virtfreezed", "UnitFileState", "NRestarts", "User") == [
        "enabled", "0", "virtfreeze"]
    assert box.check("getent", "passwd", "virtfreeze").endswith(":/usr/sbin/nologin")


def test_a_full_freeze_by_a_member_of_group_libvirt(member, domain, guest):
    """With the shipped rules alone, of a real guest under the box's own libvirtd."""
    freeze = member.freeze(domain, "vdx", reason="backup")
    assert member.get(freeze, "FilesystemsFrozen") == 2
    assert_frozen(guest)
    member.thaw(freeze)
    assert_thawed(guest)


@pytest.mark.parametrize("user", ["root", "vf-nobody"])
def test_the_first_call_starts_it(box, connect, guest, user):
    client = connect(user)
    box.check("systemctl", "stop", "virtfreezed")
    assert box.show("virtfreezed", "ActiveState") == ["inactive"]
    assert "/domain/_" in client.domain(guest.name)
    assert box.show("virtfreezed", "ActiveState") == ["active"]


# Who may

def test_others_are_denied(connect, domain, guest):
    nobody = connect("vf-nobody")
    for call in (lambda: nobody.freeze(domain), lambda: nobody.filesystems(domain),
                 lambda: nobody.thaw_all(domain)):
        with fails("InteractiveAuthorizationRequired"):
            call()
    # There is nobody to ask for a password.
    with fails("AccessDenied"):
        nobody.begin_freeze(domain, interactive=True).result()
    assert nobody.freezes() == []
    assert not guest.agent_frozen()


def example(name: str, **replaced: str) -> str:
    text = (SOURCE / "policy" / "examples" / name).read_text()
    for old, new in replaced.items():
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', f'"{new}"')
    return text


def test_the_example_rule_for_a_script(box, connect, domain):
    """One user, one guest, one disk, 60 s; what it does not allow it refuses."""
    box.set_rules(example("40-virtfreeze-script.rules", backup="vf-nobody", vda="vdx"))
    try:
        nobody = connect("vf-nobody")
        freeze = nobody.freeze(domain, "vdx", hold=60 * S)
        with fails("AccessDenied"):
            nobody.renew(freeze, 61 * S)
        nobody.thaw(freeze)
        for disks, options in [(["vdx"], {"hold": 61 * S}), (["vdy"], {}), ([], {})]:
            with fails("AccessDenied"):
                nobody.freeze(domain, *disks, **options)
        box.set_rules(example("40-virtfreeze-script.rules", backup="vf-nobody", web="other",
                              vda="vdx"))
        with fails("AccessDenied"):
            nobody.freeze(domain, "vdx")
    finally:
        box.set_rules("")


def test_the_example_rule_for_a_domain(box, connect, domain):
    box.add_user("vf-admin")
    box.set_rules(example("40-virtfreeze-domain.rules", **{"web-admins": "vf-admin"}))
    try:
        admin = connect("vf-admin")
        admin.thaw(admin.freeze(domain, "vdx"))
        assert set(admin.filesystems(domain)) >= {"/mnt/a", "/mnt/b"}
        with fails("InteractiveAuthorizationRequired"):
            connect("vf-nobody").freeze(domain)
        box.set_rules(example("40-virtfreeze-domain.rules", web="other",
                              **{"web-admins": "vf-admin"}))
        with fails("InteractiveAuthorizationRequired"):
            admin.freeze(domain)
    finally:
        box.set_rules("")


class Terminal:
    """pkttyagent on a terminal, for the process that holds a client's connection."""

    def __init__(self, box, user: str, pid: int):
        self._ours, theirs = pty.openpty()
        self._text = ""
        ready, notify = os.pipe()
        # In a session of its own, of which the terminal is the controlling one.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *box.command(
                "pkttyagent", "--process", pid, "--notify-fd", notify, user=user)],
            stdin=theirs, stdout=theirs, stderr=theirs, pass_fds=[notify])
        os.close(theirs)
        os.close(notify)
        try:
            # It closes that when it is registered.
            assert select.select([ready], [], [], 30)[0], "pkttyagent does not register"
        finally:
            os.close(ready)

    def wait(self, text: str) -> str:
        """→ all that was printed before, and it."""
        deadline = time.monotonic() + 30
        while text not in self._text:
            if not select.select([self._ours], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"no “{text}” on the terminal: {self._text}")
            self._text += os.read(self._ours, 4096).decode()
        before, _, self._text = self._text.partition(text)
        return before + text

    def type(self, line: str):
        os.write(self._ours, f"{line}\n".encode())

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def administrator(box):
    """In group sudo, whose members are polkit's administrators."""
    return box.add_user("vf-sudo", "sudo", password=PASSWORD)


@pytest.fixture
def asked(box, connect, administrator):
    """An administrator with a terminal, whose password is asked for."""
    client = connect(administrator)
    pid = client.call("org.freedesktop.DBus", "/org/freedesktop/DBus",
                      "org.freedesktop.DBus.GetConnectionUnixProcessID", "s", client.name)
    terminal = Terminal(box, administrator, pid)
    yield client, terminal
    terminal.close()


def test_a_prompt_that_is_accepted(asked, domain, guest):
    client, terminal = asked
    pending = client.begin_freeze(domain, interactive=True)
    assert f"virtual machine {guest.name}" in terminal.wait("Password: ")
    assert not guest.agent_frozen()
    terminal.type(PASSWORD)
    terminal.wait("AUTHENTICATION COMPLETE")
    freeze = pending.result(60)
    assert_frozen(guest)
    client.thaw(freeze)
    # It was for that call alone.
    with fails("InteractiveAuthorizationRequired"):
        client.freeze(domain)


def test_a_prompt_that_is_refused(asked, domain, guest):
    client, terminal = asked
    pending = client.begin_freeze(domain, interactive=True)
    terminal.wait("Password: ")
    terminal.type("wrong")
    terminal.wait("AUTHENTICATION FAILED")
    with fails("AccessDenied"):
        pending.result(60)
    assert client.freezes() == []
    assert not guest.agent_frozen()


# The sandbox, from inside

def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in
                Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def pid_outside(box) -> int:
    """The service's main process as this machine counts."""
    inside = box.pid()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = status_of(int(folder.name))
            except (OSError, ValueError):
                continue
            if (status["NSpid"].split()[-1] == str(inside) and len(status["NSpid"].split()) == 3
                    and status["Name"] == "virtfreezed"):
                return int(folder.name)
    raise ProcessLookupError("no virtfreezed")


def test_it_has_no_privileges(box, connect):
    connect().get(ROOT, "Version")
    status = status_of(pid_outside(box))
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "0000000000000000"}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    uid = str(box.uid("virtfreeze"))
    assert status["Uid"].split() == [uid] * 4
    assert status["Groups"].split() in ([], [box.check("id", "-g", "virtfreeze")])
    assert status["Umask"] == "0077"


PROBE = r"""
import ctypes, errno, mmap, os, socket, subprocess
def tell(name, action):
    try:
        action()
        print(name, "possible")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
def opened(path, mode="w"):
    return lambda: open(path, mode).close()
def call(name, *arguments):
    def go():
        libc = ctypes.CDLL(None, use_errno=True)
        function = getattr(libc, name)
        function.restype = ctypes.c_long
        if function(*arguments) == -1:
            raise OSError(ctypes.get_errno(), name)
    return go
tell("state", opened("/run/virtfreeze/probe"))
os.unlink("/run/virtfreeze/probe")
for path in ("/etc/probe", "/run/probe", "/var/lib/probe", "/usr/probe"):
    tell(path, opened(path))
tell("home", lambda: os.listdir("/root"))
tell("inet", lambda: socket.socket(socket.AF_INET))
tell("inet6", lambda: socket.socket(socket.AF_INET6))
tell("netlink", lambda: socket.socket(socket.AF_NETLINK))
tell("unix", lambda: socket.socket(socket.AF_UNIX))
tell("mount", call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None))
tell("unshare", call("unshare", 0x10000000))
tell("ptrace", call("ptrace", 0, 0, 0, 0))
tell("setuid", lambda: os.setuid(0))
tell("wx", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
tell("device", lambda: os.mknod("/tmp/probe", 0o600 | 0o020000, os.makedev(1, 3)))
print("devices", *sorted(os.listdir("/dev")))
print("processes", *sorted({os.stat(f"/proc/{pid}").st_uid for pid in os.listdir("/proc")
                            if pid.isdigit()}))
print("interfaces", *os.listdir("/sys/class/net"))
"""


def test_what_can_be_done_in_its_sandbox(box):
    """By a program that the unit starts instead of the service, under the very same directives."""
    box.write("/opt/probe.py", PROBE)
    unit = "/run/systemd/system/virtfreezed.service.d/probe.conf"
    # ctypes makes a page for callbacks when it is loaded, which needs what is denied otherwise.
    box.write(unit, "[Service]\nType=oneshot\nRestart=no\nBusName=\nExecStart=\n"
                    "ExecStart=/usr/bin/python3 -I /opt/probe.py\n")
    try:
        box.check("systemctl", "daemon-reload")
        since = box.check("date", "+@%s.%N")
        box.check("systemctl", "restart", "virtfreezed")
        output = box.check("journalctl", "--sync") or box.check(
            "journalctl", "--output=cat", "--no-pager", "--identifier=python3", "--since", since)
    finally:
        box.check("rm", unit)
        box.check("systemctl", "daemon-reload")
        box.check("systemctl", "restart", "virtfreezed")
    found = dict(line.split(" ", 1) for line in output.splitlines())
    assert found["state"] == found["unix"] == "possible"
    refused = {name: word for name, word in found.items()
               if name not in ("state", "unix", "devices", "processes", "interfaces")}
    assert "possible" not in refused.values(), refused
    assert refused["/etc/probe"] == "EROFS"
    assert {refused[name] for name in ("inet", "inet6", "netlink")} == {"EAFNOSUPPORT"}
    assert {refused[name] for name in ("mount", "unshare", "setuid")} == {"EPERM"}
    assert found["interfaces"] == "lo"
    assert not {"sda", "vda", "kvm", "mem", "rtc0"} & set(found["devices"].split())
    assert found["processes"] == str(box.uid("virtfreeze"))
