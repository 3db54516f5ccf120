# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed service under a real systemd: starts, authorization, sandbox, and what becomes of a
freeze when the service is killed, restarted, stopped or given up on."""

from pathlib import Path

import pytest

from conftest import CONFIG, DROP_IN
from harness.box import SOURCE
from harness.client import MS, ROOT, S, fails
from harness.guest import wait_until
from terminal import Terminal

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
    terminal.type_password(PASSWORD)
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
    terminal.type_password("wrong")
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


# Reload

@pytest.mark.parametrize("reload", ["systemctl reload virtfreezed",
                                    "systemctl kill --signal=HUP virtfreezed"])
def test_reload(box, member, domain, guest, reload):
    """A good file counts from now on; what is held stays as it was."""
    freeze = member.freeze(domain, hold=HELD_ON)
    deadline = member.get(freeze, "Deadline")
    process = box.pid()
    member.watch()
    try:
        box.write(DROP_IN, CONFIG + "DefaultHold=7s\nMaxHold=8s\n")
        box.sh(reload)
        member.wait_property(domain, "DefaultHold", 7 * S)
        with fails("InvalidArgs"):
            member.renew(freeze, 9 * S)
        assert member.get(freeze, "Deadline") == deadline
        assert_frozen(guest)
    finally:
        box.write(DROP_IN, CONFIG)
        box.sh(reload)
    member.wait_property(domain, "DefaultHold", 60 * S)
    assert member.get(freeze, "State") == "held"
    member.thaw(freeze)
    assert_thawed(guest)
    assert box.pid() == process


def test_reload_of_a_bad_file(box, member, domain, guest):
    """systemctl says so; by the signal it is in the journal; nothing changes."""
    freeze = member.freeze(domain, hold=HELD_ON)
    process = box.pid()
    try:
        box.write(DROP_IN, CONFIG + "DefaultHold=soon\nMaxHold=8s\n")
        assert box.run("systemctl", "reload", "virtfreezed").returncode != 0
        assert "DefaultHold" in box.messages() and "test.conf" in box.messages()
        box.check("systemctl", "kill", "--signal=HUP", "virtfreezed")
        wait_until(lambda: "the settings stay as they were" in box.messages(), 30, "message")
        assert member.get(domain, "MaxHold") == 600 * S
        assert member.get(freeze, "State") == "held"
        assert_frozen(guest)
    finally:
        box.write(DROP_IN, CONFIG)
    box.check("systemctl", "reload", "virtfreezed")
    member.thaw(freeze)
    assert_thawed(guest)
    assert box.pid() == process


# Killed, restarted, stopped, given up on

def test_killed_it_is_started_again_and_the_freeze_goes_on(box, member, domain, guest):
    freeze = member.freeze(domain, "vdx", hold=HELD_ON)
    before = member.properties(freeze)
    assert_frozen(guest)
    count = guest.writer_count("a")
    process = box.pid()
    box.check("systemctl", "kill", "--signal=KILL", "virtfreezed")
    wait_restarted(box, process)
    assert member.freezes() == [freeze]
    after = member.properties(freeze)
    # Clocks are converted on the way.
    assert abs(after.pop("Deadline") - before.pop("Deadline")) < 10 * MS
    assert after == before
    assert_frozen(guest)
    assert guest.writer_count("a") == count
    member.thaw(freeze)
    assert_thawed(guest)


def test_a_restart_keeps_freezes(box, member, domain, guest):
    freeze = member.freeze(domain, "vdx", hold=HELD_ON)
    lease = member.freeze(domain, "vdy", hold=HELD_ON, lifetime="lease")
    assert_frozen(guest)
    count = guest.writer_count("a")
    process = box.pid()
    box.check("systemctl", "restart", "virtfreezed")
    assert box.pid() != process
    assert member.freezes() == [freeze, lease]
    assert {member.get(path, "State") for path in (freeze, lease)} == {"held"}
    assert_frozen(guest)
    assert guest.writer_count("a") == count
    member.thaw(lease)
    assert_frozen(guest)
    member.thaw(freeze)
    assert_thawed(guest)


def test_a_stop_releases_them(box, member, domain, guest):
    freeze = member.freeze(domain, hold=HELD_ON, lifetime="lease")
    assert_frozen(guest)
    member.watch()
    box.check("systemctl", "stop", "virtfreezed")
    assert member.wait_signal("Released", freeze).body == ("service-stopping",)
    assert box.show("virtfreezed", "ActiveState", "Result") == ["inactive", "success"]
    assert_thawed(guest)
    assert box.sh("ls /run/virtfreeze").split() == ["counter", "lock"]
    assert member.freezes() == []   # which starts it again


def test_what_a_stop_cannot_thaw_is_left_to_the_one_shot(box, member, domain, guest):
    member.freeze(domain, hold=HELD_ON, lifetime="lease")
    guest.stop_agent()
    try:
        box.check("systemctl", "stop", "virtfreezed")
        assert box.show("virtfreezed", "ActiveState") == ["failed"]
        box.wait_state("virtfreezed-release", "activating")
    finally:
        guest.cont_agent()
    wait_thawed(guest)
    box.wait_state("virtfreezed-release", "inactive")
    assert box.show("virtfreezed-release", "Result") == ["success"]
    assert member.freezes() == []


BROKEN = "/run/systemd/system/virtfreezed.service.d/broken.conf"


def break_program(box):
    """It cannot be started any more, as after an upgrade that went wrong, and is killed."""
    box.write(BROKEN, "[Service]\nExecStart=\nExecStart=/bin/false\n")
    box.check("systemctl", "daemon-reload")
    box.check("systemctl", "kill", "--signal=KILL", "virtfreezed")


def break_configuration(box):
    """With a mistake in its configuration, it is restarted."""
    box.write(DROP_IN, CONFIG + "DefaultHold=soon\n")
    box.run("systemctl", "restart", "virtfreezed")


def mend(box):
    box.check("rm", "-f", BROKEN)
    box.write(DROP_IN, CONFIG)
    box.check("systemctl", "daemon-reload")
    box.check("systemctl", "reset-failed", "virtfreezed")
    box.check("systemctl", "start", "virtfreezed")


def wait_given_up(box):
    wait_until(lambda: box.show("virtfreezed", "SubState") == ["failed"], 60, "start limit")


@pytest.mark.parametrize("fault", [break_program, break_configuration])
def test_at_the_start_limit_the_one_shot_thaws(box, member, domain, guest, fault):
    member.freeze(domain, hold=HELD_ON, lifetime="lease")
    assert_frozen(guest)
    try:
        fault(box)
        wait_given_up(box)
        wait_thawed(guest)
        box.wait_state("virtfreezed-release", "inactive")
        assert box.show("virtfreezed-release", "Result") == ["success"]
        assert box.sh("ls /run/virtfreeze").split() == ["counter", "lock"]
    finally:
        mend(box)
    assert member.freezes() == []


def test_refused_starts_do_not_end_the_one_shot(box, connect, member, domain, guest):
    """Each call to the bus name is one, while the service is given up on."""
    member.freeze(domain, hold=HELD_ON, lifetime="lease")
    assert_frozen(guest)
    guest.stop_agent()
    try:
        break_program(box)
        wait_given_up(box)
        box.wait_state("virtfreezed-release", "activating")
        one_shot = box.pid("virtfreezed-release")
        connect().begin(ROOT, "GetDomain", "s", guest.name)   # the bus answers after 25 s
        assert box.run("systemctl", "start", "virtfreezed").returncode != 0
        guest.cont_agent()
        wait_thawed(guest)
        assert f"[{one_shot}]" in box.check("journalctl", "--unit=virtfreezed-release",
                                            "--no-pager", "--lines=5")
    finally:
        guest.sh("kill -CONT $(cat /run/agent.pid)")
        mend(box)
    assert member.freezes() == []


def test_a_start_takes_over_from_the_one_shot(box, member, domain, guest):
    freeze = member.freeze(domain, hold=HELD_ON, lifetime="lease")
    guest.stop_agent()
    try:
        break_program(box)
        wait_given_up(box)
        box.wait_state("virtfreezed-release", "activating")
        mend(box)
        assert box.show("virtfreezed-release", "ActiveState") != ["activating"]
        assert member.get(domain, "FreezeState") != "thawed"
    finally:
        guest.cont_agent()
        wait_thawed(guest)
    member.watch()
    member.wait_property(domain, "FreezeState", "thawed", 60)
    assert freeze not in member.freezes()
