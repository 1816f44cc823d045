// SPDX-License-Identifier: GPL-2.0
/*
 * wtpower: pull the plug at every moment, and see what is left.
 *
 *	wtpower record FILE	a load of writes on the recorded device
 *	wtpower replay FILE	the states that the device could be left in
 *	wtpower import LOG FILE	a record from what QEMU has logged
 *
 * The record says in order what was submitted to the device, what it completed,
 * what was flushed, and, by marks of ours, what the program had asked for and
 * been told.  A state is what the device may hold if the power fails after some
 * entry: all that was durable by then, and of the rest any part.  Each is
 * mounted, so that the log is recovered, compared with what was promised, and
 * now and then given to the checker.
 *
 * With --atomic the load is of atomic writes, many of them in flight.  Then each
 * write of their data that is undecided at a cut is torn at a sector by chance,
 * unless the device was told that it is atomic: that one is there as a whole, or
 * not at all.  So a state cuts as many atomic writes as were undecided, be it by
 * the device's method, or by the file system's, whose data and log can be torn.
 *
 * This is not an option of wtx, since that knows what the file is; here every
 * content that a sector ever had is kept, and what was promised of each.
 */
/* libs: -luring -laio */
#define _GNU_SOURCE
#include <endian.h>
#include <getopt.h>
#include <inttypes.h>
#include <libaio.h>
#include <liburing.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <linux/blkpg.h>
#include <linux/falloc.h>
#include <linux/loop.h>

#include "wt.h"
#include "../lab/linux/drivers/block/recorder.h"

#define SECTOR		512
#define BLOCK		4096
#define PER_BLOCK	(BLOCK / SECTOR)
#define KIB		1024
#define MIB		(1024 * 1024)
#define NR_DEVICES	2
#define MAX_SLOTS	48
#define SLOTS		8
#define MAX_WRITE	(128 * KIB)
#define MAX_FILE	(2 * MIB)
#define MAX_SUBSETS	50
#define FILL		0xdb	/* what the device holds before */
#define REPORTS		4

#define RWF_DURABLE	(WT_RWF_DSYNC | WT_RWF_SYNC)
/* In marks; the kernel's number of the flag may change. */
#define THROUGH		0x10000u

enum file {
	F_LOG, F_PAGES, F_HOLES, F_UNWRITTEN, F_SOURCE, F_CLONE,
	F_LARGE, F_HUGE,	/* with --atomic only */
	NR_FILES
};

static const struct {
	const char	*name;
	uint64_t	max;
} files[NR_FILES] = {
	[F_LOG]		= { "log", 1 * MIB },
	[F_PAGES]	= { "pages", 512 * KIB },
	[F_HOLES]	= { "holes", 1 * MIB },
	[F_UNWRITTEN]	= { "unwritten", 512 * KIB },
	[F_SOURCE]	= { "source", 256 * KIB },
	[F_CLONE]	= { "clone", 256 * KIB },
	[F_LARGE]	= { "large", 1 * MIB },
	[F_HUGE]	= { "huge", MAX_FILE },
};

#define MAX_SECTORS	(MAX_FILE / SECTOR)
#define MAX_BLOCKS	(MAX_FILE / BLOCK)

enum op { OP_WRITE, OP_SIZE, OP_PUNCH, OP_ZERO, OP_CLONE, OP_FSYNC, OP_FDATASYNC, NR_OPS };

static const char * const op_name[NR_OPS] = {
	"write", "size", "punch", "zero", "clone", "fsync", "fdatasync",
};

enum what { MARK_ISSUE = 1, MARK_ACK, MARK_START, MARK_END };

struct mark {
	uint32_t	what;
	uint32_t	number;	/* of the operation; in the order of issue */
	uint32_t	op;
	uint32_t	file;
	uint64_t	off;
	uint64_t	len;
	uint32_t	flags;	/* RWF_* and THROUGH: what is promised */
	uint32_t	how;
};

enum how { HOW_SYNC, HOW_RING, HOW_AIO, NR_HOWS };

static const char * const how_name[NR_HOWS] = { "pwritev2", "io_uring", "libaio" };

struct header {
	char		magic[8];
	uint64_t	seed;
	uint64_t	size;		/* of a device */
	uint64_t	bytes;		/* of the record that follows */
	uint32_t	kind;
	uint32_t	realtime;
	uint32_t	plain;
	uint32_t	ops;
	uint32_t	atomic;
	uint32_t	pad;
};

#define MAGIC	"wtpower3"

static struct {
	uint64_t	seed;
	unsigned int	ops;
	unsigned int	states;
	unsigned int	check_every;
	unsigned int	kind;
	unsigned int	slice, slices;
	uint64_t	only_cut;
	unsigned int	only_subset;
	const char	*above;		/* the device that the recorded one is on */
	const char	*logged;	/* the device, if it is recorded from outside */
	unsigned int	cut;		/* atomic writes a state, at least */
	unsigned int	expect_torn;
	bool		only;
	bool		atomic;
	bool		no_unit;
	bool		plain;
	bool		lie;
	bool		expect_lost;
	bool		stop;
	bool		realtime;
} opt = {
	.ops		= 400,
	.states		= 100,
	.cut		= 20,
	.check_every	= 4,
	.kind		= RECORDER_HAS_CACHE | RECORDER_HAS_FUA,
	.slices		= 1,
};

static const char *mount_point;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("wtpower: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static void *allocate(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (!p)
		die("out of memory");
	return p;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdull;
	x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ull;
	return x ^ (x >> 33);
}

static uint64_t draw(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ull;
	return mix(*state);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* ---- data ---- */

/*
 * Eight bytes say of which operation, file and place they are.  Nothing else
 * that may be on the device looks like it.
 */
static uint64_t word_at(enum file file, uint64_t off, uint32_t number)
{
	return (uint64_t)number << 40 | (uint64_t)(file + 1) << 36 | off / 8;
}

static void fill(unsigned char *p, enum file file, uint32_t number, uint64_t off, uint64_t len)
{
	uint64_t i, word;

	for (i = 0; i < len; i++) {
		word = word_at(file, off + i, number);
		p[i] = word >> (8 * ((off + i) % 8));
	}
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		die("failed: %s", command);
}

/* ---- the load ---- */

struct slot {
	bool		busy;
	enum how	how;
	struct mark	mark;
	unsigned char	*buf;
	uint64_t	room;
	struct iovec	iov;
	struct iocb	iocb;
};

/* What a write met, at its beginning: the table at the end */
enum met {
	MET_REAL,
	MET_HOLE,
	MET_UNWRITTEN,
	MET_DELAYED,
	MET_SHARED,
	MET_EOF,	/* in the block that holds the end */
	MET_APPEND,
	MET_BEYOND,
	NR_METS
};

static const char * const met_name[NR_METS] = {
	"real", "hole", "unwrit", "delay", "shared", "eofblk", "append", "beyond",
};

enum promise { PLAIN, WROTE_THROUGH, DURABLE, WHOLE, NR_PROMISES };

static const char * const promise_name[NR_PROMISES] = { "plain", "wt", "wt+dsync", "atomic" };

static struct {
	unsigned int	hits[NR_PROMISES][NR_METS];
	int		recorder;		/* what takes marks */
	char		device[32];		/* what is recorded */
	int		fd[NR_FILES];
	uint64_t	size[NR_FILES];
	uint64_t	last_lazy[NR_FILES];	/* where nothing durable was written */
	bool		apart[NR_FILES];	/* written since, see end_sharing() */
	uint64_t	random;
	uint32_t	number;
	bool		lazy;		/* nothing asks for durability */
	unsigned int	flag;
	unsigned int	depth;
	uint64_t	unit;		/* what the device can write atomically */
	uint64_t	atomic_max;	/* and the file system */
	struct slot	slot[MAX_SLOTS];
	struct io_uring	ring;
	io_context_t	aio;
} load;

static enum file nr_files(void)
{
	return opt.atomic ? NR_FILES : F_LARGE;
}

static uint64_t pick(uint64_t n)
{
	return draw(&load.random) % n;
}

/*
 * A logged disk has two partitions: the file system, and a sector for marks.  They
 * are not in a table on the disk.
 */
#define LOGGED_SIZE	(32 * MIB)
#define MARKS_SIZE	(64 * KIB)

static void put_mark(struct mark *mark, enum what what)
{
	static unsigned char sector[SECTOR] __attribute__((aligned(BLOCK)));

	mark->what = what;
	if (opt.logged) {
		memcpy(sector, mark, sizeof(*mark));
		if (pwrite(load.recorder, sector, SECTOR, 0) != SECTOR)
			die("cannot write a mark: %s", strerror(errno));
		return;
	}
	if (write(load.recorder, mark, sizeof(*mark)) != sizeof(*mark))
		die("cannot write a mark: %s", strerror(errno));
}

static void ended(struct slot *slot, int64_t result)
{
	if (result != (int64_t)slot->mark.len)
		die("write %u of %" PRIu64 " bytes at %" PRIu64 " of %s: %" PRId64,
		    slot->mark.number, slot->mark.len, slot->mark.off,
		    files[slot->mark.file].name, result);
	put_mark(&slot->mark, MARK_ACK);
	slot->busy = false;
}

static bool reap_ring(bool wait)
{
	struct io_uring_cqe *cqe;
	int error;

	error = wait ? io_uring_wait_cqe(&load.ring, &cqe) :
		       io_uring_peek_cqe(&load.ring, &cqe);
	if (error == -EAGAIN || error == -EINTR)
		return false;
	if (error)
		die("io_uring: %s", strerror(-error));
	ended(io_uring_cqe_get_data(cqe), cqe->res);
	io_uring_cqe_seen(&load.ring, cqe);
	return true;
}

static bool reap_aio(bool wait)
{
	struct timespec none = {};
	struct io_event event;
	int n = io_getevents(load.aio, wait, 1, &event, wait ? NULL : &none);

	if (n < 0 && n != -EINTR)
		die("io_getevents: %s", strerror(-n));
	if (n < 1)
		return false;
	ended(event.data, (int64_t)event.res);
	return true;
}

static void wait_for(struct slot *slot)
{
	while (slot->busy) {
		if (slot->how == HOW_RING)
			reap_ring(true);
		else
			reap_aio(true);
	}
}

/* Whoever shares a sector is waited for: its content would be anybody's guess. */
static void wait_for_range(enum file file, uint64_t off, uint64_t len)
{
	uint64_t from = wt_round_down(off, SECTOR);
	uint64_t to = wt_round_up(off + len, SECTOR);
	unsigned int i;

	for (i = 0; i < load.depth; i++) {
		struct mark *mark = &load.slot[i].mark;

		if (load.slot[i].busy && mark->file == file &&
		    wt_round_down(mark->off, SECTOR) < to &&
		    wt_round_up(mark->off + mark->len, SECTOR) > from)
			wait_for(&load.slot[i]);
	}
}

static bool in_flight(enum file file, uint64_t off, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < load.depth; i++) {
		struct mark *mark = &load.slot[i].mark;

		if (load.slot[i].busy && mark->file == file &&
		    mark->off < off + len && mark->off + mark->len > off)
			return true;
	}
	return false;
}

static struct slot *free_slot(void)
{
	unsigned int i;

	while (reap_ring(false) || reap_aio(false))
		;
	for (i = 0; i < load.depth; i++)
		if (!load.slot[i].busy)
			return &load.slot[i];
	i = pick(load.depth);
	wait_for(&load.slot[i]);
	return &load.slot[i];
}

static void start_ring(struct slot *slot, int flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&load.ring);
	int n;

	io_uring_prep_writev2(sqe, load.fd[slot->mark.file], &slot->iov, 1,
			      slot->mark.off, flags);
	io_uring_sqe_set_data(sqe, slot);
	n = io_uring_submit(&load.ring);
	if (n != 1)
		die("io_uring_submit: %s", strerror(-n));
}

static void start_aio(struct slot *slot, int flags)
{
	struct iocb *iocb = &slot->iocb;
	int n;

	io_prep_pwritev(iocb, load.fd[slot->mark.file], &slot->iov, 1, slot->mark.off);
	iocb->aio_rw_flags = flags;
	iocb->data = slot;
	n = io_submit(load.aio, 1, &iocb);
	if (n != 1)
		die("io_submit: %s", strerror(-n));
}

static enum met what_is_there(enum file file, uint64_t off, uint64_t len)
{
	uint64_t size = load.size[file];
	struct wt_map map = {};
	enum met met = MET_HOLE;

	if (file == F_LOG && off + len > size)
		return off > size ? MET_BEYOND : MET_APPEND;
	if (file == F_LOG && off >= wt_round_down(size, BLOCK))
		return MET_EOF;
	if (wt_map_range(load.fd[file], off, 1, &map))
		die("FIEMAP: %s", strerror(errno));
	if (map.nr) {
		met = map.ext[0].flags & FIEMAP_EXTENT_SHARED ? MET_SHARED :
		      map.ext[0].flags & FIEMAP_EXTENT_DELALLOC ? MET_DELAYED :
		      map.ext[0].flags & FIEMAP_EXTENT_UNWRITTEN ? MET_UNWRITTEN : MET_REAL;
	}
	wt_map_free(&map);
	return met;
}

static void count_hit(enum file file, uint64_t off, uint64_t len, unsigned int flags)
{
	enum promise promise = PLAIN;

	if (flags & WT_RWF_ATOMIC)
		promise = WHOLE;
	else if (flags & THROUGH)
		promise = flags & RWF_DURABLE ? DURABLE : WROTE_THROUGH;
	load.hits[promise][what_is_there(file, off, len)]++;
}

static void print_hits(void)
{
	unsigned int i, k;

	printf("met:     ");
	for (k = 0; k < NR_METS; k++)
		printf(" %7s", met_name[k]);
	for (i = 0; i < NR_PROMISES; i++) {
		if (opt.atomic ? i != WHOLE : i == WHOLE)
			continue;
		printf("\n%-9s", promise_name[i]);
		for (k = 0; k < NR_METS; k++)
			printf(" %7u", load.hits[i][k]);
	}
	printf("\n");
}

static void do_write(enum file file, uint64_t off, uint64_t len, unsigned int flags, enum how how)
{
	struct slot *slot;
	int rwf = flags & ~THROUGH;

	if (flags & THROUGH)
		rwf |= load.flag;
	/* A control: what is promised is not asked for. */
	if (opt.plain && (flags & THROUGH))
		rwf = opt.atomic ? rwf & ~WT_RWF_ATOMIC : 0;

	wait_for_range(file, off, len);
	slot = free_slot();
	count_hit(file, off, len, flags);
	slot->mark = (struct mark) {
		.number	= ++load.number,
		.op	= OP_WRITE,
		.file	= file,
		.off	= off,
		.len	= len,
		.flags	= flags,
		.how	= how,
	};
	if (slot->room < len) {
		free(slot->buf);
		slot->buf = allocate(len);
		slot->room = len;
	}
	fill(slot->buf, file, load.number, off, len);
	slot->iov = (struct iovec) { slot->buf, len };
	slot->how = how;
	slot->busy = true;
	if (load.size[file] < off + len)
		load.size[file] = off + len;
	put_mark(&slot->mark, MARK_ISSUE);
	if (how == HOW_RING) {
		start_ring(slot, rwf);
	} else if (how == HOW_AIO) {
		start_aio(slot, rwf);
	} else {
		ssize_t n = pwritev2(load.fd[file], &slot->iov, 1, off, rwf);

		ended(slot, n < 0 ? -errno : n);
	}
}

/* All but writes: one at a time. */
static void do_op(enum op op, enum file file, uint64_t off, uint64_t len)
{
	int fd = load.fd[file], result = 0;
	struct mark mark = {
		.number	= ++load.number,
		.op	= op,
		.file	= file,
		.off	= off,
		.len	= len,
	};

	if (op == OP_CLONE)
		wait_for_range(F_SOURCE, 0, files[F_SOURCE].max);
	if (op != OP_FSYNC && op != OP_FDATASYNC)
		wait_for_range(file, off, len);
	put_mark(&mark, MARK_ISSUE);
	switch (op) {
	case OP_SIZE:
		result = file == F_UNWRITTEN ? fallocate(fd, 0, 0, len) : ftruncate(fd, len);
		load.size[file] = len;
		break;
	case OP_PUNCH:
		result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
		break;
	case OP_ZERO:
		result = fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, off, len);
		break;
	case OP_CLONE:
		result = ioctl(fd, FICLONE, load.fd[F_SOURCE]);
		load.size[file] = load.size[F_SOURCE];
		break;
	case OP_FSYNC:
		result = fsync(fd);
		break;
	default:
		result = fdatasync(fd);
	}
	if (result)
		die("%s of %s: %s", op_name[op], files[file].name, strerror(errno));
	put_mark(&mark, MARK_ACK);
}

/* The log ends anywhere, not only at sectors. */
static void log_write(unsigned int flags, enum how how)
{
	uint64_t size = load.size[F_LOG], off = size, len;

	switch (pick(10)) {
	case 0:		/* in the block that holds the end, but not at it */
	case 1:
		off = size - pick((size - 1) % BLOCK + 1) - 1;
		len = 1 + pick(size - off);
		break;
	case 2:		/* beyond the end */
	case 3:
		off = size + pick(2) * (BLOCK - size % BLOCK) + pick(3 * BLOCK);
		len = 1 + pick(2 * BLOCK);
		break;
	case 4:		/* a large one */
		len = 1 + pick(MAX_WRITE);
		break;
	case 5:		/* to the end of a block or sector */
		len = BLOCK - size % BLOCK;
		break;
	case 6:
		len = SECTOR - size % SECTOR + SECTOR * pick(20);
		break;
	default:
		len = 1 + pick(900);
	}
	if (off + len > files[F_LOG].max)
		return;
	do_write(F_LOG, off, len, flags, how);
	/* Durable is also the size that an earlier append has set. */
	size = load.size[F_LOG];
	if (!(flags & RWF_DURABLE) && size % BLOCK && pick(2)) {
		off = size - 1 - pick(size % BLOCK);
		do_write(F_LOG, off, size - off, THROUGH | WT_RWF_DSYNC, how);
	}
}

/*
 * Of two files that share a block, one is written elsewhere.  Now the other has it
 * alone, and XFS overwrites it in place, also if the log does not know of that yet:
 * after a crash both have it again, and in it what one of them has written.  Plain
 * writes do that without us, so that it is kept from happening here.
 */
static void end_sharing(enum file file)
{
	enum file other = file == F_SOURCE ? F_CLONE : F_SOURCE;

	if (file != F_SOURCE && file != F_CLONE)
		return;
	if (load.apart[other])
		do_op(OP_FDATASYNC, other, 0, 0);
	load.apart[other] = false;
	load.apart[file] = true;
}

static void any_write(enum file file, unsigned int flags, enum how how)
{
	uint64_t max = files[file].max, unit, off, len;

	end_sharing(file);
	unit = pick(2) ? BLOCK : pick(2) ? SECTOR : 1;
	len = pick(4) ? 1 + pick(4 * BLOCK) : 1 + pick(MAX_WRITE / 2);
	len = wt_round_up(len, unit);
	off = wt_round_down(pick(max), unit);
	/* Over what may still be dirty, have no blocks yet, or none in the log */
	if (flags && pick(2))
		off = load.last_lazy[file];
	if (!(flags & RWF_DURABLE))
		load.last_lazy[file] = off;
	if (len > max - off)
		len = max - off;
	do_write(file, off, len, flags, how);
	/* Durable is also the allocation, even if another write has made it. */
	if (flags == THROUGH && pick(2))
		do_write(file, off, len, THROUGH | WT_RWF_DSYNC, pick(NR_HOWS));
}

static unsigned int any_flags(void)
{
	static const unsigned int choice[] = {
		0, 0, WT_RWF_DSYNC, THROUGH, THROUGH, THROUGH,
		THROUGH | WT_RWF_DSYNC, THROUGH | WT_RWF_DSYNC, THROUGH | WT_RWF_DSYNC,
		THROUGH | WT_RWF_DSYNC, THROUGH | WT_RWF_SYNC,
	};

	/* Now and then nobody flushes, and what is not durable piles up. */
	if (load.lazy)
		return pick(3) ? THROUGH : 0;
	return choice[pick(sizeof(choice) / sizeof(choice[0]))];
}

static enum file any_file(void)
{
	static const enum file choice[] = {
		F_LOG, F_LOG, F_LOG, F_LOG, F_PAGES, F_PAGES, F_PAGES, F_HOLES, F_HOLES,
		F_HOLES, F_UNWRITTEN, F_UNWRITTEN, F_SOURCE, F_SOURCE, F_CLONE,
	};

	return choice[pick(sizeof(choice) / sizeof(choice[0]))];
}

/*
 * Without allocation groups for it, XFS hands freed realtime blocks out again before
 * the log says that they are free, and what is written to them next shows up in the
 * old place after a crash.  This is not about write-through, so that between the two
 * nobody has anything to write, be it what is dirty, to which an fsync of what has
 * been freed would give blocks before it comes to the log.
 */
static void come_to_rest(void)
{
	unsigned int i;

	for (i = 0; i < nr_files(); i++) {
		wait_for_range(i, 0, files[i].max);
		do_op(OP_FSYNC, i, 0, 0);
	}
}

static void zero_some(enum op op, enum file file)
{
	uint64_t off = wt_round_down(pick(files[file].max), BLOCK);
	uint64_t len = BLOCK * (1 + pick(16));

	if (len > files[file].max - off)
		len = files[file].max - off;
	if (opt.realtime)
		come_to_rest();
	do_op(op, file, off, len);
	if (opt.realtime)
		do_op(OP_FSYNC, file, 0, 0);
	/* A hole, then delayed allocation, and somebody who needs it now */
	if (op == OP_PUNCH) {
		do_write(file, off, BLOCK, 0, HOW_SYNC);
		do_write(file, off, BLOCK, THROUGH | (pick(2) ? WT_RWF_DSYNC : 0), pick(NR_HOWS));
	}
}

static void one_operation(void)
{
	enum file file = any_file();
	unsigned int flags, dice = pick(100);
	enum how how;

	if (!pick(25))
		load.lazy = !load.lazy;
	if (dice < 7 && load.lazy)
		dice += 7;
	if (dice < 4) {
		do_op(OP_FDATASYNC, file, 0, 0);
	} else if (dice < 7) {
		do_op(OP_FSYNC, file, 0, 0);
	} else if (dice < 10) {
		zero_some(OP_PUNCH, F_HOLES);
	} else if (dice < 13) {
		zero_some(OP_ZERO, F_UNWRITTEN);
	} else if (dice < 16 && !opt.realtime) {
		do_op(OP_CLONE, F_CLONE, 0, files[F_CLONE].max);
	} else if (dice < 18) {
		posix_fadvise(load.fd[file], 0, 0, POSIX_FADV_DONTNEED);
	} else {
		flags = any_flags();
		/* A plain write is over when it returns. */
		how = flags & THROUGH && pick(2) ? 1 + pick(2) : HOW_SYNC;
		if (file == F_LOG)
			log_write(flags, how);
		else
			any_write(file, flags, how);
	}
}

/* ---- the load of atomic writes ---- */

/* From a block to the largest there is, each half as often as the one before. */
static uint64_t atomic_len(uint64_t max)
{
	uint64_t len = BLOCK;

	while (len < max && pick(2))
		len *= 2;
	return len;
}

/* The largest are rare, or they would fill the record and the time. */
static uint64_t huge_len(void)
{
	return pick(10) ? atomic_len(load.atomic_max) : load.atomic_max;
}

static unsigned int atomic_flags(void)
{
	return THROUGH | WT_RWF_ATOMIC | (pick(20) ? 0 : WT_RWF_DSYNC);
}

/*
 * At the end of the log, or behind it if that is no multiple of the length, or
 * over it.  A plain append of an odd length now and then, so that it mostly is not.
 */
static void atomic_append(enum how how)
{
	uint64_t len = atomic_len(64 * KIB), size = load.size[F_LOG];
	uint64_t off = pick(2) ? wt_round_up(size, len) : size - size % len;

	if (!pick(3) && size + 2 * BLOCK <= files[F_LOG].max)
		do_write(F_LOG, size, 1 + pick(2 * BLOCK), 0, HOW_SYNC);
	else if (off + len <= files[F_LOG].max)
		do_write(F_LOG, off, len, atomic_flags(), how);
}

/* Somewhere in a file where nothing is in flight, so that the queue stays full. */
static void atomic_write(enum file file, uint64_t len, enum how how)
{
	unsigned int tries = 20;
	uint64_t off;

	do {
		off = len * pick(files[file].max / len);
	} while (in_flight(file, off, len) && --tries);
	/* What is dirty has to be written first; it may have no blocks yet. */
	if (!pick(20))
		do_write(file, off, len, 0, HOW_SYNC);
	do_write(file, off, len, atomic_flags(), how);
}

/* Not to the source of the clones: see end_sharing(), which flushes too often. */
static void atomic_operation(void)
{
	static const enum file choice[] = {
		F_LARGE, F_LARGE, F_LARGE, F_LARGE, F_LARGE, F_LARGE, F_LARGE, F_PAGES,
		F_HOLES, F_HOLES, F_UNWRITTEN, F_CLONE, F_CLONE, F_LOG, F_LOG,
	};
	enum file file = choice[pick(sizeof(choice) / sizeof(choice[0]))];
	enum how how = pick(40) ? 1 + pick(2) : HOW_SYNC;
	unsigned int dice = pick(100);
	uint64_t off, len = 64 * KIB;

	if (dice < 2) {
		do_op(dice ? OP_FSYNC : OP_FDATASYNC, file, 0, 0);
	} else if (dice < 4) {
		file = dice == 2 ? F_HOLES : F_UNWRITTEN;
		off = len * pick(files[file].max / len);
		do_op(dice == 2 ? OP_PUNCH : OP_ZERO, file, off, len);
	} else if (dice < 6) {
		do_op(OP_CLONE, F_CLONE, 0, files[F_CLONE].max);
	} else if (dice < 7) {
		posix_fadvise(load.fd[file], 0, 0, POSIX_FADV_DONTNEED);
	} else if (dice < 14) {
		atomic_write(F_HUGE, huge_len(), how);
	} else if (file == F_LOG) {
		atomic_append(how);
	} else {
		atomic_write(file, atomic_len(64 * KIB), how);
	}
}

struct statx_atomic {
	uint8_t		before[0xa8];
	uint32_t	min, max;
	uint8_t		after[0x50];
};

static void learn_limits(void)
{
	struct statx_atomic stx = {};
	long long unit;

	if (syscall(SYS_statx, load.fd[F_HUGE], "", AT_EMPTY_PATH, 0x10000 /* WRITE_ATOMIC */,
		    &stx) || !stx.max)
		die("statx tells of no atomic writes");
	unit = wt_read_number("/sys/block/recorder0/queue/atomic_write_unit_max_bytes");
	load.unit = unit < 0 ? 0 : unit;
	load.atomic_max = stx.max < MAX_FILE ? stx.max : MAX_FILE;
	printf("atomic writes: %u to %u KiB, the device up to %" PRIu64 " KiB; here up to %" PRIu64
	       " KiB\n", stx.min / KIB, stx.max / KIB, load.unit / KIB, load.atomic_max / KIB);
	if (!opt.no_unit && !load.unit)
		die("the recorded device has no atomic writes");
}

/*
 * The device can do it where a range is aligned on disk as it is in the file.  What
 * is in the way is put in the way of the file's next place.
 */
static void align_file(enum file file)
{
	uint64_t unit = load.unit < files[file].max ? load.unit : files[file].max;
	unsigned int tries;

	for (tries = 0; unit && tries < 8; tries++) {
		struct wt_map map = {};
		uint64_t over;
		char path[4096];
		int filler;

		if (fallocate(load.fd[file], 0, 0, files[file].max) ||
		    wt_map_range(load.fd[file], 0, files[file].max, &map) || !map.nr)
			die("cannot lay out %s: %s", files[file].name, strerror(errno));
		over = map.nr == 1 ? map.ext[0].physical % unit : unit / 2;
		wt_map_free(&map);
		if (!over)
			return;
		snprintf(path, sizeof(path), "%s/filler.%u.%u", mount_point, file, tries);
		filler = open(path, O_RDWR | O_CREAT, 0600);
		if (filler < 0 || ftruncate(load.fd[file], 0) ||
		    fallocate(filler, 0, 0, unit - over))
			die("cannot make %s: %s", path, strerror(errno));
		close(filler);
	}
}

static void write_whole(enum file file)
{
	uint64_t off;

	for (off = 0; off < files[file].max; off += MAX_WRITE)
		do_write(file, off, MAX_WRITE, 0, HOW_SYNC);
}

static void open_files(void)
{
	char path[4096];
	enum file file;

	for (file = 0; file < nr_files(); file++) {
		snprintf(path, sizeof(path), "%s/%s", mount_point, files[file].name);
		load.fd[file] = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (load.fd[file] < 0)
			die("cannot create %s: %s", path, strerror(errno));
		if (opt.realtime) {
			struct fsxattr attr = { .fsx_xflags = FS_XFLAG_REALTIME };

			if (ioctl(load.fd[file], FS_IOC_FSSETXATTR, &attr))
				die("cannot make %s a realtime file: %s", path, strerror(errno));
		}
	}
}

/* What is there before the power may fail: all durable. */
static void prepare_files(void)
{
	enum file file;

	if (opt.atomic) {
		learn_limits();
		for (file = F_LARGE; file < NR_FILES; file++) {
			align_file(file);
			write_whole(file);
		}
		align_file(F_PAGES);
	}
	do_write(F_LOG, 0, opt.atomic ? 2 * BLOCK : 6000, 0, HOW_SYNC);
	write_whole(F_PAGES);
	do_op(OP_SIZE, F_HOLES, 0, files[F_HOLES].max);
	do_op(OP_SIZE, F_UNWRITTEN, 0, files[F_UNWRITTEN].max);
	write_whole(F_SOURCE);
	if (opt.realtime)
		write_whole(F_CLONE);
	else
		do_op(OP_CLONE, F_CLONE, 0, files[F_CLONE].max);
	for (file = 0; file < nr_files(); file++)
		do_op(OP_FSYNC, file, 0, 0);
	sync();
}

/* A file system as small as the checks of mkfs forbid, so that states are cheap. */
static void make_file_system(void)
{
	setenv("TEST_DIR", "1", 1);
	setenv("TEST_DEV", "1", 1);
	setenv("QA_CHECK_FS", "1", 1);
	/* 6.1 knows no reflink or reverse mappings of realtime files. */
	if (opt.realtime)
		run("mkfs.xfs -q -f -K -d agcount=2 -m reflink=0 -r rtdev=/dev/recorder1 /dev/recorder0");
	else
		run("mkfs.xfs -q -f -K -d agcount=2 -m reflink=1,rmapbt=1 %s", load.device);
	if (mount(load.device, mount_point, "xfs", 0,
		  opt.realtime ? "rtdev=/dev/recorder1" : NULL))
		die("cannot mount %s: %s", load.device, strerror(errno));
}

/* Background writeback and metadata are to be under way, too. */
static void hurry(void)
{
	wt_write_string("/proc/sys/vm/dirty_writeback_centisecs", "10");
	wt_write_string("/proc/sys/vm/dirty_expire_centisecs", "20");
	/* But seldom: what forces the log also hides who has forgotten to. */
	wt_write_string("/proc/sys/fs/xfs/xfssyncd_centisecs", "500");
}

static void save_record(const char *path)
{
	off_t bytes = lseek(load.recorder, 0, SEEK_END);
	FILE *out = fopen(path, "w");
	struct header header = {
		.magic		= MAGIC,
		.seed		= opt.seed,
		.bytes		= bytes,
		.kind		= opt.kind,
		.realtime	= opt.realtime,
		.plain		= opt.plain,
		.ops		= load.number,
		.atomic		= opt.atomic,
	};
	unsigned char *buf = allocate(MIB);
	int fd = open("/dev/recorder0", O_RDONLY);
	ssize_t n;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &header.size))
		die("cannot tell the size of the device");
	close(fd);
	if (!out)
		die("cannot write %s: %s", path, strerror(errno));
	fwrite(&header, sizeof(header), 1, out);
	lseek(load.recorder, 0, SEEK_SET);
	while ((n = read(load.recorder, buf, MIB)) > 0)
		fwrite(buf, n, 1, out);
	if (n < 0)
		die("the record is not whole: %s", strerror(errno));
	if (fflush(out) || ferror(out) || fclose(out))
		die("cannot write %s", path);
	free(buf);
	printf("recorded: %u operations, %.1f MB, %s\n", load.number, bytes / 1e6, path);
}

/* What it holds before, and stays open as what the recorded one is above. */
static int fill_device(const char *path)
{
	unsigned char *buf = allocate(MIB);
	unsigned int tries = 100;
	int fd;

	/* Disks are looked for while the machine starts. */
	while ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0 && --tries)
		usleep(100000);
	if (fd < 0)
		die("cannot open %s: %s", path, strerror(errno));
	memset(buf, FILL, MIB);
	while (write(fd, buf, MIB) > 0)
		;
	if (errno != ENOSPC || fsync(fd) || ioctl(fd, BLKFLSBUF, 0))
		die("cannot write to %s: %s", path, strerror(errno));
	free(buf);
	return fd;
}

/* So slow that the queue of atomic writes is full. */
static void slow_device(bool slow)
{
	if (opt.logged)
		return;
	if (wt_write_string("/sys/module/recorder/parameters/delay_us", slow ? "100000" : "1000"))
		die("cannot slow the device down");
}

static void open_recorder(void)
{
	struct recorder_reset reset = { .kind = opt.kind, .fill = FILL };

	snprintf(load.device, sizeof(load.device), "/dev/recorder0");
	load.recorder = open("/dev/recorder", O_RDWR | O_CLOEXEC);
	if (load.recorder < 0)
		die("no recorded device (recorder.size_mb=N for the kernel): %s", strerror(errno));
	if (!opt.no_unit)
		reset.kind |= RECORDER_HAS_ATOMIC;
	if (opt.above) {
		reset.kind |= RECORDER_ABOVE;
		reset.lower = fill_device(opt.above);
	}
	if (ioctl(load.recorder, RECORDER_RESET, &reset))
		die("cannot reset the device: %s", strerror(errno));
}

static void add_partition(int disk, int number, uint64_t start, uint64_t length)
{
	struct blkpg_partition partition = { .start = start, .length = length, .pno = number };
	struct blkpg_ioctl_arg arg = {
		.op = BLKPG_ADD_PARTITION, .datalen = sizeof(partition), .data = &partition,
	};

	if (ioctl(disk, BLKPG, &arg))
		die("cannot add a partition to %s: %s", opt.logged, strerror(errno));
}

static void open_logged(void)
{
	int disk = open(opt.logged, O_RDWR | O_CLOEXEC);
	const char *infix = "";
	char marks[32];

	if (disk < 0)
		die("cannot open %s: %s", opt.logged, strerror(errno));
	add_partition(disk, 1, 0, LOGGED_SIZE);
	add_partition(disk, 2, LOGGED_SIZE, MARKS_SIZE);
	close(disk);
	if (opt.logged[0] && opt.logged[strlen(opt.logged) - 1] <= '9')
		infix = "p";
	snprintf(load.device, sizeof(load.device), "%s%s1", opt.logged, infix);
	snprintf(marks, sizeof(marks), "%s%s2", opt.logged, infix);
	load.recorder = open(marks, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (load.recorder < 0)
		die("cannot open %s: %s", marks, strerror(errno));
}

static void record(const char *path)
{
	struct mark mark = {};
	unsigned int i;

	load.flag = wt_flag();
	if (!load.flag) {
		printf("SKIP: this kernel has no write-through\n");
		exit(77);
	}
	load.random = opt.seed;
	if (opt.logged)
		open_logged();
	else
		open_recorder();
	load.depth = opt.atomic ? MAX_SLOTS : SLOTS;
	if (io_uring_queue_init(load.depth, &load.ring, 0) || io_setup(load.depth, &load.aio))
		die("no io_uring or libaio");

	make_file_system();
	open_files();
	prepare_files();
	hurry();
	slow_device(opt.atomic);
	put_mark(&mark, MARK_START);
	for (i = 0; i < opt.ops; i++) {
		if (opt.atomic)
			atomic_operation();
		else
			one_operation();
	}
	for (i = 0; i < load.depth; i++)
		wait_for(&load.slot[i]);
	/* What an import has to know */
	mark.number = load.number;
	mark.off = opt.seed;
	mark.flags = opt.plain;
	put_mark(&mark, MARK_END);
	slow_device(false);

	for (i = 0; i < nr_files(); i++)
		close(load.fd[i]);
	if (umount(mount_point))
		die("cannot unmount: %s", strerror(errno));
	if (path)
		save_record(path);
	else
		printf("logged: %u operations\n", load.number);
	print_hits();
}

/* ---- what QEMU has logged ---- */

/*
 * QEMU's block driver blklogwrites appends each write to its log when it has been
 * done, in the format of dm-log-writes (Linux, Documentation/admin-guide/device-mapper/
 * log-writes.rst): sectors of 512 bytes, the first of them with the number of
 * entries, then one for each entry, and its data.  Little-endian.
 */
struct log_super {
	uint64_t	magic;
	uint64_t	version;
	uint64_t	nr_entries;
	uint32_t	sector_size;
};

struct log_entry {
	uint64_t	sector;
	uint64_t	nr_sectors;
	uint64_t	flags;
	uint64_t	data_len;
};

#define LOG_MAGIC	0x6a736677736872ull
#define LOG_FLUSH	1u
#define LOG_FUA		2u
#define LOG_DISCARD	4u

static void put_entry(FILE *out, uint64_t *bytes, struct recorder_entry entry, const void *data)
{
	static const unsigned char pad[RECORDER_ALIGN];
	size_t length = data ? entry.length : 0;

	fwrite(&entry, sizeof(entry), 1, out);
	fwrite(data, length, 1, out);
	fwrite(pad, wt_round_up(length, RECORDER_ALIGN) - length, 1, out);
	*bytes += sizeof(entry) + wt_round_up(length, RECORDER_ALIGN);
}

/* Nothing says what is metadata; what is in a file begins with a word of ours, or zeros. */
static bool is_file_data(const void *data)
{
	uint64_t word, file;

	memcpy(&word, data, sizeof(word));
	file = word >> 36 & 15;
	return !word || (file >= 1 && file <= NR_FILES && (word & 0xfffffffffull) * 8 < MAX_FILE);
}

/*
 * The log has no moment of submission.  A write is taken to be complete as soon as it
 * is there, and so can still be lost until a flush: what a state lacks is only a FUA
 * write that is half done.
 */
static void import(const char *log, const char *path)
{
	struct header header = {
		.magic = MAGIC, .size = LOGGED_SIZE,
		.kind = RECORDER_HAS_CACHE | RECORDER_HAS_FUA,
	};
	FILE *in = fopen(log, "r"), *out = fopen(path, "w");
	unsigned int flushes = 0, fuas = 0, writes = 0;
	unsigned char *buf = allocate(LOGGED_SIZE);
	unsigned char first[SECTOR];
	struct log_super super;
	bool ended = false;
	uint64_t i;

	if (!in || !out)
		die("cannot open %s: %s", in ? path : log, strerror(errno));
	if (fread(first, SECTOR, 1, in) != 1)
		die("%s is empty", log);
	memcpy(&super, first, sizeof(super));
	if (le64toh(super.magic) != LOG_MAGIC || le32toh(super.sector_size) != SECTOR)
		die("%s is not a log of writes, by sectors", log);
	fwrite(&header, sizeof(header), 1, out);
	for (i = 0; i < le64toh(super.nr_entries); i++) {
		struct recorder_entry entry = { .io = i + 1 };
		struct log_entry logged;
		uint32_t flags;

		if (fread(first, SECTOR, 1, in) != 1)
			die("%s ends before entry %" PRIu64, log, i);
		memcpy(&logged, first, sizeof(logged));
		flags = le64toh(logged.flags);
		entry.sector = le64toh(logged.sector);
		entry.length = le64toh(logged.nr_sectors) * SECTOR;
		if (flags & LOG_FLUSH) {
			entry.type = RECORDER_FLUSH;
			put_entry(out, &header.bytes, (struct recorder_entry) {
				.type = RECORDER_FLUSH, .io = entry.io }, NULL);
			put_entry(out, &header.bytes, (struct recorder_entry) {
				.type = RECORDER_FLUSH_DONE, .io = entry.io }, NULL);
			flushes++;
		}
		if (!entry.length || flags & LOG_DISCARD)
			continue;
		if (entry.length > LOGGED_SIZE || fread(buf, entry.length, 1, in) != 1)
			die("%s: entry %" PRIu64 " is cut short", log, i);
		if (entry.sector >= LOGGED_SIZE / SECTOR) {
			struct mark *mark = (void *)buf;

			if (mark->what == MARK_END) {
				header.ops = mark->number;
				header.seed = mark->off;
				header.plain = mark->flags;
				ended = true;
			}
			entry.type = RECORDER_MARK;
			entry.sector = 0;
			entry.length = sizeof(*mark);
			put_entry(out, &header.bytes, entry, buf);
			continue;
		}
		entry.type = RECORDER_WRITE;
		if (flags & LOG_FUA)
			entry.flags |= RECORDER_FUA;
		if (!is_file_data(buf))
			entry.flags |= RECORDER_META;
		put_entry(out, &header.bytes, entry, buf);
		entry.type = RECORDER_WRITE_DONE;
		put_entry(out, &header.bytes, entry, NULL);
		fuas += !!(flags & LOG_FUA);
		writes++;
	}
	if (!ended)
		die("%s: the load did not come to its end", log);
	rewind(out);
	fwrite(&header, sizeof(header), 1, out);
	if (fflush(out) || ferror(out) || fclose(out))
		die("cannot write %s", path);
	fclose(in);
	free(buf);
	printf("imported: %u operations, %u writes, %u of them FUA, %u flushes\n", header.ops,
	       writes, fuas, flushes);
}

/* ---- what each sector has been, and what was promised ---- */

struct version {
	uint32_t	number;		/* of the operation */
	unsigned char	*data;		/* NULL: zeros */
};

struct sector {
	struct version	*version;
	unsigned int	nr, room;
	uint32_t	done;		/* the last that was acknowledged */
	uint32_t	floor;		/* at least this has to be there */
};

struct size {
	uint32_t	number;
	uint64_t	from, to;	/* a write may be half done */
};

enum block { B_UNKNOWN, B_WRITTEN, B_DURABLE };

struct model {
	struct sector	sector[MAX_SECTORS];
	unsigned char	block[MAX_BLOCKS];	/* is the allocation durable? */
	struct size	*size;
	unsigned int	nr_sizes;
	uint32_t	size_done;
	uint32_t	size_floor;
	uint64_t	size_least;	/* where what is promised ends */
};

static struct model model[NR_FILES];
static struct mark *operation;		/* by number */
static bool *pure;			/* an overwrite of durable blocks */
static uint32_t issued;			/* up to this, at the moment */
static uint64_t promises;		/* how often one was added */

/* Pure overwrites that wait for a flush of the device, in order of completion */
static uint32_t *unflushed;
static unsigned int nr_unflushed, first_unflushed;

static const unsigned char zeros[SECTOR];

static const unsigned char *content(const struct version *version)
{
	return version->data ? version->data : zeros;
}

static void add_version(struct sector *sector, uint32_t number, unsigned char *data)
{
	if (sector->nr == sector->room) {
		sector->room = sector->room ? 2 * sector->room : 4;
		sector->version = realloc(sector->version,
					  sector->room * sizeof(*sector->version));
		if (!sector->version)
			die("out of memory");
	}
	sector->version[sector->nr++] = (struct version) { number, data };
}

static void add_size(struct model *m, uint32_t number, uint64_t to)
{
	uint64_t from = m->nr_sizes ? m->size[m->nr_sizes - 1].to : 0;

	m->size = realloc(m->size, (m->nr_sizes + 1) * sizeof(*m->size));
	if (!m->size)
		die("out of memory");
	m->size[m->nr_sizes++] = (struct size) { number, from, to };
}

static void learn_write(const struct mark *mark)
{
	struct model *m = &model[mark->file];
	uint64_t pos = mark->off, end = mark->off + mark->len;

	while (pos < end) {
		struct sector *sector = &m->sector[pos / SECTOR];
		uint64_t next = wt_round_down(pos, SECTOR) + SECTOR;
		unsigned char *data = allocate(SECTOR);

		if (next > end)
			next = end;
		memcpy(data, content(&sector->version[sector->nr - 1]), SECTOR);
		fill(data + pos % SECTOR, mark->file, mark->number, pos, next - pos);
		add_version(sector, mark->number, data);
		pos = next;
	}
	if (end > m->size[m->nr_sizes - 1].to)
		add_size(m, mark->number, end);
}

static void learn(const struct mark *mark)
{
	struct model *m = &model[mark->file];
	uint64_t i, first = mark->off / SECTOR, nr = mark->len / SECTOR;

	operation[mark->number] = *mark;
	switch (mark->op) {
	case OP_WRITE:
		learn_write(mark);
		break;
	case OP_SIZE:
		add_size(m, mark->number, mark->len);
		break;
	case OP_PUNCH:
	case OP_ZERO:
		for (i = first; i < first + nr; i++)
			add_version(&m->sector[i], mark->number, NULL);
		break;
	case OP_CLONE:
		for (i = 0; i < nr; i++) {
			struct sector *from = &model[F_SOURCE].sector[i];

			add_version(&m->sector[i], mark->number,
				    from->version[from->nr - 1].data);
		}
		add_size(m, mark->number, mark->len);
		break;
	default:
		break;
	}
}

static void forget_blocks(enum file file, uint64_t off, uint64_t len)
{
	memset(model[file].block + off / BLOCK, B_UNKNOWN, len / BLOCK);
}

static uint64_t durable_size(const struct model *m)
{
	unsigned int i;

	for (i = m->nr_sizes - 1; i; i--)
		if (m->size[i].number <= m->size_floor)
			break;
	return m->size[i].to > m->size_least ? m->size[i].to : m->size_least;
}

static void issue(const struct mark *mark)
{
	struct model *m = &model[mark->file];
	uint64_t i, end = mark->off + mark->len;

	issued = mark->number;
	if (mark->op == OP_PUNCH || mark->op == OP_ZERO) {
		forget_blocks(mark->file, mark->off, mark->len);
	} else if (mark->op == OP_CLONE) {
		forget_blocks(F_SOURCE, 0, files[F_SOURCE].max);
		forget_blocks(F_CLONE, 0, files[F_CLONE].max);
	} else if (mark->op == OP_WRITE && mark->flags & WT_RWF_ATOMIC) {
		/* It may be staged elsewhere, and the remap is for the log to keep. */
		forget_blocks(mark->file, mark->off, mark->len);
	} else if (mark->op == OP_WRITE && mark->flags & THROUGH) {
		pure[mark->number] = end <= durable_size(m);
		for (i = mark->off / BLOCK; i * BLOCK < end; i++)
			if (m->block[i] != B_DURABLE)
				pure[mark->number] = false;
	}
}

static void at_least(uint32_t *floor, uint32_t number)
{
	if (*floor >= number)
		return;
	*floor = number;
	promises++;
}

/* From now on the write, or what was written over it, has to be there. */
static void promise(uint32_t number)
{
	const struct mark *mark = &operation[number];
	struct model *m = &model[mark->file];
	uint64_t i, end = mark->off + mark->len;

	for (i = mark->off / SECTOR; i * SECTOR < end; i++)
		at_least(&m->sector[i].floor, number);
	for (i = 0; i < m->nr_sizes; i++)
		if (m->size[i].number == number)
			at_least(&m->size_floor, number);
	/* It may be an earlier write that made the file so long. */
	if (m->size_least < end)
		m->size_least = end;
}

static void acknowledge_write(const struct mark *mark)
{
	struct model *m = &model[mark->file];
	bool durable = mark->flags & RWF_DURABLE;
	uint64_t i, end = mark->off + mark->len;

	for (i = mark->off / BLOCK; i * BLOCK < end; i++)
		if (durable || m->block[i] == B_UNKNOWN)
			m->block[i] = durable ? B_DURABLE : B_WRITTEN;
	if (durable || (pure[mark->number] && !(opt.kind & RECORDER_HAS_CACHE)))
		promise(mark->number);
	else if (pure[mark->number])
		unflushed[nr_unflushed++] = mark->number;
}

static void acknowledge(const struct mark *mark)
{
	struct model *m = &model[mark->file];
	uint64_t i, end = mark->off + mark->len;

	if (mark->op == OP_FSYNC || mark->op == OP_FDATASYNC) {
		for (i = 0; i < MAX_SECTORS; i++)
			at_least(&m->sector[i].floor, m->sector[i].done);
		for (i = 0; i < MAX_BLOCKS; i++)
			if (m->block[i] == B_WRITTEN)
				m->block[i] = B_DURABLE;
		at_least(&m->size_floor, m->size_done);
		return;
	}
	if (mark->op != OP_SIZE)
		for (i = mark->off / SECTOR; i * SECTOR < end; i++)
			at_least(&m->sector[i].done, mark->number);
	for (i = 0; i < m->nr_sizes; i++)
		if (m->size[i].number == mark->number)
			at_least(&m->size_done, mark->number);
	if (mark->op == OP_WRITE)
		acknowledge_write(mark);
}

/* A flush of the file's device that began when @nr had completed is over. */
static void flushed(unsigned int nr)
{
	while (first_unflushed < nr)
		promise(unflushed[first_unflushed++]);
}

/* ---- the device ---- */

struct pending {
	const struct recorder_entry *entry;
	const unsigned char *data;
	uint32_t	order;		/* of submission */
	uint32_t	atomic;		/* number of the atomic write it belongs to, or 0 */
	uint64_t	done;		/* index of the completion, or 0 */
};

struct flush {
	uint64_t	io;
	uint64_t	begun;		/* index of its entry */
	unsigned int	nr_unflushed;
	bool		dropped;
};

static struct {
	struct header	header;
	unsigned char	*record;
	struct recorder_entry **entry;
	uint64_t	nr_entries;
	uint64_t	start, end;	/* between them the power may fail */
	uint64_t	log_start, log_end;	/* of the file system, in sectors */

	unsigned int	nr_devices;
	uint64_t	nr_sectors;
	unsigned char	*base[NR_DEVICES];	/* what is durable */
	uint32_t	*base_order[NR_DEVICES];
	unsigned char	*image[NR_DEVICES];	/* shared with the loop device */
	char		loop[NR_DEVICES][32];
	uint64_t	hash;

	struct pending	*pending;
	unsigned int	nr_pending;
	uint32_t	order;
	struct flush	*flush;
	unsigned int	nr_flushes;
} dev;

static struct {
	unsigned int	tried;
	unsigned int	states;
	unsigned int	lost;
	unsigned int	stale;
	unsigned int	torn;
	unsigned int	damaged;
	unsigned int	checked;
	unsigned int	reports;
	unsigned int	pending, kept, kept_torn;
	unsigned int	cut[2];		/* atomic writes, by the method */
	unsigned int	cuts;		/* one may be cut in several states */
	unsigned int	ranges;		/* torn */
	uint64_t	shortest, longest;
} total;

/* The method by which an atomic write is one. */
enum { BY_DEVICE, BY_COPY };

static bool *was_cut;			/* by number */
static unsigned int *cut_in;		/* the state that it was cut in last */

static void *data_of(const struct recorder_entry *entry)
{
	return (void *)(entry + 1);
}

static size_t entry_size(const struct recorder_entry *entry)
{
	size_t data = 0;

	if (entry->type == RECORDER_MARK || entry->type == RECORDER_WRITE)
		data = wt_round_up(entry->length, RECORDER_ALIGN);
	return sizeof(*entry) + data;
}

static void read_record(const char *path)
{
	FILE *in = fopen(path, "r");
	size_t pos = 0, room = 0;
	struct mark *mark;

	if (!in)
		die("cannot read %s: %s", path, strerror(errno));
	if (fread(&dev.header, sizeof(dev.header), 1, in) != 1 ||
	    memcmp(dev.header.magic, MAGIC, sizeof(dev.header.magic)))
		die("%s is not a record", path);
	dev.record = allocate(dev.header.bytes);
	if (fread(dev.record, dev.header.bytes, 1, in) != 1)
		die("%s is cut short", path);
	fclose(in);

	while (pos < dev.header.bytes) {
		struct recorder_entry *entry = (void *)(dev.record + pos);

		if (dev.nr_entries == room) {
			room = room ? 2 * room : 65536;
			dev.entry = realloc(dev.entry, room * sizeof(*dev.entry));
			if (!dev.entry)
				die("out of memory");
		}
		if (entry->type == RECORDER_MARK) {
			mark = data_of(entry);
			if (mark->what == MARK_START)
				dev.start = dev.nr_entries;
			else if (mark->what == MARK_END)
				dev.end = dev.nr_entries;
		}
		dev.entry[dev.nr_entries++] = entry;
		pos += entry_size(entry);
	}
	if (!dev.start || !dev.end)
		die("%s: the load did not come to its end", path);
	opt.kind = dev.header.kind;
	opt.realtime = dev.header.realtime;
	opt.atomic = dev.header.atomic;
}

static void learn_all(void)
{
	enum file file;
	uint64_t i;

	operation = allocate((dev.header.ops + 1) * sizeof(*operation));
	pure = allocate((dev.header.ops + 1) * sizeof(*pure));
	unflushed = allocate((dev.header.ops + 1) * sizeof(*unflushed));
	was_cut = allocate((dev.header.ops + 1) * sizeof(*was_cut));
	cut_in = allocate((dev.header.ops + 1) * sizeof(*cut_in));
	for (file = 0; file < NR_FILES; file++) {
		for (i = 0; i < MAX_SECTORS; i++)
			add_version(&model[file].sector[i], 0, NULL);
		add_size(&model[file], 0, 0);
	}
	for (i = 0; i < dev.nr_entries; i++) {
		struct mark *mark = data_of(dev.entry[i]);

		if (dev.entry[i]->type == RECORDER_MARK && mark->what == MARK_ISSUE)
			learn(mark);
	}
}

/* A loop device over a file in memory that is mapped here: no copying. */
static void set_up_image(unsigned int device)
{
	char path[64];
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, file, loop;
	struct loop_config config = {};

	snprintf(path, sizeof(path), "/tmp/wtpower.%u", device);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, dev.header.size))
		die("cannot make %s: %s", path, strerror(errno));
	dev.image[device] = mmap(NULL, dev.header.size, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_POPULATE, file, 0);
	if (dev.image[device] == MAP_FAILED)
		die("cannot map %s: %s", path, strerror(errno));
	memset(dev.image[device], FILL, dev.header.size);
	number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	if (number < 0)
		die("no loop device: %s", strerror(errno));
	close(control);
	snprintf(dev.loop[device], sizeof(dev.loop[device]), "/dev/loop%d", number);
	loop = open(dev.loop[device], O_RDWR | O_CLOEXEC);
	config.fd = file;
	/* Gone with this process, which keeps it open, but not for writing: a mount minds. */
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	if (loop < 0 || ioctl(loop, LOOP_CONFIGURE, &config) ||
	    open(dev.loop[device], O_RDONLY | O_CLOEXEC) < 0)
		die("cannot set up %s: %s", dev.loop[device], strerror(errno));
	close(loop);
	close(file);
}

static void set_up_devices(void)
{
	unsigned int d;

	dev.nr_devices = opt.realtime ? 2 : 1;
	dev.nr_sectors = dev.header.size / SECTOR;
	for (d = 0; d < dev.nr_devices; d++) {
		set_up_image(d);
		dev.base[d] = allocate(dev.header.size);
		memset(dev.base[d], FILL, dev.header.size);
		dev.base_order[d] = allocate(dev.nr_sectors * sizeof(**dev.base_order));
	}
	dev.pending = allocate(dev.nr_entries * sizeof(*dev.pending));
	dev.flush = allocate(dev.nr_entries * sizeof(*dev.flush));
}

static uint64_t sector_hash(unsigned int device, uint64_t sector, const unsigned char *data)
{
	uint64_t hash = mix(device * dev.nr_sectors + sector + 1), word;
	unsigned int i;

	for (i = 0; i < SECTOR; i += sizeof(word)) {
		memcpy(&word, data + i, sizeof(word));
		hash = (hash ^ word) * 0x9ddfea08eb382d69ull;
		hash ^= hash >> 29;
	}
	return hash;
}

static const unsigned char *write_data(const struct pending *w, unsigned int i)
{
	return w->data ? w->data + i * SECTOR : zeros;
}

/* The write is on the medium for good, unless a later one has been before it. */
static void settle(const struct pending *w)
{
	unsigned int d = w->entry->device, i;

	for (i = 0; i < w->entry->length / SECTOR; i++) {
		uint64_t sector = w->entry->sector + i;
		unsigned char *place = dev.base[d] + sector * SECTOR;

		if (dev.base_order[d][sector] > w->order)
			continue;
		dev.base_order[d][sector] = w->order;
		dev.hash ^= sector_hash(d, sector, place);
		memcpy(place, write_data(w, i), SECTOR);
		dev.hash ^= sector_hash(d, sector, place);
		memcpy(dev.image[d] + sector * SECTOR, place, SECTOR);
	}
}

static void remove_pending(unsigned int i)
{
	/* They are few, and their order matters. */
	memmove(dev.pending + i, dev.pending + i + 1,
		(--dev.nr_pending - i) * sizeof(*dev.pending));
}

/* The number of the atomic write that this is part of, which its data tells. */
static uint32_t atomic_number(const struct recorder_entry *entry)
{
	const struct mark *mark;
	uint64_t word;

	if (entry->type != RECORDER_WRITE || entry->flags & RECORDER_META)
		return 0;
	memcpy(&word, data_of((void *)entry), sizeof(word));
	if (word >> 40 > dev.header.ops)
		return 0;
	mark = &operation[word >> 40];
	if (mark->op != OP_WRITE || !(mark->flags & WT_RWF_ATOMIC) ||
	    (word >> 36 & 15) != mark->file + 1)
		return 0;
	return mark->number;
}

static void submitted(const struct recorder_entry *entry)
{
	dev.pending[dev.nr_pending++] = (struct pending) {
		.entry	= entry,
		.data	= entry->type == RECORDER_WRITE ? data_of(entry) : NULL,
		.order	= ++dev.order,
		.atomic	= atomic_number(entry),
	};
}

static void completed(const struct recorder_entry *entry, uint64_t index)
{
	bool durable = !(opt.kind & RECORDER_HAS_CACHE);
	unsigned int i;

	for (i = 0; i < dev.nr_pending; i++)
		if (dev.pending[i].entry->io == entry->io)
			break;
	if (i == dev.nr_pending)
		die("entry %" PRIu64 " completes what was not submitted", index);
	if (dev.pending[i].entry->flags & RECORDER_FUA && !(opt.lie && index > dev.start))
		durable = true;
	if (durable) {
		settle(&dev.pending[i]);
		remove_pending(i);
	} else {
		dev.pending[i].done = index;
	}
}

static void flush_begun(const struct recorder_entry *entry, uint64_t index)
{
	dev.flush[dev.nr_flushes++] = (struct flush) {
		.io		= entry->io,
		.begun		= index,
		.nr_unflushed	= nr_unflushed,
		/* The control: a device that forgets every other flush */
		.dropped	= opt.lie && index > dev.start && mix(dev.header.seed ^ index) & 1,
	};
}

static void flush_ended(const struct recorder_entry *entry)
{
	struct flush *flush;
	unsigned int i, left = 0;

	for (i = dev.nr_flushes; i--;)
		if (dev.flush[i].io == entry->io)
			break;
	flush = &dev.flush[i];
	if (entry->device == (opt.realtime ? 1u : 0u))
		flushed(flush->nr_unflushed);
	if (flush->dropped)
		return;
	for (i = 0; i < dev.nr_pending; i++) {
		struct pending *w = &dev.pending[i];

		if (w->done && w->done < flush->begun && w->entry->device == entry->device)
			settle(w);
		else
			dev.pending[left++] = *w;
	}
	dev.nr_pending = left;
}

static void advance(uint64_t index)
{
	const struct recorder_entry *entry = dev.entry[index];
	const struct mark *mark = data_of(entry);

	switch (entry->type) {
	case RECORDER_MARK:
		if (mark->what == MARK_ISSUE)
			issue(mark);
		else if (mark->what == MARK_ACK)
			acknowledge(mark);
		break;
	case RECORDER_WRITE:
	case RECORDER_ZERO:
		submitted(entry);
		break;
	case RECORDER_WRITE_DONE:
		completed(entry, index);
		break;
	case RECORDER_FLUSH:
		flush_begun(entry, index);
		break;
	case RECORDER_FLUSH_DONE:
		flush_ended(entry);
		break;
	default:
		die("entry %" PRIu64 " is of type %u", index, entry->type);
	}
}

/* ---- a state ---- */

static struct {
	uint64_t	cut;
	unsigned int	subset;
	unsigned int	kept, torn;
	uint64_t	hash;
	bool		lost, stale, is_torn, damaged;
	bool		bad, reported;
} state;

static const char *kind_name(void)
{
	if (opt.realtime)
		return "realtime";
	if (opt.atomic)
		return "atomic";
	if (!(opt.kind & RECORDER_HAS_CACHE))
		return "none";
	return opt.kind & RECORDER_HAS_FUA ? "fua" : "flush";
}

/* Only the first bad states are described. */
static bool report(void)
{
	if (!state.bad) {
		state.bad = true;
		state.reported = total.reports++ < REPORTS;
		if (!state.reported)
			return false;
		printf("state %" PRIu64 ":%u (%s, seed %" PRIu64 "): the power fails after entry %"
		       PRIu64 ", operation %u was the last issued; ",
		       state.cut, state.subset, kind_name(), dev.header.seed, state.cut, issued);
		printf("of %u writes that were not durable %u are there, %u of them torn\n",
		       dev.nr_pending, state.kept, state.torn);
	}
	return state.reported;
}

static void damage(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void damage(const char *format, ...)
{
	va_list args;

	if (report()) {
		printf("  ");
		va_start(args, format);
		vprintf(format, args);
		va_end(args);
		printf("\n");
	}
	state.damaged = true;
}

static void print_op(const char *what, uint32_t number)
{
	const struct mark *mark = &operation[number];
	unsigned int flags = mark->flags;

	if (!number) {
		printf("    %s: nothing was written\n", what);
		return;
	}
	printf("    %s: operation %u, %s of %s, %" PRIu64 " bytes at %" PRIu64 "%s%s%s%s",
	       what, number, op_name[mark->op], files[mark->file].name, mark->len, mark->off,
	       flags & THROUGH ? ", write-through" : "",
	       flags & WT_RWF_ATOMIC ? ", atomic" : "",
	       flags & WT_RWF_DSYNC ? ", dsync" : "",
	       flags & WT_RWF_SYNC ? ", sync" : "");
	printf(", %s%s\n", how_name[mark->how], pure[number] ? ", pure overwrite" : "");
}

/* Whose bytes are these? */
static void print_owner(const unsigned char *data, unsigned int len)
{
	uint64_t word, off;
	unsigned int i, file;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, data + i, 8);
		if (i >= 8 && !memcmp(data + i, data + i - 8, 8))
			continue;
		file = (word >> 36) & 15;
		off = (word & 0xfffffffffull) * 8;
		if (i >= 8) {
			uint64_t before;

			memcpy(&before, data + i - 8, 8);
			if (word - before == 1)
				continue;
		}
		if (file >= 1 && file <= NR_FILES && off < MAX_FILE && word >> 40 <= dev.header.ops)
			printf("    from byte %u: %s at %" PRIu64 ", operation %" PRIu64 "\n", i,
			       files[file - 1].name, off, word >> 40);
		else
			printf("    from byte %u: %016" PRIx64 "\n", i, word);
	}
}

/* All of this place in this file, of writes that were issued or not at all? */
static bool is_own(enum file file, uint64_t off, const unsigned char *data, unsigned int len)
{
	uint64_t word, place;
	unsigned int i, k;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, data + i, 8);
		if (word >> 40 > issued)
			return false;
		/* A write may end between the bytes of a word. */
		place = word_at(file, off + i, 0);
		for (k = 0; k < 40; k += 8)
			if ((word >> k & 255) && (word >> k & 255) != (place >> k & 255))
				return false;
	}
	return true;
}

/* Returns whose content it is, as the number of the operation. */
static uint32_t check_sector(enum file file, uint64_t nr, const unsigned char *data,
			     unsigned int len)
{
	struct sector *sector = &model[file].sector[nr];
	struct version *version = NULL;
	bool own;
	unsigned int i;

	for (i = sector->nr; i--;) {
		version = &sector->version[i];
		if (version->number <= issued && !memcmp(content(version), data, len))
			break;
	}
	if (i < sector->nr && version->number >= sector->floor)
		return version->number;

	own = i < sector->nr || !memcmp(data, zeros, len);
	if (report() && !(own ? state.lost : state.stale)) {
		printf("  %s: sector %" PRIu64 " (byte %" PRIu64 ") %s\n",
		       files[file].name, nr, nr * SECTOR, own ? "is too old" :
		       is_own(file, nr * SECTOR, data, len) ? "is a mixture" : "holds something else");
		print_op("must hold", sector->floor);
		if (i < sector->nr)
			print_op("does hold", version->number);
		else
			print_owner(data, len);
	}
	if (own)
		state.lost = true;
	else if (is_own(file, nr * SECTOR, data, len))
		state.is_torn = true;
	else
		state.stale = true;
	return i < sector->nr ? version->number : UINT32_MAX;
}

/*
 * Sectors of an atomic write have to be all older than it, or none of them.  Those
 * that something later was written to do not tell.
 */
static void check_whole(const struct mark *mark, const uint32_t *found)
{
	static const char * const is_name[] = { "", "old", "new", "later" };
	uint64_t first = mark->off / SECTOR, nr = mark->len / SECTOR, i;
	unsigned int older = 0, its = 0;
	int was = 0;

	for (i = first; i < first + nr; i++) {
		older += found[i] < mark->number;
		its += found[i] == mark->number;
	}
	if (!older || !its)
		return;
	total.ranges++;
	state.is_torn = true;
	if (!report())
		return;
	printf("  %s: %u of %" PRIu64 " sectors are new, %u are old: ", files[mark->file].name,
	       its, nr, older);
	/* By groups of the same kind */
	for (i = first; i < first + nr; i++) {
		int is = 1 + (found[i] >= mark->number) + (found[i] > mark->number);

		if (is != was)
			printf("%s from %" PRIu64 " ", is_name[is], i - first);
		was = is;
	}
	printf("\n");
	print_op("torn", mark->number);
}

static void check_size(enum file file, uint64_t size)
{
	struct model *m = &model[file];
	unsigned int i;

	for (i = m->nr_sizes; i--;) {
		struct size *s = &m->size[i];

		if (s->number > issued)
			continue;
		if (s->number < m->size_floor || size < m->size_least)
			break;
		if (size == s->to)
			return;
		/* A write's I/O completes piece by piece; blocks are whole. */
		if (size > s->from && size < s->to && !(size % BLOCK) &&
		    !(operation[s->number].flags & WT_RWF_ATOMIC))
			return;
	}
	if (report() && !state.lost) {
		printf("  %s: its size is %" PRIu64 ", and must be %" PRIu64 " at least\n",
		       files[file].name, size, m->size_least);
		for (i = 0; i < m->nr_sizes; i++)
			if (m->size[i].number >= m->size_floor && m->size[i].number <= issued) {
				printf("    may be %" PRIu64 "\n", m->size[i].to);
				print_op("by", m->size[i].number);
			}
	}
	state.lost = true;
}

static void check_file(enum file file)
{
	static unsigned char buf[MAX_FILE];
	static uint32_t found[MAX_SECTORS];
	char path[4096];
	struct stat st;
	uint32_t number;
	uint64_t off;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", mount_point, files[file].name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		damage("cannot open %s: %s", files[file].name, strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	check_size(file, st.st_size);
	if (st.st_size > (off_t)sizeof(buf))
		st.st_size = sizeof(buf);
	n = pread(fd, buf, st.st_size, 0);
	if (n != st.st_size)
		damage("cannot read %s: %s", files[file].name, strerror(errno));
	close(fd);
	/* Where the file ends before, nothing was written. */
	memset(found, 0, sizeof(found));
	for (off = 0; off < (uint64_t)(n < 0 ? 0 : n); off += SECTOR)
		found[off / SECTOR] = check_sector(file, off / SECTOR, buf + off,
						   n - off < SECTOR ? n - off : SECTOR);
	for (number = 1; number <= issued; number++)
		if (operation[number].file == file && operation[number].op == OP_WRITE &&
		    operation[number].flags & WT_RWF_ATOMIC)
			check_whole(&operation[number], found);
}

static void drop_device_cache(void)
{
	unsigned int d;
	int fd;

	/* The image changes behind the block device's back. */
	for (d = 0; d < dev.nr_devices; d++) {
		fd = open(dev.loop[d], O_RDONLY | O_CLOEXEC);
		if (fd < 0 || ioctl(fd, BLKFLSBUF, 0))
			die("cannot drop the cache of %s", dev.loop[d]);
		close(fd);
	}
}

static void check_metadata(void)
{
	char command[256], line[256];
	FILE *out;

	drop_device_cache();
	if (opt.realtime)
		snprintf(command, sizeof(command),
			 "xfs_repair -n -r %s %s >/tmp/wtpower.repair 2>&1",
			 dev.loop[1], dev.loop[0]);
	else
		snprintf(command, sizeof(command),
			 "xfs_repair -n %s >/tmp/wtpower.repair 2>&1", dev.loop[0]);
	total.checked++;
	if (!system(command))
		return;
	damage("xfs_repair finds damage:");
	out = fopen("/tmp/wtpower.repair", "r");
	while (out && state.reported && fgets(line, sizeof(line), out))
		if (line[0] != ' ' && strncmp(line, "Phase", 5))
			printf("    %s", line);
	if (out)
		fclose(out);
}

static void check_state(void)
{
	char options[64] = "";
	enum file file;

	if (opt.realtime)
		snprintf(options, sizeof(options), "rtdev=%s", dev.loop[1]);
	drop_device_cache();
	if (mount(dev.loop[0], mount_point, "xfs", 0, options)) {
		damage("cannot mount: %s", strerror(errno));
		return;
	}
	for (file = 0; file < nr_files(); file++)
		check_file(file);
	if (umount(mount_point))
		die("cannot unmount: %s", strerror(errno));
	if (!(total.tried % opt.check_every) || opt.only)
		check_metadata();
}

/* The image is as the base again, whatever the file system did to it. */
static void restore(void)
{
	unsigned int d;
	uint64_t off;

	for (d = 0; d < dev.nr_devices; d++)
		for (off = 0; off < dev.header.size; off += BLOCK)
			if (memcmp(dev.image[d] + off, dev.base[d] + off, BLOCK))
				memcpy(dev.image[d] + off, dev.base[d] + off, BLOCK);
}

/*
 * XFS takes it for granted that a metadata block is old or new, as recovery goes
 * by the sequence number in its first sector.  Its log is made for torn writes.
 */
static unsigned int tear_unit(const struct recorder_entry *entry)
{
	if (!(entry->flags & RECORDER_META))
		return 1;
	if (!entry->device && entry->sector >= dev.log_start && entry->sector < dev.log_end)
		return 1;
	return PER_BLOCK;
}

/* These sectors of it are there. */
static void put(const struct pending *w, unsigned int from, unsigned int to)
{
	const struct recorder_entry *entry = w->entry;
	unsigned int d = entry->device, i;

	for (i = from; i < to; i++) {
		uint64_t sector = entry->sector + i;
		unsigned char *place = dev.image[d] + sector * SECTOR;

		if (dev.base_order[d][sector] > w->order)
			continue;
		state.hash ^= sector_hash(d, sector, place);
		memcpy(place, write_data(w, i), SECTOR);
		state.hash ^= sector_hash(d, sector, place);
	}
}

static void keep(const struct pending *w, uint64_t *random, bool whole)
{
	const struct recorder_entry *entry = w->entry;
	unsigned int nr = entry->length / SECTOR, from = 0, to = nr, cut;
	unsigned int unit = tear_unit(entry);

	state.kept++;
	if (!whole && nr > unit && !(entry->flags & RECORDER_ATOMIC) && !(draw(random) % 3)) {
		cut = unit * (1 + draw(random) % ((nr - 1) / unit));
		if (draw(random) & 1)
			to = cut;
		else
			from = cut;
		state.torn++;
	}
	put(w, from, to);
}

/*
 * The power fails when the device is at some sector inside of it.  What it was told
 * to be atomic is then the one or the other; of anything else it may have begun
 * with either end.
 */
static void tear(const struct pending *w, uint64_t *random)
{
	unsigned int nr = w->entry->length / SECTOR;
	unsigned int at = 1 + draw(random) % (nr - 1);
	bool first = draw(random) & 1;

	if (w->entry->flags & RECORDER_ATOMIC) {
		if (!first)
			return;
		state.kept++;
		put(w, 0, nr);
	} else {
		state.kept++;
		state.torn++;
		put(w, first ? 0 : at, first ? at : nr);
	}
}

/* Subset 0 is none of them, 1 all, others by chance. */
static void make_state(uint64_t cut, unsigned int subset)
{
	uint64_t random = mix(dev.header.seed ^ mix(cut)) + subset, chance;
	unsigned int i;

	memset(&state, 0, sizeof(state));
	state.cut = cut;
	state.subset = subset;
	state.hash = dev.hash;
	if (!subset)
		return;
	chance = 1 + draw(&random) % 3;
	for (i = 0; i < dev.nr_pending; i++) {
		if (subset > 1 && dev.pending[i].atomic)
			tear(&dev.pending[i], &random);
		else if (subset == 1 || draw(&random) % 4 < chance)
			keep(&dev.pending[i], &random, subset == 1);
	}
}

/* An atomic write counts once, however often it is cut, or many I/Os it has. */
static void count_cuts(void)
{
	unsigned int i;

	for (i = 0; i < dev.nr_pending; i++) {
		const struct pending *w = &dev.pending[i];
		uint64_t len;

		if (!w->atomic || cut_in[w->atomic] == total.tried)
			continue;
		cut_in[w->atomic] = total.tried;
		total.cuts++;
		if (was_cut[w->atomic])
			continue;
		was_cut[w->atomic] = true;
		total.cut[w->entry->flags & RECORDER_ATOMIC ? BY_DEVICE : BY_COPY]++;
		len = operation[w->atomic].len;
		if (len > total.longest)
			total.longest = len;
		if (!total.shortest || len < total.shortest)
			total.shortest = len;
	}
}

/* Returns whether the content is new. */
static bool remember(uint64_t hash)
{
	static uint64_t *table;
	static size_t size;
	size_t i;

	if (!table) {
		size = 1 << 20;
		table = allocate(size * sizeof(*table));
	}
	for (i = hash % size; table[i]; i = (i + 1) % size)
		if (table[i] == hash)
			return false;
	table[i] = hash;
	return true;
}

static void try_state(uint64_t cut, unsigned int subset)
{
	make_state(cut, subset);
	/* The same content again is of interest if more is promised by now. */
	if (remember(state.hash ^ mix(~promises)) || opt.only) {
		total.tried++;
		if (remember(state.hash))
			total.states++;
		if (opt.atomic)
			count_cuts();
		check_state();
		total.pending += dev.nr_pending;
		total.kept += state.kept;
		total.kept_torn += state.torn;
		total.lost += state.lost;
		total.stale += state.stale;
		total.torn += state.is_torn;
		total.damaged += state.damaged;
	}
	restore();
}

/*
 * The power may fail at any moment; what can be left only changes with a
 * completion or a flush, what was promised with an acknowledgment.  Between two
 * of these the last moment is the strictest.
 */
static bool is_cut(uint64_t index)
{
	const struct recorder_entry *entry = dev.entry[index], *next = dev.entry[index + 1];
	const struct mark *mark;

	if (entry->type == RECORDER_MARK) {
		mark = data_of(entry);
		if (mark->what != MARK_ACK)
			return false;
	} else if (entry->type != RECORDER_WRITE_DONE && entry->type != RECORDER_FLUSH_DONE) {
		return false;
	}
	mark = data_of(next);
	return next->type != RECORDER_MARK || mark->what != MARK_ACK;
}

/* The first moments of a promise are those where it is broken, if ever. */
static unsigned int weight(uint64_t index)
{
	const struct mark *mark = data_of(dev.entry[index]);

	if (!is_cut(index))
		return 0;
	if (dev.entry[index]->type == RECORDER_MARK &&
	    (mark->flags & RWF_DURABLE || mark->op == OP_FSYNC || mark->op == OP_FDATASYNC))
		return 8;
	return 1;
}

/* How many states at this cut, so that there are as many as asked for in all. */
static unsigned int share(uint64_t index, uint64_t weights)
{
	/* Some turn out to be the same as others. */
	double per_cut = 1.25 * opt.states * weight(index) / weights;
	unsigned int n = per_cut;

	if ((mix(opt.seed ^ mix(index)) % 1000000) / 1e6 < per_cut - n)
		n++;
	return n < MAX_SUBSETS ? n : MAX_SUBSETS;
}

static void try_cut(uint64_t index, unsigned int n)
{
	uint64_t random = mix(opt.seed + index);
	unsigned int i;

	/* What a liar forgets is only seen if nothing comes in by luck. */
	if (opt.lie) {
		if (n)
			try_state(index, 0);
		return;
	}
	if (n == 1) {
		i = draw(&random) % 8;
		if (i < 4 || !dev.nr_pending)
			try_state(index, 0);
		else
			try_state(index, i == 4 ? 1 : 2 + draw(&random) % (MAX_SUBSETS - 2));
		return;
	}
	for (i = 0; i < n; i++)
		if (!i || dev.nr_pending)
			try_state(index, i);
}

/* How many atomic writes are undecided that have not been cut before */
static unsigned int nr_uncut(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < dev.nr_pending; i++)
		n += dev.pending[i].atomic && !was_cut[dev.pending[i].atomic];
	return n;
}

/*
 * The power fails as soon as there are enough of them; or with a quarter of that, if
 * a flush is about to decide them.
 */
static void try_atomic(uint64_t index)
{
	unsigned int wanted = opt.cut;

	if (dev.entry[index + 1]->type == RECORDER_FLUSH_DONE)
		wanted = (wanted + 3) / 4;
	if (nr_uncut() >= wanted)
		try_state(index, 2);
}

/* Where the log is: in the superblock, big-endian. */
static void find_log(void)
{
	const unsigned char *sb = dev.base[0];
	uint64_t start, blocks, ag_blocks;
	unsigned int ag_log;

	if (memcmp(sb, "XFSB", 4))
		die("no file system on the device");
	start = be64toh(*(const uint64_t *)(sb + 48));
	ag_blocks = be32toh(*(const uint32_t *)(sb + 84));
	blocks = be32toh(*(const uint32_t *)(sb + 96));
	ag_log = sb[124];
	dev.log_start = (start >> ag_log) * ag_blocks + (start & ((1ull << ag_log) - 1));
	dev.log_start *= PER_BLOCK;
	dev.log_end = dev.log_start + blocks * PER_BLOCK;
}

static void replay_cuts(void)
{
	uint64_t i, nr_cuts = 0, weights = 0, cut = 0;
	double started = now(), said = started;

	for (i = dev.start; i < dev.end; i++) {
		nr_cuts += is_cut(i);
		weights += weight(i);
	}
	for (i = 0; i < dev.end; i++) {
		advance(i);
		if (i < dev.start)
			continue;
		if (i == dev.start)
			find_log();
		if (opt.only) {
			if (i == opt.only_cut) {
				try_state(i, opt.only_subset);
				break;
			}
			continue;
		}
		if (!is_cut(i) || cut++ % opt.slices != opt.slice)
			continue;
		if (opt.atomic)
			try_atomic(i);
		else
			try_cut(i, share(i, weights));
		if ((opt.expect_lost && total.lost) || (opt.stop && total.reports))
			break;
		if (opt.atomic && total.tried == opt.states)
			break;
		if (opt.expect_torn && total.ranges >= opt.expect_torn)
			break;
		if (now() - said > 20) {
			said = now();
			fprintf(stderr, "wtpower: %u states of about %u (%.0f s)\n", total.tried,
				opt.states / opt.slices, said - started);
		}
	}
	printf("%u states tried, of %" PRIu64 " moments, in %.0f s; %u checked by xfs_repair\n",
	       total.tried, nr_cuts, now() - started, total.checked);
	printf("of %u writes that were not durable %u were kept, %u of them torn\n",
	       total.pending, total.kept, total.kept_torn);
	if (opt.atomic)
		printf("atomic: %u by the device and %u by copy on write, of %" PRIu64
		       " to %" PRIu64 " KiB, were cut %u times, in %u mounts: %u ranges torn\n",
		       total.cut[BY_DEVICE], total.cut[BY_COPY], total.shortest / KIB,
		       total.longest / KIB, total.cuts, total.tried, total.ranges);
}

static int replay(const char *path)
{
	read_record(path);
	if (!opt.seed)
		opt.seed = dev.header.seed;
	learn_all();
	set_up_devices();
	replay_cuts();
	printf("result: %u states, %u lost, %u stale, %u torn, %u damaged\n",
	       total.states, total.lost, total.stale, total.torn, total.damaged);
	if (opt.expect_torn)
		return total.ranges < opt.expect_torn;
	if (opt.expect_lost)
		return !total.lost;
	return !total.states || total.lost || total.stale || total.torn || total.damaged;
}

static void usage(void)
{
	fputs("usage: wtpower record [--seed N] [--ops N] [--kind fua|flush|none] [--realtime] [--plain]\n"
	      "                      [--atomic [--above DEVICE | --no-unit]] FILE\n"
	      "       wtpower record --logged DISK ...\n"
	      "       wtpower import LOG FILE\n"
	      "       wtpower replay [--seed N] [--states N] [--check-every N] [--slice I/N]\n"
	      "                      [--state CUT:SUBSET] [--lie] [--expect-lost] [--stop]\n"
	      "                      [--cut N] [--expect-torn N] FILE\n"
	      "In the lab, with recorder.size_mb=32 for the kernel. --plain takes the flags away, --lie\n"
	      "drops flushes; what was promised is still expected then. --stop at the first bad state.\n"
	      "--atomic: a load of atomic writes, on a device that can do them, or --no-unit; --plain\n"
	      "then takes RWF_ATOMIC away. --states is the most, each cuts --cut of them or more.\n"
	      "--logged: of a disk that QEMU logs the writes to, 32 MiB and a bit; import makes the\n"
	      "record from that log, on the host.\n",
	      stderr);
	exit(2);
}

static void set_kind(const char *name)
{
	if (!strcmp(name, "fua"))
		opt.kind = RECORDER_HAS_CACHE | RECORDER_HAS_FUA;
	else if (!strcmp(name, "flush"))
		opt.kind = RECORDER_HAS_CACHE;
	else if (!strcmp(name, "none"))
		opt.kind = 0;
	else
		usage();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "kind", required_argument, NULL, 'k' },
		{ "realtime", no_argument, NULL, 'R' },
		{ "plain", no_argument, NULL, 'p' },
		{ "states", required_argument, NULL, 'n' },
		{ "check-every", required_argument, NULL, 'c' },
		{ "slice", required_argument, NULL, 'S' },
		{ "state", required_argument, NULL, 'x' },
		{ "lie", no_argument, NULL, 'l' },
		{ "expect-lost", no_argument, NULL, 'e' },
		{ "stop", no_argument, NULL, 'q' },
		{ "atomic", no_argument, NULL, 'a' },
		{ "above", required_argument, NULL, 'A' },
		{ "no-unit", no_argument, NULL, 'u' },
		{ "logged", required_argument, NULL, 'L' },
		{ "cut", required_argument, NULL, 'C' },
		{ "expect-torn", required_argument, NULL, 't' },
		{}
	};
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			opt.seed = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			opt.ops = strtoul(optarg, NULL, 0);
			break;
		case 'k':
			set_kind(optarg);
			break;
		case 'R':
			opt.realtime = true;
			break;
		case 'p':
			opt.plain = true;
			break;
		case 'n':
			opt.states = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			opt.check_every = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			opt.lie = true;
			break;
		case 'e':
			opt.expect_lost = true;
			break;
		case 'q':
			opt.stop = true;
			break;
		case 'a':
			opt.atomic = true;
			break;
		case 'A':
			opt.above = optarg;
			break;
		case 'u':
			opt.no_unit = true;
			break;
		case 'L':
			opt.logged = optarg;
			break;
		case 'C':
			opt.cut = strtoul(optarg, NULL, 0);
			break;
		case 't':
			opt.expect_torn = strtoul(optarg, NULL, 0);
			break;
		case 'S':
			if (sscanf(optarg, "%u/%u", &opt.slice, &opt.slices) != 2 || !opt.slices)
				usage();
			break;
		case 'x':
			if (sscanf(optarg, "%" SCNu64 ":%u", &opt.only_cut, &opt.only_subset) != 2)
				usage();
			opt.only = true;
			break;
		default:
			usage();
		}
	}
	if (!opt.check_every)
		usage();
	if (argc - optind == 3 && !strcmp(argv[optind], "import")) {
		import(argv[optind + 1], argv[optind + 2]);
		return 0;
	}
	if (argc - optind != (opt.logged ? 1 : 2))
		usage();
	if (opt.logged && (strcmp(argv[optind], "record") || opt.realtime || opt.atomic))
		usage();
	mount_point = getenv("WT_MNT");
	if (!mount_point)
		die("WT_MNT is not set: this runs in the lab");
	if (!strcmp(argv[optind], "replay"))
		return replay(argv[optind + 1]);
	if (strcmp(argv[optind], "record"))
		usage();
	if (!opt.seed)
		opt.seed = (uint64_t)time(NULL) << 16 ^ getpid();
	printf("seed %" PRIu64 "\n", opt.seed);
	record(argv[optind + 1]);
	return 0;
}
