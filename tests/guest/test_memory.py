# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests that are saved with their memory while frozen, and come back as they were."""

import subprocess

import pytest

from harness.guest import SMALL, Guest, Libvirtd
from service import LOG_HOOK, Standstill, assert_lost, assert_thawed, assert_works, wait_thawed


def managed_save(guest):
    guest.virsh("managedsave")


def managed_start(guest):
    guest.virsh("start")


def save(guest):
    guest.virsh("save", str(guest.folder / "saved"))


def restore(guest):
    guest.libvirtd.virsh("restore", str(guest.folder / "saved"))


WAYS = {"managedsave": (managed_save, managed_start), "save": (save, restore)}


@pytest.mark.parametrize("save, restore", WAYS.values(), ids=WAYS)
def test_saved_while_frozen_comes_back_thawed(guest, service, root, domain, hook, save, restore):
    hook(LOG_HOOK)
    freeze = root.freeze(domain)
    Standstill(guest)
    save(guest)
    assert_lost(root, freeze, "domain-stopped")
    root.wait_property(domain, "State", "shutoff")
    restore(guest)
    wait_thawed(guest)
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"   # it came back frozen
    hook()
    assert_works(guest, root, domain)
    assert list(service.state_dir.glob("*.freeze")) == []


def test_saved_while_frozen_comes_back_to_another_instance(guest, service, start, root, domain):
    freeze = root.freeze(domain)
    Standstill(guest)
    managed_save(guest)
    assert_lost(root, freeze, "domain-stopped")
    service.kill()
    service = start(state_dir=service.state_dir)
    root.wait_property(domain, "State", "shutoff")
    managed_start(guest)
    wait_thawed(guest)
    assert_works(guest, root, domain)
    assert list(service.state_dir.glob("*.freeze")) == []


def test_saved_while_frozen_comes_back_without_the_service(guest, service, start, root, domain):
    root.freeze(domain)
    Standstill(guest)
    service.kill()
    managed_save(guest)
    managed_start(guest)
    still = Standstill(guest, agent=False)
    still.check()
    start(state_dir=service.state_dir)
    wait_thawed(guest)
    root.wait_property(domain, "FreezeState", "thawed")


def test_saved_while_frozen_by_others_comes_back_frozen(guest, root, domain):
    guest.virsh("domfsfreeze")
    managed_save(guest)
    root.wait_property(domain, "State", "shutoff")
    managed_start(guest)
    root.wait_property(domain, "AgentConnected", True)
    Standstill(guest)
    guest.virsh("domfsthaw")
    assert_works(guest, root, domain)


# Snapshots with memory

class Qcow2Guest(Guest):
    """Of raw disks there are no such snapshots."""

    def _domain_xml(self, *arguments):
        xml = super()._domain_xml(*arguments)
        for image in self.folder.glob("*.img"):
            raw = image.rename(image.with_suffix(".raw"))
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, image], check=True)
        return xml.replace("type='raw'", "type='qcow2'")


@pytest.fixture
def snapshot_guest(libvirtd, image):
    guest = Qcow2Guest(libvirtd, image, "snapshots", SMALL).start()
    yield guest
    for name in guest.virsh("snapshot-list", "--name").split():
        guest.virsh("snapshot-delete", name)
    guest.remove()


def test_snapshot_revert(snapshot_guest, root):
    guest = snapshot_guest
    guest.set_hook(LOG_HOOK)
    domain = root.domain(guest.name)
    root.wait_property(domain, "AgentConnected", True)

    # To a snapshot from before the freeze: the freeze is lost, the guest is thawed.
    guest.virsh("snapshot-create-as", "thawed")
    freeze = root.freeze(domain)
    still = Standstill(guest)
    guest.virsh("snapshot-create-as", "frozen")
    still.check()
    guest.virsh("snapshot-revert", "thawed")
    assert_lost(root, freeze, "restored")
    assert_thawed(guest)
    assert_works(guest, root, domain)

    # To one from within a freeze that has ended: it is frozen there, for nobody.
    guest.virsh("snapshot-revert", "frozen")
    wait_thawed(guest)
    assert guest.check("cat /run/hook.log") == "freeze\nthaw\n"
    assert_works(guest, root, domain)

    # To the same one, while another freeze is held.
    freeze = root.freeze(domain)
    guest.virsh("snapshot-revert", "frozen")
    assert_lost(root, freeze, "restored")
    wait_thawed(guest)
    assert_works(guest, root, domain)


# Migration

def migrate(guest, source, target):
    """Live, within this machine."""
    source.virsh("migrate", "--live", "--p2p", "--unsafe", guest.name, target.uri,
                 "--migrateuri", f"unix://{guest.folder}/migration")
    guest.libvirtd = target


def test_migrated_while_frozen(libvirtd, guest, root, domain):
    """The freeze is lost. There is nobody on the other host who knows that it is frozen."""
    freeze = root.freeze(domain)
    still = Standstill(guest)
    with Libvirtd() as elsewhere:
        migrate(guest, libvirtd, elsewhere)
        assert_lost(root, freeze, "migrated")
        assert root.get(domain, "FreezeState") == "thawed"
        still.check()
        migrate(guest, elsewhere, libvirtd)
    # It comes back frozen with a freeze that was ours.
    root.wait_property(domain, "State", "running")
    wait_thawed(guest)
    assert_works(guest, root, domain)


def test_migrated_and_thawed_elsewhere(libvirtd, guest, root, domain):
    freeze = root.freeze(domain)
    Standstill(guest)
    with Libvirtd() as elsewhere:
        migrate(guest, libvirtd, elsewhere)
        assert_lost(root, freeze, "migrated")
        guest.virsh("domfsthaw")
        assert_thawed(guest)
        guest.destroy()
        guest.libvirtd = libvirtd
        guest.start()
    assert_works(guest, root, domain)
