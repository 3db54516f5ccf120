# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the `guest` suite."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

pytest.register_assert_rewrite("service")
from guests import *  # their fixtures
from service import *
