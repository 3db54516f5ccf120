# SPDX-License-Identifier: LGPL-2.1-or-later
"""FreezeDomains: its form, who may, limits, and what appears when. Guests that fail are real ones:
tests/guest/test_group.py."""

import re
import time

import pytest

from harness.box import MEMBER, NOBODY, OTHER
from harness.bus import Bus, Service
from harness.client import NAME, ROOT, S, fails
from harness.node import PAUSED, SHUTOFF, Domain, Node

RULES = """
polkit.addRule(function(action, subject) {
    polkit.log("asked by " + subject.user + ": " + action);
});
"""

A, B, C = Domain("a", ("vda", "vdb")), Domain("b"), Domain("c")
OFF, ASLEEP = Domain("off", state=SHUTOFF), Domain("asleep", state=PAUSED)


@pytest.fixture(autouse=True)
def service(bus, start, request):
    mark = request.node.get_closest_marker("config")
    return start(uri=Node(bus.new_file("node.xml"), A, B, C, OFF, ASLEEP).uri,
                 config=mark.args[0] if mark else "")


@pytest.fixture
def rules(polkit):
    """Sets rules for the test, by the body of a function of action and subject."""
    def rules(body):
        polkit.set_rules(RULES + "polkit.addRule(function(action, subject) {%s});" % body)
    yield rules
    polkit.set_rules(RULES)


@pytest.fixture
def asked(polkit):
    """The details of all questions about a user."""
    def asked(user):
        found = re.findall(rf"asked by {user}: \[Action id='(\S+)'(.*)\]", polkit.messages())
        assert all(action == "org.virtfreeze1.freeze" for action, _ in found)
        return [dict(re.findall(r" (\w+)='(.*?)'(?= \w+='|$)", details)) for _, details in found]
    return asked


def assert_untouched(root):
    assert root.freezes() == []
    for domain in (A, B, C):
        assert root.get(domain.path, "FreezeState") == "thawed"
        assert root.frozen(domain.path) == set()


def forget_signals(root):
    root.sync_service()
    root.history.clear()


def member_signals(root, *members):
    root.sync_service()
    return [signal for signal in root.signals() if signal.member in members]


# What comes of it

def test_all_are_frozen_and_come_back_in_the_order_of_the_requests(root, connect):
    member = connect(MEMBER)
    freezes = member.freeze_group(C.path, (A.path, "vda"), B.path, hold=90 * S, reason="nightly")
    assert [path.rpartition("/freeze/")[0] for path in freezes] == [C.path, A.path, B.path]
    for path, disks in zip(freezes, ([], ["vda"], [])):
        properties = root.properties(path)
        assert (properties["State"], properties["Disks"]) == ("held", disks)
        assert (properties["Owner"], properties["Reason"]) == (member.name, "nightly")
        assert abs(properties["Deadline"] - properties["Created"] - 90 * S) < S / 10
    for domain in (A, B, C):
        assert root.frozen(domain.path) == {"/", "/boot"}
    # From now on they are ordinary ones.
    member.thaw(freezes[1])
    assert root.get(A.path, "FreezeState") == "thawed"
    assert root.freezes() == sorted((freezes[0], freezes[2]), key=lambda path: int(
        path.rpartition("/")[2]))
    member.renew(freezes[0], 30 * S)
    root.thaw(freezes[2])
    with fails("ConsistencyLost"):
        member.thaw(freezes[2])
    member.thaw(freezes[0])
    assert_untouched(root)


def test_one_domain_is_a_group_too(root):
    [freeze] = root.freeze_group(A.path)
    root.thaw(freeze)
    assert_untouched(root)


def test_they_appear_together_and_before_the_answer(root):
    """Of two in the same main loop nothing lies between."""
    freezes = root.freeze_group(A.path, B.path, C.path)
    added = [signal.body[0] for signal in root.signals() if signal.member == "InterfacesAdded"]
    assert added == freezes


def test_a_leaving_caller_ends_all_but_leases(root, connect):
    member = connect(MEMBER)
    freezes = member.freeze_group(A.path, B.path)
    leases = connect(MEMBER).freeze_group(B.path, C.path, lifetime="lease")
    member.close()
    for freeze in freezes:
        root.wait_gone(freeze)
    assert sorted(root.freezes()) == sorted(leases)
    for lease in leases:
        connect(MEMBER).thaw(lease)


def test_an_overlap_with_single_freezes(root):
    single = root.freeze(A.path)
    freezes = root.freeze_group(A.path, B.path)
    root.thaw(single)
    assert root.frozen(A.path) == {"/", "/boot"}
    root.thaw(freezes[0])
    assert root.frozen(A.path) == set()
    root.thaw(freezes[1])
    assert_untouched(root)


# The form

@pytest.mark.parametrize("requests, options, error, match", [
    ([], {}, "InvalidArgs", "No domain"),
    ([A.path, B.path, A.path], {}, "InvalidArgs", "“a”.*twice"),
    ([(A.path, "vda"), (A.path, "vdb")], {}, "InvalidArgs", "“a”.*twice"),
    ([A.path, (B.path, "")], {}, "InvalidArgs", "“b”.*empty"),
    ([A.path], {"hold": 0}, "InvalidArgs", "“a”.*hold"),
    ([A.path], {"hold": 3600 * S}, "InvalidArgs", "“a”.*MaxHold"),
    ([A.path], {"scope": "all"}, "InvalidArgs", "scope"),
    ([A.path, "/"], {}, "UnknownDomain", "“/”"),
    ([A.path, ROOT], {}, "UnknownDomain", ROOT),
    ([A.path, B.path[:-1]], {}, "UnknownDomain", B.path[:-1]),
    ([A.path, B.path + "/freeze/1"], {}, "UnknownDomain", "/freeze/1"),
    ([A.path.upper().replace("/ORG/VIRTFREEZE1/DOMAIN", "/org/virtfreeze1/domain")], {},
     "UnknownDomain", "There is no domain"),
    ([A.path, Domain("z").path, A.path], {}, "UnknownDomain", "There is no domain"),
])
def test_what_is_wrong_in_form_is_answered_before_the_check(root, connect, requests, options,
                                                            error, match):
    with fails(error, match=match):
        connect(NOBODY).freeze_group(*requests, **options)
    assert_untouched(root)


def test_a_freeze_of_a_domain_is_no_domain(root, connect):
    freeze = root.freeze(A.path)
    with fails("UnknownDomain", match=freeze):
        root.freeze_group(B.path, freeze)
    root.thaw(freeze)
    assert_untouched(root)


@pytest.mark.config("[Freeze]\nMaxHold=1min\n"
                    "[Domain b]\nMaxHold=5s\nDefaultHold=2s\nScope=domain\n")
def test_each_domain_has_its_own_settings(root):
    with fails("InvalidArgs", match="“b”.*5000000 µs"):
        root.freeze_group(A.path, B.path, hold=6 * S)
    freezes = [root.properties(path) for path in root.freeze_group(A.path, B.path)]
    assert [properties["Scope"] for properties in freezes] == ["disks", "domain"]
    assert [round((properties["Deadline"] - properties["Created"]) / S)
            for properties in freezes] == [60, 2]


# Failures: none is frozen, and the error is that of the first request that failed

@pytest.mark.parametrize("requests, error, match", [
    ([A.path, OFF.path, B.path], "NotRunning", "“off”"),
    ([A.path, ASLEEP.path, OFF.path], "NotRunning", "“asleep”"),
    ([OFF.path, ASLEEP.path], "NotRunning", "“off”"),
    ([A.path, (B.path, "vdb"), OFF.path], "UnknownDisk", "“b”.*“vdb”"),
    ([A.path, OFF.path, (B.path, "vdb")], "NotRunning", "“off”"),
    ([(C.path, "vdz"), (A.path, "vdy")], "UnknownDisk", "“c”.*“vdz”"),
    # Nothing of / and /boot is on its second disk: found out when the guest is asked.
    ([B.path, (A.path, "vdb"), C.path], "NothingToFreeze", "“a”"),
])
def test_one_that_fails_fails_all(root, connect, requests, error, match):
    forget_signals(root)
    with fails(error, match=match):
        connect(MEMBER).freeze_group(*requests)
    assert member_signals(root, "InterfacesAdded", "InterfacesRemoved", "Released", "Lost") == []
    assert_untouched(root)
    root.thaw(root.freeze(A.path))


# Limits count all of the group, before anything is frozen

@pytest.mark.config("MaxFreezes=2")
def test_max_freezes(root, connect):
    assert_limit(root, connect(MEMBER), "“c”.*MaxFreezes ")


@pytest.mark.config("MaxFreezesPerUser=2")
def test_max_freezes_per_user(root, connect):
    assert_limit(root, connect(MEMBER), "“c”.*MaxFreezesPerUser")


@pytest.mark.config("MaxPending=2")
def test_max_pending(root, connect):
    assert_limit(root, connect(MEMBER), "group of 3 domains.*MaxPending")


def assert_limit(root, client, match):
    for _ in range(3):
        forget_signals(root)
        with fails("LimitsExceeded", match=match):
            client.freeze_group(A.path, B.path, C.path)
        assert member_signals(root, "PropertiesChanged", "InterfacesAdded") == []
        for freeze in client.freeze_group(A.path, C.path):
            client.thaw(freeze)
    assert_untouched(root)


@pytest.mark.config("MaxFreezesPerDomain=1")
def test_max_freezes_per_domain(root, connect):
    freeze = root.freeze(B.path)
    with fails("LimitsExceeded", match="“b”.*MaxFreezesPerDomain"):
        connect(MEMBER).freeze_group(A.path, B.path)
    assert root.get(A.path, "FreezeState") == "thawed"
    root.thaw(freeze)
    connect(MEMBER).freeze_group(A.path, B.path)


def test_a_group_waits_for_polkit_as_many_requests(fake, root, connect):
    """32 is MaxPending."""
    nobody = connect(NOBODY)
    for _ in range(10):
        nobody.begin_group(A.path, B.path, C.path)
    nobody.sync_service()
    with fails("LimitsExceeded", match="MaxPending"):
        nobody.freeze_group(A.path, B.path, C.path)
    call = nobody.begin_group(A.path, B.path)
    for _ in range(32):
        fake.next().decide(False)
    with fails("AccessDenied"):
        call.result()
    nobody.sync_service()


# Who may

DETAILS = {"connect_driver": "TEST", "scope": "disks", "lifetime": "caller", "hold_seconds": "60"}


def details(domain, *disks, **more):
    return DETAILS | {"domain_name": domain.name, "domain_uuid": domain.uuid,
                      "disks": " ".join(disks) or "*", "asked_disks": " ".join(disks)} | more


def without_prompt(details):
    """polkit adds the texts of its prompt."""
    return {key: value for key, value in details.items() if not key.startswith("polkit.")}


def test_each_domain_is_checked_with_its_own_details(rules, asked, connect):
    rules('return subject.user == "vf-other" ? polkit.Result.YES : polkit.Result.NOT_HANDLED;')
    connect(OTHER).freeze_group((A.path, "vda"), (B.path, B.source("vda")), C.path,
                                hold=5 * S, lifetime="lease")
    more = {"hold_seconds": "5", "lifetime": "lease"}
    assert [without_prompt(each) for each in asked(OTHER)] == [
        details(A, "vda", **more), details(B, "vda", **more) | {"asked_disks": B.source("vda")},
        details(C, **more)]


def test_one_that_is_denied_denies_all(rules, root, connect):
    rules('return action.lookup("domain_name") == "b" ? polkit.Result.NO : polkit.Result.YES;')
    for interactive in (False, True):
        with fails("AccessDenied", match="“b”.*org.virtfreeze1.freeze"):
            connect(OTHER).freeze_group(A.path, B.path, C.path, interactive=interactive)
    assert_untouched(root)


def test_without_the_flag_a_password_cannot_be_asked_for(rules, root, connect):
    rules('return action.lookup("domain_name") == "a" ? polkit.Result.YES : '
          'polkit.Result.AUTH_ADMIN;')
    with fails("InteractiveAuthorizationRequired", match="“b”"):
        connect(OTHER).freeze_group(A.path, B.path, C.path)
    # With it there is a prompt, and nobody to answer it.
    with fails("AccessDenied"):
        connect(OTHER).freeze_group(A.path, B.path, C.path, interactive=True)
    assert_untouched(root)


def test_the_real_polkit_is_asked_about_all_that_need_a_password(rules, asked, connect):
    rules('return action.lookup("domain_name") == "b" ? polkit.Result.YES : '
          'polkit.Result.AUTH_ADMIN;')
    with fails("AccessDenied"):
        connect(OTHER).freeze_group((A.path, "vda"), B.path, C.path, interactive=True)
    single, joint = asked(OTHER)[:3], asked(OTHER)[3:]
    assert [each["domain_name"] for each in single] == ["a", "b", "c"]
    assert joint
    for each in joint:
        assert without_prompt(each) == DETAILS | {
            "domain_name": "a, c", "domain_uuid": f"{A.uuid}, {C.uuid}", "disks": "vda, *",
            "asked_disks": "vda, "}


def test_a_rule_that_takes_several_names_for_another_domain(rules, root, connect):
    """It denies by a list of names, and allows the rest."""
    rules('return ["a", "b"].indexOf(action.lookup("domain_name")) >= 0 ? '
          'polkit.Result.AUTH_ADMIN : polkit.Result.YES;')
    with fails("AccessDenied", match="domain_name"):
        connect(OTHER).freeze_group(A.path, B.path, interactive=True)
    with fails("InteractiveAuthorizationRequired", match="“a”"):
        connect(OTHER).freeze_group(A.path, B.path)
    assert_untouched(root)


def begin_prompt(fake, nobody, *requests, **options):
    """Each is checked, and all but the second need a password; returns the prompt."""
    call = nobody.begin_group(*requests, interactive=True, **options)
    checks = [fake.next() for _ in requests]
    assert [check.flags for check in checks] == [0] * len(requests)
    for check in checks:
        check.decide(check.details["domain_name"] == "b", challenge=True)
    joint = fake.next()
    assert (joint.flags, joint.details["domain_name"]) == (0, "a, c")
    joint.decide(False, challenge=True)
    prompt = fake.next()
    assert (prompt.flags, prompt.details) == (1, joint.details)
    return call, prompt


def test_one_prompt_for_those_that_need_one(fake, root, connect):
    nobody = connect(NOBODY)
    call, prompt = begin_prompt(fake, nobody, A.path, B.path, C.path)
    assert prompt.details == DETAILS | {
        "domain_name": "a, c", "domain_uuid": f"{A.uuid}, {C.uuid}", "disks": "*",
        "asked_disks": ""}
    assert_untouched_by_polkit(root)
    prompt.decide(True)
    for freeze in call.result():
        nobody.thaw(freeze)
    assert fake.drain() == []


def assert_untouched_by_polkit(root):
    """As assert_untouched(), without a question to polkit."""
    assert root.freezes() == []
    for domain in (A, B, C):
        assert root.get(domain.path, "FreezeState") == "thawed"


def test_a_prompt_that_is_refused(fake, root, connect):
    call, prompt = begin_prompt(fake, connect(NOBODY), A.path, B.path, C.path)
    prompt.decide(False)
    with fails("AccessDenied"):
        call.result()
    assert_untouched_by_polkit(root)


def test_a_prompt_for_one_of_them_is_that_of_a_single_freeze(fake, connect):
    nobody = connect(NOBODY)
    call = nobody.begin_group(A.path, B.path, interactive=True)
    for check in (fake.next(), fake.next()):
        check.decide(check.details["domain_name"] == "b", challenge=True)
    fake.next().decide(False, challenge=True)
    prompt = fake.next()
    assert prompt.details == details(A)
    prompt.decide(True)
    assert len(call.result()) == 2


def test_a_prompt_ends_with_its_caller(fake, root, connect):
    nobody = connect(NOBODY)
    _, prompt = begin_prompt(fake, nobody, A.path, B.path, C.path)
    nobody.kill()
    assert fake.next_cancellation() == prompt.cancellation_id
    prompt.decide(True)
    root.sync_service()
    assert_untouched_by_polkit(root)


def test_a_caller_that_leaves_during_the_checks(fake, root, connect):
    nobody = connect(NOBODY)
    nobody.begin_group(A.path, B.path, C.path)
    checks = [fake.next() for _ in range(3)]
    checks[1].decide(True)
    nobody.kill()
    assert {fake.next_cancellation() for _ in range(2)} == {
        checks[0].cancellation_id, checks[2].cancellation_id}
    for check in checks[0], checks[2]:
        check.decide(True)
    root.sync_service()
    assert_untouched_by_polkit(root)


@pytest.mark.config("FreezeTimeout=500ms")
def test_time_at_the_prompt_does_not_count(fake, connect):
    call, prompt = begin_prompt(fake, connect(NOBODY), A.path, B.path, C.path)
    time.sleep(0.7)   # somebody looks for the password
    prompt.decide(True)
    assert len(call.result()) == 3


@pytest.mark.config("FreezeTimeout=500ms")
def test_time_at_the_checks_counts(fake, root, connect):
    call = connect(NOBODY).begin_group(A.path, B.path)
    checks = [fake.next(), fake.next()]
    time.sleep(0.7)
    for check in checks:
        check.decide(True)
    with fails("Timeout", match="“a”"):
        call.result()
    for domain in (A, B):
        root.wait_property(domain.path, "FreezeState", "thawed")
    assert_untouched_by_polkit(root)


def test_without_polkit_nothing_is_allowed(no_polkit, root, connect):
    for client in (root, connect(MEMBER)):
        with fails("AccessDenied", match="“a”"):
            client.freeze_group(A.path, B.path)
    assert_untouched_by_polkit(root)


def test_on_the_session_bus_nobody_is_asked():
    bus = Bus(session=True)
    try:
        service = Service(bus, uri=Node(bus.new_file("node.xml"), A, B, OFF).uri)
        client = bus.client()
        for freeze in client.freeze_group(A.path, B.path):
            client.thaw(freeze)
        with fails("NotRunning", match="“off”"):
            client.freeze_group(A.path, OFF.path)
        client.close()
        assert not service.close()
    finally:
        bus.close()


def test_the_root_object_has_it_alone(root):
    with fails("UnknownMethod"):
        root.call(NAME, A.path, f"{NAME}.Manager.FreezeDomains", "a(oas)a{sv}", [], {})
