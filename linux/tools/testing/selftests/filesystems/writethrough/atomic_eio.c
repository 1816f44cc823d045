// SPDX-License-Identifier: GPL-2.0
/*
 * The device fails an atomic write, or one of the several I/Os that it consists
 * of: the caller gets the error, and nothing of it is left, on the device or in
 * the cache. Where data was dirty before, that is what comes back. What somebody
 * has stored to the range in between stays. Clones are unharmed, and writing
 * works again afterwards.
 *
 * Mutant: 153-atomic-not-dropped
 * Mutant: 154-atomic-not-flushed
 * Mutant: 155-atomic-remapped-in-parts
 * lab: --disk 600M --scsi-debug dev_size_mb=320 --append scsi_debug.atomic_wr=1 --timeout 960
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1024 * KIB)
#define OFF		(256 * KIB)
#define LEN		(64 * KIB)

static enum wt_mode mode;
static char *buf;

static ssize_t write_atomic(int fd, off_t off, size_t len, unsigned int gen)
{
	wt_pattern(buf, len, off, gen);
	return wt_write(mode, fd, buf, len, off, RWF_ATOMIC);
}

/* All of the range is of one generation, read anew and on the device. */
static void expect_all(int fd, unsigned int gen)
{
	wt_check(!wt_cache(fd, OFF, LEN).dirty, "dirty pages");
	wt_expect_both(fd, 0, OFF, 1);
	wt_expect_both(fd, OFF, LEN, gen);
	wt_expect_both(fd, OFF + LEN, FILE_SIZE - OFF - LEN, 1);
}

static void expect_told(int fd)
{
	wt_check(fsync(fd) == -1 && errno == EIO, "fsync does not tell");
	wt_sys(fsync(fd));
}

static void expect_works(int fd)
{
	wt_check(write_atomic(fd, OFF, LEN, 5) == LEN, "does not work again");
	expect_all(fd, 5);
	wt_sys(fsync(fd));
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	expect_all(fd, 5);
	close(fd);
}

/* Over what is on the device, cached or not. */
static void on_failing(bool cold)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret;

	if (cold) {
		close(fd);
		wt_drop_caches();
		fd = wt_open("file", O_RDWR);
	}
	wt_inject_data("WRITE", "IOERR");
	ret = write_atomic(fd, OFF, LEN, 3);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "on a failing device: %zd", ret);
	expect_all(fd, 1);
	expect_told(fd);
	expect_works(fd);
}

/*
 * Over what is dirty, and has never been on the device. Blocks that are staged
 * are not those that the dirty data goes to: only the former fail.
 */
static void failing_over_dirty(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	unsigned long long first, last;
	ssize_t ret;

	first = wt_physical(fd, 0, NULL) >> 9;
	last = first + (FILE_SIZE >> 9);
	wt_check(wt_extents(fd) == 1, "the file is not in one piece");
	wt_plain_gen(fd, OFF, LEN, 2);
	wt_inject(wt_dev, "WRITE", 0, first, "IOERR");
	wt_inject(wt_dev, "WRITE", last, 64 * MIB >> 9, "IOERR");
	ret = write_atomic(fd, OFF, LEN, 3);
	wt_inject_clear(wt_dev);
	if (ret == LEN) {
		/* In place: then it has not failed. */
		expect_all(fd, 3);
		close(fd);
		return;
	}
	wt_check(ret == -EIO, "over dirty data: %zd", ret);
	expect_all(fd, 2);
	expect_told(fd);
	expect_works(fd);
}

/*
 * One of many I/Os fails. Two blocks are staged where one is written, and the
 * other place stays reserved for the next block of the file. Between them goes
 * something else, so that the reserved places are scattered; and where they are is
 * known.
 */
static void failing_in_part(void)
{
	int fd = wt_make_file("parts", FILE_SIZE, 1);
	int clone = wt_open("clone", O_RDWR | O_TRUNC);
	int other = wt_open("other", O_RDWR | O_TRUNC);
	off_t pos, at, end = OFF + LEN;
	unsigned int gen = 1;
	ssize_t ret;

	wt_check(!wt_set_xattr(fd, FS_XFLAG_COWEXTSIZE, 0, 2 * wt_bsize, 0),
		 "cowextsize: %s", strerror(errno));
	wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone: %s", strerror(errno));
	for (pos = OFF; pos < end; pos += 2 * wt_bsize) {
		wt_check(write_atomic(fd, pos, wt_bsize, gen) == wt_bsize,
			 "one block");
		wt_plain_gen(other, pos, wt_bsize, 1);
		wt_sys(fsync(other));
	}
	/* The first, one in the middle, the last. */
	for (pos = OFF; pos < end; pos += LEN / 2 - 2 * wt_bsize) {
		at = wt_physical(fd, pos, NULL) + wt_bsize;
		wt_inject(wt_dev, "WRITE", at >> 9, wt_bsize >> 9, "IOERR");
		ret = write_atomic(fd, OFF, LEN, gen + 1);
		wt_inject_clear(wt_dev);
		wt_check(ret == -EIO, "one of many at %lld: %zd",
			 (long long)pos, ret);
		expect_all(fd, gen);
		expect_told(fd);
	}
	wt_check(write_atomic(fd, OFF, LEN, gen + 1) == LEN, "at last");
	expect_all(fd, gen + 1);
	wt_check(wt_extents(fd) > LEN / wt_bsize / 2, "only %u extents",
		 wt_extents(fd));
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	close(clone);
	close(other);
	close(fd);
	wt_crash();
	fd = wt_open("parts", O_RDWR);
	expect_all(fd, gen + 1);
	close(fd);
	wt_sys(unlink(wt_path("parts")));
}

static void over_hole(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret;

	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, OFF,
			 LEN));
	wt_inject_data("WRITE", "IOERR");
	ret = write_atomic(fd, OFF, LEN, 3);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "over a hole: %zd", ret);
	expect_all(fd, 0);
	expect_told(fd);
	expect_works(fd);
}

static void appending(void)
{
	int fd = wt_make_file("file", OFF, 1);
	ssize_t ret;

	wt_inject_data("WRITE", "IOERR");
	ret = write_atomic(fd, OFF, LEN, 3);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "append: %zd", ret);
	/* The size has grown, as with any write-through that fails. */
	wt_check(lseek(fd, 0, SEEK_END) == OFF + LEN, "size");
	wt_expect_both(fd, 0, OFF, 1);
	wt_expect_both(fd, OFF, LEN, 0);
	expect_told(fd);
	close(fd);
}

/* ---------------------------------------------------------------- in between */

static void store(void *arg)
{
	char *page = arg;

	wt_pattern(page, wt_psize, OFF + wt_psize, 9);
	wt_sys(msync(page, wt_psize, MS_ASYNC));
}

/*
 * The I/O is held back, a store to the second page waits for it, and then it
 * fails: the store is not lost, and the other pages are as before.
 */
static void stored_meanwhile(bool clone_too, bool hole)
{
	struct iovec iov = { buf, LEN };
	struct wt_request req = { .mode = mode, .iov = &iov, .nr_iov = 1,
				  .off = OFF, .flags = RWF_ATOMIC };
	int clone = -1, i;
	struct wt_dm dm;
	const char *plain = wt_dev;
	char *map;
	pid_t pid;
	ssize_t ret;

	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	req.fd = wt_make_file("file", FILE_SIZE, 1);
	/* What an allocation looks at is in memory from here on. */
	wt_check(write_atomic(req.fd, OFF, LEN, 1) == LEN, "first write");
	if (clone_too) {
		clone = wt_open("clone", O_RDWR);
		wt_check(!wt_clone(req.fd, 0, 0, clone, 0), "clone");
	}
	if (hole)
		wt_sys(fallocate(req.fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, OFF, LEN));
	wt_sys(fsync(req.fd));
	wt_sys(syncfs(req.fd));
	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, req.fd,
		   0);
	wt_check(map != MAP_FAILED, "mmap");
	wt_expect_buf("mapping", map + OFF, LEN, OFF, hole ? 0 : 1);

	wt_pattern(buf, LEN, OFF, 3);
	wt_dm_suspend(&dm);
	wt_check(!wt_submit(&req), "submission");
	for (i = 0; !wt_cache(req.fd, OFF, LEN).writeback && i < 500; i++)
		wt_sleep_ms(10);
	wt_check(wt_cache(req.fd, OFF, LEN).writeback, "not in flight");
	pid = wt_fork(store, map + OFF + wt_psize);
	wt_check(!wt_exited(pid, 200), "the store does not wait");
	/* All data fails, and the log does not. */
	wt_inject_data("WRITE", "IOERR");
	wt_dm_resume(&dm);
	ret = wt_wait(&req);
	wt_join(pid);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "held back: %zd", ret);
	wt_expect_file(req.fd, OFF, wt_psize, hole ? 0 : 1);
	wt_expect_file(req.fd, OFF + wt_psize, wt_psize, 9);
	wt_expect_file(req.fd, OFF + 2 * wt_psize, LEN - 2 * wt_psize,
		       hole ? 0 : 1);
	fsync(req.fd);
	wt_sys(fsync(req.fd));
	munmap(map, FILE_SIZE);
	close(req.fd);
	if (clone_too)
		close(clone);
	wt_crash();
	req.fd = wt_open("file", O_RDWR);
	wt_expect_file(req.fd, OFF + 2 * wt_psize, LEN - 2 * wt_psize,
		       hole ? 0 : 1);
	wt_expect_cache_is_disk(req.fd, 0, FILE_SIZE);
	close(req.fd);
	if (clone_too) {
		clone = wt_open("clone", O_RDWR);
		wt_expect_both(clone, 0, FILE_SIZE, 1);
		close(clone);
	}
	wt_umount();
	wt_repair_check();
	wt_dm_remove(&dm);
	wt_dev = plain;
	wt_raw = plain;
}

static void on(const char *dev)
{
	wt_dev = dev;
	wt_raw = dev;
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		on_failing(false);
		on_failing(true);
		failing_over_dirty();
		failing_in_part();
		over_hole();
		appending();
	}
	wt_umount();
	wt_repair_check();
}

int main(void)
{
	const char *plain;

	wt_start("atomic_eio", 900);
	wt_need_writethrough();
	buf = wt_alloc(LEN);
	plain = wt_dev;
	on(plain);
	if (wt_scsi_debug())
		on(wt_scsi_debug());
	else
		wt_note("note: no scsi_debug disk");
	wt_dev = plain;
	wt_raw = plain;
	for (mode = WT_SYNC; mode < WT_NR_MODES; mode++) {
		wt_note("note: stores meanwhile, %s", wt_mode_name[mode]);
		stored_meanwhile(false, false);
		stored_meanwhile(true, false);
		stored_meanwhile(false, true);
	}
	wt_finish();
}
