// SPDX-License-Identifier: GPL-2.0
/*
 * An atomic write fails, and what it has left in the cache goes. Not so a block
 * that somebody was waiting to write to: that is theirs, and stays, and so the
 * folio cannot go. But what the failed write has left of the rest of it must not be
 * read any more, nor reach the device with the next writeback.
 *
 * The other one holds the lock of the folio when the I/O ends, so that he comes
 * first. Only one I/O fails, since what stays is written to where the atomic write
 * was to go.
 *
 * Mutant: 116-part-stays
 * lab: --disk 600M
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)
#define OFF		(64 * KIB)
#define LEN		(16 * KIB)
#define BLOCK		1024

#define FAULT		"/sys/kernel/debug/fail_make_request"

static struct wt_dm dm;
static enum wt_mode mode;
static int fd;

static off_t place(unsigned int block)
{
	return OFF + block * BLOCK;
}

static void plain_block(void *arg)
{
	wt_plain_gen(fd, place(*(unsigned int *)arg), BLOCK, 4);
}

/* The range is of the first generation, but for one block. */
static void expect(unsigned int block)
{
	wt_expect_file(fd, 0, place(block), 1);
	wt_expect_file(fd, place(block), BLOCK, 4);
	wt_expect_file(fd, place(block + 1), FILE_SIZE - place(block + 1), 1);
}

static void one(unsigned int block)
{
	struct iovec iov = { wt_alloc(LEN), LEN };
	struct wt_request req = {
		.mode = mode, .iov = &iov, .nr_iov = 1, .off = OFF,
		.flags = RWF_ATOMIC,
	};
	pid_t pid;
	int i;

	fd = wt_make_file("file", FILE_SIZE, 1);
	req.fd = fd;
	/* What an allocation looks at is in memory from here on. */
	wt_pattern(iov.iov_base, LEN, OFF, 1);
	wt_check(wt_write(mode, fd, iov.iov_base, LEN, OFF, RWF_ATOMIC) == LEN,
		 "first write");
	wt_sys(syncfs(fd));

	wt_pattern(iov.iov_base, LEN, OFF, 3);
	wt_dm_suspend(&dm);
	wt_check(!wt_submit(&req), "submission");
	for (i = 0; !wt_cache(fd, OFF, LEN).writeback && i < 500; i++)
		wt_sleep_ms(10);
	wt_check(wt_cache(fd, OFF, LEN).writeback, "not in flight");
	pid = wt_fork(plain_block, &block);
	wt_check(!wt_exited(pid, 200), "the plain write does not wait");
	wt_run("cd " FAULT " && echo 1 >interval && echo 1 >times && echo 100 >probability");
	wt_dm_resume(&dm);
	wt_check(wt_wait(&req) == -EIO, "the atomic write: %zd", req.res);
	wt_join(pid);
	wt_check(!wt_get(FAULT "/times", NULL), "no I/O has failed");
	wt_run("cd " FAULT " && echo 0 >probability && echo -1 >times");

	expect(block);
	wt_check(fsync(fd) == -1 && errno == EIO, "fsync does not tell");
	wt_sys(fsync(fd));
	expect(block);
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	expect(block);
	close(fd);
	munmap(iov.iov_base, LEN);
}

int main(void)
{
	size_t min, max;
	char file[128];

	wt_start("drop_part", 60);
	wt_need_writethrough();
	wt_fault_ready("fail_make_request", false);
	wt_on_dm(&dm);
	snprintf(file, sizeof(file), "/sys/block/%s/make-it-fail",
		 strrchr(wt_raw, '/') + 1);
	wt_check(wt_put(file, "1"), "make-it-fail: %s", strerror(errno));
	wt_setup("-b size=1024", NULL);
	fd = wt_make_file("file", FILE_SIZE, 1);
	wt_atomic_limits(fd, &min, &max);
	close(fd);
	wt_check(max >= LEN, "no more than %zu bytes can be atomic", max);
	wt_for_each_mode(mode) {
		one(1);
		one(LEN / BLOCK - 1);
	}
	wt_finish();
}
