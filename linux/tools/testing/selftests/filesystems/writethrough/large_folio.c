// SPDX-License-Identifier: GPL-2.0
/*
 * Folios of many blocks, seen to be that: a write-through of some blocks leaves
 * the others as they are, dirty ones dirty and not written; blocks written in
 * part; writes across folios; a whole large folio in one piece.
 *
 * Mutant: 012-whole-folio-cleaned
 * only: x86_64
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define HUGE		(2 * MIB)
#define FILE_SIZE	(3 * HUGE)

/* Plain data around what is written through: dirty before and after. */
static void neighbours(enum wt_mode mode, off_t off, size_t len)
{
	off_t end = off + len;
	off_t first = off / wt_bsize * wt_bsize;
	off_t last = (end + wt_bsize - 1) / wt_bsize * wt_bsize;
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_expect_folios(fd, 0, FILE_SIZE, HUGE);
	wt_plain_gen(fd, first - 8192, last - first + 16384, 2);
	wt_plain_gen(fd, first + MIB, 8192, 2);
	wt_write_gen(mode, fd, off, len, 3);
	wt_expect_folios(fd, 0, FILE_SIZE, HUGE);

	/* On the device the blocks of the write, whole, and no other. */
	wt_expect_disk(fd, 0, first, 1);
	wt_expect_disk(fd, first, off - first, 2);
	wt_expect_disk(fd, off, len, 3);
	wt_expect_disk(fd, end, last - end, 2);
	wt_expect_disk(fd, last, FILE_SIZE - last, 1);
	wt_check(wt_cache(fd, off, 1).dirty, "what is dirty was forgotten");

	wt_sys(fsync(fd));
	wt_expect_clean(fd, 0, FILE_SIZE);
	wt_expect_both(fd, 0, first - 8192, 1);
	wt_expect_both(fd, first - 8192, off - first + 8192, 2);
	wt_expect_both(fd, off, len, 3);
	wt_expect_both(fd, end, last + 8192 - end, 2);
	wt_expect_both(fd, first + MIB, 8192, 2);
	close(fd);
}

/* Nothing is dirty: nothing is afterwards. */
static void alone(enum wt_mode mode, off_t off, size_t len, bool cold)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	if (cold) {
		close(fd);
		wt_drop_caches();
		fd = wt_open("file", 0);
	} else {
		wt_expect_folios(fd, 0, FILE_SIZE, HUGE);
	}
	wt_write_gen(mode, fd, off, len, 2);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_check(!wt_cache(fd, 0, FILE_SIZE).writeback, "pages under writeback");
	wt_check(wt_cache(fd, off, len).cached >= len / wt_psize,
		 "not in the cache");
	wt_expect_disk(fd, off, len, 2);
	wt_expect_file(fd, off, len, 2);
	wt_expect_both(fd, 0, off, 1);
	wt_expect_both(fd, off + len, FILE_SIZE - off - len, 1);
	close(fd);
	wt_crash();
	fd = wt_open("file", 0);
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, len, 2);
	wt_expect_file(fd, off + len, FILE_SIZE - off - len, 1);
	close(fd);
}

/* Into an empty cache, or a hole, a large write makes large folios. */
static void makes(enum wt_mode mode, bool hole)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	if (hole)
		wt_sys(ftruncate(fd, 0));
	close(fd);
	wt_drop_caches();
	fd = wt_open("file", 0);
	wt_sys(ftruncate(fd, FILE_SIZE));
	wt_write_gen(mode, fd, HUGE, HUGE, 2);
	wt_expect_folios(fd, HUGE, HUGE, HUGE);
	wt_expect_clean(fd, HUGE, HUGE);
	wt_expect_both(fd, HUGE, HUGE, 2);
	wt_expect_both(fd, 0, HUGE, hole ? 0 : 1);
	close(fd);
}

static long count_events(const char *event)
{
	return wt_get("/tmp/wt-events", event);
}

/*
 * A large folio is found once and mapped once, and goes to the device as one
 * bio. The trace tells, in lines of this process: the counts are kept by name.
 */
static void in_one_piece(void)
{
	static const char tracing[] = "/sys/kernel/tracing";
	int fd = wt_make_file("file", FILE_SIZE, 1);
	void *buf = wt_alloc(HUGE);
	off_t off = 0;

	if (access("/sys/kernel/tracing/events/xfs/xfs_map_blocks_found", F_OK) ||
	    access("/sys/kernel/tracing/events/block/block_bio_queue", F_OK)) {
		wt_note("note: no tracepoints to count lookups by");
		return;
	}
	while (wt_physical(fd, off, NULL) + HUGE - 4096 !=
	       wt_physical(fd, off + HUGE - 4096, NULL)) {
		off += HUGE;
		wt_check(off < FILE_SIZE, "no folio within an extent");
	}
	wt_expect_folios(fd, off, HUGE, HUGE);
	wt_pattern(buf, HUGE, off, 2);
	wt_run("cd %s && echo >trace && echo 1 >tracing_on && echo 1 >events/xfs/xfs_map_blocks_found/enable && echo 1 >events/block/block_bio_queue/enable && echo %d >set_event_pid",
	       tracing, getpid());
	wt_check(wt_write(WT_SYNC, fd, buf, HUGE, off, 0) == HUGE,
		 "write-through");
	wt_run("cd %s && echo 0 >tracing_on && echo 0 >events/enable && echo >set_event_pid && { echo map $(grep -c xfs_map_blocks_found: trace); echo bio $(grep -c block_bio_queue: trace); } >/tmp/wt-events && echo 1 >tracing_on",
	       tracing);
	wt_check(count_events("map") == 1, "%ld lookups of the mapping",
		 count_events("map"));
	wt_check(count_events("bio") == 1, "%ld bios for one folio",
		 count_events("bio"));
	close(fd);
}

/* Clean folios go when asked to, and come back right. */
static void reclaim(enum wt_mode mode)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_write_gen(mode, fd, HUGE + 64 * KIB, 64 * KIB, 2);
	wt_sys(posix_fadvise(fd, 0, FILE_SIZE, POSIX_FADV_DONTNEED));
	wt_check(!wt_cache(fd, 0, FILE_SIZE).cached, "still cached");
	wt_expect_file(fd, 0, HUGE + 64 * KIB, 1);
	wt_expect_file(fd, HUGE + 64 * KIB, 64 * KIB, 2);
	wt_expect_file(fd, HUGE + 128 * KIB, HUGE - 128 * KIB, 1);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;
	int cold;

	wt_start("large_folio", 120);
	wt_need_writethrough();
	wt_need_large_folios();
	wt_setup(NULL, NULL);
	in_one_piece();
	wt_for_each_mode(mode) {
		neighbours(mode, HUGE + 64 * KIB, 4096);
		neighbours(mode, HUGE + 64 * KIB, 256 * KIB);
		neighbours(mode, HUGE + 64 * KIB + 300, 200);
		neighbours(mode, HUGE + 64 * KIB + 300, 64 * KIB);
		/* across the border of two */
		neighbours(mode, HUGE - 4096, 8192);
		neighbours(mode, HUGE - 32 * KIB - 100, 64 * KIB);
		for (cold = 0; cold < 2; cold++) {
			alone(mode, HUGE, HUGE, cold);
			alone(mode, HUGE - 4096, HUGE + 8192, cold);
			alone(mode, HUGE - 100, HUGE + 300, cold);
			alone(mode, HUGE + 100, HUGE - 300, cold);
			alone(mode, HUGE + 8192, 4096, cold);
		}
		makes(mode, false);
		makes(mode, true);
		reclaim(mode);
	}
	wt_finish();
}
