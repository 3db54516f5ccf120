# SPDX-License-Identifier: LGPL-2.1-or-later
"""Objects, properties, and what is announced of them."""

import re
import uuid

import pytest

from harness.client import NAME, MS, ROOT, S, fails, interface_of
from harness.node import PAUSED, SHUTOFF, Domain, Node

TEST_UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
TEST_PATH = "/org/virtfreeze1/domain/_6695eb01_f6a4_8304_79aa_97f2502e193f"


@pytest.fixture
def serve(bus, start, connect):
    """Starts the service on these domains; returns a connection of root."""
    def serve(*domains, **settings):
        start(uri=Node(bus.new_file("node.xml"), *domains).uri, **settings)
        return connect().watch()
    return serve


def test_manager(root):
    assert re.fullmatch(r"\d+\.\d+\.\d+", root.get(ROOT, "Version"))
    assert root.get(ROOT, "ConnectionUri") == "test:///default"
    assert root.get(ROOT, "Connected") is True


@pytest.mark.parametrize("name", [
    "test", TEST_UUID, TEST_UUID.upper(), TEST_UUID.replace("-", "")])
def test_a_domain_is_found_by_name_and_uuid(root, name):
    assert root.domain(name) == TEST_PATH


@pytest.mark.parametrize("name", ["Test", "test ", "", "/", "%s%n", str(uuid.UUID(int=1)),
                                  "x" * 50])
def test_an_unknown_domain_is_an_error_that_names_it(root, name):
    with fails("UnknownDomain") as caught:
        root.domain(name)
    assert f'“{name}”' in caught.value.message


def test_what_has_the_form_of_a_uuid_is_one(serve):
    first = Domain("first")
    second = Domain(first.uuid)   # its name is the other's UUID
    third = Domain(str(uuid.uuid4()))
    root = serve(first, second, third)
    assert root.domain(first.uuid) == first.path
    assert root.domain(second.uuid) == second.path
    with fails("UnknownDomain"):
        root.domain(third.name)


def test_a_domain_has_these_properties(root, domain):
    assert root.properties(domain) == {
        "Name": "test", "UUID": TEST_UUID, "State": "running", "AgentConnected": True,
        "Disks": ["vda"], "Engine": "test", "DefaultHold": 60 * S, "MaxHold": 600 * S,
        "FreezeState": "thawed", "FrozenSince": 0, "Freezes": []}


def test_a_freeze_has_these_properties(root, domain):
    freeze = root.freeze(domain, "vda", hold=5 * S, reason="nightly ☾ backup")
    since = root.get(domain, "FrozenSince")
    properties = root.properties(freeze)
    created, deadline = properties.pop("Created"), properties.pop("Deadline")
    assert properties == {
        "Domain": domain, "Disks": ["vda"], "FilesystemsFrozen": 2, "FilesystemsSkipped": 0,
        "Owner": root.name, "OwnerUID": 0, "Reason": "nightly ☾ backup", "Lifetime": "caller",
        "Scope": "disks", "Engine": "test", "State": "held"}
    # Taken from two clocks, one after the other.
    assert abs(created - since) < S / 10
    assert abs(deadline - created - 5 * S) < S / 10


def test_all_kinds_of_domains_have_objects(serve):
    domains = [Domain("two", ("vda", "sdb")), Domain("diskless", ()), Domain("off", state=SHUTOFF),
               Domain("paused", state=PAUSED), Domain("transient", transient=True),
               Domain("mü ll'er <&> “x”")]
    root = serve(*domains)
    objects = root.objects()
    assert set(objects) == {domain.path for domain in domains}
    for domain in domains:
        assert root.domain(domain.name) == domain.path
        properties = objects[domain.path]
        assert properties == root.properties(domain.path)
        assert (properties["Name"], properties["Disks"]) == (domain.name, list(domain.disks))
    assert objects[domains[2].path]["State"] == "shutoff"
    assert objects[domains[2].path]["AgentConnected"] is False
    assert objects[domains[3].path]["State"] == "paused"


def test_managed_objects_are_domains_and_freezes_with_all_properties(root, domain):
    freezes = [root.freeze(domain), root.freeze(domain, "vda", lifetime="lease")]
    objects = root.objects()
    assert set(objects) == {domain, *freezes}
    for path, properties in objects.items():
        assert properties == root.properties(path)
    assert objects[domain]["Freezes"] == freezes == root.get(domain, "Freezes")


def test_a_freeze_is_announced_with_its_properties_and_its_end(root, domain):
    freeze = root.freeze(domain)
    added = root.wait_signal("InterfacesAdded")
    assert added.path == ROOT
    assert added.body == (freeze, {f"{NAME}.Freeze": root.properties(freeze)})
    root.thaw(freeze)
    removed = root.wait_signal("InterfacesRemoved")
    assert (removed.path, removed.body) == (ROOT, (freeze, [f"{NAME}.Freeze"]))


def test_changes_are_announced(root, domain):
    # Here freezing and thawing take no time, and are not announced; on a busy machine they may be.
    passing = ({"FreezeState": "freezing"}, {"FreezeState": "thawing"}, {"State": "thawing"})

    def changes():
        root.sync()
        return [(signal.path, signal.body[1]) for signal in root.signals()
                if signal.member == "PropertiesChanged" and signal.body[1] not in passing]

    freeze = root.freeze(domain)
    since = root.get(domain, "FrozenSince")
    assert since > 0
    assert changes() == [(domain, {"FreezeState": "frozen", "FrozenSince": since})]
    root.renew(freeze, 30 * S)
    assert changes()[1:] == [(freeze, {"Deadline": root.get(freeze, "Deadline")})]
    root.thaw(freeze)
    assert changes()[2:] == [(domain, {"FreezeState": "thawed", "FrozenSince": 0})]


def test_states_that_pass_at_once_are_not_announced(root, domain):
    """On a busy machine nothing may be over at once: once in 20 times is enough."""
    for _ in range(20):
        root.history.clear()
        root.thaw(root.freeze(domain))
        told = [signal.body[1]["FreezeState"] if signal.member == "PropertiesChanged"
                else signal.member for signal in root.signals()]
        if told == ["frozen", "InterfacesAdded", "thawed", "Released", "InterfacesRemoved"]:
            return
    pytest.fail(f"told was {told}")


def test_what_was_announced_last_is_what_is_there(root, domain):
    freeze = root.freeze(domain, lifetime="lease", hold=100 * MS)
    root.wait_signal("Lost", freeze)
    root.wait_property(domain, "FreezeState", "thawed")
    known = {domain: {}, freeze: {}}
    for signal in root.signals():
        if signal.member == "PropertiesChanged":
            interface, changed, invalidated = signal.body
            assert interface == interface_of(signal.path)
            assert invalidated == []
            known[signal.path] |= changed
    for path, properties in known.items():
        for name, value in properties.items():
            assert root.get(path, name) == value


def test_mountpoints_are_never_broadcast(root, domain):
    first = root.freeze(domain)
    root.thaw(root.freeze(domain, "vda"))
    root.thaw_all(domain)
    with fails("ConsistencyLost"):
        root.thaw(first)
    root.sync()
    for signal in root.signals():
        assert "boot" not in repr(signal.body)


def test_numbers_are_never_used_again(root, connect, domain):
    other = connect()
    paths = []
    for client in (root, other, root):
        paths.append(client.freeze(domain))
        client.thaw(paths[-1])
    paths.append(root.freeze(domain))
    numbers = [int(re.fullmatch(rf"{domain}/freeze/(\d+)", path)[1]) for path in paths]
    assert numbers == sorted(set(numbers))


def test_one_counter_for_all_domains(serve):
    domains = Domain("a"), Domain("b")
    root = serve(*domains)
    paths = [root.freeze(domain.path) for domain in domains + domains]
    numbers = [path.rpartition("/")[2] for path in paths]
    assert len(set(numbers)) == len(numbers)


def test_connected_means_that_the_domains_are_there(serve):
    """The name may come before, after 2 s, on a busy machine."""
    root = serve(*[Domain(f"guest{number}") for number in range(50)])
    root.wait_property(ROOT, "Connected", True)
    assert len(root.objects()) == 50
