#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# wtx-selftest.sh [DIRECTORY]
#
# The exerciser itself: it passes on a file system without write-through, finds
# a byte changed behind its back, its replay fails the same way, shrinking leaves
# the culprit, and nonsense is refused. Needs no special kernel and no root.

set -euo pipefail
export LC_ALL=C

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
wtx=${WTX:-$here/../build/bin/wtx}
place=${1:-${TMPDIR:-/tmp}}
work=$(mktemp -d "$place/wtx selftest.XXXXXX")
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work
file=$work/a\ file
failed=0

# What kernels before 7.3 get wrong is none of our business here.
quick=(--ops 2000 --no-fault)

# expect STATUS WORDS COMMAND...: its status, and words in its output
expect() {
	local want=$1 words=$2 got=0
	shift 2
	"$@" >"$work/out" 2>&1 </dev/null || got=$?
	if [ "$got" != "$want" ] || ! grep -q -- "$words" "$work/out"; then
		printf 'wtx-selftest: status %s and "%s" expected, got %s:\n' "$want" "$words" "$got"
		printf '  %s\n' "$*"
		head -n 40 "$work/out" | sed 's/^/  | /'
		failed=1
	fi
}

[ -x "$wtx" ] || { echo "wtx-selftest: no $wtx" >&2; exit 1; }

for seed in 1 2 3; do
	expect 0 'wtx: passed' "$wtx" --seed $seed "${quick[@]}" "$file"
done
expect 0 'wtx: passed' "$wtx" --seed 4 "${quick[@]}" --processes 3 "$file"
expect 0 'wtx: passed' "$wtx" --seed 5 "${quick[@]}" --processes 3 --shared "$file"

# A log is the run: what it replays, it logs.
expect 0 'wtx: passed' "$wtx" --seed 6 "${quick[@]}" --log "$work/log" "$file"
expect 0 'wtx: passed' "$wtx" --replay "$work/log" "$file"

for seed in 7 8 9; do
	expect 1 'wrong content: 1 bytes' \
		"$wtx" --seed $seed "${quick[@]}" --plant 300 --check-every 1 "$file"
	command=$(sed -n 's/^replay: //p' "$work/out")
	expect 1 'wrong content: 1 bytes' sh -c "$command"
	command=$(sed -n 's/^shrink: //p' "$work/out")
	expect 0 'plant off=' sh -c "$command"
	left=$(sed -n 's/^\([0-9]*\) operations remain.*/\1/p' "$work/out")
	# The planted byte, and what made the file long enough to have one.
	if [ "${left:-99}" -gt 5 ]; then
		echo "wtx-selftest: $left operations left after shrinking"
		failed=1
	fi
	command=$(sed -n 's/^replay: //p' "$work/out")
	expect 1 'wrong content: 1 bytes' sh -c "$command"
done

expect 2 'usage' "$wtx"
expect 2 'not an operation' "$wtx" --weights nonsense=3 "$file"
expect 2 'not a log of wtx' "$wtx" --replay "$0" "$file"
expect 2 '' "$wtx" "$work/no such directory/file"
printf '# wtx 1 seed=1 size=1048576\nwrite off=99999999999 len=1 d=1\n' >"$work/bad"
expect 2 'not an operation' "$wtx" --replay "$work/bad" "$file"
if [ ! -e /sys/fs/xfs/features/writethrough ]; then
	expect 77 'not in this kernel' "$wtx" --require-writethrough "$file"
	# A kernel that does not know the flag refuses it, and that is no failure.
	expect 0 'refused: wt: ' "$wtx" --seed 1 "${quick[@]}" --flag 0x200 "$file"
fi

if [ "$failed" = 0 ]; then
	echo 'wtx-selftest: passed'
else
	echo 'wtx-selftest: FAILED'
fi
exit "$failed"
