# SPDX-License-Identifier: LGPL-2.1-or-later
"""Polkit's text agent on a terminal, with somebody who types."""

import os
import pty
import select
import subprocess
import termios
import time

from harness.guest import wait_until


class Terminal:
    """pkttyagent on a terminal, for the process that holds a client's connection."""

    def __init__(self, box, user: str, pid: int):
        self._ours, theirs = pty.openpty()
        self._text = ""
        # It closes that when it is registered.
        fifo = box.shared / "pkttyagent"
        os.mkfifo(fifo)
        fifo.chmod(0o666)
        registered = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        # In a session of its own, of which the terminal is the controlling one.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *box.command(
                "sh", "-c", f'exec pkttyagent --process "$0" --notify-fd 3 3>{fifo}', pid,
                user=user)], stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        try:
            assert select.select([registered], [], [], 30)[0], "pkttyagent does not register"
        finally:
            os.close(registered)
            fifo.unlink()

    def wait(self, text: str) -> str:
        """→ all that was printed before, and it."""
        deadline = time.monotonic() + 30
        while text not in self._text:
            if not select.select([self._ours], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"no “{text}” on the terminal: {self._text}")
            self._text += os.read(self._ours, 4096).decode()
        before, _, self._text = self._text.partition(text)
        return before + text

    def type_password(self, password: str):
        # What comes before it has turned the echo off is thrown away.
        wait_until(lambda: not termios.tcgetattr(self._ours)[3] & termios.ECHO, 30, "end of echo")
        os.write(self._ours, f"{password}\n".encode())

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._ours)
