# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's watchdog is fed while the main loop runs, and only then."""

import os
import signal
import socket

import pytest

PERIOD_S = 0.3   # WatchdogSec; the service feeds three times as often


@pytest.fixture
def systemd(bus, monkeypatch):
    """A socket where systemd's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        name = f"virtfreeze-test-{os.getpid()}"
        notify.bind("\0" + name)
        notify.settimeout(5)
        environment = bus.environment()
        monkeypatch.setattr(bus, "environment", lambda: {
            **environment, "NOTIFY_SOCKET": "@" + name,
            "WATCHDOG_USEC": str(int(PERIOD_S * 1e6))})
        yield notify


def test_a_running_loop_feeds_the_watchdog(systemd, start):
    start()
    assert [systemd.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3


def test_a_hanging_service_does_not(systemd, start):
    service = start()
    assert systemd.recv(100) == b"WATCHDOG=1"
    service.send(signal.SIGSTOP)
    systemd.settimeout(PERIOD_S)
    try:
        with pytest.raises(TimeoutError):
            for _ in range(100):   # what was sent before it stopped
                systemd.recv(100)
    finally:
        service.send(signal.SIGCONT)
    systemd.settimeout(5)
    assert systemd.recv(100) == b"WATCHDOG=1"


def test_without_systemd_nobody_is_fed(start, bus):
    assert "NOTIFY_SOCKET" not in bus.environment()
    assert start().is_running()
