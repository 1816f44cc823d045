// SPDX-License-Identifier: GPL-2.0
/*
 * Remounting read-only answers EBUSY while a file is open for writing, and
 * succeeds once it is not; with I/O in flight too.
 *
 * Mutant: 001-no-wait
 * Mutant: 040-context-freed-early
 * lab: --disk 600M
 */
#include "wt.h"
#include <sys/mount.h>

static int remount(unsigned long flags)
{
	return mount(wt_dev, wt_mnt, "xfs", MS_REMOUNT | flags, NULL) ? -errno : 0;
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;

	wt_start("remount_ro", 30);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		int fd = wt_make_file("file", 64 * KIB, 1);
		char *buf = wt_alloc(8192);
		struct iovec iov = { buf, 8192 };
		struct wt_request req = {
			.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1,
			.off = 4096,
		};
		int ret;

		wt_pattern(buf, 8192, 4096, 2);
		wt_dm_suspend(&dm);
		wt_check(!wt_submit(&req), "submission");
		wt_check(!wt_done(&req, 100), "did not wait for the device");
		ret = remount(MS_RDONLY);
		wt_check(ret == -EBUSY, "remount with a file open: %d", ret);
		wt_dm_resume(&dm);
		wt_check(wt_wait(&req) == 8192, "write-through: %zd", req.res);
		ret = remount(MS_RDONLY);
		wt_check(ret == -EBUSY, "remount with a file open: %d", ret);
		wt_expect_both(fd, 4096, 8192, 2);
		close(fd);
		ret = remount(MS_RDONLY);
		wt_check(!ret, "remount: %d", ret);
		fd = wt_sys(open(wt_path("file"), O_RDONLY));
		wt_expect_both(fd, 4096, 8192, 2);
		ret = wt_write(WT_SYNC, fd, buf, 8192, 0, 0);
		wt_check(ret == -EBADF, "read-only descriptor: %d", ret);
		close(fd);
		wt_check(!remount(0), "remount for writing");
	}
	wt_finish();
}
