// SPDX-License-Identifier: GPL-2.0
/* libs: -laio */
/*
 * libaio FILE: many durable writes in flight, each with a completion.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE	8192
#define PAGES	26

static char pages[PAGES][PAGE];
static struct iovec iov[PAGES];
static struct iocb iocbs[PAGES];
static int again[PAGES];
static int writethrough;	/* the flag, 0 if it cannot be used */

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

/* What is wrong with the flags is told here already, not by the completion. */
static void submit(io_context_t queue, int fd, int i)
{
	struct iocb *iocb = &iocbs[i];
	int ret;

	iov[i] = (struct iovec) { pages[i], PAGE };
	io_prep_pwritev(iocb, fd, &iov[i], 1, (off_t)i * PAGE);
	iocb->aio_rw_flags = RWF_DSYNC | writethrough;
	ret = io_submit(queue, 1, &iocb);
	if (ret == -EOPNOTSUPP && writethrough) {
		writethrough = 0;
		submit(queue, fd, i);
	} else if (ret != 1) {
		errx(1, "submission: %s", strerror(-ret));
	}
}

int main(int argc, char **argv)
{
	io_context_t queue = NULL;
	struct io_event event;
	int fd, i, left, ret;

	fd = open(argc == 2 ? argv[1] : "file", O_RDWR | O_CREAT, 0644);
	if (fd < 0)
		err(1, "file");
	probe();
	/* The file exists with its blocks written: what follows overwrites. */
	if (pwrite(fd, pages, sizeof(pages), 0) != sizeof(pages) || fsync(fd))
		err(1, "preallocation");

	ret = io_setup(32, &queue);
	if (ret)
		errx(1, "io_setup: %s", strerror(-ret));
	for (i = 0; i < PAGES; i++) {
		memset(pages[i], 'A' + i, PAGE);
		submit(queue, fd, i);
	}

	for (left = PAGES; left;) {
		if (io_getevents(queue, 1, 1, &event, NULL) != 1)
			errx(1, "io_getevents");
		i = event.obj - iocbs;
		ret = (long)event.res;
		if (ret == PAGE) {
			left--;		/* page i is durable */
		} else if (ret == -EOPNOTSUPP && !again[i]++) {
			/* Only the file system knew that this file cannot. */
			writethrough = 0;
			submit(queue, fd, i);
		} else {
			errx(1, "page %d: %s", i,
			     ret < 0 ? strerror(-ret) : "short: no space?");
		}
	}
	io_destroy(queue);
	printf("write-through is %sused\n", writethrough ? "" : "not ");
	return 0;
}
