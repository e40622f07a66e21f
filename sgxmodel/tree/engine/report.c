// SPDX-License-Identifier: GPL-2.0-only
/* What is found, and the trace: plain text, one line an event, for Python to render. */
#include <stdarg.h>
#include <stdlib.h>

#include "engine.h"
#include "warnings.h"

/* The innermost function of the driver that runs, by its shadow call stack. */
static const void *driver_pc(void)
{
	struct task *t = cur();

	return t->depth > 0 && t->depth <= FRAMES ? t->frame[t->depth - 1] : NULL;
}

static const void *line_pc(void)
{
	struct task *t = cur();

	return t->depth > 0 && t->depth <= FRAMES ? t->line[t->depth - 1] : NULL;
}

/* Python turns the program counter into the name; C code need not know it. */
const char *driver_function(void)
{
	return "";
}

/* The first line of the text is the title. */
static struct eng_finding *new_finding(const char *id, const char *func, char *text)
{
	struct eng_result *r = &keep->result;
	char *newline = strchr(text, '\n');
	struct eng_finding *f;

	if (newline)
		*newline++ = 0;
	f = &r->found[r->nfound++];
	memset(f, 0, sizeof(*f));
	snprintf(f->id, sizeof(f->id), "%s", id);
	snprintf(f->func, sizeof(f->func), "%s", func);
	snprintf(f->title, sizeof(f->title), "%.159s", text);
	snprintf(f->message, sizeof(f->message), "%.319s", newline ? newline : "");
	f->pc = driver_pc();
	f->line = line_pc();
	f->step = W.step;
	f->task = W.current;
	f->call = W.current < W.nuser ? cur()->first_call + cur()->call : -1;
	if (keep->trace_on)
		trace_event(NULL, "VIOLATED %s: %s", id, text);
	return f;
}

static void add_finding(const char *id, const char *func, const char *fmt, va_list args)
{
	struct eng_result *r = &keep->result;
	char text[480];

	vsnprintf(text, sizeof(text), fmt, args);
	for (int i = 0; i < r->nfound; i++)
		if (!strcmp(r->found[i].id, id) && !strncmp(r->found[i].func, func, 63) &&
		    !r->found[i].a && (*func || r->found[i].pc == driver_pc()))
			return;
	if (r->nfound < ENG_FOUND)
		new_finding(id, func, text);
}

#define RACES_MAX 48		/* of a run: something else may be found, too */

void race_found(const char *id, u32 offender, u32 a, u32 b, const char *fmt, ...)
{
	const u8 *base = (const u8 *)(uintptr_t)eng_base();
	struct eng_result *r = &keep->result;
	struct eng_finding *f;
	char text[480];
	va_list args;

	for (int i = 0; i < r->nfound; i++)
		if (r->found[i].a == base + a && r->found[i].b == base + b)
			return;
	if (r->nfound >= RACES_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	f = new_finding(id, "", text);
	f->pc = f->line = base + offender;
	f->a = base + a;
	f->b = base + b;
}

/* The kernel would go on (a WARN, a wrong count): so does the run. */
void violate(const char *id, const char *func, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_finding(id, func, fmt, args);
	va_end(args);
}

/* Nothing that follows would mean anything: the run ends here. */
void fatal(const char *id, const char *func, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_finding(id, func, fmt, args);
	va_end(args);
	if (W.running)
		sched_abort();
	abort();
}

void sometimes(int what)
{
	if (W.running && !W.closing && W.current != W.setup)
		keep->seen[what]++;
}

/* -- WARN and printk ------------------------------------------------------------------------ */

static void format_line(char *out, size_t size, const char *fmt, va_list args)
{
	vsnprintf(out, size, fmt, args);
	out[strcspn(out, "\n")] = 0;
}

/* Which guarantee a WARN of the driver stands for. */
static const char *meaning(const char *func, const char *text)
{
	for (size_t i = 0; i < sizeof(warn_meanings) / sizeof(warn_meanings[0]); i++)
		if (strstr(text, warn_meanings[i].text))
			return warn_meanings[i].id;
	(void)func;
	return "3-tracked";
}

void eng_warn(const char *func, const char *fmt, ...)
{
	char text[200];
	va_list args;

	va_start(args, fmt);
	format_line(text, sizeof(text), fmt, args);
	va_end(args);
	TRACE("WARNING: %s", text);
	/* A leaf that was made to fail, and the SECS of a child that resisted, may warn. */
	if (W.leaf_failed && (strstr(text, "EREMOVE returned") || strstr(text, "returned") ||
			    strstr(text, "secs_child_cnt") || strstr(text, "secs.epc_page")))
		return;
	violate(meaning(func, text), func, "WARNING: %s", text);
}

void eng_bug(const char *func, const char *what)
{
	fatal("6-references", func, "kernel BUG: %s", what);
}

void eng_list_bug(const char *func, const char *what, const void *entry)
{
	fatal("1-one-list", func, "%s\nthe entry is %s", what, object_name(entry));
}

void eng_printk(const char *fmt, ...)
{
	char text[200];
	va_list args;

	if (!keep->trace_on && W.running && !strstr(fmt, "PCMD page not empty"))
		return;
	va_start(args, fmt);
	format_line(text, sizeof(text), fmt, args);
	va_end(args);
	TRACE("printk: %s", text);
	if (strstr(text, "PCMD page not empty"))
		violate("8-evicted", "__sgx_encl_eldu", "%s", text);
}

/* -- the trace --------------------------------------------------------------------------- */

/* A name behind a wild pointer may hold anything; a line is a line. */
static void printable(char *text, int n)
{
	for (; n > 0; n--, text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

struct trace_place trace_here(void)
{
	return (struct trace_place){
		.step = W.step, .task = W.current,
		.call = cur()->in_call ? cur()->first_call + cur()->call : -1,
		.entry = driver_pc(), .line = line_pc(),
	};
}

static void __attribute__((format(printf, 2, 0)))
say(const struct trace_place *at, const char *fmt, va_list args)
{
	char line[640];
	int n, start;

	n = snprintf(line, sizeof(line), "%u\t%d\t%d\t%lx\t%lx\t", at->step, at->task, at->call,
		     (unsigned long)at->entry, (unsigned long)at->line);
	start = n;
	n += vsnprintf(line + n, sizeof(line) - n - 2, fmt, args);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	printable(line + start, n - start);
	line[n++] = '\n';
	if (keep->trace_len + n + 1 > keep->trace_cap) {
		if (keep->trace_cap > (8U << 20))
			return;
		keep->trace_cap = keep->trace_cap * 2 + 65536;
		keep->trace = realloc(keep->trace, keep->trace_cap);
	}
	memcpy(keep->trace + keep->trace_len, line, n);
	keep->trace_len += n;
	keep->trace[keep->trace_len] = 0;
}

void trace_event_at(const struct trace_place *at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(at, fmt, args);
	va_end(args);
}

void trace_event(const void *pc, const char *fmt, ...)
{
	struct trace_place at = trace_here();
	va_list args;

	(void)pc;
	trace_store_done();
	va_start(args, fmt);
	say(&at, fmt, args);
	va_end(args);
}

void eng_trace(int on)
{
	keep->trace_on = on;
	if (!on)
		return;
	keep->trace_len = 0;
	if (keep->trace)
		keep->trace[0] = 0;
}

const char *eng_trace_text(void)
{
	return keep->trace ? keep->trace : "";
}

const char *eng_error(void)
{
	return keep ? keep->error : "the engine did not start";
}
