#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh [DEMO_FILE=FILE ARCH=um|x86_64 RELEASE=1 in the environment]
#
# Writes a real file in five modes to a new XFS in the lab, and shows what each
# mode had done when its last call returned. wtdemo.c does the work.

set -euo pipefail
export LC_ALL=C

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
wtdemo=$root/build/bin/wtdemo
arch=${ARCH:-um}
mebi=1048576
smallest=$((32 * mebi))
# So much of a larger file is written; more would only take longer.
largest=$((64 * mebi))

die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

size_of() { stat -L -c %s -- "$1" 2>/dev/null || echo 0; }

# A real file that is at hand on this machine: something of the right size, that
# it is written whole, among what we have built or the compiler; else the start
# of something larger.
find_file() {
	local cache=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/linux-writethrough
	# Directories that are not there are no error, hence the "|| :".
	{ find -L "$root"/build/uml* "$root"/build/x86_64* "$cache" /usr/lib /usr/libexec /usr/share \
		-maxdepth 4 -type f -readable -size "+$((smallest / 1024 - 1))k" \
		-printf '%s\t%p\n' 2>/dev/null || :; } |
		sort -n | awk -F '\t' -v limit="$largest" '
			NR == 1 || $1 <= limit { path = $2 }
			END { print path }'
}

[ -x "$wtdemo" ] || die "no $wtdemo: 'make programs' builds it"
if [ -n "${DEMO_FILE+set}" ]; then
	file=$DEMO_FILE
	[ -n "$file" ] || die "DEMO_FILE is empty"
	[ -e "$file" ] || die "no file $file"
	[ -f "$file" ] || die "not a regular file: $file"
	[ -r "$file" ] || die "cannot read $file"
	[ -s "$file" ] || die "$file is empty"
else
	file=$(find_file)
	[ -n "$file" ] || die "found no file of 32 MiB here; give one: make demo DEMO_FILE=..."
fi
file=$(realpath -- "$file")
bytes=$(size_of "$file")
[ "$bytes" -le "$largest" ] || bytes=$largest

# Five copies and XFS's own; and the source in memory besides what stays dirty.
disk=$((400 + 6 * bytes / mebi))M
memory=$((1024 + 3 * bytes / mebi))M

exec "$root/lab/run" --arch "$arch" ${RELEASE:+--release} --disk "$disk" \
	--mem "$memory" --timeout 900 --keep "$file" \
	-- "$wtdemo" --limit "$largest" "$file"
