// SPDX-License-Identifier: GPL-2.0
/*
 * wtx: exercise one file and know at every moment what must be in it.
 *
 * Random operations run on the file; a model in memory holds the content and
 * size that the file must have.  After an operation a window is compared, now
 * and then everything.  A synced or written-through range is moreover looked
 * for on the block device itself, and its pages must not be dirty.
 *
 * An operation is one line of text that says everything about it, the data and
 * the checks that follow it included.  So a log can be replayed, and lines can
 * be taken out of it until only those remain that make it fail.
 */
/* libs: -luring -laio */
#define _GNU_SOURCE
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <libaio.h>
#include <liburing.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <linux/falloc.h>

#include "wt.h"

#ifndef FALLOC_FL_WRITE_ZEROES
#define FALLOC_FL_WRITE_ZEROES	0x80
#endif

#define SECTOR		512
#define MAX_VEC		8
#define MAX_PIECES	8
#define MAX_ORDER	9	/* of a folio whose dirt may be a neighbour's */
#define RECENT		65536	/* operations kept in memory for a report */
#define NR_EDGES	16

enum code {
	OP_READ,
	OP_MAPREAD,
	OP_DREAD,
	OP_WRITE,
	OP_RINGWRITE,
	OP_AIOWRITE,
	OP_WT,
	OP_RINGWT,
	OP_AIOWT,
	OP_DWRITE,
	OP_MAPWRITE,
	OP_TRUNCATE,
	OP_ALLOC,
	OP_KEEPALLOC,
	OP_PUNCH,
	OP_ZERO,
	OP_KEEPZERO,
	OP_WRITEZEROES,
	OP_COLLAPSE,
	OP_INSERT,
	OP_UNSHARE,
	OP_CLONE,
	OP_CLONEBACK,
	OP_CLONEWRITE,
	OP_COPY,
	OP_FSYNC,
	OP_FDATASYNC,
	OP_SYNCRANGE,
	OP_MSYNC,
	OP_DONTNEED,
	OP_DROPCACHES,
	OP_FREEZE,
	OP_REMOUNT,
	OP_REOPEN,
	OP_CHECK,
	OP_PLANT,
	NR_OPS,
};

#define K_WRITE		0x01	/* goes through exec_write() */
#define K_THROUGH	0x02	/* with the write-through flag */
#define K_SIZE		0x04	/* changes or needs the whole file's size */
#define K_OWNER		0x08	/* needs the mount to be ours */
#define K_DIRECT	0x10	/* whole sectors, O_DIRECT descriptor */
#define K_SURE		0x20	/* no file system may refuse it */
#define K_STATE		0x40	/* count the state of the blocks it meets */
#define K_ALONE		0x80	/* not while other processes use the file */

static const struct {
	const char	*name;
	unsigned int	weight;
	unsigned int	kind;
} ops[NR_OPS] = {
	[OP_READ]	= { "read", 60, K_SURE },
	[OP_MAPREAD]	= { "mapread", 40, 0 },
	[OP_DREAD]	= { "dread", 30, K_DIRECT | K_ALONE },
	[OP_WRITE]	= { "write", 80, K_WRITE | K_SURE | K_STATE },
	[OP_RINGWRITE]	= { "ringwrite", 15, K_WRITE | K_STATE },
	[OP_AIOWRITE]	= { "aiowrite", 15, K_WRITE | K_STATE },
	[OP_WT]		= { "wt", 160, K_WRITE | K_THROUGH | K_STATE },
	[OP_RINGWT]	= { "ringwt", 80, K_WRITE | K_THROUGH | K_STATE },
	[OP_AIOWT]	= { "aiowt", 50, K_WRITE | K_THROUGH | K_STATE },
	[OP_DWRITE]	= { "dwrite", 40,
			    K_WRITE | K_DIRECT | K_STATE | K_ALONE },
	[OP_MAPWRITE]	= { "mapwrite", 60, K_STATE },
	[OP_TRUNCATE]	= { "truncate", 30, K_SURE | K_SIZE },
	[OP_ALLOC]	= { "alloc", 12, 0 },
	[OP_KEEPALLOC]	= { "keepalloc", 12, 0 },
	[OP_PUNCH]	= { "punch", 20, K_STATE },
	[OP_ZERO]	= { "zero", 12, K_STATE },
	[OP_KEEPZERO]	= { "keepzero", 12, K_STATE },
	[OP_WRITEZEROES] = { "writezeroes", 5, K_STATE },
	[OP_COLLAPSE]	= { "collapse", 8, K_SIZE },
	[OP_INSERT]	= { "insert", 8, K_SIZE },
	[OP_UNSHARE]	= { "unshare", 8, K_STATE },
	[OP_CLONE]	= { "clone", 15, 0 },
	[OP_CLONEBACK]	= { "cloneback", 12, K_STATE },
	[OP_CLONEWRITE]	= { "clonewrite", 8, 0 },
	[OP_COPY]	= { "copy", 12, K_STATE },
	[OP_FSYNC]	= { "fsync", 12, K_SURE },
	[OP_FDATASYNC]	= { "fdatasync", 12, K_SURE },
	[OP_SYNCRANGE]	= { "syncrange", 12, 0 },
	[OP_MSYNC]	= { "msync", 8, 0 },
	[OP_DONTNEED]	= { "dontneed", 15, 0 },
	[OP_DROPCACHES]	= { "dropcaches", 2, K_OWNER },
	[OP_FREEZE]	= { "freeze", 1, K_OWNER | K_ALONE },
	[OP_REMOUNT]	= { "remount", 1, K_OWNER | K_ALONE },
	[OP_REOPEN]	= { "reopen", 6, K_SURE },
	/* these two are put in by count, not by chance */
	[OP_CHECK]	= { "check", 0, K_SURE },
	[OP_PLANT]	= { "plant", 0, K_SURE },
};

/* The low bits are the RWF flags themselves; then which descriptor. */
#define F_HIPRI		WT_RWF_HIPRI
#define F_DSYNC		WT_RWF_DSYNC
#define F_SYNC		WT_RWF_SYNC
#define F_NOWAIT	WT_RWF_NOWAIT
#define F_APPEND	WT_RWF_APPEND
#define F_NOAPPEND	WT_RWF_NOAPPEND
#define F_ATOMIC	WT_RWF_ATOMIC
#define F_DONTCACHE	WT_RWF_DONTCACHE
#define F_NOSIGNAL	WT_RWF_NOSIGNAL
#define F_RWF		0x1ff
#define F_ODIRECT	0x200
#define F_ODSYNC	0x400
#define F_OAPPEND	0x800
#define NR_FLAGS	12
#define NR_COMBOS	(1 << NR_FLAGS)

static const char * const flag_name[NR_FLAGS] = {
	"hipri", "dsync", "sync", "nowait", "append", "noappend", "atomic",
	"dontcache", "nosignal", "odirect", "odsync", "oappend",
};

/* What an operation met, and how often: the table at the end. */
enum state {
	ST_HOLE,
	ST_DELAYED,
	ST_UNWRITTEN,
	ST_REAL,
	ST_SHARED,
	ST_DIRTY,
	ST_WRITEBACK,
	ST_CLEAN,
	ST_UNCACHED,
	ST_EOF,
	NR_STATES,
};

static const char * const state_name[NR_STATES] = {
	"hole", "delayed", "unwrit", "real", "shared", "dirty", "wback",
	"clean", "uncach", "EOF",
};

struct op {
	enum code	code;
	unsigned int	flags;
	unsigned int	vec;	/* segments */
	unsigned int	mem;	/* misalignment of the buffer */
	unsigned int	pieces;	/* submitted together */
	bool		self;	/* data comes from the file's mapping, off2 */
	int64_t		off;
	int64_t		len;
	int64_t		off2;
	int64_t		fault;	/* bytes before the unreadable page, or -1 */
	uint64_t	data;	/* seed of the data and of the checks after it */
};

struct count {
	uint64_t	done;
	uint64_t	skipped;	/* made no sense in this state */
	uint64_t	again;		/* EAGAIN, as RWF_NOWAIT may */
	uint64_t	nospace;
	uint64_t	cut;		/* short, for a reason */
	uint64_t	refused;
};

enum fd_kind { FD_PLAIN, FD_DIRECT, FD_DSYNC, FD_APPEND, NR_FDS };

static const int fd_flags[NR_FDS] = {
	[FD_PLAIN]	= O_RDWR,
	[FD_DIRECT]	= O_RDWR | O_DIRECT,
	[FD_DSYNC]	= O_RDWR | O_DSYNC,
	[FD_APPEND]	= O_RDWR | O_APPEND,
};

/* Set by options; the same for all processes. */
static struct {
	const char	*program;
	const char	*file;
	const char	*dev;
	const char	*mnt;
	const char	*rawdev;
	const char	*replay;
	const char	*shrink;
	const char	*log;
	uint64_t	seed;
	uint64_t	nr_ops;
	double		seconds;
	uint64_t	max;
	uint64_t	check_every;
	uint64_t	plant;
	unsigned int	processes;
	unsigned int	flag;
	bool		flag_given;
	bool		shared;
	bool		no_atomic;
	bool		drop_caches;
	bool		require;
	bool		quiet;
	bool		no_fault;
	bool		no_self;
	unsigned int	weight[NR_OPS];
} opt = {
	.max		= 1024 * 1024,
	.check_every	= 200,
	.processes	= 1,
};

/* The file as it must be. */
static struct {
	unsigned char	*good;
	unsigned char	*dirty;		/* a byte a sector: may be dirty */
	int64_t		size;
	unsigned char	*clone;
	int64_t		clone_size;
} model;

/* This process. */
static struct {
	char		file[PATH_MAX];
	char		clone_file[PATH_MAX + 8];
	char		log_path[PATH_MAX];
	char		fstype[32];
	int		fd[NR_FDS];
	int		clone_fd;
	int		raw_fd;
	int		log_fd;
	int		freeze_fd;
	bool		log_is_ours;
	bool		is_xfs;
	unsigned int	sector;		/* of the raw device */
	int64_t		lo, hi;		/* our part of the file */
	int64_t		block;
	int64_t		page;
	int64_t		largest_folio;
	int64_t		dio_align;
	int64_t		atomic_min, atomic_max;
	unsigned char	*map;
	size_t		map_len;
	unsigned char	*buf;		/* what is written */
	unsigned char	*back;		/* what is read */
	unsigned char	*guard;		/* where the unreadable page begins */
	bool		ring_ready;
	bool		aio_ready;
	struct io_uring	ring;
	io_context_t	aio;
	uint64_t	op_number;
	struct op	recent[RECENT];
	int64_t		edge[NR_EDGES];
	unsigned int	next_edge;
	int64_t		focus, focus_len;
} me;

/* One a process, in memory that their parent sees too. */
struct tally {
	struct count	count[NR_OPS];
	uint64_t	hits[NR_OPS][NR_STATES];
	uint64_t	uncached;	/* write-throughs whose pages were gone */
	uint64_t	ops;
	bool		no_fiemap;
	bool		no_cachestat;
};

static struct tally *tallies;
static struct tally *tally;
static bool refused[NR_OPS][NR_COMBOS];
static uint64_t worked[NR_OPS][NR_COMBOS];

static uint64_t gen_state;	/* which operations */
static uint64_t check_state;	/* which checks after one */

/* ---- numbers and text ---- */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t draw(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ull;
	return mix(*state);
}

/* 0 .. n-1 */
static uint64_t gen(uint64_t n)
{
	return draw(&gen_state) % n;
}

static bool one_in(uint64_t n)
{
	return !gen(n);
}

static uint64_t check_draw(uint64_t n)
{
	return draw(&check_state) % n;
}

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The byte at a place depends on the place and the seed, on nothing else. */
static void fill(unsigned char *p, int64_t off, int64_t len, uint64_t seed)
{
	int64_t i = 0;

	while (i < len) {
		uint64_t word = mix(seed ^ mix((off + i) / 8));
		int64_t k = (off + i) % 8;

		for (; k < 8 && i < len; k++, i++)
			p[i] = word >> (8 * k);
	}
}

static const char *combo_name(enum code code, unsigned int flags)
{
	static char text[256];
	int i, n;

	n = snprintf(text, sizeof(text), "%s", ops[code].name);
	for (i = 0; i < NR_FLAGS; i++)
		if (flags & (1u << i))
			n += snprintf(text + n, sizeof(text) - n, "+%s",
				      flag_name[i]);
	return text;
}

static void op_print(const struct op *op, char *text, size_t size)
{
	size_t n;
	int i;
	char sep = '=';

	n = snprintf(text, size, "%s off=%" PRId64 " len=%" PRId64,
		     ops[op->code].name, op->off, op->len);
	if (op->off2 >= 0)
		n += snprintf(text + n, size - n, " off2=%" PRId64, op->off2);
	n += snprintf(text + n, size - n, " d=%" PRIx64, op->data);
	if (op->flags) {
		n += snprintf(text + n, size - n, " f");
		for (i = 0; i < NR_FLAGS; i++) {
			if (!(op->flags & (1u << i)))
				continue;
			n += snprintf(text + n, size - n, "%c%s", sep,
				      flag_name[i]);
			sep = '+';
		}
	}
	if (op->vec > 1)
		n += snprintf(text + n, size - n, " vec=%u", op->vec);
	if (op->mem)
		n += snprintf(text + n, size - n, " mem=%u", op->mem);
	if (op->pieces > 1)
		n += snprintf(text + n, size - n, " n=%u", op->pieces);
	if (op->self)
		n += snprintf(text + n, size - n, " self=1");
	if (op->fault >= 0)
		snprintf(text + n, size - n, " fault=%" PRId64, op->fault);
}

static bool op_parse_flags(struct op *op, char *list)
{
	char *name, *save;
	int i;

	for (name = strtok_r(list, "+", &save); name;
	     name = strtok_r(NULL, "+", &save)) {
		for (i = 0; i < NR_FLAGS; i++)
			if (!strcmp(name, flag_name[i]))
				break;
		if (i == NR_FLAGS)
			return false;
		op->flags |= 1u << i;
	}
	return true;
}

static int find_op(const char *name)
{
	int i;

	for (i = 0; i < NR_OPS; i++)
		if (!strcmp(name, ops[i].name))
			return i;
	return -1;
}

static bool op_parse(struct op *op, const char *text)
{
	char line[600], *word, *save, *val;
	int code;

	*op = (struct op) { .off2 = -1, .fault = -1, .vec = 1, .pieces = 1 };
	snprintf(line, sizeof(line), "%s", text);
	word = strtok_r(line, " \t\n", &save);
	if (!word)
		return false;
	code = find_op(word);
	if (code < 0)
		return false;
	op->code = code;
	while ((word = strtok_r(NULL, " \t\n", &save))) {
		val = strchr(word, '=');
		if (!val)
			return false;
		*val++ = '\0';
		if (!strcmp(word, "off"))
			op->off = strtoll(val, NULL, 10);
		else if (!strcmp(word, "len"))
			op->len = strtoll(val, NULL, 10);
		else if (!strcmp(word, "off2"))
			op->off2 = strtoll(val, NULL, 10);
		else if (!strcmp(word, "d"))
			op->data = strtoull(val, NULL, 16);
		else if (!strcmp(word, "vec"))
			op->vec = strtoul(val, NULL, 10);
		else if (!strcmp(word, "mem"))
			op->mem = strtoul(val, NULL, 10);
		else if (!strcmp(word, "n"))
			op->pieces = strtoul(val, NULL, 10);
		else if (!strcmp(word, "self"))
			op->self = val[0] == '1';
		else if (!strcmp(word, "fault"))
			op->fault = strtoll(val, NULL, 10);
		else if (strcmp(word, "f") || !op_parse_flags(op, val))
			return false;
	}
	/* A log may be edited by hand: nothing in it may leave our memory. */
	return op->off >= 0 && op->len >= 0 &&
	       op->off <= (int64_t)opt.max &&
	       op->len <= (int64_t)opt.max - op->off &&
	       op->off2 <= (int64_t)opt.max &&
	       op->vec >= 1 && op->vec <= MAX_VEC && op->mem < SECTOR &&
	       op->pieces >= 1 && op->pieces <= MAX_PIECES &&
	       op->fault <= op->len;
}

/* ---- failing ---- */

static void thaw(void)
{
	if (me.freeze_fd >= 0) {
		ioctl(me.freeze_fd, FITHAW, 0);
		close(me.freeze_fd);
		me.freeze_fd = -1;
	}
}

static void print_quoted(FILE *f, const char *s)
{
	const char *p;

	for (p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("/._-+=,:", *p))
			break;
	if (*s && !*p) {
		fprintf(f, " %s", s);
		return;
	}
	fputs(" '", f);
	for (p = s; *p; p++)
		if (*p == '\'')
			fputs("'\\''", f);
		else
			fputc(*p, f);
	fputc('\'', f);
}

/* Everything that decides how a log runs; not what decides which log. */
static void print_command(FILE *f, const char *what, const char *log)
{
	print_quoted(f, opt.program);
	if (opt.dev && opt.mnt) {
		fprintf(f, " --dev");
		print_quoted(f, opt.dev);
		fprintf(f, " --mnt");
		print_quoted(f, opt.mnt);
	}
	if (opt.rawdev) {
		fprintf(f, " --rawdev");
		print_quoted(f, opt.rawdev);
	}
	if (opt.drop_caches)
		fprintf(f, " --drop-caches");
	if (opt.flag_given)
		fprintf(f, " --flag %#x", opt.flag);
	fprintf(f, " %s", what);
	print_quoted(f, log);
	print_quoted(f, me.file);
	fputc('\n', f);
}

static bool touches(const struct op *op, int64_t off)
{
	if (op->code == OP_COLLAPSE || op->code == OP_INSERT)
		return op->off <= off;
	if (op->code == OP_TRUNCATE)
		return op->len <= off;
	if (op->code == OP_COPY || op->code == OP_CLONEBACK)
		return op->off2 <= off && off < op->off2 + op->len;
	return op->off <= off && off < op->off + op->len;
}

static void print_history(FILE *f, int64_t off)
{
	uint64_t n = me.op_number;
	uint64_t first = n > 16 ? n - 16 : 0;
	uint64_t oldest = n > RECENT ? n - RECENT : 0;
	uint64_t i, found[8];
	int nr = 0;
	char text[512];

	fprintf(f, "last operations:\n");
	for (i = first; i < n; i++) {
		op_print(&me.recent[i % RECENT], text, sizeof(text));
		fprintf(f, "  %" PRIu64 ": %s\n", i + 1, text);
	}
	if (off < 0)
		return;
	for (i = n; i > oldest && nr < 8; i--) {
		const struct op *op = &me.recent[(i - 1) % RECENT];

		if (op->code != OP_CHECK && touches(op, off))
			found[nr++] = i - 1;
	}
	fprintf(f, "last operations at offset %" PRId64 ":\n", off);
	while (nr--) {
		op_print(&me.recent[found[nr] % RECENT], text, sizeof(text));
		fprintf(f, "  %" PRIu64 ": %s\n", found[nr] + 1, text);
	}
}

/* @off: where in the file, or -1 */
__attribute__((format(printf, 2, 3), noreturn))
static void fail(int64_t off, const char *fmt, ...)
{
	char text[512] = "(none)";
	va_list ap;

	/* The report may go to the frozen file system. */
	thaw();
	if (opt.quiet)
		_exit(1);
	fflush(stdout);
	if (me.op_number)
		op_print(&me.recent[(me.op_number - 1) % RECENT], text,
			 sizeof(text));
	printf("wtx: FAILED: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\nfile %s, size by the model %" PRId64 ", seed %" PRIu64
	       ", operation %" PRIu64 ": %s\n",
	       me.file, model.size, opt.seed, me.op_number, text);
	print_history(stdout, off);
	if (opt.shared) {
		printf("log of this process: %s (processes that share a file cannot be replayed)\n",
		       me.log_path);
	} else if (me.log_path[0]) {
		printf("log: %s\nreplay:", me.log_path);
		print_command(stdout, "--replay", me.log_path);
		printf("shrink:");
		print_command(stdout, "--shrink", me.log_path);
	}
	fflush(stdout);
	_exit(1);
}

__attribute__((format(printf, 1, 2), noreturn))
static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("wtx: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static void *get_memory(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("no memory for %zu bytes", len);
	return p;
}

/* ---- the model ---- */

/* Rounded out to blocks: that is what a write makes dirty. */
static void may_be_dirty(int64_t off, int64_t len)
{
	int64_t i, end = wt_round_up(off + len, me.block);

	for (i = wt_round_down(off, me.block); i < end && len > 0; i += SECTOR)
		model.dirty[i / SECTOR] = 1;
}

/*
 * A store to a mapping makes all of its folio dirty, and nobody says how large
 * that is: as large as they come, and a page where there are no large ones.
 * A file's last page may reach beyond @opt.max.
 */
static void folio_may_be_dirty(int64_t off, int64_t len)
{
	int64_t from = wt_round_down(off, me.largest_folio);
	int64_t to = min64(wt_round_up(off + len, me.largest_folio),
			   wt_round_up(opt.max, me.page));

	may_be_dirty(from, to - from);
}

static void is_clean(int64_t off, int64_t len)
{
	int64_t i, end = wt_round_up(off + len, me.block);

	for (i = wt_round_down(off, me.block); i < end && len > 0; i += SECTOR)
		model.dirty[i / SECTOR] = 0;
}

static void all_clean(void)
{
	memset(model.dirty, 0, wt_round_up(opt.max, me.page) / SECTOR + 1);
}

static bool any_dirty(int64_t off, int64_t end)
{
	int64_t i;

	/* Whatever is not ours may be dirty at any time. */
	if (opt.shared && (off < me.lo || end > me.hi))
		return true;
	end = min64(end, wt_round_up(opt.max, me.page));
	for (i = off; i < end; i += SECTOR)
		if (model.dirty[i / SECTOR])
			return true;
	return false;
}

/* The file grows: the block that held the end of it may be zeroed on. */
static void model_grow(int64_t size)
{
	if (size <= model.size)
		return;
	if (model.size % me.block)
		may_be_dirty(model.size, 1);
	model.size = size;
}

static void model_write(int64_t off, const unsigned char *p, int64_t len)
{
	if (len <= 0)
		return;
	memcpy(model.good + off, p, len);
	model_grow(off + len);
}

static void model_zero(int64_t off, int64_t len)
{
	len = min64(len, model.size - off);
	if (len <= 0)
		return;
	memset(model.good + off, 0, len);
	may_be_dirty(off, 1);
	may_be_dirty(off + len - 1, 1);
}

static void model_truncate(int64_t size)
{
	if (size < model.size) {
		memset(model.good + size, 0, model.size - size);
		if (size % me.block)
			may_be_dirty(size, 1);
		model.size = size;
	} else {
		model_grow(size);
	}
}

/* ---- the file ---- */

static void edge(int64_t off)
{
	if (off >= me.lo && off <= me.hi)
		me.edge[me.next_edge++ % NR_EDGES] = off;
}

static int get_fd(enum fd_kind kind)
{
	if (me.fd[kind] < 0)
		me.fd[kind] = open(me.file, fd_flags[kind] | O_CLOEXEC);
	return me.fd[kind];
}

static int fd_for(unsigned int flags, enum code code)
{
	if (flags & F_ODIRECT || ops[code].kind & K_DIRECT)
		return get_fd(FD_DIRECT);
	if (flags & F_ODSYNC)
		return get_fd(FD_DSYNC);
	if (flags & F_OAPPEND)
		return get_fd(FD_APPEND);
	return get_fd(FD_PLAIN);
}

static void map_file(void)
{
	me.map = mmap(NULL, me.map_len, PROT_READ | PROT_WRITE, MAP_SHARED,
		      get_fd(FD_PLAIN), 0);
	if (me.map == MAP_FAILED) {
		me.map = NULL;
		opt.weight[OP_MAPREAD] = 0;
		opt.weight[OP_MAPWRITE] = 0;
		opt.weight[OP_MSYNC] = 0;
	}
}

static void close_files(void)
{
	int i;

	if (me.map)
		munmap(me.map, me.map_len);
	me.map = NULL;
	for (i = 0; i < NR_FDS; i++) {
		if (me.fd[i] >= 0 && close(me.fd[i]) < 0)
			fail(-1, "close: %s", strerror(errno));
		me.fd[i] = -1;
	}
	if (me.clone_fd >= 0 && close(me.clone_fd) < 0)
		fail(-1, "close: %s", strerror(errno));
	me.clone_fd = -1;
}

static void open_files(void)
{
	if (get_fd(FD_PLAIN) < 0)
		fail(-1, "%s: %s", me.file, strerror(errno));
	me.clone_fd = open(me.clone_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (me.clone_fd < 0)
		fail(-1, "%s: %s", me.clone_file, strerror(errno));
	map_file();
}

static sigjmp_buf bus_jump;
static volatile sig_atomic_t bus_expected;

static void on_sigbus(int sig)
{
	if (bus_expected)
		siglongjmp(bus_jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* ---- checks ---- */

static void compare(const char *how, const unsigned char *want,
		    const unsigned char *got, int64_t off, int64_t len)
{
	int64_t i, first, last = 0, bad = 0;
	char w[64], g[64];
	int n;

	if (!memcmp(want, got, len))
		return;
	first = -1;
	for (i = 0; i < len; i++) {
		if (want[i] == got[i])
			continue;
		if (first < 0)
			first = i;
		last = i;
		bad++;
	}
	for (n = 0; n < 16 && first + n < len; n++) {
		snprintf(w + 3 * n, 4, " %02x", want[first + n]);
		snprintf(g + 3 * n, 4, " %02x", got[first + n]);
	}
	fail(off + first,
	     "%s: wrong content: %" PRId64 " bytes between offset %" PRId64
	     " and %" PRId64 "\n  at %#" PRIx64 " expected%s\n  at %#" PRIx64
	     "      got%s",
	     how, bad, off + first, off + last, off + first, w, off + first,
	     g);
}

static void read_all(int fd, const char *how, unsigned char *buf, int64_t off,
		     int64_t len)
{
	int64_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, off + done);

		if (n <= 0)
			fail(off + done, "%s: reading %" PRId64 " bytes: %s",
			     how, len - done,
			     n ? strerror(errno) : "end of file too early");
		done += n;
	}
}

static void check_window(const char *how, int64_t off, int64_t len)
{
	off = max64(off, me.lo);
	len = min64(len, min64(me.hi, model.size) - off);
	if (len <= 0)
		return;
	read_all(get_fd(FD_PLAIN), how, me.back, off, len);
	compare(how, model.good + off, me.back, off, len);
}

static void check_size(void)
{
	struct stat st;

	if (fstat(get_fd(FD_PLAIN), &st) < 0)
		fail(-1, "fstat: %s", strerror(errno));
	if (st.st_size != model.size)
		fail(min64(st.st_size, model.size),
		     "wrong size: expected %" PRId64 ", got %lld", model.size,
		     (long long)st.st_size);
}

static void check_clone(void)
{
	struct stat st;

	if (fstat(me.clone_fd, &st) < 0)
		fail(-1, "fstat of the clone: %s", strerror(errno));
	if (st.st_size != model.clone_size)
		fail(-1, "clone: wrong size: expected %" PRId64 ", got %lld",
		     model.clone_size, (long long)st.st_size);
	read_all(me.clone_fd, "clone", me.back, 0, model.clone_size);
	compare("clone", model.clone, me.back, 0, model.clone_size);
}

static void check_everything(void)
{
	check_size();
	check_window("check", me.lo, me.hi - me.lo);
	check_clone();
}

/*
 * The range on the device.  If it has just been written there, it must be
 * allocated and written: the bytes, or, from the page cache, whole blocks.  If
 * it has been synced, what has no place on the device must be zeros.
 */
enum expect { SYNCED, BYTES_WRITTEN, BLOCKS_WRITTEN };

static void check_device(const char *how, int64_t off, int64_t len,
			 enum expect expect)
{
	bool strict = expect != SYNCED;
	static struct wt_map map;
	int64_t end, at;
	size_t i;

	if (me.raw_fd < 0 || tally->no_fiemap)
		return;
	end = min64(off + len, min64(me.hi, model.size));
	if (expect == BLOCKS_WRITTEN && !opt.shared) {
		off = wt_round_down(off, me.block);
		end = min64(wt_round_up(end, me.block), model.size);
	}
	off = max64(off, me.lo);
	if (off >= end)
		return;
	if (wt_map_range(get_fd(FD_PLAIN), off, end - off, &map) < 0)
		fail(off, "%s: extent map: %s", how, strerror(errno));

	at = off;
	for (i = 0; i <= map.nr && at < end; i++) {
		struct wt_extent e = { .logical = end };
		int64_t from, to, raw_from, raw_to;

		if (i < map.nr)
			e = map.ext[i];
		if (e.flags & WT_EXTENT_NO_DATA && !strict)
			continue;
		from = max64(at, e.logical);
		from = min64(from, end);
		if (strict && from > at)
			fail(at, "%s: not on the device: a hole at %" PRId64,
			     how, at);
		if (from > at) {
			memset(me.back, 0, from - at);
			compare(how, model.good + at, me.back, at, from - at);
		}
		if (i == map.nr)
			break;
		if (e.flags & WT_EXTENT_NO_DATA)
			fail(from,
			     "%s: not on the device: extent at %" PRId64
			     " has flags %#x", how, from, e.flags);
		to = min64(end, e.logical + e.length);
		if (to <= from)
			continue;
		raw_from = wt_round_down(from, me.sector);
		raw_to = wt_round_up(to, me.sector);
		if (wt_raw_read(me.raw_fd, me.back,
				e.physical + (raw_from - e.logical),
				raw_to - raw_from) < 0)
			fail(from, "%s: reading %s: %s", how, opt.rawdev,
			     strerror(errno));
		compare(how, model.good + from, me.back + (from - raw_from),
			from, to - from);
		at = to;
	}
}

static uint64_t busy_pages(int64_t off, int64_t len)
{
	struct wt_cachestat cs;

	if (wt_cachestat(get_fd(FD_PLAIN), off, len, &cs) < 0) {
		tally->no_cachestat = true;
		return 0;
	}
	return max64(cs.nr_dirty, cs.nr_writeback);
}

/*
 * A page counts as dirty if its folio is, which may hold other blocks that
 * rightly are.  The folio's size cannot be asked for, but it is a power of two
 * at a multiple of itself, and all its pages are dirty together.
 */
static bool dirt_is_anothers(int64_t page_off)
{
	int order;

	for (order = 0; order <= MAX_ORDER; order++) {
		int64_t len = me.page << order;
		int64_t off = wt_round_down(page_off, len);

		if (busy_pages(off, len) != (uint64_t)1 << order)
			return false;
		if (any_dirty(off, off + len))
			return true;
	}
	return false;
}

static void check_clean(const char *how, int64_t off, int64_t len)
{
	int64_t at, end = wt_round_up(off + len, me.page);
	struct wt_cachestat cs;

	if (tally->no_cachestat)
		return;
	off = wt_round_down(off, me.page);
	if (!busy_pages(off, end - off))
		return;
	for (at = off; at < end; at += me.page) {
		if (!busy_pages(at, me.page) || dirt_is_anothers(at))
			continue;
		/* Who shares the page with us writes at any time. */
		if (opt.shared && (at < me.lo || at + me.page > me.hi))
			continue;
		/* Look again: a neighbour's writeback may just have ended. */
		if (wt_cachestat(get_fd(FD_PLAIN), at, me.page, &cs) < 0 ||
		    !(cs.nr_dirty + cs.nr_writeback))
			continue;
		fail(at, "%s: the page at %" PRId64
		     " is still dirty (%" PRIu64 ") or under writeback (%"
		     PRIu64 ")", how, at, cs.nr_dirty, cs.nr_writeback);
	}
}

static void count_uncached(int64_t off, int64_t len)
{
	struct wt_cachestat cs;
	int64_t first = wt_round_down(off, me.page);
	int64_t pages = (wt_round_up(off + len, me.page) - first) / me.page;

	if (tally->no_cachestat)
		return;
	if (wt_cachestat(get_fd(FD_PLAIN), first, off + len - first, &cs) == 0 &&
	    (int64_t)cs.nr_cache < pages)
		tally->uncached++;
}

static void count_state(enum code code, int64_t off, int64_t len)
{
	static struct wt_map map;
	struct wt_cachestat cs;
	uint32_t flags;

	if (off + len > model.size)
		tally->hits[code][ST_EOF]++;
	if (!tally->no_fiemap) {
		if (wt_map_range(get_fd(FD_PLAIN), off, 1, &map) < 0) {
			tally->no_fiemap = true;
			return;
		}
		flags = map.nr ? map.ext[0].flags : 0;
		if (!map.nr || (int64_t)map.ext[0].logical > off)
			tally->hits[code][ST_HOLE]++;
		else if (flags & FIEMAP_EXTENT_DELALLOC)
			tally->hits[code][ST_DELAYED]++;
		else if (flags & FIEMAP_EXTENT_UNWRITTEN)
			tally->hits[code][ST_UNWRITTEN]++;
		else
			tally->hits[code][ST_REAL]++;
		if (map.nr && flags & FIEMAP_EXTENT_SHARED)
			tally->hits[code][ST_SHARED]++;
	}
	if (!tally->no_cachestat && !wt_cachestat(get_fd(FD_PLAIN), off, 1, &cs)) {
		if (!cs.nr_cache)
			tally->hits[code][ST_UNCACHED]++;
		else if (cs.nr_writeback)
			tally->hits[code][ST_WRITEBACK]++;
		else if (cs.nr_dirty)
			tally->hits[code][ST_DIRTY]++;
		else
			tally->hits[code][ST_CLEAN]++;
	}
}

/* ---- results that are no failure ---- */

static bool is_refusal(int err)
{
	return err == EOPNOTSUPP || err == ENOTTY || err == ENOSYS ||
	       err == EXDEV || err == EINVAL;
}

static bool is_refused(enum code code, unsigned int flags)
{
	unsigned int sub = flags;

	/* What is refused alone is refused in company. */
	for (;;) {
		if (refused[code][sub])
			return true;
		if (!sub)
			return false;
		sub = (sub - 1) & flags;
	}
}

/*
 * Switched off and named, once.  But what has worked before may not be refused
 * later: write-through must not depend on the state of the blocks it meets.
 */
static void refuse(const struct op *op, int err)
{
	if (ops[op->code].kind & K_SURE && !op->flags)
		fail(op->off, "%s: %s", ops[op->code].name, strerror(err));
	if (worked[op->code][op->flags])
		fail(op->off, "%s worked before and is now refused: %s",
		     combo_name(op->code, op->flags), strerror(err));
	tally->count[op->code].refused++;
	if (is_refused(op->code, op->flags))
		return;
	refused[op->code][op->flags] = true;
	if (!opt.quiet && tally == tallies)
		printf("refused: %s: %s\n", combo_name(op->code, op->flags),
		       strerror(err));
}

static bool is_nospace(int err)
{
	return err == ENOSPC || err == EDQUOT;
}

/* A short count needs a reason; a full file system is one. */
static bool nearly_full(int64_t len)
{
	struct statfs fs;

	if (fstatfs(get_fd(FD_PLAIN), &fs) < 0)
		return false;
	return (int64_t)fs.f_bavail * fs.f_bsize < len + 8 * 1024 * 1024;
}

/*
 * An operation on the whole file stopped half way for want of space, and how
 * far it came is nobody's promise: believe what is there.
 */
static void believe_file(void)
{
	struct stat st;

	if (fstat(get_fd(FD_PLAIN), &st) < 0 || st.st_size > (int64_t)opt.max)
		fail(-1, "size after a full file system: %lld",
		     (long long)st.st_size);
	model_truncate(st.st_size);
	read_all(get_fd(FD_PLAIN), "after ENOSPC", model.good + me.lo, me.lo,
		 min64(me.hi, model.size) - me.lo);
	may_be_dirty(me.lo, min64(me.hi, model.size) - me.lo);
}

static void believe_clone(void)
{
	struct stat st;

	if (fstat(me.clone_fd, &st) < 0 || st.st_size > (int64_t)opt.max)
		fail(-1, "size of the clone after a full file system: %lld",
		     (long long)st.st_size);
	memset(model.clone, 0, opt.max);
	model.clone_size = st.st_size;
	read_all(me.clone_fd, "clone after ENOSPC", model.clone, 0,
		 st.st_size);
}

/* A direct write that failed may have written any part of it. */
static void believe_mix(int64_t off, const unsigned char *data, int64_t len)
{
	struct stat st;
	int64_t i;

	if (fstat(get_fd(FD_PLAIN), &st) < 0)
		fail(-1, "fstat: %s", strerror(errno));
	if (st.st_size > model.size && st.st_size <= off + len)
		model_grow(st.st_size);
	len = min64(len, model.size - off);
	if (len <= 0)
		return;
	read_all(get_fd(FD_PLAIN), "after ENOSPC", me.back, off, len);
	for (i = 0; i < len; i++) {
		if (me.back[i] != data[i] &&
		    me.back[i] != model.good[off + i])
			fail(off + i, "after ENOSPC: %02x is neither old (%02x) nor new (%02x)",
			     me.back[i], model.good[off + i], data[i]);
		model.good[off + i] = me.back[i];
	}
}

/* ---- writing ---- */

struct piece {
	int64_t		off;
	int64_t		len;
	unsigned char	*src;
	struct iovec	iov[MAX_VEC];
	int		nr_iov;
	int64_t		res;	/* count, or negative error */
};

static void make_iov(const struct op *op, struct piece *p)
{
	int64_t left = p->len, unit = 1;
	unsigned int i, nr = op->vec;
	unsigned char *at = p->src;

	/* O_DIRECT wants each segment aligned. */
	if (op->flags & F_ODIRECT || ops[op->code].kind & K_DIRECT)
		unit = me.dio_align;
	p->nr_iov = 0;
	for (i = 0; i < nr && left; i++) {
		int64_t n = left;

		if (i + 1 < nr) {
			n = mix(op->data + i) % (2 * left / (nr - i) + 1);
			n = wt_round_up(n, unit);
			n = min64(n, left);
		}
		/* An empty segment is legal and worth having. */
		p->iov[p->nr_iov].iov_base = at;
		p->iov[p->nr_iov].iov_len = n;
		p->nr_iov++;
		at += n;
		left -= n;
	}
	if (!p->nr_iov) {
		p->iov[0].iov_base = at;
		p->iov[0].iov_len = 0;
		p->nr_iov = 1;
	}
}

static int cut_in_pieces(const struct op *op, int64_t off, int64_t len,
			 unsigned char *src, struct piece *p)
{
	int64_t unit = mix(op->data) & 1 ? me.block : SECTOR;
	int64_t done = 0;
	unsigned int i, nr = op->pieces;

	if (op->flags & F_ODIRECT || ops[op->code].kind & K_DIRECT)
		unit = max64(unit, me.dio_align);
	for (i = 0; done < len && i < nr; i++) {
		int64_t end = len;

		if (i + 1 < nr)
			end = wt_round_up(off + done + (len - done) / (nr - i),
					  unit) - off;
		end = min64(end, len);
		p[i].off = off + done;
		p[i].len = end - done;
		p[i].src = src + done;
		make_iov(op, &p[i]);
		done = end;
	}
	return i;
}

static void submit_sync(int fd, int flags, struct piece *p, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		p[i].res = pwritev2(fd, p[i].iov, p[i].nr_iov, p[i].off, flags);
		if (p[i].res < 0)
			p[i].res = -errno;
	}
}

static void submit_ring(int fd, int flags, struct piece *p, int nr)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int i, ret;

	if (!me.ring_ready) {
		ret = io_uring_queue_init(MAX_PIECES, &me.ring, 0);
		if (ret < 0) {
			for (i = 0; i < nr; i++)
				p[i].res = -ENOSYS;
			return;
		}
		me.ring_ready = true;
	}
	for (i = 0; i < nr; i++) {
		sqe = io_uring_get_sqe(&me.ring);
		io_uring_prep_writev(sqe, fd, p[i].iov, p[i].nr_iov, p[i].off);
		sqe->rw_flags = flags;
		sqe->user_data = i;
		p[i].res = -EIO;
	}
	for (i = 0; i < nr; ) {
		ret = io_uring_submit(&me.ring);
		if (ret <= 0)
			fail(-1, "io_uring_submit: %s", strerror(-ret));
		i += ret;
	}
	for (i = 0; i < nr; i++) {
		ret = io_uring_wait_cqe(&me.ring, &cqe);
		if (ret == -EINTR) {
			i--;
			continue;
		}
		if (ret < 0)
			fail(-1, "io_uring_wait_cqe: %s", strerror(-ret));
		p[cqe->user_data].res = cqe->res;
		io_uring_cqe_seen(&me.ring, cqe);
	}
}

static void submit_aio(int fd, int flags, struct piece *p, int nr)
{
	struct iocb cb[MAX_PIECES], *list[MAX_PIECES];
	struct io_event ev;
	int i, ret, waiting = 0;

	if (!me.aio_ready) {
		if (io_setup(MAX_PIECES, &me.aio) < 0) {
			for (i = 0; i < nr; i++)
				p[i].res = -ENOSYS;
			return;
		}
		me.aio_ready = true;
	}
	for (i = 0; i < nr; i++) {
		io_prep_pwritev(&cb[i], fd, p[i].iov, p[i].nr_iov, p[i].off);
		cb[i].aio_rw_flags = flags;
		cb[i].data = &p[i];
		list[i] = &cb[i];
	}
	for (i = 0; i < nr; ) {
		ret = io_submit(me.aio, nr - i, list + i);
		if (ret > 0) {
			i += ret;
			waiting += ret;
		} else {
			/* An error of the first in the list; go on behind it. */
			p[i++].res = ret ? ret : -EAGAIN;
		}
	}
	while (waiting) {
		ret = io_getevents(me.aio, 1, 1, &ev, NULL);
		if (ret == -EINTR)
			continue;
		if (ret != 1)
			fail(-1, "io_getevents: %s", strerror(-ret));
		((struct piece *)ev.data)->res = (long)ev.res;
		waiting--;
	}
}

/* True if the piece's bytes are in, all of them. */
static bool take_result(const struct op *op, const struct piece *p,
			const unsigned char *data, bool *refusal)
{
	bool direct = op->flags & F_ODIRECT || ops[op->code].kind & K_DIRECT;
	struct count *c = &tally->count[op->code];
	const char *name = combo_name(op->code, op->flags);
	int err = p->res < 0 ? -p->res : 0;

	if (p->res > p->len)
		fail(p->off, "%s: wrote %" PRId64 " of %" PRId64, name, p->res,
		     p->len);
	if (p->res == p->len) {
		if (op->fault >= 0 && op->fault < op->len)
			fail(p->off, "%s: no EFAULT", name);
		model_write(p->off, data, p->len);
		return true;
	}
	if (op->fault >= 0) {
		if (err == EFAULT && op->fault && !direct &&
		    !(op->flags & (F_NOWAIT | F_ATOMIC)))
			fail(p->off, "%s: EFAULT in spite of %" PRId64
			     " good bytes", name, op->fault);
		if (err == EFAULT || (!err && p->res <= op->fault)) {
			c->cut++;
			if (!err)
				model_write(p->off, data, p->res);
			return false;
		}
	}
	if (err == EAGAIN && op->flags & F_NOWAIT) {
		c->again++;
		return false;
	}
	if (is_nospace(err)) {
		c->nospace++;
		if (direct)
			believe_mix(p->off, data, p->len);
		return false;
	}
	if (err && is_refusal(err)) {
		*refusal = true;
		refuse(op, err);
		return false;
	}
	if (err)
		fail(p->off, "%s: %s", name, strerror(err));
	if (op->flags & F_NOWAIT && !(ops[op->code].kind & K_THROUGH)) {
		c->cut++;
	} else if (!(op->flags & F_ATOMIC) && nearly_full(p->len)) {
		c->nospace++;
	} else {
		fail(p->off + p->res, "%s: wrote %" PRId64 " of %" PRId64
		     ", for no reason", name, p->res, p->len);
	}
	model_write(p->off, data, p->res);
	return false;
}

static bool exec_write(const struct op *op)
{
	bool through = ops[op->code].kind & K_THROUGH;
	bool direct = op->flags & F_ODIRECT || ops[op->code].kind & K_DIRECT;
	bool append = op->flags & F_APPEND ||
		      (op->flags & F_OAPPEND && !(op->flags & F_NOAPPEND));
	/*
	 * O_DIRECT alone is not among them: into a shared extent it may fall
	 * back to an ordinary buffered write.
	 */
	bool synced = through || op->flags & (F_DSYNC | F_SYNC | F_ODSYNC);
	int64_t off = append ? model.size : op->off;
	int64_t len = op->len;
	int rwf = op->flags & F_RWF;
	struct piece p[MAX_PIECES];
	unsigned char *src = me.buf + op->mem;
	unsigned char *data;
	bool refusal = false;
	int fd, i, nr;

	if (append) {
		len = min64(len, me.hi - off);
		/* For the report; the log has what was asked for. */
		me.recent[(me.op_number - 1) % RECENT].off = off;
	}
	if (len <= 0 || off < me.lo || off + len > me.hi ||
	    is_refused(op->code, op->flags))
		return false;
	if (direct && ((off | len) % me.dio_align || op->mem))
		return false;
	if (op->flags & F_ATOMIC &&
	    (len < me.atomic_min || len > me.atomic_max ||
	     len & (len - 1) || off % len || op->vec > 1 || op->pieces > 1))
		return false;
	if (op->self) {
		/* From our own mapping: the same bytes, or others. */
		if (!me.map || op->off2 < me.lo ||
		    op->off2 + len > min64(model.size, me.hi) ||
		    (op->off2 != off && op->off2 < off + len &&
		     off < op->off2 + len) || direct || op->pieces > 1)
			return false;
		src = me.map + op->off2;
		memcpy(me.buf, model.good + op->off2, len);
		data = me.buf;
	} else if (op->fault >= 0) {
		if (op->fault >= len || op->vec > 1 || op->pieces > 1 || direct)
			return false;
		src = me.guard - op->fault;
		fill(me.buf, off, len, op->data);
		memcpy(src, me.buf, op->fault);
		data = me.buf;
	} else {
		fill(src, off, len, op->data);
		data = src;
	}
	fd = fd_for(op->flags, op->code);
	if (fd < 0) {
		refuse(op, errno == EINVAL ? EINVAL : errno);
		return false;
	}
	if (through)
		rwf |= opt.flag;
	nr = cut_in_pieces(op, off, len, src, p);
	count_state(op->code, off, len);
	/* While it runs; through or synced, it is clean afterwards. */
	may_be_dirty(off, len);

	switch (op->code) {
	case OP_RINGWRITE:
	case OP_RINGWT:
		submit_ring(fd, rwf, p, nr);
		break;
	case OP_AIOWRITE:
	case OP_AIOWT:
		submit_aio(fd, rwf, p, nr);
		break;
	default:
		submit_sync(fd, rwf, p, nr);
	}

	for (i = 0; i < nr; i++) {
		bool in = take_result(op, &p[i], data + (p[i].off - off),
				      &refusal);

		if (in && synced && !direct)
			is_clean(p[i].off, p[i].len);
		else if (in)
			continue;
		else
			synced = false;
	}
	if (refusal)
		return false;
	edge(off);
	edge(off + len);
	if (!synced)
		return true;
	for (i = 0; i < nr; i++) {
		const char *name = combo_name(op->code, op->flags);

		if (!direct && (through || me.is_xfs))
			check_clean(name, p[i].off, p[i].len);
		if (through && !direct && !(op->flags & F_DONTCACHE))
			count_uncached(p[i].off, p[i].len);
	}
	if (check_draw(2))
		check_device(combo_name(op->code, op->flags), off, len,
			     direct ? BYTES_WRITTEN : BLOCKS_WRITTEN);
	return true;
}

/* ---- the other operations ---- */

/*
 * Space reserved behind the end of the file gets below it when the file grows;
 * no page is dirty there, so nothing allocates it, and XFS answers a direct
 * read of it with EIO ("Direct I/O collision with buffered writes").
 */
static bool meets_reservation(int64_t off, int64_t len)
{
	static struct wt_map map;
	size_t i;

	if (tally->no_fiemap || wt_map_range(get_fd(FD_PLAIN), off, len, &map) < 0)
		return false;
	for (i = 0; i < map.nr; i++)
		if (map.ext[i].flags & FIEMAP_EXTENT_DELALLOC)
			return true;
	return false;
}

static bool exec_read(const struct op *op)
{
	bool direct = op->code == OP_DREAD;
	int64_t want = min64(op->len, model.size - op->off);
	struct iovec iov = { me.back, op->len };
	ssize_t n;
	int fd = fd_for(op->flags, op->code);

	if (want < 0)
		want = 0;
	if (!op->len || is_refused(op->code, op->flags))
		return false;
	if (direct && (op->off | op->len) % me.dio_align)
		return false;
	if (fd < 0) {
		refuse(op, errno);
		return false;
	}
	n = preadv2(fd, &iov, 1, op->off, op->flags & F_RWF);
	if (n < 0 && errno == EAGAIN && op->flags & F_NOWAIT) {
		tally->count[op->code].again++;
		return true;
	}
	if (n < 0 && is_refusal(errno)) {
		refuse(op, errno);
		return false;
	}
	if (n < 0 && errno == EIO && direct &&
	    meets_reservation(op->off, op->len)) {
		tally->count[op->code].cut++;
		return true;
	}
	if (n < 0)
		fail(op->off, "%s: %s", combo_name(op->code, op->flags),
		     strerror(errno));
	if (n < want && op->flags & F_NOWAIT) {
		tally->count[op->code].cut++;
		want = n;
	}
	if (n != want)
		fail(op->off + n, "%s: got %zd of %" PRId64,
		     combo_name(op->code, op->flags), n, want);
	compare(combo_name(op->code, op->flags), model.good + op->off, me.back,
		op->off, want);
	return true;
}

static bool exec_mapread(const struct op *op)
{
	int64_t len = min64(op->len, model.size - op->off);
	int64_t i, end;

	if (len <= 0 || !me.map)
		return false;
	if (sigsetjmp(bus_jump, 1)) {
		bus_expected = 0;
		fail(op->off, "mapread: SIGBUS below the end of the file");
	}
	bus_expected = 1;
	memcpy(me.back, me.map + op->off, len);
	bus_expected = 0;
	compare("mapread", model.good + op->off, me.back, op->off, len);
	if (op->off + len != model.size || opt.shared)
		return true;
	/* Nobody stored behind the end of the file; it must read as zeros. */
	end = wt_round_up(model.size, me.page);
	for (i = model.size; i < end; i++)
		if (me.map[i])
			fail(i, "mapread: %02x behind the end of the file",
			     me.map[i]);
	return true;
}

static bool exec_mapwrite(const struct op *op)
{
	int64_t len = min64(op->len, min64(model.size, me.hi) - op->off);
	volatile int64_t done = 0;

	if (len <= 0 || !me.map)
		return false;
	count_state(op->code, op->off, len);
	fill(me.buf, op->off, len, op->data);
	folio_may_be_dirty(op->off, len);
	if (sigsetjmp(bus_jump, 1)) {
		bus_expected = 0;
		/* The page at @done could not be had: that is no space. */
		if (!nearly_full(len))
			fail(op->off + done, "mapwrite: SIGBUS");
		tally->count[op->code].nospace++;
		return true;
	}
	bus_expected = 1;
	while (done < len) {
		int64_t at = op->off + done;
		int64_t n = min64(len - done, me.page - at % me.page);

		memcpy(me.map + at, me.buf + done, n);
		model_write(at, me.buf + done, n);
		done += n;
	}
	bus_expected = 0;
	edge(op->off);
	edge(op->off + len);
	return true;
}

static bool exec_truncate(const struct op *op)
{
	if (ftruncate(get_fd(FD_PLAIN), op->len) < 0) {
		if (!is_nospace(errno))
			fail(op->len, "truncate: %s", strerror(errno));
		tally->count[op->code].nospace++;
		return true;
	}
	model_truncate(op->len);
	edge(op->len);
	return true;
}

static bool exec_fallocate(const struct op *op)
{
	static const struct {
		enum code	code;
		int		mode;
	} modes[] = {
		{ OP_ALLOC, 0 },
		{ OP_KEEPALLOC, FALLOC_FL_KEEP_SIZE },
		{ OP_PUNCH, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ OP_ZERO, FALLOC_FL_ZERO_RANGE },
		{ OP_KEEPZERO, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
		{ OP_WRITEZEROES, FALLOC_FL_WRITE_ZEROES },
		{ OP_COLLAPSE, FALLOC_FL_COLLAPSE_RANGE },
		{ OP_INSERT, FALLOC_FL_INSERT_RANGE },
		{ OP_UNSHARE, FALLOC_FL_UNSHARE_RANGE },
	};
	int64_t off = op->off, len = op->len, end = off + len;
	int64_t size = model.size;
	int mode = 0;
	size_t i;

	if (!len || is_refused(op->code, 0))
		return false;
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (modes[i].code == op->code)
			mode = modes[i].mode;
	if (op->code == OP_COLLAPSE &&
	    ((off | len) % me.block || end >= size))
		return false;
	if (op->code == OP_INSERT &&
	    ((off | len) % me.block || off >= size ||
	     size + len > (int64_t)opt.max))
		return false;
	if (op->code == OP_UNSHARE && end > size)
		return false;
	/* Another's size is not ours to change. */
	if (opt.shared && end > size)
		return false;
	if (ops[op->code].kind & K_STATE)
		count_state(op->code, off, len);

	if (fallocate(get_fd(FD_PLAIN), mode, off, len) < 0) {
		if (is_nospace(errno)) {
			tally->count[op->code].nospace++;
			believe_file();
			return true;
		}
		if (is_refusal(errno)) {
			refuse(op, errno);
			return false;
		}
		fail(off, "%s: %s", ops[op->code].name, strerror(errno));
	}
	edge(off);
	edge(end);

	/*
	 * XFS zeroes all of a range that it has punched but for the holes, and
	 * what has blocks reserved for copy on write does not count as one.
	 */
	switch (op->code) {
	case OP_ALLOC:
		model_grow(end);
		break;
	case OP_PUNCH:
	case OP_KEEPZERO:
		model_zero(off, len);
		may_be_dirty(off, min64(end, model.size) - off);
		break;
	case OP_ZERO:
	case OP_WRITEZEROES:
		model_grow(end);
		model_zero(off, len);
		may_be_dirty(off, len);
		break;
	case OP_COLLAPSE:
		memmove(model.good + off, model.good + end, size - end);
		memset(model.good + size - len, 0, len);
		model.size = size - len;
		may_be_dirty(off, size - off);
		break;
	case OP_INSERT:
		memmove(model.good + end, model.good + off, size - off);
		memset(model.good + off, 0, len);
		model.size = size + len;
		may_be_dirty(off, size + len - off);
		break;
	case OP_UNSHARE:
		may_be_dirty(off, len);
		break;
	default:
		break;
	}
	return true;
}

/*
 * FICLONERANGE takes whole blocks, or what remains up to the end of the source
 * if that becomes the end of the target too.  0 if nothing remains.
 */
static int64_t clone_len(int64_t src_size, int64_t dst_size, const struct op *op)
{
	int64_t len = min64(op->len, src_size - op->off);

	len = min64(len, me.hi - op->off2);
	if (len <= 0 || (op->off | op->off2) % me.block || op->off2 < 0)
		return 0;
	if (op->off + len == src_size && op->off2 + len >= dst_size)
		return len;
	return wt_round_down(len, me.block);
}

static bool exec_clone(const struct op *op)
{
	bool back = op->code == OP_CLONEBACK;
	int64_t src_size = back ? model.clone_size : model.size;
	int64_t dst_size = back ? model.size : model.clone_size;
	int64_t len = clone_len(src_size, dst_size, op);
	struct file_clone_range range = {
		.src_fd		= back ? me.clone_fd : get_fd(FD_PLAIN),
		.src_offset	= op->off,
		.src_length	= len,
		.dest_offset	= op->off2,
	};

	if (!len || is_refused(op->code, 0))
		return false;
	if (back && (op->off2 < me.lo || op->off2 + len > me.hi ||
		     (opt.shared && op->off2 + len > model.size)))
		return false;
	if (!back && (op->off < me.lo || op->off + len > me.hi))
		return false;
	if (back)
		count_state(op->code, op->off2, len);
	if (ioctl(back ? get_fd(FD_PLAIN) : me.clone_fd, FICLONERANGE,
		  &range) < 0) {
		if (is_nospace(errno)) {
			tally->count[op->code].nospace++;
			if (back)
				believe_file();
			else
				believe_clone();
			return true;
		}
		if (is_refusal(errno)) {
			refuse(op, errno);
			return false;
		}
		fail(op->off, "%s: %s", ops[op->code].name, strerror(errno));
	}
	if (back) {
		model_write(op->off2, model.clone + op->off, len);
		may_be_dirty(op->off2, len);
		edge(op->off2);
		edge(op->off2 + len);
	} else {
		memcpy(model.clone + op->off2, model.good + op->off, len);
		model.clone_size = max64(model.clone_size, op->off2 + len);
		edge(op->off);
		edge(op->off + len);
	}
	return true;
}

static bool exec_clonewrite(const struct op *op)
{
	ssize_t n;

	if (!op->len)
		return false;
	fill(me.buf, op->off, op->len, op->data);
	n = pwrite(me.clone_fd, me.buf, op->len, op->off);
	if (n < 0 && is_nospace(errno)) {
		tally->count[op->code].nospace++;
		return true;
	}
	if (n < op->len && !nearly_full(op->len))
		fail(op->off, "clonewrite: %zd of %" PRId64 ": %s", n, op->len,
		     n < 0 ? strerror(errno) : "short");
	memcpy(model.clone + op->off, me.buf, n);
	model.clone_size = max64(model.clone_size, op->off + n);
	return true;
}

static bool exec_copy(const struct op *op)
{
	int64_t len = min64(op->len, min64(model.size, me.hi) - op->off);
	loff_t from = op->off, to = op->off2;
	int64_t end;
	ssize_t n;

	if (len <= 0 || op->off2 < me.lo || is_refused(op->code, 0))
		return false;
	len = min64(len, me.hi - op->off2);
	end = op->off2 + len;
	if (len <= 0 || (op->off < end && op->off2 < op->off + len) ||
	    (opt.shared && end > model.size))
		return false;
	count_state(op->code, op->off2, len);
	n = copy_file_range(get_fd(FD_PLAIN), &from, get_fd(FD_PLAIN), &to,
			    len, 0);
	if (n < 0 && is_nospace(errno)) {
		tally->count[op->code].nospace++;
		/* Aligned parts may be there already. */
		believe_file();
		return true;
	}
	if (n < 0 && is_refusal(errno)) {
		refuse(op, errno);
		return false;
	}
	if (n <= 0 || n > len)
		fail(op->off, "copy: %zd of %" PRId64 ": %s", n, len,
		     n < 0 ? strerror(errno) : "a wrong count");
	if (n < len)
		tally->count[op->code].cut++;
	memcpy(me.buf, model.good + op->off, n);
	model_write(op->off2, me.buf, n);
	may_be_dirty(op->off2, n);
	edge(op->off2);
	edge(op->off2 + n);
	return true;
}

static bool exec_sync(const struct op *op)
{
	int64_t size = min64(model.size, me.hi);
	int64_t map_len = wt_round_up(model.size, me.page);
	int ret = 0;

	switch (op->code) {
	case OP_FSYNC:
		ret = fsync(get_fd(FD_PLAIN));
		break;
	case OP_FDATASYNC:
		ret = fdatasync(get_fd(FD_PLAIN));
		break;
	case OP_SYNCRANGE:
		ret = sync_file_range(get_fd(FD_PLAIN), op->off, op->len,
				      SYNC_FILE_RANGE_WAIT_BEFORE |
				      SYNC_FILE_RANGE_WRITE |
				      SYNC_FILE_RANGE_WAIT_AFTER);
		break;
	default:
		if (!me.map || !map_len)
			return false;
		ret = msync(me.map, map_len, MS_SYNC);
	}
	if (ret < 0) {
		if (is_refusal(errno)) {
			refuse(op, errno);
			return false;
		}
		fail(-1, "%s: %s", ops[op->code].name, strerror(errno));
	}
	if (op->code == OP_SYNCRANGE) {
		if (check_draw(2))
			check_device("syncrange", op->off, op->len, SYNCED);
		return true;
	}
	all_clean();
	/* Not everywhere: ext4 leaves pages tagged that it need not write. */
	if (me.is_xfs)
		check_clean(ops[op->code].name, me.lo, max64(size - me.lo, 0));
	if (check_draw(4) == 0)
		check_device(ops[op->code].name, me.lo, size - me.lo, SYNCED);
	return true;
}

static bool exec_dontneed(const struct op *op)
{
	int err = posix_fadvise(get_fd(FD_PLAIN), op->off, op->len,
				POSIX_FADV_DONTNEED);

	if (err)
		fail(op->off, "posix_fadvise: %s", strerror(err));
	return true;
}

static bool exec_dropcaches(const struct op *op)
{
	if (!opt.drop_caches || is_refused(op->code, 0))
		return false;
	if (wt_write_string("/proc/sys/vm/drop_caches",
			    op->data & 1 ? "1" : "3") < 0) {
		refuse(op, EOPNOTSUPP);
		return false;
	}
	return true;
}

static bool exec_freeze(const struct op *op)
{
	if (!opt.mnt || opt.shared || is_refused(op->code, 0))
		return false;
	me.freeze_fd = open(opt.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (me.freeze_fd < 0)
		fail(-1, "%s: %s", opt.mnt, strerror(errno));
	if (ioctl(me.freeze_fd, FIFREEZE, 0) < 0) {
		int err = errno;

		close(me.freeze_fd);
		me.freeze_fd = -1;
		if (err != EPERM && !is_refusal(err))
			fail(-1, "freeze: %s", strerror(err));
		refuse(op, EOPNOTSUPP);
		return false;
	}
	all_clean();
	if (me.is_xfs)
		check_clean("freeze", me.lo, model.size);
	check_device("freeze", me.lo, model.size, SYNCED);
	if (ioctl(me.freeze_fd, FITHAW, 0) < 0)
		fail(-1, "thaw: %s", strerror(errno));
	close(me.freeze_fd);
	me.freeze_fd = -1;
	return true;
}

static bool exec_remount(const struct op *op)
{
	int tries;

	if (!opt.dev || !opt.mnt || opt.shared || is_refused(op->code, 0))
		return false;
	close_files();
	/* A worker of io_uring may hold the file a moment longer. */
	for (tries = 0; umount(opt.mnt) < 0; tries++) {
		if (errno != EBUSY || tries == 200)
			fail(-1, "umount %s: %s", opt.mnt, strerror(errno));
		usleep(10000);
	}
	if (mount(opt.dev, opt.mnt, me.fstype, 0, NULL) < 0)
		fail(-1, "mount %s: %s", opt.mnt, strerror(errno));
	open_files();
	all_clean();
	if (check_draw(2))
		check_device("remount", me.lo, model.size, SYNCED);
	return true;
}

static bool exec_reopen(void)
{
	close_files();
	open_files();
	return true;
}

/* A byte changes behind our back: the checks have to find it. */
static bool exec_plant(const struct op *op)
{
	int status;
	pid_t pid;

	if (model.size <= me.lo)
		return false;
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		int64_t off = me.lo + op->off %
			      (min64(model.size, me.hi) - me.lo);
		int fd = open(me.file, O_RDWR);
		unsigned char c;

		if (fd < 0 || pread(fd, &c, 1, off) != 1)
			_exit(1);
		c ^= 0x40;
		_exit(pwrite(fd, &c, 1, off) != 1);
	}
	if (waitpid(pid, &status, 0) < 0 || status)
		die("cannot plant a wrong byte");
	return true;
}

/* ---- one operation ---- */

static void log_line(const char *text)
{
	char line[600];
	int n;

	if (me.log_fd < 0)
		return;
	n = snprintf(line, sizeof(line), "%s\n", text);
	if (write(me.log_fd, line, n) != n)
		die("writing the log: %s", strerror(errno));
}

static bool dispatch(const struct op *op)
{
	if (ops[op->code].kind & K_WRITE)
		return exec_write(op);
	switch (op->code) {
	case OP_READ:
	case OP_DREAD:
		return exec_read(op);
	case OP_MAPREAD:
		return exec_mapread(op);
	case OP_MAPWRITE:
		return exec_mapwrite(op);
	case OP_TRUNCATE:
		return exec_truncate(op);
	case OP_CLONE:
	case OP_CLONEBACK:
		return exec_clone(op);
	case OP_CLONEWRITE:
		return exec_clonewrite(op);
	case OP_COPY:
		return exec_copy(op);
	case OP_FSYNC:
	case OP_FDATASYNC:
	case OP_SYNCRANGE:
	case OP_MSYNC:
		return exec_sync(op);
	case OP_DONTNEED:
		return exec_dontneed(op);
	case OP_DROPCACHES:
		return exec_dropcaches(op);
	case OP_FREEZE:
		return exec_freeze(op);
	case OP_REMOUNT:
		return exec_remount(op);
	case OP_REOPEN:
		return exec_reopen();
	case OP_CHECK:
		check_everything();
		return true;
	case OP_PLANT:
		return exec_plant(op);
	default:
		return exec_fallocate(op);
	}
}

/* Not always: reading brings in pages, and uncached blocks are wanted too. */
static void check_after(const struct op *op)
{
	int64_t around = op->off2 >= 0 && !op->self ? op->off2 : op->off;

	if (!opt.shared)
		check_size();
	switch (check_draw(4)) {
	case 0:
	case 1:
		check_window("after it", around - (int64_t)check_draw(me.page),
			     op->len + 2 * me.page);
		break;
	case 2:
		check_window("elsewhere", check_draw(opt.max),
			     check_draw(65536));
		break;
	default:
		break;
	}
	if (op->code == OP_CLONEBACK || !check_draw(64))
		check_clone();
}

static void run_op(const struct op *op)
{
	char text[512];
	unsigned int flags = op->flags;

	me.recent[me.op_number++ % RECENT] = *op;
	op_print(op, text, sizeof(text));
	/* Before it runs: it may be the last thing that this kernel does. */
	log_line(text);
	check_state = op->data;
	if (!dispatch(op)) {
		tally->count[op->code].skipped++;
		return;
	}
	worked[op->code][flags]++;
	tally->count[op->code].done++;
	check_after(op);
}

/* ---- choosing ---- */

static int64_t clamp_off(int64_t off)
{
	return max64(me.lo, min64(off, me.hi - 1));
}

static int64_t some_unit(void)
{
	switch (gen(6)) {
	case 0:
		return 1;
	case 1:
		return SECTOR;
	case 2:
	case 3:
		return me.block;
	case 4:
		return me.page;
	default:
		return 65536;
	}
}

static int64_t some_off(void)
{
	int64_t span = me.hi - me.lo;
	int64_t off;

	switch (gen(8)) {
	case 0:
		off = model.size;
		break;
	case 1:
	case 2:
		off = me.edge[gen(NR_EDGES)];
		break;
	case 3:
		off = me.lo + gen(span);
		break;
	default:
		off = me.focus + gen(me.focus_len);
		break;
	}
	off = wt_round_down(off, some_unit());
	switch (gen(8)) {
	case 0:
		off -= some_unit();
		break;
	case 1:
		off += 1;
		break;
	case 2:
		off -= 1;
		break;
	default:
		break;
	}
	return clamp_off(off);
}

static int64_t some_len(int64_t off)
{
	int64_t len;

	switch (gen(8)) {
	case 0:
		len = 1 + gen(16);
		break;
	case 1:
		len = SECTOR * (1 + gen(8));
		break;
	case 2:
	case 3:
		len = me.block * (1 + gen(4));
		break;
	case 4:
		len = me.page * (1 + gen(16));
		break;
	case 5:
		len = 1 + gen(131072);
		break;
	case 6:
		/* up to an edge */
		len = me.edge[gen(NR_EDGES)] - off;
		if (len <= 0)
			len = me.block;
		break;
	default:
		len = 1 + gen(3 * me.page);
		break;
	}
	return min64(len, me.hi - off);
}

static void align(struct op *op, int64_t unit)
{
	op->off = wt_round_down(op->off, unit);
	if (op->off < me.lo)
		op->off += unit;
	op->len = wt_round_up(op->len, unit);
	if (op->off + op->len > me.hi)
		op->len = wt_round_down(max64(me.hi - op->off, 0), unit);
}

static void choose_write(struct op *op)
{
	bool direct = ops[op->code].kind & K_DIRECT;
	bool async = op->code == OP_RINGWRITE || op->code == OP_RINGWT ||
		     op->code == OP_AIOWRITE || op->code == OP_AIOWT;
	bool through = ops[op->code].kind & K_THROUGH;
	unsigned int i, flags = 0;

	/* Two flags seldom, three hardly ever, none mostly. */
	while (one_in(3)) {
		i = gen(NR_FLAGS);
		flags |= 1u << i;
	}
	if (through && one_in(8))
		flags |= F_ATOMIC;
	if (through && one_in(8))
		flags |= F_NOWAIT;
	if (!through)
		flags &= ~F_ATOMIC;
	if (direct)
		flags &= ~(F_ODIRECT | F_ODSYNC | F_OAPPEND | F_DONTCACHE);
	if (flags & F_ODIRECT && !through)
		flags &= ~F_ODIRECT;
	if (flags & F_APPEND)
		flags &= ~(F_NOAPPEND | F_OAPPEND);
	/* One descriptor at a time. */
	if (flags & F_ODIRECT)
		flags &= ~(F_ODSYNC | F_OAPPEND);
	if (flags & F_ODSYNC)
		flags &= ~F_OAPPEND;
	if (opt.shared)
		flags &= ~(F_APPEND | F_OAPPEND | F_ODIRECT);
	if (flags & F_ATOMIC && (!me.atomic_max || async) && !async)
		flags &= ~F_ATOMIC;
	if (!me.atomic_max)
		flags &= ~F_ATOMIC;
	if (is_refused(op->code, flags))
		flags = 0;
	op->flags = flags;

	/* Whole blocks: the case that runs under the shared lock. */
	if (one_in(2))
		align(op, me.block);
	if (direct || flags & F_ODIRECT)
		align(op, me.dio_align);
	if (one_in(4))
		op->mem = 1 + gen(SECTOR - 1);
	if (one_in(4))
		op->vec = 1 + gen(MAX_VEC);
	if (async)
		op->pieces = 1 + gen(MAX_PIECES);
	if (flags & (F_APPEND | F_OAPPEND))
		op->pieces = 1;
	if (direct || flags & F_ODIRECT)
		op->mem = 0;
	if (flags & F_ATOMIC) {
		int64_t len = me.atomic_min;

		while (len < me.atomic_max && one_in(2))
			len *= 2;
		op->vec = 1;
		op->pieces = 1;
		op->off = wt_round_down(op->off, len);
		op->len = len;
		return;
	}
	if (direct || flags & F_ODIRECT || op->pieces > 1)
		return;
	if (!opt.no_self && one_in(12)) {
		op->self = true;
		op->off2 = one_in(3) ? op->off : some_off();
		op->mem = 0;
	} else if (!opt.no_fault && one_in(24) && op->len > 1) {
		op->fault = gen(op->len);
		op->vec = 1;
		op->mem = 0;
	}
}

static void choose_read(struct op *op)
{
	if (one_in(8))
		op->flags = one_in(2) ? F_NOWAIT : F_DONTCACHE;
	if (op->code == OP_DREAD) {
		op->flags &= F_NOWAIT;
		align(op, me.dio_align);
	}
	if (is_refused(op->code, op->flags))
		op->flags = 0;
}

static enum code choose_code(void)
{
	unsigned int total = 0, pick;
	int i;

	for (i = 0; i < NR_OPS; i++)
		if (!refused[i][0])
			total += opt.weight[i];
	if (!total)
		die("no operation left");
	pick = gen(total);
	for (i = 0; i < NR_OPS; i++) {
		if (refused[i][0])
			continue;
		if (pick < opt.weight[i])
			break;
		pick -= opt.weight[i];
	}
	return i;
}

static void choose_op(struct op *op)
{
	*op = (struct op) { .off2 = -1, .fault = -1, .vec = 1, .pieces = 1 };
	if (one_in(64)) {
		me.focus_len = min64(me.page << gen(6), me.hi - me.lo);
		me.focus = me.lo + gen(me.hi - me.lo - me.focus_len + 1);
	}
	op->code = choose_code();
	op->data = draw(&gen_state);
	op->off = some_off();
	op->len = some_len(op->off);

	if (ops[op->code].kind & K_WRITE) {
		choose_write(op);
		return;
	}
	switch (op->code) {
	case OP_READ:
	case OP_DREAD:
		choose_read(op);
		break;
	case OP_TRUNCATE:
		op->len = op->off;
		op->off = 0;
		break;
	case OP_COLLAPSE:
	case OP_INSERT:
		align(op, me.block);
		break;
	case OP_PUNCH:
	case OP_UNSHARE:
		if (one_in(2))
			align(op, me.block);
		break;
	case OP_CLONE:
	case OP_CLONEBACK:
	case OP_COPY:
		op->off2 = some_off();
		if (op->code == OP_COPY && one_in(2))
			break;
		align(op, me.block);
		op->off2 = wt_round_down(op->off2, me.block);
		break;
	default:
		break;
	}
}

/* ---- a run ---- */

struct statx_atomic {
	char		before[0x98];
	uint32_t	dio_mem_align;
	uint32_t	dio_offset_align;
	char		subvol[8];
	uint32_t	atomic_min;
	uint32_t	atomic_max;
	char		after[256 - 0xb0];
};

static void learn_limits(void)
{
	struct statx_atomic sx = { 0 };
	struct statfs fs;

	if (fstatfs(get_fd(FD_PLAIN), &fs) < 0)
		die("%s: %s", me.file, strerror(errno));
	me.block = fs.f_bsize;
	me.is_xfs = fs.f_type == 0x58465342;
	/* Something that is no power of two is no block: network, pseudo. */
	if (me.block < SECTOR || me.block > 65536 ||
	    me.block & (me.block - 1))
		me.block = 4096;
	me.dio_align = me.block;
	if (syscall(SYS_statx, get_fd(FD_PLAIN), "", AT_EMPTY_PATH,
		    0x2000 /* DIOALIGN */ | 0x10000 /* WRITE_ATOMIC */,
		    &sx) < 0)
		return;
	if (sx.dio_offset_align)
		me.dio_align = sx.dio_offset_align;
	me.atomic_min = sx.atomic_min;
	me.atomic_max = min64(sx.atomic_max, (me.hi - me.lo) / 4);
	if (opt.no_atomic)
		me.atomic_max = 0;
}

/* The type is needed to mount it again. */
static void learn_fstype(void)
{
	char dir[PATH_MAX], type[32], from[PATH_MAX], want[PATH_MAX];
	FILE *f;

	if (!opt.mnt)
		return;
	if (!realpath(opt.mnt, want))
		die("%s: %s", opt.mnt, strerror(errno));
	f = fopen("/proc/self/mounts", "re");
	if (!f)
		die("/proc/self/mounts: %s", strerror(errno));
	while (fscanf(f, "%4095s %4095s %31s %*[^\n]", from, dir, type) == 3)
		if (!strcmp(dir, want))
			strcpy(me.fstype, type);
	fclose(f);
	if (!me.fstype[0])
		die("%s: nothing is mounted there", opt.mnt);
}

static void new_file(void)
{
	unlink(me.file);
	unlink(me.clone_file);
	me.fd[FD_PLAIN] = open(me.file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
			       0600);
	if (me.fd[FD_PLAIN] < 0)
		die("%s: %s", me.file, strerror(errno));
	open_files();
}

/*
 * Ask for each flag of each kind of write once, so that what a file system
 * refuses is named at the start and not once per combination.
 */
static void probe(void)
{
	int code, bit;

	for (code = 0; code < NR_OPS; code++) {
		if (!(ops[code].kind & K_WRITE) || !opt.weight[code])
			continue;
		for (bit = -1; bit < NR_FLAGS; bit++) {
			struct op op = {
				.code = code, .off2 = -1, .fault = -1,
				.vec = 1, .pieces = 1, .off = me.lo,
				.len = me.block, .data = 1,
				.flags = bit < 0 ? 0 : 1u << bit,
			};

			if (is_refused(code, op.flags))
				continue;
			if (op.flags & F_ATOMIC) {
				if (!(ops[code].kind & K_THROUGH) ||
				    !me.atomic_max)
					continue;
				op.len = max64(me.atomic_min, 1);
			}
			if (op.flags & (F_ODIRECT | F_ODSYNC | F_OAPPEND) &&
			    ops[code].kind & K_DIRECT)
				continue;
			if (opt.shared && op.flags &
			    (F_APPEND | F_OAPPEND | F_ODIRECT))
				continue;
			me.recent[0] = op;
			me.op_number = 1;
			exec_write(&op);
		}
	}
	me.op_number = 0;
	memset(tally->count, 0, sizeof(tally->count));
	memset(tally->hits, 0, sizeof(tally->hits));
	tally->uncached = 0;
}

static void reset_model(int64_t size)
{
	memset(model.good, 0, opt.max);
	memset(model.clone, 0, opt.max);
	all_clean();
	model.size = size;
	model.clone_size = 0;
}

static void open_log(void)
{
	char head[256];
	int fd = -1;

	if (opt.replay) {
		/* The log that is replayed is the log. */
		snprintf(me.log_path, sizeof(me.log_path), "%s", opt.replay);
		return;
	}
	if (opt.log) {
		if (opt.processes > 1)
			snprintf(me.log_path, sizeof(me.log_path), "%s.%d",
				 opt.log, (int)getpid());
		else
			snprintf(me.log_path, sizeof(me.log_path), "%s",
				 opt.log);
		fd = open(me.log_path,
			  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND,
			  0600);
	} else {
		const char *dir = getenv("TMPDIR");

		snprintf(me.log_path, sizeof(me.log_path), "%s/wtx-XXXXXX.log",
			 dir && *dir ? dir : "/tmp");
		fd = mkostemps(me.log_path, 4, O_CLOEXEC);
		me.log_is_ours = true;
	}
	if (fd < 0)
		die("%s: %s", me.log_path, strerror(errno));
	me.log_fd = fd;
	snprintf(head, sizeof(head),
		 "# wtx 1 seed=%" PRIu64 " size=%" PRIu64 " lo=%" PRId64
		 " hi=%" PRId64 " block=%" PRId64, opt.seed, opt.max, me.lo,
		 me.hi, me.block);
	log_line(head);
}

static void set_up(int index)
{
	struct sigaction sa = { .sa_handler = on_sigbus };
	int64_t total = opt.max;
	int i;

	me.page = sysconf(_SC_PAGESIZE);
	me.largest_folio = me.page;
	if (!access("/sys/kernel/mm/transparent_hugepage", F_OK))
		me.largest_folio <<= MAX_ORDER;
	me.lo = 0;
	me.hi = opt.max;
	me.clone_fd = me.raw_fd = me.log_fd = me.freeze_fd = -1;
	for (i = 0; i < NR_FDS; i++)
		me.fd[i] = -1;
	if (opt.processes > 1 && !opt.shared)
		snprintf(me.file, sizeof(me.file), "%s.%d", opt.file, index);
	else
		snprintf(me.file, sizeof(me.file), "%s", opt.file);
	snprintf(me.clone_file, sizeof(me.clone_file), "%s.clone", me.file);
	if (opt.shared) {
		snprintf(me.clone_file, sizeof(me.clone_file), "%s.clone%d",
			 opt.file, index);
	}
	me.map_len = wt_round_up(opt.max, me.page);
	/* Room for an offset into the buffer, and for whole sectors. */
	model.good = get_memory(me.map_len + 65536);
	model.clone = get_memory(me.map_len + 65536);
	model.dirty = get_memory(me.map_len / SECTOR + 65536);
	me.buf = get_memory(me.map_len + 65536);
	me.back = get_memory(me.map_len + 2 * 65536);
	me.guard = get_memory(me.map_len + 2 * me.page);
	me.guard += me.map_len;
	if (mprotect(me.guard, me.page, PROT_NONE) < 0)
		die("mprotect: %s", strerror(errno));
	sigaction(SIGBUS, &sa, NULL);

	if (opt.rawdev) {
		me.raw_fd = wt_raw_open(opt.rawdev, &me.sector);
		if (me.raw_fd < 0)
			die("%s: %s", opt.rawdev, strerror(errno));
	}
	learn_fstype();
	me.block = 4096;
	if (opt.shared) {
		me.fd[FD_PLAIN] = open(me.file, O_RDWR | O_CLOEXEC);
		if (me.fd[FD_PLAIN] < 0)
			die("%s: %s", me.file, strerror(errno));
		unlink(me.clone_file);
		open_files();
	} else {
		new_file();
	}
	learn_limits();
	if (opt.shared) {
		/* Ranges of whole blocks, so that folios are shared. */
		me.lo = wt_round_down(total / opt.processes * index, me.block);
		me.hi = index + 1 == (int)opt.processes ? total :
			(int64_t)wt_round_down(total / opt.processes *
					       (index + 1), me.block);
	}
	reset_model(opt.shared ? total : 0);
	for (i = 0; i < NR_OPS; i++) {
		if (ops[i].kind & K_THROUGH && !opt.flag)
			opt.weight[i] = 0;
		if (opt.shared && ops[i].kind & (K_SIZE | K_ALONE))
			opt.weight[i] = 0;
		if (opt.processes > 1 && ops[i].kind & K_ALONE &&
		    ops[i].kind & K_OWNER)
			opt.weight[i] = 0;
	}
	if (!opt.mnt)
		opt.weight[OP_FREEZE] = 0;
	if (!opt.mnt || !opt.dev)
		opt.weight[OP_REMOUNT] = 0;
	if (!opt.drop_caches)
		opt.weight[OP_DROPCACHES] = 0;
	for (i = 0; i < NR_EDGES; i++)
		me.edge[i] = me.lo;
	me.focus = me.lo;
	me.focus_len = me.hi - me.lo;
}

static void add_tallies(void)
{
	unsigned int i, j, k;

	for (k = 1; k < opt.processes; k++) {
		const struct tally *t = &tallies[k];

		for (i = 0; i < NR_OPS; i++) {
			const uint64_t *from = (const uint64_t *)&t->count[i];
			uint64_t *to = (uint64_t *)&tallies->count[i];

			for (j = 0; j < sizeof(struct count) / sizeof(*to); j++)
				to[j] += from[j];
			for (j = 0; j < NR_STATES; j++)
				tallies->hits[i][j] += t->hits[i][j];
		}
		tallies->uncached += t->uncached;
		tallies->ops += t->ops;
		tallies->no_fiemap |= t->no_fiemap;
		tallies->no_cachestat |= t->no_cachestat;
	}
	tally = tallies;
}

static void print_counts(void)
{
	bool any = false;
	int i, j;

	printf("%-12s %9s %9s %8s %8s %8s %8s\n", "operation", "done",
	       "skipped", "again", "nospace", "short", "refused");
	for (i = 0; i < NR_OPS; i++) {
		const struct count *c = &tally->count[i];

		if (!(c->done + c->skipped + c->refused))
			continue;
		printf("%-12s %9" PRIu64 " %9" PRIu64 " %8" PRIu64 " %8" PRIu64
		       " %8" PRIu64 " %8" PRIu64 "\n", ops[i].name, c->done,
		       c->skipped, c->again, c->nospace, c->cut, c->refused);
	}
	printf("%-12s", "blocks met");
	for (j = 0; j < NR_STATES; j++)
		printf(" %8s", state_name[j]);
	printf("\n");
	for (i = 0; i < NR_OPS; i++) {
		uint64_t sum = 0;

		for (j = 0; j < NR_STATES; j++)
			sum += tally->hits[i][j];
		if (!sum)
			continue;
		any = true;
		printf("%-12s", ops[i].name);
		for (j = 0; j < NR_STATES; j++)
			printf(" %8" PRIu64, tally->hits[i][j]);
		printf("\n");
	}
	if (!any)
		printf("(none)\n");
	if (tally->no_fiemap)
		printf("no extent map on this file system: blocks not looked at\n");
	if (tally->no_cachestat)
		printf("no cachestat(2) in this kernel: dirty pages not looked at\n");
	if (tally->uncached)
		printf("write-throughs whose pages were not all cached afterwards: %"
		       PRIu64 "\n", tally->uncached);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static uint64_t through_done(void)
{
	return tally->count[OP_WT].done + tally->count[OP_RINGWT].done +
	       tally->count[OP_AIOWT].done;
}

static void run_plain(enum code code)
{
	struct op op = { .code = code, .off2 = -1, .fault = -1, .vec = 1,
			 .pieces = 1 };

	run_op(&op);
}

static void finish(void)
{
	run_plain(OP_CHECK);
	run_plain(OP_FSYNC);
	check_device("at the end", me.lo, me.hi - me.lo, SYNCED);
	if (opt.weight[OP_REMOUNT]) {
		run_plain(OP_REMOUNT);
		run_plain(OP_CHECK);
	}
}

static void run_random(void)
{
	double end = opt.seconds ? now() + opt.seconds : 0;
	struct op op;

	while ((!opt.nr_ops || me.op_number < opt.nr_ops) &&
	       (!end || now() < end)) {
		if (opt.plant && me.op_number + 1 >= opt.plant &&
		    !tally->count[OP_PLANT].done) {
			op = (struct op) {
				.code = OP_PLANT, .off2 = -1, .fault = -1,
				.vec = 1, .pieces = 1, .off = gen(opt.max),
				.data = draw(&gen_state),
			};
			run_op(&op);
			if (opt.check_every == 1)
				run_plain(OP_CHECK);
		}
		choose_op(&op);
		run_op(&op);
		if (me.op_number % opt.check_every == 0)
			run_plain(OP_CHECK);
	}
	finish();
}

static void run_log(const char *path)
{
	char line[600];
	struct op op;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (!op_parse(&op, line))
			die("%s: not an operation: %s", path, line);
		run_op(&op);
	}
	fclose(f);
	finish();
}

static int run_process(int index)
{
	tally = &tallies[index];
	opt.seed += index;
	gen_state = mix(opt.seed);
	set_up(index);
	if (!opt.replay) {
		probe();
		if (opt.require && (!opt.flag || refused[OP_WT][0])) {
			printf("wtx: no write-through here\n");
			return 77;
		}
		if (!opt.shared) {
			/* What probing left is no part of the log. */
			close_files();
			new_file();
			reset_model(0);
		}
	}
	open_log();
	if (opt.replay)
		run_log(opt.replay);
	else
		run_random();
	tally->ops = me.op_number;
	if (me.ring_ready)
		io_uring_queue_exit(&me.ring);
	if (me.aio_ready)
		io_destroy(me.aio);
	if (me.log_is_ours)
		unlink(me.log_path);
	fflush(stdout);
	return 0;
}

static int report(int status)
{
	if (status)
		return status;
	add_tallies();
	print_counts();
	printf("wtx: passed: %" PRIu64 " operations, %" PRIu64
	       " write-throughs, seed %" PRIu64 "\n", tally->ops,
	       through_done(), opt.seed);
	return 0;
}

static int run_processes(void)
{
	pid_t *pid = calloc(opt.processes, sizeof(*pid));
	unsigned int i, left = opt.processes;
	int status, worst = 0;

	if (!pid)
		die("out of memory");
	if (opt.shared) {
		int fd = open(opt.file, O_RDWR | O_CREAT | O_TRUNC, 0600);

		if (fd < 0 || ftruncate(fd, opt.max) < 0)
			die("%s: %s", opt.file, strerror(errno));
		close(fd);
	}
	fflush(stdout);
	for (i = 0; i < opt.processes; i++) {
		pid[i] = fork();
		if (pid[i] < 0)
			die("fork: %s", strerror(errno));
		if (!pid[i]) {
			setvbuf(stdout, NULL, _IOFBF, 1 << 20);
			_exit(run_process(i));
		}
	}
	while (left--) {
		pid_t gone = wait(&status);
		int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;

		if (WIFSIGNALED(status) && !worst)
			printf("wtx: process %d died of signal %d\n",
			       (int)gone, WTERMSIG(status));
		for (i = 0; i < opt.processes; i++)
			if (pid[i] == gone)
				pid[i] = 0;
		if (!code || worst)
			continue;
		/* The first failure is the one to look at. */
		worst = code;
		for (i = 0; i < opt.processes; i++)
			if (pid[i])
				kill(pid[i], SIGTERM);
	}
	free(pid);
	return worst;
}

/* ---- shrinking ---- */

struct lines {
	char	**line;
	size_t	nr;
};

static void read_lines(const char *path, struct lines *l, char **head)
{
	char line[600];
	size_t room = 0;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#') {
			if (!*head)
				*head = strdup(line);
			continue;
		}
		if (l->nr == room) {
			room = room ? 2 * room : 1024;
			l->line = realloc(l->line, room * sizeof(*l->line));
		}
		if (!l->line)
			die("out of memory");
		l->line[l->nr] = strdup(line);
		if (!l->line[l->nr++])
			die("out of memory");
	}
	fclose(f);
}

/* All lines but [from, to). */
static void write_lines(const char *path, const struct lines *l,
			const char *head, size_t from, size_t to)
{
	size_t i;
	FILE *f;

	f = fopen(path, "we");
	if (!f)
		die("%s: %s", path, strerror(errno));
	if (head)
		fputs(head, f);
	for (i = 0; i < l->nr; i++)
		if (i < from || i >= to)
			fputs(l->line[i], f);
	if (fclose(f))
		die("%s: %s", path, strerror(errno));
}

/* A run of its own, with a time limit: a shorter log may hang as well. */
static bool log_fails(const char *path)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		alarm(120);
		opt.replay = path;
		opt.quiet = true;
		_exit(run_process(0));
	}
	if (waitpid(pid, &status, 0) < 0)
		return false;
	return WIFSIGNALED(status) || WEXITSTATUS(status) == 1;
}

/* A line without one of its words; false when there is no such word. */
static bool drop_word(const char *line, unsigned int index, char *out)
{
	static const char * const words[] = {
		" vec=", " mem=", " n=", " f=", " fault=",
	};
	const char *at, *end;

	if (index >= sizeof(words) / sizeof(words[0]))
		return false;
	at = strstr(line, words[index]);
	if (!at) {
		out[0] = '\0';
		return true;
	}
	end = at + 1 + strcspn(at + 1, " \n");
	sprintf(out, "%.*s%s", (int)(at - line), line, end);
	return true;
}

static int shrink(void)
{
	struct lines l = { 0 };
	char try[PATH_MAX], best[PATH_MAX], simpler[600], *head = NULL;
	size_t chunk, from, runs = 1;
	unsigned int k;

	snprintf(try, sizeof(try), "%s.try", opt.shrink);
	snprintf(best, sizeof(best), "%s.min", opt.shrink);
	read_lines(opt.shrink, &l, &head);
	printf("shrinking %zu operations\n", l.nr);
	if (!log_fails(opt.shrink)) {
		printf("wtx: %s does not fail when replayed\n", opt.shrink);
		return 1;
	}
	/* Nothing behind the failure matters; chunks halve until single lines. */
	for (chunk = (l.nr + 1) / 2; chunk; chunk = chunk > 1 ?
	     (chunk + 1) / 2 : 0) {
		bool removed;

		do {
			removed = false;
			for (from = l.nr > chunk ? l.nr - chunk : 0; ;
			     from = from > chunk ? from - chunk : 0) {
				size_t to = from + chunk < l.nr ?
					    from + chunk : l.nr;

				write_lines(try, &l, head, from, to);
				runs++;
				if (to > from && log_fails(try)) {
					memmove(l.line + from, l.line + to,
						(l.nr - to) * sizeof(*l.line));
					l.nr -= to - from;
					removed = true;
				}
				if (!from)
					break;
			}
		} while (removed && chunk == 1);
		printf("%zu left after %zu runs\n", l.nr, runs);
	}
	for (from = 0; from < l.nr; from++) {
		for (k = 0; drop_word(l.line[from], k, simpler); k++) {
			char *old = l.line[from];

			if (!simpler[0])
				continue;
			l.line[from] = simpler;
			write_lines(try, &l, head, 0, 0);
			l.line[from] = old;
			runs++;
			if (log_fails(try))
				l.line[from] = strdup(simpler);
		}
	}
	write_lines(best, &l, head, 0, 0);
	unlink(try);
	printf("%zu operations remain after %zu runs:\n", l.nr, runs);
	for (from = 0; from < l.nr; from++)
		printf("  %s", l.line[from]);
	snprintf(me.file, sizeof(me.file), "%s", opt.file);
	printf("replay:");
	print_command(stdout, "--replay", best);
	return 0;
}

/* ---- options ---- */

static void usage(FILE *f)
{
	int i;

	fputs("usage: wtx [options] FILE\n"
	      "  --seed S              default: from the clock; printed first\n"
	      "  --ops N, --seconds N  how long (default 10000 operations)\n"
	      "  --size MAX            largest size of the file (default 1 MiB)\n"
	      "  --check-every N       operations between full checks (default 200)\n"
	      "  --weights NAME=W,...  how often; --only NAME,... ; --no-NAME\n"
	      "  --no-atomic           no RWF_ATOMIC\n"
	      "  --no-fault, --no-self no writes from an unreadable page, from the file itself\n"
	      "  --processes N         that many at once, each on FILE.0, FILE.1, ...\n"
	      "  --shared              with --processes: one FILE, a range each\n"
	      "  --log LOG             where the operations go (default: a temporary file,\n"
	      "                        kept if the run fails)\n"
	      "  --replay LOG          run a log; --shrink LOG  make a failing one short\n"
	      "  --rawdev DEV          look for written data on the device below FILE\n"
	      "  --mnt DIR             the mount is ours: may be frozen\n"
	      "  --dev DEV             with --mnt: may be unmounted and mounted again\n"
	      "  --drop-caches         may drop the machine's caches (implied by --mnt)\n"
	      "  --flag VALUE          value of RWF_WRITETHROUGH, instead of asking the kernel\n"
	      "  --require-writethrough  exit 77 if there is none\n"
	      "  --plant N             change a byte behind wtx's back at operation N\n"
	      "FILE is removed and written anew.\n"
	      "Exit status: 0 passed, 1 failed, 2 usage, 77 no write-through.\n"
	      "Operations:", f);
	for (i = 0; i < NR_OPS; i++)
		fprintf(f, " %s", ops[i].name);
	fputc('\n', f);
	exit(f == stderr ? 2 : 0);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t val;

	errno = 0;
	val = strtoull(text, &end, 0);
	switch (*end) {
	case 'k':
		val <<= 10;
		end++;
		break;
	case 'm':
		val <<= 20;
		end++;
		break;
	}
	if (end == text || *end || errno || *text == '-')
		die("not a number: %s", text);
	return val;
}

static void set_weights(char *list, bool only)
{
	char *word, *save, *val;
	int i;

	if (only)
		memset(opt.weight, 0, sizeof(opt.weight));
	for (word = strtok_r(list, ",", &save); word;
	     word = strtok_r(NULL, ",", &save)) {
		val = strchr(word, '=');
		if (val)
			*val++ = '\0';
		i = find_op(word);
		if (i < 0 || i == OP_CHECK || i == OP_PLANT || (!val && !only))
			die("not an operation%s: %s",
			    only ? "" : " and weight", word);
		opt.weight[i] = val ? number(val) :
				ops[i].weight ? ops[i].weight : 1;
	}
}

/* Size and seed of a log that is replayed are the log's. */
static void read_head(const char *path)
{
	char line[600], *at;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		die("%s: %s", path, strerror(errno));
	if (!fgets(line, sizeof(line), f) || strncmp(line, "# wtx 1 ", 8))
		die("%s: not a log of wtx", path);
	at = strstr(line, " seed=");
	if (at)
		opt.seed = strtoull(at + 6, NULL, 10);
	at = strstr(line, " size=");
	if (at)
		opt.max = strtoull(at + 6, NULL, 10);
	fclose(f);
}

enum {
	O_SEED = 256, O_OPS, O_SECONDS, O_SIZE, O_EVERY, O_WEIGHTS, O_ONLY,
	O_PROCESSES, O_SHARED, O_LOG, O_REPLAY, O_SHRINK, O_RAWDEV, O_MNT,
	O_DEV, O_DROP, O_FLAG, O_REQUIRE, O_PLANT, O_NO_FAULT, O_NO_SELF, O_NO_ATOMIC, O_HELP,
	O_NO,
};

static const struct option base_options[] = {
	{ "seed", required_argument, NULL, O_SEED },
	{ "ops", required_argument, NULL, O_OPS },
	{ "seconds", required_argument, NULL, O_SECONDS },
	{ "size", required_argument, NULL, O_SIZE },
	{ "check-every", required_argument, NULL, O_EVERY },
	{ "weights", required_argument, NULL, O_WEIGHTS },
	{ "only", required_argument, NULL, O_ONLY },
	{ "processes", required_argument, NULL, O_PROCESSES },
	{ "shared", no_argument, NULL, O_SHARED },
	{ "log", required_argument, NULL, O_LOG },
	{ "replay", required_argument, NULL, O_REPLAY },
	{ "shrink", required_argument, NULL, O_SHRINK },
	{ "rawdev", required_argument, NULL, O_RAWDEV },
	{ "mnt", required_argument, NULL, O_MNT },
	{ "dev", required_argument, NULL, O_DEV },
	{ "drop-caches", no_argument, NULL, O_DROP },
	{ "flag", required_argument, NULL, O_FLAG },
	{ "require-writethrough", no_argument, NULL, O_REQUIRE },
	{ "plant", required_argument, NULL, O_PLANT },
	{ "no-fault", no_argument, NULL, O_NO_FAULT },
	{ "no-self", no_argument, NULL, O_NO_SELF },
	{ "no-atomic", no_argument, NULL, O_NO_ATOMIC },
	{ "help", no_argument, NULL, O_HELP },
};

#define NR_BASE		(sizeof(base_options) / sizeof(base_options[0]))

static void parse_options(int argc, char **argv)
{
	static char no_name[NR_OPS][32];
	struct option options[NR_BASE + NR_OPS + 1] = { 0 };
	int i, c;

	memcpy(options, base_options, sizeof(base_options));
	for (i = 0; i < NR_OPS; i++) {
		snprintf(no_name[i], sizeof(no_name[i]), "no-%s", ops[i].name);
		options[NR_BASE + i] = (struct option) {
			no_name[i], no_argument, NULL, O_NO + i
		};
		opt.weight[i] = ops[i].weight;
	}
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case O_SEED:
			opt.seed = number(optarg);
			break;
		case O_OPS:
			opt.nr_ops = number(optarg);
			break;
		case O_SECONDS:
			opt.seconds = number(optarg);
			break;
		case O_SIZE:
			opt.max = number(optarg);
			break;
		case O_EVERY:
			opt.check_every = number(optarg);
			break;
		case O_WEIGHTS:
			set_weights(optarg, false);
			break;
		case O_ONLY:
			set_weights(optarg, true);
			break;
		case O_PROCESSES:
			opt.processes = number(optarg);
			break;
		case O_SHARED:
			opt.shared = true;
			break;
		case O_LOG:
			opt.log = optarg;
			break;
		case O_REPLAY:
			opt.replay = optarg;
			break;
		case O_SHRINK:
			opt.shrink = optarg;
			break;
		case O_RAWDEV:
			opt.rawdev = optarg;
			break;
		case O_MNT:
			opt.mnt = optarg;
			opt.drop_caches = true;
			break;
		case O_DEV:
			opt.dev = optarg;
			break;
		case O_DROP:
			opt.drop_caches = true;
			break;
		case O_FLAG:
			opt.flag = number(optarg);
			opt.flag_given = true;
			break;
		case O_REQUIRE:
			opt.require = true;
			break;
		case O_PLANT:
			opt.plant = number(optarg);
			break;
		case O_NO_FAULT:
			opt.no_fault = true;
			break;
		case O_NO_SELF:
			opt.no_self = true;
			break;
		case O_NO_ATOMIC:
			opt.no_atomic = true;
			break;
		case O_HELP:
			usage(stdout);
			break;
		default:
			if (c < O_NO)
				usage(stderr);
			opt.weight[c - O_NO] = 0;
		}
	}
	if (optind != argc - 1)
		usage(stderr);
	opt.file = argv[optind];
}

int main(int argc, char **argv)
{
	opt.program = argv[0];
	parse_options(argc, argv);
	if (!opt.seed)
		opt.seed = mix(time(NULL) ^ ((uint64_t)getpid() << 32)) % 1000000000;
	if (!opt.nr_ops && !opt.seconds)
		opt.nr_ops = 10000;
	if (!opt.check_every)
		opt.check_every = UINT64_MAX;
	if (opt.replay || opt.shrink)
		read_head(opt.replay ? opt.replay : opt.shrink);
	if (opt.processes < 1 || opt.processes > 64 ||
	    opt.max < (opt.shared ? 4096 : 65536) * opt.processes ||
	    opt.max > 1ull << 30)
		die("1 to 64 processes, at least 64 KiB for each, 4 KiB of one file, 1 GiB in all");
	if (opt.shared && (opt.processes < 2 || opt.replay || opt.shrink))
		die("--shared goes with --processes of 2 or more");
	if (opt.replay && opt.processes > 1)
		die("--replay runs one process");
	if (!opt.flag_given)
		opt.flag = wt_flag();

	tallies = mmap(NULL, opt.processes * sizeof(*tallies),
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (tallies == MAP_FAILED)
		die("out of memory");
	if (!opt.shrink)
		printf("wtx: seed %" PRIu64 "\n", opt.seed);
	if (!opt.flag)
		printf("write-through: not in this kernel\n");
	if (!opt.flag && opt.require)
		return 77;
	fflush(stdout);
	if (opt.shrink)
		return shrink();
	return report(opt.processes > 1 ? run_processes() : run_process(0));
}
