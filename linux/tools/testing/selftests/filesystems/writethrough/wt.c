// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers for the tests of RWF_WRITETHROUGH: see wt.h.
 */
#include "wt.h"

#include <dirent.h>
#include <liburing.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <linux/aio_abi.h>
#include <linux/dm-ioctl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fiemap.h>
#include <linux/kernel-page-flags.h>
#include <sys/mount.h>
#include <sys/quota.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef __NR_cachestat
#define __NR_cachestat			451
#endif

#define WT_GOING_FLAGS_LOGFLUSH		0x1
#define WT_GOING_FLAGS_NOLOGFLUSH	0x2
#define WT_IOC_GOINGDOWN		_IOR('X', 125, uint32_t)

#define WT_QUEUE_DEPTH			64

const char *wt_dev;
const char *wt_raw;
const char *wt_mnt;
unsigned int wt_bsize;
unsigned int wt_unit;
unsigned int wt_psize;

const char * const wt_mode_name[WT_NR_MODES] = {
	[WT_SYNC]	= "pwritev2",
	[WT_AIO]	= "libaio",
	[WT_URING]	= "io_uring",
};

/*
 * Whether an interface that answers EOPNOTSUPP fails the test. An interface
 * that is not served yet is named and left out; set its entry once it is
 * served, so that losing it again is noticed.
 */
static const bool wt_mode_required[WT_NR_MODES] = {
	[WT_SYNC]	= true,
	[WT_AIO]	= false,
	[WT_URING]	= false,
};

static const char *wt_name = "?";
static const char *wt_context = "";	/* interface in use, for messages */
static pid_t wt_main_pid;
static char wt_mkfs_env[256];
static bool wt_mounted;
static bool wt_frozen;
static struct wt_dm *wt_dms[8];

/*
 * What takes the place of the flag, for trying the tests themselves on a
 * kernel without it: nothing, a plain write (every test has to fail), or a
 * plain write followed by a wait for the writeback of its range.
 */
static enum {
	WT_EMULATE_NOTHING,
	WT_EMULATE_PLAIN,
	WT_EMULATE_SYNC,
} wt_emulate;

/* ------------------------------------------------ start, end, messages */

static int dm_ioctl(struct wt_dm *dm, unsigned long cmd, unsigned int flags);

/* Whatever would keep the machine from being shut down after a failure. */
static void wt_cleanup(void)
{
	unsigned int i;

	if (getpid() != wt_main_pid)
		return;
	for (i = 0; i < ARRAY_SIZE(wt_dms); i++)
		if (wt_dms[i] && wt_dms[i]->suspended)
			dm_ioctl(wt_dms[i], DM_DEV_SUSPEND, 0);
	if (wt_frozen) {
		int fd = open(wt_mnt, O_RDONLY);

		if (fd >= 0)
			ioctl(fd, FITHAW, 0);
	}
	if (wt_mounted)
		umount2(wt_mnt, MNT_DETACH);
}

static void wt_alarm(int sig)
{
	static const char text[] = "FAIL: time limit reached\n";

	(void)sig;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(WT_FAIL);
	/* The children go too; they have the default action for this one. */
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	wt_cleanup();
	_exit(WT_FAIL);
}

static void wt_vprint(const char *prefix, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	/* One write a line: several processes may be talking. */
	printf("%s%s\n", prefix, text);
	fflush(stdout);
}

/**
 * wt_note - print one line
 */
void wt_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wt_vprint("", fmt, ap);
	va_end(ap);
}

/**
 * wt_skip - end the test: it cannot be run here, and why
 */
void wt_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wt_vprint("SKIP: ", fmt, ap);
	va_end(ap);
	exit(WT_SKIP);
}

/* End the test, or the process of it that calls: failed, where and why. */
void __wt_fail(const char *file, int line, const char *fmt, ...)
{
	char prefix[128];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "FAIL: %s:%d: %s%s",
		 strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line,
		 wt_context, *wt_context ? ": " : "");
	va_start(ap, fmt);
	wt_vprint(prefix, fmt, ap);
	va_end(ap);
	exit(WT_FAIL);
}

/**
 * wt_start - first call of every test
 * @name: of the test
 * @seconds: time limit; the test fails when it is reached
 */
void wt_start(const char *name, unsigned int seconds)
{
	const char *emulate = getenv("WT_EMULATE");
	const char *slow = getenv("WT_SLOW");

	wt_name = name;
	wt_main_pid = getpid();
	setpgid(0, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	wt_psize = sysconf(_SC_PAGESIZE);
	wt_dev = getenv("WT_DEV");
	wt_mnt = getenv("WT_MNT");
	if (!wt_dev || !*wt_dev || !wt_mnt || !*wt_mnt)
		wt_skip("WT_DEV and WT_MNT name no device and mount point");
	if (geteuid() != 0)
		wt_skip("needs root");
	wt_raw = wt_dev;
	if (getenv("WT_MKFS"))
		snprintf(wt_mkfs_env, sizeof(wt_mkfs_env), "%s",
			 getenv("WT_MKFS"));
	if (emulate && !strcmp(emulate, "plain"))
		wt_emulate = WT_EMULATE_PLAIN;
	else if (emulate && !strcmp(emulate, "sync"))
		wt_emulate = WT_EMULATE_SYNC;
	atexit(wt_cleanup);
	signal(SIGALRM, wt_alarm);
	/* An emulated machine takes a multiple of the time. */
	if (slow && atoi(slow) > 1)
		seconds *= atoi(slow);
	alarm(seconds);
}

/**
 * wt_need_writethrough - skip the test on a kernel that lacks the flag
 *
 * The marker is asked, never the flag: a kernel that means something else by
 * the same bit must not be called with it.
 */
void wt_need_writethrough(void)
{
	long long value;

	if (wt_emulate != WT_EMULATE_NOTHING) {
		wt_note("note: RWF_WRITETHROUGH is emulated");
		return;
	}
	if (access(WT_MARKER, R_OK)) {
		/* Set by who knows that it is: then its absence is a bug. */
		wt_check(!getenv("WT_PATCHED"), "the marker is missing");
		wt_skip("this kernel has no RWF_WRITETHROUGH");
	}
	value = wt_get(WT_MARKER, NULL);
	wt_check(value == RWF_WRITETHROUGH,
		 "the marker holds 0x%llx, these tests know 0x%x", value,
		 RWF_WRITETHROUGH);
}

/**
 * wt_finish - last call of every test: unmount, check, pass
 */
void wt_finish(void)
{
	if (wt_mounted) {
		wt_umount();
		wt_repair_check();
	}
	wt_note("%s: passed", wt_name);
	exit(WT_PASS);
}

/* --------------------------------------------------- running and files */

/**
 * wt_try - run a shell command
 * Return: its exit status
 */
int wt_try(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	fflush(stdout);
	status = system(cmd);
	if (status == -1 || !WIFEXITED(status))
		wt_fail("could not run: %s", cmd);
	return WEXITSTATUS(status);
}

/**
 * wt_run - run a shell command that must succeed
 */
void wt_run(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	wt_check(wt_try("%s", cmd) == 0, "failed: %s", cmd);
}

/**
 * wt_put - write a string to a file of proc, sysfs, debugfs
 * Return: whether that worked
 */
bool wt_put(const char *path, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	ssize_t ret;
	int fd;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ret = write(fd, text, strlen(text));
	close(fd);
	return ret == (ssize_t)strlen(text);
}

/**
 * wt_get - a number from a file of proc or sysfs
 * @path: the file
 * @key: the word the number follows, NULL for the first number in the file
 * Return: the number, -1 if it is not there
 */
long long wt_get(const char *path, const char *key)
{
	char line[256];
	long long value = -1;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		char *p = line;

		if (key) {
			size_t n = strlen(key);

			if (strncmp(line, key, n) || !strchr(": \t", line[n]))
				continue;
			p += n + strspn(line + n, ": \t");
		}
		value = strtoll(p, NULL, 0);
		break;
	}
	fclose(f);
	return value;
}

/**
 * wt_flusher_off - nothing is written behind the test's back
 */
void wt_flusher_off(void)
{
	static const struct {
		const char *path, *value;
	} knobs[] = {
		{ "/proc/sys/vm/dirty_writeback_centisecs", "0" },
		{ "/proc/sys/vm/dirty_expire_centisecs", "360000" },
		{ "/proc/sys/vm/dirty_ratio", "90" },
		{ "/proc/sys/vm/dirty_background_ratio", "80" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(knobs); i++)
		wt_check(wt_put(knobs[i].path, "%s", knobs[i].value),
			 "cannot set %s", knobs[i].path);
}

/**
 * wt_drop_caches - drop every clean page and unused inode
 */
void wt_drop_caches(void)
{
	wt_check(wt_put("/proc/sys/vm/drop_caches", "3"), "drop_caches");
}

/**
 * wt_now_ms - a clock
 */
long long wt_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/**
 * wt_sleep_ms - let time pass
 */
void wt_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/**
 * wt_alloc - page-aligned memory
 */
void *wt_alloc(size_t len)
{
	void *p = mmap(NULL, len ? len : 1, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	wt_check(p != MAP_FAILED, "no memory");
	return p;
}

/**
 * wt_shared - memory that child processes share, zeroed
 */
void *wt_shared(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	wt_check(p != MAP_FAILED, "no memory");
	return p;
}

/**
 * wt_path - name of a file on the file system under test
 */
char *wt_path(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int next;
	char *p = path[next++ % ARRAY_SIZE(path)];

	snprintf(p, PATH_MAX, "%s/%s", wt_mnt, name);
	return p;
}

/**
 * wt_open - open or create a file on the file system under test
 * @flags: beside O_CREAT; O_RDWR if it is 0
 */
int wt_open(const char *name, int flags)
{
	return wt_sys(open(wt_path(name),
			   O_CREAT | O_CLOEXEC | (flags ? flags : O_RDWR), 0644));
}

/**
 * wt_make_file - a file of generation @gen, allocated, on the device, clean
 */
int wt_make_file(const char *name, off_t size, unsigned int gen)
{
	int fd = wt_open(name, O_RDWR | O_TRUNC);

	wt_plain_gen(fd, 0, size, gen);
	wt_sys(fsync(fd));
	return fd;
}

/* --------------------------------------------------------- file system */

/**
 * wt_mkfs - fresh file system on wt_dev
 *
 * $WT_MKFS comes first, so that the same tests run on other block sizes; a
 * test's own options are for what the test is about.
 */
void wt_mkfs(const char *options)
{
	const char *env = wt_mkfs_env;

	/* it takes no option twice */
	if (options && strstr(options, "-b size"))
		env = "";
	wt_run("mkfs.xfs -q -f -K %s %s %s >/dev/null", env,
	       options ? options : "", wt_dev);
}

/**
 * wt_mount - mount it
 */
void wt_mount(const char *options)
{
	struct statvfs st;

	if (mount(wt_dev, wt_mnt, "xfs", 0, options))
		wt_fail("mount -o %s: %s", options ? options : "",
			strerror(errno));
	wt_mounted = true;
	wt_sys(statvfs(wt_mnt, &st));
	wt_bsize = st.f_bsize;
	wt_unit = wt_bsize > wt_psize ? wt_bsize : wt_psize;
}

/**
 * wt_umount - unmount it; every descriptor must be closed
 */
void wt_umount(void)
{
	int i;

	/* A child or an asynchronous completion may be letting go just now. */
	for (i = 0; umount(wt_mnt); i++) {
		if (errno != EBUSY || i == 100)
			wt_fail("umount: %s", strerror(errno));
		wt_sleep_ms(20);
	}
	wt_mounted = false;
}

/**
 * wt_cycle - unmount, check, mount again: nothing is left in memory
 */
void wt_cycle(void)
{
	wt_umount();
	wt_repair_check();
	wt_mount(NULL);
}

/**
 * wt_repair_check - the checker must find nothing
 */
void wt_repair_check(void)
{
	const char *log = "/tmp/wt-repair.log";
	const char *rt = getenv("WT_RTDEV");
	char rtopt[128] = "";

	if (rt && *rt)
		snprintf(rtopt, sizeof(rtopt), "-r %s", rt);
	if (wt_try("xfs_repair -n %s %s >%s 2>&1", rtopt, wt_dev, log)) {
		wt_try("tail -n 30 %s", log);
		wt_fail("xfs_repair finds damage");
	}
}

/**
 * wt_setup - flusher off, fresh file system, mounted
 */
void wt_setup(const char *mkfs_options, const char *mount_options)
{
	wt_flusher_off();
	wt_mkfs(mkfs_options);
	wt_mount(mount_options);
}

/**
 * wt_fill_fs - use up the space but for about @leave bytes
 */
void wt_fill_fs(off_t leave)
{
	int fd = wt_open("filler", 0);
	off_t pos = 0, step = 256 * MIB;
	struct statvfs st;

	while (step >= (off_t)wt_bsize) {
		wt_sys(statvfs(wt_mnt, &st));
		if ((off_t)(st.f_bavail * st.f_frsize) < leave + step ||
		    fallocate(fd, 0, pos, step)) {
			step /= 2;
			continue;
		}
		pos += step;
	}
	close(fd);
}

static void wt_fs_ioctl(unsigned long cmd, void *arg, const char *what)
{
	int fd = wt_sys(open(wt_mnt, O_RDONLY | O_CLOEXEC));

	wt_check(ioctl(fd, cmd, arg) == 0, "%s: %s", what, strerror(errno));
	close(fd);
}

/**
 * wt_freeze - freeze the file system
 */
void wt_freeze(void)
{
	wt_frozen = true;
	wt_fs_ioctl(FIFREEZE, NULL, "freeze");
}

/**
 * wt_thaw - thaw it
 */
void wt_thaw(void)
{
	wt_fs_ioctl(FITHAW, NULL, "thaw");
	wt_frozen = false;
}

/**
 * wt_shutdown - shut the file system down
 * @flush_log: whether what the log holds in memory still reaches the device
 */
void wt_shutdown(bool flush_log)
{
	uint32_t flags = flush_log ? WT_GOING_FLAGS_LOGFLUSH :
				     WT_GOING_FLAGS_NOLOGFLUSH;

	wt_fs_ioctl(WT_IOC_GOINGDOWN, &flags, "shutdown");
}

/**
 * wt_crash - lose every dirty page, keep what the log holds, mount again
 *
 * That is what a later fdatasync() makes of completed write-throughs: nothing
 * but metadata is added. Descriptors must be closed.
 */
void wt_crash(void)
{
	wt_shutdown(true);
	wt_umount();
	wt_mount(NULL);
}

/**
 * wt_clone - share extents of one file with another
 * Return: 0 or -errno
 */
int wt_clone(int from, off_t from_off, off_t len, int to, off_t to_off)
{
	struct file_clone_range range = {
		.src_fd		= from,
		.src_offset	= from_off,
		.src_length	= len,
		.dest_offset	= to_off,
	};

	return ioctl(to, FICLONERANGE, &range) ? -errno : 0;
}

/**
 * wt_set_xattr - extended inode flags, extent size hints, project
 * Return: 0 or -errno
 */
int wt_set_xattr(int fd, unsigned int xflags, unsigned int extsize,
		 unsigned int cowextsize, unsigned int projid)
{
	struct fsxattr fsx;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &fsx))
		return -errno;
	fsx.fsx_xflags |= xflags;
	fsx.fsx_extsize = extsize;
	fsx.fsx_cowextsize = cowextsize;
	fsx.fsx_projid = projid;
	return ioctl(fd, FS_IOC_FSSETXATTR, &fsx) ? -errno : 0;
}

/**
 * wt_quota_limit - hard limit of a user's or project's blocks
 * Return: 0 or -errno
 */
int wt_quota_limit(enum wt_quota type, unsigned int id,
		   unsigned long long bytes)
{
	struct fs_disk_quota quota = {
		.d_version		= FS_DQUOT_VERSION,
		.d_flags		= type == WT_QUOTA_USER ? FS_USER_QUOTA :
							  FS_PROJ_QUOTA,
		.d_fieldmask		= FS_DQ_BHARD,
		.d_id			= id,
		.d_blk_hardlimit	= bytes >> 9,
	};

	return quotactl(QCMD(Q_XSETQLIM, type), wt_dev, id,
			(caddr_t)&quota) ? -errno : 0;
}

/* ------------------------------------------------------------- content */

#define WT_MULTIPLIER_1		0x9e3779b97f4a7c15ULL
#define WT_MULTIPLIER_2		0xd6e8feb86659fd93ULL

/*
 * Eight bytes that belong to one position and one generation, each byte
 * depending on all of both. It can be undone, so that a failure can tell where
 * misplaced data came from.
 */
static uint64_t wt_word(uint64_t word_pos, unsigned int gen)
{
	uint64_t x = (uint64_t)gen << 40 | word_pos;

	if (!gen)
		return 0;
	x *= WT_MULTIPLIER_1;
	x ^= x >> 32;
	x *= WT_MULTIPLIER_2;
	return x ^ x >> 32;
}

static uint64_t wt_inverse(uint64_t odd)
{
	uint64_t x = odd;
	int i;

	for (i = 0; i < 6; i++)
		x *= 2 - odd * x;
	return x;
}

static void wt_unword(uint64_t word, uint64_t *word_pos, unsigned int *gen)
{
	uint64_t x = word ^ word >> 32;

	x *= wt_inverse(WT_MULTIPLIER_2);
	x ^= x >> 32;
	x *= wt_inverse(WT_MULTIPLIER_1);
	*gen = x >> 40;
	*word_pos = x & ((1ULL << 40) - 1);
}

/**
 * wt_pattern - fill a buffer as generation @gen of position @pos
 *
 * Generation 0 is zeros.
 */
void wt_pattern(void *buf, size_t len, off_t pos, unsigned int gen)
{
	unsigned char *p = buf;
	size_t i = 0;

	while (i < len) {
		uint64_t word = wt_word((pos + i) / 8, gen);
		size_t skip = (pos + i) % 8;
		size_t n = 8 - skip < len - i ? 8 - skip : len - i;

		memcpy(p + i, (char *)&word + skip, n);
		i += n;
	}
}

/**
 * wt_mismatch - where a buffer differs from generation @gen of @pos
 * Return: index of the first byte that differs, or -1
 */
ssize_t wt_mismatch(const void *buf, size_t len, off_t pos, unsigned int gen)
{
	const unsigned char *p = buf;
	size_t i = 0, j;

	while (i < len) {
		uint64_t word = wt_word((pos + i) / 8, gen);
		size_t skip = (pos + i) % 8;
		size_t n = 8 - skip < len - i ? 8 - skip : len - i;

		if (memcmp(p + i, (char *)&word + skip, n)) {
			for (j = 0; j < n; j++)
				if (p[i + j] != ((unsigned char *)&word)[skip + j])
					return i + j;
		}
		i += n;
	}
	return -1;
}

static void wt_describe(char *text, size_t size, const void *buf, size_t len,
			off_t pos, ssize_t at)
{
	off_t start = (pos + at) & ~7LL;
	uint64_t word, word_pos;
	unsigned int gen;

	if (start < pos || start + 8 > pos + (off_t)len) {
		snprintf(text, size, "byte 0x%02x",
			 ((const unsigned char *)buf)[at]);
		return;
	}
	memcpy(&word, (const char *)buf + (start - pos), 8);
	wt_unword(word, &word_pos, &gen);
	if (!word)
		snprintf(text, size, "zeros");
	else if (gen < 4096 && word_pos < (1ULL << 36))
		snprintf(text, size, "generation %u of position %llu", gen,
			 (unsigned long long)word_pos * 8);
	else
		snprintf(text, size, "0x%016llx, nothing that was written",
			 (unsigned long long)word);
}

/*
 * Fail unless each word of a range, read through the cache, is zero or of a
 * generation up to @max_gen, and belongs where it is, or is off by a multiple
 * of @stride (0: not off at all). For what is left when several have written.
 */
void __wt_expect_words(const char *file, int line, int fd, off_t off,
		       size_t len, unsigned int max_gen, off_t stride)
{
	uint64_t *buf, word_pos;
	unsigned int gen;
	char text[128];
	size_t i;

	if (!len)
		return;
	buf = wt_alloc(len + 8);
	if (pread(fd, buf, len, off) != (ssize_t)len)
		__wt_fail(file, line, "short read of %lld+%zu", (long long)off,
			  len);
	for (i = 0; i < len / 8; i++) {
		off_t away;

		if (!buf[i])
			continue;
		wt_unword(buf[i], &word_pos, &gen);
		away = (off_t)word_pos * 8 - (off + (off_t)i * 8);
		if (gen && gen <= max_gen &&
		    (!away || (stride && !(away % stride))))
			continue;
		wt_describe(text, sizeof(text), buf, len, off, i * 8);
		__wt_fail(file, line, "position %lld holds %s",
			  (long long)off + (off_t)i * 8, text);
	}
	munmap(buf, len + 8);
}

/* Fail unless a buffer holds generation @gen of @pos. */
void __wt_expect_buf(const char *file, int line, const char *what,
		     const void *buf, size_t len, off_t pos, unsigned int gen)
{
	ssize_t at = wt_mismatch(buf, len, pos, gen);
	char text[128];

	if (at < 0)
		return;
	wt_describe(text, sizeof(text), buf, len, pos, at);
	__wt_fail(file, line, "%s: position %lld (in %lld+%zu): expected generation %u, found %s",
		  what, (long long)pos + at, (long long)pos, len, gen, text);
}

/* Fail unless a read through the page cache finds generation @gen. */
void __wt_expect_file(const char *file, int line, int fd, off_t off,
		      size_t len, unsigned int gen)
{
	void *buf;
	ssize_t ret;

	if (!len)
		return;
	buf = wt_alloc(len);
	ret = pread(fd, buf, len, off);
	if (ret != (ssize_t)len)
		__wt_fail(file, line, "read of %lld+%zu: %zd (%s)",
			  (long long)off, len, ret,
			  ret < 0 ? strerror(errno) : "short");
	__wt_expect_buf(file, line, "cache", buf, len, off, gen);
	munmap(buf, len);
}

/* The extent at or after @off; false if there is none. */
static bool wt_extent(int fd, off_t off, struct fiemap_extent *extent)
{
	union {
		struct fiemap map;
		char space[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
	} u = { .map = {
		.fm_start	 = off,
		.fm_length	 = FIEMAP_MAX_OFFSET - off,
		.fm_extent_count = 1,
	} };

	/* Without FIEMAP_FLAG_SYNC: looking must not write anything back. */
	wt_check(ioctl(fd, FS_IOC_FIEMAP, &u.map) == 0, "fiemap: %s",
		 strerror(errno));
	if (!u.map.fm_mapped_extents)
		return false;
	memcpy(extent, u.map.fm_extents, sizeof(*extent));
	return true;
}

static enum wt_backing wt_extent_backing(const struct fiemap_extent *extent,
					 off_t off)
{
	if ((off_t)extent->fe_logical > off)
		return WT_HOLE;
	if (extent->fe_flags & FIEMAP_EXTENT_DELALLOC)
		return WT_DELALLOC;
	if (extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
		return WT_UNWRITTEN;
	return WT_WRITTEN;
}

/**
 * wt_backing - what the file has below position @off
 */
enum wt_backing wt_backing(int fd, off_t off)
{
	struct fiemap_extent extent;

	if (!wt_extent(fd, off, &extent))
		return WT_HOLE;
	return wt_extent_backing(&extent, off);
}

/**
 * wt_extents - number of extents of a file, delayed ones included
 */
unsigned int wt_extents(int fd)
{
	struct fiemap_extent extent;
	unsigned int n = 0;
	off_t off = 0;

	while (wt_extent(fd, off, &extent)) {
		n++;
		off = extent.fe_logical + extent.fe_length;
		if (extent.fe_flags & FIEMAP_EXTENT_LAST)
			break;
	}
	return n;
}

/**
 * wt_physical - where on the device position @off is
 * @shared: set to whether the extent is shared, unless NULL
 * Return: byte on the device, -1 if it has no place there
 */
off_t wt_physical(int fd, off_t off, bool *shared)
{
	struct fiemap_extent extent;

	if (!wt_extent(fd, off, &extent))
		return -1;
	if (wt_extent_backing(&extent, off) < WT_UNWRITTEN)
		return -1;
	if (shared)
		*shared = extent.fe_flags & FIEMAP_EXTENT_SHARED;
	return extent.fe_physical + (off - extent.fe_logical);
}

/**
 * wt_raw_read - read from the device what a file's extents point to
 *
 * Past the file system and past every cache. Holes and unwritten extents are
 * zeros, as a crash would leave them; a delayed extent has no place on the
 * device yet and comes back as bytes that nobody wrote.
 */
void wt_raw_read(int fd, void *buf, off_t off, size_t len)
{
	int raw = wt_sys(open(wt_raw, O_RDONLY | O_DIRECT | O_CLOEXEC));
	off_t end = off + len, pos = off;
	struct fiemap_extent extent;

	while (pos < end) {
		char *to = (char *)buf + (pos - off);
		off_t next = end;
		enum wt_backing backing = WT_HOLE;

		if (wt_extent(fd, pos, &extent)) {
			backing = wt_extent_backing(&extent, pos);
			next = backing == WT_HOLE ? extent.fe_logical :
				extent.fe_logical + extent.fe_length;
			if (next > end)
				next = end;
		}
		if (backing == WT_WRITTEN) {
			off_t dev = extent.fe_physical +
				(pos - extent.fe_logical);
			off_t first = dev & ~4095LL;
			off_t last = (dev + (next - pos) + 4095) & ~4095LL;
			char *bounce = wt_alloc(last - first);
			ssize_t ret = pread(raw, bounce, last - first, first);

			wt_check(ret == last - first, "raw read: %zd (%s)", ret,
				 strerror(errno));
			memcpy(to, bounce + (dev - first), next - pos);
			munmap(bounce, last - first);
		} else {
			memset(to, backing == WT_DELALLOC ? 0xdd : 0,
			       next - pos);
		}
		pos = next;
	}
	close(raw);
}

/**
 * wt_disk_has - whether the raw device holds generation @gen of a range
 */
bool wt_disk_has(int fd, off_t off, size_t len, unsigned int gen)
{
	void *buf = wt_alloc(len);
	bool ret;

	wt_raw_read(fd, buf, off, len);
	ret = wt_mismatch(buf, len, off, gen) < 0;
	munmap(buf, len);
	return ret;
}

/* Fail unless the raw device holds generation @gen. */
void __wt_expect_disk(const char *file, int line, int fd, off_t off,
		      size_t len, unsigned int gen)
{
	static const char * const name[] = {
		[WT_HOLE]	= "hole",
		[WT_DELALLOC]	= "delayed extent",
		[WT_UNWRITTEN]	= "unwritten extent",
		[WT_WRITTEN]	= "written extent",
	};
	char what[64];
	void *buf;
	ssize_t at;

	if (!len)
		return;
	buf = wt_alloc(len);
	wt_raw_read(fd, buf, off, len);
	at = wt_mismatch(buf, len, off, gen);
	if (at >= 0) {
		snprintf(what, sizeof(what), "device (%s)",
			 name[wt_backing(fd, off + at)]);
		__wt_expect_buf(file, line, what, buf, len, off, gen);
	}
	munmap(buf, len);
}

/* Fail unless the page cache and the raw device agree. */
void __wt_expect_cache_is_disk(const char *file, int line, int fd, off_t off,
			       size_t len)
{
	unsigned char *disk = wt_alloc(len), *cache = wt_alloc(len);
	ssize_t ret = pread(fd, cache, len, off);
	char from[128], to[128];
	size_t i;

	if (ret != (ssize_t)len)
		__wt_fail(file, line, "read of %lld+%zu: %zd", (long long)off,
			  len, ret);
	wt_raw_read(fd, disk, off, len);
	for (i = 0; i < len && disk[i] == cache[i]; i++)
		;
	if (i < len) {
		wt_describe(from, sizeof(from), cache, len, off, i);
		wt_describe(to, sizeof(to), disk, len, off, i);
		__wt_fail(file, line, "position %lld: cache has %s, device has %s",
			  (long long)off + i, from, to);
	}
	munmap(disk, len);
	munmap(cache, len);
}

struct wt_cachestat_range {
	uint64_t off;
	uint64_t len;
};

struct wt_cachestat {
	uint64_t nr_cache;
	uint64_t nr_dirty;
	uint64_t nr_writeback;
	uint64_t nr_evicted;
	uint64_t nr_recently_evicted;
};

/**
 * wt_cache - pages of a range that are cached, dirty, under writeback
 */
struct wt_cache wt_cache(int fd, off_t off, size_t len)
{
	struct wt_cachestat_range range = { off, len };
	struct wt_cachestat stat = { 0 };

	wt_check(syscall(__NR_cachestat, fd, &range, &stat, 0) == 0,
		 "cachestat: %s", strerror(errno));
	return (struct wt_cache) {
		.cached		= stat.nr_cache,
		.dirty		= stat.nr_dirty,
		.writeback	= stat.nr_writeback,
	};
}

/* Fail unless every page of the range is cached, clean and idle. */
void __wt_expect_clean(const char *file, int line, int fd, off_t off,
		       size_t len)
{
	struct wt_cache cache = wt_cache(fd, off, len);
	unsigned long pages = (off + len - 1) / wt_psize - off / wt_psize + 1;

	if (cache.cached != pages || cache.dirty || cache.writeback)
		__wt_fail(file, line,
			  "pages of %lld+%zu: %lu of %lu cached, %lu dirty, %lu under writeback",
			  (long long)off, len, cache.cached, pages, cache.dirty,
			  cache.writeback);
}

#define WT_LARGE_FOLIOS	"/sys/kernel/mm/transparent_hugepage"
#define WT_KPF_REACH	1024		/* more pages than a folio has */

static uint64_t wt_pfn(int fd, off_t off)
{
	char *map = mmap(NULL, wt_psize, PROT_READ, MAP_SHARED | MAP_POPULATE,
			 fd, off);
	int pagemap = wt_sys(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	uint64_t entry = 0;

	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	wt_check(pread(pagemap, &entry, 8, (uintptr_t)map / wt_psize * 8) == 8,
		 "pagemap: %s", strerror(errno));
	close(pagemap);
	munmap(map, wt_psize);
	wt_check(entry >> 63, "position %lld is not in memory", (long long)off);
	return entry & ((1ULL << 55) - 1);
}

/**
 * wt_folio - the folio that caches a page of a file
 * @start: set to the position it begins at, unless NULL
 * Return: its size in bytes
 */
size_t wt_folio(int fd, off_t off, off_t *start)
{
	int kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags[WT_KPF_REACH];
	uint64_t pfn, head, first;
	unsigned int i;
	ssize_t got;

	if (kpageflags < 0)
		wt_skip("no /proc/kpageflags");
	off = off / wt_psize * wt_psize;
	pfn = wt_pfn(fd, off);
	/* Folios are aligned to their size, in memory too. */
	first = pfn & ~(WT_KPF_REACH / 2ULL - 1);
	got = pread(kpageflags, flags, sizeof(flags), first * 8) / 8;
	close(kpageflags);
	wt_check(got > (ssize_t)(pfn - first), "kpageflags: %s",
		 strerror(errno));
	for (head = pfn - first; head && flags[head] >> KPF_COMPOUND_TAIL & 1; head--)
		;
	for (i = head + 1; i < got && flags[i] >> KPF_COMPOUND_TAIL & 1; i++)
		;
	if (start)
		*start = off - (off_t)(pfn - first - head) * wt_psize;
	return (size_t)(i - head) * wt_psize;
}

/**
 * wt_need_large_folios - skip the test on a kernel that has none
 */
void wt_need_large_folios(void)
{
	if (access(WT_LARGE_FOLIOS, F_OK))
		wt_skip("this kernel has no large folios");
}

/* Fail unless the range is in folios of at least @size bytes. */
void __wt_expect_folios(const char *file, int line, int fd, off_t off,
			size_t len, size_t size)
{
	off_t pos = off, start;

	while (pos < off + (off_t)len) {
		size_t found = wt_folio(fd, pos, &start);

		if (found < size)
			__wt_fail(file, line,
				  "position %lld is in a folio of %zu bytes, not of %zu",
				  (long long)pos, found, size);
		pos = start + found;
	}
}

/* -------------------------------------------------------------- writes */

struct wt_queues {
	pid_t			owner;
	aio_context_t		aio;
	struct io_uring		ring;
	bool			have_ring;
};

static struct wt_queues wt_queues;

/* Neither queue survives a fork: a child makes its own. */
static struct wt_queues *wt_get_queues(void)
{
	if (wt_queues.owner != getpid())
		wt_queues = (struct wt_queues) { .owner = getpid() };
	return &wt_queues;
}

static int wt_ring(struct wt_queues *q)
{
	int ret;

	if (q->have_ring)
		return 0;
	ret = io_uring_queue_init(WT_QUEUE_DEPTH, &q->ring, 0);
	q->have_ring = !ret;
	return ret;
}

static ssize_t wt_pwritev2(struct wt_request *req, int flags)
{
	ssize_t ret = pwritev2(req->fd, req->iov, req->nr_iov, req->off, flags);

	if (ret < 0)
		return -errno;
	if (!req->plain && wt_emulate == WT_EMULATE_SYNC && ret > 0 &&
	    sync_file_range(req->fd, req->off, ret,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			    SYNC_FILE_RANGE_WAIT_AFTER))
		return -errno;
	return ret;
}

static int wt_submit_sync(struct wt_request *req, int flags)
{
	int fds[2];

	if (pipe(fds))
		return -errno;
	fflush(stdout);
	req->pid = fork();
	if (req->pid < 0)
		return -errno;
	if (!req->pid) {
		ssize_t ret;

		close(fds[0]);
		signal(SIGXFSZ, SIG_IGN);
		ret = wt_pwritev2(req, flags);
		_exit(write(fds[1], &ret, sizeof(ret)) != sizeof(ret));
	}
	close(fds[1]);
	req->pipe = fds[0];
	return 0;
}

static int wt_submit_aio(struct wt_queues *q, struct wt_request *req, int flags)
{
	struct iocb *iocb = (struct iocb *)req->iocb;

	_Static_assert(sizeof(*iocb) <= sizeof(req->iocb), "room for an iocb");
	if (!q->aio && syscall(__NR_io_setup, WT_QUEUE_DEPTH, &q->aio))
		return -errno;
	memset(iocb, 0, sizeof(*iocb));
	iocb->aio_data = (uintptr_t)req;
	iocb->aio_lio_opcode = IOCB_CMD_PWRITEV;
	iocb->aio_fildes = req->fd;
	iocb->aio_buf = (uintptr_t)req->iov;
	iocb->aio_nbytes = req->nr_iov;
	iocb->aio_offset = req->off;
	iocb->aio_rw_flags = flags;
	if (syscall(__NR_io_submit, q->aio, 1, &iocb) != 1)
		return -errno;
	return 0;
}

static int wt_submit_ring(struct wt_queues *q, struct wt_request *req,
			  int flags)
{
	struct io_uring_sqe *sqe;
	int ret = wt_ring(q);

	if (ret)
		return ret;
	sqe = io_uring_get_sqe(&q->ring);
	if (!sqe)
		return -EBUSY;
	io_uring_prep_writev(sqe, req->fd, req->iov, req->nr_iov, req->off);
	sqe->rw_flags = flags;
	io_uring_sqe_set_data(sqe, req);
	ret = io_uring_submit(&q->ring);
	if (ret == 1)
		return 0;
	/* What was not taken would go with the next one. */
	io_uring_queue_exit(&q->ring);
	q->have_ring = false;
	return ret < 0 ? ret : -EIO;
}

/**
 * wt_submit - start a write; wt_wait() ends it
 *
 * A pwritev2() runs in a child process of its own, so that it can be in flight
 * while the test goes on, like the others.
 *
 * Return: 0, or -errno when the kernel refused it at once
 */
int wt_submit(struct wt_request *req)
{
	struct wt_queues *q = wt_get_queues();
	int flags = req->flags, ret = -EINVAL;

	if (!req->plain && wt_emulate == WT_EMULATE_NOTHING)
		flags |= RWF_WRITETHROUGH;
	req->done = false;
	req->submitted = false;
	/* An emulation takes two calls: in a process of its own. */
	req->how = wt_emulate == WT_EMULATE_SYNC ? WT_SYNC : req->mode;
	switch (req->how) {
	case WT_SYNC:
		ret = wt_submit_sync(req, flags);
		break;
	case WT_AIO:
		ret = wt_submit_aio(q, req, flags);
		break;
	case WT_URING:
		ret = wt_submit_ring(q, req, flags);
		break;
	default:
		break;
	}
	req->submitted = !ret;
	return ret;
}

static void wt_complete(struct wt_request *req, ssize_t res)
{
	req->res = res;
	req->done = true;
}

/* Take what has completed, whosever it is; wait for something if asked to. */
static void wt_reap(struct wt_request *req, bool wait)
{
	struct wt_queues *q = wt_get_queues();

	if (req->how == WT_SYNC) {
		struct pollfd pfd = { .fd = req->pipe, .events = POLLIN };
		ssize_t res;

		if (poll(&pfd, 1, wait ? -1 : 0) != 1)
			return;
		if (read(req->pipe, &res, sizeof(res)) != sizeof(res))
			res = -EINTR;	/* the process was killed */
		close(req->pipe);
		waitpid(req->pid, NULL, 0);
		wt_complete(req, res);
	} else if (req->how == WT_AIO) {
		struct timespec none = { 0 };
		struct io_event event;

		if (syscall(__NR_io_getevents, q->aio, wait, 1, &event,
			    wait ? NULL : &none) == 1)
			wt_complete((struct wt_request *)(uintptr_t)event.data,
				    event.res);
	} else {
		struct io_uring_cqe *cqe = NULL;
		struct wt_request *done;
		int res;

		if (wait ? io_uring_wait_cqe(&q->ring, &cqe) :
			   io_uring_peek_cqe(&q->ring, &cqe))
			return;
		done = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&q->ring, cqe);
		wt_complete(done, res);
	}
}

/**
 * wt_done - whether a write completes within @ms milliseconds
 */
bool wt_done(struct wt_request *req, unsigned int ms)
{
	long long end = wt_now_ms() + ms;

	for (;;) {
		if (!req->done)
			wt_reap(req, false);
		if (req->done || wt_now_ms() >= end)
			return req->done;
		wt_sleep_ms(5);
	}
}

/**
 * wt_wait - wait for a write
 * Return: count or -errno
 */
ssize_t wt_wait(struct wt_request *req)
{
	while (req->submitted && !req->done)
		wt_reap(req, true);
	return req->res;
}

/**
 * wt_writev - one write-through, start to end
 * @flags: further RWF_ flags
 * Return: count or -errno
 */
ssize_t wt_writev(enum wt_mode mode, int fd, const struct iovec *iov, int nr,
		  off_t off, int flags)
{
	struct wt_request req = {
		.mode	= mode,
		.fd	= fd,
		.iov	= iov,
		.nr_iov	= nr,
		.off	= off,
		.flags	= flags,
	};
	int ret;

	if (mode == WT_SYNC || wt_emulate == WT_EMULATE_SYNC) {
		/* In this process: signals, limits and accounts are its own. */
		if (wt_emulate == WT_EMULATE_NOTHING)
			flags |= RWF_WRITETHROUGH;
		return wt_pwritev2(&req, flags);
	}
	ret = wt_submit(&req);
	return ret ? ret : wt_wait(&req);
}

/**
 * wt_write - one write-through from one buffer
 * Return: count or -errno
 */
ssize_t wt_write(enum wt_mode mode, int fd, const void *buf, size_t len,
		 off_t off, int flags)
{
	struct iovec iov = { (void *)buf, len };

	return wt_writev(mode, fd, &iov, 1, off, flags);
}

/* One write-through of generation @gen that must succeed. */
void __wt_write_gen(const char *file, int line, enum wt_mode mode, int fd,
		    off_t off, size_t len, unsigned int gen)
{
	void *buf = wt_alloc(len);
	ssize_t ret;

	wt_pattern(buf, len, off, gen);
	ret = wt_write(mode, fd, buf, len, off, 0);
	if (ret != (ssize_t)len)
		__wt_fail(file, line, "%s: write-through of %lld+%zu: %zd (%s)",
			  wt_mode_name[mode], (long long)off, len, ret,
			  ret < 0 ? strerror(-ret) : "short");
	munmap(buf, len);
}

/**
 * wt_plain_gen - one plain write of generation @gen
 */
void wt_plain_gen(int fd, off_t off, size_t len, unsigned int gen)
{
	void *buf = wt_alloc(len);
	ssize_t ret;

	wt_pattern(buf, len, off, gen);
	ret = pwrite(fd, buf, len, off);
	wt_check(ret == (ssize_t)len, "plain write of %lld+%zu: %zd (%s)",
		 (long long)off, len, ret, ret < 0 ? strerror(errno) : "short");
	munmap(buf, len);
}

/**
 * wt_pages_gen - the same, page by page: no folio becomes larger
 */
void wt_pages_gen(int fd, off_t off, size_t len, unsigned int gen)
{
	off_t end = off + len;

	while (off < end) {
		off_t next = (off / wt_psize + 1) * wt_psize;

		if (next > end)
			next = end;
		wt_plain_gen(fd, off, next - off, gen);
		off = next;
	}
}

/**
 * wt_make_pages - as wt_make_file(), page by page
 */
int wt_make_pages(const char *name, off_t size, unsigned int gen)
{
	int fd = wt_open(name, O_RDWR | O_TRUNC);

	wt_pages_gen(fd, 0, size, gen);
	wt_sys(fsync(fd));
	return fd;
}

/**
 * wt_usable - whether an interface carries the flag on this kernel
 *
 * Asked once, of a file made for that. $WT_REQUIRE (names of modes, or "all")
 * makes a refusal a failure; $WT_ONLY leaves out the others, for looking into a
 * failure.
 */
bool wt_usable(enum wt_mode mode)
{
	static signed char known[WT_NR_MODES];
	const char *require = getenv("WT_REQUIRE"), *only = getenv("WT_ONLY");
	bool required = wt_mode_required[mode];
	ssize_t ret;
	void *buf;
	int fd;

	if (only && !strstr(only, wt_mode_name[mode]))
		return false;
	wt_context = wt_mode_name[mode];
	if (known[mode])
		return known[mode] > 0;
	buf = wt_alloc(wt_psize);
	fd = wt_make_file("usable", wt_psize, 1);
	ret = wt_write(mode, fd, buf, wt_psize, 0, 0);
	close(fd);
	wt_sys(unlink(wt_path("usable")));
	munmap(buf, wt_psize);

	if (require && (!strcmp(require, "all") ||
			strstr(require, wt_mode_name[mode])))
		required = true;
	if (ret == -EOPNOTSUPP && !required) {
		wt_note("note: %s does not carry the flag yet, left out",
			wt_mode_name[mode]);
		known[mode] = -1;
		return false;
	}
	wt_check(ret == wt_psize, "%s: first write-through: %zd (%s)",
		 wt_mode_name[mode], ret, ret < 0 ? strerror(-ret) : "short");
	known[mode] = 1;
	return true;
}

/* ----------------------------------------------------------- processes */

/**
 * wt_fork - run a function in a child process
 *
 * The child fails when wt_fail() is reached in it, and passes when @fn returns.
 */
pid_t wt_fork(void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = wt_sys(fork());
	if (!pid) {
		fn(arg);
		fflush(stdout);
		_exit(WT_PASS);
	}
	return pid;
}

/**
 * wt_join - wait for a child; the test fails if the child did
 */
void wt_join(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		wt_check(errno == EINTR, "waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		wt_fail("a process died of signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		exit(WEXITSTATUS(status));
}

/**
 * wt_random - next of a sequence that a seed makes
 */
uint32_t wt_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

/**
 * wt_poison_free - leave recognisable old data in the free space
 *
 * Of a generation that no test writes: whoever reads it has been given blocks
 * of a file that is gone.
 */
void wt_poison_free(off_t size)
{
	int fd = wt_make_file("poison", size, WT_POISON);

	close(fd);
	wt_sys(unlink(wt_path("poison")));
	fd = wt_sys(open(wt_mnt, O_RDONLY | O_CLOEXEC));
	wt_sys(syncfs(fd));
	close(fd);
}

/**
 * wt_exited - whether a child has exited within @ms milliseconds
 *
 * It stays there to be joined.
 */
bool wt_exited(pid_t pid, unsigned int ms)
{
	long long end = wt_now_ms() + ms;

	for (;;) {
		siginfo_t info = { .si_pid = 0 };

		wt_sys(waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT));
		if (info.si_pid)
			return true;
		if (wt_now_ms() >= end)
			return false;
		wt_sleep_ms(5);
	}
}

/**
 * wt_kill - kill a child and wait until it is gone
 */
void wt_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ------------------------------------------------ devices that misbehave */

static unsigned long long wt_sectors(const char *dev)
{
	int fd = wt_sys(open(dev, O_RDONLY | O_CLOEXEC));
	uint64_t bytes;

	wt_sys(ioctl(fd, BLKGETSIZE64, &bytes));
	close(fd);
	return bytes >> 9;
}

static int dm_control(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	return fd;
}

static void dm_prepare(struct dm_ioctl *io, size_t size, struct wt_dm *dm,
		       unsigned int flags)
{
	memset(io, 0, size);
	io->version[0] = DM_VERSION_MAJOR;
	io->data_size = size;
	io->data_start = sizeof(*io);
	io->flags = flags;
	strncpy(io->name, dm->name, sizeof(io->name) - 1);
}

static int dm_ioctl(struct wt_dm *dm, unsigned long cmd, unsigned int flags)
{
	char space[sizeof(struct dm_ioctl) + 512]
		__attribute__((aligned(__alignof__(struct dm_ioctl))));
	struct dm_ioctl *io = (void *)space;

	dm_prepare(io, sizeof(space), dm, flags);
	if (ioctl(dm_control(), cmd, io))
		return -errno;
	if (cmd == DM_DEV_CREATE)
		snprintf(dm->path, sizeof(dm->path), "/dev/dm-%u",
			 (unsigned int)(io->dev & 0xff) |
			 (unsigned int)((io->dev >> 12) & 0xfff00));
	return 0;
}

/**
 * wt_dm_table - what a device-mapper device is from the next resume on
 * @target: linear, flakey, error, delay, ...
 * @fmt: its parameters
 */
void wt_dm_table(struct wt_dm *dm, const char *target, const char *fmt, ...)
{
	char space[sizeof(struct dm_ioctl) + sizeof(struct dm_target_spec) + 512]
		__attribute__((aligned(__alignof__(struct dm_ioctl))));
	struct dm_ioctl *io = (void *)space;
	struct dm_target_spec *spec = (void *)(io + 1);
	va_list ap;

	dm_prepare(io, sizeof(space), dm, 0);
	io->target_count = 1;
	spec->length = dm->sectors;
	spec->next = sizeof(*spec) + 512;
	strncpy(spec->target_type, target, sizeof(spec->target_type) - 1);
	va_start(ap, fmt);
	vsnprintf((char *)(spec + 1), 512, fmt, ap);
	va_end(ap);
	wt_check(ioctl(dm_control(), DM_TABLE_LOAD, io) == 0, "dm table %s: %s",
		 target, strerror(errno));
}

/**
 * wt_dm_create - a device-mapper device, linear over @lower for now
 */
void wt_dm_create(struct wt_dm *dm, const char *name, const char *lower)
{
	unsigned int i;
	int ret;

	if (dm_control() < 0)
		wt_skip("no device mapper");
	memset(dm, 0, sizeof(*dm));
	snprintf(dm->name, sizeof(dm->name), "%s", name);
	snprintf(dm->lower, sizeof(dm->lower), "%s", lower);
	dm->sectors = wt_sectors(lower);
	dm_ioctl(dm, DM_DEV_REMOVE, 0);		/* of an earlier, failed run */
	ret = dm_ioctl(dm, DM_DEV_CREATE, 0);
	wt_check(!ret, "dm create: %s", strerror(-ret));
	for (i = 0; i < ARRAY_SIZE(wt_dms) && wt_dms[i]; i++)
		;
	wt_check(i < ARRAY_SIZE(wt_dms), "too many dm devices");
	wt_dms[i] = dm;
	wt_dm_table(dm, "linear", "%s 0", lower);
	wt_dm_resume(dm);
	for (i = 0; access(dm->path, F_OK) && i < 200; i++)
		wt_sleep_ms(10);
}

/**
 * wt_dm_suspend - hold every I/O from now on
 *
 * What is in flight completes first. The file system on it is not frozen.
 */
void wt_dm_suspend(struct wt_dm *dm)
{
	int ret = dm_ioctl(dm, DM_DEV_SUSPEND,
			   DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG);

	wt_check(!ret, "dm suspend: %s", strerror(-ret));
	dm->suspended = true;
}

/**
 * wt_dm_resume - let what is held go on, with the table loaded last
 */
void wt_dm_resume(struct wt_dm *dm)
{
	int ret = dm_ioctl(dm, DM_DEV_SUSPEND, 0);

	wt_check(!ret, "dm resume: %s", strerror(-ret));
	dm->suspended = false;
}

/**
 * wt_dm_remove - remove the device
 */
void wt_dm_remove(struct wt_dm *dm)
{
	unsigned int i;
	int ret;

	/* The last opener may be letting go just now. */
	for (i = 0; (ret = dm_ioctl(dm, DM_DEV_REMOVE, 0)) == -EBUSY && i < 100;
	     i++)
		wt_sleep_ms(20);
	wt_check(!ret, "dm remove: %s", strerror(-ret));
	for (i = 0; i < ARRAY_SIZE(wt_dms); i++)
		if (wt_dms[i] == dm)
			wt_dms[i] = NULL;
}

/**
 * wt_on_dm - put the device under test below device mapper
 *
 * File systems are made on the mapped device from here on; raw reads go to the
 * device below, which also answers while the mapped one is suspended.
 */
void wt_on_dm(struct wt_dm *dm)
{
	wt_dm_create(dm, "wt", wt_dev);
	wt_raw = wt_dev;
	wt_dev = dm->path;
}

/**
 * wt_null_blk - a memory-backed null_blk device
 * @attrs: "name=value name=value"
 * Return: its path
 */
const char *wt_null_blk(const char *name, unsigned int mib, const char *attrs)
{
	static char path[64];
	char file[192], list[256], *item, *save = NULL;
	int i;

	snprintf(file, sizeof(file), "/sys/kernel/config/nullb/%s", name);
	if (mkdir(file, 0755) && errno != EEXIST)
		wt_skip("no null_blk: %s", strerror(errno));
	snprintf(list, sizeof(list),
		 "memory_backed=1 blocksize=512 size=%u %s power=1", mib, attrs);
	for (item = strtok_r(list, " ", &save); item;
	     item = strtok_r(NULL, " ", &save)) {
		char *value = strchr(item, '=');

		*value++ = 0;
		snprintf(file, sizeof(file), "/sys/kernel/config/nullb/%s/%s",
			 name, item);
		wt_check(wt_put(file, "%s", value), "null_blk: %s=%s", item,
			 value);
	}
	snprintf(path, sizeof(path), "/dev/%s", name);
	for (i = 0; access(path, F_OK) && i < 200; i++)
		wt_sleep_ms(10);
	return path;
}

/**
 * wt_scsi_debug - the first disk of the scsi_debug driver
 * Return: its path, NULL if there is none
 */
const char *wt_scsi_debug(void)
{
	static char path[300];
	struct dirent *entry;
	DIR *dir = opendir("/sys/block");
	char file[320], model[32];

	while (dir && (entry = readdir(dir))) {
		FILE *f;

		snprintf(file, sizeof(file), "/sys/block/%s/device/model",
			 entry->d_name);
		f = fopen(file, "r");
		if (!f)
			continue;
		if (!fgets(model, sizeof(model), f))
			model[0] = 0;
		fclose(f);
		if (strncmp(model, "scsi_debug", 10))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		closedir(dir);
		return path;
	}
	if (dir)
		closedir(dir);
	return NULL;
}

#define NVMET		"/sys/kernel/config/nvmet"
#define NVMET_NAME	"nqn.2026-11.wt"
#define NVMET_SUBSYSTEM	NVMET "/subsystems/" NVMET_NAME

static int wt_nvme_instance;

/**
 * wt_nvme - a disk behind an NVMe target of this machine
 * @lower: where the target keeps its data; a physical block of it is what the
 *	disk writes atomically
 * Return: the path of the disk, NULL if there are no such targets
 *
 * Needs an end by wt_nvme_end().
 */
const char *wt_nvme(const char *lower)
{
	static char path[32];
	char answer[64] = "";
	int fd, i;

	if (access(NVMET, F_OK) || access("/dev/nvme-fabrics", F_OK))
		return NULL;
	wt_sys(mkdir(NVMET_SUBSYSTEM, 0755));
	wt_check(wt_put(NVMET_SUBSYSTEM "/attr_allow_any_host", "1"), "hosts");
	wt_sys(mkdir(NVMET_SUBSYSTEM "/namespaces/1", 0755));
	wt_check(wt_put(NVMET_SUBSYSTEM "/namespaces/1/device_path", "%s",
			lower), "device of the target");
	wt_check(wt_put(NVMET_SUBSYSTEM "/namespaces/1/enable", "1"),
		 "namespace");
	wt_sys(mkdir(NVMET "/ports/1", 0755));
	wt_check(wt_put(NVMET "/ports/1/addr_trtype", "loop"), "transport");
	wt_sys(symlink(NVMET_SUBSYSTEM, NVMET "/ports/1/subsystems/"
		       NVMET_NAME));

	fd = open("/dev/nvme-fabrics", O_RDWR | O_CLOEXEC);
	wt_check(fd >= 0, "no fabrics: %s", strerror(errno));
	wt_check(dprintf(fd, "transport=loop,nqn=%s", NVMET_NAME) > 0,
		 "connect: %s", strerror(errno));
	/* It tells which controller that is. */
	wt_check(read(fd, answer, sizeof(answer) - 1) > 0 &&
		 sscanf(answer, "instance=%d", &wt_nvme_instance) == 1,
		 "connected to '%s'", answer);
	close(fd);
	snprintf(path, sizeof(path), "/dev/nvme%dn1", wt_nvme_instance);
	for (i = 0; access(path, F_OK) && i < 1000; i++)
		wt_sleep_ms(10);
	wt_check(!access(path, F_OK), "no disk appears");
	return path;
}

/** wt_nvme_end - take down what wt_nvme() has set up */
void wt_nvme_end(void)
{
	char file[64];

	snprintf(file, sizeof(file), "/sys/class/nvme/nvme%d/delete_controller",
		 wt_nvme_instance);
	wt_check(wt_put(file, "1"), "disconnect");
	wt_sys(unlink(NVMET "/ports/1/subsystems/" NVMET_NAME));
	wt_sys(rmdir(NVMET "/ports/1"));
	wt_check(wt_put(NVMET_SUBSYSTEM "/namespaces/1/enable", "0"),
		 "namespace");
	wt_sys(rmdir(NVMET_SUBSYSTEM "/namespaces/1"));
	wt_sys(rmdir(NVMET_SUBSYSTEM));
}

/**
 * wt_queue_limit - a limit of the device under test
 * @name: of the file in its queue directory
 * Return: the number in it, 0 if it is not there
 */
unsigned long long wt_queue_limit(const char *name)
{
	char file[PATH_MAX], copy[PATH_MAX];
	long long value;

	snprintf(copy, sizeof(copy), "%s", wt_dev);
	snprintf(file, sizeof(file), "/sys/block/%.64s/queue/%s", basename(copy),
		 name);
	value = wt_get(file, NULL);
	return value < 0 ? 0 : value;
}

#define WT_STATX_WRITE_ATOMIC	0x10000
#define WT_STATX_ATOMIC_MIN	0xa8	/* where it is in the structure */

/**
 * wt_atomic_limits - what statx() says of atomic writes to a file
 * @min, @max: the smallest and the largest, 0 if there are none
 */
void wt_atomic_limits(int fd, size_t *min, size_t *max)
{
	uint32_t stx[64] = { 0 };

	wt_sys(syscall(__NR_statx, fd, "", AT_EMPTY_PATH, WT_STATX_WRITE_ATOMIC,
		       stx));
	*min = stx[WT_STATX_ATOMIC_MIN / 4];
	*max = stx[WT_STATX_ATOMIC_MIN / 4 + 1];
}

static void wt_inject_path(char *file, size_t size, const char *dev)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", dev);
	snprintf(file, size, "/sys/kernel/debug/block/%s/error_injection",
		 basename(copy));
}

/**
 * wt_inject - let the block layer fail what touches a range of sectors
 * @op: READ, WRITE, ...
 * @nr_sectors: 0 for up to the end of the device
 * @status: IOERR, MEDIUM, ...
 */
void wt_inject(const char *dev, const char *op, unsigned long long sector,
	       unsigned long long nr_sectors, const char *status)
{
	char file[PATH_MAX + 64];

	wt_inject_path(file, sizeof(file), dev);
	if (access(file, W_OK))
		wt_skip("no block error injection for %s", dev);
	wt_check(wt_put(file, "add,op=%s,start=%llu,nr_sectors=%llu,status=%s",
			op, sector, nr_sectors, status),
		 "error injection refused: %s", strerror(errno));
}

static uint64_t wt_be(const unsigned char *p, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | *p++;
	return value;
}

/**
 * wt_inject_data - fail all I/O outside the log
 *
 * A failing log shuts the file system down, which would hide what becomes of
 * the failing data. For when nobody knows beforehand which blocks a write will
 * be given.
 */
void wt_inject_data(const char *op, const char *status)
{
	unsigned char *sb = wt_alloc(4096);
	int fd = wt_sys(open(wt_raw, O_RDONLY | O_DIRECT | O_CLOEXEC));
	unsigned long long log, start, nr;
	unsigned int shift;

	wt_check(pread(fd, sb, 4096, 0) == 4096, "superblock");
	close(fd);
	/* Place of the log in the superblock: group number, block in group. */
	log = wt_be(sb + 48, 8);
	shift = sb[124];
	start = (log >> shift) * wt_be(sb + 84, 4) + (log & ((1ULL << shift) - 1));
	start = start * wt_be(sb + 4, 4) >> 9;
	nr = wt_be(sb + 96, 4) * wt_be(sb + 4, 4) >> 9;
	munmap(sb, 4096);
	wt_inject(wt_dev, op, 0, start, status);
	wt_inject(wt_dev, op, start + nr, 0, status);
}

/**
 * wt_inject_clear - back to a device that works
 */
void wt_inject_clear(const char *dev)
{
	char file[PATH_MAX + 64];

	wt_inject_path(file, sizeof(file), dev);
	wt_check(wt_put(file, "removeall"), "error injection: %s",
		 strerror(errno));
}

/**
 * wt_fault_ready - make one of the kernel's fault injectors usable
 * @capability: failslab, fail_page_alloc, fail_usercopy, fail_make_request
 * @task_filter: only for tasks that asked for it in /proc/self/make-it-fail
 */
void wt_fault_ready(const char *capability, bool task_filter)
{
	char file[256];

	snprintf(file, sizeof(file), "/sys/kernel/debug/%s", capability);
	if (access(file, X_OK))
		wt_skip("no fault injector %s", capability);
	wt_run("cd %s && echo 0 >probability && echo 0 >verbose && echo -1 >times && echo %c >task-filter && { [ ! -e ignore-gfp-wait ] || echo N >ignore-gfp-wait; } && { [ ! -e min-order ] || echo 0 >min-order; }",
	       file, task_filter ? 'Y' : 'N');
}

/**
 * wt_fault_nth - fail the @nth thing that can fail from now on in this task
 *
 * The very next system call is the one under test.
 *
 * Return: descriptor for wt_fault_hit()
 */
int wt_fault_nth(unsigned int nth)
{
	char text[16];
	int fd, n;

	fd = wt_sys(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	n = snprintf(text, sizeof(text), "%u", nth);
	wt_sys(write(fd, text, n));
	return fd;
}

/**
 * wt_fault_hit - whether that happened; end of the injection
 */
bool wt_fault_hit(int fd)
{
	char text[16] = "";
	ssize_t ret;

	/* If reading is what fails, there was nothing to fail before it. */
	ret = pread(fd, text, sizeof(text) - 1, 0);
	while (write(fd, "0", 1) != 1 && errno == EFAULT)
		;
	close(fd);
	return ret > 0 && atoi(text) == 0;
}

/* ------------------------------------------------------------ tracepoints */

#define WT_TRACE	"/sys/kernel/tracing/instances/writethrough"

static int wt_trace_fd = -1;

/**
 * wt_trace_setup - choose what is traced of this process from now on
 * @events: as "xfs/xfs_ilock"
 */
void wt_trace_setup(const char * const *events, unsigned int nr)
{
	unsigned int i;

	if (mkdir(WT_TRACE, 0755) && errno != EEXIST)
		wt_skip("no tracefs: %s", strerror(errno));
	wt_check(wt_put(WT_TRACE "/tracing_on", "0") &&
		 wt_put(WT_TRACE "/events/enable", "0") &&
		 wt_put(WT_TRACE "/buffer_size_kb", "4096") &&
		 wt_put(WT_TRACE "/set_event_pid", "%d", getpid()),
		 "tracefs: %s", strerror(errno));
	for (i = 0; i < nr; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), WT_TRACE "/events/%s/enable",
			 events[i]);
		if (access(path, W_OK))
			wt_skip("no tracepoint %s", events[i]);
		wt_check(wt_put(path, "1"), "tracepoint %s", events[i]);
	}
	if (wt_trace_fd < 0)
		wt_trace_fd = wt_sys(open(WT_TRACE "/tracing_on",
					  O_WRONLY | O_CLOEXEC));
}

/**
 * wt_trace_on - forget what was traced, and trace
 */
void wt_trace_on(void)
{
	/* Truncation is what empties it. */
	close(wt_sys(open(WT_TRACE "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC)));
	wt_check(pwrite(wt_trace_fd, "1", 1, 0) == 1, "tracing_on");
}

/**
 * wt_trace_off - trace no more
 */
void wt_trace_off(void)
{
	wt_check(pwrite(wt_trace_fd, "0", 1, 0) == 1, "tracing_on");
}

/**
 * wt_trace_each - go through what was traced
 * @fn: is given the event's name and what follows it
 */
void wt_trace_each(void (*fn)(const char *event, const char *text, void *arg),
		   void *arg)
{
	FILE *f = fopen(WT_TRACE "/trace", "re");
	char line[1024];

	wt_check(f, "tracefs: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *event, *text;

		wt_check(!strstr(line, "LOST"), "the trace lost events");
		if (*line == '#')
			continue;
		/* TASK-PID [CPU] FLAGS TIME: EVENT: TEXT */
		line[strcspn(line, "\n")] = 0;
		event = strchr(line, '[');
		event = event ? strstr(event, ": ") : NULL;
		text = event ? strstr(event + 2, ": ") : NULL;
		if (!text)
			continue;
		*text = 0;
		fn(event + 2, text + 2, arg);
	}
	fclose(f);
}

struct wt_trace_match {
	const char	*event;
	const char	*text;
	unsigned int	nr;
};

static void wt_trace_match(const char *event, const char *text, void *arg)
{
	struct wt_trace_match *match = arg;

	if (!strcmp(event, match->event) &&
	    (!match->text || strstr(text, match->text)))
		match->nr++;
}

/**
 * wt_trace_count - how often an event was traced
 * @event: its name, without that of its group
 * @text: what has to appear in it, or NULL
 */
unsigned int wt_trace_count(const char *event, const char *text)
{
	struct wt_trace_match match = { .event = event, .text = text };

	wt_trace_each(wt_trace_match, &match);
	return match.nr;
}
