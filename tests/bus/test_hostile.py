# SPDX-License-Identifier: LGPL-2.1-or-later
"""Callers who mean harm: floods, hundreds of connections, replies never read, freezes up to the
limits. Memory stays bounded, another caller's Thaw is answered soon, nothing stays frozen."""

import math
import os
import re
import struct
import sys
import threading
import time
from pathlib import Path

import pytest
from gi.repository import Gio, GLib

from harness.box import MEMBER, NOBODY, OTHER
from harness.client import NAME, ROOT, S
from harness.connection import BusError, Closed
from harness.node import Domain, Node

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

from parts import Tool, caller

RULES = """
polkit.addRule(function(action, subject) {
    if (["vf-other", "daemon", "games", "man"].indexOf(subject.user) >= 0)
        return polkit.Result.YES;
});
"""

DOMAINS = [Domain(f"guest{number}") for number in range(20)]
VICTIM = DOMAINS[-1]

USERS = OTHER, NOBODY, "daemon", "games", "man"   # all but vf-nobody may freeze

SECONDS = 4             # of each attack
MOST_GROWTH = 64 << 10  # KiB: a fraction of what is sent
KEPT_BY_ASAN = 256 << 10  # KiB of freed memory, so that its use is seen
MOST_P99 = 500          # ms


def memory(pid: int) -> int:
    """KiB of its own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))


class Attack(threading.Thread):
    """Repeats something on connections of its own until it is told to stop."""

    def __init__(self, connect, user, step, connections: int = 1):
        super().__init__(daemon=True)
        self.count = 0
        self._clients = [connect(user) for _ in range(connections)]
        self._step = step
        self._over = threading.Event()

    def run(self):
        # What is measured is how the service shares its time, not how the machine does.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while not self._over.is_set():
            for client in self._clients:
                try:
                    self._step(client)
                    self.count += 1
                except (Closed, OSError, TimeoutError, ValueError):
                    return   # the bus threw it out
                except BusError:
                    self.count += 1
                if self._over.is_set():
                    return

    def stop(self):
        """Its callers die, whatever they are doing."""
        self._over.set()
        for client in self._clients:
            client.kill()
        self.join(20)


@pytest.fixture
def service(bus, start):
    return start(uri=Node(bus.new_file("node.xml"), *DOMAINS).uri)


@pytest.fixture
def say(capsys):
    """Prints a line for whoever reads the results."""
    def say(text):
        with capsys.disabled():
            print(f"# {text}", flush=True)
    return say


# What harms

def calls(client, domain: Domain, disks: list[str], count: int) -> bytes:
    """That many calls of Freeze, made once: only their serials differ."""
    message = Gio.DBusMessage.new_method_call(NAME, domain.path, f"{NAME}.Domain", "Freeze")
    message.set_body(GLib.Variant("(as)", (disks,)))
    message.set_serial(1)
    blob = message.to_blob(Gio.DBusCapabilityFlags.NONE)
    return b"".join(blob[:8] + struct.pack("=I", client.next_serial()) + blob[12:]
                    for _ in range(count))


def flood_freezes(client):
    """As many as get through, of everything, and never thaws one."""
    client.send_bytes(b"".join(calls(client, domain, [], 20) for domain in DOMAINS[:-1]))
    drain(client)


def flood_big_calls(client):
    """Of what is refused, after it was read and looked at: 200 KiB each, without a break."""
    client.send_bytes(calls(client, DOMAINS[0], ["x" * 1000] * 200, 10))
    drain(client)


def flood_objects(client):
    """The longest answer there is; nobody needs authorization for it."""
    client.objects()


def freeze_and_leave(bus):
    def step(client):
        with bus.client(OTHER) as other:
            other.begin_freeze(DOMAINS[1].path)
            other.sync()
    return step


def drain(client):
    """Reads what has come, and forgets it."""
    client.sync()
    client.received.clear()
    client.history.clear()


def deaf_objects(client):
    """Asks for long answers and never reads one, until the bus has had enough."""
    client.start(NAME, ROOT, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")


# Others, meanwhile

def thaw_times(victim: Tool, seconds: float) -> list[float]:
    """ms of Thaws of one who behaves; its Freeze may wait for polkit, whom others keep busy."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 30:
        times += [float(line.split()[1]) / 1000 for line in victim.run(f"freeze {VICTIM.path} 2")]
    return times


def p99(times: list[float]) -> float:
    return sorted(times)[math.ceil(0.99 * len(times)) - 1]


ATTACKS = {
    "freezes up to the limits of five users": lambda connect, bus: [
        Attack(connect, user, flood_freezes, 3) for user in USERS],
    "big refused calls on 60 connections": lambda connect, bus: [
        Attack(connect, user, flood_big_calls, 30) for user in (OTHER, NOBODY)],
    "long answers on 60 connections": lambda connect, bus: [
        Attack(connect, user, flood_objects, 30) for user in (OTHER, NOBODY)],
    "answers never read": lambda connect, bus: [
        Attack(connect, user, deaf_objects, 2) for user in (OTHER, NOBODY)],
    "callers that leave in the middle": lambda connect, bus: [
        Attack(connect, OTHER, freeze_and_leave(bus)) for _ in range(2)],
}


def endure(bus, service, connect, say, name) -> tuple[float, int]:
    """One attack: p99 of another caller's Thaw in ms, and by how many KiB memory grew."""
    victim = caller(bus, MEMBER)   # not of this process, which is busy
    victim.run(f"freeze {VICTIM.path} 5")
    before = memory(service.pid)
    attacks = ATTACKS[name](connect, bus)
    for attack in attacks:
        attack.start()
    peak, over = [before], threading.Event()

    def watch():
        while not over.wait(0.05):
            peak.append(memory(service.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        times = thaw_times(victim, SECONDS)
    finally:
        over.set()
        watcher.join()
        for attack in attacks:
            attack.stop()
        victim.close()
    count = sum(attack.count for attack in attacks)
    say(f"{name}: {count:,} steps, {len(times)} Thaws of another: p99 {p99(times):.0f} ms, longest "
        f"{max(times):.0f} ms; memory {before:,} KiB, at most {max(peak):,} KiB")
    assert count > 5
    return p99(times), max(peak) - before


def most_growth(service) -> int:
    sanitized = b"__asan_init" in Path(f"/proc/{service.pid}/exe").read_bytes()
    return MOST_GROWTH + KEPT_BY_ASAN * sanitized


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile(bus, service, root, connect, say, name):
    most = most_growth(service)
    time, growth = endure(bus, service, connect, say, name)
    if time > MOST_P99 or growth > most:   # something else may have had the machine
        time, growth = endure(bus, service, connect, say, name)
    assert time <= MOST_P99
    assert growth <= most
    # Their callers are gone, and so are their freezes.
    root.received.clear()
    for domain in DOMAINS:
        root.wait_property(domain.path, "FreezeState", "thawed", 30)
    assert root.freezes() == []
    assert list(service.state_dir.glob("*.freeze")) == []
