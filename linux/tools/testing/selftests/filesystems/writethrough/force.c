// SPDX-License-Identifier: GPL-2.0
/*
 * XFS's debugging switch makes every buffered write a write-through, whatever asks
 * for it: on the device, clean and cached when the call returns. A store through a
 * mapping is no write. Off, nothing has changed. It says how it is set, and refuses
 * what is neither on nor off.
 *
 * Mutant: 114-switch-not-looked-at
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define SWITCH		"/sys/fs/xfs/debug/writethrough"
#define FILE_SIZE	(256 * KIB)

static enum wt_mode mode;

static void turn(const char *how)
{
	wt_check(wt_put(SWITCH, "%s", how), "the switch: %s", strerror(errno));
}

static void off_at_exit(void)
{
	wt_put(SWITCH, "0");
}

static void plain_write(int fd, off_t off, size_t len, unsigned int gen)
{
	struct iovec iov = { wt_alloc(len), len };
	struct wt_request req = {
		.mode = mode, .fd = fd, .iov = &iov, .nr_iov = 1, .off = off,
		.plain = true,
	};

	wt_pattern(iov.iov_base, len, off, gen);
	wt_check(!wt_submit(&req), "submission");
	wt_check(wt_wait(&req) == (ssize_t)len, "%s: plain write of %lld+%zu: %zd",
		 wt_mode_name[mode], (long long)off, len, req.res);
	munmap(iov.iov_base, len);
}

static void expect_off(int fd)
{
	plain_write(fd, 0, 8192, 3);
	wt_check(wt_cache(fd, 0, 8192).dirty == 8192 / wt_psize,
		 "%s: the switch is off, but a plain write is clean",
		 wt_mode_name[mode]);
	wt_expect_file(fd, 0, 8192, 3);
	wt_sys(fsync(fd));
}

static void written_through(int fd, off_t off, size_t len)
{
	plain_write(fd, off, len, 2);
	wt_expect_both(fd, off, len, 2);
	wt_expect_clean(fd, off, len);
}

static void one(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);
	char *map;

	expect_off(fd);
	turn("1");
	wt_check(wt_get(SWITCH, NULL) == 1, "the switch is on, and says %lld",
		 wt_get(SWITCH, NULL));
	written_through(fd, 64 * KIB, 64 * KIB);
	written_through(fd, 16 * KIB + 100, 5000);
	written_through(fd, FILE_SIZE, 10000);
	wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 128 * KIB, 64 * KIB));
	written_through(fd, 144 * KIB, 4096);

	map = mmap(NULL, wt_psize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	wt_check(map != MAP_FAILED, "mmap: %s", strerror(errno));
	map[0] = 1;
	wt_check(wt_cache(fd, 0, wt_psize).dirty == 1, "a store is a write");
	wt_sys(munmap(map, wt_psize));
	wt_sys(fsync(fd));

	wt_check(!wt_put(SWITCH, "perhaps"), "the switch takes anything");
	wt_check(wt_get(SWITCH, NULL) == 1, "the switch has changed");
	turn("0");
	wt_check(!wt_get(SWITCH, NULL), "the switch is off, and says %lld",
		 wt_get(SWITCH, NULL));
	expect_off(fd);
	close(fd);
}

int main(void)
{
	wt_start("force", 60);
	wt_need_writethrough();
	if (getenv("WT_EMULATE"))
		wt_skip("this is not about the flag");
	if (access(SWITCH, W_OK))
		wt_skip("this kernel has no such switch");
	atexit(off_at_exit);
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode)
		one();
	wt_finish();
}
