# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units as they are installed, by systemd's own judgement."""

import json
import re
import subprocess
from pathlib import Path

import pytest

SYSTEM = ("virtfreezed.service", "virtfreezed-release.service")
EXPOSURE = 0.6


@pytest.fixture(scope="module")
def folder(staged):
    return staged("/usr/local") / "usr/local/lib/systemd"


def analyze(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **environment})


@pytest.mark.parametrize("name", SYSTEM)
def test_exposure(folder, name):
    unit = folder / "system" / name
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE * 10:.0f}",
                   unit)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Overall exposure level for \S+ (\d\.\d)", done.stdout)[1]


def test_a_lax_unit_is_found(folder, tmp_path):
    text = (folder / "system" / SYSTEM[0]).read_text()
    for line in ("CapabilityBoundingSet=", "SystemCallFilter=@system-service"):
        assert f"\n{line}\n" in text
        text = text.replace(f"\n{line}\n", "\n")
    unit = tmp_path / SYSTEM[0]
    unit.write_text(text)
    assert analyze("security", "--offline=true", "--no-pager",
                   f"--threshold={EXPOSURE * 10:.0f}", unit).returncode != 0


@pytest.mark.parametrize("name", SYSTEM)
def test_what_is_left_out_has_its_reason(folder, name):
    """Each directive that systemd misses is named in a comment."""
    unit = folder / "system" / name
    found = json.loads(analyze("security", "--offline=true", "--no-pager", "--json=short",
                               unit).stdout)
    comments = " ".join(line for line in unit.read_text().splitlines() if line.startswith("#"))
    for item in found:
        if item["exposure"] and float(item["exposure"]) > 0:
            directive = re.match(r"\w+", item["name"])[0]
            assert directive in comments, item


@pytest.mark.parametrize("kind, options", [("system", []), ("user", ["--user"])])
def test_verify(folder, tmp_path, kind, options):
    units = []
    for unit in sorted((folder / kind).iterdir()):
        # The programs are not on this machine.
        text = unit.read_text().replace("/usr/local/libexec/virtfreezed", "/bin/true")
        units.append(tmp_path / unit.name)
        units[-1].write_text(text)
    assert len(units) == 2
    done = analyze("verify", "--man=no", "--recursive-errors=no", *options, *units,
                   XDG_RUNTIME_DIR=str(tmp_path))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_unknown_directive_is_found(folder, tmp_path):
    unit = tmp_path / "virtfreezed.service"
    text = (folder / "system" / unit.name).read_text()
    unit.write_text(text.replace("PrivateTmp=", "PrivateTemp="))
    done = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    assert "PrivateTemp" in done.stdout + done.stderr
