// SPDX-License-Identifier: GPL-2.0
/*
 * Pages are reclaimed all the time while they are written through: a page that
 * is not under writeback can go at any moment, and reading it back must find
 * what was written.
 *
 * Mutant: 006-no-conversion
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1 * MIB)

static volatile int *stop;

static void dropper(void *arg)
{
	(void)arg;
	while (!*stop)
		wt_drop_caches();
}

int main(void)
{
	uint64_t seed = 5;
	enum wt_mode mode;

	wt_start("reclaim", 60);
	wt_need_writethrough();
	stop = wt_shared(sizeof(*stop));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		int fd = wt_open("file", O_RDWR | O_TRUNC);
		long long end = wt_now_ms() + 4000;
		unsigned int gen = 1, n = 0;
		pid_t pid;

		/* Holes, unwritten, written, shared: conversions on the way. */
		wt_sys(ftruncate(fd, FILE_SIZE));
		wt_sys(fallocate(fd, FALLOC_FL_KEEP_SIZE, FILE_SIZE / 2,
				 FILE_SIZE / 4));
		*stop = 0;
		pid = wt_fork(dropper, NULL);
		while (wt_now_ms() < end) {
			off_t off = wt_random(&seed) % (FILE_SIZE - 40000);
			size_t len = 1 + wt_random(&seed) % 40000;

			gen = gen % 1000 + 1;
			wt_write_gen(mode, fd, off, len, gen);
			wt_expect_file(fd, off, len, gen);
			wt_expect_disk(fd, off, len, gen);
			if (++n % 50 == 0) {
				int clone = wt_open("clone", O_RDWR | O_TRUNC);

				wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone");
				close(clone);
			}
		}
		*stop = 1;
		wt_join(pid);
		wt_check(n > 5, "only %u writes", n);
		wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
		close(fd);
	}
	wt_finish();
}
