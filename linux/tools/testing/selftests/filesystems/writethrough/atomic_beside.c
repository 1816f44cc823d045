// SPDX-License-Identifier: GPL-2.0
/*
 * Beside an atomic write: whoever wants its range while its I/O is held back waits
 * for it, and then finds all of it, or else it waits for him: plain writes, other
 * atomic writes, stores to a mapping, truncation, punched holes, reflink, direct
 * I/O, fsync. Reads need not wait, and see all of it; reclaim passes by. Once with
 * each of the two methods. In the end they all race, and no reader ever finds a
 * part.
 *
 * An atomic direct write by copy on write replaces the blocks of its range when it
 * completes, and frees them: a plain write-through that comes meanwhile may not be
 * under way to them then, and waits; one that has looked them up before, and waits
 * for something else, looks again.
 *
 * Mutant: 158-atomic-passes-direct
 * Mutant: 167-passes-staged-direct
 * Mutant: 168-shares-staged-direct
 * Mutant: 169-mapping-outlives-remap
 * Mutant: 162-truncate-passes-atomic
 * Mutant: 171-atomic-waits-for-direct
 * lab: --disk 600M --scsi-debug dev_size_mb=320 --append scsi_debug.atomic_wr=1 --timeout 480
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1024 * WT_KIB)
#define OFF		(256 * WT_KIB)
#define LEN		(32 * WT_KIB)
#define END		(OFF + LEN)
#define GENERATIONS	1000

static enum wt_mode mode;
static struct wt_dm dm;
static struct wt_request req;
static struct iovec iov;
static char *buf;
static int fd;
static unsigned int moved, stayed;
static off_t unit_max;			/* of the device */

/* ------------------------------------------------------- with the I/O held */

/* What an allocation looks at is in memory, and nothing else is dirty. */
static void begin(void)
{
	fd = wt_make_file("file", FILE_SIZE, 1);
	wt_pattern(buf, LEN, OFF, 1);
	wt_check(wt_write(mode, fd, buf, LEN, OFF, RWF_ATOMIC) == LEN,
		 "first write");
	wt_sys(fsync(fd));
	wt_sys(syncfs(fd));
	wt_pattern(buf, LEN, OFF, 3);
	iov = (struct iovec) { buf, LEN };
	req = (struct wt_request) {
		.mode	= mode,
		.fd	= fd,
		.iov	= &iov,
		.nr_iov	= 1,
		.off	= OFF,
		.flags	= RWF_ATOMIC,
	};
}

static void hold(void)
{
	int i;

	wt_dm_suspend(&dm);
	wt_check(!wt_submit(&req), "submission");
	for (i = 0; !wt_cache(fd, OFF, LEN).writeback && i < 500; i++)
		wt_sleep_ms(10);
	wt_check(wt_cache(fd, OFF, LEN).writeback, "not in flight");
}

static void let_go(void)
{
	ssize_t ret;

	wt_dm_resume(&dm);
	ret = wt_wait(&req);
	wt_check(ret == LEN, "%s: %zd", wt_mode_name[mode], ret);
}

/* The range is of the generation that is given, on the disk, too. */
static void expect_range(unsigned int gen)
{
	wt_expect_both(fd, 0, OFF, 1);
	wt_expect_both(fd, OFF, LEN, gen);
	wt_expect_both(fd, END, FILE_SIZE - END, 1);
}

/* Somebody comes while it is in flight, and waits. */
static void beside(const char *what, void (*other)(void *arg), void *arg)
{
	pid_t pid;

	begin();
	hold();
	pid = wt_fork(other, arg);
	wt_check(!wt_exited(pid, 150), "%s, %s: does not wait",
		 wt_mode_name[mode], what);
	let_go();
	wt_join(pid);
}

static void end(void)
{
	wt_sys(fsync(fd));
	wt_expect_cache_is_disk(fd, 0, OFF);
	close(fd);
}

static void store(void *arg)
{
	(void)arg;
	wt_plain_gen(fd, OFF + wt_bsize, 2 * wt_bsize, 4);
}

static void plain_write(void)
{
	beside("plain write", store, NULL);
	wt_expect_file(fd, OFF, wt_bsize, 3);
	wt_expect_file(fd, OFF + wt_bsize, 2 * wt_bsize, 4);
	wt_expect_file(fd, OFF + 3 * wt_bsize, LEN - 3 * wt_bsize, 3);
	/* All of it was on the disk before. */
	wt_expect_disk(fd, OFF, LEN, 3);
	end();
}

struct range {
	off_t	off;
	size_t	len;
};

static void write_range(void *arg)
{
	struct range *range = arg;
	char *other = wt_alloc(range->len);
	ssize_t ret;

	wt_pattern(other, range->len, range->off, 5);
	ret = wt_write(WT_SYNC, fd, other, range->len, range->off, RWF_ATOMIC);
	wt_check(ret == (ssize_t)range->len, "second write: %zd", ret);
}

/* Smaller, larger, and just as large: the later one has what they share. */
static void overlapping(void)
{
	struct range half = { OFF + LEN / 2, LEN / 2 };
	struct range same = { OFF, LEN }, both = { OFF, 2 * LEN };

	beside("half of it", write_range, &half);
	wt_expect_both(fd, OFF, LEN / 2, 3);
	wt_expect_both(fd, OFF + LEN / 2, LEN / 2, 5);
	wt_expect_both(fd, END, LEN, 1);
	end();
	beside("the same range", write_range, &same);
	expect_range(5);
	end();
	beside("twice of it", write_range, &both);
	wt_expect_both(fd, OFF, 2 * LEN, 5);
	wt_expect_both(fd, OFF + 2 * LEN, LEN, 1);
	end();
}

static void store_mapped(void *arg)
{
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);

	(void)arg;
	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	wt_pattern(map + OFF + wt_unit, wt_unit, OFF + wt_unit, 4);
}

static void mapped(void)
{
	beside("store", store_mapped, NULL);
	wt_expect_file(fd, OFF, wt_unit, 3);
	wt_expect_file(fd, OFF + wt_unit, wt_unit, 4);
	wt_expect_file(fd, OFF + 2 * wt_unit, LEN - 2 * wt_unit, 3);
	wt_expect_disk(fd, OFF, LEN, 3);
	end();
}

static void cut_off(void *arg)
{
	wt_sys(ftruncate(fd, *(off_t *)arg));
}

/* To the middle of it, inside a block, and to before it. */
static void truncated(void)
{
	off_t size[] = { OFF + LEN / 2, OFF + LEN / 2 + 100, OFF - LEN };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		off_t left = size[i] > OFF ? size[i] - OFF : 0;

		beside("truncate", cut_off, &size[i]);
		wt_check(lseek(fd, 0, SEEK_END) == size[i], "the size is %lld",
			 (long long)lseek(fd, 0, SEEK_END));
		wt_expect_file(fd, OFF, left, 3);
		wt_sys(ftruncate(fd, FILE_SIZE));
		wt_sys(fsync(fd));
		wt_expect_both(fd, OFF, left, 3);
		wt_expect_file(fd, OFF + left, LEN - left, 0);
		end();
	}
}

/*
 * Over a hole, so that there is nothing to be zeroed behind the new end yet: what
 * will be there has to be zeroes on the disk, too. The size is inside a block.
 */
static void truncated_over_hole(void)
{
	off_t size = OFF + LEN / 2 + 100, rest;
	off_t block = size & ~(off_t)(wt_bsize - 1);
	char *data = wt_alloc(wt_bsize);
	pid_t pid;

	begin();
	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, OFF,
			 LEN));
	wt_sys(fsync(fd));
	hold();
	pid = wt_fork(cut_off, &size);
	wt_check(!wt_exited(pid, 150), "truncate does not wait");
	let_go();
	wt_join(pid);
	wt_sys(fsync(fd));
	wt_expect_both(fd, OFF, size - OFF, 3);
	wt_raw_read(fd, data, block, wt_bsize);
	for (rest = size - block; rest < wt_bsize; rest++)
		wt_check(!data[rest], "%s: byte %lld behind the end is not zero",
			 wt_mode_name[mode], (long long)rest);
	munmap(data, wt_bsize);
	close(fd);
}

static void punch(void *arg)
{
	(void)arg;
	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 OFF + LEN / 2, LEN / 2));
}

static void punched(void)
{
	beside("punch", punch, NULL);
	wt_expect_both(fd, OFF, LEN / 2, 3);
	wt_expect_file(fd, OFF + LEN / 2, LEN / 2, 0);
	wt_expect_both(fd, END, LEN, 1);
	end();
}

static void reflink(void *arg)
{
	wt_check(!wt_clone(fd, 0, 0, *(int *)arg, 0), "clone: %s",
		 strerror(errno));
}

/* The clone has all of it; and keeps it when the next one comes. */
static void cloned(void)
{
	int clone = wt_open("clone", O_RDWR | O_TRUNC);

	beside("reflink", reflink, &clone);
	expect_range(3);
	wt_expect_both(clone, OFF, LEN, 3);
	wt_pattern(buf, LEN, OFF, 6);
	wt_check(wt_write(mode, fd, buf, LEN, OFF, RWF_ATOMIC) == LEN,
		 "over shared blocks");
	expect_range(6);
	wt_expect_both(clone, OFF, LEN, 3);
	close(clone);
	end();
}

static void read_direct(void *arg)
{
	int direct = wt_open("file", O_RDWR | O_DIRECT);
	char *other = wt_alloc(LEN);

	(void)arg;
	wt_sys(pread(direct, other, LEN, OFF));
	wt_expect_buf("direct read", other, LEN, OFF, 3);
}

static void write_direct(void *arg)
{
	int direct = wt_open("file", O_RDWR | O_DIRECT);
	char *other = wt_alloc(LEN);

	(void)arg;
	wt_pattern(other, wt_bsize, OFF + wt_bsize, 4);
	wt_sys(pwrite(direct, other, wt_bsize, OFF + wt_bsize));
}

/* The write comes while direct I/O is held, and waits for it. */
static void submit_behind(const char *what)
{
	int i;

	/* One by libaio waits in its submission. */
	req.mode = mode == WT_AIO ? WT_SYNC : mode;
	wt_check(!wt_submit(&req), "submission");
	for (i = 0; i < 15; i++) {
		wt_check(!wt_cache(fd, OFF, LEN).writeback,
			 "%s, %s: passes by direct I/O", wt_mode_name[mode],
			 what);
		wt_sleep_ms(10);
	}
}

static void write_nowait(void *arg)
{
	ssize_t ret = wt_write(WT_SYNC, fd, buf, LEN, OFF,
			       RWF_ATOMIC | RWF_NOWAIT);

	(void)arg;
	wt_check(ret == -EAGAIN, "NOWAIT, beside a direct write: %zd", ret);
}

/* Direct I/O comes second, and then first. */
static void beside_direct(void)
{
	struct iovec block = { wt_alloc(wt_bsize), wt_bsize };
	struct wt_request first = {
		.mode = WT_AIO, .iov = &block, .nr_iov = 1,
		.off = OFF + wt_bsize, .plain = true,
	};
	pid_t pid;

	beside("direct read", read_direct, NULL);
	expect_range(3);
	end();

	beside("direct write", write_direct, NULL);
	wt_expect_both(fd, OFF, wt_bsize, 3);
	wt_expect_both(fd, OFF + wt_bsize, wt_bsize, 4);
	wt_expect_both(fd, OFF + 2 * wt_bsize, LEN - 2 * wt_bsize, 3);
	end();

	/* Asynchronous: it does not hold the inode's lock while it is in flight. */
	begin();
	first.fd = wt_open("file", O_RDWR | O_DIRECT);
	wt_pattern(block.iov_base, wt_bsize, OFF + wt_bsize, 4);
	wt_dm_suspend(&dm);
	wt_check(!wt_submit(&first), "submission of a direct write");
	wt_check(!wt_done(&first, 150), "a direct write is not held");
	pid = wt_fork(write_nowait, NULL);
	wt_check(wt_exited(pid, 5000), "RWF_NOWAIT waits for a direct write");
	wt_join(pid);
	submit_behind("atomic");
	let_go();
	wt_check(wt_wait(&first) == (ssize_t)wt_bsize, "direct write: %zd",
		 first.res);
	close(first.fd);
	expect_range(3);
	end();
	munmap(block.iov_base, wt_bsize);
}

/*
 * Here the direct write is the atomic one, and a plain write-through comes: over
 * written blocks, which it would find in the file, and over a hole.
 */
static void staged_direct(bool hole)
{
	struct iovec all = { wt_alloc(LEN), LEN };
	struct wt_request first = {
		.mode = WT_AIO, .iov = &all, .nr_iov = 1, .off = OFF,
		.flags = RWF_ATOMIC, .plain = true,
	};
	ssize_t ret;

	begin();
	if (hole) {
		wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, OFF, LEN));
		wt_sys(fsync(fd));
	}
	first.fd = wt_open("file", O_RDWR | O_DIRECT);
	wt_pattern(all.iov_base, LEN, OFF, 4);
	wt_pattern(buf, wt_bsize, OFF + wt_bsize, 5);
	iov.iov_len = wt_bsize;
	req.off = OFF + wt_bsize;
	req.flags = 0;
	wt_dm_suspend(&dm);
	wt_check(!wt_submit(&first), "submission of an atomic direct write");
	wt_check(!wt_done(&first, 150), "an atomic direct write is not held");
	submit_behind(hole ? "into a hole" : "overwrite");
	wt_dm_resume(&dm);
	ret = wt_wait(&first);
	wt_check(ret == LEN, "atomic direct write: %zd", ret);
	ret = wt_wait(&req);
	wt_check(ret == (ssize_t)wt_bsize, "%s: %zd", wt_mode_name[mode], ret);
	close(first.fd);
	wt_expect_both(fd, OFF, wt_bsize, 4);
	wt_expect_both(fd, OFF + wt_bsize, wt_bsize, 5);
	wt_expect_both(fd, OFF + 2 * wt_bsize, LEN - 2 * wt_bsize, 4);
	end();
	munmap(all.iov_base, LEN);
}

struct source_write {
	const char	*data;
	off_t		off;
	size_t		len;
};

static void write_source(void *arg)
{
	struct source_write *write = arg;
	ssize_t ret = wt_write(WT_SYNC, fd, write->data, write->len, write->off,
			       0);

	wt_check(ret == (ssize_t)write->len, "write: %zd", ret);
}

/*
 * The plain write-through looks up all of its range at first, and puts what one
 * batch of folios takes under writeback. The next page of its source has to be
 * read, which is held.
 */
static void looked_up_before(void)
{
	/* in one extent with what is before it */
	const off_t lead = 128 * WT_KIB, at = 2 * OFF + lead, start = 2 * OFF;
	const size_t len = lead + LEN;
	int source = wt_open("source", O_RDWR | O_TRUNC);
	char *data = wt_alloc(len), *map;
	struct iovec all = { wt_alloc(LEN), LEN };
	struct wt_request first = {
		.mode = WT_AIO, .iov = &all, .nr_iov = 1, .off = at,
		.flags = RWF_ATOMIC, .plain = true,
	};
	struct source_write write = { .off = start, .len = len };
	ssize_t ret;
	pid_t pid;
	off_t i;

	begin();
	wt_check(wt_physical(fd, start, NULL) + lead ==
		 wt_physical(fd, at, NULL), "they are in two extents");
	wt_pattern(data, len, start, 5);
	wt_check(pwrite(source, data, len, 0) == (ssize_t)len, "source");
	wt_sys(fsync(source));
	wt_sys(posix_fadvise(source, 0, 0, POSIX_FADV_DONTNEED));
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, source, 0);
	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	wt_sys(madvise(map, len, MADV_RANDOM));
	for (i = 0; i < lead - wt_unit; i += wt_psize)
		(void)*(volatile char *)(map + i);
	wt_check(!wt_cache(source, lead - wt_unit, LEN).cached,
		 "the rest of the source has been read");

	write.data = map;
	first.fd = wt_open("file", O_RDWR | O_DIRECT);
	wt_pattern(all.iov_base, LEN, at, 4);
	wt_dm_suspend(&dm);
	pid = wt_fork(write_source, &write);
	for (i = 0; !wt_cache(fd, start, lead).writeback && i < 500; i++)
		wt_sleep_ms(10);
	wt_check(wt_cache(fd, start, lead).writeback, "not in flight");
	wt_check(!wt_exited(pid, 150) && !wt_cache(fd, at, LEN).writeback,
		 "its source is not waited for");
	wt_check(!wt_submit(&first), "submission of an atomic direct write");
	wt_check(!wt_done(&first, 150), "an atomic direct write is not held");
	wt_dm_resume(&dm);
	ret = wt_wait(&first);
	wt_check(ret == LEN, "atomic direct write: %zd", ret);
	wt_join(pid);
	close(first.fd);
	wt_expect_both(fd, END, start - END, 1);
	wt_expect_both(fd, start, len, 5);
	wt_expect_both(fd, at + LEN, FILE_SIZE - at - LEN, 1);
	end();
	munmap(map, len);
	munmap(data, len);
	munmap(all.iov_base, LEN);
	close(source);
}

static void sync_file(void *arg)
{
	(void)arg;
	wt_sys(fsync(fd));
}

/* What fsync has waited for is durable, with all that it takes to read it. */
static void synced(void)
{
	beside("fsync", sync_file, NULL);
	close(fd);
	wt_shutdown(false);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	expect_range(3);
	end();
}

/* Does not wait: it is in the cache, and stays there. */
static void passing_by(void)
{
	char *other = wt_alloc(LEN);

	begin();
	hold();
	wt_sys(pread(fd, other, LEN, OFF));
	wt_expect_buf("read", other, LEN, OFF, 3);
	/* Of pages only: for an inode it might wait for I/O. */
	wt_check(wt_put("/proc/sys/vm/drop_caches", "1"), "drop_caches");
	wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	wt_check(wt_cache(fd, OFF, LEN).writeback == LEN / wt_psize,
		 "reclaimed while in flight");
	wt_expect_file(fd, OFF, LEN, 3);
	let_go();
	wt_drop_caches();
	wt_check(!wt_cache(fd, OFF, LEN).cached, "still there");
	expect_range(3);
	end();
	munmap(other, LEN);
}

/* -------------------------------------------------------------- at a time */

static volatile int *stop;

static void writer(void *arg)
{
	uint64_t seed = *(int *)arg;
	char *data = wt_alloc(2 * LEN);
	int file = wt_open("file", O_RDWR);

	while (!*stop) {
		size_t len = wt_bsize << wt_random(&seed) % 4;
		off_t off = OFF + wt_random(&seed) % (LEN / len) * len;
		ssize_t ret;

		/* Half of them all of it: what the reader looks at */
		if (wt_random(&seed) % 2) {
			len = LEN;
			off = OFF + LEN;
		}
		wt_pattern(data, len, off, 1 + wt_random(&seed) % GENERATIONS);
		ret = wt_write(mode, file, data, len, off, RWF_ATOMIC);
		wt_check(ret == (ssize_t)len, "write: %zd", ret);
	}
}

/* All of what is always written at once is of one of them. */
static void reader(void *arg)
{
	char *data = wt_alloc(LEN), *want = wt_alloc(LEN);
	int file = wt_open("file", O_RDWR);
	unsigned int gen;

	(void)arg;
	while (!*stop) {
		wt_sys(pread(file, data, LEN, OFF + LEN));
		for (gen = 1; gen <= GENERATIONS; gen++) {
			wt_pattern(want, 8, OFF + LEN, gen);
			if (!memcmp(want, data, 8))
				break;
		}
		wt_expect_buf("read", data, LEN, OFF + LEN, gen);
	}
}

static void disturber(void *arg)
{
	uint64_t seed = *(int *)arg;
	int file = wt_open("file", O_RDWR);
	int direct = wt_open("file", O_RDWR | O_DIRECT);
	int clone = wt_open("clone", O_RDWR | O_TRUNC);
	char *data = wt_alloc(LEN);
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 file, 0);

	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	while (!*stop) {
		off_t off = OFF + wt_random(&seed) % (LEN / wt_unit) * wt_unit;
		unsigned int gen = 1 + wt_random(&seed) % GENERATIONS;

		switch (wt_random(&seed) % 9) {
		case 0:
			wt_plain_gen(file, off, wt_unit, gen);
			break;
		case 1:
			wt_pattern(map + off, wt_unit, off, gen);
			break;
		case 2:
			wt_pattern(data, wt_unit, off, gen);
			wt_sys(pwrite(direct, data, wt_unit, off));
			break;
		case 3:
			wt_sys(pread(direct, data, LEN, OFF));
			break;
		case 4:
			wt_sys(fallocate(file, FALLOC_FL_PUNCH_HOLE |
					 FALLOC_FL_KEEP_SIZE, off, wt_unit));
			break;
		case 5:
			wt_check(!wt_clone(file, 0, 0, clone, 0), "clone");
			break;
		case 6:
			wt_sys(fsync(file));
			break;
		case 7:
			wt_drop_caches();
			break;
		default:
			wt_sys(ftruncate(file, OFF + 2 * LEN));
			wt_sys(ftruncate(file, FILE_SIZE));
		}
	}
}

static void race(void)
{
	int seed[3] = { 21, 22, 23 };
	pid_t pid[4];
	unsigned int i;

	fd = wt_make_file("file", FILE_SIZE, 1);
	*stop = 0;
	pid[0] = wt_fork(writer, &seed[0]);
	pid[1] = wt_fork(writer, &seed[1]);
	pid[2] = wt_fork(disturber, &seed[2]);
	pid[3] = wt_fork(reader, NULL);
	wt_sleep_ms(4000);
	*stop = 1;
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		wt_join(pid[i]);
	wt_expect_words(fd, OFF, 2 * LEN, GENERATIONS, 0);
	wt_sys(fsync(fd));
	wt_expect_cache_is_disk(fd, OFF, 2 * LEN);
	close(fd);
}

/* Which method it is depends on the device. */
static void count_method(void)
{
	off_t before;

	begin();
	before = wt_physical(fd, OFF, NULL);
	wt_check(wt_write(mode, fd, buf, LEN, OFF, RWF_ATOMIC) == LEN, "write");
	if (wt_physical(fd, OFF, NULL) == before)
		stayed++;
	else
		moved++;
	close(fd);
}

static void on(const char *dev)
{
	wt_dev = dev;
	wt_raw = dev;
	unit_max = wt_queue_limit("atomic_write_unit_max_bytes");
	wt_on_dm(&dm);
	/* A timestamp that is due is no reason to refuse RWF_NOWAIT. */
	wt_setup(NULL, "lazytime");
	if (!buf)
		buf = wt_alloc(LEN);
	wt_for_each_mode(mode) {
		count_method();
		plain_write();
		overlapping();
		mapped();
		truncated();
		truncated_over_hole();
		punched();
		cloned();
		beside_direct();
		if (unit_max < LEN) {
			staged_direct(false);
			staged_direct(true);
			looked_up_before();
		}
		synced();
		passing_by();
		race();
	}
	wt_umount();
	wt_repair_check();
	wt_dm_remove(&dm);
}

int main(void)
{
	const char *plain;

	wt_start("atomic_beside", 440);
	wt_need_writethrough();
	stop = wt_shared(sizeof(*stop));
	plain = wt_dev;
	on(plain);
	wt_check(moved && !stayed, "%u of %u were written in place", stayed,
		 stayed + moved);
	if (wt_scsi_debug()) {
		on(wt_scsi_debug());
		wt_check(!stayed == (unit_max < LEN),
			 "none was written in place");
	} else {
		wt_note("note: no scsi_debug disk");
	}
	wt_note("note: %u in place, %u moved", stayed, moved);
	wt_finish();
}
