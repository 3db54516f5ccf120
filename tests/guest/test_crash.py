# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL of the service between any two durable states, in all that it does; then, by the guest's
own word: nothing is frozen without a living freeze, what is held stood still all the time.

A case is a scenario and a place (service/fault.h). The scenario brings the service to the place,
where it dies, and returns who is to hold a freeze when the next one has settled.
"""

import time

import pytest

pytest.register_assert_rewrite("crash")
import test_group_crash
from crash import Case, Holder, Scenarios, places_in_source
from harness.client import MS, S
from harness.guest import wait_until

FREEZING = ("freeze-unrecorded", "freeze-recorded", "freeze-called", "freeze-answered",
            "held-recorded")
ENDING = ("end-unrecorded", "end-recorded")
THAWING = ("thaw-uncalled", "thaw-called", "thaw-answered", "thaw-forgotten")
ADOPTING = ("adopt-read", "adopt-one", "adopt-nameless")

scenarios = Scenarios()


# The first freeze

def die_freezing(case: Case, *disks: str, **options) -> list[Holder]:
    case.start_faulty()
    caller = case.client()
    caller.begin_freeze(case.domain, *disks, **options)
    case.wait_death()
    case.frozen_names = disks and ("a",)
    return [Holder(caller, None, caller.name)] if case.place == "held-recorded" else []


@scenarios.at(*FREEZING)
def freeze(case):
    return die_freezing(case)


@scenarios.at(*FREEZING)
def freeze_as_lease(case):
    return die_freezing(case, lifetime="lease")


@scenarios.at(*FREEZING)
def freeze_of_a_disk(case):
    return die_freezing(case, "vdx", scope="disks")


@scenarios.at("freeze-answered", "held-recorded")
def freeze_joins(case):
    case.start()
    first = case.freeze()
    case.expect_standstill()
    case.kill()
    case.start_faulty()
    second = case.client()
    second.begin_freeze(case.domain)
    case.wait_death()
    return [first] + [Holder(second, None, second.name)] * (case.place == "held-recorded")


@scenarios.at(*THAWING)
def caller_vanishes_while_freezing(case):
    case.start_faulty()
    case.guest.set_hook("#!/bin/sh\n[ $1 = thaw ] || sleep 0.5\n")
    watcher, caller = case.client().watch(), case.client()
    caller.begin_freeze(case.domain)
    watcher.wait_property(case.domain, "FreezeState", "freezing")
    caller.close()
    case.wait_death()
    case.guest.set_hook()
    return []


@scenarios.at("renew-recorded")
def renew(case):
    case.start_faulty()
    held = case.freeze()
    case.expect_standstill()
    held.client.begin(held.path, "Renew", "t", 300 * S)
    case.wait_death()
    return [held]


# Endings

def held_if_unrecorded(case: Case, *holders: Holder) -> list[Holder]:
    """An ending that was not recorded has not happened."""
    return list(holders) if case.place == "end-unrecorded" else []


@scenarios.at(*ENDING, *THAWING)
def thaw_by_owner(case):
    case.start_faulty()
    held = case.freeze()
    case.expect_standstill()
    held.client.begin_thaw(held.path)
    case.wait_death()
    return held_if_unrecorded(case, held)


@scenarios.at(*ENDING, *THAWING)
def thaw_by_another(case):
    case.start_faulty()
    held = case.freeze(lifetime="lease")
    case.expect_standstill()
    case.client().begin_thaw(held.path)
    case.wait_death()
    return held_if_unrecorded(case, held)


@scenarios.at(*ENDING, *THAWING)
def deadline(case):
    case.start_faulty()
    case.freeze(hold=300 * MS)
    case.wait_death()
    return []   # the deadline has passed, recorded or not


@scenarios.at(*ENDING, *THAWING)
def caller_vanishes(case):
    case.start_faulty()
    case.freeze().client.close()
    case.wait_death()
    return []   # the caller has left, recorded or not


@scenarios.at("end-forgotten", *ENDING, *THAWING)
def thaw_all(case):
    case.start_faulty()
    first = case.freeze(lifetime="lease")
    last = case.freeze()
    case.expect_standstill()
    case.client().begin(case.domain, "ThawAll")
    case.wait_death()
    # The first ends without a debt, since the guest stays frozen for the last.
    if case.place == "end-forgotten":
        return [last]
    return held_if_unrecorded(case, first, last)


@scenarios.at("end-unrecorded", "end-forgotten")
def one_of_two_of_everything_ends(case):
    case.start_faulty()
    first, second = case.freeze(), case.freeze()
    case.expect_standstill()
    first.client.begin_thaw(first.path)
    case.wait_death()
    return [second, *held_if_unrecorded(case, first)]


# One of two that overlap ends. The agent thaws all or nothing (libvirt is asked for a part, and
# refuses), so what one covers alone stays frozen, and is a debt.

PART = ("thaw-uncalled", "thaw-called")


def begin_overlap(case: Case) -> tuple[Holder, Holder]:
    wide = case.freeze("vdx", "vdy", scope="disks")
    narrow = case.freeze("vdx", scope="disks")
    case.expect_standstill("a", "b")
    return wide, narrow


@scenarios.at(*ENDING, *PART)
def one_of_two_ends(case):
    case.start_faulty()
    wide, narrow = begin_overlap(case)
    wide.client.begin_thaw(wide.path)
    case.wait_death()
    return [narrow, *held_if_unrecorded(case, wide)]


@scenarios.at(*ENDING, "thaw-answered", "thaw-forgotten")
def the_other_ends_too(case):
    case.start()
    wide, narrow = begin_overlap(case)
    wide.client.thaw(wide.path)
    case.kill()
    case.start_faulty()
    narrow.client.begin_thaw(narrow.path)
    case.wait_death()
    return held_if_unrecorded(case, narrow)


# Killed again while it takes up what an earlier one left

@scenarios.at(*ADOPTING, "end-unrecorded", "end-forgotten")
def adoption(case):
    case.start()
    creator = case.client()
    held, lease = case.freeze(), case.freeze(client=creator, lifetime="lease")
    leaver = case.freeze().client
    case.expect_standstill()
    case.kill()
    creator.close()
    leaver.close()
    case.recover_faulty()
    return [held, Holder(held.client, lease.path, "")]


@scenarios.at(*ADOPTING, *ENDING, *THAWING)
def adoption_after_the_caller_left(case):
    case.start()
    caller = case.freeze().client
    case.kill()
    caller.close()
    case.recover_faulty()
    return []


@scenarios.at(*ADOPTING, *THAWING)
def adoption_after_the_deadline(case):
    case.start()
    deadline = case.freeze(hold=200 * MS).deadline()
    case.kill()
    wait_until(lambda: time.time() * S > deadline, 5, "deadline")
    case.recover_faulty()
    return []


@scenarios.at(*ADOPTING, *THAWING)
def adoption_of_a_half_done_freeze(case):
    case.start_faulty("freeze-answered")
    case.client().begin_freeze(case.domain)
    case.wait_death()
    case.recover_faulty()
    return []


@scenarios.at(*ADOPTING, *THAWING)
def adoption_of_an_owed_thaw(case):
    case.start_faulty("thaw-uncalled")
    held = case.freeze()
    held.client.begin_thaw(held.path)
    case.wait_death()
    case.recover_faulty()
    return []


@scenarios.at(*ADOPTING, *THAWING, "damaged-replaced")
def adoption_of_a_damaged_record(case):
    case.start()
    case.freeze()
    case.kill()
    case.damage_record()
    case.recover_faulty()
    return []


@scenarios.at("saved-recorded")
def saved_while_frozen(case):
    case.start_faulty()
    case.freeze()
    case.guest.virsh("managedsave")
    case.wait_death()
    case.guest.virsh("start")   # from its memory, frozen
    return []


@scenarios.at(*ADOPTING, *PART)
def adoption_with_a_debt_that_waits(case):
    case.start()
    wide, narrow = begin_overlap(case)
    wide.client.thaw(wide.path)
    case.kill()
    case.recover_faulty()
    return [narrow]


@pytest.fixture
def case(request, guest, bus, polkit):
    name, place = request.param
    yield from scenarios.live(Case(guest, bus, place), name)


@scenarios.each()
def test_killed(case):
    case.check(case.scenario(case))


# In the middle of a call to the guest: the places before and behind it are reached when it waits
# for a worker, and when it is over.

SLOW_HOOK = """#!/bin/sh
echo $1 >/run/hook-at
sleep 0.5
"""


def wait_hook(guest, word):
    wait_until(lambda: guest.sh("cat /run/hook-at")[1] == f"{word}\n", 10, f"{word} under way")


@pytest.mark.parametrize("case", [("freeze", "under-way")], indirect=True, ids=["freeze"])
def test_killed_while_the_guest_freezes(case):
    case.start()
    case.guest.set_hook(SLOW_HOOK)
    case.client().begin_freeze(case.domain)
    wait_hook(case.guest, "freeze")
    case.kill()
    case.guest.set_hook()
    case.check([])


@pytest.mark.parametrize("case", [("thaw_by_owner", "under-way")], indirect=True, ids=["thaw"])
def test_killed_while_the_guest_thaws(case):
    case.start()
    held = case.freeze()
    case.guest.set_hook(SLOW_HOOK)
    held.client.begin_thaw(held.path)
    wait_hook(case.guest, "thaw")
    case.kill()
    case.guest.set_hook()
    case.check([])


def test_each_place_of_the_source_is_died_at():
    places = places_in_source()
    assert len(places) == len(set(places)), "a name is used twice"
    cases = scenarios.cases() + test_group_crash.scenarios.cases()
    assert set(places) == {place for _, place in cases}
