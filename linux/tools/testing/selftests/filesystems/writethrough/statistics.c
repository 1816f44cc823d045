// SPDX-License-Identifier: GPL-2.0
/*
 * The counters of dirty pages and of pages under writeback are back where they
 * were after many operations of all kinds: none is leaked, none goes negative.
 *
 * Mutant: 033-dirty-count-leaked
 * lab: --disk 600M --timeout 180
 * blocks: 1024
 */
#include "wt.h"

#define FILE_SIZE	(1 * MIB)

static void settle(long long *dirty, long long *writeback)
{
	int fd = wt_sys(open(wt_mnt, O_RDONLY | O_CLOEXEC));

	wt_sys(syncfs(fd));
	close(fd);
	/* Folds in the per-CPU parts; refuses if a counter is negative. */
	wt_check(wt_put("/proc/sys/vm/stat_refresh", "1"),
		 "a counter of /proc/vmstat is negative");
	*dirty = wt_get("/proc/vmstat", "nr_dirty");
	*writeback = wt_get("/proc/vmstat", "nr_writeback");
}

static void bdi_idle(void)
{
	char path[128];
	struct stat st;

	wt_sys(stat(wt_mnt, &st));
	snprintf(path, sizeof(path), "/sys/kernel/debug/bdi/%u:%u/stats",
		 (unsigned int)(st.st_dev >> 8 & 0xfff),
		 (unsigned int)(st.st_dev & 0xff));
	if (access(path, R_OK)) {
		wt_note("note: no %s", path);
		return;
	}
	wt_check(wt_get(path, "BdiWriteback") == 0, "BdiWriteback: %lld kB",
		 wt_get(path, "BdiWriteback"));
	wt_check(wt_get(path, "b_dirty") <= 1 && wt_get(path, "b_io") == 0,
		 "inodes left on the device's lists");
}

int main(void)
{
	long long dirty[2], writeback[2];
	uint64_t seed = 7;
	enum wt_mode mode;
	int fd, i;

	wt_start("statistics", 150);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		settle(&dirty[0], &writeback[0]);
		fd = wt_make_file("file", FILE_SIZE, 1);
		for (i = 0; i < 4000; i++) {
			off_t off = wt_random(&seed) % (FILE_SIZE - 70000);
			size_t len = 1 + wt_random(&seed) % (i % 10 ? 9000 : 70000);

			switch (wt_random(&seed) % 12) {
			case 0:
				wt_plain_gen(fd, off, len, 1);
				break;
			case 1:
				wt_sys(ftruncate(fd, off));
				wt_sys(ftruncate(fd, FILE_SIZE));
				break;
			case 2:
				if (i % 5 == 0)
					wt_sys(fsync(fd));
				break;
			case 3:
				wt_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
						 FALLOC_FL_KEEP_SIZE, off, len));
				break;
			case 4:
				if (i % 20 == 0)
					wt_drop_caches();
				break;
			default:
				wt_write_gen(mode, fd, off, len, 2);
				break;
			}
		}
		wt_sys(fsync(fd));
		wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
		close(fd);
		settle(&dirty[1], &writeback[1]);
		wt_check(writeback[1] == 0 && writeback[0] == 0,
			 "nr_writeback %lld, was %lld", writeback[1],
			 writeback[0]);
		/* Other file systems of the machine may have a page or two. */
		wt_check(dirty[1] - dirty[0] < 8 && dirty[0] - dirty[1] < 8,
			 "nr_dirty %lld, was %lld", dirty[1], dirty[0]);
		bdi_idle();
	}
	wt_finish();
}
