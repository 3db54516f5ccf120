# SPDX-License-Identifier: LGPL-2.1-or-later
"""The recipes of data/doc/recipes.md, as the packages install them, and what else they are said to
do with nothing configured by hand."""

import contextlib
import re
import select
import subprocess

import pytest

from harness import sysbox
from harness.guest import Guest, Volume
from harness.sysbox import BoxLibvirtd
from terminal import Terminal

DOC = "/usr/share/doc/virtfreeze"
EXAMPLES = f"{DOC}/examples"
SYSTEM = ("--quiet", "--connect", "qemu:///system")
PASSWORD = "correct horse"
# As in the recipes.
DISKS = (Volume("a", ("vda",), "ext4"), Volume("b", ("vdb",), "ext4"))
# A copy is slow on a busy machine, but never slower.
SLOW = 120


@pytest.fixture(scope="module")
def guest(bare_box, image):
    return Guest(BoxLibvirtd(bare_box), image, "web", DISKS).start()


@pytest.fixture(scope="module")
def box(bare_box, guest):
    """With the packages, and nothing else."""
    bare_box.install(*sysbox.packages())
    return bare_box


@pytest.fixture(scope="module")
def page(box) -> list[str]:
    """The commands of the installed page."""
    text = box.sh(f"cat {DOC}/recipes.md || zcat {DOC}/recipes.md.gz")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def other(box):
    """A second domain, which does not run."""
    box.write("/opt/other.xml", "<domain type='qemu'><name>other</name><memory>65536</memory>"
                                "<os><type arch='x86_64'>hvm</type></os></domain>")
    box.check("virsh", *SYSTEM, "define", "/opt/other.xml")
    return "other"


def install(box, example: str, target: str, mode: str = "755"):
    """As the recipe says."""
    box.check("install", "-D", f"--mode={mode}", f"{EXAMPLES}/{example}", target)


def has_journal(image) -> bool:
    """To replay: as in a copy of a filesystem that was not frozen."""
    done = subprocess.run(["/usr/sbin/dumpe2fs", "-h", image], capture_output=True, text=True,
                          check=True, env={"LC_ALL": "C"})
    features = re.search("^Filesystem features: (.*)$", done.stdout, re.MULTILINE)[1].split()
    assert "has_journal" in features
    return "needs_recovery" in features


def assert_consistent(image):
    assert not has_journal(image)
    done = subprocess.run(["/usr/sbin/e2fsck", "-fn", image], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_thawed(guest):
    assert not guest.agent_frozen()
    guest.wait_writer_progress("a", 30)
    guest.wait_writer_progress("b", 30)


def images(guest) -> list[str]:
    """What its disks are now."""
    return [line.split()[1] for line in guest.virsh("domblklist").splitlines()]


def own_images(guest) -> list[str]:
    return [str(guest.folder / f"{name}.img") for name in ("vda", "vdb")]


# Not installed

def test_without_the_service(bare_box):
    """The command alone, against its package's will."""
    [deb] = sysbox.packages("virt-freeze")
    bare_box.check("dpkg-deb", "--extract", f"/virtfreeze/build/packages/{deb.name}", "/opt/alone")
    for words in (("list",), ("run", "web", "--", "echo", "ran"), ("monitor",)):
        done = bare_box.run("/opt/alone/usr/bin/virt-freeze", *words, user="vf-member")
        assert (done.returncode, done.stdout) == (1, "")
        assert "is virtfreezed installed?" in done.stderr
        assert len(done.stderr.splitlines()) == 1


# Done when

def test_a_snapshot_by_a_member_of_group_libvirt(box, page, guest, connect):
    """In virt-freeze run, as the page says."""
    watching = connect().watch()
    done = box.run("sh", "-ec", page[0], user="vf-member", timeout=SLOW)
    assert done.returncode == 0, done.stderr
    assert "before-upgrade created" in done.stdout
    watching.sync_service()
    try:
        assert [signal.body for signal in watching.signals() if signal.member == "Released"] == [
            ("thawed",)]
        for image in own_images(guest):
            assert image not in images(guest)
            assert_consistent(image)
        assert_thawed(guest)
    finally:
        for disk in ("vda", "vdb"):
            guest.virsh("blockcommit", disk, "--active", "--pivot", timeout=SLOW)
        guest.virsh("snapshot-delete", "before-upgrade", "--metadata")
    assert images(guest) == own_images(guest)


def test_without_a_freeze_there_is_a_journal_to_replay(box, guest):
    """The same but for the freeze: the checks above can fail."""
    box.check("virsh", *SYSTEM, "snapshot-create-as", "web", "unfrozen", "--disk-only",
              "--no-metadata", user="vf-member")
    try:
        assert all(has_journal(image) for image in own_images(guest))
    finally:
        for disk in ("vda", "vdb"):
            guest.virsh("blockcommit", disk, "--active", "--pivot", timeout=SLOW)


# busctl

def test_two_lines_of_busctl(box, page, guest, member):
    """The lease outlives its caller."""
    freeze_line, thaw_line = page[1:]
    domain = member.domain("web")
    answer = box.check("env", f"domain={domain}", "sh", "-ec", freeze_line, user="vf-member")
    [freeze] = member.freezes()
    assert answer == f'o "{freeze}"'
    assert (member.get(freeze, "Lifetime"), member.get(freeze, "State")) == ("lease", "held")
    assert guest.agent_frozen() and guest.is_writer_stalled("a")
    box.check("env", f"freeze={freeze}", "sh", "-ec", thaw_line, user="vf-member")
    assert member.freezes() == []
    assert_thawed(guest)


@pytest.mark.parametrize("command, code", [("true", 0), ("exit 7", 7), ("kill -TERM $PPID", 1)])
def test_a_script_with_a_lease(box, guest, member, command, code):
    """Thawed, whatever its command does; it runs while the guest is frozen."""
    member.watch()
    status = ("busctl get-property org.virtfreeze1 "
              f"{member.domain('web')} org.virtfreeze1.Domain FreezeState")
    done = box.run(f"{EXAMPLES}/busctl-lease.sh", "web", "sh", "-c", f"{status}; {command}",
                   user="vf-member")
    assert (done.returncode, done.stdout) == (code, 's "frozen"\n'), done.stderr
    assert member.freezes() == []
    assert_thawed(guest)


def test_a_script_whose_lease_was_lost(box, guest, member):
    thaw = "virsh --connect qemu:///system domfsthaw web"
    done = box.run(f"{EXAMPLES}/busctl-lease.sh", "web", "sh", "-c", thaw, user="vf-member")
    assert done.returncode != 0
    assert "discard" in done.stderr
    assert member.freezes() == []


# cron

@pytest.fixture
def cron(box, guest):
    """What virtfreeze-backup.cron asks for; → runs a line as cron does."""
    install(box, "backup-image.sh", "/usr/local/bin/backup-image")
    box.set_rules(box.check("cat", f"{EXAMPLES}/40-virtfreeze-script.rules"))
    box.sh(f"install -d -o backup /srv/backup; mkdir -p /srv/images; "
           f"ln -sf {guest.folder}/vda.img /srv/images/web.img")
    [line] = [line for line in box.check("cat", f"{EXAMPLES}/virtfreeze-backup.cron").splitlines()
              if not line.startswith("#") and line]
    *_times, user, command = line.split(None, 6)
    assert user == "backup" and len(_times) == 5

    def run(change=lambda command: command):
        return box.run("env", "-i", "HOME=/var/backups", "LOGNAME=backup", "SHELL=/bin/sh",
                       "PATH=/usr/bin:/bin", "/bin/sh", "-c", change(command), user=user,
                       timeout=SLOW)

    yield run
    box.set_rules("")
    box.check("rm", "-rf", "/srv/backup", "/srv/images", "/usr/local/bin/backup-image")


def test_a_script_of_cron(box, cron, guest, other):
    """It copies the disk that the rule names. Another disk, guest or time is refused: the copy of
    before stays, and no command is run."""
    done = cron()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    box.check("cp", "/srv/backup/web.img", box.shared / "copy.img")
    assert_consistent(box.shared / "copy.img")
    assert_thawed(guest)
    before = box.check("stat", "--format=%i %Y", "/srv/backup/web.img")
    for old, new in [(" web ", f" {other} "), (" vda ", " vdb ")]:
        done = cron(lambda command: command.replace(old, new, 1))
        assert done.returncode == 3, (new, done.stderr)
        assert done.stderr.count("Not authorized") == 1
    box.check("sed", "-i", "s/60s/61s/", "/usr/local/bin/backup-image")
    assert cron().returncode == 3
    assert box.check("ls", "/srv/backup") == "web.img"
    assert box.check("stat", "--format=%i %Y", "/srv/backup/web.img") == before
    # It is the rule that tells them apart: who may freeze it hears what is wrong with it.
    done = box.run("virt-freeze", "run", other, "--", "true", user="vf-member")
    assert done.returncode == 1 and "running" in done.stderr


# A program that stays

class Program:
    """vm-manager.py of a user, with its lines."""

    def __init__(self, box, user: str):
        self._process = subprocess.Popen(
            box.command("sh", "-c", f"echo $$; exec {EXAMPLES}/vm-manager.py", user=user),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self._text = b""
        self.pid = int(self._line())

    def _line(self) -> str:
        while b"\n" not in self._text:
            assert select.select([self._process.stdout], [], [], 60)[0], "it says nothing more"
            new = self._process.stdout.read(4096)
            assert new, "it has ended"
            self._text += new
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def wait(self, *patterns: str):
        """Until it has shown such lines, in any order."""
        wanted = set(patterns)
        lines = []
        try:
            while wanted:
                lines.append(self._line())
                wanted = {pattern for pattern in wanted if not re.fullmatch(pattern, lines[-1])}
        except AssertionError as error:
            raise AssertionError(f"no {wanted} ({error}): {lines}") from None

    def type(self, line: str):
        self._process.stdin.write(f"{line}\n".encode())

    def close(self) -> int:
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        return self._process.wait()


@pytest.fixture(scope="module")
def administrator(box):
    return box.add_user("vf-sudo", "sudo", password=PASSWORD)


@pytest.fixture
def program(box, administrator):
    program = Program(box, administrator)
    yield program
    program.close()


def test_a_program_that_stays(box, member, administrator, program, guest):
    """It shows what others do, freezes when its user has given a password, and outlives the
    service."""
    domain = member.domain("web")
    program.wait("web: running, agent, thawed")
    freeze = member.freeze(domain, reason="nightly")
    number = freeze.rpartition("/")[2]
    program.wait(rf"web: running, agent, frozen; #{number} held \(nightly\)")
    member.thaw(freeze)
    program.wait("web: running, agent, thawed")

    terminal = Terminal(box, administrator, program.pid)
    try:
        program.type("freeze web vda")
        assert "virtual machine web" in terminal.wait("Password: ")
        # It is not held up by the prompt.
        freeze = member.freeze(domain, reason="meanwhile")
        program.wait(r"web: .* held \(meanwhile\)")
        member.thaw(freeze)
        program.wait("web: running, agent, thawed")
        terminal.type_password(PASSWORD)
        held = r"web: running, agent, frozen; #\d+ held \(by hand\)"
        program.wait("web: frozen for you", held)
        [freeze] = member.freezes()
        assert member.get(freeze, "Lifetime") == "caller"
        assert guest.agent_frozen() and guest.is_writer_stalled("a")
        box.check("systemctl", "restart", "virtfreezed")
        program.wait("the service is not there")
        program.wait(held)
        program.type("thaw web")
        program.wait("web: it was frozen all the time")
        assert_thawed(guest)

        program.type("freeze web")
        terminal.wait("Password: ")
        terminal.type_password("wrong")
        program.wait(r"web: Not authorized .*")
    finally:
        terminal.close()
    assert member.freezes() == []
    assert program.close() == 0


def test_a_program_whose_freeze_was_lost(box, connect, program, guest):
    """It says so at once; and what it holds ends with it."""
    root = connect().watch()
    domain = root.domain("web")
    box.set_rules('polkit.addRule(function(action, subject) {'
                  ' if (subject.user == "vf-sudo") return polkit.Result.YES; });')
    try:
        program.type("freeze web")
        program.wait("web: frozen for you")
        root.thaw_all(domain)
        program.wait(r"web: the freeze did not hold \(thawed-by-other\); discard the copy")
        program.type("thaw web")
        program.wait("web: .*; discard the copy")
        program.type("freeze web")
        program.wait("web: frozen for you")
        [freeze] = root.freezes()
        box.check("kill", "-KILL", program.pid)
        assert root.wait_signal("Released", freeze, 60).body == ("caller-vanished",)
        root.wait_property(domain, "FreezeState", "thawed", 60)
    finally:
        box.set_rules("")
    assert_thawed(guest)


# A unit

@pytest.fixture
def unit(box):
    install(box, "backup-guest.sh", "/usr/local/bin/backup-guest")
    install(box, "backup@.service", "/etc/systemd/system/backup@.service", "644")
    box.check("systemctl", "daemon-reload")
    yield "backup@web"
    box.run("systemctl", "reset-failed", "backup@web")
    box.check("rm", "-rf", "/var/backups/guests", "/usr/local/bin/backup-guest",
              "/etc/systemd/system/backup@.service")
    box.check("systemctl", "daemon-reload")


def test_a_unit_of_systemd(box, unit, guest):
    assert box.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                   f"{unit}.service").stderr == ""
    box.check("systemctl", "start", unit, timeout=SLOW)
    for disk in ("vda", "vdb"):
        box.check("cp", f"/var/backups/guests/web/{disk}.img", box.shared / "copy.img")
        assert_consistent(box.shared / "copy.img")
    assert images(guest) == own_images(guest)
    assert not list(guest.folder.glob("*.backup"))
    assert_thawed(guest)


def test_a_unit_whose_freeze_does_not_hold(box, unit, guest, member):
    """It fails with 4, copies nothing, and leaves no snapshot."""
    drop_in = "/etc/systemd/system/backup@.service.d/lost.conf"
    # Somebody thaws the guest when the snapshot is made.
    box.write("/opt/virsh", '#!/bin/sh\ncase "$*" in *snapshot-create-as*)\n'
              '  /usr/bin/virsh --connect qemu:///system domfsthaw web ;;\nesac\n'
              'exec /usr/bin/virsh "$@"\n')
    box.check("chmod", "755", "/opt/virsh")
    box.write(drop_in, "[Service]\nEnvironment=PATH=/opt:/usr/local/bin:/usr/bin:/bin\n")
    box.check("systemctl", "daemon-reload")
    try:
        assert box.run("systemctl", "start", unit, timeout=SLOW).returncode != 0
        assert box.show(unit, "Result", "ExecMainStatus") == ["exit-code", "4"]
    finally:
        box.check("rm", drop_in, "/opt/virsh")
    assert box.run("ls", "/var/backups/guests").returncode != 0
    assert images(guest) == own_images(guest)
    assert not list(guest.folder.glob("*.backup"))
    assert member.freezes() == []
    assert_thawed(guest)
