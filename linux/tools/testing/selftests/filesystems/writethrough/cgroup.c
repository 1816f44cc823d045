// SPDX-License-Identifier: GPL-2.0
/*
 * The writer's control group pays for a write-through, not that of whoever made
 * the file: it is charged with the bytes, its limit of bandwidth holds, and so
 * does its limit of memory, which nothing dirty stands in the way of.
 *
 * Mutant: 065-charged-to-the-inode
 * Mutant: 174-group-pinned
 * lab: --disk 600M --timeout 240
 */
#include "wt.h"
#include <sys/sysmacros.h>

#define ROOT		"/sys/fs/cgroup"
#define LEN		(64 * KIB)
#define FILE_SIZE	(4 * MIB)
#define BANDWIDTH	(2 * MIB)	/* a second */
#define MEMORY		(8 * MIB)
#define DEPTH		16

static dev_t dev;

static char *group_file(const char *group, const char *file)
{
	static char path[4][128];
	static unsigned int next;
	char *p = path[next++ % ARRAY_SIZE(path)];

	snprintf(p, sizeof(path[0]), ROOT "/%s/%s", group, file);
	return p;
}

static void make_group(const char *group)
{
	if (mkdir(group_file(group, ""), 0755) && errno != EEXIST)
		wt_fail("mkdir: %s", strerror(errno));
}

static void join_group(const char *group)
{
	wt_check(wt_put(group_file(group, "cgroup.procs"), "0"),
		 "cannot join %s: %s", group, strerror(errno));
}

static void set_up_groups(void)
{
	struct stat st;

	if (!wt_put(ROOT "/cgroup.subtree_control", "+memory +io"))
		wt_skip("no memory and io controllers: %s", strerror(errno));
	make_group("creator");
	make_group("writer");
	wt_sys(stat(wt_dev, &st));
	dev = st.st_rdev;
}

/* Bytes that a group has written to the device. */
static long long written_bytes(const char *group)
{
	FILE *f = fopen(group_file(group, "io.stat"), "re");
	long long value = 0;
	char line[512];

	wt_check(f, "io.stat: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *at = strstr(line, " wbytes=");
		unsigned int maj, min;

		if (at && sscanf(line, "%u:%u ", &maj, &min) == 2 &&
		    makedev(maj, min) == dev)
			value = atoll(at + 8);
	}
	fclose(f);
	return value;
}

static void limit_bandwidth(const char *value)
{
	wt_check(wt_put(group_file("writer", "io.max"), "%u:%u wbps=%s",
			major(dev), minor(dev), value),
		 "io.max: %s", strerror(errno));
}

/* The counters are folded in every two seconds. */
static void nothing_left(const char *group)
{
	static const char * const keys[] = { "file_dirty", "file_writeback" };
	const char *file = group_file(group, "memory.stat");
	unsigned int i, tries;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		for (tries = 0; wt_get(file, keys[i]) && tries < 50; tries++)
			wt_sleep_ms(100);
		wt_check(!wt_get(file, keys[i]), "%s: %s is %lld", group,
			 keys[i], wt_get(file, keys[i]));
	}
}

static enum wt_mode job_mode;
static unsigned int job_gen;

static void create(void *arg)
{
	(void)arg;
	join_group("creator");
	close(wt_make_file("file", FILE_SIZE, 1));
}

/* The whole file, several writes at a time if the interface does that. */
static void overwrite(void *arg)
{
	unsigned int depth = job_mode == WT_SYNC ? 1 : DEPTH, i;
	struct wt_request req[DEPTH];
	struct iovec iov[DEPTH];
	off_t pos;
	int fd;

	(void)arg;
	join_group("writer");
	fd = wt_open("file", 0);
	for (i = 0; i < depth; i++)
		iov[i] = (struct iovec) { wt_alloc(LEN), LEN };
	for (pos = 0; pos < FILE_SIZE; pos += depth * LEN) {
		for (i = 0; i < depth; i++) {
			off_t off = pos + i * LEN;

			wt_pattern(iov[i].iov_base, LEN, off, job_gen);
			if (job_mode == WT_SYNC) {
				wt_check(wt_write(WT_SYNC, fd, iov[i].iov_base,
						  LEN, off, 0) == LEN,
					 "write-through");
				continue;
			}
			req[i] = (struct wt_request) {
				.mode = job_mode, .fd = fd, .iov = &iov[i],
				.nr_iov = 1, .off = off,
			};
			wt_check(!wt_submit(&req[i]), "submission");
		}
		for (i = 0; job_mode != WT_SYNC && i < depth; i++)
			wt_check(wt_wait(&req[i]) == LEN, "write-through: %zd",
				 req[i].res);
	}
	close(fd);
}

static void run(void (*fn)(void *arg))
{
	wt_join(wt_fork(fn, NULL));
}

static void charged(enum wt_mode mode)
{
	long long writer = written_bytes("writer");
	long long creator = written_bytes("creator");
	int fd;

	job_mode = mode;
	job_gen = 10 + mode;
	run(overwrite);
	writer = written_bytes("writer") - writer;
	creator = written_bytes("creator") - creator;
	wt_check(writer >= FILE_SIZE && writer < FILE_SIZE + 256 * KIB,
		 "%ld bytes written, the writer pays for %lld", FILE_SIZE,
		 writer);
	wt_check(creator < 256 * KIB, "the creator pays for %lld", creator);
	nothing_left("writer");
	nothing_left("creator");
	fd = wt_open("file", 0);
	wt_expect_both(fd, 0, FILE_SIZE, job_gen);
	close(fd);
}

static void limited(enum wt_mode mode)
{
	long long least = FILE_SIZE * 1000 / BANDWIDTH, ms;
	char text[32];

	job_mode = mode;
	job_gen = 20 + mode;
	snprintf(text, sizeof(text), "%ld", BANDWIDTH);
	limit_bandwidth(text);
	ms = wt_now_ms();
	run(overwrite);
	ms = wt_now_ms() - ms;
	limit_bandwidth("max");
	wt_note("%s: %ld KiB in %lld ms, %lld by the limit",
		wt_mode_name[mode], FILE_SIZE / KIB, ms, least);
	/* A slice is 100 ms; of the first one not all is waited for. */
	wt_check(ms >= least * 9 / 10, "faster than the limit: %lld ms", ms);
}

/* Four times the memory that the group may have. */
static void fill(void *arg)
{
	const char *current = group_file("writer", "memory.current");
	void *buf = wt_alloc(LEN);
	off_t pos;
	int fd;

	(void)arg;
	join_group("writer");
	fd = wt_open("big", O_RDWR | O_TRUNC);
	for (pos = 0; pos < 4 * MEMORY; pos += LEN) {
		wt_pattern(buf, LEN, pos, job_gen);
		wt_check(wt_write(job_mode, fd, buf, LEN, pos, 0) == LEN,
			 "write-through at %lld", (long long)pos);
		wt_check(wt_get(current, NULL) <= MEMORY, "memory.current");
	}
	close(fd);
}

static void memory_limited(enum wt_mode mode)
{
	const char *events = group_file("writer", "memory.events");
	int fd;

	wt_check(wt_put(group_file("writer", "memory.max"), "%ld", MEMORY),
		 "memory.max: %s", strerror(errno));
	job_mode = mode;
	job_gen = 30 + mode;
	run(fill);
	wt_check(wt_get(events, "max") > 0, "the limit was never reached");
	wt_check(!wt_get(events, "oom") && !wt_get(events, "oom_kill"),
		 "out of memory");
	nothing_left("writer");
	wt_check(wt_put(group_file("writer", "memory.max"), "max"), "memory.max");
	fd = wt_open("big", 0);
	wt_expect_disk(fd, 0, 4 * MEMORY, job_gen);
	close(fd);
}

static void overwrite_as_gone(void *arg)
{
	int fd;

	(void)arg;
	join_group("gone");
	fd = wt_open("kept", O_RDWR);
	wt_write_gen(job_mode, fd, 0, LEN, 2);
	close(fd);
}

/*
 * Nothing but the file's inode in memory is left of what the group did: its pages
 * would keep the group, as would an inode that the flusher has yet to look at.
 */
static void group_gone(enum wt_mode mode)
{
	const char *stat = ROOT "/cgroup.stat";
	long long before;
	int tries, fd;

	job_mode = mode;
	close(wt_make_file("kept", FILE_SIZE, 1));
	wt_umount();
	wt_mount(NULL);
	before = wt_get(stat, "nr_dying_descendants");
	make_group("gone");
	run(overwrite_as_gone);
	fd = wt_open("kept", O_RDONLY);
	wt_sleep_ms(2500);
	wt_sys(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	wt_sys(rmdir(group_file("gone", "")));
	for (tries = 0; tries < 200; tries++) {
		if (wt_get(stat, "nr_dying_descendants") <= before)
			break;
		wt_sleep_ms(100);
	}
	wt_check(wt_get(stat, "nr_dying_descendants") <= before,
		 "a removed group stays as long as an inode");
	wt_expect_both(fd, 0, LEN, 2);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("cgroup", 200);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	set_up_groups();
	wt_check(wt_put("/proc/sys/vm/dirty_expire_centisecs", "100") &&
		 wt_put("/proc/sys/vm/dirty_writeback_centisecs", "50"),
		 "the flusher cannot be told to hurry");
	run(create);
	wt_for_each_mode(mode) {
		charged(mode);
		limited(mode);
		if (mode != WT_AIO)
			memory_limited(mode);
		group_gone(mode);
	}
	wt_finish();
}
