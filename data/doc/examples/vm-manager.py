#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vm-manager.py: what a desktop program for virtual machines does with virtfreeze, without windows.

It stays connected and shows all guests, live. On standard input it takes

    freeze GUEST [DISK...]
    thaw GUEST
    quit

Where a password is needed the user's polkit agent asks for it; the program goes on meanwhile. What
it has frozen is released when it ends, however that happens.
"""

import sys

from gi.repository import Gio, GLib

SERVICE = "org.virtfreeze1"
ROOT = "/org/virtfreeze1"
DOMAIN = "org.virtfreeze1.Domain"
FREEZE = "org.virtfreeze1.Freeze"
LOST = "org.virtfreeze1.Error.ConsistencyLost"
# ms: a prompt may take 5 min; the service answers after that.
PATIENCE = 6 * 60 * 1000


def say(text: str):
    print(text, flush=True)


class Manager:

    def __init__(self, loop: GLib.MainLoop):
        self.loop = loop
        self.shown = {}       # path of a domain → its line
        self.mine = {}        # name of a guest → paths of our freezes
        self.pending = False
        # Starts the service. It follows ObjectManager and all properties; if the service restarts,
        # objects go and come again.
        self.objects = Gio.DBusObjectManagerClient.new_for_bus_sync(
            Gio.BusType.SYSTEM, Gio.DBusObjectManagerClientFlags.NONE, SERVICE, ROOT)
        for signal in ("object-added", "object-removed", "interface-proxy-properties-changed"):
            self.objects.connect(signal, self.changed)
        self.objects.connect("notify::name-owner", self.owner_changed)
        self.objects.connect("interface-proxy-signal", self.told)
        self.input = Gio.DataInputStream.new(Gio.UnixInputStream.new(0, False))
        self.read()
        self.changed()

    # What there is

    def all(self, interface: str) -> list[Gio.DBusProxy]:
        proxies = [item.get_interface(interface) for item in self.objects.get_objects()]
        return [proxy for proxy in proxies if proxy]

    @staticmethod
    def get(proxy: Gio.DBusProxy, name: str):
        value = proxy.get_cached_property(name)
        return value.unpack() if value is not None else None

    def find(self, name: str) -> Gio.DBusProxy | None:
        return next((domain for domain in self.all(DOMAIN) if self.get(domain, "Name") == name),
                    None)

    def line(self, domain: Gio.DBusProxy) -> str:
        agent = "agent" if self.get(domain, "AgentConnected") else "no agent"
        text = f"{self.get(domain, 'State')}, {agent}, {self.get(domain, 'FreezeState')}"
        for freeze in self.all(FREEZE):
            if self.get(freeze, "Domain") == domain.get_object_path():
                number = freeze.get_object_path().rpartition("/")[2]
                text += f"; #{number} {self.get(freeze, 'State')}"
                if reason := self.get(freeze, "Reason"):
                    text += f" ({reason})"
        return f"{self.get(domain, 'Name')}: {text}"

    def changed(self, *_):
        """Several signals at once are shown once."""
        if not self.pending:
            self.pending = True
            GLib.idle_add(self.show)

    def owner_changed(self, *_):
        if not self.objects.props.name_owner:
            say("the service is not there")
            self.shown = {}   # all is shown again when it comes back

    def show(self) -> bool:
        self.pending = False
        lines = {domain.get_object_path(): self.line(domain) for domain in self.all(DOMAIN)}
        for path, line in lines.items():
            if self.shown.get(path) != line:
                say(line)
        for path in self.shown.keys() - lines.keys():
            say(f"{self.shown[path].partition(':')[0]}: gone")
        self.shown = lines
        return GLib.SOURCE_REMOVE

    def told(self, _manager, _object, proxy, _sender, signal: str, arguments: GLib.Variant):
        """Lost: at once, not only when it is thawed."""
        for name, paths in self.mine.items():
            if signal == "Lost" and proxy.get_object_path() in paths:
                say(f"{name}: the freeze did not hold ({arguments.unpack()[0]}); discard the copy")

    # What the user wants

    def read(self):
        self.input.read_line_async(GLib.PRIORITY_DEFAULT, None, self.on_line)

    def on_line(self, stream, result):
        line, _length = stream.read_line_finish_utf8(result)
        words = (line or "quit").split()
        if words == ["quit"]:
            self.loop.quit()
            return
        if len(words) >= 2 and words[0] == "freeze":
            self.freeze(words[1], words[2:])
        elif len(words) == 2 and words[0] == "thaw":
            self.thaw(words[1])
        elif words:
            say("freeze GUEST [DISK...], thaw GUEST, or quit")
        self.read()

    def freeze(self, name: str, disks: list[str]):
        domain = self.find(name)
        if not domain:
            say(f"{name}: there is no such guest")
            return

        def done(proxy, result):
            try:
                [path] = proxy.call_finish(result).unpack()
            except GLib.Error as error:
                self.failed(name, error)
            else:
                self.mine.setdefault(name, []).append(path)
                say(f"{name}: frozen for you")

        options = {"reason": GLib.Variant("s", "by hand")}
        domain.call("FreezeWithOptions", GLib.Variant("(asa{sv})", (disks, options)),
                    Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION, PATIENCE, None, done)

    def thaw(self, name: str):
        def done(bus, result):
            try:
                bus.call_finish(result)
            except GLib.Error as error:
                self.failed(name, error)
            else:
                say(f"{name}: it was frozen all the time")

        paths = self.mine.pop(name, [])
        if not paths:
            say(f"{name}: you have not frozen it")
        for path in paths:
            self.objects.get_connection().call(
                SERVICE, path, FREEZE, "Thaw", None, None, Gio.DBusCallFlags.NONE, PATIENCE, None,
                done)

    @staticmethod
    def failed(name: str, error: GLib.Error):
        known = Gio.DBusError.get_remote_error(error)
        advice = "; discard the copy" if known == LOST else ""
        say(f"{name}: {error.message.removeprefix(f'GDBus.Error:{known}: ')}{advice}")


def main() -> int:
    loop = GLib.MainLoop()
    try:
        manager = Manager(loop)
    except GLib.Error as error:
        print(error.message, file=sys.stderr)
        return 1
    manager.objects.get_connection().set_exit_on_close(True)
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
