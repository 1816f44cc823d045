// SPDX-License-Identifier: GPL-2.0
/*
 * Where there is no support the answer is EOPNOTSUPP, and never a plain write:
 * other file systems, devices, pipes. The same with one byte as with many, and
 * through every interface.
 *
 * Mutant: 024-opt-in-not-checked
 * lab: --disk 600M
 */
#include "wt.h"
#include <sys/mount.h>
#include <sys/socket.h>

static void refused(enum wt_mode mode, int fd, const char *what, off_t off)
{
	char buf[4096] = "x";
	struct stat before, after;
	ssize_t ret;
	size_t len;

	wt_sys(fstat(fd, &before));
	for (len = 1; len <= sizeof(buf); len *= 4096) {
		ret = wt_write(mode, fd, buf, len, off, 0);
		/* Some kinds of files refuse the interface before the flag. */
		if (mode != WT_SYNC && ret == -EINVAL)
			continue;
		wt_check(ret == -EOPNOTSUPP, "%s by %s: %zd", what,
			 wt_mode_name[mode], ret);
	}
	wt_sys(fstat(fd, &after));
	wt_check(before.st_size == after.st_size, "%s: was written to", what);
}

int main(void)
{
	int tmpfs, proc, null, bdev, pipes[2], socks[2], sysfs;
	enum wt_mode mode;
	char one[1];

	wt_start("unsupported", 30);
	wt_need_writethrough();

	tmpfs = wt_sys(memfd_create("wt", 0));
	proc = wt_sys(open("/proc/self/oom_score_adj", O_RDWR));
	sysfs = wt_sys(open("/sys/kernel/uevent_seqnum", O_RDONLY));
	close(sysfs);
	null = wt_sys(open("/dev/null", O_RDWR));
	bdev = wt_sys(open(wt_dev, O_RDWR));
	wt_sys(pipe(pipes));
	wt_sys(socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	for (mode = WT_SYNC; mode < WT_NR_MODES; mode++) {
		refused(mode, tmpfs, "tmpfs", 0);
		refused(mode, proc, "procfs", 0);
		refused(mode, null, "/dev/null", 0);
		refused(mode, bdev, "block device", 0);
		refused(mode, pipes[1], "pipe", -1);
		refused(mode, socks[0], "socket", -1);
	}
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	wt_check(read(pipes[0], one, 1) == -1 && errno == EAGAIN,
		 "something went into the pipe");
	wt_check(recv(socks[1], one, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN,
		 "something went into the socket");
	wt_finish();
}
