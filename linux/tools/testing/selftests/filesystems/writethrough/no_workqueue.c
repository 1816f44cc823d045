// SPDX-License-Identifier: GPL-2.0
/*
 * What overwrites blocks in place is complete when its last bio is: no work is
 * queued for it, nor for a durable one on a device without a cache. It is for what
 * has to be converted, remapped or to grow the size on disk, and for what needs the
 * log.
 *
 * The device completes its I/O before it returns from the submission, so that work
 * is queued by the process that writes, whose trace is looked at. So it is the
 * submitter that has the last reference to the write, and not the completion.
 *
 * Mutant: 083-completed-by-worker
 * Mutant: 112-queued-although-synchronous
 * Mutant: 113-task-for-nothing
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(256 * WT_KIB)
#define ROUNDS		20

static const char * const events[] = { "workqueue/workqueue_queue_work" };

static enum wt_mode mode;
static unsigned int by_file_system, by_engine;

/* Work of the block layer, or of memory management, is none of ours. */
static void look(const char *event, const char *text, void *arg)
{
	(void)event;
	(void)arg;
	by_file_system += !!strstr(text, "function=xfs_end_io ");
	by_engine += !!strstr(text, "function=iomap_writethrough_");
}

static void traced(int fd, off_t off, size_t len, int flags, unsigned int times)
{
	char *buf = wt_alloc(len);
	ssize_t ret = len;
	unsigned int i;

	wt_pattern(buf, len, off, 2);
	wt_trace_on();
	for (i = 0; i < times && ret == (ssize_t)len; i++)
		ret = wt_write(mode, fd, buf, len, off, flags);
	wt_trace_off();
	wt_check(ret == (ssize_t)len, "%s: %zu bytes at %lld, flags 0x%x: %zd",
		 wt_mode_name[mode], len, (long long)off, flags, ret);
	by_file_system = 0;
	by_engine = 0;
	wt_trace_each(look, NULL);
	wt_expect_both(fd, off, len, 2);
	munmap(buf, len);
}

static void in_place(int fd, off_t off, size_t len, int flags)
{
	traced(fd, off, len, flags, ROUNDS);
	wt_check(!by_file_system && !by_engine,
		 "%s: %zu bytes at %lld, flags 0x%x, %u times: the file system has queued %u works, the engine %u",
		 wt_mode_name[mode], len, (long long)off, flags, ROUNDS,
		 by_file_system, by_engine);
}

static void overwrites(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_sys(syncfs(fd));
	/* Privileges are looked at once, and extents read. */
	wt_write_gen(mode, fd, 0, 4 * WT_KIB, 1);
	in_place(fd, 0, 4 * WT_KIB, 0);
	in_place(fd, 4 * WT_KIB, wt_bsize, 0);
	in_place(fd, 64 * WT_KIB, 64 * WT_KIB, 0);
	in_place(fd, FILE_SIZE - 4 * WT_KIB, 4 * WT_KIB, 0);
	in_place(fd, 0, 4 * WT_KIB, RWF_DSYNC);
	in_place(fd, 128 * WT_KIB, 64 * WT_KIB, RWF_DSYNC);
	close(fd);
}

/*
 * Seen to be queued: without that nothing is shown above. A worker of io_uring
 * has the others, which is another process.
 */
static void others(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_sys(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 16 * WT_KIB));
	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 32 * WT_KIB, 16 * WT_KIB));
	traced(fd, FILE_SIZE, 4 * WT_KIB, 0, 1);
	wt_check(by_file_system == 1, "append: %u works", by_file_system);
	traced(fd, 0, 4 * WT_KIB, 0, 1);
	wt_check(by_file_system == 1, "unwritten: %u works", by_file_system);
	traced(fd, 32 * WT_KIB, 4 * WT_KIB, 0, 1);
	wt_check(by_file_system == 1, "hole: %u works", by_file_system);

	/*
	 * Durable by more than its data. A synchronous call does that itself,
	 * whoever of the two has the last reference; SYNC takes the log always.
	 */
	traced(fd, 0, 4 * WT_KIB, RWF_SYNC, ROUNDS);
	wt_check(by_engine == (mode == WT_SYNC ? 0 : ROUNDS),
		 "%s: SYNC %u times: %u works", wt_mode_name[mode], ROUNDS,
		 by_engine);
	close(fd);
}

int main(void)
{
	wt_start("no_workqueue", 60);
	wt_need_writethrough();
	wt_dev = wt_null_blk("wtinline", 400,
			     "queue_mode=2 irqmode=0 cache_size=0");
	wt_raw = wt_dev;
	/* A timestamp that is due would be a transaction. */
	wt_setup(NULL, "lazytime");
	wt_trace_setup(events, ARRAY_SIZE(events));
	wt_for_each_mode(mode) {
		overwrites();
		if (mode != WT_URING)
			others();
	}
	wt_finish();
}
