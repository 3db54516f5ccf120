# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-freeze freeze and thaw."""

import json
import os

import pytest

from harness.box import MEMBER, NOBODY, OTHER
from harness.client import S


@pytest.fixture
def freeze(run):
    """Makes a lease: its path."""
    def freeze(*arguments, **settings):
        result = run("freeze", *arguments, "--hold", "50s", **settings)
        assert (result.code, result.error) == (0, "")
        return result.out.removesuffix("\n")
    return freeze


def test_a_lease_stays(run, root, web, freeze):
    path = freeze("web", "--disk", "vda", "--reason", "nightly")
    properties = root.properties(path)
    assert path in root.freezes()
    assert (properties["Lifetime"], properties["Disks"], properties["Reason"],
            properties["State"]) == ("lease", ["vda"], "nightly", "held")
    root.wait_property(path, "Owner", "")
    assert run("thaw", path) == (0, "", "")
    assert root.get(web, "FreezeState") == "thawed"


def test_json(run, root, web):
    [freeze] = json.loads(run("freeze", "web", "--hold", "20s", "--json").out)
    assert freeze["path"] in root.freezes()
    assert freeze["deadline"] - freeze["created"] <= 20 * S


def test_thaw_by_number(run, root, web, freeze):
    path = freeze("web")
    assert run("thaw", path.rpartition("/")[2]) == (0, "", "")
    assert root.freezes() == []


def test_thaw_of_several(run, root, web, freeze):
    paths = [freeze("web"), freeze("db")]
    assert run("thaw", *paths) == (0, "", "")
    assert root.freezes() == []


def test_thaw_of_what_is_lost(run, root, web, freeze):
    path, other = freeze("web"), freeze("db")
    root.thaw_all(web)
    result = run("thaw", path, other)
    assert (result.code, result.out) == (4, "")
    assert path in result.error and other not in result.error
    assert root.freezes() == []


@pytest.mark.parametrize("word", ["/", "x", "99", "/org/virtfreeze1/domain/_x/freeze/1", "",
                                  "/org/freedesktop/DBus", "-1"])
def test_thaw_of_what_is_not_there(run, web, word):
    result = run("thaw", "--", word)
    assert (result.code, result.out) == (1, "")
    assert word in result.error and result.error.count("\n") == 1


def test_thaw_of_one_that_is_gone(run, root, web, freeze):
    path = freeze("web")
    assert run("thaw", path).code == 0
    result = run("thaw", path)
    assert result.code == 1
    assert "There is no such freeze, or no more" in result.error


def test_the_same_user_thaws_anybody_else_does_not(run, root, web, freeze):
    path = freeze("web", user=MEMBER)
    result = run("thaw", path, user=NOBODY)
    assert result.code == 3
    assert path in root.freezes()
    assert run("thaw", path, user=MEMBER) == (0, "", "")


def test_thaw_domain(run, root, web, freeze):
    paths = [freeze("web"), freeze("web", "--disk", "vda")]
    other = freeze("db")
    assert run("thaw", "--domain", "web") == (0, "".join(f"{path}\n" for path in paths), "")
    assert root.freezes() == [other]
    assert run("thaw", "--domain", "web") == (0, "", "")
    assert run("thaw", "--domain", "nix").code == 1


def test_thaw_all_of_root(run, root, web, freeze):
    """To whom polkit allows everything. Own ones come first."""
    others = freeze("web", user=MEMBER)
    own = freeze("db")
    assert run("thaw", "--all") == (0, f"{own}\n{others}\n", "")
    # What another user has lost is his to take note of.
    assert root.freezes() == [others]
    assert root.get(others, "State") == "lost"


def test_thaw_all_says_what_was_denied(run, root, connect, web, freeze):
    roots = freeze("web")
    own = freeze("web", user=MEMBER)
    connected = connect(MEMBER).freeze(root.domain("db"))   # another program's of the same user
    result = run("thaw", "--all", user=MEMBER)
    assert (result.code, result.out) == (3, f"{own}\n")
    assert roots in result.error and connected in result.error
    assert "somebody else made" in result.error
    assert root.freezes() == [roots, connected]


def test_thaw_all_takes_note_of_own_losses_alone(run, root, connect, web, freeze):
    lost = freeze("web", user=MEMBER)
    others = freeze("web", user=MEMBER)
    root.thaw_all(web)
    assert run("thaw", "--all", user=OTHER) == (0, "", "")
    assert root.freezes() == [lost, others]
    result = run("thaw", "--all", user=MEMBER)
    assert (result.code, result.out) == (4, "")
    assert lost in result.error and others in result.error
    assert root.freezes() == []


def test_force(run, root, web, freeze):
    path = freeze("web")
    result = run("thaw", "--force", "web", user=MEMBER)
    assert result.code == 3 and "Not authorized" in result.error
    assert root.get(web, "FreezeState") == "frozen"
    assert run("thaw", "--force", "web") == (0, "", "")
    assert root.get(path, "State") == "lost"
    assert run("thaw", "--force", "off").code == 1


def test_denied(run, root):
    result = run("--no-ask-password", "freeze", "web", "--hold", "3s", user=NOBODY)
    assert (result.code, result.out) == (3, "")
    assert "password is needed" in result.error


def test_a_path_that_cannot_be_printed(begin, root, web):
    """Nobody could thaw it: it is thawed at once."""
    reader, writer = os.pipe()
    os.close(reader)
    command = begin("freeze", "web", "--hold", "50s", stdout=writer)
    os.close(writer)
    assert command.code() == 1
    assert "thawed again" in command.error
    assert root.get(web, "FreezeState") == "thawed"
    assert root.wait_signal("Released").body == ("thawed",)


def test_a_closed_standard_output(begin, root, web):
    command = begin("freeze", "web", "--hold", "50s", stdout=None,
                    preexec_fn=lambda: os.close(1))
    assert command.code() == 1
    assert root.get(web, "FreezeState") == "thawed"
