# SPDX-License-Identifier: LGPL-2.1-or-later
"""A command for `run`: says "ready", then the name of each signal that it gets. Ends with code 40
on those that are named on its command line, with 0 at the end of its standard input, unless
"deaf" is named, too."""

import contextlib
import os
import select
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
           signal.SIGUSR2)


def say(word: str):
    # Its terminal may be closed.
    with contextlib.suppress(OSError):
        os.write(1, word.encode() + b"\n")


def main(ends: list[str]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    say("ready")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    while True:
        ready, _, _ = select.select([reader] if "deaf" in ends else [0, reader], [], [])
        if reader in ready:
            # What comes together may come in any order.
            names = [signal.Signals(number).name for number in os.read(reader, 100)]
            for name in names:
                say(name)
            if set(names) & set(ends):
                return 40
        elif not os.read(0, 100):
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
