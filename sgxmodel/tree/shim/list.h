/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Doubly linked lists with the checks of CONFIG_DEBUG_LIST: the neighbours of
 * the place of insertion, and an entry that is to be deleted.  As in the kernel
 * a corrupted operation is reported and left out.
 */
#ifndef SHIM_LIST_H
#define SHIM_LIST_H

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_POISON1 ((struct list_head *)0xdead000000000100UL)
#define LIST_POISON2 ((struct list_head *)0xdead000000000122UL)

void eng_list_bug(const char *func, const char *what, const void *entry);
void eng_list_linked(const char *func, const struct list_head *entry);
/* For the trace: what is done, to which entry, and to which end of which list. */
void eng_list_op(const char *op, const struct list_head *entry, const struct list_head *to,
		 const char *end);
void eng_list_splice(const char *op, const struct list_head *list, const struct list_head *to);
void eng_list_look(const char *op, const struct list_head *head);
/* Constant for the driver, so that its reads have no hooks: a trace may not add any. */
extern const int eng_tracing __attribute__((visibility("hidden")));
#define SHIM_TRACED(call) do { if (unlikely(eng_tracing)) call; } while (0)

#define LIST_HEAD_INIT(name) { &(name), &(name) }
#define LIST_HEAD(name) struct list_head name = LIST_HEAD_INIT(name)

__shim void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head;
	head->prev = head;
}

__shim void shim_list_insert(const char *func, struct list_head *entry,
			     struct list_head *prev, struct list_head *next,
			     const struct list_head *published)
{
	if (next->prev != prev) {
		eng_list_bug(func, "list_add corruption. next->prev should be prev", entry);
		return;
	}
	if (prev->next != next) {
		eng_list_bug(func, "list_add corruption. prev->next should be next", entry);
		return;
	}
	if (entry == prev || entry == next) {
		eng_list_bug(func, "list_add double add", entry);
		return;
	}
	eng_list_linked(func, entry);
	next->prev = entry;
	entry->next = next;
	entry->prev = prev;
	if (published)
		eng_publish(published);	/* rcu_assign_pointer(): what was written before is seen */
	WRITE_ONCE(prev->next, entry);
}

__shim bool shim_list_unlink(const char *func, struct list_head *entry)
{
	struct list_head *prev = entry->prev, *next = entry->next;

	if (next == LIST_POISON1) {
		eng_list_bug(func, "list_del corruption, next is LIST_POISON1", entry);
		return false;
	}
	if (prev == LIST_POISON2) {
		eng_list_bug(func, "list_del corruption, prev is LIST_POISON2", entry);
		return false;
	}
	if (prev->next != entry) {
		eng_list_bug(func, "list_del corruption. prev->next should be the entry", entry);
		return false;
	}
	if (next->prev != entry) {
		eng_list_bug(func, "list_del corruption. next->prev should be the entry", entry);
		return false;
	}
	next->prev = prev;
	WRITE_ONCE(prev->next, next);
	return true;
}

__shim void shim_list_del(const char *func, struct list_head *entry)
{
	if (shim_list_unlink(func, entry)) {
		entry->next = LIST_POISON1;
		entry->prev = LIST_POISON2;
	}
}

__shim void shim_list_del_rcu(const char *func, struct list_head *entry)
{
	if (shim_list_unlink(func, entry))
		entry->prev = LIST_POISON2;
}

__shim void shim_list_del_init(const char *func, struct list_head *entry)
{
	shim_list_unlink(func, entry);
	INIT_LIST_HEAD(entry);
}

__shim void shim_list_move(const char *func, struct list_head *entry,
			   struct list_head *prev, struct list_head *next)
{
	/* Moving to where the entry is already must not take itself for a neighbour. */
	struct list_head *before = prev == entry ? entry->prev : prev;
	struct list_head *after = next == entry ? entry->next : next;

	shim_list_unlink(func, entry);
	shim_list_insert(func, entry, before, after, NULL);
}

#define SHIM_LIST_OP(op, e, h, end, ...) ({				\
	struct list_head *_e = (e), *_h = (h);				\
	SHIM_TRACED(eng_list_op(op, _e, _h, end));			\
	__VA_ARGS__; })
#define list_add(e, h) SHIM_LIST_OP("list_add", e, h, "head", \
	shim_list_insert(__func__, _e, _h, _h->next, NULL))
#define list_add_tail(e, h) SHIM_LIST_OP("list_add_tail", e, h, "tail", \
	shim_list_insert(__func__, _e, _h->prev, _h, NULL))
#define list_add_rcu(e, h) SHIM_LIST_OP("list_add_rcu", e, h, "head", \
	shim_list_insert(__func__, _e, _h, _h->next, _h))
#define list_add_tail_rcu(e, h) SHIM_LIST_OP("list_add_tail_rcu", e, h, "tail", \
	shim_list_insert(__func__, _e, _h->prev, _h, _h))
#define list_del(e) SHIM_LIST_OP("list_del", e, NULL, "", shim_list_del(__func__, _e))
#define list_del_rcu(e) SHIM_LIST_OP("list_del_rcu", e, NULL, "", shim_list_del_rcu(__func__, _e))
#define list_del_init(e) SHIM_LIST_OP("list_del_init", e, NULL, "", \
	shim_list_del_init(__func__, _e))
#define list_move(e, h) SHIM_LIST_OP("list_move", e, h, "head", \
	shim_list_move(__func__, _e, _h, _h->next))
#define list_move_tail(e, h) SHIM_LIST_OP("list_move_tail", e, h, "tail", \
	shim_list_move(__func__, _e, _h->prev, _h))

__shim int shim_list_empty(const struct list_head *head)
{
	return READ_ONCE(head->next) == head;
}

__shim int list_empty(const struct list_head *head)
{
	SHIM_TRACED(eng_list_look("list_empty", head));
	return shim_list_empty(head);
}

__shim int list_is_singular(const struct list_head *head)
{
	return !list_empty(head) && head->next == head->prev;
}

__shim void shim_list_splice(const struct list_head *list, struct list_head *prev,
			     struct list_head *next)
{
	struct list_head *first = list->next, *last = list->prev;

	first->prev = prev;
	prev->next = first;
	last->next = next;
	next->prev = last;
}

__shim void list_splice(const struct list_head *list, struct list_head *head)
{
	SHIM_TRACED(eng_list_splice("list_splice", list, head));
	if (!shim_list_empty(list))
		shim_list_splice(list, head, head->next);
}

__shim void list_splice_tail(struct list_head *list, struct list_head *head)
{
	SHIM_TRACED(eng_list_splice("list_splice_tail", list, head));
	if (!shim_list_empty(list))
		shim_list_splice(list, head->prev, head);
}

__shim void list_splice_init(struct list_head *list, struct list_head *head)
{
	list_splice(list, head);
	INIT_LIST_HEAD(list);
}

__shim void list_splice_tail_init(struct list_head *list, struct list_head *head)
{
	list_splice_tail(list, head);
	INIT_LIST_HEAD(list);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define shim_first(head, type, member) list_entry((head)->next, type, member)
#define list_first_entry(head, type, member) ({				\
	struct list_head *_hd = (head);					\
	SHIM_TRACED(eng_list_look("list_first_entry", _hd));		\
	shim_first(_hd, type, member); })
#define list_last_entry(head, type, member) list_entry((head)->prev, type, member)
#define list_first_entry_or_null(head, type, member) ({		\
	struct list_head *_hd = (head), *_f;				\
	SHIM_TRACED(eng_list_look("list_first_entry_or_null", _hd));	\
	_f = READ_ONCE(_hd->next);					\
	_f != _hd ? list_entry(_f, type, member) : NULL; })
#define list_next_entry(pos, member) list_entry((pos)->member.next, typeof(*(pos)), member)
#define list_prev_entry(pos, member) list_entry((pos)->member.prev, typeof(*(pos)), member)
#define list_for_each(pos, head) \
	for (pos = (head)->next; pos != (head); pos = pos->next)
#define list_for_each_entry(pos, head, member)				\
	for (pos = shim_first(head, typeof(*pos), member);		\
	     &pos->member != (head); pos = list_next_entry(pos, member))
#define shim_next_rcu(pos, head) ({					\
	struct list_head *_next = READ_ONCE((pos)->next);		\
	eng_consume(head);						\
	_next; })
#define list_for_each_entry_rcu(pos, head, member, ...)			\
	for (pos = list_entry(shim_next_rcu(head, head), typeof(*pos), member); \
	     &pos->member != (head);					\
	     pos = list_entry(shim_next_rcu(&pos->member, head), typeof(*pos), member))
#define list_for_each_entry_srcu(pos, head, member, cond)		\
	list_for_each_entry_rcu(pos, head, member)
#define list_for_each_entry_safe(pos, n, head, member)			\
	for (pos = shim_first(head, typeof(*pos), member),		\
	     n = list_next_entry(pos, member);				\
	     &pos->member != (head);					\
	     pos = n, n = list_next_entry(n, member))

#endif
