# SPDX-License-Identifier: GPL-2.0
#
# Adds up what gcov says of our lines. First file: reasons, "FILE | PATTERN |
# REASON"; the pattern is looked for in "FUNCTION: LINE". Second: per source a
# line "ours FILE all" or "ours FILE FIRST,COUNT ...", then gcov's annotation.

function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
function percent(part, all) { return all ? 100 * part / all : 100 }

# The change of the depth of parentheses, without those in strings
function depth_of(s,   opened, closed) {
	gsub(/"([^"\\]|\\.)*"|'\\?.'/, "", s)
	opened = gsub(/\(/, "", s)
	closed = gsub(/\)/, "", s)
	return opened - closed
}

# What belongs to WARN_ON_ONCE, ASSERT and tracepoints, and what follows from an
# "if" that has one.
function find_rules(   i, j, depth, statement, indent) {
	for (i = 1; i <= last; i++) {
		if (text[i] ~ /(^|[^A-Za-z_])(WARN_ON|WARN_ON_ONCE|ASSERT|BUG_ON|VM_BUG_ON_FOLIO|VM_WARN_ON_ONCE|trace_[a-z_]+)\(/) {
			depth = 0
			for (j = i; j <= last; j++) {
				by_rule[j] = 1
				depth += depth_of(text[j] ~ /WARN_ON|ASSERT/ ? after(text[j]) : text[j])
				if (depth <= 0)
					break
			}
		}
	}
	for (i = 1; i <= last; i++) {
		if (text[i] !~ /(^|[^A-Za-z_])if \(/)
			continue
		statement = ""
		depth = 0
		for (j = i; j <= last; j++) {
			statement = statement text[j]
			depth += depth_of(text[j])
			if (depth <= 0)
				break
		}
		if (statement !~ /WARN_ON(_ONCE)?\(/)
			continue
		if (text[j] !~ /\{[ \t]*$/) {
			impossible[j + 1] = 1
			continue
		}
		match(text[i], /^[ \t]*/)
		indent = substr(text[i], 1, RLENGTH)
		for (j++; j <= last && index(text[j], indent "}") != 1; j++)
			impossible[j] = 1
	}
}

# From the check's own parenthesis on: the "if" around it may go on.
function after(s,   at) {
	at = match(s, /(WARN_ON_ONCE|WARN_ON|ASSERT)\(/)
	return at ? substr(s, at) : s
}

function mine(line,   i, n, part, range) {
	if (!line)
		return 0
	if (ranges == "all")
		return 1
	n = split(ranges, part, " ")
	for (i = 1; i <= n; i++) {
		split(part[i] (part[i] ~ /,/ ? "" : ",1"), range, ",")
		if (line >= range[1] && line < range[1] + range[2])
			return 1
	}
	return 0
}

function not_reached(line,   what, i, why) {
	what = in_function[line] ": " trim(text[line])
	why = ""
	for (i = 1; i <= reasons; i++)
		if (reason_file[i] == file && what ~ reason_pattern[i]) {
			used[i] = 1
			why = reason[i]
			break
		}
	if (why == "")
		unexplained++
	list = list sprintf("%s:%d: %s\n    %s\n", file, line, what, why == "" ? "NO REASON GIVEN" : why)
}

function end_of_file(   i, b, n, taken, lines, reached, branches, hit) {
	if (file == "")
		return
	find_rules()
	lines = reached = branches = hit = 0
	for (i = 1; i <= last; i++) {
		if (!mine(i) || count[i] == "-" || count[i] == "")
			continue
		if (count[i] ~ /^[0-9]/) {
			lines++
			reached++
		} else if (i in impossible) {
			rule_lines++
			rule_branches += split(branch[i], taken, " ")
			continue
		} else {
			lines++
			not_reached(i)
		}
		n = split(branch[i], taken, " ")
		if (i in by_rule) {
			rule_branches += n
			continue
		}
		branches += n
		for (b = 1; b <= n; b++) {
			if (taken[b] > 0)
				hit++
			else if (BRANCHES)
				printf "%s:%d: branch %d: %s\n", file, i, b - 1, trim(text[i]) >BRANCHES
		}
	}
	table = table sprintf("%-34s %5d %5d %7.1f %7d %5d %7.1f\n", file, reached, lines, percent(reached, lines),
			      hit, branches, percent(hit, branches))
	all_lines += lines
	all_reached += reached
	all_branches += branches
	all_hit += hit
	split("", text); split("", count); split("", branch)
	split("", by_rule); split("", impossible); split("", in_function)
	last = 0
	func_name = ""
}

FNR == NR {
	if ($0 ~ /^[ \t]*(#|$)/)
		next
	n = split($0, field, / \| /)
	if (n != 3) {
		print "coverage.reasons:" FNR ": not FILE | PATTERN | REASON"
		unexplained++
		next
	}
	reasons++
	reason_file[reasons] = trim(field[1])
	reason_pattern[reasons] = trim(field[2])
	reason[reasons] = trim(field[3])
	next
}
/^ours / {
	end_of_file()
	file = $2
	ranges = $0
	sub(/^ours [^ ]+ /, "", ranges)
	next
}
/^function / { func_name = $2; sub(/\.(part|isra|constprop|cold).*/, "", func_name); next }
/^branch / { branch[line] = branch[line] " " ($3 == "taken" ? $4 : 0); next }
/^ *([0-9]+\*?|-|#####|=====): *[0-9]+:/ {
	this = $0
	split(this, field, ":")
	line = field[2] + 0
	if (!line)
		next
	count[line] = trim(field[1])
	sub(/^[^:]*:[^:]*:/, "", this)
	text[line] = this
	in_function[line] = func_name
	if (line > last)
		last = line
}

END {
	end_of_file()
	if (list != "")
		printf "Not reached:\n%s\n", list
	for (i = 1; i <= reasons; i++)
		if (!(i in used))
			print "coverage.reasons explains what is reached or gone: " reason_file[i] " | " reason_pattern[i]
	printf "%-34s %5s %5s %7s %7s %5s %7s\n%s", "", "lines", "of", "%", "branches", "of", "%", table
	printf "left out by rule: %d lines, %d branches\n", rule_lines, rule_branches
	if (unexplained)
		printf "%d lines are not reached, and nothing says why\n", unexplained
	if (failed != "")
		print "not all tests passed: " failed
	l = percent(all_reached, all_lines)
	b = percent(all_hit, all_branches)
	printf "lines %.1f %%, branches %.1f %%\n", l, b
	exit !(l >= goal_lines && b >= goal_branches && !unexplained && failed == "")
}
