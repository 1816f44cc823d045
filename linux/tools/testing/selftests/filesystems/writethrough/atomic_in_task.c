// SPDX-License-Identifier: GPL-2.0
/*
 * A synchronous atomic write by copy on write is completed by its caller: nobody has
 * to be woken for the remap. Asynchronous ones are not, nor those that begin behind the
 * end of the file: a page fault may have locked the folio of that end, where the write
 * is as well, and wait for its I/O, while the caller waits for the folio.
 *
 * Mutant: 165-never-in-task
 * Mutant: 166-grows-in-task
 * lab: --disk 600M --timeout 150
 */
#include "wt.h"

#define ROUNDS		10
#define GROWS		400

static const char * const events[] = { "xfs/xfs_reflink_cow_remap_to" };

static char *buf;

static unsigned int remapped(void)
{
	return wt_trace_count("xfs_reflink_cow_remap_to", NULL);
}

/* How many of the remaps of these writes were made by this process. */
static unsigned int writes(enum wt_mode mode, int fd, off_t off, off_t step,
			   unsigned int gen)
{
	unsigned int i;

	wt_trace_on();
	for (i = 0; i < ROUNDS; i++, off += step) {
		ssize_t ret;

		wt_pattern(buf, wt_unit, off, gen + i);
		ret = wt_write(mode, fd, buf, wt_unit, off, RWF_ATOMIC);
		wt_check(ret == (ssize_t)wt_unit, "%s: %zd",
			 wt_mode_name[mode], ret);
		wt_expect_both(fd, off, wt_unit, gen + i);
	}
	wt_trace_off();
	return remapped();
}

static void in_task(void)
{
	off_t size = 16 * wt_unit;
	int fd = wt_make_file("file", size, 1);
	enum wt_mode mode;

	wt_sys(fsync(fd));
	wt_for_each_mode(mode) {
		unsigned int due = mode == WT_SYNC ? ROUNDS : 0;
		unsigned int n = writes(mode, fd, 3 * wt_unit, 0, 2);

		wt_note("%s: %u of %u remaps in the caller", wt_mode_name[mode],
			n, ROUNDS);
		wt_check(n == due, "%s: %u remaps in the caller",
			 wt_mode_name[mode], n);
		n = writes(mode, fd, size, wt_unit, 2);
		wt_check(n == due, "%s, at the end: %u remaps in the caller",
			 wt_mode_name[mode], n);
		size = lseek(fd, 0, SEEK_END);
		n = writes(mode, fd, size + wt_unit, 2 * wt_unit, 2);
		wt_check(!n, "%s, behind the end: %u remaps in the caller",
			 wt_mode_name[mode], n);
		size = lseek(fd, 0, SEEK_END);
	}
	close(fd);
}

static volatile int *stop;

/* Stores to the first block, which is in the folio of all the others. */
static void fault(void *arg)
{
	int fd = *(int *)arg;
	volatile char *map = mmap(NULL, wt_psize, PROT_READ | PROT_WRITE,
				  MAP_SHARED, fd, 0);

	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	while (!*stop)
		map[8] = 1;
}

static void grow(void)
{
	int fd = wt_make_file("grow", wt_bsize, 1);
	pid_t pid[2];
	unsigned int i;

	stop = wt_shared(sizeof(*stop));
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = wt_fork(fault, &fd);
	for (i = 0; i < GROWS; i++) {
		off_t off = 2 * wt_bsize;
		ssize_t ret;

		wt_sys(ftruncate(fd, wt_bsize));
		wt_pattern(buf, wt_bsize, off, i + 1);
		ret = wt_write(WT_SYNC, fd, buf, wt_bsize, off, RWF_ATOMIC);
		wt_check(ret == (ssize_t)wt_bsize, "growing: %zd", ret);
		wt_expect_file(fd, off, wt_bsize, i + 1);
	}
	*stop = 1;
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		wt_join(pid[i]);
	close(fd);
}

int main(void)
{
	wt_start("atomic_in_task", 100);
	wt_need_writethrough();
	wt_setup("-b size=1024", NULL);
	if (wt_queue_limit("atomic_write_unit_max_bytes") >= wt_unit)
		wt_skip("the device does these by itself");
	buf = wt_alloc(wt_unit);
	grow();
	wt_umount();
	wt_setup(NULL, NULL);
	wt_trace_setup(events, ARRAY_SIZE(events));
	in_task();
	wt_finish();
}
