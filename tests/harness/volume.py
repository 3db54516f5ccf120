# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks of test guests, with filesystems made on the host."""

import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Volume:
    """A filesystem at /mnt/NAME on one disk, or on several as one device-mapper device.

    Named `root`, it becomes the root filesystem. Without a type, its disks are blank.
    """
    name: str
    targets: tuple[str, ...]
    type: str = ""
    mib: int = 64   # of each disk

    def serials(self) -> list[str]:
        """What tells guest-init what to do with each disk."""
        if not self.type:
            return [self.name] * len(self.targets)
        if len(self.targets) == 1:
            return [f"{self.type}-{self.name}"]
        return [f"{self.type}-{self.name}-{part}" for part in range(len(self.targets))]

    def make(self, folder: Path) -> list[Path]:
        """Makes the images, sparse, one for each target."""
        whole = folder / f"{self.name}.whole"
        with open(whole, "wb") as image:
            image.truncate(self.mib * len(self.targets) << 20)
        if self.type == "vfat":
            self._make_efi(whole)
        elif self.type == "ext4":
            # Nothing is left for the guest's kernel to initialize in the background.
            self._run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                      whole)
        elif self.type:
            self._run(f"mkfs.{self.type}", "-q", whole)

        parts = [folder / f"{target}.img" for target in self.targets]
        if len(parts) == 1:
            whole.rename(parts[0])
        else:
            for number, part in enumerate(parts):
                self._run("dd", f"if={whole}", f"of={part}", "bs=1M", f"count={self.mib}",
                          f"skip={self.mib * number}", "conv=sparse", "status=none")
                os.truncate(part, self.mib << 20)
            whole.unlink()
        return parts

    def _make_efi(self, image: Path):
        """One partition of type EFI, at 1 MiB, in a DOS partition table."""
        start, end = 2048, self.mib * 2048
        entry = struct.pack("<B3sB3sII", 0, b"\0\0\0", 0xef, b"\0\0\0", start, end - start)
        with open(image, "r+b") as table:
            table.seek(446)
            table.write(entry)
            table.seek(510)
            table.write(b"\x55\xaa")
        self._run("mkfs.vfat", "--offset", start, image, (end - start) // 2)

    @staticmethod
    def _run(*command):
        subprocess.run([str(word) for word in command], check=True, capture_output=True,
                       env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


# The targets are no guide to the guest's names: what libvirt calls vda is not /dev/vda there.
BLANK = Volume("blank", ("vda",))
VOLUMES = (
    Volume("a", ("vdx",), "ext4"),
    Volume("b", ("vdy",), "xfs", 320),   # mkfs.xfs refuses less than 300 MiB
    Volume("span", ("vdz", "vdaa"), "ext4"),
    Volume("efi", ("vdab",), "vfat"),
    BLANK,
)
# For tests that need many guests.
SMALL = (Volume("a", ("vdx",), "ext4"), Volume("b", ("vdy",), "ext4"))
