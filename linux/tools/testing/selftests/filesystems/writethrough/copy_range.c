// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that carry no flag take data from, and put data into, a file that is
 * written through: copy_file_range, sendfile, splice. They stay plain: what
 * they write is dirty until somebody writes it back.
 *
 * Mutant: 045-routed-without-flag
 * lab: --disk 600M
 */
#include "wt.h"
#include <sys/sendfile.h>

#define FILE_SIZE	(256 * KIB)

int main(void)
{
	enum wt_mode mode;

	wt_start("copy_range", 30);
	wt_need_writethrough();
	wt_setup("-m reflink=0", NULL);
	wt_for_each_mode(mode) {
		int from = wt_open("from", O_RDWR | O_TRUNC), to, pipes[2];
		loff_t in = 0, out = 0;
		off_t pos = 64 * KIB;

		wt_write_gen(mode, from, 0, FILE_SIZE, 2);
		to = wt_make_file("to", FILE_SIZE, 1);
		wt_write_gen(mode, to, 0, FILE_SIZE, 1);
		wt_check(copy_file_range(from, &in, to, &out, 64 * KIB, 0) ==
			 64 * KIB, "copy_file_range: %s", strerror(errno));
		wt_sys(lseek(to, 64 * KIB, SEEK_SET));
		wt_check(sendfile(to, from, &pos, 64 * KIB) == 64 * KIB,
			 "sendfile: %s", strerror(errno));
		wt_sys(pipe(pipes));
		out = 128 * KIB;
		in = out;
		wt_check(splice(from, &in, pipes[1], NULL, 32 * KIB, 0) ==
			 32 * KIB, "splice: %s", strerror(errno));
		wt_check(splice(pipes[0], NULL, to, &out, 32 * KIB, 0) ==
			 32 * KIB, "splice: %s", strerror(errno));
		close(pipes[0]);
		close(pipes[1]);
		wt_expect_file(to, 0, 160 * KIB, 2);
		wt_expect_file(to, 160 * KIB, FILE_SIZE - 160 * KIB, 1);
		wt_expect_disk(to, 0, FILE_SIZE, 1);
		wt_check(wt_cache(to, 0, FILE_SIZE).dirty >=
			 160 * KIB / wt_psize, "not plain writes");
		wt_expect_clean(from, 0, FILE_SIZE);
		wt_sys(fsync(to));
		wt_expect_disk(to, 0, 160 * KIB, 2);
		close(from);
		close(to);
	}
	wt_finish();
}
