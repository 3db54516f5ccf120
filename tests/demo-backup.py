# SPDX-License-Identifier: LGPL-2.1-or-later
"""Part of the demo: a program that freezes a guest and works, until it is killed."""

import sys

from gi.repository import Gio, GLib

bus = Gio.bus_get_sync(Gio.BusType.SESSION)
freeze, = bus.call_sync(
    "org.virtfreeze1", sys.argv[1], "org.virtfreeze1.Domain", "Freeze",
    GLib.Variant("(as)", (["vda"],)), None, Gio.DBusCallFlags.NONE, -1, None)
print(f"demo-backup: holds {freeze}", flush=True)
GLib.MainLoop().run()
