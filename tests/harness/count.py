# SPDX-License-Identifier: LGPL-2.1-or-later
"""count.py LOGBASE: how many cases of a run of `meson test` passed, failed and were skipped."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

GOOD = ("OK", "SKIP", "EXPECTEDFAIL")


def last(name: str) -> str:
    """Of "project:suite / name", which is how meson calls a test."""
    return name.rpartition(" / ")[2]


def main(logbase: str):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    tests_with_failures = set()
    for suite in ElementTree.parse(f"{logbase}.junit.xml").iter("testsuite"):
        for case in suite.iter("testcase"):
            if case.find("skipped") is not None:
                counts["skipped"] += 1
            elif any(case.find(word) is not None for word in ("failure", "error", "interrupted")):
                counts["failed"] += 1
                tests_with_failures |= {last(suite.get("name")), last(case.get("name"))}
            else:
                counts["passed"] += 1
    # A test that crashed or hung between two cases is among none of them.
    for line in Path(f"{logbase}.json").read_text().splitlines():
        test = json.loads(line)
        if test["result"] not in GOOD and last(test["name"]) not in tests_with_failures:
            counts["failed"] += 1
    print(*counts.values())


if __name__ == "__main__":
    main(sys.argv[1])
