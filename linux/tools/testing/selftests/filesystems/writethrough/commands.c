// SPDX-License-Identifier: GPL-2.0
/*
 * What the device is told. A durable overwrite is one FUA write where there is
 * FUA, one write and one flush where there is only a cache, one write where
 * there is neither; the log is not forced for any. What is not durable by its
 * data alone, because its blocks, its size or an earlier change of either are
 * not yet, takes a log force.
 *
 * Mutant: 120-fua-for-all
 * Mutant: 121-fua-without-datasync
 * Mutant: 122-fua-without-disk-size
 * Mutant: 123-fua-not-asked-for
 * lab: --disk 600M --scsi-debug dev_size_mb=320
 */
#include "wt.h"
#include <sys/sysmacros.h>

#define TRACING		"/sys/kernel/tracing"
#define FILE_SIZE	(256 * KIB)

enum device { FUA, CACHE, NO_CACHE, NR_DEVICES };

static const char * const device_name[] = {
	"FUA", "cache, no FUA", "no cache",
};

/* Commands since watch(). */
struct commands {
	unsigned int	writes;		/* data, not FUA */
	unsigned int	fua;		/* data, FUA */
	unsigned int	flushes;
	unsigned int	log;		/* writes of metadata */
};

static enum device device;
static enum wt_mode mode;
static unsigned int dev_major, dev_minor;

static void watch(void)
{
	int fd = open(TRACING "/trace", O_WRONLY | O_TRUNC);

	wt_check(fd >= 0, "cannot clear the trace");
	close(fd);
	wt_check(wt_put(TRACING "/events/block/block_rq_issue/enable", "1"),
		 "no block_rq_issue event");
}

static struct commands seen(void)
{
	static const char event[] = "block_rq_issue: ";
	unsigned int major, minor;
	struct commands c = { };
	char line[512], op[16];
	FILE *f;

	wt_check(wt_put(TRACING "/events/block/block_rq_issue/enable", "0"),
		 "cannot end the trace");
	f = fopen(TRACING "/trace", "r");
	wt_check(f, "no trace");
	while (fgets(line, sizeof(line), f)) {
		char *at = strstr(line, event);

		if (!at || sscanf(at + strlen(event), "%u,%u %15s", &major,
				  &minor, op) != 3 ||
		    major != dev_major || minor != dev_minor)
			continue;
		if (!strncmp(op, "FF", 2))
			c.flushes++;
		else if (strchr(op, 'W') && strchr(op, 'M'))
			c.log++;
		else if (strchr(op, 'W') && strchr(op, 'F'))
			c.fua++;
		else if (strchr(op, 'W'))
			c.writes++;
	}
	fclose(f);
	return c;
}

static void expect(const char *what, struct commands got, unsigned int writes,
		   unsigned int fua, unsigned int flushes)
{
	wt_check(got.writes == writes && got.fua == fua &&
		 got.flushes == flushes && !got.log,
		 "%s, %s, %s: %u writes, %u FUA, %u flushes, %u to the log",
		 device_name[device], wt_mode_name[mode], what, got.writes,
		 got.fua, got.flushes, got.log);
}

/* Not durable by the data alone: the log is written, after the data. */
static void expect_log(const char *what, struct commands got)
{
	wt_check(got.log && got.writes + got.fua &&
		 (device == NO_CACHE || got.flushes),
		 "%s, %s, %s: %u writes, %u FUA, %u flushes, %u to the log",
		 device_name[device], wt_mode_name[mode], what, got.writes,
		 got.fua, got.flushes, got.log);
}

static struct commands write_counted(int fd, off_t off, size_t len, int flags)
{
	char *buf = wt_alloc(len);
	struct commands c;
	ssize_t ret;

	wt_pattern(buf, len, off, 2);
	watch();
	ret = wt_write(mode, fd, buf, len, off, flags);
	c = seen();
	wt_check(ret == (ssize_t)len, "%s: %zd", wt_mode_name[mode], ret);
	wt_expect_both(fd, off, len, 2);
	munmap(buf, len);
	return c;
}

/* Allocated, and all of it durable. */
static int durable_file(off_t size)
{
	int fd = wt_make_file("file", size, 1);

	wt_sys(fsync(fd));
	wt_sys(syncfs(fd));
	return fd;
}

/* A durable overwrite of one extent. */
static void expect_durable(const char *what, struct commands got)
{
	switch (device) {
	case FUA:
		return expect(what, got, 0, 1, 0);
	case CACHE:
		return expect(what, got, 1, 0, 1);
	default:
		return expect(what, got, 1, 0, 0);
	}
}

static void overwrites(void)
{
	int fd = durable_file(FILE_SIZE), dsync;
	struct commands got;

	expect("plain", write_counted(fd, 0, 4096, 0), 1, 0, 0);
	expect_durable("DSYNC", write_counted(fd, 8192, 4096, RWF_DSYNC));
	expect_durable("DSYNC, 64 KiB",
		       write_counted(fd, 64 * KIB, 64 * KIB, RWF_DSYNC));
	expect_durable("DSYNC, part of a block",
		       write_counted(fd, 16384, 512, RWF_DSYNC));
	expect_durable("DSYNC, across blocks",
		       write_counted(fd, 20480 + 100, 5000, RWF_DSYNC));

	dsync = wt_open("file", O_RDWR | O_DSYNC);
	expect_durable("O_DSYNC", write_counted(dsync, 4096, 4096, 0));
	close(dsync);

	/* More than the data: timestamps. */
	got = write_counted(fd, 0, 4096, RWF_SYNC);
	wt_check(!got.fua && got.writes == 1, "SYNC relies on FUA");
	wt_check(device == NO_CACHE || got.flushes, "SYNC: no flush");
	close(fd);
}

static void not_by_the_data_alone(void)
{
	char byte = 0;
	int fd;

	fd = durable_file(FILE_SIZE);
	expect_log("append", write_counted(fd, FILE_SIZE, 4096, RWF_DSYNC));
	expect_log("append inside the block",
		   write_counted(fd, FILE_SIZE + 4096, 100, RWF_DSYNC));
	expect_log("append behind it", write_counted(fd, FILE_SIZE + 4196, 100,
						     RWF_DSYNC));

	/* All there, but nobody has made it durable. */
	wt_write_gen(mode, fd, FILE_SIZE + 8192, 8192, 3);
	expect_log("blocks that are not durable",
		   write_counted(fd, FILE_SIZE + 8192, 4096, RWF_DSYNC));
	expect_durable("blocks that have become durable",
		       write_counted(fd, FILE_SIZE + 8192, 4096, RWF_DSYNC));

	/* In the EOF block, an append in memory only. */
	wt_sys(ftruncate(fd, 100 * KIB + 1000));
	wt_sys(fsync(fd));
	wt_sys(pwrite(fd, &byte, 1, 104 * KIB - 1));
	expect_log("a size that is not durable",
		   write_counted(fd, 100 * KIB, 4096, RWF_DSYNC));

	wt_sys(ftruncate(fd, 0));
	wt_sys(fallocate(fd, 0, 0, FILE_SIZE));
	wt_sys(fsync(fd));
	expect_log("unwritten", write_counted(fd, 8192, 4096, RWF_DSYNC));
	expect_durable("not unwritten any more",
		       write_counted(fd, 8192, 4096, RWF_DSYNC));

	wt_sys(ftruncate(fd, 0));
	wt_sys(ftruncate(fd, FILE_SIZE));
	wt_sys(fsync(fd));
	expect_log("hole", write_counted(fd, 8192, 4096, RWF_DSYNC));
	close(fd);
}

static void shared(void)
{
	int fd = durable_file(FILE_SIZE), clone = wt_open("clone", O_RDWR);

	wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone");
	wt_sys(fsync(clone));
	wt_sys(fsync(fd));
	expect_log("shared", write_counted(fd, 8192, 4096, RWF_DSYNC));
	wt_expect_both(clone, 0, FILE_SIZE, 1);
	close(clone);
	close(fd);
	wt_sys(unlink(wt_path("clone")));
	wt_sys(unlink(wt_path("file")));
}

/* Writers that wait for a flush at a time can have the same one. */
static void many(void)
{
	enum { DEPTH = 16 };
	static struct wt_request req[DEPTH];
	static struct iovec iov[DEPTH];
	struct commands got;
	unsigned int i;
	int fd = durable_file(FILE_SIZE);

	for (i = 0; i < DEPTH; i++) {
		iov[i] = (struct iovec) { wt_alloc(4096), 4096 };
		wt_pattern(iov[i].iov_base, 4096, i * 8192, 2);
		req[i] = (struct wt_request) {
			.mode = mode, .fd = fd, .iov = &iov[i], .nr_iov = 1,
			.off = i * 8192, .flags = RWF_DSYNC,
		};
	}
	watch();
	for (i = 0; i < DEPTH; i++)
		wt_check(!wt_submit(&req[i]), "submission");
	for (i = 0; i < DEPTH; i++)
		wt_check(wt_wait(&req[i]) == 4096, "%zd", req[i].res);
	got = seen();
	wt_check(!got.log && got.writes + got.fua == DEPTH &&
		 got.fua == (device == FUA ? DEPTH : 0) &&
		 (device == CACHE ? got.flushes && got.flushes <= DEPTH :
				    !got.flushes),
		 "%s, %s, %d at a time: %u writes, %u FUA, %u flushes, %u to the log",
		 device_name[device], wt_mode_name[mode], DEPTH, got.writes,
		 got.fua, got.flushes, got.log);
	for (i = 0; i < DEPTH; i++)
		munmap(iov[i].iov_base, 4096);
	close(fd);
}

static void on(const char *dev)
{
	struct stat st;

	wt_raw = dev;
	wt_dev = wt_raw;
	wt_sys(stat(dev, &st));
	dev_major = major(st.st_rdev);
	dev_minor = minor(st.st_rdev);
	/* A timestamp that is due would be logged: not what is counted here. */
	wt_setup(NULL, "lazytime");
	wt_for_each_mode(mode) {
		overwrites();
		not_by_the_data_alone();
		shared();
		many();
	}
	wt_umount();
	wt_repair_check();
}

int main(void)
{
	wt_start("commands", 240);
	wt_need_writethrough();

	device = FUA;
	on(wt_null_blk("n1", 400, "cache_size=8"));
	if (wt_scsi_debug())
		on(wt_scsi_debug());
	else
		wt_note("note: no scsi_debug disk");
	device = CACHE;
	on(wt_null_blk("n2", 400, "cache_size=8 fua=0"));
	device = NO_CACHE;
	on(wt_null_blk("n3", 400, "cache_size=0"));
	wt_finish();
}
