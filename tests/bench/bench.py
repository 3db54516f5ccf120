# SPDX-License-Identifier: LGPL-2.1-or-later
"""`./run bench`: measures, prints the tables, and with --write puts them into RESULTS.md."""

import argparse
import contextlib
import datetime
import os
import re
import sys
from pathlib import Path

import guests
import scale
import speed
from harness import box
from parts import Row

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- ./run bench --write: begin -->\n", "<!-- ./run bench --write: end -->\n"
PARTS = {"speed": speed, "guests": guests, "scale": scale}
HEAD = ["", "ms: median / p99", "compared with", "result", "goal", ""]


def table(rows: list[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def machine() -> str:
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    return f"{os.cpu_count()} processors, {round(memory / 2**20)} GiB of memory"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures virtfreezed beside what there is.")
    parser.add_argument("--quick", action="store_true", help="a few rounds: does it work?")
    parser.add_argument("--write", action="store_true", help="puts the tables into RESULTS.md")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by commas")
    options = parser.parse_args()
    if reason := box.missing():
        print(reason, file=sys.stderr)
        return 1
    box.enter()   # before anything starts
    with contextlib.suppress(PermissionError):
        os.nice(-15)   # all that is measured goes before what else runs on this machine
    busy = os.getloadavg()[0]
    parts = []
    for name in options.only.split(","):
        rows = PARTS[name].rows(options.quick)
        parts.append(f"### {name.capitalize()}\n\n{table(rows)}")
        print(parts[-1], flush=True)
    if options.write:
        head = (f"`./run bench --write` on {datetime.date.today()}, {machine()}; load at its "
                f"beginning {busy:.1f}, at its end {os.getloadavg()[0]:.1f}.\n\n")
        text = RESULTS.read_text()
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        RESULTS.write_text(before + BEGIN + head + "\n".join(parts) + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
