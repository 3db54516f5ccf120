# SPDX-License-Identifier: LGPL-2.1-or-later
"""One minute of chaos.py: with the seed of $VIRTFREEZE_CHAOS_SEED, else always the same one."""

import os
import subprocess
import sys
from pathlib import Path

from harness import box
from harness.guest import missing
from harness.skip import impossible

SECONDS = 60
SEED = "1"


def test_a_minute_of_chaos(image, say):
    if reason := missing() or box.missing():
        impossible(reason)
    seed = os.environ.get("VIRTFREEZE_CHAOS_SEED", SEED)
    # In a process of its own, as ./run chaos does: it has its own libvirtd and its own users.
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("chaos.py")), "--seconds", str(SECONDS),
         "--seed", seed], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=10 * SECONDS)
    for line in done.stdout.splitlines():
        say(line)
    assert done.returncode == 0 and "violations: 0\n" in done.stdout, done.stdout
