# SPDX-License-Identifier: LGPL-2.1-or-later
"""polkit missing, slow, or out of its mind: nothing is allowed, and nothing else suffers."""

import time

import pytest
from gi.repository import GLib

from harness.box import MEMBER, NOBODY, OTHER
from harness.client import GONE, MS, ROOT, S, fails

FREEZE = "org.virtfreeze1.freeze"

RULES = """
polkit.addRule(function(action, subject) {
    if (subject.user == "vf-other")
        return polkit.Result.YES;
});
"""


def assert_untouched(client, domain):
    assert client.freezes() == []
    assert client.get(domain, "FreezeState") == "thawed"


# Missing

def test_without_polkit_nothing_is_allowed_to_anybody(no_polkit, root, connect, domain):
    for client in (root, connect(MEMBER), connect(OTHER)):
        for call in (lambda: client.freeze(domain), lambda: client.filesystems(domain),
                     lambda: client.thaw_all(domain)):
            with fails("AccessDenied"):
                call()
    assert_untouched(root, domain)


def test_without_polkit_the_owner_can_thaw(polkit, root, connect, domain):
    member = connect(MEMBER)
    freeze, second = member.freeze(domain), member.freeze(domain, lifetime="lease")
    polkit.stop()
    try:
        with fails("AccessDenied"):
            member.renew(freeze, S)
        with fails("AccessDenied"):
            root.thaw(freeze)
        member.filesystems(freeze)
        member.thaw(freeze)
        connect(MEMBER).thaw(second)
        assert_untouched(root, domain)
        # What needs no authorization works.
        assert member.domain() == domain
    finally:
        polkit.start()
    # Back again, it is asked again.
    member.thaw(member.freeze(domain))


def test_the_service_starts_without_polkit(no_polkit, start, connect):
    start()
    client = connect(MEMBER)
    with fails("AccessDenied"):
        client.freeze(client.domain())
    no_polkit.start()
    try:
        client.thaw(client.freeze(client.domain()))
    finally:
        no_polkit.stop()


def test_polkit_ends_during_the_check(polkit, root, connect, domain):
    other = connect(OTHER)
    polkit.pause()
    call = other.begin_freeze(domain)
    root.sync_service()
    polkit.stop()
    try:
        with fails("AccessDenied"):
            call.result()
        assert_untouched(root, domain)
    finally:
        polkit.start()


# Slow

def test_polkit_has_10_s_for_a_check(polkit, root, connect, domain):
    owner, other = connect(MEMBER), connect(OTHER)
    held = owner.freeze(domain)
    polkit.pause()
    try:
        begin = time.monotonic()
        calls = [other.begin_freeze(domain), other.begin(domain, "GetFilesystems"),
                 other.begin_freeze(domain, interactive=True)]
        # Meanwhile the service is there for all else.
        assert owner.domain() == domain
        owner.thaw(held)
        assert time.monotonic() - begin < 5
        for call in calls:
            with fails("AccessDenied"):
                call.result(timeout=15)
        assert 9.5 < time.monotonic() - begin < 14
    finally:
        polkit.resume()
    assert_untouched(root, domain)
    # The late answers were for nobody.
    other.thaw(other.freeze(domain))
    assert_untouched(root, domain)


# Out of its mind

def test_the_fake_is_understood(fake, connect, domain):
    """So that the refusals below are for what they seem."""
    nobody = connect(NOBODY)
    call = nobody.begin_freeze(domain)
    check = fake.next()
    assert (check.action, check.caller, check.flags) == (FREEZE, nobody.name, 0)
    assert check.details["domain_name"] == "test"
    check.decide(True)
    freeze = call.result()
    nobody.thaw(freeze)
    call = nobody.begin_freeze(domain)
    fake.next().decide(False)
    with fails("AccessDenied"):
        call.result()
    call = nobody.begin_freeze(domain)
    fake.next().decide(False, challenge=True)
    with fails("InteractiveAuthorizationRequired"):
        call.result()


@pytest.mark.parametrize("body", [
    None,
    GLib.Variant("(s)", ("yes",)),
    GLib.Variant("(b)", (True,)),
    GLib.Variant("(bba{ss})", (True, False, {})),
    GLib.Variant("((bb))", ((True, False),)),
    GLib.Variant("((uua{ss}))", ((1, 0, {}),)),
    GLib.Variant("((bba{sv}))", ((True, False, {}),)),
    GLib.Variant("((bba{ss})s)", ((True, False, {}), "more")),
    GLib.Variant("(v)", (GLib.Variant("(bba{ss})", (True, False, {})),)),
], ids=lambda body: body.get_type_string() if body else "nothing")
def test_an_answer_that_is_none_is_a_refusal(fake, service, root, connect, domain, body):
    call = connect(NOBODY).begin_freeze(domain)
    fake.next().answer(body)
    with fails("AccessDenied"):
        call.result()
    assert service.is_running()
    assert_untouched(root, domain)


@pytest.mark.parametrize("name", [
    "org.freedesktop.PolicyKit1.Error.Failed", "org.freedesktop.PolicyKit1.Error.Cancelled",
    "org.freedesktop.PolicyKit1.Error.NotAuthorized", "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.UnknownMethod", "org.example.Nonsense"])
def test_an_error_is_a_refusal(fake, root, connect, domain, name):
    call = connect(NOBODY).begin_freeze(domain)
    fake.next().fail(name)
    with fails("AccessDenied"):
        call.result()
    assert_untouched(root, domain)


def test_a_challenge_without_end_is_a_refusal(fake, root, connect, domain):
    call = connect(NOBODY).begin_freeze(domain, interactive=True)
    first = fake.next()
    assert first.flags == 0
    first.decide(False, challenge=True)
    second = fake.next()
    assert second.flags == 1   # now with a prompt
    assert second.details["domain_name"] == "test"
    second.decide(False, challenge=True)
    with fails("AccessDenied"):
        call.result()
    assert_untouched(root, domain)


def test_a_prompt_that_is_answered_allows(fake, connect, domain):
    nobody = connect(NOBODY)
    call = nobody.begin_freeze(domain, interactive=True)
    fake.next().decide(False, challenge=True)
    fake.next().decide(True)
    nobody.thaw(call.result())


def test_a_prompt_ends_with_its_caller(fake, bus, root, connect, domain):
    caller = connect(NOBODY)
    caller.begin_freeze(domain, interactive=True)
    fake.next().decide(False, challenge=True)
    prompt = fake.next()
    caller.kill()
    # polkit is told, so that it takes the dialog away.
    assert fake.next_cancellation() == prompt.cancellation_id != ""
    prompt.decide(True)
    root.sync_service()
    assert_untouched(root, domain)


# Time passes

@pytest.mark.config("FreezeTimeout=500ms")
def test_time_at_a_prompt_does_not_count(fake, connect, domain):
    nobody = connect(NOBODY)
    call = nobody.begin_freeze(domain, interactive=True)
    fake.next().decide(False, challenge=True)
    prompt = fake.next()
    time.sleep(0.7)   # somebody looks for the password
    prompt.decide(True)
    nobody.thaw(call.result())


@pytest.mark.config("FreezeTimeout=500ms")
def test_time_at_a_check_counts(fake, root, connect, domain):
    call = connect(NOBODY).begin_freeze(domain)
    check = fake.next()
    time.sleep(0.7)
    check.decide(True)
    with fails("Timeout"):
        call.result()
    root.wait_property(domain, "FreezeState", "thawed")
    assert_untouched(root, domain)


def test_what_ends_during_the_check(fake, root, connect, domain):
    """The object is looked at again after the answer."""
    owner, other = connect(MEMBER), connect(OTHER)

    def freeze(**options):
        call = owner.begin_freeze(domain, **options)
        fake.next().decide(True)
        return call.result()

    for begin in (lambda path: owner.begin(path, "Renew", "t", S), other.begin_thaw,
                  lambda path: other.begin(path, "GetFilesystems")):
        path = freeze()
        call = begin(path)
        check = fake.next()
        owner.thaw(path)
        check.decide(True)
        with fails(*GONE):
            call.result()

    path = freeze(hold=200 * MS)
    calls = [owner.begin(path, "Renew", "t", S), other.begin_thaw(path)]
    checks = [fake.next() for _ in calls]
    root.wait_signal("Lost", path)
    for check in checks:   # in whatever order they came
        check.decide(True)
    for call in calls:
        with fails("ConsistencyLost"):
            call.result()
    with fails("ConsistencyLost"):
        owner.thaw(path)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_untouched(root, domain)


# Many

def test_checks_in_flight_are_bounded_and_users_take_turns(fake, root, connect, domain):
    busy, patient = connect(NOBODY), connect(OTHER)
    calls = [busy.begin_freeze(domain) for _ in range(30)]
    busy.sync()
    calls.append(patient.begin_freeze(domain))
    patient.sync()
    waiting = fake.drain()
    bound = len(waiting)
    assert 1 <= bound < 30
    answered = []
    while waiting:
        check = waiting.pop(0)
        answered.append(check.caller)
        check.decide(False)
        if len(answered) + len(waiting) < 31:
            waiting.append(fake.next())
    # It waited for those that had been asked already, and for no more than one beyond.
    assert answered.index(patient.name) <= bound + 1
    for call in calls:
        with fails("AccessDenied"):
            call.result()
    assert_untouched(root, domain)
    assert root.get(ROOT, "Connected")
