// SPDX-License-Identifier: GPL-2.0
/*
 * Many buffers, of any size and alignment, empty ones among them: one count
 * over all, and every byte in its place.
 *
 * Mutant: 051-first-buffer-only
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(2 * MIB)

static void one(enum wt_mode mode, uint64_t *seed, bool warm)
{
	static struct iovec iov[1024];
	int nr = 1 + wt_random(seed) % 1024, i;
	off_t off = wt_random(seed) % 100000;
	char *pool = wt_alloc(4 * MIB), *p = pool;
	size_t len = 0;
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret;

	for (i = 0; i < nr; i++) {
		size_t n = 0;

		switch (wt_random(seed) % 4) {
		case 0:
			break;
		case 1:
			n = wt_random(seed) % 64;
			break;
		case 2:
			n = 512;
			break;
		case 3:
			n = wt_random(seed) % 5000;
			break;
		}
		if (off + (off_t)(len + n) > FILE_SIZE ||
		    p + n + 16 > pool + 4 * MIB)
			n = 0;
		p += wt_random(seed) % 16;
		iov[i] = (struct iovec) { p, n };
		wt_pattern(p, n, off + len, 2);
		p += n;
		len += n;
	}
	if (!warm) {
		close(fd);
		wt_drop_caches();
		fd = wt_open("file", O_RDWR);
	}
	ret = wt_writev(mode, fd, iov, nr, off, 0);
	wt_check(ret == (ssize_t)len, "%s: %d buffers, %zu bytes: %zd",
		 wt_mode_name[mode], nr, len, ret);
	wt_expect_both(fd, 0, off, 1);
	wt_expect_both(fd, off, len, 2);
	wt_expect_both(fd, off + len, FILE_SIZE - off - len, 1);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	close(fd);
	munmap(pool, 4 * MIB);
}

int main(void)
{
	uint64_t seed = 1;
	enum wt_mode mode;
	int i;

	wt_start("vectors", 90);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode)
		for (i = 0; i < 10; i++)
			one(mode, &seed, i & 1);
	wt_finish();
}
