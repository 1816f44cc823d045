// SPDX-License-Identifier: GPL-2.0
/*
 * An fsync has marked the dirty pages it is going to write and is held up by
 * an earlier one; meanwhile a write-through goes to one block of a later one.
 * The fsync must still write that page's other blocks before it returns:
 *
 *	fsync				write-through
 *	marks pages 0 to 50
 *	waits for page 0
 *					writes block 1 of page 50,
 *					must keep the mark of the page
 *	writes blocks 0, 2, 3 of page 50
 *
 * Mutant: 013-plain-start-writeback
 * lab: --disk 600M
 */
#include "wt.h"

static void do_fsync(void *arg)
{
	wt_sys(fsync(*(int *)arg));
}

static void one(struct wt_dm *dm, enum wt_mode mode)
{
	/* Not in the batch that fsync is going to look up first. */
	off_t page = 50 * wt_psize;
	/* A folio each: the write-through must not meet the lock of page 0. */
	int fd = wt_make_pages("file", 64 * wt_psize, 1);
	struct wt_request req;
	struct iovec iov;
	char *buf = wt_alloc(wt_bsize);
	pid_t pid;

	/* Page 0 is under writeback, held, and dirty again. */
	wt_plain_gen(fd, 0, wt_psize, 2);
	wt_dm_suspend(dm);
	wt_sys(sync_file_range(fd, 0, wt_psize, SYNC_FILE_RANGE_WRITE));
	wt_check(wt_cache(fd, 0, wt_psize).writeback == 1,
		 "page 0 is not under writeback");
	wt_plain_gen(fd, 0, page + wt_psize, 2);

	pid = wt_fork(do_fsync, &fd);
	wt_check(!wt_exited(pid, 300), "fsync did not wait");

	wt_pattern(buf, wt_bsize, page + wt_bsize, 3);
	iov = (struct iovec) { buf, wt_bsize };
	req = (struct wt_request) {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1,
		.off = page + wt_bsize,
	};
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 300), "write-through did not wait for the device");

	wt_dm_resume(dm);
	wt_check(wt_wait(&req) == wt_bsize, "write-through: %zd", req.res);
	wt_join(pid);
	wt_expect_disk(fd, page, wt_bsize, 2);
	wt_expect_disk(fd, page + wt_bsize, wt_bsize, 3);
	wt_expect_disk(fd, page + 2 * wt_bsize, wt_psize - 2 * wt_bsize, 2);
	wt_expect_clean(fd, 0, 64 * wt_psize);
	close(fd);
	wt_sys(unlink(wt_path("file")));
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;

	wt_start("fsync_towrite", 60);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup("-b size=1024", NULL);
	wt_for_each_mode(mode)
		one(&dm, mode);
	wt_finish();
}
