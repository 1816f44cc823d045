// SPDX-License-Identifier: GPL-2.0
/*
 * RWF_NOWAIT: EAGAIN at once, with nothing changed, or all of the write. It is
 * refused where it would wait for I/O, a lock or an extent list that is not in
 * memory, where it takes more than one mapping or one batch of folios, and where
 * blocks have to be allocated, shared ones to be left alone, or the rest of a block
 * to be read. A plain write that must not wait is refused as well if what it is
 * about to change is being written through.
 *
 * Mutant: 074-plain-nowait-waits
 * Mutant: 107-nowait-waits
 * Mutant: 108-nowait-in-part
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(512 * WT_KIB)
#define OFF		(64 * WT_KIB)
#define LEN		(16 * WT_KIB)
#define MAX_LEN		(256 * WT_KIB)
#define LIMIT_MS	5000

static enum wt_mode mode;
static struct wt_dm dm;
static char *buf;

/* What it answers, which must not take the time that the I/O is held back. */
static ssize_t ask(int fd, off_t off, size_t len, bool plain, const char *what)
{
	struct iovec iov = { buf, len };
	struct wt_request req = {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1, .off = off,
		.flags = RWF_NOWAIT, .plain = plain,
	};
	int ret;

	wt_pattern(buf, len, off, 9);
	ret = wt_submit(&req);
	if (ret)
		return ret;
	wt_check(wt_done(&req, LIMIT_MS), "%s, %s%s: waits", wt_mode_name[mode],
		 plain ? "plain, " : "", what);
	return req.res;
}

static void refused(int fd, off_t off, size_t len, bool plain, const char *what)
{
	ssize_t ret = ask(fd, off, len, plain, what);

	wt_check(ret == -EAGAIN, "%s, %s%s: %zd", wt_mode_name[mode],
		 plain ? "plain, " : "", what, ret);
}

/* Somebody may hold a lock for a moment. */
static void served(int fd, off_t off, size_t len, const char *what)
{
	unsigned int tries = 0;
	ssize_t ret;

	while ((ret = ask(fd, off, len, false, what)) == -EAGAIN &&
	       tries++ < 100)
		wt_sleep_ms(10);
	wt_check(ret == (ssize_t)len, "%s, %s: %zd", wt_mode_name[mode], what,
		 ret);
	wt_expect_both(fd, off, len, 9);
	wt_expect_clean(fd, off, len);
}

static void expect_untouched(int fd)
{
	wt_expect_file(fd, 0, FILE_SIZE, 1);
	wt_check(lseek(fd, 0, SEEK_END) == FILE_SIZE, "the size has changed");
}

/* A file that has been written through: the next one has nothing to set up. */
static int make(const char *name)
{
	int fd = wt_make_file(name, FILE_SIZE, 1);

	wt_write_gen(WT_SYNC, fd, 0, FILE_SIZE, 1);
	return fd;
}

static void write_held(int fd, off_t off, struct wt_request *req)
{
	static struct iovec iov;
	int i;

	if (!iov.iov_base)
		iov = (struct iovec) { wt_alloc(LEN), LEN };
	wt_pattern(iov.iov_base, LEN, off, 2);
	*req = (struct wt_request) {
		.mode = WT_SYNC, .fd = fd, .iov = &iov, .nr_iov = 1, .off = off,
	};
	wt_dm_suspend(&dm);
	wt_check(!wt_submit(req), "submission");
	for (i = 0; !wt_cache(fd, off, LEN).writeback && i < 500; i++)
		wt_sleep_ms(10);
	wt_check(wt_cache(fd, off, LEN).writeback, "nothing is in flight");
}

static void write_released(struct wt_request *req)
{
	wt_dm_resume(&dm);
	wt_check(wt_wait(req) == LEN, "the one in flight: %zd", req->res);
}

static void in_flight(void)
{
	int fd = make("file"), i;
	struct wt_request req;

	write_held(fd, OFF, &req);
	refused(fd, OFF, LEN, false, "all of it in flight");
	refused(fd, OFF + LEN - wt_bsize, 2 * wt_bsize, false,
		"its first block in flight");
	refused(fd, OFF - wt_unit, 2 * wt_unit, false,
		"its last blocks in flight");
	refused(fd, OFF, LEN, true, "all of it in flight");
	refused(fd, OFF + 100, 1, true, "a byte of it in flight");
	wt_expect_file(fd, 0, OFF, 1);
	wt_expect_file(fd, OFF, LEN, 2);
	wt_expect_file(fd, OFF + LEN, FILE_SIZE - OFF - LEN, 1);
	write_released(&req);
	wt_expect_both(fd, OFF, LEN, 2);
	served(fd, OFF, LEN, "not in flight any more");

	/* It was for the I/O that the plain one was refused. */
	for (i = 0; ask(fd, OFF, LEN, true, "idle") != LEN; i++) {
		wt_check(i < 100, "plain: refused though nothing is in flight");
		wt_sleep_ms(10);
	}
	close(fd);
}

static void do_punch(void *arg)
{
	wt_sys(fallocate(*(int *)arg, FALLOC_FL_PUNCH_HOLE |
			 FALLOC_FL_KEEP_SIZE, OFF, LEN));
}

/* Whoever removes blocks that are in flight holds the inode lock and waits. */
static void inode_locked(void)
{
	int fd = make("file");
	struct wt_request req;
	pid_t pid;

	write_held(fd, OFF, &req);
	pid = wt_fork(do_punch, &fd);
	wt_check(!wt_exited(pid, 250), "punch does not wait");
	refused(fd, 256 * WT_KIB, LEN, false, "the inode locked");
	write_released(&req);
	wt_join(pid);
	wt_expect_file(fd, 256 * WT_KIB, LEN, 1);
	served(fd, 256 * WT_KIB, LEN, "not locked any more");
	close(fd);
}

/* Two extents that meet in the middle: another file has what would continue it. */
static void two_mappings(void)
{
	int fd = wt_open("parts", O_RDWR | O_TRUNC), other = wt_open("other", 0);
	off_t half = FILE_SIZE / 2;

	wt_sys(fallocate(fd, 0, 0, half));
	wt_sys(fallocate(other, 0, lseek(other, 0, SEEK_END), half));
	wt_sys(fallocate(fd, 0, half, half));
	close(other);
	wt_plain_gen(fd, 0, FILE_SIZE, 1);
	wt_sys(fsync(fd));
	wt_check(wt_extents(fd) == 2, "%u extents", wt_extents(fd));
	wt_write_gen(WT_SYNC, fd, 0, FILE_SIZE, 1);

	refused(fd, half - wt_unit, 2 * wt_unit, false, "two mappings");
	refused(fd, half - wt_bsize, 2 * wt_bsize, false,
		"two mappings in two blocks");
	expect_untouched(fd);
	served(fd, half - wt_unit, wt_unit, "up to where they meet");
	served(fd, half, wt_unit, "from where they meet");
	close(fd);
}

/* With large folios it may be one batch: all of it then. */
static void many_folios(void)
{
	int fd = make("file");
	ssize_t ret = ask(fd, 0, MAX_LEN, false, "more than a batch");

	if (ret == -EAGAIN) {
		expect_untouched(fd);
	} else {
		wt_check(ret == MAX_LEN, "more than a batch: %zd", ret);
		wt_expect_both(fd, 0, MAX_LEN, 9);
	}
	close(fd);
}

static void not_in_place(void)
{
	int fd = make("file"), clone;

	refused(fd, OFF + 1, wt_bsize, false, "parts of blocks");
	refused(fd, OFF, wt_bsize - 1, false, "part of a block");
	refused(fd, FILE_SIZE - wt_bsize, 2 * wt_bsize, false, "over the end");
	refused(fd, FILE_SIZE, wt_bsize, false, "append");
	expect_untouched(fd);

	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, OFF,
			 LEN));
	refused(fd, OFF, LEN, false, "a hole");
	refused(fd, OFF - wt_unit, 2 * wt_unit, false, "half a hole");
	wt_expect_file(fd, OFF, LEN, 0);
	wt_plain_gen(fd, OFF, LEN, 1);
	refused(fd, OFF, LEN, false, "delayed allocation");
	expect_untouched(fd);
	wt_sys(fsync(fd));
	served(fd, OFF, LEN, "allocated by now");
	wt_write_gen(WT_SYNC, fd, OFF, LEN, 1);

	clone = wt_open("clone", O_RDWR | O_TRUNC);
	wt_check(!wt_clone(fd, 0, FILE_SIZE, clone, 0), "clone");
	refused(fd, OFF, LEN, false, "shared");
	expect_untouched(fd);
	wt_expect_file(clone, 0, FILE_SIZE, 1);
	close(clone);
	close(fd);
	wt_sys(unlink(wt_path("clone")));
	wt_sys(unlink(wt_path("file")));
}

/* Anybody may be about to store to it. */
static void file_mapped(void)
{
	int fd = make("file");
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0);

	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	wt_expect_buf("mapping", map + OFF, LEN, OFF, 1);
	refused(fd, OFF, LEN, false, "mapped");
	wt_expect_buf("mapping", map + OFF, LEN, OFF, 1);
	wt_sys(munmap(map, FILE_SIZE));
	served(fd, OFF, LEN, "not mapped any more");
	close(fd);
}

/* So many extents that they are in blocks of their own, read when needed. */
static void extents_on_disk(void)
{
	int fd = wt_open("many", O_RDWR | O_TRUNC), i;
	char byte;

	wt_plain_gen(fd, 0, FILE_SIZE, 1);
	wt_sys(fsync(fd));
	for (i = 0; i < FILE_SIZE / (2 * wt_unit); i++)
		wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (2 * i + 1) * wt_unit, wt_unit));
	wt_sys(fsync(fd));
	close(fd);
	wt_umount();
	wt_mount("lazytime");
	fd = wt_open("many", O_RDWR);
	/* The first change of an inode in memory is logged, for its version. */
	wt_sys(fchmod(fd, 0600));
	refused(fd, OFF, wt_unit, false, "extents that have not been read");
	wt_check(pread(fd, &byte, 1, 0) == 1, "read");
	served(fd, OFF, wt_unit, "extents that have been read");
	close(fd);
	wt_sys(unlink(wt_path("many")));
}

int main(void)
{
	wt_start("nowait", 110);
	wt_need_writethrough();
	wt_on_dm(&dm);
	/* A timestamp that is due would have to wait for the log. */
	wt_setup(NULL, "lazytime");
	buf = wt_alloc(MAX_LEN);
	wt_for_each_mode(mode) {
		in_flight();
		inode_locked();
		two_mappings();
		many_folios();
		not_in_place();
		file_mapped();
		extents_on_disk();
	}
	wt_finish();
}
