# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-freeze monitor."""

import json
import re
import signal

import pytest

from harness.client import S


@pytest.fixture
def monitor(begin, root, web):
    """monitor --json, whose first line is about a freeze that is there: then it watches."""
    def monitor(*arguments):
        first = root.freeze(root.domain("db"), hold=600 * S)
        command = begin("monitor", *arguments)
        command.wait_line(first if "--json" in arguments else "freeze 1 held")
        return command
    return monitor


def until(command, **wanted) -> dict:
    """The next event like that."""
    while True:
        event = json.loads(command.line())
        if all(event.get(key) == value for key, value in wanted.items()):
            return event


def test_a_freeze(monitor, root, web):
    command = monitor("--json")
    freeze = root.freeze(web, "vda", reason="nightly", hold=60 * S)
    event = until(command, event="held")
    assert (event["domain"], event["domain_path"], event["path"]) == ("web", web, freeze)
    assert event["freeze"]["reason"] == "nightly" and "nightly" in event["what"]
    assert abs(event["time"] - event["freeze"]["created"]) < 60 * S
    root.renew(freeze, 90 * S)
    until(command, event="renewed", path=freeze)
    root.thaw(freeze)
    until(command, event="freeze-state", domain="web", what="thawed")
    until(command, event="released", path=freeze, what="thawed")


def test_a_loss(monitor, root, web):
    command = monitor("--json")
    freeze = root.freeze(web)
    root.thaw_all(web)
    until(command, event="lost", path=freeze, domain="web", what="thawed-by-other")
    root.close()
    until(command, event="released", path=freeze, what="caller-vanished")


def test_for_people(monitor, root, web):
    command = monitor()
    root.freeze(web, "vda", "vdb", reason="nightly")
    line = command.wait_line("freeze 2")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  web  freeze 2 held: disks vda,vdb, caller, until "
                        r"\d\d:\d\d:\d\d, by root, for: nightly", line)
    root.thaw_all(web)
    assert command.wait_line("freeze 2").endswith("  web  freeze 2 lost: thawed-by-other")


def test_the_service_goes_and_comes(monitor, start, node, service, root, web):
    """That all of its objects go with it is not told one by one."""
    command = monitor("--json")
    service.stop()
    until(command, event="released", what="service-stopping")
    event = json.loads(command.line())
    while event["event"] == "freeze-state":
        event = json.loads(command.line())
    assert (event["event"], event["what"]) == ("service", "gone")
    start(uri=node.uri)
    event = json.loads(command.line())
    while event["event"] != "service":
        assert event["event"] not in ("domain-removed", "domain-added")
        event = json.loads(command.line())
    assert event["what"] == "started"
    root.thaw_all(root.domain("web"))
    # What was known before is not told to be new, either.
    root.freeze(web)
    while event["event"] != "held":
        assert event["event"] != "domain-added"
        event = json.loads(command.line())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(monitor, number):
    command = monitor()
    command.send(number)
    assert command.code() == -number


def test_terminal_closed(terminal, root, web):
    root.freeze(web)
    screen = terminal("monitor")
    screen.wait_shown("freeze 1")
    screen.hang_up()
    assert screen.code() == -signal.SIGHUP


def test_terminal_closed_with_hang_ups_ignored(terminal, root, web):
    """As under nohup: it ends all the same, since nobody can read it."""
    root.freeze(web)
    screen = terminal("monitor", ignore=[signal.SIGHUP])
    screen.wait_shown("freeze 1")
    screen.hang_up()
    assert screen.code() == 1


def test_every_line_comes_at_once_in_a_pipe(monitor, root, web):
    """Not when a buffer is full."""
    command = monitor()
    root.freeze(web)
    command.wait_line("freeze 2 held")
