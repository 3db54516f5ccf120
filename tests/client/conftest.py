# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the `client` suite: virt-freeze against the real service, bus and polkitd of the bus
suite, with hosts that libvirt's test driver plays."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bus.conftest import bus, connect, machine, polkit, pytest_runtest_makereport, start
from command import Command, Terminal
from harness.bus import Bus, Service
from harness.connection import BUS
from harness.node import SHUTOFF, Domain, Node

# Fixtures of the bus suite.
assert all((bus, connect, machine, polkit, pytest_runtest_makereport, start))


@pytest.fixture
def node(bus):
    """web and db run, off does not."""
    return Node(bus.new_file("node.xml"), Domain("web", ("vda", "vdb")), Domain("db"),
                Domain("off", state=SHUTOFF))


@pytest.fixture
def service(start, node, request):
    return start(uri=node.uri, config=getattr(request.module, "CONFIG", ""))


@pytest.fixture
def root(service, connect):
    """A connection of root that watches the service."""
    return connect().watch()


@pytest.fixture
def web(root):
    return root.domain("web")


@pytest.fixture
def run(bus, service):
    """Runs virt-freeze to its end: run("list", user=..., input=...) has code, out, error."""
    def run(*arguments, **settings):
        with Command(bus, *arguments, **settings) as command:
            return command.finish()
    return run


@pytest.fixture
def begin(bus, service):
    """Starts virt-freeze; what still runs after the test is killed."""
    commands = []

    def begin(*arguments, **settings):
        commands.append(Command(settings.pop("bus", bus), *arguments, **settings))
        return commands[-1]

    yield begin
    for command in commands:
        command.close()


@pytest.fixture
def terminal(bus, service):
    """Starts virt-freeze on a terminal of its own."""
    terminals = []

    def terminal(*arguments, **settings):
        terminals.append(Terminal(bus, *arguments, **settings))
        return terminals[-1]

    yield terminal
    for one in terminals:
        one.close()


@pytest.fixture
def calls(connect):
    """Waits until somebody has called that method, seen on the bus."""
    monitor = connect()
    monitor.call(*BUS, "org.freedesktop.DBus.Monitoring.BecomeMonitor", "asu",
                 ["type='method_call',interface='org.virtfreeze1.Domain'"], 0)
    return lambda member: monitor.wait(lambda message: message.get_member() == member)


@pytest.fixture
def own_bus():
    """A session bus of the test's own, that it may end; with a service."""
    bus = Bus(session=True)
    bus.service = Service(bus, "--session", uri="test:///default")
    yield bus
    if bus.service.is_running():
        bus.service.kill()
    bus.close()


os.environ.pop("NO_COLOR", None)
