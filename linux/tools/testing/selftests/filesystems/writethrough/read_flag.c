// SPDX-License-Identifier: GPL-2.0
/*
 * The flag has no meaning for a read: EOPNOTSUPP, and the buffer untouched.
 *
 * Mutant: 025-read-accepted
 * lab: --disk 600M
 */
#include "wt.h"
#include <liburing.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>

static int aio_read(int fd, void *buf, size_t len)
{
	aio_context_t ctx = 0;
	struct iocb iocb = {
		.aio_lio_opcode	= IOCB_CMD_PREAD,
		.aio_fildes	= fd,
		.aio_buf	= (uintptr_t)buf,
		.aio_nbytes	= len,
		.aio_rw_flags	= RWF_WRITETHROUGH,
	}, *list = &iocb;
	struct io_event event;
	int ret;

	wt_sys(syscall(__NR_io_setup, 1, &ctx));
	ret = syscall(__NR_io_submit, ctx, 1, &list);
	if (ret == 1) {
		wt_sys(syscall(__NR_io_getevents, ctx, 1, 1, &event, NULL));
		ret = event.res;
	} else {
		ret = -errno;
	}
	syscall(__NR_io_destroy, ctx);
	return ret;
}

static int ring_read(int fd, void *buf, size_t len)
{
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int ret;

	wt_check(!io_uring_queue_init(1, &ring, 0), "io_uring");
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, fd, buf, len, 0);
	sqe->rw_flags = RWF_WRITETHROUGH;
	wt_check(io_uring_submit(&ring) == 1, "submission");
	wt_check(!io_uring_wait_cqe(&ring, &cqe), "completion");
	ret = cqe->res;
	io_uring_queue_exit(&ring);
	return ret;
}

int main(void)
{
	static const int flags[] = { 0, O_DIRECT };
	char *buf;
	unsigned int i;
	ssize_t ret;
	int fd;

	wt_start("read_flag", 30);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	buf = wt_alloc(wt_psize);
	close(wt_make_file("file", 64 * KIB, 1));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		struct iovec iov = { buf, wt_psize };

		fd = wt_open("file", O_RDWR | flags[i]);
		ret = preadv2(fd, &iov, 1, 0, RWF_WRITETHROUGH);
		wt_check(ret == -1 && errno == EOPNOTSUPP, "preadv2: %zd", ret);
		ret = aio_read(fd, buf, wt_psize);
		wt_check(ret == -EOPNOTSUPP, "libaio: %zd", ret);
		ret = ring_read(fd, buf, wt_psize);
		wt_check(ret == -EOPNOTSUPP, "io_uring: %zd", ret);
		wt_expect_buf("buffer", buf, wt_psize, 0, 0);
		close(fd);
	}
	wt_finish();
}
