# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the `bus` suite: the real service on a bus of its own, with the real polkitd and
libvirt's test driver. Bus and polkitd live for a file, the service for a test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gi

gi.require_version("Gio", "2.0")

from harness import box
from harness.bus import POLKIT, Bus, Polkit, Service
from harness.fakepolkit import FakePolkit
from harness.skip import impossible


@pytest.fixture(scope="session")
def machine():
    """The users and folders of an installed service."""
    if reason := box.missing():
        impossible(reason)
    box.enter()


@pytest.fixture(scope="module")
def bus(machine):
    bus = Bus()
    yield bus
    bus.close()


@pytest.fixture(scope="module")
def polkit(bus, request):
    """With the rules that the file has in RULES."""
    polkit = Polkit(bus, getattr(request.module, "RULES", ""))
    yield polkit
    polkit.stop()


@pytest.fixture
def no_polkit(polkit):
    """During the test there is none, unless the test starts it."""
    polkit.stop()
    yield polkit
    polkit.start()


@pytest.fixture
def fake(no_polkit, bus):
    """A polkit whose answers the test gives."""
    fake = FakePolkit(bus.path)
    yield fake
    fake.close()
    bus.wait_name_gone(POLKIT)


@pytest.fixture
def start(bus, polkit):
    """Starts the service as the test wants it, and ends it after the test."""
    services = []

    def start(*options, **settings):
        services.append(Service(bus, *options, **settings))
        return services[-1]

    start.services = services
    yield start
    wrong = [service.close() for service in services]
    assert not any(wrong), "\n".join(wrong)


@pytest.fixture
def service(start, request):
    """The service with the configuration that the file or @pytest.mark.config gives."""
    mark = request.node.get_closest_marker("config")
    return start(config=mark.args[0] if mark else getattr(request.module, "CONFIG", ""))


@pytest.fixture
def connect(bus):
    """Connects as a user, root unless named, until the end of the test."""
    clients = []

    def connect(user=None):
        clients.append(bus.client(user))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def root(service, connect):
    """A connection of root, to whom polkit allows everything; it watches the service."""
    return connect().watch()


@pytest.fixture
def domain(root):
    """The test driver's only one: / and /boot are on vda."""
    return root.domain()


def pytest_configure(config):
    config.addinivalue_line("markers", "config(text): configuration of the service")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Beside a failure, what the service and polkitd had to say."""
    report = (yield).get_result()
    if report.failed:
        used = item.funcargs
        for process in [used.get("polkit"), *getattr(used.get("start"), "services", [])]:
            if process:
                report.sections.append((type(process).__name__, process.messages()[-3000:]))
