#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# suite-guest.sh SUITE TEST...: in the lab, runs tests of the suite in the
# directory SUITE. It sees that directory writable: what it changes there stays
# in memory. Its results go to /run/out.

set -euo pipefail
suite=$1
shift

mkdir /mnt/upper /mnt/work /mnt/suite /mnt/test /mnt/scratch
mount -t overlay overlay -o "lowerdir=$suite,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/suite
cd /mnt/suite

# The users it expects, without making them on the host
for file in passwd group; do
	cp "/etc/$file" "/tmp/$file"
	mount --bind "/tmp/$file" "/etc/$file"
done
uid=60001
for name in fsgqa 123456-fsgqa fsgqa2; do
	grep -q "^$name:" /etc/passwd || echo "$name:x:$uid:$uid::/tmp:/bin/bash" >>/etc/passwd
	grep -q "^$name:" /etc/group || echo "$name:x:$uid:" >>/etc/group
	uid=$((uid + 1))
done

export FSTYP=xfs TEST_DIR=/mnt/test SCRATCH_MNT=/mnt/scratch TEST_DEV=$WT_DEV SCRATCH_DEV=$WT_DEV2
# Everything is said here: a configuration of this machine's is not ours.
export HOST_OPTIONS=/tmp/none RESULT_BASE=/run/out/results
: >/tmp/none
realtime=()
case $SUITE_CONFIG in
4k)	export MKFS_OPTIONS='-b size=4096' ;;
1k)	export MKFS_OPTIONS='-b size=1024' ;;
noreflink) export MKFS_OPTIONS='-m reflink=0' ;;
rt)	export MKFS_OPTIONS='-d rtinherit=1' USE_EXTERNAL=yes TEST_RTDEV=$WT_DEV3 SCRATCH_RTDEV=$WT_DEV4
	realtime=(-r "rtdev=$TEST_RTDEV") ;;
esac
# shellcheck disable=SC2086
mkfs.xfs -q -f $MKFS_OPTIONS "${realtime[@]}" "$TEST_DEV"
mkdir -p "$RESULT_BASE"

switch=/sys/fs/xfs/debug/writethrough
if [ -n "${SUITE_FORCE:-}" ]; then
	echo 1 >$switch
	[ "$(cat $switch)" = 1 ] || { echo "suite: the switch does not stay on"; exit 1; }
fi
./check "$@" 2>&1
