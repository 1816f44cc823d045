// SPDX-License-Identifier: GPL-2.0
/*
 * Extent size and copy-on-write size hints hold, speculative preallocation too:
 * appends and overwrites of shared blocks leave no more extents than plain
 * writes do whose data is written back as soon.
 *
 * Mutant: 036-no-preallocation
 * lab: --disk 600M --timeout 240
 */
#include "wt.h"

#define FILE_SIZE	(1 * MIB)

static void plain(int fd, off_t off, size_t len, unsigned int gen)
{
	wt_plain_gen(fd, off, len, gen);
	wt_sys(sync_file_range(fd, off, len, SYNC_FILE_RANGE_WRITE |
			       SYNC_FILE_RANGE_WAIT_AFTER));
}

/*
 * Two files grow by turns, a block at a time: their extents mix if they can. What
 * earlier files have left behind decides about that as well, so there are none.
 */
static unsigned int appends(int mode, unsigned int extsize)
{
	unsigned int extents;
	int a, b;
	off_t pos;

	wt_umount();
	wt_setup(NULL, NULL);
	a = wt_open("a", O_RDWR);
	b = wt_open("b", O_RDWR);
	if (extsize) {
		wt_check(!wt_set_xattr(a, FS_XFLAG_EXTSIZE, extsize, 0, 0), "hint");
		wt_check(!wt_set_xattr(b, FS_XFLAG_EXTSIZE, extsize, 0, 0), "hint");
	}
	for (pos = 0; pos < FILE_SIZE; pos += 8192) {
		if (mode < 0) {
			plain(a, pos, 8192, 1);
			plain(b, pos, 8192, 1);
		} else {
			wt_write_gen(mode, a, pos, 8192, 1);
			wt_write_gen(mode, b, pos, 8192, 1);
		}
	}
	wt_sys(fsync(a));
	wt_sys(fsync(b));
	wt_expect_both(a, 0, FILE_SIZE, 1);
	wt_expect_both(b, 0, FILE_SIZE, 1);
	extents = wt_extents(a);
	close(a);
	close(b);
	wt_sys(unlink(wt_path("a")));
	wt_sys(unlink(wt_path("b")));
	return extents;
}

/* Single blocks of a shared file, with gaps that the hint fills. */
static unsigned int overwrites(int mode, unsigned int cowextsize)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	int clone = wt_open("clone", O_RDWR | O_TRUNC);
	unsigned int extents;
	off_t pos;

	wt_check(!wt_set_xattr(fd, FS_XFLAG_COWEXTSIZE, 0, cowextsize, 0), "hint");
	wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone");
	for (pos = 0; pos < FILE_SIZE; pos += 4096) {
		if (mode < 0)
			plain(fd, pos, 4096, 2);
		else
			wt_write_gen(mode, fd, pos, 4096, 2);
	}
	wt_sys(fsync(fd));
	wt_expect_both(fd, 0, FILE_SIZE, 2);
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	extents = wt_extents(fd);
	close(fd);
	close(clone);
	wt_sys(unlink(wt_path("file")));
	wt_sys(unlink(wt_path("clone")));
	return extents;
}

int main(void)
{
	enum wt_mode mode;

	wt_start("hints", 220);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		static const unsigned int hint[] = { 0, 65536, 262144 };
		unsigned int i, buffered, through;

		for (i = 0; i < ARRAY_SIZE(hint); i++) {
			buffered = appends(-1, hint[i]);
			through = appends(mode, hint[i]);
			wt_note("appends, hint %u: %u extents, plain %u",
				hint[i], through, buffered);
			/* Files that grow by turns may alternate, hint by hint. */
			if (hint[i] && buffered < FILE_SIZE / hint[i])
				buffered = FILE_SIZE / hint[i];
			wt_check(through <= buffered,
				 "appends, hint %u: %u extents, plain %u",
				 hint[i], through, buffered);
		}
		buffered = overwrites(-1, 131072);
		through = overwrites(mode, 131072);
		wt_note("copy on write: %u extents, plain %u", through, buffered);
		wt_check(through <= buffered + 2,
			 "copy on write: %u extents, plain %u", through, buffered);
	}
	wt_finish();
}
