// SPDX-License-Identifier: GPL-2.0
/*
 * A write-through to a shared extent that the device refuses: the caller gets
 * EIO, the clone is unharmed, and stays so when everything there is to be
 * written back has been. A page that the failure had made dirty again would
 * have no reservation, and go to the blocks that the clone owns. The same for a
 * store to the page while its I/O is in flight: what was reserved for the I/O is
 * given up when that fails.
 *
 * Mutant: 011-dirty-from-completion
 * Mutant: 161-reserved-in-flight
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)
#define OFF		(64 * KIB)
#define LEN		(64 * KIB)

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

static void store(void *arg)
{
	wt_pattern(arg, wt_psize, OFF, 9);
}

/* The I/O is held back, a store to its page waits for it, and then it fails. */
static void stored_meanwhile(enum wt_mode mode)
{
	struct iovec iov = { wt_alloc(LEN), LEN };
	struct wt_request req = { .mode = mode, .iov = &iov, .nr_iov = 1,
				  .off = OFF };
	const char *plain = wt_dev;
	struct wt_dm dm;
	ssize_t ret;
	int clone;
	char *map;
	pid_t pid;

	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	req.fd = wt_make_file("src", FILE_SIZE, 1);
	clone = wt_open("clone", O_RDWR);
	/* What an allocation looks at is in memory from here on. */
	wt_check(!wt_clone(req.fd, 0, 0, clone, 0), "clone: %s", strerror(errno));
	wt_write_gen(mode, req.fd, 0, LEN, 1);
	wt_sys(fsync(req.fd));
	wt_sys(syncfs(req.fd));
	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, req.fd, 0);
	wt_check(map != MAP_FAILED, "mmap");
	wt_expect_buf("mapping", map + OFF, LEN, OFF, 1);

	wt_pattern(iov.iov_base, LEN, OFF, 2);
	wt_dm_suspend(&dm);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 100), "is not held back: %zd", req.res);
	pid = wt_fork(store, map + OFF);
	wt_check(!wt_exited(pid, 200), "the store does not wait");
	wt_inject_data("WRITE", "IOERR");
	wt_dm_resume(&dm);
	ret = wt_wait(&req);
	wt_join(pid);
	wt_inject_clear(wt_dev);
	wt_check(ret == -EIO, "held back: %zd", ret);
	fsync(req.fd);
	wt_sys(fsync(req.fd));
	wt_expect_both(req.fd, OFF, wt_psize, 9);
	munmap(map, FILE_SIZE);
	close(req.fd);
	close(clone);
	wt_drop_caches();
	clone = wt_open("clone", O_RDWR);
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	close(clone);
	wt_umount();
	wt_repair_check();
	wt_dm_remove(&dm);
	wt_raw = plain;
	wt_dev = wt_raw;
	munmap(iov.iov_base, LEN);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("reflink_eio", 120);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, OFF, wt_psize);
		one(mode, OFF, LEN);
		one(mode, OFF + 100, 200);
	}
	wt_umount();
	wt_for_each_mode(mode)
		stored_meanwhile(mode);
	wt_finish();
}
