// SPDX-License-Identifier: GPL-2.0
/*
 * Everything that can fail in a call is made to fail, one thing at a time: the
 * first bio, allocation or user copy, the second, and so on until a call gets
 * through; in the calling task, in io_uring's worker, and in the kernel workers
 * that complete the I/O. Then: allocations that fail from the nth on, memory
 * that ends inside the source, each block of a call refused by the device, the
 * conversion of extents refused, a shutdown while the I/O is in flight.
 *
 * Each time there is a count or an error, exactly that much of the file has
 * changed, on the device too; an error of the I/O is told again by fsync; the
 * clone is unharmed; nothing is left dirty or locked, and the same range can be
 * written through. $WT_FAULTS: "all", or names of scenarios separated by commas,
 * for more than the selection that fits into a test.
 *
 * fault_leak looks for leaks: what kmemleak itself allocates would be most of
 * what can fail.
 *
 * Mutant: 069-allocation-not-checked
 * Mutant: 100-lock-kept-on-error
 * Mutant: 101-last-error-counts
 * Mutant: 102-conversion-error-lost
 * Mutant: 103-error-told-as-zero
 * Mutant: 105-sync-error-ignored
 * Mutant: 106-block-state-not-checked
 * lab: --disk 400M,300M --cpus 1 --timeout 900 --append kmemleak=off
 * blocks: 1024
 */
#include "wt.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define MAX_FAULTS	300
#define MAX_SIZE	(128 * KIB)
#define QUOTA_ID	1000

#define P		4096L		/* extents are made of pieces of that */

enum group { LAZY, PLAIN, SMALL, REALTIME, NR_GROUPS };
enum old { WRITTEN, HOLE, UNWRITTEN, SHARED, MIXED, PART };

#define PART_SIZE	(8 * P)		/* of PART, what is written; then a hole */

/* One call, and the file that it meets. */
static const struct scenario {
	const char	*name;
	enum group	group;
	enum old	old;
	off_t		size;
	off_t		off;
	size_t		len;
	int		flags;
	bool		cold;		/* not in the page cache */
	bool		less;		/* some of the call may not fit */
	bool		fresh;		/* the first call after a mount */
	bool		tested;		/* in the test's selection */
} scenarios[] = {
	{ "overwrite", LAZY, WRITTEN, 8 * P, 2 * P, 4 * P, .tested = true },
	{ "cold", LAZY, WRITTEN, 8 * P, 2 * P, 3 * P, .cold = true },
	{ "partial", LAZY, WRITTEN, 8 * P, 2 * P + 100, 200, .cold = true },
	{ "across", LAZY, WRITTEN, 8 * P, 2 * P - 300, 2 * P + 600,
	  .cold = true, .tested = true },
	{ "hole", LAZY, HOLE, 8 * P, 2 * P, 4 * P,
	  .cold = false },
	{ "unwritten", LAZY, UNWRITTEN, 8 * P, 2 * P + 512, 3 * P,
	  .cold = false },
	{ "append", LAZY, WRITTEN, 2 * P + 100, 2 * P + 100, 3 * P,
	  .cold = true, .tested = true },
	{ "extend", LAZY, WRITTEN, P + 100, 3 * P + 50, 3 * P, .cold = true },
	{ "shared", LAZY, SHARED, 8 * P, 2 * P + 512, 3 * P, .cold = true,
	  .tested = true },
	{ "mixed", LAZY, MIXED, 8 * P, P, 6 * P, .tested = true },
	{ "nowait", LAZY, WRITTEN, 8 * P, 2 * P, 4 * P, .flags = RWF_NOWAIT,
	  .cold = true, .tested = true },
	{ "atomic", LAZY, WRITTEN, 8 * P, 4 * P, 4 * P, .flags = RWF_ATOMIC,
	  .cold = true },
	{ "atomic-mixed", LAZY, MIXED, 8 * P, 4 * P, 4 * P,
	  .flags = RWF_ATOMIC },
	{ "timestamp", PLAIN, WRITTEN, 8 * P, 2 * P, 4 * P,
	  .cold = false },
	{ "quota", PLAIN, HOLE, 32 * P, 2 * P, 16 * P, .less = true,
	  .tested = true },
	{ "quota-part", PLAIN, PART, 32 * P, 2 * P, 16 * P, .less = true,
	  .cold = true },
	{ "first", PLAIN, WRITTEN, 8 * P, 2 * P, P, .fresh = true },
	{ "enospc", SMALL, HOLE, 32 * P, 2 * P, 16 * P, .less = true },
	{ "enospc-part", SMALL, PART, 32 * P, 2 * P, 16 * P, .less = true,
	  .cold = true },
	{ "realtime", REALTIME, WRITTEN, 8 * P, 2 * P - 300, 2 * P + 600,
	  .cold = true },
	{ "realtime-hole", REALTIME, HOLE, 8 * P, 2 * P, 4 * P,
	  .tested = true },
};

/* Where the fault is injected. */
enum where { TASK, WORKER, KERNEL, NR_WHERE };

static const char * const where_name[] = { "task", "io-wq", "kworker" };

/* What failed, as the kernel log has it. */
enum kind { BIO, SLAB, PAGE, COPY, QUIET, NR_KINDS };

static const char * const kind_name[] = {
	"bio", "slab", "page", "copy", "quiet",
};

static const char * const kind_word[] = {
	"fail_make_request", "failslab", "fail_page_alloc", "fail_usercopy",
};

struct outcome {
	ssize_t		ret;
	unsigned int	nr_hits;
	unsigned int	kinds;		/* bit mask */
};

/* What is being tried, and when it has to have come to an end. */
static struct watched {
	char		point[192];
	volatile long long deadline;
} *watched;

#define point	(watched->point)

static bool finished;
static struct wt_dm dm;
static const char *data_dev, *rt_dev;
static enum group mounted;
static int kmsg;
static char *cache, *disk, *from, *source;
static unsigned int total_points, total_errors;

/* ------------------------------------------------- the file and its state */

static void tell_point(void)
{
	if (!finished && point[0])
		wt_note("at: %s", point);
}

static void watch(void)
{
	const char *slow = getenv("WT_SLOW");

	watched->deadline = wt_now_ms() +
		60000 * (slow && atoi(slow) > 1 ? atoi(slow) : 1);
}

/*
 * The test runs in a child, which a signal does not get out of the kernel if it
 * hangs there. The status makes the lab stop the machine without unmounting.
 */
static void supervise(void)
{
	int status;
	pid_t pid;

	watched = wt_shared(sizeof(*watched));
	watch();
	pid = wt_sys(fork());
	if (!pid)
		return;
	while (!waitpid(pid, &status, WNOHANG)) {
		if (wt_now_ms() > watched->deadline) {
			wt_note("FAIL: no end of: %s", point);
			/* Stacks are of a level that the console leaves out. */
			wt_put("/proc/sysrq-trigger", "8");
			wt_put("/proc/sysrq-trigger", "w");
			wt_sleep_ms(500);
			_exit(124);
		}
		wt_sleep_ms(50);
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : WT_FAIL);
}

static void make_worker_file(void)
{
	int fd = wt_open("worker", O_RDWR | O_TRUNC);

	wt_plain_gen(fd, 0, P, 1);
	wt_sys(fsync(fd));
	close(fd);
}

static void make_group(enum group group)
{
	static const char * const mkfs[] = {
		[LAZY]	= "-m reflink=1,rmapbt=1",
		[PLAIN]	= "",
		[SMALL]	= "",
	};
	static const char * const mount[] = {
		[LAZY]	= "lazytime",
		[PLAIN]	= "uquota",
		[SMALL]	= "lazytime",
	};
	char options[128];

	mounted = group;
	wt_raw = data_dev;
	unsetenv("WT_RTDEV");
	if (group != REALTIME) {
		wt_mkfs(mkfs[group]);
		wt_mount(mount[group]);
		make_worker_file();
		return;
	}
	wt_raw = rt_dev;
	setenv("WT_RTDEV", rt_dev, 1);
	snprintf(options, sizeof(options),
		 "-r rtdev=%s -d rtinherit=1 -m reflink=0", rt_dev);
	wt_mkfs(options);
	snprintf(options, sizeof(options), "rtdev=%s", rt_dev);
	wt_mount(options);
	make_worker_file();
}

static void remount(void)
{
	char options[128];

	wt_umount();
	snprintf(options, sizeof(options), "rtdev=%s", rt_dev);
	wt_mount(mounted == REALTIME ? options :
		 mounted == PLAIN ? "uquota" : "lazytime");
}

/* Nothing left on its way, and the checker content. */
static void end_group(void)
{
	int fd = wt_sys(open(wt_mnt, O_RDONLY | O_CLOEXEC)), i;

	/* The first may tell of the failures that there were. */
	if (syncfs(fd))
		wt_check(errno == EIO || errno == EUCLEAN || errno == EFBIG,
			 "syncfs: %s", strerror(errno));
	sync();
	close(fd);
	sync();
	wt_put("/proc/sys/vm/stat_refresh", "1");
	for (i = 0; i < 100 && wt_get("/proc/vmstat", "nr_writeback"); i++)
		wt_sleep_ms(20);
	wt_check(wt_get("/proc/vmstat", "nr_writeback") == 0, "nr_writeback: %lld",
		 wt_get("/proc/vmstat", "nr_writeback"));
	wt_check(wt_get("/proc/vmstat", "nr_dirty") < 8, "nr_dirty: %lld",
		 wt_get("/proc/vmstat", "nr_dirty"));
	wt_umount();
	wt_repair_check();
}

/* What a piece of the file held before the call. */
static unsigned int old_gen(const struct scenario *sc, off_t pos)
{
	if (pos >= sc->size)
		return 0;
	switch (sc->old) {
	case HOLE:
	case UNWRITTEN:
		return 0;
	case MIXED:
		return pos / P % 4 == 1 || pos / P % 4 == 2 ? 0 : 1;
	case PART:
		return pos < PART_SIZE ? 1 : 0;
	default:
		return 1;
	}
}

/* How far the call comes if nothing fails; not of what has no space at all. */
static ssize_t whole(const struct scenario *sc)
{
	return sc->old == PART ? PART_SIZE - sc->off :
		(ssize_t)sc->len;
}

/* Allocated and on the device, so that a completed overwrite is durable. */
static bool was_real(const struct scenario *sc)
{
	if (sc->flags & RWF_ATOMIC)
		return false;
	return sc->old == WRITTEN && sc->off + (off_t)sc->len <= sc->size;
}

static void make_clone(int fd, off_t off, off_t len)
{
	int clone = wt_open("clone", O_RDWR), ret;

	ret = wt_clone(fd, off, len, clone, off);
	wt_check(!ret, "clone: %s", strerror(-ret));
	close(clone);
}

static int make_file(const struct scenario *sc)
{
	int fd = wt_open("file", O_RDWR | O_TRUNC);
	off_t pos;

	if (sc->group == PLAIN)
		wt_sys(fchown(fd, QUOTA_ID, 0));
	if (sc->old == SHARED || sc->old == MIXED)
		close(wt_open("clone", O_RDWR | O_TRUNC));
	if (sc->old == HOLE)
		wt_sys(ftruncate(fd, sc->size));
	else if (sc->old == UNWRITTEN)
		wt_sys(fallocate(fd, 0, 0, sc->size));
	else
		wt_plain_gen(fd, 0, sc->old == PART ? PART_SIZE : sc->size, 1);
	if (sc->old == PART)
		wt_sys(ftruncate(fd, sc->size));
	if (sc->old == MIXED) {
		wt_sys(fsync(fd));
		for (pos = P; pos < sc->size; pos += 4 * P) {
			wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
					 FALLOC_FL_KEEP_SIZE, pos, 2 * P));
			wt_sys(fallocate(fd, 0, pos + P, P));
			make_clone(fd, pos + 2 * P, P);
		}
	}
	if (sc->old == SHARED)
		make_clone(fd, 0, sc->size);
	wt_sys(fsync(fd));
	if (sc->less && sc->group == SMALL)
		wt_fill_fs(8 * P);
	if (sc->less && sc->group == PLAIN)
		wt_quota_limit(WT_QUOTA_USER, QUOTA_ID,
			       sc->old == PART ? PART_SIZE + 8 * P : 8 * P);
	if (sc->fresh) {
		close(fd);
		remount();
		fd = wt_open("file", O_RDWR);
	}
	if (sc->cold)
		wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	else
		wt_check(pread(fd, cache, sc->size, 0) == sc->size, "read");
	return fd;
}

/*
 * What kept the call from being whole. The space of a file that is unlinked comes
 * back in the background, that of one that is truncated at once.
 */
static void make_room(const struct scenario *sc)
{
	if (sc->less && sc->group == SMALL) {
		wt_sys(truncate(wt_path("filler"), 0));
		wt_sys(unlink(wt_path("filler")));
	}
	if (sc->less && sc->group == PLAIN)
		wt_quota_limit(WT_QUOTA_USER, QUOTA_ID, 0);
}

/* ------------------------------------------------------------ the verdict */

static void expect_old(const struct scenario *sc, const char *what,
		       const char *buf, off_t pos, off_t end)
{
	while (pos < end) {
		off_t next = (pos / P + 1) * P;

		if (next > end)
			next = end;
		if (pos < sc->size && next > sc->size)
			next = sc->size;
		wt_expect_buf(what, buf + pos, next - pos, pos,
			      old_gen(sc, pos));
		pos = next;
	}
}

/*
 * Each sector of the call is the old or the new; returns how many are new. Of an
 * atomic one all or none are.
 */
static unsigned int old_or_new(const struct scenario *sc, const char *what,
			       const char *buf, off_t end)
{
	off_t pos = sc->off, stop = sc->off + sc->len;
	unsigned int nr_new = 0;

	if (stop > end)
		stop = end;
	while (pos < stop) {
		off_t next = (pos / 512 + 1) * 512;

		if (next > stop)
			next = stop;
		if (wt_mismatch(buf + pos, next - pos, pos, 2) < 0)
			nr_new++;
		else if (old_gen(sc, pos) &&
			 wt_mismatch(buf + pos, next - pos, pos, 0) < 0 &&
			 pos >= sc->size)
			;
		else
			wt_expect_buf(what, buf + pos, next - pos, pos,
				      old_gen(sc, pos));
		pos = next;
	}
	if (sc->flags & RWF_ATOMIC)
		wt_check(!nr_new || nr_new == sc->len / 512,
			 "%s: %u sectors of an atomic write are new", what,
			 nr_new);
	return nr_new;
}

static void read_both(int fd, off_t size)
{
	wt_check(pread(fd, cache, size, 0) == size, "read: %s", strerror(errno));
	wt_raw_read(fd, disk, 0, size);
}

static void check_clone(const struct scenario *sc)
{
	off_t pos;
	int fd;

	if (sc->old != SHARED && sc->old != MIXED)
		return;
	fd = wt_open("clone", O_RDWR);
	if (sc->old == SHARED)
		wt_expect_both(fd, 0, sc->size, 1);
	else
		for (pos = 3 * P; pos < sc->size; pos += 4 * P)
			wt_expect_both(fd, pos, P, 1);
	close(fd);
}

static bool is_shut_down(int fd)
{
	char byte;

	return pread(fd, &byte, 1, 0) < 0 && errno == EIO;
}

/* After a shutdown, and the log's recovery. */
static int check_recovered(const struct scenario *sc, int fd, ssize_t ret,
			   int flags)
{
	struct stat st;
	off_t end;

	close(fd);
	remount();
	fd = wt_open("file", O_RDWR);
	wt_sys(fstat(fd, &st));
	wt_check(st.st_size <= MAX_SIZE, "size %lld", (long long)st.st_size);
	wt_check(pread(fd, cache, st.st_size, 0) == st.st_size, "read");
	wt_check(st.st_size >= sc->size, "size %lld, was %lld",
		 (long long)st.st_size, (long long)sc->size);
	end = sc->off < sc->size ? sc->off : sc->size;
	expect_old(sc, "after a shutdown", cache, 0, end);
	old_or_new(sc, "after a shutdown", cache, st.st_size);
	if (ret > 0 && ((flags & RWF_DSYNC) || was_real(sc))) {
		wt_check(st.st_size >= sc->off + ret, "acknowledged, but the size is %lld",
			 (long long)st.st_size);
		wt_expect_buf("acknowledged, after a shutdown", cache + sc->off,
			      ret, sc->off, 2);
	}
	return fd;
}

/*
 * The I/O has failed: told by every descriptor's fsync. If it was the flush of
 * RWF_DSYNC that failed, fsync has another try at that.
 */
static void check_told(const struct scenario *sc, int fd, int other, int flags)
{
	unsigned int nr_new = old_or_new(sc, "cache", cache, sc->off + sc->len);
	int told = fsync(fd) ? errno : 0, told_other = fsync(other) ? errno : 0;

	old_or_new(sc, "device", disk, sc->off + sc->len);
	if ((flags & RWF_DSYNC) && !told && !told_other &&
	    wt_mismatch(disk + sc->off, whole(sc), sc->off, 2) < 0)
		return;
	if (nr_new || told)
		wt_check(told && told_other, "fsync of the caller says %d, of another %d",
			 told, told_other);
	wt_sys(fsync(fd));
}

static void check_live(const struct scenario *sc, int fd, int other, int flags,
		       const struct outcome *out)
{
	ssize_t good = out->ret > 0 ? out->ret : 0;
	off_t end = sc->off + good, size = !good || sc->size > end ? sc->size : end;
	struct wt_cache state = wt_cache(fd, sc->off / P * P,
					 sc->off % P + sc->len);
	struct stat st;

	wt_sys(fstat(fd, &st));
	wt_check(!state.writeback, "%lu pages under writeback", state.writeback);
	wt_check(!state.dirty, "%lu dirty pages", state.dirty);
	memset(cache, 0, MAX_SIZE);
	memset(disk, 0, MAX_SIZE);
	read_both(fd, st.st_size);
	if (out->ret == -EIO || out->ret == -EUCLEAN || out->ret == -EFBIG) {
		wt_check(st.st_size == sc->size ||
			 (st.st_size > sc->size &&
			  st.st_size <= sc->off + (off_t)sc->len),
			 "size %lld", (long long)st.st_size);
		check_told(sc, fd, other, flags);
		return;
	}
	wt_check(st.st_size == size, "size %lld, expected %lld",
		 (long long)st.st_size, (long long)size);
	expect_old(sc, "cache", cache, 0, sc->off < size ? sc->off : size);
	wt_expect_buf("cache", cache + sc->off, good, sc->off, 2);
	expect_old(sc, "cache", cache, end, size);
	/* The block of the old end of the file is zeroed in the cache first. */
	if (sc->size < sc->off) {
		wt_sys(fsync(fd));
		read_both(fd, st.st_size);
	}
	expect_old(sc, "device", disk, 0, sc->off < size ? sc->off : size);
	wt_expect_buf("device", disk + sc->off, good, sc->off, 2);
	expect_old(sc, "device", disk, end, size);
	wt_check(!fsync(fd) && !fsync(other), "no I/O has failed, but fsync does");
}

static bool allowed(const struct scenario *sc, const struct outcome *out)
{
	bool quiet = out->kinds & 1U << QUIET;

	switch (-out->ret) {
	case ENOMEM:
		return quiet || (out->kinds & (1U << SLAB | 1U << PAGE));
	case EAGAIN:	/* of a call that must not wait, or was not queued */
		return (sc->flags & RWF_NOWAIT) || quiet ||
			(out->kinds & (1U << SLAB | 1U << PAGE | 1U << COPY));
	case EFAULT:
		return out->kinds & 1U << COPY;
	case EIO:
		return out->kinds & 1U << BIO;
	case ENOSPC:
		return sc->less || sc->old == SHARED;
	case EDQUOT:
		return sc->less;
	default:
		return false;
	}
}

static void check(const struct scenario *sc, enum wt_mode mode, int fd,
		  int other, int flags, const struct outcome *out)
{
	if (is_shut_down(fd)) {
		close(other);
		fd = check_recovered(sc, fd, out->ret, flags);
	} else {
		check_live(sc, fd, other, flags, out);
		close(other);
	}
	/* Nothing is stuck, and nothing went where it must not. */
	make_room(sc);
	wt_write_gen(mode, fd, sc->off, sc->len, 3);
	wt_expect_both(fd, sc->off, sc->len, 3);
	check_clone(sc);
	close(fd);
}

/* What a call comes to that nothing has happened to. */
static bool as_ever(const struct scenario *sc, ssize_t ret)
{
	if (sc->flags & RWF_NOWAIT)
		return ret == -EAGAIN || ret == (ssize_t)sc->len;
	if (sc->less && sc->old != PART)
		return ret == (sc->group == SMALL ? -ENOSPC : -EDQUOT);
	return ret == whole(sc);
}

/* ---------------------------------------------------- the nth thing fails */

static void skip_log(void)
{
	lseek(kmsg, 0, SEEK_END);
}

/* What the kernel has said that it made fail. */
static unsigned int kinds_hit(void)
{
	char text[1024];
	unsigned int kinds = 0, i;
	ssize_t n;

	while ((n = read(kmsg, text, sizeof(text) - 1)) > 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		text[n] = 0;
		if (!strstr(text, "FAULT_INJECTION"))
			continue;
		for (i = 0; i < ARRAY_SIZE(kind_word); i++)
			if (strstr(text, kind_word[i]))
				kinds |= 1U << i;
	}
	return kinds;
}

static struct {
	int		fd[256];
	unsigned int	nr;
} armed;

/* Opens fail-nth of the tasks that the fault is for. */
static void find_tasks(enum where where)
{
	const char *top = where == WORKER ? "/proc/self/task" : "/proc";
	const char *wanted = where == WORKER ? "iou-wrk" : "kworker";
	char path[300], comm[32];
	struct dirent *entry;
	DIR *dir = opendir(top);
	ssize_t len;
	int fd;

	wt_check(dir, "%s", top);
	while (armed.nr)
		close(armed.fd[--armed.nr]);
	while ((entry = readdir(dir)) && armed.nr < ARRAY_SIZE(armed.fd)) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "%s/%s/comm", top, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		len = read(fd, comm, sizeof(comm) - 1);
		close(fd);
		if (len <= 0)
			continue;
		comm[len] = 0;
		if (strncmp(comm, wanted, strlen(wanted)))
			continue;
		snprintf(path, sizeof(path), "%s/%s/fail-nth", top, entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0)
			armed.fd[armed.nr++] = fd;
	}
	closedir(dir);
}

/* A task may be gone meanwhile. */
static void arm_tasks(unsigned int nth)
{
	char text[16];
	unsigned int i;
	int n = snprintf(text, sizeof(text), "%u", nth);

	for (i = 0; i < armed.nr; i++)
		if (write(armed.fd[i], text, n) < 0)
			continue;
}

static unsigned int disarm_tasks(void)
{
	unsigned int i, hits = 0;
	char text[16];
	ssize_t n;

	for (i = 0; i < armed.nr; i++) {
		n = pread(armed.fd[i], text, sizeof(text) - 1, 0);
		if (n > 0) {
			text[n] = 0;
			hits += !atoi(text);
		}
		if (write(armed.fd[i], "0", 1) < 0)
			continue;
	}
	return hits;
}

/*
 * The ring gets a worker, if it has none: what is not block aligned is always
 * handed to one. It takes no space, which there may be none of.
 */
static void make_worker(enum wt_mode mode)
{
	int fd = wt_open("worker", O_RDWR);

	wt_write_gen(mode, fd, 100, 200, 1);
	close(fd);
}

static void inject(const struct scenario *sc, enum wt_mode mode, int fd,
		   int flags, enum where where, unsigned int nth,
		   struct outcome *out)
{
	struct iovec iov = { source, sc->len };
	struct wt_request req = {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1,
		.off = sc->off, .flags = flags,
	};
	unsigned int nr_hits = 0;
	int fault = -1, ret;

	if (where == WORKER) {
		make_worker(mode);
		find_tasks(where);
	} else if (where == KERNEL && nth % 8 == 1) {
		find_tasks(where);
	}
	skip_log();
	if (where == TASK)
		fault = wt_fault_nth(nth);
	else
		arm_tasks(nth);
	if (mode == WT_SYNC) {
		out->ret = wt_writev(mode, fd, &iov, 1, sc->off, flags);
		if (fault >= 0)
			nr_hits = wt_fault_hit(fault);
	} else {
		ret = wt_submit(&req);
		if (fault >= 0)
			nr_hits = wt_fault_hit(fault);
		out->ret = ret ? ret : wt_wait(&req);
	}
	if (where != TASK)
		nr_hits = disarm_tasks();
	out->nr_hits = nr_hits;
	out->kinds = nr_hits ? kinds_hit() : 0;
	if (nr_hits && !out->kinds)
		out->kinds = 1U << QUIET;
}

static void sweep(const struct scenario *sc, enum wt_mode mode, int flags,
		  enum where where)
{
	unsigned int nth, hits = 0, errors = 0, shorts = 0, downs = 0;
	unsigned int kinds[NR_KINDS] = { 0 }, misses = 0, i;
	char text[128] = "";
	int len = 0;

	flags |= sc->flags;
	wt_pattern(source, sc->len, sc->off, 2);
	/* Twice nothing hit: a lone miss may be a matter of what is cached. */
	for (nth = 1; misses < 2; nth++) {
		struct outcome out = { 0 };
		int fd = make_file(sc), other = wt_open("file", O_RDWR);

		snprintf(point, sizeof(point), "%s, %s%s, fault %u in the %s",
			 sc->name, wt_mode_name[mode],
			 flags & RWF_DSYNC ? " dsync" : "", nth,
			 where_name[where]);
		wt_check(nth < MAX_FAULTS, "no end");
		watch();
		inject(sc, mode, fd, flags, where, nth, &out);
		if (out.nr_hits)
			hits++;
		else
			misses++;
		for (i = 0; i < NR_KINDS; i++)
			if (out.kinds & 1U << i)
				kinds[i]++;
		len = strlen(point);
		snprintf(point + len, sizeof(point) - len, ": kinds 0x%x, result %zd",
			 out.kinds, out.ret);
		wt_check(out.nr_hits || as_ever(sc, out.ret),
			 "nothing has failed, and the result is %zd", out.ret);
		if (is_shut_down(fd)) {
			downs++;
			wt_check(out.ret > 0 || out.ret == -EIO || allowed(sc, &out),
				 "unexpected error");
		} else if (out.ret < 0) {
			errors++;
			wt_check(allowed(sc, &out), "unexpected error");
		} else {
			wt_check(out.ret > 0, "nothing written, and no error");
			shorts += out.ret < (ssize_t)sc->len;
		}
		check(sc, mode, fd, other, flags, &out);
	}
	total_points += hits;
	total_errors += errors + downs;
	len = 0;
	for (i = 0; i < NR_KINDS; i++)
		if (kinds[i])
			len += snprintf(text + len, sizeof(text) - len, " %s %u",
					kind_name[i], kinds[i]);
	wt_note("%-13s %-8s %-5s %-7s %3u points:%s; %u errors, %u short, %u shut down",
		sc->name, wt_mode_name[mode], flags & RWF_DSYNC ? "dsync" : "",
		where_name[where], hits, text, errors, shorts, downs);
}

/* ------------------------------------------ fails, and goes on to fail */

/*
 * All allocations of pages from the @nth on. The task has to find its way out
 * while that lasts, hence the limit.
 */
static void no_pages(const struct scenario *sc, enum wt_mode mode)
{
	unsigned int nth, hits = 0, errors = 0, shorts = 0, i;
	static const char dir[] = "/sys/kernel/debug/fail_page_alloc";
	char file[64];

	wt_pattern(source, sc->len, sc->off, 2);
	for (nth = 0; nth < 64; nth++) {
		struct outcome out = { .kinds = 1U << PAGE };
		int fd = make_file(sc), other = wt_open("file", O_RDWR);
		long long left;

		snprintf(point, sizeof(point), "%s, %s, no pages after %u",
			 sc->name, wt_mode_name[mode], nth);
		watch();
		wt_run("cd %s && echo %u >space && echo 40 >times && echo 1 >interval && echo 100 >probability",
		       dir, nth);
		wt_put("/proc/self/make-it-fail", "1");
		out.ret = wt_write(mode, fd, source, sc->len, sc->off, sc->flags);
		for (i = 0; !wt_put("/proc/self/make-it-fail", "0"); i++)
			wt_check(i < 1000, "make-it-fail stays on");
		snprintf(file, sizeof(file), "%s/times", dir);
		left = wt_get(file, NULL);
		wt_run("cd %s && echo 0 >probability && echo -1 >times", dir);
		hits += left < 40;
		errors += out.ret < 0;
		shorts += out.ret > 0 && out.ret < (ssize_t)sc->len;
		wt_check(out.ret > 0 || allowed(sc, &out), "result %zd", out.ret);
		check(sc, mode, fd, other, sc->flags, &out);
		if (left == 40)
			break;
	}
	total_points += hits;
	total_errors += errors;
	wt_note("%-13s %-8s %-5s %-7s %3u points: pages from there on; %u errors, %u short",
		sc->name, wt_mode_name[mode], "", "task", hits, errors, shorts);
}

/* The source ends at each page, and inside it. */
static void no_source(const struct scenario *sc, enum wt_mode mode)
{
	unsigned int points = 0, errors = 0, shorts = 0;
	size_t there;

	for (there = 0; there < sc->len;
	     there += points % 2 ? wt_psize / 3 : wt_psize - wt_psize / 3) {
		struct outcome out = { .kinds = 1U << COPY };
		int fd = make_file(sc), other = wt_open("file", O_RDWR);
		char *start = from + MAX_SIZE - there;

		points++;
		snprintf(point, sizeof(point), "%s, %s, source ends after %zu",
			 sc->name, wt_mode_name[mode], there);
		watch();
		wt_pattern(start, there, sc->off, 2);
		out.ret = wt_write(mode, fd, start, sc->len, sc->off, sc->flags);
		errors += out.ret < 0;
		shorts += out.ret > 0;
		wt_check(there || out.ret < 0, "result %zd", out.ret);
		wt_check(out.ret <= (ssize_t)there, "result %zd", out.ret);
		wt_check(out.ret > 0 || allowed(sc, &out), "result %zd", out.ret);
		check(sc, mode, fd, other, sc->flags, &out);
	}
	total_points += points;
	total_errors += errors;
	wt_note("%-13s %-8s %-5s %-7s %3u points: source ends; %u errors, %u short",
		sc->name, wt_mode_name[mode], "", "task", points, errors, shorts);
}

/* ----------------------------------------------------- the I/O has failed */

/* The device refuses one block of the call after the other, then all. */
static void bad_blocks(const struct scenario *sc, enum wt_mode mode, int flags)
{
	unsigned int points = 0, told = 0;
	off_t block = sc->off / wt_bsize * wt_bsize;
	const char *dev = mounted == REALTIME ? rt_dev : wt_dev;
	bool last = false;

	wt_pattern(source, sc->len, sc->off, 2);
	for (; !last; block += wt_bsize) {
		struct outcome out = { .kinds = 1U << BIO };
		int fd = make_file(sc), other = wt_open("file", O_RDWR);
		bool shared = false, meant = true, elsewhere = sc->old == MIXED;
		off_t at = wt_physical(fd, block, &shared);

		last = block >= sc->off + (off_t)sc->len;
		snprintf(point, sizeof(point), "%s, %s%s, bad block at %lld%s",
			 sc->name, wt_mode_name[mode],
			 flags & RWF_DSYNC ? " dsync" : "", (long long)block,
			 last ? " (all)" : "");
		watch();
		if (last && mounted == REALTIME)
			wt_inject(rt_dev, "WRITE", 0, 0, "IOERR");
		else if (last)
			wt_inject_data("WRITE", "IOERR");
		else if (at >= 0 && !shared)
			wt_inject(dev, "WRITE", at >> 9, wt_bsize >> 9, "IOERR");
		else
			meant = false;
		if (meant) {
			out.ret = wt_write(mode, fd, source, sc->len, sc->off,
					   flags | sc->flags);
			wt_inject_clear(dev);
			points++;
			told += out.ret == -EIO;
			/*
			 * Beside shared blocks others are copied on write too,
			 * and an atomic write is staged elsewhere.
			 */
			if (sc->flags & RWF_ATOMIC)
				elsewhere = !last;
			wt_check(out.ret == -EIO ||
				 (elsewhere && out.ret == (ssize_t)sc->len),
				 "result %zd", out.ret);
			check(sc, mode, fd, other, flags, &out);
		} else {
			close(fd);
			close(other);
			make_room(sc);
		}
	}
	total_points += points;
	total_errors += told;
	wt_note("%-13s %-8s %-5s %-7s %3u points: bad blocks; %u errors",
		sc->name, wt_mode_name[mode], flags & RWF_DSYNC ? "dsync" : "",
		"device", points, told);
}

static void set_tag(const char *tag, int value)
{
	char file[128];

	snprintf(file, sizeof(file), "/sys/fs/xfs/dm-%s/errortag/%s",
		 strrchr(wt_dev, '-') + 1, tag);
	wt_check(wt_put(file, "%d", value), "%s: %s", file, strerror(errno));
}

/*
 * Another file is staged: that reads the trees of free and of shared blocks. And
 * what has been freed is free on disk: an allocation may have to wait for that.
 */
static void stage_beside(const struct scenario *sc)
{
	int fd = wt_open("beside", O_RDWR);

	wt_check(wt_write(WT_SYNC, fd, source, sc->len, sc->off, sc->flags) ==
		 (ssize_t)sc->len, "staging: %s", strerror(errno));
	sync();
	close(fd);
}

/*
 * With the I/O held back, what comes after it is made to fail: the conversion,
 * the remapping, or the whole file system.
 */
static void late(const struct scenario *sc, enum wt_mode mode, int flags)
{
	static const char * const tags[] = {
		"bmapifmt", "reduce_max_iextents", "bmap_finish_one",
		"rmap_finish_one", "refcount_finish_one", NULL,
	};
	unsigned int points = 0, errors = 0, downs = 0, i;

	/*
	 * Where extents meet inside a folio the second part of a write waits for
	 * the first, and so would io_submit().
	 */
	if (mode == WT_AIO && wt_bsize < wt_psize)
		return;
	wt_pattern(source, sc->len, sc->off, 2);
	for (i = 0; i < ARRAY_SIZE(tags); i++) {
		struct iovec iov = { source, sc->len };
		struct outcome out = { .kinds = 1U << BIO };
		int fd = make_file(sc), other = wt_open("file", O_RDWR);
		struct wt_request req = {
			.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1,
			.off = sc->off, .flags = flags | sc->flags,
		};
		bool down;

		snprintf(point, sizeof(point), "%s, %s%s, I/O held, then %s",
			 sc->name, wt_mode_name[mode],
			 flags & RWF_DSYNC ? " dsync" : "",
			 tags[i] ? tags[i] : "shutdown");
		watch();
		/* What the call has to read is there, metadata too. */
		wt_check(pread(fd, cache, sc->size, 0) == sc->size, "read");
		if (sc->flags & RWF_ATOMIC)
			stage_beside(sc);
		wt_dm_suspend(&dm);
		wt_check(!wt_submit(&req), "submission");
		wt_check(!wt_done(&req, 60), "did not wait: %zd", req.res);
		if (tags[i])
			set_tag(tags[i], 1);
		else
			wt_shutdown(false);
		wt_dm_resume(&dm);
		out.ret = wt_wait(&req);
		if (tags[i])
			set_tag(tags[i], 0);
		down = is_shut_down(fd);
		points++;
		downs += down;
		errors += out.ret < 0;
		wt_check(out.ret == (ssize_t)sc->len || out.ret == -EIO ||
			 out.ret == -EUCLEAN || out.ret == -EFBIG, "result %zd",
			 out.ret);
		check(sc, mode, fd, other, flags, &out);
	}
	total_points += points;
	total_errors += errors;
	wt_note("%-13s %-8s %-5s %-7s %3u points: after the I/O; %u errors, %u shut down",
		sc->name, wt_mode_name[mode], flags & RWF_DSYNC ? "dsync" : "",
		"kworker", points, errors, downs);
}

/*
 * Mapping and allocation refuse: the first time, or at some later extent of the
 * call, which is left to chance.
 */
static void unmapped(const struct scenario *sc, enum wt_mode mode, int flags)
{
	static const char * const tags[] = { "bmapifmt", "reduce_max_iextents" };
	unsigned int points, errors = 0, shorts = 0;

	wt_pattern(source, sc->len, sc->off, 2);
	for (points = 0; points < 8; points++) {
		const char *tag = tags[points % 2];
		struct outcome out = { .kinds = 1U << BIO };
		int fd = make_file(sc), other = wt_open("file", O_RDWR);

		snprintf(point, sizeof(point), "%s, %s%s, %s, one in %u",
			 sc->name, wt_mode_name[mode],
			 flags & RWF_DSYNC ? " dsync" : "", tag, points / 2 + 1);
		watch();
		set_tag(tag, points / 2 + 1);
		out.ret = wt_write(mode, fd, source, sc->len, sc->off,
				   flags | sc->flags);
		set_tag(tag, 0);
		errors += out.ret < 0;
		shorts += out.ret > 0 && out.ret < (ssize_t)sc->len;
		wt_check(out.ret > 0 || out.ret == -EIO ||
			 out.ret == -EUCLEAN || out.ret == -EFBIG, "result %zd",
			 out.ret);
		check(sc, mode, fd, other, flags, &out);
	}
	total_points += points;
	total_errors += errors;
	wt_note("%-13s %-8s %-5s %-7s %3u points: mapping; %u errors, %u short",
		sc->name, wt_mode_name[mode], flags & RWF_DSYNC ? "dsync" : "",
		"task", points, errors, shorts);
}

/* ------------------------------------------------------------------------ */

/* Of scenarios, with a comma before and behind each; NULL: those marked as tested. */
#ifndef SELECTION
#define SELECTION	NULL
#endif

static bool all;
static const char *names;

/* A name with its commas is no part of another one. */
static bool selected(const struct scenario *sc)
{
	char name[32];

	if (!names)
		return all || sc->tested;
	snprintf(name, sizeof(name), ",%s,", sc->name);
	return strstr(names, name);
}

static void run(const struct scenario *sc, enum wt_mode mode)
{
	bool tracked = sc->group == LAZY && !(sc->flags & RWF_NOWAIT);
	int flags;

	for (flags = 0; flags <= RWF_DSYNC; flags += RWF_DSYNC) {
		/* The selection takes turns; with leaks it is slow. */
		if (sc->fresh ? !flags :
		    !all && !!flags == (sc - scenarios + mode) % 2)
			continue;
		sweep(sc, mode, flags, TASK);
		if (mode == WT_URING && !(sc->flags & RWF_NOWAIT))
			sweep(sc, mode, flags, WORKER);
		if (flags || tracked)
			sweep(sc, mode, flags, KERNEL);
		if (!sc->less && !(sc->flags & RWF_NOWAIT) && !sc->fresh)
			bad_blocks(sc, mode, flags);
		if (tracked && (sc->old != WRITTEN || sc->flags ||
				sc->off + (off_t)sc->len > sc->size)) {
			unmapped(sc, mode, flags);
			late(sc, mode, flags);
		}
	}
	if (sc->fresh)
		return;
	no_pages(sc, mode);
	no_source(sc, mode);
}

/* fault_nth -l: what scenarios there are */
static int list_scenarios(void)
{
	const struct scenario *sc;

	for (sc = scenarios; sc < scenarios + ARRAY_SIZE(scenarios); sc++)
		puts(sc->name);
	return 0;
}

int main(int argc, char **argv)
{
	const struct scenario *sc;
	enum wt_mode mode;
	enum group group;
	char file[256];
	static char list[256];

	if (argc > 1 && !strcmp(argv[1], "-l"))
		return list_scenarios();
	supervise();
	names = SELECTION;
	if (getenv("WT_FAULTS")) {
		all = true;
		snprintf(list, sizeof(list), ",%s,", getenv("WT_FAULTS"));
		names = strcmp(list, ",all,") ? list : NULL;
	}
	wt_start("fault_nth", 3600);
	wt_need_writethrough();
	atexit(tell_point);
	wt_fault_ready("failslab", true);
	wt_fault_ready("fail_page_alloc", true);
	wt_fault_ready("fail_usercopy", true);
	wt_fault_ready("fail_make_request", true);
	wt_run("for f in failslab fail_page_alloc fail_usercopy fail_make_request; do cd /sys/kernel/debug/$f && echo 1 >verbose && echo 0 >verbose_ratelimit_interval_ms || exit; done; echo N >../fail_page_alloc/ignore-gfp-highmem");
	/* Not all that on the console, where real reports have to be seen. */
	wt_run("dmesg -n 5");
	kmsg = wt_sys(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	cache = wt_alloc(MAX_SIZE);
	disk = wt_alloc(MAX_SIZE);
	source = wt_alloc(MAX_SIZE);
	from = wt_alloc(2 * MAX_SIZE);
	wt_sys(mprotect(from + MAX_SIZE, MAX_SIZE, PROT_NONE));
	rt_dev = getenv("WT_DEV2");
	data_dev = wt_dev;
	wt_on_dm(&dm);
	snprintf(file, sizeof(file), "/sys/block/%s/make-it-fail", dm.path + 5);
	wt_check(wt_put(file, "1"), "make-it-fail");
	if (rt_dev && *rt_dev) {
		snprintf(file, sizeof(file), "/sys/block/%s/make-it-fail",
			 rt_dev + 5);
		wt_check(wt_put(file, "1"), "make-it-fail");
	}
	wt_flusher_off();

	for (group = 0; group < NR_GROUPS; group++) {
		bool wanted = false;

		for (sc = scenarios; sc < scenarios + ARRAY_SIZE(scenarios); sc++)
			wanted |= sc->group == group && selected(sc);
		if (!wanted || (group == REALTIME && !(rt_dev && *rt_dev)))
			continue;
		make_group(group);
		wt_for_each_mode(mode) {
			for (sc = scenarios;
			     sc < scenarios + ARRAY_SIZE(scenarios); sc++)
				if (sc->group == group && selected(sc))
					run(sc, mode);
		}
		snprintf(point, sizeof(point), "the end of a group");
		watch();
		end_group();
	}
	wt_run("dmesg -n 7");
	wt_note("%u points, %u answered by an error", total_points, total_errors);
	finished = true;
	wt_finish();
}
