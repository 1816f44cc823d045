// SPDX-License-Identifier: GPL-2.0
/*
 * A process stores through a mapping, all the time, to the pages that another
 * writes through. No store is lost, and at the end the device has what the
 * cache has.
 *
 * With several CPUs, User-Mode Linux (7.3, pristine) lets a process that runs
 * on another one go on storing to a page that has just been write-protected,
 * and loses the store: one CPU there.
 *
 * Mutant: 068-cached-block-read-again
 * lab: --disk 600M
 * lab-um: --cpus 1
 * blocks: 1024
 */
#include "wt.h"

#define PAGES	4

struct shared {
	volatile int	stop;
	volatile long	count[PAGES];
};

static struct shared *shared;
static int fd;

/* A counter at the end of each page; the writes leave it alone. */
static void storer(void *arg)
{
	char *map = mmap(NULL, PAGES * wt_psize, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
	int i;

	(void)arg;
	wt_check(map != MAP_FAILED, "mmap");
	while (!shared->stop) {
		for (i = 0; i < PAGES; i++) {
			volatile long *p = (long *)(map + (i + 1) * wt_psize) - 1;

			if (*p != shared->count[i])
				wt_fail("a store was lost: %ld instead of %ld",
					*p, shared->count[i]);
			*p = ++shared->count[i];
		}
	}
}

int main(void)
{
	unsigned int gen = 2;
	enum wt_mode mode;
	long long end;
	pid_t pid;
	int i;

	wt_start("mmap_store", 60);
	wt_need_writethrough();
	shared = wt_shared(sizeof(*shared));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		size_t len = wt_psize - sizeof(long);

		fd = wt_open("file", O_RDWR | O_TRUNC);
		wt_sys(ftruncate(fd, PAGES * wt_psize));
		memset((void *)shared, 0, sizeof(*shared));
		pid = wt_fork(storer, NULL);
		end = wt_now_ms() + 3000;
		while (wt_now_ms() < end) {
			/* all of each page but the counter, then all whole */
			for (i = 0; i < PAGES; i++)
				wt_write_gen(mode, fd, i * wt_psize, len, gen);
			gen++;
			wt_check(!wt_exited(pid, 0), "the other process ended");
		}
		shared->stop = 1;
		wt_join(pid);
		wt_sys(fsync(fd));
		wt_expect_cache_is_disk(fd, 0, PAGES * wt_psize);
		for (i = 0; i < PAGES; i++) {
			long count = 0;

			wt_expect_both(fd, i * wt_psize, len, gen - 1);
			wt_check(pread(fd, &count, sizeof(count),
				       i * wt_psize + len) == sizeof(count) &&
				 count == shared->count[i],
				 "counter %ld, stored %ld", count,
				 shared->count[i]);
			wt_check(count > 100, "only %ld stores", count);
		}
		close(fd);
	}
	wt_finish();
}
