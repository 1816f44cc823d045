// SPDX-License-Identifier: GPL-2.0
/*
 * calls: a QEMU plugin that counts the instructions between two marks by the
 * functions that ran them, and by those that had called these.
 *
 *	-plugin calls.so,map=System.map,out=FILE
 *
 * The marks are two system calls nobody else makes, see `wtbench --marks`. Each
 * pair of them gives a section of FILE: a line "= N" and then, for every chain
 * of calls, "entry_SYSCALL_64;do_syscall_64;... INSTRUCTIONS CALLS". What an
 * interrupt runs is a chain of its own, and the program is called "program".
 *
 * For one processor, a kernel at its linked address, and returns that are plain
 * ones. The number of instructions is exact in any case. Whose they are follows
 * from a stack of return addresses kept here; a switch of tasks confuses it
 * until the next system call.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-plugin-1.h"

#define EXPORT	__attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

#define KERNEL		0xffff800000000000ULL
#define MAX_DEPTH	512
#define MAX_CHAIN	200

#define START_MARK	"__x64_sys_sched_get_priority_min"
#define STOP_MARK	"__x64_sys_sched_get_priority_max"

struct symbol {
	uint64_t	address;
	char		*name;
	bool		interrupt;
};

/* A function, as called by a certain chain of others. */
struct node {
	const struct symbol *symbol;
	struct node	*parent;
	struct node	*child;
	struct node	*next;
	unsigned int	depth;
	uint64_t	instructions;
	uint64_t	calls;
};

enum end {
	OTHER,
	CALL,
	RETURN,
	INTERRUPT_RETURN,
	SYSCALL,
};

/* What QEMU translates in one go: no branch but at its end. */
struct block {
	uint64_t	start;
	uint64_t	behind;		/* it */
	unsigned int	instructions;
	enum end	end;
	const struct symbol *symbol;
	bool		entry;		/* begins where the function does */
};

struct frame {
	struct node	*node;
	uint64_t	back;		/* where its return goes to */
	bool		interrupt;
	const struct block *interrupted;
};

static struct symbol *symbols, program = { .name = "program" };
static struct symbol unknown = { .name = "unknown" };
static size_t nr_symbols;

static struct node root;
static struct frame stack[MAX_DEPTH];
static unsigned int depth;
static const struct block *last;
static bool counting;
static unsigned int sections;
static FILE *out;

static void fail(const char *what)
{
	fprintf(stderr, "calls: %s\n", what);
	exit(1);
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* The compiler's parts of a function count as the function. */
static char *plain_name(const char *name)
{
	char *copy = strdup(name), *dot = strchr(copy, '.');

	if (dot && dot != copy)
		*dot = '\0';
	return copy;
}

static void read_map(const char *path)
{
	FILE *file = fopen(path, "re");
	char name[512], type;
	uint64_t address;
	size_t room = 0;

	if (!file)
		fail("cannot read the map");
	while (fscanf(file, "%" SCNx64 " %c %511s", &address, &type, name) == 3) {
		if (!strchr("tTwW", type) || address < KERNEL)
			continue;
		/* of several names for an address the first */
		if (nr_symbols && symbols[nr_symbols - 1].address == address)
			continue;
		if (nr_symbols == room) {
			room = room ? room * 2 : 65536;
			symbols = realloc(symbols, room * sizeof(*symbols));
			if (!symbols)
				fail("no memory");
		}
		symbols[nr_symbols].address = address;
		symbols[nr_symbols].name = plain_name(name);
		symbols[nr_symbols].interrupt = !strncmp(name, "asm_", 4);
		nr_symbols++;
	}
	fclose(file);
	qsort(symbols, nr_symbols, sizeof(*symbols), by_address);
}

static const struct symbol *find_symbol(uint64_t address)
{
	size_t low = 0, high = nr_symbols;

	if (address < KERNEL)
		return &program;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (symbols[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &symbols[low - 1] : &unknown;
}

static struct node *child_of(struct node *parent, const struct symbol *symbol)
{
	struct node *node;

	/* functions that jump to and fro do not make a chain longer */
	if (parent->symbol && !strcmp(parent->symbol->name, symbol->name))
		return parent;
	if (parent->depth >= MAX_CHAIN)
		parent = &root;
	for (node = parent->child; node; node = node->next)
		if (!strcmp(node->symbol->name, symbol->name))
			return node;
	node = calloc(1, sizeof(*node));
	if (!node)
		fail("no memory");
	node->symbol = symbol;
	node->parent = parent;
	node->depth = parent->depth + 1;
	node->next = parent->child;
	parent->child = node;
	return node;
}

static void push(struct node *parent, const struct block *block, uint64_t back,
		 bool interrupt)
{
	struct frame *frame;

	if (depth == MAX_DEPTH)
		depth = 1;
	frame = &stack[depth++];
	frame->node = child_of(parent, block->symbol);
	frame->node->calls++;
	frame->back = back;
	frame->interrupt = interrupt;
	frame->interrupted = last;
}

/* Something returns to an address. Returns false if nobody was called from there. */
static bool pop_to(uint64_t address)
{
	unsigned int i;

	for (i = depth; i-- > 1; ) {
		if (stack[i].interrupt)
			return false;
		if (stack[i].back == address) {
			depth = i;
			return true;
		}
	}
	return false;
}

static void pop_interrupt(void)
{
	unsigned int i;

	for (i = depth; i-- > 1; ) {
		if (stack[i].interrupt) {
			depth = i;
			last = stack[i].interrupted;
			return;
		}
	}
}

static void follow(const struct block *block)
{
	struct frame *top;

	if (last && last->end == INTERRUPT_RETURN)
		pop_interrupt();
	if (block->entry && block->symbol->interrupt) {
		push(&root, block, 0, true);
		return;
	}
	if (last && last->end == SYSCALL) {
		depth = 1;
		push(&root, block, last->behind, false);
		return;
	}
	if (last && last->end == CALL && block->entry) {
		push(stack[depth - 1].node, block, last->behind, false);
		return;
	}
	if (last && last->end == RETURN && pop_to(block->start))
		return;

	/* a branch, maybe to another function, which returns for this one */
	top = &stack[depth - 1];
	if (block->symbol == &program) {
		depth = 1;
		top = &stack[0];
	}
	if (top->node->symbol != block->symbol) {
		top->node = child_of(depth == 1 ? &root : top->node,
				     block->symbol);
		top->node->calls++;
	}
}

static void print_chain(const struct node *node)
{
	if (node->parent != &root) {
		print_chain(node->parent);
		fputc(';', out);
	}
	fputs(node->symbol->name, out);
}

static void print_tree(struct node *node)
{
	struct node *child, *next;

	if (node != &root && node->instructions) {
		print_chain(node);
		fprintf(out, " %" PRIu64 " %" PRIu64 "\n", node->instructions,
			node->calls);
	}
	for (child = node->child; child; child = next) {
		next = child->next;
		print_tree(child);
		free(child);
	}
}

static void start(void)
{
	memset(&root, 0, sizeof(root));
	stack[0] = (struct frame) { .node = &root };
	stack[0].node = child_of(&root, &program);
	depth = 1;
	last = NULL;
	counting = true;
}

static void stop(void)
{
	fprintf(out, "= %u\n", ++sections);
	print_tree(&root);
	fflush(out);
	counting = false;
}

static void run(unsigned int cpu, void *data)
{
	const struct block *block = data;

	(void)cpu;
	if (!counting)
		return;
	follow(block);
	stack[depth - 1].node->instructions += block->instructions;
	last = block;
}

static void run_mark(unsigned int cpu, void *data)
{
	const struct block *block = data;

	(void)cpu;
	if (counting && !strcmp(block->symbol->name, STOP_MARK))
		stop();
	else if (!counting && !strcmp(block->symbol->name, START_MARK))
		start();
}

static enum end classify(struct qemu_plugin_insn *insn)
{
	const unsigned char *code = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);

	/* prefixes: operand and address size, segments, repetition, REX */
	while (size > 1 && (*code == 0x66 || *code == 0x67 || *code == 0x2e ||
			    *code == 0x3e || *code == 0x64 || *code == 0x65 ||
			    *code == 0xf2 || *code == 0xf3 ||
			    (*code & 0xf0) == 0x40)) {
		code++;
		size--;
	}
	if (code[0] == 0xe8)
		return CALL;
	if (size > 1 && code[0] == 0xff && (code[1] & 0x38) == 0x10)
		return CALL;
	if (code[0] == 0xc3 || code[0] == 0xc2)
		return RETURN;
	if (code[0] == 0xcf)
		return INTERRUPT_RETURN;
	if (size > 1 && code[0] == 0x0f && code[1] == 0x05)
		return SYSCALL;
	return OTHER;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t nr = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *first, *final;
	const int no_regs = QEMU_PLUGIN_CB_NO_REGS;
	struct block *block;

	(void)id;
	if (!nr)
		return;
	first = qemu_plugin_tb_get_insn(tb, 0);
	final = qemu_plugin_tb_get_insn(tb, nr - 1);
	/* for good: translations come and go, but not that many */
	block = calloc(1, sizeof(*block));
	if (!block)
		fail("no memory");
	block->start = qemu_plugin_insn_vaddr(first);
	block->behind = qemu_plugin_insn_vaddr(final) +
			qemu_plugin_insn_size(final);
	block->instructions = nr;
	block->end = classify(final);
	block->symbol = find_symbol(block->start);
	block->entry = block->symbol->address == block->start;
	if (block->entry && (!strcmp(block->symbol->name, START_MARK) ||
			     !strcmp(block->symbol->name, STOP_MARK)))
		qemu_plugin_register_vcpu_tb_exec_cb(tb, run_mark, no_regs,
						     block);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, run, no_regs, block);
}

static void finish(qemu_plugin_id_t id, void *data)
{
	(void)id;
	(void)data;
	if (fclose(out))
		fail("cannot write the result");
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
			       int argc, char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "map=", 4))
			read_map(argv[i] + 4);
		else if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "we");
	}
	if (!nr_symbols || !out) {
		fprintf(stderr, "calls: map= and out= are needed\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
