# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by every script of the lab: where things are, how it speaks, how it locks.

set -euo pipefail
# LANG too: the kernel's makefiles take LC_ALL away, and the compiler cache tells
# results apart by what is left.
export LC_ALL=C LANG=C.UTF-8
unset LANGUAGE LC_CTYPE LC_MESSAGES
umask 022
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE CDPATH

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/linux-writethrough
# shellcheck source=BASE
. "$ROOT/BASE"
ME=${0##*/}

say() { printf '%s\n' "$ME: $*" >&2; }

die() {
	printf '%s\n' "$ME: $*" >&2
	exit 1
}

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# The kernel's build refuses a path with blanks or colons. A clone in such a
# place keeps its build directory in the cache; build/ is then a link to it.
build_dir() {
	local place
	if [ ! -e "$ROOT/build" ] && [ ! -L "$ROOT/build" ]; then
		case $ROOT in
		*[[:space:]:]*)
			place=$CACHE
			case $place in *[[:space:]:]*) place=/var/tmp/linux-writethrough-$(id -u) ;; esac
			place=$place/build-$(printf %s "$ROOT" | sha256sum | cut -c1-12)
			mkdir -p "$place"
			ln -s "$place" "$ROOT/build"
			say "this path has a blank or a colon, which a kernel build refuses: build/ is $place"
			;;
		*)	mkdir -p "$ROOT/build" ;;
		esac
	elif [ -L "$ROOT/build" ]; then
		# shellcheck disable=SC2088
		mkdir -p "$(readlink -m "$ROOT/build")"
	fi
	BUILD=$(cd "$ROOT/build" && pwd -P)
	TREE=$BUILD/linux
	mkdir -p "$BUILD/logs"
}

# lock NAME [shared]: held until the script ends; says so when it has to wait.
lock() {
	local fd flags=()
	[ "${2:-}" != shared ] || flags=(-s)
	exec {fd}>>"$BUILD/.lock.$1"
	if ! flock -n "${flags[@]}" "$fd"; then
		say "waiting for another make to finish with '$1'"
		flock "${flags[@]}" "$fd"
	fi
	LOCK_FD=$fd
}

unlock() { exec {LOCK_FD}>&-; }

# no_room DIR MEGABYTES: a clear line instead of a write error in the middle.
need_room() {
	local free
	free=$(df -Pm -- "$1" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$2" ] ||
		die "no space: $1 has $free MB free, $2 MB are needed${3:+ for $3}"
}

git_tree() { git -C "$TREE" "$@"; }
