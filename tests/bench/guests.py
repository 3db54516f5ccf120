# SPDX-License-Identifier: LGPL-2.1-or-later
"""Speed on real guests: beside libvirt-dbus, virsh, and libvirt's API called directly."""

import functools
import subprocess
import time

from harness.box import MEMBER
from harness.bus import Polkit
from harness.guest import SMALL, Guest, Libvirtd, image_folder, missing
from parts import BenchBus, LibvirtDBus, Row, caller, interleave, libvirt_api, median, ratio
from speed import service, until_thawed, wake

MANY = 8
SLOW_HOOK = "#!/bin/sh\nsleep 1\n"


class Scene:
    """libvirtd with guests, and on one bus the service and libvirt-dbus."""

    def __init__(self, image, count: int):
        self.libvirtd = Libvirtd()
        # Without writers: the guests are to cost no processor time but what their agents do.
        self.guests = [Guest(self.libvirtd, image, f"guest{number}", SMALL, writer_ms=0)
                       for number in range(count)]
        for guest in self.guests:
            guest.start(wait=False)
        for guest in self.guests:
            guest.wait_ready(180)
        self.bus = BenchBus()
        self.polkit = Polkit(self.bus)
        self.peer = LibvirtDBus(self.bus, self.libvirtd.folder / "run")
        wake(self.bus, "/org/libvirt/QEMU")

    def service(self):
        return service(self.bus, uri=self.libvirtd.uri, config="FreezeTimeout=60s\n"
                                                               "AgentTimeout=60s\n")

    def paths(self, guest: Guest) -> tuple[str, str]:
        """Its objects: ours and libvirt-dbus's."""
        uuid = guest.virsh("domuuid").replace("-", "_")
        return f"/org/virtfreeze1/domain/_{uuid}", f"/org/libvirt/QEMU/domain/_{uuid}"

    def close(self):
        self.peer.stop()
        self.polkit.stop()
        self.bus.close()
        self.libvirtd.close()


def virsh_pair(guest: Guest) -> list[float]:
    begin = time.monotonic()
    for command in ("domfsfreeze", "domfsthaw"):
        subprocess.run(["virsh", "-q", "-c", guest.libvirtd.uri, command, guest.name], check=True,
                       stdout=subprocess.DEVNULL)
    return [(time.monotonic() - begin) * 1000]


def pairs(scene: Scene, rounds: int) -> list[Row]:
    guest = scene.guests[0]
    ours, theirs = scene.paths(guest)
    client, api = caller(scene.bus, MEMBER), libvirt_api(scene.libvirtd.uri, guest.name)
    client.run(f"freeze {ours} 1")
    samples = interleave(rounds, ours=lambda: client.times(f"freeze {ours} 2"),
                         api=lambda: api.times("pairs 2"),
                         map=lambda: api.times("map"),
                         dbus=lambda: client.times(f"dbus {theirs} 2"),
                         virsh=lambda: virsh_pair(guest))
    api.close()
    against = functools.partial(ratio, samples["ours"], rounds=rounds)
    api_and_map = [time + median(samples["map"]) for time in samples["api"]]
    value = against(samples["api"])
    result = [
        Row("freeze + thaw, real guest, system bus, polkit", samples["ours"], "libvirt's C API",
            samples["api"], "≤ 1.1", value, value <= 1.1),
        Row("· of which the map before the first freeze (GetFSInfo by the C API)", samples["map"],
            value=ratio(samples["map"], samples["api"], rounds)),
        Row("· the same", samples["ours"], "libvirt's C API with that map", api_and_map,
            value=against(api_and_map))]
    for name, samples_of in (("libvirt-dbus", samples["dbus"]), ("virsh", samples["virsh"])):
        result.append(Row("· the same", samples["ours"], name, samples_of,
                          value=against(samples_of)))

    # While another holds it, ours; while nobody does, the peer's.
    over, peer = [], []
    for _ in range(rounds):
        holder = caller(scene.bus, MEMBER)
        [held] = holder.run(f"hold -{ours} 1")
        over += client.times(f"freeze {ours} 3")
        holder.run(f"thaw {held}")
        holder.close()
        peer += client.times(f"dbus {theirs} 2")
    client.close()
    value = ratio(peer, over, rounds)
    result.append(Row("overlapping freeze + thaw, real guest frozen already", over,
                      "libvirt-dbus, a whole pair", peer, "≥ 5 × faster", value, value >= 5))
    return result


def killed_caller(scene: Scene, rounds: int) -> list[Row]:
    guest = scene.guests[0]
    ours, _ = scene.paths(guest)
    api, watcher = libvirt_api(scene.libvirtd.uri, guest.name), scene.bus.client().watch()
    def thaw_alone():
        api.run("freeze")
        return api.times("thaw")
    samples = interleave(
        rounds, killed=lambda: [until_thawed(watcher, caller(scene.bus, MEMBER), ours)],
        thaw=thaw_alone)
    api.close()
    watcher.close()
    beyond = median([killed - thaw for killed, thaw in zip(samples["killed"], samples["thaw"])])
    return [Row("SIGKILL of the caller until a real guest is thawed, beyond the thaw call",
                samples["killed"], "the thaw call of the C API", samples["thaw"], "≤ 10 ms", beyond,
                beyond <= 10, unit="ms")]


def all_at_once(clients, commands: list[str]) -> float:
    begin = time.monotonic()
    for client, command in zip(clients, commands):
        client.begin(command)
    for client in clients:
        client.end()
    return (time.monotonic() - begin) * 1000


def many_with_slow_hooks(scene: Scene, rounds: int) -> list[Row]:
    for guest in scene.guests:
        guest.set_hook(SLOW_HOOK)
    clients = [caller(scene.bus, MEMBER) for _ in scene.guests]
    paths = [scene.paths(guest) for guest in scene.guests]
    samples = interleave(
        rounds,
        ours=lambda: [all_at_once(clients, [f"freeze {ours} 1" for ours, _ in paths])],
        peer=lambda: [all_at_once(clients, [f"dbus {theirs} 1" for _, theirs in paths])])
    for client in clients:
        client.close()
    value = ratio(samples["peer"], samples["ours"], rounds)
    return [Row(f"{len(clients)} real guests at once, hooks of 1 s at freeze and thaw",
                samples["ours"], "libvirt-dbus (4 threads)", samples["peer"], "≥ 1.7 × faster",
                value, value >= 1.7)]


def rows(quick: bool) -> list[Row]:
    if reason := missing():
        raise RuntimeError(reason)
    image = image_folder()
    result = []
    for count, measure in ((1, lambda scene: [*pairs(scene, 2 if quick else 25),
                                              *killed_caller(scene, 2 if quick else 20)]),
                           (2 if quick else MANY,
                            lambda scene: many_with_slow_hooks(scene, 1 if quick else 3))):
        scene = Scene(image, count)
        try:
            with scene.service():
                wake_up(scene)
                result += measure(scene)
        finally:
            scene.close()
    return result


def wake_up(scene: Scene):
    """Until the service sees all agents."""
    with scene.bus.client() as client:
        client.watch()
        for guest in scene.guests:
            client.wait_property(client.domain(guest.name), "AgentConnected", True)
