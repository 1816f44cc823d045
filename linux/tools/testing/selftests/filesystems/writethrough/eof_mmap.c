// SPDX-License-Identifier: GPL-2.0
/*
 * What a mapping has stored behind the end of the file is not part of it. If a
 * write-through further on makes that range part of the file, it has to read as
 * zeros: from the cache, and from the device, where the write may take it
 * along in the block that it begins in.
 *
 * Mutant: 070-old-page-left
 * Mutant: 110-extended-under-lock
 * lab: --disk 600M
 * blocks: 1024
 */
#include <sys/mman.h>

#include "wt.h"

#define NEW	1500	/* in the second block of 1 KiB, or in the first of 4 */

static void one(enum wt_mode mode, off_t old, off_t new, size_t len)
{
	int fd = wt_make_file("file", 4096, 1);
	char *map;

	wt_sys(ftruncate(fd, old));
	map = mmap(NULL, wt_psize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(map + old, 'X', wt_psize - old);
	wt_write_gen(mode, fd, new, len, 2);
	wt_sys(munmap(map, wt_psize));

	wt_expect_file(fd, 0, old, 1);
	wt_expect_file(fd, old, new - old, 0);
	wt_expect_both(fd, new, len, 2);
	wt_sys(fsync(fd));
	wt_expect_both(fd, 0, old, 1);
	wt_expect_both(fd, old, new - old, 0);
	wt_drop_caches();
	wt_expect_file(fd, 0, old, 1);
	wt_expect_file(fd, old, new - old, 0);
	wt_expect_file(fd, new, len, 2);
	close(fd);
	wt_sys(unlink(wt_path("file")));
}

int main(void)
{
	enum wt_mode mode;

	wt_start("eof_mmap", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 100, NEW, 100);
		one(mode, 1024, NEW, 10);
		one(mode, 1100, NEW, 5000);
		/* The page that the file ended in is not one that is written. */
		one(mode, 100, wt_psize + NEW, 100);
		one(mode, 1024, 3 * wt_psize, 10);
	}
	wt_finish();
}
