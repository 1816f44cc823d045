// SPDX-License-Identifier: GPL-2.0
/*
 * A frozen file system: a write-through waits until it is thawed. One in
 * flight: freezing waits for it.
 *
 * Mutant: 001-no-wait
 * lab: --disk 600M
 */
#include "wt.h"

static void freezer(void *arg)
{
	(void)arg;
	wt_freeze();
}

static void one(struct wt_dm *dm, enum wt_mode mode)
{
	int fd = wt_make_file("file", 64 * KIB, 1);
	char *buf = wt_alloc(8192);
	struct iovec iov = { buf, 8192 };
	struct wt_request req = {
		.mode = WT_SYNC, .fd = fd, .iov = &iov, .nr_iov = 1, .off = 4096,
	};
	pid_t pid;

	/* io_submit() would wait too, in this process: pwritev2() then. */
	if (mode == WT_URING)
		req.mode = mode;
	wt_freeze();
	wt_pattern(buf, 8192, 4096, 2);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 500), "written while frozen: %zd", req.res);
	wt_expect_disk(fd, 4096, 8192, 1);
	wt_expect_file(fd, 4096, 8192, 1);
	wt_thaw();
	wt_check(wt_wait(&req) == 8192, "after the thaw: %zd", req.res);
	wt_expect_both(fd, 4096, 8192, 2);

	wt_dm_suspend(dm);
	wt_pattern(buf, 8192, 4096, 3);
	req.mode = mode;
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 200), "write-through did not wait for the device");
	pid = wt_fork(freezer, NULL);
	wt_check(!wt_exited(pid, 500), "frozen with a write-through in flight");
	wt_dm_resume(dm);
	wt_join(pid);
	wt_check(wt_wait(&req) == 8192, "in flight while freezing: %zd", req.res);
	wt_expect_disk(fd, 4096, 8192, 3);
	wt_thaw();
	wt_expect_both(fd, 4096, 8192, 3);
	close(fd);
	wt_sys(unlink(wt_path("file")));
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;

	wt_start("freeze", 60);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode)
		one(&dm, mode);
	wt_finish();
}
