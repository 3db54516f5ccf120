# SPDX-License-Identifier: LGPL-2.1-or-later
"""Freezes outlive the service that made them, and none is forgotten."""

import hashlib
import signal
import time

import pytest

from harness.box import SERVICE_USER
from harness.bus import Bus, Polkit, Process, Service, daemon
from harness.client import MS, S, fails
from harness.guest import wait_until
from service import CONFIG, Standstill, assert_thawed, wait_thawed


def records(service) -> list:
    return sorted(service.state_dir.glob("*.freeze"))


@pytest.fixture
def release_all(bus, libvirtd):
    """Starts `virtfreezed --release-all` on the state of a service, without a bus."""
    def release_all(service) -> Process:
        return Process([daemon(), "--release-all", "--uri", libvirtd.uri, "--config",
                        service.config, "--state-dir", service.state_dir], SERVICE_USER, {},
                       bus.new_file("release.log"))
    return release_all


# Killed, and started again on purpose

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1], ids=["killed", "restarted"])
def test_freezes_are_taken_up_again(guest, service, start, root, connect, domain, number):
    caller, creator = connect(), connect()
    freeze = caller.freeze(domain, "vdx", reason="backup")
    lease = creator.freeze(domain, "vdy", lifetime="lease")
    creator.close()
    root.wait_property(lease, "Owner", "")
    still = Standstill(guest)
    before = {path: root.properties(path) for path in (domain, freeze, lease)}

    service.send(number)
    assert service.wait() == (-9 if number == signal.SIGKILL else 0)
    still.check()
    again = start(state_dir=service.state_dir)
    assert root.freezes(domain) == [freeze, lease]
    root.wait_property(domain, "AgentConnected", True)
    for path, properties in before.items():
        now = root.properties(path)
        # The clock that it runs by is another than that of the property.
        if deadline := properties.pop("Deadline", None):
            assert abs(now.pop("Deadline") - deadline) < 10 * MS
        assert now == properties
    still.check()

    # Each is still its owner's.
    caller.renew(freeze, 30 * S)
    assert caller.filesystems(freeze).keys() >= {"/mnt/a", "/mnt/b"}
    with fails("InteractiveAuthorizationRequired"):
        connect().thaw(freeze)
    caller.thaw(freeze)
    still.check()
    connect().thaw(lease)
    assert_thawed(guest)
    assert records(again) == []
    # Numbers are never used again.
    assert root.freeze(domain, hold=50 * MS) not in (freeze, lease)


def test_a_caller_that_left_meanwhile(guest, service, start, root, connect, domain):
    caller, other = connect(), connect()
    caller.freeze(domain)
    kept = other.freeze(domain)
    still = Standstill(guest)
    service.kill()
    caller.kill()
    service = start(state_dir=service.state_dir)
    assert root.freezes(domain) == [kept]
    still.check()

    service.kill()
    other.kill()
    start(state_dir=service.state_dir)
    wait_thawed(guest)
    assert root.freezes() == []
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)


def test_a_deadline_that_passed_meanwhile(guest, service, start, root, connect, domain):
    root.freeze(domain, lifetime="lease", hold=1500 * MS)
    kept = root.freeze(domain, lifetime="lease", hold=60 * S)
    still = Standstill(guest)
    service.kill()
    time.sleep(1.5)   # no event: nobody is there to tell
    still.check()
    service = start(state_dir=service.state_dir)
    assert root.freezes() == [kept]
    still.check()

    root.renew(kept, 300 * MS)
    service.kill()
    time.sleep(0.3)
    service = start(state_dir=service.state_dir)
    wait_thawed(guest)
    assert root.freezes() == []
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert records(service) == []


def test_a_deadline_holds_across_a_restart(guest, service, start, root, domain):
    freeze = root.freeze(domain, hold=2500 * MS)
    still = Standstill(guest)
    deadline = root.get(freeze, "Deadline")
    service.kill()
    start(state_dir=service.state_dir)
    still.check()
    root.wait_signal("Lost", freeze)
    assert 0 <= time.time() * S - deadline < 0.5 * S
    wait_thawed(guest)
    with fails("ConsistencyLost"):
        root.thaw(freeze)


def test_a_debt_is_taken_over(guest, service, start, root, domain):
    """The thaw has failed, and its caller has left, when the service is killed."""
    freeze = root.freeze(domain)
    still = Standstill(guest, agent=False)
    guest.stop_agent()
    with fails("AgentUnavailable"):
        root.thaw(freeze)
    service.kill()
    again = start(state_dir=service.state_dir)
    assert root.get(domain, "FreezeState") == "thawing"
    assert root.freezes() == []
    with fails("AgentUnavailable", match="earlier"):
        root.freeze(domain)
    still.check()
    guest.cont_agent()
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert records(again) == []


def test_thawed_outside_meanwhile(guest, service, start, root, domain):
    freeze = root.freeze(domain)
    service.kill()
    guest.virsh("domfsthaw")
    start(state_dir=service.state_dir)
    assert root.freezes() == [freeze]
    root.wait_property(freeze, "State", "lost")
    with fails("ConsistencyLost"):
        root.thaw(freeze)
    assert_thawed(guest)


def test_guest_reset_meanwhile(guest, service, start, root, domain):
    """libvirt tells nobody of it later; the verification finds out."""
    freeze = root.freeze(domain)
    service.kill()
    guest.reset()
    start(state_dir=service.state_dir)
    root.wait_property(freeze, "State", "lost")
    assert_thawed(guest)


# Stopped

def test_stop_releases_everything(guest, service, root, connect, domain):
    freezes = {root.freeze(domain), connect().freeze(domain, lifetime="lease")}
    Standstill(guest)
    assert service.stop() == 0
    for _ in range(2):
        released = root.wait_signal("Released")
        assert released.body == ("service-stopping",)
        freezes.remove(released.path)
    assert_thawed(guest)
    assert records(service) == []


def test_what_stays_owed_at_the_stop_is_thawed_by_release_all(guest, service, root, domain,
                                                              release_all):
    root.freeze(domain)
    still = Standstill(guest, agent=False)
    guest.stop_agent()
    assert service.stop(timeout=15) == 1   # which has systemd start what pays the rest
    assert len(records(service)) == 1

    one_shot = release_all(service)
    wait_until(lambda: "retry" in one_shot.messages(), 10, "first attempt")
    still.check()
    assert one_shot.is_running()
    guest.cont_agent()
    assert one_shot.wait(30) == 0
    assert_thawed(guest)
    assert records(service) == []


def test_release_all_thaws_and_empties_the_journal(guest, service, root, domain, release_all):
    root.freeze(domain)
    root.freeze(domain, lifetime="lease")
    Standstill(guest)
    service.kill()
    assert len(records(service)) == 2
    assert release_all(service).wait() == 0
    assert_thawed(guest)
    assert records(service) == []
    # With nothing to do it is done at once.
    assert release_all(service).wait() == 0


# The journal

def cut(text: str) -> str:
    return text[:len(text) // 2]


def later(text: str) -> str:
    text = text.partition("# sha256")[0].replace("Format=1", "Format=99")
    return f"{text}# sha256 {hashlib.sha256(text.encode()).hexdigest()}\n"


DAMAGE = {
    "cut": cut,
    "empty": lambda text: "",
    "garbage": lambda text: "\0\x80" * 100,
    "changed": lambda text: text.replace("Lifetime=lease", "Lifetime=caller"),
    "later-format": later,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_set_aside_and_its_domain_thawed(guest, service, start, root, domain,
                                                             damage):
    root.freeze(domain, lifetime="lease")
    Standstill(guest)
    service.kill()
    [record] = records(service)
    text = record.read_text()
    assert damage(text) != text
    record.write_text(damage(text), encoding="latin-1")
    service = start(state_dir=service.state_dir)
    wait_thawed(guest)
    root.wait_property(domain, "FreezeState", "thawed")
    assert_thawed(guest)
    assert root.freezes() == []
    wait_until(lambda: records(service) == [], 2, "the record to be set aside")
    [aside] = service.state_dir.glob("*.damaged")
    assert aside.name.startswith(record.name)
    assert record.name in service.messages()


def test_a_damaged_record_does_not_break_a_whole_one_elsewhere(guest, service, start, root, domain):
    """A file that names no domain is nobody's."""
    lease = root.freeze(domain, lifetime="lease")
    still = Standstill(guest)
    service.kill()
    (service.state_dir / "nobody.7.freeze").write_text("nothing")
    service = start(state_dir=service.state_dir)
    assert root.freezes() == [lease]
    still.check()
    assert list(service.state_dir.glob("nobody*.damaged"))
    root.thaw(lease)
    assert_thawed(guest)


def test_a_second_instance_is_refused(guest, service, start, root, domain, release_all):
    freeze = root.freeze(domain)
    still = Standstill(guest)
    second = start(state_dir=service.state_dir, wait=False)
    assert second.wait() != 0
    assert "lock" in second.messages() or "instance" in second.messages()
    assert release_all(service).wait() != 0
    still.check()
    root.thaw(freeze)
    assert_thawed(guest)


# The bus

def test_a_bus_that_is_lost_ends_all_but_leases(guest, libvirtd):
    bus = Bus()
    try:
        polkit = Polkit(bus)
        service = Service(bus, uri=libvirtd.uri, config=CONFIG)
        client = bus.client()
        domain = client.domain(guest.name)
        client.freeze(domain)
        lease = client.freeze(domain, lifetime="lease", hold=20 * S)
        still = Standstill(guest)
        bus.stop()
        assert service.wait() != 0
        still.check()

        bus.start()
        polkit.stop()
        polkit.start()
        service = Service(bus, uri=libvirtd.uri, config=CONFIG, state_dir=service.state_dir)
        client = bus.client()
        assert client.freezes() == [lease]
        still.check()
        client.thaw(lease)
        assert_thawed(guest)
        assert service.stop() == 0
        polkit.stop()
    finally:
        bus.close()
