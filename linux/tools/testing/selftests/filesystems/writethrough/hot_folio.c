// SPDX-License-Identifier: GPL-2.0
/*
 * Nobody starves beside processes that write through blocks of one folio all
 * the time, so that some I/O of it is always in flight: not whoever waits for
 * the end of its writeback, nor whoever wants to change the folio.
 *
 * Mutant: 142-periodic-passes-by
 * Mutant: 149-fsync-does-not-lock
 * Mutant: 163-background-passes-by
 * Mutant: 146-counted-too-late
 * Mutant: 173-range-passed-by
 * lab: --disk 600M --timeout 240
 */
#include "wt.h"
#include <signal.h>

#define FILE_SIZE	(64 * KIB)
#define FOLIO		(16 * KIB)	/* in there */
#define BLOCK		1024
#define WRITERS		3
#define DEPTH		8
#define LIMIT_MS	1000

static enum wt_mode mode;
static int fd;
static volatile unsigned int *writes;	/* of each writer */
static off_t folio;			/* where it begins */
static unsigned int nr_blocks;		/* of it */
static unsigned int background = 3;	/* generation of its data */

/*
 * Writer n of them, with as many in flight as it can have: every third block
 * but the last, which is for the others.
 */
static void writer(void *arg)
{
	unsigned int n = *(unsigned int *)arg, i = 0, block = n;
	struct wt_request req[DEPTH] = { };
	struct iovec iov[DEPTH];
	unsigned int depth = mode == WT_SYNC ? 1 : DEPTH;

	for (i = 0; i < DEPTH; i++)
		iov[i] = (struct iovec) { wt_alloc(BLOCK), BLOCK };
	if (depth > (nr_blocks - 1) / WRITERS)
		depth = (nr_blocks - 1) / WRITERS;
	for (i = 0;; i++) {
		struct wt_request *r = &req[i % depth];

		if (r->submitted) {
			wt_check(wt_wait(r) == BLOCK, "write-through: %zd",
				 r->res);
			writes[n]++;
		}
		*r = (struct wt_request) {
			.mode = mode, .fd = fd, .iov = &iov[i % depth],
			.nr_iov = 1, .off = folio + block * BLOCK,
		};
		wt_pattern(iov[i % depth].iov_base, BLOCK, r->off, 2);
		wt_check(!wt_submit(r), "submission");
		block += WRITERS;
		if (block >= nr_blocks - 1)
			block = n;
	}
}

static void do_fsync(void)
{
	wt_sys(fsync(fd));
}

static void do_fdatasync(void)
{
	wt_sys(fdatasync(fd));
}

static void do_syncfs(void)
{
	wt_sys(syncfs(fd));
}

static void do_sync_range(void)
{
	wt_sys(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
			       SYNC_FILE_RANGE_WRITE |
			       SYNC_FILE_RANGE_WAIT_AFTER));
}

static off_t last_block(void)
{
	return folio + (nr_blocks - 1) * BLOCK;
}

/* What was dirty is under way, though the flusher would not take it yet. */
static void do_start_range(void)
{
	wt_check(wt_put("/proc/sys/vm/dirty_expire_centisecs", "1000000"),
		 "the flusher cannot be told to wait");
	wt_plain_gen(fd, last_block(), BLOCK, 3);
	wt_sys(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
			       SYNC_FILE_RANGE_WRITE));
	wt_check(!wt_cache(fd, last_block(), BLOCK).dirty,
		 "sync_file_range: dirty, and not under way");
	wt_check(wt_put("/proc/sys/vm/dirty_expire_centisecs", "1"),
		 "the flusher cannot be told to hurry");
}

static void do_plain(void)
{
	wt_plain_gen(fd, last_block(), BLOCK, 3);
}

/* The flusher is after data that is 10 ms old, ten times a second. */
static void do_flusher(void)
{
	long long until = wt_now_ms() + LIMIT_MS;

	wt_plain_gen(fd, last_block(), BLOCK, ++background);
	while (!wt_disk_has(fd, last_block(), BLOCK, background) &&
	       wt_now_ms() < until)
		wt_sleep_ms(5);
	wt_expect_disk(fd, last_block(), BLOCK, background);
}

/* Not because it is old, but because there is too much that is dirty. */
static void do_background(void)
{
	wt_check(wt_put("/proc/sys/vm/dirty_expire_centisecs", "1000000") &&
		 wt_put("/proc/sys/vm/dirty_background_bytes", "4096"),
		 "the flusher cannot be told to count");
	wt_plain_gen(fd, FILE_SIZE / 2, FILE_SIZE / 2, 3);
	do_flusher();
	wt_check(wt_put("/proc/sys/vm/dirty_background_ratio", "80") &&
		 wt_put("/proc/sys/vm/dirty_expire_centisecs", "1"),
		 "the flusher cannot be told to hurry");
}

static void do_punch(void)
{
	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 last_block(), BLOCK));
}

static void do_truncate(void)
{
	wt_sys(ftruncate(fd, last_block() + 100));
	wt_sys(ftruncate(fd, FILE_SIZE));
}

static void do_store(void)
{
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);

	wt_check(map != MAP_FAILED, "mmap");
	map[last_block()] = 1;
	wt_sys(munmap(map, FILE_SIZE));
}

static void do_direct(void)
{
	int direct = wt_open("file", O_RDWR | O_DIRECT);
	char *buf = wt_alloc(BLOCK);

	wt_check(pread(direct, buf, BLOCK, last_block()) == BLOCK, "pread");
	wt_check(pwrite(direct, buf, BLOCK, last_block()) == BLOCK, "pwrite");
	munmap(buf, BLOCK);
	close(direct);
}

static void do_clone(void)
{
	int clone = wt_open("clone", O_RDWR | O_TRUNC);

	wt_check(!wt_clone(fd, folio, (nr_blocks - 1) * BLOCK, clone, 0), "clone");
	close(clone);
}

static void do_advise(void)
{
	wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	wt_drop_caches();
}

static void do_compact(void)
{
	wt_put("/proc/sys/vm/compact_memory", "1");
}

static void do_freeze(void)
{
	wt_freeze();
	wt_thaw();
}

static const struct {
	const char	*name;
	void		(*fn)(void);
} others[] = {
	{ "fsync", do_fsync },
	{ "fdatasync", do_fdatasync },
	{ "syncfs", do_syncfs },
	{ "sync_file_range", do_sync_range },
	{ "sync_file_range that does not wait after", do_start_range },
	{ "plain write", do_plain },
	{ "periodic writeback", do_flusher },
	{ "background writeback", do_background },
	{ "mmap store", do_store },
	{ "punch", do_punch },
	{ "truncate", do_truncate },
	{ "direct I/O", do_direct },
	{ "clone", do_clone },
	{ "fadvise, drop caches", do_advise },
	{ "compaction", do_compact },
	{ "freeze", do_freeze },
};

static unsigned int total(void)
{
	return writes[0] + writes[1] + writes[2];
}

static void run(void)
{
	unsigned int i, n[WRITERS], before;
	pid_t pids[WRITERS];

	fd = wt_make_file("file", FILE_SIZE, 1);
	nr_blocks = wt_folio(fd, FOLIO, &folio) / BLOCK;
	wt_check(nr_blocks > WRITERS, "a folio of %u blocks", nr_blocks);
	wt_sys(fsync(fd));
	for (i = 0; i < WRITERS; i++) {
		n[i] = i;
		writes[i] = 0;
		pids[i] = wt_fork(writer, &n[i]);
	}
	wt_sleep_ms(100);
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		long long start, took;
		unsigned int again;

		/* Whoever only waits may be lucky. */
		for (again = 0; again < (i < 5 ? 20 : 3); again++) {
			start = wt_now_ms();
			others[i].fn();
			took = wt_now_ms() - start;
			wt_check(took <= LIMIT_MS, "%s: %s took %lld ms",
				 wt_mode_name[mode], others[i].name, took);
		}
		before = total();
		start = wt_now_ms();
		while (total() == before && wt_now_ms() - start < LIMIT_MS)
			wt_sleep_ms(5);
		wt_check(total() > before, "%s: after %s nobody writes",
			 wt_mode_name[mode], others[i].name);
	}
	for (i = 0; i < WRITERS; i++)
		wt_kill(pids[i]);
	close(fd);
	wt_sys(unlink(wt_path("file")));
}

int main(void)
{
	wt_start("hot_folio", 200);
	wt_need_writethrough();
	writes = wt_shared(WRITERS * sizeof(*writes));
	/* Slow enough for writes to overlap all the time */
	wt_raw = wt_null_blk("hot", 400,
			     "irqmode=2 completion_nsec=16000000");
	wt_dev = wt_raw;
	wt_setup("-b size=1024", NULL);
	wt_check(wt_put("/proc/sys/vm/dirty_expire_centisecs", "1") &&
		 wt_put("/proc/sys/vm/dirty_writeback_centisecs", "10"),
		 "the flusher cannot be told to hurry");
	wt_for_each_mode(mode)
		run();
	wt_finish();
}
