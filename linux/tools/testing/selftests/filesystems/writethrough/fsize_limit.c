// SPDX-License-Identifier: GPL-2.0
/*
 * RLIMIT_FSIZE half way: a short count of what was written through; then EFBIG
 * and SIGXFSZ, nothing written.
 *
 * Mutant: 028-limit-ignored
 * lab: --disk 600M
 */
#include "wt.h"
#include <signal.h>
#include <sys/resource.h>

static volatile int signals;

static void count(int sig)
{
	(void)sig;
	signals++;
}

int main(void)
{
	struct rlimit limit = { 10000, RLIM_INFINITY };
	enum wt_mode mode;
	struct stat st;
	char *buf;
	int fd;

	wt_start("fsize_limit", 30);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	signal(SIGXFSZ, count);
	buf = wt_alloc(8192);
	wt_for_each_mode(mode) {
		ssize_t ret;

		limit.rlim_cur = RLIM_INFINITY;
		wt_sys(setrlimit(RLIMIT_FSIZE, &limit));
		fd = wt_make_file("file", 4096, 1);
		limit.rlim_cur = 10000;
		wt_sys(setrlimit(RLIMIT_FSIZE, &limit));
		signals = 0;
		wt_pattern(buf, 8192, 4096, 2);
		ret = wt_write(mode, fd, buf, 8192, 4096, 0);
		wt_check(ret == 10000 - 4096, "%s: %zd bytes up to the limit",
			 wt_mode_name[mode], ret);
		wt_expect_both(fd, 0, 4096, 1);
		wt_expect_both(fd, 4096, 10000 - 4096, 2);
		wt_expect_clean(fd, 0, 10000);
		wt_check(!signals, "a signal for a short write");

		ret = wt_write(mode, fd, buf, 8192, 10000, 0);
		wt_check(ret == -EFBIG, "%s: at the limit: %zd",
			 wt_mode_name[mode], ret);
		wt_check(signals == 1 || mode != WT_SYNC, "%d signals", signals);
		wt_sys(fstat(fd, &st));
		wt_check(st.st_size == 10000, "size %lld",
			 (long long)st.st_size);

		/* Inside the limit it goes on. */
		wt_write_gen(mode, fd, 100, 5000, 3);
		wt_expect_both(fd, 100, 5000, 3);
		close(fd);
	}
	limit.rlim_cur = RLIM_INFINITY;
	wt_sys(setrlimit(RLIMIT_FSIZE, &limit));
	wt_finish();
}
