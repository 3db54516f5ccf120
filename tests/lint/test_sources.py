# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules of the project, read off its sources. Each is also shown to find what it is for."""

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

SOURCE = Path(__file__).resolve().parents[2]

LAYERS = ("core", "libvirt", "bus", "main")   # as service/meson.build has them

# Layer → those whose headers it may include, and the system headers that are not for it.
MAY_INCLUDE = {"core": {"core"}, "libvirt": {"core", "libvirt"}, "bus": {"core", "bus"},
               "main": {"core", "libvirt", "bus", "main"}}
NOT_FOR = {"core": r"gio|libvirt|polkit|libxml|systemd", "libvirt": r"gio|polkit|systemd",
           "bus": r"libvirt|libxml", "main": r"polkit|libxml"}

LONGEST_FILE = 800     # lines
LONGEST_LINE = 100     # for C this is clang-format's to say
TEXT = {".c", ".h", ".py", ".sh", ".xml", ".build", ".policy", ".rules"}


def files() -> list[Path]:
    """What is, or will be, in the repository; all there is where this is no checkout."""
    try:
        names = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"], cwd=SOURCE, capture_output=True, check=True, text=True)
        paths = [SOURCE / name for name in names.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for folder in ("service", "client", "interfaces", "policy", "data", "tests")
                 for path in (SOURCE / folder).rglob("*") if "__pycache__" not in path.parts]
    return [path for path in paths if path.is_file()]


def none(wrong: list[str]):
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def layers() -> dict[str, str]:
    """File without suffix → layer."""
    build = (SOURCE / "service" / "meson.build").read_text()
    result = {}
    for layer in LAYERS:
        listed = re.search(rf"^{layer}_sources = files\((.*?)\)", build, re.MULTILINE | re.DOTALL)
        result |= {Path(name).stem: layer for name in re.findall(r"'([\w-]+\.c)'", listed[1])}
    return result


def layer_of(name: str, known: dict[str, str]) -> str:
    stem = Path(name).stem
    # A header without a .c is of the layer that its name begins with.
    if stem == "virtfreeze-interfaces":   # generated
        return "bus"
    while stem not in known and "-" in stem:
        stem = stem.rpartition("-")[0]
    return known.get(stem, "core")


def wrong_includes(name: str, text: str, known: dict[str, str]) -> list[str]:
    layer = layer_of(name, known)
    wrong = []
    for own, system in re.findall(r'^#include (?:"(.*)"|<(.*)>)', text, re.MULTILINE):
        if own and layer_of(own, known) not in MAY_INCLUDE[layer]:
            wrong.append(f"{name} ({layer}) includes {own} ({layer_of(own, known)})")
        if system and re.match(rf"(?:{NOT_FOR[layer]})\b", system):
            wrong.append(f"{name} ({layer}) includes <{system}>")
    return wrong


def test_includes_point_one_way():
    known = layers()
    none([wrong for path in (SOURCE / "service").glob("*.[ch]")
          for wrong in wrong_includes(path.name, path.read_text(), known)])


@pytest.mark.parametrize("name, line", [
    ("ledger.c", "#include <gio/gio.h>"), ("lane-private.h", "#include <libvirt/libvirt.h>"),
    ("ledger.h", '#include "bus-private.h"'), ("connections.c", '#include "clients.h"'),
    ("bus.c", "#include <libvirt/libvirt.h>"), ("bus-options.c", '#include "domain-xml.h"'),
    ("clock.c", '#include "manager.h"')])
def test_an_include_the_other_way_is_found(name, line):
    assert len(wrong_includes(name, f"#include <glib.h>\n{line}\n", layers())) == 1


def test_every_source_is_in_a_layer():
    known = layers()
    assert {path.stem for path in (SOURCE / "service").glob("*.c")} == set(known)


def wrong_client_includes(name: str, text: str, order: list[str]) -> list[str]:
    """virt-freeze is a client like any other; and its files include those before them alone."""
    own = re.findall(r'^#include "(.*)\.h"', text, re.MULTILINE)
    stem = Path(name).stem
    known = [*order, "virtfreeze-proxies", "commands"]   # generated; of no file of its own
    wrong = [f"{name} includes {other}.h, which is not of client/"
             for other in own if other not in known]
    wrong += [f"{name} includes {other}.h, which comes after it" for other in own
              if other in order and stem in order and order.index(other) > order.index(stem)]
    return wrong + [f"{name} includes <{system}>" for system in
                    re.findall(r"^#include <((?:libvirt|polkit|systemd).*)>", text, re.MULTILINE)]


def client_order() -> list[str]:
    build = (SOURCE / "client" / "meson.build").read_text()
    listed = re.search(r"^virt_freeze_sources = files\((.*?)\)", build, re.MULTILINE | re.DOTALL)
    return [Path(name).stem for name in re.findall(r"'([\w-]+\.c)'", listed[1])]


def test_includes_of_the_client():
    order = client_order()
    none([wrong for path in (SOURCE / "client").glob("*.[ch]")
          for wrong in wrong_client_includes(path.name, path.read_text(), order)])
    assert {path.stem for path in (SOURCE / "client").glob("*.c")} == set(order)


@pytest.mark.parametrize("name, line", [
    ("run.c", '#include "lane.h"'), ("text.h", '#include "model.h"'),
    ("connection.c", '#include "../service/error.h"'), ("list.c", "#include <libvirt/libvirt.h>")])
def test_a_wrong_include_of_the_client_is_found(name, line):
    assert len(wrong_client_includes(name, f"{line}\n", client_order())) == 1


def test_every_method_is_in_the_table():
    """What is in no table is denied; what is in the interfaces has to be in it."""
    table = (SOURCE / "service" / "methods.c").read_text()
    for word, interface in re.findall(r'^#define (\w+) "(org\.virtfreeze1\.\w+)"', table,
                                      re.MULTILINE):
        table = table.replace(f"{{ {word},", f'{{ "{interface}",')
    rows = re.findall(r'^  \{ "([\w.]+)", "(\w+)", ', table, re.MULTILINE)
    declared = [(interface.get("name"), method.get("name"))
                for path in (SOURCE / "interfaces").glob("*.xml")
                for interface in ElementTree.parse(path).iter("interface")
                for method in interface.iter("method")]
    assert sorted(rows) == sorted(declared)


def suites_not_run(builds: list[str], ci: str) -> set[str]:
    suites = {suite for build in builds for suite in re.findall(r"suite: '(\w+)'", build)}
    stages = re.findall(r"^(?:stage )?\./run tests (.*)", ci, re.MULTILINE)
    return suites - {word for words in stages for word in words.split()}


def test_every_suite_is_a_stage_of_ci():
    ci = (SOURCE / ".ci" / "run").read_text()
    builds = [path.read_text() for path in files() if path.name == "meson.build"]
    assert suites_not_run(builds, ci) == set()
    assert suites_not_run([*builds, "suite: 'other'"], ci) == {"other"}


def is_text(path: Path) -> bool:
    return path.suffix in TEXT or (not path.suffix and path.read_bytes()[:2] == b"#!")


def wrong_form(path: Path, text: str) -> list[str]:
    lines = text.splitlines()
    wrong = []
    if not any("SPDX-License-Identifier: LGPL-2.1-or-later" in line for line in lines[:5]):
        wrong.append("no SPDX line")
    if len(lines) > LONGEST_FILE:
        wrong.append(f"{len(lines)} lines")
    # In XML, texts that are translated are on one line.
    if path.suffix not in (".c", ".h", ".policy", ".xml"):
        wrong += [f"line {number} has {len(line)} characters" for number, line in
                  enumerate(lines, 1) if len(line) > LONGEST_LINE]
    wrong += [f"line {number} ends in a space" for number, line in enumerate(lines, 1)
              if line != line.rstrip()]
    return [f"{path.name}: {what}" for what in wrong]


def test_form_of_files():
    none([wrong for path in files() if is_text(path)
          for wrong in wrong_form(path, path.read_text())])


@pytest.mark.parametrize("text", [
    "int x;\n", "// SPDX-License-Identifier: LGPL-2.1-or-later\n" + "\n" * 800,
    "// SPDX-License-Identifier: LGPL-2.1-or-later\nint x;\t\n",
    "// SPDX-License-Identifier: LGPL-2.1-or-later\nint x; \n"],
    ids=["no SPDX line", "too long", "tab at the end", "space at the end"])
def test_bad_form_is_found(text):
    assert len(wrong_form(Path("x.c"), text)) == 1


def test_a_long_line_is_found():
    text = f"# SPDX-License-Identifier: LGPL-2.1-or-later\n{'x' * 101}\n"
    assert len(wrong_form(Path("x.py"), text)) == 1


def unknown_tests(page: str) -> list[str]:
    """Tests that a page of data/doc names, and that are not there: `test_file::test_case` of the
    guest suite, * at its end for several, more cases of the cell without the file; `test_file`;
    `tests/…`; unit `name`, `name`."""
    guest = SOURCE / "tests" / "guest"
    unit = (SOURCE / "tests" / "unit" / "meson.build").read_text()
    missing = []
    for cell in re.split(r"[|\n]", page):
        for names in re.findall(r"\bunit (`[\w-]+`(?:, `[\w-]+`)*)", cell):
            missing += [name for name in re.findall(r"[\w-]+", names)
                        if not name.startswith("test_") and f"'{name}'" not in unit]
        missing += [path for path in re.findall(r"`(tests/[^`*]+)`", cell)
                    if not (SOURCE / path).exists()]
        file = ""
        for name in re.findall(r"`(test_[\w:]+\*?)`", cell):
            before, _, case = name.rpartition("::")
            if not before and not file and (guest / f"{name}.py").exists():
                continue
            file = before or file
            source = guest / f"{file}.py"
            start = f"def {case[:-1]}" if case.endswith("*") else f"def {case}("
            if not source.exists() or f"\n{start}" not in source.read_text():
                missing.append(f"{file}::{case}")
    return missing


def test_pages_name_tests_that_there_are():
    pages = sorted((SOURCE / "data" / "doc").glob("*.md"))
    assert pages
    none([f"{page.name}: there is no {test}" for page in pages
          for test in unknown_tests(page.read_text())])


@pytest.mark.parametrize("cell", [
    "`test_freeze::test_nothing`", "`test_nofile::test_sequence_by_counts`",
    "`test_freeze::test_sequence_by_counts`, `test_nothing`", "`test_freeze::test_nothing_*`",
    "unit `nothing`", "unit `ledger`, `nothing`", "`tests/guest/test_nothing.py`",
    "`test_nothing`"])
def test_a_test_that_is_not_there_is_found(cell):
    assert len(unknown_tests(f"| x | {cell} |\n")) == 1


def test_a_row_without_a_test_says_so():
    page = (SOURCE / "data" / "doc" / "interoperability.md").read_text()
    rows = [line.strip("| ").split(" | ")[-1] for line in page.splitlines()
            if line.startswith("| ") and not line.endswith("checked by |")]
    assert len(rows) > 40
    none([row for row in rows if not re.search(r"`test|unit `|not checked here", row)])
