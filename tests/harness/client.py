# SPDX-License-Identifier: LGPL-2.1-or-later
"""A caller of the service: its methods by their names, and what tests want to know at once."""

import contextlib

from gi.repository import GLib

import pytest

from harness.connection import TIMEOUT, BusError, Connection, Pending

NAME = "org.virtfreeze1"
ROOT = "/org/virtfreeze1"
PROPERTIES = "org.freedesktop.DBus.Properties"
OPTIONS = {"hold": "t", "lifetime": "s", "scope": "s", "reason": "s"}
STANDARD_ERRORS = ("InvalidArgs", "AccessDenied", "InteractiveAuthorizationRequired",
                   "LimitsExceeded", "UnknownObject", "UnknownMethod", "UnknownInterface",
                   "UnknownProperty", "PropertyReadOnly", "ServiceUnknown", "NoReply")
MS = 1000         # µs
S = 1000 * MS


@contextlib.contextmanager
def fails(*names: str, match: str = ""):
    """What is inside ends in one of these errors; `match` is in its message."""
    with pytest.raises(BusError, match=match) as caught:
        yield caught
    full = [f"org.freedesktop.DBus.Error.{name}" if name in STANDARD_ERRORS
            else f"{NAME}.Error.{name}" for name in names]
    assert caught.value.name in full, caught.value


# An object that is gone answers as GDBus does.
GONE = ("UnknownMethod", "UnknownObject")


def interface_of(path: str) -> str:
    if "/freeze/" in path:
        return f"{NAME}.Freeze"
    return f"{NAME}.Domain" if "/domain/" in path else f"{NAME}.Manager"


def pack_options(options: dict) -> dict:
    return {key: value if isinstance(value, GLib.Variant) else GLib.Variant(OPTIONS[key], value)
            for key, value in options.items()}


class Client(Connection):

    def begin(self, path: str, method: str, signature: str = "", *arguments,
              interactive: bool = False) -> Pending:
        """Sends a call of the object's own interface."""
        return self.start(NAME, path, f"{interface_of(path)}.{method}", signature, *arguments,
                          interactive=interactive)

    def do(self, path: str, method: str, signature: str = "", *arguments,
           interactive: bool = False, timeout: float = TIMEOUT):
        return self.begin(path, method, signature, *arguments,
                          interactive=interactive).result(timeout)

    # Manager and ObjectManager

    def domain(self, name: str = "test") -> str:
        return self.do(ROOT, "GetDomain", "s", name)

    def begin_group(self, *requests, interactive: bool = False, **options) -> Pending:
        """FreezeDomains. Each request is a domain, or a domain and its disks."""
        pairs = [(request, []) if isinstance(request, str) else (request[0], list(request[1:]))
                 for request in requests]
        return self.begin(ROOT, "FreezeDomains", "a(oas)a{sv}", pairs, pack_options(options),
                          interactive=interactive)

    def freeze_group(self, *requests, **options) -> list[str]:
        return self.begin_group(*requests, **options).result()

    def objects(self) -> dict[str, dict]:
        """Path → properties."""
        objects = self.call(NAME, ROOT, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
        return {path: interfaces[interface_of(path)] for path, interfaces in objects.items()}

    def freezes(self, domain: str | None = None) -> list[str]:
        """Paths of freezes, by their numbers."""
        paths = [path for path in self.objects() if path.startswith(f"{domain or ''}/freeze/")
                 or domain is None and "/freeze/" in path]
        return sorted(paths, key=lambda path: int(path.rpartition("/")[2]))

    # Domain

    def begin_freeze(self, domain: str, *disks: str, interactive: bool = False,
                     **options) -> Pending:
        return self.begin(domain, "FreezeWithOptions", "asa{sv}", disks, pack_options(options),
                          interactive=interactive)

    def freeze(self, domain: str, *disks: str, **options) -> str:
        return self.begin_freeze(domain, *disks, **options).result()

    def filesystems(self, path: str) -> dict[str, dict]:
        """Mountpoint → device, type, targets, frozen, freezable."""
        return {mountpoint: {"device": device, "type": type_, "targets": targets, **more}
                for mountpoint, device, type_, targets, more in self.do(path, "GetFilesystems")}

    def frozen(self, domain: str) -> set[str]:
        """Mountpoints."""
        return {mountpoint for mountpoint, filesystem in self.filesystems(domain).items()
                if filesystem["frozen"]}

    def thaw_all(self, domain: str):
        self.do(domain, "ThawAll")

    # Freeze

    def begin_thaw(self, freeze: str) -> Pending:
        return self.begin(freeze, "Thaw")

    def thaw(self, freeze: str):
        self.do(freeze, "Thaw")

    def renew(self, freeze: str, hold: int):
        self.do(freeze, "Renew", "t", hold)

    def sync_service(self):
        """Afterwards the service has dealt with what the bus had got, and we have what it told."""
        self.get(ROOT, "Version")   # its main loop answers, unlike a Ping

    # Properties and signals

    def get(self, path: str, name: str):
        return self.call(NAME, path, f"{PROPERTIES}.Get", "ss", interface_of(path), name)

    def properties(self, path: str) -> dict:
        return self.call(NAME, path, f"{PROPERTIES}.GetAll", "s", interface_of(path))

    def watch(self):
        """From now on the service's signals are received."""
        self.match(f"type='signal',sender='{NAME}'")
        return self

    def wait_property(self, path: str, name: str, value, timeout: float = TIMEOUT):
        """Of a client that watches: until it has that value."""
        if self.get(path, name) == value:
            return
        # What came before that answer tells of the past.
        past = "PropertiesChanged", path
        self.received = [message for message in self.received
                         if (message.get_member(), message.get_path()) != past]
        self.wait_signal("PropertiesChanged", path, timeout,
                         lambda _interface, changed, _: changed.get(name) == value)

    def wait_idle(self, domain: str):
        """Of a client that watches: until nothing is under way."""
        if self.get(domain, "FreezeState") not in ("thawed", "frozen"):
            self.wait_signal("PropertiesChanged", domain, wanted=lambda _, changed, __:
                             changed.get("FreezeState") in ("thawed", "frozen"))

    def wait_gone(self, path: str, timeout: float = TIMEOUT):
        """Of a client that watches: until the object is announced to be gone."""
        self.wait_signal("InterfacesRemoved", wanted=lambda gone, _: gone == path, timeout=timeout)
