// SPDX-License-Identifier: GPL-2.0
/*
 * Several blocks in one page: those that the write-through does not touch stay
 * as they are, dirty ones dirty and not written. Nobody but the test writes
 * anything back meanwhile.
 *
 * Mutant: 012-whole-folio-cleaned
 * lab: --disk 600M
 */
#include "wt.h"

static void one(enum wt_mode mode, off_t off, size_t len)
{
	off_t first = off / wt_bsize * wt_bsize, end = off + len;
	off_t last = (end + wt_bsize - 1) / wt_bsize * wt_bsize;
	off_t from = off & ~(off_t)(wt_psize - 1);
	off_t to = (end + wt_psize - 1) & ~(off_t)(wt_psize - 1);
	/* in folios of a page each: it is pages that can be counted */
	int fd = wt_make_pages("file", 64 * KIB, 1);

	wt_plain_gen(fd, from, to - from, 2);
	wt_write_gen(mode, fd, off, len, 3);

	/* On the device the blocks of the write, whole, and no other. */
	wt_expect_disk(fd, from, first - from, 1);
	wt_expect_disk(fd, first, off - first, 2);
	wt_expect_disk(fd, off, len, 3);
	wt_expect_disk(fd, end, last - end, 2);
	wt_expect_disk(fd, last, to - last, 1);
	wt_expect_file(fd, from, off - from, 2);
	wt_expect_file(fd, off, len, 3);
	wt_expect_file(fd, end, to - end, 2);
	wt_check(wt_cache(fd, from, to - from).dirty ==
		 (unsigned long)(first > from) + (last < to) -
		 (first > from && last < to && to - from == wt_psize),
		 "wrong number of dirty pages: %lu",
		 wt_cache(fd, from, to - from).dirty);

	wt_sys(fsync(fd));
	wt_expect_clean(fd, from, to - from);
	wt_expect_both(fd, from, off - from, 2);
	wt_expect_both(fd, off, len, 3);
	wt_expect_both(fd, end, to - end, 2);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("neighbours", 60);
	wt_need_writethrough();
	wt_setup("-b size=1024", NULL);
	wt_for_each_mode(mode) {
		off_t page = 4 * wt_psize;

		one(mode, page, 1024);
		one(mode, page + 1024, 1024);
		one(mode, page + 1024, 2048);
		one(mode, page + wt_psize - 1024, 1024);
		one(mode, page + 1024 + 100, 200);
		one(mode, page + wt_psize - 1024, 2048);
		one(mode, page + wt_psize - 1024, 2048 + wt_psize);
		one(mode, page, wt_psize);
	}
	wt_finish();
}
