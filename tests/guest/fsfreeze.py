# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of engine exec share: filesystems by themselves, and their guards in the guest."""

import shlex
import time

import pytest

from harness.guest import Guest, wait_until
from service import Standstill

CONFIG = "AgentTimeout=5s\nFreezeTimeout=20s\nVerifyInterval=500ms\nEngine=exec\n"

# The command line of one is: sh, -c, its script, this name, what it guards, seconds, mountpoint.
GUARDS = ("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | "
          "grep -A 2 '^virtfreeze-guard$' | grep -v ^--")


def guard_seconds(guest: Guest) -> list[int]:
    """How long each sleeps in all."""
    return [int(line) for line in guest.sh(GUARDS)[1].splitlines()[2::3]]


def guards(guest: Guest) -> int:
    """How many there are."""
    return len(guard_seconds(guest))


def guard_pids(guest: Guest) -> set[str]:
    """Their processes. By the shell alone, since starting others takes time; read drops NULs."""
    return set(guest.sh("for p in /proc/[0-9]*; do c=; IFS= read -r c <$p/cmdline; case $c in "
                        "'sh-ctrap '*virtfreeze-gu[a]rd*) echo ${p#/proc/} ;; esac; "
                        "done 2>/dev/null")[1].split())


def wait_guards(guest: Guest, count: int):
    wait_until(lambda: guards(guest) == count, 20, f"{count} guards")


def goes_on(guest: Guest, *names: str):
    for name in names:
        guest.wait_writer_progress(name)


def still(guest: Guest, *names: str) -> Standstill:
    """The agent does not know what fsfreeze froze."""
    return Standstill(guest, names, agent=False)


def deadline(client, freeze: str) -> float:
    """Seconds since the epoch."""
    return client.get(freeze, "Deadline") / 1e6


def thawed_at(guest: Guest, name: str, timeout: float = 25) -> float:
    """When (seconds since the epoch) a writer that stands still writes again."""
    count = guest.writer_count(name)
    wait_until(lambda: guest.writer_count(name) > count, timeout, f"writer {name}")
    return time.time()


def move_mount(guest: Guest, old: str, new: str):
    old, new = shlex.quote(old), shlex.quote(new)
    guest.check(f"mkdir -p -- {new} && mount -o move -- {old} {new}")


def thaw_leftovers(guest: Guest) -> list[str]:
    """What is frozen in the guest, which its agent does not know, and guards without a freeze."""
    wrong = guest.sh("for d in /mnt/*; do fsfreeze -u \"$d\" 2>/dev/null && echo \"$d\"; done")
    wrong = wrong[1].splitlines()
    try:
        wait_guards(guest, 0)
    except TimeoutError:
        pids = guard_pids(guest)
        guest.sh(f"kill -USR1 {' '.join(pids)}")
        wrong.append(f"{len(pids)} guards")
    return wrong


@pytest.fixture
def guest(guest):
    """The shared guest; here nothing may stay frozen, nor a guard, once the service has ended."""
    yield guest
    if wrong := thaw_leftovers(guest):
        pytest.fail(f"the test left behind: {', '.join(wrong)}")
