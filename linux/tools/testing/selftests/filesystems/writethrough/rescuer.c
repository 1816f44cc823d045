// SPDX-License-Identifier: GPL-2.0
/*
 * No deadlock when no thread can be created, as under memory pressure, and one
 * rescuer thread a workqueue does all the work of completions.
 *
 * A write-through with RWF_DSYNC completes in two steps, both on workqueues: the
 * file system converts extents and ends writeback; then the log is forced. If
 * the second step waited for a folio (fsync of the range instead of the empty
 * range), and shared its workqueue with the first one, then the rescuer, there
 * is but one, could end up waiting for a folio whose conversion is queued behind
 * what it is doing:
 *
 *	rescuer				queued
 *
 *	log force of write 1		conversion of write 2
 *	  fsync of the range: waits
 *	  for a folio of write 2
 *
 * With enough threads somebody else does the conversion, so that nobody notices.
 * Here there are not enough. Thread creation is made to fail, and every thread
 * that workqueues have is kept busy with the completions of another file system,
 * which wait for a log device that is suspended. What is left are the rescuers.
 * Asynchronous durable writes to unwritten blocks and appends, in flight together
 * with fsync and buffered writeback of the same files, have to get through.
 *
 * Mutant: 132-sync-waits-for-folios
 * lab: --disk 600M --timeout 240
 */
#include "wt.h"
#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>

#define THREADS_MAX	"/proc/sys/kernel/threads-max"
#define PROCESSORS		2
#define BLOCKERS	32		/* for each processor */
#define BLOCKED_MNT	"/tmp/wt-blocked"
#define BLOCKED_DEV	"wtdata"
#define LOG_DEV		"wtlogdev"

#define DEPTH		16
#define ROUNDS		8
#define LEN		(16 * KIB)
#define LIMIT_MS	60000

/* Processes that exist before none can be made any more. */
struct shared {
	volatile int	go;
	volatile int	over;
	volatile int	finished;
	volatile int	written;
	volatile int	synced;
	volatile int	flushed;
};

static struct shared *shared;
static long long threads_max = -1;
static pid_t main_pid;

static struct wt_request blocker[PROCESSORS * BLOCKERS];
static struct iovec blocker_iov;
static struct wt_dm log_dm;

static void restore(void)
{
	if (getpid() == main_pid && threads_max > 0)
		wt_put(THREADS_MAX, "%lld", threads_max);
}

static void wait_for(volatile int *flag)
{
	while (!*flag)
		wt_sleep_ms(2);
}

/* ---------------------------------------- the file system that is to progress */

/* Unwritten blocks, and appends to another file, each durable. */
static void write_durably(void *arg)
{
	static struct wt_request req[DEPTH];
	static struct iovec iov[DEPTH];
	int fds[] = { wt_open("unwritten", 0), wt_open("append", 0) };
	off_t off[2] = { 0, 0 };
	unsigned int round, i;

	(void)arg;
	for (i = 0; i < DEPTH; i++)
		iov[i] = (struct iovec) { wt_alloc(LEN), LEN };
	wait_for(&shared->go);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < DEPTH; i++) {
			unsigned int which = i % 2;

			wt_pattern(iov[i].iov_base, LEN, off[which], 2);
			req[i] = (struct wt_request) {
				.mode = WT_AIO, .fd = fds[which], .iov = &iov[i],
				.nr_iov = 1, .off = off[which],
				.flags = RWF_DSYNC,
			};
			wt_check(!wt_submit(&req[i]), "submission");
			off[which] += LEN;
		}
		for (i = 0; i < DEPTH; i++) {
			wt_check(wt_wait(&req[i]) == LEN, "write %u: %zd", i,
				 req[i].res);
			shared->written++;
		}
	}
	shared->finished++;
	wait_for(&shared->over);
}

static void sync_files(void *arg)
{
	int fds[] = { wt_open("unwritten", 0), wt_open("append", 0) };

	(void)arg;
	wait_for(&shared->go);
	while (shared->written < DEPTH * ROUNDS || shared->synced < 4) {
		wt_sys(fsync(fds[0]));
		wt_sys(fdatasync(fds[1]));
		shared->synced++;
	}
	shared->finished++;
	wait_for(&shared->over);
}

/* Dirty folios among those written through, for somebody to write back. */
static void write_buffered(void *arg)
{
	int fd = wt_open("unwritten", 0);
	off_t off = 8 * MIB;

	(void)arg;
	wait_for(&shared->go);
	while (shared->written < DEPTH * ROUNDS || shared->flushed < 4) {
		wt_plain_gen(fd, off, LEN, 3);
		wt_sys(sync_file_range(fd, off, LEN, SYNC_FILE_RANGE_WRITE |
				       SYNC_FILE_RANGE_WAIT_AFTER));
		if (off < 12 * MIB)
			off += LEN;
		shared->flushed++;
	}
	shared->finished++;
	wait_for(&shared->over);
}

/* --------------------------------------------- the one that keeps all threads */

static void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	wt_sys(sched_setaffinity(0, sizeof(set), &set));
}

static unsigned int nr_cpus(void)
{
	cpu_set_t set;

	wt_sys(sched_getaffinity(0, sizeof(set), &set));
	return CPU_COUNT(&set);
}

/* Threads that take work bound to this processor, of any queue. */
static unsigned int workers(unsigned int cpu)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char path[300], comm[64], prefix[32];
	unsigned int n = 0;

	wt_check(proc, "/proc: %s", strerror(errno));
	snprintf(prefix, sizeof(prefix), "kworker/%u:", cpu);
	while ((entry = readdir(proc))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) &&
		    !strncmp(comm, prefix, strlen(prefix)) &&
		    /* the other pool has an H behind the number */
		    comm[strlen(prefix) + strspn(comm + strlen(prefix),
						 "0123456789")] != 'H')
			n++;
		fclose(f);
	}
	closedir(proc);
	return n;
}

/* A file system with its log on a device that can be suspended. */
static int make_blocked(void)
{
	char data[64], warm[] = "warm";
	struct wt_request req;
	struct iovec iov = { warm, sizeof(warm) };
	int fd;

	snprintf(data, sizeof(data), "%s", wt_null_blk(BLOCKED_DEV, 400, ""));
	wt_dm_create(&log_dm, "wtlog", wt_null_blk(LOG_DEV, 80, ""));
	wt_run("mkdir -p %s && mkfs.xfs -q -f -K -l logdev=%s %s", BLOCKED_MNT,
	       log_dm.path, data);
	wt_run("mount -t xfs -o logdev=%s %s %s", log_dm.path, data, BLOCKED_MNT);
	fd = wt_sys(open(BLOCKED_MNT "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
	wt_sys(fallocate(fd, 0, 0, PROCESSORS * BLOCKERS * LEN));
	wt_sys(fsync(fd));
	/* The workqueue for completions is made when it is needed first. */
	req = (struct wt_request) {
		.mode = WT_AIO, .fd = fd, .iov = &iov, .nr_iov = 1,
		.flags = RWF_DSYNC,
	};
	wt_check(!wt_submit(&req) && wt_wait(&req) == (ssize_t)sizeof(warm),
		 "first durable write: %zd", req.res);
	return fd;
}

static void expect_no_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	wt_check(pid == -1 && errno == EAGAIN, "threads can be created");
}

/* More completions that hang than there are threads, on each processor. */
static void block_workers(int fd, unsigned int cpus)
{
	unsigned int cpu, i, n;

	blocker_iov = (struct iovec) { wt_alloc(LEN), LEN };
	for (cpu = 0; cpu < cpus; cpu++) {
		pin(cpu);
		for (i = 0; i < BLOCKERS; i++) {
			n = cpu * BLOCKERS + i;
			blocker[n] = (struct wt_request) {
				.mode = WT_AIO, .fd = fd, .iov = &blocker_iov,
				.nr_iov = 1, .off = n * LEN, .flags = RWF_DSYNC,
			};
			wt_check(!wt_submit(&blocker[n]), "submission");
		}
	}
	wt_check(!wt_done(&blocker[0], 1000), "not held by its log: %zd",
		 blocker[0].res);
	for (cpu = 0; cpu < cpus; cpu++) {
		n = workers(cpu);
		wt_note("processor %u: %u threads for work, %u works that hang",
			cpu, n, BLOCKERS);
		if (!n || n >= BLOCKERS)
			wt_skip("cannot keep %u threads busy", n);
	}
}

static void unblock(unsigned int cpus)
{
	unsigned int i;

	wt_dm_resume(&log_dm);
	for (i = 0; i < cpus * BLOCKERS; i++)
		wt_check(wt_wait(&blocker[i]) == LEN, "blocker %u: %zd", i,
			 blocker[i].res);
}

int main(void)
{
	void (*jobs[])(void *arg) = { write_durably, sync_files, write_buffered };
	pid_t pid[ARRAY_SIZE(jobs)];
	struct wt_request req;
	struct iovec iov;
	unsigned int i, cpus;
	int fd, blocked;
	long long end;

	wt_start("rescuer", 220);
	wt_need_writethrough();
	main_pid = getpid();
	cpus = nr_cpus();
	if (cpus > PROCESSORS)
		wt_skip("cannot keep the threads of %u processors busy", cpus);
	wt_setup(NULL, NULL);
	if (!wt_usable(WT_AIO))
		wt_skip("libaio does not carry the flag");
	blocked = make_blocked();

	fd = wt_open("unwritten", 0);
	wt_sys(fallocate(fd, 0, 0, 16 * MIB));
	wt_sys(fsync(fd));
	close(wt_open("append", 0));
	iov = (struct iovec) { wt_alloc(LEN), LEN };
	req = (struct wt_request) {
		.mode = WT_AIO, .fd = fd, .iov = &iov, .nr_iov = 1,
		.off = 12 * MIB, .flags = RWF_DSYNC,
	};
	wt_check(!wt_submit(&req) && wt_wait(&req) == LEN,
		 "first durable write: %zd", req.res);

	shared = wt_shared(sizeof(*shared));
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		pid[i] = wt_fork(jobs[i], NULL);

	threads_max = wt_get(THREADS_MAX, NULL);
	atexit(restore);
	wt_dm_suspend(&log_dm);
	wt_check(wt_put(THREADS_MAX, "1"), "cannot set %s", THREADS_MAX);
	expect_no_fork();
	block_workers(blocked, cpus);

	/* From here on nothing completes but by a rescuer. */
	end = wt_now_ms() + LIMIT_MS;
	shared->go = 1;
	while (shared->finished < (int)ARRAY_SIZE(jobs)) {
		for (i = 0; i < ARRAY_SIZE(jobs); i++)
			if (wt_exited(pid[i], 0)) {
				restore();
				wt_join(pid[i]);
				wt_fail("a process ended early");
			}
		wt_check(wt_now_ms() < end,
			 "stuck: %d durable writes, %d syncs, %d buffered writes",
			 shared->written, shared->synced, shared->flushed);
		wt_sleep_ms(20);
	}
	wt_note("%d durable writes, %d syncs, %d buffered writes in %lld ms",
		shared->written, shared->synced, shared->flushed,
		LIMIT_MS - (end - wt_now_ms()));
	wt_check(!wt_done(&blocker[0], 0), "the threads were not kept busy");

	restore();
	unblock(cpus);
	shared->over = 1;
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		wt_join(pid[i]);
	wt_expect_both(fd, 0, ROUNDS * DEPTH / 2 * LEN, 2);
	close(fd);
	fd = wt_open("append", 0);
	wt_expect_both(fd, 0, ROUNDS * DEPTH / 2 * LEN, 2);
	close(fd);
	close(blocked);
	wt_run("umount %s", BLOCKED_MNT);
	wt_dm_remove(&log_dm);
	wt_finish();
}
