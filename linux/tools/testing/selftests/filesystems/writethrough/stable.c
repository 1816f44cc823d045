// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes of a write-through cannot change on their way to the device: a
 * store through a mapping and a plain write to a page in flight wait, and are
 * not lost. Not either if the write covers one block of several, and the page
 * stays dirty for the others; and not in a file that has never been written
 * through before, while the rest of the write has yet to be copied.
 *
 * Mutant: 014-not-write-protected
 * Mutant: 067-protected-only-when-cleaned
 * Mutant: 015-no-stable-bit
 * Mutant: 047-bit-not-looked-at
 * Mutant: 109-marked-too-late
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

struct shared {
	volatile int	phase;
	volatile int	stored;
};

static struct shared *shared;
static int fd;

/* Store to a page that this process has stored to before. */
static void store(void *arg)
{
	char *map = mmap(NULL, wt_unit, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);

	wt_check(map != MAP_FAILED, "mmap");
	map[*(int *)arg] = 0x11;
	shared->phase = 1;
	while (shared->phase != 2)
		wt_sleep_ms(1);
	map[*(int *)arg] = 0x22;
	shared->stored = 1;
}

static void plain_write(void *arg)
{
	char byte = 0x22;

	shared->phase = 1;
	while (shared->phase != 2)
		wt_sleep_ms(1);
	wt_check(pwrite(fd, &byte, 1, *(int *)arg) == 1, "plain write");
	shared->stored = 1;
}

static void one(struct wt_dm *dm, enum wt_mode mode, void (*other)(void *),
		size_t len)
{
	char *disk = wt_alloc(wt_unit), *wanted = wt_alloc(wt_unit), now;
	struct iovec iov = { wt_alloc(len), len };
	struct wt_request req = { .mode = mode, .iov = &iov, .nr_iov = 1 };
	int at = 100;
	pid_t pid;

	fd = wt_make_file("file", wt_unit, 1);
	req.fd = fd;
	wt_pattern(iov.iov_base, len, 0, 2);
	shared->phase = 0;
	shared->stored = 0;
	pid = wt_fork(other, &at);
	while (shared->phase != 1)
		wt_sleep_ms(1);
	/* Blocks that the write does not touch. */
	wt_plain_gen(fd, len, wt_unit - len, 3);

	wt_dm_suspend(dm);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 300), "write-through did not wait for the device");
	wt_check(wt_cache(fd, 0, wt_unit).dirty == (len < wt_unit),
		 "blocks that were not written through");
	shared->phase = 2;
	wt_check(!wt_exited(pid, 300) && !shared->stored,
		 "a page changed on its way to the device");
	wt_dm_resume(dm);
	wt_check(wt_wait(&req) == (ssize_t)len, "write-through: %zd", req.res);
	wt_join(pid);

	/* The device has the write; the other one came after it. */
	wt_expect_disk(fd, 0, len, 2);
	wt_check(wt_cache(fd, 0, wt_unit).dirty == wt_unit / wt_psize,
		 "the later change did not make the page dirty");
	wt_check(pread(fd, &now, 1, at) == 1 && now == 0x22,
		 "the later change is not in the cache");
	wt_sys(fsync(fd));
	wt_pattern(wanted, wt_unit, 0, 3);
	memcpy(wanted, iov.iov_base, len);
	wanted[at] = 0x22;
	wt_raw_read(fd, disk, 0, wt_unit);
	wt_check(!memcmp(wanted, disk, wt_unit), "the later change was lost");
	close(fd);
	wt_sys(unlink(wt_path("file")));
}

/*
 * The first write-through of a file, of several batches. A page of the second one
 * is on its way to the device, by background writeback, and stays there: the first
 * batch is in flight, and the call is still busy.
 */
static void first_write(struct wt_dm *dm)
{
	const size_t len = 64 * wt_unit, busy = 40 * wt_unit;
	struct iovec iov = { wt_alloc(len), len };
	struct wt_request req = { .mode = WT_SYNC, .iov = &iov, .nr_iov = 1 };
	char *wanted = wt_alloc(len), *disk = wt_alloc(len);
	int at = 100, i;
	pid_t pid;

	fd = wt_make_pages("file", len, 1);
	req.fd = fd;
	wt_pattern(iov.iov_base, len, 0, 2);
	shared->phase = 0;
	shared->stored = 0;
	pid = wt_fork(store, &at);
	while (shared->phase != 1)
		wt_sleep_ms(1);
	wt_plain_gen(fd, busy, wt_unit, 3);

	wt_dm_suspend(dm);
	wt_sys(sync_file_range(fd, busy, wt_unit, SYNC_FILE_RANGE_WRITE));
	wt_check(wt_cache(fd, busy, wt_unit).writeback == wt_unit / wt_psize,
		 "the page of the second batch is not in flight");
	wt_check(!wt_submit(&req), "submission");
	for (i = 0; !wt_cache(fd, 0, wt_unit).writeback && i < 500; i++)
		wt_sleep_ms(10);
	wt_check(wt_cache(fd, 0, wt_unit).writeback == wt_unit / wt_psize,
		 "the first page is not in flight");
	wt_check(!wt_done(&req, 100), "write-through did not wait for the device");
	wt_check(!wt_cache(fd, len - wt_unit, wt_unit).writeback,
		 "the last page has been submitted already");
	shared->phase = 2;
	wt_check(!wt_exited(pid, 300) && !shared->stored,
		 "a page changed on its way to the device, by the first write-through");
	wt_dm_resume(dm);
	wt_check(wt_wait(&req) == (ssize_t)len, "write-through: %zd", req.res);
	wt_join(pid);

	wt_expect_disk(fd, 0, len, 2);
	wt_sys(fsync(fd));
	memcpy(wanted, iov.iov_base, len);
	wanted[at] = 0x22;
	wt_raw_read(fd, disk, 0, len);
	wt_check(!memcmp(wanted, disk, len), "the later change was lost");
	close(fd);
	wt_sys(unlink(wt_path("file")));
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;

	wt_start("stable", 60);
	wt_need_writethrough();
	shared = wt_shared(sizeof(*shared));
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	first_write(&dm);
	wt_for_each_mode(mode) {
		one(&dm, mode, store, wt_unit);
		one(&dm, mode, plain_write, wt_unit);
		if (wt_bsize == wt_unit)
			continue;
		one(&dm, mode, store, wt_bsize);
		one(&dm, mode, plain_write, wt_bsize);
	}
	wt_finish();
}
