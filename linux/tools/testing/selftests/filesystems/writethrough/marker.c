// SPDX-License-Identifier: GPL-2.0
/*
 * Finding out. A kernel with the flag has the marker, which holds the flag's
 * value; one without it refuses the bit and writes nothing.
 *
 * Mutant: 026-wrong-marker
 * lab: --disk 600M
 */
#include "wt.h"

int main(void)
{
	char *buf;
	struct iovec iov;
	ssize_t ret;
	int fd;

	wt_start("marker", 30);
	wt_setup(NULL, NULL);
	buf = wt_alloc(wt_psize);
	iov = (struct iovec) { buf, wt_psize };
	wt_pattern(buf, wt_psize, 0, 2);
	fd = wt_make_file("file", 64 * KIB, 1);
	ret = pwritev2(fd, &iov, 1, 0, RWF_WRITETHROUGH);
	if (ret < 0)
		ret = -errno;
	if (access(WT_MARKER, F_OK)) {
		wt_check(ret == -EOPNOTSUPP,
			 "no marker, but the flag is taken: %zd", ret);
		wt_expect_both(fd, 0, 64 * KIB, 1);
		wt_check(!wt_cache(fd, 0, 64 * KIB).dirty, "dirty pages");
		wt_check(!getenv("WT_PATCHED"), "the marker is missing");
		wt_skip("no marker, and the flag is refused: as it should be");
	}
	wt_check(wt_get(WT_MARKER, NULL) == RWF_WRITETHROUGH,
		 "the marker holds %lld", wt_get(WT_MARKER, NULL));
	wt_check(access(WT_MARKER, W_OK) || !wt_put(WT_MARKER, "1"),
		 "the marker can be written to");
	wt_check(ret == (ssize_t)wt_psize, "the marker is there, but: %zd", ret);
	wt_expect_both(fd, 0, wt_psize, 2);
	/* The next bit is not ours and must stay refused. */
	ret = pwritev2(fd, &iov, 1, 0, RWF_WRITETHROUGH << 1);
	wt_check(ret == -1 && errno == EOPNOTSUPP, "unknown flag: %zd", ret);
	close(fd);
	wt_finish();
}
