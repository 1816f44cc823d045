// SPDX-License-Identifier: GPL-2.0
/*
 * The basics under mount options that change how sizes, times and space are
 * recorded; and mtime, which moves when the write is submitted.
 *
 * Mutant: 029-checks-skipped
 * lab: --disk 600M
 */
#include "wt.h"

static void one(enum wt_mode mode, const char *options)
{
	int fd = wt_make_file("file", 64 * KIB, 1);
	struct stat before, after;
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };

	wt_sys(futimens(fd, old));
	wt_sys(fstat(fd, &before));
	wt_sleep_ms(20);
	wt_write_gen(mode, fd, 8192, 8192, 2);
	wt_sys(fstat(fd, &after));
	wt_check(after.st_mtime > before.st_mtime, "%s: mtime did not move",
		 options);
	wt_check(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
		 after.st_ctim.tv_nsec > before.st_ctim.tv_nsec,
		 "%s: ctime did not move", options);
	wt_expect_clean(fd, 8192, 8192);
	wt_write_gen(mode, fd, 64 * KIB, 10000, 2);
	wt_write_gen(mode, fd, 128 * KIB + 100, 10000, 2);
	/* Not the block where the file ended before: its tail was zeroed. */
	wt_expect_clean(fd, 128 * KIB + 100, 10000);
	wt_expect_both(fd, 0, 8192, 1);
	wt_expect_both(fd, 8192, 8192, 2);
	wt_expect_both(fd, 64 * KIB, 10000, 2);
	wt_expect_file(fd, 64 * KIB + 10000, 64 * KIB + 100 - 10000, 0);
	wt_expect_both(fd, 128 * KIB + 100, 10000, 2);
	close(fd);
}

int main(void)
{
	static const char * const options[] = {
		"lazytime", "wsync", "noatime,lazytime", "allocsize=64k",
		"discard", "filestreams", "sync", "dirsync", "nodiratime,largeio",
	};
	enum wt_mode mode;
	unsigned int i;

	wt_start("mount_options", 90);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode)
		one(mode, "defaults");
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		wt_umount();
		/* Some are the VFS's, some the file system's: mount(8) knows. */
		wt_run("mount -t xfs -o %s %s %s", options[i], wt_dev, wt_mnt);
		wt_for_each_mode(mode)
			one(mode, options[i]);
	}
	wt_finish();
}
