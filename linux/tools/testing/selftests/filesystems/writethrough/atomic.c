// SPDX-License-Identifier: GPL-2.0
/*
 * RWF_ATOMIC: whatever the range consists of, the write arrives on the device and
 * in the cache as any write-through does, clean, with its neighbours and clones as
 * they were, through every interface and with other flags. Blocks that the device
 * can write atomically are written in place, by one atomic command; all others are
 * staged elsewhere, and remapped at once.
 *
 * Which one it was is seen in a trace of what is sent to the device. That nothing
 * is torn by a crash is for the power-loss test.
 *
 * Mutant: 150-atomic-bio-not-marked
 * Mutant: 151-atomic-always-in-place
 * Mutant: 159-atomic-log-not-forced
 * Mutant: 170-atomic-half-shared-in-place
 * Mutant: 175-atomic-over-end-in-place
 * Mutant: 176-atomic-size-not-in-log
 * Mutant: 177-atomic-size-apart
 * lab: --disk 600M --scsi-debug dev_size_mb=320 --timeout 960
 * lab: --append scsi_debug.atomic_wr=1 --append scsi_debug.physblk_exp=7
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1024 * KIB)
#define OFF		(256 * KIB)
#define MAX_LEN		(128 * KIB)

static size_t atomic_min, atomic_max;
static unsigned long long unit_max;	/* of the device */
static enum wt_mode mode;
static unsigned int gen = 100;
static unsigned int by_device, by_file_system;
static bool unsure;		/* where dirty data is going to be */
static bool sync_only;		/* it is about the disk, not the interfaces */
static char *buf;

/* ---------------------------------------------------------- the trace */

static const char * const events[] = {
	"block/block_bio_queue",
	"iomap/iomap_add_to_ioend",
	"xfs/xfs_iomap_atomic_write_cow",
	"xfs/xfs_reflink_end_cow",
	"xfs/xfs_setfilesize",
	"xfs/xfs_trans_alloc",
};

struct sent {
	unsigned int	writes;
	unsigned int	atomic;
};

/* DEV RWBS SECTOR + NR [COMM] */
static void count(const char *event, const char *text, void *arg)
{
	struct sent *sent = arg;
	char rwbs[16];

	if (strcmp(event, "block_bio_queue") ||
	    sscanf(text, "%*s %15s", rwbs) != 1)
		return;
	if (strchr(rwbs, 'M') || !strchr(rwbs, 'W'))
		return;
	sent->writes++;
	if (strchr(rwbs, 'U'))
		sent->atomic++;
}

/* In which transaction the size was changed: the one of the remap is 1. */
struct sized {
	bool		remapped;
	unsigned int	transactions;
	unsigned int	in;
};

static void find_size(const char *event, const char *text, void *arg)
{
	struct sized *sized = arg;

	(void)text;
	if (!strcmp(event, "xfs_reflink_end_cow"))
		sized->remapped = true;
	else if (!strcmp(event, "xfs_trans_alloc"))
		sized->transactions += sized->remapped;
	else if (!strcmp(event, "xfs_setfilesize"))
		sized->in = sized->transactions;
}

/*
 * One extent, written, alone, in the right place, not too long, and the file does
 * not end in it.
 */
static bool in_place(int fd, off_t off, size_t len)
{
	off_t at = wt_physical(fd, off, NULL), pos;
	bool shared;

	if (len > unit_max || at < 0 || at % len)
		return false;
	if (lseek(fd, 0, SEEK_END) > off &&
	    lseek(fd, 0, SEEK_END) < off + (off_t)len)
		return false;
	for (pos = off; pos < off + (off_t)len; pos += wt_bsize)
		if (wt_backing(fd, pos) != WT_WRITTEN ||
		    wt_physical(fd, pos, &shared) != at + (pos - off) || shared)
			return false;
	return true;
}

/* ------------------------------------------------------------ one write */

static void write_atomic(int fd, off_t off, size_t len, int flags)
{
	bool device = in_place(fd, off, len);
	struct sent sent = { 0 };
	ssize_t ret;

	wt_pattern(buf, len, off, ++gen);
	wt_trace_on();
	ret = wt_write(mode, fd, buf, len, off, RWF_ATOMIC | flags);
	wt_trace_off();
	wt_check(ret == (ssize_t)len, "%s: %zu bytes at %lld, flags 0x%x: %zd (%s)",
		 wt_mode_name[mode], len, (long long)off, flags, ret,
		 ret < 0 ? strerror(-ret) : "short");
	/* io_uring may have had a worker do it, whose trace we do not see. */
	if (mode == WT_URING)
		return;
	wt_trace_each(count, &sent);
	if (unsure)
		device = sent.atomic;
	if (device) {
		wt_check(sent.atomic == 1, "%zu bytes in place: %u atomic bios of %u",
			 len, sent.atomic, sent.writes);
		wt_check(!wt_trace_count("xfs_iomap_atomic_write_cow", NULL),
			 "%zu bytes in place were staged", len);
		by_device++;
	} else {
		wt_check(!sent.atomic, "%zu bytes that cannot be: in place", len);
		wt_check(sent.writes, "%zu bytes: nothing was written", len);
		wt_check(wt_trace_count("xfs_iomap_atomic_write_cow", NULL),
			 "%zu bytes that cannot be in place were not staged", len);
		by_file_system++;
	}
}

/* Before, range and after: generations 1, @gen and 1, on the disk and cached. */
static void expect(int fd, off_t off, size_t len, off_t size)
{
	wt_check(!wt_cache(fd, off, len).dirty, "dirty pages");
	wt_expect_disk(fd, off, len, gen);
	wt_expect_file(fd, off, len, gen);
	wt_expect_file(fd, 0, off, 1);
	if (size > off + (off_t)len)
		wt_expect_file(fd, off + len, size - off - len, 1);
	wt_check(lseek(fd, 0, SEEK_END) == size, "the size is %lld, not %lld",
		 (long long)lseek(fd, 0, SEEK_END), (long long)size);
}

/* After a crash that kept the log: what completes is the same for both async ones. */
static void expect_kept(int fd, off_t off, size_t len, off_t size)
{
	close(fd);
	if (mode == WT_URING)
		return;
	wt_crash();
	fd = wt_open("file", O_RDWR);
	expect(fd, off, len, size);
	close(fd);
}

/* -------------------------------------------------- what the range can be */

static void overwritten(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	write_atomic(fd, OFF, len, 0);
	wt_expect_clean(fd, OFF, len);
	expect(fd, OFF, len, FILE_SIZE);
	/* Again: what was remapped may be in a better place now, or in use. */
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, FILE_SIZE);
	expect_kept(fd, OFF, len, FILE_SIZE);
}

static void not_cached(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	close(fd);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	write_atomic(fd, OFF, len, 0);
	wt_expect_clean(fd, OFF, len);
	expect(fd, OFF, len, FILE_SIZE);
	expect_kept(fd, OFF, len, FILE_SIZE);
}

static void hole(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, OFF,
			 len));
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, FILE_SIZE);
	expect_kept(fd, OFF, len, FILE_SIZE);
}

static void unwritten(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_sys(fallocate(fd, FALLOC_FL_ZERO_RANGE, OFF, len));
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, FILE_SIZE);
	expect_kept(fd, OFF, len, FILE_SIZE);
}

/* Dirty, over written blocks and over a hole: what is reserved goes away. */
static void dirty(size_t len, bool over_hole, bool mapped)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	char *map;

	if (over_hole)
		wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 OFF, len));
	if (mapped) {
		map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   fd, 0);
		wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
		wt_pattern(map + OFF, len, OFF, 2);
	} else {
		wt_plain_gen(fd, OFF, len, 2);
	}
	unsure = true;
	write_atomic(fd, OFF, len, 0);
	unsure = false;
	expect(fd, OFF, len, FILE_SIZE);
	if (mapped) {
		wt_expect_buf("mapping", map + OFF, len, OFF, gen);
		munmap(map, FILE_SIZE);
	}
	expect_kept(fd, OFF, len, FILE_SIZE);
}

static void shared(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	int clone = wt_open("clone", O_RDWR | O_TRUNC);

	wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone: %s", strerror(errno));
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, FILE_SIZE);
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	/* Not shared any more, but its neighbours are. */
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, FILE_SIZE);
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	close(clone);
	expect_kept(fd, OFF, len, FILE_SIZE);
	clone = wt_open("clone", O_RDWR);
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	close(clone);
}

/* Every other block somewhere else, or not there at all. */
static void scattered(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	int other = wt_open("other", O_RDWR | O_TRUNC);
	off_t pos;

	for (pos = OFF; pos < OFF + (off_t)len; pos += 2 * wt_bsize)
		wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, pos, wt_bsize));
	for (pos = OFF; pos < OFF + (off_t)len; pos += 4 * wt_bsize) {
		wt_plain_gen(other, pos, wt_bsize, 3);
		wt_sys(fsync(other));
		wt_plain_gen(fd, pos, wt_bsize, 1);
		wt_sys(fsync(fd));
	}
	close(other);
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, FILE_SIZE);
	expect_kept(fd, OFF, len, FILE_SIZE);
}

/* A file in one unwritten extent, where a write of @len at OFF can go in place. */
static int aligned_file(size_t len)
{
	int fd = wt_open("file", O_RDWR | O_TRUNC);
	off_t at;

	wt_sys(fallocate(fd, 0, 0, FILE_SIZE + len));
	at = wt_physical(fd, OFF, NULL);
	if (at % len)
		wt_sys(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0,
				 len - at % len));
	wt_sys(ftruncate(fd, FILE_SIZE));
	at = wt_physical(fd, OFF, NULL);
	wt_check(!(at % len), "OFF is at %lld", (long long)at);
	wt_check(wt_physical(fd, FILE_SIZE - wt_bsize, NULL) ==
		 at + FILE_SIZE - wt_bsize - OFF, "more than one extent");
	return fd;
}

/* In place but for half of it, which a clone has as well. */
static void half_shared(size_t len, bool first)
{
	int fd = aligned_file(len), clone = wt_open("clone", O_RDWR | O_TRUNC);
	off_t off = OFF + (first ? 0 : len / 2);
	unsigned int before = by_device;

	wt_plain_gen(fd, 0, FILE_SIZE, 1);
	wt_sys(fsync(fd));
	write_atomic(fd, OFF, len, 0);
	wt_check((by_device != before) == (len <= unit_max && mode != WT_URING),
		 "it did not go in place when it was not shared");
	wt_check(!wt_clone(fd, off, len / 2, clone, off), "clone: %s",
		 strerror(errno));
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, FILE_SIZE);
	wt_expect_both(clone, off, len / 2, gen - 1);
	close(clone);
	expect_kept(fd, OFF, len, FILE_SIZE);
}

/*
 * The first half has blocks that are converted by the writeback of what is dirty,
 * only just before. If a crash loses that, because the log has not been written,
 * the second half must not be new.
 */
static void half_in_log(size_t len)
{
	int fd = aligned_file(len);
	size_t half = len / 2;
	unsigned int before = by_device;
	char *found = wt_alloc(len), *want = wt_alloc(len);

	wt_plain_gen(fd, 0, OFF, 1);
	wt_plain_gen(fd, OFF + half, FILE_SIZE - OFF - half, 1);
	wt_sys(fsync(fd));
	wt_plain_gen(fd, OFF, half, 2);
	unsure = true;
	write_atomic(fd, OFF, len, 0);
	unsure = false;
	if (len <= unit_max && mode != WT_URING)
		wt_check(by_device == before + 1, "it did not go in place");
	expect(fd, OFF, len, FILE_SIZE);
	close(fd);
	wt_shutdown(false);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	wt_sys(pread(fd, found, len, OFF));
	wt_pattern(want, len, OFF, gen);
	if (memcmp(found, want, len)) {
		wt_expect_file(fd, OFF + half, half, 1);
		wt_check(memcmp(found, want, half), "half of it is there");
	}
	munmap(found, len);
	munmap(want, len);
	close(fd);
}

/*
 * Over the end of the file, and over one that has only just been moved: after a
 * crash what is there of the range is all old or all new, and if it is new, so is
 * the size.
 */
static void over_end(size_t len, bool moved)
{
	int fd = aligned_file(len);
	off_t end = OFF + len - wt_bsize / 2, size;
	char *found = wt_alloc(len), *want = wt_alloc(len);
	struct sized sized = { 0 };

	wt_plain_gen(fd, 0, FILE_SIZE, 1);
	wt_sys(fsync(fd));
	wt_sys(ftruncate(fd, end));
	wt_sys(fsync(fd));
	if (moved)
		wt_write_gen(mode, fd, end, OFF + len - end, 1);
	unsure = true;
	write_atomic(fd, OFF, len, 0);
	unsure = false;
	/* It completes in this task, where the trace is. */
	if (mode == WT_SYNC && !moved) {
		wt_trace_each(find_size, &sized);
		wt_check(sized.in == 1,
			 "the size is in transaction %u, the remap in 1",
			 sized.in);
	}
	expect(fd, OFF, len, OFF + len);
	close(fd);
	wt_shutdown(false);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	size = lseek(fd, 0, SEEK_END);
	wt_check(size == end || size == OFF + (off_t)len, "the size is %lld",
		 (long long)size);
	wt_sys(pread(fd, found, size - OFF, OFF));
	wt_pattern(want, len, OFF, gen);
	if (!memcmp(found, want, 8)) {
		wt_check(size == OFF + (off_t)len,
			 "%zu bytes: new to the old end, %lld", len,
			 (long long)end);
		wt_expect_file(fd, OFF, len, gen);
	} else {
		wt_expect_file(fd, OFF, size - OFF, 1);
	}
	wt_expect_file(fd, 0, OFF, 1);
	close(fd);
	munmap(found, len);
	munmap(want, len);
}

/* At the end of the file, over it, and with APPEND. */
static void extending(size_t len)
{
	int fd = wt_make_file("file", OFF, 1);
	struct iovec iov = { buf, len };

	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, OFF + len);
	expect_kept(fd, OFF, len, OFF + len);

	fd = wt_make_file("file", OFF + len / 2 + 1, 1);
	write_atomic(fd, OFF, len, 0);
	expect(fd, OFF, len, OFF + len);
	expect_kept(fd, OFF, len, OFF + len);

	fd = wt_make_file("file", OFF, 1);
	wt_pattern(buf, len, OFF, ++gen);
	wt_check(wt_writev(mode, fd, &iov, 1, 0, RWF_ATOMIC | RWF_APPEND) ==
		 (ssize_t)len, "append");
	expect(fd, OFF, len, OFF + len);
	expect_kept(fd, OFF, len, OFF + len);

	/* Behind the end. */
	fd = wt_make_file("file", OFF - 3 * wt_bsize - 5, 1);
	write_atomic(fd, OFF, len, 0);
	wt_expect_both(fd, OFF, len, gen);
	wt_expect_file(fd, 0, OFF - 3 * wt_bsize - 5, 1);
	wt_expect_file(fd, OFF - 3 * wt_bsize - 5, 3 * wt_bsize + 5, 0);
	close(fd);
}

/* The source is not aligned, or is what is written to. */
static void sources(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0);
	char *copy = wt_alloc(len + wt_psize);
	ssize_t ret;

	wt_pattern(copy + 13, len, OFF, ++gen);
	ret = wt_write(mode, fd, copy + 13, len, OFF, RWF_ATOMIC);
	wt_check(ret == (ssize_t)len, "odd memory: %zd", ret);
	expect(fd, OFF, len, FILE_SIZE);

	ret = wt_write(mode, fd, map + OFF, len, OFF, RWF_ATOMIC);
	wt_check(ret == (ssize_t)len, "onto itself: %zd", ret);
	expect(fd, OFF, len, FILE_SIZE);

	/* Not cached: the fault happens first, not under our locks. */
	munmap(map, FILE_SIZE);
	close(fd);
	wt_drop_caches();
	fd = wt_open("file", O_RDWR);
	map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	ret = wt_write(mode, fd, map + OFF, len, OFF, RWF_ATOMIC);
	wt_check(ret == (ssize_t)len, "onto itself, cold: %zd", ret);
	expect(fd, OFF, len, FILE_SIZE);

	/* Half of it is not there: nothing happens. */
	if (len > wt_psize) {
		char *half = wt_alloc(len);

		wt_sys(munmap(half + len / 2, len / 2));
		memset(half, 0xee, len / 2);
		ret = wt_write(mode, fd, half, len, OFF, RWF_ATOMIC);
		wt_check(ret == -EFAULT, "half of the memory: %zd", ret);
		expect(fd, OFF, len, FILE_SIZE);
		munmap(half, len / 2);
	}
	munmap(map, FILE_SIZE);
	munmap(copy, len + wt_psize);
	close(fd);
}

/* ------------------------------------------------------------ other flags */

static void durable(size_t len, int flags)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	write_atomic(fd, OFF, len, flags);
	expect(fd, OFF, len, FILE_SIZE);
	close(fd);
	/* Not even the log is written any more. */
	wt_shutdown(false);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	expect(fd, OFF, len, FILE_SIZE);
	close(fd);
}

static void dropped(size_t len)
{
	int fd = wt_make_file("file", FILE_SIZE, 1), i;

	wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	write_atomic(fd, OFF, len, RWF_DONTCACHE);
	for (i = 0; wt_cache(fd, OFF, len).cached && i < 2000; i++)
		wt_sleep_ms(1);
	wt_check(!wt_cache(fd, OFF, len).cached, "still cached");
	wt_check(mode != WT_SYNC || !i, "cached for a while");
	expect(fd, OFF, len, FILE_SIZE);
	close(fd);
}

/* All of it in place, or nothing and EAGAIN. */
static void nowait(size_t len)
{
	int fd = wt_make_file("alone", FILE_SIZE, 1);
	bool possible = in_place(fd, OFF, len);
	ssize_t ret;

	wt_pattern(buf, len, OFF, ++gen);
	ret = wt_write(mode, fd, buf, len, OFF, RWF_ATOMIC | RWF_NOWAIT);
	if (ret == -EAGAIN && !possible) {
		wt_expect_both(fd, 0, FILE_SIZE, 1);
	} else {
		wt_check(possible && ret == (ssize_t)len,
			 "NOWAIT: %zd, in place is %spossible", ret,
			 possible ? "" : "im");
		expect(fd, OFF, len, FILE_SIZE);
	}

	/* Dirty: would have to be written first. */
	wt_plain_gen(fd, OFF, len, 2);
	ret = wt_write(mode, fd, buf, len, OFF, RWF_ATOMIC | RWF_NOWAIT);
	wt_check(ret == -EAGAIN, "NOWAIT over dirty pages: %zd", ret);
	wt_expect_file(fd, OFF, len, 2);
	close(fd);
}

static void on(const char *dev)
{
	size_t len, limit;
	int fd;

	wt_dev = dev;
	wt_raw = dev;
	wt_setup(NULL, "lazytime");
	fd = wt_make_file("file", FILE_SIZE, 1);
	wt_atomic_limits(fd, &atomic_min, &atomic_max);
	close(fd);
	unit_max = wt_queue_limit("atomic_write_unit_max_bytes");
	wt_note("note: %s: %zu to %zu bytes, the device up to %llu", dev,
		atomic_min, atomic_max, unit_max);
	wt_check(atomic_min == wt_bsize && atomic_max >= atomic_min,
		 "statx: from %zu to %zu", atomic_min, atomic_max);
	limit = atomic_max < MAX_LEN ? atomic_max : MAX_LEN;

	/* While no timestamp is due: a crash loses the mount option. */
	wt_for_each_mode(mode)
		for (len = atomic_min; len <= limit; len *= 4)
			nowait(len);
	wt_for_each_mode(mode) {
		if (sync_only && mode != WT_SYNC)
			continue;
		len = atomic_min;
		/* What the sizes differ in does not depend on the interface. */
		if (mode != WT_SYNC && limit >= 4 * atomic_min) {
			limit = 4 * atomic_min;
			len = limit;
		}
		for (; len <= limit; len *= 4) {
			overwritten(len);
			not_cached(len);
			hole(len);
			unwritten(len);
			dirty(len, false, false);
			dirty(len, true, false);
			dirty(len, true, true);
			shared(len);
			extending(len);
			over_end(len, false);
			over_end(len, true);
			sources(len);
			if (len >= 4 * wt_bsize) {
				scattered(len);
				half_shared(len, false);
				half_shared(len, true);
				half_in_log(len);
			}
			durable(len, RWF_DSYNC);
			durable(len, RWF_SYNC);
			dropped(len);
		}
	}
	wt_check(by_file_system, "nothing was staged");
	wt_check(!!by_device == (unit_max >= atomic_min),
		 "%u writes in place", by_device);
	wt_note("note: %u in place, %u staged", by_device, by_file_system);
	by_device = 0;
	by_file_system = 0;
	wt_umount();
	wt_repair_check();
}

int main(void)
{
	const char *plain, *nvme = NULL;

	wt_start("atomic", 900);
	wt_need_writethrough();
	buf = wt_alloc(MAX_LEN);
	wt_trace_setup(events, ARRAY_SIZE(events));
	plain = wt_dev;
	on(plain);
	if (wt_scsi_debug()) {
		on(wt_scsi_debug());
		/* what is different there has nothing to do with the block size */
		if (wt_bsize == wt_psize)
			nvme = wt_nvme(wt_scsi_debug());
	} else {
		wt_note("note: no scsi_debug disk");
	}
	if (nvme) {
		sync_only = true;
		on(nvme);
		wt_nvme_end();
	} else if (wt_bsize == wt_psize) {
		wt_note("note: no NVMe target");
	}
	wt_finish();
}
