// SPDX-License-Identifier: GPL-2.0
/* libs: -luring */
/*
 * io_uring FILE: many durable writes in flight, each with a completion.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE	8192
#define PAGES	26

static char pages[PAGES][PAGE];
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

static void submit(struct io_uring *ring, int fd, int i)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		errx(1, "the queue is full");
	io_uring_prep_write(sqe, fd, pages[i], PAGE, (off_t)i * PAGE);
	sqe->rw_flags = RWF_DSYNC | writethrough;
	io_uring_sqe_set_data64(sqe, i);
}

int main(int argc, char **argv)
{
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int fd, i, left, ret;

	fd = open(argc == 2 ? argv[1] : "file", O_RDWR | O_CREAT, 0644);
	if (fd < 0)
		err(1, "file");
	probe();
	/* The file exists with its blocks written: what follows overwrites. */
	if (pwrite(fd, pages, sizeof(pages), 0) != sizeof(pages) || fsync(fd))
		err(1, "preallocation");

	ret = io_uring_queue_init(32, &ring, 0);
	if (ret)
		errx(1, "io_uring: %s", strerror(-ret));
	for (i = 0; i < PAGES; i++) {
		memset(pages[i], 'A' + i, PAGE);
		submit(&ring, fd, i);
	}
	io_uring_submit(&ring);

	for (left = PAGES; left;) {
		ret = io_uring_wait_cqe(&ring, &cqe);
		if (ret)
			errx(1, "io_uring: %s", strerror(-ret));
		ret = cqe->res;
		i = io_uring_cqe_get_data64(cqe);
		io_uring_cqe_seen(&ring, cqe);
		if (ret == PAGE) {
			left--;		/* page i is durable */
		} else if (ret == -EOPNOTSUPP && !again[i]++) {
			/* This file cannot; again, as without the flag. */
			writethrough = 0;
			submit(&ring, fd, i);
			io_uring_submit(&ring);
		} else {
			errx(1, "page %d: %s", i,
			     ret < 0 ? strerror(-ret) : "short: no space?");
		}
	}
	io_uring_queue_exit(&ring);
	printf("write-through is %sused\n", writethrough ? "" : "not ");
	return 0;
}
