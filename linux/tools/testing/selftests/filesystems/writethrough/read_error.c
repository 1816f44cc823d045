// SPDX-License-Identifier: GPL-2.0
/*
 * A block of which only a part is written has to be read first, and cannot be:
 * the error comes before the copy, and nothing has changed. If whole blocks
 * come before it, they count.
 *
 * Mutant: 043-read-error-ignored
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)

/* The bad block is that at @bad. */
static void one(enum wt_mode mode, off_t bad, off_t off, size_t len,
		size_t expected)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	off_t at = wt_physical(fd, bad, NULL);
	char *buf = wt_alloc(len);
	ssize_t ret, good;

	close(fd);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	wt_inject(wt_dev, "READ", at >> 9, wt_bsize >> 9, "IOERR");
	wt_pattern(buf, len, off, 2);
	ret = wt_write(mode, fd, buf, len, off, 0);
	wt_inject_clear(wt_dev);
	wt_check(expected ? ret == (ssize_t)expected : ret == -EIO,
		 "%zu bytes at %lld, bad block at %lld: %zd", len,
		 (long long)off, (long long)bad, ret);
	good = ret < 0 ? 0 : ret;
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_expect_both(fd, 0, off, 1);
	wt_expect_both(fd, off, good, 2);
	wt_expect_both(fd, off + good, FILE_SIZE - off - good, 1);
	wt_sys(fsync(fd));
	wt_write_gen(mode, fd, off, len, 3);
	wt_expect_both(fd, off, len, 3);
	wt_expect_both(fd, off + len, FILE_SIZE - off - len, 1);
	close(fd);
	munmap(buf, len);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("read_error", 30);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		off_t p = 64 * KIB;

		one(mode, p, p + 100, 200, 0);
		one(mode, p, p + 100, 2 * wt_psize, 0);
		/* Nothing of the bad block is kept: no need to read it. */
		one(mode, p, p, wt_bsize, wt_bsize);
		one(mode, p + 4 * wt_psize, p, 4 * wt_psize + 100,
		    4 * wt_psize);
	}
	wt_finish();
}
