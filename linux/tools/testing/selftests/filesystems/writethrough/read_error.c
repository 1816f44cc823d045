// SPDX-License-Identifier: GPL-2.0
/*
 * A block of which only a part is written has to be read first, and cannot be:
 * the error comes before the copy, and nothing has changed. If whole blocks
 * come before it, they count. The same if it is the list of extents, which has to
 * be read the first time that it is needed.
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

/* Of so many extents that they are in blocks of their own. */
static void extents(enum wt_mode mode)
{
	int fd = wt_open("many", O_RDWR | O_TRUNC), i;
	char *buf = wt_alloc(wt_psize);
	ssize_t ret;

	wt_plain_gen(fd, 0, 2 * FILE_SIZE, 1);
	wt_sys(fsync(fd));
	for (i = 1; i < 2 * FILE_SIZE / wt_psize; i += 2)
		wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 i * wt_psize, wt_psize));
	wt_sys(fsync(fd));
	close(fd);
	wt_umount();
	wt_mount(NULL);

	fd = wt_open("many", O_RDWR);
	wt_pattern(buf, wt_psize, 0, 2);
	wt_inject(wt_dev, "READ", 0, 0, "IOERR");
	ret = wt_write(mode, fd, buf, wt_psize, 0, 0);
	wt_check(ret == -EIO, "in place, but where? %zd", ret);
	ret = wt_write(mode, fd, buf, wt_psize, wt_psize, 0);
	wt_check(ret == -EIO, "a hole, but who knows? %zd", ret);
	wt_inject_clear(wt_dev);
	wt_check(!wt_cache(fd, 0, 2 * FILE_SIZE).dirty, "dirty pages");
	wt_expect_both(fd, 0, wt_psize, 1);
	wt_expect_both(fd, wt_psize, wt_psize, 0);
	wt_write_gen(mode, fd, 0, 2 * wt_psize, 3);
	wt_expect_both(fd, 0, 2 * wt_psize, 3);
	close(fd);
	munmap(buf, wt_psize);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("read_error", 100);
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
		extents(mode);
	}
	wt_finish();
}
