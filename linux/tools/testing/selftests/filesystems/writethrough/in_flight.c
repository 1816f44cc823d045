// SPDX-License-Identifier: GPL-2.0
/*
 * While a write-through is on its way to the device: readers see its data and
 * its size; reads, writes and stat elsewhere in the file go on, the inode lock
 * is not held; fsync, sync_file_range, msync and syncfs wait for it, and so do
 * truncate, punch, collapse, insert, zero range, clone and a second write to
 * the same block. A page fault does not, not even beside an fsync that waits.
 *
 * Mutant: 001-no-wait
 * Mutant: 041-lock-held-in-wait
 * Mutant: 160-fsync-locks-at-once
 * lab: --disk 600M --timeout 180
 */
#include "wt.h"

#define FILE_SIZE	(64 * (off_t)wt_unit)
#define OFF		(16 * (off_t)wt_unit)
#define LEN		(4 * (off_t)wt_unit)

static enum wt_mode job_mode;

static void do_fsync(void *arg)
{
	wt_sys(fsync(*(int *)arg));
}

static void do_fdatasync(void *arg)
{
	wt_sys(fdatasync(*(int *)arg));
}

static void do_sync_file_range(void *arg)
{
	wt_sys(sync_file_range(*(int *)arg, OFF, LEN,
			       SYNC_FILE_RANGE_WAIT_BEFORE));
}

static void do_msync(void *arg)
{
	void *map = mmap(NULL, LEN, PROT_READ, MAP_SHARED, *(int *)arg, OFF);

	wt_check(map != MAP_FAILED, "mmap");
	wt_sys(msync(map, LEN, MS_SYNC));
}

static void do_syncfs(void *arg)
{
	wt_sys(syncfs(*(int *)arg));
}

static void do_truncate(void *arg)
{
	wt_sys(ftruncate(*(int *)arg, OFF));
}

static void do_fallocate(int fd, int how)
{
	wt_sys(fallocate(fd, how, OFF, LEN));
}

static void do_punch(void *arg)
{
	do_fallocate(*(int *)arg, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static void do_zero(void *arg)
{
	do_fallocate(*(int *)arg, FALLOC_FL_ZERO_RANGE);
}

static void do_collapse(void *arg)
{
	do_fallocate(*(int *)arg, FALLOC_FL_COLLAPSE_RANGE);
}

static void do_insert(void *arg)
{
	do_fallocate(*(int *)arg, FALLOC_FL_INSERT_RANGE);
}

static void do_clone(void *arg)
{
	int clone = wt_open("clone", O_RDWR | O_TRUNC);

	wt_check(!wt_clone(*(int *)arg, OFF, LEN, clone, 0), "clone");
	close(clone);
}

static void do_clone_over(void *arg)
{
	int from = wt_open("from", O_RDWR);

	wt_check(!wt_clone(from, OFF, LEN, *(int *)arg, OFF), "clone");
	close(from);
}

static void do_direct_read(void *arg)
{
	int fd = wt_open("file", O_RDWR | O_DIRECT);
	char *buf = wt_alloc(LEN);

	(void)arg;
	wt_check(pread(fd, buf, LEN, OFF) == LEN, "direct read");
	wt_expect_buf("direct read", buf, LEN, OFF, 2);
	close(fd);
}

static void do_write_again(void *arg)
{
	wt_write_gen(job_mode, *(int *)arg, OFF, LEN, 3);
}

static const struct {
	const char	*name;
	void		(*fn)(void *arg);
	unsigned int	gen;		/* of the range afterwards */
	bool		shifts;		/* what is behind moves */
} waiters[] = {
	{ "fsync",		do_fsync,		2, false },
	{ "fdatasync",		do_fdatasync,		2, false },
	{ "sync_file_range",	do_sync_file_range,	2, false },
	{ "msync",		do_msync,		2, false },
	{ "syncfs",		do_syncfs,		2, false },
	{ "truncate",		do_truncate,		0, true },
	{ "punch",		do_punch,		0, false },
	{ "zero range",		do_zero,		0, false },
	{ "collapse",		do_collapse,		0, true },
	{ "insert",		do_insert,		0, true },
	{ "clone",		do_clone,		2, false },
	{ "clone over it",	do_clone_over,		1, false },
	{ "direct read",	do_direct_read,		2, false },
	{ "write-through again", do_write_again,	3, false },
};

static struct iovec iov;

static void start(struct wt_request *req, enum wt_mode mode, int fd, off_t off)
{
	*req = (struct wt_request) {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1, .off = off,
	};
	wt_pattern(iov.iov_base, LEN, off, 2);
	wt_check(!wt_submit(req), "submission");
	wt_check(!wt_done(req, 150), "did not wait for the device: %zd", req->res);
}

static void wait_for_it(struct wt_dm *dm, enum wt_mode mode, unsigned int which)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	struct wt_request req;
	pid_t pid;

	wt_dm_suspend(dm);
	start(&req, mode, fd, OFF);
	pid = wt_fork(waiters[which].fn, &fd);
	wt_check(!wt_exited(pid, 250), "%s did not wait", waiters[which].name);
	wt_dm_resume(dm);
	wt_check(wt_wait(&req) == LEN, "write-through: %zd", req.res);
	wt_join(pid);
	wt_sys(fsync(fd));
	if (!waiters[which].shifts)
		wt_expect_both(fd, OFF, LEN, waiters[which].gen);
	wt_expect_cache_is_disk(fd, 0, lseek(fd, 0, SEEK_END));
	close(fd);
}

/* Everything here has to be done with the I/O still held. */
static void go_on(void *arg)
{
	int fd = *(int *)arg;
	struct stat st;

	wt_expect_file(fd, OFF, LEN, 2);
	wt_expect_file(fd, 0, OFF, 1);
	wt_expect_file(fd, FILE_SIZE, LEN, 2);
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == FILE_SIZE + LEN, "size in flight: %lld",
		 (long long)st.st_size);
	wt_plain_gen(fd, 0, 8192, 3);
	wt_plain_gen(fd, 2 * OFF, 5000, 3);
	wt_expect_file(fd, 0, 8192, 3);
	wt_sys(lseek(fd, 0, SEEK_DATA));
}

static void do_not_wait(struct wt_dm *dm, enum wt_mode mode)
{
	/* A plain write to another block of a folio in flight has to wait. */
	int fd = wt_make_pages("file", FILE_SIZE, 1);
	struct wt_request req[2];
	pid_t pid;

	wt_dm_suspend(dm);
	start(&req[0], mode, fd, OFF);
	start(&req[1], mode, fd, FILE_SIZE);
	pid = wt_fork(go_on, &fd);
	wt_check(wt_exited(pid, 3000), "the file is locked during the I/O");
	wt_join(pid);
	wt_check(wt_disk_has(fd, OFF, LEN, 1), "the I/O was not held");
	wt_dm_resume(dm);
	wt_check(wt_wait(&req[0]) == LEN, "write-through: %zd", req[0].res);
	wt_check(wt_wait(&req[1]) == LEN, "append: %zd", req[1].res);
	wt_expect_disk(fd, OFF, LEN, 2);
	wt_expect_disk(fd, FILE_SIZE, LEN, 2);
	close(fd);
}

static void do_fault(void *arg)
{
	const char *map = mmap(NULL, LEN, PROT_READ, MAP_SHARED, *(int *)arg, OFF);
	ssize_t bad;

	wt_check(map != MAP_FAILED, "mmap");
	bad = wt_mismatch(map, LEN, OFF, 2);
	wt_check(bad < 0, "seen by mmap: byte %zd is not that of the write", bad);
}

static void fault_beside_fsync(struct wt_dm *dm, enum wt_mode mode)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	struct wt_request req;
	pid_t waits, faults;

	wt_dm_suspend(dm);
	start(&req, mode, fd, OFF);
	waits = wt_fork(do_fsync, &fd);
	wt_check(!wt_exited(waits, 250), "fsync did not wait");
	faults = wt_fork(do_fault, &fd);
	wt_check(wt_exited(faults, 3000), "a read fault waits beside fsync");
	wt_check(!wt_exited(waits, 0), "fsync did not wait for the fault to end");
	wt_join(faults);
	wt_dm_resume(dm);
	wt_check(wt_wait(&req) == LEN, "write-through: %zd", req.res);
	wt_join(waits);
	close(fd);
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;
	unsigned int i;

	wt_start("in_flight", 150);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	iov = (struct iovec) { wt_alloc(LEN), LEN };
	close(wt_make_file("from", FILE_SIZE, 1));
	wt_for_each_mode(mode) {
		do_not_wait(&dm, mode);
		fault_beside_fsync(&dm, mode);
		for (i = 0; i < ARRAY_SIZE(waiters); i++)
			wait_for_it(&dm, mode, i);
	}
	wt_finish();
}
