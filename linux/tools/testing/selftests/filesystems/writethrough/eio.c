// SPDX-License-Identifier: GPL-2.0
/*
 * The device fails the write: the caller gets EIO, and every descriptor learns
 * it from its next fsync, once, the caller's too. The cache keeps the data,
 * clean; after reclaim the device's content is back. A size that grew stays.
 *
 * Mutant: 020-no-wb-err
 * Mutant: 021-error-swallowed
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)

/* Two ways to fail: at submission, and from an interrupt later. */
static const char *badblocks;

static void break_device(int fd, off_t off, size_t len)
{
	off_t at = wt_physical(fd, off & ~(off_t)(wt_bsize - 1), NULL);
	unsigned long long first, last;

	if (at < 0) {
		wt_inject_data("WRITE", "IOERR");
		return;
	}
	first = at >> 9;
	last = (at + off % wt_bsize + len - 1) >> 9;
	if (badblocks)
		wt_check(wt_put(badblocks, "+%llu-%llu", first, last),
			 "badblocks");
	else
		wt_inject(wt_dev, "WRITE", first, last - first + 1, "IOERR");
}

static void mend_device(int fd, off_t off, size_t len)
{
	off_t at = wt_physical(fd, off & ~(off_t)(wt_bsize - 1), NULL);

	if (badblocks)
		wt_check(wt_put(badblocks, "-%llu-%llu",
				(unsigned long long)at >> 9,
				(unsigned long long)(at + off % wt_bsize + len -
						     1) >> 9), "badblocks");
	else
		wt_inject_clear(wt_dev);
}

static void expect_eio_once(int fd, const char *whose)
{
	wt_check(fsync(fd) == -1 && errno == EIO, "fsync of %s does not tell",
		 whose);
	wt_check(fsync(fd) == 0, "fsync of %s tells twice", whose);
}

static void overwrite(enum wt_mode mode, off_t off, size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1), other, third;
	char *buf = wt_alloc(len);
	ssize_t ret;

	other = wt_open("file", O_RDWR);
	third = wt_open("file", O_RDWR);
	wt_pattern(buf, len, off, 2);
	break_device(fd, off, len);
	ret = wt_write(mode, fd, buf, len, off, 0);
	wt_check(ret == -EIO, "%s: write on a failing device: %zd",
		 wt_mode_name[mode], ret);
	mend_device(fd, off, len);

	wt_expect_clean(fd, off, len);
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, len, 2);
	wt_expect_file(fd, off + len, FILE_SIZE - off - len, 1);
	expect_eio_once(other, "another descriptor");
	expect_eio_once(fd, "the caller's descriptor");
	wt_check(sync_file_range(third, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) == -1 &&
		 errno == EIO, "sync_file_range does not tell");

	/* Nobody had anything left to write. */
	close(fd);
	close(other);
	close(third);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	wt_expect_both(fd, 0, FILE_SIZE, 1);
	wt_write_gen(mode, fd, off, len, 3);
	wt_expect_both(fd, off, len, 3);
	wt_sys(fsync(fd));
	close(fd);
	munmap(buf, len);
}

/* A call over many pages of which one fails is a failed call. */
static void one_of_many(enum wt_mode mode)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	char *buf = wt_alloc(FILE_SIZE);
	ssize_t ret;

	wt_pattern(buf, FILE_SIZE, 0, 2);
	break_device(fd, 128 * KIB, wt_bsize);
	ret = wt_write(mode, fd, buf, FILE_SIZE, 0, 0);
	wt_check(ret == -EIO, "one bad block of many: %zd", ret);
	mend_device(fd, 128 * KIB, wt_bsize);
	wt_expect_clean(fd, 0, FILE_SIZE);
	wt_expect_file(fd, 0, FILE_SIZE, 2);
	expect_eio_once(fd, "the caller's descriptor");
	close(fd);
	munmap(buf, FILE_SIZE);
}

static void extending(enum wt_mode mode)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	char *buf = wt_alloc(64 * KIB);
	struct stat st;
	ssize_t ret;

	wt_pattern(buf, 64 * KIB, FILE_SIZE, 2);
	wt_inject_data("WRITE", "IOERR");
	ret = wt_write(mode, fd, buf, 64 * KIB, FILE_SIZE, 0);
	wt_check(ret == -EIO, "append on a failing device: %zd", ret);
	wt_inject_clear(wt_dev);
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == FILE_SIZE + 64 * KIB, "the size did not stay");
	wt_check(!wt_cache(fd, 0, st.st_size).dirty, "dirty pages");
	wt_expect_file(fd, FILE_SIZE, 64 * KIB, 2);
	expect_eio_once(fd, "the caller's descriptor");
	close(fd);
	/* Old, zeros or the new data: nothing else ever. */
	wt_crash();
	fd = wt_open("file", O_RDWR);
	wt_sys(fstat(fd, &st));
	wt_expect_file(fd, 0, FILE_SIZE, 1);
	wt_expect_file(fd, FILE_SIZE, st.st_size - FILE_SIZE, 0);
	close(fd);
	munmap(buf, 64 * KIB);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("eio", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		overwrite(mode, 64 * KIB, wt_bsize);
		overwrite(mode, 64 * KIB, 64 * KIB);
		overwrite(mode, 64 * KIB + 100, 200);
		one_of_many(mode);
		extending(mode);
	}
	wt_umount();
	wt_repair_check();

	/* The same, failing where completions come from: an interrupt. */
	wt_raw = wt_null_blk("n1", 400,
			     "irqmode=2 completion_nsec=100000");
	wt_dev = wt_raw;
	badblocks = "/sys/kernel/config/nullb/n1/badblocks";
	wt_mkfs(NULL);
	wt_mount(NULL);
	wt_for_each_mode(mode) {
		overwrite(mode, 64 * KIB, wt_bsize);
		overwrite(mode, 64 * KIB, 64 * KIB);
		one_of_many(mode);
	}
	wt_finish();
}
