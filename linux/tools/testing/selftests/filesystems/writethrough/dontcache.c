// SPDX-License-Identifier: GPL-2.0
/*
 * RWF_DONTCACHE: what a write-through brought into the page cache is dropped
 * once it completes, and nothing else. Folios that were there before stay, and
 * so do those that somebody mapped or wrote to meanwhile. Also for partial
 * blocks, large writes, appends, holes, RWF_DSYNC, and for what a failed write
 * leaves behind.
 *
 * A plain read does not keep a folio: the page cache does not count it as a use
 * of one that is going to be dropped.
 *
 * Mutant: 130-dontcache-left-out
 * Mutant: 131-dontcache-always
 * Mutant: 136-dropped-only-by-completion
 * Mutant: 164-kept-by-fsync
 * lab: --disk 600M --timeout 300
 * blocks: 1024
 */
#include "wt.h"

#define PAGE		((off_t)wt_unit)
#define FILE_PAGES	256
#define OFF		(16 * PAGE)
#define LEN		(16 * PAGE)

static unsigned long cached(int fd, off_t off, size_t len)
{
	return wt_cache(fd, off, len).cached * wt_psize / wt_unit;
}

/* Who has just completed an asynchronous write may hold a folio a little longer. */
static void drop(int fd)
{
	int i;

	for (i = 0; i < 100; i++) {
		wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
		if (!cached(fd, 0, 2 * FILE_PAGES * PAGE))
			return;
		wt_sleep_ms(10);
	}
	wt_fail("cannot empty the cache");
}

/* Nothing of the range is cached, at return or, if asynchronous, very soon. */
static void expect_dropped(enum wt_mode mode, int fd, off_t off, size_t len,
			   const char *what)
{
	long long end = wt_now_ms() + (mode == WT_SYNC ? 0 : 2000);
	unsigned long left;

	while ((left = cached(fd, off, len))) {
		wt_check(wt_now_ms() < end, "%s: %lu pages are still cached", what,
			 left);
		wt_sleep_ms(1);
	}
}

/* Old data on the device and cached nowhere, but for [off, off + len). */
static int fresh_file(off_t off, size_t len)
{
	int fd = wt_make_file("file", FILE_PAGES * PAGE, 1);

	drop(fd);
	if (len) {
		/* No readahead: only these. */
		wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
		wt_expect_file(fd, off, len, 1);
		wt_check(cached(fd, 0, FILE_PAGES * PAGE) == len / PAGE,
			 "more was read than asked for");
	}
	return fd;
}

static void write_gen(enum wt_mode mode, int fd, off_t off, size_t len,
		      unsigned int gen, int flags)
{
	char *buf = wt_alloc(len);
	ssize_t ret;

	wt_pattern(buf, len, off, gen);
	ret = wt_write(mode, fd, buf, len, off, RWF_DONTCACHE | flags);
	wt_check(ret == (ssize_t)len, "%zu bytes at %lld: %zd", len,
		 (long long)off, ret);
	munmap(buf, len);
}

/* One write to a file that is not cached. */
static void nothing_before(enum wt_mode mode, off_t off, size_t len, int flags)
{
	int fd = fresh_file(0, 0);
	off_t end = off + len;

	write_gen(mode, fd, off, len, 2, flags);
	expect_dropped(mode, fd, 0, end + FILE_PAGES * PAGE, "a new folio");
	wt_expect_disk(fd, off, len, 2);
	wt_expect_file(fd, off, len, 2);
	if (off < FILE_PAGES * PAGE) {
		wt_expect_both(fd, 0, off, 1);
		if (end < FILE_PAGES * PAGE)
			wt_expect_both(fd, end, FILE_PAGES * PAGE - end, 1);
	}
	close(fd);
}

/* Some of the folios, and neighbours, were there before. */
static void some_before(enum wt_mode mode, off_t off, size_t len,
			off_t before_off, size_t before_len, int flags)
{
	int fd = fresh_file(before_off, before_len);
	off_t before_end = before_off + before_len;
	off_t end = (off + len + PAGE - 1) & -PAGE;

	write_gen(mode, fd, off, len, 2, flags);
	off &= -PAGE;
	if (off < before_off)
		expect_dropped(mode, fd, off, before_off - off, "a new folio");
	if (end > before_end)
		expect_dropped(mode, fd, before_end, end - before_end,
			       "a new folio");
	wt_check(cached(fd, 0, FILE_PAGES * PAGE) == before_len / PAGE,
		 "%lu of %lu pages stay that were there before",
		 cached(fd, 0, FILE_PAGES * PAGE), before_len / PAGE);
	wt_expect_clean(fd, before_off, before_len);
	wt_check(!wt_cache(fd, 0, FILE_PAGES * PAGE).dirty, "dirty pages");
	wt_expect_cache_is_disk(fd, 0, FILE_PAGES * PAGE);
	close(fd);
}

/* Allocates, converts, extends. */
static void allocating(enum wt_mode mode, int flags)
{
	int fd = fresh_file(0, 0);

	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 32 * PAGE, 32 * PAGE));
	wt_sys(fallocate(fd, FALLOC_FL_ZERO_RANGE, 96 * PAGE, 32 * PAGE));
	drop(fd);
	write_gen(mode, fd, 24 * PAGE, 32 * PAGE, 2, flags);
	write_gen(mode, fd, 100 * PAGE, 8 * PAGE, 2, flags);
	write_gen(mode, fd, FILE_PAGES * PAGE, 40 * PAGE + 100, 2, flags);
	expect_dropped(mode, fd, 0, 2 * FILE_PAGES * PAGE, "a new folio");
	wt_expect_both(fd, 24 * PAGE, 32 * PAGE, 2);
	wt_expect_both(fd, 56 * PAGE, 8 * PAGE, 0);
	wt_expect_both(fd, 96 * PAGE, 4 * PAGE, 0);
	wt_expect_both(fd, 100 * PAGE, 8 * PAGE, 2);
	wt_expect_both(fd, FILE_PAGES * PAGE, 40 * PAGE + 100, 2);
	close(fd);
}

/* ------------------------------------------------------ used in the middle */

static struct wt_dm dm;
static enum wt_mode the_mode;

enum use { MAPPED, READ, WRITTEN, NR_USES };

/*
 * Pages of the file. The write is aligned so that each of them is in a folio of
 * its own, however large folios get, and the pages from UNUSED on are, too.
 */
#define FIRST		17
#define UNUSED		24
#define END		32

static const off_t use_page[NR_USES] = { 17, 20, 18 };

struct shared {
	int		fd;
	volatile int	ready[NR_USES];
	volatile int	over;
};

static struct shared *shared;
static enum use the_use;
static bool the_plain;

static void use(void *arg)
{
	off_t off = use_page[the_use] * PAGE;
	int fd = shared->fd;
	char *map;

	(void)arg;
	switch (the_use) {
	case MAPPED:
		map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, off);
		wt_check(map != MAP_FAILED, "mmap");
		wt_expect_buf("mapping", map, PAGE, off, 2);
		break;
	case READ:
		wt_expect_file(fd, off, PAGE, 2);
		break;
	default:
		/* Waits for the I/O, and takes the folio over. */
		shared->ready[the_use] = 1;
		if (the_plain)
			wt_plain_gen(fd, off, PAGE, 3);
		else
			wt_write_gen(the_mode, fd, off, PAGE, 3);
		break;
	}
	shared->ready[the_use] = 1;
	while (!shared->over)
		wt_sleep_ms(5);
}

/* The writer may not have come to where it waits before: then it is to come. */
static bool all_stay(int fd)
{
	long long end = wt_now_ms() + 2000;

	while (cached(fd, use_page[MAPPED] * PAGE, PAGE) != 1 ||
	       cached(fd, use_page[WRITTEN] * PAGE, PAGE) != 1) {
		if (wt_now_ms() >= end)
			return false;
		wt_sleep_ms(1);
	}
	return true;
}

static void used_meanwhile(enum wt_mode mode, int flags, bool plain)
{
	off_t first = FIRST * PAGE, len = (END - FIRST) * PAGE;
	off_t written = use_page[WRITTEN] * PAGE;
	static struct wt_request req;
	static struct iovec iov;
	pid_t pid[NR_USES];
	unsigned int i;
	int fd;

	if (!iov.iov_len)
		iov = (struct iovec) { wt_alloc(len), len };
	shared = wt_shared(sizeof(*shared));
	fd = fresh_file(0, 0);
	wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	shared->fd = fd;
	the_mode = mode;
	the_plain = plain;
	wt_pattern(iov.iov_base, len, first, 2);
	req = (struct wt_request) {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1, .off = first,
		.flags = RWF_DONTCACHE | flags,
	};
	wt_dm_suspend(&dm);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 100), "did not wait for the device: %zd", req.res);
	for (i = 0; i < NR_USES; i++) {
		the_use = i;
		pid[i] = wt_fork(use, NULL);
		while (!shared->ready[i]) {
			wt_check(!wt_exited(pid[i], 0), "use %u ended early", i);
			wt_sleep_ms(1);
		}
	}
	/* Time for the writer to get to where it waits. */
	wt_sleep_ms(100);
	wt_dm_resume(&dm);
	wt_check(wt_wait(&req) == len, "write-through: %zd", req.res);
	expect_dropped(mode, fd, UNUSED * PAGE, (END - UNUSED) * PAGE,
		       "what nobody used");
	wt_check(all_stay(fd), "what was mapped, or written to, is gone");
	shared->over = 1;
	for (i = 0; i < NR_USES; i++)
		wt_join(pid[i]);
	/* It is as any other now: the next completion does not take it away. */
	wt_sys(fsync(fd));
	wt_check(all_stay(fd), "what was mapped, or written to, is gone later");
	wt_expect_both(fd, first, written - first, 2);
	wt_expect_both(fd, written, PAGE, 3);
	wt_expect_both(fd, written + PAGE, first + len - written - PAGE, 2);
	close(fd);
	munmap(shared, sizeof(*shared));
}

/* Two of the kind over the same pages, one behind the other. */
static void two_of_them(enum wt_mode mode)
{
	static struct wt_request req[2];
	static struct iovec iov[2];
	int fd = fresh_file(0, 0);
	unsigned int i;

	wt_dm_suspend(&dm);
	for (i = 0; i < 2; i++) {
		if (!iov[i].iov_len)
			iov[i] = (struct iovec) { wt_alloc(LEN), LEN };
		wt_pattern(iov[i].iov_base, LEN, OFF + i * PAGE, 2);
		req[i] = (struct wt_request) {
			/* The second waits for the first, before it is queued. */
			.mode = i ? WT_SYNC : mode,
			.fd = fd, .iov = &iov[i], .nr_iov = 1,
			.off = OFF + i * PAGE, .flags = RWF_DONTCACHE,
		};
		wt_check(!wt_submit(&req[i]), "submission");
		wt_check(!wt_done(&req[i], 50), "did not wait: %zd", req[i].res);
	}
	wt_dm_resume(&dm);
	for (i = 0; i < 2; i++)
		wt_check(wt_wait(&req[i]) == LEN, "write %u: %zd", i, req[i].res);
	expect_dropped(mode, fd, 0, FILE_PAGES * PAGE, "written twice");
	wt_expect_both(fd, OFF, LEN + PAGE, 2);
	close(fd);
}

/* --------------------------------------------------------------- failures */

/* A device error: the new folio goes, with the old data left on the device. */
static void device_error(enum wt_mode mode)
{
	int fd = fresh_file(OFF, LEN / 2);
	char *buf = wt_alloc(LEN);
	char injector[128];
	ssize_t ret;

	snprintf(injector, sizeof(injector),
		 "/sys/kernel/debug/block/%s/error_injection",
		 strrchr(wt_dev, '/') + 1);
	if (access(injector, W_OK)) {
		wt_note("note: no block error injection, errors are left out");
		goto out;
	}
	wt_pattern(buf, LEN, OFF, 2);
	wt_inject_data("WRITE", "IOERR");
	ret = wt_write(mode, fd, buf, LEN, OFF, RWF_DONTCACHE);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "a failing device: %zd", ret);
	expect_dropped(mode, fd, OFF + LEN / 2, LEN / 2, "a folio that failed");
	wt_check(cached(fd, OFF, LEN / 2) == LEN / 2 / (size_t)PAGE,
		 "what was there before is gone");
	wt_check(!wt_cache(fd, 0, FILE_PAGES * PAGE).dirty, "dirty pages");
	wt_expect_file(fd, OFF, LEN / 2, 2);
	wt_expect_file(fd, OFF + LEN / 2, LEN / 2, 1);
	wt_check(fsync(fd) && errno == EIO, "fsync does not tell");
out:
	close(fd);
	munmap(buf, LEN);
}

/* The source ends half way: so do the folios. */
static void short_source(enum wt_mode mode)
{
	int fd = fresh_file(0, 0);
	char *buf = wt_alloc(LEN);
	ssize_t ret;

	wt_pattern(buf, LEN / 2, OFF, 2);
	wt_sys(mprotect(buf + LEN / 2, LEN / 2, PROT_NONE));
	ret = wt_write(mode, fd, buf, LEN, OFF, RWF_DONTCACHE);
	/* io_uring goes on where it stopped, and has the error then. */
	wt_check(ret == LEN / 2 || (mode == WT_URING && ret == -EFAULT),
		 "half a source: %zd", ret);
	expect_dropped(mode, fd, 0, FILE_PAGES * PAGE, "of a short write");
	wt_expect_both(fd, OFF, LEN / 2, 2);
	wt_expect_both(fd, OFF + LEN / 2, LEN / 2, 1);
	close(fd);
	munmap(buf, LEN);
}

/* Refused because it would have to wait: as if nothing had been asked. */
static void check_refused(enum wt_mode mode)
{
	int fd = fresh_file(0, 0);
	char *buf = wt_alloc(LEN);
	ssize_t ret;

	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 OFF + LEN / 2, LEN / 2));
	drop(fd);
	wt_pattern(buf, LEN, OFF, 2);
	ret = wt_write(mode, fd, buf, LEN, OFF, RWF_DONTCACHE | RWF_NOWAIT);
	wt_check(ret == -EAGAIN, "a hole with RWF_NOWAIT: %zd", ret);
	expect_dropped(WT_SYNC, fd, 0, FILE_PAGES * PAGE, "of a refused write");
	wt_expect_both(fd, OFF, LEN / 2, 1);
	wt_expect_both(fd, OFF + LEN / 2, LEN / 2, 0);
	close(fd);
	munmap(buf, LEN);
}

/* Without the flag everything stays. */
static void without(enum wt_mode mode)
{
	int fd = fresh_file(0, 0);

	wt_write_gen(mode, fd, OFF, LEN, 2);
	wt_expect_clean(fd, OFF, LEN);
	/* Once it is an ordinary folio it is not this flag's any more. */
	write_gen(mode, fd, OFF, 2 * LEN, 3, 0);
	expect_dropped(mode, fd, OFF + LEN, LEN, "a new folio");
	wt_expect_clean(fd, OFF, LEN);
	wt_expect_both(fd, OFF, 2 * LEN, 3);
	close(fd);
}

/* ------------------------------------------------------------ beside fsync */

static volatile int *over;

static void keep_writing(void *arg)
{
	int fd = *(int *)arg;
	unsigned int i;

	for (i = 0; i < 20; i++)
		write_gen(the_mode, fd, OFF, PAGE, 2, 0);
}

static void keep_syncing(void *arg)
{
	while (!*over)
		wt_sys(fsync(*(int *)arg));
}

/*
 * Whoever finds writeback begun anew by a second writer, having waited for that of
 * the first, holds the folio until it ends; and then it is up to him to drop it.
 */
static void beside_fsync(enum wt_mode mode)
{
	unsigned int again;

	the_mode = mode;
	for (again = 0; again < 10; again++) {
		int fd = fresh_file(0, 0);
		pid_t writes[2], syncs[2];
		unsigned int i;

		*over = 0;
		for (i = 0; i < 2; i++)
			writes[i] = wt_fork(keep_writing, &fd);
		for (i = 0; i < 2; i++)
			syncs[i] = wt_fork(keep_syncing, &fd);
		for (i = 0; i < 2; i++)
			wt_join(writes[i]);
		*over = 1;
		for (i = 0; i < 2; i++)
			wt_join(syncs[i]);
		expect_dropped(WT_AIO, fd, 0, FILE_PAGES * PAGE, "beside fsync");
		close(fd);
	}
}

int main(void)
{
	static const int flags[] = { 0, RWF_DSYNC };
	enum wt_mode mode;
	unsigned int i;

	wt_start("dontcache", 280);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup(NULL, "lazytime");
	wt_for_each_mode(mode) {
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			nothing_before(mode, OFF, PAGE, flags[i]);
			nothing_before(mode, OFF, LEN, flags[i]);
			nothing_before(mode, OFF + 100, 3 * PAGE, flags[i]);
			nothing_before(mode, 0, FILE_PAGES * PAGE, flags[i]);
			nothing_before(mode, OFF + 1, 3 * MIB, flags[i]);
			/* in the middle, over an end, around, in between */
			some_before(mode, OFF, LEN, OFF, LEN / 2, flags[i]);
			some_before(mode, OFF, LEN, OFF + LEN / 2, LEN, flags[i]);
			some_before(mode, OFF, LEN, OFF + 4 * PAGE, 2 * PAGE,
				    flags[i]);
			some_before(mode, OFF, LEN, OFF - PAGE, LEN + 2 * PAGE,
				    flags[i]);
			some_before(mode, OFF + 700, LEN, OFF, PAGE, flags[i]);
			some_before(mode, 8 * PAGE, 200 * PAGE, 100 * PAGE, LEN,
				    flags[i]);
			allocating(mode, flags[i]);
			used_meanwhile(mode, flags[i], true);
			used_meanwhile(mode, flags[i], false);
		}
		two_of_them(mode);
		device_error(mode);
		short_source(mode);
		check_refused(mode);
		without(mode);
	}
	wt_umount();
	wt_dm_remove(&dm);
	/* Slow enough for fsync to find the I/O in flight. */
	wt_raw = wt_null_blk("slow", 400,
			     "irqmode=2 completion_nsec=3000000");
	wt_dev = wt_raw;
	wt_setup(NULL, "lazytime");
	over = wt_shared(sizeof(*over));
	wt_for_each_mode(mode)
		beside_fsync(mode);
	wt_finish();
}
