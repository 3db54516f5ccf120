# SPDX-License-Identifier: LGPL-2.1-or-later
"""A connection to a bus without threads or main loop: what arrives is looked at in the order of its
arrival, when the test wants to. Messages are Gio's; what tests need to be wrong is sent as bytes.
"""

import os
import pwd
import select
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from gi.repository import Gio, GLib

# s: for what takes no time unless something is wrong; or the service runs under valgrind
TIMEOUT = 100 if os.environ.get("VIRTFREEZED_WRAPPER") else 10
BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus")
HEADER = 16    # bytes, from which the length of a message can be told

CALL = Gio.DBusMessageType.METHOD_CALL
SIGNAL = Gio.DBusMessageType.SIGNAL


class BusError(Exception):
    """An error reply."""

    def __init__(self, name: str, message: str):
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class Closed(Exception):
    """The connection ended."""


class Signal(NamedTuple):
    path: str
    interface: str
    member: str
    body: tuple

    @classmethod
    def of(cls, message: Gio.DBusMessage):
        return cls(message.get_path(), message.get_interface(), message.get_member(),
                   unpack(message))


def unpack(message: Gio.DBusMessage) -> tuple:
    body = message.get_body()
    return body.unpack() if body else ()


def run_as(user: str | None) -> list[str]:
    """The beginning of a command line: the rest runs as that user, and no longer than we do."""
    words = ["setpriv", "--pdeathsig", "KILL"]
    if user is not None and user != pwd.getpwuid(os.geteuid()).pw_name:
        entry = pwd.getpwnam(user)
        words += ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--init-groups"]
    return words + ["--"]


class Pending:
    """A call that was sent."""

    def __init__(self, connection: "Connection", serial: int):
        self._connection = connection
        self.serial = serial

    def message(self, timeout: float = TIMEOUT) -> Gio.DBusMessage:
        """The reply, an error or not."""
        return self._connection.wait(lambda message: message.get_reply_serial() == self.serial
                                     and message.get_message_type() not in (CALL, SIGNAL),
                                     timeout, "reply")

    def result(self, timeout: float = TIMEOUT):
        """What was returned: nothing, one value, or a tuple."""
        reply = self.message(timeout)
        body = unpack(reply)
        if name := reply.get_error_name():
            raise BusError(name, body[0] if body else "")
        return body[0] if len(body) == 1 else body or None


class Connection:
    """`name` is the unique name. As another user it is held by a process of that user."""

    def __init__(self, path: str, user: str | None = None, hello: bool = True,
                 caller: tuple[int, list] | None = None):
        """`caller`: user id, and the command line of a caller.py that runs elsewhere."""
        self._process: subprocess.Popen | None = None
        if caller:
            self.uid = caller[0]
        else:
            self.uid = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
        if self.uid == os.geteuid() and not caller:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(path)
        else:
            self._socket, theirs = socket.socketpair()
            command = caller[1] if caller else [
                *run_as(user), "/usr/bin/python3", "-I", "-S",
                str(Path(__file__).with_name("caller.py"))]
            self._process = subprocess.Popen([*command, path], stdin=theirs)
            theirs.close()
        self._data = b""
        self._serial = 0
        self.received: list[Gio.DBusMessage] = []   # not waited for yet
        self.history: list[Gio.DBusMessage] = []    # everything
        self._authenticate()
        self.name = self.call(*BUS, "org.freedesktop.DBus.Hello") if hello else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Ending

    def close(self):
        self._socket.close()
        if self._process:
            self._process.wait(TIMEOUT)
            self._process = None

    def kill(self):
        """The caller's process gets SIGKILL; its name is gone soon after."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        self._process = None
        self._socket.close()

    # Bytes

    def send_bytes(self, data: bytes):
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def _receive_bytes(self, deadline: float, what: str):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._socket], [], [], left)[0]:
            raise TimeoutError(f"no {what}; received were: {self.describe()}")
        try:
            data = self._socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed
        self._data += data

    def _authenticate(self):
        self.send_bytes(b"\0AUTH EXTERNAL " + str(self.uid).encode().hex().encode() + b"\r\n")
        while b"\r\n" not in self._data:
            self._receive_bytes(time.monotonic() + TIMEOUT, "authentication")
        if not self._data.startswith(b"OK "):
            raise PermissionError(self._data)
        self._data = b""
        self.send_bytes(b"BEGIN\r\n")

    # Messages

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def send(self, message: Gio.DBusMessage) -> Pending:
        message.set_serial(self.next_serial())
        self.send_bytes(message.to_blob(Gio.DBusCapabilityFlags.NONE))
        return Pending(self, message.get_serial())

    def _receive(self, deadline: float, what: str):
        """One more message into `received`."""
        while True:
            if len(self._data) >= HEADER:
                length = Gio.DBusMessage.bytes_needed(self._data[:HEADER])
                if len(self._data) >= length:
                    break
            self._receive_bytes(deadline, what)
        message = Gio.DBusMessage.new_from_blob(self._data[:length], Gio.DBusCapabilityFlags.NONE)
        self._data = self._data[length:]
        self.received.append(message)
        self.history.append(message)

    def wait(self, wanted, timeout: float = TIMEOUT, what: str = "message") -> Gio.DBusMessage:
        """The first message for which `wanted` is true; others stay for later. `wanted` makes no
        calls on this connection."""
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            for index in range(seen, len(self.received)):
                if wanted(self.received[index]):
                    return self.received.pop(index)
            seen = len(self.received)
            self._receive(deadline, what)

    def describe(self) -> str:
        return "; ".join(f"{message.get_interface()}.{message.get_member()} {unpack(message)}"
                         if message.get_member() else f"reply {message.get_error_name() or 'ok'}"
                         for message in self.received) or "nothing"

    # Calls

    def start(self, destination: str, path: str, method: str, signature: str = "", *arguments,
              interactive: bool = False) -> Pending:
        """Sends a call: `method` with its interface, `signature` of the arguments."""
        interface, _, member = method.rpartition(".")
        message = Gio.DBusMessage.new_method_call(destination, path, interface or None, member)
        if signature:
            message.set_body(GLib.Variant(f"({signature})", arguments))
        if interactive:
            message.set_flags(Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION)
        return self.send(message)

    def call(self, *arguments, timeout: float = TIMEOUT, **options):
        return self.start(*arguments, **options).result(timeout)

    # Signals

    def match(self, rule: str):
        self.call(*BUS, "org.freedesktop.DBus.AddMatch", "s", rule)

    def wait_signal(self, member: str, path: str | None = None, timeout: float = TIMEOUT,
                    wanted=lambda *body: True) -> Signal:
        """The next signal of that name that was not waited for yet; earlier others are kept."""
        return Signal.of(self.wait(
            lambda message: message.get_message_type() == SIGNAL and message.get_member() == member
            and path in (None, message.get_path()) and wanted(*unpack(message)),
            timeout, f"signal {member}"))

    def signals(self) -> list[Signal]:
        """All that came so far, in their order, waited for or not."""
        return [Signal.of(message) for message in self.history
                if message.get_message_type() == SIGNAL]

    def sync(self):
        """Afterwards all that the bus had for us before is in `history`."""
        self.call(*BUS, "org.freedesktop.DBus.Peer.Ping")
