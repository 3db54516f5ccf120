#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coverage.py BUILD [--missing]: a table of what of service/ the tests in BUILD have reached.

Branches that GLib's macros make are not counted: those of a line that has one of MACROS and is no
condition of ours. (What g_autoptr does at the end of a scope lies in GLib's headers, which are not
looked at.) Nor is what virtfreezed-faulty reaches, which dies on its way. Below LINES or BRANCHES
percent it fails.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
LINES, BRANCHES = 90, 80
MACROS = re.compile(
    r"\b(g_return_(val_)?if_fail|g_assert\w*|G_DEFINE_\w+|g_clear_\w+|g_new0?|g_once_init_\w+"
    r"|g_(warning|message|debug|info|critical|error)|VF_FAULT)\b *\(")
CONDITION = re.compile(r"\b(if|while|for|switch)\b|\?|&&|\|\|")


def read(build: str) -> list[dict]:
    subprocess.run(
        ["gcovr", "--root", SOURCE, "--object-directory", ".", "--filter", ".*/service/.*",
         "--exclude-directories", ".*virtfreezed-faulty.*",
         "--json", "coverage.json", "."], cwd=build, check=True)
    return json.loads((Path(build) / "coverage.json").read_text())["files"]


def branches_of(line: dict, text: str) -> list[dict]:
    if MACROS.search(text) and not CONDITION.search(text):
        return []
    return line["branches"]


def main(build: str, missing: bool) -> int:
    total = [0, 0, 0, 0]
    print(f"{'':<24}{'lines':>16}{'branches':>20}")
    for file in sorted(read(build), key=lambda file: file["file"]):
        text = (SOURCE / file["file"]).read_text().splitlines()
        lines = [line for line in file["lines"]
                 if not line["gcovr/noncode"] and not line["gcovr/excluded"]]
        branches = [branch for line in lines
                    for branch in branches_of(line, text[line["line_number"] - 1])]
        row = [len(lines), sum(line["count"] > 0 for line in lines),
               len(branches), sum(branch["count"] > 0 for branch in branches)]
        total = [a + b for a, b in zip(total, row)]
        print_row(Path(file["file"]).name, row)
        if missing:
            print("   ", *(line["line_number"] for line in lines if line["count"] == 0))
    print_row("all", total)
    enough = 100 * total[1] >= LINES * total[0] and 100 * total[3] >= BRANCHES * total[2]
    if not enough:
        print(f"Asked for are {LINES} % of lines and {BRANCHES} % of branches")
    return 0 if enough else 1


def print_row(name: str, row: list[int]):
    lines, reached, branches, taken = row
    print(f"{name:<24}{reached:>6}/{lines:<5}{percent(reached, lines):>6}"
          f"{taken:>8}/{branches:<5}{percent(taken, branches):>6}")


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--missing" in sys.argv[2:]))
