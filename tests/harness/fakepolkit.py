# SPDX-License-Identifier: LGPL-2.1-or-later
"""A polkit that answers when and what a test wants: what the real one cannot be brought to do."""

from gi.repository import Gio, GLib

from harness.connection import BUS, CALL, TIMEOUT, Connection

NAME = "org.freedesktop.PolicyKit1"
AUTHORITY = f"{NAME}.Authority"


class Check:
    """A question that waits for its answer."""

    def __init__(self, connection: Connection, message: Gio.DBusMessage):
        self._connection = connection
        self._message = message
        subject, self.action, self.details, self.flags, self.cancellation_id = (
            message.get_body().unpack())
        self.caller = subject[1]["name"]

    def answer(self, body: GLib.Variant | None):
        reply = Gio.DBusMessage.new_method_reply(self._message)
        if body:
            reply.set_body(body)
        self._connection.send(reply)

    def decide(self, authorized: bool, challenge: bool = False):
        self.answer(GLib.Variant("((bba{ss}))", ((authorized, challenge, {}),)))

    def fail(self, name: str, text: str = "no"):
        self._connection.send(Gio.DBusMessage.new_method_error_literal(self._message, name, text))


class FakePolkit:

    def __init__(self, path: str):
        self._connection = Connection(path)
        self._connection.call(*BUS, "org.freedesktop.DBus.RequestName", "su", NAME, 0)

    def close(self):
        self._connection.close()

    def next(self, timeout: float = TIMEOUT) -> Check:
        """The next question; what a client of polkit asks besides is answered."""
        while (message := self._next_call(timeout)).get_member() != "CheckAuthorization":
            self._reply(message)
        return Check(self._connection, message)

    def next_cancellation(self) -> str:
        """The id of the next question that is taken back."""
        while (message := self._next_call(TIMEOUT)).get_member() != "CancelCheckAuthorization":
            self._reply(message)
        self._reply(message)
        return message.get_body().unpack()[0]

    def _next_call(self, timeout: float) -> Gio.DBusMessage:
        return self._connection.wait(lambda message: message.get_message_type() == CALL, timeout,
                                     "call")

    def _reply(self, message: Gio.DBusMessage):
        reply = Gio.DBusMessage.new_method_reply(message)
        if message.get_member() == "GetAll":
            reply.set_body(GLib.Variant("(a{sv})", ({
                "BackendName": GLib.Variant("s", "fake"),
                "BackendVersion": GLib.Variant("s", "1"),
                "BackendFeatures": GLib.Variant("u", 0)},)))
        self._connection.send(reply)

    def drain(self) -> list[Check]:
        """All questions that have been asked by now."""
        self._connection.sync()
        checks = []
        while True:
            try:
                checks.append(self.next(timeout=0.1))
            except TimeoutError:
                return checks
