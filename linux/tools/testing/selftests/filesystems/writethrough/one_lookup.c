// SPDX-License-Identifier: GPL-2.0
/*
 * An overwrite looks its mapping up once an extent, however many folios and
 * batches it takes, and by no other way than that of writeback.
 *
 * Mutant: 063-looked-up-each-batch
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define EXTENT		(256 * WT_KIB)
#define NR		4

/* The lookup that is counted, and all the others there are. */
static const char * const events[] = {
	"xfs/xfs_map_blocks_found", "xfs/xfs_map_blocks_alloc",
	"xfs/xfs_iomap_found", "xfs/xfs_iomap_alloc",
};

static unsigned int lookups(void)
{
	return wt_trace_count("xfs_map_blocks_found", NULL);
}

static unsigned int others(void)
{
	return wt_trace_count("xfs_map_blocks_alloc", NULL) +
	       wt_trace_count("xfs_iomap_found", NULL) +
	       wt_trace_count("xfs_iomap_alloc", NULL);
}

/* A file of so many extents: another one takes what would continue it. */
static int make(unsigned int nr_extents)
{
	off_t size = NR * EXTENT, step = size / nr_extents, pos;
	static unsigned int nr;
	int fd, other = wt_open("other", 0);
	char name[16];

	snprintf(name, sizeof(name), "file%u", nr++);
	fd = wt_open(name, 0);
	for (pos = 0; pos < size; pos += step) {
		wt_sys(fallocate(fd, 0, pos, step));
		wt_sys(fallocate(other, 0, lseek(other, 0, SEEK_END), step));
	}
	wt_plain_gen(fd, 0, size, 1);
	wt_sys(fsync(fd));
	wt_check(wt_extents(fd) == nr_extents, "%u extents instead of %u",
		 wt_extents(fd), nr_extents);
	close(other);
	return fd;
}

static void overwrite(enum wt_mode mode, int fd, off_t off, size_t len,
		      unsigned int wanted)
{
	void *buf = wt_alloc(len);
	ssize_t ret;

	wt_pattern(buf, len, off, 2);
	wt_trace_on();
	ret = wt_write(mode, fd, buf, len, off, 0);
	wt_trace_off();
	wt_check(ret == (ssize_t)len, "write-through: %zd", ret);
	wt_check(lookups() == wanted, "%lld+%zu: %u lookups instead of %u",
		 (long long)off, len, lookups(), wanted);
	wt_check(!others(), "%lld+%zu: %u lookups of another kind",
		 (long long)off, len, others());
	wt_expect_both(fd, off, len, 2);
	munmap(buf, len);
}

static void run(enum wt_mode mode)
{
	int fd = make(1);

	overwrite(mode, fd, 0, NR * EXTENT, 1);
	overwrite(mode, fd, 4 * WT_KIB, 4 * WT_KIB, 1);
	overwrite(mode, fd, 16 * WT_KIB, 300 * WT_KIB, 1);
	close(fd);
	fd = make(NR);
	overwrite(mode, fd, 0, NR * EXTENT, NR);
	overwrite(mode, fd, EXTENT - 4 * WT_KIB, 8 * WT_KIB, 2);
	overwrite(mode, fd, EXTENT, EXTENT, 1);
	close(fd);
}

/* What has to be looked up elsewhere is seen there. */
static void control(void)
{
	int fd = make(1);
	void *buf = wt_alloc(EXTENT);

	wt_trace_on();
	wt_check(wt_write(WT_SYNC, fd, buf, EXTENT, NR * EXTENT, 0) == EXTENT,
		 "append");
	wt_trace_off();
	wt_check(others(), "an append is not seen to look anything up");
	munmap(buf, EXTENT);
	close(fd);
}

int main(void)
{
	wt_start("one_lookup", 60);
	wt_need_writethrough();
	wt_setup(NULL, "lazytime");
	wt_trace_setup(events, ARRAY_SIZE(events));
	control();
	/* A worker thread of io_uring is not this process. */
	run(WT_SYNC);
	if (wt_usable(WT_AIO))
		run(WT_AIO);
	wt_finish();
}
