# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a test does on a machine on which it cannot be run."""

import os

import pytest


def impossible(reason: str):
    # A skip that nobody sees is no test: where it matters everything has to be there.
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
