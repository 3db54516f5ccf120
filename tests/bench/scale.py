# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scale on libvirt's test driver: many domains, many held freezes."""

import contextlib
import re
import time
from pathlib import Path

from harness.node import Domain, Node
from parts import BenchBus, Row, caller, interleave, libvirt_api, median, ratio
from speed import service

COUNTS = (10, 100, 1000)
HELD = (1, 10, 100, 1000)

CONFIG = ("MaxFreezes=10000\nMaxFreezesPerUser=10000\nMaxFreezesPerDomain=10000\n"
          "MaxPending=10000\nMaxHold=1h\n")


def memory(pid: int) -> dict[str, int]:
    """KiB, by the kernel's names. To compare, “Anonymous”: which pages of programs and libraries
    count as private depends on who else has them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    sizes["Uss"] = sizes["Private_Clean"] + sizes["Private_Dirty"]
    return sizes


class Place:
    """A bus of its own with the service on so many domains; the caller freezes the last one."""

    def __init__(self, stack: contextlib.ExitStack, count: int):
        self.bus = BenchBus(session=True)
        stack.callback(self.bus.close)
        self.domains = [Domain(f"guest{number}") for number in range(count)]
        self.uri = Node(self.bus.new_file("node.xml"), *self.domains).uri
        begin = time.monotonic()
        self.service = stack.enter_context(service(self.bus, uri=self.uri, config=CONFIG))
        with self.bus.client() as client:
            client.watch()
            client.wait_property("/org/virtfreeze1", "Connected", True, 60)
            client.domain(self.domains[-1].name)
        self.started = (time.monotonic() - begin) * 1000
        self.caller = caller(self.bus)
        stack.callback(self.caller.close)
        self.caller.run(f"freeze {self.domains[-1].path} 100")
        self.caller.run("objects 3")
        self.memory = memory(self.service.pid)

    def pairs(self) -> list[float]:
        return self.caller.times(f"freeze {self.domains[-1].path} 25")

    def objects(self) -> list[float]:
        return self.caller.times("objects 1")

    def hold(self, count: int):
        """That many leases, one a domain, but none on the one that is measured."""
        for number in range(count):
            self.caller.run(f"hold {self.domains[number % (len(self.domains) - 1)].path} 1")


def of_libvirt(place: Place) -> int:
    """KiB of a process that has the test driver with these domains, and nothing else."""
    tool = libvirt_api(place.uri, place.domains[-1].name)
    tool.run("pairs 100")
    size = memory(tool.pid)["Anonymous"]
    tool.close()
    return size


def by_domains(rounds: int) -> list[Row]:
    with contextlib.ExitStack() as stack:
        places = {count: Place(stack, count) for count in COUNTS}
        pairs = interleave(rounds, **{str(count): place.pairs for count, place in places.items()})
        objects = interleave(max(rounds // 4, 2),
                             **{str(count): place.objects for count, place in places.items()})
        least, most = COUNTS[0], COUNTS[-1]
        drivers = {count: of_libvirt(places[count]) for count in (least, most)}
    value = ratio(pairs[str(most)], pairs[str(least)], rounds)
    result = [Row(f"freeze + thaw, {most:,} domains", pairs[str(most)], f"{least} domains",
                  pairs[str(least)], "≤ 1.1", value, value <= 1.1)]
    for count, place in places.items():
        result.append(Row(f"start to the first answer, {count:,} domains", [place.started]))
    for count in COUNTS:
        result.append(Row(f"GetManagedObjects, {count:,} domains", objects[str(count)],
                          value=median(objects[str(count)]) / count * 1000, unit="µs a domain"))
    for count, place in places.items():
        result.append(Row(f"memory with {count:,} domains (PSS; beside it USS)", [],
                          value=place.memory["Pss"], unit=f"KiB; {place.memory['Uss']:,} KiB"))
    sizes = {count: places[count].memory["Anonymous"] for count in (least, most)}
    whole = (sizes[most] - sizes[least]) / (most - least)
    driver = (drivers[most] - drivers[least]) / (most - least)
    result += [
        Row("memory a domain", [], value=whole - driver, goal="≤ 8 KiB", met=whole - driver <= 8,
            unit="KiB"),
        Row("· besides what the test driver needs in the same process", [], value=driver,
            unit="KiB")]
    return result


def by_freezes(rounds: int) -> list[Row]:
    with contextlib.ExitStack() as stack:
        places = {count: Place(stack, 1001) for count in (0, *HELD)}
        for count, place in places.items():
            place.hold(count)
            place.caller.run(f"freeze {place.domains[-1].path} 25")   # warm
        pairs = interleave(rounds, **{str(count): place.pairs for count, place in places.items()})
        objects = interleave(max(rounds // 4, 2),
                             **{str(count): place.objects for count, place in places.items()})
        most, least = HELD[-1], HELD[0]
        after = memory(places[most].service.pid)["Anonymous"]
        # What one that holds nothing has grown by in the same work.
        before = memory(places[0].service.pid)["Anonymous"]
    value = ratio(pairs[str(most)], pairs[str(least)], rounds)
    result = [Row(f"freeze + thaw, {count:,} freezes held", pairs[str(count)])
              for count in HELD[:-1]]
    result.append(Row(f"freeze + thaw, {most:,} freezes held", pairs[str(most)], f"{least} held",
                      pairs[str(least)], "≤ 1.2", value, value <= 1.2))
    result += [Row(f"GetManagedObjects, 1,001 domains, {count:,} freezes", objects[str(count)])
               for count in HELD]
    each = (after - before) / most
    result.append(Row("memory a freeze", [], value=each, goal="≤ 16 KiB", met=each <= 16,
                      unit="KiB"))
    return result


def on_one_domain(rounds: int) -> list[Row]:
    """All freezes on the very domain that is frozen once more."""
    with contextlib.ExitStack() as stack:
        places = {count: Place(stack, 2) for count in HELD}
        for count, place in places.items():
            place.caller.run(f"hold {place.domains[-1].path} {count}")
        pairs = interleave(rounds, **{str(count): place.pairs for count, place in places.items()})
    value = ratio(pairs[str(HELD[-1])], pairs[str(HELD[0])], rounds)
    return [Row(f"freeze + thaw of a domain with {HELD[-1]:,} freezes (default limit: 16)",
                pairs[str(HELD[-1])], f"with {HELD[0]}", pairs[str(HELD[0])], value=value)]


def rows(quick: bool) -> list[Row]:
    rounds = 2 if quick else 40
    return [*by_domains(rounds), *by_freezes(rounds), *on_one_domain(rounds)]
