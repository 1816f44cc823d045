// SPDX-License-Identifier: GPL-2.0
/*
 * XFS's debugging mode in which nothing is overwritten where it is: a write-through
 * goes elsewhere, as all others do, and arrives in the cache and on the device. An
 * atomic write is staged although the device could do it in place.
 *
 * Mutant: 126-always-cow-in-place
 * lab: --disk 600M --scsi-debug dev_size_mb=320 --append scsi_debug.atomic_wr=1
 */
#include "wt.h"

#define SWITCH		"/sys/fs/xfs/debug/always_cow"
#define FILE_SIZE	(256 * KIB)
#define OFF		(64 * KIB)

static enum wt_mode mode;

static void off_at_exit(void)
{
	wt_put(SWITCH, "0");
}

static void written_elsewhere(int fd, off_t off, size_t len, int flags)
{
	off_t block = off / wt_bsize * wt_bsize;
	off_t before = wt_physical(fd, block, NULL), after;
	char *buf = wt_alloc(len);
	ssize_t ret;

	wt_check(before >= 0, "nothing to overwrite");
	wt_pattern(buf, len, off, 2);
	ret = wt_write(mode, fd, buf, len, off, flags);
	wt_check(ret == (ssize_t)len, "%s: %zu bytes at %lld, flags 0x%x: %zd",
		 wt_mode_name[mode], len, (long long)off, flags, ret);
	after = wt_physical(fd, block, NULL);
	wt_check(after >= 0 && after != before,
		 "%s: %zu bytes at %lld, flags 0x%x: in place", wt_mode_name[mode],
		 len, (long long)off, flags);
	wt_expect_both(fd, off, len, 2);
	wt_check(!wt_cache(fd, off, len).dirty, "dirty pages");
	munmap(buf, len);
}

static void on(const char *dev)
{
	int fd;

	wt_dev = dev;
	wt_raw = dev;
	/* It counts when a file system is mounted, after a crash as well. */
	wt_check(wt_put(SWITCH, "1"), "the switch: %s", strerror(errno));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		fd = wt_make_file("file", FILE_SIZE, 1);
		written_elsewhere(fd, OFF, 4096, 0);
		written_elsewhere(fd, OFF, 4096, 0);
		written_elsewhere(fd, OFF + 16 * KIB, 16 * KIB, RWF_DSYNC);
		written_elsewhere(fd, OFF + 64 * KIB + 100, 200, 0);
		written_elsewhere(fd, OFF + 32 * KIB, 4096, RWF_ATOMIC);
		wt_expect_both(fd, 0, OFF, 1);
		wt_expect_both(fd, OFF + 68 * KIB, FILE_SIZE - OFF - 68 * KIB, 1);
		wt_sys(fsync(fd));
		close(fd);
		wt_crash();
		fd = wt_open("file", O_RDWR);
		wt_expect_both(fd, OFF, 4096, 2);
		wt_expect_both(fd, OFF + 16 * KIB, 16 * KIB, 2);
		close(fd);
	}
	wt_umount();
	wt_put(SWITCH, "0");
	wt_repair_check();
}

int main(void)
{
	wt_start("always_cow", 110);
	wt_need_writethrough();
	if (access(SWITCH, W_OK))
		wt_skip("this kernel has no such mode");
	atexit(off_at_exit);
	on(wt_dev);
	if (wt_scsi_debug())
		on(wt_scsi_debug());
	else
		wt_note("note: no scsi_debug disk");
	wt_finish();
}
