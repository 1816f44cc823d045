// SPDX-License-Identifier: GPL-2.0
/*
 * One large folio that everybody wants: while several processes write through
 * to different blocks of it, fsync of other blocks, truncate, punch, stores
 * through a mapping and reclaim get their turn, each within the time it takes
 * when the folio is still, and nothing is lost.
 *
 * only: x86_64
 * lab: --disk 600M --timeout 180
 * blocks: 1024
 */
#include "wt.h"

#define HUGE		(2 * MIB)
#define FILE_SIZE	(2 * HUGE)
#define WRITERS		2
#define AREA		(64 * KIB)	/* of each writer, in the first folio */
#define OTHERS		(512 * KIB)	/* what the others work on */
#define ROUNDS		60

static struct shared {
	int		stop;
	unsigned int	gen[WRITERS];	/* written through, the last */
	unsigned long	writes;
} *shared;

static int fd;
static enum wt_mode job_mode;

static off_t area(int writer)
{
	return writer * AREA;
}

/* Each whole area is of the generation told, once the call has returned. */
static void writer(void *arg)
{
	int me = *(int *)arg;
	unsigned int gen = 10;
	uint64_t seed = me;

	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		size_t len = 4096 << wt_random(&seed) % 3;
		off_t off = area(me);

		gen++;
		for (; off < area(me) + AREA; off += len)
			wt_write_gen(job_mode, fd, off, len, gen);
		__atomic_store_n(&shared->gen[me], gen, __ATOMIC_RELEASE);
		__atomic_add_fetch(&shared->writes, AREA / len,
				   __ATOMIC_RELAXED);
	}
}

static void slow(const char *what, long long start)
{
	long long ms = wt_now_ms() - start;
	const char *factor = getenv("WT_SLOW");

	wt_check(ms <= 1000 * (factor ? atoi(factor) : 1),
		 "%s took %lld ms beside write-throughs", what, ms);
}

static void fsyncs(void)
{
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		off_t off = OTHERS + i * 12 * KIB;
		long long start = wt_now_ms();

		wt_plain_gen(fd, off, 8192, 20 + i);
		wt_sys(fsync(fd));
		slow("fsync", start);
		wt_expect_disk(fd, off, 8192, 20 + i);
	}
}

static void stores(void)
{
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);
	unsigned int i;

	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	for (i = 0; i < ROUNDS; i++) {
		off_t off = OTHERS + i * 8192;
		long long start = wt_now_ms();

		wt_pattern(map + off, 4096, off, 200 + i);
		slow("a store", start);
	}
	wt_sys(msync(map, FILE_SIZE, MS_SYNC));
	munmap(map, FILE_SIZE);
	for (i = 0; i < ROUNDS; i++)
		wt_expect_both(fd, OTHERS + i * 8192, 4096, 200 + i);
}

static void holes(void)
{
	unsigned int i;

	for (i = 0; i < ROUNDS / 4; i++) {
		off_t off = OTHERS + i * 4 * wt_unit % MIB;
		long long start = wt_now_ms();

		wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, off, wt_unit));
		slow("punch", start);
		wt_expect_both(fd, off, wt_unit, 0);
		start = wt_now_ms();
		wt_sys(ftruncate(fd, HUGE - 4096 - i * 8192));
		slow("truncate", start);
		wt_sys(ftruncate(fd, FILE_SIZE));
		wt_plain_gen(fd, HUGE - 256 * KIB, 128 * KIB, 300 + i);
		wt_sys(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	}
	wt_sys(fsync(fd));
	wt_expect_both(fd, HUGE - 256 * KIB, 128 * KIB, 300 + i - 1);
}

static void reclaim(void)
{
	unsigned int i;

	for (i = 0; i < ROUNDS / 4; i++) {
		wt_plain_gen(fd, OTHERS, 64 * KIB, 400 + i);
		wt_sys(fdatasync(fd));
		wt_sys(posix_fadvise(fd, 0, FILE_SIZE, POSIX_FADV_DONTNEED));
		wt_expect_file(fd, OTHERS, 64 * KIB, 400 + i);
	}
}

static const struct {
	const char	*name;
	void		(*fn)(void);
} others[] = {
	{ "fsync",	fsyncs },
	{ "stores",	stores },
	{ "holes",	holes },
	{ "reclaim",	reclaim },
};

static void beside(enum wt_mode mode, unsigned int which)
{
	int me[WRITERS], i;
	pid_t pid[WRITERS];

	job_mode = mode;
	memset(shared, 0, sizeof(*shared));
	fd = wt_make_file("file", FILE_SIZE, 1);
	wt_expect_folios(fd, 0, FILE_SIZE, HUGE);
	for (i = 0; i < WRITERS; i++) {
		me[i] = i;
		pid[i] = wt_fork(writer, &me[i]);
	}
	others[which].fn();
	while (!shared->gen[0] || !shared->gen[1])
		wt_sleep_ms(5);
	shared->stop = 1;
	for (i = 0; i < WRITERS; i++)
		wt_join(pid[i]);

	for (i = 0; i < WRITERS; i++)
		wt_expect_both(fd, area(i), AREA, shared->gen[i]);
	wt_check(!wt_cache(fd, 0, WRITERS * AREA).writeback,
		 "still under writeback");
	wt_note("%s: %lu write-throughs", others[which].name, shared->writes);
	wt_sys(fsync(fd));
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	close(fd);
	wt_crash();
	fd = wt_open("file", 0);
	for (i = 0; i < WRITERS; i++)
		wt_expect_file(fd, area(i), AREA, shared->gen[i]);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;
	unsigned int i;

	wt_start("large_folio_race", 170);
	wt_need_writethrough();
	wt_need_large_folios();
	shared = wt_shared(sizeof(*shared));
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode)
		for (i = 0; i < ARRAY_SIZE(others); i++)
			beside(mode, i);
	wt_finish();
}
