// SPDX-License-Identifier: GPL-2.0
/*
 * The flag together with the other ones. Each combination does what it says,
 * or is refused with EOPNOTSUPP and changes nothing; it never is silently a
 * plain write, or a write-through without the other flag.
 *
 * A few that matter most, at a glance; flag_table.c has all of them.
 *
 * Mutant: 027-flag-ignored
 * Mutant: 046-flush-left-out
 * lab: --disk 600M
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)

enum promise {
	PLAIN,			/* nothing beyond write-through */
	DURABLE,		/* there after a crash without a log flush */
	DROPPED,		/* not cached afterwards */
	NO_WAIT,		/* whole or EAGAIN */
};

static const struct combination {
	const char	*name;
	int		flags;
	int		open_flags;
	enum promise	promise;
} combinations[] = {
	{ "HIPRI",		RWF_HIPRI,	0, PLAIN },
	{ "NOSIGNAL",		RWF_NOSIGNAL,	0, PLAIN },
	{ "APPEND",		RWF_APPEND,	0, PLAIN },
	{ "NOAPPEND",		RWF_NOAPPEND,	0, PLAIN },
	{ "O_APPEND NOAPPEND",	RWF_NOAPPEND, O_APPEND, PLAIN },
	{ "DSYNC",		RWF_DSYNC,	0, DURABLE },
	{ "SYNC",		RWF_SYNC,	0, DURABLE },
	{ "O_DSYNC",		0,	  O_DSYNC, DURABLE },
	{ "O_SYNC",		0,	   O_SYNC, DURABLE },
	{ "NOWAIT",		RWF_NOWAIT,	0, NO_WAIT },
	{ "DONTCACHE",		RWF_DONTCACHE,	0, DROPPED },
	{ "DONTCACHE DSYNC",	RWF_DONTCACHE | RWF_DSYNC, 0, DURABLE },
	{ "NOWAIT DSYNC",	RWF_NOWAIT | RWF_DSYNC, 0, NO_WAIT },
};

static void one(enum wt_mode mode, const struct combination *c)
{
	bool append = c->flags & RWF_APPEND;
	size_t len = 8192;
	off_t off = 64 * KIB, at = append ? FILE_SIZE : off;
	char *buf = wt_alloc(len);
	ssize_t ret;
	int fd;

	fd = wt_make_file("file", FILE_SIZE, 1);
	wt_sys(syncfs(fd));
	close(fd);
	fd = wt_open("file", O_RDWR | c->open_flags);
	if (c->promise == DROPPED)
		wt_drop_caches();
	wt_pattern(buf, len, at, 2);
	ret = wt_write(mode, fd, buf, len, off, c->flags);
	/* io_uring's own rule, for any buffered write. */
	if (mode == WT_URING && (c->flags & RWF_HIPRI)) {
		wt_check(ret == -EINVAL, "io_uring %s: %zd", c->name, ret);
		goto unchanged;
	}
	if (ret == -EAGAIN && c->promise == NO_WAIT)
		goto unchanged;
	wt_check(ret == (ssize_t)len, "%s %s: %zd", wt_mode_name[mode], c->name,
		 ret);
	wt_expect_disk(fd, at, len, 2);
	if (c->promise == DROPPED)
		wt_check(!wt_cache(fd, at, len).cached, "%s: still cached",
			 c->name);
	else if (!(c->flags & RWF_DONTCACHE))
		wt_expect_clean(fd, at, len);
	if (append)
		wt_expect_both(fd, 0, FILE_SIZE, 1);
	if (c->promise == DURABLE) {
		/* An append too: its size has to be there. */
		wt_pattern(buf, len, FILE_SIZE, 3);
		ret = wt_write(mode, fd, buf, len, FILE_SIZE, c->flags);
		wt_check(ret == (ssize_t)len, "%s %s: append: %zd",
			 wt_mode_name[mode], c->name, ret);
		close(fd);
		wt_shutdown(false);
		wt_umount();
		wt_mount(NULL);
		fd = wt_open("file", O_RDWR);
		wt_expect_both(fd, FILE_SIZE, len, 3);
		wt_expect_both(fd, at, len, 2);
	}
	goto out;
unchanged:
	wt_check(!wt_cache(fd, 0, FILE_SIZE + len).dirty, "%s: dirty pages",
		 c->name);
	wt_expect_both(fd, 0, FILE_SIZE, 1);
	wt_check(lseek(fd, 0, SEEK_END) == FILE_SIZE, "%s: size changed",
		 c->name);
out:
	close(fd);
	munmap(buf, len);
}

/*
 * The block is written and durable, but part of what is overwritten is behind the
 * end that the file has on the disk: a plain append has moved it in memory.
 */
static void appended_before(enum wt_mode mode)
{
	const off_t end = FILE_SIZE + 100, len = 200;
	int fd = wt_make_file("file", end, 1);
	char *buf = wt_alloc(len);

	wt_sys(fsync(fd));
	wt_plain_gen(fd, end, len, 2);
	wt_pattern(buf, len, end, 3);
	wt_check(wt_write(mode, fd, buf, len, end, RWF_DSYNC) == len, "write");
	close(fd);
	wt_shutdown(false);
	wt_umount();
	wt_mount(NULL);
	fd = wt_open("file", O_RDWR);
	wt_check(lseek(fd, 0, SEEK_END) == end + len,
		 "%s: the size is %lld after a durable write up to %lld",
		 wt_mode_name[mode], (long long)lseek(fd, 0, SEEK_END),
		 (long long)(end + len));
	wt_expect_file(fd, 0, end, 1);
	wt_expect_file(fd, end, len, 3);
	close(fd);
	munmap(buf, len);
}

/* Atomicity is for one buffer of a proper size and place. */
static void atomic(enum wt_mode mode)
{
	const struct {
		off_t	off;
		size_t	len;
		bool	valid;
	} writes[] = {
		{ wt_bsize,	wt_bsize,	true },
		{ wt_bsize,	wt_bsize - 512,	false },
		{ 100,		wt_bsize,	false },
		/* not naturally aligned */
		{ wt_bsize,	2 * wt_bsize,	false },
	};
	int fd = wt_make_file("file", FILE_SIZE, 1);
	char *buf = wt_alloc(2 * wt_bsize);
	unsigned int i;
	ssize_t ret;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		wt_pattern(buf, writes[i].len, writes[i].off, 2);
		ret = wt_write(mode, fd, buf, writes[i].len, writes[i].off,
			       RWF_ATOMIC);
		if (writes[i].valid) {
			wt_check(ret == (ssize_t)writes[i].len, "ATOMIC: %zd",
				 ret);
			wt_expect_both(fd, writes[i].off, writes[i].len, 2);
			wt_write_gen(mode, fd, writes[i].off, writes[i].len, 1);
			continue;
		}
		wt_check(ret == -EINVAL, "ATOMIC %zu bytes at %lld: %zd", writes[i].len,
			 (long long)writes[i].off, ret);
		wt_expect_both(fd, 0, FILE_SIZE, 1);
		wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "ATOMIC: dirty pages");
	}
	close(fd);
	munmap(buf, 2 * wt_bsize);
}

int main(void)
{
	enum wt_mode mode;
	unsigned int i;
	char *buf;
	int fd;

	wt_start("flags", 60);
	wt_need_writethrough();
	wt_setup(NULL, "lazytime");
	wt_for_each_mode(mode) {
		for (i = 0; i < ARRAY_SIZE(combinations); i++)
			one(mode, &combinations[i]);
		atomic(mode);
		appended_before(mode);
	}
	/* Contradictions are the same as ever, and unknown bits are refused. */
	fd = wt_make_file("file", FILE_SIZE, 1);
	buf = wt_alloc(4096);
	wt_check(wt_write(WT_SYNC, fd, buf, 4096, 0,
			  RWF_APPEND | RWF_NOAPPEND) == -EINVAL,
		 "APPEND with NOAPPEND");
	wt_check(wt_write(WT_SYNC, fd, buf, 4096, 0, 0x40000000) == -EOPNOTSUPP,
		 "an unknown flag");
	wt_expect_both(fd, 0, FILE_SIZE, 1);
	close(fd);
	wt_finish();
}
