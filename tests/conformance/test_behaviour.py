# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every engine does alike, and the differences of `Engine`, each stated once.

A row of them is what the real guest does and what the fake of the unit tests does: where a test
here fails for one of the two, the fake has become another thing than what it stands for.
"""

import signal

import pytest

from harness.client import GONE, MS, S, fails


@pytest.fixture
def engine(backend):
    return backend.engine


@pytest.fixture
def root(backend):
    return backend.root


@pytest.fixture
def domain(backend):
    return backend.domain


# Alike

def test_everything(backend, engine, root, domain):
    assert root.get(domain, "Engine") == engine.word
    freeze = root.freeze(domain)
    assert root.get(freeze, "Engine") == engine.everything
    assert root.get(domain, "FreezeState") == "frozen"
    backend.stands("a", "b")
    root.thaw(freeze)
    backend.goes_on("a", "b")
    assert root.get(domain, "FreezeState") == "thawed"


def test_the_last_one_thaws(backend, root, connect, domain):
    other = connect(None)
    first, second, third = (root.freeze(domain), other.freeze(domain),
                            root.freeze(domain, backend.A, scope="disks"))
    frozen = backend.stands("a", "b")
    for client, freeze in ((root, first), (other, second)):
        frozen.check()
        client.thaw(freeze)
        with fails(*GONE):
            client.thaw(freeze)
    backend.stands("a").check()
    root.thaw(third)
    backend.goes_on("a", "b")


def test_scope_domain(backend, root, domain):
    freeze = root.freeze(domain, backend.A, scope="domain")
    backend.stands("a", "b")
    root.thaw(freeze)
    backend.goes_on("a", "b")


@pytest.mark.needs("apart")
def test_scope_disks(backend, root, domain):
    """One filesystem is frozen, and the others are not."""
    freeze = root.freeze(domain, backend.A, scope="disks")
    a = backend.stands("a")
    backend.goes_on("b")
    assert root.get(freeze, "FilesystemsFrozen") == 1
    a.check()
    root.thaw(freeze)
    backend.goes_on("a")


def test_a_caller_that_dies(backend, root, connect, domain):
    caller = connect()   # a process of its own
    freeze = caller.freeze(domain, backend.A)
    backend.stands("a")
    caller.kill()
    root.wait_gone(freeze)
    backend.goes_on("a", "b")


def test_a_lease_without_its_creator(backend, root, connect, domain):
    creator = connect(None)
    lease = creator.freeze(domain, backend.A, lifetime="lease")
    a = backend.stands("a")
    creator.close()
    root.wait_property(lease, "Owner", "")
    a.check()
    root.thaw(lease)
    backend.goes_on("a")


def test_the_deadline(backend, root, domain):
    freeze = root.freeze(domain, backend.A, hold=1 * S)
    backend.stands("a")
    assert root.wait_signal("Lost", freeze).body == ("expired",)
    backend.goes_on("a", "b")
    with fails("ConsistencyLost"):
        root.thaw(freeze)


def test_renew(backend, root, domain):
    freeze = root.freeze(domain, backend.A, hold=30 * S)
    before = root.get(freeze, "Deadline")
    root.renew(freeze, 60 * S)
    assert 25 * S < root.get(freeze, "Deadline") - before < 45 * S
    backend.stands("a")
    root.renew(freeze, 500 * MS)
    assert root.wait_signal("Lost", freeze).body == ("expired",)
    backend.goes_on("a")
    with fails("ConsistencyLost"):
        root.renew(freeze, 60 * S)
    with fails("ConsistencyLost"):
        root.thaw(freeze)


def test_thaw_all(backend, root, connect, domain):
    other = connect(None)
    freezes = {other.freeze(domain), other.freeze(domain, backend.A)}
    backend.stands("a", "b")
    root.thaw_all(domain)
    backend.goes_on("a", "b")
    for freeze in freezes:
        with fails("ConsistencyLost", match="thaw"):
            other.thaw(freeze)


def test_a_disk_that_is_not_there(backend, root, domain):
    with fails("UnknownDisk", match="vdnone"):
        root.freeze(domain, "vdnone")
    assert root.get(domain, "FreezeState") == "thawed"
    backend.goes_on("a", "b")


# Each difference

@pytest.mark.needs("apart")
def test_scope_auto(backend, engine, root, domain):
    freeze = root.freeze(domain, backend.A)
    assert root.get(freeze, "Scope") == engine.auto
    if engine.auto == "domain":
        backend.stands("a", "b")
    else:
        backend.stands("a")
        backend.goes_on("b")
    root.thaw(freeze)
    backend.goes_on("a", "b")


@pytest.mark.needs("apart")
def test_growing(backend, engine, root, connect, domain):
    other = connect(None)
    first = root.freeze(domain, backend.A, scope="disks")
    a = backend.stands("a")
    if engine.grows:
        second = other.freeze(domain, backend.B, scope="disks")
        b = backend.stands("b")
        root.thaw(first)
        backend.goes_on("a")
        b.check()
        other.thaw(second)
        backend.goes_on("b")
        return
    for disks, scope in (((backend.B,), "disks"), ((), "disks"), ((), "domain")):
        with fails("Conflict"):
            other.freeze(domain, *disks, scope=scope)
    backend.goes_on("b")
    a.check()
    root.thaw(first)
    backend.goes_on("a")


@pytest.mark.needs("apart")
def test_thawing_a_part(backend, engine, root, connect, domain):
    other = connect(None)
    wide = root.freeze(domain, backend.A, backend.B, scope="disks")
    narrow = other.freeze(domain, backend.A, scope="disks")
    a, both = backend.stands("a"), backend.stands("a", "b")
    root.thaw(wide)                 # which ends for its owner at once
    assert root.freezes(domain) == [narrow]
    if engine.thaws_part:
        backend.goes_on("b")
        a.check()
    else:
        both.check()
    other.thaw(narrow)
    backend.goes_on("a", "b")
    assert root.get(domain, "FreezeState") == "thawed"


@pytest.mark.needs("apart", "reachable")
def test_thawed_outside(backend, engine, root, connect, domain):
    other = connect(None).watch()
    if engine.grows:
        first, second = (root.freeze(domain, backend.A, scope="disks"),
                         other.freeze(domain, backend.B, scope="disks"))
    else:
        first, second = root.freeze(domain), other.freeze(domain, backend.B, scope="disks")
    backend.stands("a", "b")
    backend.thaw_outside()
    assert root.wait_signal("Lost", first).body == ("thawed-outside",)
    backend.goes_on("a")
    if engine.outside == "all":
        assert other.wait_signal("Lost", second).body == ("thawed-outside",)
        with fails("ConsistencyLost"):
            other.thaw(second)
    else:
        assert engine.outside == "holders"
        b = backend.stands("b")
        assert other.get(second, "State") == "held"
        b.check()
        other.thaw(second)
    with fails("ConsistencyLost"):
        root.thaw(first)
    backend.goes_on("a", "b")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1], ids=["killed", "restarted"])
def test_the_service_starts_again(backend, engine, root, domain, number):
    freeze = root.freeze(domain, backend.A, scope="disks")
    a = backend.stands("a")
    backend.restart(number)
    if engine.outlives:
        assert root.freezes(domain) == [freeze]
        assert root.get(freeze, "State") == "held"
        root.wait_property(domain, "AgentConnected", True)
        a.check()
        root.thaw(freeze)
    else:
        # It is there to be lost: its owner is to hear of it.
        with fails("ConsistencyLost"):
            root.thaw(freeze)
    backend.goes_on("a", "b")
    assert root.get(domain, "FreezeState") == "thawed"


@pytest.mark.needs("apart")
def test_guards(backend, engine, root, domain):
    freeze = root.freeze(domain, backend.A, backend.B, scope="disks")
    backend.wait_guards(2 if engine.guards else 0)
    narrow = root.freeze(domain, backend.B, scope="disks")
    root.thaw(freeze)
    backend.wait_guards(1 if engine.guards else 0)
    root.thaw(narrow)
    backend.wait_guards(0)
    backend.goes_on("a", "b")


@pytest.mark.needs("real")
def test_hooks_of_the_guest(backend, engine, root, domain):
    backend.guest.check("rm -f /run/hook.log")
    backend.guest.set_hook("#!/bin/sh\necho $1 >>/run/hook.log\n")
    try:
        root.thaw(root.freeze(domain, backend.A))
        run = backend.guest.sh("cat /run/hook.log")
        if engine.word == "agent":
            assert run == (0, "freeze\nthaw\n")
        else:
            assert run[0] != 0
    finally:
        backend.guest.set_hook()
