// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/self/io charges the writer with what it wrote, once, and cancels
 * nothing of it.
 *
 * Mutant: 032-not-accounted
 * lab: --disk 600M
 */
#include "wt.h"

int main(void)
{
	long long before, after, len;
	enum wt_mode mode;
	int fd, i;

	wt_start("accounting", 30);
	wt_need_writethrough();
	if (wt_get("/proc/self/io", "write_bytes") < 0)
		wt_skip("no /proc/self/io");
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		/* io_uring may account to a worker thread of this process. */
		len = 4 * wt_unit;
		fd = wt_make_file("file", 64 * 4 * len, 1);
		wt_write_gen(mode, fd, 0, wt_unit, 1);
		before = wt_get("/proc/self/io", "write_bytes");
		for (i = 0; i < 64; i++)
			wt_write_gen(mode, fd, i * 4 * len, len, 2);
		after = wt_get("/proc/self/io", "write_bytes");
		wt_check(after - before >= 64 * len &&
			 after - before <= 64 * len + 64 * KIB,
			 "%s: wrote %lld bytes, charged %lld",
			 wt_mode_name[mode], 64 * len, after - before);
		wt_check(wt_get("/proc/self/io", "cancelled_write_bytes") == 0,
			 "cancelled bytes");
		close(fd);
	}
	wt_finish();
}
