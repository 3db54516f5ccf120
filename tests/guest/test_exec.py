# SPDX-License-Identifier: LGPL-2.1-or-later
"""Engine exec on a real guest: filesystems by themselves, by the guest's own word."""

import pytest

from harness.client import GONE, S, fails
from harness.guest import wait_until
from service import Standstill, assert_lost, assert_thawed, writers

CONFIG = "AgentTimeout=5s\nFreezeTimeout=15s\nVerifyInterval=500ms\nEngine=exec\n"


def guards(guest) -> int:
    """Processes, less the shell that counts them."""
    return int(guest.check("n=0; g=virtfreeze; for p in /proc/[0-9]*; do "
                           "case $(tr '\\0' ' ' <$p/cmdline) in *\" $g-guard \"*) "
                           "n=$((n+1)) ;; esac; done 2>/dev/null; echo $n"))


def goes_on(guest, *names):
    for name in names:
        guest.wait_writer_progress(name)


def still(guest, *names):
    return Standstill(guest, names, agent=False)


def test_interleaved(guest, connect, domain):
    """Freeze A → 1, freeze B → 2; thaw 1 thaws A and B stands still."""
    one, two = connect(), connect()
    first = one.freeze(domain, "vdx")
    assert one.get(first, "Engine") == "exec" and one.get(first, "Scope") == "disks"
    a = still(guest, "a")
    goes_on(guest, "b", "span")
    second = two.freeze(domain, "vdy")
    b = still(guest, "b")
    goes_on(guest, "span")
    a.check()
    one.thaw(first)
    goes_on(guest, "a")
    b.check()
    two.thaw(second)
    assert_thawed(guest)
    assert guards(guest) == 0


def test_nested(guest, connect, domain):
    one, two = connect(), connect()
    first = one.freeze(domain, "vdx")
    a = still(guest, "a")
    second = two.freeze(domain, "vdy")
    still(guest, "b")
    two.thaw(second)
    goes_on(guest, "b")
    a.check()
    one.thaw(first)
    assert_thawed(guest)


def test_overlapping(guest, connect, domain):
    """A and B → 1, A → 2; thaw 1 thaws B, thaw 2 thaws A."""
    one, two = connect(), connect()
    first = one.freeze(domain, "vdx", "vdy")
    a = still(guest, "a")
    still(guest, "b")
    second = two.freeze(domain, "vdx")
    one.thaw(first)
    goes_on(guest, "b")
    a.check()
    two.thaw(second)
    assert_thawed(guest)
    assert guards(guest) == 0
