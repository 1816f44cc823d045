// SPDX-License-Identifier: GPL-2.0
/* libs: -luring */
/*
 * wtstress: several processes write through, and others do to them what a
 * machine does to its file systems: freeze, shutdown, remount, truncate,
 * fallocate, reflink, memory pressure, kill, and so on.
 *
 * It makes a file system on --dev and mounts it at --mnt; everything there is
 * destroyed. Time is divided into rounds. At the end of each all have to come
 * to an end, the cache has to have what the device has, nothing that was never
 * written is in the files, the file system can be unmounted, the checker finds
 * nothing, and after that the files are what they were.
 *
 * No operation may take longer than --limit seconds: the one that does is a
 * hang, and told with the stacks of all that is blocked. Exit status: 0 passed,
 * 1 failed, 77 this kernel cannot, 124 something hangs.
 *
 * Words of eight bytes say where they belong, and who wrote them, so that what
 * is left when many have written to one file can still be told from anything
 * that does not belong there. All writes are made of whole words.
 */
#define _GNU_SOURCE
#include "wt.h"

#include <dirent.h>
#include <liburing.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define KIB		1024L
#define MIB		(1024L * 1024L)
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MAX_PROCS	64
#define FILE_SIZE	(512 * KIB)
#define MAX_LEN		(64 * KIB)
#define DEPTH		8
#define SECTOR		512
#define HANG		124
#define SKIP		77

#define WORD_MAGIC	0x5a17ULL
#define POISON_MAGIC	0xdeadULL

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND	0x20
#endif

#define GOINGDOWN	_IOR('X', 125, uint32_t)

struct exchange_range {
	int32_t		file1_fd;
	uint32_t	pad;
	uint64_t	file1_offset;
	uint64_t	file2_offset;
	uint64_t	length;
	uint64_t	flags;
};

#define EXCHANGE_RANGE	_IOW('X', 129, struct exchange_range)

/*
 * Files, by what is done to them. Direct I/O and stores to mappings of one file
 * are nobody's to order: the kernel only warns. In the files that are shifted
 * around a word does not stay where it belongs.
 */
static const char * const file_names[] = {
	"mapped0", "mapped1", "direct0", "direct1", "wild", "shifty",
};

enum { MAPPED, DIRECT = 2, WILD = 4, SHIFTY = 5, NR_FILES = 6 };

/* What all processes see. */
struct slot {
	pid_t		pid;
	char		name[16];
	volatile int64_t since;		/* of the operation that runs, or 0 */
	char		what[96];
	volatile unsigned long ops;
	volatile bool	failed;
};

/* A write: its number is in its words. */
struct record {
	char		who[16];
	char		how;
	signed char	file;
	int		flags;
	int		len;
	int		first;		/* of two buffers */
	off_t		off;
	long		res;
};

#define NR_RECORDS	65536

static struct shared {
	volatile int	stop;
	volatile int	down;		/* the file system was, or is to be, shut down */
	volatile unsigned long written;
	unsigned int	next;
	struct record	record[NR_RECORDS];
	struct slot	slot[MAX_PROCS];
	uint64_t	sum[NR_FILES + MAX_PROCS];
	off_t		size[NR_FILES + MAX_PROCS];
} *sh;

static struct slot *me;
static bool collides;			/* what runs is about the wild file */
static uint64_t seed;
static unsigned int flag;		/* RWF_WRITETHROUGH */

static struct {
	const char	*dev, *mnt, *mkfs, *mount, *disturb;
	unsigned int	seconds, round, limit, processes;
	uint64_t	seed;
	bool		force, verbose, beside;
} opt = {
	.mkfs = "", .mount = "", .seconds = 60, .round = 12, .limit = 30,
	.processes = 4,
};

/* ------------------------------------------------------------- the basics */

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed >> 16;
}

static uint32_t below(uint32_t n)
{
	return rnd() % n;
}

static bool one_in(uint32_t n)
{
	return !below(n);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

	nanosleep(&ts, NULL);
}

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	n = snprintf(text, sizeof(text), "%s%s", me ? me->name : "", me ? ": " : "");
	va_start(ap, fmt);
	n += vsnprintf(text + n, sizeof(text) - n - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(text) - 2)
		n = sizeof(text) - 2;
	text[n++] = '\n';
	if (write(STDOUT_FILENO, text, n) < 0)
		_exit(1);
}

static void fail(const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("FAIL: %s", text);
	if (me)
		me->failed = true;
	sh->stop = 1;
	_exit(1);
}

/* The operation that runs now. Its time is bounded from here on. */
static void begin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void begin(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(me->what, sizeof(me->what), fmt, ap);
	va_end(ap);
	me->since = now_ms();
}

static void done(void)
{
	collides = false;
	me->since = 0;
	me->ops++;
}

static void put(const char *path, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void put(const char *path, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wt_write_string(path, text);
}

static char *path_of(const char *name)
{
	static char path[2][PATH_MAX];
	static int which;

	which = !which;
	snprintf(path[which], PATH_MAX, "%s/%s", opt.mnt, name);
	return path[which];
}

static int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/*
 * Errors that a call may meet here: what others do to the file system, and no
 * memory. EIO is for a file system that has been shut down, and for a file with
 * direct I/O beside mappings, where that is the kernel's way of warning.
 */
static void answered(long err)
{
	switch (err) {
	case EIO:
	case EUCLEAN:
		if (sh->down || collides)
			return;
		break;
	case EAGAIN:
	case EBUSY:
	case EINTR:
	case ENOMEM:
	case ENOSPC:
	case EROFS:
	case ETXTBSY:
	case ENOENT:
		return;
	}
	fail("%s: %s", me->what, strerror(err));
}

/* ---------------------------------------------------------------- content */

static uint64_t word(off_t pos, unsigned int tag)
{
	return (uint64_t)(pos / 8) << 32 | WORD_MAGIC << 16 | (tag & 0xffff);
}

static void fill(void *buf, size_t len, off_t pos, unsigned int tag)
{
	uint64_t *p = buf;
	size_t i;

	for (i = 0; i < len / 8; i++)
		p[i] = word(pos + i * 8, tag);
}

/*
 * A call that is cut short (no memory, a fatal signal) may end inside a word:
 * hence byte by byte, zeros being what was there before. What is appended then
 * begins anywhere: of such a file only what was on the device before is told.
 */
static bool valid(uint64_t w, off_t pos, bool anywhere)
{
	uint64_t whole = word(pos, w), mask;

	if (anywhere)
		return (w >> 16 & 0xffff) != POISON_MAGIC;
	for (mask = 0xffULL << 16; mask; mask <<= 8) {
		if ((w & mask) && (w & mask) != (whole & mask))
			return false;
	}
	return true;
}

/* -------------------------------------------------------------- the writer */

struct queues {
	struct io_uring	ring;
	aio_context_t	aio;
	char		*buf[DEPTH];
};

static void make_queues(struct queues *q)
{
	int i, ret;

	memset(q, 0, sizeof(*q));
	for (i = 0; i < DEPTH; i++) {
		q->buf[i] = mmap(NULL, MAX_LEN, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (q->buf[i] == MAP_FAILED)
			fail("no memory");
	}
	ret = io_uring_queue_init(2 * DEPTH, &q->ring, 0);
	if (ret)
		fail("io_uring: %s", strerror(-ret));
	if (syscall(__NR_io_setup, 2 * DEPTH, &q->aio))
		fail("io_setup: %s", strerror(errno));
}

struct write {
	int		fd, file;
	struct record	*record;
	off_t		off;
	size_t		len;
	int		flags;
	struct iovec	iov[2];
	struct iocb	iocb;
};

/* A range, made of whole words, biased to sectors, blocks, and ends. */
static void pick(struct write *w, off_t max)
{
	static const off_t units[] = { 8, SECTOR, 1024, 4096 };
	off_t unit = units[below(ARRAY_SIZE(units))];

	w->len = (1 + below(one_in(8) ? MAX_LEN / unit : 4 * 4096 / unit)) * unit;
	if (w->len > MAX_LEN)
		w->len = MAX_LEN;
	w->off = below((max - w->len) / unit + 1) * unit;
}

static int pick_flags(void)
{
	int flags = 0;

	if (one_in(6))
		flags |= RWF_DSYNC;
	if (one_in(20))
		flags |= RWF_SYNC;
	if (one_in(8))
		flags |= RWF_NOWAIT;
	if (one_in(12))
		flags |= WT_RWF_DONTCACHE;
	/* Without the flag it is a plain write that others write back. */
	return one_in(8) ? flags & ~WT_RWF_DONTCACHE : flags | (int)flag;
}

/* The number of a new write; 0 is for zeros. */
static unsigned int record(struct write *w, char how, size_t first)
{
	unsigned int tag;

	do
		tag = __atomic_add_fetch(&sh->next, 1, __ATOMIC_RELAXED) % NR_RECORDS;
	while (!tag);
	w->record = &sh->record[tag];
	*w->record = (struct record) {
		.how = how, .file = w->file, .flags = w->flags, .len = w->len,
		.first = first, .off = w->off, .res = LONG_MIN,
	};
	snprintf(w->record->who, sizeof(w->record->who), "%s", me ? me->name : "killed");
	return tag;
}

static void who_wrote(uint64_t w)
{
	struct record *r = &sh->record[w & 0xffff];

	if ((w >> 16 & 0xffff) != WORD_MAGIC || !r->how)
		return;
	say("0x%llx belongs to position %lld, and was last written by %s (%c, file %d): %lld+%d, buffers of %d and %d, flags 0x%x, result %ld",
	    (long long)w, (long long)(w >> 32) * 8, r->who, r->how, r->file,
	    (long long)r->off, r->len, r->first, r->len - r->first, r->flags,
	    r->res == LONG_MIN ? 0 : r->res);
}

/* How: s, u, a for the interface, d for direct I/O. 0: for a file of its own. */
static void prepare(struct queues *q, struct write *w, int i, char how,
		    unsigned int tag)
{
	size_t first = one_in(4) ? below(w->len / 8 + 1) * 8 : w->len;

	if (how)
		tag = record(w, how, first);
	fill(q->buf[i], w->len, w->off, tag);
	w->iov[0] = (struct iovec) { q->buf[i], first };
	w->iov[1] = (struct iovec) { q->buf[i] + first, w->len - first };
}

static void result(const struct write *w, long res)
{
	w->record->res = res;
	if (res < 0) {
		collides = w->file == WILD;
		answered(-res);
		collides = false;
		return;
	}
	/* Short only for a reason that the next call will be told. */
	if ((size_t)res > w->len)
		fail("%s: %ld of %zu bytes", me->what, res, w->len);
	__atomic_add_fetch(&sh->written, res, __ATOMIC_RELAXED);
}

static void write_sync(struct write *w, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		ssize_t ret = pwritev2(w[i].fd, w[i].iov, 2, w[i].off, w[i].flags);

		result(&w[i], ret < 0 ? -errno : ret);
	}
}

static void write_ring(struct queues *q, struct write *w, int n)
{
	struct io_uring_cqe *cqe;
	int i, ret, queued = 0;

	for (i = 0; i < n; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

		io_uring_prep_writev(sqe, w[i].fd, w[i].iov, 2, w[i].off);
		sqe->rw_flags = w[i].flags;
		if (one_in(10))
			sqe->flags |= IOSQE_ASYNC;
		io_uring_sqe_set_data(sqe, &w[i]);
	}
	while (queued < n) {
		ret = io_uring_submit(&q->ring);
		if (ret < 0 && ret != -EAGAIN && ret != -EINTR && ret != -ENOMEM)
			fail("%s: submission: %s", me->what, strerror(-ret));
		queued += ret > 0 ? ret : 0;
	}
	for (i = 0; i < n; i++) {
		while ((ret = io_uring_wait_cqe(&q->ring, &cqe)) == -EINTR)
			;
		if (ret)
			fail("%s: completion: %s", me->what, strerror(-ret));
		result(io_uring_cqe_get_data(cqe), cqe->res);
		io_uring_cqe_seen(&q->ring, cqe);
	}
}

static void write_aio(struct queues *q, struct write *w, int n)
{
	struct io_event event;
	int i, ret, queued = 0;

	for (i = 0; i < n; i++) {
		struct iocb *iocb = &w[i].iocb;

		memset(iocb, 0, sizeof(*iocb));
		iocb->aio_data = (uintptr_t)&w[i];
		iocb->aio_lio_opcode = IOCB_CMD_PWRITEV;
		iocb->aio_fildes = w[i].fd;
		iocb->aio_buf = (uintptr_t)w[i].iov;
		iocb->aio_nbytes = 2;
		iocb->aio_offset = w[i].off;
		iocb->aio_rw_flags = w[i].flags;
		if (syscall(__NR_io_submit, q->aio, 1, &iocb) == 1)
			queued++;
		else
			result(&w[i], -errno);
	}
	while (queued) {
		ret = syscall(__NR_io_getevents, q->aio, 1, 1, &event, NULL);
		if (ret < 0 && errno != EINTR)
			fail("%s: io_getevents: %s", me->what, strerror(errno));
		if (ret == 1) {
			result((struct write *)(uintptr_t)event.data, event.res);
			queued--;
		}
	}
}

static int open_file(int file, int flags)
{
	int fd = open(path_of(file_names[file]), O_RDWR | O_CREAT | O_CLOEXEC | flags,
		      0644);

	if (fd < 0)
		answered(errno);
	if (file == WILD)
		collides = true;
	return fd;
}

/* A file of its own: what it has written has to be there, at once. */
struct own {
	int		fd, raw;
	char		name[16];
	unsigned short	tag[FILE_SIZE / SECTOR];	/* 0: zeros */
};

static void check_own(struct own *own, off_t off, size_t len)
{
	static uint64_t *buf, *dev;
	struct wt_map map = { 0 };
	size_t i, j;

	if (!buf) {
		buf = aligned_alloc(4096, FILE_SIZE);
		dev = aligned_alloc(4096, FILE_SIZE);
	}
	if (pread(own->fd, buf, len, off) != (ssize_t)len) {
		if (sh->down || errno == ENOMEM)
			return;
		fail("%s: read of %ld+%zu: %s", me->what, off, len,
		     strerror(errno));
	}
	for (i = 0; i < len / 8; i++) {
		off_t pos = off + i * 8;
		unsigned short tag = own->tag[pos / SECTOR];

		if (buf[i] != (tag ? word(pos, tag) : 0))
			fail("%s: position %ld of %s holds 0x%llx, expected tag %u",
			     me->what, pos, own->name, (long long)buf[i], tag);
	}
	if (own->raw < 0 || !one_in(4) || wt_map_range(own->fd, off, len, &map))
		goto out;
	for (j = 0; j < map.nr; j++) {
		struct wt_extent *e = &map.ext[j];
		off_t from = e->logical > (uint64_t)off ? (off_t)e->logical : off;
		off_t to = e->logical + e->length;

		if (to > off + (off_t)len)
			to = off + len;
		if ((e->flags & WT_EXTENT_NO_DATA) || from >= to)
			continue;
		if (wt_raw_read(own->raw, dev, e->physical + (from - e->logical),
				to - from))
			fail("raw read: %s", strerror(errno));
		/* Nobody but us writes here, so nobody moves it either. */
		for (i = 0; i < (size_t)(to - from) / 8; i++) {
			off_t pos = from + i * 8;
			unsigned short tag = own->tag[pos / SECTOR];

			if (dev[i] != (tag ? word(pos, tag) : 0) && !sh->down)
				fail("%s: device, position %ld of %s holds 0x%llx, expected tag %u",
				     me->what, pos, own->name, (long long)dev[i], tag);
		}
	}
out:
	wt_map_free(&map);
}

static void own_step(struct queues *q, struct own *own)
{
	static unsigned int tag;
	static const off_t units[] = { SECTOR, 1024, 4096 };
	off_t unit = units[below(3)];
	struct write w = { .fd = own->fd };
	size_t i;

	w.len = (1 + below(6)) * unit;
	w.off = below((FILE_SIZE - w.len) / unit + 1) * unit;
	tag = tag % 60000 + 1;
	if (one_in(30)) {
		begin("own punch %ld+%zu", w.off, w.len);
		if (fallocate(own->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      w.off, w.len)) {
			answered(errno);
			return done();
		}
		for (i = 0; i < w.len / SECTOR; i++)
			own->tag[w.off / SECTOR + i] = 0;
		return done();
	}
	w.flags = (int)flag | (one_in(5) ? RWF_DSYNC : 0) |
		(one_in(8) ? RWF_NOWAIT : 0);
	prepare(q, &w, 0, 0, tag);
	begin("own write %ld+%zu flags 0x%x", w.off, w.len, w.flags);
	{
		ssize_t ret;
		int how = below(3);

		if (how == 0) {
			ret = pwritev2(w.fd, w.iov, 2, w.off, w.flags);
			ret = ret < 0 ? -errno : ret;
		} else if (how == 1) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
			struct io_uring_cqe *cqe;

			io_uring_prep_writev(sqe, w.fd, w.iov, 2, w.off);
			sqe->rw_flags = w.flags;
			while ((ret = io_uring_submit(&q->ring)) == -EAGAIN ||
			       ret == -EINTR || ret == -ENOMEM)
				;
			while (io_uring_wait_cqe(&q->ring, &cqe) == -EINTR)
				;
			ret = cqe->res;
			io_uring_cqe_seen(&q->ring, cqe);
		} else {
			struct iocb iocb = {
				.aio_lio_opcode = IOCB_CMD_PWRITEV,
				.aio_fildes = w.fd,
				.aio_buf = (uintptr_t)w.iov,
				.aio_nbytes = 2,
				.aio_offset = w.off,
				.aio_rw_flags = w.flags,
			}, *list = &iocb;
			struct io_event event;

			if (syscall(__NR_io_submit, q->aio, 1, &list) != 1) {
				ret = -errno;
			} else {
				while (syscall(__NR_io_getevents, q->aio, 1, 1,
					       &event, NULL) != 1)
					;
				ret = event.res;
			}
		}
		if (ret < 0) {
			answered(-ret);
			/* Nothing has changed, unless it was the device. */
			if (sh->down)
				return done();
			ret = 0;
		}
		/* Cut short inside a sector: make it whole. */
		if (ret % SECTOR) {
			off_t at = ret / SECTOR * SECTOR;

			while (pwrite(own->fd, q->buf[0] + at, SECTOR,
				      w.off + at) != SECTOR) {
				answered(errno);
				if (sh->down)
					return done();
				sleep_ms(5);
			}
			ret = at + SECTOR;
		}
		for (i = 0; i < (size_t)ret / SECTOR; i++)
			own->tag[w.off / SECTOR + i] = tag;
		__atomic_add_fetch(&sh->written, ret, __ATOMIC_RELAXED);
	}
	w.off = w.off > 8192 ? (w.off - 8192) / SECTOR * SECTOR : 0;
	check_own(own, w.off, w.off + 40 * KIB > FILE_SIZE ? FILE_SIZE - w.off :
		  40 * KIB);
	done();
}

/* Finds what an earlier round has left. */
static void open_own(struct own *own, int nr)
{
	unsigned int sector;
	uint64_t w;
	off_t pos;

	snprintf(own->name, sizeof(own->name), "own%d", nr);
	own->fd = open(path_of(own->name), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	own->raw = wt_raw_open(opt.dev, &sector);
	if (own->fd < 0 || ftruncate(own->fd, FILE_SIZE)) {
		answered(errno);
		_exit(0);
	}
	for (pos = 0; pos < FILE_SIZE; pos += SECTOR) {
		if (pread(own->fd, &w, 8, pos) != 8)
			_exit(0);
		if (!valid(w, pos, false))
			fail("%s: position %ld holds 0x%llx", own->name, pos,
			     (long long)w);
		own->tag[pos / SECTOR] = w & 0xffff;
	}
}

static void writer(int nr)
{
	static struct queues q;
	static struct own own;
	int fds[NR_FILES], i;

	make_queues(&q);
	begin("open");
	for (i = 0; i < NR_FILES; i++) {
		fds[i] = open_file(i, 0);
		if (fds[i] < 0)
			return done();
	}
	open_own(&own, nr);
	done();
	while (!sh->stop) {
		struct write w[DEPTH];
		int n = one_in(3) ? 1 + below(DEPTH) : 1, how = below(3);

		if (one_in(3)) {
			own_step(&q, &own);
			continue;
		}
		for (i = 0; i < n; i++) {
			int file = below(NR_FILES);

			w[i].fd = fds[file];
			w[i].file = file;
			pick(&w[i], FILE_SIZE);
			w[i].flags = pick_flags();
			if (file == SHIFTY && one_in(2))
				w[i].flags |= RWF_APPEND;
			prepare(&q, &w[i], i, "sua"[how], 0);
		}
		begin("%s of %d, first %ld+%zu flags 0x%x", how == 0 ? "pwritev2" :
		      how == 1 ? "io_uring" : "aio", n, w[0].off, w[0].len,
		      w[0].flags);
		if (how == 0)
			write_sync(w, n);
		else if (how == 1)
			write_ring(&q, w, n);
		else
			write_aio(&q, w, n);
		done();
	}
}

/* ---------------------------------------------------------- the disturbers */

static int ctl(unsigned long cmd, void *arg)
{
	int fd = open(opt.mnt, O_RDONLY | O_CLOEXEC), ret, err;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, cmd, arg);
	err = errno;
	close(fd);
	return ret ? -err : 0;
}

static void d_freeze(void)
{
	/* Open from before: after a shutdown nothing can be opened. */
	int fd = open(opt.mnt, O_RDONLY | O_CLOEXEC), ret, tries;

	if (fd < 0)
		return sleep_ms(50);
	begin("freeze");
	ret = ioctl(fd, FIFREEZE, NULL);
	done();
	if (!ret) {
		sleep_ms(below(400));
		begin("thaw");
		/* Refused for as long as a shutdown freezes the device too. */
		for (tries = 0; (ret = ioctl(fd, FITHAW, NULL)) && tries < 200;
		     tries++)
			sleep_ms(50);
		if (ret)
			fail("thaw: %s", strerror(errno));
		done();
	}
	close(fd);
	sleep_ms(1000 + below(2000));
}

static void d_remount(void)
{
	static const char * const options[] = { "lazytime", "nolazytime" };
	unsigned long ro = one_in(2) ? MS_RDONLY : 0;

	begin("remount %s", ro ? "ro" : "rw");
	if (!mount(opt.dev, opt.mnt, "xfs",
		   MS_REMOUNT | ro | (one_in(2) ? MS_LAZYTIME : 0),
		   ro ? NULL : options[below(1)]) && ro) {
		begin("remount back");
		while (mount(opt.dev, opt.mnt, "xfs", MS_REMOUNT, NULL) &&
		       !sh->down)
			sleep_ms(10);
	}
	done();
	sleep_ms(below(300));
}

static void d_truncate(void)
{
	int file = below(NR_FILES), fd = open_file(file, 0);

	if (fd < 0)
		return;
	begin("truncate");
	if (one_in(3) && ftruncate(fd, below(FILE_SIZE)))
		answered(errno);
	/* Up again, or there would soon be nothing to overwrite. */
	if (ftruncate(fd, FILE_SIZE))
		answered(errno);
	done();
	close(fd);
	sleep_ms(below(60));
}

static void d_fallocate(void)
{
	static const struct {
		const char *name;
		int mode;
		bool shifts;
	} modes[] = {
		{ "allocate", 0, false },
		{ "keep size", FALLOC_FL_KEEP_SIZE, false },
		{ "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, false },
		{ "zero", FALLOC_FL_ZERO_RANGE, false },
		{ "zero, keep size",
		  FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, false },
		{ "unshare", FALLOC_FL_UNSHARE_RANGE, false },
		{ "collapse", FALLOC_FL_COLLAPSE_RANGE, true },
		{ "insert", FALLOC_FL_INSERT_RANGE, true },
	};
	int m = below(ARRAY_SIZE(modes)), fd;
	struct write w;
	struct stat st;

	fd = open_file(modes[m].shifts ? SHIFTY : below(NR_FILES), 0);
	if (fd < 0)
		return;
	pick(&w, FILE_SIZE);
	if (modes[m].shifts || one_in(2)) {
		w.off = w.off / 4096 * 4096;
		w.len = (w.len + 4095) / 4096 * 4096;
	}
	begin("fallocate %s %ld+%zu", modes[m].name, w.off, w.len);
	if (fallocate(fd, modes[m].mode, w.off, w.len) && errno != EINVAL &&
	    errno != EOPNOTSUPP)
		answered(errno);
	/* Appended to and inserted into: not for ever. */
	if (!fstat(fd, &st) && st.st_size > 2 * FILE_SIZE &&
	    ftruncate(fd, FILE_SIZE))
		answered(errno);
	done();
	close(fd);
	sleep_ms(below(40));
}

static void d_reflink(void)
{
	/* At the same offset, so that words stay where they belong. */
	static const int to_files[] = { MAPPED, MAPPED + 1, WILD };
	int from = open_file(below(WILD + 1), 0);
	int to = open_file(to_files[below(3)], 0);
	struct file_clone_range range;
	struct {
		struct file_dedupe_range head;
		struct file_dedupe_range_info info;
	} dedupe;
	struct write w;
	off_t a, b;

	if (from < 0 || to < 0)
		goto out;
	pick(&w, FILE_SIZE);
	w.off = w.off / 4096 * 4096;
	w.len = (w.len + 4095) / 4096 * 4096;
	switch (below(3)) {
	case 0:
		begin("reflink %ld+%zu", w.off, w.len);
		range = (struct file_clone_range) { from, w.off, w.len, w.off };
		if (ioctl(to, FICLONERANGE, &range) && errno != EINVAL)
			answered(errno);
		break;
	case 1:
		begin("dedupe %ld+%zu", w.off, w.len);
		memset(&dedupe, 0, sizeof(dedupe));
		dedupe.head.src_offset = w.off;
		dedupe.head.src_length = w.len;
		dedupe.head.dest_count = 1;
		dedupe.info.dest_fd = to;
		dedupe.info.dest_offset = w.off;
		if (ioctl(from, FIDEDUPERANGE, &dedupe) && errno != EINVAL)
			answered(errno);
		break;
	default:
		begin("copy range %ld+%zu", w.off, w.len);
		a = b = w.off;
		if (copy_file_range(from, &a, to, &b, w.len, 0) < 0 &&
		    errno != EINVAL)
			answered(errno);
		break;
	}
	done();
out:
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	sleep_ms(below(40));
}

static void d_exchange(void)
{
	int one = open_file(MAPPED, 0), two = open_file(MAPPED + 1, 0);
	struct exchange_range range = { .file1_fd = one };
	struct write w;

	if (one >= 0 && two >= 0) {
		pick(&w, FILE_SIZE);
		range.file1_offset = range.file2_offset = w.off / 4096 * 4096;
		range.length = (w.len + 4095) / 4096 * 4096;
		begin("exchange %ld+%zu", w.off, w.len);
		if (ioctl(two, EXCHANGE_RANGE, &range) && errno != EINVAL)
			answered(errno);
		done();
	}
	if (one >= 0)
		close(one);
	if (two >= 0)
		close(two);
	sleep_ms(below(60));
}

/* Until there is hardly anything left; then it goes, all at once. */
static void d_memory(void)
{
	size_t step = 4 * MIB, n = 0, i;
	char *chunk[512];

	put("/proc/self/oom_score_adj", "1000");
	begin("memory");
	while (n < ARRAY_SIZE(chunk) && !sh->stop) {
		FILE *f = fopen("/proc/meminfo", "re");
		long avail = 0;
		char line[128];

		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "MemAvailable: %ld", &avail) == 1)
				break;
		if (f)
			fclose(f);
		if (avail < 48 * 1024)
			break;
		chunk[n] = mmap(NULL, step, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (chunk[n] == MAP_FAILED)
			break;
		n++;
	}
	sleep_ms(below(300));
	for (i = 0; i < n; i++)
		munmap(chunk[i], step);
	done();
	sleep_ms(1000 + below(1000));
}

static void d_drop(void)
{
	struct write w;
	int fd;

	begin("drop caches");
	if (one_in(3)) {
		/* 4: without a word in the log */
		put("/proc/sys/vm/drop_caches", "%u", 4 + 1 + below(3));
	} else {
		fd = open_file(below(NR_FILES), 0);
		if (fd >= 0) {
			pick(&w, FILE_SIZE);
			posix_fadvise(fd, w.off, w.len, POSIX_FADV_DONTNEED);
			close(fd);
		}
	}
	done();
	sleep_ms(below(80));
}

static void d_compact(void)
{
	begin("compact");
	put("/proc/sys/vm/compact_memory", "1");
	done();
	sleep_ms(300 + below(500));
}

/* A limited group: its members' pages are reclaimed all the time. */
static void d_cgroup(void)
{
	static struct queues q;
	static int fd = -1, file;
	static bool inside;
	struct write w[DEPTH];
	int i, n = 1 + below(DEPTH);

	if (!inside) {
		char dir[64];

		inside = true;
		make_queues(&q);
		put("/sys/fs/cgroup/cgroup.subtree_control", "+memory +io");
		snprintf(dir, sizeof(dir), "/sys/fs/cgroup/wtstress%d", getpid());
		if (!mkdir(dir, 0755)) {
			char file[128];

			snprintf(file, sizeof(file), "%s/memory.max", dir);
			put(file, "6M");
			snprintf(file, sizeof(file), "%s/cgroup.procs", dir);
			put(file, "%d", getpid());
		}
		file = below(NR_FILES - 1);
		fd = open_file(file, 0);
	}
	if (fd < 0)
		return sleep_ms(100);
	begin("limited writes");
	for (i = 0; i < n; i++) {
		w[i].fd = fd;
		w[i].file = file;
		pick(&w[i], FILE_SIZE);
		w[i].flags = pick_flags();
		prepare(&q, &w[i], i, 'u', 0);
	}
	write_ring(&q, w, n);
	done();
	sleep_ms(below(10));
}

/* Submits, and is killed, or goes without waiting for anything. */
static void d_kill(void)
{
	pid_t pid = fork();
	int fd, file, i;

	if (pid < 0)
		return sleep_ms(100);
	if (!pid) {
		static struct queues q;
		static struct write w[DEPTH];

		me = NULL;
		make_queues(&q);
		file = below(NR_FILES - 1);
		fd = open(path_of(file_names[file]), O_RDWR | O_CLOEXEC);
		if (fd < 0)
			_exit(0);
		/* A buffer each: nobody waits for what is in flight. */
		for (i = 0; i < DEPTH; i++) {
			struct iocb *iocb;

			w[i].fd = fd;
			w[i].file = file;
			pick(&w[i], FILE_SIZE);
			w[i].flags = pick_flags();
			prepare(&q, &w[i], i, 'k', 0);
			if (one_in(3)) {
				if (pwritev2(fd, w[i].iov, 2, w[i].off, w[i].flags) < 0 &&
				    one_in(10))
					_exit(0);
			} else if (one_in(2)) {
				struct io_uring_sqe *sqe = io_uring_get_sqe(&q.ring);
				struct io_uring_cqe *cqe;

				if (sqe) {
					io_uring_prep_writev(sqe, fd, w[i].iov, 2,
							     w[i].off);
					sqe->rw_flags = w[i].flags;
					io_uring_submit(&q.ring);
				}
				if (!io_uring_peek_cqe(&q.ring, &cqe))
					io_uring_cqe_seen(&q.ring, cqe);
			} else {
				iocb = &w[i].iocb;
				memset(iocb, 0, sizeof(*iocb));
				iocb->aio_lio_opcode = IOCB_CMD_PWRITEV;
				iocb->aio_fildes = fd;
				iocb->aio_buf = (uintptr_t)w[i].iov;
				iocb->aio_nbytes = 2;
				iocb->aio_offset = w[i].off;
				iocb->aio_rw_flags = w[i].flags;
				syscall(__NR_io_submit, q.aio, 1, &iocb);
			}
			if (one_in(40))
				break;
		}
		if (one_in(3))
			sleep_ms(below(200));
		if (one_in(2))
			io_uring_queue_exit(&q.ring);
		else
			syscall(__NR_io_destroy, q.aio);
		_exit(0);
	}
	sleep_ms(below(150));
	begin("kill");
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	done();
}

static void d_direct(void)
{
	static char *buf;
	int file = DIRECT + below(WILD - DIRECT + 1);
	int fd = open_file(file, O_DIRECT);
	struct write w = { .file = file };
	ssize_t ret;

	if (!buf)
		buf = aligned_alloc(4096, MAX_LEN);
	if (fd < 0)
		return;
	pick(&w, FILE_SIZE);
	w.off = w.off / SECTOR * SECTOR;
	w.len = (w.len + SECTOR - 1) / SECTOR * SECTOR;
	begin("direct %ld+%zu", w.off, w.len);
	if (one_in(3)) {
		ret = pread(fd, buf, w.len, w.off);
	} else {
		fill(buf, w.len, w.off, record(&w, 'd', w.len));
		if (one_in(3)) {
			struct iovec iov = { buf, w.len };

			/* Which is the same thing. */
			ret = pwritev2(fd, &iov, 1, w.off, (int)flag);
		} else {
			ret = pwrite(fd, buf, w.len, w.off);
		}
	}
	if (ret < 0)
		answered(errno);
	done();
	close(fd);
}

static sigjmp_buf beyond;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(beyond, 1);
}

static void d_mmap(void)
{
	static const int files[] = { MAPPED, MAPPED + 1, WILD };
	int file = files[below(3)], fd = open_file(file, 0), i;
	struct write w = { .file = file };
	volatile unsigned int tag;
	volatile uint64_t *map;

	if (fd < 0)
		return;
	signal(SIGBUS, on_sigbus);
	/* Or User-Mode Linux says in its log that it was one of these. */
	signal(SIGSEGV, on_sigbus);
	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	begin("stores");
	/* It ends where the file does, or the file system. */
	if (!sigsetjmp(beyond, 1)) {
		tag = record(&w, 'm', 0);
		for (i = 0; i < 200 && !sh->stop; i++) {
			size_t at = below(FILE_SIZE / 8);

			if (one_in(3))
				(void)map[at];
			else
				map[at] = word(at * 8, tag);
			if (one_in(50))
				msync((void *)map, FILE_SIZE,
				      one_in(2) ? MS_SYNC : MS_ASYNC);
		}
	}
	munmap((void *)map, FILE_SIZE);
	done();
	sleep_ms(below(20));
}

static void d_sync(void)
{
	int fd = open_file(below(NR_FILES), 0), ret = 0;

	if (fd < 0)
		return;
	begin("sync");
	switch (below(5)) {
	case 0:
		sync();
		break;
	case 1:
		ret = syncfs(fd);
		break;
	case 2:
		ret = fdatasync(fd);
		break;
	case 3:
		ret = sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
				      SYNC_FILE_RANGE_WRITE |
				      SYNC_FILE_RANGE_WAIT_AFTER);
		break;
	default:
		ret = fsync(fd);
		break;
	}
	if (ret)
		answered(errno);
	done();
	close(fd);
	sleep_ms(below(60));
}

static void d_read(void)
{
	static uint64_t *buf;
	int file = below(NR_FILES), fd = open_file(file, 0);
	struct write w;
	ssize_t ret, i;

	if (!buf)
		buf = aligned_alloc(4096, MAX_LEN);
	if (fd < 0)
		return;
	pick(&w, FILE_SIZE);
	begin("read %ld+%zu", w.off, w.len);
	ret = pread(fd, buf, w.len, w.off);
	if (ret < 0)
		answered(errno);
	/* A word that is being copied may be seen half: only foreign ones count. */
	for (i = 0; i < ret / 8; i++)
		if ((buf[i] >> 16 & 0xffff) == POISON_MAGIC)
			fail("%s: position %ld of %s holds what was there before",
			     me->what, w.off + i * 8, file_names[file]);
	done();
	close(fd);
}

static void d_shutdown(void)
{
	uint32_t how = below(3);	/* default, flush the log, do not */

	/* Once a round, near its end, and not in every round. */
	sleep_ms(opt.round * 600 + below(opt.round * 300));
	if (sh->stop || !one_in(3))
		return;
	sh->down = 1;
	begin("shutdown, mode %u", how);
	ctl(GOINGDOWN, &how);
	done();
	while (!sh->stop)
		sleep_ms(50);
}

static struct disturber {
	const char	*name;
	void		(*fn)(void);
	bool		off;
} disturbers[] = {
	{ "freeze", d_freeze, false },
	{ "shutdown", d_shutdown, false },
	{ "remount", d_remount, false },
	{ "truncate", d_truncate, false },
	{ "fallocate", d_fallocate, false },
	{ "reflink", d_reflink, false },
	{ "exchange", d_exchange, false },
	{ "memory", d_memory, false },
	{ "drop", d_drop, false },
	{ "compact", d_compact, false },
	{ "cgroup", d_cgroup, false },
	{ "kill", d_kill, false },
	{ "direct", d_direct, false },
	{ "mmap", d_mmap, false },
	{ "sync", d_sync, false },
	{ "read", d_read, false },
};

/* ------------------------------------------------------------- the checks */

/* One file: words that belong there, and the same on the device. */
static void check_file(int nr, const char *name, bool anywhere)
{
	unsigned int sector;
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC);
	int raw = wt_raw_open(opt.dev, &sector);
	struct wt_map map = { 0 };
	struct stat st;
	uint64_t *buf, *dev, sum = 0;
	size_t i, j;

	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || raw < 0)
		fail("%s: %s", name, strerror(errno));
	if (fsync(fd) && (errno != EIO || nr != WILD))
		fail("fsync of %s: %s", name, strerror(errno));
	if (fstat(fd, &st) || st.st_size > 8 * FILE_SIZE)
		fail("size of %s: %lld", name, (long long)st.st_size);
	buf = aligned_alloc(4096, (st.st_size + 8191) / 4096 * 4096);
	dev = aligned_alloc(4096, (st.st_size + 8191) / 4096 * 4096);
	memset(dev, 0, st.st_size + 8);
	memset(buf, 0, st.st_size + 8);
	if (pread(fd, buf, st.st_size, 0) != st.st_size)
		fail("read of %s: %s", name, strerror(errno));
	for (i = 0; i < (size_t)st.st_size / 8; i++) {
		sum = sum * 31 + buf[i];
		if (!valid(buf[i], i * 8, anywhere)) {
			who_wrote(buf[i]);
			fail("position %zu of %s holds 0x%llx, which nobody wrote there",
			     i * 8, name, (long long)buf[i]);
		}
	}
	if (wt_map_range(fd, 0, st.st_size, &map))
		fail("fiemap of %s: %s", name, strerror(errno));
	for (j = 0; j < map.nr; j++) {
		struct wt_extent *e = &map.ext[j];
		off_t from = e->logical, to = e->logical + e->length;

		if (e->flags & FIEMAP_EXTENT_DELALLOC)
			fail("position %ld of %s is delayed after fsync", from, name);
		if (e->flags & WT_EXTENT_NO_DATA)
			continue;
		if (to > (st.st_size + 4095) / 4096 * 4096)
			to = (st.st_size + 4095) / 4096 * 4096;
		if (to > from && wt_raw_read(raw, (char *)dev + from, e->physical,
					     to - from))
			fail("raw read: %s", strerror(errno));
	}
	for (i = 0; i < (size_t)st.st_size / 8; i++)
		if (buf[i] != dev[i]) {
			who_wrote(buf[i]);
			who_wrote(dev[i]);
			fail("position %zu of %s: cache has 0x%llx, device 0x%llx",
			     i * 8, name, (long long)buf[i], (long long)dev[i]);
		}
	sh->sum[nr] = sum;
	sh->size[nr] = st.st_size;
	wt_map_free(&map);
	free(buf);
	free(dev);
	close(fd);
	close(raw);
}

static void check_files(bool again)
{
	uint64_t sum;
	off_t size;
	char own[16];
	int i;

	for (i = 0; i < NR_FILES + (int)opt.processes; i++) {
		const char *name = i < NR_FILES ? file_names[i] : own;

		snprintf(own, sizeof(own), "own%d", i - NR_FILES);
		begin("check of %s", name);
		sum = sh->sum[i];
		size = sh->size[i];
		check_file(i, name, i == SHIFTY);
		if (again && (sum != sh->sum[i] || size != sh->size[i]))
			fail("%s is not what it was before it was unmounted", name);
		done();
	}
}

static void do_mount(void)
{
	begin("mount");
	if (run("mount -t xfs %s%s %s %s", *opt.mount ? "-o " : "", opt.mount,
		opt.dev, opt.mnt))
		fail("does not mount");
	done();
}

static void do_umount(void)
{
	int i;

	begin("umount");
	for (i = 0; umount(opt.mnt); i++) {
		if (errno != EBUSY || i > 500)
			fail("umount: %s", strerror(errno));
		sleep_ms(20);
	}
	done();
}

static void do_repair(void)
{
	begin("xfs_repair -n");
	if (run("xfs_repair -n %s >/tmp/wtstress-repair 2>&1", opt.dev)) {
		run("tail -n 40 /tmp/wtstress-repair");
		fail("xfs_repair finds damage");
	}
	done();
}

static void counters(void)
{
	FILE *f;
	char line[128];
	long value, writeback = -1, dirty = -1;
	int i;

	begin("counters");
	sync();
	for (i = 0; i < 200; i++) {
		put("/proc/sys/vm/stat_refresh", "1");
		f = fopen("/proc/vmstat", "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "nr_writeback %ld", &value) == 1)
				writeback = value;
			if (sscanf(line, "nr_dirty %ld", &value) == 1)
				dirty = value;
		}
		if (f)
			fclose(f);
		if (!writeback && dirty < 8)
			return done();
		sleep_ms(20);
	}
	fail("after sync, and all is quiet: nr_writeback %ld, nr_dirty %ld",
	     writeback, dirty);
}

static void finish_round(int nr)
{
	(void)nr;
	/* Whoever froze it may not have come back. */
	ctl(FITHAW, NULL);
	mount(opt.dev, opt.mnt, "xfs", MS_REMOUNT, NULL);
	if (sh->down) {
		do_umount();
		/* The log is recovered. */
		do_mount();
		check_files(false);
	} else {
		check_files(false);
		/* They are those of all file systems. */
		if (!opt.beside)
			counters();
	}
	do_umount();
	do_repair();
	do_mount();
	check_files(true);
	sh->down = 0;
}

/* --------------------------------------------------------- the supervisor */

static void show_hang(const struct slot *slot, int64_t ms)
{
	char path[64], line[256];
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	FILE *f;

	say("HANG: %s (pid %d) has been at it for %lld s: %s", slot->name,
	    slot->pid, (long long)ms / 1000, slot->what);
	/* Everybody who sleeps in the kernel and cannot be woken. */
	while (dir && (entry = readdir(dir))) {
		char comm[64] = "", state = '?';

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/stat", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%*d %63s %c", comm, &state) != 2)
			state = '?';
		fclose(f);
		if (state != 'D' && atoi(entry->d_name) != slot->pid)
			continue;
		say("pid %s %s, state %c:", entry->d_name, comm, state);
		snprintf(path, sizeof(path), "/proc/%.20s/stack", entry->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			line[strcspn(line, "\n")] = 0;
			say("    %s", line);
		}
		if (f)
			fclose(f);
	}
	put("/proc/sysrq-trigger", "w");
	put("/proc/sysrq-trigger", "d");
	sleep_ms(500);
}

static int nr_slots;

static void start(const char *name, void (*body)(int), int arg)
{
	struct slot *slot = &sh->slot[nr_slots++];
	pid_t pid;

	memset(slot, 0, sizeof(*slot));
	snprintf(slot->name, sizeof(slot->name), "%s", name);
	pid = fork();
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid) {
		slot->pid = pid;
		return;
	}
	me = slot;
	seed = opt.seed * 0x9e3779b97f4a7c15ULL + nr_slots * 0x1234567ULL + 1;
	body(arg);
	_exit(0);
}

static void disturb(int nr)
{
	while (!sh->stop)
		disturbers[nr].fn();
}

/* Waits for all, @ms from now telling them to stop. Returns a status. */
static int supervise(int64_t ms)
{
	int64_t end = now_ms() + ms, stopped = 0;
	int left = nr_slots, status = 0, i;

	while (left) {
		int64_t now = now_ms();
		pid_t pid;
		int how;

		while (left && (pid = waitpid(-1, &how, WNOHANG)) > 0) {
			for (i = 0; i < nr_slots && sh->slot[i].pid != pid; i++)
				;
			if (i == nr_slots)
				continue;
			left--;
			sh->slot[i].since = 0;
			sh->slot[i].pid = 0;
			if (WIFSIGNALED(how)) {
				/* For that it asked. */
				if (WTERMSIG(how) == SIGKILL)
					say("%s was killed for memory", sh->slot[i].name);
				else
					say("FAIL: %s died of signal %d",
					    sh->slot[i].name, WTERMSIG(how));
				if (WTERMSIG(how) != SIGKILL)
					status = 1;
			} else if (WEXITSTATUS(how)) {
				status = 1;
			}
		}
		if (!stopped && (now >= end || status)) {
			sh->stop = 1;
			stopped = now;
		}
		for (i = 0; i < nr_slots; i++) {
			int64_t since = sh->slot[i].since;

			if (sh->slot[i].pid && since &&
			    now - since > opt.limit * 1000LL) {
				show_hang(&sh->slot[i], now - since);
				return HANG;
			}
		}
		/* Between two operations nobody has reason to stay. */
		if (stopped && now - stopped > opt.limit * 2000LL) {
			for (i = 0; i < nr_slots && !sh->slot[i].pid; i++)
				;
			show_hang(&sh->slot[i], now - stopped);
			return HANG;
		}
		sleep_ms(50);
	}
	return status;
}

/* What is freed, or never was written, is recognised. */
static void poison(int fd)
{
	size_t len = MIB, i;
	uint64_t *buf = aligned_alloc(4096, len), bytes = 0;
	off_t pos;

	if (ioctl(fd, BLKGETSIZE64, &bytes))
		fail("size of %s: %s", opt.dev, strerror(errno));
	for (i = 0; i < len / 8; i++)
		buf[i] = POISON_MAGIC << 16 | i << 32;
	for (pos = 0; pos + (off_t)len <= (off_t)bytes; pos += len)
		if (pwrite(fd, buf, len, pos) != (ssize_t)len)
			fail("write to %s: %s", opt.dev, strerror(errno));
	free(buf);
}

static void make_fs(int nr)
{
	int fd, i;

	(void)nr;
	begin("mkfs");
	fd = open(opt.dev, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		fail("%s: %s", opt.dev, strerror(errno));
	poison(fd);
	close(fd);
	if (run("mkfs.xfs -q -f -K %s %s", opt.mkfs, opt.dev))
		fail("mkfs.xfs");
	do_mount();
	for (i = 0; i < NR_FILES; i++) {
		fd = open_file(i, 0);
		if (fd < 0 || ftruncate(fd, FILE_SIZE))
			fail("%s: %s", file_names[i], strerror(errno));
		close(fd);
	}
	done();
}

static void off(const char *name, const char *why)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(disturbers); i++)
		if (!strcmp(disturbers[i].name, name) && !disturbers[i].off) {
			disturbers[i].off = true;
			say("without %s: %s", name, why);
		}
}

static void choose_disturbers(void)
{
	char list[512], *name, *save = NULL;
	unsigned int i;

	if (opt.disturb) {
		for (i = 0; i < ARRAY_SIZE(disturbers); i++)
			disturbers[i].off = true;
		snprintf(list, sizeof(list), "%s", opt.disturb);
		for (name = strtok_r(list, ", ", &save); name;
		     name = strtok_r(NULL, ", ", &save)) {
			for (i = 0; i < ARRAY_SIZE(disturbers); i++)
				if (!strcmp(disturbers[i].name, name))
					break;
			if (i == ARRAY_SIZE(disturbers) && strcmp(name, "none"))
				fail("no disturber of the name %s", name);
			if (i < ARRAY_SIZE(disturbers))
				disturbers[i].off = false;
		}
	}
	/* mkfs.xfs has to know how. */
	if (!strstr(opt.mkfs, "exchange=1"))
		off("exchange", "not among the options of mkfs.xfs");
	if (strstr(opt.mkfs, "reflink=0"))
		off("reflink", "not in this file system");
}

static int phase(const char *name, void (*body)(int), int64_t ms)
{
	nr_slots = 0;
	sh->stop = 0;
	start(name, body, 0);
	return supervise(ms);
}

static int one_round(unsigned int nr, int64_t ms)
{
	unsigned long ops = 0, written = sh->written;
	unsigned int i;
	int status;
	bool down;

	nr_slots = 0;
	sh->stop = 0;
	for (i = 0; i < opt.processes; i++) {
		char name[32];

		snprintf(name, sizeof(name), "writer%u", i);
		start(name, writer, i);
	}
	for (i = 0; i < ARRAY_SIZE(disturbers); i++)
		if (!disturbers[i].off)
			start(disturbers[i].name, disturb, i);
	status = supervise(ms);
	for (i = 0; i < (unsigned int)nr_slots; i++)
		ops += sh->slot[i].ops;
	down = sh->down;
	if (opt.verbose)
		for (i = 0; i < (unsigned int)nr_slots; i++)
			say("  %-10s %lu", sh->slot[i].name, sh->slot[i].ops);
	if (!status)
		status = phase("checks", finish_round, INT32_MAX);
	say("round %u: %lu operations, %lu KiB written%s%s", nr, ops,
	    (sh->written - written) / 1024, down ? ", shut down" : "",
	    status ? ", FAILED" : "");
	return status;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: wtstress --dev DEVICE --mnt DIRECTORY [--seed N] [--seconds N]\n"
		"                [--round SECONDS] [--processes N] [--limit SECONDS]\n"
		"                [--disturb LIST] [--mkfs OPTIONS] [--mount OPTIONS]\n"
		"                [--force] [--verbose] [--beside]\n"
		"disturbers: freeze shutdown remount truncate fallocate reflink exchange\n"
		"            memory drop compact cgroup kill direct mmap sync read, or none\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		const char *o = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(o, "--force")) {
			opt.force = true;
			continue;
		}
		if (!strcmp(o, "--verbose")) {
			opt.verbose = true;
			continue;
		}
		if (!strcmp(o, "--beside")) {
			opt.beside = true;
			continue;
		}
		if (!v)
			usage();
		i++;
		if (!strcmp(o, "--dev"))
			opt.dev = v;
		else if (!strcmp(o, "--mnt"))
			opt.mnt = v;
		else if (!strcmp(o, "--mkfs"))
			opt.mkfs = v;
		else if (!strcmp(o, "--mount"))
			opt.mount = v;
		else if (!strcmp(o, "--disturb"))
			opt.disturb = v;
		else if (!strcmp(o, "--seed"))
			opt.seed = strtoull(v, NULL, 0);
		else if (!strcmp(o, "--seconds"))
			opt.seconds = atoi(v);
		else if (!strcmp(o, "--round"))
			opt.round = atoi(v);
		else if (!strcmp(o, "--limit"))
			opt.limit = atoi(v);
		else if (!strcmp(o, "--processes"))
			opt.processes = atoi(v);
		else
			usage();
	}
	if (!opt.dev || !opt.mnt || !opt.round || !opt.processes ||
	    opt.processes + ARRAY_SIZE(disturbers) > MAX_PROCS)
		usage();
	if (!opt.seed) {
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		opt.seed = (ts.tv_sec * 1000003ULL + ts.tv_nsec) & 0xffffffff;
	}
}

int main(int argc, char **argv)
{
	int64_t end;
	unsigned int nr;
	int status;

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	say("seed %llu, %u processes, %u s in rounds of %u s, limit %u s%s%s%s",
	    (unsigned long long)opt.seed, opt.processes, opt.seconds, opt.round,
	    opt.limit, opt.force ? ", all writes forced" : "",
	    *opt.mkfs ? ", mkfs.xfs " : "", opt.mkfs);
	flag = wt_flag();
	if (!flag) {
		say("SKIP: this kernel has no RWF_WRITETHROUGH");
		return SKIP;
	}
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		return 1;
	choose_disturbers();
	if (opt.force && wt_write_string("/sys/fs/xfs/debug/writethrough", "1")) {
		say("SKIP: no switch to force it: %s", strerror(errno));
		return SKIP;
	}
	status = phase("mkfs", make_fs, INT32_MAX);
	end = now_ms() + opt.seconds * 1000LL;
	for (nr = 1; !status && now_ms() < end; nr++) {
		int64_t left = end - now_ms();

		status = one_round(nr, left < opt.round * 1000LL ? left + 1000 :
				   opt.round * 1000LL);
		opt.seed = opt.seed * 6364136223846793005ULL + 1442695040888963407ULL;
	}
	if (!status)
		umount(opt.mnt);
	say("%s: %u rounds", status ? "FAILED" : "passed", nr - 1);
	return status;
}
