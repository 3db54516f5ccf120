# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody who is connected to the bus: passes bytes between its standard input and a socket.

Run as the user who is to be the caller. What counts for the bus and for polkit are the user and the
process that hold the connection: these. When the process dies, the connection does.
"""

import os
import select
import socket
import sys


def main(path: str):
    bus = socket.socket(socket.AF_UNIX)
    bus.connect(path)
    harness = socket.socket(fileno=0)
    other = {bus: harness, harness: bus}
    while True:
        for ready in select.select(list(other), [], [])[0]:
            data = ready.recv(1 << 16)
            if not data:
                os._exit(0)
            other[ready].sendall(data)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(1)
