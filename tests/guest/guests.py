# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures: one libvirtd and one booted guest for all tests of a run."""

import pytest

from harness.guest import Guest, Libvirtd, image_folder, missing
from harness.skip import impossible


@pytest.fixture(scope="session")
def image():
    """The folder of the guest's kernel and initramfs."""
    if reason := missing():
        impossible(reason)
    try:
        return image_folder()
    except RuntimeError as error:
        impossible(str(error))


@pytest.fixture(scope="session")
def libvirtd(image):
    with Libvirtd() as server:
        yield server


@pytest.fixture(scope="session")
def booted_guest(libvirtd, image):
    return Guest(libvirtd, image).start()


@pytest.fixture
def guest(libvirtd, booted_guest):
    """The shared guest. A test that does not leave it running and thawed fails, and it is mended
    for the next one."""
    yield booted_guest
    if wrong := libvirtd.mend() + booted_guest.mend():
        pytest.fail(f"the test left behind: {', '.join(wrong)}")
