// SPDX-License-Identifier: GPL-2.0
/*
 * The block at the end of the file may carry bytes that a plain append left
 * in memory. A write-through to another part of that block writes them too;
 * the size that makes them visible must reach the device with them, or a
 * clean page would stand above a size that nobody writes any more.
 *
 * Mutant: 004-end-pos-from-write
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

static void check(const char *name, off_t old, off_t size, off_t off, size_t len)
{
	int fd = wt_open(name, O_RDWR);
	struct stat st;

	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == size, "%s: size %lld, expected %lld", name,
		 (long long)st.st_size, (long long)size);
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, len, 3);
	wt_expect_file(fd, off + len, old - off - len, 1);
	wt_expect_file(fd, old, size - old, 2);
	close(fd);
}

static void one(enum wt_mode mode, bool crash)
{
	off_t start = 8 * wt_bsize, old = start + 500, size = start + 700;
	int fd = wt_make_file("file", old, 1);

	wt_plain_gen(fd, old, size - old, 2);
	wt_write_gen(mode, fd, start + 100, 50, 3);
	wt_expect_clean(fd, start, 700);
	wt_expect_disk(fd, old, size - old, 2);
	wt_expect_disk(fd, size, start + wt_bsize - size, 0);
	close(fd);
	wt_drop_caches();
	check("file", old, size, start + 100, 50);
	if (crash)
		wt_crash();
	else
		wt_cycle();
	check("file", old, size, start + 100, 50);
	wt_sys(unlink(wt_path("file")));
}

/* The append began in an earlier block, whose page stays dirty. */
static void longer(enum wt_mode mode)
{
	off_t page = 16 * wt_unit, size = page + 2 * wt_unit + 300;
	int fd = wt_make_file("file", page, 1);
	struct stat st;

	wt_plain_gen(fd, page, size - page, 2);
	wt_write_gen(mode, fd, size - 200, 100, 3);
	wt_expect_disk(fd, size - 100, 100, 2);
	wt_check(wt_cache(fd, page, wt_unit).dirty == wt_unit / wt_psize,
		 "the first page of the append is not dirty");
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == size, "size %lld, expected %lld",
		 (long long)st.st_size, (long long)size);
	wt_expect_file(fd, 0, page, 1);
	wt_expect_file(fd, page, wt_unit, 0);	/* was not written: zeros */
	wt_expect_file(fd, size - 200, 100, 3);
	wt_expect_file(fd, size - 100, 100, 2);
	close(fd);
	wt_sys(unlink(wt_path("file")));
}

int main(void)
{
	enum wt_mode mode;

	wt_start("eof_append", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, false);
		one(mode, true);
		longer(mode);
	}
	wt_finish();
}
