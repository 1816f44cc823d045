// SPDX-License-Identifier: GPL-2.0
/*
 * A quota ends half way: a short count, then the quota's error alone (EDQUOT
 * for a user's, ENOSPC for a project's, as XFS has it).
 *
 * Mutant: 019-short-count-lost
 * lab: --disk 600M
 */
#include "wt.h"

#define ID	1000
#define LIMIT	(9 * MIB)
#define ATOMIC	(64 * KIB)

static void one(enum wt_mode mode, const char *name, int error)
{
	size_t len = 16 * MIB;
	char *buf = wt_alloc(len);
	int fd = wt_open(name, O_RDWR | O_TRUNC);
	off_t pos = 0;
	ssize_t ret;
	int calls = 0;

	wt_sys(fchown(fd, error == EDQUOT ? ID : 0, 0));
	if (error == ENOSPC)
		wt_check(!wt_set_xattr(fd, 0, 0, 0, ID), "project id");
	while (len >= wt_bsize) {
		wt_pattern(buf, len, pos, 2);
		ret = wt_write(mode, fd, buf, len, pos, 0);
		if (!calls++)
			wt_check(ret > 0 && ret < (ssize_t)len,
				 "16 MiB where 9 MiB are allowed: %zd", ret);
		if (ret == -error) {
			len /= 2;
			continue;
		}
		wt_check(ret > 0, "over quota: %zd, expected %d", ret, -error);
		pos += ret;
		wt_check(calls < 2000 && pos <= LIMIT,
			 "%lld bytes where %ld are allowed", (long long)pos,
			 LIMIT);
	}
	wt_note("%s, %s: %lld bytes in %d calls", wt_mode_name[mode], name,
		(long long)pos, calls);
	wt_check(pos >= LIMIT - MIB, "only %lld bytes fitted", (long long)pos);
	wt_check(!wt_cache(fd, 0, LIMIT).dirty, "dirty pages");
	wt_expect_both(fd, 0, pos, 2);
	wt_write_gen(mode, fd, 0, pos, 3);
	wt_expect_both(fd, 0, pos, 3);
	/* Atomically it takes as much again, until it is done. */
	wt_pattern(buf, ATOMIC, 0, 4);
	ret = wt_write(mode, fd, buf, ATOMIC, 0, RWF_ATOMIC);
	wt_check(ret == -error, "atomic: %zd, expected %d", ret, -error);
	wt_expect_both(fd, 0, pos, 3);
	close(fd);
	wt_sys(unlink(wt_path(name)));
	munmap(buf, 16 * MIB);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("edquot", 60);
	wt_need_writethrough();
	wt_setup(NULL, "uquota,pquota");
	wt_for_each_mode(mode) {
		wt_check(!wt_quota_limit(WT_QUOTA_USER, ID, LIMIT), "limit: %s",
			 strerror(errno));
		wt_check(!wt_quota_limit(WT_QUOTA_PROJECT, ID, LIMIT),
			 "limit: %s", strerror(errno));
		one(mode, "user", EDQUOT);
		one(mode, "project", ENOSPC);
	}
	wt_finish();
}
