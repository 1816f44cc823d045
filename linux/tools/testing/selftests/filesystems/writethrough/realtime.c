// SPDX-License-Identifier: GPL-2.0
/*
 * Files on the realtime device.
 *
 * Mutant: 035-data-device-only
 * lab: --disk 600M,400M
 */
#include "wt.h"

#define FILE_SIZE	(1 * MIB)

int main(void)
{
	const char *rt = getenv("WT_DEV2");
	char options[128];
	enum wt_mode mode;

	wt_start("realtime", 60);
	wt_need_writethrough();
	if (!rt || !*rt)
		wt_skip("WT_DEV2 names no second device");
	setenv("WT_RTDEV", rt, 1);
	wt_flusher_off();
	snprintf(options, sizeof(options), "-r rtdev=%s -d rtinherit=1 -m reflink=0",
		 rt);
	wt_mkfs(options);
	snprintf(options, sizeof(options), "rtdev=%s", rt);
	wt_mount(options);
	wt_raw = rt;
	wt_for_each_mode(mode) {
		int fd = wt_open("file", O_RDWR | O_TRUNC);
		struct fsxattr fsx;

		wt_sys(ioctl(fd, FS_IOC_FSGETXATTR, &fsx));
		wt_check(fsx.fsx_xflags & FS_XFLAG_REALTIME, "not realtime");
		/* append, overwrite, part of a block, hole, unwritten */
		wt_write_gen(mode, fd, 0, 128 * KIB, 1);
		wt_expect_both(fd, 0, 128 * KIB, 1);
		wt_write_gen(mode, fd, 64 * KIB, 16 * KIB, 2);
		wt_write_gen(mode, fd, 100, 200, 2);
		wt_sys(ftruncate(fd, FILE_SIZE));
		wt_write_gen(mode, fd, 256 * KIB, 64 * KIB, 2);
		wt_sys(fallocate(fd, 0, 512 * KIB, 256 * KIB));
		wt_write_gen(mode, fd, 600 * KIB + 100, 5000, 2);
		wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
		wt_expect_both(fd, 0, 100, 1);
		wt_expect_both(fd, 100, 200, 2);
		wt_expect_both(fd, 300, 64 * KIB - 300, 1);
		wt_expect_both(fd, 64 * KIB, 16 * KIB, 2);
		wt_expect_both(fd, 80 * KIB, 48 * KIB, 1);
		wt_expect_both(fd, 128 * KIB, 128 * KIB, 0);
		wt_expect_both(fd, 256 * KIB, 64 * KIB, 2);
		wt_expect_both(fd, 320 * KIB, 280 * KIB + 100, 0);
		wt_expect_both(fd, 600 * KIB + 100, 5000, 2);
		wt_expect_both(fd, 600 * KIB + 5100, 100 * KIB, 0);
		wt_drop_caches();
		wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
		close(fd);
	}
	wt_finish();
}
