# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-freeze run: what is frozen when, what becomes of the command, and the exit code."""

import os
import signal
import subprocess

import pytest

from command import CHILD, USUAL
from harness.box import NOBODY
from harness.client import S


def only_freeze(root) -> dict:
    [path] = root.freezes()
    return root.properties(path)


def test_the_guest_is_frozen_while_the_command_runs(begin, root, web):
    command = begin("run", "web", "--", *CHILD)
    assert command.line() == "ready"
    assert root.get(web, "FreezeState") == "frozen"
    freeze = only_freeze(root)
    assert (freeze["Domain"], freeze["Disks"], freeze["Lifetime"], freeze["Reason"]) == (
        web, [], "caller", "")
    assert freeze["Deadline"] - freeze["Created"] <= 60 * S
    assert command.finish() == (0, "", "")
    assert root.get(web, "FreezeState") == "thawed"
    assert root.freezes() == []


def test_options(begin, root, web):
    command = begin("run", "web", "--disk", "vda", "--disk", "/images/web-vdb.img", "--hold",
                    "1min 30s", "--reason", "nightly", "--scope", "domain", *CHILD)
    command.line()
    freeze = only_freeze(root)
    assert freeze["Disks"] == ["vda", "vdb"]
    assert (freeze["Reason"], freeze["Scope"]) == ("nightly", "domain")
    assert abs(freeze["Deadline"] - freeze["Created"] - 90 * S) < S
    assert command.finish().code == 0


@pytest.mark.parametrize("words", [
    ["run", "web", "--", "printf", "%s|", "-r", "--hold", "--", "x"],
    ["run", "web", "printf", "%s|", "-r", "--hold", "--", "x"],
    ["run", "--domain", "web", "--", "printf", "%s|", "-r", "--hold", "--", "x"],
    ["run", "--domain=web", "printf", "%s|", "-r", "--hold", "--", "x"],
    ["--no-ask-password", "run", "--", "web", "--", "printf", "%s|", "-r", "--hold", "--", "x"],
    ["run", "--", "web", "printf", "%s|", "-r", "--hold", "--", "x"],
    ["run", "--disk=vda", "web", "--", "printf"],
])
def test_the_words_of_the_command_are_left_alone(run, words):
    result = run(*words)
    if "--disk=vda" in words:
        assert result.code == 2   # of which domain?
    else:
        assert result == (0, "-r|--hold|--|x|", "")


def test_standard_streams_are_the_commands(run, begin, root):
    with begin("run", "web", "--", "sh", "-c", "cat; echo error >&2; exit 9") as command:
        assert command.finish("a\0b\n") == (9, "a\0b\n", "error\n")


def test_the_command_is_started_as_by_a_shell(run):
    """Signals, and files: none of ours is left to it."""
    # No shell, which would set signals itself. Of the signals below 32: posix_spawn() ignores two
    # that are the C library's own.
    for words in (["sed", "-nE", r"s/^(Sig(Blk|Ign)).*(.{7})$/\1 \3/p", "/proc/self/status"],
                  ["ls", "/proc/self/fd"]):
        plain = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                               preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL)
                                                   for number in USUAL]).stdout
        assert run("run", "web", "--", *words).out == plain
    # "yes" ends by SIGPIPE, without a word
    assert run("run", "web", "--", "sh", "-c", "yes | head -1").error == ""


def test_ignored_signals_stay_ignored(begin, bus):
    def ignore():
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
    command = begin("run", "web", "--", "grep", "SigIgn", "/proc/self/status", preexec_fn=ignore,
                    restore_signals=False)
    ignored = int(command.finish().out.split()[1], 16)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        assert ignored & 1 << number - 1


def test_ignored_signals_are_not_passed_on(begin):
    """Not even to a command that would take them."""
    command = begin("run", "web", "--", *CHILD,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    command.line()
    command.send(signal.SIGHUP)
    command.send(signal.SIGUSR1)   # has a higher number: comes after it
    assert command.line() == "SIGUSR1"
    assert command.finish() == (0, "", "")


@pytest.mark.parametrize("code", [0, 1, 3, 4, 42, 255])
def test_its_code_is_passed_on(run, code):
    assert run("run", "web", "--", "sh", "-c", f"exit {code}") == (code, "", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_killed_by_a_signal(run, root, web, number):
    result = run("run", "web", "--", "sh", "-c", f"kill -{int(number)} $$")
    assert result.code == 128 + number
    assert root.get(web, "FreezeState") == "thawed"


def created(root) -> list:
    root.sync_service()
    return [signal for signal in root.signals() if signal.member == "InterfacesAdded"
            and "/freeze/" in signal.body[0]]


@pytest.mark.parametrize("word, code", [
    ("no-such-command", 127), ("/nonexistent/command", 127), ("", 127),
    ("/etc/passwd/x", 127), ("/etc/passwd", 126), ("/etc", 126)])
def test_what_cannot_be_run_freezes_nothing(run, root, word, code):
    result = run("run", "web", "--", word)
    assert result.code == code
    assert result.error.startswith(f"virt-freeze: {word}: ")
    assert created(root) == []


def test_not_executable_in_the_path(run, root, bus):
    folder = bus.new_folder("bin")
    (folder / "tool").write_text("#!/bin/sh\n")
    result = run("run", "web", "--", "tool", env={"PATH": f"{folder}:/usr/bin:/bin"})
    assert (result.code, result.error) == (126, "virt-freeze: tool: Permission denied\n")
    assert created(root) == []


def test_a_script_without_interpreter_line(run, bus):
    script = bus.new_file("script")
    script.write_text("echo $0 $1\nexit 5\n")
    script.chmod(0o755)
    assert run("run", "web", "--", str(script), "x y") == (5, f"{script} x y\n", "")


def test_a_failure_at_the_last_moment_is_thawed(run, root, bus, web):
    """That the interpreter is missing is known only when it is started."""
    script = bus.new_file("script")
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    result = run("run", "web", "--", str(script))
    assert result.code == 127 and str(script) in result.error
    assert len(created(root)) == 1
    assert root.get(web, "FreezeState") == "thawed"


@pytest.mark.parametrize("arguments, code, message", [
    (["off", "true"], 1, "off"), (["nix", "true"], 1, "There is no domain with the name “nix”"),
    (["web", "--disk", "vdz", "true"], 1, "vdz"),
    (["web", "--hold", "1h", "true"], 1, "MaxHold"),
    (["web", "--reason", "x\ny", "true"], 1, "control characters")])
def test_what_cannot_be_frozen(run, root, arguments, code, message):
    """Then the command is not run."""
    result = run("run", *arguments[:-1], "--", "echo", "ran")
    assert (result.code, result.out) == (code, "")
    assert message in result.error
    assert result.error.count("\n") == 1


def test_not_authorized(run, root):
    result = run("run", "web", "--", "echo", "ran", user=NOBODY)
    assert (result.code, result.out) == (3, "")
    assert "Not authorized" in result.error
    result = run("--no-ask-password", "run", "web", "--", "echo", "ran", user=NOBODY)
    assert result.code == 3
    assert "password is needed" in result.error
    assert root.freezes() == []


# Lost

def test_a_deadline_is_told_at_once(begin, root, web):
    command = begin("run", "web", "--hold", "50ms", "--", *CHILD)
    command.line()
    command.wait_error("expired")
    # The command goes on all the same.
    result = command.finish()
    assert result.code == 4
    assert result.error.count("\n") == 1
    assert "“web” did not hold" in result.error and "discard" in result.error


def test_lost_while_the_command_fails(begin, root, web):
    command = begin("run", "web", "--", *CHILD, "SIGUSR1")
    command.line()
    root.thaw_all(web)
    command.wait_error("thawed-by-other")
    command.send(signal.SIGUSR1)
    assert command.wait_line("SIGUSR1")
    assert command.code() == 4


def test_thaw_that_says_lost(begin, root, web):
    """Where it is the answer of Thaw that tells, the code is the same: virt-freeze is stopped
    until the command has ended, and sees both at once."""
    command = begin("run", "web", "--", *CHILD)
    command.line()
    command.send(signal.SIGSTOP)
    root.thaw_all(web)
    command.popen.stdin.close()
    command.popen.stdin = None
    command.send(signal.SIGCONT)
    assert command.finish().code == 4
    assert command.error.count("discard") == 1


def test_lost_with_standard_error_closed(begin, root, web):
    """Who cannot be told gets the code all the same."""
    reader, writer = os.pipe()
    command = begin("run", "web", "--", *CHILD, stderr=writer)
    os.close(writer)
    command.line()
    os.close(reader)
    root.thaw_all(web)
    assert command.finish().code == 4


# Groups

def test_a_group(begin, root):
    command = begin("run", "--domain", "web", "--disk", "vda", "--domain", "db", "--hold", "20s",
                    "--", *CHILD)
    assert command.line() == "ready"
    freezes = [root.properties(path) for path in root.freezes()]
    assert {(freeze["Domain"], tuple(freeze["Disks"])) for freeze in freezes} == {
        (root.domain("web"), ("vda",)), (root.domain("db"), ())}
    assert command.finish() == (0, "", "")
    assert root.freezes() == []


def test_a_group_of_which_one_is_lost(begin, root, web):
    command = begin("run", "--domain", "db", "--domain", "web", "--", *CHILD)
    command.line()
    root.thaw_all(web)
    command.wait_error("“web” did not hold")
    result = command.finish()
    assert result.code == 4 and "“db”" not in result.error
    assert root.freezes() == []


def test_a_group_that_cannot_be_frozen(run, root):
    result = run("run", "--domain", "web", "--domain", "off", "--", "echo", "ran")
    assert (result.code, result.out) == (1, "")
    assert root.freezes() == []
