// SPDX-License-Identifier: GPL-2.0
/*
 * Every combination of the other flags, on every kind of descriptor, through
 * every interface, answers and does what flags.def says, which is what the
 * documentation says: the data is on the device, at the offset or at the end,
 * clean and cached or dropped. A refusal leaves everything as it was.
 *
 * Durability is seen by pulling the plug (the file system is shut down without
 * writing its log) for some, and for all by what a write makes the file system
 * do: force the log for an append, and nothing of the kind, nor a flush of the
 * device, without a flag that asks for it.
 *
 * The device is memory, with a volatile cache and FUA, and can be polled:
 * O_DIRECT writes on a polling ring are served.
 *
 * Mutant: 130-dontcache-left-out
 * Mutant: 131-dontcache-always
 * Mutant: 134-nowait-append
 * Mutant: 135-always-synced
 * lab: --disk 600M --timeout 960
 */
#include "wt.h"
#include <liburing.h>

enum kind { RWF, OPEN, RING };

enum effect {
	NOTHING		= 0,
	DURABLE		= 1,	/* at completion */
	WHOLE_OR_EAGAIN	= 2,	/* an append is EAGAIN */
	AT_END		= 4,
	AT_OFFSET	= 8,	/* wins over AT_END of the descriptor */
	ATOMIC		= 16,
	DROPPED		= 32,	/* from the cache */
	AS_WITHOUT	= 64,	/* the same as without RWF_WRITETHROUGH */
};

static const struct row {
	enum kind	kind;
	const char	*name;
	int		flag;
	enum effect	effect;
	int		error;
	int		ring_error;
} rows[] = {
#define ROW(kind, name, effect, error, ring_error, text)	\
	{ kind, #name, name, effect, error, ring_error },
#include "flags.def"
#undef ROW
};

/* An interface more than wt.h has. */
#define IOPOLL		WT_NR_MODES
#define NR_INTERFACES	(WT_NR_MODES + 1)

#define BASE_SLOTS	32
#define MAX_SLOTS	96
#define SLOT		((off_t)wt_unit)

struct call {
	unsigned int	interface;
	const struct row *open;		/* NULL for no flag */
	int		fd;
	int		flags;
	unsigned int	effects;
	int		refusals[8];
	unsigned int	nr_refusals;
	bool		append;
};

/* The file: what each of its pages holds. */
static int file, raw;
static unsigned int slots, gens[MAX_SLOTS + 2], gen = 1;

static char *buf, *page, log_stats[128], disk_stats[128];
static struct io_uring iopoll;
static bool have_iopoll;
static unsigned int answered[3];

/* Writes that are not to flush the device, and how often somebody did. */
static unsigned int not_to_flush, flushed;

static const char *interface_name(unsigned int interface)
{
	return interface == IOPOLL ? "polling io_uring" : wt_mode_name[interface];
}

static const char *describe(const struct call *c)
{
	static char text[512];
	unsigned int i, n;

	n = snprintf(text, sizeof(text), "%s, descriptor %s:",
		     interface_name(c->interface), c->open ? c->open->name : "-");
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind == RWF && (c->flags & rows[i].flag))
			n += snprintf(text + n, sizeof(text) - n, " %s",
				      rows[i].name);
	return text;
}

/* ------------------------------------------------- what the table predicts */

static void refuse(struct call *c, int error)
{
	if (error)
		c->refusals[c->nr_refusals++ % ARRAY_SIZE(c->refusals)] = -error;
}

static void predict(struct call *c)
{
	bool ring = c->interface == WT_URING || c->interface == IOPOLL;
	unsigned int i;

	c->effects = c->open ? c->open->effect : NOTHING;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		if (row->kind == RWF && (c->flags & row->flag)) {
			c->effects |= row->effect;
			/* HIPRI is what a polling ring is for. */
			if (c->interface != IOPOLL || row->flag != RWF_HIPRI)
				refuse(c, ring ? row->ring_error : row->error);
		}
		if (row->kind == RING && c->interface == IOPOLL)
			refuse(c, row->ring_error);
	}
	c->append = (c->effects & AT_END) && !(c->effects & AT_OFFSET);
	if ((c->flags & RWF_APPEND) && (c->flags & RWF_NOAPPEND))
		refuse(c, EINVAL);
	if (c->effects & WHOLE_OR_EAGAIN) {
		if (c->append)
			refuse(c, EAGAIN);
		/* This device cannot, and staging takes an allocation. */
		if (c->effects & ATOMIC)
			refuse(c, EAGAIN);
	}
}

static bool predicted(const struct call *c, ssize_t ret)
{
	unsigned int i;

	if (!c->nr_refusals)
		return ret == SLOT;
	for (i = 0; i < c->nr_refusals; i++)
		if (ret == c->refusals[i])
			return true;
	return false;
}

/* ------------------------------------------------------------- the write */

static ssize_t write_iopoll(int fd, const struct iovec *iov, off_t off,
			    int flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&iopoll);
	struct io_uring_cqe *cqe;
	int ret;

	io_uring_prep_writev(sqe, fd, iov, 1, off);
	sqe->rw_flags = flags;
	wt_check(io_uring_submit(&iopoll) == 1, "submission");
	wt_check(!io_uring_wait_cqe(&iopoll, &cqe), "completion");
	ret = cqe->res;
	io_uring_cqe_seen(&iopoll, cqe);
	return ret;
}

static ssize_t issue(const struct call *c, off_t off, bool plain)
{
	struct iovec iov = { buf, SLOT };
	struct wt_request req = {
		.mode	= c->interface,
		.fd	= c->fd,
		.iov	= &iov,
		.nr_iov	= 1,
		.off	= off,
		.flags	= c->flags,
		.plain	= plain,
	};
	ssize_t ret;

	if (c->interface == IOPOLL)
		return write_iopoll(c->fd, &iov, off, c->flags |
				    (plain ? 0 : RWF_WRITETHROUGH));
	if (c->interface != WT_SYNC) {
		ret = wt_submit(&req);
		return ret ? ret : wt_wait(&req);
	}
	if (!plain)
		return wt_write(WT_SYNC, c->fd, buf, SLOT, off, c->flags);
	ret = pwritev2(c->fd, &iov, 1, off, c->flags);
	return ret < 0 ? -errno : ret;
}

/* Log forces so far, of this file system. */
static unsigned long log_forces(void)
{
	unsigned long value[4];
	char line[256];
	bool found = false;
	FILE *f = fopen(log_stats, "re");

	wt_check(f, "%s: %s", log_stats, strerror(errno));
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "log %lu %lu %lu %lu", &value[0], &value[1],
			       &value[2], &value[3]) == 4;
	fclose(f);
	wt_check(found, "no log line in %s", log_stats);
	return value[3];
}

/* Flushes of the device so far. */
static unsigned long flushes(void)
{
	unsigned long value[16] = { 0 };
	FILE *f = fopen(disk_stats, "re");
	unsigned int i;

	wt_check(f, "%s: %s", disk_stats, strerror(errno));
	for (i = 0; i < ARRAY_SIZE(value); i++)
		wt_check(fscanf(f, "%lu", &value[i]) == 1, "no flushes in %s",
			 disk_stats);
	fclose(f);
	return value[15];
}

/* Is it gone, at once or very soon? */
static bool dropped(const struct call *c, off_t at)
{
	long long end = wt_now_ms() + (c->interface == WT_SYNC ? 0 : 2000);

	while (wt_cache(file, at, SLOT).cached) {
		if (wt_now_ms() >= end)
			return false;
		wt_sleep_ms(1);
	}
	return true;
}

/* Device and cache. This is done so often that wt_expect_both() takes too long. */
static void check_slot(unsigned int slot)
{
	off_t pos = slot * SLOT;

	wt_check(wt_backing(file, pos) == WT_WRITTEN, "page %u is not written",
		 slot);
	wt_check(pread(raw, page, SLOT, wt_physical(file, pos, NULL)) == SLOT,
		 "raw read: %s", strerror(errno));
	wt_expect_buf("device", page, SLOT, pos, gens[slot]);
	wt_check(pread(file, page, SLOT, pos) == SLOT, "read: %s",
		 strerror(errno));
	wt_expect_buf("cache", page, SLOT, pos, gens[slot]);
}

static void check_file(const struct call *c)
{
	unsigned int i;

	wt_check(lseek(file, 0, SEEK_END) == slots * SLOT, "%s: size %lld",
		 describe(c), (long long)lseek(file, 0, SEEK_END));
	wt_check(!wt_cache(file, 0, slots * SLOT).dirty, "%s: dirty pages",
		 describe(c));
	for (i = 0; i < slots; i++)
		check_slot(i);
}

static void shorten(void)
{
	wt_sys(ftruncate(file, BASE_SLOTS * SLOT));
	slots = BASE_SLOTS;
}

/* What only the buffered path promises. */
static void check_buffered(const struct call *c, off_t at, unsigned long before)
{
	if (c->effects & DROPPED)
		wt_check(dropped(c, at), "%s: still cached", describe(c));
	else
		wt_expect_clean(file, at, SLOT);
	if (!(c->effects & DURABLE)) {
		not_to_flush++;
		flushed += flushes() != before;
	} else if (c->append) {
		wt_check(log_forces() != before, "%s: an append without log force",
			 describe(c));
	}
}

/* One write, and everything that it is to do. */
static void write_one(const struct call *c, unsigned int slot, bool plain)
{
	off_t off = slot * SLOT, at = c->append ? slots * SLOT : off;
	unsigned long before = 0;
	bool buffered = !(c->effects & AS_WITHOUT);
	ssize_t ret;

	wt_pattern(buf, SLOT, at, ++gen);
	if (buffered && !c->nr_refusals) {
		if (c->effects & DROPPED)
			wt_sys(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED));
		before = c->effects & DURABLE ? log_forces() : flushes();
	}
	ret = issue(c, off, plain);
	if (ret < 0) {
		answered[1 + (ret == -EAGAIN)]++;
		if (buffered)
			wt_check(predicted(c, ret), "%s: error %zd (%s)",
				 describe(c), ret, strerror(-ret));
		wt_check(!wt_cache(file, 0, (slots + 1) * SLOT).dirty,
			 "%s: refused, but pages are dirty", describe(c));
		wt_check(lseek(file, 0, SEEK_END) == slots * SLOT,
			 "%s: refused, but the size has changed", describe(c));
		/* The others are seen to at the end, with the whole file. */
		if (ret == -EAGAIN)
			check_slot(slot);
		return;
	}
	answered[0]++;
	wt_check(ret == SLOT, "%s: %zd", describe(c), ret);
	if (buffered) {
		wt_check(predicted(c, ret), "%s: not refused", describe(c));
		check_buffered(c, at, before);
	}
	gens[at / SLOT] = gen;
	if (c->append)
		slots++;
	wt_check(!wt_cache(file, 0, slots * SLOT).dirty, "%s: dirty pages",
		 describe(c));
	wt_check(lseek(file, 0, SEEK_END) == slots * SLOT,
		 "%s: the size is not %u pages", describe(c), slots);
	if (buffered || !plain)
		check_slot(at / SLOT);
	if (c->append)
		check_slot(slot);
}

/* Is the answer the same as without the flag? Waiting is a matter of chance. */
static void compare(const struct call *c, unsigned int slot)
{
	ssize_t ret[2];
	unsigned int how;

	for (how = 0; how < 2; how++) {
		unsigned int before[ARRAY_SIZE(answered)];

		memcpy(before, answered, sizeof(before));
		write_one(c, slot, !how);
		for (ret[how] = 0; answered[ret[how]] == before[ret[how]];)
			ret[how]++;
	}
	wt_check(ret[0] == ret[1] || (c->effects & WHOLE_OR_EAGAIN),
		 "%s: %s, but without the flag %s", describe(c),
		 ret[1] ? "refused" : "served", ret[0] ? "refused" : "served");
}

static void check_descriptor(unsigned int interface, const struct row *open_row)
{
	unsigned int all = 0, flags = 0, i, n = 0;
	long long start = wt_now_ms();
	struct call c;
	int fd;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind == RWF)
			all |= rows[i].flag;
	fd = wt_open("file", O_RDWR | (open_row ? open_row->flag : 0));
	flushed = 0;
	not_to_flush = 0;
	do {
		memset(&c, 0, sizeof(c));
		c.interface = interface;
		c.open = open_row;
		c.fd = fd;
		c.flags = flags;
		predict(&c);
		if (slots + 2 > MAX_SLOTS)
			shorten();
		if (c.effects & AS_WITHOUT)
			compare(&c, 1 + n % (BASE_SLOTS - 2));
		else
			write_one(&c, 1 + n % (BASE_SLOTS - 2), false);
		n++;
		/* the next subset */
		flags = (flags - all) & all;
	} while (flags);
	close(fd);
	check_file(&c);
	/* The background does it now and then; the kernel would time and again. */
	wt_check(flushed * 10 < not_to_flush + 20,
		 "%s: the device was flushed during %u of %u writes that do not ask for it",
		 interface_name(interface), flushed, not_to_flush);
	wt_note("%s, descriptor %s: %u combinations in %lld ms",
		interface_name(interface), open_row ? open_row->name : "-", n,
		wt_now_ms() - start);
}

static void every_combination(unsigned int interface)
{
	unsigned int i;

	check_descriptor(interface, NULL);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind == OPEN)
			check_descriptor(interface, &rows[i]);
}

/* ------------------------------------------------------------ plug pulled */

#define MOUNT_OPTIONS	"lazytime"

/* How a write is asked to be durable. */
struct demand {
	const char	*name;
	int		flags;		/* of the call */
	int		open_flags;
	bool		sync_inode;
	bool		sync_mount;
};

static void remount(const char *options)
{
	wt_umount();
	wt_mount(options);
}

/* An overwrite, an append and a new block behind a hole, there after that. */
static void crash(enum wt_mode mode, const struct demand *d)
{
	off_t pos[] = { 4 * SLOT, BASE_SLOTS * SLOT, (BASE_SLOTS + 8) * SLOT };
	int fd = wt_make_file("crash", BASE_SLOTS * SLOT, 1);
	unsigned int i;
	ssize_t ret;

	if (d->sync_inode)
		wt_check(!wt_set_xattr(fd, FS_XFLAG_SYNC, 0, 0, 0), "sync inode");
	wt_sys(syncfs(fd));
	close(fd);
	if (d->sync_mount)
		remount(MOUNT_OPTIONS ",sync");
	fd = wt_open("crash", O_RDWR | d->open_flags);
	for (i = 0; i < ARRAY_SIZE(pos); i++) {
		wt_pattern(buf, SLOT, pos[i], 2);
		ret = wt_write(mode, fd, buf, SLOT, pos[i], d->flags);
		wt_check(ret == SLOT, "%s: %zd", d->name, ret);
	}
	close(fd);
	wt_shutdown(false);
	remount(MOUNT_OPTIONS);
	fd = wt_open("crash", O_RDWR);
	wt_check(lseek(fd, 0, SEEK_END) == (BASE_SLOTS + 9) * SLOT,
		 "%s: size %lld", d->name, (long long)lseek(fd, 0, SEEK_END));
	for (i = 0; i < ARRAY_SIZE(pos); i++)
		wt_expect_both(fd, pos[i], SLOT, 2);
	wt_expect_both(fd, (BASE_SLOTS + 1) * SLOT, 7 * SLOT, 0);
	close(fd);
	wt_sys(unlink(wt_path("crash")));
}

static void crashes(enum wt_mode mode)
{
	static const struct demand others[] = {
		{ .name = "sync inode", .sync_inode = true },
		{ .name = "sync mount", .sync_mount = true },
	};
	unsigned int i, with;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct demand d = { .name = rows[i].name };

		if (!(rows[i].effect & DURABLE))
			continue;
		for (with = 0; with < 2; with++) {
			d.flags = with ? RWF_DONTCACHE : 0;
			if (rows[i].kind == RWF)
				d.flags |= rows[i].flag;
			else
				d.open_flags = rows[i].flag;
			crash(mode, &d);
		}
	}
	for (i = 0; i < ARRAY_SIZE(others); i++)
		crash(mode, &others[i]);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("flag_table", 900);
	wt_need_writethrough();
	wt_dev = wt_null_blk("wtflags", 400, "submit_queues=1 poll_queues=1 cache_size=64");
	wt_raw = wt_dev;
	/* Timestamps that need a transaction are EAGAIN with RWF_NOWAIT. */
	wt_setup(NULL, MOUNT_OPTIONS);
	wt_check(wt_put("/proc/sys/fs/xfs/xfssyncd_centisecs", "720000"),
		 "cannot keep the log worker away");
	snprintf(log_stats, sizeof(log_stats), "/sys/fs/xfs/%s/stats/stats",
		 strrchr(wt_dev, '/') + 1);
	snprintf(disk_stats, sizeof(disk_stats), "/sys/block/%s/stat",
		 strrchr(wt_dev, '/') + 1);
	buf = wt_alloc(SLOT);
	page = wt_alloc(SLOT);

	wt_for_each_mode(mode)
		crashes(mode);

	file = wt_make_file("file", BASE_SLOTS * SLOT, gen);
	for (slots = 0; slots < BASE_SLOTS; slots++)
		gens[slots] = gen;
	wt_sys(syncfs(file));
	raw = wt_sys(open(wt_raw, O_RDONLY | O_DIRECT | O_CLOEXEC));
	wt_for_each_mode(mode)
		every_combination(mode);
	have_iopoll = !getenv("WT_EMULATE") &&
		!io_uring_queue_init(4, &iopoll, IORING_SETUP_IOPOLL);
	if (have_iopoll)
		every_combination(IOPOLL);
	else
		wt_note("note: no polling ring");
	close(file);
	close(raw);

	wt_note("served %u, refused %u, EAGAIN %u", answered[0], answered[1],
		answered[2]);
	wt_finish();
}
