#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# image.sh OUTDIR: makes OUTDIR/vmlinux and OUTDIR/initramfs, the guest of the `guest` suite.
#
# The kernel and its modules come out of Debian's cloud kernel package, which is unpacked and never
# installed; everything else is copied from this machine. Each half is made again only when what
# goes into it has changed, so that a second run costs a few hundred milliseconds.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: image.sh OUTDIR}

# What the guest runs, besides busybox, guest-init and the writer. dash is its sh, as in Debian: the
# sh of busybox prefers the fsfreeze of busybox, which knows no short options, to the one in PATH.
programs=(qemu-ga fsfreeze dmsetup dash)
# What the guest can load. ext4 is built in.
modules=(virtio_pci virtio_blk virtio_console dm-mod xfs vfat nls_ascii nls_cp437)

die() {
    echo "image.sh: $*" >&2
    exit 1
}

PATH=$PATH:/usr/sbin:/sbin
for tool in "${programs[@]}" apt-get busybox cc cpio dpkg-deb flock ldd lz4 sha256sum; do
    command -v "$tool" >/dev/null || die "$tool is missing"
done
! ldd "$(command -v busybox)" >/dev/null 2>&1 || die "busybox is not static: install busybox-static"

mkdir -p "$out"
out=$(cd "$out" && pwd)
exec 9>"$out/lock"
flock 9
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Every program and library that is copied, one absolute path a line.
copied_files() {
    local program path
    for program in "${programs[@]}"; do
        path=$(command -v "$program")
        echo "$path"
        ldd "$path" | grep -o '/[^ ]*'
    done | sort -u
}

# Prints the path of a module after those of the modules that it needs.
with_dependencies() { # MODULE
    local paths
    read -ra paths < <(grep "/$1\.ko:" "$tree/modules.dep" | tr -d :) || die "no module $1"
    # modules.dep has them the other way round.
    printf '%s\n' "${paths[@]}" | tac
}

# The ELF kernel inside a bzImage, found by the offsets in its header (boot protocol 2.08).
uncompressed() { # BZIMAGE
    local sectors offset length
    sectors=$(od -An -tu1 -j497 -N1 "$1")
    offset=$(od -An -tu4 -j584 -N4 "$1")
    length=$(od -An -tu4 -j588 -N4 "$1")
    # The last four bytes are the size.
    dd if="$1" bs=1M iflag=skip_bytes,count_bytes status=none \
        skip=$(((sectors + 1) * 512 + offset)) count=$((length - 4)) | lz4 -dc
}

build_kernel() {
    local package=$1 release tree module path paths
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package") ||
        die "cannot download $package"
    dpkg-deb -x "$work"/*.deb "$work/deb"
    release=$(basename "$work"/deb/boot/vmlinuz-*)
    release=${release#vmlinuz-}
    tree=$work/deb/lib/modules/$release
    busybox depmod -b "$work/deb" "$release"
    rm -rf "$out/modules"
    mkdir "$out/modules"
    for module in "${modules[@]}"; do
        paths=$(with_dependencies "$module")
        for path in $paths; do
            cp -u "$tree/$path" "$out/modules/"
            basename "$path"
        done >"$out/modules/$module.order"
    done
    # QEMU takes either kind. Under emulation the guest needs half a second to decompress its
    # kernel, and five after a reset, when it overwrites code that was translated before.
    uncompressed "$work/deb/boot/vmlinuz-$release" >"$out/vmlinux" ||
        cp "$work/deb/boot/vmlinuz-$release" "$out/vmlinux"
}

build_initramfs() {
    local root=$work/root file applet
    mkdir -p "$root"/{dev,etc,mnt,proc,root,run,sys,tmp,usr/{bin,sbin,lib,lib64}}
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root"
    while read -r file; do
        mkdir -p "$root${file%/*}"
        cp -L "$file" "$root$file"
    done < <(copied_files)
    cp "$(command -v busybox)" "$root/usr/bin/busybox"
    ln -s dash "$root/usr/bin/sh"
    for applet in $(busybox --list); do
        # The real programs win.
        [[ -e $root/usr/sbin/$applet || -e $root/usr/bin/$applet ]] ||
            ln -s busybox "$root/usr/bin/$applet"
    done
    "${CC:-cc}" -O2 -Wall -static -o "$root/usr/bin/guest-writer" "$here/guest-writer.c"
    cp -r "$out/modules" "$root/usr/lib/modules"
    install -m 755 "$here/guest-agent" "$root/usr/bin/guest-agent"
    install -m 755 "$here/guest-init" "$root/init"
    # What qemu-ga calls for guest-shutdown.
    install -m 755 /dev/stdin "$root/usr/sbin/shutdown" <<'END'
#!/bin/sh
case $1 in
    -r) reboot -f ;;
    *) poweroff -f ;;
esac
END
    (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$work/initramfs"
    mv "$work/initramfs" "$out/initramfs"
}

# A newer kernel alone is no reason to make it again.
kernel_inputs=$(declare -p modules; declare -f with_dependencies uncompressed build_kernel)
if [[ $(cat "$out/kernel.stamp" 2>/dev/null) != "$kernel_inputs" ]]; then
    rm -f "$out"/{kernel,initramfs}.stamp
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2; exit }')
    [[ $package == linux-image-* ]] ||
        die "apt does not know linux-image-cloud-amd64: run apt-get update"
    build_kernel "$package"
    echo "$kernel_inputs" >"$out/kernel.stamp"
fi

initramfs_inputs=$(copied_files | xargs -d '\n' sha256sum "$(command -v busybox)" \
    "$out"/modules/* "$here"/{image.sh,guest-agent,guest-init,guest-writer.c} | sha256sum)
if [[ $(cat "$out/initramfs.stamp" 2>/dev/null) != "$initramfs_inputs" ]]; then
    build_initramfs
    echo "$initramfs_inputs" >"$out/initramfs.stamp"
fi
