# SPDX-License-Identifier: LGPL-2.1-or-later
"""`./run guest`: beside a booted guest, a bus with polkit and the service, and a shell."""

import os
import pwd
import subprocess
import sys

import gi

gi.require_version("Gio", "2.0")

from harness import box, guest
from harness.bus import Bus, Polkit, Service

HINT = """
The service serves guest “{name}”: /mnt/a is on vdx, /mnt/b on vdy, /mnt/span on vdz and vdaa.

    busctl tree org.virtfreeze1
    busctl call org.virtfreeze1 $guest org.virtfreeze1.Domain \\
        FreezeWithOptions 'asa{{sv}}' 1 vdx 1 lifetime s lease
    busctl introspect org.virtfreeze1 $guest/freeze/1
    busctl call org.virtfreeze1 $guest/freeze/1 org.virtfreeze1.Freeze Thaw
    busctl monitor org.virtfreeze1     what it tells
    tail -f {messages}     the service's messages
    tail -f LOG                            that of above: the guest's writers, which stop
    virsh domfsthaw {name}            behind its back
    setpriv --reuid {nobody} --regid 65534 --clear-groups bash     a user who may do nothing

"exit" ends it all.
"""


def play() -> int:
    """Inside: the guest is up."""
    bus = Bus()
    try:
        polkit = Polkit(bus)
        service = Service(bus, uri=os.environ["LIBVIRT_DEFAULT_URI"])
        name = os.environ["VIRTFREEZE_GUEST"]
        print(HINT.format(name=name, messages=service.log,
                          nobody=pwd.getpwnam(box.NOBODY).pw_uid), file=sys.stderr)
        status = subprocess.run([os.environ.get("SHELL", "/bin/bash")],
                                env={**os.environ, **bus.environment(),
                                     "guest": bus.client().domain(name)}).returncode
        service.stop()
        polkit.stop()
        return status
    finally:
        bus.close()


def main() -> int:
    # First, since libvirtd has to know the user of the service, too.
    box.enter()
    if "VIRTFREEZE_GUEST" in os.environ:
        return play()
    sys.argv[1:] = ["--", sys.executable, "-m", "harness.shell"]
    return guest.main()


if __name__ == "__main__":
    sys.exit(main())
