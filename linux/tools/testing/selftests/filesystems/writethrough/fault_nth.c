// SPDX-License-Identifier: GPL-2.0
/*
 * Everything that can fail in a call is made to fail, one thing at a time: the
 * first allocation or user copy, the second, and so on until a call gets
 * through. Each time a count or an error, exactly that much of the file
 * changed, on the device too, nothing dirty, and nothing left locked.
 *
 * Mutant: 069-allocation-not-checked
 * lab: --disk 600M --timeout 180
 */
#include "wt.h"

#define FILE_SIZE	(256 * KIB)
#define MAX_FAULTS	400

enum state { OVERWRITE, COLD, HOLE, UNWRITTEN, SHARED, APPEND, NR_STATES };

static const char * const state_name[] = {
	"overwrite", "cold", "hole", "unwritten", "shared", "append",
};

static int make(enum state state, off_t *old_size)
{
	int fd, clone;

	*old_size = FILE_SIZE;
	switch (state) {
	case HOLE:
		fd = wt_open("file", O_RDWR | O_TRUNC);
		wt_sys(ftruncate(fd, FILE_SIZE));
		break;
	case UNWRITTEN:
		fd = wt_open("file", O_RDWR | O_TRUNC);
		wt_sys(fallocate(fd, 0, 0, FILE_SIZE));
		break;
	case APPEND:
		*old_size = 64 * KIB;
		fd = wt_make_file("file", *old_size, 1);
		break;
	default:
		fd = wt_make_file("file", FILE_SIZE, 1);
		break;
	}
	if (state == SHARED) {
		clone = wt_open("clone", O_RDWR | O_TRUNC);
		wt_check(!wt_clone(fd, 0, 0, clone, 0), "clone");
		close(clone);
	}
	if (state == COLD) {
		close(fd);
		wt_drop_caches();
		fd = wt_open("file", O_RDWR);
	}
	return fd;
}

static void sweep(enum wt_mode mode, enum state state, off_t off, size_t len)
{
	unsigned int old = state == HOLE || state == UNWRITTEN ? 0 : 1;
	unsigned int nth, hits = 0, errors = 0, misses = 0;
	char *buf = wt_alloc(len);

	wt_pattern(buf, len, off, 2);
	/* Twice nothing hit: a lone miss may be a matter of what is cached. */
	for (nth = 1; misses < 2; nth++) {
		off_t size, kept;
		int fd = make(state, &size), fault;
		struct stat st;
		ssize_t ret;

		wt_check(nth < MAX_FAULTS, "%s: no end", state_name[state]);
		fault = wt_fault_nth(nth);
		ret = wt_write(mode, fd, buf, len, off, 0);
		if (wt_fault_hit(fault))
			hits++;
		else
			misses++;
		if (ret < 0) {
			wt_check(ret == -ENOMEM || ret == -EFAULT ||
				 ret == -EAGAIN || ret == -EIO,
				 "%s, fault %u: %zd", state_name[state], nth, ret);
			errors++;
			ret = 0;
		}
		wt_sys(fstat(fd, &st));
		kept = off < size ? off : size;
		wt_check(st.st_size == size || st.st_size == off + ret,
			 "%s, fault %u: size %lld after %zd bytes",
			 state_name[state], nth, (long long)st.st_size, ret);
		wt_check(!wt_cache(fd, 0, FILE_SIZE * 2).dirty || state == APPEND,
			 "%s, fault %u: dirty pages", state_name[state], nth);
		wt_expect_both(fd, 0, kept, old);
		wt_expect_both(fd, off, ret, 2);
		if (off + ret < size)
			wt_expect_both(fd, off + ret, size - off - ret, old);
		if (state == SHARED) {
			int clone = wt_open("clone", O_RDWR);

			wt_expect_both(clone, 0, FILE_SIZE, 1);
			close(clone);
		}
		/* Nothing is stuck. */
		wt_write_gen(mode, fd, off, len, 3);
		wt_expect_both(fd, off, len, 3);
		close(fd);
	}
	wt_note("%s, %s, %zu bytes: %u faults hit, %u errors",
		wt_mode_name[mode], state_name[state], len, hits, errors);
	munmap(buf, len);
}

int main(void)
{
	enum wt_mode mode;
	unsigned int state;

	wt_start("fault_nth", 170);
	wt_need_writethrough();
	wt_fault_ready("failslab", true);
	wt_fault_ready("fail_page_alloc", true);
	wt_fault_ready("fail_usercopy", true);
	wt_setup(NULL, NULL);
	wt_for_each_mode(mode) {
		for (state = 0; state < NR_STATES; state++) {
			/* Parts of blocks at both ends, several pages. */
			sweep(mode, state, 64 * KIB + 512, 3 * wt_psize);
			sweep(mode, state, 64 * KIB, 4 * wt_psize);
		}
	}
	wt_finish();
}
