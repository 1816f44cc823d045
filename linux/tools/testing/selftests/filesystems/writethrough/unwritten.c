// SPDX-License-Identifier: GPL-2.0
/*
 * A write-through into preallocated space converts exactly the blocks it
 * wrote, before it returns.
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

	wt_check(wt_backing(fd, first) == WT_WRITTEN, "start not converted");
	wt_check(wt_backing(fd, last - 1) == WT_WRITTEN, "end not converted");
	wt_check(wt_backing(fd, first - 1) == WT_UNWRITTEN,
		 "the block before is no longer unwritten");
	wt_check(wt_backing(fd, last) == WT_UNWRITTEN,
		 "the block behind is no longer unwritten");
	wt_expect_both(fd, 0, off, 0);
	wt_expect_both(fd, off, len, 2);
	wt_expect_both(fd, end, FILE_SIZE - end, 0);
}

static void one(enum wt_mode mode, off_t off, size_t len)
{
	int fd = wt_open("file", O_RDWR | O_TRUNC);

	wt_sys(fallocate(fd, 0, 0, FILE_SIZE));
	wt_write_gen(mode, fd, off, len, 2);
	wt_expect_clean(fd, off, len);
	check(fd, off, len);
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	check(fd, off, len);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("unwritten", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 64 * KIB, wt_bsize);
		one(mode, 64 * KIB, 256 * KIB);
		one(mode, 64 * KIB + 100, 200);
		one(mode, 64 * KIB + 100, 70001);
	}
	wt_finish();
}
