# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts that libvirt's test driver plays: Node(file, Domain("web", disks=("vda",)), ...).uri

Their state is that of the process that opens it. / and /boot are on the first disk.
"""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

RUNNING, PAUSED, SHUTOFF = 1, 3, 5   # virDomainState


@dataclass
class Domain:
    name: str
    disks: tuple[str, ...] = ("vda",)
    state: int = RUNNING
    transient: bool = False
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def path(self) -> str:
        return f"/org/virtfreeze1/domain/_{self.uuid.replace('-', '_')}"

    def source(self, target: str) -> str:
        """The path of a disk's image. There is no such file."""
        return f"/images/{self.name}-{target}.img"

    def xml(self) -> str:
        disks = "".join(f"""
          <disk type='file' device='disk'>
            <source file={quoteattr(self.source(target))}/><target dev='{target}' bus='virtio'/>
          </disk>""" for target in self.disks)
        return f"""
      <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
        <name>{escape(self.name)}</name>
        <uuid>{self.uuid}</uuid>
        <memory>65536</memory>
        <vcpu>1</vcpu>
        <os><type>hvm</type></os>
        {"<test:transient>1</test:transient>" if self.transient else ""}
        <test:runstate>{self.state}</test:runstate>
        <devices>{disks}
        </devices>
      </domain>"""


class Node:

    def __init__(self, file: Path, *domains: Domain):
        file.write_text(f"<node>{''.join(domain.xml() for domain in domains)}</node>")
        file.chmod(0o644)
        self.uri = f"test://{file}"
