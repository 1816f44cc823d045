// SPDX-License-Identifier: GPL-2.0
/*
 * Who may not write may not write through: read-only descriptors, immutable
 * and append-only files, swap files. The set-user-ID bit goes.
 *
 * Mutant: 029-checks-skipped
 * lab: --disk 600M
 */
#include "wt.h"
#include <sys/swap.h>

static void bits(void *arg)
{
	enum wt_mode mode = *(enum wt_mode *)arg;
	struct stat st;
	int fd = wt_open("suid", O_RDWR);

	wt_sys(fchown(fd, 1000, 1000));
	wt_sys(fchmod(fd, 06755));
	wt_sys(setgid(1000));
	wt_sys(setuid(1000));
	wt_write_gen(mode, fd, 0, 8192, 2);
	wt_sys(fstat(fd, &st));
	wt_check((st.st_mode & 07777) == 0755, "mode is 0%o",
		 st.st_mode & 07777);
	close(fd);
}

static void set_flag(int fd, int flag)
{
	int flags;

	wt_sys(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	flags |= flag;
	wt_sys(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

int main(void)
{
	enum wt_mode mode;
	char *buf;
	int fd, ro;

	wt_start("access", 30);
	wt_need_writethrough();
	wt_setup(NULL, NULL);
	wt_sys(chmod(wt_mnt, 0777));
	buf = wt_alloc(8192);
	wt_for_each_mode(mode) {
		ssize_t ret, plain;

		fd = wt_make_file("file", 64 * KIB, 1);
		ro = wt_open("file", O_RDONLY | O_NONBLOCK);
		ret = wt_write(mode, ro, buf, 8192, 0, 0);
		wt_check(ret == -EBADF, "%s: read-only descriptor: %zd",
			 wt_mode_name[mode], ret);

		/* A descriptor from before: whatever a plain write answers. */
		set_flag(fd, FS_IMMUTABLE_FL);
		wt_check(open(wt_path("file"), O_RDWR) == -1 && errno == EPERM,
			 "immutable file opened");
		plain = pwrite(fd, buf, 8192, 0);
		if (plain < 0)
			plain = -errno;
		ret = wt_write(mode, fd, buf, 8192, 0, 0);
		wt_check(ret == plain, "%s: immutable: %zd, a plain write: %zd",
			 wt_mode_name[mode], ret, plain);
		set_flag(fd, FS_APPEND_FL);
		wt_check(open(wt_path("file"), O_RDWR) == -1 && errno == EPERM,
			 "append-only file opened");
		set_flag(fd, 0);
		close(ro);
		ro = wt_open("file", O_RDWR | O_APPEND);
		set_flag(fd, FS_APPEND_FL);
		ret = wt_write(mode, ro, buf, 8192, 0, RWF_NOAPPEND);
		wt_check(ret == -EPERM, "%s: append-only, NOAPPEND: %zd",
			 wt_mode_name[mode], ret);
		set_flag(fd, 0);
		close(ro);
		close(fd);
		wt_join(wt_fork(bits, &mode));

		fd = wt_make_file("swap", 8 * MIB, 1);
		close(fd);
		if (wt_try("mkswap %s >/dev/null 2>&1", wt_path("swap")) ||
		    swapon(wt_path("swap"), 0)) {
			wt_note("note: no swap here: %s", strerror(errno));
		} else {
			fd = wt_open("swap", O_RDWR);
			ret = wt_write(mode, fd, buf, 8192, 0, 0);
			wt_check(ret == -ETXTBSY, "%s: swap file: %zd",
				 wt_mode_name[mode], ret);
			wt_sys(swapoff(wt_path("swap")));
			close(fd);
		}
	}
	wt_finish();
}
