# SPDX-License-Identifier: LGPL-2.1-or-later
"""How freezes of a real guest begin, combine and end, with the guest agent as engine."""

import pytest

from harness.client import GONE, fails
from harness.guest import BLANK, VirshError, wait_until
from service import Standstill, assert_thawed

# The three sequences of the contract: disks asked for first, second; which freeze is thawed first.
SEQUENCES = {
    "interleaved": (["vdx"], ["vdy"], 0),
    "nested": (["vdx"], ["vdy"], 1),
    "overlapping": (["vdx", "vdy"], ["vdx"], 0),
}


def test_a_thaw_for_a_moment_is_seen(guest):
    """The proof that other tests rely on."""
    guest.virsh("domfsfreeze")
    still = Standstill(guest)
    still.check()
    guest.virsh("domfsthaw")
    guest.virsh("domfsfreeze")
    with pytest.raises(AssertionError):
        still.check()
    guest.virsh("domfsthaw")
    assert_thawed(guest)


@pytest.mark.parametrize("first, second, thawed_first", SEQUENCES.values(), ids=SEQUENCES)
def test_sequence_by_counts(guest, connect, domain, first, second, thawed_first):
    """Scope auto is domain: every filesystem counts, and all thaw at the end."""
    callers = connect(), connect()
    freezes = [callers[0].freeze(domain, *first)]
    still = Standstill(guest)
    freezes.append(callers[1].freeze(domain, *second))
    assert [callers[0].get(freeze, "Scope") for freeze in freezes] == ["domain", "domain"]

    callers[thawed_first].thaw(freezes[thawed_first])
    assert callers[0].freezes(domain) == [freezes[1 - thawed_first]]
    with fails(*GONE):
        callers[thawed_first].thaw(freezes[thawed_first])
    still.check()

    callers[1 - thawed_first].thaw(freezes[1 - thawed_first])
    assert_thawed(guest)


def test_scope_disks_cannot_grow_while_frozen(guest, connect, domain):
    """A frozen agent freezes nothing more, so the second of `interleaved` and `nested` fails."""
    first, second = connect(), connect()
    freeze = first.freeze(domain, "vdx", scope="disks")
    still = Standstill(guest, ("a",))
    with fails("Conflict"):
        second.freeze(domain, "vdy", scope="disks")
    # Nor is scope domain a way to get it.
    with fails("Conflict"):
        second.freeze(domain, "vdx")
    guest.wait_writer_progress("b")
    still.check()
    first.thaw(freeze)
    assert_thawed(guest)


def test_scope_disks_thaws_at_the_last_count(guest, connect, domain):
    """`overlapping`: B's count falls to 0 first, but the agent cannot thaw a part."""
    both, one = connect(), connect()
    freezes = both.freeze(domain, "vdx", "vdy", scope="disks"), None
    still = Standstill(guest, ("a", "b"))
    freezes = freezes[0], one.freeze(domain, "vdx", scope="disks")
    guest.wait_writer_progress("span")
    both.thaw(freezes[0])
    assert one.freezes(domain) == [freezes[1]]
    still.check()
    one.thaw(freezes[1])
    assert_thawed(guest)


# What is covered

def frozen_counts(client, freeze) -> tuple[int, int]:
    properties = client.properties(freeze)
    return properties["FilesystemsFrozen"], properties["FilesystemsSkipped"]


def test_everything_is_frozen_but_vfat(guest, root, domain):
    freeze = root.do(domain, "Freeze", "as", [])
    assert frozen_counts(root, freeze) == (3, 1)
    still = Standstill(guest)
    guest.wait_writer_progress("efi")
    still.check()
    assert root.frozen(freeze) == {"/mnt/a", "/mnt/a-bind", "/mnt/b", "/mnt/span"}
    assert not root.filesystems(freeze)["/mnt/efi"]["freezable"]
    root.thaw(freeze)
    assert_thawed(guest)


@pytest.mark.parametrize("disk", ["vdz", "vdaa"])
def test_a_filesystem_on_two_disks_is_covered_by_either(guest, root, domain, disk):
    freeze = root.freeze(domain, disk, scope="disks")
    assert frozen_counts(root, freeze) == (1, 0)
    still = Standstill(guest, ("span",))
    for name in ("a", "b"):
        guest.wait_writer_progress(name)
    still.check()
    root.thaw(freeze)
    assert_thawed(guest)


def test_a_bind_mount_counts_once(guest, root, domain):
    freeze = root.freeze(domain, "vdx", scope="disks")
    assert frozen_counts(root, freeze) == (1, 0)
    assert set(root.filesystems(freeze)) == {"/mnt/a", "/mnt/a-bind"}
    assert guest.kernel_frozen("/mnt/a") and guest.kernel_frozen("/mnt/a-bind")
    Standstill(guest, ("a",))
    root.thaw(freeze)
    assert_thawed(guest)


@pytest.mark.parametrize("disk", ["vda", "vdab"], ids=["unmounted", "vfat"])
def test_there_may_be_nothing_to_freeze(guest, root, domain, disk):
    with fails("NothingToFreeze"):
        root.freeze(domain, disk, scope="disks")
    assert_thawed(guest)


def test_with_scope_domain_an_unmounted_disk_freezes_everything(guest, root, domain):
    freeze = root.freeze(domain, "vda", scope="domain")
    assert frozen_counts(root, freeze) == (3, 1)
    Standstill(guest)
    root.thaw(freeze)
    assert_thawed(guest)


def test_a_disk_can_be_named_by_its_source(guest, root, domain):
    source = str(guest.folder / "vdy.img")
    freeze = root.freeze(domain, source, "vdy", scope="disks")
    assert root.get(freeze, "Disks") == ["vdy"]
    Standstill(guest, ("b",))
    guest.wait_writer_progress("a")
    root.thaw(freeze)
    assert_thawed(guest)


def test_filesystems_are_mapped_by_the_guest_and_not_by_names(guest, root, domain):
    def mapped():
        return {mountpoint: (each["type"], each["targets"])
                for mountpoint, each in root.filesystems(domain).items()}

    expected = {
        "/mnt/a": ("ext4", ["vdx"]),
        "/mnt/a-bind": ("ext4", ["vdx"]),
        "/mnt/b": ("xfs", ["vdy"]),
        "/mnt/span": ("ext4", ["vdz", "vdaa"]),
        "/mnt/efi": ("vfat", ["vdab"]),
    }
    before = mapped()
    assert {mount: (type_, sorted(targets)) for mount, (type_, targets) in before.items()} == \
        {mount: (type_, sorted(targets)) for mount, (type_, targets) in expected.items()}
    # The disk that libvirt calls vda is blank, and the guest calls another one so.
    assert root.filesystems(domain)["/mnt/a"]["device"] == "vda"
    assert set(root.get(domain, "Disks")) == {"vda", "vdx", "vdy", "vdz", "vdaa", "vdab"}
    assert root.frozen(domain) == set()

    # A frozen agent refuses: the answer is the list from before.
    freeze = root.freeze(domain)
    with pytest.raises(VirshError):
        guest.virsh("domfsinfo")
    assert mapped() == before
    assert root.frozen(domain) == {"/mnt/a", "/mnt/a-bind", "/mnt/b", "/mnt/span"}
    root.thaw(freeze)


# Disks come and go

def test_a_disk_attached_while_frozen_is_a_conflict(guest, root, domain):
    freeze = root.freeze(domain)
    still = Standstill(guest)
    guest.attach_disk("vdh")
    root.wait_property(domain, "Disks", ["vda", "vdh", "vdx", "vdy", "vdz", "vdaa", "vdab"])
    for disks in (["vdh"], ["vdx", "vdh"]):
        with fails("Conflict", match="vdh"):
            root.freeze(domain, *disks)
    root.freeze(domain, "vdx")
    still.check()
    for freeze in root.freezes(domain):
        root.thaw(freeze)
    assert_thawed(guest)

    # Now it can be asked for; there is nothing on it.
    wait_until(lambda: guest.sh("grep -q hotvdh /sys/block/vd*/serial")[0] == 0, 5, "new disk")
    with fails("NothingToFreeze"):
        root.freeze(domain, "vdh", scope="disks")
    guest.detach_disk("vdh")
    root.wait_property(domain, "Disks", ["vda", "vdx", "vdy", "vdz", "vdaa", "vdab"])
    with fails("UnknownDisk", match="vdh"):
        root.freeze(domain, "vdh")


def test_a_disk_detached_while_frozen_leaves_the_rest_frozen(guest, root, domain):
    guest.attach_disk("vdh")
    wait_until(lambda: guest.sh("grep -q hotvdh /sys/block/vd*/serial")[0] == 0, 5, "new disk")
    freeze = root.freeze(domain, "vdh", "vdx")
    still = Standstill(guest)
    guest.detach_disk("vdh")
    root.wait_property(domain, "Disks", ["vda", "vdx", "vdy", "vdz", "vdaa", "vdab"])
    with fails("UnknownDisk"):
        root.freeze(domain, "vdh")
    still.check()
    root.thaw(freeze)
    assert_thawed(guest)


# What cannot be frozen

def test_frozen_elsewhere_is_left_alone(guest, root, domain):
    guest.virsh("domfsfreeze")
    still = Standstill(guest)
    with fails("FrozenElsewhere"):
        root.freeze(domain)
    still.check()
    with fails("FrozenElsewhere"):
        root.filesystems(domain)
    guest.virsh("domfsthaw")
    root.thaw(root.freeze(domain))
    assert_thawed(guest)


def test_incomplete_is_thawed_again(guest, root, domain):
    """The agent skips what is frozen already, without a word, and freezes the rest."""
    guest.check("fsfreeze -f /mnt/b")
    with fails("Incomplete"):
        root.freeze(domain)
    assert root.freezes(domain) == []
    # A thaw by the agent thaws whatever is frozen.
    assert_thawed(guest)
    root.thaw(root.freeze(domain))


def test_paused_guest(guest, root, domain):
    guest.suspend()
    root.wait_property(domain, "State", "paused")
    with fails("NotRunning"):
        root.freeze(domain)
    guest.resume()
    root.wait_property(domain, "State", "running")
    root.thaw(root.freeze(domain))
    assert_thawed(guest)


def test_guest_that_does_not_run(root, new_guest):
    new_guest("stopped", (BLANK,))
    path = root.wait_signal("InterfacesAdded").body[0]
    assert root.properties(path)["State"] == "shutoff"
    with fails("NotRunning"):
        root.freeze(path)


def test_guest_without_an_agent_channel(root, new_guest):
    new_guest("channelless", (BLANK,), channel=False).start(wait=False)
    path = root.domain("channelless")
    root.wait_property(path, "State", "running")
    with fails("AgentUnavailable"):
        root.freeze(path)


def test_guest_without_an_agent(guest, root, domain):
    guest.kill_agent()
    root.wait_property(domain, "AgentConnected", False)
    with fails("AgentUnavailable"):
        root.freeze(domain)
    guest.start_agent()
    root.wait_property(domain, "AgentConnected", True)
    root.thaw(root.freeze(domain))
    assert_thawed(guest)


def test_an_agent_that_tells_no_filesystems(guest, root, domain):
    """Some images block guest-get-fsinfo: then everything can be frozen, and no single disk."""
    guest.kill_agent()
    guest.start_agent("--block-rpcs=guest-get-fsinfo")
    root.wait_property(domain, "AgentConnected", True)
    with fails("NotMapped"):
        root.freeze(domain, "vdx", scope="disks")
    assert_thawed(guest)
    freeze = root.freeze(domain, "vdx")
    still = Standstill(guest)
    other = root.freeze(domain, "vdy")
    root.thaw(freeze)
    still.check()
    root.thaw(other)
    assert_thawed(guest)
    # Whether it is still frozen is seen all the same.
    freeze, other = root.freeze(domain), root.freeze(domain)
    guest.virsh("domfsthaw")
    for lost in freeze, other:
        with fails("ConsistencyLost"):
            root.thaw(lost)
    guest.kill_agent()
    guest.start_agent()
