# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many callers, and all that the service leans on fails: chaos.py --seconds 600 --seed N

Storms, in which callers freeze, thaw and die while parts are killed, hung and reset at random, end
in a calm: callers let go, the driver mends all that it broke, and guests have to be thawed and the
journal empty soon after. A checker (chaos_checker.py) looks at the guests all the time. Each actor
takes its choices from a generator of its own, made from the seed; which of them meet is up to the
machine.

Exit status 1 if there was a violation.
"""

import argparse
import collections
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gi

gi.require_version("Gio", "2.0")

from chaos_caller import Caller
from chaos_checker import BOUND, Checker, Health, Violations
from chaos_faults import FAULTS
from harness import box
from harness.bus import NAME, Bus, Polkit, Service
from harness.connection import BusError, Closed
from harness.guest import SMALL, Guest, Libvirtd, VirshError, image_folder, missing, wait_until

# Short, so that much happens in a minute.
MAX_HOLD = 6
CONFIG = f"""
AgentTimeout=2s
VerifyInterval=500ms
FreezeTimeout=6s
DefaultHold=2s
MaxHold={MAX_HOLD}s
"""
CALLERS = 6
LONGEST_HOLD = 3          # s: of a lease that nobody thaws
TO_ANSWER = 6 + 5         # s: FreezeTimeout, and what a busy machine may add


class World:
    """All parts, and what callers and faults share."""

    def __init__(self, seed: int, guests: int = 2):
        self.seed = seed
        self.health = Health()
        self.violations = Violations()
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.slowest_calm = 0.0
        self.thawed_by_anothers: set[str] = set()   # freezes that another caller has tried to end
        self.storm = threading.Event()   # callers go on
        self.over = False
        box.enter()
        self.bus = Bus()
        self.polkit = Polkit(self.bus)
        self.libvirtd = Libvirtd()
        image = image_folder()
        self.guests = [Guest(self.libvirtd, image, f"guest{number}", SMALL).start(wait=False)
                       for number in range(1, guests + 1)]
        self.paths = {guest.name: "/org/virtfreeze1/domain/_"
                      + guest.virsh("domuuid").replace("-", "_") for guest in self.guests}
        for guest in self.guests:
            guest.wait_ready()
        self.state_dir = self.bus.new_folder("state", box.SERVICE_USER)
        self.service: Service | None = None
        self.start_service()
        self.bus.wait_name(NAME, self.service)
        self.checker = Checker(self.guests, self.paths, self.bus, self.health, self.violations,
                               MAX_HOLD)
        self.checker.start()

    def count(self, what: str, kind: str):
        self.counts[what, kind] += 1

    def random(self, actor: str) -> random.Random:
        return random.Random(f"{self.seed}/{actor}")

    def start_service(self):
        self.service = Service(self.bus, config=CONFIG, uri=self.libvirtd.uri, wait=False,
                               state_dir=self.state_dir)

    def end_service(self, number: int, *expected: int):
        """By a signal; it must end so and not otherwise."""
        if (status := self.service.stop(number)) not in expected:
            self.violations.add(f"the service ended with {status}, not {expected}: "
                                + self.service.messages()[-3000:])
        elif wrong := self.service.close():
            self.violations.add(f"the service complained: {wrong}")

    def records(self) -> list[str]:
        return [path.name for path in self.state_dir.iterdir()
                if path.name not in ("counter", "lock")]

    def close(self):
        self.over = True
        self.checker.close()
        self.end_service(signal.SIGTERM, 0)
        self.libvirtd.close()
        self.polkit.stop()
        self.bus.close()


class Driver:
    """Breaks and mends. All of it in the main thread, since parts end with the thread that made
    them."""

    def __init__(self, world: World):
        self._world = world
        self._random = world.random("driver")
        self._active: list[tuple] = []   # fault, parts that it broke, due time or condition
        self._kinds = [kind for kind in FAULTS for _ in range(kind.weight)]

    def storm(self, seconds: float):
        self._world.storm.set()
        end = time.monotonic() + seconds
        due = 0
        while (now := time.monotonic()) < end:
            self._look_after_service()
            self._end_due(now)
            if now >= due:
                self._begin()
                due = now + self._random.uniform(0.2, 2)
            time.sleep(0.01)

    def _look_after_service(self):
        world = self._world
        if world.service.is_running() or world.health.is_broken("service"):
            return
        world.violations.add(f"the service ended by itself, {world.service.wait()}: "
                             + world.service.messages()[-3000:])
        world.start_service()
        world.bus.wait_name(NAME, world.service)

    def _begin(self):
        """The choice does not depend on what goes on; what is impossible now is left out."""
        kind = self._random.choice(self._kinds)
        guest = self._random.choice(self._world.guests)
        seconds = self._random.uniform(*kind.seconds)
        parts = [part.format(guest=guest.name) for part in kind.breaks]
        needed = [part.format(guest=guest.name) for part in kind.needs]
        if self._world.health.is_broken(*parts, *needed):
            return
        for part in parts:
            self._world.health.breaks(part)
        fault = kind.function(self._world, guest)
        self._world.count("fault", kind.name)
        self._active.append((fault, parts, needed, time.monotonic() + seconds))
        self._advance(self._active[-1])

    def _advance(self, active: tuple):
        """To the next wait of a fault: for its time (None), or for a condition."""
        fault, parts, needed, _ = active
        self._active.remove(active)
        try:
            condition = next(fault)
        except StopIteration:
            for part in parts:
                self._world.health.mends(part)
            return
        except (VirshError, TimeoutError, RuntimeError) as error:
            # What is left of it the calm mends.
            self._world.count("fault that failed", f"{fault.__name__}: {error}"[:100])
            for part in parts:
                self._world.health.mends(part)
            return
        self._active.append((fault, parts, needed, condition or active[3]))

    def _end_due(self, now: float):
        for active in list(self._active):
            _, _, needed, due = active
            if self._world.health.is_broken(*needed):
                continue
            if due() if callable(due) else now >= due:
                self._advance(active)

    def calm(self):
        """All is mended and let go; then nothing may be left."""
        world = self._world
        world.storm.clear()
        wait_until(lambda: not self._active or self._end_due(sys.float_info.max), 120,
                   "end of all faults")
        self._mend_guests()
        mended = time.monotonic()
        for caller in self._callers:
            if not caller.idle.wait(2 * TO_ANSWER):
                world.violations.add(f"{caller.name} is stuck: {caller.doing}")
        self._look_after_service()
        self._settle(mended)

    def run(self, seconds: float):
        self._callers = [Caller(self._world, number, TO_ANSWER, LONGEST_HOLD)
                         for number in range(CALLERS)]
        for caller in self._callers:
            caller.start()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 3:
            self.storm(min(self._random.uniform(6, 14), left))
            self.calm()

    def _mend_guests(self):
        """What failed while others failed, too. Frozen they stay: that is for the service."""
        for guest in self._world.guests:
            if "State:\tT" in guest.sh("cat /proc/$(cat /run/agent.pid)/status")[1]:
                guest.cont_agent()
            guest.sh("kill -0 $(cat /run/agent.pid) || guest-agent")
            guest.set_hook()
            guest.wait_agent()

    def _settle(self, mended: float):
        world = self._world
        with world.bus.client() as client:
            try:
                wait_until(lambda: self._is_settled(client), LONGEST_HOLD + BOUND, "calm")
            except TimeoutError:
                world.violations.add(f"nothing settles: {self._left(client)}")
        world.count("checks", "calm")
        world.slowest_calm = max(world.slowest_calm, time.monotonic() - mended)
        for guest in world.guests:
            self._check_thawed(guest)

    def _is_settled(self, client) -> bool:
        try:
            left = self._left(client)
            for path, state in left.items():
                if state == "lost":   # a lease of ours: it goes when we have been told
                    client.thaw(path)
        except (BusError, TimeoutError, Closed):
            return False
        return not left

    def _left(self, client) -> dict[str, str]:
        left = {f"record {name}": "in the journal" for name in self._world.records()}
        for path, properties in client.objects().items():
            if "/freeze/" in path:
                left[path] = properties["State"]
            elif "/domain/" in path and properties["FreezeState"] != "thawed":
                left[path] = properties["FreezeState"]
        return left

    def _check_thawed(self, guest: Guest):
        """By its own word."""
        try:
            if guest.agent_frozen():
                raise TimeoutError("the agent says that it is frozen")
            for name in ("a", "b"):
                guest.wait_writer_progress(name)
        except (TimeoutError, VirshError) as error:
            self._world.violations.add(f"{guest.name} in the calm: {error}")
            guest.virsh("domfsthaw", timeout=5)   # so that it is one violation


def print_report(world: World, seconds: float):
    print(f"seed {world.seed}, {seconds:g} s, {len(world.guests)} guests, {CALLERS} callers")
    for what in sorted({what for what, _ in world.counts}):
        kinds = sorted((kind, count) for (of, kind), count in world.counts.items() if of == what)
        print(f"{what}: {sum(count for _, count in kinds)} ("
              + ", ".join(f"{kind} {count}" for kind, count in kinds) + ")")
    print(f"longest time until all was thawed in a calm: {world.slowest_calm:.1f} s")
    print(f"violations: {len(world.violations.texts)}", flush=True)


def run(seed: int, seconds: float) -> list[str]:
    """The violations."""
    print(f"seed {seed}", flush=True)
    world = World(seed)
    try:
        Driver(world).run(seconds)
    finally:
        world.close()
    print_report(world, seconds)
    return world.violations.texts


def main() -> int:
    parser = argparse.ArgumentParser(description="Random faults around virtfreezed.")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    if reason := missing() or box.missing():
        print(reason, file=sys.stderr)
        return 1
    # Leaving by an exception ends all that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return 1 if run(options.seed, options.seconds) else 0


if __name__ == "__main__":
    sys.exit(main())
