# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line."""

import os
import subprocess

import pytest

from command import program

COMMANDS = ["list", "status", "run", "freeze", "thaw", "monitor"]


@pytest.fixture
def plain():
    """Without any bus: what is wrong is told before one is needed."""
    def plain(*arguments):
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                       "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
        return subprocess.run([program(), *arguments], capture_output=True, env=environment,
                              stdin=subprocess.DEVNULL, timeout=30)
    return plain


@pytest.mark.parametrize("arguments, message", [
    ([], "Name a command"), (["frob"], "no command “frob”"), (["--frob", "list"], "--frob"),
    (["list", "web"], "one word too many"), (["list", "--disk", "vda"], "--disk"),
    (["status"], "Name a domain"), (["status", "web", "db"], "one word too many"),
    (["status", "web", "--hold", "3s"], "--hold"), (["monitor", "--watch"], "--watch"),
    (["run"], "Name a domain"), (["run", "web"], "Name a command"),
    (["run", "web", "--"], "Name a command"), (["run", "--domain", "web"], "Name a command"),
    (["run", "--domain"], "needs a value"), (["run", "--disk", "vda", "web", "true"], "first"),
    (["run", "web", "--hold", "soon", "true"], "--hold soon"),
    (["run", "web", "--hold", "0", "true"], "--hold 0"),
    (["run", "web", "--hold", "-1s", "true"], "--hold"),
    (["run", "web", "--hold", "99999999999999999999s", "true"], "--hold"),
    (["run", "web", "--hold", "10000000000h", "true"], "--hold"),
    (["run", "web", "--hold", "5 parsecs", "true"], "--hold"),
    (["run", "web", "--scope", "all", "true"], "--scope all"),
    (["freeze", "web"], "--hold"), (["freeze", "--hold", "3s"], "Name a domain"),
    (["freeze", "web", "db", "--hold", "3s"], "one word too many"),
    (["thaw"], "either PATH"), (["thaw", "--all", "--domain", "web"], "either PATH"),
    (["thaw", "/x", "--all"], "either PATH"), (["thaw", "--force", "a", "--force", "b"], "--force"),
    (["thaw", "--force", "a", "--domain", "b"], "--force"), (["list", "--json=1"], "--json"),
    ([b"status", b"\xff"], "\\xff"), ([b"run", b"web", b"--reason", b"\xff", b"true"], "\\xff"),
    ([b"status", b"\x1b[31m\n", b"x"], "too many"), ([b"fr\x1b]b"], "fr\\x1b]b")])
def test_wrong_usage(plain, arguments, message):
    result = plain(*arguments)
    error = result.stderr.decode()
    assert (result.returncode, result.stdout) == (2, b"")
    assert message in error
    assert error.startswith("virt-freeze: ") and error.count("\n") == 1 and "\x1b" not in error


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([name, "--help"] for name in COMMANDS),
                                       ["run", "web", "--help"]])
def test_help(plain, arguments):
    result = plain(*arguments)
    text = result.stdout.decode()
    assert (result.returncode, result.stderr) == (0, b"")
    assert text.startswith("Usage: virt-freeze") and "Example" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    if arguments[0] in COMMANDS:
        assert text.startswith(f"Usage: virt-freeze {arguments[0]}")
    else:
        assert all(f"\n  {name} " in text for name in COMMANDS)


def test_help_names_every_option(plain):
    texts = "".join(plain(*arguments, "--help").stdout.decode()
                    for arguments in [[], *([name] for name in COMMANDS)])
    for option in ("session", "no-ask-password", "json", "scope", "watch", "all", "force", "hold",
                   "reason", "domain", "disk", "help", "version"):
        assert f"--{option}" in texts


def test_help_after_the_command_is_the_commands(plain):
    result = plain("run", "web", "--", "/nonexistent", "--help")
    assert result.returncode == 127


def test_version(plain):
    result = plain("--version")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().startswith("virt-freeze 0.")


@pytest.mark.parametrize("hold, seconds", [
    ("30", 30), ("30s", 30), ("5min", 300), ("1min 30s", 90), ("1m30s", 90), ("500ms", 0.5),
    ("1500000us", 1.5), ("2 minutes", 120), ("1h", 3600), ("1 hour 1 sec", 3601), (" 7s ", 7)])
def test_times(run, root, web, hold, seconds):
    result = run("freeze", "web", "--hold", hold)
    if seconds > 600:
        assert (result.code, result.out) == (1, "") and f"{seconds * 1_000_000:.0f}" in result.error
        return
    freeze = root.properties(result.out.strip())
    assert abs(freeze["Deadline"] - freeze["Created"] - seconds * 1_000_000) < 100_000


@pytest.mark.parametrize("command", COMMANDS)
def test_no_bus(plain, command):
    words = {"list": [], "status": ["web"], "run": ["web", "--", "true"],
             "freeze": ["web", "--hold", "3s"], "thaw": ["--all"], "monitor": []}[command]
    result = plain(command, *words)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"Cannot connect to the system bus: " in result.stderr


def test_common_options_go_with_every_command(run, web):
    common = ["--no-ask-password", "--scope", "auto"]
    assert run(*common, "list").code == 0
    assert run("list", *common).code == 0
    assert run("status", "web", *common).code == 0
    assert run("run", *common, "--json", "web", "--", "true") == (0, "", "")
    assert run(*common, "--json", "thaw", "--all") == (0, "", "")


def test_output_cannot_be_written(plain):
    with open("/dev/full", "w") as full:
        result = subprocess.run([program(), "--help"], stdout=full, stderr=subprocess.PIPE,
                                text=True)
    assert result.returncode == 1
    assert result.stderr == "virt-freeze: Cannot write to standard output: " \
                            f"{os.strerror(28)}\n"
