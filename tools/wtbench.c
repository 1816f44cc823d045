// SPDX-License-Identifier: GPL-2.0
/*
 * wtbench: one point of the benchmark. Processes write (or read) blocks of files
 * for a time, in one of the ways that there are to get data to the device, and
 * one line of JSON tells how many they did.
 *
 * Files are made anew for each run, every block written once. For direct modes
 * no page of them may be cached, for the others all are, in folios of one page
 * or as large as they get.
 */
/* libs: -luring -laio */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libaio.h>
#include <liburing.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wt.h"

/* Provisional; `make bench` looks at the marker before it uses this. */
#ifndef RWF_WRITETHROUGH
#define RWF_WRITETHROUGH	0x00000200
#endif
#ifndef RWF_ATOMIC
#define RWF_ATOMIC		0x00000040
#endif

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MAX_JOBS	64
#define MAX_DEPTH	1024
#define BUCKETS		1024
#define MAX_SAMPLES	400
#define SAMPLE_MS	10
#define MAX_EXTENTS	512
#define PLACES_SIZE	(sizeof(struct fiemap) + \
			 MAX_EXTENTS * sizeof(struct fiemap_extent))

enum after {
	NOTHING,
	FDATASYNC,
	SYNC_RANGE,
};

static const struct mode {
	const char	*name;
	int		flags;		/* of the call */
	bool		direct;
	bool		reads;
	bool		stores;		/* to a mapping of the file */
	enum after	after;		/* each write */
} modes[] = {
	{ .name = "buffered" },
	{ .name = "buffered-fdatasync", .after = FDATASYNC },
	{ .name = "buffered-range", .after = SYNC_RANGE },
	{ .name = "dsync", .flags = RWF_DSYNC },
	{ .name = "dontcache", .flags = WT_RWF_DONTCACHE },
	{ .name = "direct", .direct = true },
	{ .name = "direct-dsync", .flags = RWF_DSYNC, .direct = true },
	{ .name = "writethrough", .flags = RWF_WRITETHROUGH },
	{ .name = "writethrough-dsync", .flags = RWF_WRITETHROUGH | RWF_DSYNC },
	{ .name = "direct-atomic", .flags = RWF_ATOMIC, .direct = true },
	{ .name = "writethrough-atomic",
	  .flags = RWF_WRITETHROUGH | RWF_ATOMIC },
	{ .name = "read", .reads = true },
	{ .name = "direct-read", .direct = true, .reads = true },
	{ .name = "mmap-store", .stores = true },
};

static struct options {
	const char	*dir;
	const char	*engine;
	const struct mode *mode;
	unsigned int	depth;
	unsigned int	block;
	unsigned int	jobs;
	bool		shared_file;
	bool		sequential;
	bool		large;		/* folios */
	bool		copy;		/* one memcpy() of a block each, too */
	bool		append;		/* to files that are empty at first */
	bool		marks;		/* around the calls, for bench/calls.c */
	bool		through_first;	/* one write-through, before all else */
	bool		histogram;	/* of latencies */
	bool		flusher;	/* somebody who writes the file back */
	bool		in_place;	/* blocks must not move */
	bool		only_make;	/* the files */
	bool		only_check;
	unsigned int	memory;		/* a limit for all, in MiB */
	off_t		stride;		/* from a block to the next */
	off_t		size;		/* of the part of a job */
	double		seconds;
	unsigned long	ops;		/* instead, so many of each job */
} opt = {
	.dir	= ".",
	.engine	= "pvsync2",
	.depth	= 1,
	.block	= 4096,
	.jobs	= 1,
	.size	= 32 << 20,
	.seconds = 10,
};

/* What the processes share. Latencies: each power of two in 16 parts. */
static struct shared {
	unsigned int	ready;
	unsigned int	go;
	unsigned int	over;		/* for who helps */
	unsigned long	dirty_kb;	/* at most, dirty or under writeback */
	unsigned int	samples;	/* of that */
	unsigned long	dirty[MAX_SAMPLES];
	struct {
		unsigned long	ops;
		uint64_t	begin;
		uint64_t	end;
		unsigned long	latency[BUCKETS];
	} job[MAX_JOBS];
} *shared;

/* One of those that a process keeps in flight. */
struct slot {
	void		*buffer;
	struct iovec	iov;
	struct iocb	iocb;
	uint64_t	start;
};

static struct job {
	unsigned int	nr;
	int		fd;
	char		*map;
	off_t		size;
	off_t		next;
	uint64_t	seed;
	struct slot	slots[MAX_DEPTH];
	uint64_t	begin;
	uint64_t	end;
	unsigned long	started;
} me;

static void fail(const char *what, int error)
{
	fprintf(stderr, "wtbench: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static unsigned int bucket(uint64_t ns)
{
	unsigned int shift = 0;

	while (ns >> shift >= 32)
		shift++;
	return shift * 16 + (ns >> shift);
}

static uint64_t bucket_value(unsigned int n)
{
	return n < 32 ? n : (uint64_t)(n % 16 + 16) << (n / 16 - 1);
}

/* ------------------------------------------------------------------ files */

static int open_file(unsigned int nr, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/bench.%u", opt.dir, nr);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0644);
	if (fd < 0)
		fail(path, errno);
	return fd;
}

static unsigned int extents(unsigned int nr)
{
	struct fiemap map = { .fm_length = FIEMAP_MAX_OFFSET };
	int fd = open_file(nr, 0);

	if (ioctl(fd, FS_IOC_FIEMAP, &map))
		fail("fiemap", errno);
	close(fd);
	return map.fm_mapped_extents;
}

/* Where the first file is: what is written elsewhere and remapped moves. */
static void get_places(struct fiemap *map)
{
	int fd = open_file(0, 0);

	map->fm_length = FIEMAP_MAX_OFFSET;
	map->fm_extent_count = MAX_EXTENTS;
	if (ioctl(fd, FS_IOC_FIEMAP, map))
		fail("fiemap", errno);
	close(fd);
}

static bool have_moved(const struct fiemap *map)
{
	struct fiemap *now = calloc(1, PLACES_SIZE);
	unsigned int i;
	bool moved;

	if (!now)
		fail("no memory", errno);
	get_places(now);
	moved = now->fm_mapped_extents != map->fm_mapped_extents;
	for (i = 0; i < map->fm_mapped_extents && !moved; i++)
		moved = now->fm_extents[i].fe_physical !=
				map->fm_extents[i].fe_physical ||
			now->fm_extents[i].fe_length !=
				map->fm_extents[i].fe_length;
	free(now);
	return moved;
}

static unsigned long cached_pages(int fd)
{
	struct { uint64_t off, len; } range = { 0, 0 };
	struct wt_cachestat stat;

	if (syscall(WT_SYS_CACHESTAT, fd, &range, &stat, 0))
		fail("cachestat", errno);
	return stat.nr_cache;
}

/* Every block written, on the device, and cached as the mode wants it. */
static void make_file(unsigned int nr, off_t size)
{
	int fd = open_file(nr, O_TRUNC);
	size_t step = opt.mode->direct || opt.large ? 2 << 20 : 4096;
	off_t stride = step;
	char *buffer;
	off_t pos;

	if (opt.stride) {
		step = opt.block;
		stride = opt.stride;
		size = size / opt.block * stride;
	}

	buffer = mmap(NULL, step, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		fail("no memory", errno);
	memset(buffer, 0x5a, step);
	for (pos = 0; pos < size && !opt.append; pos += stride)
		if (pwrite(fd, buffer, step, pos) != (ssize_t)step)
			fail("cannot fill a file", errno);
	if (fsync(fd))
		fail("fsync", errno);
	if (opt.mode->direct) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (cached_pages(fd))
			fail("pages are cached", EBUSY);
	}
	munmap(buffer, step);
	close(fd);
}

static void check_file(unsigned int nr)
{
	int fd = open_file(nr, 0);

	if (opt.mode->direct && cached_pages(fd))
		fail("pages of a direct file have been cached", EBUSY);
	close(fd);
}

/* -------------------------------------------------------------- processes */

static off_t next_offset(void)
{
	off_t off;

	if (opt.append) {
		if (me.next + opt.block > me.size) {
			if (ftruncate(me.fd, 0))
				fail("truncate", errno);
			me.next = 0;
		}
		off = me.next;
		me.next += opt.block;
		return off;
	}
	if (opt.sequential) {
		off = me.next;
		me.next = (me.next + opt.block) % me.size;
		return off;
	}
	me.seed = me.seed * 6364136223846793005ULL + 1442695040888963407ULL;
	off = (me.seed >> 33) % (me.size / opt.block);
	return off * (opt.stride ? opt.stride : opt.block);
}

static bool time_is_up(void)
{
	if (opt.ops)
		return me.started >= opt.ops;
	return now() >= me.end;
}

static void account(struct slot *slot, ssize_t result, uint64_t time)
{
	unsigned int n;

	if (result != opt.block)
		fail("a block", result < 0 ? -result : EIO);
	n = bucket(time - slot->start);
	shared->job[me.nr].latency[n < BUCKETS ? n : BUCKETS - 1]++;
	shared->job[me.nr].ops++;
}

static void one_sync(struct slot *slot, off_t off)
{
	const struct mode *mode = opt.mode;
	ssize_t ret;

	slot->iov.iov_len = opt.block;
	if (mode->stores) {
		*(volatile uint64_t *)(me.map + off) = off;
		ret = opt.block;
	} else if (mode->reads) {
		ret = preadv2(me.fd, &slot->iov, 1, off, mode->flags);
	} else {
		ret = pwritev2(me.fd, &slot->iov, 1, off, mode->flags);
	}
	if (ret == opt.block && mode->after == FDATASYNC && fdatasync(me.fd))
		ret = -1;
	if (ret == opt.block && mode->after == SYNC_RANGE &&
	    sync_file_range(me.fd, off, opt.block,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			    SYNC_FILE_RANGE_WAIT_AFTER))
		ret = -1;
	account(slot, ret < 0 ? -errno : ret, now());
}

static void run_sync(void)
{
	struct slot *slot = &me.slots[0];

	do {
		slot->start = now();
		me.started++;
		one_sync(slot, next_offset());
	} while (!time_is_up());
}

/*
 * Nothing is asked but the work itself: for counting instructions. One clock
 * reading at each end.
 */
static void run_bare(void)
{
	const struct mode *mode = opt.mode;
	struct slot *slot = &me.slots[0];
	char *copy = (char *)slot->buffer + opt.block;
	unsigned long i;
	ssize_t ret;

	if (opt.marks)
		sched_get_priority_min(SCHED_OTHER);
	for (i = 0; i < opt.ops; i++) {
		off_t off = next_offset();

		if (opt.copy) {
			memcpy(copy, slot->buffer, opt.block);
			__asm__ volatile("" : : "r"(copy) : "memory");
		}
		if (mode->reads)
			ret = preadv2(me.fd, &slot->iov, 1, off, mode->flags);
		else
			ret = pwritev2(me.fd, &slot->iov, 1, off, mode->flags);
		if (ret != opt.block)
			fail("a block", ret < 0 ? errno : EIO);
	}
	if (opt.marks)
		sched_get_priority_max(SCHED_OTHER);
	shared->job[me.nr].ops = opt.ops;
}

/* What follows a write is linked to it, and completes for both. */
static void uring_prepare_after(struct io_uring *ring, struct slot *slot,
				off_t off)
{
	const unsigned int all = SYNC_FILE_RANGE_WAIT_BEFORE |
				 SYNC_FILE_RANGE_WRITE |
				 SYNC_FILE_RANGE_WAIT_AFTER;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (opt.mode->after == FDATASYNC)
		io_uring_prep_fsync(sqe, me.fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_sync_file_range(sqe, me.fd, opt.block, off, all);
	io_uring_sqe_set_data(sqe, slot);
}

static void uring_prepare(struct io_uring *ring, struct slot *slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	off_t off = next_offset();

	if (opt.mode->reads)
		io_uring_prep_read(sqe, me.fd, slot->buffer, opt.block, off);
	else
		io_uring_prep_write(sqe, me.fd, slot->buffer, opt.block, off);
	sqe->rw_flags = opt.mode->flags;
	io_uring_sqe_set_data(sqe, slot);
	if (opt.mode->after) {
		sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
		uring_prepare_after(ring, slot, off);
	}
	slot->start = now();
	me.started++;
}

static void run_uring(void)
{
	struct io_uring_cqe *cqes[MAX_DEPTH];
	unsigned int i, n, flying = 0;
	struct io_uring ring;
	bool end = false;
	int ret;

	ret = io_uring_queue_init(opt.depth * 2, &ring, 0);
	if (ret)
		fail("io_uring", -ret);
	for (i = 0; i < opt.depth; i++, flying++)
		uring_prepare(&ring, &me.slots[i]);
	while (flying) {
		uint64_t time;

		ret = io_uring_submit_and_wait(&ring, 1);
		if (ret < 0 && ret != -EINTR)
			fail("io_uring_enter", -ret);
		n = io_uring_peek_batch_cqe(&ring, cqes, MAX_DEPTH);
		time = now();
		end = end || time_is_up();
		for (i = 0; i < n; i++) {
			struct slot *slot = io_uring_cqe_get_data(cqes[i]);
			ssize_t done = cqes[i]->res;

			if (opt.mode->after && !done)
				done = opt.block;
			account(slot, done, time);
			if (end)
				flying--;
			else
				uring_prepare(&ring, slot);
		}
		io_uring_cq_advance(&ring, n);
	}
	io_uring_queue_exit(&ring);
}

static struct iocb *aio_prepare(struct slot *slot)
{
	off_t off = next_offset();

	if (opt.mode->reads)
		io_prep_pread(&slot->iocb, me.fd, slot->buffer, opt.block, off);
	else
		io_prep_pwrite(&slot->iocb, me.fd, slot->buffer, opt.block,
			       off);
	slot->iocb.aio_rw_flags = opt.mode->flags;
	slot->iocb.data = slot;
	slot->start = now();
	me.started++;
	return &slot->iocb;
}

static void run_aio(void)
{
	struct iocb *batch[MAX_DEPTH];
	struct io_event events[MAX_DEPTH];
	unsigned int nr = 0, flying = 0;
	io_context_t context = 0;
	bool end = false;
	int ret, i;

	ret = io_setup(opt.depth, &context);
	if (ret)
		fail("io_setup", -ret);
	while (nr < opt.depth) {
		batch[nr] = aio_prepare(&me.slots[nr]);
		nr++;
	}
	do {
		uint64_t time;

		if (nr) {
			ret = io_submit(context, nr, batch);
			if (ret != (int)nr)
				fail("io_submit", ret < 0 ? -ret : EAGAIN);
			flying += nr;
		}
		ret = io_getevents(context, 1, MAX_DEPTH, events, NULL);
		if (ret < 0)
			fail("io_getevents", -ret);
		time = now();
		end = end || time_is_up();
		flying -= ret;
		nr = 0;
		for (i = 0; i < ret; i++) {
			struct slot *slot = events[i].data;

			account(slot, (long)events[i].res, time);
			if (!end)
				batch[nr++] = aio_prepare(slot);
		}
	} while (flying || nr);
	io_destroy(context);
}

static void work(unsigned int nr)
{
	size_t room = (size_t)opt.block * 2;
	unsigned int i;

	me.nr = nr;
	me.seed = 0x9e3779b97f4a7c15ULL * (nr + 1);
	me.size = opt.size * (opt.shared_file ? opt.jobs : 1);
	me.next = opt.shared_file ? nr * opt.size : 0;
	me.fd = open_file(opt.shared_file ? 0 : nr,
			  opt.mode->direct ? O_DIRECT : 0);
	if (opt.mode->stores) {
		me.map = mmap(NULL, me.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      me.fd, 0);
		if (me.map == MAP_FAILED)
			fail("mmap", errno);
	}
	for (i = 0; i < opt.depth; i++) {
		char *p = mmap(NULL, room, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			fail("no memory", errno);
		memset(p, 'a' + (i + nr) % 26, room);
		me.slots[i].buffer = p;
		me.slots[i].iov = (struct iovec) { p, opt.block };
	}

	if (opt.through_first &&
	    pwritev2(me.fd, &me.slots[0].iov, 1, 0, RWF_WRITETHROUGH) !=
	    opt.block)
		fail("the first write-through", errno);

	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))
		usleep(1000);
	me.begin = now();
	me.end = me.begin + (uint64_t)(opt.seconds * 1e9);
	if (!strcmp(opt.engine, "bare"))
		run_bare();
	else if (!strcmp(opt.engine, "pvsync2"))
		run_sync();
	else if (!strcmp(opt.engine, "io_uring"))
		run_uring();
	else
		run_aio();
	shared->job[nr].begin = me.begin;
	shared->job[nr].end = now();
}

/* As writeback in the background does, only more often. */
static void flush_files(void)
{
	unsigned int nr = opt.shared_file ? 1 : opt.jobs, i;
	int fds[MAX_JOBS];

	for (i = 0; i < nr; i++)
		fds[i] = open_file(i, 0);
	while (!__atomic_load_n(&shared->over, __ATOMIC_ACQUIRE)) {
		for (i = 0; i < nr; i++)
			sync_file_range(fds[i], 0, 0, SYNC_FILE_RANGE_WRITE);
		usleep(1000);
	}
}

static unsigned long dirty_kb(void)
{
	unsigned long sum = 0, value;
	FILE *file = fopen("/proc/meminfo", "re");
	char line[256];

	if (!file)
		fail("meminfo", errno);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Dirty: %lu", &value) == 1 ||
		    sscanf(line, "Writeback: %lu", &value) == 1)
			sum += value;
	fclose(file);
	return sum;
}

static void watch_memory(void)
{
	while (!__atomic_load_n(&shared->over, __ATOMIC_ACQUIRE)) {
		unsigned long now = dirty_kb();

		if (now > shared->dirty_kb)
			shared->dirty_kb = now;
		if (shared->samples < MAX_SAMPLES)
			shared->dirty[shared->samples++] = now;
		usleep(SAMPLE_MS * 1000);
	}
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail(path, errno);
	close(fd);
}

/* This process, and those that it starts, in a control group of their own. */
static void limit_memory(void)
{
	char text[32];

	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir("/sys/fs/cgroup/bench", 0755) && errno != EEXIST)
		fail("a control group", errno);
	snprintf(text, sizeof(text), "%uM", opt.memory);
	write_text("/sys/fs/cgroup/bench/memory.max", text);
	write_text("/sys/fs/cgroup/bench/cgroup.procs", "0");
}

static pid_t start(void (*what)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork", errno);
	if (pid)
		return pid;
	what();
	exit(0);
}

static void run_jobs(void)
{
	unsigned int i, helpers = 0;
	int status;

	for (i = 0; i < opt.jobs; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork", errno);
		if (!pid) {
			work(i);
			exit(0);
		}
	}
	while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) < opt.jobs)
		usleep(1000);
	if (opt.flusher && start(flush_files))
		helpers++;
	if (opt.memory && start(watch_memory))
		helpers++;
	__atomic_store_n(&shared->go, 1, __ATOMIC_RELEASE);
	for (i = 0; i < opt.jobs + helpers; i++) {
		if (wait(&status) < 0 || !WIFEXITED(status) ||
		    WEXITSTATUS(status))
			exit(1);
		if (i + 1 == opt.jobs)
			__atomic_store_n(&shared->over, 1, __ATOMIC_RELEASE);
	}
}

static uint64_t percentile(double part)
{
	unsigned long total = 0, seen = 0;
	unsigned int i, n;

	for (i = 0; i < opt.jobs; i++)
		for (n = 0; n < BUCKETS; n++)
			total += shared->job[i].latency[n];
	for (n = 0; n < BUCKETS; n++) {
		for (i = 0; i < opt.jobs; i++)
			seen += shared->job[i].latency[n];
		if (total && seen >= total * part)
			return bucket_value(n);
	}
	return 0;
}

static void report_series(void)
{
	unsigned int i;

	printf("\"dirty_kb\":%lu,\"dirty_every_ms\":%u,\"dirty_series\":[",
	       shared->dirty_kb, SAMPLE_MS);
	for (i = 0; i < shared->samples; i++)
		printf("%s%lu", i ? "," : "", shared->dirty[i]);
	printf("],");
}

/* Latencies in ns, and how many there were. */
static void report_histogram(void)
{
	const char *comma = "";
	unsigned int i, n;

	printf("\"histogram\":[");
	for (n = 0; n < BUCKETS; n++) {
		unsigned long count = 0;

		for (i = 0; i < opt.jobs; i++)
			count += shared->job[i].latency[n];
		if (!count)
			continue;
		printf("%s[%llu,%lu]", comma,
		       (unsigned long long)bucket_value(n), count);
		comma = ",";
	}
	printf("],");
}

static void report(void)
{
	double iops = 0, ns = 0;
	unsigned long ops = 0;
	unsigned int i;

	for (i = 0; i < opt.jobs; i++) {
		double time = shared->job[i].end - shared->job[i].begin;

		ops += shared->job[i].ops;
		iops += shared->job[i].ops / time * 1e9;
		ns += time;
	}
	printf("{\"mode\":\"%s\",\"engine\":\"%s\",\"depth\":%u,\"block\":%u,",
	       opt.mode->name, opt.engine, opt.depth, opt.block);
	printf("\"jobs\":%u,\"shared\":%s,\"folios\":\"%s\",", opt.jobs,
	       opt.shared_file ? "true" : "false",
	       opt.mode->direct ? "none" : opt.large ? "large" : "small");
	printf("\"ops\":%lu,\"ns_per_op\":%.1f,\"iops\":%.1f,", ops, ns / ops,
	       iops);
	printf("\"mb_per_s\":%.1f,", iops * opt.block / 1e6);
	if (opt.append)
		printf("\"extents\":%u,", extents(0));
	if (opt.memory)
		report_series();
	if (opt.histogram)
		report_histogram();
	printf("\"p50_ns\":%llu,\"p99_ns\":%llu,\"p999_ns\":%llu}\n",
	       (unsigned long long)percentile(0.5),
	       (unsigned long long)percentile(0.99),
	       (unsigned long long)percentile(0.999));
}

static void usage(void)
{
	unsigned int i;

	fprintf(stderr,
		"usage: wtbench --dir DIR --mode MODE [OPTION...]\n"
		"  --engine pvsync2|io_uring|libaio, or bare: --ops calls, not timed singly\n"
		"  --depth N, --block BYTES, --jobs N processes, --size MIB of each\n"
		"  --shared     one file for all jobs\n"
		"  --seq        one block after the other, not at random\n"
		"  --large      large folios, where the file system has them\n"
		"  --copy       (bare) copy the block in memory as well\n"
		"  --append     to files that are empty at first, and whenever --size is reached\n"
		"  --stride MIB from a block to the next, in a file with holes in between\n"
		"  --memory MIB limit of memory for all jobs, see also what is dirty at most\n"
		"  --through-first  a write-through to each file before the rest\n"
		"  --histogram  of latencies, in the result\n"
		"  --flusher    somebody writes the files back all the time\n"
		"  --in-place   fails if blocks of the first file have moved\n"
		"  --make, --check  make the files, see that direct ones are not cached, no more\n"
		"  --marks      (bare) let bench/calls.c count in between\n"
		"  --seconds S, or --ops N of each job\n"
		"modes:");
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		fprintf(stderr, " %s", modes[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "dir", 1, NULL, 'd' },	{ "mode", 1, NULL, 'm' },
		{ "engine", 1, NULL, 'e' },	{ "depth", 1, NULL, 'q' },
		{ "block", 1, NULL, 'b' },	{ "jobs", 1, NULL, 'j' },
		{ "size", 1, NULL, 's' },	{ "shared", 0, NULL, 'S' },
		{ "seq", 0, NULL, 'r' },	{ "large", 0, NULL, 'l' },
		{ "copy", 0, NULL, 'c' },	{ "seconds", 1, NULL, 't' },
		{ "ops", 1, NULL, 'n' },	{ "append", 0, NULL, 'a' },
		{ "marks", 0, NULL, 'M' },	{ "stride", 1, NULL, 'R' },
		{ "memory", 1, NULL, 'C' },	{ "flusher", 0, NULL, 'F' },
		{ "make", 0, NULL, 'k' },	{ "check", 0, NULL, 'K' },
		{ "through-first", 0, NULL, 'T' },
		{ "histogram", 0, NULL, 'H' },	{ "in-place", 0, NULL, 'P' },
		{ }
	};
	unsigned int i;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.dir = optarg;
			break;
		case 'm':
			for (i = 0; i < ARRAY_SIZE(modes); i++)
				if (!strcmp(optarg, modes[i].name))
					opt.mode = &modes[i];
			break;
		case 'e':
			opt.engine = optarg;
			break;
		case 'q':
			opt.depth = atoi(optarg);
			break;
		case 'b':
			opt.block = atoi(optarg);
			break;
		case 'j':
			opt.jobs = atoi(optarg);
			break;
		case 's':
			opt.size = (off_t)atoi(optarg) << 20;
			break;
		case 'S':
			opt.shared_file = true;
			break;
		case 'r':
			opt.sequential = true;
			break;
		case 'l':
			opt.large = true;
			break;
		case 'c':
			opt.copy = true;
			break;
		case 'a':
			opt.append = true;
			break;
		case 'M':
			opt.marks = true;
			break;
		case 'R':
			opt.stride = (off_t)atoi(optarg) << 20;
			break;
		case 'C':
			opt.memory = atoi(optarg);
			break;
		case 'F':
			opt.flusher = true;
			break;
		case 'k':
			opt.only_make = true;
			break;
		case 'K':
			opt.only_check = true;
			break;
		case 'P':
			opt.in_place = true;
			break;
		case 'H':
			opt.histogram = true;
			break;
		case 'T':
			opt.through_first = true;
			break;
		case 't':
			opt.seconds = atof(optarg);
			break;
		case 'n':
			opt.ops = strtoul(optarg, NULL, 0);
			break;
		default:
			usage();
		}
	}
	if (!opt.mode || optind != argc || !opt.depth ||
	    opt.depth > MAX_DEPTH || !opt.jobs || opt.jobs > MAX_JOBS ||
	    !opt.block || opt.size < opt.block ||
	    (opt.append && (opt.shared_file || opt.mode->reads)))
		usage();
	if (strcmp(opt.engine, "pvsync2") && strcmp(opt.engine, "io_uring") &&
	    strcmp(opt.engine, "libaio") &&
	    (strcmp(opt.engine, "bare") || !opt.ops))
		usage();
	if (opt.mode->after && (!strcmp(opt.engine, "bare") ||
				!strcmp(opt.engine, "libaio")))
		usage();
	if (opt.mode->stores && strcmp(opt.engine, "pvsync2"))
		usage();
}

int main(int argc, char **argv)
{
	struct fiemap *places = calloc(1, PLACES_SIZE);
	unsigned int files, i;

	if (!places)
		fail("no memory", errno);
	parse(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("no memory", errno);
	files = opt.shared_file ? 1 : opt.jobs;
	if (opt.memory)
		limit_memory();
	for (i = 0; i < files && !opt.only_check; i++)
		make_file(i, opt.size * (opt.shared_file ? opt.jobs : 1));
	if (opt.only_make)
		return 0;
	get_places(places);
	if (!opt.only_check)
		run_jobs();
	if (opt.in_place && have_moved(places))
		fail("blocks have been moved", EXDEV);
	for (i = 0; i < files; i++)
		check_file(i);
	if (!opt.only_check)
		report();
	return 0;
}
