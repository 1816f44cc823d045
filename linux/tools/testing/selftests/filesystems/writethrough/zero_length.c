// SPDX-License-Identifier: GPL-2.0
/*
 * Nothing to write: pwritev2() returns 0 whatever the flag and the file, the
 * others look at the flags first.
 *
 * Mutant: 024-opt-in-not-checked
 * lab: --disk 600M
 */
#include "wt.h"

int main(void)
{
	int tmpfs, fd;
	enum wt_mode mode;
	struct iovec iov[2];
	struct stat st;
	char byte;

	wt_start("zero_length", 30);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	tmpfs = wt_sys(memfd_create("wt", 0));
	fd = wt_make_file("file", 8192, 1);
	iov[0] = (struct iovec) { &byte, 0 };
	iov[1] = (struct iovec) { NULL, 0 };
	wt_check(wt_write(WT_SYNC, tmpfs, &byte, 0, 0, 0) == 0, "tmpfs");
	wt_for_each_mode(mode) {
		wt_check(wt_write(mode, fd, &byte, 0, 0, 0) == 0, "%s: one",
			 wt_mode_name[mode]);
		wt_check(wt_writev(mode, fd, iov, 2, 100, 0) == 0, "%s: two",
			 wt_mode_name[mode]);
		wt_check(wt_write(mode, fd, &byte, 0, MIB, 0) == 0, "%s: beyond",
			 wt_mode_name[mode]);
		if (mode != WT_SYNC)
			wt_check(wt_write(mode, tmpfs, &byte, 0, 0, 0) ==
				 -EOPNOTSUPP, "%s: tmpfs", wt_mode_name[mode]);
	}
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == 8192, "the size changed");
	wt_check(!wt_cache(fd, 0, 8192).dirty, "dirty pages");
	wt_expect_both(fd, 0, 8192, 1);
	close(fd);
	wt_finish();
}
