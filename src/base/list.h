/* list.h - intrusive doubly linked ring. A struct list is a head or a member; an initialised head points to itself.
 * Owns nothing; the object that embeds the member outlives its membership. */
#ifndef ROOST_BASE_LIST_H
#define ROOST_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* The object of type T whose field FIELD is the member M. */
#define LIST_OBJECT(m, T, field) ((T *)(void *)((char *)(m) - offsetof(T, field)))
/* Walk the members; M may be removed (and freed) in the body, its successor may not. */
#define LIST_EACH(m, head) \
	for (struct list *m = (head)->next, *m##_next = m->next; m != (head); m = m##_next, m##_next = m->next)

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* Add M at the end of HEAD's ring. M is in no ring before. */
static inline void list_push(struct list *head, struct list *m)
{
	m->prev = head->prev;
	m->next = head;
	head->prev->next = m;
	head->prev = m;
}

/* Take M out of its ring and leave it a ring of its own; harmless where it already is one. */
static inline void list_remove(struct list *m)
{
	m->prev->next = m->next;
	m->next->prev = m->prev;
	list_init(m);
}

/* Remove and return the first member, NULL where there is none. */
static inline struct list *list_shift(struct list *head)
{
	struct list *m = head->next;

	if (m == head)
		return NULL;
	list_remove(m);
	return m;
}

#endif
