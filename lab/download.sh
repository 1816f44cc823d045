# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced, after common.sh, by what gets sources from the network. how_else is a
# line for the reader: how to do without.

: "${how_else:=get the file some other way}"

sum() { sha256sum <"$1" | cut -d' ' -f1; }

# download URL FILE BYTES: continues FILE.part. Whatever can download is taken: a
# bare Debian has neither curl nor wget.
download() {
	local url=$1 part=$2.part tool status=0
	for tool in curl wget python3 /usr/lib/apt/apt-helper; do
		! command -v "$tool" >/dev/null || break
		tool=
	done
	[ -n "$tool" ] || die "nothing here can download (curl, wget): install one, or $how_else"
	say "network: getting $((($3 + 999999) / 1000000)) MB, once, into $CACHE (with ${tool##*/})"
	[ ! -s "$part" ] || say "continuing after $(($(stat -c %s "$part") / 1000000)) MB"
	case $tool in
	curl)
		local meter=(-sS)
		[ ! -t 2 ] || meter=(-#)
		curl -fL "${meter[@]}" --proto '=http,https' --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
			--retry 2 -C - -o "$part" "$url" >&2 || status=$?
		# 33: the server cannot continue; 36: what is there is already all.
		if [ $status = 33 ] || [ $status = 36 ]; then
			rm -f "$part"
			curl -fL "${meter[@]}" --connect-timeout 20 -o "$part" "$url" >&2 && status=0 || status=$?
		fi ;;
	wget)
		wget -q --timeout=60 --tries=3 -c -O "$part" "$url" >&2 || status=$? ;;
	python3)
		python3 - "$url" "$part" >&2 <<'PYTHON' || status=$?
import os, sys, urllib.request, urllib.error
url, part = sys.argv[1:]
have = os.path.getsize(part) if os.path.exists(part) else 0
request = urllib.request.Request(url, headers={"Range": "bytes=%d-" % have} if have else {})
try:
    with urllib.request.urlopen(request, timeout=60) as source:
        with open(part, "ab" if source.status == 206 else "wb") as to:
            while block := source.read(1 << 20):
                to.write(block)
except (OSError, urllib.error.URLError) as error:
    sys.exit("python3: %s" % error)
PYTHON
		;;
	*)
		# Continues by itself, if it finds the part under its own name.
		(cd "$(dirname "$part")" && "$tool" download-file "$url" "$part") >&2 || status=$? ;;
	esac
	[ $status != 0 ] || return 0
	[ "$(df -Pm -- "$CACHE" | awk 'NR == 2 { print $4 }')" -gt 1 ] ||
		die "no space: $CACHE is full; free some, or set XDG_CACHE_HOME"
	return 1
}

# The mirrors are those that apt knows, less the security archive, which holds other things.
mirrors() {
	command -v apt-get >/dev/null || return 0
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk -F '|' '$1 == "Debian" && $2 == "Debian" && $3 ~ /^https?:/ { print $3 }' | sort -u
}
