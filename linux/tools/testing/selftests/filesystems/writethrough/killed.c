// SPDX-License-Identifier: GPL-2.0
/*
 * The writer dies in the middle of it, or goes away with I/O in flight. The
 * I/O comes to its end without it: whole words of this write or the one before,
 * nothing left under writeback, and the file system can be unmounted.
 *
 * Mutant: 040-context-freed-early
 * lab: --disk 600M
 */
#include "wt.h"
#include <signal.h>

#define FILE_SIZE	(1 * MIB)

static enum wt_mode job_mode;

static void writer(void *arg)
{
	int fd = wt_open("file", O_RDWR);
	unsigned int gen = *(unsigned int *)arg;

	for (;;)
		wt_write_gen(job_mode, fd, 0, FILE_SIZE, gen);
}

/* In flight when the process, and with it the queue, goes away. */
static void submitter(void *arg)
{
	int fd = wt_open("file", O_RDWR);
	char *buf = wt_alloc(64 * KIB);
	struct iovec iov = { buf, 64 * KIB };
	struct wt_request req = {
		.mode = job_mode, .fd = fd, .iov = &iov, .nr_iov = 1,
		.off = 128 * KIB,
	};

	wt_pattern(buf, 64 * KIB, 128 * KIB, *(unsigned int *)arg);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 100), "did not wait for the device");
}

static void idle(int fd)
{
	int i;

	for (i = 0; i < 200 && wt_cache(fd, 0, FILE_SIZE).writeback; i++)
		wt_sleep_ms(10);
	wt_expect_clean(fd, 0, FILE_SIZE);
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;
	uint64_t seed = 9;
	pid_t pid;
	int i, fd;

	wt_start("killed", 60);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		job_mode = mode;
		fd = wt_make_file("file", FILE_SIZE, 1);
		for (i = 0; i < 20; i++) {
			unsigned int gen = 2 + i;

			pid = wt_fork(writer, &gen);
			wt_sleep_ms(wt_random(&seed) % 100);
			wt_kill(pid);
			idle(fd);
			wt_expect_words(fd, 0, FILE_SIZE, gen, 0);
			wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
		}
		if (mode != WT_SYNC) {
			unsigned int gen = 100;

			wt_dm_suspend(&dm);
			pid = wt_fork(submitter, &gen);
			/* It may have to wait for its I/O on its way out. */
			wt_exited(pid, 500);
			wt_expect_file(fd, 128 * KIB, 64 * KIB, 100);
			wt_dm_resume(&dm);
			wt_join(pid);
			idle(fd);
			wt_expect_disk(fd, 128 * KIB, 64 * KIB, 100);
		}
		close(fd);
	}
	wt_finish();
}
