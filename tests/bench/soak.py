# SPDX-License-Identifier: LGPL-2.1-or-later
"""`./run soak`: freezes, thaws, renewals, leases, callers that die, reloads, restarts of libvirtd.
At the end the service has the files, threads and memory that it began with."""

import argparse
import contextlib
import os
import random
import signal
import sys
import threading
import time

from parts import BenchBus

from harness import box
from harness.box import MEMBER
from harness.bus import Polkit, wait_until
from harness.client import MS, ROOT, S
from harness.connection import BusError, Closed
from harness.guest import SMALL, Guest, Libvirtd, image_folder, missing
from harness.node import Domain, Node
from scale import memory
from speed import service

DOMAINS = [Domain(f"guest{number}") for number in range(10)]
CALLERS = 8

# What may be more at the end than after the warm-up: workers come and go; a heap is never the same.
MORE_THREADS = 2
MORE_MEMORY = 1024   # KiB

# What random requests may be answered; anything else ends the soak.
EXPECTED = ("LimitsExceeded", "ConsistencyLost", "UnknownObject", "UnknownMethod", "Disconnected",
            "AgentUnavailable", "AgentFailed", "Timeout", "Conflict", "NotRunning",
            "FrozenElsewhere")


class Mix:
    """Random callers of one service."""

    def __init__(self, bus, daemon, domains: list[str], seed: str):
        self.counts: dict[str, int] = {}
        self._bus, self._daemon, self._domains = bus, daemon, domains
        self._random = random.Random(seed)
        self._callers = []
        self._held: list[tuple] = []   # client, path

    def count(self, what: str):
        self.counts[what] = self.counts.get(what, 0) + 1

    def step(self):
        way = self._random.choices(
            (self._freeze, self._thaw, self._renew, self._die, self._leave, self._look, self._brake,
             self._reload), (40, 30, 10, 4, 2, 3, 1, 0.2))[0]
        try:
            way()
        except BusError as error:
            if not error.name.endswith(EXPECTED):
                raise
            self.count(f"refused: {error.name.rpartition('.')[2]}")
            if error.name.endswith("LimitsExceeded"):
                self.end_all()

    def _caller(self):
        if len(self._callers) < CALLERS:
            self._callers.append(self._bus.client(MEMBER))
        caller = self._random.choice(self._callers)
        caller.history.clear()
        return caller

    def _freeze(self):
        caller = self._caller()
        lease = self._random.random() < 0.3
        options = {"lifetime": "lease" if lease else "caller",
                   "hold": self._random.choice((20 * MS, S, 60 * S)), "reason": "soak"}
        path = caller.freeze(self._random.choice(self._domains), **options)
        self.count("freezes")
        self._held.append((caller, path))

    def _pop(self):
        return self._held.pop(self._random.randrange(len(self._held)))

    def _thaw(self):
        if self._held:
            self._end(*self._pop())

    def _end(self, caller, path: str):
        """A lease whose creator has left is ended by another of the same user."""
        if caller not in self._callers:
            caller = self._caller()
        self.count("thaws")
        caller.thaw(path)

    def _renew(self):
        if self._held:
            caller, path = self._random.choice(self._held)
            if caller in self._callers:
                self.count("renewals")
                caller.renew(path, self._random.choice((50 * MS, 60 * S)))

    def _die(self):
        self._drop(lambda caller: caller.kill(), "callers killed")

    def _leave(self):
        self._drop(lambda caller: caller.close(), "callers gone")

    def _drop(self, way, what: str):
        if self._callers:
            way(self._callers.pop(self._random.randrange(len(self._callers))))
            self.count(what)

    def _look(self):
        self._caller().objects()

    def _brake(self):
        with self._bus.client() as root:
            root.thaw_all(self._random.choice(self._domains))
        self.count("brakes")

    def _reload(self):
        self._daemon.reload()
        self.count("reloads")

    def end_all(self):
        """Every freeze, those that were lost included."""
        held, self._held = self._held, []
        for caller, path in held:
            with contextlib.suppress(BusError):
                self._end(caller, path)

    def close(self):
        self.end_all()
        with self._bus.client(MEMBER) as last:
            for path in last.freezes():
                with contextlib.suppress(BusError):
                    last.thaw(path)
        while self._callers:
            self._callers.pop().close()


def state(pid: int) -> tuple[int, int, int]:
    """Open files, threads, KiB."""
    return (len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")),
            memory(pid)["Anonymous"])


class Side:
    """A service, and what is done to it."""

    def __init__(self, name: str, bus, daemon, domains: list[str], seed: str):
        self.name = name
        self.mix = Mix(bus, daemon, domains, seed)
        self.error: BaseException | None = None
        self.before = self.after = (0, 0, 0)
        self._bus, self._daemon = bus, daemon

    def live(self, warm_up: float, seconds: float, sometimes=lambda: None):
        """In one thread: callers end with the thread that made them."""
        try:
            self._work(warm_up, sometimes)
            self.before = self._settle()
            self._work(seconds, sometimes)
            self.after = self._settle(self.before)
        except (BusError, Closed, TimeoutError, OSError, RuntimeError) as error:
            self.error = error

    def _work(self, seconds: float, sometimes):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.mix.step()
            sometimes()

    def _settle(self, most: tuple[int, int, int] | None = None) -> tuple[int, int, int]:
        """Nothing is held; idle workers have ended; `most`: waits until no more is in use."""
        self.mix.close()
        with self._bus.client() as root:
            wait_until(lambda: root.freezes() == [], "end of all freezes", 30)
            for path in (path for path in root.objects() if path != ROOT):
                wait_until(lambda: root.get(path, "FreezeState") == "thawed", path, 30)
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: self._fits(most), "idle workers", 20)
        return state(self._daemon.pid)

    def _fits(self, most) -> bool:
        files, threads, _ = state(self._daemon.pid)
        if most is None:   # the first time: those of GLib's pools that stay
            return threads <= 6
        return files <= most[0] and threads <= most[1] + MORE_THREADS

    def report(self) -> bool:
        counts = ", ".join(f"{count:,} {what}" for what, count in sorted(self.mix.counts.items()))
        print(f"{self.name}: {counts}")
        if self.error:
            print(f"  failed: {self.error!r}\n{self._daemon.messages()[-2000:]}")
            return False
        for what, first, last in zip(("open files", "threads", "KiB of memory"), self.before,
                                     self.after):
            print(f"  {what}: {first:,} after the warm-up, {last:,} at the end")
        files, threads, kib = (last - first for first, last in zip(self.before, self.after))
        return files <= 0 and threads <= MORE_THREADS and kib <= MORE_MEMORY


def guest_side(stack: contextlib.ExitStack, libvirtd: Libvirtd, guest: Guest, seed: str) -> Side:
    bus = BenchBus()
    stack.callback(bus.close)
    stack.callback(Polkit(bus).stop)
    daemon = stack.enter_context(service(bus, uri=libvirtd.uri))
    with bus.client() as root:
        root.watch()
        path = root.domain(guest.name)
        root.wait_property(path, "AgentConnected", True)
    return Side("a real guest", bus, daemon, [path], seed)


def restarts(libvirtd: Libvirtd, side: Side, every: float):
    """Of libvirtd, from time to time."""
    due = time.monotonic() + every

    def sometimes():
        nonlocal due
        if time.monotonic() > due:
            due = time.monotonic() + every
            libvirtd.restart()
            side.mix.count("restarts of libvirtd")
    return sometimes


def run(seconds: float, with_guest: bool, seed: str) -> bool:
    sides = {}
    with contextlib.ExitStack() as stack:
        libvirtd = None
        if with_guest:
            libvirtd = stack.enter_context(Libvirtd())
            guest = Guest(libvirtd, image_folder(), volumes=SMALL, writer_ms=0).start()
        bus = BenchBus()
        stack.callback(bus.close)
        stack.callback(Polkit(bus).stop)
        node = Node(bus.new_file("node.xml"), *DOMAINS)
        daemon = stack.enter_context(service(bus, uri=node.uri))
        side = Side("test driver", bus, daemon, [domain.path for domain in DOMAINS], seed)
        sides[side] = lambda: None
        if with_guest:
            side = guest_side(stack, libvirtd, guest, seed)
            sides[side] = restarts(libvirtd, side, max(seconds / 30, 20))

        # Before it counts: whatever is made once, and the heap's first holes.
        warm_up = min(max(seconds / 5, 5), 120)
        threads = [threading.Thread(target=side.live, args=(warm_up, seconds, also))
                   for side, also in sides.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        results = [side.report() for side in sides]
    return all(results)


def main() -> int:
    parser = argparse.ArgumentParser(description="A random mix; nothing may leak.")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--no-guest", action="store_true")
    options = parser.parse_args()
    if reason := box.missing():
        print(reason, file=sys.stderr)
        return 1
    if not options.no_guest and (reason := missing()):
        print(f"without a real guest: {reason}", file=sys.stderr)
        options.no_guest = True
    box.enter()
    # Leaving by an exception ends all that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"seed {options.seed}, {options.seconds:g} s", flush=True)
    good = run(options.seconds, not options.no_guest, options.seed)
    print("nothing leaked" if good else "something leaked or failed", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
