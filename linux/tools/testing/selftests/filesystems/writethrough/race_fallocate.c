// SPDX-License-Identifier: GPL-2.0
/*
 * One process writes through, another takes the blocks away from below: by
 * truncate, punch, zero range, collapse, insert, unshare. At no time does the
 * file hold anything that was never written to it, such as what the blocks
 * held in a former life, and in the end the device has what the cache has.
 *
 * Mutant: 039-wrong-lock
 * lab: --disk 600M --timeout 180
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(512 * KIB)
#define GENERATIONS	1000

enum change {
	TRUNCATE, PUNCH, ZERO, COLLAPSE, INSERT, KEEP, UNSHARE, NR_CHANGES,
};

static const char * const change_name[] = {
	"truncate", "punch", "zero", "collapse", "insert", "preallocate",
	"unshare",
};

static volatile int *stop;
static enum wt_mode job_mode;

static void writer(void *arg)
{
	uint64_t seed = *(int *)arg;
	int fd = wt_open("file", O_RDWR);
	unsigned int gen = 1;
	char *buf = wt_alloc(64 * KIB);

	while (!*stop) {
		/* Whole words, so that none is from two writes. */
		size_t len = 8 + (wt_random(&seed) % (32 * KIB) & ~7UL);
		off_t off = wt_random(&seed) % (FILE_SIZE - 64 * KIB) & ~7UL;
		ssize_t ret;

		if (wt_random(&seed) % 2) {
			off &= ~(off_t)(wt_bsize - 1);
			len = (len + wt_bsize - 1) / wt_bsize * wt_bsize;
		}
		gen = gen % GENERATIONS + 1;
		wt_pattern(buf, len, off, gen);
		ret = wt_write(job_mode, fd, buf, len, off, 0);
		wt_check(ret == (ssize_t)len, "write-through: %zd", ret);
	}
	close(fd);
}

static void change(int fd, enum change what, uint64_t *seed)
{
	off_t off = wt_random(seed) % FILE_SIZE & ~7UL;
	off_t len = 8 + (wt_random(seed) % (64 * KIB) & ~7UL);
	off_t block = off & ~(off_t)(wt_bsize - 1);
	off_t blocks = (len + wt_bsize - 1) & ~(off_t)(wt_bsize - 1);
	int clone, ret = 0;

	switch (what) {
	case TRUNCATE:
		wt_sys(ftruncate(fd, off));
		if (wt_random(seed) % 2)
			wt_sys(ftruncate(fd, FILE_SIZE));
		break;
	case PUNCH:
		ret = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				off, len);
		break;
	case ZERO:
		ret = fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				off, len);
		break;
	case COLLAPSE:
		ret = fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, block, blocks);
		break;
	case INSERT:
		if (lseek(fd, 0, SEEK_END) > 4 * FILE_SIZE)
			ret = ftruncate(fd, FILE_SIZE);
		else
			ret = fallocate(fd, FALLOC_FL_INSERT_RANGE, block, blocks);
		break;
	case KEEP:
		ret = fallocate(fd, FALLOC_FL_KEEP_SIZE, off, len);
		break;
	case UNSHARE:
		clone = wt_open("clone", O_RDWR | O_TRUNC);
		wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone");
		close(clone);
		ret = fallocate(fd, FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE,
				0, FILE_SIZE);
		break;
	default:
		break;
	}
	/* The range may be behind the end of the file by now. */
	wt_check(!ret || errno == EINVAL, "%s: %s", change_name[what],
		 strerror(errno));
}

static void one(enum wt_mode mode, enum change what)
{
	off_t stride = what == COLLAPSE || what == INSERT ? wt_bsize : 0;
	int fd = wt_open("file", O_RDWR | O_TRUNC), seeds[2] = { 3, 4 };
	long long end = wt_now_ms() + 1200;
	uint64_t seed = what;
	unsigned int n = 0;
	pid_t pid[2];
	off_t size;

	*stop = 0;
	job_mode = mode;
	pid[0] = wt_fork(writer, &seeds[0]);
	pid[1] = wt_fork(writer, &seeds[1]);
	/* However slow the machine is: wt_start() bounds it. */
	while (wt_now_ms() < end || n < 5) {
		change(fd, what, &seed);
		n++;
		if (n % 64 == 0)
			wt_drop_caches();
	}
	*stop = 1;
	wt_join(pid[0]);
	wt_join(pid[1]);
	size = lseek(fd, 0, SEEK_END);
	wt_expect_words(fd, 0, size, GENERATIONS, stride);
	wt_sys(fsync(fd));
	wt_expect_cache_is_disk(fd, 0, size);
	close(fd);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	wt_expect_words(fd, 0, size, GENERATIONS, stride);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;
	unsigned int i;

	wt_start("race_fallocate", 150);
	wt_need_writethrough();
	stop = wt_shared(sizeof(*stop));
	wt_setup(NULL, NULL);
	wt_poison_free(64 * MIB);
	wt_for_each_mode(mode)
		for (i = 0; i < NR_CHANGES; i++)
			one(mode, i);
	wt_finish();
}
