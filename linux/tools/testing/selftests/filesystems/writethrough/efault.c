// SPDX-License-Identifier: GPL-2.0
/*
 * User memory ends half way: a short count, exactly that much written through,
 * the rest of the file as it was; EFAULT if it was nothing. In a vector the
 * count goes on from where the copy stopped, not from where the page began.
 *
 * Mutant: 017-iov-not-reverted
 * Mutant: 018-short-copy-counted
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"
#include <sys/stat.h>

#define FILE_SIZE	(256 * KIB)

static char *mem;		/* eight good pages, then a bad one */
static size_t good;

/* @len bytes of which the last @bad are not there. */
static void one(enum wt_mode mode, off_t off, size_t len, size_t bad, bool warm,
		bool hole)
{
	char *buf = mem + good - (len - bad);
	unsigned int old = hole ? 0 : 1;
	size_t some = len - bad;
	struct stat st;
	ssize_t ret;
	int fd;

	if (hole) {
		fd = wt_open("file", O_RDWR | O_TRUNC);
		wt_sys(ftruncate(fd, FILE_SIZE));
	} else {
		fd = wt_make_file("file", FILE_SIZE, 1);
	}
	if (!warm) {
		close(fd);
		wt_drop_caches();
		fd = wt_open("file", O_RDWR);
	}
	wt_pattern(buf, some, off, 2);
	ret = wt_write(mode, fd, buf, len, off, 0);
	if (!some) {
		wt_check(ret == -EFAULT, "no memory at all: %zd", ret);
		ret = 0;
	}
	/* Into a block that has to be read first, a bit less may count. */
	wt_check(ret >= 0 && ret <= (ssize_t)some,
		 "%zu of %zu bytes are there: %zd", some, len, ret);
	if (some)
		wt_check(ret > 0 && ret > (ssize_t)(some - wt_psize),
			 "%zu of %zu bytes are there: only %zd", some, len, ret);
	if (warm)
		wt_check(ret == (ssize_t)some, "%zu bytes into cached blocks: %zd",
			 some, ret);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_expect_both(fd, 0, off, old);
	wt_expect_both(fd, off, ret, 2);
	wt_expect_both(fd, off + ret, FILE_SIZE - off - ret, old);
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == FILE_SIZE, "the size changed");
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	wt_expect_file(fd, 0, off, old);
	wt_expect_file(fd, off, ret, 2);
	wt_expect_file(fd, off + ret, FILE_SIZE - off - ret, old);
	close(fd);
}

static void check_extending(enum wt_mode mode)
{
	int fd = wt_make_file("file", 8192, 1);
	struct stat st;
	ssize_t ret;

	wt_pattern(mem, good, 8192, 2);
	ret = wt_write(mode, fd, mem, good + wt_psize, 8192, 0);
	wt_check(ret > 0 && ret <= (ssize_t)good, "extending: %zd", ret);
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == 8192 + ret, "size %lld after %zd bytes",
		 (long long)st.st_size, ret);
	wt_expect_both(fd, 0, 8192, 1);
	wt_expect_both(fd, 8192, ret, 2);
	ret = wt_write(mode, fd, mem + good, wt_psize, st.st_size, 0);
	wt_check(ret == -EFAULT, "extending, nothing there: %zd", ret);
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size <= 8192 + (off_t)good, "size grew by nothing");
	close(fd);
}

static void vectors(enum wt_mode mode)
{
	off_t off = wt_psize / 2;
	struct iovec iov[] = {
		{ mem, 100 },
		{ mem + 4096, 3000 },
		{ mem + good, 50 },
		{ mem, 100 },
	};
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret;

	wt_pattern(mem, 100, off, 2);
	wt_pattern(mem + 4096, 3000, off + 100, 2);
	ret = wt_writev(mode, fd, iov, 4, off, 0);
	wt_check(ret == 3100, "vector with a hole behind 3100 bytes: %zd", ret);
	wt_expect_both(fd, 0, off, 1);
	wt_expect_both(fd, off, 3100, 2);
	wt_expect_both(fd, off + 3100, FILE_SIZE - off - 3100, 1);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;
	int warm;

	wt_start("efault", 60);
	wt_need_writethrough();
	good = 8 * wt_psize;
	mem = wt_alloc(good + wt_psize);
	wt_sys(mprotect(mem + good, wt_psize, PROT_NONE));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		for (warm = 0; warm < 2; warm++) {
			one(mode, 8192, 4 * wt_psize, wt_psize, warm, false);
			one(mode, 8192, wt_psize, wt_psize, warm, false);
			one(mode, 8192 + wt_psize / 2, 2 * wt_psize, wt_psize,
			    warm, false);
			one(mode, 8192 + 100, 4 * wt_psize, 2 * wt_psize - 50,
			    warm, false);
			one(mode, 8192, wt_psize, wt_psize - 10, warm, false);
			one(mode, 8192 + 300, wt_psize, wt_psize - 10, warm,
			    false);
		}
		one(mode, 8192, wt_psize, wt_psize, false, true);
		one(mode, 8192, 4 * wt_psize, 2 * wt_psize, false, true);
		one(mode, 8192 + 100, 4 * wt_psize, 2 * wt_psize - 50, false,
		    true);
		check_extending(mode);
		vectors(mode);
	}
	wt_finish();
}
