// SPDX-License-Identifier: GPL-2.0
/*
 * The space ends half way: a short count of what was written through, ENOSPC
 * alone if that was nothing. It is found out before a byte is copied.
 *
 * Mutant: 019-short-count-lost
 * Mutant: 172-atomic-no-space-for-ever
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define ATOMIC	(64 * KIB)

static off_t size_of(int fd)
{
	struct stat st;

	wt_sys(fstat(fd, &st));
	return st.st_size;
}

/*
 * The space of a long call is found piece by piece: so much of it counts as
 * there was space for. Smaller calls then use up the rest.
 */
static void one(enum wt_mode mode, bool sparse)
{
	size_t len = 16 * MIB;
	char *buf = wt_alloc(len);
	int fd = wt_open("file", O_RDWR | O_TRUNC);
	off_t pos = 0;
	ssize_t ret;
	int calls = 0;

	if (sparse)
		wt_sys(ftruncate(fd, 32 * MIB));
	wt_fill_fs(9 * MIB);
	while (len >= wt_bsize) {
		wt_pattern(buf, len, pos, 2);
		ret = wt_write(mode, fd, buf, len, pos, 0);
		if (!calls++)
			wt_check(ret > 0 && ret < (ssize_t)len,
				 "16 MiB where 9 MiB were left: %zd", ret);
		if (ret == -ENOSPC) {
			len /= 2;
			continue;
		}
		wt_check(ret > 0, "on a full file system: %zd", ret);
		pos += ret;
		wt_check(calls < 2000 && pos <= 10 * MIB,
			 "%lld bytes fit where 9 MiB were left", (long long)pos);
		wt_check(!wt_cache(fd, 0, pos).dirty, "dirty pages");
	}
	wt_note("%s, %s: %lld bytes in %d calls", wt_mode_name[mode],
		sparse ? "hole" : "append", (long long)pos, calls);
	wt_check(pos > 8 * MIB, "only %lld bytes fitted", (long long)pos);
	wt_check(!wt_cache(fd, 0, 32 * MIB).dirty, "dirty pages");
	wt_expect_both(fd, 0, pos, 2);
	if (sparse)
		wt_expect_both(fd, pos, 4 * MIB, 0);
	else
		wt_check(size_of(fd) == pos, "size %lld, written %lld",
			 (long long)size_of(fd), (long long)pos);
	/* What is there already can be overwritten. */
	wt_write_gen(mode, fd, 0, pos / 2, 3);
	wt_expect_both(fd, 0, pos / 2, 3);
	/* But not atomically: that takes as much space again. */
	wt_pattern(buf, ATOMIC, 0, 4);
	ret = wt_write(mode, fd, buf, ATOMIC, 0, RWF_ATOMIC);
	wt_check(ret == -ENOSPC, "atomic: %zd", ret);
	wt_expect_both(fd, 0, pos / 2, 3);
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	wt_expect_file(fd, 0, pos / 2, 3);
	wt_expect_file(fd, pos / 2, pos - pos / 2, 2);
	close(fd);
	wt_sys(unlink(wt_path("file")));
	wt_sys(unlink(wt_path("filler")));
	/* their space is given back in the background, but before this ends */
	wt_umount();
	wt_mount(NULL);
	munmap(buf, 16 * MIB);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("enospc", 90);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, false);
		one(mode, true);
	}
	wt_finish();
}
