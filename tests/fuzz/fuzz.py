#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""fuzz.py BUILD [--seconds N] [--seed N] [--keep] [TARGET...]: runs the targets under libFuzzer.

Each starts from its corpus here and from what earlier runs in BUILD found; two run at a time.
Prints what was done. An input that fails is kept in BUILD, and printed as a line for the corpus.
With --seed the first inputs are the same each time; later ones are not, libFuzzer goes its own way.
With --keep nothing is run: small inputs that reach more are added to the corpora here.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
LONGEST = {"options": 16384, "filesystems": 16384}   # bytes of an input; else 2048
MOST_KEPT = 16 * 1024   # bytes of a corpus here
ESCAPES = {ord("\n"): "\\n", ord("\t"): "\\t", ord("\\"): "\\\\"}


def escape(data: bytes) -> str:
    """Readable where it is text; as replay.c reads it."""
    try:
        characters = data.decode()
    except UnicodeDecodeError:
        characters = data.decode("latin-1")
        plain = str.isascii
    else:
        plain = str.isprintable
    line = "".join(
        ESCAPES.get(ord(c)) or (c if c.isprintable() and plain(c) else
                                "".join(f"\\x{byte:02x}" for byte in as_bytes(c, plain)))
        for c in characters)
    return line[:-1] + "\\x20" if line.endswith(" ") else line   # editors drop it


def as_bytes(character: str, plain) -> bytes:
    return character.encode("latin-1" if plain is str.isascii else "utf-8")


def unescape(line: str) -> bytes:
    def replace(match: re.Match) -> bytes:
        text = match[0].decode()
        return {"\\n": b"\n", "\\t": b"\t", "\\\\": b"\\"}.get(text) or bytes([int(text[2:], 16)])
    return re.sub(rb"\\(?:n|t|\\|x[0-9a-f]{2})", replace, line.encode())


def lines_of(name: str) -> list[str]:
    text = (CORPUS / f"{name}.txt").read_text()
    return [line for line in text.split("\n") if line and not line.startswith("#")]


class Target:
    def __init__(self, program: Path, build: Path):
        self.name = program.name.removeprefix("fuzz-")
        self.program = program
        self.folder = build / "fuzz" / self.name
        self.found = self.folder / "found"
        self.found.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "log"

    def command(self, *options: str) -> list[str]:
        dictionary = CORPUS / f"{self.name}.dict"
        return [str(self.program), f"-max_len={LONGEST.get(self.name, 2048)}", "-timeout=20",
                "-rss_limit_mb=2048", f"-artifact_prefix={self.folder}/",
                *([f"-dict={dictionary}"] if dictionary.exists() else []), *options]

    def environment(self, scratch: str) -> dict[str, str]:
        return {**os.environ, "TMPDIR": scratch,
                "UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "detect_leaks=1"}

    def call(self, *options: str) -> int:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch, open(self.log, "wb") as log:
            return subprocess.run(self.command(*options), env=self.environment(scratch),
                                  stdout=log, stderr=log).returncode

    def run(self, seconds: int, seed: int) -> bool:
        with tempfile.TemporaryDirectory() as seeds:
            for number, line in enumerate(lines_of(self.name)):
                (Path(seeds) / str(number)).write_bytes(unescape(line))
            status = self.call(f"-max_total_time={seconds}", f"-seed={seed}",
                               "-print_final_stats=1", str(self.found), seeds)
        print(self.report(status), flush=True)
        return status == 0

    def report(self, status: int) -> str:
        text = self.log.read_text(errors="replace")
        last = (re.findall(r"cov: (\d+) ft: (\d+)", text) or [("?", "?")])[-1]
        done = re.search(r"Done (\d+) runs in (\d+) second", text)
        runs, seconds = (int(done[1]), int(done[2])) if done else (0, 0)
        line = (f"{self.name:<12} {runs:>10} runs {seconds:>6} s {runs // max(seconds, 1):>7}/s "
                f"{last[0]:>6} edges {last[1]:>6} features")
        if status == 0:
            return line
        failed = re.search(r"Test unit written to (\S+)", text)
        data = Path(failed[1]).read_bytes() if failed else b""
        return f"{line}\n{text[-6000:]}\n{self.name} fails for: {escape(data)}"

    def keep(self):
        """libFuzzer's merge takes small inputs first, so a cut leaves those with most behind."""
        merged = self.folder / "merged"
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir()
        self.call("-merge=1", "-max_len=512", str(merged), str(self.found))
        comments = [line for line in (CORPUS / f"{self.name}.txt").read_text().splitlines()
                    if line.startswith("#")]
        lines = lines_of(self.name)
        known = set(lines)
        room = MOST_KEPT - sum(len(line) for line in lines)
        for path in sorted(merged.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
            line = escape(path.read_bytes())
            if line in known or not line or line.startswith("#"):
                continue
            room -= len(line) + 1
            if room < 0:
                break
            lines.append(line)
        (CORPUS / f"{self.name}.txt").write_text("\n".join(comments + lines) + "\n")
        print(f"{self.name}: {len(lines)} inputs")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("target", nargs="*")
    arguments = parser.parse_intermixed_args()
    build = arguments.build.resolve()
    targets = [Target(path, build) for path in sorted(build.glob("tests/fuzz/fuzz-*"))
               if path.is_file() and not path.suffix]
    targets = [target for target in targets
               if not arguments.target or target.name in arguments.target]
    if not targets:
        print("fuzz.py: no such targets", file=sys.stderr)
        return 2
    if arguments.keep:
        for target in targets:
            target.keep()
        return 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        good = list(pool.map(lambda target: target.run(arguments.seconds, arguments.seed),
                             targets))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
