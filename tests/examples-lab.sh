#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# examples-lab.sh: in the lab, the examples of the documentation do what they
# say. What they call durable is there when the plug is pulled right after; they
# use the flag where they can, and fall back where a file cannot take it.

set -euo pipefail
examples=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../build/bin/examples" && pwd -P)
: "${WT_DEV:?no scratch disk}" "${WT_MNT:?no mount point}"
expected=$(mktemp -d)

# Nothing is written behind the examples' backs.
echo 0 >/proc/sys/vm/dirty_writeback_centisecs
echo 360000 >/proc/sys/vm/dirty_expire_centisecs

fail() {
	echo "FAIL: $*"
	exit 1
}

# letters SIZE FIRST: that many bytes of each letter
letters() {
	local i
	for i in $(seq 0 25); do
		head -c "$1" /dev/zero | tr '\0' "\\$(printf %o $(($2 + i)))"
	done
}
letters 8192 65 >"$expected/pages"
{
	letters 4096 97
	head -c $((1024 * 1024 - 26 * 4096)) /dev/zero
} >"$expected/log"

run() {
	local name=$1 said=$2 out
	shift 2
	out=$("$examples/$name" "$@") || fail "$name has failed: $out"
	echo "$name: $out"
	[ "$out" = "write-through is $said" ] || fail "$name says '$out', not '$said'"
}

same() { cmp "$expected/$1" "$2" || fail "$2 is not what was written"; }

mkfs.xfs -q -f "$WT_DEV"
for name in pwritev2 io_uring libaio; do
	mount -t xfs "$WT_DEV" "$WT_MNT"
	mkdir "$WT_MNT/$name"
	sync -f "$WT_MNT"
	case $name in
	pwritev2) run $name used "$WT_MNT/$name" ;;
	*) run $name used "$WT_MNT/$name/pages" ;;
	esac
	xfs_io -x -c shutdown "$WT_MNT"
	umount "$WT_MNT"
	mount -t xfs "$WT_DEV" "$WT_MNT"
	same pages "$WT_MNT/$name/pages"
	[ $name != pwritev2 ] || same log "$WT_MNT/$name/log"
	umount "$WT_MNT"
done
xfs_repair -n "$WT_DEV" >/tmp/repair 2>&1 || fail "xfs_repair: $(tail -n 5 /tmp/repair)"

# The kernel has the flag, the file system has not.
mount -t tmpfs none "$WT_MNT"
run pwritev2 'not used' "$WT_MNT"
same pages "$WT_MNT/pages"
same log "$WT_MNT/log"
for name in io_uring libaio; do
	run $name 'not used' "$WT_MNT/$name"
	same pages "$WT_MNT/$name"
done
umount "$WT_MNT"
echo 'the examples do what they say'
