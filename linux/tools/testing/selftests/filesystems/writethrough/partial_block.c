// SPDX-License-Identifier: GPL-2.0
/*
 * A write of part of a block that is not cached keeps the rest of the block,
 * which it has to read first. One of whole blocks reads nothing.
 *
 * Mutant: 003-partial-not-read
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1 * MIB)

static void one(enum wt_mode mode, off_t off, size_t len)
{
	off_t end = off + len;
	int fd = wt_make_file("file", FILE_SIZE, 1);

	/* Cold: neither the page nor the inode's state is in memory. */
	close(fd);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).cached, "the cache is not cold");
	wt_write_gen(mode, fd, off, len, 2);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages are left");
	wt_expect_disk(fd, 0, off, 1);
	wt_expect_disk(fd, off, len, 2);
	wt_expect_disk(fd, end, FILE_SIZE - end, 1);
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, len, 2);
	wt_expect_file(fd, end, FILE_SIZE - end, 1);

	/* The same bytes again, the block cached now. */
	wt_write_gen(mode, fd, off, len, 3);
	wt_expect_disk(fd, 0, off, 1);
	wt_expect_disk(fd, off, len, 3);
	wt_expect_disk(fd, end, FILE_SIZE - end, 1);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("partial_block", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		off_t b = wt_bsize;

		one(mode, 4 * b + 100, 200);	/* the middle */
		one(mode, 4 * b, 1);		/* the first byte */
		one(mode, 5 * b - 1, 1);	/* the last */
		one(mode, 4 * b + 300, b);	/* parts of two */
		one(mode, 4 * b + 300, 3 * b);	/* with whole ones between */
		one(mode, 4 * b, b + 17);	/* one end only */
		one(mode, 4 * b + 17, b - 17);
		one(mode, 64 * KIB - 5, 10);	/* two pages */
	}
	wt_finish();
}
