// SPDX-License-Identifier: GPL-2.0
/*
 * A file opened O_DIRECT takes the flag: direct I/O is write-through already.
 * Where XFS falls back to a buffered write (part of a shared block), that one
 * is a write-through.
 *
 * Mutant: 031-fallback-plain
 * lab: --disk 600M
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)

static void one(enum wt_mode mode, off_t off, size_t len, bool shared)
{
	int fd = wt_make_file("file", FILE_SIZE, 1), direct, clone;
	char *buf = wt_alloc(len);
	ssize_t ret;

	clone = wt_open("clone", O_RDWR | O_TRUNC);
	if (shared)
		wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone");
	direct = wt_open("file", O_RDWR | O_DIRECT);
	wt_pattern(buf, len, off, 2);
	ret = wt_write(mode, direct, buf, len, off, 0);
	wt_check(ret == (ssize_t)len, "%s, %s: %zu at %lld: %zd",
		 wt_mode_name[mode], shared ? "shared" : "own", len,
		 (long long)off, ret);
	wt_expect_disk(fd, 0, off, 1);
	wt_expect_disk(fd, off, len, 2);
	wt_expect_disk(fd, off + len, FILE_SIZE - off - len, 1);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, len, 2);
	wt_expect_file(fd, off + len, FILE_SIZE - off - len, 1);
	if (shared)
		wt_expect_both(clone, 0, FILE_SIZE, 1);
	/* Misaligned for the device: refused, as without the flag. */
	ret = wt_write(mode, direct, buf, len, off + 1, 0);
	wt_check(ret == -EINVAL, "misaligned: %zd", ret);
	close(direct);
	close(clone);
	close(fd);
	munmap(buf, len);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("direct_file", 30);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 64 * KIB, 4096, false);
		one(mode, 64 * KIB, 64 * KIB, false);
		one(mode, 64 * KIB + 512, 1024, false);
		one(mode, 64 * KIB, 4096, true);
		one(mode, 64 * KIB + 512, 1024, true);
		one(mode, 64 * KIB + 512, 16 * KIB, true);
	}
	wt_finish();
}
