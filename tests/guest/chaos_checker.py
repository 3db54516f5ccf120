# SPDX-License-Identifier: LGPL-2.1-or-later
"""The judge of chaos.py, in a thread of its own: what guests do, by their writers, against what the
service tells everybody. Of the driver it knows just which parts are broken on purpose."""

import collections
import contextlib
import re
import threading
import time
from dataclasses import dataclass

from harness.bus import Bus
from harness.connection import BusError, Closed
from harness.guest import Guest

WRITERS = ("a", "b")
PERIOD = 0.05    # s, between two looks

# A guest that is frozen for nobody, with all parts well, is a violation after that time (s):
# FreezeTimeout, and what back-off of a retry is left.
BOUND = 10


class Violations:
    """Each is printed when it is found."""

    def __init__(self):
        self.texts: list[str] = []
        self._start = time.monotonic()

    def add(self, text: str):
        self.texts.append(text)
        print(f"VIOLATION at {time.monotonic() - self._start:.2f} s: {text}", flush=True)


class Health:
    """Which parts the driver has broken at present, and since when they are well again."""

    def __init__(self):
        self._broken: collections.Counter[str] = collections.Counter()
        self._well_since: dict[str, float] = {}

    def breaks(self, part: str):
        self._broken[part] += 1

    def mends(self, part: str):
        self._well_since[part] = time.monotonic()
        self._broken[part] -= 1

    def is_broken(self, *parts: str) -> bool:
        return any(self._broken[part] > 0 for part in parts)

    def well_for(self, *parts: str) -> float:
        """Seconds for which all of them have been well; 0 if one is not."""
        if self.is_broken(*parts):
            return 0
        return time.monotonic() - max(self._well_since.get(part, 0) for part in parts)


def parts_of(guest: Guest) -> tuple[str, ...]:
    """What has to be well for a freeze of it to be thawed."""
    return ("service", "libvirtd", f"{guest.name}/agent", f"{guest.name}/machine")


@dataclass(frozen=True)
class Mark:
    """How far the writers of a guest are."""
    boots: int
    counts: tuple[int, ...]
    ticks: int

    def progress(self, later: "Mark", writers: tuple[str, ...]) -> int:
        """Records of the writer that came furthest. A boot in between is progress, too."""
        if self.boots != later.boots:
            return 1000
        return max(later.counts[WRITERS.index(name)] - self.counts[WRITERS.index(name)]
                   for name in writers)


class Writers:
    """Reads a guest's log. Any thread."""

    def __init__(self, guest: Guest):
        self._path = guest.log.path
        self._lock = threading.Lock()
        self._read = 0
        self._partial = b""
        self._boots = 0
        self._counts = dict.fromkeys((*WRITERS, "tick"), 0)
        self._moved = dict.fromkeys((*WRITERS, "tick"), time.monotonic())

    def mark(self) -> Mark:
        with self._lock:
            self._follow()
            return Mark(self._boots, tuple(self._counts[name] for name in WRITERS),
                        self._counts["tick"])

    def stalled_for(self) -> float:
        """Seconds since one of them stands still while the guest's clock goes on; 0: none does."""
        with self._lock:
            self._follow()
            now = time.monotonic()
            if now - self._moved["tick"] > 0.5:
                return 0
            longest = now - min(self._moved[name] for name in WRITERS)
            return longest if longest > 1 else 0

    def _follow(self):
        with open(self._path, "rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        *lines, self._partial = (self._partial + new).split(b"\n")
        for line in lines:
            if found := re.match(rb"writer (\w+) (\d+)\r?$", line):
                name, count = found[1].decode(), int(found[2])
                if count < self._counts[name]:
                    self._boots += 1
                    self._counts = dict.fromkeys(self._counts, 0)
                self._counts[name] = count
                self._moved[name] = time.monotonic()


class Checker(threading.Thread):
    """Looks at all guests all the time."""

    def __init__(self, guests: list[Guest], paths: dict[str, str], bus: Bus, health: Health,
                 violations: Violations, max_hold: float):
        """`paths`: of the domain objects, by the names of the guests."""
        super().__init__(name="checker", daemon=True)
        self.writers = {guest.name: Writers(guest) for guest in guests}
        self._guests = guests
        self._paths = paths
        self._bus = bus
        self._health = health
        self._violations = violations
        self._max_hold = max_hold
        self._over = threading.Event()
        self._frozen_for_nobody: dict[str, float] = {}   # guest -> since when
        self._told: set[str] = set()

    def run(self):
        with self._bus.client() as client:
            while not self._over.wait(PERIOD):
                objects = None
                with contextlib.suppress(BusError, TimeoutError, Closed):
                    objects = client.objects()
                client.history.clear()   # it would grow for ever
                for guest in self._guests:
                    self._check(guest, objects)

    def close(self):
        self._over.set()
        self.join()

    def _check(self, guest: Guest, objects: dict | None):
        stalled = self.writers[guest.name].stalled_for()
        well = self._health.well_for(*parts_of(guest))
        now = time.monotonic()
        if not stalled:
            self._told.discard(guest.name)
        held = objects is None or any(
            properties["State"] == "held" for path, properties in objects.items()
            if path.startswith(f"{self._paths[guest.name]}/freeze/"))
        if not stalled or held or not well:
            self._frozen_for_nobody.pop(guest.name, None)
        since = self._frozen_for_nobody.setdefault(guest.name, now) if stalled and not held else now
        if now - since > BOUND and well > BOUND:
            self._tell(guest, f"frozen for {now - since:.1f} s without a freeze that is held")
        if stalled > self._max_hold + BOUND and well > BOUND:
            self._tell(guest, f"frozen for {stalled:.1f} s, MaxHold is {self._max_hold:g} s")

    def _tell(self, guest: Guest, text: str):
        if guest.name not in self._told:
            self._told.add(guest.name)
            self._violations.add(f"{guest.name}: {text}")


