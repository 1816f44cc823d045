// SPDX-License-Identifier: GPL-2.0
/*
 * Many write-throughs in flight at a time, through one queue: overwrites,
 * appends, the same block twice; each completes with its own count. From fixed
 * buffers of io_uring as well.
 *
 * Mutant: 040-context-freed-early
 * lab: --disk 600M
 * blocks: 1024
 */
#include "wt.h"
#include <liburing.h>

#define DEPTH		32
#define FILE_SIZE	(1 * MIB)
#define LEN		(16 * KIB)

static void queue(enum wt_mode mode)
{
	static struct wt_request req[DEPTH];
	static struct iovec iov[DEPTH];
	int fd = wt_make_file("file", FILE_SIZE, 1);
	unsigned int round, i;
	uint64_t seed = 3;

	for (i = 0; i < DEPTH; i++)
		iov[i] = (struct iovec) { wt_alloc(LEN), LEN };
	for (round = 2; round < 12; round++) {
		/* Its own place for each, then all of them at random. */
		for (i = 0; i < DEPTH; i++) {
			off_t off = round % 2 ?
				wt_random(&seed) % (FILE_SIZE / wt_bsize / 2) *
				wt_bsize : i * LEN;

			req[i] = (struct wt_request) {
				.mode = mode, .fd = fd, .iov = &iov[i],
				.nr_iov = 1, .off = off,
			};
			wt_pattern(iov[i].iov_base, LEN, off, round);
			wt_check(!wt_submit(&req[i]), "submission");
		}
		for (i = 0; i < DEPTH; i++)
			wt_check(wt_wait(&req[i]) == LEN, "completion %u: %zd", i,
				 req[i].res);
		wt_check(!wt_cache(fd, 0, FILE_SIZE).dirty, "dirty pages");
		if (round % 2 == 0)
			wt_expect_both(fd, 0, DEPTH * LEN, round);
		wt_expect_words(fd, 0, FILE_SIZE, round, 0);
		wt_expect_cache_is_disk(fd, 0, FILE_SIZE);
	}
	/* Appends: any order, none lost. */
	wt_sys(ftruncate(fd, 100));
	for (i = 0; i < DEPTH; i++) {
		req[i] = (struct wt_request) {
			.mode = mode, .fd = fd, .iov = &iov[i], .nr_iov = 1,
			.flags = RWF_APPEND,
		};
		memset(iov[i].iov_base, 'A' + i, LEN);
		wt_check(!wt_submit(&req[i]), "submission");
	}
	for (i = 0; i < DEPTH; i++)
		wt_check(wt_wait(&req[i]) == LEN, "append %u: %zd", i, req[i].res);
	wt_check(lseek(fd, 0, SEEK_END) == 100 + DEPTH * LEN, "size");
	for (round = 0; round < DEPTH; round++) {
		char *buf = wt_alloc(LEN);

		wt_check(pread(fd, buf, LEN, 100 + round * LEN) == LEN, "read");
		i = buf[0] - 'A';
		wt_check(i < DEPTH && req[i].res == LEN, "append torn or twice");
		req[i].res = 0;
		wt_check(!memcmp(buf, buf + 1, LEN - 1), "append torn");
		munmap(buf, LEN);
	}
	wt_expect_cache_is_disk(fd, 0, 100 + DEPTH * LEN);
	close(fd);
}

static void registered(void)
{
	struct iovec iov = { wt_alloc(64 * KIB), 64 * KIB };
	int fd = wt_make_file("file", FILE_SIZE, 1), ret;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	wt_check(!io_uring_queue_init(4, &ring, 0), "io_uring");
	wt_check(!io_uring_register_buffers(&ring, &iov, 1), "buffers");
	wt_check(!io_uring_register_files(&ring, &fd, 1), "files");
	wt_pattern((char *)iov.iov_base + 4096, 32 * KIB, 128 * KIB, 2);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_write_fixed(sqe, 0, (char *)iov.iov_base + 4096, 32 * KIB,
				  128 * KIB, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->rw_flags = RWF_WRITETHROUGH;
	wt_check(io_uring_submit(&ring) == 1, "submission");
	wt_check(!io_uring_wait_cqe(&ring, &cqe), "completion");
	ret = cqe->res;
	wt_check(ret == 32 * KIB, "fixed buffer: %d", ret);
	wt_expect_both(fd, 0, 128 * KIB, 1);
	wt_expect_both(fd, 128 * KIB, 32 * KIB, 2);
	wt_expect_both(fd, 160 * KIB, FILE_SIZE - 160 * KIB, 1);
	wt_expect_clean(fd, 128 * KIB, 32 * KIB);
	io_uring_queue_exit(&ring);
	close(fd);
}

int main(void)
{
	enum wt_mode mode;

	wt_start("async_queue", 60);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		queue(mode);
		if (mode == WT_URING && !getenv("WT_EMULATE"))
			registered();
	}
	wt_finish();
}
