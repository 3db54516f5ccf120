# SPDX-License-Identifier: LGPL-2.1-or-later
"""Domains appear, change and go as libvirt tells; nothing is polled."""

from harness.client import ROOT, fails
from harness.guest import BLANK

DOMAIN = "org.virtfreeze1.Domain"


def wait_added(client, name) -> str:
    return client.wait_signal("InterfacesAdded", ROOT, wanted=lambda path, interfaces:
                              interfaces.get(DOMAIN, {}).get("Name") == name).body[0]


def test_a_persistent_domain_from_define_to_undefine(root, new_guest):
    guest = new_guest("persistent", (BLANK,))
    path = wait_added(root, guest.name)
    assert path == root.domain(guest.name) == root.domain(root.get(path, "UUID"))
    assert (root.get(path, "State"), root.get(path, "Disks")) == ("shutoff", ["vda"])

    guest.start(wait=False)
    root.wait_property(path, "State", "running")
    guest.suspend()
    root.wait_property(path, "State", "paused")
    guest.resume()
    root.wait_property(path, "State", "running")
    guest.destroy()
    root.wait_property(path, "State", "shutoff")

    guest.virsh("domrename", "renamed")
    root.wait_property(path, "Name", "renamed")
    assert root.domain("renamed") == path
    with fails("UnknownDomain"):
        root.domain("persistent")

    guest.libvirtd.virsh("undefine", "renamed")
    root.wait_gone(path)
    with fails("UnknownDomain"):
        root.domain("renamed")
    guest.libvirtd.virsh("define", guest.folder / "domain.xml")
    wait_added(root, guest.name)


def test_a_transient_domain_is_there_while_it_runs(root, new_guest):
    guest = new_guest("transient", (BLANK,), persistent=False).start(wait=False)
    path = wait_added(root, guest.name)
    root.wait_property(path, "State", "running")
    guest.destroy()
    root.wait_gone(path)


def test_a_domain_undefined_while_it_runs_goes_when_it_ends(root, new_guest):
    guest = new_guest("undefined", (BLANK,)).start(wait=False)
    path = wait_added(root, guest.name)
    root.wait_property(path, "State", "running")
    guest.virsh("undefine")
    # What comes from libvirt later is dealt with later, too.
    guest.suspend()
    root.wait_property(path, "State", "paused")
    guest.virsh("destroy")
    root.wait_gone(path)
    guest.libvirtd.virsh("define", guest.folder / "domain.xml")


def test_the_agent_comes_and_goes(guest, root, domain):
    guest.kill_agent()
    root.wait_property(domain, "AgentConnected", False)
    guest.start_agent()
    root.wait_property(domain, "AgentConnected", True)


def test_boot_to_an_agent_and_shutdown(root, new_guest):
    guest = new_guest("booting", (BLANK,))
    path = wait_added(root, guest.name)
    assert not root.get(path, "AgentConnected")
    guest.start(wait=False)
    root.wait_property(path, "State", "running")
    root.wait_property(path, "AgentConnected", True, timeout=60)
    guest.wait_ready()
    guest.shutdown()
    root.wait_property(path, "State", "shutoff")
    root.wait_property(path, "AgentConnected", False)


def test_a_name_in_the_form_of_a_uuid(root, domain, new_guest):
    """A UUID is looked up as one, whoever is called so."""
    guest = new_guest(root.get(domain, "UUID"), (BLANK,))
    path = wait_added(root, guest.name)
    assert path != domain
    assert root.domain(guest.name) == domain
