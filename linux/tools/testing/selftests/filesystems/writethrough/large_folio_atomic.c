// SPDX-License-Identifier: GPL-2.0
/*
 * Atomic writes to folios of many blocks, seen to be that: part of one, with dirty
 * blocks around it; all of one; several, whole and in part. By the device, which is
 * seen by blocks that stay in place, and by copy on write.
 *
 * Mutant: 151-atomic-always-in-place
 * only: x86_64
 * lab: --disk 600M --scsi-debug dev_size_mb=320 --timeout 240
 * lab: --append scsi_debug.atomic_wr=1 --append scsi_debug.physblk_exp=7
 */
#include "wt.h"

#define FILE_SIZE	(6 * MIB)
#define OFF		(2 * MIB)

static unsigned long long unit_max;	/* of the device */
static unsigned int by_device, by_file_system;
static enum wt_mode mode;
static unsigned int gen = 10;

/* A new file in folios of @size, of which there must be as many free. */
static int make(size_t size)
{
	int fd = wt_open("file", O_RDWR | O_TRUNC);
	off_t pos;

	wt_put("/proc/sys/vm/compact_memory", "1");
	/* a mapping that ends in a piece would make it two folios */
	wt_sys(fallocate(fd, 0, 0, FILE_SIZE));
	for (pos = 0; pos < FILE_SIZE; pos += size)
		wt_plain_gen(fd, pos, size, 1);
	wt_sys(fsync(fd));
	wt_expect_folios(fd, 0, FILE_SIZE, size);
	return fd;
}

static void write_atomic(int fd, off_t off, size_t len, bool shared)
{
	off_t last = off + len - wt_bsize;
	off_t at = wt_physical(fd, off, NULL);
	bool device = len <= unit_max && !(at % len) && !shared &&
		      wt_physical(fd, last, NULL) == at + (last - off);
	void *buf = wt_alloc(len);
	ssize_t ret;

	wt_pattern(buf, len, off, ++gen);
	ret = wt_write(mode, fd, buf, len, off, RWF_ATOMIC);
	wt_check(ret == (ssize_t)len, "%s: %zu bytes at %lld: %zd (%s)",
		 wt_mode_name[mode], len, (long long)off, ret,
		 ret < 0 ? strerror(-ret) : "short");
	wt_check((wt_physical(fd, off, NULL) == at) == device,
		 "%zu bytes were%s written in place", len, device ? " not" : "");
	if (device)
		by_device++;
	else
		by_file_system++;
	munmap(buf, len);
}

/* The write, and all around it what was there before. */
static void expect(int fd, off_t off, size_t len, off_t dirty, unsigned int around)
{
	off_t end = off + len;

	wt_expect_file(fd, 0, off - dirty, 1);
	wt_expect_file(fd, off - dirty, dirty, around);
	wt_expect_file(fd, off, len, gen);
	wt_expect_file(fd, end, dirty, around);
	wt_expect_file(fd, end + dirty, FILE_SIZE - end - dirty, 1);
}

static void one(size_t folio, off_t off, size_t len, off_t dirty, bool shared)
{
	int fd = make(folio), clone;

	if (shared) {
		clone = wt_open("clone", O_RDWR | O_TRUNC);
		wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone: %s",
			 strerror(errno));
		close(clone);
	}
	if (dirty) {
		wt_plain_gen(fd, off - dirty, dirty, 2);
		wt_plain_gen(fd, off + len, dirty, 2);
	}
	write_atomic(fd, off, len, shared);
	wt_expect_disk(fd, off, len, gen);
	expect(fd, off, len, dirty, 2);
	wt_expect_folios(fd, 0, FILE_SIZE, folio);

	/* And the other way round: the folio is dirty only afterwards. */
	if (dirty) {
		wt_plain_gen(fd, off - dirty, dirty, 3);
		wt_plain_gen(fd, off + len, dirty, 3);
	}
	wt_check(!dirty == !wt_cache(fd, 0, FILE_SIZE).dirty, "%s",
		 dirty ? "not dirty" : "dirty pages");
	wt_sys(fsync(fd));
	wt_expect_clean(fd, 0, FILE_SIZE);
	expect(fd, off, len, dirty, 3);
	wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	expect(fd, off, len, dirty, 3);
	close(fd);
	if (shared) {
		clone = wt_open("clone", O_RDWR);
		wt_expect_both(clone, 0, FILE_SIZE, 1);
		close(clone);
	}
}

static void on(const char *dev)
{
	size_t min, max, len;
	int fd, shared;

	wt_dev = dev;
	wt_raw = dev;
	wt_setup(NULL, NULL);
	fd = wt_make_file("file", wt_psize, 1);
	wt_atomic_limits(fd, &min, &max);
	close(fd);
	unit_max = wt_queue_limit("atomic_write_unit_max_bytes");
	wt_note("note: %s: up to %zu bytes, the device up to %llu", dev, max,
		unit_max);
	wt_check(max >= 256 * KIB, "no more than %zu bytes", max);
	wt_for_each_mode(mode)
		for (shared = 0; shared < 2; shared++) {
			/* part of a folio of 2 MiB */
			for (len = min; len <= 256 * KIB; len *= 8)
				one(2 * MIB, OFF + len, len, min, shared);
			/* what clones have to do with it is the same for all */
			if (mode != WT_SYNC)
				break;
			/* with nothing dirty around, the whole of one, several, half of one */
			one(2 * MIB, OFF + 64 * KIB, 64 * KIB, 0, shared);
			one(64 * KIB, OFF, 64 * KIB, 0, shared);
			one(64 * KIB, OFF, 128 * KIB, min, shared);
			one(256 * KIB, OFF + 128 * KIB, 128 * KIB, min, shared);
		}
	wt_check(by_file_system, "nothing was staged");
	wt_check(!by_device == (unit_max < min), "%u writes in place", by_device);
	wt_note("note: %u in place, %u staged", by_device, by_file_system);
	by_device = 0;
	by_file_system = 0;
	wt_umount();
	wt_repair_check();
}

int main(void)
{
	const char *plain;

	wt_start("large_folio_atomic", 240);
	wt_need_writethrough();
	wt_need_large_folios();
	plain = wt_dev;
	on(plain);
	wt_check(wt_scsi_debug(), "no scsi_debug disk");
	on(wt_scsi_debug());
	wt_finish();
}
