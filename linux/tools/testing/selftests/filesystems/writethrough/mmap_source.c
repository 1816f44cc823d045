// SPDX-License-Identifier: GPL-2.0
/*
 * The buffer is a mapping of the very range that is written, and not present:
 * its pages cannot be faulted in under the locks that the copy holds. The call
 * must come to an end, with the bytes it was given.
 *
 * Mutant: 016-fault-under-lock
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)

static void one(enum wt_mode mode, off_t to, off_t from, size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret, done = 0;
	char *map;

	close(fd);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	wt_check(map != MAP_FAILED, "mmap");
	while (done < (ssize_t)len) {
		ret = wt_write(mode, fd, map + from + done, len - done,
			       to + done, 0);
		wt_check(ret > 0, "%s: %lld from %lld: %zd", wt_mode_name[mode],
			 (long long)to, (long long)from, ret);
		done += ret;
		/* Not present again. */
		madvise(map, FILE_SIZE, MADV_DONTNEED);
	}
	munmap(map, FILE_SIZE);
	wt_expect_clean(fd, to, len);
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	if (to == from) {
		wt_expect_both(fd, 0, FILE_SIZE, 1);
	} else if (to + (off_t)len <= from || from + (off_t)len <= to) {
		char *buf = wt_alloc(len);

		wt_check(pread(fd, buf, len, to) == (ssize_t)len, "read");
		wt_expect_buf("copied", buf, len, from, 1);
		wt_expect_file(fd, from, len, 1);
		munmap(buf, len);
	}
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("mmap_source", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 0, 0, wt_psize);
		one(mode, 0, 0, FILE_SIZE);
		one(mode, 100, 100, 200);
		one(mode, 4096 + 8, 4096 + 8, 9000);
		one(mode, 128 * KIB, 0, 128 * KIB);
		one(mode, 0, 100 * KIB, 64 * KIB);
		/* The same pages, shifted: which bytes is anybody's guess. */
		one(mode, 4096, 8192, 64 * KIB);
		one(mode, 8192, 4096, 64 * KIB);
		one(mode, 4096, 4096 + 512, 16 * KIB);
	}
	wt_finish();
}
