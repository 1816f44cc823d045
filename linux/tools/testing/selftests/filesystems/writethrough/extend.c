// SPDX-License-Identifier: GPL-2.0
/*
 * Write-throughs at and beyond the end of the file: the size grows, on the
 * device too once the call has returned; a gap reads as zeros, and so does
 * what the device has behind the end.
 *
 * Mutant: 008-no-disk-size
 * Mutant: 009-eof-tail-not-zeroed
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

static off_t size_of(int fd)
{
	struct stat st;

	wt_sys(fstat(fd, &st));
	return st.st_size;
}

static void check(int fd, off_t old, off_t off, size_t len)
{
	off_t end = off + len;
	off_t last = (end + wt_bsize - 1) / wt_bsize * wt_bsize;
	off_t kept = old < off ? old : off;

	wt_check(size_of(fd) == end, "size %lld, expected %lld",
		 (long long)size_of(fd), (long long)end);
	wt_expect_both(fd, 0, kept, 1);
	if (off > old)
		wt_expect_file(fd, old, off - old, 0);
	wt_expect_both(fd, off, len, 2);
	wt_expect_disk(fd, end, last - end, 0);
}

static void one(enum wt_mode mode, off_t old, off_t off, size_t len)
{
	int fd = wt_make_file("file", old, 1);
	char *map;

	/* Rubbish behind the end, where a mapping can leave it. */
	if (old % wt_psize) {
		map = mmap(NULL, wt_psize, PROT_READ | PROT_WRITE, MAP_SHARED,
			   fd, old & ~(off_t)(wt_psize - 1));
		wt_check(map != MAP_FAILED, "mmap");
		memset(map + old % wt_psize, 0xaa, wt_psize - old % wt_psize);
		munmap(map, wt_psize);
	}
	wt_write_gen(mode, fd, off, len, 2);
	check(fd, old, off, len);
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	check(fd, old, off, len);
	close(fd);
}

static void appends(enum wt_mode mode)
{
	int fd = wt_open("appends", O_RDWR | O_TRUNC);
	off_t pos = 0;
	int i;

	for (i = 0; i < 200; i++) {
		size_t len = 1 + (i * 937) % 9000;

		wt_write_gen(mode, fd, pos, len, 2);
		pos += len;
		wt_check(size_of(fd) == pos, "size after append");
		wt_check(!wt_cache(fd, 0, pos).dirty, "append left dirty pages");
	}
	wt_expect_both(fd, 0, pos, 2);
	close(fd);
	wt_crash();
	fd = wt_open("appends", O_RDWR);
	wt_check(size_of(fd) == pos, "size after the crash: %lld, expected %lld",
		 (long long)size_of(fd), (long long)pos);
	wt_expect_both(fd, 0, pos, 2);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("extend", 90);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 0, 0, 100);
		one(mode, 0, 0, 128 * KIB);
		one(mode, 64 * KIB, 64 * KIB, 64 * KIB);
		one(mode, 64 * KIB + 100, 64 * KIB + 100, 300);
		one(mode, 64 * KIB + 100, 64 * KIB, 3 * 4096);
		one(mode, 64 * KIB + 100, 64 * KIB + 500, 300);
		one(mode, 64 * KIB + 100, 256 * KIB + 500, 30000);
		one(mode, 100, 2 * 4096, 4096);
		appends(mode);
	}
	wt_finish();
}
