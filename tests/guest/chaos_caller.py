# SPDX-License-Identifier: LGPL-2.1-or-later
"""A caller of chaos.py, in a thread of its own: freezes, holds, and ends it in one way or another.

What it proves: a Thaw that succeeds means that no writer came forward since the Freeze, and that
nobody was told of a loss; of one that fails with ConsistencyLost, everybody was told before.
"""

import threading
import time

from chaos_checker import WRITERS, Mark
from harness.client import MS, NAME, ROOT, S
from harness.connection import BusError, Closed

TARGETS = {"vdx": "a", "vdy": "b"}   # of the volumes SMALL

# What may happen while parts fail.
OWN = {"AgentUnavailable", "AgentFailed", "Timeout", "Disconnected", "NotRunning",
       "ConsistencyLost", "Conflict", "Incomplete", "NotMapped", "UnknownDomain"}
STANDARD = {"NoReply", "ServiceUnknown", "NameHasNoOwner", "UnknownObject", "UnknownMethod",
            "LimitsExceeded"}


class Caller(threading.Thread):

    def __init__(self, world, number: int, to_answer: float, longest_hold: float):
        """`to_answer`: seconds in which each call must be answered."""
        super().__init__(name=f"caller {number}", daemon=True)
        self.idle = threading.Event()
        self.doing = ""
        self._world = world
        self._random = world.random(self.name)
        self._to_answer = to_answer
        self._longest_hold = longest_hold
        self._client = None
        self._ways = [self._freeze] * 12 + [self._die_while_freezing, self._thaw_all,
                                            self._thaw_anothers, self._look]

    def run(self):
        while not self._world.over:
            if not self._world.storm.is_set():
                self._leave()
                self.idle.set()
                self._world.storm.wait(0.1)
                continue
            self.idle.clear()
            if self._client is None:
                self._client = self._world.bus.client()
                self._client.match(f"type='signal',sender='{NAME}',interface='{NAME}.Freeze'")
            guest = self._random.choice(self._world.guests)
            way = self._random.choice(self._ways)
            try:
                way(guest)
            except BusError:
                self._pause(0.1, 0.5)   # counted already
            except (Closed, OSError):
                self._leave()
        self._leave()

    def _leave(self):
        if self._client:
            self._client.close()
        self._client = None

    def _pause(self, least: float, most: float):
        """Ends early in a calm."""
        end = time.monotonic() + self._random.uniform(least, most)
        while self._world.storm.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _call(self, pending):
        """The answer to what was sent. Counted, and nothing comes too late."""
        service, start = self._world.service, time.monotonic()
        try:
            result = pending.result(self._to_answer)
        except BusError as error:
            word = error.name.rpartition(".")[2]
            self._world.count(f"answers to {self.doing}", word)
            if word not in (OWN if ".virtfreeze1." in error.name else STANDARD):
                self._world.violations.add(f"{self.doing} must not fail so: {error}")
            raise
        except TimeoutError:
            # A service that was killed leaves no answer, but an error of the bus.
            again = "" if service is self._world.service else ", which was started again since"
            self._world.violations.add(f"{self.doing} by {self._client.name} had no answer of the "
                                       f"service{again} for {time.monotonic() - start:.1f} s")
            self._leave()
            raise Closed from None
        self._world.count(f"answers to {self.doing}", "success")
        return result

    def _do(self, path: str, method: str, *arguments):
        self.doing = method
        return self._call(self._client.begin(path, method, *arguments))

    # Ways to spend the time

    def _freeze(self, guest):
        random = self._random
        disks = random.choice(([], [], ["vdx"], ["vdy"], ["vdx", "vdy"]))
        options = {"hold": int(random.uniform(0.3, self._longest_hold) * S),
                   "lifetime": random.choice(("caller", "caller", "lease")),
                   "scope": random.choice(("auto", "auto", "domain", "disks"))}
        covered = WRITERS
        if disks and options["scope"] == "disks":
            covered = tuple(TARGETS[disk] for disk in disks)
        self.doing = "Freeze"
        path = self._call(self._client.begin_freeze(self._world.paths[guest.name], *disks,
                                                    **options))
        # What a writer wrote before may still be on its way.
        proof = Proof(self._world, guest, covered)
        self._pause(0, 1.5)
        if random.random() < 0.3:
            self._do(path, "Renew", "t", random.randrange(300 * MS, int(self._longest_hold * S)))
            self._pause(0, 0.5)
        if random.random() < 0.1:
            self._do(path, "GetFilesystems")
        end = random.random()
        if end < 0.15:
            self._world.count("endings", "caller died")
            self._leave()
        elif end < 0.25:
            self._world.count("endings", "left to itself")
        else:
            self._thaw(path, proof, options["lifetime"] == "lease")

    def _thaw(self, path: str, proof: "Proof", lease: bool):
        proof.close()
        try:
            self._do(path, "Thaw")
        except BusError as error:
            self._world.count("endings", "Thaw failed")
            # A service that is just starting has no name yet by which signals could be chosen.
            if (error.name.endswith("ConsistencyLost") and proof.service is self._world.service
                    and "Lost" not in self._told(path)):
                self._world.violations.add(f"{path}: Lost was not announced: {error}")
            if not error.name.endswith(("ConsistencyLost", "UnknownObject", "UnknownMethod")):
                self._thaw_again(path)
            return
        self._world.count("endings", "Thaw succeeded")
        if (told := self._told(path)) != ["Released"]:
            self._world.violations.add(f"{path}: Thaw succeeded, and announced was {told}")
        if lease and path in self._world.thawed_by_anothers:
            # All callers are one user, so that other was an owner, too. If its Thaw failed, the
            # guest may have gone on since; this one has joined.
            self._world.count("checks", "joined another's Thaw of a lease")
        elif wrong := proof.broken():
            self._world.violations.add(f"{path}: Thaw succeeded although {wrong}")
        elif proof.says_something():
            self._world.count("checks", "held to the end")

    def _told(self, path: str) -> list[str]:
        return [signal.member for signal in self._client.signals() if signal.path == path]

    def _thaw_again(self, path: str):
        """The object stays until the guest is thawed; this joins. What it says of the freeze proves
        nothing: after an error the retry may find all thawed."""
        for _ in range(10):
            self._pause(0.1, 0.5)
            try:
                self._do(path, "Thaw")
                return
            except BusError as error:
                if error.name.endswith(("ConsistencyLost", "UnknownObject", "UnknownMethod")):
                    return

    def _die_while_freezing(self, guest):
        self._world.count("endings", "died while freezing")
        self._client.begin_freeze(self._world.paths[guest.name])
        self._pause(0, 0.1)
        self._leave()

    def _thaw_all(self, guest):
        self._do(self._world.paths[guest.name], "ThawAll")

    def _thaw_anothers(self, guest):
        freezes = self._freezes(guest)
        if freezes:
            path = self._random.choice(freezes)
            self._world.thawed_by_anothers.add(path)
            self._do(path, "Thaw")

    def _look(self, guest):
        self._do(self._world.paths[guest.name], "GetFilesystems")

    def _freezes(self, guest) -> list[str]:
        self.doing = "GetManagedObjects"
        objects = self._call(self._client.start(
            NAME, ROOT, "org.freedesktop.DBus.ObjectManager.GetManagedObjects"))
        return sorted(path for path in objects
                      if path.startswith(f"{self._world.paths[guest.name]}/freeze/"))


class Proof:
    """That covered writers stood still: from soon after a freeze was answered until just before its
    Thaw is sent."""

    def __init__(self, world, guest, covered: tuple[str, ...]):
        self.service = world.service
        self._covered = covered
        self._writers = world.checker.writers[guest.name]
        self._first = self._begin = self._writers.mark()
        self._end: Mark | None = None
        deadline = time.monotonic() + 1
        # Two ticks on, all that was written before has arrived.
        while self._begin.ticks < self._first.ticks + 3 and time.monotonic() < deadline:
            time.sleep(0.02)
            self._begin = self._writers.mark()

    def close(self):
        self._end = self._writers.mark()

    def says_something(self) -> bool:
        """The guest ran meanwhile."""
        return self._end.ticks > self._begin.ticks

    def broken(self) -> str:
        on_their_way = self._first.progress(self._begin, self._covered)
        later = self._begin.progress(self._end, self._covered)
        if on_their_way <= 2 and later == 0:
            return ""
        return f"writers came forward by {on_their_way} + {later} records: {self}"

    def __str__(self):
        return f"{self._first} {self._begin} {self._end}"
