# SPDX-License-Identifier: LGPL-2.1-or-later
"""Configuration: what is refused, what overrides what, and what a reload changes."""

import re
import subprocess

import pytest

from harness.box import SOURCE
from harness.bus import daemon
from harness.client import MS, ROOT, S
from harness.node import Domain, Node

BAD = {
    "unknown key": ("[Freeze]\nMaxHolds=5min\n", "MaxHolds"),
    "case of a key": ("[Freeze]\nmaxhold=5min\n", "maxhold"),
    "unknown section": ("[Freezer]\nMaxHold=5min\n", "Freezer"),
    "section of a nameless domain": ("[Domain ]\nMaxHold=5min\n", "Domain"),
    "no section": ("MaxHold=5min\n", ""),
    "no key file": ("MaxHold: 5min {\n", ""),
    "not UTF-8": ("[Freeze]\nUri=\udcff\n", ""),
    "not a time": ("[Freeze]\nMaxHold=long\n", "MaxHold"),
    "unknown unit": ("[Freeze]\nMaxHold=5 fortnights\n", "MaxHold"),
    "negative time": ("[Freeze]\nDefaultHold=-1s\n", "DefaultHold"),
    "no time": ("[Freeze]\nDefaultHold=\n", "DefaultHold"),
    "hold of 0": ("[Freeze]\nDefaultHold=0\n", "DefaultHold"),
    "hold beyond the maximum": ("[Freeze]\nDefaultHold=2min\nMaxHold=1min\n", "Hold"),
    "hold of a domain beyond the maximum": ("[Domain test]\nDefaultHold=20min\n", "DefaultHold"),
    "not a number": ("[Freeze]\nMaxFreezes=many\n", "MaxFreezes"),
    "number too small": ("[Freeze]\nMaxFreezes=0\n", "MaxFreezes"),
    "number too large": ("[Freeze]\nMaxInFlight=99999999999999999999\n", "MaxInFlight"),
    "unknown engine": ("[Freeze]\nEngine=magic\n", "Engine"),
    "unknown scope": ("[Freeze]\nScope=disk\n", "Scope"),
    "key not for a domain": ("[Domain test]\nMaxPending=5\n", "MaxPending"),
    "neither yes nor no": ("[Freeze]\nFreezeGuard=maybe\n", "FreezeGuard"),
}


def check(path, *options) -> subprocess.CompletedProcess:
    return subprocess.run([daemon(), "--check-config", "--config", path, *options],
                          capture_output=True, text=True, timeout=10)


@pytest.fixture
def config(tmp_path):
    """Writes a configuration file, with drop-ins."""
    def config(text, **drop_ins):
        path = tmp_path / "virtfreezed.conf"
        path.write_bytes(text.encode(errors="surrogateescape"))
        for name, content in drop_ins.items():
            folder = tmp_path / "virtfreezed.conf.d"
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.conf").write_text(content)
        return path
    return config


# --check-config

def test_check_of_what_is_shipped():
    result = check(SOURCE / "data" / "virtfreezed.conf")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_what_is_shipped_shows_every_key_with_its_default(config, start, connect):
    shipped = (SOURCE / "data" / "virtfreezed.conf").read_text()
    keys = re.findall(r"^#(\w+)=(.*)$", shipped.partition("[Freeze]\n")[2], re.MULTILINE)
    assert {key for key, _ in keys} == {
        "Uri", "Engine", "Scope", "DefaultHold", "MaxHold", "FreezeTimeout", "AgentTimeout",
        "VerifyInterval", "FreezeGuard", "MaxInFlight", "MaxFreezes", "MaxFreezesPerUser",
        "MaxFreezesPerDomain", "MaxPending"}
    text = "[Freeze]\n" + "".join(f"{key}={value}\n" for key, value in keys)
    assert check(config(text)).returncode == 0
    start(config="").stop()
    start(config=text)
    client = connect()
    properties = client.properties(client.domain())
    assert (properties["DefaultHold"], properties["MaxHold"]) == (60 * S, 600 * S)


def test_check_of_an_empty_file(config):
    assert check(config("")).returncode == 0


@pytest.mark.parametrize("bad", BAD)
def test_check_names_file_and_key(config, bad):
    text, key = BAD[bad]
    path = config(text)
    result = check(path)
    assert result.returncode != 0
    assert str(path) in result.stderr and key in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("bad", ["unknown key", "not a time"])
def test_check_names_the_drop_in(config, bad):
    text, key = BAD[bad]
    result = check(config("[Freeze]\nMaxHold=5min\n", a="", b=text))
    assert result.returncode != 0
    assert "virtfreezed.conf.d/b.conf" in result.stderr and key in result.stderr


def test_check_of_a_file_that_is_not_there(tmp_path):
    result = check(tmp_path / "nothing.conf")
    assert result.returncode != 0
    assert str(tmp_path / "nothing.conf") in result.stderr


def test_check_of_a_folder(tmp_path):
    result = check(tmp_path)
    assert result.returncode != 0 and str(tmp_path) in result.stderr


# Starting

@pytest.mark.parametrize("bad", ["unknown key", "unknown engine", "no key file"])
def test_the_service_does_not_start_on_a_bad_file(start, bus, bad):
    text, key = BAD[bad]
    service = start(wait=False)
    service.stop()
    bus.wait_name_gone("org.virtfreeze1")
    service = start(wait=False, config=text if "[" in text else f"[Freeze]\n{text}")
    assert service.wait() != 0
    assert str(service.config) in service.messages() and key in service.messages()


# What overrides what

def holds(client, domain):
    properties = client.properties(domain)
    return properties["DefaultHold"] // S, properties["MaxHold"] // S


def test_drop_ins_override_key_by_key_in_the_order_of_their_names(start, connect):
    service = start(config="DefaultHold=5s\nMaxHold=50s")
    client = connect().watch()
    domain = client.domain()
    assert holds(client, domain) == (5, 50)
    service.add_drop_in("20-b.conf", "[Freeze]\nDefaultHold=7s\n")
    service.add_drop_in("10-a.conf", "[Freeze]\nDefaultHold=6s\nMaxHold=60s\n")
    service.add_drop_in("30-c.conf.off", "[Freeze]\nDefaultHold=8s\n")
    service.reload()
    client.wait_property(domain, "DefaultHold", 7 * S)
    assert holds(client, domain) == (7, 60)


def test_sections_of_domains(bus, start, connect):
    plain, named, by_uuid = Domain("plain"), Domain("named"), Domain("by-uuid")
    start(uri=Node(bus.new_file("node.xml"), plain, named, by_uuid).uri, config=f"""
[Freeze]
DefaultHold=5s
MaxHold=50s
[Domain named]
MaxHold=30s
[Domain by-uuid]
DefaultHold=1s
[Domain {by_uuid.uuid.upper()}]
DefaultHold=9s
""")
    client = connect()
    assert holds(client, plain.path) == (5, 50)
    assert holds(client, named.path) == (5, 30)
    assert holds(client, by_uuid.path) == (9, 50)


def test_uri_of_the_file_and_of_the_command_line(start, connect):
    service = start(uri=None, config="Uri=test:///default")
    assert connect().get(ROOT, "ConnectionUri") == "test:///default"
    service.stop()
    start(uri="test:///default", config="Uri=qemu:///system")
    client = connect()
    assert client.get(ROOT, "ConnectionUri") == "test:///default"
    assert client.domain()


# Reloading

def test_reload_leaves_held_freezes_alone(service, root, domain):
    freeze = root.freeze(domain, hold=60 * S)
    before = root.properties(freeze)
    service.set_config("DefaultHold=2s\nMaxHold=4s\nScope=domain")
    service.reload()
    root.wait_property(domain, "MaxHold", 4 * S)
    assert holds(root, domain) == (2, 4)
    assert root.properties(freeze) == before
    assert root.get(domain, "FreezeState") == "frozen"
    root.thaw(freeze)
    # New ones follow it.
    assert root.get(root.freeze(domain), "Scope") == "domain"


def test_reload_announces_what_it_changes(service, root, domain):
    service.set_config("DefaultHold=2s")
    service.reload()
    root.wait_signal("PropertiesChanged", domain,
                     wanted=lambda _, changed, __: changed.get("DefaultHold") == 2 * S)


@pytest.mark.parametrize("bad", ["unknown key", "hold beyond the maximum", "no key file"])
def test_reload_of_a_bad_file_changes_nothing(service, root, domain, bad):
    service.set_config("DefaultHold=2s")
    service.reload()
    root.wait_property(domain, "DefaultHold", 2 * S)
    freeze = root.freeze(domain)
    text, key = BAD[bad]
    service.config.write_text(text)
    service.reload()
    service.wait_message(str(service.config))
    assert key in service.messages()
    assert holds(root, domain) == (2, 600)
    assert root.get(freeze, "State") == "held"
    root.thaw(freeze)
    # Mended, it is read again.
    service.set_config("DefaultHold=3s")
    service.reload()
    root.wait_property(domain, "DefaultHold", 3 * S)


def test_reload_of_limits(service, root, domain):
    root.freeze(domain)
    root.freeze(domain)
    service.set_config("MaxFreezes=1\nDefaultHold=2s")
    service.reload()
    root.wait_property(domain, "DefaultHold", 2 * S)
    assert len(root.freezes()) == 2   # held ones stay
    error = root.begin_freeze(domain).message().get_error_name()
    assert error == "org.freedesktop.DBus.Error.LimitsExceeded"


def test_uri_needs_a_restart(start, connect):
    service = start(uri=None, config="Uri=test:///default")
    client = connect().watch()
    domain = client.domain()
    freeze = client.freeze(domain)
    service.set_config("Uri=qemu:///system\nDefaultHold=500ms")
    service.reload()
    client.wait_property(domain, "DefaultHold", 500 * MS)
    assert client.get(ROOT, "ConnectionUri") == "test:///default"
    assert client.get(freeze, "State") == "held"
