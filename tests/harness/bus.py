# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts around a test: a bus of its own, polkitd, and the service, each the real program."""

import contextlib
import functools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from harness import box
from harness.client import Client
from harness.connection import BUS, TIMEOUT, Connection, run_as

NAME = "org.virtfreeze1"
POLKIT = "org.freedesktop.PolicyKit1"

# Of the system's own configuration what matters: nobody calls anybody, or owns a name, unless a
# package's file allows it.
SYSTEM_CONF = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <policy user="root"><allow own="org.freedesktop.PolicyKit1"/></policy>
  <policy user="polkitd">
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_interface="org.freedesktop.PolicyKit1.AuthenticationAgent"/>
  </policy>
  <include>{source}/data/org.virtfreeze1.conf</include>
</busconfig>
"""

SESSION_CONF = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def wait_until(condition, what: str, timeout: float = TIMEOUT):
    """For what no event tells: polls every 5 ms."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: nothing for {timeout:g} s")
        time.sleep(0.005)
    return result


class Process:
    """A program that ends with us. Its standard error is kept."""

    def __init__(self, command: list, user: str | None, environment: dict[str, str], log: Path):
        self.log = log
        with open(log, "ab") as output:
            self._popen = subprocess.Popen(
                [*run_as(user), *map(str, command)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment})

    @property
    def pid(self) -> int:
        return self._popen.pid

    def is_running(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: int):
        self._popen.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """The exit status."""
        return self._popen.wait(timeout)

    def messages(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_message(self, text: str, timeout: float = TIMEOUT):
        wait_until(lambda: text in self.messages(), f"message “{text}”", timeout)

    def stop(self, number: int = signal.SIGTERM, timeout: float = TIMEOUT) -> int:
        """Sends a signal, and SIGKILL if it does not end by that; returns the exit status."""
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise

    def kill(self):
        self._popen.kill()
        self._popen.wait()


class Bus:
    """A dbus-daemon. `session`: of the kind without policy, that needs no root."""

    def __init__(self, session: bool = False):
        self.session = session
        # A short path, since that of a socket has 107 bytes; open to other users.
        self.folder = Path(tempfile.mkdtemp(prefix="vf-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.path = str(self.folder / "bus")
        self.address = f"unix:path={self.path}"
        self._numbers = iter(range(1000))
        conf = self.folder / "bus.conf"
        template = SESSION_CONF if session else SYSTEM_CONF
        conf.write_text(template.format(path=self.path, source=box.SOURCE))
        self.start()

    def start(self):
        reader, writer = os.pipe()
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "dbus-daemon", "--nofork", "--nopidfile",
             f"--config-file={self.folder}/bus.conf", f"--print-address={writer}"],
            pass_fds=[writer], stdin=subprocess.DEVNULL,
            stderr=open(self.folder / "bus.log", "ab"))
        os.close(writer)
        with open(reader) as ready:
            if not ready.readline():
                raise RuntimeError((self.folder / "bus.log").read_text())
        self._own = Connection(self.path)

    def stop(self):
        """Every connection ends."""
        self._own.close()
        self._process.terminate()
        self._process.wait()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        return {f"DBUS_{'SESSION' if self.session else 'SYSTEM'}_BUS_ADDRESS": self.address}

    def new_file(self, name: str) -> Path:
        return self.folder / f"{next(self._numbers)}-{name}"

    def new_folder(self, name: str, user: str | None = None) -> Path:
        folder = self.new_file(name)
        folder.mkdir()
        if user:
            shutil.chown(folder, user)
        return folder

    def client(self, user: str | None = None) -> Client:
        return Client(self.path, user)

    def has(self, name: str) -> bool:
        return self._own.call(*BUS, "org.freedesktop.DBus.NameHasOwner", "s", name)

    def get(self, name: str, path: str, interface: str, key: str):
        return self._own.call(name, path, "org.freedesktop.DBus.Properties.Get", "ss", interface,
                              key)

    def wait_name(self, name: str, process: Process, timeout: float = TIMEOUT):
        """Until the process owns the name."""
        rule = f"type='signal',member='NameOwnerChanged',arg0='{name}'"
        self._own.match(rule)
        deadline = time.monotonic() + timeout
        while not self.has(name):
            if not process.is_running():
                raise RuntimeError(f"{name}: it ended: {process.messages()}")
            # In steps, to see it end.
            with contextlib.suppress(TimeoutError):
                self._own.wait_signal("NameOwnerChanged", timeout=0.2)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} did not appear: {process.messages()}")
        self._own.call(*BUS, "org.freedesktop.DBus.RemoveMatch", "s", rule)
        self._own.received.clear()

    def wait_name_gone(self, name: str):
        wait_until(lambda: not self.has(name), f"end of {name}")


class Polkit:
    """polkitd, with the policy of this project, its rules, and those of the test."""

    def __init__(self, bus: Bus, rules: str = ""):
        self._bus = bus
        self._process: Process | None = None
        self.set_rules(rules)

    def set_rules(self, rules: str):
        """Starts it anew with these rules of the administrator."""
        self.stop()
        box.set_rules(rules)
        self.start()

    def messages(self) -> str:
        return self._process.messages() if self._process else ""

    def start(self):
        log = self._bus.new_file("polkitd.log")
        self._process = Process([*undisturbed(), box.POLKITD], None, self._bus.environment(), log)
        self._bus.wait_name(POLKIT, self._process)

    def pause(self):
        """It is there, and answers nothing. Returns when it has stopped."""
        self._process.send(signal.SIGSTOP)
        wait_until(lambda: state_of(self._process.pid) == "T", "stopped polkitd")

    def resume(self):
        self._process.send(signal.SIGCONT)

    def stop(self):
        if self._process:
            self._process.kill()
            self._process = None
            self._bus.wait_name_gone(POLKIT)


@functools.cache
def undisturbed() -> list[str]:
    """The beginning of a command line: the rest runs on one processor, and no other process gets
    between. polkitd 122 hangs for 15 s when it is interrupted in the wrong moment: it waits for a
    thread without looking whether that has ended already."""
    command = ["chrt", "--fifo", "1", "taskset", "--cpu-list",
               str(min(os.sched_getaffinity(0)))]
    possible = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if possible else []


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Service(Process):
    """virtfreezed. `config` are lines of its [Freeze] section, or a whole file."""

    def __init__(self, bus: Bus, *options: str, config: str = "",
                 uri: str | None = "test:///default", user: str | None = None, wait: bool = True,
                 state_dir: Path | None = None):
        """`wait`: until it is ready. `state_dir`: that of an earlier one, to go on from there."""
        if user is None and not bus.session:
            user = box.SERVICE_USER
        self.config = bus.new_file("virtfreezed.conf")
        self.set_config(config)
        self.state_dir = state_dir or bus.new_folder("state", user)
        command = [*wrapper(), daemon(), "--config", self.config, "--state-dir", self.state_dir,
                   *options]
        if uri is not None:
            command += ["--uri", uri]
        if bus.session:
            command.append("--session")
        super().__init__(command, user,
                         {"HOME": "/nonexistent", **sanitizer_options(), **bus.environment()},
                         bus.new_file("virtfreezed.log"))
        if wait:
            bus.wait_name(NAME, self)
        if wait and wrapper() and uri == "test:///default":
            # It takes its name after 2 s, connected or not.
            wait_until(lambda: bus.get(NAME, "/org/virtfreeze1", "org.virtfreeze1.Manager",
                                       "Connected"), "connection to libvirt")

    def set_config(self, config: str):
        """Read at the next start, or reload()."""
        if "[" not in config:
            config = f"[Freeze]\n{config}"
        self.config.write_text(config)

    def add_drop_in(self, name: str, config: str):
        folder = Path(f"{self.config}.d")
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(config)

    def reload(self):
        self.send(signal.SIGHUP)

    def close(self) -> str:
        """Ends it if it runs. Returns what is wrong with how it behaved, in its own words."""
        if self.is_running() and (status := self.stop()) != 0:
            return f"exit status {status}: {self.messages()}"
        bad = ("CRITICAL", "GLib-WARNING", "GLib-GObject-WARNING", "GLib-GIO-WARNING", "ERROR",
               "runtime error", "Sanitizer")
        lines = [line for line in self.messages().splitlines()
                 if any(word in line for word in bad)]
        return "\n".join(lines)


def daemon() -> str:
    """The program that is tested."""
    return os.environ.get("VIRTFREEZED") or str(box.SOURCE / "build/service/virtfreezed")


def wrapper() -> list[str]:
    """What it is run under, such as valgrind."""
    return shlex.split(os.environ.get("VIRTFREEZED_WRAPPER", ""))


def sanitizer_options() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}
