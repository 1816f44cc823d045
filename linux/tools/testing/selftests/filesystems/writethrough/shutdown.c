// SPDX-License-Identifier: GPL-2.0
/*
 * After a shutdown of the file system: EIO, and nothing hangs. What was in
 * flight comes to an end, and the file system can be unmounted.
 *
 * Mutant: 001-no-wait
 * lab: --disk 600M
 */
#include "wt.h"

static void one(struct wt_dm *dm, enum wt_mode mode, off_t size)
{
	int fd = wt_make_file("file", 64 * KIB, 1);
	char *buf = wt_alloc(8192);
	struct iovec iov = { buf, 8192 };
	struct wt_request req = {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1,
		.off = size,
	};
	ssize_t ret;

	/* In flight, needing a transaction at its end if it extends. */
	wt_dm_suspend(dm);
	wt_pattern(buf, 8192, size, 2);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 200), "write-through did not wait for the device");
	wt_shutdown(false);
	wt_dm_resume(dm);
	ret = wt_wait(&req);
	wt_check(ret == 8192 || ret == -EIO, "in flight at a shutdown: %zd", ret);
	if (size >= 64 * KIB)
		wt_check(ret == -EIO, "success, but the size cannot be recorded");

	ret = wt_write(mode, fd, buf, 8192, 0, 0);
	wt_check(ret == -EIO, "after a shutdown: %zd", ret);
	ret = wt_write(mode, fd, buf, 100, 50, 0);
	wt_check(ret == -EIO, "part of a block after a shutdown: %zd", ret);
	ret = wt_write(mode, fd, buf, 8192, 1 * MIB, 0);
	wt_check(ret == -EIO, "extending after a shutdown: %zd", ret);
	wt_check(fsync(fd) == -1, "fsync after a shutdown");
	close(fd);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	wt_expect_file(fd, 0, size < 64 * KIB ? size : 64 * KIB, 1);
	close(fd);
	wt_cycle();
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;

	wt_start("shutdown", 60);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(&dm, mode, 16 * KIB);
		one(&dm, mode, 64 * KIB);
	}
	wt_finish();
}
