// SPDX-License-Identifier: GPL-2.0
/*
 * A write-through to a shared extent goes to new blocks; the clone keeps what
 * it had, in its cache and on the device.
 *
 * Mutant: 010-shared-overwritten
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(512 * KIB)

static void check(int src, int clone, off_t off, size_t len)
{
	off_t end = off + len;

	wt_expect_both(clone, 0, FILE_SIZE, 1);
	wt_expect_both(src, 0, off, 1);
	wt_expect_both(src, off, len, 2);
	wt_expect_both(src, end, FILE_SIZE - end, 1);
}

static void one(enum wt_mode mode, off_t off, size_t len, bool warm)
{
	int src = wt_make_file("src", FILE_SIZE, 1);
	int clone = wt_open("clone", O_RDWR | O_TRUNC);
	bool shared;

	wt_check(!wt_clone(src, 0, 0, clone, 0), "clone: %s", strerror(errno));
	wt_check(wt_physical(src, off, &shared) > 0 && shared, "not shared");
	if (!warm) {
		close(src);
		close(clone);
		wt_drop_caches();
		src = wt_open("src", O_RDWR);
		clone = wt_open("clone", O_RDWR);
	}
	wt_write_gen(mode, src, off, len, 2);
	wt_expect_clean(src, off, len);
	check(src, clone, off, len);
	wt_check(wt_physical(src, off, &shared) > 0 && !shared,
		 "still shared after the write");

	/* Once more into what is its own by now, then into the clone. */
	wt_write_gen(mode, src, off, len, 2);
	check(src, clone, off, len);
	close(src);
	close(clone);
	wt_crash();
	src = wt_open("src", O_RDWR);
	clone = wt_open("clone", O_RDWR);
	check(src, clone, off, len);
	wt_write_gen(mode, clone, 0, FILE_SIZE, 3);
	wt_expect_both(clone, 0, FILE_SIZE, 3);
	wt_expect_both(src, 0, off, 1);
	wt_expect_both(src, off, len, 2);
	close(src);
	close(clone);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("reflink", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 64 * KIB, wt_bsize, true);
		one(mode, 64 * KIB, 128 * KIB, false);
		one(mode, 64 * KIB + 100, 200, false);
		one(mode, 64 * KIB + 100, 70001, true);
		one(mode, 0, FILE_SIZE, false);
	}
	wt_finish();
}
