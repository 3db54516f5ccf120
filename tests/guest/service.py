# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service beside real guests: its fixtures, and proofs by the guest's own word."""

import time

import gi
import pytest

gi.require_version("Gio", "2.0")

from harness import box
from harness.box import MEMBER
from harness.bus import Bus, Polkit, Service
from harness.client import GONE, S, fails
from harness.guest import SMALL, Guest, wait_until
from harness.skip import impossible

# Short, so that what comes by the clock comes soon.
CONFIG = "AgentTimeout=2s\nFreezeTimeout=5s\nVerifyInterval=500ms\n"


# Of the shared guest, what a freeze of everything freezes: the writers on it.
FREEZABLE = ("a", "b", "span")

# A hook that tells what the agent was asked to do.
LOG_HOOK = "#!/bin/sh\necho $1 >>/run/hook.log\n"


# Proofs

def writers(guest: Guest) -> tuple[str, ...]:
    """Those that a freeze of everything stops. vfat cannot be frozen."""
    return tuple(volume.name for volume in guest.volumes if volume.type not in ("", "vfat"))


class Standstill:
    """From now on the guest is frozen; `check()` says that it has been without a gap.

    A writer stands in the middle of a record. A thaw for a moment would let it finish that one.
    """

    def __init__(self, guest: Guest, names: tuple[str, ...] = (), agent: bool = True):
        """`names`: of writers; all unless given. `agent`: it answers, and is to say so, too."""
        self._guest, self._names, self._agent = guest, names or writers(guest), agent
        if agent:
            assert guest.agent_frozen()
        guest.is_writer_stalled("tick", 0)   # what was written before may still be on its way
        self._counts = self._count()
        self.check()

    def check(self):
        assert self._guest.is_writer_stalled(self._names[0], 0.2)
        assert self._count() == self._counts
        if self._agent:
            assert self._guest.agent_frozen()

    def _count(self) -> list[int]:
        return [self._guest.writer_count(name) for name in self._names]


def assert_thawed(guest: Guest, agent: bool = True):
    if agent:
        assert not guest.agent_frozen()
    for name in writers(guest):
        guest.wait_writer_progress(name)


def wait_thawed(guest: Guest, timeout: float = 10):
    """Until the writers write."""
    for name in writers(guest):
        guest.wait_writer_progress(name, timeout)


def seconds_until_writes(guest: Guest, since: float, name: str = "a") -> float:
    """From `since`, a time of the monotonic clock, until a writer that stood still writes."""
    count = guest.writer_count(name)
    wait_until(lambda: guest.writer_count(name) > count, 10, f"writer {name}")
    return time.monotonic() - since


def assert_lost(client, freeze, why):
    """Its owner learns of it once more, and then the object goes."""
    assert client.wait_signal("Lost", freeze).body == (why,)
    assert client.get(freeze, "State") == "lost"
    with fails("ConsistencyLost"):
        client.renew(freeze, S)
    with fails("ConsistencyLost"):
        client.thaw(freeze)
    assert client.wait_signal("Released", freeze).body == ("lost",)
    with fails(*GONE):
        client.thaw(freeze)


def assert_works(guest: Guest, client, domain):
    """All is as at first: a freeze freezes, and its thaw thaws."""
    client.wait_property(domain, "AgentConnected", True)
    client.wait_property(domain, "FreezeState", "thawed")
    assert client.freezes(domain) == []
    freeze = client.freeze(domain)
    Standstill(guest)
    client.thaw(freeze)
    assert_thawed(guest)


# Fixtures

def pytest_configure(config):
    config.addinivalue_line("markers", "config(text): configuration of the service")


@pytest.fixture(scope="session", autouse=True)
def machine():
    """The users of an installed service. Before libvirtd starts, which has to know them, too."""
    if reason := box.missing():
        impossible(reason)
    box.enter()


@pytest.fixture(scope="session")
def bus(machine):
    bus = Bus()
    yield bus
    bus.close()


@pytest.fixture(scope="session")
def polkit(bus):
    polkit = Polkit(bus)
    yield polkit
    polkit.stop()


@pytest.fixture
def start(bus, polkit, libvirtd):
    """Starts the service, as a test wants it or on the state of an earlier one."""
    services = []

    def start(*options, **settings):
        settings = {"config": CONFIG, "uri": libvirtd.uri, **settings}
        services.append(Service(bus, *options, **settings))
        return services[-1]

    yield start
    wrong = [service.close() for service in services]
    assert not any(wrong), "\n".join(wrong)


@pytest.fixture
def service(start, request):
    """With CONFIG, or the configuration that the file has so or @pytest.mark.config gives."""
    mark = request.node.get_closest_marker("config")
    return start(config=mark.args[0] if mark else getattr(request.module, "CONFIG", CONFIG))


@pytest.fixture
def connect(bus):
    """Connects as a user, one who may freeze unless named, until the end of the test."""
    clients = []

    def connect(user=MEMBER):
        clients.append(bus.client(user))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def root(guest, service, connect):
    """A connection of root, who may do everything; it watches the service. The shared guest is
    there, and is looked after when the service has ended."""
    return connect(None).watch()


@pytest.fixture
def domain(guest, root):
    """The object of the shared guest."""
    path = root.domain(guest.name)
    root.wait_property(path, "AgentConnected", True)
    return path


@pytest.fixture
def new_guest(libvirtd, image):
    """Makes a guest with a name and settings, for this test alone."""
    guests = []

    def new_guest(name, volumes=SMALL, **settings):
        guests.append(Guest(libvirtd, image, name, volumes, **settings))
        return guests[-1]

    yield new_guest
    for guest in guests:
        guest.remove()


@pytest.fixture(scope="session")
def booted_second_guest(libvirtd, image):
    return Guest(libvirtd, image, "second", SMALL).start()


@pytest.fixture
def second_guest(booted_second_guest):
    """One more that is shared, for what concerns two."""
    yield booted_second_guest
    if wrong := booted_second_guest.mend():
        pytest.fail(f"the test left the second guest behind: {', '.join(wrong)}")


class Gate:
    """A guest freezes when the test opens it: until then its agent's hook waits."""

    HOOK = """#!/bin/sh
[ $1 = freeze ] || exit 0
echo waits >/run/gate.log
until [ -e /run/gate ]; do usleep 10000; done
exit $(cat /run/gate)
"""

    def __init__(self, guest: Guest):
        self._guest = guest
        self.close()

    def close(self):
        self._guest.check("rm -f /run/gate /run/gate.log")
        self._guest.set_hook(self.HOOK)

    def open(self, status: int = 0):
        """With another status the hook fails, and so does the freeze."""
        self._guest.check(f"echo {status} >/run/gate.new; mv /run/gate.new /run/gate")

    def wait(self):
        """Until a freeze stands before it."""
        wait_until(lambda: self._guest.sh("cat /run/gate.log")[1] == "waits\n", 20, "freeze")

    def remove(self):
        self.open()
        self._guest.set_hook()


@pytest.fixture
def second_gate(second_guest):
    gate = Gate(second_guest)
    yield gate
    gate.remove()


@pytest.fixture
def hook(guest):
    """Sets what the agent runs around a freeze, for this test."""
    guest.check("rm -f /run/hook.*")
    yield guest.set_hook
    guest.set_hook()


@pytest.fixture
def say(capsys):
    """Prints a line for whoever reads the results."""
    def say(text):
        with capsys.disabled():
            print(f"# {text}", flush=True)
    return say
