// SPDX-License-Identifier: GPL-2.0
/*
 * flag-table rst|man|md: the table of flags, from the one that the test of all
 * combinations uses, in the language of a document.
 */
#include <stdio.h>
#include <string.h>

enum kind { RWF, OPEN, RING };

static const struct row {
	enum kind	kind;
	const char	*name;
	const char	*text;
} rows[] = {
#define ROW(kind, name, effect, error, ring_error, text) { kind, #name, text },
#include "flags.def"
#undef ROW
};

#define NR_ROWS		(sizeof(rows) / sizeof(rows[0]))

static const char * const kind_text[] = {
	[RWF]	= "%s",
	[OPEN]	= "descriptor: %s",
	[RING]	= "ring: %s",
};

/* One word of a text, a `name` between the given marks. Returns its width. */
static int word(char *to, const char *from, int len, const char *open,
		const char *close)
{
	int inside = 0, n = 0, i;

	for (i = 0; i < len; i++) {
		if (from[i] != '`')
			n += sprintf(to + n, "%c", from[i]);
		else
			n += sprintf(to + n, "%s", inside++ % 2 ? close : open);
	}
	to[n] = '\0';
	return n;
}

/*
 * A text, filled. The first line starts in column @at, the others in column
 * @indent; with @sentences each sentence starts on a line of its own.
 */
static void fill(const char *text, int at, int indent, int width, int sentences,
		 const char *open, const char *close)
{
	char last = 0, out[128];
	int fresh = 1;

	while (*text) {
		int len = strcspn(text, " ");
		int n = word(out, text, len, open, close);

		if (!fresh && (at + 1 + n > width || (sentences && last == '.'))) {
			printf("\n%*s", indent, "");
			at = indent;
			fresh = 1;
		}
		at += printf("%s%s", fresh ? "" : " ", out);
		fresh = 0;
		last = out[n - 1];
		text += len + strspn(text + len, " ");
	}
	printf("\n");
}

static void name(char *to, const struct row *row, const char *open,
		 const char *close)
{
	char marked[128];

	sprintf(marked, "%s%s%s", open, row->name, close);
	sprintf(to, kind_text[row->kind], marked);
}

static void rst(void)
{
	static const char line[] =
		"============================== ================================================";
	char first[160];
	size_t i;

	printf("%s\n", line);
	for (i = 0; i < NR_ROWS; i++) {
		name(first, &rows[i], "``", "``");
		printf("%-31s", first);
		fill(rows[i].text, 31, 31, 79, 1, "``", "``");
	}
	printf("%s\n", line);
}

static void man(void)
{
	char first[160];
	size_t i;

	for (i = 0; i < NR_ROWS; i++) {
		name(first, &rows[i], rows[i].kind == RWF ? "" : "\\fB",
		     rows[i].kind == RWF ? "" : "\\fP");
		printf(".TP\n%s%s\n", rows[i].kind == RWF ? ".B " : "", first);
		fill(rows[i].text, 0, 0, 78, 1, "\\fB", "\\fP");
	}
}

static void markdown(void)
{
	char first[160];
	size_t i;

	printf("| with | |\n|---|---|\n");
	for (i = 0; i < NR_ROWS; i++) {
		name(first, &rows[i], "`", "`");
		printf("| %s | ", first);
		fill(rows[i].text, 0, 0, 1 << 20, 0, "`", "`");
	}
}

int main(int argc, char **argv)
{
	const char *how = argc == 2 ? argv[1] : "";

	if (!strcmp(how, "rst"))
		rst();
	else if (!strcmp(how, "man"))
		man();
	else if (!strcmp(how, "md"))
		markdown();
	else
		return 2;
	return 0;
}
