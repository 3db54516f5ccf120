# SPDX-License-Identifier: LGPL-2.1-or-later
"""A service that says what a test wants: what the real one cannot be brought to say, or says only
of real guests. It has one domain."""

import threading

from gi.repository import Gio, GLib

from harness.connection import BUS, CALL, Connection

NAME = "org.virtfreeze1"
ROOT = "/org/virtfreeze1"
DOMAIN = f"{ROOT}/domain/_1"
FREEZE = f"{DOMAIN}/freeze/7"


def variants(values: dict[str, tuple]) -> dict[str, GLib.Variant]:
    return {key: GLib.Variant(*value) for key, value in values.items()}


def domain(**more) -> dict:
    return variants({
        "Name": ("s", "web"), "UUID": ("s", "1"), "State": ("s", "running"),
        "AgentConnected": ("b", True), "Disks": ("as", ["vda"]), "Engine": ("s", "agent"),
        "DefaultHold": ("t", 1), "MaxHold": ("t", 1), "FreezeState": ("s", "frozen"),
        "FrozenSince": ("t", 1), "Freezes": ("ao", []), **more})


def freeze(**more) -> dict:
    return variants({
        "Domain": ("o", DOMAIN), "Disks": ("as", ["vda"]), "FilesystemsFrozen": ("u", 1),
        "FilesystemsSkipped": ("u", 0), "Owner": ("s", ":1.9"), "OwnerUID": ("u", 0),
        "Reason": ("s", "r"), "Lifetime": ("s", "caller"), "Scope": ("s", "domain"),
        "Engine": ("s", "agent"), "State": ("s", "held"), "Created": ("t", 1),
        "Deadline": ("t", 2 ** 52), **more})


class FakeService:
    """`answers`: member → (signature, values), or the name of an error; others are as usual."""

    def __init__(self, path: str, objects: dict | None = None, **answers):
        self.objects = objects or {DOMAIN: domain()}
        self.answers = {"GetDomain": ("(o)", (DOMAIN,)), "FreezeWithOptions": ("(o)", (FREEZE,)),
                        "GetFilesystems": ("(a(sssasa{sv}))", ([],)), "Thaw": ("()", ()),
                        **answers}
        self.calls: list[str] = []
        self._connection = Connection(path)
        self._connection.call(*BUS, "org.freedesktop.DBus.RequestName", "su", NAME, 0)
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._end.set()
        self._thread.join()
        self._connection.close()

    def emit(self, path: str, interface: str, member: str, body: GLib.Variant):
        message = Gio.DBusMessage.new_signal(path, interface, member)
        message.set_body(body)
        with self._lock:
            self._connection.send(message)

    def _serve(self):
        while not self._end.is_set():
            try:
                message = self._connection.wait(
                    lambda message: message.get_message_type() == CALL, 0.02, "call")
            except TimeoutError:
                continue
            with self._lock:
                self._connection.send(self._answer(message))

    def _answer(self, call: Gio.DBusMessage) -> Gio.DBusMessage:
        member, path = call.get_member(), call.get_path()
        self.calls.append(member)
        if member == "FreezeWithOptions":
            self.objects.setdefault(FREEZE, freeze())
        if member == "GetAll":
            answer = self._properties(path)
        elif member == "GetManagedObjects":
            answer = "(a{oa{sa{sv}}})", ({path: {self._interface(path): properties} for
                                          path, properties in self.objects.items()},)
        elif path.startswith(FREEZE) and path not in self.objects:
            answer = "org.freedesktop.DBus.Error.UnknownObject"
        else:
            answer = self.answers.get(member, ("()", ()))
        if isinstance(answer, str):
            return Gio.DBusMessage.new_method_error_literal(call, answer, f"{member} \x1b[31m")
        reply = Gio.DBusMessage.new_method_reply(call)
        reply.set_body(GLib.Variant(*answer))
        return reply

    @staticmethod
    def _interface(path: str) -> str:
        return f"{NAME}.Freeze" if "/freeze/" in path else f"{NAME}.Domain"

    def _properties(self, path: str):
        if path == ROOT:
            return "(a{sv})", (variants({"Connected": ("b", True)}),)
        if path not in self.objects:
            return "org.freedesktop.DBus.Error.UnknownObject"
        return "(a{sv})", (self.objects[path],)
