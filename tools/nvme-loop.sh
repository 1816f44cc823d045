#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# nvme-loop.sh DEVICE
#
# In the lab: an NVMe target over the loop transport keeps its data on DEVICE, and
# this machine connects to it. Prints the path of the disk. What the disk writes
# atomically is a physical block of DEVICE. It is there until the machine ends.

set -euo pipefail

[ $# = 1 ] || {
	sed -n 's/^# \(nvme-loop.sh .*\)/usage: \1/p' "$0" >&2
	exit 2
}
target=/sys/kernel/config/nvmet subsystem=lab
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
if [ ! -d "$target" ] || [ ! -e /dev/nvme-fabrics ]; then
	echo "nvme-loop: no NVMe target in this kernel" >&2
	exit 1
fi

mkdir "$target/subsystems/$subsystem"
echo 1 >"$target/subsystems/$subsystem/attr_allow_any_host"
mkdir "$target/subsystems/$subsystem/namespaces/1"
echo "$1" >"$target/subsystems/$subsystem/namespaces/1/device_path"
echo 1 >"$target/subsystems/$subsystem/namespaces/1/enable"
mkdir "$target/ports/1"
echo loop >"$target/ports/1/addr_trtype"
ln -s "$target/subsystems/$subsystem" "$target/ports/1/subsystems/$subsystem"

# It tells which controller that is.
exec 3<>/dev/nvme-fabrics
printf 'transport=loop,nqn=%s' "$subsystem" >&3
read -r answer <&3
exec 3>&-
instance=${answer#instance=}
disk=/dev/nvme${instance%%,*}n1
for ((i = 0; i < 100; i++)); do
	[ ! -b "$disk" ] || break
	sleep 0.1
done
[ -b "$disk" ] || {
	echo "nvme-loop: no disk appears" >&2
	exit 1
}
echo "$disk"
