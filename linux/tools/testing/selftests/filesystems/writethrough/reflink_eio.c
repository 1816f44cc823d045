// SPDX-License-Identifier: GPL-2.0
/*
 * A write-through to a shared extent that the device refuses: the caller gets
 * EIO, the clone is unharmed, and stays so when everything there is to be
 * written back has been. A page that the failure had made dirty again would
 * have no reservation, and go to the blocks that the clone owns.
 *
 * Mutant: 011-dirty-from-completion
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)

static void one(enum wt_mode mode, off_t off, size_t len)
{
	int src = wt_make_file("src", FILE_SIZE, 1);
	int clone = wt_open("clone", O_RDWR | O_TRUNC);
	void *buf = wt_alloc(len);
	ssize_t ret;

	wt_pattern(buf, len, off, 2);
	wt_check(!wt_clone(src, 0, 0, clone, 0), "clone: %s", strerror(errno));
	wt_sys(fsync(clone));
	wt_sys(fsync(src));
	wt_inject_data("WRITE", "IOERR");
	ret = wt_write(mode, src, buf, len, off, 0);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "write-through on a failing device: %zd", ret);

	wt_check(!wt_cache(src, 0, FILE_SIZE).dirty, "the failure left dirty pages");
	wt_expect_file(src, off, len, 2);
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	wt_check(fsync(src) == -1 && errno == EIO, "fsync does not tell");
	wt_sys(fsync(src));
	wt_check(syncfs(src) == -1 && errno == EIO, "syncfs does not tell");
	wt_sys(syncfs(src));
	wt_expect_both(clone, 0, FILE_SIZE, 1);

	/* What the device never had is gone with the cache. */
	close(src);
	close(clone);
	wt_drop_caches();
	src = wt_open("src", O_RDWR);
	clone = wt_open("clone", O_RDWR);
	wt_expect_both(src, 0, FILE_SIZE, 1);
	wt_expect_both(clone, 0, FILE_SIZE, 1);

	/* And it works again. */
	wt_write_gen(mode, src, off, len, 3);
	wt_expect_both(src, off, len, 3);
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	close(src);
	close(clone);
	munmap(buf, len);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("reflink_eio", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, 64 * KIB, wt_psize);
		one(mode, 64 * KIB, 64 * KIB);
		one(mode, 64 * KIB + 100, 200);
	}
	wt_finish();
}
