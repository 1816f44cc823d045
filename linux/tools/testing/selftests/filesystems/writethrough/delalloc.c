// SPDX-License-Identifier: GPL-2.0
/*
 * A write-through in the middle of space that plain writes have reserved but
 * not allocated: its blocks are allocated and written, the others keep their
 * data, dirty, and reach the device by normal writeback.
 *
 * Mutant: 007-delalloc-taken-for-real
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(64 * (off_t)wt_unit)
#define OFF		(16 * (off_t)wt_unit)

static void one(enum wt_mode mode, off_t off, size_t len, bool crash,
		bool pages)
{
	off_t end = off + len;
	off_t first = off & ~(off_t)(wt_unit - 1);
	off_t last = (end + wt_unit - 1) & ~(off_t)(wt_unit - 1);
	int fd = wt_open("file", O_RDWR | O_TRUNC);

	if (pages)
		wt_pages_gen(fd, 0, FILE_SIZE, 1);
	else
		wt_plain_gen(fd, 0, FILE_SIZE, 1);
	wt_check(wt_backing(fd, off) == WT_DELALLOC, "extent is not delayed");
	wt_write_gen(mode, fd, off, len, 2);
	wt_expect_disk(fd, off, len, 2);
	if (pages)
		wt_expect_clean(fd, off, len);
	wt_check(wt_cache(fd, 0, first).dirty ==
		 (unsigned long)first / wt_psize,
		 "pages before the write are not all dirty");
	wt_check(wt_cache(fd, last, FILE_SIZE - last).dirty ==
		 (unsigned long)(FILE_SIZE - last) / wt_psize,
		 "pages behind the write are not all dirty");
	wt_check(!wt_disk_has(fd, 0, wt_bsize, 1), "the neighbour was written");
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, len, 2);
	wt_expect_file(fd, end, FILE_SIZE - end, 1);
	if (crash) {
		close(fd);
		wt_crash();
		fd = wt_open("file", O_RDWR);
		wt_expect_file(fd, 0, first, 0);
		wt_expect_file(fd, off, len, 2);
	} else {
		wt_sys(fsync(fd));
		wt_expect_both(fd, 0, off, 1);
		wt_expect_both(fd, off, len, 2);
		wt_expect_both(fd, end, FILE_SIZE - end, 1);
	}
	close(fd);
}

int main(void)
{
	enum wt_mode mode;
	int pages;

	wt_start("delalloc", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		/* in folios of a page each, and as large as they get */
		for (pages = 0; pages < 2; pages++) {
			one(mode, OFF, wt_unit, false, pages);
			one(mode, OFF, OFF, false, pages);
			one(mode, OFF, OFF, true, pages);
			/* a part of a block: the block is written whole */
			if (wt_bsize == wt_unit)
				one(mode, OFF + 100, 200, false, pages);
		}
	}
	wt_finish();
}
