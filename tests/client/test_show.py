# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-freeze list and status: what is shown, to people and to scripts."""

import json
import re
import unicodedata

import pytest

from harness.box import NOBODY
from harness.client import S
from harness.node import SHUTOFF, Domain, Node

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

# Names that a terminal must not get, that are wider than they are long, and that are long.
ODD = ["-dash", "two words", "日本語サーバー", "e\u0301toile", "x" * 200, "semi;$(colon)"]


def columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF"
               else 1 for c in text)


def shown(text: str) -> list[str]:
    return ESCAPE.sub("", text).splitlines()


@pytest.fixture
def odd(start, bus):
    return start(uri=Node(bus.new_file("odd.xml"), *map(Domain, ODD),
                          Domain("off", state=SHUTOFF, disks=tuple(
                              f"vd{letter}" for letter in "abcdefghijkl"))).uri)


@pytest.fixture
def service(request, start, node):
    """Tests that start one of their own do not get another."""
    return None if "odd" in request.fixturenames else start(uri=node.uri)


# list

def test_list(run, root, web):
    assert run("list").out.splitlines() == [
        "DOMAIN  STATE    AGENT  DISKS    FROZEN SINCE  FREEZES  LEFT",
        "db      running  yes    vda      -                   -     -",
        "off     shutoff  no     vda      -                   -     -",
        "web     running  yes    vda,vdb  -                   -     -"]


def test_list_of_what_is_frozen(run, root, web):
    root.freeze(web, "vda", hold=60 * S)
    root.freeze(web, hold=100 * S)
    line = run("list").out.splitlines()[3]
    assert re.fullmatch(r"web     running  yes    vda,vdb  \d\d:\d\d:\d\d            2  "
                        r"1 min 3\d s", line)
    # All columns are right below their titles.
    title, *rows = run("list").out.splitlines()
    assert len({len(row) for row in [title, *rows]}) == 1


def test_list_json(run, root, web):
    freeze = root.freeze(web, "vda", reason="a \"b\" ☃", lifetime="lease")
    domains = json.loads(run("list", "--json").out)
    assert [domain["name"] for domain in domains] == ["db", "off", "web"]
    expected = root.properties(web)
    assert domains[2] | {"freezes": None} == {
        "name": "web", "uuid": expected["UUID"], "path": web, "state": "running",
        "agent_connected": True, "disks": ["vda", "vdb"], "engine": "test",
        "default_hold": 60 * S, "max_hold": 600 * S, "freeze_state": "frozen",
        "frozen_since": expected["FrozenSince"], "freezes": None}
    properties = root.properties(freeze)
    assert domains[2]["freezes"] == [{
        "path": freeze, "state": "held", "disks": ["vda"], "filesystems_frozen": 2,
        "filesystems_skipped": 0, "owner": root.name, "owner_uid": 0, "reason": "a \"b\" ☃",
        "lifetime": "lease", "scope": "disks", "engine": "test",
        "created": properties["Created"], "deadline": properties["Deadline"]}]
    assert domains[0]["freezes"] == []


def test_everybody_may_list(run, web):
    assert run("list", user=NOBODY).code == 0


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_list_fits_the_terminal(odd, terminal, width):
    result = terminal("list", columns=width).finish()
    assert result.code == 0
    lines = shown(result.out)
    assert len(lines) == 1 + len(ODD) + 1
    assert len({columns(line) for line in lines}) == 1
    if width >= 60:
        assert columns(lines[0]) <= width
    assert ("…" in result.out)
    if width == 80:
        assert "日本語サーバー" in result.out


def test_nothing_is_cut_but_on_a_terminal(odd, run):
    lines = run("list").out.splitlines()
    assert len({columns(line) for line in lines}) == 1
    assert "x" * 200 in lines[-1] or any("x" * 200 in line for line in lines)
    assert "vda,vdb,vdc,vdd,vde,vdf,vdg,vdh,vdi,vdj,vdk,vdl" in "".join(lines)


@pytest.mark.parametrize("name", ODD)
def test_odd_names(odd, run, name):
    dashes = ["--"] if name.startswith("-") else []
    assert json.loads(run("--json", "status", *dashes, name).out)["name"] == name
    assert run("run", *dashes, name, "--", "true") == (0, "", "")
    assert run("run", f"--domain={name}", "true") == (0, "", "")
    path = run("freeze", f"--domain={name}", "--hold", "10s").out.strip()
    assert run("thaw", f"--domain={name}") == (0, path + "\n", "")


def test_nothing_escapes_to_the_terminal(terminal, run, bus, web):
    """Not even from names that are typed, in messages; nor from the answers of a service."""
    result = run("status", "a\x1b]0;b\x07\u202e")
    assert result.code == 1
    assert r"a\x1b]0;b\x07\xe2\x80\xae" in result.error


def test_colours(terminal, run, root, web):
    root.freeze(web)
    assert "\x1b[32m" in terminal("list").finish().out
    assert "\x1b[32mheld" in terminal("status", "web").finish().out
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
        assert "\x1b" not in terminal("list", env=environment).finish().out
    assert "\x1b[32m" in terminal("list", env={"NO_COLOR": ""}).finish().out
    assert "\x1b" not in run("list", env={"TERM": "xterm"}).out
    assert "\x1b" not in terminal("list", "--json").finish().out


def test_no_domains(start, bus, run, request):
    request.getfixturevalue("service").stop()
    start(uri=Node(bus.new_file("empty.xml")).uri)
    assert run("list") == (0, "There are no domains.\n", "")
    assert run("list", "--json").out == "[\n]\n" or run("list", "--json").out == "[]\n"


# status

def test_status(run, root, web):
    root.freeze(web, "vda", reason="nightly", hold=60 * S)
    root.freeze(web, hold=90 * S, lifetime="lease")
    uuid = root.get(web, "UUID")
    out = re.sub(r"\d\d:\d\d:\d\d", "TIME", run("status", "web").out)
    assert re.sub(r"\d+ s\b", "N s", out).splitlines() == [
        f"web  {uuid}",
        "running, agent connected, engine test",
        "frozen since TIME (N s)",
        "",
        "DISK  MOUNTPOINT  DEVICE  TYPE  STATE",
        "vda   /           vda1    ext4  frozen",
        "vda   /boot       vda2    ext4  frozen",
        "",
        "FREEZE  STATE  SINCE           LEFT  OWNER         DISKS  REASON",
        f"     1  held   TIME        N s  root {root.name:7}  vda    nightly",
        "     2  held   TIME  1 min N s  root (lease)  all    -"]


def test_status_of_what_is_thawed(run, web):
    lines = run("status", "web").out.splitlines()
    assert "thawed" in lines
    assert "vda   /           vda1    ext4  thawed" in lines
    assert "Nobody holds a freeze." in lines


def test_status_by_uuid(run, root, web):
    uuid = root.get(web, "UUID")
    assert run("status", uuid).out.startswith(f"web  {uuid}")


def test_status_of_what_does_not_run(run, web):
    result = run("status", "off")
    assert result.code == 0
    assert "shutoff, agent not connected" in result.out
    assert "The filesystems cannot be shown: " in result.out


def test_status_without_authorization(run, root, web):
    """Who holds what everybody may see."""
    root.freeze(web, reason="nightly")
    result = run("--no-ask-password", "status", "web", user=NOBODY)
    assert result.code == 0
    assert "The filesystems are shown with authorization only" in result.out
    assert "/boot" not in result.out and "nightly" in result.out
    status = json.loads(run("--no-ask-password", "--json", "status", "web", user=NOBODY).out)
    assert status["filesystems"] is None and "authorization" in status["filesystems_problem"]
    assert status["freezes"][0]["reason"] == "nightly"


def test_status_json(run, root, web):
    root.freeze(web)
    status = json.loads(run("status", "web", "--json").out)
    assert status["filesystems"] == [
        {"mountpoint": "/", "device": "vda1", "type": "ext4", "disks": ["vda"], "frozen": True,
         "freezable": True},
        {"mountpoint": "/boot", "device": "vda2", "type": "ext4", "disks": ["vda"],
         "frozen": True, "freezable": True}]
    assert status["filesystems_problem"] is None
    assert [freeze["state"] for freeze in status["freezes"]] == ["held"]


def test_status_of_a_lost_freeze(run, root, web):
    root.freeze(web)
    root.thaw_all(web)
    out = run("status", "web").out
    assert re.search(r"1  lost   \S+     -  root", out)


def test_status_fits_the_terminal(terminal, root, web):
    root.freeze(web, "vda", "vdb", reason="ö" * 128)
    lines = shown(terminal("status", "web").finish().out)
    assert max(map(columns, lines)) == 80
    assert any("ö…" in line for line in lines)


# --watch

def test_list_watch_on_a_terminal(terminal, root, web):
    screen = terminal("list", "--watch")
    place = screen.wait_shown("web")
    freeze = root.freeze(web, hold=100 * S)
    place = screen.wait_shown("1 min 3", place)
    # The time left goes on by itself.
    first = re.findall(r"1 min (\d+) s", screen.shown)[-1]
    while re.findall(r"1 min (\d+) s", screen.shown)[-1] == first:
        place = screen.wait_shown("\x1b[H", place)
    root.thaw(freeze)
    # It returns to the first line rather than scroll.
    while " 1  1 min" in screen.shown[place:]:
        place = screen.wait_shown("\x1b[H", place)
    screen.type("\x03")
    result = screen.finish()
    assert result.code == -2
    # Nothing of an earlier page stays beside a shorter line, or below.
    assert "\x1b[K" in result.out and "\x1b[J" in result.out


def test_watch_shows_what_the_screen_has_room_for(odd, terminal):
    screen = terminal("list", "--watch", rows=4)
    end = screen.wait_shown("\x1b[J", screen.wait_shown("DOMAIN"))
    assert screen.shown[:end].count("\n") == 3
    screen.close()


def test_list_watch_into_a_pipe(begin, root, web):
    """A page for each change, an empty line between them; no page for the time that goes by."""
    command = begin("list", "--watch")
    command.wait_line("web")
    root.freeze(web)
    while command.wait_line("web").split()[5] != "1":
        pass
    root.thaw_all(web)
    command.wait_line("web     running  yes    vda,vdb  -")
    command.send(15)
    assert command.code() == -15


def test_list_watch_json(begin, root, web):
    command = begin("list", "--watch", "--json")
    assert [domain["freezes"] for domain in json.loads(command.line())] == [[], [], []]
    freeze = root.freeze(web)
    while not (freezes := json.loads(command.line())[2]["freezes"]):
        pass
    assert freezes[0]["path"] == freeze


def test_status_watch(begin, root, web):
    command = begin("status", "web", "--watch", "--json")
    status = json.loads(command.line())
    assert [fs["frozen"] for fs in status["filesystems"]] == [False, False]
    root.freeze(web, reason="now")
    while not all(fs["frozen"] for fs in status["filesystems"]) or not status["freezes"]:
        status = json.loads(command.line())
    assert status["freezes"][0]["reason"] == "now"
    root.thaw_all(web)
    while any(fs["frozen"] for fs in status["filesystems"]):
        status = json.loads(command.line())


def test_watch_sees_the_service_go_and_come(begin, start, node, web, request):
    service = request.getfixturevalue("service")
    command = begin("list", "--watch")
    command.wait_line("web")
    service.stop()
    command.wait_line("The virtfreeze service does not run now.")
    start(uri=node.uri)
    command.wait_line("web")
