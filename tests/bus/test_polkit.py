# SPDX-License-Identifier: LGPL-2.1-or-later
"""What polkit is asked, and what follows from its answers. Asked as users other than root, to whom
polkit allows everything without a look at the rules."""

import re

import pytest

from harness.box import MEMBER, NOBODY, OTHER
from harness.client import NAME, ROOT, S, fails
from harness.node import Domain, Node

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
IMAGE = "/guest/diskimage1"

# Every question is logged with all its details. vf-other may what a test allows by `allow`.
RULES = """
polkit.addRule(function(action, subject) {
    polkit.log("asked by " + subject.user + ": " + action);
});
"""


def allow(condition: str, result: str = "YES") -> str:
    return RULES + """
polkit.addRule(function(action, subject) {
    if (subject.user == "vf-other" && (%s))
        return polkit.Result.%s;
});
""" % (condition, result)


ACTION = 'action.id == "org.virtfreeze1.%s"'


@pytest.fixture
def rules(polkit):
    """Sets rules for the test."""
    yield polkit.set_rules
    polkit.set_rules(RULES)


@pytest.fixture
def asked(polkit):
    """What polkit was asked last: action and details."""
    def asked(user):
        *_, last = re.findall(rf"asked by {user}: \[Action id='(\S+)'(.*)\]", polkit.messages())
        return last[0], dict(re.findall(r" (\w+)='(.*?)'(?= \w+='|$)", last[1]))
    return asked


# Defaults

@pytest.mark.parametrize("method, arguments", [
    ("Freeze", ("as", [])), ("FreezeWithOptions", ("asa{sv}", [], {})), ("GetFilesystems", ()),
    ("ThawAll", ())])
def test_others_need_a_password(root, connect, domain, method, arguments):
    nobody = connect(NOBODY)
    with fails("InteractiveAuthorizationRequired"):
        nobody.do(domain, method, *arguments)
    # With the flag polkit would prompt, and there is no agent.
    with fails("AccessDenied"):
        nobody.do(domain, method, *arguments, interactive=True)
    assert root.get(domain, "FreezeState") == "thawed"
    assert root.freezes() == []


def test_group_libvirt_may_freeze_and_inspect_but_not_thaw_others(root, connect, domain):
    member = connect(MEMBER)
    freeze = member.freeze(domain, "vda", hold=5 * S, lifetime="lease", reason="backup")
    assert root.get(freeze, "OwnerUID") == member.uid
    assert set(member.filesystems(domain)) == {"/", "/boot"}
    roots = root.freeze(domain)
    assert set(member.filesystems(roots)) == {"/", "/boot"}
    for call in (lambda: member.thaw(roots), lambda: member.thaw_all(domain)):
        with fails("InteractiveAuthorizationRequired"):
            call()
    member.renew(freeze, 10 * S)
    member.thaw(freeze)
    assert root.freezes() == [roots]


def test_everybody_may_look(root, connect, domain):
    nobody = connect(NOBODY)
    assert nobody.domain("test") == domain
    freeze = root.freeze(domain, reason="for all to see")
    assert nobody.properties(ROOT) == root.properties(ROOT)
    assert nobody.objects() == root.objects()
    assert nobody.get(freeze, "Reason") == "for all to see"


def test_a_rule_that_says_no_is_final(rules, connect, root, domain):
    rules(allow(ACTION % "freeze", "NO"))
    for interactive in (False, True):
        with fails("AccessDenied", match="org.virtfreeze1.freeze"):
            connect(OTHER).begin_freeze(domain, interactive=interactive).result()
    assert root.freezes() == []


@pytest.mark.parametrize("result", ["AUTH_SELF", "AUTH_ADMIN", "AUTH_ADMIN_KEEP"])
def test_a_rule_that_wants_a_password_needs_the_flag(rules, connect, root, domain, result):
    rules(allow(ACTION % "freeze", result))
    with fails("InteractiveAuthorizationRequired"):
        connect(OTHER).freeze(domain)


# Details

DETAILS = {"connect_driver": "TEST", "domain_name": "test", "domain_uuid": UUID}
FREEZE = {**DETAILS, "disks": "*", "asked_disks": "", "scope": "disks", "lifetime": "caller",
          "hold_seconds": "60"}


@pytest.mark.parametrize("disks, options, details", [
    ([], {}, {}),
    (["vda"], {}, {"disks": "vda", "asked_disks": "vda"}),
    ([IMAGE], {}, {"disks": "vda", "asked_disks": IMAGE}),
    (["vda", IMAGE, "vda"], {}, {"disks": "vda", "asked_disks": f"vda {IMAGE}"}),
    (["vda"], {"scope": "disks"}, {"disks": "vda", "asked_disks": "vda"}),
    (["vda"], {"scope": "auto"}, {"disks": "vda", "asked_disks": "vda"}),
    (["vda"], {"scope": "domain"}, {"asked_disks": "vda", "scope": "domain"}),
    ([], {"scope": "domain"}, {"scope": "domain"}),
    ([], {"lifetime": "lease"}, {"lifetime": "lease"}),
    ([], {"hold": 90 * S}, {"hold_seconds": "90"}),
    ([], {"hold": 90 * S + 1}, {"hold_seconds": "91"}),
    ([], {"hold": 1}, {"hold_seconds": "1"}),
    ([], {"reason": "none of polkit's business"}, {}),
])
def test_details_of_a_freeze(rules, asked, connect, domain, disks, options, details):
    expected = FREEZE | details
    # First a rule for exactly these details, then what it has seen beyond them.
    rules(allow(" && ".join(f'action.lookup("{key}") == "{value}"'
                            for key, value in expected.items() if value)))
    connect(OTHER).freeze(domain, *disks, **options)
    action, seen = asked(OTHER)
    assert action == "org.virtfreeze1.freeze"
    assert without_prompt(seen) == expected


def without_prompt(details: dict) -> dict:
    """polkit adds the texts of its prompt."""
    return {key: value for key, value in details.items() if not key.startswith("polkit.")}


@pytest.mark.parametrize("different", [
    {"disks": "vdb"}, {"disks": "*"}, {"scope": "domain"}, {"lifetime": "lease"},
    {"hold_seconds": "61"}, {"domain_name": "tes"}, {"domain_uuid": UUID[::-1]},
    {"connect_driver": "QEMU"}, {"asked_disks": ""}])
def test_a_rule_for_other_details_does_not_allow_it(rules, connect, domain, different):
    details = FREEZE | {"disks": "vda", "asked_disks": "vda"} | different
    rules(allow(" && ".join(f'action.lookup("{key}") == "{value}"'
                            for key, value in details.items())))
    with fails("InteractiveAuthorizationRequired"):
        connect(OTHER).freeze(domain, "vda")


def test_details_of_freeze_without_options(rules, asked, connect, domain):
    rules(allow("true"))
    connect(OTHER).do(domain, "Freeze", "as", ["vda"])
    assert without_prompt(asked(OTHER)[1]) == FREEZE | {"disks": "vda", "asked_disks": "vda"}


@pytest.mark.config("[Freeze]\nDefaultHold=5min\n[Domain test]\nScope=domain\nDefaultHold=7s\n")
def test_details_tell_the_domains_own_defaults(rules, asked, connect, domain):
    rules(allow("true"))
    connect(OTHER).freeze(domain, "vda")
    assert without_prompt(asked(OTHER)[1]) == FREEZE | {
        "asked_disks": "vda", "scope": "domain", "hold_seconds": "7"}


def test_details_of_renew_are_those_of_a_freeze_with_the_new_hold(rules, asked, connect, domain):
    rules(allow('action.lookup("hold_seconds") <= 60'))
    other = connect(OTHER)
    freeze = other.freeze(domain, IMAGE, lifetime="lease", hold=10 * S)
    other.renew(freeze, 20 * S)
    action, seen = asked(OTHER)
    assert action == "org.virtfreeze1.freeze"
    seen = without_prompt(seen)
    assert seen.pop("asked_disks") in (IMAGE, "vda")
    assert seen == {**DETAILS, "disks": "vda", "scope": "disks", "lifetime": "lease",
                    "hold_seconds": "20"}
    deadline = other.get(freeze, "Deadline")
    with fails("InteractiveAuthorizationRequired"):
        other.renew(freeze, 61 * S)
    assert other.get(freeze, "Deadline") == deadline


@pytest.mark.parametrize("action, call", [
    ("inspect", lambda client, domain, freeze: client.filesystems(domain)),
    ("inspect", lambda client, domain, freeze: client.filesystems(freeze)),
    ("thaw-others", lambda client, domain, freeze: client.thaw(freeze)),
    ("thaw-others", lambda client, domain, freeze: client.thaw_all(domain)),
], ids=["Domain.GetFilesystems", "Freeze.GetFilesystems", "Thaw", "ThawAll"])
def test_what_needs_which_action(rules, asked, root, connect, domain, action, call):
    freeze = root.freeze(domain)
    other = connect(OTHER)
    rules(allow(f"!({ACTION % action})"))   # anything else
    with fails("InteractiveAuthorizationRequired"):
        call(other, domain, freeze)
    assert root.get(freeze, "State") == "held"
    rules(allow(ACTION % action))
    call(other, domain, freeze)
    last, details = asked(OTHER)
    assert last == f"org.virtfreeze1.{action}"
    assert without_prompt(details) == DETAILS


def test_rules_for_one_domain(rules, bus, start, connect):
    mine, other = Domain("mine"), Domain("other")
    start(uri=Node(bus.new_file("node.xml"), mine, other).uri)
    rules(allow('action.lookup("domain_name") == "mine"'))
    client = connect(OTHER)
    freeze = client.freeze(mine.path)
    with fails("InteractiveAuthorizationRequired"):
        client.freeze(other.path)
    with fails("InteractiveAuthorizationRequired"):
        client.filesystems(other.path)
    client.thaw(freeze)


def test_a_name_cannot_pass_for_another_disk_or_domain(rules, asked, bus, start, connect):
    """Details are single strings: nothing in a name adds a word of its own to them."""
    tricky = Domain("x' domain_name='mine", ("vda", "vdb"))
    start(uri=Node(bus.new_file("node.xml"), tricky).uri)
    rules(allow('action.lookup("disks") == "vda vdb" || action.lookup("domain_name") == "mine"'))
    client = connect(OTHER)
    for disks in (["vda"], ["vda vdb"], ["vda", "vdb vda"]):
        with fails("InteractiveAuthorizationRequired"):
            client.freeze(tricky.path, *disks)
    client.freeze(tricky.path, "vda", "vdb")


# The owner

def test_the_owner_is_not_asked(rules, connect, root, domain):
    rules(allow("true"))
    other = connect(OTHER)
    freeze, second = other.freeze(domain), other.freeze(domain)
    rules(allow("true", "NO"))
    other.filesystems(freeze)
    other.thaw(freeze)
    with fails("AccessDenied"):
        other.filesystems(domain)
    with fails("AccessDenied"):
        other.renew(second, S)
    with fails("AccessDenied"):
        other.freeze(domain)
    other.thaw(second)
    assert root.freezes() == []


def test_who_may_thaw_others_may_not_renew_for_them(rules, connect, root, domain):
    rules(allow("true"))
    freeze = root.freeze(domain)
    with fails("AccessDenied"):
        connect(OTHER).renew(freeze, S)
    connect(OTHER).thaw(freeze)
    with fails("ConsistencyLost"):
        root.thaw(freeze)


# Order

@pytest.mark.parametrize("options", [{"hold": 0}, {"scope": "all"}, {"reason": "\n"}])
def test_what_is_wrong_in_form_is_answered_before_the_check(connect, domain, options):
    with fails("InvalidArgs"):
        connect(NOBODY).freeze(domain, **options)


def test_whether_a_disk_exists_is_told_after_the_check(connect, domain):
    for disk in ("vdb", "/etc/shadow"):
        with fails("InteractiveAuthorizationRequired"):
            connect(NOBODY).freeze(domain, disk)
        with fails("UnknownDisk", match=disk):
            connect(MEMBER).freeze(domain, disk)


def test_methods_that_no_table_lists_are_denied(connect, domain):
    for path, method in ((ROOT, "Reload"), (domain, "Thaw"), (domain, "FreezeDomains")):
        with fails("UnknownMethod"):
            connect(MEMBER).do(path, method)
    with fails("UnknownMethod", "AccessDenied"):
        # The bus lets nobody call interfaces that the service does not have.
        connect(MEMBER).call(NAME, ROOT, "org.virtfreeze1.Debug.Crash")
