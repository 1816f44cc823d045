// SPDX-License-Identifier: GPL-2.0
/*
 * Atomic writes to a range that others store to all the time, through mappings: it
 * is dirty whenever somebody looks. Each write gets through, in bounded time, none
 * of the stores is lost, and nothing is where it does not belong.
 *
 * Mutant: 119-gives-up-on-stores
 * lab: --disk 600M
 * lab-um: --cpus 1
 */
#include "wt.h"

#define FILE_SIZE	(256 * WT_KIB)
#define OFF		(64 * WT_KIB)
#define LEN		(16 * WT_KIB)
#define STORERS		3
#define WRITES		40
#define LIMIT_MS	15000

static volatile int *stop;
static int fd;

/* The last word of each page of the range counts what this one has stored. */
static void storer(void *arg)
{
	unsigned int me = *(unsigned int *)arg, n = 0;
	char *map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, OFF);
	size_t pages = LEN / wt_psize, i;

	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	for (;;) {
		bool last = *stop;

		n++;
		for (i = 0; i < pages; i++) {
			volatile uint32_t *word = (volatile uint32_t *)
				(map + (i + 1) * wt_psize) - 1 - me;

			*word = n;
		}
		if (last)
			break;
	}
	/* The writes have ended: what was stored last is there. */
	for (i = 0; i < pages; i++)
		wt_check(((uint32_t *)(map + (i + 1) * wt_psize))[-1 - (int)me] ==
			 n, "a store to page %zu was lost", i);
	munmap(map, LEN);
}

static void expect_range(int gen)
{
	char *cache = wt_alloc(LEN);
	size_t kept = wt_psize - STORERS * sizeof(uint32_t), pos;

	wt_check(pread(fd, cache, LEN, OFF) == LEN, "read");
	for (pos = 0; pos < LEN; pos += wt_psize)
		wt_expect_buf("what nobody stores to", cache + pos, kept,
			      OFF + pos, gen);
	wt_expect_file(fd, 0, OFF, 1);
	wt_expect_file(fd, OFF + LEN, FILE_SIZE - OFF - LEN, 1);
	munmap(cache, LEN);
}

static void one(enum wt_mode mode)
{
	unsigned int me[STORERS], i, gen;
	char *buf = wt_alloc(LEN);
	pid_t pid[STORERS];
	long long start, took, most = 0;

	fd = wt_make_file("file", FILE_SIZE, 1);
	*stop = 0;
	for (i = 0; i < STORERS; i++) {
		me[i] = i;
		pid[i] = wt_fork(storer, &me[i]);
	}
	for (gen = 2; gen < 2 + WRITES; gen++) {
		ssize_t ret;

		wt_pattern(buf, LEN, OFF, gen);
		start = wt_now_ms();
		ret = wt_write(mode, fd, buf, LEN, OFF, RWF_ATOMIC);
		took = wt_now_ms() - start;
		wt_check(ret == LEN, "write %u: %zd", gen, ret);
		wt_check(took < LIMIT_MS, "write %u took %lld ms", gen, took);
		if (took > most)
			most = took;
		expect_range(gen);
	}
	*stop = 1;
	for (i = 0; i < STORERS; i++)
		wt_join(pid[i]);
	wt_note("note: %s: %d writes, the longest %lld ms", wt_mode_name[mode],
		WRITES, most);
	wt_sys(fsync(fd));
	expect_range(gen - 1);
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	close(fd);
	munmap(buf, LEN);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("race_atomic", 110);
	wt_need_writethrough();
	stop = wt_shared(sizeof(*stop));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode)
		one(mode);
	wt_finish();
}
