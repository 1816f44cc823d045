// SPDX-License-Identifier: GPL-2.0
/*
 * With an offset of -1 a write goes to the file position, and moves it by what it
 * has written: all of it, the part that the source had, or nothing if the device
 * fails. A write that says where it goes leaves the position alone.
 *
 * Only pwritev2(): libaio knows no file position, and io_uring moves it only if a
 * write is over by the time it is submitted, as with direct I/O.
 *
 * Mutant: 049-position-not-moved
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)
#define MAX_LEN		(192 * KIB)

static char *buf;

static void expect_at(int fd, off_t want, const char *what)
{
	off_t at = lseek(fd, 0, SEEK_CUR);

	wt_check(at == want, "%s: the position is %lld, not %lld", what,
		 (long long)at, (long long)want);
}

/* Goes on where the last one has ended, which is at @off. */
static void go_on(int fd, off_t off, size_t len, const char *what)
{
	ssize_t ret;

	wt_pattern(buf, len, off, 2);
	ret = wt_write(WT_SYNC, fd, buf, len, -1, 0);
	wt_check(ret == (ssize_t)len, "%s: %zd", what, ret);
	expect_at(fd, off + len, what);
	wt_expect_both(fd, off, len, 2);
}

/* In place, in parts of blocks, over a hole and over the end. */
static void moves(void)
{
	static const size_t lens[] = { 4096, 4096, 100, 5000, 1, 70000 };
	int fd = wt_make_file("file", FILE_SIZE, 1);
	off_t off = 8192;
	unsigned int i;

	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 64 * KIB, 64 * KIB));
	wt_sys(lseek(fd, off, SEEK_SET));
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		go_on(fd, off, lens[i], "in the file");
		off += lens[i];
	}
	go_on(fd, off, MAX_LEN, "over its end");
	wt_check(lseek(fd, 0, SEEK_END) == off + MAX_LEN, "size");
	close(fd);

	/* The end of the file, not where the position was. */
	fd = wt_make_file("file", 10000, 1);
	close(fd);
	fd = wt_open("file", O_RDWR | O_APPEND);
	go_on(fd, 10000, 5000, "append");
	wt_sys(lseek(fd, 0, SEEK_SET));
	go_on(fd, 15000, 5000, "second append");
	close(fd);
}

static void stays(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_sys(lseek(fd, 12345, SEEK_SET));
	wt_write_gen(WT_SYNC, fd, 4096, 4096, 2);
	wt_write_gen(WT_SYNC, fd, FILE_SIZE, 100, 2);
	expect_at(fd, 12345, "with an offset");
	wt_expect_both(fd, 4096, 4096, 2);
	close(fd);
}

/* The source ends after a page. */
static void moves_in_part(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	char *end = wt_alloc(2 * wt_psize);
	ssize_t ret;

	wt_sys(mprotect(end + wt_psize, wt_psize, PROT_NONE));
	wt_pattern(end, wt_psize, 4 * wt_psize, 2);
	wt_sys(lseek(fd, 4 * wt_psize, SEEK_SET));
	ret = wt_write(WT_SYNC, fd, end, 2 * wt_psize, -1, 0);
	wt_check(ret == wt_psize, "half of the source: %zd", ret);
	expect_at(fd, 5 * wt_psize, "half of the source");
	wt_expect_both(fd, 4 * wt_psize, wt_psize, 2);
	wt_expect_both(fd, 5 * wt_psize, wt_psize, 1);
	ret = wt_write(WT_SYNC, fd, end + wt_psize, wt_psize, -1, 0);
	wt_check(ret == -EFAULT, "no source: %zd", ret);
	expect_at(fd, 5 * wt_psize, "no source");
	munmap(end, 2 * wt_psize);
	close(fd);
}

/* Not on every kernel can an error be injected. */
static bool can_inject(void)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/block/%s/error_injection",
		 strrchr(wt_dev, '/') + 1);
	return !access(path, W_OK);
}

/* In place; by an append, which has moved before it fails; and durable. */
static void device_fails(off_t off, int flags)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret;

	wt_sys(lseek(fd, off, SEEK_SET));
	wt_pattern(buf, 8192, off, 2);
	wt_inject_data("WRITE", "IOERR");
	ret = wt_write(WT_SYNC, fd, buf, 8192, -1, flags);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "the device fails: %zd", ret);
	expect_at(fd, off, "the device fails");
	wt_check(fsync(fd) == -1 && errno == EIO, "fsync does not tell");
	close(fd);
	fd = wt_open("file", 0);
	wt_sys(lseek(fd, off, SEEK_SET));
	go_on(fd, off, 8192, "again");
	close(fd);
}

int main(void)
{
	wt_start("position", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	buf = wt_alloc(MAX_LEN);
	moves();
	stays();
	moves_in_part();
	if (can_inject()) {
		device_fails(64 * KIB, 0);
		device_fails(64 * KIB, RWF_DSYNC);
		device_fails(FILE_SIZE, 0);
	} else {
		wt_note("note: no error injection");
	}
	wt_finish();
}
