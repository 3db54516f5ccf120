# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running service says of its interfaces is what interfaces/ says, no more and no less."""

import pytest
from gi.repository import Gio, GLib

from harness.box import SOURCE
from harness.client import NAME, PROPERTIES, ROOT, fails, interface_of
from harness.connection import Connection

# Those that GDBus gives to every object.
STANDARD = {"org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer", PROPERTIES}
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"


def arguments(infos) -> list[tuple[str, str]]:
    return [(info.name, info.signature) for info in infos]


def annotations(infos) -> dict[str, str]:
    return {info.key: info.value for info in infos if not info.key.startswith("org.gtk.GDBus.Doc")}


def contents(interface: Gio.DBusInterfaceInfo) -> dict:
    return {
        "methods": {method.name: (arguments(method.in_args), arguments(method.out_args),
                                  annotations(method.annotations))
                    for method in interface.methods},
        "signals": {signal.name: (arguments(signal.args), annotations(signal.annotations))
                    for signal in interface.signals},
        "properties": {info.name: (info.signature, info.flags, annotations(info.annotations))
                       for info in interface.properties},
    }


def interfaces(xml: str) -> dict[str, dict]:
    return {interface.name: contents(interface)
            for interface in Gio.DBusNodeInfo.new_for_xml(xml).interfaces}


def source(interface: str) -> dict[str, dict]:
    return interfaces((SOURCE / "interfaces" / f"{interface}.xml").read_text())


def introspect(client: Connection, path: str) -> str:
    return client.call(NAME, path, "org.freedesktop.DBus.Introspectable.Introspect")


def running(client: Connection, path: str) -> dict[str, dict]:
    return {name: content for name, content in interfaces(introspect(client, path)).items()
            if name not in STANDARD}


def test_root_is_as_in_the_sources(root):
    assert running(root, ROOT) == source(f"{NAME}.Manager") | source(OBJECT_MANAGER)


def test_domain_is_as_in_the_sources(root, domain):
    assert running(root, domain) == source(f"{NAME}.Domain")


def test_freeze_is_as_in_the_sources(root, domain):
    assert running(root, root.freeze(domain)) == source(f"{NAME}.Freeze")


def test_objects_are_found_by_walking_the_tree(root, domain):
    freeze = root.freeze(domain)

    def walk(path):
        yield path
        for node in Gio.DBusNodeInfo.new_for_xml(introspect(root, path)).nodes:
            yield from walk(f"{path.rstrip('/')}/{node.path}")

    assert {ROOT, domain, freeze} <= set(walk("/"))


def test_all_properties_are_there_and_none_is_writable(root, domain):
    for path in (ROOT, domain, root.freeze(domain)):
        interface = interface_of(path)
        declared = source(interface)[interface]["properties"]
        assert set(root.properties(path)) == set(declared)
        for name, (signature, flags, _) in declared.items():
            assert flags == Gio.DBusPropertyInfoFlags.READABLE
            value = GLib.Variant.new_variant(GLib.Variant("s", "changed")).get_variant()
            with fails("InvalidArgs", "PropertyReadOnly"):
                root.call(NAME, path, f"{PROPERTIES}.Set", "ssv", interface, name, value)


@pytest.mark.parametrize("interface", [f"{NAME}.Manager", f"{NAME}.Domain", f"{NAME}.Freeze"])
def test_everything_has_documentation(interface):
    """The reference is made of it: each element's name stands in a comment before it."""
    xml = (SOURCE / "interfaces" / f"{interface}.xml").read_text()
    content = source(interface)[interface]
    for name in [*content["methods"], *content["signals"], *content["properties"]]:
        assert f"{name}:" in xml.partition(f'name="{name}"')[0].rpartition("<!--")[2], name
