// SPDX-License-Identifier: GPL-2.0
/*
 * The counters of dirty pages and of pages under writeback, those of the whole
 * system, of the device and of the control group, are back where they were after
 * many operations of all kinds: none is leaked, none goes negative. A page that
 * is written through is written, but was never dirty.
 *
 * $WT_OPS says how many operations; unless it does, time limits them.
 *
 * Mutant: 033-dirty-count-leaked
 * Mutant: 066-dirty-on-the-way
 * lab: --disk 600M --timeout 300
 * blocks: 1024
 */
#include "wt.h"
#include <sys/sysmacros.h>

#define FILE_SIZE	(1 * MIB)
#define LONGEST		70000
#define NR_OPS		12000L
#define LIMIT_MS	15000		/* for a third of them */
#define PROCESSES	2
#define DEPTH		4
#define CGROUP		"/sys/fs/cgroup/statistics"

struct counters {
	long long	dirty;
	long long	writeback;
	long long	dirtied;
	long long	written;
};

static bool in_cgroup;

static struct counters settle(void)
{
	int fd = wt_sys(open(wt_mnt, O_RDONLY | O_CLOEXEC));

	wt_sys(syncfs(fd));
	close(fd);
	/* Folds in the per-CPU parts; refuses if a counter is negative. */
	wt_check(wt_put("/proc/sys/vm/stat_refresh", "1"),
		 "a counter of /proc/vmstat is negative");
	return (struct counters) {
		.dirty		= wt_get("/proc/vmstat", "nr_dirty"),
		.writeback	= wt_get("/proc/vmstat", "nr_writeback"),
		.dirtied	= wt_get("/proc/vmstat", "nr_dirtied"),
		.written	= wt_get("/proc/vmstat", "nr_written"),
	};
}

/* Kilobytes that a backing device's counters may be off, not being folded. */
static long long bdi_slack(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), batch = 8, n;

	for (n = cpus; n > 1; n /= 2)
		batch += 8;
	return cpus * batch * (wt_psize / KIB);
}

static void bdi_idle(void)
{
	char path[128], line[128];
	struct stat st;
	long long value;
	FILE *f;

	wt_sys(stat(wt_mnt, &st));
	snprintf(path, sizeof(path), "/sys/kernel/debug/bdi/%u:%u/stats",
		 major(st.st_dev), minor(st.st_dev));
	if (access(path, R_OK)) {
		wt_note("note: no %s", path);
		return;
	}
	wt_check(wt_get(path, "BdiWriteback") <= bdi_slack(),
		 "BdiWriteback: %lld kB", wt_get(path, "BdiWriteback"));
	wt_check(wt_get(path, "BdiReclaimable") <= bdi_slack(),
		 "BdiReclaimable: %lld kB", wt_get(path, "BdiReclaimable"));
	wt_check(wt_get(path, "b_dirty") <= 1 && wt_get(path, "b_io") == 0,
		 "inodes left on the device's lists");

	/* Of each control group that has written to it. */
	snprintf(path, sizeof(path), "/sys/kernel/debug/bdi/%u:%u/wb_stats",
		 major(st.st_dev), minor(st.st_dev));
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		wt_check((sscanf(line, "WbWriteback: %lld", &value) != 1 &&
			  sscanf(line, "WbReclaimable: %lld", &value) != 1) ||
			 value <= bdi_slack(), "%s", line);
	if (f)
		fclose(f);
}

static void cgroup_start(void)
{
	if (!wt_put("/sys/fs/cgroup/cgroup.subtree_control", "+memory") ||
	    (mkdir(CGROUP, 0755) && errno != EEXIST) ||
	    !wt_put(CGROUP "/cgroup.procs", "0"))
		wt_note("note: no control group");
	else
		in_cgroup = true;
}

static void cgroup_idle(void)
{
	static const char * const keys[] = { "file_dirty", "file_writeback" };
	unsigned int i, tries;

	for (i = 0; in_cgroup && i < ARRAY_SIZE(keys); i++) {
		/* Folded in every two seconds. */
		for (tries = 0; wt_get(CGROUP "/memory.stat", keys[i]) &&
		     tries < 50; tries++)
			wt_sleep_ms(100);
		wt_check(!wt_get(CGROUP "/memory.stat", keys[i]), "cgroup: %s",
			 keys[i]);
	}
}

static void idle(const struct counters *before)
{
	struct counters now = settle();

	wt_check(!before->writeback && !now.writeback,
		 "nr_writeback %lld, was %lld", now.writeback,
		 before->writeback);
	/* Other file systems of the machine may have a page or two. */
	wt_check(now.dirty - before->dirty < 8 && before->dirty - now.dirty < 8,
		 "nr_dirty %lld, was %lld", now.dirty, before->dirty);
	wt_check(wt_get("/proc/meminfo", "Writeback") == 0,
		 "meminfo: Writeback %lld", wt_get("/proc/meminfo", "Writeback"));
	wt_check(wt_get("/proc/meminfo", "Dirty") <
		 (before->dirty + 8) * (long long)(wt_psize / KIB),
		 "meminfo: Dirty %lld", wt_get("/proc/meminfo", "Dirty"));
	bdi_idle();
	cgroup_idle();
}

struct job {
	enum wt_mode	mode;
	long		nr;		/* left to be done */
	long long	end;		/* when to stop before that */
	uint64_t	seed;
	void		*buf;		/* whatever it holds: faults are slow */
	char		*map;
	int		fd;
	int		zero;
};

/* As many at once as the interface takes. */
static void write_through(struct job *job, off_t off, size_t len)
{
	struct iovec iov = { job->buf, len };
	struct wt_request req[DEPTH];
	unsigned int i, depth = 1 + wt_random(&job->seed) % DEPTH;
	ssize_t ret;

	if (job->mode == WT_SYNC) {
		ret = wt_write(WT_SYNC, job->fd, job->buf, len, off, 0);
		wt_check(ret == (ssize_t)len, "write-through: %zd", ret);
		return;
	}
	for (i = 0; i < depth; i++) {
		req[i] = (struct wt_request) {
			.mode = job->mode, .fd = job->fd, .iov = &iov,
			.nr_iov = 1, .off = (off + i * 8192) % (FILE_SIZE - len),
		};
		wt_check(!wt_submit(&req[i]), "submission");
	}
	for (i = 0; i < depth; i++)
		wt_check(wt_wait(&req[i]) == (ssize_t)len, "write-through: %zd",
			 req[i].res);
	job->nr -= depth - 1;
}

static void operation(struct job *job)
{
	unsigned int what = wt_random(&job->seed) % 100;
	off_t off = wt_random(&job->seed) % (FILE_SIZE - LONGEST);
	size_t len = 1 + wt_random(&job->seed) % (what % 16 ? 9000 : LONGEST);
	int fd = job->fd;
	ssize_t ret;

	if (what < 12) {
		wt_check(pwrite(fd, job->buf, len, off) == (ssize_t)len, "write");
	} else if (what < 13) {
		wt_sys(ftruncate(fd, off));
		wt_sys(ftruncate(fd, FILE_SIZE));
	} else if (what < 17) {
		wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, off, len));
	} else if (what < 18) {
		wt_sys(fdatasync(fd));
	} else if (what < 22) {
		wt_sys(sync_file_range(fd, off, len, SYNC_FILE_RANGE_WRITE));
	} else if (what < 24) {
		posix_fadvise(fd, off, len, POSIX_FADV_DONTNEED);
	} else if (what < 28) {
		/*
		 * A store. The page may be behind the end by now: then it is the
		 * kernel that finds out, and says so.
		 */
		ret = read(job->zero, job->map + off, 1);
		wt_check(ret == 1 || errno == EFAULT, "store: %s",
			 strerror(errno));
	} else if (what == 28 && !(off % 50)) {
		wt_drop_caches();
	} else {
		if (what % 4 == 0) {
			off &= ~4095L;
			len = 4096;
		}
		write_through(job, off, len);
	}
}

static void work(void *arg)
{
	struct job *job = arg;

	job->buf = wt_alloc(LONGEST);
	wt_pattern(job->buf, LONGEST, 0, 1);
	job->zero = wt_sys(open("/dev/zero", O_RDONLY | O_CLOEXEC));
	job->map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			job->fd, 0);
	wt_check(job->map != MAP_FAILED, "mmap");
	for (; job->nr > 0 && (!job->end || wt_now_ms() < job->end); job->nr--)
		operation(job);
}

static void mixed(enum wt_mode mode, long nr, bool limited)
{
	struct job *job = wt_shared(PROCESSES * sizeof(*job));
	struct counters before = settle();
	long long ms = wt_now_ms();
	pid_t pid[PROCESSES];
	long done = 0;
	int i, fd;

	fd = wt_make_file("file", FILE_SIZE, 1);
	for (i = 0; i < PROCESSES; i++) {
		job[i] = (struct job) {
			.mode = mode, .nr = nr / PROCESSES, .seed = 7 + i,
			.end = limited ? ms + LIMIT_MS : 0, .fd = fd,
		};
		pid[i] = wt_fork(work, &job[i]);
	}
	for (i = 0; i < PROCESSES; i++) {
		wt_join(pid[i]);
		done += nr / PROCESSES - job[i].nr;
	}
	wt_note("%s: %ld operations in %lld ms", wt_mode_name[mode], done,
		wt_now_ms() - ms);
	wt_sys(fsync(fd));
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	idle(&before);
	close(fd);
	munmap(job, PROCESSES * sizeof(*job));
}

/* Clean before, clean after, and not dirty in between. */
static void never_dirtied(enum wt_mode mode)
{
	int fd = wt_make_file("clean", FILE_SIZE, 1);
	struct counters before = settle(), after;

	wt_write_gen(mode, fd, 0, FILE_SIZE, 2);
	after = settle();
	wt_check(after.dirtied - before.dirtied < 8, "%lld pages dirtied",
		 after.dirtied - before.dirtied);
	wt_check(after.written - before.written >= (long long)(FILE_SIZE / wt_psize),
		 "%lld pages written", after.written - before.written);
	idle(&before);
	close(fd);
}

int main(void)
{
	const char *env = getenv("WT_OPS");
	long nr = env ? atol(env) : NR_OPS;
	enum wt_mode mode;

	wt_start("statistics", 270 + nr / 100);
	wt_need_writethrough();
	/* Fast: flushes are not what this is about. */
	wt_dev = wt_null_blk("wtnull", 512, "queue_mode=2 irqmode=0");
	wt_raw = wt_dev;
	wt_setup(NULL, NULL);
	cgroup_start();
	wt_for_each_mode(mode) {
		never_dirtied(mode);
		mixed(mode, nr / WT_NR_MODES, !env);
	}
	wt_finish();
}
