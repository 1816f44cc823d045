// SPDX-License-Identifier: GPL-2.0
/*
 * A synchronous overwrite of allocated, cached, idle blocks allocates nothing
 * but its bio with the vectors, and takes neither the inode lock nor the extent
 * lock nor the invalidate lock exclusively. An update of the timestamps, due
 * once a tick, is a transaction of its own without lazytime.
 *
 * kmemleak and merged slab caches would both show up in, or hide in, what the
 * test counts. The device allocates nothing once it has been written to.
 *
 * Mutant: 061-end-of-file-exclusive
 * Mutant: 062-bio-per-folio
 * Mutant: 064-extent-lock-exclusive
 * Mutant: 125-largest-bio
 * lab: --disk 600M --append kmemleak=off --append slab_nomerge
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1 * MIB)
#define BIO_SIZE	(64 * KIB)	/* covered by one bio for certain */

static const char * const events[] = {
	"kmem/kmalloc", "kmem/kmem_cache_alloc", "kmem/mm_page_alloc",
	"xfs/xfs_ilock", "xfs/xfs_ilock_nowait", "xfs/xfs_update_time",
	"block/block_bio_queue",
};

struct seen {
	unsigned int	shared;		/* locks */
	unsigned int	exclusive;
	unsigned int	for_timestamp;	/* exclusive ones among them */
	unsigned int	due;
	unsigned int	bios;		/* submitted */
	unsigned int	bios_allocated;	/* others are taken from a reserve */
	unsigned int	vectors;
	unsigned int	others;		/* allocations */
	bool		slab_grows;
	bool		slab_stocks;
	char		text[256];	/* the first that should not be there */
};

static void remember(struct seen *seen, const char *event, const char *text)
{
	if (!*seen->text)
		snprintf(seen->text, sizeof(seen->text), "%s: %.200s", event,
			 text);
}

static void look(const char *event, const char *text, void *arg)
{
	struct seen *seen = arg;

	if (!strncmp(event, "xfs_ilock", 9)) {
		if (!strstr(text, "_EXCL")) {
			seen->shared++;
			return;
		}
		seen->exclusive++;
		if (strstr(text, "caller xfs_vn_update_time+"))
			seen->for_timestamp++;
		else
			remember(seen, event, text);
	} else if (!strcmp(event, "xfs_update_time")) {
		seen->due++;
	} else if (!strcmp(event, "block_bio_queue")) {
		seen->bios++;
	} else if (strstr(text, "call_site=__pcs_")) {
		/*
		 * The slab allocator makes stock of the objects of which one
		 * follows, and for all of them slabs may have to grow.
		 */
		seen->slab_grows = true;
		seen->slab_stocks = true;
		return;
	} else if (!strcmp(event, "mm_page_alloc")) {
		/* A slab that grows does so for the object that follows. */
		if (seen->slab_grows && !seen->slab_stocks)
			seen->others++;
		seen->slab_grows = true;
		return;
	} else if (strstr(text, " name=bio-")) {
		seen->bios_allocated++;
	} else if (strstr(text, " name=biovec-")) {
		seen->vectors++;
	} else {
		seen->others++;
		remember(seen, event, text);
	}
	seen->slab_grows = false;
	seen->slab_stocks = false;
}

static struct seen traced(int fd, const void *buf, size_t len, off_t off,
			  unsigned int times)
{
	struct seen seen = { 0 };
	ssize_t ret;

	wt_trace_on();
	do {
		ret = wt_write(WT_SYNC, fd, buf, len, off, 0);
	} while (ret == (ssize_t)len && --times);
	wt_trace_off();
	wt_check(ret == (ssize_t)len, "write-through of %zu: %zd", len, ret);
	wt_trace_each(look, &seen);
	if (seen.slab_grows) {
		seen.others++;
		remember(&seen, "mm_page_alloc", "pages for no slab");
	}
	return seen;
}

static void overwrites(int fd, const char *buf)
{
	static const size_t sizes[] = { 4096, 16 * KIB, 64 * KIB, FILE_SIZE };
	unsigned int i;

	for (i = 0; i < 3 * ARRAY_SIZE(sizes); i++) {
		size_t len = sizes[i % ARRAY_SIZE(sizes)];
		unsigned int bios = (len + BIO_SIZE - 1) / BIO_SIZE;
		struct seen seen;

		/* Part of a block is another matter. */
		if (len < wt_bsize)
			continue;
		seen = traced(fd, buf, len, 0, 1);

		/* Locks of the inode and the extents, and nothing else. */
		wt_check(seen.shared == 2, "%zu: %u shared locks", len,
			 seen.shared);
		wt_check(!seen.exclusive, "%zu: %s", len, seen.text);
		wt_check(!seen.others, "%zu: %u allocations: %s", len,
			 seen.others, seen.text);
		wt_check(seen.bios && seen.bios <= bios, "%zu: %u bios", len,
			 seen.bios);
		/*
		 * Few vectors are in the bio, which may be from a cache. One that
		 * the device does not take in one piece is split.
		 */
		wt_check(seen.bios_allocated <= bios &&
			 seen.vectors <= (len > 4 * wt_psize ? bios : 0),
			 "%zu: %u bios, but %u and %u vectors allocated", len,
			 seen.bios, seen.bios_allocated, seen.vectors);
	}
}

/* An append takes the locks, and allocates: that is seen. */
static void control(int fd, const char *buf)
{
	struct seen seen = traced(fd, buf, wt_unit, FILE_SIZE, 1);

	wt_check(wt_trace_count("xfs_ilock", "flags IOLOCK_EXCL") &&
		 wt_trace_count("xfs_ilock", "flags ILOCK_EXCL"),
		 "an append is not seen to lock");
	wt_check(seen.others, "an append is not seen to allocate");
	wt_sys(ftruncate(fd, FILE_SIZE));
	wt_sys(fsync(fd));
}

static void check_timestamps(int fd, const char *buf)
{
	struct seen seen;

	wt_sleep_ms(25);
	seen = traced(fd, buf, wt_unit, 0, 20);
	wt_check(seen.due && seen.for_timestamp,
		 "no timestamp was due: nothing is shown");
	wt_check(seen.exclusive == seen.for_timestamp && seen.exclusive <= seen.due,
		 "%u exclusive locks, %u timestamps due: %s", seen.exclusive,
		 seen.due, seen.text);
}

int main(void)
{
	void *buf = wt_alloc(FILE_SIZE);
	int fd;

	wt_start("no_locks", 60);
	wt_need_writethrough();
	wt_dev = wt_null_blk("wtnull", 512, "queue_mode=2 irqmode=0");
	wt_raw = wt_dev;
	wt_setup(NULL, "lazytime");
	wt_trace_setup(events, ARRAY_SIZE(events));
	fd = wt_make_file("file", FILE_SIZE, 1);
	/* Whatever the first one has to set up. */
	wt_write_gen(WT_SYNC, fd, 0, FILE_SIZE, 2);
	wt_pattern(buf, FILE_SIZE, 0, 3);
	control(fd, buf);
	overwrites(fd, buf);
	wt_expect_both(fd, 0, FILE_SIZE, 3);
	close(fd);

	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", 0);
	wt_expect_file(fd, 0, FILE_SIZE, 3);
	wt_write_gen(WT_SYNC, fd, 0, FILE_SIZE, 3);
	check_timestamps(fd, buf);
	close(fd);
	wt_finish();
}
