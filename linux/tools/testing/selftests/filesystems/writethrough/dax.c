// SPDX-License-Identifier: GPL-2.0
/*
 * A DAX file has no page cache to write through: the flag is refused where
 * flags are checked, before anything else is looked at, and by no other error
 * than EOPNOTSUPP. Without the flag it takes writes as ever, and a file on the
 * same file system that is not DAX takes the flag.
 *
 * Mutant: 084-dax-plain
 * lab: --mem 1536M --append memmap=320M!1G
 * only: x86_64
 */
#include "wt.h"
#include <sys/mount.h>

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX		0x00200000
#endif

static bool is_dax(int fd)
{
	struct statx stx;

	wt_sys(statx(fd, "", AT_EMPTY_PATH, 0, &stx));
	return stx.stx_attributes & STATX_ATTR_DAX;
}

static void refused(enum wt_mode mode, int fd, int flags, const char *what)
{
	char *buf = wt_alloc(8192);
	ssize_t ret;

	wt_pattern(buf, 8192, 0, 2);
	ret = wt_write(mode, fd, buf, 4096, 0, flags);
	wt_check(ret == -EOPNOTSUPP, "%s: %s: %zd", wt_mode_name[mode], what,
		 ret);
	/* Ahead of the checks that a write would fail for another reason. */
	ret = wt_write(mode, fd, NULL, 4096, 0, flags);
	wt_check(ret == -EOPNOTSUPP, "%s: %s, no data: %zd",
		 wt_mode_name[mode], what, ret);
	munmap(buf, 8192);
}

static void plain(int fd, int gen)
{
	void *buf = wt_alloc(64 * KIB);

	wt_plain_gen(fd, 4096, 64 * KIB, gen);
	wt_check(pread(fd, buf, 64 * KIB, 4096) == 64 * KIB, "read");
	wt_expect_buf("DAX", buf, 64 * KIB, 4096, gen);
	munmap(buf, 64 * KIB);
}

static bool accepts(enum wt_mode mode)
{
	return mode == WT_SYNC || wt_usable(mode);
}

int main(void)
{
	enum wt_mode mode;
	int fd;

	if (access("/dev/pmem0", F_OK))
		wt_note("note: no memory that is a disk");
	else
		setenv("WT_DEV", "/dev/pmem0", 1);
	wt_start("dax", 60);
	wt_need_writethrough();
	if (access("/dev/pmem0", F_OK))
		wt_skip("no memory that is a disk");
	wt_flusher_off();

	/* Which interfaces carry the flag is asked without DAX. */
	wt_mkfs("-m reflink=0");
	wt_mount("dax=never");
	if (wt_bsize != wt_psize)
		wt_skip("DAX takes blocks that are pages only");
	wt_for_each_mode(mode)
		wt_note("%s carries the flag", wt_mode_name[mode]);
	fd = wt_make_file("file", 128 * KIB, 1);
	wt_check(!is_dax(fd), "DAX without being asked for");
	wt_for_each_mode(mode)
		wt_write_gen(mode, fd, 0, 4096, 2);
	close(fd);
	wt_umount();

	wt_mount("dax=always");
	fd = wt_make_file("dax", 128 * KIB, 1);
	wt_check(is_dax(fd), "not DAX");
	for (mode = WT_SYNC; mode < WT_NR_MODES; mode++) {
		if (!accepts(mode))
			continue;
		refused(mode, fd, 0, "with the flag");
		refused(mode, fd, RWF_DSYNC, "with RWF_DSYNC");
		refused(mode, fd, RWF_APPEND, "with RWF_APPEND");
		refused(mode, fd, RWF_NOWAIT, "with RWF_NOWAIT");
	}
	wt_expect_file(fd, 0, 128 * KIB, 1);
	plain(fd, 3);
	wt_sys(fsync(fd));
	plain(fd, 4);
	close(fd);
	wt_finish();
}
