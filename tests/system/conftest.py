# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the `system` suite: a machine with systemd, dbus-daemon, polkitd, libvirtd and a
guest, on which the packages are installed. One for each file; its tests run in their order."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gi

gi.require_version("Gio", "2.0")

from harness import guest as guests
from harness import sysbox
from harness.box import SOURCE
from harness.guest import SMALL, Guest
from harness.skip import impossible
from harness.sysbox import BoxLibvirtd, SystemBox

# Short, so that what comes by the clock comes soon; not so short that a busy machine is too slow.
CONFIG = "[Freeze]\nAgentTimeout=3s\nVerifyInterval=500ms\n"
DROP_IN = "/etc/virtfreeze/virtfreezed.conf.d/test.conf"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def staged(tmp_path_factory):
    """Prefix → the folder that "meson install" fills instead of the machine's root."""
    @functools.cache
    def staged(prefix: str) -> Path:
        build, root = (tmp_path_factory.mktemp(name) for name in ("build", "root"))
        command = ["meson", "install", "--quiet", "--destdir", root]
        if prefix == "/usr/local":
            build = Path(os.environ.get("MESON_BUILD_ROOT") or SOURCE / "build")
            command.append("--no-rebuild")   # it is the prefix of that one
        else:
            run("meson", "setup", f"--prefix={prefix}", "-Dbuildtype=plain", "-Dtests=false",
                "-Dman=enabled", "-Dtranslations=enabled", SOURCE, build)
        run(*command, "-C", build)
        return root
    return staged


@pytest.fixture(scope="session")
def image():
    if reason := sysbox.missing() or guests.missing():
        impossible(reason)
    return guests.image_folder().resolve()


@pytest.fixture(scope="module")
def bare_box(image):
    """Without the packages; vf-member is in group libvirt, vf-nobody in none."""
    with SystemBox(binds=(image,)) as box:
        box.add_user("vf-member", "libvirt")
        box.add_user("vf-nobody")
        yield box


@pytest.fixture(scope="module")
def guest(bare_box, image):
    """Runs under the libvirtd of the box; named “web”, as in the examples of rules."""
    return Guest(BoxLibvirtd(bare_box), image, "web", SMALL).start()


@pytest.fixture(autouse=True)
def looked_after(request):
    """A test that does not leave the guest running and thawed fails, and it is mended for the next
    one."""
    yield
    if "guest" in request.fixturenames:
        if wrong := request.getfixturevalue("guest").mend():
            pytest.fail(f"the test left behind: {', '.join(wrong)}")


@pytest.fixture(scope="module")
def box(bare_box, guest):
    """With the packages, as they install themselves, and CONFIG."""
    bare_box.write(DROP_IN, CONFIG)
    bare_box.install(*sysbox.packages())
    return bare_box


@pytest.fixture
def connect(box):
    """Connects as a user, root unless named, until the end of the test."""
    clients = []

    def connect(user="root"):
        clients.append(box.client(user))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def member(connect):
    """In group libvirt, who may freeze."""
    return connect("vf-member")


@pytest.fixture
def domain(member, guest):
    """The object of the guest."""
    return member.domain(guest.name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Beside a failure, what the machine had to say."""
    report = (yield).get_result()
    if report.failed and (box := item.funcargs.get("box")):
        report.sections.append(("journal", box.run(
            "journalctl", "--no-pager", "--lines=60", "--output=short-precise").stdout))
