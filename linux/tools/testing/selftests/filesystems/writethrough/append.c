// SPDX-License-Identifier: GPL-2.0
/*
 * Appending: O_APPEND and RWF_APPEND put the data at the end of the file,
 * wherever the offset points; RWF_NOAPPEND undoes O_APPEND.
 *
 * Mutant: 030-append-at-offset
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"

#define RECORD	1000
#define RECORDS	40

static int mode_arg;

/* Records of one process: none overwritten, none torn apart. */
static void appender(void *arg)
{
	unsigned char buf[RECORD];
	int fd = wt_open("shared", O_RDWR | O_APPEND), i;

	for (i = 0; i < RECORDS; i++) {
		memset(buf, *(int *)arg, sizeof(buf));
		wt_check(wt_write(mode_arg, fd, buf, RECORD, 0, 0) == RECORD,
			 "append");
	}
	close(fd);
}

int main(void)
{
	enum wt_mode mode;
	int fd, i;

	wt_start("append", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		char *buf = wt_alloc(5000);
		off_t pos = 10000;
		int id[4] = { 'a', 'b', 'c', 'd' }, seen[4] = { 0 };
		unsigned char *all;
		pid_t pid[4];

		/* By the file's flag, the call's flag, and back. */
		fd = wt_make_file("file", pos, 1);
		for (i = 0; i < 10; i++) {
			wt_pattern(buf, 5000, pos, 2);
			wt_check(wt_write(mode, fd, buf, 5000, 100, RWF_APPEND) ==
				 5000, "RWF_APPEND");
			pos += 5000;
		}
		close(fd);
		fd = wt_open("file", O_RDWR | O_APPEND);
		for (i = 0; i < 10; i++) {
			wt_pattern(buf, 5000, pos, 2);
			wt_check(wt_write(mode, fd, buf, 5000, 100, 0) == 5000,
				 "O_APPEND");
			pos += 5000;
		}
		wt_pattern(buf, 5000, 100, 3);
		wt_check(wt_write(mode, fd, buf, 5000, 100, RWF_NOAPPEND) == 5000,
			 "RWF_NOAPPEND");
		wt_check(lseek(fd, 0, SEEK_END) == pos, "size");
		wt_expect_both(fd, 0, 100, 1);
		wt_expect_both(fd, 100, 5000, 3);
		wt_expect_both(fd, 5100, 10000 - 5100, 1);
		wt_expect_both(fd, 10000, pos - 10000, 2);
		wt_expect_clean(fd, 0, pos);
		close(fd);
		wt_crash();
		fd = wt_open("file", O_RDWR);
		wt_expect_both(fd, 10000, pos - 10000, 2);
		close(fd);

		/* Four processes on one file. */
		fd = wt_open("shared", O_RDWR | O_TRUNC);
		mode_arg = mode;
		for (i = 0; i < 4; i++)
			pid[i] = wt_fork(appender, &id[i]);
		for (i = 0; i < 4; i++)
			wt_join(pid[i]);
		all = wt_alloc(4 * RECORDS * RECORD + 1);
		wt_check(pread(fd, all, 4 * RECORDS * RECORD + 1, 0) ==
			 4 * RECORDS * RECORD, "records are missing");
		for (i = 0; i < 4 * RECORDS; i++) {
			unsigned char *r = all + i * RECORD;

			wt_check(r[0] >= 'a' && r[0] <= 'd', "record %d: 0x%x", i,
				 r[0]);
			wt_check(!memcmp(r, r + 1, RECORD - 1),
				 "record %d is mixed", i);
			seen[r[0] - 'a']++;
		}
		for (i = 0; i < 4; i++)
			wt_check(seen[i] == RECORDS, "%d records of %c", seen[i],
				 id[i]);
		wt_expect_cache_is_disk(fd, 0, 4 * RECORDS * RECORD);
		wt_expect_clean(fd, 0, 4 * RECORDS * RECORD);
		close(fd);
	}
	wt_finish();
}
