// SPDX-License-Identifier: GPL-2.0
/*
 * After a shutdown of the file system: EIO, and nothing hangs. What was in
 * flight comes to an end, and the file system can be unmounted. A write that has
 * begun, and waits for that, is not sent to the device any more.
 *
 * Mutant: 001-no-wait
 * Mutant: 138-shutdown-not-looked-at
 * lab: --disk 600M
 */
#include "wt.h"

static void one(struct wt_dm *dm, enum wt_mode mode, off_t size)
{
	int fd = wt_make_file("file", 64 * WT_KIB, 1);
	char *buf = wt_alloc(8 * WT_KIB);
	struct iovec iov = { buf, 8 * WT_KIB };
	struct wt_request req = {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1,
		.off = size,
	};
	ssize_t ret;

	/* In flight, needing a transaction at its end if it extends. */
	wt_dm_suspend(dm);
	wt_pattern(buf, 8 * WT_KIB, size, 2);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 200), "write-through did not wait for the device");
	wt_shutdown(false);
	wt_dm_resume(dm);
	ret = wt_wait(&req);
	wt_check(ret == 8 * WT_KIB || ret == -EIO, "in flight at a shutdown: %zd", ret);
	if (size >= 64 * WT_KIB)
		wt_check(ret == -EIO, "success, but the size cannot be recorded");

	ret = wt_write(mode, fd, buf, 8 * WT_KIB, 0, 0);
	wt_check(ret == -EIO, "after a shutdown: %zd", ret);
	ret = wt_write(mode, fd, buf, 100, 50, 0);
	wt_check(ret == -EIO, "part of a block after a shutdown: %zd", ret);
	ret = wt_write(mode, fd, buf, 8 * WT_KIB, 1 * MIB, 0);
	wt_check(ret == -EIO, "extending after a shutdown: %zd", ret);
	wt_check(fsync(fd) == -1, "fsync after a shutdown");
	close(fd);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	wt_expect_file(fd, 0, size < 64 * WT_KIB ? size : 64 * WT_KIB, 1);
	close(fd);
	wt_cycle();
}

/* Behind one that is in flight, until that has ended, and all with it. */
static void shut_down_waiting(struct wt_dm *dm, int flags)
{
	struct iovec iov[2] = {
		{ wt_alloc(8 * WT_KIB), 8 * WT_KIB },
		{ wt_alloc(8 * WT_KIB), 8 * WT_KIB },
	};
	int fd = wt_make_file("file", 64 * WT_KIB, 1), i;
	struct wt_request req[2];

	for (i = 0; i < 2; i++) {
		req[i] = (struct wt_request) {
			.mode = WT_SYNC, .fd = fd, .iov = &iov[i], .nr_iov = 1,
			.off = 16 * WT_KIB, .flags = i ? flags : 0,
		};
		wt_pattern(iov[i].iov_base, 8 * WT_KIB, 16 * WT_KIB, 2 + i);
	}
	wt_dm_suspend(dm);
	wt_check(!wt_submit(&req[0]), "submission");
	for (i = 0; !wt_cache(fd, 16 * WT_KIB, 8 * WT_KIB).writeback && i < 500; i++)
		wt_sleep_ms(10);
	wt_check(!wt_submit(&req[1]), "submission");
	wt_check(!wt_done(&req[1], 200), "does not wait for the first: %zd",
		 req[1].res);
	wt_shutdown(false);
	wt_dm_resume(dm);
	wt_check(wt_wait(&req[0]) == 8 * WT_KIB, "in flight at a shutdown: %zd",
		 req[0].res);
	wt_check(wt_wait(&req[1]) == -EIO, "waiting at a shutdown: %zd",
		 req[1].res);
	close(fd);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	wt_expect_both(fd, 16 * WT_KIB, 8 * WT_KIB, 2);
	close(fd);
	wt_cycle();
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;

	wt_start("shutdown", 90);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	shut_down_waiting(&dm, 0);
	shut_down_waiting(&dm, RWF_ATOMIC);
	wt_for_each_mode(mode) {
		one(&dm, mode, 16 * WT_KIB);
		one(&dm, mode, 64 * WT_KIB);
	}
	wt_finish();
}
