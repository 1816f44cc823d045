// SPDX-License-Identifier: GPL-2.0
/*
 * Beside a write-through: direct writes and reads, plain writes, background
 * writeback, fsync, cache drops. The order is
 * anybody's; nothing that was never written shows up, and once all is done the
 * cache has what the device has.
 *
 * Mutant: 038-in-flight-not-waited-for
 * lab: --disk 600M --timeout 120
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * WT_KIB)
#define GENERATIONS	1000

static volatile int *stop;
static enum wt_mode job_mode;

static void pick(uint64_t *seed, off_t unit, off_t *off, size_t *len)
{
	*len = (1 + wt_random(seed) % (24 * WT_KIB / unit)) * unit;
	*off = wt_random(seed) % ((FILE_SIZE - *len) / unit) * unit;
}

static void through(void *arg)
{
	uint64_t seed = *(int *)arg;
	int fd = wt_open("file", O_RDWR);
	unsigned int gen = 1;
	size_t len;
	off_t off;

	while (!*stop) {
		gen = gen % GENERATIONS + 1;
		pick(&seed, wt_random(&seed) % 2 ? wt_bsize : 8, &off, &len);
		wt_write_gen(job_mode, fd, off, len, gen);
	}
	close(fd);
}

static void direct(void *arg)
{
	uint64_t seed = *(int *)arg;
	int fd = wt_open("file", O_RDWR | O_DIRECT);
	char *buf = wt_alloc(32 * WT_KIB);
	size_t len;
	off_t off;

	while (!*stop) {
		pick(&seed, 512, &off, &len);
		if (wt_random(&seed) % 2) {
			wt_pattern(buf, len, off, 1 + wt_random(&seed) % GENERATIONS);
			wt_sys(pwrite(fd, buf, len, off));
		} else {
			wt_sys(pread(fd, buf, len, off));
		}
	}
	close(fd);
}

static void plain(void *arg)
{
	uint64_t seed = *(int *)arg;
	int fd = wt_open("file", O_RDWR), n = 0;
	size_t len;
	off_t off;

	while (!*stop) {
		pick(&seed, 8, &off, &len);
		wt_plain_gen(fd, off, len, 1 + wt_random(&seed) % GENERATIONS);
		switch (n++ % 8) {
		case 0:
			wt_sys(fsync(fd));
			break;
		case 2:
			wt_sys(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
			break;
		case 4:
			wt_sys(syncfs(fd));
			break;
		case 6:
			wt_drop_caches();
			break;
		}
	}
	close(fd);
}

static void one(enum wt_mode mode, void (*other)(void *))
{
	int fd = wt_make_file("file", FILE_SIZE, 1), seed[2] = { 11, 12 };
	pid_t pid[2];

	*stop = 0;
	job_mode = mode;
	pid[0] = wt_fork(through, &seed[0]);
	pid[1] = wt_fork(other, &seed[1]);
	wt_sleep_ms(2500);
	*stop = 1;
	wt_join(pid[0]);
	wt_join(pid[1]);
	if (other == through || other == direct)
		wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_expect_words(fd, 0, FILE_SIZE, GENERATIONS, 0);
	wt_sys(fsync(fd));
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("race_io", 100);
	wt_need_writethrough();
	stop = wt_shared(sizeof(*stop));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		one(mode, through);
		one(mode, direct);
		one(mode, plain);
	}
	wt_finish();
}
