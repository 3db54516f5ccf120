# SPDX-License-Identifier: LGPL-2.1-or-later
"""What chaos.py breaks. A fault is a generator: it breaks something, waits (`yield` for a time that
the driver chose, or until a condition is true), and mends it."""

import signal
from dataclasses import dataclass
from typing import Callable

from harness.bus import NAME
from harness.guest import READY, Guest

FAULTS = []


@dataclass(frozen=True)
class Kind:
    """`breaks`: parts that are not well until it is over; `needs`: parts that have to be well when
    it begins and when it goes on."""
    function: Callable
    weight: int
    seconds: tuple[float, float]
    breaks: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.function.__name__.replace("_", " ")


def fault(weight: int, seconds: tuple[float, float], *breaks: str, needs: tuple[str, ...] = ()):
    def add(function):
        FAULTS.append(Kind(function, weight, seconds, breaks, needs))
        return function
    return add


AGENT, MACHINE = "{guest}/agent", "{guest}/machine"


# The service

def restart(world):
    world.start_service()
    yield lambda: world.bus.has(NAME)


@fault(4, (0, 0.5), "service")
def service_killed(world, guest):
    world.end_service(signal.SIGKILL, -signal.SIGKILL)
    yield
    yield from restart(world)


@fault(2, (0, 0.1), "service")
def service_restarted(world, guest):
    world.end_service(signal.SIGUSR1, 0)
    yield
    yield from restart(world)


@fault(1, (0, 0), "service", needs=("libvirtd",))
def service_stopped(world, guest):
    # It waits for thaws that are owed, so the driver looks after other faults meanwhile.
    world.service.send(signal.SIGTERM)
    yield lambda: not world.service.is_running()
    world.end_service(signal.SIGTERM, 0, 1)   # 1: with a hung agent
    yield from restart(world)


# libvirt

@fault(2, (0, 1), "libvirtd")
def libvirtd_killed(world, guest):
    world.libvirtd.kill()
    yield
    world.libvirtd.start()


@fault(1, (0, 0.5), "libvirtd")
def libvirtd_restarted(world, guest):
    world.libvirtd.stop()
    yield
    world.libvirtd.start()


@fault(2, (0.1, 4), "libvirtd")
def libvirtd_hangs(world, guest):
    world.libvirtd.pause()
    yield
    world.libvirtd.resume()


# The agent

@fault(3, (0.1, 5), AGENT, needs=(MACHINE,))
def agent_hangs(world, guest: Guest):
    guest.stop_agent()
    yield
    guest.sh("kill -CONT $(cat /run/agent.pid)")   # unless the guest has begun anew


@fault(2, (0, 2), AGENT, needs=(MACHINE,))
def agent_killed(world, guest: Guest):
    guest.check("kill -KILL $(cat /run/agent.pid)")
    yield
    guest.sh("kill -0 $(cat /run/agent.pid) || guest-agent")


@fault(2, (1, 3), AGENT, needs=(MACHINE,))
def freeze_is_slow(world, guest: Guest):
    # Longer than AgentTimeout: the freeze is done after libvirt gave up.
    guest.set_hook("#!/bin/sh\n[ $1 = thaw ] || sleep 3\n")
    yield
    guest.set_hook()


@fault(1, (0.5, 3), AGENT, needs=(MACHINE,))
def thaw_hook_fails(world, guest: Guest):
    guest.set_hook("#!/bin/sh\n[ $1 = freeze ]\n")
    yield
    guest.set_hook()


# The guest

@fault(2, (0.1, 3), MACHINE, needs=("libvirtd",))
def guest_paused(world, guest: Guest):
    guest.virsh("suspend", timeout=10)
    yield
    guest.virsh("resume", timeout=10)


def boot(guest: Guest, *commands: str):
    start = guest.log.size()
    for command in commands:
        guest.virsh(command, timeout=20)
    yield lambda: guest.log.has(READY, start)


@fault(1, (0, 0), MACHINE, needs=("libvirtd",))
def guest_reset(world, guest: Guest):
    yield from boot(guest, "reset")


@fault(1, (0, 0), MACHINE, needs=("libvirtd",))
def guest_destroyed_and_started(world, guest: Guest):
    yield from boot(guest, "destroy", "start")


# Somebody else

@fault(4, (0, 0), needs=("libvirtd", AGENT, MACHINE))
def thawed_outside(world, guest: Guest):
    guest.virsh("domfsthaw", timeout=10)
    yield
