// SPDX-License-Identifier: GPL-2.0
/*
 * RWF_ATOMIC is refused for what it is refused for with direct I/O, by the same
 * error: each size, offset and vector, with and without a device and a file
 * system that can do it. Two rows differ, and say so: a position that
 * RWF_APPEND has chosen, and a length that a limit has cut, are checked again.
 * Without RWF_WRITETHROUGH a buffered write is refused as ever. What is refused
 * leaves everything as it was.
 *
 * Mutant: 152-atomic-not-checked-again
 * lab: --disk 600M --scsi-debug dev_size_mb=320 --append scsi_debug.atomic_wr=1 --timeout 960
 * blocks: 1024
 */
#include "wt.h"
#include <signal.h>
#include <sys/resource.h>

#define FILE_SIZE	(512 * KIB)

static size_t min, max;
static bool one_block;		/* no more than that, by the device */
static char *buf;
static enum wt_mode mode;

struct row {
	const char	*what;
	off_t		off;
	size_t		len;
	unsigned int	nr;		/* vectors, of @len together */
	int		flags;
	off_t		size;		/* of the file, FILE_SIZE if 0 */
	off_t		limit;		/* RLIMIT_FSIZE, or 0 */
	ssize_t		own;		/* answer where direct I/O has another */
};

static ssize_t call(int fd, const struct row *row, bool plain)
{
	struct iovec iov[4];
	struct wt_request req = {
		.mode	= mode,
		.fd	= fd,
		.iov	= iov,
		.nr_iov	= row->nr ? row->nr : 1,
		.off	= row->off,
		.flags	= row->flags | RWF_ATOMIC,
		.plain	= plain,
	};
	struct rlimit limit, saved;
	ssize_t ret;
	int i;

	for (i = 0; i < req.nr_iov; i++) {
		iov[i].iov_len = row->len / req.nr_iov;
		iov[i].iov_base = buf + i * iov[i].iov_len;
	}
	wt_sys(getrlimit(RLIMIT_FSIZE, &saved));
	limit = saved;
	if (row->limit) {
		limit.rlim_cur = row->limit;
		wt_sys(setrlimit(RLIMIT_FSIZE, &limit));
	}
	/* pwritev2() in a process of its own, which ignores SIGXFSZ. */
	ret = wt_submit(&req);
	/* A worker of io_uring may have it only now. */
	if (!ret)
		ret = wt_wait(&req);
	wt_sys(setrlimit(RLIMIT_FSIZE, &saved));
	return ret;
}

/* One row, direct, through, and plain. */
static void one(const struct row *row)
{
	off_t size = row->size ? row->size : FILE_SIZE;
	int fd = wt_make_file("file", size, 1), direct;
	bool append = row->flags & RWF_APPEND;
	off_t at = append ? size : row->off;
	ssize_t want, got;

	/*
	 * A direct append that is not aligned fails an assertion of XFS where
	 * there is no way to stage it, instead of being checked again.
	 */
	if (row->own && one_block) {
		want = row->own;
	} else {
		direct = wt_open("file", O_RDWR | O_DIRECT);
		want = call(direct, row, true);
		close(direct);
	}
	close(fd);

	fd = wt_make_file("file", size, 1);
	wt_pattern(buf, row->len, at, 2);
	got = call(fd, row, false);
	if (row->own && want != -EOPNOTSUPP)
		want = row->own;
	wt_check(got == want, "%s, %s (%zu bytes at %lld): %zd, not %zd",
		 wt_mode_name[mode], row->what, row->len, (long long)row->off,
		 got, want);
	wt_check(got < 0 || got == (ssize_t)row->len, "%s: a short count of %zd",
		 row->what, got);
	wt_check(!wt_cache(fd, 0, size + row->len).dirty, "%s: dirty pages",
		 row->what);
	if (got > 0) {
		wt_expect_both(fd, at, got, 2);
	} else {
		wt_expect_both(fd, 0, size, 1);
		wt_check(lseek(fd, 0, SEEK_END) == size, "%s: the size is %lld",
			 row->what, (long long)lseek(fd, 0, SEEK_END));
	}

	got = call(fd, row, true);
	wt_check(got == -EOPNOTSUPP || (got == -EINVAL && want == -EINVAL),
		 "%s, buffered, without write-through: %zd", row->what, got);
	close(fd);
}

static void table(void)
{
	const struct row rows[] = {
		{ "the smallest", min, min },
		{ "twice that", 2 * min, 2 * min },
		{ "the largest", 0, max },
		{ "the largest, behind the end", max, max },
		{ "too large", 0, 2 * max },
		{ "too small", 0, min / 2 },
		{ "a byte", 0, 1 },
		{ "three blocks", 0, 3 * min },
		{ "a byte too many", 0, min + 1 },
		{ "a byte too few", 0, 2 * min - 1 },
		{ "not aligned to its length", min, 2 * min },
		{ "not aligned to a block", min / 2, min },
		{ "an odd position", 1, min },
		{ "two vectors", 0, 2 * min, .nr = 2 },
		{ "four vectors", 0, 4 * min, .nr = 4 },
		{ "APPEND", 0, min, .flags = RWF_APPEND },
		{ "APPEND, larger", 0, 2 * min, .flags = RWF_APPEND },
		{ "APPEND, given position is odd", 1, min,
		  .flags = RWF_APPEND },
		{ "APPEND, not aligned to its length", 0, 2 * min,
		  .flags = RWF_APPEND, .size = 5 * min, .own = -EINVAL },
		{ "APPEND, not aligned to a block", 0, min,
		  .flags = RWF_APPEND, .size = 5 * min + 100,
		  .own = -EINVAL },
		{ "below the limit", 0, 2 * min, .limit = 2 * min },
		{ "over the limit", 2 * min, 2 * min, .limit = 2 * min },
		{ "half over the limit", 0, 2 * min, .limit = min,
		  .own = -EINVAL },
		{ "partly over the limit", 0, 2 * min, .limit = min + 100,
		  .own = -EINVAL },
		{ "DSYNC", 0, min, .flags = RWF_DSYNC },
		{ "NOSIGNAL", 0, min, .flags = RWF_NOSIGNAL },
		{ "both appends", 0, min,
		  .flags = RWF_APPEND | RWF_NOAPPEND },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].len)
			one(&rows[i]);
}

/* The file ends in the range: only if the size can be changed with the blocks. */
static void over_end(void)
{
	int fd = wt_make_file("file", 3 * min + min / 2, 1);
	ssize_t ret;

	wt_sys(fsync(fd));
	wt_pattern(buf, min, 3 * min, 2);
	ret = wt_write(mode, fd, buf, min, 3 * min, RWF_ATOMIC);
	wt_check(ret == (one_block ? -EINVAL : (ssize_t)min),
		 "over the end of the file: %zd", ret);
	wt_check(lseek(fd, 0, SEEK_END) ==
		 (off_t)(one_block ? 3 * min + min / 2 : 4 * min), "the size");
	wt_expect_both(fd, 3 * min, min / 2, one_block ? 1 : 2);

	/* into a hole: the block is zeros until both have changed */
	wt_sys(ftruncate(fd, 0));
	wt_sys(ftruncate(fd, 3 * min + min / 2));
	wt_sys(fsync(fd));
	ret = wt_write(mode, fd, buf, min, 3 * min, RWF_ATOMIC);
	wt_check(ret == (ssize_t)min, "over the end of a hole: %zd", ret);
	wt_check(lseek(fd, 0, SEEK_END) == 4 * (off_t)min, "the size");
	wt_expect_both(fd, 0, 3 * min, 0);
	wt_expect_both(fd, 3 * min, min, 2);
	close(fd);
}

static void on(const char *dev, const char *mkfs, bool any)
{
	int fd;

	wt_raw = dev;
	wt_dev = wt_raw;
	wt_setup(mkfs, NULL);
	fd = wt_make_file("file", FILE_SIZE, 1);
	wt_atomic_limits(fd, &min, &max);
	close(fd);
	wt_note("note: %s%s: %zu to %zu bytes", dev, mkfs ? mkfs : "", min, max);
	wt_check(!!min == any, "statx: atomic writes from %zu bytes", min);
	one_block = any && min == max;
	if (!any) {
		max = wt_bsize;
		min = max;
	}
	buf = wt_alloc(2 * max + 8 * min);
	wt_for_each_mode(mode) {
		table();
		if (any)
			over_end();
	}
	munmap(buf, 2 * max + 8 * min);
	wt_umount();
	wt_repair_check();
}

int main(void)
{
	const char *plain;

	wt_start("atomic_valid", 900);
	wt_need_writethrough();
	signal(SIGXFSZ, SIG_IGN);
	plain = wt_dev;
	on(plain, NULL, true);
	on(plain, " -m reflink=0", false);
	if (wt_scsi_debug()) {
		on(wt_scsi_debug(), NULL, true);
		on(wt_scsi_debug(), " -m reflink=0", true);
	} else {
		wt_note("note: no scsi_debug disk");
	}
	wt_finish();
}
