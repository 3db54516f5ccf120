# SPDX-License-Identifier: LGPL-2.1-or-later
"""Speed on libvirt's test driver: session bus, system bus with polkit, a crowded bus."""

import contextlib
import functools
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from gi.repository import Gio

from harness.box import MEMBER, SERVICE_USER
from harness.bus import Polkit, Service
from harness.client import NAME
from harness.connection import BUS, Connection
from parts import BenchBus, LibvirtDBus, Row, caller, interleave, median, program, ratio

TEST = "6695eb01-f6a4-8304-79aa-97f2502e193f"   # the test driver's only domain
DOMAIN = f"/org/virtfreeze1/domain/_{TEST.replace('-', '_')}"
PEER_DOMAIN = f"/org/libvirt/Test/domain/_{TEST.replace('-', '_')}"
PENDING, IDLE, CROWD = 2000, 100, 2000


@contextlib.contextmanager
def state_folder(user: str | None = None):
    """On tmpfs, as /run is."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="vf-bench-", dir=memory if memory.is_dir() else None))
    if user:
        shutil.chown(folder, user)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def service(bus, **settings):
    with state_folder(None if bus.session else SERVICE_USER) as folder:
        service = Service(bus, state_dir=folder, **settings)
        try:
            yield service
        finally:
            service.stop()


def wake(bus, path: str = "/org/libvirt/Test"):
    """libvirt-dbus opens its connection at its first call."""
    with Connection(bus.path) as client:
        client.call("org.libvirt", path, "org.libvirt.Connect.ListDomains", "u", 0)


def journal_cost(pairs: int) -> list[float]:
    with state_folder() as folder:
        done = subprocess.run([program("bench-journal"), folder, str(pairs)], check=True,
                              capture_output=True, text=True)
    return [float(line.split()[0]) / 1000 for line in done.stdout.splitlines()]


def on_session_bus(rounds: int) -> list[Row]:
    """25 pairs a round."""
    bus = BenchBus(session=True)
    peer = LibvirtDBus(bus)
    wake(bus)
    with service(bus):
        client = caller(bus)
        for command in (f"freeze {DOMAIN} 100", f"dbus {PEER_DOMAIN} 100"):
            client.run(command)   # warm
        samples = interleave(
            rounds,
            ours=lambda: client.times(f"freeze {DOMAIN} 25"),
            peer=lambda: client.times(f"dbus {PEER_DOMAIN} 25"),
            ping=lambda: client.times("ping 25"),
            version=lambda: client.times("version 25"),
            journal=lambda: journal_cost(25))
        client.close()
    peer.stop()
    bus.close()
    ours, theirs = samples["ours"], samples["peer"]
    result = ratio(ours, theirs, rounds)
    journal = samples["journal"]
    without = [time - median(journal) for time in ours]
    return [
        Row("freeze + thaw, test driver, session bus", ours, "libvirt-dbus", theirs, "≤ 1.5",
            result, result <= 1.5),
        Row("· of which the journal: three records, on tmpfs", journal,
            value=ratio(journal, theirs, rounds)),
        Row("· without the journal", without, "libvirt-dbus", theirs,
            value=ratio(without, theirs, rounds)),
        Row("· two empty calls (Ping; the main loop does not see them)", samples["ping"]),
        Row("· two reads of a property (answered by the main loop)", samples["version"]),
    ]


def on_system_bus(rounds: int) -> list[Row]:
    bus = BenchBus()
    polkit = Polkit(bus)
    with service(bus):
        client = caller(bus, MEMBER)
        client.run(f"freeze {DOMAIN} 20")
        samples = interleave(
            rounds,
            ours=lambda: client.times(f"freeze {DOMAIN} 10"),
            floor=lambda: client.times(f"floor 10 {TEST}"),
            check=lambda: client.times(f"check 10 {TEST}"))
        client.close()
    polkit.stop()
    bus.close()
    ours, floor = samples["ours"], samples["floor"]
    result = ratio(ours, floor, rounds)
    return [
        Row("freeze + thaw, system bus, polkit, caller not root", ours,
            "two Pings + one CheckAuthorization", floor, "≤ 1.25", result, result <= 1.25),
        Row("· CheckAuthorization alone", samples["check"]),
    ]


def idle_client(bus, uid: int) -> socket.socket:
    """Connected, with a name, and silent from then on."""
    hello = Gio.DBusMessage.new_method_call(*BUS, "org.freedesktop.DBus", "Hello")
    hello.set_serial(1)
    client = socket.socket(socket.AF_UNIX)
    client.connect(bus.path)
    client.sendall(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n")
    client.recv(100)
    client.sendall(b"BEGIN\r\n" + hello.to_blob(Gio.DBusCapabilityFlags.NONE))
    client.recv(1000)
    return client


def noise(bus) -> list:
    """Signals that somebody wanted and never reads."""
    deaf, noisy = Connection(bus.path), Connection(bus.path)
    deaf.match("type='signal',interface='org.example.Noise'")
    for number in range(PENDING):
        noisy.send(Gio.DBusMessage.new_signal("/org/example", "org.example.Noise", f"N{number}"))
    noisy.sync()
    return [deaf, noisy]


def on_crowded_bus(rounds: int) -> list[Row]:
    """Three buses with a service each."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        buses = {name: BenchBus(session=True) for name in ("quiet", "busy", "full")}
        clients, others = {}, []
        for name, bus in buses.items():
            stack.callback(bus.close)
            stack.enter_context(service(bus))
            clients[name] = caller(bus)
        for name in ("busy", "full"):   # before the idle ones: select() knows 1,024 files
            others += noise(buses[name])
        for name, count in (("busy", IDLE), ("full", CROWD)):
            others += [idle_client(buses[name], os.geteuid()) for _ in range(count)]
        for client in clients.values():
            client.run(f"freeze {DOMAIN} 100")
        steps = {f"{name} {what}": functools.partial(client.times, f"{what} 25")
                 for name, client in clients.items() for what in (f"freeze {DOMAIN}", "ping")}
        samples = {name.split()[0] + name.split()[1][0]: times
                   for name, times in interleave(rounds, **steps).items()}
        for client in [*clients.values(), *others]:
            client.close()

    def beside(what: str) -> float:
        return ratio(samples[what], samples[f"quiet{what[-1]}"], rounds)

    busy = beside("busyf")
    return [
        Row(f"freeze + thaw beside {PENDING:,} pending signals and {IDLE} idle clients",
            samples["busyf"], "on an empty bus", samples["quietf"], "≤ 1.1", busy, busy <= 1.1),
        Row(f"· beside {CROWD:,} idle clients", samples["fullf"], "on an empty bus",
            samples["quietf"], value=beside("fullf")),
        Row(f"· two Pings beside {CROWD:,} idle clients: it is the bus", samples["fullp"],
            "on an empty bus", samples["quietp"], value=beside("fullp"))]


def until_thawed(watcher, client, domain: str) -> float:
    """ms from SIGKILL of the caller until the service tells that the guest is thawed."""
    client.run(f"hold -{domain} 1")
    watcher.received.clear()
    killed = time.monotonic()
    client.kill()
    watcher.wait_signal("PropertiesChanged", domain, 30,
                        lambda _, changed, __: changed.get("FreezeState") == "thawed")
    return (time.monotonic() - killed) * 1000


def killed_caller(rounds: int) -> list[Row]:
    bus = BenchBus()
    polkit = Polkit(bus)
    with service(bus):
        watcher = bus.client().watch()
        times = [until_thawed(watcher, caller(bus, MEMBER), DOMAIN) for _ in range(rounds)]
        watcher.close()
    polkit.stop()
    bus.close()
    return [Row("SIGKILL of the caller until thawed, test driver (its thaw takes no time)", times,
                goal="≤ 10 ms", value=median(times), met=median(times) <= 10, unit="ms")]


def rows(quick: bool) -> list[Row]:
    assert NAME   # the service's; the peer has its own
    return [*on_session_bus(2 if quick else 40), *on_system_bus(2 if quick else 25),
            *on_crowded_bus(2 if quick else 40), *killed_caller(3 if quick else 100)]
