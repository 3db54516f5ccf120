# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers that the real service gives of real guests alone, or never: strangers' strings, thaws
that fail, freezes that outlive the service."""

import json
import re

import pytest
from gi.repository import GLib

from command import CHILD, Command, Terminal, children
from fakeservice import DOMAIN, FREEZE, NAME, FakeService, domain, freeze
from harness.bus import Bus, wait_until

EVIL = "\U000e0001a\x1b]0;owned\x07\n\x9b31m\u202eb\ttab"
SHOWN = r"\xf3\xa0\x80\x81a\x1b]0;owned\x07\x0a\xc2\x9b31m\xe2\x80\xaeb\x09tab"
FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def bus():
    bus = Bus(session=True)
    yield bus
    bus.close()


@pytest.fixture
def serve(bus):
    services = []

    def serve(*arguments, **answers):
        services.append(FakeService(bus.path, *arguments, **answers))
        return services[-1]

    serve.end = lambda: services.pop().close()
    yield serve
    for service in services:
        service.close()


@pytest.fixture
def evil(serve):
    return serve({DOMAIN: domain(Name=("s", EVIL), State=("s", EVIL), Disks=("as", [EVIL]),
                                 UUID=("s", "1")),
                  FREEZE: freeze(Reason=("s", EVIL), Disks=("as", [EVIL]), Owner=("s", ":1.1"))},
                 GetFilesystems=("(a(sssasa{sv}))", ([(EVIL, EVIL, EVIL, [EVIL], {})],)))


@pytest.mark.parametrize("words", [["list"], ["status", "x"]], ids=" ".join)
def test_strings_of_strangers(bus, evil, words):
    with Command(bus, *words) as command:
        result = command.finish()
    assert result.code == 0 and SHOWN in result.out
    assert not FORBIDDEN.search(result.out) and "\x1b" not in result.out
    with Terminal(bus, *words, columns=300) as terminal:
        result = terminal.finish()
    assert result.code == 0 and SHOWN in result.out
    assert not FORBIDDEN.search(re.sub(r"\x1b\[\d*m", "", result.out))
    # A script gets what it was, in JSON's own way.
    with Command(bus, *words, "--json") as command:
        out = command.finish().out
    assert not FORBIDDEN.search(out)
    name = json.loads(out)["name"] if words[0] == "status" else json.loads(out)[0]["name"]
    assert name == EVIL


def test_strings_of_strangers_in_events(bus, evil):
    with Command(bus, "monitor") as command:
        line = command.line()
        assert SHOWN in line and not FORBIDDEN.search(line)
        evil.emit(FREEZE, f"{NAME}.Freeze", "Lost", GLib.Variant("(s)", (EVIL,)))
        line = command.line()
        assert line.endswith(f"lost: {SHOWN}") and SHOWN in line.split("  ")[1]


def test_strings_of_strangers_in_messages(bus, serve):
    serve(FreezeWithOptions=f"{NAME}.Error.AgentFailed")
    with Command(bus, "run", "web", "--", "true") as command:
        assert command.finish() == (1, "", "virt-freeze: FreezeWithOptions \\x1b[31m\n")


@pytest.mark.parametrize("error, code", [
    ("AgentFailed", 1), ("AgentUnavailable", 1), ("NotRunning", 1), ("Timeout", 1),
    ("Disconnected", 1), ("ConsistencyLost", 4)])
def test_a_thaw_that_fails(bus, serve, error, code):
    """Nobody has confirmed the freeze: that is no success. What the command says goes before."""
    serve(Thaw=f"{NAME}.Error.{error}")
    with Command(bus, "run", "web", "--", "true") as command:
        result = command.finish()
    assert result.code == code and "“web”" in result.error
    if code == 1:
        assert "keeps trying" in result.error
    with Command(bus, "run", "web", "--", "false") as command:
        assert command.finish().code == code
    with Command(bus, "run", "web", "--", "sh", "-c", "exit 9") as command:
        assert command.finish().code == (9 if code == 1 else 4)


def test_a_freeze_that_outlives_the_service(bus, serve):
    """It is told when the service goes and comes, and thawed in the end."""
    serve()
    with Command(bus, "run", "web", "--", *CHILD) as command:
        assert command.line() == "ready"
        serve.end()
        command.wait_error("service is gone; the freeze of “web” holds if it comes back")
        again = serve({DOMAIN: domain(), FREEZE: freeze()})
        command.wait_error("service is back; the freeze of “web” holds")
        result = command.finish()
    assert result.code == 0 and "discard" not in result.error
    assert again.calls.count("Thaw") == 1


def test_a_service_that_comes_back_for_the_thaw(bus, serve):
    serve()
    with Command(bus, "run", "web", "--", "sh", "-c", "echo ready; cat; echo done") as command:
        assert command.line() == "ready"
        serve.end()
        command.wait_error("service is gone")
        command.popen.stdin.close()
        command.popen.stdin = None
        assert command.line() == "done"
        again = serve({DOMAIN: domain(), FREEZE: freeze()})
        assert command.code() == 0
    assert again.calls.count("Thaw") == 1 and "discard" not in command.error


def test_interrupted_while_it_waits_for_the_service(bus, serve):
    """The command has ended: the signal is ours."""
    serve()
    with Command(bus, "run", "web", "--", "sh", "-c", "echo ready; cat; echo done") as command:
        assert command.line() == "ready"
        serve.end()
        command.wait_error("service is gone")
        command.popen.stdin.close()
        command.popen.stdin = None
        assert command.line() == "done"
        # As long as it has not noticed, signals are the command's.
        wait_until(lambda: not children(command.pid), "end of the command")
        command.send(15)
        assert command.code() == -15


def test_a_loss_while_the_service_was_away(bus, serve):
    serve()
    with Command(bus, "run", "web", "--", *CHILD) as command:
        assert command.line() == "ready"
        serve.end()
        command.wait_error("service is gone")
        serve({DOMAIN: domain(), FREEZE: freeze(State=("s", "lost"))},
              Thaw=f"{NAME}.Error.ConsistencyLost")
        command.wait_error("discard")
        result = command.finish()
    assert result.code == 4 and result.error.count("discard") == 1


def test_a_loss_before_it_is_looked_at(bus, serve):
    """Between the answer of Freeze and the first look there is a moment."""
    service = serve({DOMAIN: domain(), FREEZE: freeze(State=("s", "lost"))},
                    Thaw=f"{NAME}.Error.ConsistencyLost")
    with Command(bus, "run", "web", "--", *CHILD) as command:
        assert command.line() == "ready"
        command.wait_error("did not hold")
        assert command.finish().code == 4
    assert service.calls.count("Thaw") == 1


def test_a_domain_that_goes_while_it_is_watched(bus, serve):
    service = serve()
    with Command(bus, "status", "web", "--watch") as command:
        command.wait_line("Nobody holds a freeze")
        service.emit("/org/virtfreeze1", "org.freedesktop.DBus.ObjectManager",
                     "InterfacesRemoved", GLib.Variant("(oas)", (DOMAIN, [f"{NAME}.Domain"])))
        command.wait_line("This domain is gone, or the service is.")


def test_words_that_are_not_known_yet(bus, serve):
    """Of a later service."""
    service = serve({DOMAIN: domain(State=("s", "dreaming"), FreezeState=("s", "freezing")),
                     FREEZE: freeze(State=("s", "thinking"))})
    with Command(bus, "list") as command:
        assert "dreaming" in command.finish().out
    with Command(bus, "run", "web", "--", *CHILD) as command:
        assert command.line() == "ready"
        service.emit(FREEZE, f"{NAME}.Freeze", "Lost", GLib.Variant("(s)", ("moonlight",)))
        command.wait_error("moonlight")
        assert command.finish().code == 4
