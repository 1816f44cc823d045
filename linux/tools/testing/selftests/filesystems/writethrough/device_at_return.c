// SPDX-License-Identifier: GPL-2.0
/*
 * When a write-through returns, the device has its data, and the cache has it
 * too, clean. What it did not write stays as it was.
 *
 * Mutant: 002-left-dirty
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(2 * MIB)

static void one(enum wt_mode mode, int fd, off_t off, size_t len)
{
	static unsigned int gen = 1;
	off_t before = off & ~4095L;
	off_t end = off + len, after = (end + 4095) & ~4095L;

	/* The surroundings are of generation 1, on the device and cached. */
	wt_plain_gen(fd, 0, FILE_SIZE, 1);
	wt_sys(fsync(fd));
	gen++;
	wt_write_gen(mode, fd, off, len, gen);
	wt_expect_clean(fd, off, len);
	wt_expect_disk(fd, off, len, gen);
	wt_expect_disk(fd, before, off - before, 1);
	wt_expect_disk(fd, end, after - end, 1);
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, len, gen);
	wt_expect_file(fd, end, FILE_SIZE - end, 1);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("device_at_return", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		int fd = wt_make_file("file", FILE_SIZE, 1);

		one(mode, fd, 4096, wt_bsize);
		one(mode, fd, 8192 + wt_bsize, 3 * wt_bsize);
		one(mode, fd, 64 * KIB, 64 * KIB);
		one(mode, fd, 128 * KIB, MIB + wt_bsize);
		one(mode, fd, 4096 + 512, 512);
		one(mode, fd, 3 * 4096 + 7, 1);
		one(mode, fd, 5 * 4096 - 1, 2);
		one(mode, fd, 100001, 300003);

		/* Nothing was left to do for anybody else. */
		wt_drop_caches();
		wt_expect_file(fd, 0, 100001, 1);
		wt_expect_file(fd, 400004, FILE_SIZE - 400004, 1);
		close(fd);
	}
	wt_finish();
}
