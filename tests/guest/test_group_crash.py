# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL of the service while it freezes two guests as a group, at each place between two durable
states: afterwards both are held, or none is. See test_crash.py."""

import pytest

pytest.register_assert_rewrite("crash")
from crash import Case, Holder, Scenarios, records
from harness.client import Client
from service import Gate, Standstill, assert_thawed

scenarios = Scenarios()


class GroupCase(Case):
    """With a second guest. A scenario returns the holders of the first, and of the second."""

    config = "AgentTimeout=15s\nFreezeTimeout=20s\nVerifyInterval=500ms\n"

    def __init__(self, guest, second, bus, place):
        super().__init__(guest, bus, place)
        self.second = second
        self.second_domain = (
            f"/org/virtfreeze1/domain/_{second.virsh('domuuid').replace('-', '_')}")

    def _domains(self):
        return [self.domain, self.second_domain]

    def begin_group(self, client: Client | None = None, **options) -> Client:
        client = client or self.client()
        client.begin_group(*self._domains(), **options)
        return client

    def check(self, holders: tuple[list[Holder], list[Holder]]):
        self.start()
        root = self.client().watch()
        for guest, domain, names in zip((self.guest, self.second), self._domains(), holders):
            root.wait_property(domain, "FreezeState", "frozen" if names else "thawed")
            freezes = {path: root.properties(path) for path in root.freezes(domain)}
            assert all(properties["State"] == "held" for properties in freezes.values())
            assert (sorted(properties["Owner"] for properties in freezes.values())
                    == sorted(holder.owner for holder in names))
            if names:
                Standstill(guest)
            else:
                assert_thawed(guest)
        if self._standstill:
            self._standstill.check()
        for path, properties in root.objects().items():
            if "/freeze/" in path:
                [holder] = {holder.owner: holder for holder in (*holders[0], *holders[1])
                            if holder.owner == properties["Owner"]}.values()
                assert self._guest_of(path).agent_frozen()
                holder.client.thaw(path)
        self._check_end()

    def _guest_of(self, path):
        return self.guest if path.startswith(self.domain) else self.second

    def _check_end(self):
        """Nothing is left of it, and all works."""
        assert records(self._state_dir) == []
        client = self.client()
        freezes = client.freeze_group(*self._domains())
        assert self.guest.agent_frozen() and self.second.agent_frozen()
        for freeze in freezes:
            client.thaw(freeze)
        assert_thawed(self.guest)
        assert_thawed(self.second)
        assert records(self._state_dir) == []


def all_or_none(case: GroupCase, client: Client):
    held = [Holder(client, None, client.name)] if case.place == "group-committed" else []
    return held, held


FREEZING = ("freeze-unrecorded", "freeze-recorded", "freeze-called", "freeze-answered")
RECORDED = ("held-recorded", "group-uncommitted", "group-committed")
THAWING = ("thaw-uncalled", "thaw-called", "thaw-answered", "thaw-forgotten")
ADOPTING = ("adopt-read", "adopt-one", "adopt-groups", "adopt-nameless")


@scenarios.at("group-begun", *FREEZING, *RECORDED)
def group(case):
    case.start_faulty()
    client = case.begin_group()
    case.wait_death()
    return all_or_none(case, client)


@scenarios.at(*RECORDED)
def group_of_leases(case):
    case.start_faulty()
    client = case.begin_group(lifetime="lease")
    case.wait_death()
    return all_or_none(case, client)


@scenarios.at("group-begun", *RECORDED)
def group_joins(case):
    """The first guest is frozen already, and stays so for its holder."""
    case.start()
    first = case.freeze()
    case.expect_standstill()
    case.kill()
    case.start_faulty()
    client = case.begin_group()
    case.wait_death()
    both, second = all_or_none(case, client)
    return [first, *both], second


@scenarios.at("group-uncommitted")
def another_joins_the_group(case):
    """The first guest is frozen for a group that is not complete, and for somebody else, who keeps
    his freeze."""
    gate = begin_at_gate(case)[1]
    other = case.freeze()
    case.expect_standstill()
    gate.open()
    case.wait_death()
    gate.remove()
    return [other], []


# The second guest fails when the first is frozen.

def begin_at_gate(case: GroupCase) -> tuple[Client, Gate]:
    """The first guest is frozen, the second waits."""
    gate = Gate(case.second)
    case.start_faulty()
    client = case.begin_group()
    case.client().watch().wait_property(case.domain, "FreezeState", "frozen")
    gate.wait()
    return client, gate


@scenarios.at("end-unrecorded", "end-recorded", "group-given-up", *THAWING)
def group_fails(case):
    _, gate = begin_at_gate(case)
    gate.open(1)
    case.wait_death()
    gate.remove()
    return [], []


@scenarios.at("end-unrecorded", "end-recorded", "group-given-up", "thaw-called")
def caller_of_the_group_vanishes(case):
    client, gate = begin_at_gate(case)
    client.close()
    case.wait_death()
    gate.remove()
    return [], []


# Killed again while it takes up what an earlier one left

@scenarios.at(*ADOPTING, *THAWING)
def adoption_of_a_half_done_group(case):
    case.start_faulty("group-uncommitted")
    case.begin_group(lifetime="lease")
    case.wait_death()
    assert len(records(case._state_dir)) == 3
    case.recover_faulty()
    return [], []


@scenarios.at(*ADOPTING)
def adoption_of_a_complete_group(case):
    case.start_faulty("group-committed")
    client = case.begin_group()
    case.wait_death()
    assert len(records(case._state_dir)) == 2
    case.recover_faulty()
    return [Holder(client, None, client.name)], [Holder(client, None, client.name)]


@pytest.fixture
def case(request, guest, second_guest, bus, polkit):
    name, place = request.param
    yield from scenarios.live(GroupCase(guest, second_guest, bus, place), name)


@scenarios.each()
def test_killed(case):
    case.check(case.scenario(case))


def test_killed_while_one_of_two_guests_freezes(guest, second_guest, second_gate, bus, polkit):
    case = GroupCase(guest, second_guest, bus, "under-way")
    case.start()
    case.begin_group()
    case.client().watch().wait_property(case.domain, "FreezeState", "frozen")
    second_gate.wait()
    case.kill()
    second_gate.remove()
    case.check(([], []))
    assert not (wrong := case.close()), wrong
