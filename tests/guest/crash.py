# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service dies by SIGKILL at a named place, and the next one takes up what it left."""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import box
from harness.bus import NAME, Bus, Process, Service, sanitizer_options
from harness.client import Client
from harness.guest import Guest
from service import CONFIG, FREEZABLE, Standstill, assert_thawed


def faulty_daemon() -> str:
    """The build of the service that has places to die at (service/fault.h)."""
    build = os.environ.get("MESON_BUILD_ROOT") or box.SOURCE / "build"
    return os.environ.get("VIRTFREEZED_FAULTY") or str(Path(build) / "service/virtfreezed-faulty")


def places_in_source() -> list[str]:
    """Once for each time that it is there."""
    return [place for path in (box.SOURCE / "service").glob("*.c")
            for place in re.findall(r'VF_FAULT \("([\w-]+)"\)', path.read_text())]


def records(state_dir: Path) -> list[str]:
    """Names of all files of the journal that tell of a freeze, or did."""
    return sorted(path.name for path in state_dir.iterdir() if path.name not in ("counter", "lock"))


def number_of(path: str) -> int:
    return int(path.rpartition("/")[2])


class FaultyService(Service):
    """Dies when it comes to the place."""

    def __init__(self, bus: Bus, place: str, uri: str, state_dir: Path, config: str = CONFIG):
        self.config = bus.new_file("virtfreezed.conf")
        self.set_config(config)
        self.state_dir = state_dir
        Process.__init__(
            self,
            [faulty_daemon(), "--config", self.config, "--state-dir", state_dir, "--uri", uri],
            box.SERVICE_USER, {"HOME": "/nonexistent", "VIRTFREEZE_FAULT": place,
                               **sanitizer_options(), **bus.environment()},
            bus.new_file("virtfreezed.log"))


@dataclass
class Holder:
    """Who is to hold a freeze after all."""
    client: Client          # who may thaw it
    path: str | None        # None: the service died before it told
    owner: str              # as the property tells

    def deadline(self) -> int:
        """µs since the epoch."""
        return self.client.get(self.path, "Deadline")


class Case:
    """One death: what is done before, at which place it dies, and what must be true afterwards."""

    config = "AgentTimeout=6s\nFreezeTimeout=9s\nVerifyInterval=500ms\n"   # time for a busy machine

    def __init__(self, guest: Guest, bus: Bus, place: str):
        self.guest = guest
        self.place = place
        self.domain = f"/org/virtfreeze1/domain/_{guest.virsh('domuuid').replace('-', '_')}"
        self._bus = bus
        self._uri = guest.libvirtd.uri
        self._state_dir = bus.new_folder("state", box.SERVICE_USER)
        self._service: Service | None = None
        self._clients: list[Client] = []
        self._numbers: set[int] = set()
        self._kept: list[str] = []   # in the journal, for ever
        self._standstill: Standstill | None = None
        self.frozen_names: tuple[str, ...] = ()   # writers that stand still; none: all

    # What happens

    def start(self):
        """The ordinary service."""
        self._service = Service(self._bus, config=self.config, uri=self._uri,
                                state_dir=self._state_dir)
        self._wait_agent()

    def start_faulty(self, place: str | None = None):
        self._service = FaultyService(self._bus, place or self.place, self._uri, self._state_dir,
                                      self.config)
        self._bus.wait_name(NAME, self._service)
        self._wait_agent()

    def recover_faulty(self):
        """It dies before anybody can call it, or soon afterwards."""
        self._service = FaultyService(self._bus, self.place, self._uri, self._state_dir,
                                      self.config)
        self.wait_death()

    def _domains(self) -> list[str]:
        return [self.domain]

    def _wait_agent(self):
        """Until it knows as much as libvirt does."""
        with self._bus.client() as client:
            client.watch()
            for domain in self._domains():
                client.wait_property(domain, "AgentConnected", True)

    def client(self) -> Client:
        self._clients.append(self._bus.client())
        return self._clients[-1]

    def freeze(self, *disks: str, client: Client | None = None, **options) -> Holder:
        client = client or self.client()
        path = client.freeze(self.domain, *disks, **options)
        self._numbers.add(number_of(path))
        return Holder(client, path, client.name)

    def expect_standstill(self, *names: str):
        """From now on no writer of these, or of all, may come forward until the end."""
        self._standstill = Standstill(self.guest, names or self.frozen_names or FREEZABLE)

    def kill(self):
        """Without a place; returns when the name is gone."""
        self._service.send(signal.SIGKILL)
        self.wait_death()

    def wait_death(self):
        assert self._service.wait() == -signal.SIGKILL, self._service.messages()
        self._bus.wait_name_gone(NAME)
        self._numbers |= {int(name.split(".")[1]) for name in records(self._state_dir)}

    def damage_record(self):
        """Of the only one the second half goes. It is to be kept, for people."""
        [name] = records(self._state_dir)
        path = self._state_dir / name
        os.truncate(path, path.stat().st_size // 2)
        self._kept = [f"{name}.damaged"]

    # What must be true afterwards

    def check(self, holders: list[Holder]):
        """The ordinary service is started, and settles: those hold a freeze, and nobody else."""
        self.start()
        root = self.client().watch()
        root.wait_property(self.domain, "FreezeState", "frozen" if holders else "thawed")
        if holders:
            if self._standstill is None:
                self.expect_standstill()
            self._standstill.check()
        else:
            assert_thawed(self.guest)
            assert records(self._state_dir) == self._kept
        objects = {path: root.properties(path) for path in root.freezes(self.domain)}
        assert all(properties["State"] == "held" for properties in objects.values())
        assert (sorted(properties["Owner"] for properties in objects.values())
                == sorted(holder.owner for holder in holders))
        by_owner = {properties["Owner"]: path for path, properties in objects.items()}
        for holder in holders:
            assert holder.path in (None, by_owner[holder.owner])
            holder.path = by_owner[holder.owner]
        self._check_release(holders)

    def _check_release(self, holders: list[Holder]):
        """They held to the end, and nothing is left of it."""
        for holder in holders:
            assert self.guest.agent_frozen()
            holder.client.thaw(holder.path)
        assert not self.guest.agent_frozen()
        assert records(self._state_dir) == self._kept
        fresh = self.freeze()
        assert number_of(fresh.path) == max(self._numbers), "a number was used twice"
        assert self.guest.agent_frozen()
        fresh.client.thaw(fresh.path)
        assert_thawed(self.guest)
        assert records(self._state_dir) == self._kept

    def close(self) -> str:
        """Returns what is wrong with how the service behaved."""
        for client in self._clients:
            client.close()
        if self._service is None or not self._service.is_running():
            return ""
        return self._service.close()


class Scenarios(dict):
    """Name → what is done, and the places at which the service can die in it."""

    def at(self, *places: str):
        """Declares one."""
        def add(function):
            self[function.__name__] = function, places
            return function
        return add

    def cases(self) -> list[tuple[str, str]]:
        """Each name with each of its places."""
        return [(name, place) for name, (_, places) in self.items() for place in places]

    def each(self):
        """Parametrizes a test with all cases."""
        return pytest.mark.parametrize("case", self.cases(), indirect=True, ids="-at-".join)

    def live(self, case: Case, name: str):
        """What the fixture of a case does."""
        case.scenario = self[name][0]
        yield case
        assert not (wrong := case.close()), wrong
