// SPDX-License-Identifier: GPL-2.0
/*
 * wtdemo: one real file, written in five ways, and what each way had done by
 * the time its last call returned.
 *
 * What is on the device is read from the block device, at the addresses the
 * file's extent map gives, and compared with the source: the file system is
 * not asked.  What is dirty and what is cached comes from cachestat(2).
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "wt.h"

#define CHUNK		(1024 * 1024)
#define SUM_LEN		64

enum mode {
	BUFFERED,
	DSYNC,
	DONTCACHE,
	DIRECT,
	WRITETHROUGH,
	NR_MODES,
};

static const char * const mode_name[NR_MODES] = {
	[BUFFERED]	= "buffered",
	[DSYNC]		= "dsync",
	[DONTCACHE]	= "dontcache",
	[DIRECT]	= "direct",
	[WRITETHROUGH]	= "writethrough",
};

struct row {
	bool		supported;
	uint64_t	on_device;
	uint64_t	dirty;
	uint64_t	writeback;
	uint64_t	cached;
	uint64_t	undropped;	/* still cached after dropping caches */
	uint64_t	writes;
	uint64_t	flushes;
	double		seconds;
	bool		sum_dropped;
	bool		sum_remounted;
};

/* A setting of the machine that has to go back to what it was. */
struct setting {
	const char	*path;
	const char	*value;
	char		old[32];
};

/*
 * In this order: the absolute limits and the ratios exclude each other, and
 * what is written last counts.  They go back the same way.
 */
static struct setting settings[] = {
	{ .path = "/proc/sys/vm/dirty_writeback_centisecs", .value = "0" },
	{ .path = "/proc/sys/vm/dirty_expire_centisecs", .value = "360000" },
	{ .path = "/proc/sys/vm/dirty_background_ratio", .value = "80" },
	{ .path = "/proc/sys/vm/dirty_ratio", .value = "95" },
};

static const char *source_path;
static const char *device;
static const char *mount_point;
static char *source;
static uint64_t source_len;
static char source_sum[SUM_LEN + 1];
static unsigned int flag;
static unsigned int block_size;
static unsigned int sector_size;
static uint64_t page_size;
static int raw_fd = -1;
static bool mounted;
static bool show_times;
static const char *times_note = "";

static void restore_settings(void)
{
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (settings[i].old[0])
			wt_write_string(settings[i].path, settings[i].old);
		settings[i].old[0] = '\0';
	}
}

static void clean_up(void)
{
	restore_settings();
	if (mounted && umount2(mount_point, MNT_DETACH) == 0)
		mounted = false;
}

/* Only system calls: safe in a handler. */
static void on_signal(int sig)
{
	clean_up();
	_exit(128 + sig);
}

__attribute__((format(printf, 1, 2), noreturn))
static void die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("wtdemo: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/*
 * Sum of what @next delivers, by sha256sum(1): a program the reader knows and
 * can run over the source.
 */
static void sha256(int (*next)(void *arg, uint64_t off, void *buf, size_t len),
		   void *arg, uint64_t len, char sum[SUM_LEN + 1])
{
	int in[2], out[2], status;
	uint64_t off = 0;
	size_t got = 0;
	char *buf;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execlp("sha256sum", "sha256sum", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);

	buf = malloc(CHUNK);
	if (!buf)
		die("out of memory");
	while (off < len) {
		size_t n = len - off < CHUNK ? len - off : CHUNK;
		size_t done = 0;

		if (next(arg, off, buf, n) < 0)
			die("reading back at %" PRIu64 ": %s", off,
			    strerror(errno));
		while (done < n) {
			ssize_t w = write(in[1], buf + done, n - done);

			if (w < 0)
				die("cannot run sha256sum (coreutils)");
			done += w;
		}
		off += n;
	}
	free(buf);
	close(in[1]);

	while (got < SUM_LEN) {
		ssize_t r = read(out[0], sum + got, SUM_LEN - got);

		if (r <= 0)
			break;
		got += r;
	}
	sum[got] = '\0';
	close(out[0]);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) || got != SUM_LEN)
		die("cannot run sha256sum (coreutils)");
}

static int next_from_memory(void *arg, uint64_t off, void *buf, size_t len)
{
	memcpy(buf, (char *)arg + off, len);
	return 0;
}

static int next_from_fd(void *arg, uint64_t off, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(*(int *)arg, p, len, off);

		if (n < 0)
			return -1;
		if (!n) {
			errno = ENODATA;
			return -1;
		}
		p += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* True if the file's size and sum are the source's. */
static bool same_as_source(int fd)
{
	char sum[SUM_LEN + 1];
	struct stat st;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != source_len)
		return false;
	sha256(next_from_fd, &fd, source_len, sum);
	return !strcmp(sum, source_sum);
}

static void load_source(uint64_t limit)
{
	struct stat st;
	uint64_t off = 0;
	int fd;

	fd = open(source_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		die("%s: %s", source_path, strerror(errno));
	if (fstat(fd, &st) < 0)
		die("%s: %s", source_path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die("%s: not a regular file", source_path);
	if (!st.st_size)
		die("%s: empty", source_path);
	source_len = st.st_size;
	if (limit && source_len > limit)
		source_len = limit;

	/* In memory, page aligned: O_DIRECT writes come straight from here. */
	source = mmap(NULL, wt_round_up(source_len, CHUNK),
		      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (source == MAP_FAILED)
		die("no memory for %" PRIu64 " bytes of %s", source_len,
		    source_path);
	while (off < source_len) {
		size_t n = source_len - off < CHUNK ? source_len - off : CHUNK;

		if (next_from_fd(&fd, off, source + off, n) < 0)
			die("%s: %s", source_path, strerror(errno));
		off += n;
	}
	close(fd);
	sha256(next_from_memory, source, source_len, source_sum);
	printf("source  %s: %" PRIu64 " bytes", source_path, source_len);
	if (source_len < (uint64_t)st.st_size)
		printf(" (the first of %lld)", (long long)st.st_size);
	printf(", sha256 %.16s...\n", source_sum);
}

/* Write I/Os and flushes that the device has completed. */
static void device_counts(uint64_t *writes, uint64_t *flushes)
{
	char real[PATH_MAX], path[PATH_MAX + 32];
	unsigned long long v[17];
	const char *name;
	int i, n = 0;
	FILE *f;

	if (!realpath(device, real))
		die("%s: %s", device, strerror(errno));
	name = strrchr(real, '/');
	snprintf(path, sizeof(path), "/sys/class/block/%s/stat",
		 name ? name + 1 : real);
	f = fopen(path, "re");
	if (!f)
		die("%s: %s", path, strerror(errno));
	for (i = 0; i < 17; i++)
		n += fscanf(f, "%llu", &v[i]) == 1;
	fclose(f);
	if (n < 17)
		die("%s: no count of flushes", path);
	*writes = v[4];
	*flushes = v[15];
}

static void mount_it(void)
{
	if (mount(device, mount_point, "xfs", 0, NULL) < 0)
		die("mounting %s on %s: %s", device, mount_point,
		    strerror(errno));
	mounted = true;
}

static void unmount_it(void)
{
	if (umount(mount_point) < 0)
		die("unmounting %s: %s", mount_point, strerror(errno));
	mounted = false;
}

static void make_file_system(void)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		execlp("mkfs.xfs", "mkfs.xfs", "-q", "-f", device,
		       (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0 || status)
		die("mkfs.xfs %s failed", device);
}

static void hold_the_flusher(void)
{
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct setting *s = &settings[i];
		long long old = wt_read_number(s->path);

		if (old >= 0)
			snprintf(s->old, sizeof(s->old), "%lld", old);
		if (old < 0 || wt_write_string(s->path, s->value) < 0)
			die("%s: %s", s->path, strerror(errno));
	}
}

/*
 * How many bytes of the file could be read from the device now and are the
 * source's.  The map is taken before anything else: what is still on its way
 * is not there.
 */
static uint64_t bytes_on_device(const struct wt_map *map)
{
	uint64_t same = 0;
	char *buf;
	size_t i;

	buf = aligned_alloc(page_size, CHUNK);
	if (!buf)
		die("out of memory");
	for (i = 0; i < map->nr; i++) {
		const struct wt_extent *e = &map->ext[i];
		uint64_t off = e->logical;
		uint64_t end = e->logical + e->length;

		if (e->flags & WT_EXTENT_NO_DATA)
			continue;
		while (off < end && off < source_len) {
			uint64_t phys = e->physical + (off - e->logical);
			size_t n = end - off < CHUNK ? end - off : CHUNK;
			size_t k;

			if (wt_raw_read(raw_fd, buf, phys, n) < 0)
				die("reading %s at %" PRIu64 ": %s", device,
				    phys, strerror(errno));
			if (off + n <= source_len &&
			    !memcmp(buf, source + off, n)) {
				same += n;
			} else {
				for (k = 0; k < n && off + k < source_len; k++)
					same += buf[k] == source[off + k];
			}
			off += n;
		}
	}
	free(buf);
	return same;
}

static int write_chunk(int fd, uint64_t off, size_t len, int flags)
{
	while (len) {
		struct iovec iov = { source + off, len };
		ssize_t n = pwritev2(fd, &iov, 1, off, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		off += n;
		len -= n;
	}
	return 0;
}

/* 0, or -1 with errno; the last call of the mode has returned. */
static int write_it(enum mode mode, const char *path, int fd)
{
	uint64_t whole = source_len;
	uint64_t off;
	int flags = 0;

	if (mode == DONTCACHE)
		flags = WT_RWF_DONTCACHE;
	if (mode == WRITETHROUGH)
		flags = flag;
	if (mode == DIRECT)
		whole = wt_round_down(source_len, block_size);

	for (off = 0; off < whole; off += CHUNK) {
		size_t n = whole - off < CHUNK ? whole - off : CHUNK;

		if (write_chunk(fd, off, n, flags) < 0)
			return -1;
	}
	if (whole < source_len) {
		/* O_DIRECT writes whole blocks only; the legend says so. */
		int tail = open(path, O_WRONLY | O_CLOEXEC);

		if (tail < 0 ||
		    write_chunk(tail, whole, source_len - whole, 0) < 0 ||
		    fdatasync(tail) < 0 || close(tail) < 0)
			return -1;
	}
	return 0;
}

static void run_mode(enum mode mode, struct row *row)
{
	uint64_t writes[2], flushes[2];
	struct wt_cachestat cs;
	struct wt_map map = { 0 };
	char path[PATH_MAX];
	double start;
	int fd, oflag = 0;

	snprintf(path, sizeof(path), "%s/%s", mount_point, mode_name[mode]);
	if (mode == DSYNC)
		oflag = O_DSYNC;
	if (mode == DIRECT)
		oflag = O_DIRECT;

	mount_it();
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | oflag, 0600);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	/* The new name is not what is being measured. */
	if (fsync(fd) < 0)
		die("%s: fsync: %s", path, strerror(errno));

	device_counts(&writes[0], &flushes[0]);
	start = now();
	if (write_it(mode, path, fd) < 0) {
		if (errno != EOPNOTSUPP)
			die("%s: %s", path, strerror(errno));
		row->supported = false;
		close(fd);
		unlink(path);
		unmount_it();
		return;
	}
	row->seconds = now() - start;

	/* At return: the map first, it is what ages fastest. */
	if (wt_map_range(fd, 0, source_len, &map) < 0)
		die("%s: extent map: %s", path, strerror(errno));
	if (wt_cachestat(fd, 0, 0, &cs) < 0)
		die("%s: cachestat: %s", path, strerror(errno));
	device_counts(&writes[1], &flushes[1]);

	row->supported = true;
	row->writes = writes[1] - writes[0];
	row->flushes = flushes[1] - flushes[0];
	row->dirty = cs.nr_dirty * page_size;
	row->writeback = cs.nr_writeback * page_size;
	row->cached = cs.nr_cache * page_size;
	row->on_device = bytes_on_device(&map);
	wt_map_free(&map);
	close(fd);

	/*
	 * Nothing is synced here: only clean pages can be dropped, and what
	 * stays says how much of the sum below came from memory.
	 */
	if (wt_write_string("/proc/sys/vm/drop_caches", "1") < 0)
		die("dropping caches: %s", strerror(errno));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	if (wt_cachestat(fd, 0, 0, &cs) < 0)
		die("%s: cachestat: %s", path, strerror(errno));
	row->undropped = cs.nr_cache * page_size;
	row->sum_dropped = same_as_source(fd);
	close(fd);

	unmount_it();
	mount_it();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	row->sum_remounted = same_as_source(fd);
	close(fd);
	unmount_it();
}

static void print_row(enum mode mode, const struct row *row)
{
	if (!row->supported) {
		printf("%-13s not supported by this kernel\n",
		       mode_name[mode]);
		return;
	}
	printf("%-13s %13" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64
	       " %7" PRIu64 " %7" PRIu64 "  %-8s %-8s",
	       mode_name[mode], row->on_device, row->dirty, row->writeback,
	       row->cached, row->writes, row->flushes,
	       !row->sum_dropped ? "BAD" : row->undropped ? "ok*" : "ok",
	       row->sum_remounted ? "ok" : "BAD");
	if (show_times)
		printf(" %8.2f", row->seconds);
	printf("\n");
}

static void print_table(const struct row *rows)
{
	bool kept = false;
	enum mode mode;

	printf("\n%-13s %13s %12s %12s %12s %7s %7s  %-17s", "",
	       "bytes on", "bytes dirty", "bytes under", "bytes", "write",
	       "", "checksum after");
	printf("%s\n", show_times ? "  seconds" : "");
	printf("%-13s %13s %12s %12s %12s %7s %7s  %-8s %-8s", "mode",
	       "device", "in memory", "writeback", "cached", "cmds",
	       "flushes", "drop", "remount");
	printf("%s%s\n", show_times ? " " : "", show_times ? times_note : "");
	for (mode = 0; mode < NR_MODES; mode++) {
		print_row(mode, &rows[mode]);
		kept |= rows[mode].supported && rows[mode].undropped;
	}

	printf("\nAll but the checksums: at the moment the last call returned, with the periodic\n"
	       "flusher stopped. \"On device\": read from %s itself at the addresses in the\n"
	       "file's extent map and equal to the source; it may still be in the device's own\n"
	       "write cache, which only a flush empties.  Checksums: of the file, read after\n"
	       "dropping clean pages (nothing was synced before), then after a remount.\n",
	       device);
	if (kept)
		printf("* read from memory at least in part: dirty pages cannot be dropped.\n");
	if (source_len % block_size)
		printf("direct: the last %" PRIu64 " bytes are less than a block and were written buffered,\n"
		       "with one fdatasync.\n", source_len % block_size);
}

static bool as_promised(const struct row *row)
{
	return row->supported && row->on_device == source_len &&
	       !row->dirty && !row->writeback && !row->undropped &&
	       row->cached == wt_round_up(source_len, page_size) &&
	       row->sum_dropped && row->sum_remounted;
}

/* For somebody who runs a database; nothing is said that was not measured. */
static void print_sentences(const struct row *rows)
{
	if (!as_promised(&rows[WRITETHROUGH]))
		return;
	printf("\nWhen the last write-through call returned, all %" PRIu64 " bytes were on the device and\n"
	       "none was dirty in memory: a checkpoint has no data left to write, only one flush\n"
	       "to ask for with fdatasync, and the next read is served from the page cache.\n",
	       source_len);
	printf("The same writes without the flag had %" PRIu64 " bytes there; O_DSYNC got them there\n"
	       "with %" PRIu64 " flushes instead of %" PRIu64 ", and O_DIRECT left %" PRIu64 " bytes in the page cache.\n",
	       rows[BUFFERED].on_device, rows[DSYNC].flushes,
	       rows[WRITETHROUGH].flushes, rows[DIRECT].cached);
}

static int verdict(const struct row *rows)
{
	const struct row *wt = &rows[WRITETHROUGH];
	enum mode mode;

	printf("\n");
	if (!wt->supported) {
		printf("demo: FAILED, this kernel does not support RWF_WRITETHROUGH\n");
		return 1;
	}
	if (!as_promised(wt)) {
		printf("demo: FAILED, the write-through row is not as promised:%s%s%s%s%s%s\n",
		       wt->on_device != source_len ? " bytes not on the device;" : "",
		       wt->dirty ? " dirty pages;" : "",
		       wt->writeback ? " pages under writeback;" : "",
		       wt->cached != wt_round_up(source_len, page_size) ?
				" pages not cached;" : "",
		       wt->undropped ? " pages that could not be dropped;" : "",
		       wt->sum_dropped && wt->sum_remounted ? "" :
				" wrong checksum;");
		return 1;
	}
	for (mode = 0; mode < NR_MODES; mode++) {
		if (!rows[mode].supported)
			continue;
		if (rows[mode].sum_dropped && rows[mode].sum_remounted)
			continue;
		printf("demo: FAILED, wrong checksum in the %s row\n",
		       mode_name[mode]);
		return 1;
	}
	printf("demo: the write-through row is as promised\n");
	return 0;
}

/* Times mean nothing in User-Mode Linux, and little in an emulator: say so. */
static void decide_times(void)
{
	const char *arch = getenv("WT_ARCH");
	char line[256];
	FILE *f;

	if (!arch || strcmp(arch, "x86_64"))
		return;
	show_times = true;
	f = fopen("/proc/cpuinfo", "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "model name", 10) && strstr(line, "TCG"))
			times_note = "emulated";
		else if (!strncmp(line, "flags", 5) &&
			 strstr(line, "hypervisor") && !*times_note)
			times_note = "virtual";
	}
	fclose(f);
}

static void usage(void)
{
	fputs("usage: wtdemo [--device DEV] [--mount DIR] [--limit BYTES] FILE\n"
	      "Writes FILE in five modes to a new XFS on DEV (whose content is lost),\n"
	      "mounted on DIR.  Default: $WT_DEV and $WT_MNT.\n", stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "mount", required_argument, NULL, 'm' },
		{ "limit", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct row rows[NR_MODES] = { 0 };
	uint64_t limit = 0;
	struct statvfs fs;
	enum mode mode;
	int c;

	device = getenv("WT_DEV");
	mount_point = getenv("WT_MNT");
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			device = optarg;
			break;
		case 'm':
			mount_point = optarg;
			break;
		case 'l':
			limit = strtoull(optarg, NULL, 0);
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1 || !device || !mount_point)
		usage();
	source_path = argv[optind];
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	atexit(clean_up);

	page_size = sysconf(_SC_PAGESIZE);
	flag = wt_flag();
	decide_times();
	load_source(limit);

	make_file_system();
	mount_it();
	if (statvfs(mount_point, &fs) < 0)
		die("%s: %s", mount_point, strerror(errno));
	block_size = fs.f_bsize;
	unmount_it();
	raw_fd = wt_raw_open(device, &sector_size);
	if (raw_fd < 0)
		die("%s: %s", device, strerror(errno));
	printf("device  %s, a new XFS, %u-byte blocks; writes of %u KiB\n",
	       device, block_size, CHUNK / 1024);
	if (flag)
		printf("flag    RWF_WRITETHROUGH is %#x (%s)\n", flag,
		       WT_FEATURE_FILE);
	else
		printf("flag    no RWF_WRITETHROUGH in this kernel (no %s)\n",
		       WT_FEATURE_FILE);

	hold_the_flusher();
	for (mode = 0; mode < NR_MODES; mode++) {
		printf("%s ...\n", mode_name[mode]);
		fflush(stdout);
		if (mode == WRITETHROUGH && !flag)
			continue;
		run_mode(mode, &rows[mode]);
	}
	restore_settings();

	print_table(rows);
	print_sentences(rows);
	return verdict(rows);
}
