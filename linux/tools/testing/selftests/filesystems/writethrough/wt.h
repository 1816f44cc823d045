/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers for the tests of RWF_WRITETHROUGH.
 *
 * A test makes a fresh file system on the block device named by $WT_DEV,
 * mounts it at $WT_MNT, looks at what the calls under test left in the page
 * cache and on the raw device, unmounts, and has the file system checked.
 * It exits with 0 (pass), 1 (fail) or 77 (skip, with the reason printed).
 *
 * Everything on $WT_DEV is destroyed.
 */
#ifndef WRITETHROUGH_WT_H
#define WRITETHROUGH_WT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <linux/fs.h>

/* Headers of older distributions end before these. */
#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND		0x00000020
#endif
#ifndef RWF_ATOMIC
#define RWF_ATOMIC		0x00000040
#endif
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE		0x00000080
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL		0x00000100
#endif
#ifndef RWF_WRITETHROUGH
#define RWF_WRITETHROUGH	0x00000200
#endif

#define WT_PASS		0
#define WT_FAIL		1
#define WT_SKIP		77

#define WT_MARKER	"/sys/fs/xfs/features/writethrough"

#define KIB		1024L
#define MIB		(1024L * 1024L)

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* The three ways into the kernel that carry the flag. */
enum wt_mode {
	WT_SYNC,		/* pwritev2() */
	WT_AIO,			/* io_submit() */
	WT_URING,		/* io_uring */
	WT_NR_MODES,
};

/*
 * One write. Filled in by the caller up to @flags; the rest is private.
 * RWF_WRITETHROUGH is added to @flags unless @plain is set.
 */
struct wt_request {
	enum wt_mode		mode;
	int			fd;
	const struct iovec	*iov;
	int			nr_iov;
	off_t			off;
	int			flags;
	bool			plain;

	ssize_t			res;
	bool			done;
	bool			submitted;
	enum wt_mode		how;
	pid_t			pid;
	int			pipe;
	struct iovec		one;
	uint64_t		iocb[8];
};

struct wt_cache {
	unsigned long		cached;
	unsigned long		dirty;
	unsigned long		writeback;
};

/* What a block of a file has below it. */
enum wt_backing {
	WT_HOLE,
	WT_DELALLOC,
	WT_UNWRITTEN,
	WT_WRITTEN,
};

/* Whose quota; the values are quotactl()'s. */
enum wt_quota {
	WT_QUOTA_USER		= 0,
	WT_QUOTA_PROJECT	= 2,
};

extern const char *wt_dev;	/* block device below the file system */
extern const char *wt_raw;	/* where raw reads go; wt_dev by default */
extern const char *wt_mnt;	/* mount point */
extern unsigned int wt_bsize;	/* block size of the mounted file system */
extern unsigned int wt_psize;	/* page size */
extern unsigned int wt_unit;	/* the larger of the two: no folio is smaller */
/* 1024 where the unit is 4096: for what has to be so many units */
#define WT_KIB		((off_t)wt_unit / 4)
extern const char * const wt_mode_name[WT_NR_MODES];

/* Start and end of a test. */
void wt_start(const char *name, unsigned int seconds);
void wt_need_writethrough(void);
void wt_finish(void) __attribute__((noreturn));
void wt_skip(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));
void __wt_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void wt_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define wt_fail(...)	__wt_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Fail, with a sentence, unless @cond holds. */
#define wt_check(cond, ...)					\
	do {							\
		if (!(cond))					\
			__wt_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

/* A system call that must not fail; its value. */
#define wt_sys(call)						\
	({							\
		long __ret = (long)(call);			\
		if (__ret == -1)				\
			__wt_fail(__FILE__, __LINE__, "%s: %s",	\
				  #call, strerror(errno));	\
		__ret;						\
	})

/* File system, device and memory. */
void wt_mkfs(const char *options);
void wt_mount(const char *options);
void wt_umount(void);
void wt_cycle(void);
void wt_repair_check(void);
void wt_setup(const char *mkfs_options, const char *mount_options);
int wt_try(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void wt_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool wt_put(const char *path, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
long long wt_get(const char *path, const char *key);
void wt_flusher_off(void);
void wt_drop_caches(void);
void wt_fill_fs(off_t leave);

/* Files and memory. */
int wt_open(const char *name, int flags);
void *wt_alloc(size_t len);
void *wt_shared(size_t len);
char *wt_path(const char *name);
int wt_make_file(const char *name, off_t size, unsigned int gen);
long long wt_now_ms(void);
void wt_sleep_ms(unsigned int ms);

/* Content. */
void wt_pattern(void *buf, size_t len, off_t pos, unsigned int gen);
ssize_t wt_mismatch(const void *buf, size_t len, off_t pos, unsigned int gen);
void __wt_expect_buf(const char *file, int line, const char *what,
		     const void *buf, size_t len, off_t pos, unsigned int gen);
void __wt_expect_file(const char *file, int line, int fd, off_t off,
		      size_t len, unsigned int gen);
void __wt_expect_disk(const char *file, int line, int fd, off_t off,
		      size_t len, unsigned int gen);
void __wt_expect_cache_is_disk(const char *file, int line, int fd, off_t off,
			       size_t len);
void __wt_expect_clean(const char *file, int line, int fd, off_t off,
		       size_t len);
void __wt_expect_words(const char *file, int line, int fd, off_t off,
		       size_t len, unsigned int max_gen, off_t stride);
void __wt_expect_folios(const char *file, int line, int fd, off_t off,
			size_t len, size_t size);

#define wt_expect_buf(...)	__wt_expect_buf(__FILE__, __LINE__, __VA_ARGS__)
#define wt_expect_file(...)	__wt_expect_file(__FILE__, __LINE__, __VA_ARGS__)
#define wt_expect_disk(...)	__wt_expect_disk(__FILE__, __LINE__, __VA_ARGS__)
#define wt_expect_clean(...)	__wt_expect_clean(__FILE__, __LINE__, __VA_ARGS__)
#define wt_expect_cache_is_disk(...)				\
	__wt_expect_cache_is_disk(__FILE__, __LINE__, __VA_ARGS__)
#define wt_expect_words(...)	__wt_expect_words(__FILE__, __LINE__, __VA_ARGS__)
/* Cache and device, the two places a write-through puts its data. */
#define wt_expect_both(fd, off, len, gen)			\
	do {							\
		wt_expect_disk(fd, off, len, gen);		\
		wt_expect_file(fd, off, len, gen);		\
	} while (0)

#define wt_expect_folios(...)	__wt_expect_folios(__FILE__, __LINE__, __VA_ARGS__)

bool wt_disk_has(int fd, off_t off, size_t len, unsigned int gen);
void wt_raw_read(int fd, void *buf, off_t off, size_t len);
enum wt_backing wt_backing(int fd, off_t off);
unsigned int wt_extents(int fd);
off_t wt_physical(int fd, off_t off, bool *shared);
struct wt_cache wt_cache(int fd, off_t off, size_t len);
size_t wt_folio(int fd, off_t off, off_t *start);
void wt_need_large_folios(void);

/* Writes. */
bool wt_usable(enum wt_mode mode);
int wt_submit(struct wt_request *req);
bool wt_done(struct wt_request *req, unsigned int ms);
ssize_t wt_wait(struct wt_request *req);
ssize_t wt_writev(enum wt_mode mode, int fd, const struct iovec *iov, int nr,
		  off_t off, int flags);
ssize_t wt_write(enum wt_mode mode, int fd, const void *buf, size_t len,
		 off_t off, int flags);
void __wt_write_gen(const char *file, int line, enum wt_mode mode, int fd,
		    off_t off, size_t len, unsigned int gen);
void wt_plain_gen(int fd, off_t off, size_t len, unsigned int gen);
void wt_pages_gen(int fd, off_t off, size_t len, unsigned int gen);
int wt_make_pages(const char *name, off_t size, unsigned int gen);

#define wt_write_gen(...)	__wt_write_gen(__FILE__, __LINE__, __VA_ARGS__)

/* Over every interface that this kernel serves; the others are named. */
#define wt_for_each_mode(mode)					\
	for ((mode) = WT_SYNC; (mode) < WT_NR_MODES; (mode)++)	\
		if (wt_usable(mode))

/* Processes: threads of one process do not run side by side everywhere. */
#define WT_POISON	4000	/* generation of data that is gone */

uint32_t wt_random(uint64_t *seed);
void wt_poison_free(off_t size);
pid_t wt_fork(void (*fn)(void *arg), void *arg);
void wt_join(pid_t pid);
bool wt_exited(pid_t pid, unsigned int ms);
void wt_kill(pid_t pid);

/* Devices that misbehave on request. */
struct wt_dm {
	char			name[32];
	char			path[64];
	char			lower[64];
	unsigned long long	sectors;
	bool			suspended;
};

void wt_dm_create(struct wt_dm *dm, const char *name, const char *lower);
void wt_dm_table(struct wt_dm *dm, const char *target, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void wt_dm_suspend(struct wt_dm *dm);
void wt_dm_resume(struct wt_dm *dm);
void wt_dm_remove(struct wt_dm *dm);
void wt_on_dm(struct wt_dm *dm);
const char *wt_null_blk(const char *name, unsigned int mib, const char *attrs);
const char *wt_scsi_debug(void);
const char *wt_nvme(const char *lower);
void wt_nvme_end(void);
unsigned long long wt_queue_limit(const char *name);
void wt_atomic_limits(int fd, size_t *min, size_t *max);
void wt_inject(const char *dev, const char *op, unsigned long long sector,
	       unsigned long long nr_sectors, const char *status);
void wt_inject_data(const char *op, const char *status);
void wt_inject_clear(const char *dev);
void wt_fault_ready(const char *capability, bool task_filter);
int wt_fault_nth(unsigned int nth);
bool wt_fault_hit(int fd);

/* What the kernel traces of this process; by the names of its tracepoints. */
void wt_trace_setup(const char * const *events, unsigned int nr);
void wt_trace_on(void);
void wt_trace_off(void);
void wt_trace_each(void (*fn)(const char *event, const char *text, void *arg),
		   void *arg);
unsigned int wt_trace_count(const char *event, const char *text);

/* What the file system is asked for by ioctl. */
void wt_freeze(void);
void wt_thaw(void);
void wt_shutdown(bool flush_log);
void wt_crash(void);
int wt_clone(int from, off_t from_off, off_t len, int to, off_t to_off);
int wt_set_xattr(int fd, unsigned int xflags, unsigned int extsize,
		 unsigned int cowextsize, unsigned int projid);
int wt_quota_limit(enum wt_quota type, unsigned int id,
		   unsigned long long bytes);

#endif /* WRITETHROUGH_WT_H */
