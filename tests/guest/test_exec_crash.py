# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL of the service while engine exec freezes, grows, thaws a part, or renews, at each place
between two durable states. See test_crash.py."""

import pytest

pytest.register_assert_rewrite("crash", "fsfreeze")
from crash import Case, Holder, Scenarios, records
from fsfreeze import CONFIG, goes_on, guest, still, wait_guards
from harness.client import S

FREEZING = ("freeze-recorded", "freeze-called", "freeze-answered", "held-recorded")
THAWING = ("end-unrecorded", "end-recorded", "thaw-uncalled", "thaw-called", "thaw-answered")
WRITERS = {"vdx": "a", "vdy": "b"}

scenarios = Scenarios()


class ExecCase(Case):
    """A scenario returns who is to hold which disk. Each is held by one at most."""

    config = CONFIG

    def expect_standstill(self, *disks: str):
        self._standstill = still(self.guest, *(WRITERS[disk] for disk in disks))

    def check(self, holders: dict[str, Holder]):
        self.start()
        root = self.client().watch()
        root.wait_property(self.domain, "FreezeState", "frozen" if holders else "thawed")
        held = {root.get(path, "Owner"): path for path in root.freezes(self.domain)}
        assert set(held) == {holder.owner for holder in holders.values()}
        if self._standstill:
            self._standstill.check()
        goes_on(self.guest, "span", *(WRITERS[disk] for disk in WRITERS if disk not in holders))
        frozen = {disk: still(self.guest, WRITERS[disk]) for disk in holders}
        wait_guards(self.guest, len(holders))
        for disk, holder in holders.items():
            path = held[holder.owner]
            assert (root.get(path, "State"), root.get(path, "Engine")) == ("held", "exec")
            assert holder.path in (None, path)
            frozen.pop(disk).check()
            holder.client.thaw(path)
            goes_on(self.guest, WRITERS[disk])
            for rest in frozen.values():
                rest.check()
        assert records(self._state_dir) == []
        wait_guards(self.guest, 0)


def begin(case: ExecCase, disk: str) -> Holder:
    caller = case.client()
    caller.begin_freeze(case.domain, disk)
    case.wait_death()
    return Holder(caller, None, caller.name)


@scenarios.at(*FREEZING)
def freeze(case):
    case.start_faulty()
    new = begin(case, "vdx")
    return {"vdx": new} if case.place == "held-recorded" else {}


@scenarios.at(*FREEZING)
def grow(case):
    case.start()
    first = case.freeze("vdx")
    case.expect_standstill("vdx")
    case.kill()
    case.start_faulty()
    new = begin(case, "vdy")
    return {"vdx": first} | ({"vdy": new} if case.place == "held-recorded" else {})


@scenarios.at(*THAWING)
def thaw_a_part(case):
    case.start_faulty()
    first, second = case.freeze("vdx"), case.freeze("vdy")
    case.expect_standstill("vdy")
    first.client.begin_thaw(first.path)
    case.wait_death()
    return {"vdy": second} | ({"vdx": first} if case.place == "end-unrecorded" else {})


@scenarios.at("renew-recorded")
def renew(case):
    case.start_faulty()
    held = case.freeze("vdx", hold=30 * S)
    case.expect_standstill("vdx")
    before = held.deadline()
    held.client.begin(held.path, "Renew", "t", 300 * S)
    case.wait_death()
    case.start()
    assert held.deadline() > before + 200 * S
    case.kill()
    return {"vdx": held}


@pytest.fixture
def case(request, guest, bus, polkit):
    name, place = request.param
    yield from scenarios.live(ExecCase(guest, bus, place), name)


@scenarios.each()
def test_killed(case):
    case.check(case.scenario(case))
