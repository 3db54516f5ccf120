# SPDX-License-Identifier: LGPL-2.1-or-later
"""What may be missing, or go away: bus, service, reader. Each has its message and its exit code."""

import contextlib
import os
import signal

import pytest

from command import CHILD, Command
from harness import bus as harness_bus
from harness.box import MEMBER
from harness.bus import NAME, Bus, Service

COMMANDS = [["list"], ["status", "test"], ["run", "test", "--", "echo", "ran"],
            ["freeze", "test", "--hold", "3s"], ["thaw", "--all"], ["thaw", "--force", "test"],
            ["monitor"], ["list", "--watch"]]
IDS = [" ".join(words) for words in COMMANDS]


@pytest.fixture
def empty_bus():
    bus = Bus(session=True)
    yield bus
    bus.close()


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_not_installed(empty_bus, words):
    with Command(empty_bus, *words) as command:
        result = command.finish()
    assert (result.code, result.out) == (1, "")
    assert "does not run" in result.error and "is virtfreezed installed?" in result.error
    assert result.error.count("\n") == 1


def activatable(monkeypatch, tmp_path, program) -> Bus:
    (tmp_path / f"{NAME}.service").write_text(f"[D-BUS Service]\nName={NAME}\nExec={program}\n")
    monkeypatch.setattr(harness_bus, "SESSION_CONF", harness_bus.SESSION_CONF.replace(
        "<auth>", f"<servicedir>{tmp_path}</servicedir><auth>"))
    return Bus(session=True)


@pytest.mark.parametrize("program", ["/bin/false", "/nonexistent"])
def test_installed_and_does_not_start(monkeypatch, tmp_path, program):
    bus = activatable(monkeypatch, tmp_path, program)
    try:
        with Command(bus, "list") as command:
            result = command.finish()
    finally:
        bus.close()
    assert (result.code, result.out) == (1, "")
    assert "cannot be started; see “systemctl status virtfreezed”" in result.error


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A bus that starts the service, and the file that its process id is in then."""
    pid, script, state, config = (tmp_path / name for name in ("pid", "start", "state", "config"))
    state.mkdir()
    config.write_text("[Freeze]\n")
    script.write_text(f"#!/bin/sh\necho $$ >{pid}\nexec {harness_bus.daemon()} --session "
                      f"--uri test:///default --config {config} --state-dir {state}\n")
    script.chmod(0o755)
    bus = activatable(monkeypatch, tmp_path, script)
    yield bus, pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIGTERM)
    bus.close()


def test_started_by_the_first_call(installed):
    """And by the thaw, where the service has gone meanwhile."""
    bus, pid = installed
    with Command(bus, "run", "test", "--", *CHILD) as command:
        assert command.line() == "ready"
        first = pid.read_text()
        os.kill(int(first), signal.SIGKILL)
        command.wait_error("service is gone")
        result = command.finish()
    # Freezes of the test driver die with the process: that is told, and it is not kept waiting.
    assert result.code == 4 and "did not hold" in result.error
    assert pid.read_text() != first


def test_a_service_that_was_stopped_is_not_started_again(installed):
    bus, pid = installed
    with Command(bus, "run", "test", "--", *CHILD) as command:
        assert command.line() == "ready"
        first = pid.read_text()
        os.kill(int(first), signal.SIGTERM)
        command.wait_error("service-stopping")
        bus.wait_name_gone(NAME)
        assert command.finish().code == 4
    assert pid.read_text() == first


# The bus

def test_bus_gone_while_the_command_runs(own_bus):
    """The command goes on; the freeze is over."""
    with Command(own_bus, "run", "test", "--", *CHILD) as command:
        assert command.line() == "ready"
        own_bus.stop()
        command.wait_error("the connection to the bus has ended, and with it the freeze")
        assert command.popen.poll() is None
        command.send(signal.SIGUSR1)
        assert command.line() == "SIGUSR1"
        result = command.finish()
    assert result.code == 4
    assert result.error.count("discard") == 1
    own_bus.start()   # for its end


@pytest.mark.parametrize("words", [["monitor"], ["list", "--watch"], ["status", "test", "--watch"]],
                         ids=" ".join)
def test_bus_gone_while_watching(own_bus, words):
    client = own_bus.client()
    client.freeze(client.domain())
    with Command(own_bus, *words) as command:
        command.wait_line("test")
        own_bus.stop()
        result = command.finish()
    assert result.code == 1
    assert result.error == "virt-freeze: The connection to the bus has ended\n"
    client.close()
    own_bus.start()


# The service

def test_service_killed_while_the_command_runs(begin, service, root, web, start, node):
    """A new one comes while the command runs. Of the test driver it cannot keep the freeze."""
    command = begin("run", "web", "--", *CHILD)
    command.line()
    service.kill()
    command.wait_error("the freeze of “web” holds if it comes back")
    assert "did not hold" not in command.error
    start(uri=node.uri, state_dir=service.state_dir)
    command.wait_error("did not hold")
    assert command.finish().code == 4


def test_service_that_comes_back_after_the_command(begin, service, root, web, start, node):
    command = begin("run", "web", "--", "sh", "-c", "echo ready; cat; echo done; exit 5")
    command.line()
    service.kill()
    command.wait_error("service is gone")
    command.popen.stdin.close()
    command.popen.stdin = None
    assert command.line() == "done"
    # It waits to hear whether the freeze has held.
    start(uri=node.uri, state_dir=service.state_dir)
    assert command.code() == 4
    assert command.error.count("discard") == 1


def test_service_stopped_while_the_command_runs(begin, service, root, web):
    command = begin("run", "web", "--", *CHILD)
    command.line()
    service.stop()
    command.wait_error("service-stopping")
    # Nobody is there to thaw it, and nothing is frozen: it does not wait for one.
    assert command.finish().code == 4


def test_a_loss_needs_no_service_to_confirm_it(begin, service, root, web):
    command = begin("run", "web", "--", *CHILD)
    command.line()
    root.thaw_all(web)
    command.wait_error("thawed-by-other")
    service.kill()
    assert command.finish().code == 4


def test_service_restarted_while_the_command_runs(begin, service, root, web, start, node):
    command = begin("run", "web", "--", *CHILD)
    command.line()
    service.send(signal.SIGUSR1)
    service.wait()
    start(uri=node.uri, state_dir=service.state_dir)
    command.wait_error("did not hold")   # of the test driver it cannot
    assert command.finish().code == 4


def test_service_killed_before_it_answers(begin, polkit, service, web, calls):
    polkit.pause()
    try:
        command = begin("run", "web", "--", "echo", "ran", user=MEMBER)
        calls("FreezeWithOptions")
        service.kill()
        result = command.finish()
    finally:
        polkit.resume()
    assert (result.code, result.out) == (1, "")
    assert "went away before it answered" in result.error


# libvirt

def test_without_libvirt(run, start, request):
    request.getfixturevalue("service").stop()
    start(uri="test:///nonexistent.xml")
    result = run("list")
    assert result.code == 0
    assert "no connection to libvirt" in result.error
    result = run("run", "web", "--", "echo", "ran")
    assert (result.code, result.out) == (1, "")
    assert "libvirt" in result.error


# The reader

def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("words", [["list"], ["status", "web"], ["--help"], ["list", "--json"],
                                   ["list", "--watch"], ["monitor"], ["monitor", "--json"]],
                         ids=" ".join)
@pytest.mark.parametrize("ignored", [False, True], ids=["", "ignored"])
def test_output_pipe_closed(begin, root, web, words, ignored):
    """As filters end: by SIGPIPE, without a word; where that is ignored, with one."""
    root.freeze(web)
    writer = closed_pipe()
    action = signal.SIG_IGN if ignored else signal.SIG_DFL
    command = begin(*words, stdout=writer, restore_signals=False,
                    preexec_fn=lambda: signal.signal(signal.SIGPIPE, action))
    os.close(writer)
    code = command.code()
    if ignored:
        assert code == 1
        assert command.error == "virt-freeze: Cannot write to standard output: Broken pipe\n"
    else:
        assert (code, command.error) == (-signal.SIGPIPE, "")


@pytest.mark.parametrize("words", [["list", "--watch"], ["monitor"]], ids=" ".join)
def test_reader_goes_while_nothing_happens(begin, root, web, words):
    """As in “virt-freeze monitor | head -1”: no event is needed to notice."""
    root.freeze(web)
    command = begin(*words)
    command.wait_line("web")
    command.popen.stdout.close()
    command.popen.stdout = None
    assert command.code() == -signal.SIGPIPE


def test_output_full(begin, root, web):
    with open("/dev/full", "w") as full:
        command = begin("list", stdout=full)
    assert command.code() == 1
    assert "No space left on device" in command.error
