# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured with: the programs of this folder, the peers, and the figures of samples."""

import math
import os
import pwd
import select
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gi

gi.require_version("Gio", "2.0")

from harness import box
from harness.bus import Bus, Process, daemon

TIMEOUT = 150   # s: the longest that a step may take on a busy machine

# Of the peer's own policy what counts: it may own its name. The bus has room for idle clients.
PEER_POLICY = """
  <policy context="default">
    <allow own="org.libvirt"/><allow send_destination="org.libvirt"/>
    <allow send_destination="org.virtfreeze1"/>
  </policy>
  <limit name="max_connections_per_user">20000</limit>
  <limit name="max_completed_connections">20000</limit>
  <limit name="max_replies_per_connection">20000</limit>
</busconfig>
"""


def program(name: str) -> str:
    build = Path(os.environ.get("MESON_BUILD_ROOT") or Path(daemon()).parents[1])
    return str(build / "tests" / "bench" / name)


class BenchBus(Bus):
    """On which libvirt-dbus may live, too."""

    def start(self):
        conf = self.folder / "bus.conf"
        text = conf.read_text()
        if PEER_POLICY not in text:
            conf.write_text(text.replace("</busconfig>\n", PEER_POLICY))
        super().start()


class Tool:
    """A program that measures: one command a line, what it prints until “end”."""

    def __init__(self, *command: str):
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._data = b""
        self._poll = select.poll()   # select() knows the first 1,024 files only
        self._poll.register(self._popen.stdout, select.POLLIN)
        if self._line() != "ready":
            raise RuntimeError(f"{command[0]} does not start")

    @property
    def pid(self) -> int:
        return self._popen.pid

    def begin(self, command: str):
        self._popen.stdin.write(f"{command}\n".encode())
        self._popen.stdin.flush()

    def _line(self) -> str:
        deadline = time.monotonic() + TIMEOUT
        while b"\n" not in self._data:
            left = max(0, deadline - time.monotonic())
            if not self._poll.poll(left * 1000):
                raise TimeoutError("no answer of a measuring program")
            data = os.read(self._popen.stdout.fileno(), 1 << 16)
            if not data:
                raise RuntimeError("a measuring program ended")
            self._data += data
        line, _, self._data = self._data.partition(b"\n")
        return line.decode()

    def end(self) -> list[str]:
        lines = []
        while (line := self._line()) != "end":
            if line.startswith("error"):
                raise RuntimeError(line)
            lines.append(line)
        return lines

    def run(self, command: str) -> list[str]:
        self.begin(command)
        return self.end()

    def times(self, command: str) -> list[float]:
        """ms of each pair."""
        return [sum(map(float, line.split())) / 1000 for line in self.run(command)]

    def kill(self):
        self._popen.kill()
        self._popen.wait()

    def close(self):
        self._popen.stdin.close()
        self._popen.wait(10)
        self._popen.stdout.close()


def caller(bus: Bus, user: str | None = None) -> Tool:
    """A caller on that bus, and beside it the service's user, for checks of its own."""
    own, service = os.geteuid(), os.geteuid()
    if user:
        own, service = pwd.getpwnam(user).pw_uid, pwd.getpwnam(box.SERVICE_USER).pw_uid
    return Tool(program("bench-client"), bus.address, str(own), str(service))


def libvirt_api(uri: str, name: str) -> Tool:
    return Tool(program("bench-libvirt"), uri, name)


class LibvirtDBus(Process):
    """The peer, as its package starts it; by our libvirtd where there is one."""

    def __init__(self, bus: Bus, run_folder: Path | None = None):
        command = ["/usr/sbin/libvirt-dbus", "--session" if bus.session else "--system"]
        if run_folder:
            # It knows no other place of the socket.
            command = ["unshare", "--mount", "sh", "-c",
                       'mkdir -p /run/libvirt; mount --bind "$0" /run/libvirt; exec "$@"',
                       run_folder, *command]
        runtime = bus.new_folder("runtime")
        super().__init__(command, None, {"HOME": str(runtime), "XDG_RUNTIME_DIR": str(runtime),
                                         "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                                         **bus.environment()}, bus.new_file("libvirt-dbus.log"))
        bus.wait_name("org.libvirt", self)


# Figures

def median(samples: list[float]) -> float:
    return statistics.median(samples)


def p99(samples: list[float]) -> float:
    return sorted(samples)[math.ceil(0.99 * len(samples)) - 1]


@dataclass
class Row:
    """A line of a table. `value` is what the goal is about; without a goal it is for itself."""
    what: str
    samples: list[float]        # of the service, ms
    peer: str = ""
    peer_samples: list[float] | None = None
    goal: str = ""
    value: float | None = None
    met: bool | None = None
    unit: str = "×"

    def cells(self) -> list[str]:
        def both(samples):
            return f"{number(median(samples))} / {number(p99(samples))}" if samples else ""
        value = "" if self.value is None else f"{number(self.value)} {self.unit}".strip()
        met = "" if self.met is None else "met" if self.met else "**missed**"
        peer = f"{self.peer}: {both(self.peer_samples)}" if self.peer else ""
        return [self.what, both(self.samples), peer, value, self.goal, met]


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def in_rounds(samples: list[float], rounds: int) -> list[float]:
    """The median of each round."""
    size = len(samples) // rounds
    return [median(samples[turn * size:(turn + 1) * size]) for turn in range(rounds)]


def ratio(ours: list[float], theirs: list[float], rounds: int) -> float:
    """Of interleaved samples, the median of the rounds' ratios: what else the machine does changes
    from round to round, and meets both."""
    return median([one / other for one, other in zip(in_rounds(ours, rounds),
                                                     in_rounds(theirs, rounds))])


def interleave(rounds: int, **steps) -> dict[str, list[float]]:
    """Each step in turn, `rounds` times, every other time the other way round."""
    samples = {name: [] for name in steps}
    for turn in range(rounds):
        for name in list(steps) if turn % 2 == 0 else reversed(steps):
            samples[name] += steps[name]()
    return samples
