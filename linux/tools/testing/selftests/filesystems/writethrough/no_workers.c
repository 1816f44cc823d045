// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring serves an overwrite of allocated, cached, idle blocks itself. Only
 * what direct I/O hands over to a worker thread as well is handed over: a write
 * that has to update the timestamps, on a mount without lazytime.
 *
 * Mutant: 060-batch-of-all-refused
 * Mutant: 061-end-of-file-exclusive
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1024 * WT_KIB)
#define ROUNDS		40

static const char * const events[] = {
	"io_uring/io_uring_queue_async_work",
	"xfs/xfs_update_time",
};

static const unsigned int kib[] = { 4, 16, 64 };

static unsigned int handed_over(void)
{
	return wt_trace_count("io_uring_queue_async_work", NULL);
}

static unsigned int due(void)
{
	return wt_trace_count("xfs_update_time", NULL);
}

static void one(int fd, bool direct, void *buf, size_t len, off_t off)
{
	struct iovec iov = { buf, len };
	struct wt_request req = {
		.mode = WT_URING, .fd = fd, .iov = &iov, .nr_iov = 1,
		.off = off, .plain = direct,
	};

	wt_check(!wt_submit(&req), "submission");
	wt_check(wt_wait(&req) == (ssize_t)len, "%s of %lld+%zu: %zd",
		 direct ? "direct write" : "write-through", (long long)off,
		 len, req.res);
}

/*
 * One after the other: each finds its blocks idle. Every second one comes late
 * enough to find the clock moved on.
 */
static void rounds(int fd, bool direct, size_t len)
{
	void *buf = wt_alloc(len);
	unsigned int i;

	wt_trace_on();
	for (i = 0; i < ROUNDS; i++) {
		off_t off = i * len % FILE_SIZE;

		if (i % 2)
			wt_sleep_ms(25);
		wt_pattern(buf, len, off, 2);
		one(fd, direct, buf, len, off);
	}
	wt_trace_off();
	munmap(buf, len);
}

/* What does have to be handed over is seen to be. */
static void control(void)
{
	int fd = wt_make_file("control", FILE_SIZE, 1);
	void *buf = wt_alloc(wt_unit);

	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			 wt_unit));
	wt_trace_on();
	one(fd, false, buf, wt_unit, 0);
	wt_trace_off();
	wt_check(handed_over() == 1, "a write to a hole: %u hand-overs",
		 handed_over());

	wt_trace_on();
	one(fd, false, buf, wt_unit - 1, wt_unit);
	wt_trace_off();
	wt_check(handed_over() == 1, "part of a block: %u hand-overs",
		 handed_over());
	munmap(buf, wt_unit);
	close(fd);
}

static void overwrites(bool lazytime)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	int direct = wt_make_file("direct", FILE_SIZE, 1);
	unsigned int i;

	close(direct);
	wt_drop_caches();
	direct = wt_open("direct", O_RDWR | O_DIRECT);
	wt_expect_file(fd, 0, FILE_SIZE, 1);
	wt_write_gen(WT_SYNC, fd, 0, FILE_SIZE, 1);

	for (i = 0; i < ARRAY_SIZE(kib); i++) {
		unsigned int by_direct, direct_due;
		size_t size = kib[i] * WT_KIB;

		rounds(direct, true, size);
		by_direct = handed_over();
		direct_due = due();
		rounds(fd, false, size);
		wt_note("%zu bytes%s: %u hand-overs of %u writes, %u timestamps due; direct %u, %u",
			size, lazytime ? ", lazytime" : "", handed_over(),
			ROUNDS, due(), by_direct, direct_due);
		if (lazytime) {
			wt_check(!by_direct, "direct I/O: %u hand-overs",
				 by_direct);
			wt_check(!handed_over(), "%u hand-overs", handed_over());
			continue;
		}
		/*
		 * How often an update is due is up to the clock: the two runs
		 * are compared by what they do about it.
		 */
		wt_check(direct_due && due(), "timestamps are never due");
		wt_check(by_direct == direct_due,
			 "direct I/O: %u hand-overs, %u timestamps", by_direct,
			 direct_due);
		wt_check(handed_over() <= due(),
			 "%u hand-overs, but %u timestamps", handed_over(),
			 due());
	}
	wt_expect_both(fd, 0, FILE_SIZE, 2);
	close(fd);
	close(direct);
}

int main(void)
{
	wt_start("no_workers", 60);
	wt_need_writethrough();
	wt_setup(NULL, "lazytime");
	if (!wt_usable(WT_URING))
		wt_skip("io_uring does not carry the flag");
	wt_trace_setup(events, ARRAY_SIZE(events));
	control();
	overwrites(true);
	wt_umount();
	wt_mount(NULL);
	overwrites(false);
	wt_finish();
}
