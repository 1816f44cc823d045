// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the lab's virtual machines: mounts what a test expects to find,
 * runs one command, hands its output and exit status to the host and powers
 * off. Linked statically: the root it runs on is the host's, read-only.
 *
 * LAB_DIR= on the kernel's command line is a directory of the host whose file
 * "job" describes the run: NUL-terminated KEY=VALUE records and, after an empty
 * one, the words of the command. The file "status" there is the answer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define JOB_DIR		"/run/lab"
#define OUT_DIR		"/run/out"
#define SCRATCH		"/mnt/wt"
#define LAB_FAILED	125
#define OUT_OF_TIME	124
#define MAX_KEEP	32
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Not in the headers of every libc that is still in use. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE		1
#define OPEN_TREE_CLOEXEC	O_CLOEXEC
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH	0x00000004
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE		0x8000
#endif

static const char * const covered[] = {
	"/tmp", "/run", "/var/tmp", "/mnt",
};

static struct keep {
	const char	*path;
	int		fd;
	bool		is_dir;
} keeps[MAX_KEEP];
static unsigned int nr_keeps;

static struct {
	char		*text;
	size_t		length;
	char		**command;
	const char	*type;		/* of file system the host's directories come by */
	const char	*lab;		/* its name for the directory of the job */
	const char	*out;		/* and for the one that the command may write to */
	const char	*cwd;
	const char	*stdout_path;
	const char	*stderr_path;
	const char	*terminal;	/* instead of the two, for a person */
	int		limit;		/* in seconds since the machine started */
	bool		kmemleak;
	bool		hung;		/* do not wait for what may never end */
} job;

static int kmsg = -1;

static void note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* To the kernel log, where it has its place among the kernel's own lines. */
static void note(const char *format, ...)
{
	char line[512];
	va_list args;
	int length;

	length = snprintf(line, sizeof(line), "<5>lab: ");
	va_start(args, format);
	vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	if (kmsg < 0 || write(kmsg, line, strlen(line)) < 0)
		dprintf(STDERR_FILENO, "%s\n", line + 3);
}

/* User-Mode Linux powers off; QEMU is told to take a reboot as the end. */
static void power_off(void)
{
	if (!job.hung)
		sync();
	reboot(job.type && !strcmp(job.type, "9p") ? RB_AUTOBOOT :
						     RB_POWER_OFF);
	/* Only PID 1's death is left to end the machine. */
	_exit(LAB_FAILED);
}

static void fail(const char *what)
{
	note("cannot %s: %s", what, strerror(errno));
	power_off();
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		note("cannot write %s: %s", path, strerror(errno));
	close(fd);
}

/* Makes the directories that lead to a path, and it too unless it is a file. */
static void make_path(const char *path, bool is_dir)
{
	char buffer[PATH_MAX];
	char *p;
	int fd;

	snprintf(buffer, sizeof(buffer), "%s", path);
	for (p = buffer + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(buffer, 0755);
		*p = '/';
	}
	if (is_dir) {
		mkdir(buffer, 0755);
		return;
	}
	fd = open(buffer, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
}

static void try_mount(const char *type, const char *where, const char *options)
{
	if (mount(type, where, type, 0, options) && errno != EBUSY)
		note("no %s on %s: %s", type, where, strerror(errno));
}

static void mount_host(const char *name, const char *where)
{
	mkdir(where, 0755);
	if (!strcmp(job.type, "hostfs")) {
		if (!mount("none", where, job.type, 0, name))
			return;
	} else if (!mount(name, where, job.type, 0,
			  "trans=virtio,version=9p2000.L,msize=262144")) {
		return;
	}
	fail("mount the host's directory");
}

static void read_job(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;
	size_t done = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/job", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		fail("open the job");
	job.text = calloc(1, st.st_size + 1);
	if (!job.text)
		fail("hold the job");
	while (done < (size_t)st.st_size) {
		got = read(fd, job.text + done, st.st_size - done);
		if (got <= 0)
			fail("read the job");
		done += got;
	}
	close(fd);
	job.length = done;
}

static void add_keep(const char *path)
{
	struct keep *keep = &keeps[nr_keeps];
	struct stat st;
	unsigned int i;

	/* What no tmpfs covers is visible anyway. */
	for (i = 0; i < ARRAY_SIZE(covered); i++) {
		size_t length = strlen(covered[i]);

		if (!strncmp(path, covered[i], length) && path[length] == '/')
			break;
	}
	if (i == ARRAY_SIZE(covered))
		return;
	for (i = 0; i < nr_keeps; i++)
		if (!strcmp(path, keeps[i].path))
			return;
	if (nr_keeps == MAX_KEEP) {
		errno = E2BIG;
		fail("keep so many paths");
	}
	keep->path = path;
	keep->fd = syscall(SYS_open_tree, AT_FDCWD, path,
			   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (keep->fd < 0 || fstat(keep->fd, &st))
		fail("keep a path");
	keep->is_dir = S_ISDIR(st.st_mode);
	nr_keeps++;
}

static void set_record(const char *key, const char *value)
{
	static const struct {
		const char	*key;
		const char	**where;
	} texts[] = {
		{ "type", &job.type },
		{ "lab", &job.lab },
		{ "out", &job.out },
		{ "cwd", &job.cwd },
		{ "stdout", &job.stdout_path },
		{ "stderr", &job.stderr_path },
		{ "terminal", &job.terminal },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(texts); i++)
		if (!strcmp(key, texts[i].key))
			*texts[i].where = value;
	if (!strcmp(key, "keep"))
		add_keep(value);
	else if (!strcmp(key, "limit"))
		job.limit = atoi(value);
	else if (!strcmp(key, "kmemleak"))
		job.kmemleak = true;
	else if (!strncmp(key, "env.", 4))
		setenv(key + 4, value, 1);
}

/* Splits the job in place. Returns with the environment set. */
static void parse_job(void)
{
	char *p = job.text, *end = job.text + job.length, *value;
	size_t words = 0, i;

	while (p < end && *p) {
		value = strchr(p, '=');
		if (!value) {
			errno = EINVAL;
			fail("understand the job");
		}
		*value++ = '\0';
		set_record(p, value);
		p = value + strlen(value) + 1;
	}
	p++;
	for (value = p; value < end; value += strlen(value) + 1)
		words++;
	if (!words || !job.type || !job.lab ||
	    (!job.terminal && (!job.stdout_path || !job.stderr_path))) {
		errno = EINVAL;
		fail("find all it needs in the job");
	}
	job.command = calloc(words + 1, sizeof(*job.command));
	if (!job.command)
		fail("hold the command");
	for (i = 0; i < words; i++, p += strlen(p) + 1)
		job.command[i] = p;
}

static void set_up_mounts(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(covered); i++)
		try_mount("tmpfs", covered[i],
			  i == 1 ? "mode=755" : "mode=1777");
	for (i = 0; i < nr_keeps; i++) {
		make_path(keeps[i].path, keeps[i].is_dir);
		if (syscall(SYS_move_mount, keeps[i].fd, "", AT_FDCWD,
			    keeps[i].path, MOVE_MOUNT_F_EMPTY_PATH))
			fail("bring a kept path back");
		close(keeps[i].fd);
	}
	mount_host(job.lab, JOB_DIR);
	if (job.out)
		mount_host(job.out, OUT_DIR);
	mkdir("/run/lock", 01777);
	mkdir("/run/mount", 0755);
	mkdir(SCRATCH, 0755);

	mkdir("/dev/shm", 01777);
	mkdir("/dev/pts", 0755);
	try_mount("tmpfs", "/dev/shm", "mode=1777");
	try_mount("devpts", "/dev/pts", "mode=620,ptmxmode=666");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("fd/0", "/dev/stdin");
	symlink("fd/1", "/dev/stdout");
	symlink("fd/2", "/dev/stderr");

	try_mount("debugfs", "/sys/kernel/debug", NULL);
	try_mount("tracefs", "/sys/kernel/tracing", NULL);
	try_mount("configfs", "/sys/kernel/config", NULL);
	try_mount("cgroup2", "/sys/fs/cgroup", NULL);
}

/* Which device a virtio port is depends on the others: it has a name. */
static int open_port(const char *name)
{
	char path[PATH_MAX], found[64];
	unsigned int i, port;
	ssize_t got;
	int fd;

	for (i = 0; i < 32; i++) {
		for (port = 0; port < 4; port++) {
			snprintf(path, sizeof(path),
				 "/sys/class/virtio-ports/vport%up%u/name", i,
				 port);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			got = read(fd, found, sizeof(found) - 1);
			close(fd);
			found[got < 0 ? 0 : got] = '\0';
			found[strcspn(found, "\n")] = '\0';
			if (strcmp(found, name))
				continue;
			snprintf(path, sizeof(path), "/dev/vport%up%u", i,
				 port);
			return open(path, O_RDWR | O_CLOEXEC);
		}
	}
	errno = ENOENT;
	return -1;
}

static int open_channel(const char *path)
{
	struct termios raw;
	int fd, tries;

	/* A virtio port takes a moment to appear. */
	for (tries = 0; tries < 200; tries++) {
		if (path[0] == '/')
			fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
		else
			fd = open_port(path);
		if (fd >= 0 || (errno != ENOENT && errno != ENXIO &&
				errno != ENODEV))
			break;
		usleep(20 * 1000);
	}
	if (fd < 0)
		fail("open the way out");
	if (!tcgetattr(fd, &raw)) {
		cfmakeraw(&raw);
		tcsetattr(fd, TCSANOW, &raw);
	}
	return fd;
}

static void write_all(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t done = write(fd, data, length);

		if (done < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (done <= 0)
			return;
		data += done;
		length -= done;
	}
}

static pid_t start_command(int out, int err)
{
	pid_t pid = fork();
	sigset_t none;
	int fd;

	if (pid < 0)
		fail("fork");
	if (pid)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (job.terminal) {
		fd = open(job.terminal, O_RDWR);
		ioctl(fd, TIOCSCTTY, 1);
		out = err = fd;
	} else {
		fd = open("/dev/null", O_RDONLY);
	}
	dup2(fd, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close_range(3, ~0U, 0);
	signal(SIGINT, SIG_DFL);
	if (job.cwd && chdir(job.cwd))
		dprintf(STDERR_FILENO, "lab: cannot enter %s: %s\n", job.cwd,
			strerror(errno));
	execvp(job.command[0], job.command);
	dprintf(STDERR_FILENO, "lab: cannot run %s: %s\n", job.command[0],
		strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* What a child's end means to a shell, or -1 while the wanted one runs. */
static int reap(pid_t wanted)
{
	int status, result = -1;
	pid_t pid;

	/* Everything without a parent is ours to reap. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == wanted)
			result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
						       WEXITSTATUS(status);
	return result;
}

/* Returns false at the end of the stream. */
static bool carry(int from, int to)
{
	char buffer[16384];
	ssize_t got = read(from, buffer, sizeof(buffer));

	if (got < 0)
		return errno == EINTR || errno == EAGAIN;
	write_all(to, buffer, got);
	return got > 0;
}

static int milliseconds_left(void)
{
	struct timespec now;

	if (!job.limit)
		return -1;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec >= job.limit ? 0 : (job.limit - now.tv_sec) * 1000;
}

/* Each line of a file, if there is one, as a note. */
static void note_file(const char *head, const char *path)
{
	char line[256];
	FILE *file = fopen(path, "re");

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		note("%s%s", head, line);
	}
	fclose(file);
}

/* Where the threads of a process are, be they asleep or running. */
static void show_threads(const char *process)
{
	char path[600];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", process);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task/%s/stat", process, entry->d_name);
		note_file("task ", path);
		snprintf(path, sizeof(path), "/proc/%s/task/%s/stack", process, entry->d_name);
		note_file("  ", path);
	}
	closedir(dir);
}

/* The kernel's own threads are children of the second process. */
static bool is_kernel_thread(const char *process)
{
	char path[300], line[256] = "", *end;
	FILE *file;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%s/stat", process);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	end = strrchr(line, ')');
	return !end || sscanf(end, ") %*c %d", &parent) != 1 || parent == 2 || !parent;
}

/* What the processes of the command do. */
static void show_processes(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	while (dir && (entry = readdir(dir)))
		if (atoi(entry->d_name) > 2 && !is_kernel_thread(entry->d_name))
			show_threads(entry->d_name);
	if (dir)
		closedir(dir);
}

/* Who is where, blocked or not, is what a person wants to know of a hang. */
static void out_of_time(void)
{
	note("out of time");
	write_text("/proc/sysrq-trigger", "w");
	show_processes();
}

/*
 * Runs the command and carries what it prints to the host. It sees pipes, on
 * every kind of machine, and no terminal. What it leaves running in the
 * background is ended with it.
 */
static int run_command(void)
{
	int out_pipe[2] = { -1, -1 }, err_pipe[2] = { -1, -1 };
	int out = -1, err = -1, status = -1, result;
	struct pollfd polls[3] = {};
	struct signalfd_siginfo info;
	sigset_t child;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	polls[2].fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (polls[2].fd < 0)
		fail("wait for signals");
	if (!job.terminal) {
		out = open_channel(job.stdout_path);
		err = open_channel(job.stderr_path);
		if (pipe2(out_pipe, O_CLOEXEC) || pipe2(err_pipe, O_CLOEXEC))
			fail("make a pipe");
	}
	note("command starts");
	pid = start_command(out_pipe[1], err_pipe[1]);
	close(out_pipe[1]);
	close(err_pipe[1]);
	polls[0].fd = out_pipe[0];
	polls[1].fd = err_pipe[0];
	polls[0].events = polls[1].events = polls[2].events = POLLIN;

	/* Once the command has ended, output that does not come is not waited for. */
	while (status < 0 || polls[0].fd >= 0 || polls[1].fd >= 0) {
		result = poll(polls, ARRAY_SIZE(polls),
			      status < 0 ? milliseconds_left() : 3000);
		if (!result) {
			if (status < 0) {
				out_of_time();
				status = OUT_OF_TIME;
			}
			break;
		}
		if (polls[0].fd >= 0 && polls[0].revents &&
		    !carry(polls[0].fd, out))
			polls[0].fd = -1;
		if (polls[1].fd >= 0 && polls[1].revents &&
		    !carry(polls[1].fd, err))
			polls[1].fd = -1;
		if (!polls[2].revents)
			continue;
		while (read(polls[2].fd, &info, sizeof(info)) > 0)
			;
		result = reap(pid);
		if (result >= 0 && status < 0) {
			status = result;
			note("command ended, status %d", status);
			kill(-1, SIGKILL);
		}
	}
	if (!job.terminal) {
		tcdrain(out);
		tcdrain(err);
	}
	return status;
}

/* Two scans: what a first one finds may still be in a register or on its way. */
static void look_for_leaks(void)
{
	char line[256];
	FILE *file;

	sleep(6);
	write_text("/sys/kernel/debug/kmemleak", "scan");
	sleep(1);
	write_text("/sys/kernel/debug/kmemleak", "scan");
	file = fopen("/sys/kernel/debug/kmemleak", "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		note("kmemleak: %s", line);
	}
	fclose(file);
}

static void hand_out_status(int status)
{
	int fd = open(JOB_DIR "/status.new", O_WRONLY | O_CREAT | O_TRUNC,
		      0644);

	if (fd < 0)
		fail("hand out the status");
	dprintf(fd, "%d\n", status);
	fsync(fd);
	close(fd);
	if (rename(JOB_DIR "/status.new", JOB_DIR "/status"))
		fail("hand out the status");
}

/* A file system left mounted is taken down as a reboot would: in order. */
static void unmount_all(void)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[1024], where[512][256], type[64];
	int n = 0;

	if (!mounts)
		return;
	while (n < 512 && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %255s %63s", where[n], type) == 2 &&
		    !strncmp(line, "/dev/", 5))
			n++;
	fclose(mounts);
	while (n--)
		umount2(where[n], 0);
}

int main(void)
{
	const char *dir = getenv("LAB_DIR");
	int status;

	signal(SIGINT, SIG_IGN);
	reboot(RB_DISABLE_CAD);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	note("init starts");
	if (!dir) {
		errno = EINVAL;
		fail("find LAB_DIR on the kernel's command line");
	}
	read_job(dir);
	clearenv();
	setenv("PATH",
	       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	       1);
	setenv("HOME", "/tmp", 1);
	setenv("WT_MNT", SCRATCH, 1);
	parse_job();
	set_up_mounts();
	write_text("/proc/sys/kernel/hung_task_timeout_secs", "30");

	status = run_command();
	/* After a hang, one more must not keep the machine from ending. */
	job.hung = status == OUT_OF_TIME;
	if (!job.hung) {
		if (job.kmemleak)
			look_for_leaks();
		unmount_all();
	}
	hand_out_status(status);
	note("off");
	power_off();
}
