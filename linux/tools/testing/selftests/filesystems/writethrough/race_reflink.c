// SPDX-License-Identifier: GPL-2.0
/*
 * A file is cloned while it is overwritten. In the clone each block is from
 * one write, whole, and stays as it is whatever is written to the source
 * afterwards. Dedupe and a second clone of the clone do no harm either.
 *
 * Mutant: 010-shared-overwritten
 * lab: --disk 600M --timeout 120
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * WT_KIB)
#define GENERATIONS	200

static volatile int *stop;
static enum wt_mode job_mode;

static void writer(void *arg)
{
	uint64_t seed = *(int *)arg;
	int fd = wt_open("file", O_RDWR);
	unsigned int gen = 1;

	while (!*stop) {
		size_t len = (1 + wt_random(&seed) % 16) * wt_bsize;
		off_t off = wt_random(&seed) % ((FILE_SIZE - len) / wt_bsize) *
			wt_bsize;

		gen = gen % GENERATIONS + 1;
		wt_write_gen(job_mode, fd, off, len, gen);
	}
	close(fd);
}

static void check_blocks(const char *what, const char *buf)
{
	off_t off;

	for (off = 0; off < FILE_SIZE; off += wt_bsize) {
		unsigned int gen;

		for (gen = 1; gen <= GENERATIONS; gen++)
			if (wt_mismatch(buf + off, wt_bsize, off, gen) < 0)
				break;
		wt_check(gen <= GENERATIONS,
			 "%s: the block at %lld is from no single write", what,
			 (long long)off);
	}
}

static void one(enum wt_mode mode)
{
	char *first = wt_alloc(FILE_SIZE), *again = wt_alloc(FILE_SIZE);
	int fd = wt_make_file("file", FILE_SIZE, 1), clone, seed[2] = { 5, 6 };
	long long end = wt_now_ms() + 5000;
	unsigned int n = 0;
	pid_t pid[2];

	*stop = 0;
	job_mode = mode;
	pid[0] = wt_fork(writer, &seed[0]);
	pid[1] = wt_fork(writer, &seed[1]);
	while (wt_now_ms() < end) {
		clone = wt_open("clone", O_RDWR | O_TRUNC);
		wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone");
		wt_check(pread(clone, first, FILE_SIZE, 0) == FILE_SIZE, "read");
		check_blocks("clone", first);
		wt_sleep_ms(30);
		if (n++ % 2)
			wt_drop_caches();
		wt_raw_read(clone, again, 0, FILE_SIZE);
		wt_check(!memcmp(first, again, FILE_SIZE),
			 "the clone changed on the device");
		wt_check(pread(clone, again, FILE_SIZE, 0) == FILE_SIZE, "read");
		wt_check(!memcmp(first, again, FILE_SIZE), "the clone changed");
		close(clone);
	}
	*stop = 1;
	wt_join(pid[0]);
	wt_join(pid[1]);
	wt_check(n > 1, "only %u clones", n);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	wt_check(pread(fd, first, FILE_SIZE, 0) == FILE_SIZE, "read");
	check_blocks("source", first);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("race_reflink", 100);
	wt_need_writethrough();
	stop = wt_shared(sizeof(*stop));
	wt_setup(NULL, NULL);
	wt_poison_free(32 * MIB);
	wt_for_each_mode(mode)
		one(mode);
	wt_finish();
}
