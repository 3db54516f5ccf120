# SPDX-License-Identifier: LGPL-2.1-or-later
"""A view of the machine that this process and its children have for themselves, with users, groups
and polkit folders as after an installation. Nothing outside sees or keeps any of it.

    virtfreeze     the user of the service
    vf-member      in group libvirt, whose members may freeze
    vf-nobody      may do nothing without a rule of the test
    vf-other       the same
"""

import atexit
import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]

SERVICE_USER = "virtfreeze"
MEMBER, NOBODY, OTHER = "vf-member", "vf-nobody", "vf-other"
USERS = (SERVICE_USER, MEMBER, NOBODY, OTHER)

CLONE_NEWNS = 0x20000
POLKITD = "/usr/lib/polkit-1/polkitd"

_folder: Path | None = None


def missing() -> str | None:
    """Why there can be no such view, or None."""
    if os.geteuid() != 0:
        return "several users and a polkitd need root"
    absent = [path for path in (POLKITD, "/etc/polkit-1/rules.d", "/usr/share/polkit-1/actions",
                                "/usr/bin/dbus-daemon") if not os.path.exists(path)]
    return f"missing: {', '.join(absent)}" if absent else None


def enter():
    """Once for each process; later calls do nothing."""
    global _folder
    if _folder:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    _folder = Path(tempfile.mkdtemp(prefix="virtfreeze-box-", dir="/tmp"))
    _folder.chmod(0o755)   # for the other users
    atexit.register(_leave, os.getpid())
    _hide("/etc/passwd", _passwd())
    _hide("/etc/group", _group())
    _hide("/usr/share/polkit-1/actions", _folder_of(SOURCE / "policy/org.virtfreeze1.policy"))
    _hide("/usr/share/polkit-1/rules.d", _folder_of(SOURCE / "policy/50-virtfreeze.rules"))
    _hide("/etc/polkit-1/rules.d", _folder_of())


def set_rules(rules: str):
    """The administrator's polkit rules. polkitd is to be started again for them."""
    path = Path("/etc/polkit-1/rules.d/10-test.rules")
    # Another polkitd that runs need not hear of it.
    if not path.exists() or path.read_text() != rules:
        path.write_text(rules)
        path.chmod(0o644)


def _leave(pid: int):
    # Not in a child that was forked.
    if pid == os.getpid():
        shutil.rmtree(_folder, ignore_errors=True)


def _hide(path: str, ours: Path):
    subprocess.run(["mount", "--bind", ours, path], check=True)


def _folder_of(*files: Path) -> Path:
    """Of copies: polkitd, as a user of its own, need not be able to read the source tree."""
    folder = Path(tempfile.mkdtemp(dir=_folder))
    folder.chmod(0o755)
    for file in files:
        shutil.copy(file, folder)
    return folder


def _lines(path: str) -> list[list[str]]:
    return [line.split(":") for line in Path(path).read_text().splitlines()]


def _write(name: str, lines: list[list[str]]) -> Path:
    path = _folder / name
    path.write_text("".join(":".join(line) + "\n" for line in lines))
    path.chmod(0o644)
    return path


def _passwd() -> Path:
    lines = _lines("/etc/passwd")
    known = {line[0] for line in lines}
    used = {line[2] for line in lines if len(line) > 2}
    free = (str(number) for number in range(58000, 59000) if str(number) not in used)
    for user in USERS:
        if user not in known:
            number = next(free)
            lines.append([user, "x", number, "65534", "", "/nonexistent", "/usr/sbin/nologin"])
    return _write("passwd", lines)


def _group() -> Path:
    lines = [line for line in _lines("/etc/group") if line[0] != "libvirt"]
    used = {line[2] for line in lines if len(line) > 2}
    number = next(str(number) for number in range(58000, 59000) if str(number) not in used)
    return _write("group", [*lines, ["libvirt", "x", number, MEMBER]])
