#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# powerloss.sh [OPTION...]
#
# A load of writes on a device that records them, then every state that a power
# failure could have left: mounted, compared with what had been promised, checked.
# On a device with a cache and FUA, one with a cache only, one without, and one
# pair with a realtime section; if asked for, on x86-64 as well, on a disk whose
# writes QEMU logs. Then the controls, which have to be caught: the
# same load without the flags, and a device that forgets flushes.
#
# Then atomic writes, as many as asked for, each cut at a sector by chance: half of
# them above a disk that can write atomically, half on one that cannot, where the
# file system writes them elsewhere. Their control is the same without RWF_ATOMIC.
# And as many as each half once more above an NVMe disk.
#
#   --states N       so many states in all (default 160)
#   --ops N          so many operations a recording (default 400)
#   --seed N         default: by chance
#   --kinds "K ..."  of fua flush none realtime logged (default: the first four)
#   --atomic N       so many atomic writes cut (default 10000)
#   --methods "M .." of device copy nvme
#   --cut N          so many of them in a state (default 20), or fewer before a flush
#   --no-controls
#   --quick          no controls, and the first bad state is the last
#   -j N             so many machines at a time (default 1)
#   --kernel FILE    this kernel
#   --dir DIR        instead of build/logs/powerloss
#   --state CUT:SUBSET FILE
#                    only that state, of that recording
#
# The kernel may also be given as $LAB_KERNEL. The last line is the verdict.

# shellcheck source=lab/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../lab/common.sh"
build_dir
exec </dev/null

states=160 ops=400 seed='' kinds='fua flush none realtime' controls=yes quick='' jobs=1 kernel=() dir=$BUILD/logs/powerloss state=''
atomic=10000 cut=20 methods='device copy nvme'
while [ $# -gt 0 ]; do
	case $1 in
	--states) states=$2; shift ;;
	--ops) ops=$2; shift ;;
	--seed) seed=$2; shift ;;
	--kinds) kinds=$2; shift ;;
	--atomic) atomic=$2; shift ;;
	--cut) cut=$2; shift ;;
	--methods) methods=$2; shift ;;
	--no-controls) controls='' ;;
	--quick) controls='' quick=--stop ;;
	-j) jobs=$2; shift ;;
	--kernel) kernel=(--kernel "$2"); shift ;;
	--dir) dir=$2; shift ;;
	--state) state=$2 file=$3; shift 2 ;;
	*) die "unknown option $1" ;;
	esac
	shift
done
[ -n "$seed" ] || seed=$((RANDOM * 32768 + RANDOM + 1))
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)
wtpower=$BUILD/bin/wtpower

# in_lab NAME SECONDS COMMAND...: a machine with the devices. One processor: most
# of the time there is one thing to do, and two machines are better than one
# twice as wide.
in_lab() {
	local name=$1 limit=$2 size=32 options=()
	shift 2
	# What is staged takes space.
	case $name in
	*atomic*) size=64 ;;
	esac
	case $name in
	*atomic-device) options=(--scsi-debug "dev_size_mb=$size atomic_wr=1 delay=0") ;;
	# The target's unit is its physical block.
	*atomic-nvme) options=(--scsi-debug "dev_size_mb=$size atomic_wr=1 physblk_exp=7 delay=0") ;;
	esac
	"$ROOT/lab/run" "${kernel[@]}" --cpus 1 --mem 1G --timeout "$limit" --log "$dir/$name.kernel" --out "$dir" \
		--append "recorder.size_mb=$size recorder.log_mb=128" "${options[@]}" -- "$@"
}

if [ -n "$state" ]; then
	in_lab state 300 "$wtpower" replay --state "$state" "$(realpath -- "$file")"
	exit
fi

echo "powerloss: seed $seed"
rm -f "$dir/lab-failed" "$dir/skipped"
# shellcheck disable=SC2086
set -- $kinds
each=$(((states + $# - 1) / $#))
# Of the atomic writes of a recording about two in three are undecided at a cut.
half=$(((atomic + 1) / 2))
atomic_ops=$((half + half / 2 + 50))
[ "$atomic_ops" -le 1500 ] || atomic_ops=1500
failed=0

# record_logged FILE [OPTION...]: a record from a machine of the other architecture.
# QEMU's emulated NVMe disk has no FUA (7.2: the bit is ignored), its SCSI disk has.
record_logged() {
	local record=$1 name=${1##*/}
	local disk=$dir/$name.disk log=$dir/$name.log
	shift
	head -c $(((32 << 20) + (64 << 10))) /dev/zero | tr '\0' '\333' >"$disk"
	: >"$log"
	"$ROOT/lab/run" --arch x86_64 --release --timeout 600 --log "$dir/$name.kernel" --append scsi_mod.scan=sync \
		--qemu -device --qemu virtio-scsi-pci,id=logged \
		--qemu -drive --qemu "if=none,id=d,driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename=${disk//,/,,},file.cache.no-flush=on,log.driver=raw,log.file.driver=file,log.file.filename=${log//,/,,},log.cache.no-flush=on" \
		--qemu -device --qemu scsi-hd,bus=logged.0,drive=d,dpofua=on \
		-- "$wtpower" record --logged /dev/sda --seed "$seed" --ops "$ops" "$@" || return
	"$wtpower" import "$log" "$record" || return
	rm -f "$disk" "$log"
}

# run_logged: the same load there; replayed here
run_logged() {
	local status=0
	{
		record_logged "$dir/logged.rec" &&
			in_lab logged $((240 + each * 12)) "$wtpower" replay --states "$each" /run/out/logged.rec
	} >"$dir/logged.out" 2>"$dir/logged.err" || status=$?
	echo "== logged ($(elapsed))"
	cat "$dir/logged.out"
	judge logged "$status"
}

control_logged() {
	record_logged "$dir/control-logged.rec" --plain >"$dir/control-logged.out" 2>&1 || {
		cat "$dir/control-logged.out"
		return 1
	}
	control logged 'the same load without the flags, logged' "'$wtpower' replay --states 60 --expect-lost /run/out/control-logged.rec"
}

# run KIND: records and replays
run() {
	local kind=$1 how=$1 more=() status=0
	[ "$kind" != logged ] || { run_logged; return; }
	[ "$kind" != realtime ] || how=fua more=(--realtime)
	# shellcheck disable=SC2016
	in_lab "$kind" $((240 + each * 12)) sh -c '
		wtpower=$1 stop=$2 states=$3 out=$4
		shift 4
		"$wtpower" record "$@" "$out" && "$wtpower" replay $stop --states "$states" "$out"' \
		sh "$wtpower" "$quick" "$each" "/run/out/$kind.rec" --kind "$how" "${more[@]}" --seed "$seed" --ops "$ops" \
		>"$dir/$kind.out" 2>"$dir/$kind.err" || status=$?
	echo "== $kind ($(elapsed))"
	cat "$dir/$kind.out"
	judge "$kind" "$status"
}

# judge NAME STATUS: what became of a machine
judge() {
	local kind=$1 status=$2
	[ "$status" != 0 ] || return 0
	if [ "$status" = 77 ]; then
		: >"$dir/skipped"
		return 0
	fi
	grep -v '^wtpower: .* states of' "$dir/$kind.err" || :
	echo "FAIL $kind: status $status, seed $seed"
	if [ "$status" = 125 ] && ! grep -q 'lab: command starts' "$dir/$kind.kernel"; then
		: >"$dir/lab-failed"
	fi
	[ ! -e "$dir/$kind.rec" ] || cp "$dir/$kind.rec" "$dir/failed-$kind-$seed.rec"
	state=$(sed -n 's/^state \([0-9:]*\) .*/\1/p' "$dir/$kind.out" | head -n 1)
	[ -z "$state" ] ||
		echo "again: tools/powerloss.sh --state $state ${dir#"$ROOT/"}/failed-$kind-$seed.rec"
	return 1
}

# control NAME WORDS COMMAND...: what is not kept has to be found
control() {
	local name=$1 words=$2
	shift 2
	# A device that lies may well upset the kernel (status 99).
	in_lab "control-$name" 600 sh -c "$1" >"$dir/control-$name.out" 2>&1 || :
	echo "== control: $words ($(elapsed))"
	if [ "$(sed -n 's/^result: .*, \([0-9]*\) lost,.*/\1/p' "$dir/control-$name.out")" -gt 0 ] 2>/dev/null; then
		echo "caught: $(grep -m 1 -A 1 '^state ' "$dir/control-$name.out" | tail -n 1 | sed 's/^ *//')"
		return 0
	fi
	cat "$dir/control-$name.out"
	echo "FAIL control: $words was not caught, seed $seed"
	return 1
}

# What one recording has is not enough: others follow, with other seeds, until as
# many have been cut as are wanted, by the method that it is about. The last is only
# as long as it takes. Without a cache too few would be undecided at a time.
# shellcheck disable=SC2016
ATOMIC_ROUNDS='
	wtpower=$1 out=$2 seed=$3 left=$4 cut=$5 ops=$6 stop=$7 method=$8 nvme=$9 next="fua flush"
	shift 9
	if [ -n "$nvme" ]; then
		above=$("$nvme" /dev/sda) || exit
		set -- --above "$above"
	fi
	while [ "$left" -gt 0 ]; do
		kind=${next%% *} next="${next#* } ${next%% *}"
		"$wtpower" record --atomic "$@" --kind "$kind" --seed "$seed" --ops "$ops" "$out" || exit
		"$wtpower" replay --states $((left * 4 / cut + 1)) --cut "$cut" --check-every 10 $stop "$out" >/tmp/said
		status=$?
		cat /tmp/said
		[ "$status" = 0 ] || exit "$status"
		had=$(sed -n "s/^atomic: .*\<\([0-9]*\) by $method.*/\1/p" /tmp/said)
		[ "${had:-0}" -gt 0 ] || exit 1
		left=$((left - had)) seed=$((seed + 1))
	done'

# nvme_script METHOD: what sets up the disk
nvme_script() { [ "$1" != nvme ] || echo "$ROOT/tools/nvme-loop.sh"; }

# method_options METHOD: of the recording
method_options() {
	case $1 in
	device)	echo --above /dev/sda ;;
	copy)	echo --no-unit ;;
	esac
}

# run_atomic METHOD: half of the atomic writes, device, copy or nvme
run_atomic() {
	local name=atomic-$1 status=0
	# shellcheck disable=SC2046
	in_lab "$name" $((300 + half)) sh -c "$ATOMIC_ROUNDS" sh "$wtpower" "/run/out/$name.rec" "$seed" "$half" \
		"$cut" "$atomic_ops" "$quick" "$([ "$1" = copy ] && echo copy || echo 'the device')" "$(nvme_script "$1")" $(method_options "$1") >"$dir/$name.out" 2>"$dir/$name.err" || status=$?
	echo "== $name ($(elapsed))"
	cat "$dir/$name.out"
	judge "$name" "$status"
}

# control_atomic METHOD: the same without RWF_ATOMIC. It ends with the tenth torn
# range: how many a state has goes by chance, two states alone had 4 once.
control_atomic() {
	local name=control-atomic-$1 status=0 states=60
	# shellcheck disable=SC2016,SC2046
	in_lab "$name" 900 sh -c '
		wtpower=$1 seed=$2 ops=$3 states=$4 cut=$5 nvme=$6
		shift 6
		if [ -n "$nvme" ]; then
			above=$("$nvme" /dev/sda) || exit
			set -- --above "$above"
		fi
		"$wtpower" record --atomic --plain "$@" --seed "$seed" --ops "$ops" /tmp/plain.rec &&
		"$wtpower" replay --states "$states" --cut "$cut" --check-every 10 --expect-torn 10 /tmp/plain.rec' \
		sh "$wtpower" "$seed" "$atomic_ops" "$states" "$cut" "$(nvme_script "$1")" $(method_options "$1") >"$dir/$name.out" 2>&1 || status=$?
	echo "== control: without RWF_ATOMIC ($1) ($(elapsed))"
	if [ "$status" = 0 ]; then
		echo "caught: $(sed -n 's/^atomic: .* \([0-9]* ranges torn\)$/\1/p' "$dir/$name.out")"
		return 0
	fi
	cat "$dir/$name.out"
	echo "FAIL control: fewer than 10 torn ranges without RWF_ATOMIC ($1), seed $seed"
	return 1
}

# start NAME COMMAND...: when there is room for one more; its output in one piece
running=0
start() {
	local name=$1
	shift
	if [ "$running" -ge "$jobs" ]; then
		wait -n || failed=$((failed + 1))
		running=$((running - 1))
	fi
	{
		status=0
		"$@" >"$dir/$name.report" 2>&1 || status=1
		cat "$dir/$name.report"
		exit $status
	} &
	running=$((running + 1))
}

finish() {
	while [ "$running" -gt 0 ]; do
		wait -n || failed=$((failed + 1))
		running=$((running - 1))
	done
}

end_jobs() {
	trap '' INT TERM
	local pids
	pids=$(jobs -p)
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill $pids 2>/dev/null || :
	wait
	exit 130
}
trap end_jobs INT TERM HUP

for kind; do
	[ -z "$quick" ] || [ "$failed" = 0 ] || continue
	[ ! -e "$dir/skipped" ] || continue
	rm -f "$dir/$kind.out"
	start "$kind" run "$kind"
	[ -z "$quick" ] || finish
done
[ "$atomic" -gt 0 ] || methods=''
for method in $methods; do
	[ -z "$quick" ] || [ "$failed" = 0 ] || continue
	[ ! -e "$dir/skipped" ] || continue
	rm -f "$dir/atomic-$method.out"
	start "atomic-$method" run_atomic "$method"
	[ -z "$quick" ] || finish
done
finish
# Said by the first that found out
[ ! -e "$dir/skipped" ] || exit 77

if [ -n "$controls" ]; then
	start plain control plain 'the same load without the flags' \
		"'$wtpower' record --plain --seed $seed --ops $ops /tmp/plain.rec && '$wtpower' replay --states 60 --expect-lost /tmp/plain.rec"
	for kind; do
		[ "$kind" != logged ] || start control-logged control_logged
	done
	for kind; do
		if [ "$kind" = none ] || [ "$kind" = logged ] || [ ! -e "$dir/$kind.rec" ]; then
			continue
		fi
		start "lie-$kind" control "lie-$kind" "a device that forgets flushes ($kind)" \
			"'$wtpower' replay --lie --states 60 --expect-lost '$dir/$kind.rec'"
		break
	done
	for method in $methods; do
		start "control-atomic-$method" control_atomic "$method"
	done
	finish
fi

# What the writes met, all recordings taken together
outs() { for kind; do cat "$dir/$kind.out" 2>/dev/null || :; done; }
met=$(outs "$@" | awk '
	/^met:/ { n = NF; for (i = 2; i <= n; i++) name[i] = $i }
	/^(plain|wt|wt\+dsync) +[0-9]+ / { for (i = 2; i <= NF; i++) sum[$1, i] += $i }
	END { for (i = 2; i <= n; i++) for (k = 1; k <= 2; k++) {
		row = k == 1 ? "wt" : "wt+dsync"
		if (!sum[row, i]) printf "%s over %s; ", row, name[i] } }')
if [ -n "$met" ] && [ -z "$quick" ]; then
	echo "FAIL never met: $met"
	failed=$((failed + 1))
fi

# And the atomic ones: what is left out of an interrupted run counts as never met.
if [ -n "$methods" ] && [ -z "$quick" ]; then
	# shellcheck disable=SC2086,SC2046
	set -- "$@" $(printf 'atomic-%s ' $methods)
	met=$(outs "$@" | awk '
		/^met:/ { for (i = 2; i <= NF; i++) name[i] = $i }
		/^atomic +[0-9]+ / { n = NF; for (i = 2; i <= NF; i++) sum[i] += $i }
		END { for (i = 2; i <= n; i++)
			if (!sum[i] && name[i] != "eofblk") printf "%s; ", name[i] }')
	if [ -n "$met" ]; then
		echo "FAIL never met by an atomic write: $met"
		failed=$((failed + 1))
	fi
	outs "$@" | awk '/^atomic: / { device += $2; copy += $7; cuts += $(NF - 7); mounts += $(NF - 4) }
		END { printf "%d atomic writes cut (%d by the device, %d by copy on write), %d times in %d mounts\n",
			device + copy, device, copy, cuts, mounts }'
fi

outs "$@" | sed -n 's/^result: //p' | awk '
	{ states += $1; lost += $3; stale += $5; torn += $7 }
	END { printf "%d states, %d lost, %d stale, %d torn\n", states, lost, stale, torn }'
# Nothing has been tested if the kernel does not boot.
[ ! -e "$dir/lab-failed" ] || exit 125
[ "$failed" = 0 ]
