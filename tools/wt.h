/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tools share: the flag and its discovery, cachestat(2), and reading
 * a file's bytes from the block device behind the file system's back.
 *
 * Numbers are spelled out because the C library's headers are older than the
 * kernel the tools are for.
 */
#ifndef WT_H
#define WT_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
#include <linux/fiemap.h>
#include <linux/fs.h>

#define WT_RWF_HIPRI		0x001
#define WT_RWF_DSYNC		0x002
#define WT_RWF_SYNC		0x004
#define WT_RWF_NOWAIT		0x008
#define WT_RWF_APPEND		0x010
#define WT_RWF_NOAPPEND		0x020
#define WT_RWF_ATOMIC		0x040
#define WT_RWF_DONTCACHE	0x080
#define WT_RWF_NOSIGNAL		0x100

#define WT_FEATURE_FILE		"/sys/fs/xfs/features/writethrough"

#define WT_SYS_CACHESTAT	451	/* the same number on every architecture */

struct wt_cachestat {
	uint64_t	nr_cache;
	uint64_t	nr_dirty;
	uint64_t	nr_writeback;
	uint64_t	nr_evicted;
	uint64_t	nr_recently_evicted;
};

struct wt_extent {
	uint64_t	logical;
	uint64_t	physical;
	uint64_t	length;
	uint32_t	flags;
};

struct wt_map {
	struct wt_extent *ext;
	size_t		nr;
	size_t		room;
};

/* No data can be read for these at the address they give. */
#define WT_EXTENT_NO_DATA \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | \
	 FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED | \
	 FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_DATA_INLINE | \
	 FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_UNWRITTEN)

static inline uint64_t wt_round_down(uint64_t x, uint64_t unit)
{
	return x - x % unit;
}

static inline uint64_t wt_round_up(uint64_t x, uint64_t unit)
{
	return wt_round_down(x + unit - 1, unit);
}

/* First number in a sysfs or procfs file; -1 if there is none. */
static inline long long wt_read_number(const char *path)
{
	char buf[64];
	char *end;
	long long val;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	buf[n] = '\0';
	val = strtoll(buf, &end, 0);
	return end == buf ? -1 : val;
}

static inline int wt_write_string(const char *path, const char *str)
{
	ssize_t n;
	int fd, saved;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, str, strlen(str));
	saved = errno;
	close(fd);
	errno = saved;
	return n == (ssize_t)strlen(str) ? 0 : -1;
}

/*
 * The flag's number is not the kernel community's yet, and a kernel may mean
 * something else by the same bit.  So it is only ever used when the kernel
 * says that it has it; 0 means that it does not.
 */
static inline unsigned int wt_flag(void)
{
	long long val = wt_read_number(WT_FEATURE_FILE);

	return val > 0 && val <= INT32_MAX ? (unsigned int)val : 0;
}

static inline int wt_cachestat(int fd, uint64_t off, uint64_t len,
			       struct wt_cachestat *cs)
{
	uint64_t range[2] = { off, len };

	memset(cs, 0, sizeof(*cs));
	return syscall(WT_SYS_CACHESTAT, fd, range, cs, 0);
}

static inline void wt_map_free(struct wt_map *map)
{
	free(map->ext);
	memset(map, 0, sizeof(*map));
}

/*
 * Extents that meet [off, off + len), as they are at this moment: without
 * FIEMAP_FLAG_SYNC, which would write the data back and make every claim about
 * where it is come true.
 */
static inline int wt_map_range(int fd, uint64_t off, uint64_t len,
			       struct wt_map *map)
{
	enum { BATCH = 128 };
	union {
		struct fiemap	fm;
		char		room[sizeof(struct fiemap) +
				     BATCH * sizeof(struct fiemap_extent)];
	} u;
	uint64_t end = off + len;
	unsigned int i;

	map->nr = 0;
	while (off < end) {
		memset(&u.fm, 0, sizeof(u.fm));
		u.fm.fm_start = off;
		u.fm.fm_length = end - off;
		u.fm.fm_extent_count = BATCH;
		if (ioctl(fd, FS_IOC_FIEMAP, &u.fm) < 0)
			return -1;
		if (!u.fm.fm_mapped_extents)
			break;
		for (i = 0; i < u.fm.fm_mapped_extents; i++) {
			struct fiemap_extent *fe = &u.fm.fm_extents[i];

			if (map->nr == map->room) {
				size_t room = map->room ? 2 * map->room : 64;
				void *p = realloc(map->ext,
						  room * sizeof(*map->ext));

				if (!p)
					return -1;
				map->ext = p;
				map->room = room;
			}
			map->ext[map->nr++] = (struct wt_extent) {
				.logical	= fe->fe_logical,
				.physical	= fe->fe_physical,
				.length		= fe->fe_length,
				.flags		= fe->fe_flags,
			};
			off = fe->fe_logical + fe->fe_length;
			if (fe->fe_flags & FIEMAP_EXTENT_LAST)
				return 0;
		}
	}
	return 0;
}

/* The whole of [off, off + len) from the device; both multiples of the sector. */
static inline int wt_raw_read(int rawfd, void *buf, uint64_t off, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(rawfd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (!n)
				errno = ENXIO;
			return -1;
		}
		p += n;
		off += n;
		len -= n;
	}
	return 0;
}

static inline int wt_raw_open(const char *dev, unsigned int *sector)
{
	int fd = open(dev, O_RDONLY | O_DIRECT | O_CLOEXEC);
	int size = 0;

	if (fd < 0)
		return -1;
	if (ioctl(fd, BLKSSZGET, &size) < 0 || size <= 0)
		size = 512;
	*sector = size;
	return fd;
}

#endif /* WT_H */
