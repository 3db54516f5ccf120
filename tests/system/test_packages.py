# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages: upgrade and removal with a guest frozen; and what the service may do in
libvirt where that asks polkit for each call."""

import shutil
import subprocess

import pytest

from conftest import CONFIG, DROP_IN
from harness import sysbox
from harness.box import SOURCE
from harness.client import ROOT, S
from harness.guest import wait_until

HELD_ON = 300 * S
ACCESS = "/etc/libvirt/libvirtd.conf"


@pytest.fixture(scope="module")
def built():
    return sysbox.packages()


@pytest.fixture(scope="module")
def box(bare_box, guest, built, tmp_path_factory):
    """With an earlier version of the service."""
    folder = tmp_path_factory.mktemp("old")
    [deb] = [deb for deb in built if deb.name.startswith("virtfreeze_")]
    subprocess.run(["dpkg-deb", "--raw-extract", deb, folder / "root"], check=True)
    for path, old, new in [("DEBIAN/control", "\nVersion: ", "\nVersion: 0.0~"),
                           ("lib/systemd/system/virtfreezed.service", "\nDescription=",
                            "\nDescription=Early ")]:
        text = (folder / "root" / path).read_text()
        assert old in text
        (folder / "root" / path).write_text(text.replace(old, new))
    shutil.rmtree(folder / "root/DEBIAN/md5sums", ignore_errors=True)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", folder / "root",
                    folder / "old.deb"], check=True, capture_output=True)
    bare_box.write(DROP_IN, CONFIG)
    bare_box.install(folder / "old.deb")
    return bare_box


def assert_frozen(guest):
    assert guest.agent_frozen()
    assert guest.is_writer_stalled("a", 0.3) and guest.is_writer_stalled("b", 0)


def assert_thawed(guest):
    assert not guest.agent_frozen()
    guest.wait_writer_progress("a", 30)
    guest.wait_writer_progress("b", 30)


def left_behind(box) -> set[str]:
    """Files with our name, but for what the test itself put there, and the package manager's."""
    found = box.sh("find /etc /usr/bin /usr/lib/systemd /usr/lib/sysusers.d /usr/libexec "
                   "/usr/share /var/lib /run -xdev -regex '.*/[^/]*virt-?freeze[^/]*'").split()
    return {path for path in found if not path.startswith("/var/lib/dpkg/")}


def test_lintian_has_no_errors(built):
    done = subprocess.run(["lintian", "--no-cfg", "--allow-root", "--fail-on", "error", *built],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_upgrade_keeps_freezes(box, built, member, domain, guest):
    assert box.show("virtfreezed", "Description")[0].startswith("Early ")
    freeze = member.freeze(domain, "vdx", hold=HELD_ON)
    lease = member.freeze(domain, "vdy", hold=HELD_ON, lifetime="lease")
    assert_frozen(guest)
    count = guest.writer_count("a")
    process = box.pid()
    box.install(*built)
    assert box.pid() not in (0, process)
    assert not box.show("virtfreezed", "Description")[0].startswith("Early ")
    assert member.freezes() == [freeze, lease]
    assert {member.get(path, "State") for path in (freeze, lease)} == {"held"}
    assert_frozen(guest)
    assert guest.writer_count("a") == count
    member.thaw(freeze)
    member.thaw(lease)
    assert_thawed(guest)


# libvirt's polkit access driver

def virsh(box, *words, user="virtfreeze"):
    return box.run("virsh", "--quiet", "--connect", "qemu:///system", *words, user=user)


@pytest.fixture
def access_driver(box, guest):
    """libvirt asks polkit for each call."""
    original = box.check("cat", ACCESS)
    box.write(ACCESS, f'{original}\naccess_drivers = [ "polkit" ]\n')
    box.restart("libvirtd")
    yield
    box.write(ACCESS, original + "\n")
    box.restart("libvirtd")


DEFINITION = """<domain type='qemu'><name>mine</name><memory>65536</memory>
<os><type arch='x86_64'>hvm</type></os>
<devices><disk type='file' device='disk'><source file='/etc/shadow'/><target dev='vda'/></disk>
</devices></domain>"""

ALLOWED = [("list", "--all"), ("domstate", "web"), ("dumpxml", "web"), ("domfsinfo", "web")]
REFUSED = [("define", "/opt/mine.xml"), ("create", "/opt/mine.xml"), ("destroy", "web"),
           ("suspend", "web"), ("reset", "web"), ("undefine", "web"),
           ("dumpxml", "web", "--security-info"), ("domtime", "web"),
           ("attach-disk", "web", "/etc/shadow", "vdc"), ("memtune", "web", "--hard-limit", "1"),
           ("guest-agent-timeout", "web", "--timeout", "5"),
           ("qemu-agent-command", "web", '{"execute":"guest-info"}'),
           ("qemu-monitor-command", "web", "--hmp", "info status"),
           ("pool-list", "--all"), ("net-list", "--all"), ("secret-list",)]


def test_its_user_may_do_all_without_the_access_driver(box):
    """Which is why there are rules for it: without the driver they leave it everything."""
    box.write("/opt/mine.xml", DEFINITION)
    assert virsh(box, "define", "/opt/mine.xml").returncode == 0
    assert virsh(box, "undefine", "mine").returncode == 0


def test_nobody_else_is_let_in(box):
    done = virsh(box, "list", user="vf-nobody")
    assert done.returncode != 0 and "authentication" in done.stderr


def test_what_the_access_driver_leaves_it(box, access_driver, member, domain, guest):
    box.write("/opt/mine.xml", DEFINITION)
    for words in ALLOWED:
        done = virsh(box, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert "mountpoint" not in virsh(box, "domfsfreeze", "web").stderr
    assert virsh(box, "domfsthaw", "web").returncode == 0
    for words in REFUSED:
        done = virsh(box, *words)
        if words[0] in ("pool-list", "net-list", "secret-list") and not done.returncode:
            assert done.stdout.strip() == ""   # nothing is shown
            continue
        assert done.returncode != 0, words
        assert "access denied" in done.stderr, (words, done.stderr)
    assert guest.is_running()


def test_the_service_works_with_the_access_driver(box, access_driver, connect, member, guest):
    """All it does: lists, events, freezes, verification, and going on after a crash."""
    root = connect().watch()
    domain = wait_until(lambda: member.get(ROOT, "Connected") and member.domain(guest.name), 60,
                        "connection to libvirt")
    root.wait_property(domain, "AgentConnected", True)
    guest.suspend()
    root.wait_property(domain, "State", "paused")
    guest.resume()
    root.wait_property(domain, "State", "running")

    freeze = member.freeze(domain, "vdx", hold=HELD_ON)
    assert_frozen(guest)
    process = box.pid()
    box.check("systemctl", "kill", "--signal=KILL", "virtfreezed")
    wait_until(lambda: box.pid() not in (0, process) and member.freezes() == [freeze], 60,
               "restart")
    wait_until(lambda: member.get(ROOT, "Connected"), 60, "connection to libvirt")
    assert_frozen(guest)
    member.thaw(freeze)
    assert_thawed(guest)

    member.watch()
    freeze = member.freeze(domain, hold=HELD_ON)
    guest.virsh("domfsthaw")
    assert member.wait_signal("Lost", freeze, 60).body == ("thawed-outside",)


def test_the_example_rule_for_agent_timeout(box, access_driver, guest):
    text = (SOURCE / "policy/examples/40-virtfreeze-agent-timeout.rules").read_text()
    box.set_rules(text)
    try:
        assert virsh(box, "guest-agent-timeout", "web", "--timeout", "5").returncode == 0
        assert virsh(box, "destroy", "web").returncode != 0
        box.set_rules(text.replace('"web"', '"other"'))
        assert virsh(box, "guest-agent-timeout", "web", "--timeout", "5").returncode != 0
    finally:
        box.set_rules("")


# The user's own service

def test_the_session_bus_starts_it(box, connect):
    """By a call, under the user's systemd, for the user's guests; here libvirt only plays one."""
    uid = box.uid("vf-member")
    box.sh("mkdir -p /home/vf-member/.config/virtfreeze; cd /home/vf-member/.config/virtfreeze; "
           "printf '[Freeze]\\nUri=test:///default\\n' >virtfreezed.conf; "
           "chown -R vf-member: /home/vf-member")
    box.check("systemctl", "start", f"user@{uid}.service")

    def user(*words) -> str:
        return box.check("env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "HOME=/home/vf-member", *words,
                         user="vf-member")

    call = ("busctl", "--user", "call", "org.virtfreeze1")
    answer = user(*call, "/org/virtfreeze1", "org.virtfreeze1.Manager", "GetDomain", "s", "test")
    assert user("systemctl", "--user", "is-active", "virtfreezed.service") == "active"
    domain = answer.split('"')[1]
    freeze = user(*call, domain, "org.virtfreeze1.Domain", "FreezeWithOptions", "asa{sv}", "0", "1",
                  "lifetime", "s", "lease").split('"')[1]
    user(*call, freeze, "org.virtfreeze1.Freeze", "Thaw")
    user("systemctl", "--user", "stop", "virtfreezed.service")
    box.check("systemctl", "stop", f"user@{uid}.service")


# Removal

def test_removal_is_refused_while_a_guest_cannot_be_thawed(box, member, domain, guest):
    freeze = member.freeze(domain, hold=HELD_ON, lifetime="lease")
    assert_frozen(guest)
    guest.stop_agent()
    try:
        done = box.run("dpkg", "--remove", "virt-freeze", "virtfreeze", timeout=180)
        assert done.returncode != 0
        assert "virtfreeze is not removed" in done.stderr
        assert "install ok installed" in box.check("dpkg", "--status", "virtfreeze")
        box.wait_state("virtfreezed", "active")
    finally:
        guest.cont_agent()
    wait_until(lambda: not guest.agent_frozen(), 60, "thaw")
    assert freeze not in member.freezes()


def test_removal_leaves_nothing_frozen(box, built, member, guest):
    box.install(*built)   # what was removed with it
    member.freeze(member.domain(guest.name), hold=HELD_ON, lifetime="lease")
    assert_frozen(guest)
    box.check("dpkg", "--remove", "virt-freeze", "virtfreeze-doc", "virtfreeze", timeout=180)
    assert_thawed(guest)
    assert box.show("virtfreezed", "ActiveState", "LoadState") == ["inactive", "not-found"]
    # Configuration stays until it is purged, with the package manager's own notes.
    assert all(path.startswith(("/etc/virtfreeze", "/var/lib/systemd/", "/etc/systemd/"))
               for path in left_behind(box))


def test_purge_leaves_the_user_alone(box, guest):
    box.check("dpkg", "--purge", "virt-freeze", "virtfreeze-doc", "virtfreeze", timeout=180)
    assert left_behind(box) == set()
    assert box.sh("ls -A /run/virtfreeze 2>&1 || :").endswith("No such file or directory")
    assert box.run("dpkg", "--status", "virtfreeze").returncode != 0
    assert box.check("getent", "passwd", "virtfreeze")
    assert box.run("busctl", "call", "org.virtfreeze1", "/org/virtfreeze1",
                   "org.freedesktop.DBus.Peer", "Ping").returncode != 0
    assert_thawed(guest)
