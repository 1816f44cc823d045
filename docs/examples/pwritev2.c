// SPDX-License-Identifier: GPL-2.0
/*
 * pwritev2 DIRECTORY: a log and a file of pages, as a database has them.
 *
 * A record of the log is durable when its write returns. A page is on the device
 * when its write returns; a checkpoint has nothing left to write but metadata.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORD	4096		/* a multiple of the block size */
#define PAGE	8192
#define MEBI	(1024 * 1024)

static int writethrough;	/* the flag, 0 if it cannot be used */

/* Once, at the start: is the flag there, and which number has it? */
static void probe(void)
{
	FILE *f = fopen("/sys/fs/xfs/features/writethrough", "re");
	unsigned int flag;

	if (!f)
		return;
	if (fscanf(f, "%x", &flag) == 1)
		writethrough = flag;
	fclose(f);
}

static void write_all(int fd, char *buf, size_t len, off_t off, int flags)
{
	struct iovec iov;
	ssize_t n;

	while (len) {
		iov = (struct iovec) { buf, len };
		n = pwritev2(fd, &iov, 1, off, flags | writethrough);
		if (n < 0 && errno == EOPNOTSUPP && writethrough) {
			/* This file cannot; as before there was the flag. */
			writethrough = 0;
			continue;
		}
		if (n <= 0)
			err(1, "write");
		/* A short count: the next call has the reason, or the rest. */
		buf += n;
		off += n;
		len -= n;
	}
}

static int create(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

/* Written blocks, not only allocated ones: a record changes no metadata. */
static int create_log(int dir)
{
	int fd = create(dir, "log");
	char *zeros = calloc(1, MEBI);

	write_all(fd, zeros, MEBI, 0, 0);
	if (fsync(fd) || fsync(dir))
		err(1, "fsync");
	free(zeros);
	return fd;
}

int main(int argc, char **argv)
{
	char record[RECORD], page[PAGE];
	int dir, log, pages, i;

	dir = open(argc == 2 ? argv[1] : ".", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		err(1, "directory");
	probe();
	log = create_log(dir);
	pages = create(dir, "pages");

	for (i = 0; i < 26; i++) {
		/* First the log, durable: where it can be, one FUA write. */
		memset(record, 'a' + i, RECORD);
		write_all(log, record, RECORD, i * RECORD, RWF_DSYNC);
		/* Then the page, on the device, cached, and never dirty. */
		memset(page, 'A' + i, PAGE);
		write_all(pages, page, PAGE, i * PAGE, 0);
	}

	/* The checkpoint: what belongs to the pages, and the device's cache. */
	if (fdatasync(pages))
		err(1, "fdatasync");
	printf("write-through is %sused\n", writethrough ? "" : "not ");
	return 0;
}
