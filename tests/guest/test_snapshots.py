# SPDX-License-Identifier: LGPL-2.1-or-later
"""The recipes of data/doc/snapshots.md, run as they stand there. Their copies are complete, with no
journal to replay."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import box
from service import Standstill, assert_thawed

CONFIG = "AgentTimeout=15s\nFreezeTimeout=20s\nVerifyInterval=500ms\n"
PAGE = box.SOURCE / "data/doc/snapshots.md"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

WHOLE = "The whole guest"
DISK = "One disk, while others hold another"
GROUP = "Two guests at the same moment"
DBUS = "Two guests, over D-Bus"
COPY = "A copy without a snapshot"


def recipes() -> dict[str, str]:
    """Heading → script."""
    found = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        assert len(blocks) <= 1, section
        if blocks:
            found[section.partition("\n")[0]] = blocks[0]
    return found


@pytest.fixture
def run(libvirtd, bus, service, tmp_path):
    """Runs a script; returns the folder of what it copied."""
    program = os.environ.get("VIRT_FREEZE") or box.SOURCE / "build/client/virt-freeze"
    backup = tmp_path / "backup"
    backup.mkdir()

    def run(script: str, **names: str) -> Path:
        done = subprocess.run(
            ["sh", "-eu", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300,
            env={"PATH": f"{Path(program).parent}:{SYSTEM_PATH}", "LC_ALL": "C.UTF-8",
                 "LIBVIRT_DEFAULT_URI": libvirtd.uri, **bus.environment(), "backup": str(backup),
                 **names})
        assert done.returncode == 0, done.stdout
        return backup

    return run


@pytest.fixture
def boot(new_guest, root):
    """Boots a guest with ext4 on vdx and vdy, for one test: recipes change its disks."""
    def boot(name):
        guest = new_guest(name).start()
        domain = root.domain(name)
        root.wait_property(domain, "AgentConnected", True)
        return guest, domain
    return boot


def has_journal(image: Path) -> bool:
    """To replay."""
    header = subprocess.run(["dumpe2fs", "-h", image], check=True, capture_output=True, text=True,
                            env={"PATH": SYSTEM_PATH, "LC_ALL": "C"}).stdout
    features = re.search("^Filesystem features: (.*)$", header, re.MULTILINE)[1].split()
    assert "has_journal" in features
    return "needs_recovery" in features


def assert_consistent(image: Path):
    assert not has_journal(image)
    done = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True,
                          env={"PATH": SYSTEM_PATH, "LC_ALL": "C"})
    assert done.returncode == 0, done.stdout + done.stderr


def assert_back(guest, root, domain):
    """It writes to its own images again, and nobody holds it."""
    assert root.get(domain, "Freezes") == []
    assert_thawed(guest)
    for name in ("vdx", "vdy"):
        assert str(guest.folder / f"{name}.img") in guest.virsh("domblklist")
    assert not list(guest.folder.glob("*nightly*"))


def test_each_recipe_is_tested():
    assert set(recipes()) == {WHOLE, DISK, GROUP, DBUS, COPY}


def test_the_whole_guest(boot, root, run):
    guest, domain = boot("whole")
    backup = run(recipes()[WHOLE], guest="whole")
    for name in ("vdx.img", "vdy.img"):
        assert_consistent(backup / name)
    assert_back(guest, root, domain)


def test_without_a_freeze_there_is_a_journal_to_replay(boot, root, run):
    """The same but for the freeze. So the checks of this file can fail."""
    guest, domain = boot("unfrozen")
    script, replaced = re.subn(r"^virt-freeze run [^\\]*\\\n", "", recipes()[WHOLE],
                               flags=re.MULTILINE)
    assert replaced == 1 and "virt-freeze" not in script
    backup = run(script, guest="unfrozen")
    for name in ("vdx.img", "vdy.img"):
        assert has_journal(backup / name)
    assert_back(guest, root, domain)


@pytest.mark.config(f"{CONFIG}Engine=exec\n")
def test_one_disk_while_another_client_holds_another(boot, root, connect, run):
    guest, domain = boot("disk")
    other = connect()
    freeze = other.freeze(domain, "vdy", hold=600_000_000)
    still = Standstill(guest, ("b",), agent=False)
    backup = run(recipes()[DISK], guest="disk", disk="vdx")
    assert_consistent(backup / "vdx.img")
    assert [path.name for path in backup.iterdir()] == ["vdx.img"]
    # That of the other was never thawed, and this disk's is thawed without it.
    guest.wait_writer_progress("a")
    still.check()
    assert root.get(domain, "Freezes") == [freeze]
    other.thaw(freeze)
    assert_back(guest, root, domain)


@pytest.mark.parametrize("recipe", [GROUP, DBUS], ids=["command", "busctl"])
def test_two_guests(boot, root, run, recipe):
    names = ("web", "db")
    guests = [boot(name) for name in names]
    root.history.clear()
    backup = run(recipes()[recipe], guest="web", guest2="db")
    for name in names:
        for image in ("vdx.img", "vdy.img"):
            assert_consistent(backup / name / image)
    # Both freezes began before either ended.
    root.sync_service()
    told = [signal.member for signal in root.signals()
            if signal.member in ("InterfacesAdded", "InterfacesRemoved")]
    assert told == ["InterfacesAdded"] * 2 + ["InterfacesRemoved"] * 2
    for guest, domain in guests:
        assert_back(guest, root, domain)


def test_a_copy_without_a_snapshot(boot, root, run):
    guest, domain = boot("copy")
    backup = run(recipes()[COPY], guest="copy", disk="vdx")
    assert_consistent(backup / "vdx.img")
    assert_back(guest, root, domain)
