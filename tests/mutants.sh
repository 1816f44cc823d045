#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# mutants.sh [-l] [PATTERN...]
#
# Plants the bugs under tests/mutants, one at a time, and demands that the tests
# each of them names find it, all of them. A patch says in its text
#
#	Caught-by: TEST [TEST...]
#	Arch: x86_64
#
# (the latter if User-Mode Linux cannot show it: the release kernel then)
# and changes files of ours (a/linux/fs/...) or of the patched kernel
# (a/build/linux/...). It goes to a copy of the tree, built apart: what is being
# edited, and the kernel that `make test` uses, stay as they are. The copy has
# the hooks as they are in build/linux right now.

# shellcheck source=lab/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../lab/common.sh"
build_dir
exec </dev/null

MUTANTS=$BUILD/mutants
COPY=$MUTANTS/linux
LOGS=$BUILD/logs/mutants
list='' patterns=()
while [ $# -gt 0 ]; do
	case $1 in
	-l) list=yes ;;
	-*) die "unknown option $1" ;;
	*) patterns+=("$1") ;;
	esac
	shift
done

selected() {
	local pattern
	[ "${#patterns[@]}" -gt 0 ] || return 0
	for pattern in "${patterns[@]}"; do
		# shellcheck disable=SC2053
		[[ $1 != $pattern ]] || return 0
	done
	return 1
}

shopt -s nullglob
patches=()
for file in "$ROOT"/tests/mutants/*.patch; do
	name=${file##*/}
	! selected "${name%.patch}" || patches+=("$file")
done
[ "${#patches[@]}" -gt 0 ] || die "no mutant of that name under tests/mutants"

arch_of() { sed -n 's/^Arch: //p' "$1" | grep . || echo um; }
tests_of() { sed -n 's/^Caught-by: //p' "$1" | paste -sd ' '; }

if [ -n "$list" ]; then
	for file in "${patches[@]}"; do
		name=${file##*/}
		printf '%-36s %s\n' "${name%.patch}" "$(tests_of "$file")"
	done
	exit
fi

# The copy: hard links cost nothing, and whoever writes to it replaces files
# (cp --remove-destination, patch), so the tree itself is never written to. Our
# own files are links in the tree; here they are files.
copy_tree() {
	local file
	if [ ! -e "$COPY/.copied" ]; then
		need_room "$BUILD" 2500 'the kernel with a planted bug'
		rm -rf "$COPY"
		mkdir -p "$COPY"
		say "copying the tree ($(elapsed))"
		# .git is not needed, and would not like it
		(cd "$TREE" && find . -mindepth 1 -maxdepth 1 ! -name .git -exec cp -al -t "$COPY" {} +)
		: >"$COPY/.copied"
	fi
	refresh
}

# Every file that may have changed since, or that a mutant has changed: those
# that differ from the released kernel, ours, and those the last mutant touched.
refresh() {
	local file
	{
		git_tree diff --name-only pristine --
		cat "$BUILD/.new-files"
		cat "$MUTANTS/touched" 2>/dev/null || :
	} | sort -u | while IFS= read -r file; do
		if [ ! -e "$TREE/$file" ]; then
			rm -f "$COPY/$file"
		elif [ -L "$COPY/$file" ] || ! cmp -s "$TREE/$file" "$COPY/$file"; then
			mkdir -p "$(dirname "$COPY/$file")"
			cp -L --remove-destination "$TREE/$file" "$COPY/$file"
		fi
	done
	rm -f "$MUTANTS/touched"
}

# plant FILE: applies a patch to the copy
plant() {
	local rewritten=$MUTANTS/patch
	sed -E 's,^(---|\+\+\+) ([ab])/(build/)?linux/,\1 \2/,' "$1" >"$rewritten"
	sed -n 's,^+++ b/,,p' "$rewritten" | cut -f1 >"$MUTANTS/touched"
	patch -d "$COPY" -p1 -s -f -F0 --no-backup-if-mismatch <"$rewritten" >"$MUTANTS/patch.log" 2>&1
}

# One bad state is enough.
export POWERLOSS='--quick --states 400'
export KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC' KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab
cc=gcc
if command -v ccache >/dev/null; then
	cc='ccache gcc'
	# Relative to here the copy's names are those of the tree: what was
	# compiled there is found.
	export CCACHE_BASEDIR=$MUTANTS CCACHE_NOHASHDIR=1
fi

# started FILES: did the test? Its first words tell, too: a line of the kernel's log
# can be lost with the machine.
started() {
	grep -q 'lab: command starts' "$1.kernel" ||
		{ [ -s "$1.out" ] && ! head -n 1 "$1.out" | grep -qE '(^| )(run|lab/run|[^ ]*/lab/run): '; }
}

# choose ARCH: which kernel the next mutant is planted in
choose() {
	case $1 in
	x86_64)	arch=x86_64 O=$MUTANTS/x86_64 target=bzImage image=arch/x86/boot/bzImage options=(--release) ;;
	*)	arch=um O=$MUTANTS/uml-debug target=linux image=linux options=() ;;
	esac
}

build() {
	make -C "$COPY" "O=$O" "ARCH=$arch" "CC=$cc" "HOSTCC=$cc" RUSTC=false LOCALVERSION= -j"$(nproc)" $target \
		>"$LOGS/$1.build" 2>&1
}

# prepare ARCH: a build of the copy without a mutant
prepare() {
	local config
	choose "$1"
	"$ROOT/lab/kernel" --arch $arch "${options[@]}" >/dev/null
	config=$BUILD/${O##*/}/.config
	mkdir -p "$O"
	cmp -s "$config" "$O/.config" || cp "$config" "$O/.config"
	say "building the copy for $arch ($(elapsed))"
	build none || {
		tail -n 20 "$LOGS/none.build" >&2
		die "the copy does not build without a mutant: $LOGS/none.build"
	}
}

"$ROOT/lab/tree"
"$ROOT/lab/programs"
lock mutants
mkdir -p "$MUTANTS" "$LOGS"
copy_tree
for wanted in um x86_64; do
	for file in "${patches[@]}"; do
		[ "$(arch_of "$file")" = "$wanted" ] || continue
		prepare $wanted
		break
	done
done

caught=0 missed=0
for file in "${patches[@]}"; do
	name=${file##*/}
	name=${name%.patch}
	start=$SECONDS
	found=''
	refresh
	choose "$(arch_of "$file")"
	read -ra tests <<<"$(tests_of "$file")"
	if [ "${#tests[@]}" = 0 ]; then
		why='names no test'
	elif ! plant "$file"; then
		why="does not apply: $(head -n 1 "$MUTANTS/patch.log")"
	elif ! build "$name"; then
		why="does not build: ${LOGS#"$ROOT/"}/$name.build"
	else
		log=$LOGS/$name.log
		KEEP_DIR=$LOGS/$name/powerloss "$ROOT/tests/run" --no-build --logs "$LOGS/$name" \
			--arch $arch "${options[@]}" --kernel "$O/$image" "${tests[@]}" >"$log" 2>&1 || :
		blind=()
		for test in "${tests[@]}"; do
			# Skipped is not caught. The lab fails when the kernel dies
			# under the test, which counts, or before, which does not.
			if ! grep -q "^FAIL $test " "$log" ||
			   { grep -q "^FAIL $test .*the lab failed" "$log" && ! started "$LOGS/$name/$test"; }; then
				blind+=("$test")
			fi
		done
		found="${tests[*]}"
		if [ "${#blind[@]}" -gt 0 ]; then
			found='' why="not found by ${blind[*]}"
		fi
	fi
	if [ -n "$found" ]; then
		caught=$((caught + 1))
		echo "caught $name by $found in $((SECONDS - start)) s"
	else
		missed=$((missed + 1))
		echo "MISSED $name: $why"
	fi
done
refresh
echo "$((caught + missed)) mutants, $caught caught, $missed missed"
[ "$missed" = 0 ]
