# SPDX-License-Identifier: LGPL-2.1-or-later
"""Engine exec on a real guest: filesystems by themselves, by the guest's own word."""

import pytest

pytest.register_assert_rewrite("fsfreeze")
from fsfreeze import CONFIG, goes_on, guards, guest, move_mount, still, wait_guards
from harness.client import fails
from harness.guest import SMALL, Volume
from service import Standstill, assert_thawed


# The three sequences

def test_interleaved(guest, connect, domain):
    """Freeze A → 1, freeze B → 2; thaw 1 thaws A and B stands still."""
    one, two = connect(), connect()
    first = one.freeze(domain, "vdx")
    assert (one.get(first, "Engine"), one.get(first, "Scope")) == ("exec", "disks")
    assert (one.get(first, "FilesystemsFrozen"), one.get(first, "FilesystemsSkipped")) == (1, 0)
    a = still(guest, "a")
    goes_on(guest, "b", "span")
    second = two.freeze(domain, "vdy")
    b = still(guest, "b")
    goes_on(guest, "span")
    a.check()
    one.thaw(first)
    goes_on(guest, "a")
    b.check()
    two.thaw(second)
    assert_thawed(guest)
    wait_guards(guest, 0)


def test_nested(guest, connect, domain):
    one, two = connect(), connect()
    first = one.freeze(domain, "vdx")
    a = still(guest, "a")
    second = two.freeze(domain, "vdy")
    still(guest, "b")
    two.thaw(second)
    goes_on(guest, "b")
    a.check()
    one.thaw(first)
    assert_thawed(guest)


def test_overlapping(guest, connect, domain):
    """A and B → 1, A → 2; thaw 1 thaws B, thaw 2 thaws A."""
    one, two = connect(), connect()
    first = one.freeze(domain, "vdx", "vdy")
    a = still(guest, "a")
    still(guest, "b")
    second = two.freeze(domain, "vdx")
    one.thaw(first)
    goes_on(guest, "b")
    a.check()
    assert two.get(second, "State") == "held"
    two.thaw(second)
    assert_thawed(guest)
    wait_guards(guest, 0)


def test_a_filesystem_over_two_disks(guest, connect, domain):
    one, two = connect(), connect()
    first, second = one.freeze(domain, "vdz"), two.freeze(domain, "vdaa", "vdx")
    span = still(guest, "span")
    one.thaw(first)
    span.check()
    two.thaw(second)
    assert_thawed(guest)


# What the guest cannot do

def test_guest_exec_is_disabled(guest, root, domain):
    guest.kill_agent()
    guest.start_agent("--block-rpcs=guest-exec")
    root.wait_property(domain, "AgentConnected", True)
    with fails("AgentFailed", match="block-rpcs.*qemu-ga.conf"):
        root.freeze(domain, "vdx")
    assert_thawed(guest)
    guest.kill_agent()
    guest.start_agent()
    root.wait_property(domain, "AgentConnected", True)
    root.thaw(root.freeze(domain, "vdx"))


@pytest.fixture
def fsfreeze(guest):
    """Its path in the guest; afterwards it is what it was."""
    path = guest.check("command -v fsfreeze").strip()
    guest.check(f"cp -p {path} /run/fsfreeze")
    yield path
    guest.check(f"mv /run/fsfreeze {path}.new && mv {path}.new {path}")


def test_fsfreeze_is_missing(guest, root, domain, fsfreeze):
    guest.check(f"rm {fsfreeze}")
    with fails("AgentFailed", match="fsfreeze.*util-linux"):
        root.freeze(domain, "vdx")
    guest.check(f"cp -p /run/fsfreeze {fsfreeze}")
    assert root.get(domain, "FreezeState") == "thawed"
    assert_thawed(guest)
    wait_guards(guest, 0)


def test_the_agent_hangs_in_the_middle(guest, root, domain, fsfreeze):
    """It is frozen, and nobody knows: that is no refusal, and is undone."""
    guest.check("cat >/run/wrapper <<'END'\n#!/bin/sh\n[ $1 = -u ] || [ -e /run/stopped ] || "
                "{ >/run/stopped; kill -STOP $(cat /run/agent.pid); }\n"
                f"exec /run/fsfreeze \"$@\"\nEND\nchmod 755 /run/wrapper; rm -f {fsfreeze} "
                f"/run/stopped; cp /run/wrapper {fsfreeze}")
    with fails("AgentUnavailable", "Timeout"):   # its undo hangs, too
        root.begin_freeze(domain, "vdx").result(40)
    assert root.get(domain, "FreezeState") == "in-doubt"
    still(guest, "a")
    goes_on(guest, "b")
    guest.cont_agent()
    goes_on(guest, "a")
    root.wait_property(domain, "FreezeState", "thawed", timeout=30)
    assert root.freezes(domain) == []
    wait_guards(guest, 0)


def test_a_filesystem_that_cannot_freeze_is_skipped(guest, root, domain):
    with fails("NothingToFreeze"):
        root.freeze(domain, "vdab")
    freeze = root.freeze(domain, "vdab", "vdx")
    assert (root.get(freeze, "FilesystemsFrozen"), root.get(freeze, "FilesystemsSkipped")) == (1, 1)
    assert root.frozen(domain) == {"/mnt/a", "/mnt/a-bind"}
    still(guest, "a")
    wait_guards(guest, 1)
    root.thaw(freeze)
    assert_thawed(guest)


# Others in the guest

@pytest.mark.parametrize("name", ["a", "b"])
def test_frozen_by_somebody_else(guest, root, domain, name):
    """That one stays so; what was asked for along with it does not."""
    guest.check(f"fsfreeze -f /mnt/{name}")
    try:
        theirs = still(guest, name)
        with fails("FrozenElsewhere", match="guest"):
            root.freeze(domain, "vdx", "vdy")
        goes_on(guest, "a" if name == "b" else "b")
        theirs.check()
        assert root.get(domain, "FreezeState") == "thawed"
        root.thaw(root.freeze(domain, "vdz"))   # the rest is nobody's
        theirs.check()
    finally:
        guest.check(f"fsfreeze -u /mnt/{name}")
    root.thaw(root.freeze(domain, "vdx", "vdy"))
    assert_thawed(guest)


def test_thawed_by_somebody_else(guest, root, connect, domain):
    """Whoever holds that filesystem is told, and nobody else; it is not frozen again."""
    other = connect()
    lost, wide, kept = (root.freeze(domain, "vdx"), root.freeze(domain, "vdx", "vdz"),
                        other.freeze(domain, "vdy"))
    b = still(guest, "b")
    still(guest, "a", "span")
    guest.check("fsfreeze -u /mnt/a")
    assert root.wait_signal("Lost", lost).body == ("thawed-outside",)
    assert root.wait_signal("Lost", wide).body == ("thawed-outside",)
    goes_on(guest, "a", "span")
    b.check()
    with fails("ConsistencyLost"):
        root.thaw(lost)
    with fails("ConsistencyLost"):
        root.thaw(wide)
    assert other.get(kept, "State") == "held"
    b.check()
    other.thaw(kept)
    assert_thawed(guest)


@pytest.mark.config(CONFIG.replace("500ms", "1h"))
def test_a_thaw_finds_what_no_verification_has_seen(guest, root, connect, domain):
    freeze = root.freeze(domain, "vdx")
    guest.check("fsfreeze -u /mnt/a")
    with fails("ConsistencyLost"):
        root.thaw(freeze)
    # Where another holds it, the Thaw verifies.
    freeze, second = root.freeze(domain, "vdx"), root.freeze(domain, "vdx")
    guest.check("fsfreeze -u /mnt/a")
    with fails("ConsistencyLost"):
        root.thaw(freeze)
    with fails("ConsistencyLost"):
        root.thaw(second)
    assert_thawed(guest)


def test_verification_leaves_others_alone(guest, root, domain, fsfreeze):
    """While A is held fsfreeze is run for nothing else."""
    held = root.freeze(domain, "vdx")
    a = still(guest, "a")
    guest.check("cat >/run/wrapper <<'END'\n#!/bin/sh\necho \"$*\" >>/run/fsfreeze.log\n"
                f"exec /run/fsfreeze \"$@\"\nEND\nchmod 755 /run/wrapper; rm {fsfreeze}; "
                f"cp /run/wrapper {fsfreeze}; rm -f /run/fsfreeze.log")
    for _ in range(3):
        goes_on(guest, "b", "span")
    while len(lines := guest.sh("cat /run/fsfreeze.log")[1].splitlines()) < 4:
        goes_on(guest, "b", "span")
    assert set(lines) == {"-f -- /mnt/a"}
    a.check()
    root.thaw(held)
    assert_thawed(guest)


# Where it is mounted

ODD = {
    "spaces": "/mnt/ two  words ",
    "quotes": "/mnt/it's \"quoted\"",
    "newline": "/mnt/one\ntwo\n",
    "dash": "/mnt/-rf",
    "commands": "/mnt/$(touch /run/pwned)`touch /run/pwned`;touch /run/pwned",
    "backslash": "/mnt/a\\040b\\",
    "glob": "/mnt/*?[a]",
    "unicode": "/mnt/ünï ❄",
}


@pytest.fixture
def moved(guest, request):
    move_mount(guest, "/mnt/b", request.param)
    yield request.param
    move_mount(guest, request.param, "/mnt/b")


@pytest.mark.parametrize("moved", ODD.values(), indirect=True, ids=ODD)
def test_odd_mountpoints(guest, root, domain, moved):
    freeze = root.freeze(domain, "vdy")
    assert root.get(freeze, "Engine") == "exec"
    b = still(guest, "b")
    goes_on(guest, "a", "span")
    wait_guards(guest, 1)
    again = root.freeze(domain, "vdy")
    root.thaw(again)                       # which verifies
    b.check()
    root.thaw(freeze)
    assert_thawed(guest)
    assert guest.sh("ls /run/pwned")[0] != 0


# What the agent itself needs

def test_everything_is_frozen_by_the_agent(guest, root, domain):
    freeze = root.freeze(domain)
    assert (root.get(freeze, "Engine"), root.get(freeze, "Scope")) == ("agent", "disks")
    frozen = Standstill(guest)
    assert guards(guest) == 0
    root.thaw(root.freeze(domain, "vdx"))   # it only counts
    frozen.check()
    root.thaw(freeze)
    assert_thawed(guest)


@pytest.mark.parametrize(("moved", "engine"), [("/var/lib/data", "agent"), ("/variety", "exec")],
                         indirect=["moved"])
def test_below_var(guest, root, domain, moved, engine):
    freeze = root.freeze(domain, "vdy")
    assert root.get(freeze, "Engine") == engine
    Standstill(guest, ("b",), agent=engine == "agent")
    root.thaw(freeze)
    assert_thawed(guest)


def test_a_guest_with_a_root_filesystem(new_guest, root):
    guest = new_guest("rooted", (Volume("root", ("vdq",), "ext4"), *SMALL)).start()
    domain = root.domain(guest.name)
    root.wait_property(domain, "AgentConnected", True)

    freeze = root.freeze(domain, "vdq")
    assert (root.get(freeze, "Engine"), root.get(freeze, "Scope")) == ("agent", "disks")
    Standstill(guest, ("root",))
    goes_on(guest, "a", "b")
    with fails("Conflict"):
        root.freeze(domain, "vdx")   # the agent is frozen: nothing can be added
    root.thaw(freeze)
    goes_on(guest, "root")

    freeze = root.freeze(domain, "vdx")
    assert root.get(freeze, "Engine") == "exec"
    a = still(guest, "a")
    for disks in (("vdq",), ("vdq", "vdx"), ()):
        with fails("Conflict", match="rooted"):
            root.freeze(domain, *disks)
    goes_on(guest, "root", "b")
    a.check()
    root.thaw(freeze)

    freeze = root.freeze(domain)
    assert root.get(freeze, "Engine") == "agent"
    Standstill(guest, ("root", "a", "b"))
    root.thaw(freeze)
    goes_on(guest, "root", "a", "b")
    wait_guards(guest, 0)
