# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits: each refuses with LimitsExceeded, and none of them an owner's Thaw."""

import pytest

from harness.box import MEMBER, OTHER
from harness.client import MS, fails
from harness.node import Domain, Node

RULES = """
polkit.addRule(function(action, subject) {
    if (subject.user == "vf-other")
        return polkit.Result.YES;
});
"""

A, B = Domain("a"), Domain("b")


@pytest.fixture
def two(bus, start, request):
    """The service on two domains."""
    return start(uri=Node(bus.new_file("node.xml"), A, B).uri,
                 config=request.node.get_closest_marker("config").args[0])


def fill(client, domain, count):
    freezes = [client.freeze(domain) for _ in range(count)]
    with fails("LimitsExceeded") as caught:
        client.freeze(domain)
    assert "freezes" in caught.value.message
    return freezes


@pytest.mark.config("MaxFreezes=3")
def test_max_freezes(two, connect):
    member, other = connect(MEMBER), connect(OTHER)
    freezes = fill(member, A.path, 3)
    for domain in (A, B):
        with fails("LimitsExceeded", match="MaxFreezes"):
            other.freeze(domain.path)
    member.thaw(freezes.pop())
    freeze = other.freeze(B.path)
    with fails("LimitsExceeded"):
        member.freeze(A.path)
    other.thaw(freeze)
    for freeze in freezes:
        member.thaw(freeze)


@pytest.mark.config("MaxFreezesPerUser=2")
def test_max_freezes_per_user(two, connect):
    """By uid, whatever connection or domain."""
    member, other = connect(MEMBER), connect(OTHER)
    freezes = fill(member, A.path, 2)
    with fails("LimitsExceeded", match="MaxFreezesPerUser"):
        connect(MEMBER).freeze(B.path)
    fill(other, A.path, 2)
    member.thaw(freezes[0])
    fill(member, B.path, 1)


@pytest.mark.config("MaxFreezesPerDomain=2")
def test_max_freezes_per_domain(two, connect):
    member, other = connect(MEMBER), connect(OTHER)
    freezes = fill(member, A.path, 2)
    with fails("LimitsExceeded", match="MaxFreezesPerDomain"):
        other.freeze(A.path)
    fill(other, B.path, 2)
    member.thaw(freezes[0])
    fill(other, A.path, 1)


@pytest.mark.config("MaxFreezesPerDomain=2")
def test_requests_on_their_way_count(two, connect):
    """At once, too, no more than the limit get through."""
    clients = [connect(OTHER) for _ in range(8)]
    calls = [client.begin_freeze(A.path) for client in clients]
    errors = [call.message().get_error_name() for call in calls]
    assert errors.count(None) == 2
    assert set(errors) == {None, "org.freedesktop.DBus.Error.LimitsExceeded"}


@pytest.mark.config("MaxFreezesPerUser=3")
def test_what_has_failed_or_left_counts_no_longer(two, connect):
    member = connect(MEMBER).watch()
    for _ in range(5):
        with fails("UnknownDisk"):
            member.freeze(A.path, "vdz")
        leaving = connect(MEMBER)
        freeze = leaving.freeze(A.path)
        leaving.kill()
        member.wait_gone(freeze)
        lease = member.freeze(A.path, lifetime="lease", hold=20 * MS)
        member.wait_signal("Lost", lease)
        with fails("ConsistencyLost"):
            member.thaw(lease)
    fill(member, A.path, 3)


@pytest.mark.config("MaxPending=3")
def test_max_pending(two, polkit, connect):
    """Unanswered requests of a uid, on all its connections."""
    member, second, other = connect(MEMBER), connect(MEMBER), connect(OTHER)
    held = member.freeze(A.path)
    polkit.pause()
    try:
        calls = [member.begin_freeze(A.path), member.begin(B.path, "GetFilesystems"),
                 second.begin_freeze(B.path)]
        member.sync_service()
        second.sync_service()
        for client in (member, second):
            with fails("LimitsExceeded", match="MaxPending"):
                client.freeze(B.path)
        with fails("LimitsExceeded"):
            member.renew(held, 1000 * MS)
        others = other.begin_freeze(B.path)
        other.sync_service()
        # The owner can thaw, and what needs no authorization works.
        member.thaw(held)
        assert member.domain("a") == A.path
    finally:
        polkit.resume()
    assert [call.message().get_error_name() for call in [*calls, others]] == [None] * 4
    # Answered, they make room.
    member.thaw(member.freeze(A.path))


@pytest.mark.config("MaxPending=2")
def test_callers_that_left_are_not_pending(two, polkit, connect, bus):
    member = connect(MEMBER)
    polkit.pause()
    try:
        for _ in range(3):
            leaving = connect(MEMBER)
            for _ in range(2):
                leaving.begin_freeze(A.path)
            leaving.sync_service()
            leaving.kill()
            bus.wait_name_gone(leaving.name)
            member.sync_service()
        call = member.begin_freeze(A.path)
        member.sync_service()
    finally:
        polkit.resume()
    member.thaw(call.result())


@pytest.mark.config("MaxFreezes=2\nMaxFreezesPerUser=2\nMaxFreezesPerDomain=2\nMaxPending=1")
def test_no_limit_refuses_an_owners_thaw(two, polkit, connect):
    member = connect(MEMBER)
    freezes = fill(member, A.path, 2)
    polkit.pause()
    try:
        call = member.begin(A.path, "GetFilesystems")
        member.sync_service()
        for freeze in freezes:
            member.thaw(freeze)
    finally:
        polkit.resume()
    call.result()
    assert member.freezes() == []
