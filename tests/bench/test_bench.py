# SPDX-License-Identifier: LGPL-2.1-or-later
"""`./run bench --quick`: the benchmarks work, and tell every figure that is promised. Whether goals
are met is not asked here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import box, libvirtd
from harness.skip import impossible

FOLDER = Path(__file__).parent

# The rows that have a goal.
PROMISED = {
    "speed": ("session bus", "system bus, polkit", "pending signals", "SIGKILL"),
    "guests": ("real guest, system bus", "frozen already", "until a real guest is thawed",
               "real guests at once"),
    "scale": ("1,000 domains", "1,000 freezes held", "memory a domain", "memory a freeze"),
}


@pytest.mark.parametrize("part", PROMISED)
def test_bench_works(part):
    if reason := box.missing() or (part == "guests" and libvirtd.missing()):
        impossible(reason)
    done = subprocess.run([sys.executable, FOLDER / "bench.py", "--quick", "--only", part],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    with_goal = [line for line in done.stdout.splitlines()
                 if re.search(r"\| (met|\*\*missed\*\*) \|$", line)]
    for words in PROMISED[part]:
        [row] = [line for line in with_goal if words in line.split("|")[1]]
        assert re.search(r"\d", row.split("|")[4]), row
    assert len(with_goal) == len(PROMISED[part])


def test_a_soak_of_some_seconds():
    if reason := box.missing():
        impossible(reason)
    done = subprocess.run([sys.executable, FOLDER / "soak.py", "--seconds", "20", "--no-guest"],
                          capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "freezes" in done.stdout
