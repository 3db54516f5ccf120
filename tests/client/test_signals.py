# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals to virt-freeze run: they reach the command, and the guest is thawed whatever happens."""

import os
import signal

import pytest

from command import CHILD, INTERRUPTS
from harness.box import MEMBER

OTHERS = (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def held(begin, root, web):
    """run, with a command that says what it gets."""
    def held(*ends, **settings):
        command = begin("run", "web", "--", *CHILD, *ends, **settings)
        assert command.line() == "ready"
        assert root.get(web, "FreezeState") == "frozen"
        return command
    return held


@pytest.mark.parametrize("number", INTERRUPTS + OTHERS, ids=lambda number: number.name)
def test_the_command_gets_it_and_ends(held, root, web, number):
    command = held(number.name)
    command.send(number)
    assert command.line() == number.name
    assert command.finish() == (40, "", "")
    assert root.get(web, "FreezeState") == "thawed"


@pytest.mark.parametrize("number", INTERRUPTS, ids=lambda number: number.name)
def test_the_command_ignores_it(held, root, web, number):
    """Then it is frozen on, until the command ends."""
    command = held()
    command.send(number)
    assert command.line() == number.name
    assert root.get(web, "FreezeState") == "frozen"
    command.send(number)
    assert command.line() == number.name
    assert command.finish() == (0, "", "")
    assert root.get(web, "FreezeState") == "thawed"


@pytest.mark.parametrize("number", INTERRUPTS, ids=lambda number: number.name)
def test_to_the_whole_group(held, root, web, number):
    command = held(number.name)
    os.killpg(command.pid, number)
    assert command.line() == number.name
    # It may get it twice, from the one who sent it and from us.
    assert command.finish().code in (40, 128 + number)
    assert root.get(web, "FreezeState") == "thawed"


@pytest.mark.parametrize("number", INTERRUPTS, ids=lambda number: number.name)
def test_a_command_that_dies_of_it(begin, root, web, number):
    command = begin("run", "web", "--", "sh", "-c", "echo ready; exec cat")
    assert command.line() == "ready"
    command.send(number)
    assert command.code() == 128 + number
    assert root.get(web, "FreezeState") == "thawed"


def test_killed(held, root, web):
    """The service sees that the connection has ended."""
    command = held()
    command.send(signal.SIGKILL)
    assert command.code() == -signal.SIGKILL
    assert root.wait_signal("Released").body == ("caller-vanished",)
    root.wait_property(web, "FreezeState", "thawed")


def test_both_killed(held, root, web):
    command = held()
    os.killpg(command.pid, signal.SIGKILL)
    assert command.code() == -signal.SIGKILL
    root.wait_property(web, "FreezeState", "thawed")


def test_stopped_and_continued(held, root, web):
    command = held()
    command.send(signal.SIGSTOP)
    command.send(signal.SIGTERM)
    command.send(signal.SIGCONT)
    assert command.line() == "SIGTERM"
    assert command.finish().code == 0


@pytest.mark.parametrize("number", INTERRUPTS, ids=lambda number: number.name)
def test_before_the_guest_is_frozen(begin, polkit, root, web, calls, number):
    """There is no command yet: virt-freeze ends by the signal, and nothing stays frozen."""
    polkit.pause()
    try:
        command = begin("run", "web", "--", "echo", "ran", user=MEMBER)
        calls("FreezeWithOptions")
        command.send(number)
        result = command.finish()
    finally:
        polkit.resume()
    assert (result.code, result.out) == (-number, "")
    root.sync_service()
    assert root.freezes() == []
    assert root.get(web, "FreezeState") == "thawed"


def test_interrupted_on_a_terminal(terminal, root, web):
    """The keyboard's signal has reached the command already: it gets it once."""
    command = terminal("run", "web", "--", *CHILD, "SIGTERM")
    command.wait_shown("ready")
    # What virt-freeze did with it would come later, and before the next signal.
    command.send(signal.SIGSTOP)
    command.type("\x03")
    command.wait_shown("SIGINT")
    command.send(signal.SIGTERM)
    command.send(signal.SIGCONT)
    result = command.finish()
    assert result.code == 40
    assert result.out.split() == ["ready", "^CSIGINT", "SIGTERM"]
    assert root.get(web, "FreezeState") == "thawed"


def test_interrupted_on_a_terminal_with_the_command_in_a_group_of_its_own(terminal, root, web):
    """Then the keyboard's signal does not reach it but by us."""
    command = terminal("run", "web", "--", "setsid", *CHILD, "SIGINT")
    command.wait_shown("ready")
    command.type("\x03")
    result = command.finish()
    assert (result.code, result.out.split()) == (40, ["ready", "^CSIGINT"])
    assert root.get(web, "FreezeState") == "thawed"


def test_the_terminal_is_closed(terminal, root, web):
    """The hang-up reaches both."""
    command = terminal("run", "web", "--", *CHILD, "SIGHUP", "deaf")
    command.wait_shown("ready")
    command.hang_up()
    assert command.code() == 40
    assert root.get(web, "FreezeState") == "thawed"


def test_the_terminal_is_closed_on_a_command_that_goes_on(terminal, root, web, bus):
    """Also where a loss cannot be shown any more."""
    fifo = bus.new_file("fifo")
    os.mkfifo(fifo)
    command = terminal("run", "web", "--", "sh", "-c",
                       f"trap '' HUP; echo ready; read line <{fifo}; exit 6")
    command.wait_shown("ready")
    command.hang_up()
    root.thaw_all(web)
    root.wait_signal("Lost")
    fifo.write_text("end\n")
    assert command.code() == 4
