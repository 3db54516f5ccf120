# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process: its options, its start and its end."""

import os
import signal
import subprocess
import time

import pytest

from harness.box import MEMBER, NOBODY
from harness.bus import NAME, Bus, Polkit, Service, daemon
from harness.client import ROOT, S, fails


def run(*options, **settings) -> subprocess.CompletedProcess:
    return subprocess.run([daemon(), *options], capture_output=True, text=True, timeout=10,
                          **settings)


# Options

def test_version():
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    word, version = result.stdout.split()
    assert word == "virtfreezed" and version[0].isdigit()


def test_help_names_every_option():
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("--session", "--uri", "--config", "--check-config", "--version", "--help"):
        assert option in result.stdout


@pytest.mark.parametrize("options", [["--sessions"], ["start"], ["--uri"], ["--config"]])
def test_unknown_options(options):
    result = run(*options)
    assert result.returncode != 0 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


# Starting

@pytest.mark.parametrize("uri", [
    "qemu+unix:///system?socket=/nonexistent", "test:///nonexistent.xml", "nonsense://"])
def test_it_starts_without_libvirt(start, connect, uri):
    begin = time.monotonic()
    start(uri=uri)
    assert time.monotonic() - begin < 5
    client = connect()
    assert client.get(ROOT, "Connected") is False
    assert client.get(ROOT, "ConnectionUri") == uri
    assert client.objects() == {}
    with fails("Disconnected"):
        client.domain("test")


@pytest.mark.parametrize("share", ["the name", "the name and the journal"])
def test_a_second_instance_ends_and_leaves_the_first_alone(bus, service, root, domain, share):
    freeze = root.freeze(domain)
    second = Service(bus, wait=False,
                     state_dir=service.state_dir if "journal" in share else None)
    assert second.wait() not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    assert second.messages()
    assert service.is_running()
    assert root.get(freeze, "State") == "held"
    root.thaw(freeze)


def test_it_ends_where_it_may_not_have_its_name(bus, polkit):
    service = Service(bus, user=NOBODY, wait=False)
    assert service.wait() != 0
    assert NAME in service.messages()


def test_it_ends_without_a_bus(bus, tmp_path):
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/nothing", "PATH": "/usr/bin"}
    result = run("--uri", "test:///default", "--config", os.devnull, "--state-dir", tmp_path,
                 env=environment)
    assert result.returncode != 0 and result.stderr


# Ending

def test_sigterm_releases_everything(bus, service, root, connect, domain):
    member = connect(MEMBER)
    freezes = {root.freeze(domain), member.freeze(domain),
               member.freeze(domain, lifetime="lease")}
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    root.sync()
    told = [signal for signal in root.signals() if signal.member == "Released"]
    assert {signal.path for signal in told} == freezes
    assert {signal.body for signal in told} == {("service-stopping",)}
    states = [signal.body[1]["FreezeState"] for signal in root.signals()
              if signal.path == domain and "FreezeState" in signal.body[1]]
    assert states[-1] == "thawed"
    bus.wait_name_gone(NAME)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_idle(service, number):
    begin = time.monotonic()
    assert service.stop(number) == 0
    assert time.monotonic() - begin < 5


def test_sigterm_answers_what_is_under_way(service, polkit, root, connect, domain):
    """Whoever waits is told, by an error or by the end of the name."""
    caller = connect(MEMBER)
    polkit.pause()
    try:
        call = caller.begin_freeze(domain)
        root.sync_service()
        assert service.stop() == 0
        assert call.message().get_error_name()
    finally:
        polkit.resume()


def test_sigterm_during_freezes(start, connect):
    for turn in range(10):
        service = start()
        clients = [connect() for _ in range(3)]
        domain = clients[0].domain()
        calls = [client.begin_freeze(domain) for client in clients]
        time.sleep(turn / 1000)   # varies how far they get
        assert service.stop() == 0
        for call in calls:
            call.message()


def test_sigterm_twice(service, root, domain):
    root.freeze(domain)
    service.send(signal.SIGTERM)
    service.send(signal.SIGTERM)
    assert service.wait() == 0


def test_it_ends_when_the_bus_does(machine):
    bus = Bus()
    polkit, service = Polkit(bus), Service(bus)
    client = bus.client()
    client.freeze(client.domain())
    bus.stop()
    assert service.wait() not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    bus.start()
    polkit.stop()
    bus.close()


def test_numbers_go_on_after_a_restart(start, connect):
    first = start()
    client = connect()
    before = client.freeze(client.domain())
    assert first.stop() == 0
    start(state_dir=first.state_dir)
    after = client.freeze(client.domain())
    assert int(after.rpartition("/")[2]) > int(before.rpartition("/")[2])


# The session bus

@pytest.fixture
def session():
    """A session bus: without root, polkit or policy."""
    bus = Bus(session=True)
    yield bus
    bus.close()


def test_session(session):
    service = Service(session)
    client = session.client().watch()
    domain = client.domain()
    freeze = client.freeze(domain, "vda", hold=5 * S)
    assert client.frozen(domain) == {"/", "/boot"}
    client.renew(freeze, 10 * S)
    other = session.client()
    other.thaw_all(domain)   # no authorization: all there are the same user
    with fails("ConsistencyLost"):
        client.thaw(freeze)
    vanishing = session.client()
    vanishing.freeze(domain)
    vanishing.close()
    client.wait_signal("Released", wanted=lambda why: why == "caller-vanished")
    for connection in (client, other):
        connection.close()
    assert service.close() == ""


def test_session_keeps_the_owner_rules(session):
    service = Service(session)
    owner, other = session.client(), session.client()
    freeze = owner.freeze(owner.domain())
    with fails("AccessDenied"):
        other.renew(freeze, S)
    other.thaw(freeze)
    with fails("ConsistencyLost"):
        owner.thaw(freeze)
    owner.close()
    other.close()
    assert service.close() == ""


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+unix:///system", "qemu+ssh://host/system",
                                 "xen:///system"])
@pytest.mark.parametrize("where", ["option", "file"])
def test_session_refuses_guests_of_the_system(session, uri, where):
    service = Service(session, wait=False, uri=uri if where == "option" else None,
                      config=f"Uri={uri}")
    assert service.wait() != 0
    assert uri in service.messages()
    assert not session.has(NAME)
