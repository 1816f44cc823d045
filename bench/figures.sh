# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by what reads build/bench/POINT-RULER.json, of which one is in FIGURES: a
# line a measurement, with the part of the point, the cell and the round it is from.

# values PART CELL FIELD: one a round, in their order
values() {
	awk -v part="\"part\":\"$1\"," -v cell="\"cell\":\"$2\"," -v field="\"$3\":" 'index($0, part) && index($0, cell) {
		at = index($0, field)
		if (at)
			print substr($0, at + length(field)) + 0
	}' "$FIGURES"
}

cell_names() {
	awk -v part="\"part\":\"$1\"," 'index($0, part) { split(substr($0, index($0, "\"cell\":") + 8), w, "\"")
		if (!seen[w[1]]++) print w[1] }' "$FIGURES"
}

# median, and with it the lowest and the highest
spread() {
	sort -g | awk '{ v[NR] = $1 } END { if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[1], v[NR] }'
}
median() { spread | cut -d' ' -f1; }

# better FIELD: is more better?
more_is_better() { case $1 in iops | mb_per_s) return 0 ;; *) return 1 ;; esac; }

# ratio PART CELL/CELL FIELD: of each round; the first line is the median, the
# second the spread
ratio() {
	paste <(values "$1" "${2%%/*}" "$3") <(values "$1" "${2#*/}" "$3") |
		awk 'NF == 2 && $2 { printf "%.6f\n", $1 / $2 }' | spread |
		awk '{ printf "%.3f\n%.3f to %.3f\n", $1, $2, $3 }'
}

# table PART FIELD [CELL]: how fast each cell is compared to that one (ratio
# first), its median, lowest and highest
table() {
	local cell relative
	printf '  %-30s %8s %14s %s\n' "$1" "${3:+of $3}" "$2" '(lowest to highest)'
	cell_names "$1" | while read -r cell; do
		[ -n "$(values "$1" "$cell" "$2")" ] || continue
		relative=''
		if [ -n "${3:-}" ]; then
			if more_is_better "$2"; then
				relative=$(ratio "$1" "$cell/$3" "$2" | head -1)
			else
				relative=$(ratio "$1" "$3/$cell" "$2" | head -1)
			fi
		fi
		values "$1" "$cell" "$2" | spread | awk -v cell="$cell" -v relative="$relative" \
			'{ printf "  %-30s %8s %14.1f (%.1f to %.1f)\n", cell, relative, $1, $2, $3 }'
	done
}

# A line for the reader, which the report has, too
note() {
	printf '%s\n' "$*"
	printf '{"note":"%s"}\n' "$*" >>"$FIGURES"
}
