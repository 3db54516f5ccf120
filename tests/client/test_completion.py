# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion, in a real bash and a real zsh, of what the service has."""

import re
import subprocess
from pathlib import Path

import pytest

from command import program
from harness.box import SOURCE
from harness.node import Domain, Node

ODD = ["two words", "semi;colon", "$(touch never)", "日本"]


@pytest.fixture
def service(start, bus):
    return start(uri=Node(bus.new_file("node.xml"), Domain("web", ("vda", "vdb")), Domain("db"),
                          *map(Domain, ODD)).uri)


@pytest.fixture
def environment(bus, service):
    return {"PATH": f"{Path(program()).parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            "HOME": "/nonexistent", "TERM": "dumb", **bus.environment()}


BASH = """
compopt() {{ :; }}   # of readline, which does not run here
{library}
source {file}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${{#COMP_LINE}}
_virt_freeze
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(params=["alone", "bash-completion"])
def bash(request, environment):
    """What bash offers for the last of the words, as it is to be inserted."""
    library = "source /usr/share/bash-completion/bash_completion" if request.param != "alone" \
        else ""
    script = BASH.format(library=library, file=SOURCE / "client/completion.bash")

    def bash(*words):
        result = subprocess.run(["bash", "-c", script, "bash", "virt-freeze", *words], text=True,
                                capture_output=True, env=environment, timeout=30)
        assert result.stderr == ""
        return result.stdout.split("\n")[:-1] if result.stdout.strip() else []
    return bash


COMMANDS = ["list", "status", "run", "freeze", "thaw", "monitor"]


def test_bash_commands(bash):
    assert bash("") [:6] == COMMANDS
    assert bash("m") == ["monitor"]
    assert bash("--ses") == ["--session"]
    assert bash("--no-ask-password", "st") == ["status"]


@pytest.mark.parametrize("command", ["status", "run", "freeze"])
def test_bash_domains(bash, command):
    assert {"web", "db", r"two\ words", r"semi\;colon"} <= set(bash(command, ""))
    assert bash(command, "w") == ["web"]
    assert bash(command, r"two\ ") == [r"two\ words"]
    assert bash(command, "nix") == []


def test_bash_values(bash):
    assert bash("run", "--domain", "w") == ["web"]
    assert bash("thaw", "--force", "d") == ["db"]
    assert bash("run", "web", "--disk", "") == ["vda", "vdb"]
    assert bash("run", "--domain", "db", "--disk", "") == ["vda"]
    assert bash("run", "--domain", "db", "--disk", "vda", "--domain", "web", "--disk", "vdb") == [
        "vdb"]
    assert bash("freeze", r"two\ words", "--disk", "") == ["vda"]
    assert bash("run", "--scope", "") == ["auto", "disks", "domain"]
    assert bash("run", "--reason", "") == []


def test_bash_options(bash):
    assert bash("run", "web", "--h") == ["--help", "--hold"]
    assert bash("list", "--w") == ["--watch"]
    assert bash("thaw", "--a") == ["--all"]


def test_bash_freezes(bash, root, web):
    freeze = root.freeze(web, lifetime="lease")
    assert bash("thaw", "") == [freeze]


def test_bash_completes_the_command(bash):
    assert "setpriv" in bash("run", "web", "--", "setpri")
    assert "virt-freeze" not in bash("run", "web", "--", "setpri")


def test_nothing_that_is_typed_is_executed(bash, environment, tmp_path):
    mark = tmp_path / "mark"
    bash("run", f"$(touch\t{mark})", "--disk", "")
    bash("run", f"`touch\t{mark}`", "--disk", "")
    assert not mark.exists()


def test_bash_without_a_service(bash, service):
    service.stop()
    assert bash("run", "") == []


# zsh: in a terminal of its own, as a person would press the key.

CAPTURE = r"""
emulate zsh
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PROMPT=; unset zle_bracketed_paste; fpath=($2 \$fpath); autoload -Uz compinit"
zpty -w z "compinit -u -D"
zpty -w z 'compadd () {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi
  typeset -a __hits
  builtin compadd -A __hits -D __none "$@"
  builtin compadd -A __hits "$@"
  print -rl -- "HIT:"${^__hits} >>$OUT
  builtin compadd "$@"
}'
zpty -w z "OUT=$1"
zpty -w z 'finish () { print END >>$OUT }; zle -N finish; bindkey "^T" finish'
zpty -w z 'bindkey "^I" complete-word'
zpty -n -w z "$3"$'\t'$'\x14'
while [[ ! -e $1 ]] || ! grep -q END $1; do zpty -r -t z line || read -t 0.01 </dev/null; done
zpty -d z
"""


@pytest.fixture
def zsh(environment, tmp_path):
    """What zsh offers where that is typed."""
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "_virt-freeze").symlink_to(SOURCE / "client/completion.zsh")
    numbers = iter(range(100))

    def zsh(typed):
        out = tmp_path / f"out{next(numbers)}"
        subprocess.run(["zsh", "-f", "-c", CAPTURE, "zsh", str(out), str(folder), typed],
                       capture_output=True, env=environment, timeout=60, check=True)
        return {line[4:] for line in out.read_text().splitlines() if len(line) > 4
                and line.startswith("HIT:")}
    return zsh


def test_zsh_commands(zsh):
    assert set(COMMANDS) <= zsh("virt-freeze ")


def test_zsh_domains(zsh):
    # As they are inserted: quoted.
    assert {"web", "db", *(re.sub(r"([^\w])", r"\\\1", name) for name in ODD)} <= zsh(
        "virt-freeze run ")
    assert zsh("virt-freeze status w") == {"web"}
    assert zsh("virt-freeze thaw --domain w") == {"web"}


def test_zsh_disks(zsh):
    assert zsh("virt-freeze run web --disk ") == {"vda", "vdb"}
    assert zsh("virt-freeze run --domain db --disk ") == {"vda"}
    assert zsh("virt-freeze freeze two\\ words --disk ") == {"vda"}


def test_zsh_freezes(zsh, root, web):
    freeze = root.freeze(web, lifetime="lease")
    assert freeze in zsh("virt-freeze thaw ")


def test_zsh_completes_the_command(zsh):
    assert "setpriv" in zsh("virt-freeze run web -- setpri")
