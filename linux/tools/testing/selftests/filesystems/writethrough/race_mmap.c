// SPDX-License-Identifier: GPL-2.0
/*
 * Beside a write-through: stores through a mapping of all of the file, and
 * msync. Once all is done the device has what the cache has. (One CPU in
 * User-Mode Linux: see mmap_store.c.)
 *
 * Mutant: 012-whole-folio-cleaned
 * lab: --disk 600M
 * lab-um: --cpus 1
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * WT_KIB)
#define GENERATIONS	1000

static volatile int *stop;

static void pick(uint64_t *seed, off_t unit, off_t *off, size_t *len)
{
	*len = (1 + wt_random(seed) % (24 * WT_KIB / unit)) * unit;
	*off = wt_random(seed) % ((FILE_SIZE - *len) / unit) * unit;
}

static void storer(void *arg)
{
	uint64_t seed = *(int *)arg;
	int fd = wt_open("file", O_RDWR);
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);
	size_t len;
	off_t off;

	wt_check(map != MAP_FAILED, "mmap");
	while (!*stop) {
		pick(&seed, 8, &off, &len);
		wt_pattern(map + off, len, off, 1 + wt_random(&seed) % GENERATIONS);
		if (wt_random(&seed) % 4 == 0)
			wt_sys(msync(map, FILE_SIZE, MS_SYNC));
	}
	munmap(map, FILE_SIZE);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("race_mmap", 60);
	wt_need_writethrough();
	stop = wt_shared(sizeof(*stop));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		int fd = wt_make_file("file", FILE_SIZE, 1), seed = 12;
		long long end = wt_now_ms() + 2500;
		uint64_t random = 11;
		unsigned int gen = 1;
		pid_t pid;

		*stop = 0;
		pid = wt_fork(storer, &seed);
		while (wt_now_ms() < end) {
			size_t len;
			off_t off;

			gen = gen % GENERATIONS + 1;
			pick(&random, gen % 2 ? wt_bsize : 8, &off, &len);
			wt_write_gen(mode, fd, off, len, gen);
		}
		*stop = 1;
		wt_join(pid);
		wt_sys(fsync(fd));
		wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
		close(fd);
	}
	wt_finish();
}
