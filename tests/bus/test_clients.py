# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that others wrote: busctl, gdbus, and Python with GObject introspection."""

import json
import subprocess
import sys

import pytest

from harness.box import MEMBER, NOBODY
from harness.client import NAME, S
from harness.connection import run_as

# What a desktop's VM manager would do, with GLib's own proxies and object manager.
PROGRAM = '''
import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib

bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
manager = Gio.DBusObjectManagerClient.new_sync(
    bus, Gio.DBusObjectManagerClientFlags.NONE, "org.virtfreeze1", "/org/virtfreeze1",
    None, None, None)
loop = GLib.MainLoop()
seen = []

def on_added(manager, added):
    freeze = added.get_interface("org.virtfreeze1.Freeze")
    seen.append(freeze.get_cached_property("State").unpack())
    freeze.connect("g-signal",
                   lambda proxy, sender, name, body: seen.append((name, *body.unpack())))

def on_removed(manager, removed):
    seen.append("removed")
    loop.quit()

manager.connect("object-added", on_added)
manager.connect("object-removed", on_removed)
[domain] = [found.get_interface("org.virtfreeze1.Domain") for found in manager.get_objects()]
assert domain.get_cached_property("Name").unpack() == "test"

path = domain.FreezeWithOptions("(asa{sv})", ["vda"], {"reason": GLib.Variant("s", "by GI")})
freeze = Gio.DBusProxy.new_sync(bus, Gio.DBusProxyFlags.NONE, None, "org.virtfreeze1", path,
                                "org.virtfreeze1.Freeze")
assert [entry[0] for entry in freeze.GetFilesystems()] == ["/", "/boot"]
freeze.Renew("(t)", 5_000_000)
freeze.Thaw()
GLib.timeout_add_seconds(5, loop.quit)
loop.run()
print(seen)
'''


@pytest.fixture
def run(bus, service):
    """Runs a program to its end as a user: its output, or its error."""
    def run(user, *command, fails=False):
        result = subprocess.run(
            [*run_as(user), *command], capture_output=True, text=True, timeout=20,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent",
                 **bus.environment()})
        assert (result.returncode != 0) == fails, result
        return result.stderr.strip() if fails else result.stdout.strip()
    return run


@pytest.fixture
def busctl(run):
    def busctl(*arguments, user=MEMBER, fails=False):
        return run(user, "busctl", *arguments, fails=fails)
    return busctl


@pytest.fixture
def gdbus(run):
    def gdbus(path, method, *arguments, user=MEMBER, fails=False):
        return run(user, "gdbus", "call", "--system", "--dest", NAME, "--object-path", path,
                   "--method", f"{NAME}.{method}", *arguments, fails=fails)
    return gdbus


def test_busctl(busctl, root, domain):
    assert domain in busctl("tree", "--list", NAME).splitlines()
    assert busctl("call", NAME, "/org/virtfreeze1", f"{NAME}.Manager", "GetDomain", "s",
                  "test") == f'o "{domain}"'
    freeze = busctl("call", NAME, domain, f"{NAME}.Domain", "FreezeWithOptions", "asa{sv}",
                    "1", "vda", "2", "lifetime", "s", "lease", "hold", "t", str(30 * S))
    freeze = freeze.split('"')[1]
    # The creator has left; that it is a lease keeps it.
    root.wait_property(freeze, "Owner", "")
    assert busctl("get-property", NAME, domain, f"{NAME}.Domain", "FreezeState") == 's "frozen"'
    filesystems = json.loads(busctl("--json=short", "call", NAME, freeze, f"{NAME}.Freeze",
                                    "GetFilesystems"))
    assert [entry[0] for entry in filesystems["data"][0]] == ["/", "/boot"]
    assert ".Thaw" in busctl("introspect", NAME, freeze)
    assert busctl("call", NAME, freeze, f"{NAME}.Freeze", "Thaw") == ""
    assert root.get(domain, "FreezeState") == "thawed"


def test_busctl_leaves_with_its_freeze(busctl, root, domain):
    """Without a lease, a one-shot caller's freeze ends with it."""
    busctl("call", NAME, domain, f"{NAME}.Domain", "Freeze", "as", "0")
    assert root.wait_signal("Released").body == ("caller-vanished",)
    root.wait_property(domain, "FreezeState", "thawed")


def test_busctl_shows_errors(busctl, domain):
    error = busctl("call", NAME, domain, f"{NAME}.Domain", "Freeze", "as", "1", "vdz", fails=True)
    assert "vdz" in error
    error = busctl("--allow-interactive-authorization=no", "call", NAME, domain, f"{NAME}.Domain",
                   "Freeze", "as", "0", user=NOBODY, fails=True)
    assert "password" in error or "authentication" in error


def test_gdbus(gdbus, root, domain):
    freeze = gdbus(domain, "Domain.FreezeWithOptions", "['vda']",
                   "{'lifetime': <'lease'>, 'reason': <'by gdbus'>}")
    freeze = freeze.split("'")[1]
    assert root.get(freeze, "Reason") == "by gdbus"
    assert root.get(domain, "FreezeState") == "frozen"
    gdbus(freeze, "Freeze.Renew", str(20 * S))
    assert gdbus(freeze, "Freeze.Thaw") == "()"
    assert root.get(domain, "FreezeState") == "thawed"


def test_gdbus_shows_errors(gdbus, domain):
    error = gdbus(domain, "Domain.Freeze", "['vdz']", fails=True)
    assert "org.virtfreeze1.Error.UnknownDisk" in error and "vdz" in error


def test_gdbus_introspects(run, domain):
    xml = run(NOBODY, "gdbus", "introspect", "--system", "--dest", NAME, "--object-path", domain,
              "--xml")
    assert "FreezeWithOptions" in xml


def test_gobject_introspection(run, root, domain):
    # The interpreter that runs the tests is Debian's.
    seen = run(MEMBER, sys.executable, "-c", PROGRAM)
    assert seen == repr(["held", ("Released", "thawed"), "removed"])
    root.wait_property(domain, "FreezeState", "thawed")
    assert root.freezes() == []
