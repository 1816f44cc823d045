// SPDX-License-Identifier: GPL-2.0
/*
 * A write-through into a hole allocates what it needs, zeros the rest of the
 * blocks, and leaves the hole around them a hole.
 *
 * Mutant: 006-no-conversion
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1 * MIB)

static void check(int fd, off_t off, size_t len)
{
	off_t end = off + len;
	off_t first = off / wt_bsize * wt_bsize;
	off_t last = (end + wt_bsize - 1) / wt_bsize * wt_bsize;

	wt_expect_disk(fd, first, off - first, 0);
	wt_expect_disk(fd, off, len, 2);
	wt_expect_disk(fd, end, last - end, 0);
	wt_check(wt_backing(fd, first) == WT_WRITTEN, "start not written");
	wt_check(wt_backing(fd, last - 1) == WT_WRITTEN, "end not written");
	wt_check(wt_backing(fd, 0) != WT_WRITTEN, "block before was written");
	wt_check(wt_backing(fd, last) != WT_WRITTEN, "block behind was written");
	wt_expect_file(fd, 0, off, 0);
	wt_expect_file(fd, off, len, 2);
	wt_expect_file(fd, end, FILE_SIZE - end, 0);
}

static void one(enum wt_mode mode, off_t off, size_t len)
{
	int fd = wt_open("file", O_RDWR | O_TRUNC);

	wt_sys(ftruncate(fd, FILE_SIZE));
	wt_write_gen(mode, fd, off, len, 2);
	wt_expect_clean(fd, off, len);
	check(fd, off, len);
	close(fd);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	check(fd, off, len);
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	check(fd, off, len);
	close(fd);
}

/* Extents and holes by turns under one write. */
static void comb(enum wt_mode mode)
{
	int fd = wt_open("comb", O_RDWR | O_TRUNC);
	off_t off;

	wt_sys(ftruncate(fd, FILE_SIZE));
	for (off = 0; off < FILE_SIZE; off += 8 * wt_bsize)
		wt_plain_gen(fd, off, 4 * wt_bsize, 1);
	wt_sys(fsync(fd));
	wt_write_gen(mode, fd, wt_bsize, FILE_SIZE - 2 * wt_bsize, 2);
	wt_expect_clean(fd, wt_bsize, FILE_SIZE - 2 * wt_bsize);
	wt_expect_both(fd, 0, wt_bsize, 1);
	wt_expect_both(fd, wt_bsize, FILE_SIZE - 2 * wt_bsize, 2);
	wt_expect_both(fd, FILE_SIZE - wt_bsize, wt_bsize, 0);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("holes", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 64 * KIB, wt_bsize);
		one(mode, 64 * KIB, 256 * KIB);
		one(mode, 64 * KIB + 100, 200);
		one(mode, 64 * KIB + 100, 70001);
		comb(mode);
	}
	wt_finish();
}
