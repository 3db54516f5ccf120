# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input: each has its exact error, the service is unharmed, and what is held stays held."""

import pytest
from gi.repository import Gio, GLib

from harness.box import MEMBER, NOBODY
from harness.client import GONE, NAME, PROPERTIES, ROOT, S, fails
from harness.connection import BUS, Closed

MIB = 1 << 20
VARIANT = GLib.Variant


@pytest.fixture(autouse=True)
def unharmed(service, root, domain):
    """Around each test a freeze is held, and afterwards the service does its work."""
    held = root.freeze(domain)
    yield
    assert service.is_running()
    assert root.get(held, "State") == "held"
    assert root.frozen(domain) == {"/", "/boot"}
    assert set(root.freezes()) == {held}, "the test left something frozen"
    root.thaw(root.freeze(domain, "vda"))
    root.thaw(held)
    assert root.get(domain, "FreezeState") == "thawed"


@pytest.fixture
def member(connect):
    return connect(MEMBER)


# Disks

@pytest.mark.parametrize("disks, error", [
    (["vdb"], "UnknownDisk"),
    (["vda", "vdb"], "UnknownDisk"),
    (["VDA"], "UnknownDisk"),
    (["vda1"], "UnknownDisk"),
    (["/"], "UnknownDisk"),
    (["/guest/../guest/diskimage1"], "UnknownDisk"),
    (["%s%n"], "UnknownDisk"),
    ([""], "InvalidArgs"),
    (["vda", ""], "InvalidArgs"),
    (["x" * MIB], "InvalidArgs"),
    ([f"vd{number}" for number in range(10_000)], "InvalidArgs"),
], ids=lambda value: value if isinstance(value, str) else " ".join(value)[:20])
def test_disks(member, domain, disks, error):
    with fails(error) as caught:
        member.freeze(domain, *disks)
    assert len(caught.value.message) < 1000
    with fails(error):
        member.do(domain, "Freeze", "as", disks)


def test_an_unknown_disk_is_named(member, domain):
    with fails("UnknownDisk", match="“test”.*“vdz”"):
        member.freeze(domain, "vda", "vdz")


def test_10_000_times_the_same_disk_count_once(member, domain):
    freeze = member.freeze(domain, *["vda"] * 10_000)
    assert member.get(freeze, "Disks") == ["vda"]
    member.thaw(freeze)


# Options

@pytest.mark.parametrize("options", [
    {"hold": 0}, {"hold": 600 * S + 1}, {"hold": 2**63}, {"hold": 2**64 - 1},
    {"hold": VARIANT("i", 5)}, {"hold": VARIANT("x", 5 * S)}, {"hold": VARIANT("s", "5s")},
    {"hold": VARIANT("v", VARIANT("t", S))}, {"hold": VARIANT("at", [S])},
    {"lifetime": ""}, {"lifetime": "Lease"}, {"lifetime": "forever"},
    {"lifetime": VARIANT("b", True)}, {"lifetime": VARIANT("o", "/lease")},
    {"scope": ""}, {"scope": "disk"}, {"scope": "all"}, {"scope": VARIANT("u", 1)},
    {"reason": "x" * 257}, {"reason": "ä" * 129}, {"reason": "x" * MIB}, {"reason": "a\nb"},
    {"reason": "\x1b[31m"}, {"reason": "\x7f"}, {"reason": "\x85"}, {"reason": VARIANT("ay", b"x")},
    {"Hold": VARIANT("t", S)}, {"": VARIANT("s", "")}, {"timeout": VARIANT("t", S)},
    {"x" * MIB: VARIANT("s", "")}, {"hold": 5 * S, "unknown": VARIANT("b", True)},
], ids=lambda options: repr(options)[:40])
def test_options(member, domain, options):
    with fails("InvalidArgs") as caught:
        member.freeze(domain, "vda", **options)
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("options", [
    {"hold": 1}, {"hold": 599 * S}, {"lifetime": "caller"}, {"scope": "auto"}, {"reason": ""},
    {"reason": "x" * 256}, {"reason": "ä" * 128}, {"reason": "“☾” it's <b>\\n"}],
    ids=lambda options: repr(options)[:40])
def test_options_at_the_limit_are_taken(member, domain, options):
    freeze = member.freeze(domain, **options)
    if options.get("hold") == 1:   # µs
        with fails("ConsistencyLost"):
            member.thaw(freeze)
        return
    assert member.get(freeze, "Reason") == options.get("reason", "")
    member.thaw(freeze)


def test_10_000_options(member, domain):
    with fails("InvalidArgs"):
        member.freeze(domain, **{f"option{number}": VARIANT("b", True) for number in range(10_000)})


# Types

@pytest.mark.parametrize("method, signature, arguments", [
    ("Freeze", "", ()), ("Freeze", "s", ("vda",)), ("Freeze", "ao", (["/vda"],)),
    ("Freeze", "asa{sv}", (["vda"], {})), ("Freeze", "av", ([VARIANT("s", "vda")],)),
    ("FreezeWithOptions", "as", (["vda"],)), ("FreezeWithOptions", "asa{ss}", (["vda"], {})),
    ("FreezeWithOptions", "asa{sv}s", (["vda"], {}, "")), ("GetFilesystems", "s", ("",)),
    ("ThawAll", "b", (True,))])
def test_wrong_types_for_a_domain(member, domain, method, signature, arguments):
    with fails("InvalidArgs"):
        member.do(domain, method, signature, *arguments)


@pytest.mark.parametrize("method, signature, arguments", [
    ("Thaw", "t", (1,)), ("Renew", "", ()), ("Renew", "x", (S,)), ("Renew", "u", (1,)),
    ("Renew", "tt", (S, S)), ("GetFilesystems", "b", (True,))])
def test_wrong_types_for_a_freeze(root, domain, method, signature, arguments):
    [held] = root.freezes()
    with fails("InvalidArgs"):
        root.do(held, method, signature, *arguments)


@pytest.mark.parametrize("signature, arguments", [
    ("", ()), ("o", ("/test",)), ("as", (["test"],)), ("ss", ("test", "test"))])
def test_wrong_types_for_the_manager(member, signature, arguments):
    with fails("InvalidArgs"):
        member.do(ROOT, "GetDomain", signature, *arguments)


def test_a_domain_name_of_1_mib(member):
    with fails("UnknownDomain") as caught:
        member.domain("x" * MIB)
    assert len(caught.value.message) < 1000


# On the wire

def freeze_message(domain: str, disk: str) -> bytes:
    message = Gio.DBusMessage.new_method_call(NAME, domain, f"{NAME}.Domain", "Freeze")
    message.set_body(VARIANT("(as)", ([disk],)))
    message.set_serial(1000)
    return message.to_blob(Gio.DBusCapabilityFlags.NONE)


def test_not_utf8(member, domain):
    """The bus passes no such message on, and ends the connection."""
    message = freeze_message(domain, "vda\u00ff")
    assert message.count(b"\xc3\xbf") == 1
    member.send_bytes(message.replace(b"\xc3\xbf", b"\xff\xfe"))
    with pytest.raises(Closed):
        member.sync()


@pytest.mark.parametrize("change", [
    lambda message: message.replace(b"vda", b"v\0a"),       # a string with an end inside
    lambda message: b"\x7f" + message[1:],                  # no byte order
    lambda message: message[:4] + b"\xff\xff\xff\x7f" + message[8:],   # 2 GiB
    lambda message: message.replace(b"org.virtfreeze1.Domain", b"org.virtfreeze1..omain"),
    lambda message: message[:len(message) // 2],            # the rest never comes
], ids=["nul", "endian", "length", "interface", "half"])
def test_broken_messages(member, domain, change):
    member.send_bytes(change(freeze_message(domain, "vda")))
    member.close()


def test_a_call_without_interest_in_the_answer(connect, root, domain):
    """Its freeze lives as long as its caller."""
    [held] = root.freezes()
    caller = connect(MEMBER)
    message = Gio.DBusMessage.new_method_call(NAME, domain, f"{NAME}.Domain", "Freeze")
    message.set_body(VARIANT("(as)", (["vda"],)))
    message.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
    caller.send(message)
    added = root.wait_signal("InterfacesAdded", wanted=lambda path, _: path != held)
    caller.sync()
    assert not any(message.get_reply_serial() and message.get_error_name()
                   for message in caller.received)
    caller.close()
    root.wait_gone(added.body[0])


def test_forged_signals_are_not_believed(root, connect, domain):
    """Nobody but the bus can say that somebody left."""
    owner, forger = connect(MEMBER), connect(NOBODY)
    freeze = owner.freeze(domain)
    signal = Gio.DBusMessage.new_signal(BUS[1], BUS[0], "NameOwnerChanged")
    signal.set_body(VARIANT("(sss)", (owner.name, owner.name, "")))
    signal.set_destination(NAME)
    forger.send(signal)
    forger.sync()
    root.sync_service()
    assert root.get(freeze, "State") == "held"
    owner.thaw(freeze)


# Objects

@pytest.mark.parametrize("path", [
    "/", "/org/virtfreeze1/domain", "/org/virtfreeze1/domain/test",
    "/org/virtfreeze1/domain/_00000000_0000_0000_0000_000000000000",
    "/org/virtfreeze1/domain/_00000000_0000_0000_0000_000000000000/freeze/1"])
def test_no_such_object(member, path):
    for interface, method in (("Domain", "ThawAll"), ("Freeze", "Thaw")):
        with fails(*GONE):
            member.call(NAME, path, f"{NAME}.{interface}.{method}")


@pytest.mark.parametrize("number", ["0", "999999", "01", "1/x", "18446744073709551616"])
def test_no_such_freeze(member, domain, number):
    with fails(*GONE):
        member.thaw(f"{domain}/freeze/{number}")


def test_interfaces_of_other_objects(member, domain):
    for path, method in ((ROOT, "Domain.ThawAll"), (domain, "Freeze.Thaw"),
                         (domain, "Manager.GetDomain")):
        with fails("UnknownMethod", "UnknownInterface"):
            member.call(NAME, path, f"{NAME}.{method}")


def test_properties(member, domain):
    with fails("InvalidArgs", "UnknownProperty"):
        member.get(domain, "Nothing")
    with fails("InvalidArgs", "UnknownProperty", "UnknownInterface"):
        member.call(NAME, domain, f"{PROPERTIES}.Get", "ss", f"{NAME}.Freeze", "State")
    with fails("InvalidArgs", "UnknownInterface"):
        member.call(NAME, domain, f"{PROPERTIES}.GetAll", "s", "no interface")


# What is another's

def test_thaw_twice(member, domain):
    freeze = member.freeze(domain)
    member.thaw(freeze)
    with fails(*GONE):
        member.thaw(freeze)


def test_thaw_anothers(root, connect, domain):
    [held] = root.freezes()
    for user in (MEMBER, NOBODY):
        client = connect(user)
        with fails("InteractiveAuthorizationRequired"):
            client.thaw(held)
        with fails("AccessDenied"):
            client.begin(held, "Thaw", interactive=True).result()
        with fails("AccessDenied"):
            client.renew(held, S)
