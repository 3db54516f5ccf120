#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# busctl-lease.sh DOMAIN COMMAND [ARG...]: holds all disks of a guest frozen while a command runs,
# for 30 s at most, with nothing but busctl. Believe the copy only if the exit status is 0.
#
# Every busctl is a caller of its own, which leaves the bus at once: hence the lease.
set -eu
name=$1
shift

domain=$(busctl call org.virtfreeze1 /org/virtfreeze1 org.virtfreeze1.Manager GetDomain s "$name")
domain=$(echo "$domain" | cut -d '"' -f 2)
freeze=$(busctl call org.virtfreeze1 "$domain" org.virtfreeze1.Domain FreezeWithOptions 'asa{sv}' \
    0 3 lifetime s lease hold t 30000000 reason s "$*")
freeze=$(echo "$freeze" | cut -d '"' -f 2)

thaw() {
    busctl call org.virtfreeze1 "$freeze" org.virtfreeze1.Freeze Thaw
}
trap thaw EXIT
trap 'exit 1' HUP INT TERM
"$@"
# It fails if the guest was not frozen all the time.
trap - EXIT
thaw
