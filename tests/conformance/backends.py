# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service on one engine, and its guest as the behaviours see it.

`a` and `b` are filesystems on disks of their own, A and B. What `check`, `stands` and `goes_on` say
comes from the guest wherever there is one, never from the service.
"""

import os
import signal
from dataclasses import dataclass

from fsfreeze import guards, thaw_leftovers, wait_guards
from harness.box import SERVICE_USER
from harness.bus import Bus, Process, Service, daemon, sanitizer_options, wait_until
from harness.guest import Guest
from harness.node import Domain, Node
from service import Standstill

CONFIG = "AgentTimeout=5s\nFreezeTimeout=20s\nVerifyInterval=300ms\n"


@dataclass(frozen=True)
class Engine:
    """All in which engines differ."""
    word: str
    everything: str      # the engine that freezes everything (what is below / or /var, too)
    auto: str            # what scope auto means
    grows: bool          # while something is frozen, more can be
    thaws_part: bool     # of what is frozen
    outside: str         # who loses when A is thawed outside: all, its holders, or nobody
    outlives: bool       # what is frozen stays so without the service
    guards: bool         # in the guest, for the case that the host dies


ENGINES = {
    engine.word: engine for engine in (
        Engine("agent", "agent", "domain", grows=False, thaws_part=False, outside="all",
               outlives=True, guards=False),
        Engine("exec", "agent", "disks", grows=True, thaws_part=True, outside="holders",
               outlives=True, guards=True),
        Engine("test", "test", "disks", grows=True, thaws_part=True, outside="nobody",
               outlives=False, guards=False),
    )
}


class Backend:
    """A service that runs, on a guest that runs and is thawed. Made for one test."""

    engine: Engine
    real = False          # it needs the shared guest
    apart = True          # A and B are different disks
    reachable = True      # the guest can be touched by others than the service
    program = staticmethod(daemon)
    name = "guest"
    A, B = "vdx", "vdy"
    config = CONFIG

    def __init__(self, bus: Bus, guest: Guest | None):
        self._bus, self.guest = bus, guest
        self._state_dir = bus.new_folder("state", SERVICE_USER)
        self._config = bus.new_file("virtfreezed.conf")
        self._config.write_text(f"[Freeze]\n{self.config}")
        self.root = bus.client().watch()
        self.prepare()
        self.start()
        self.domain = self.root.domain(self.name)
        if self.engine.word != "test":
            self.root.wait_property(self.domain, "AgentConnected", True)

    def prepare(self):
        """Before the service starts: its URI."""

    def start(self):
        self._service = BackendService(self._bus, self.program(), self._config, self._state_dir,
                                       self.uri)

    def restart(self, number: int = signal.SIGKILL):
        self._service.send(number)
        self._service.wait()
        self.start()

    def close(self) -> list[str]:
        self.root.close()
        return [wrong for wrong in [self._service.close()] if wrong]

    # The guest

    def stands(self, *names: str):
        """From now on these stand still; what is returned can `check()` that."""
        raise NotImplementedError

    def goes_on(self, *names: str):
        raise NotImplementedError

    def thaw_outside(self):
        """A: the agent thaws all at once, whoever asks for it."""
        raise NotImplementedError

    def wait_guards(self, count: int):
        raise NotImplementedError


class BackendService(Service):

    def __init__(self, bus: Bus, program: str, config, state_dir, uri: str):
        self.config, self.state_dir = config, state_dir
        Process.__init__(self, [program, "--config", config, "--state-dir", state_dir,
                                "--uri", uri],
                         SERVICE_USER, {"HOME": "/nonexistent", **sanitizer_options(),
                                        **bus.environment()}, bus.new_file("virtfreezed.log"))
        bus.wait_name("org.virtfreeze1", self)


class Real(Backend):
    """QEMU; by the guest's writers."""
    real = True

    def prepare(self):
        self.uri = self.guest.libvirtd.uri

    def stands(self, *names):
        return Standstill(self.guest, names, agent=False)

    def goes_on(self, *names):
        for name in names:
            self.guest.wait_writer_progress(name)

    def wait_guards(self, count):
        wait_guards(self.guest, count)

    def close(self):
        return super().close() + thaw_leftovers(self.guest)


class Agent(Real):
    engine = ENGINES["agent"]

    def thaw_outside(self):
        self.guest.virsh("domfsthaw")


class Exec(Real):
    engine = ENGINES["exec"]
    config = CONFIG + "Engine=exec\n"

    def thaw_outside(self):
        self.guest.check("fsfreeze -u /mnt/a")


class Shown:
    """Of something that tells what is frozen, but has no writers."""

    def __init__(self, backend: Backend, names: tuple[str, ...]):
        self._backend, self._names = backend, names
        self.check()

    def check(self):
        assert set(self._names) <= self._backend.frozen()


class Played(Backend):
    """The service with tests/unit/fake-hypervisor; by the file that this writes."""

    def program(self):
        return os.environ["VIRTFREEZED_FAKE"]

    def prepare(self):
        self._folder = self._bus.new_folder("guest", SERVICE_USER)
        os.mkfifo(self._folder / "outside")
        os.chmod(self._folder / "outside", 0o666)
        self.uri = f"fake:{self._folder}?{'driver' if self.engine.word == 'test' else 'agent'}"

    def _lines(self) -> list[list[str]]:
        return [line.split() for line in (self._folder / "guest").read_text().splitlines()]

    def frozen(self) -> set[str]:
        return {words[0] for words in self._lines()}

    def stands(self, *names):
        return Shown(self, names)

    def goes_on(self, *names):
        wait_until(lambda: not self.frozen() & set(names), f"thaw of {names}")

    def thaw_outside(self):
        with open(self._folder / "outside", "w") as outside:
            outside.write("thaw a\n")
        self.goes_on("a")

    def wait_guards(self, count):
        wait_until(lambda: sum("guard" in words for words in self._lines()) == count, "guards")


class FakeAgent(Played):
    engine = ENGINES["agent"]


class FakeExec(Played):
    engine = ENGINES["exec"]
    config = CONFIG + "Engine=exec\n"


class FakeDriver(Played):
    engine = ENGINES["test"]
    reachable = False


class Driver(Backend):
    """libvirt's test driver. Its state is within the service: nobody else can look, or touch it;
    and all filesystems are on one disk."""
    engine = ENGINES["test"]
    apart = reachable = False
    name = "played"
    A = B = "vda"
    paths = {"a": "/", "b": "/boot"}

    def prepare(self):
        self.uri = Node(self._bus.new_file("node.xml"), Domain(self.name)).uri

    def frozen(self):
        paths = self.root.frozen(self.domain)
        return {name for name, path in self.paths.items() if path in paths}

    def stands(self, *names):
        return Shown(self, names)

    def goes_on(self, *names):
        wait_until(lambda: not self.frozen() & set(names), f"thaw of {names}")

    def wait_guards(self, count):
        assert count == 0


BACKENDS = {"agent": Agent, "exec": Exec, "test": Driver, "fake-agent": FakeAgent,
            "fake-exec": FakeExec, "fake-driver": FakeDriver}
