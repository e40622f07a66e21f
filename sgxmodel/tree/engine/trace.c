// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace in detail: what a reader of an interleaving looks for.  List operations with
 * where the entry was and where it goes, reads and writes of fields with values, references.
 *
 * Text of an event: "OPERATION", "OPERATION = RESULT", and " :: CHANGE" behind either.
 * Python gives fields and values their names: see object_field() and fields.py.
 */
#include "engine.h"

struct list_head {
	struct list_head *next, *prev;
};

int eng_tracing;			/* set as each run begins */

#define LONG 256			/* no list is longer */

/* -- values --------------------------------------------------------------------------------- */

static int on_a_stack(const void *addr)
{
	return (size_t)((const u8 *)addr - stack_base) < STACK_BYTES * ENG_TASKS;
}

/* An object, or a list head: what a pointer points to, in words. */
static const char *place(const void *addr)
{
	if (on_a_stack(addr))
		return "a local list";
	return object_kind(addr, NULL) || in_state(addr, 1) ? object_field(addr) : "memory elsewhere";
}

/* A pointer to an object by the object's name; any other value as a number. */
static const char *value_text(u64 value)
{
	static char text[4][120];
	static int turn;
	char *buf = text[turn++ & 3];
	const void *addr = (const void *)(uintptr_t)value;

	if (object_kind(addr, NULL))
		snprintf(buf, 120, "&%s", object_name(addr));
	else if (frame_at(addr) >= 0)
		snprintf(buf, 120, "&contents of EPC page %d", frame_at(addr));
	else
		snprintf(buf, 120, "0x%llx", (unsigned long long)value);
	return buf;
}

static u64 value_at(const void *addr, size_t size)
{
	u64 value = 0;

	memcpy(&value, addr, size);
	return value;
}

/* -- fields ----------------------------------------------------------------------------------- */

/* The hook comes before the store: what is stored is seen at this task's next event. */
static struct {
	const void *addr;
	size_t size;
	u64 old;
	struct trace_place at;
} pending;

void trace_store_done(void)
{
	const void *addr = pending.addr;

	if (!addr)
		return;
	pending.addr = NULL;
	trace_event_at(&pending.at, "store %s %s -> %s", object_field(addr),
		       value_text(pending.old), value_text(value_at(addr, pending.size)));
}

/* Objects of the driver's own; copies and ranges have no field's name. */
static int told(const void *addr, size_t size)
{
	const char *kind = object_kind(addr, NULL);

	if (size > 8)
		return 0;
	return kind ? strcmp(kind, "PAGE_SIZE") && strcmp(kind, "backing page") :
		      in_state(addr, size);
}

void trace_access(const void *addr, size_t size, int write)
{
	if (on_a_stack(addr) || !told(addr, size))
		return;
	if (!write) {
		trace_event(NULL, "read %s %s", object_field(addr),
			    value_text(value_at(addr, size)));
		return;
	}
	pending.size = size;
	pending.old = value_at(addr, size);
	pending.at = trace_here();
	pending.addr = addr;
}

/* -- lists --------------------------------------------------------------------------------------- */

/* Entries of a list are fields of the same type of object; what is none is its head. */
static int alike(const struct list_head *a, const struct list_head *b)
{
	size_t in_a, in_b;
	const char *kind_a = object_kind(a, &in_a), *kind_b = object_kind(b, &in_b);

	return kind_a && kind_b && in_a == in_b && !strcmp(kind_a, kind_b);
}

/* Which list an entry is on: its head, and how many are before it and behind it. */
static const struct list_head *list_of(const struct list_head *entry, int *before, int *behind)
{
	const struct list_head *at, *head;

	*before = *behind = 0;
	for (at = entry->prev; alike(at, entry); at = at->prev)
		if (++*before > LONG || !readable(at))
			return NULL;
	head = at;
	if (!readable(head))
		return NULL;
	for (at = entry->next; at != head; at = at->next)
		if (++*behind > LONG || !readable(at) || !alike(at, entry))
			return NULL;
	return head;
}

static const char *where(const struct list_head *entry, const struct list_head **head)
{
	static char text[320];
	int before, behind;

	*head = NULL;
	if (!readable(entry) || entry->next == entry || !readable(entry->next) ||
	    !readable(entry->prev) || entry->prev->next != entry)
		return "no list";
	*head = list_of(entry, &before, &behind);
	if (!*head)
		return "a torn list";
	snprintf(text, sizeof(text), before + behind == 0 ? "alone on %s" :
		 before == 0 ? "head of %s" : behind == 0 ? "tail of %s" :
		 "middle of %s", place(*head));
	return text;
}

/* Before it is done, so that what CONFIG_DEBUG_LIST says of it follows. */
void eng_list_op(const char *op, const struct list_head *entry, const struct list_head *to,
		 const char *end)
{
	const struct list_head *from;
	const char *was;
	char head[240];

	if (!W.running || W.quiet)
		return;
	HERE();
	was = where(entry, &from);
	if (!to) {
		trace_event(NULL, "%s(%s) :: %s -> no list", op, object_name(entry), was);
		return;
	}
	snprintf(head, sizeof(head), "%s", place(to));
	trace_event(NULL, "%s(%s, %s) :: %s -> %s", op, object_name(entry), head, was, end);
}

static int length(const struct list_head *head)
{
	int n = 0;

	for (const struct list_head *at = head->next; at != head && n < LONG; at = at->next, n++)
		if (!readable(at))
			return n;
	return n;
}

void eng_list_splice(const char *op, const struct list_head *list, const struct list_head *to)
{
	char from[240];

	if (!W.running || W.quiet)
		return;
	HERE();
	snprintf(from, sizeof(from), "%s", place(list));
	trace_event(NULL, "%s(%s, %s) :: %d %s", op, from, place(to), length(list),
		    length(list) == 1 ? "entry moves" : "entries move");
}

/* A look at a list that decides what is done next. */
void eng_list_look(const char *op, const struct list_head *head)
{
	char list[240];

	if (!W.running || W.quiet || !readable(head))
		return;
	HERE();
	snprintf(list, sizeof(list), "%s", place(head));
	if (!strcmp(op, "list_empty"))
		trace_event(NULL, "%s(%s) = %s", op, list, head->next == head ? "true" : "false");
	else
		trace_event(NULL, "%s(%s) = %s", op, list,
			    head->next == head ? "the list is empty" : object_name(head->next));
}
