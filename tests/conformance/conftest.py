# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs each behaviour on the backends that $CONFORMANCE names (all, unless it is set)."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "guest")]

pytest.register_assert_rewrite("service", "fsfreeze", "backends")
from backends import BACKENDS
from guests import *   # their fixtures
from service import bus, connect, machine, polkit, pytest_configure as configure


def pytest_configure(config):
    configure(config)
    config.addinivalue_line("markers", "needs(what): a property of a backend, without which there "
                                       "is nothing to see")


def pytest_generate_tests(metafunc):
    if "backend" not in metafunc.fixturenames:
        return
    needs = [need for mark in metafunc.definition.iter_markers("needs") for need in mark.args]
    names = [name for name in os.environ.get("CONFORMANCE", " ".join(BACKENDS)).split()
             if all(getattr(BACKENDS[name], need) for need in needs)]
    metafunc.parametrize("backend", names, indirect=True, scope="function")


def pytest_collection_modifyitems(items):
    """What no backend of this run can show is not there, rather than skipped."""
    items[:] = [item for item in items if not item.get_closest_marker("skip")]


@pytest.fixture
def backend(request, bus, polkit):
    kind = BACKENDS[request.param]
    backend = kind(bus, request.getfixturevalue("guest") if kind.real else None)
    yield backend
    wrong = backend.close()
    assert not wrong, "\n".join(wrong)
