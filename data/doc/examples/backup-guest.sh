#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# backup-guest.sh STEP DOMAIN [FOLDER]: what backup@.service does before and after the guest is
# frozen. Notes its images (images), copies them (copy), and lets the guest write to them again
# (merge), whatever has become of the snapshot. In $RUNTIME_DIRECTORY it keeps its notes.
set -eu
step=$1 domain=$2 folder=${3:-}
notes=$RUNTIME_DIRECTORY/images

virsh() {
    command virsh --quiet --connect qemu:///system "$@"
}
images() {
    virsh domblklist "$domain" --details | awk '$1 == "file" && $2 == "disk" { print $3, $4 }'
}

case $step in
images)
    images >"$notes"
    ;;
copy)
    mkdir -p "$folder"
    while read -r disk image; do
        cp --sparse=always --reflink=auto -- "$image" "$folder/$disk.img"
    done <"$notes"
    ;;
merge)
    [ -e "$notes" ] || exit 0   # it got no further
    images | while read -r disk now; do
        grep -qxF -- "$disk $now" "$notes" && continue
        virsh blockcommit "$domain" "$disk" --active --pivot </dev/null
        rm -- "$now"
    done
    ;;
esac
