# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-freeze as a process, with pipes or on a terminal."""

import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

from harness import box
from harness.bus import sanitizer_options, wait_until
from harness.connection import run_as

TIMEOUT = 30   # s: nothing takes so long unless something is wrong

# A command that tells by lines what it gets; see there.
CHILD = [sys.executable, "-I", "-S", str(Path(__file__).with_name("child.py"))]


INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
USUAL = (*INTERRUPTS, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE)


def program() -> str:
    return os.environ.get("VIRT_FREEZE") or str(box.SOURCE / "build/client/virt-freeze")


def children(pid: int) -> dict[str, int]:
    """What a process has started: name of the program → its id."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if int(rest.split()[1]) == pid:
            found[name] = int(entry)
    return found


class Result(NamedTuple):
    code: int
    out: str
    error: str


class Command:
    """Standard input and output are pipes; in a process group of its own, as shells make them."""

    def __init__(self, bus, *arguments: str, user: str | None = None, env: dict | None = None,
                 prefix=(), **popen):
        """`prefix`: the words before virt-freeze, of a program that starts it."""
        self.error_path = bus.new_file("error")
        self._out = b""
        session = ["--session"] if bus.session else []
        settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "process_group": 0,
                    **popen}
        prepare = settings.pop("preexec_fn", lambda: None)

        def with_usual_signals():
            # Whatever the tests were started with, such as nohup.
            for number in USUAL:
                signal.signal(number, signal.SIG_DFL)
            prepare()

        with open(self.error_path, "wb") as error:
            self.popen = subprocess.Popen(
                [*run_as(user), *prefix, program(), *session, *map(str, arguments)],
                **{"stderr": error, **settings}, preexec_fn=with_usual_signals,
                env={"PATH": f"{Path(program()).parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                     "TZ": "UTC", "HOME": "/nonexistent", **sanitizer_options(),
                     **bus.environment(), **(env or {})})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for file in (self.popen.stdin, self.popen.stdout):
            if file:
                file.close()
        assert "Sanitizer" not in self.error, self.error
        assert "CRITICAL" not in self.error and "WARNING" not in self.error, self.error

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def error(self) -> str:
        return self.error_path.read_text()

    def send(self, number: int):
        self.popen.send_signal(number)

    def line(self) -> str | None:
        """The next line of standard output; None at its end."""
        deadline = time.monotonic() + TIMEOUT
        while b"\n" not in self._out:
            if not select.select([self.popen.stdout], [], [], deadline - time.monotonic())[0]:
                raise TimeoutError(f"no line; error: {self.error}")
            data = os.read(self.popen.stdout.fileno(), 1 << 16)
            if not data:
                return None
            self._out += data
        line, _, self._out = self._out.partition(b"\n")
        return line.decode()

    def wait_line(self, text: str) -> str:
        """The next line that has the text in it."""
        while True:
            line = self.line()
            assert line is not None, f"“{text}” did not come; error: {self.error}"
            if text in line:
                return line

    def wait_error(self, text: str):
        deadline = time.monotonic() + TIMEOUT
        while text not in self.error:
            assert time.monotonic() < deadline, f"“{text}” did not come: {self.error}"
            select.select([], [], [], 0.005)

    def write(self, text: str):
        self.popen.stdin.write(text.encode())
        self.popen.stdin.flush()

    def finish(self, text: str | None = None) -> Result:
        """Closes standard input, after that text, and waits for the end."""
        data = text.encode() if text is not None else None
        out, _ = self.popen.communicate(data, TIMEOUT)
        rest, self._out = self._out, b""
        return Result(self.popen.returncode, (rest + (out or b"")).decode(), self.error)

    def code(self) -> int:
        """When it has ended; negative: by that signal."""
        return self.popen.wait(TIMEOUT)


class Terminal(Command):
    """Standard input, output and error are a terminal, which is the controlling one; it is the
    foreground of it. `ignore`: signals."""

    def __init__(self, bus, *arguments: str, columns: int = 80, rows: int = 24, ignore=(),
                 **settings):
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.shown = ""

        def take_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for number in ignore:
                signal.signal(number, signal.SIG_IGN)

        environment = {"TERM": "xterm", **settings.pop("env", {})}
        popen = {name: slave for name in ("stdin", "stdout", "stderr")} | settings
        super().__init__(bus, *arguments, env=environment, process_group=None,
                         preexec_fn=take_terminal, **popen)
        os.close(slave)

    def close(self):
        if self.master is not None:
            os.close(self.master)
            self.master = None
        super().close()

    def hang_up(self):
        """As when its window is closed."""
        os.close(self.master)
        self.master = None

    def type(self, text: str):
        os.write(self.master, text.encode())

    def read(self, deadline: float | None = None) -> bool:
        """False at the end."""
        deadline = deadline or time.monotonic() + TIMEOUT
        if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"shown is: {self.shown!r}")
        try:
            data = os.read(self.master, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        self.shown += data.decode()
        return bool(data)

    def wait_shown(self, text: str, after: int = 0) -> int:
        """Until the text is shown. Returns where it ends in `shown`."""
        deadline = time.monotonic() + TIMEOUT
        while (place := self.shown.find(text, after)) < 0:
            assert self.read(deadline), f"“{text}” is not shown: {self.shown!r}"
        return place + len(text)

    def wait_password(self):
        """Until a password can be typed: what comes earlier than the echo goes is thrown away."""
        self.wait_shown("Password:")
        wait_until(lambda: not termios.tcgetattr(self.master)[3] & termios.ECHO, "no echo", TIMEOUT)

    def finish(self) -> Result:
        deadline = time.monotonic() + TIMEOUT
        while self.read(deadline):
            pass
        return Result(self.code(), self.shown.replace("\r\n", "\n"), "")
