// SPDX-License-Identifier: GPL-2.0
/*
 * Several blocks of one folio are on their way to the device together, each
 * block once. What else modifies the folio waits for all of them. An I/O that
 * fails concerns its blocks and its caller, and nobody else's.
 *
 * Mutant: 140-nobody-joins
 * Mutant: 141-in-flight-not-looked-at
 * Mutant: 147-clean-but-tagged
 * lab: --disk 600M
 */
#include "wt.h"
#include <sys/sysmacros.h>

#define TRACING		"/sys/kernel/tracing"
#define FILE_SIZE	(64 * KIB)
#define FOLIO		(16 * KIB)	/* one begins here */
#define BLOCK		1024
#define NR		3		/* blocks in flight; the fourth is not */

static struct wt_dm dm;
static unsigned int dev_major, dev_minor;

static void watch(void)
{
	int fd = open(TRACING "/trace", O_WRONLY | O_TRUNC);

	wt_check(fd >= 0, "cannot clear the trace");
	close(fd);
	wt_check(wt_put(TRACING "/events/block/block_bio_queue/enable", "1"),
		 "no block_bio_queue event");
}

/* Writes of data that have been submitted to the mapped device since. */
static unsigned int submitted(void)
{
	static const char event[] = "block_bio_queue: ";
	unsigned int major, minor, nr = 0;
	char line[512], op[16];
	FILE *f = fopen(TRACING "/trace", "r");

	wt_check(f, "no trace");
	while (fgets(line, sizeof(line), f)) {
		char *at = strstr(line, event);

		if (at && sscanf(at + strlen(event), "%u,%u %15s", &major,
				 &minor, op) == 3 && major == dev_major &&
		    minor == dev_minor && strchr(op, 'W') && !strchr(op, 'M'))
			nr++;
	}
	fclose(f);
	return nr;
}

static void expect_submitted(enum wt_mode mode, unsigned int want)
{
	long long end = wt_now_ms() + 15000;

	while (submitted() < want && wt_now_ms() < end)
		wt_sleep_ms(20);
	wt_check(submitted() == want, "%s: %u of %u I/Os at a time",
		 wt_mode_name[mode], submitted(), want);
}

struct job {
	enum wt_mode	mode;
	int		fd;
	unsigned int	block;
	unsigned int	gen;
	ssize_t		ret;		/* what is expected */
};

static off_t at(unsigned int block)
{
	return FOLIO + block * BLOCK;
}

static void do_write(void *arg)
{
	struct job *j = arg;
	char *buf = wt_alloc(BLOCK);
	ssize_t ret;

	wt_pattern(buf, BLOCK, at(j->block), j->gen);
	ret = wt_write(j->mode, j->fd, buf, BLOCK, at(j->block), 0);
	wt_check(ret == j->ret, "%s, block %u: %zd", wt_mode_name[j->mode],
		 j->block, ret);
}

static void do_plain(void *arg)
{
	struct job *j = arg;

	wt_plain_gen(j->fd, at(j->block), BLOCK, j->gen);
}

static void do_fsync(void *arg)
{
	struct job *j = arg;

	wt_sys(fsync(j->fd));
}

static void do_truncate(void *arg)
{
	struct job *j = arg;

	wt_sys(ftruncate(j->fd, at(j->block)));
}

/*
 * The blocks before the fourth, each by a process of its own, in order: whoever
 * appends beyond the end waits for what is in flight before it, to zero it.
 */
static void start(enum wt_mode mode, int fd, struct job *jobs, pid_t *pids)
{
	unsigned int i;

	watch();
	for (i = 0; i < NR; i++) {
		jobs[i] = (struct job) { mode, fd, i, 2, BLOCK };
		pids[i] = wt_fork(do_write, &jobs[i]);
		expect_submitted(mode, i + 1);
	}
}

static void end(pid_t *pids)
{
	unsigned int i;

	wt_dm_resume(&dm);
	for (i = 0; i < NR; i++)
		wt_join(pids[i]);
	wt_put(TRACING "/events/block/block_bio_queue/enable", "0");
}

static int file(void)
{
	int fd = wt_make_file("file", FILE_SIZE, 1);

	wt_check(wt_folio(fd, FOLIO, NULL) > BLOCK, "the folio is one block");
	return fd;
}

static void each_block_once(enum wt_mode mode)
{
	int fd = file();
	struct job jobs[NR], again = { mode, fd, 0, 3, BLOCK };
	pid_t pids[NR], pid;

	wt_dm_suspend(&dm);
	start(mode, fd, jobs, pids);
	pid = wt_fork(do_write, &again);
	wt_check(!wt_exited(pid, 250), "a block in flight was not waited for");
	wt_check(submitted() == NR, "one block is in flight twice");
	end(pids);
	wt_join(pid);
	wt_expect_both(fd, at(0), BLOCK, 3);
	wt_expect_both(fd, at(1), (NR - 1) * BLOCK, 2);
	wt_expect_both(fd, at(NR), FILE_SIZE - at(NR), 1);
	wt_expect_clean(fd, 0, FILE_SIZE);
	close(fd);
}

static void others_wait(enum wt_mode mode, void (*fn)(void *arg),
			const char *what, unsigned int gen)
{
	int fd = file();
	struct job jobs[NR], other = { mode, fd, NR, 3, BLOCK };
	pid_t pids[NR], pid;

	wt_dm_suspend(&dm);
	start(mode, fd, jobs, pids);
	pid = wt_fork(fn, &other);
	wt_check(!wt_exited(pid, 250), "%s does not wait", what);
	end(pids);
	wt_join(pid);
	wt_sys(fdatasync(fd));
	wt_expect_both(fd, at(0), NR * BLOCK, 2);
	if (gen)
		wt_expect_both(fd, at(NR), BLOCK, gen);
	close(fd);
}

/* Not on every kernel can an error be injected. */
static bool can_inject(void)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/block/%s/error_injection",
		 strrchr(wt_raw, '/') + 1);
	return !access(path, W_OK);
}

static void one_fails(enum wt_mode mode)
{
	int fd = file(), i;
	struct job jobs[NR];
	pid_t pids[NR];
	off_t disk = wt_physical(fd, at(1), NULL);

	wt_dm_suspend(&dm);
	watch();
	for (i = 0; i < NR; i++) {
		jobs[i] = (struct job) { mode, fd, i, 2, i == 1 ? -EIO : BLOCK };
		pids[i] = wt_fork(do_write, &jobs[i]);
	}
	expect_submitted(mode, NR);
	wt_inject(wt_raw, "WRITE", disk >> 9, BLOCK >> 9, "IOERR");
	end(pids);
	wt_inject_clear(wt_raw);

	wt_expect_file(fd, at(0), NR * BLOCK, 2);
	wt_expect_disk(fd, at(0), BLOCK, 2);
	wt_expect_disk(fd, at(1), BLOCK, 1);
	wt_expect_disk(fd, at(2), BLOCK, 2);
	wt_expect_clean(fd, 0, FILE_SIZE);
	wt_check(fsync(fd) == -1 && errno == EIO, "fsync does not tell");

	/* The block can be written again, and again. */
	wt_write_gen(mode, fd, at(1), BLOCK, 3);
	wt_write_gen(mode, fd, at(1), BLOCK, 4);
	wt_expect_both(fd, at(1), BLOCK, 4);
	close(fd);
}

/* The last block that was dirty is among them. */
static void none_stays_dirty(enum wt_mode mode)
{
	int fd = file();
	struct job jobs[NR];
	pid_t pids[NR];

	wt_plain_gen(fd, at(1), BLOCK, 3);
	wt_dm_suspend(&dm);
	start(mode, fd, jobs, pids);
	end(pids);
	wt_expect_both(fd, at(0), NR * BLOCK, 2);
	wt_expect_clean(fd, 0, FILE_SIZE);
	wt_sys(fsync(fd));
	close(fd);
}

/* Blocks of which nothing is allocated yet, and a size that grows. */
static void appends(enum wt_mode mode)
{
	int fd = wt_make_file("file", FOLIO, 1);
	struct job jobs[NR];
	pid_t pids[NR];

	wt_sys(fsync(fd));
	wt_dm_suspend(&dm);
	start(mode, fd, jobs, pids);
	end(pids);
	wt_expect_both(fd, 0, FOLIO, 1);
	wt_expect_both(fd, FOLIO, NR * BLOCK, 2);
	wt_expect_clean(fd, 0, FOLIO + NR * BLOCK);
	wt_sys(fdatasync(fd));
	close(fd);
	wt_crash();
	fd = wt_open("file", O_RDWR);
	wt_expect_both(fd, FOLIO, NR * BLOCK, 2);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;
	struct stat st;

	wt_start("joined", 150);
	wt_need_writethrough();
	wt_on_dm(&dm);
	wt_sys(stat(dm.path, &st));
	dev_major = major(st.st_rdev);
	dev_minor = minor(st.st_rdev);
	wt_setup("-b size=1024", NULL);
	wt_flusher_off();
	wt_for_each_mode(mode) {
		each_block_once(mode);
		others_wait(mode, do_plain, "a plain write", 3);
		others_wait(mode, do_truncate, "truncate", 0);
		others_wait(mode, do_fsync, "fsync", 1);
		if (can_inject())
			one_fails(mode);
		else
			wt_note("note: no error injection");
		none_stays_dirty(mode);
		appends(mode);
	}
	wt_finish();
}
