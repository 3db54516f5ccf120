#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# backup-image.sh DOMAIN DISK IMAGE COPY: copies the image of a disk while it is frozen, for small
# images, or where files can share blocks (XFS, btrfs). For cron; see virtfreeze-backup.cron.
#
# The copy of before is replaced only by one that is good.
set -eu
umask 077
domain=$1 disk=$2 image=$3 copy=$4

trap 'rm -f -- "$copy.new"' EXIT
trap 'exit 1' HUP INT TERM
virt-freeze run "$domain" --disk "$disk" --hold 60s --reason "nightly backup" \
    --no-ask-password -- cp --sparse=always --reflink=auto -- "$image" "$copy.new"
mv -- "$copy.new" "$copy"
