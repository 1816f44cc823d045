# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced: the series file, and making commits of its patches without touching a work tree.

PATCHES=$ROOT/$BASE_PATCHES
SERIES=$PATCHES/series

# series_names: the patches, one a line. A missing or empty series is one of no patches.
series_names() {
	[ -f "$SERIES" ] || return 0
	awk '!/^[[:space:]]*(#|$)/ { print $1 }' "$SERIES"
}

# series_columns PATCH: what this step brings, as the series has it, one a line
series_columns() {
	[ -f "$SERIES" ] || return 0
	awk -v p="$1" '!/^[[:space:]]*(#|$)/ && $1 == p { for (i = 2; i <= NF; i++) print $i }' "$SERIES"
}

# series_files PATCH: the same as files; "DIR/" stands for all that is below
series_files() {
	local path
	series_columns "$1" | while IFS= read -r path; do
		case $path in
		*/) new_files | awk -v d="$path" 'index($0, d) == 1' ;;
		*) printf '%s\n' "$path" ;;
		esac
	done
}

# new_files: every file under linux/, relative to it
new_files() {
	[ -d "$ROOT/linux" ] || return 0
	(cd "$ROOT/linux" && find . -type f ! -name '*~' ! -name '.*' ! -name '*.orig' ! -name '*.rej' \
		-printf '%P\n' | sort)
}

# lab_files: what is the lab's own in its kernels, and no part of the series
lab_files() {
	(cd "$ROOT/lab" && find linux patches -type f ! -name '*~' ! -name '.*' ! -name '*.orig' ! -name '*.rej' |
		sort)
}

# hooks_hash: changes when a patch or their order does, or what they go on top of
hooks_hash() {
	{
		lab_files
		(cd "$ROOT/lab" && lab_files | tr '\n' '\0' | xargs -0 cat)
		series_names
		series_names | while read -r name; do
			[ ! -f "$PATCHES/$name" ] || sha256sum <"$PATCHES/$name"
		done
	} | sha256sum | cut -d' ' -f1
}

# commit_lab PARENT: prints a commit with the lab's own patches and files on top.
# Dates and names are its parent's: the same files give the same commit.
commit_lab() {
	local parent=$1 file blob
	local -x GIT_INDEX_FILE
	GIT_INDEX_FILE=$(mktemp -u "$BUILD/.lab.XXXXXX")
	git_tree read-tree "$parent"
	for file in $(lab_files); do
		case $file in
		patches/*)
			git_tree apply --cached --whitespace=nowarn "$ROOT/lab/$file" || die "lab/$file does not apply" ;;
		linux/*)
			blob=$(git_tree hash-object -w --no-filters "$ROOT/lab/$file")
			git_tree update-index --add --cacheinfo "100644,$blob,${file#linux/}" ;;
		esac
	done
	file=$(git_tree write-tree)
	rm -f "$GIT_INDEX_FILE"
	GIT_AUTHOR_NAME=lab GIT_AUTHOR_EMAIL=lab@localhost GIT_AUTHOR_DATE='1700000000 +0000' \
	GIT_COMMITTER_NAME=lab GIT_COMMITTER_EMAIL=lab@localhost GIT_COMMITTER_DATE='1700000000 +0000' \
		git_tree commit-tree -p "$parent" -m "What only the lab's kernels have" "$file"
}

# commit_hooks PARENT [fold]: prints the last of a chain of commits, one a patch,
# each as its mail header says, so that the same patches give the same commits.
# With "fold" each step also adds its new files. Only an index of our own is
# written. Applying is strict: the context has to match.
commit_hooks() {
	local parent=$1 fold=${2:-} step=0 name file mode blob tree info tmp author
	tmp=$(mktemp -d "$BUILD/.hooks.XXXXXX")
	# shellcheck disable=SC2064
	trap "rm -rf '$tmp'" EXIT
	export GIT_INDEX_FILE=$tmp/index
	git_tree read-tree "$parent"
	for name in $(series_names); do
		step=$((step + 1))
		[ -f "$PATCHES/$name" ] || die "series names $name, which is not in $BASE_PATCHES/"
		git_tree mailinfo -b "$tmp/message" "$tmp/diff" <"$PATCHES/$name" >"$tmp/info" 2>"$tmp/errors" ||
			die "step $step: $BASE_PATCHES/$name is no mail with a patch: $(head -1 "$tmp/errors")"
		info=$(sed -n 's/^Subject: //p' "$tmp/info")
		[ -n "$info" ] || die "step $step: $BASE_PATCHES/$name has no Subject:"
		author=$(sed -n 's/^Author: //p' "$tmp/info")
		[ -n "$author" ] || die "step $step: $BASE_PATCHES/$name has no From:"
		{
			printf '%s\n' "$info"
			[ ! -s "$tmp/message" ] || { echo && cat "$tmp/message"; }
		} >"$tmp/text"
		if [ -s "$tmp/diff" ] && ! git_tree apply --cached --whitespace=nowarn "$tmp/diff" 2>"$tmp/errors"; then
			sed 's/^error: /  /' "$tmp/errors" >&2
			die "step $step: $BASE_PATCHES/$name does not apply: $(
				sed -n 's/^error: patch failed: //p' "$tmp/errors" | paste -sd ' ')"
		fi
		if [ -n "$fold" ]; then
			for file in $(series_files "$name"); do
				[ -f "$ROOT/linux/$file" ] || die "step $step: $name brings linux/$file, which does not exist"
				mode=100644
				[ ! -x "$ROOT/linux/$file" ] || mode=100755
				blob=$(git_tree hash-object -w --no-filters "$ROOT/linux/$file")
				git_tree update-index --add --cacheinfo "$mode,$blob,$file"
			done
		fi
		tree=$(git_tree write-tree)
		GIT_AUTHOR_NAME=$author
		GIT_AUTHOR_EMAIL=$(sed -n 's/^Email: //p' "$tmp/info")
		GIT_AUTHOR_DATE=$(sed -n 's/^Date: //p' "$tmp/info")
		GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
		GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
		export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
		export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
		parent=$(git_tree commit-tree -p "$parent" "$tree" <"$tmp/text")
	done
	printf '%s\n' "$parent"
}
