// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios and the size of the file: appends, user memory that ends half
 * way, truncate and punch in the middle of a large folio and of a write-through
 * that is in flight there; and the end of the file inside a large folio, as
 * file systems have it whose blocks are larger than a page.
 *
 * Mutant: 082-first-block-uptodate
 * only: x86_64
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"
#include <sys/stat.h>

#define HUGE		(2 * MIB)
#define FILE_SIZE	(2 * HUGE)

static void expect_size(int fd, off_t size)
{
	struct stat st;

	wt_sys(fstat(fd, &st));
	wt_check(st.st_size == size, "size %lld, not %lld",
		 (long long)st.st_size, (long long)size);
}

static void appends(enum wt_mode mode, size_t step)
{
	int fd = wt_open("file", O_RDWR | O_TRUNC);
	void *buf = wt_alloc(step);
	off_t pos;

	for (pos = 0; pos < MIB; pos += step) {
		wt_pattern(buf, step, pos, 2);
		wt_check(wt_write(mode, fd, buf, step, 0, RWF_APPEND) ==
			 (ssize_t)step, "append");
		expect_size(fd, pos + step);
		wt_expect_disk(fd, pos, step, 2);
	}
	/* The folios are as large as the appends, where these are aligned. */
	if (!(step & (step - 1)))
		wt_expect_folios(fd, 0, pos, step);
	wt_expect_clean(fd, 0, pos);
	wt_expect_both(fd, 0, pos, 2);
	munmap(buf, step);
	close(fd);
	wt_crash();
	fd = wt_open("file", 0);
	expect_size(fd, pos);
	wt_expect_file(fd, 0, pos, 2);
	close(fd);
}

/* @len bytes of which only @some are there; the file is cached, or not. */
static void efault(enum wt_mode mode, off_t off, size_t len, size_t some,
		   bool cold)
{
	size_t room = (some + wt_psize - 1) / wt_psize * wt_psize;
	char *mem = wt_alloc(room + wt_psize), *buf = mem + room - some;
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret;

	wt_sys(mprotect(mem + room, wt_psize, PROT_NONE));
	if (cold) {
		close(fd);
		wt_drop_caches();
		fd = wt_open("file", 0);
	} else {
		wt_expect_folios(fd, 0, FILE_SIZE, HUGE);
	}
	wt_pattern(buf, some, off, 2);
	ret = wt_write(mode, fd, buf, len, off, 0);
	/* Into a block that is not up to date all of it counts, or nothing. */
	wt_check(ret <= (ssize_t)some &&
		 ret >= (ssize_t)(cold ? some - wt_psize : some),
		 "%zu of %zu bytes are there: %zd", some, len, ret);
	wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
	wt_expect_both(fd, 0, off, 1);
	wt_expect_both(fd, off, ret, 2);
	wt_expect_both(fd, off + ret, FILE_SIZE - off - ret, 1);
	munmap(mem, room + wt_psize);
	close(fd);
}

/*
 * The beginning of a large folio is up to date, as the memory of an earlier write
 * has ended there. A part of another block does not count before that has been read.
 */
static void efault_again(enum wt_mode mode)
{
	size_t len = 64 * KIB, whole = 2 * wt_psize, part = 300;
	char *mem = wt_alloc(4 * wt_psize), *end = mem + 3 * wt_psize;
	int fd = wt_make_file("file", FILE_SIZE, 1);
	ssize_t ret;

	wt_sys(mprotect(end, wt_psize, PROT_NONE));
	close(fd);
	wt_drop_caches();
	fd = wt_open("file", 0);
	wt_check(!wt_cache(fd, HUGE, len).cached, "still cached");
	wt_pattern(end - whole - part, whole + part, HUGE, 2);
	ret = wt_write(mode, fd, end - whole - part, len, HUGE, 0);
	wt_check(ret == (ssize_t)(whole + part), "%zu bytes are there: %zd",
		 whole + part, ret);
	wt_expect_folios(fd, HUGE, len, len);
	wt_pattern(end - part, part, HUGE + len / 2, 3);
	ret = wt_write(mode, fd, end - part, len / 2, HUGE + len / 2, 0);
	wt_check(ret == (ssize_t)part, "%zu bytes are there: %zd", part, ret);
	wt_expect_both(fd, HUGE, whole + part, 2);
	wt_expect_both(fd, HUGE + whole + part, len / 2 - whole - part, 1);
	wt_expect_both(fd, HUGE + len / 2, part, 3);
	wt_expect_both(fd, HUGE + len / 2 + part,
		       FILE_SIZE - HUGE - len / 2 - part, 1);
	munmap(mem, 4 * wt_psize);
	close(fd);
}

static const off_t hole = HUGE + 64 * KIB + 4096;

static void do_truncate(void *arg)
{
	wt_sys(ftruncate(*(int *)arg, hole));
}

static void do_punch(void *arg)
{
	wt_sys(fallocate(*(int *)arg,
			 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole,
			 8192));
}

/* A part of a large folio is in flight when a part of that goes away. */
static void in_the_middle(struct wt_dm *dm, enum wt_mode mode, bool punch)
{
	off_t off = HUGE + 32 * KIB;
	size_t len = 128 * KIB;
	struct iovec iov = { wt_alloc(len), len };
	int fd = wt_make_file("file", FILE_SIZE, 1);
	struct wt_request req = {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1, .off = off,
	};
	off_t rest = punch ? hole + 8192 : hole;
	off_t end = punch ? FILE_SIZE : hole;
	pid_t pid;

	wt_expect_folios(fd, 0, FILE_SIZE, HUGE);
	wt_pattern(iov.iov_base, len, off, 2);
	wt_dm_suspend(dm);
	wt_check(!wt_submit(&req), "submission");
	wt_check(!wt_done(&req, 150), "did not wait for the device: %zd",
		 req.res);
	pid = wt_fork(punch ? do_punch : do_truncate, &fd);
	wt_check(!wt_exited(pid, 250), "%s did not wait",
		 punch ? "punch" : "truncate");
	wt_dm_resume(dm);
	wt_check(wt_wait(&req) == (ssize_t)len, "write-through: %zd", req.res);
	wt_join(pid);

	expect_size(fd, end);
	wt_expect_file(fd, 0, off, 1);
	wt_expect_file(fd, off, hole - off, 2);
	if (punch) {
		wt_expect_file(fd, hole, 8192, 0);
		wt_expect_file(fd, rest, off + len - rest, 2);
		wt_expect_file(fd, off + len, FILE_SIZE - off - len, 1);
	}
	wt_sys(fsync(fd));
	wt_expect_cache_is_disk(fd, 0, end);

	/* What is left of the folio takes more. */
	wt_write_gen(mode, fd, hole - 4096, 16 * KIB, 3);
	if (end < hole + 12 * KIB)
		end = hole + 12 * KIB;
	expect_size(fd, end);
	wt_expect_both(fd, hole - 4096, 16 * KIB, 3);
	wt_expect_both(fd, off, hole - 4096 - off, 2);
	wt_check(!wt_cache(fd, hole - 4096, 16 * KIB).dirty, "dirty pages");
	munmap(iov.iov_base, len);
	close(fd);
	wt_crash();
	fd = wt_open("file", 0);
	expect_size(fd, end);
	wt_expect_file(fd, hole - 4096, 16 * KIB, 3);
	wt_expect_file(fd, off, hole - 4096 - off, 2);
	close(fd);
}

/*
 * A block is several pages: the last one of a file is a large folio with the
 * end inside it. What a mapping has stored behind the end must not reach the
 * disk, in no page of it.
 */
static void large_blocks(enum wt_mode mode)
{
	off_t end = wt_bsize + 100, off = wt_bsize + 20;
	unsigned char *disk = wt_alloc(wt_bsize);
	char *map, *buf = wt_alloc(2 * wt_bsize);
	int fd = wt_make_file("file", end, 1);
	unsigned int i;

	wt_expect_folios(fd, 0, end, wt_bsize);
	map = mmap(NULL, wt_bsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   wt_bsize);
	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(map + 100, 0xee, wt_psize - 100);
	wt_write_gen(mode, fd, off, 40, 2);
	munmap(map, wt_bsize);
	wt_expect_both(fd, 0, off, 1);
	wt_expect_both(fd, off, 40, 2);
	wt_expect_both(fd, off + 40, end - off - 40, 1);
	/* a size that covers the block shows what is on the device behind it */
	close(fd);
	wt_crash();
	fd = wt_open("file", 0);
	expect_size(fd, end);
	wt_sys(ftruncate(fd, 2 * wt_bsize));
	wt_check(pread(fd, disk, wt_bsize, wt_bsize) == wt_bsize, "read");
	for (i = 100; i < wt_bsize && !disk[i]; i++)
		;
	wt_check(i == wt_bsize, "byte %u behind the end is 0x%02x", i, disk[i]);

	/* appends that begin and end inside a folio */
	wt_sys(ftruncate(fd, end));
	wt_pattern(buf, 2 * wt_bsize, end, 3);
	wt_check(wt_write(mode, fd, buf, 2 * wt_bsize, 0, RWF_APPEND) ==
		 2 * wt_bsize, "append");
	expect_size(fd, end + 2 * wt_bsize);
	wt_expect_clean(fd, end, 2 * wt_bsize);
	wt_expect_both(fd, end, 2 * wt_bsize, 3);
	wt_expect_both(fd, 0, off, 1);
	munmap(buf, 2 * wt_bsize);
	munmap(disk, wt_bsize);
	close(fd);
}

int main(void)
{
	struct wt_dm dm;
	enum wt_mode mode;
	int cold;

	wt_start("large_folio_size", 120);
	wt_need_writethrough();
	wt_need_large_folios();
	wt_on_dm(&dm);
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		appends(mode, 64 * KIB);
		appends(mode, 16 * KIB + 100);
		for (cold = 0; cold < 2; cold++) {
			efault(mode, HUGE, HUGE, MIB + 300, cold);
			efault(mode, HUGE - 8192, 64 * KIB, 40 * KIB + 300,
			       cold);
			efault(mode, HUGE + 100, MIB, 512 * KIB, cold);
		}
		if (wt_bsize == wt_psize)
			efault_again(mode);
		in_the_middle(&dm, mode, false);
		in_the_middle(&dm, mode, true);
	}
	if (!getenv("WT_MKFS")) {
		wt_umount();
		wt_mkfs("-b size=65536");
		wt_mount(NULL);
		wt_for_each_mode(mode)
			large_blocks(mode);
	}
	wt_finish();
}
