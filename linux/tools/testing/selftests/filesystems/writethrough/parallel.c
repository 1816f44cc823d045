// SPDX-License-Identifier: GPL-2.0
/*
 * Several processes write through to one file at a time: to blocks of their
 * own, each finds what it wrote; to the same blocks, each block is from one of
 * them, and the device has what the cache has.
 *
 * Mutant: 038-in-flight-not-waited-for
 * lab: --disk 600M --timeout 240
 * blocks: 1024
 */
#include "wt.h"

#define WRITERS		4
#define FILE_SIZE	(512 * WT_KIB)

struct job {
	enum wt_mode	mode;
	unsigned int	me;
	bool		overlap;
	off_t		stripe;		/* own blocks: one in WRITERS of these */
};

static void writer(void *arg)
{
	struct job *job = arg;
	uint64_t seed = job->me * 77 + 1;
	int fd = wt_open("file", O_RDWR);
	long long end = wt_now_ms() + 3000;
	unsigned int n;

	for (n = 0; wt_now_ms() < end; n++) {
		unsigned int gen = 10 + job->me + WRITERS * (n % 100);
		off_t off;
		size_t len;

		if (job->overlap) {
			len = (1 + wt_random(&seed) % 16) * wt_bsize;
			off = wt_random(&seed) % ((FILE_SIZE - len) / wt_bsize) *
				wt_bsize;
			wt_write_gen(job->mode, fd, off, len, gen);
		} else {
			off = wt_random(&seed) % (FILE_SIZE / job->stripe / WRITERS);
			off = (off * WRITERS + job->me) * job->stripe;
			len = job->stripe;
			wt_write_gen(job->mode, fd, off, len, gen);
			wt_expect_both(fd, off, len, gen);
		}
	}
	close(fd);
}

static void one(enum wt_mode mode, bool overlap, off_t stripe)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	struct job job[WRITERS];
	pid_t pid[WRITERS];
	unsigned int i;
	off_t off;

	for (i = 0; i < WRITERS; i++) {
		job[i] = (struct job) { mode, i, overlap, stripe };
		pid[i] = wt_fork(writer, &job[i]);
	}
	for (i = 0; i < WRITERS; i++)
		wt_join(pid[i]);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	for (off = 0; off < FILE_SIZE; off += wt_bsize) {
		char *buf = wt_alloc(wt_bsize);
		unsigned int gen;

		wt_raw_read(fd, buf, off, wt_bsize);
		for (gen = 1; gen < 10 + WRITERS * 101; gen++)
			if (wt_mismatch(buf, wt_bsize, off, gen) < 0)
				break;
		wt_check(gen < 10 + WRITERS * 101,
			 "the block at %lld is from no single write",
			 (long long)off);
		munmap(buf, wt_bsize);
	}
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("parallel", 150);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, false, 4 * wt_bsize);
		/* neighbours in one page, if blocks are smaller than pages */
		one(mode, false, wt_bsize);
		one(mode, true, 0);
	}
	wt_finish();
}
