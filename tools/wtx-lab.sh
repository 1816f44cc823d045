#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# wtx-lab.sh [-p PROCESSES] [-s | -o] [-f] [-r SEED] [-x "WTX OPTIONS"] SECONDS [MKFS OPTION...]
#
# In the lab: the exerciser on a new XFS on $WT_DEV. Afterwards the checker has
# to find nothing. -s: the processes share one file. -o: they share its folios, too:
# each has a few blocks only. -f: all buffered writes are written through, by XFS's
# switch for that. The log of the operations is on the
# host if the lab has a directory there, so that it outlives a kernel that does
# not.

set -euo pipefail

usage() {
	sed -n 's/^# \(wtx-lab.sh .*\)/usage: \1/p' "$0" >&2
	exit 2
}

processes=1 shared='' few='' force='' seed='' more=
while getopts p:sofr:x: option; do
	case $option in
	p)	processes=$OPTARG ;;
	s)	shared=--shared ;;
	o)	shared=--shared few=yes ;;
	f)	force=yes ;;
	r)	seed=$OPTARG ;;
	x)	more=$OPTARG ;;
	*)	usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage
seconds=$1
shift

: "${WT_DEV:?no scratch disk}" "${WT_MNT:?no mount point}"
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
wtx=${WTX:-$here/../build/bin/wtx}
log_dir=/run/out
[ -d "$log_dir" ] && [ -w "$log_dir" ] || log_dir=/tmp

[ -z "$force" ] || echo 1 >/sys/fs/xfs/debug/writethrough
mkfs.xfs -q -f "$@" "$WT_DEV"
mount -t xfs "$WT_DEV" "$WT_MNT"

# Five blocks of 1 KiB to four in a page, or a large folio to all
size=$((5 * 1024 * processes))
[ ! -e /sys/kernel/mm/transparent_hugepage ] || size=$((16 * 1024 * processes))
[ -z "$few" ] || more="--size $size $more"

# shellcheck disable=SC2086
set -- $more
status=0
"$wtx" --seconds "$seconds" --processes "$processes" ${shared:+"$shared"} \
	${seed:+--seed "$seed"} --log "$log_dir/wtx.log" --require-writethrough \
	--rawdev "$WT_DEV" --dev "$WT_DEV" --mnt "$WT_MNT" "$@" \
	"$WT_MNT/file" || status=$?

umount "$WT_MNT"
if ! xfs_repair -n "$WT_DEV" >/tmp/repair.log 2>&1; then
	cat /tmp/repair.log
	echo "wtx-lab: FAILED: xfs_repair finds damage"
	[ "$status" != 0 ] && [ "$status" != 77 ] || status=1
fi
case $status in
0)	echo "wtx-lab: passed, and xfs_repair finds nothing" ;;
77)	echo "wtx-lab: skipped: no write-through in this kernel" ;;
*)	echo "wtx-lab: FAILED" ;;
esac
exit "$status"
