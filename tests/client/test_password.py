# SPDX-License-Identifier: LGPL-2.1-or-later
"""Passwords: the text agent of polkit, on a terminal. A right one is for the system suite."""

import os
import signal

import pytest

from command import children
from harness.box import MEMBER, NOBODY
from harness.bus import wait_until

PROMPT = "AUTHENTICATING FOR org.virtfreeze1.freeze"


@pytest.fixture
def prompt(terminal, root):
    """A command that asks for a password."""
    def prompt(*words, text=PROMPT):
        screen = terminal(*words, user=NOBODY)
        screen.wait_shown(text)
        screen.wait_password()
        return screen
    return prompt


def test_it_asks_and_a_wrong_password_is_refused(prompt, root, web):
    screen = prompt("run", "web", "--", "echo", "ran")
    assert "freeze the filesystems of virtual machine web" in screen.shown
    screen.type("wrong\n")
    result = screen.finish()
    assert result.code == 3
    assert "Not authorized" in result.out and "ran" not in result.out.splitlines()
    assert root.freezes() == []


def test_interrupted_at_the_prompt(prompt, root, web):
    screen = prompt("run", "web", "--", "echo", "ran")
    screen.type("\x03")
    assert screen.finish().code == -signal.SIGINT
    assert root.freezes() == []


@pytest.mark.parametrize("words, action", [
    (["freeze", "web", "--hold", "3s"], "freeze"), (["thaw", "--force", "web"], "thaw-others"),
    (["status", "web"], "inspect")])
def test_every_command_asks(prompt, words, action):
    prompt(*words, text=f"AUTHENTICATING FOR org.virtfreeze1.{action}")


def test_the_agent_ends_with_us(terminal, root):
    """Even where the terminal goes on, and we had no time for it."""
    screen = terminal("run", "web", "--", "true", user=NOBODY,
                      prefix=["sh", "-c", '"$@"; echo over; read line', "sh"])
    screen.wait_password()
    virt_freeze = children(screen.pid)["virt-freeze"]
    agent = children(virt_freeze)["pkttyagent"]
    os.kill(virt_freeze, signal.SIGKILL)
    screen.wait_shown("over")
    wait_until(lambda: not os.path.exists(f"/proc/{agent}"), "end of the agent")


def test_it_asks_with_other_standard_streams(terminal, root):
    """A terminal is what counts, not what the command reads and writes."""
    reader, writer = os.pipe()
    with open("/dev/null") as null:
        screen = terminal("run", "web", "--", "echo", "ran", user=NOBODY, stdin=null,
                          stdout=writer)
    os.close(writer)
    screen.wait_password()
    screen.type("wrong\n")
    assert screen.finish().code == 3
    with open(reader) as out:
        assert out.read() == ""


@pytest.mark.parametrize("words", [["run", "web", "--", "echo", "ran"],
                                   ["freeze", "web", "--hold", "3s"]], ids=" ".join)
def test_not_asked_without_leave(terminal, words):
    result = terminal("--no-ask-password", *words, user=NOBODY).finish()
    assert result.code == 3
    assert "AUTHENTICATING" not in result.out
    assert "password is needed" in result.out


def test_not_asked_without_a_terminal(run, web):
    result = run("run", "web", "--", "echo", "ran", user=NOBODY, start_new_session=True,
                 process_group=None)
    assert (result.code, result.out) == (3, "")
    assert "Not authorized" in result.error and "AUTHENTICATING" not in result.error


def test_no_agent_where_none_is_needed(terminal, root):
    """Nor beside the command."""
    screen = terminal("run", "web", "--", "sh", "-c", "echo ready; read line", user=MEMBER)
    screen.wait_shown("ready")
    assert list(children(screen.pid)) == ["sh"]
    screen.type("\n")
    assert screen.finish().code == 0


def test_a_second_denial_is_not_asked_for(terminal, root, connect, web):
    """Whoever fails once is not asked for each freeze."""
    root.freeze(web)
    root.freeze(web)
    screen = terminal("thaw", "--all", user=MEMBER)
    screen.wait_password()
    screen.type("wrong\n")
    result = screen.finish()
    assert result.code == 3
    assert result.out.count("AUTHENTICATING") == 1
    assert len(root.freezes()) == 2
