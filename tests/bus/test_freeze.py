# SPDX-License-Identifier: LGPL-2.1-or-later
"""How freezes begin, combine and end. The test driver thaws in part and grows while frozen."""

import pytest

from harness.client import GONE, ROOT, S, fails
from harness.node import PAUSED, SHUTOFF, Domain, Node

TWO = Domain("two", ("vda", "vdb"))
DISKLESS = Domain("diskless", ())
OFF = Domain("off", state=SHUTOFF)
PAUSED_ONE = Domain("paused", state=PAUSED)
TRANSIENT = Domain("transient", transient=True)
DOMAINS = (TWO, DISKLESS, OFF, PAUSED_ONE, TRANSIENT)


@pytest.fixture
def node(bus, start, connect):
    """The service on DOMAINS, and a connection of root to it."""
    start(uri=Node(bus.new_file("node.xml"), *DOMAINS).uri)
    return connect().watch()


def assert_frozen(client, domain, yes=True):
    assert client.get(domain, "FreezeState") == ("frozen" if yes else "thawed")
    assert (client.get(domain, "FrozenSince") > 0) == yes
    assert client.frozen(domain) == ({"/", "/boot"} if yes else set())


# Alone

@pytest.mark.parametrize("disks", [[], ["vda"], ["/guest/diskimage1"],
                                   ["vda", "/guest/diskimage1", "vda"]])
def test_freeze_and_thaw(root, domain, disks):
    freeze = root.do(domain, "Freeze", "as", disks)
    assert_frozen(root, domain)
    assert root.get(freeze, "State") == "held"
    # Repeated names, and names of the same disk, count once.
    assert root.get(freeze, "Disks") == (["vda"] if disks else [])
    root.thaw(freeze)
    assert_frozen(root, domain, False)


def test_freeze_is_freeze_with_options_without_options(root, domain):
    plain = root.properties(root.do(domain, "Freeze", "as", ["vda"]))
    options = root.properties(root.freeze(domain, "vda"))
    for different in ("Created", "Deadline"):
        assert abs(plain.pop(different) - options.pop(different)) < S
    assert plain == options


def test_released_and_removal_precede_the_answer_of_thaw(root, domain):
    freeze = root.freeze(domain)
    root.history.clear()
    root.thaw(freeze)
    # The answer is the last of what has come.
    told = [(signal.path, signal.member, signal.body) for signal in root.signals()]
    assert told[-2:] == [
        (freeze, "Released", ("thawed",)),
        (ROOT, "InterfacesRemoved", (freeze, ["org.virtfreeze1.Freeze"]))]
    # And the guest was thawed by then.
    assert (domain, {"FreezeState": "thawed", "FrozenSince": 0}) in [
        (path, body[1]) for path, member, body in told if member == "PropertiesChanged"]


def test_a_freeze_is_gone_after_its_thaw(root, domain):
    freeze = root.freeze(domain)
    root.thaw(freeze)
    for method in ("Thaw", "GetFilesystems"):
        with fails(*GONE):
            root.do(freeze, method)
    with fails(*GONE):
        root.renew(freeze, S)
    assert root.freezes() == []


def test_thaw_twice_at_once_is_one_thaw(root, domain):
    freeze = root.freeze(domain)
    first, second = root.begin_thaw(freeze), root.begin_thaw(freeze)
    first.result()
    # It joins the first, or comes after its end.
    assert (second.message().get_error_name() or "ok").rpartition(".")[2] in ("ok", *GONE)
    assert root.freezes() == []
    assert_frozen(root, domain, False)


# Scopes

def test_scope_auto_is_disks_with_the_test_driver(root, domain):
    assert root.get(root.freeze(domain), "Scope") == "disks"
    assert root.get(root.freeze(domain, scope="auto"), "Scope") == "disks"


def test_scope_domain_freezes_all_whatever_disks_are_named(node):
    freeze = node.freeze(TWO.path, "vdb", scope="domain")
    assert node.frozen(TWO.path) == {"/", "/boot"}
    properties = node.properties(freeze)
    assert (properties["Scope"], properties["Disks"], properties["FilesystemsFrozen"]) == (
        "domain", ["vdb"], 2)
    assert set(node.filesystems(freeze)) == {"/", "/boot"}


@pytest.mark.config("Scope=domain")
def test_scope_comes_from_the_configuration(root, domain):
    assert root.get(root.freeze(domain), "Scope") == "domain"
    assert root.get(root.freeze(domain, scope="disks"), "Scope") == "disks"


def test_a_disk_without_filesystem_is_nothing_to_freeze(node):
    with fails("NothingToFreeze", match="two"):
        node.freeze(TWO.path, "vdb")
    assert_frozen(node, TWO.path, False)
    node.thaw(node.freeze(TWO.path, "vda", "vdb"))


@pytest.mark.parametrize("scope", ["auto", "disks", "domain"])
def test_a_guest_without_filesystems_is_nothing_to_freeze(node, scope):
    with fails("NothingToFreeze", match="diskless"):
        node.freeze(DISKLESS.path, scope=scope)
    assert node.get(DISKLESS.path, "FreezeState") == "thawed"


# Several at once

@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_guest_is_frozen_until_the_last_thaw(root, connect, domain, order):
    clients = connect(), connect()
    freezes = clients[0].freeze(domain, "vda"), clients[1].freeze(domain)
    since = root.get(domain, "FrozenSince")
    clients[order[0]].thaw(freezes[order[0]])
    assert_frozen(root, domain)
    assert root.get(domain, "FrozenSince") == since
    assert root.freezes() == [freezes[order[1]]]
    assert root.get(freezes[order[1]], "State") == "held"
    clients[order[1]].thaw(freezes[order[1]])
    assert_frozen(root, domain, False)


def test_scopes_combine(root, domain):
    by_disk = root.freeze(domain, "vda")
    whole = root.freeze(domain, scope="domain")
    root.thaw(by_disk)
    assert_frozen(root, domain)
    root.thaw(whole)
    assert_frozen(root, domain, False)


def test_many_freezes_at_once(root, connect, domain):
    clients = [connect() for _ in range(8)]
    for _ in range(3):
        pending = [client.begin_freeze(domain) for client in clients]
        freezes = [call.result() for call in pending]
        assert len(set(freezes)) == len(clients)
        assert_frozen(root, domain)
        for call in [client.begin_thaw(freeze) for client, freeze in zip(clients, freezes)]:
            call.result()
        assert_frozen(root, domain, False)


def test_domains_are_independent(node):
    freeze = node.freeze(TWO.path)
    assert_frozen(node, TRANSIENT.path, False)
    other = node.freeze(TRANSIENT.path)
    node.thaw(freeze)
    assert_frozen(node, TWO.path, False)
    assert_frozen(node, TRANSIENT.path)
    node.thaw(other)


def test_a_freeze_is_below_its_own_domain_alone(node):
    freeze = node.freeze(TWO.path)
    number = freeze.rpartition("/")[2]
    for method in ("Thaw", "GetFilesystems"):
        with fails(*GONE):
            node.do(f"{TRANSIENT.path}/freeze/{number}", method)
    assert_frozen(node, TWO.path)
    node.thaw(freeze)


# Filesystems

def test_filesystems_of_a_domain(root, domain):
    expected = {mountpoint: {"device": device, "type": "ext4", "targets": ["vda"],
                             "frozen": False, "freezable": True}
                for mountpoint, device in (("/", "vda1"), ("/boot", "vda2"))}
    assert root.filesystems(domain) == expected
    root.freeze(domain)
    for filesystem in expected.values():
        filesystem["frozen"] = True
    assert root.filesystems(domain) == expected


def test_filesystems_of_a_freeze(root, domain):
    freeze = root.freeze(domain, "vda")
    assert root.filesystems(freeze) == root.filesystems(domain)


# Domains that are not running

@pytest.mark.parametrize("domain", [OFF, PAUSED_ONE], ids=lambda domain: domain.name)
def test_only_a_running_guest_is_touched(node, domain):
    for disks in ([], ["vda"]):
        with fails("NotRunning", match=domain.name):
            node.freeze(domain.path, *disks)
    with fails("NotRunning"):
        node.filesystems(domain.path)
    with fails("NotRunning"):
        node.thaw_all(domain.path)
    assert node.get(domain.path, "FreezeState") == "thawed"


def test_a_transient_domain_is_frozen_like_others(node):
    freeze = node.freeze(TRANSIENT.path)
    assert_frozen(node, TRANSIENT.path)
    node.thaw(freeze)


# By force

def test_thaw_all_thaws_and_all_freezes_are_lost(root, connect, domain):
    owner = connect()
    freezes = [owner.freeze(domain), owner.freeze(domain, "vda", lifetime="lease")]
    root.thaw_all(domain)
    assert_frozen(root, domain, False)
    assert root.freezes() == freezes
    for freeze in freezes:
        assert root.wait_signal("Lost", freeze).body == ("thawed-by-other",)
        assert root.get(freeze, "State") == "lost"
        with fails("ConsistencyLost"):
            owner.thaw(freeze)
        assert root.wait_signal("Released", freeze).body == ("lost",)
    assert root.freezes() == []


def test_thaw_all_of_a_thawed_guest_does_no_harm(root, domain):
    root.thaw_all(domain)
    assert_frozen(root, domain, False)
    root.thaw(root.freeze(domain))


def test_a_new_freeze_after_thaw_all_is_sound(root, domain):
    lost = root.freeze(domain)
    root.thaw_all(domain)
    freeze = root.freeze(domain)
    assert_frozen(root, domain)
    with fails("ConsistencyLost"):
        root.thaw(lost)
    assert_frozen(root, domain)
    root.thaw(freeze)
    assert_frozen(root, domain, False)


def test_thaw_by_another_is_a_loss_to_the_owner(root, connect, domain):
    """root may; whether others may is polkit's to say."""
    owner, freezes = connect(), []
    for _ in range(2):
        freezes.append(owner.freeze(domain))
    root.thaw(freezes[0])
    assert root.wait_signal("Lost", freezes[0]).body == ("thawed-by-other",)
    assert_frozen(root, domain)   # the second one holds it
    assert root.freezes() == freezes
    # Once more by somebody else: it stays for its owner to learn of it.
    with fails("ConsistencyLost"):
        root.thaw(freezes[0])
    assert root.freezes() == freezes
    with fails("ConsistencyLost", match="somebody else"):
        owner.thaw(freezes[0])
    owner.thaw(freezes[1])
    assert root.freezes() == []
    assert_frozen(root, domain, False)
