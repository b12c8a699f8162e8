/* threads.c - REFERENCES is RFC 5256 section 3's, in its own steps: link by references, drop what is no message, order, gather the
 * threads of one subject, order again. */
#include "threads.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* Where a reference would lead to a level deeper than this it is left out: threads that are made to be slow are cut instead. */
#define LOOK_UP_MAX 1000

void threads_init(struct threads *t, enum thread_algorithm algorithm, struct arena *a)
{
	*t = (struct threads){ .algorithm = algorithm, .a = a };
}

void threads_fini(struct threads *t)
{
	map_fini(&t->ids);
	free(t->nodes);
	t->nodes = NULL;
}

bool threads_next_id(struct bytes *field, struct bytes *id_r)
{
	for (;;) {
		size_t open = bytes_find(*field, '<'), n;

		*field = bytes_from(*field, open + 1);
		n = bytes_find(*field, '>');
		if (n == field->n)
			return false;
		*id_r = bytes_sub(*field, 0, n);
		*field = bytes_from(*field, n + 1);
		if (n > 0)
			return true;
	}
}

/* Step 1: linking. */

static struct thread_node *node_of(struct threads *t, struct bytes id)
{
	struct thread_node *n = map_get(&t->ids, id);

	if (n == NULL) {
		n = arena_zalloc(t->a, sizeof(*n));
		(void)map_put(&t->ids, id, n);
	}
	return n;
}

/* Whether ABOVE is NODE or one of those above it; true also where that would take too long to find out. */
static bool is_above(const struct thread_node *above, const struct thread_node *node)
{
	unsigned levels = 0;

	while (node != NULL && node != above && levels++ < LOOK_UP_MAX)
		node = node->parent;
	return node != NULL;
}

void threads_add(struct threads *t, uint32_t number, int64_t date, int64_t arrival, struct bytes subject, bool is_reply,
                 const struct bytes *ids, size_t id_count)
{
	struct thread_node *node = id_count > 0 && ids[0].n > 0 ? node_of(t, ids[0]) : NULL, *before = NULL;

	/* Without an id of its own, or with another's: one that nothing refers to. */
	if (node == NULL || node->message != 0)
		node = arena_zalloc(t->a, sizeof(*node));
	node->message = number;
	node->date = date;
	node->arrival = arrival;
	node->subject = arena_copy(t->a, subject);
	node->is_reply = is_reply;
	if (t->count == t->cap) {
		t->cap = t->cap == 0 ? 256 : t->cap * 2;
		t->nodes = must_realloc(t->nodes, t->cap, sizeof(struct thread_node *));
	}
	t->nodes[t->count++] = node;
	for (size_t i = 1; i < id_count; i++) {
		struct thread_node *n = node_of(t, ids[i]);

		/* What is linked stays so, and no circles. */
		if (before != NULL && n->parent == NULL && !is_above(n, before))
			n->parent = before;
		before = n;
	}
	/* Its own references tell its parent, whatever others said of it. */
	if (before != NULL && before != node && !is_above(node, before))
		node->parent = before;
	else
		node->parent = NULL;
}

/* Order: by date, then as they came (RFC 5256 section 3: the sequence number). */

static int64_t date_of(const struct thread_node *n)
{
	return n->message == 0 && n->child != NULL ? n->child->date : n->date;
}

static uint32_t number_of(const struct thread_node *n)
{
	return n->message == 0 && n->child != NULL ? n->child->message : n->message;
}

static int by_date(const void *a, const void *b)
{
	const struct thread_node *x = *(struct thread_node *const *)a, *y = *(struct thread_node *const *)b;
	int64_t dx = date_of(x), dy = date_of(y);

	if (dx != dy)
		return dx < dy ? -1 : 1;
	return number_of(x) < number_of(y) ? -1 : number_of(x) > number_of(y);
}

static int by_arrival(const void *a, const void *b)
{
	const struct thread_node *x = *(struct thread_node *const *)a, *y = *(struct thread_node *const *)b;

	if (x->arrival != y->arrival)
		return x->arrival < y->arrival ? -1 : 1;
	return number_of(x) < number_of(y) ? -1 : number_of(x) > number_of(y);
}

static void sort_children(struct thread_node *parent, int (*compare)(const void *, const void *))
{
	struct thread_node **all, *n;
	size_t count = 0;

	for (n = parent->child; n != NULL; n = n->next)
		count++;
	if (count < 2)
		return;
	all = must_realloc(NULL, count, sizeof(struct thread_node *));
	count = 0;
	for (n = parent->child; n != NULL; n = n->next)
		all[count++] = n;
	qsort(all, count, sizeof(struct thread_node *), compare);
	parent->child = all[0];
	for (size_t i = 0; i < count; i++)
		all[i]->next = i + 1 < count ? all[i + 1] : NULL;
	free(all);
}

static void add_child(struct thread_node *parent, struct thread_node *child)
{
	child->parent = parent;
	child->next = parent->child;
	parent->child = child;
}

/* The next node in the order of a walk: children, then siblings, then those of the levels above; within ROOT. */
static struct thread_node *walk_on(struct thread_node *n, const struct thread_node *root, bool with_children)
{
	if (with_children && n->child != NULL)
		return n->child;
	while (n != root && n->next == NULL)
		n = n->parent;
	return n == root ? NULL : n->next;
}

/* Children before their parents: sort each node's children. */
static void sort_below(struct threads *t)
{
	/* Every parent is a message's, or a dummy at the root: all parents are met from their children. */
	for (size_t i = 0; i < t->count; i++)
		sort_children(t->nodes[i], by_date);
	for (struct thread_node *n = t->root.child; n != NULL; n = n->next) {
		if (n->message == 0)
			sort_children(n, by_date);
	}
}

/* Steps 2 and 3: children from parents; a node that is no message gives its children to the next message above it, or, if it has
 * several and none is above, stays as the root of a thread. */
static void make_tree(struct threads *t)
{
	for (size_t i = 0; i < t->count; i++) {
		struct thread_node *n = t->nodes[i], *up = n->parent, *top = NULL, *next;

		/* The way up from a node that is no message is shortened for those who come after. */
		while (up != NULL && up != &t->root && up->message == 0) {
			top = up;
			up = up->parent;
		}
		if (up == &t->root)
			up = NULL;
		for (struct thread_node *d = n->parent; d != NULL && d != top && d->message == 0; d = next) {
			next = d->parent;
			d->parent = up != NULL ? up : top;
		}
		if (up != NULL)
			add_child(up, n);
		else if (top != NULL)
			add_child(top, n);
		else
			add_child(&t->root, n);
		if (up == NULL && top != NULL && !top->is_at_root) {
			top->is_at_root = true;
			add_child(&t->root, top);
		}
	}
	/* A root that is no message and has one child: the child. The list is taken apart and made anew. */
	for (struct thread_node *n = t->root.child, *next = t->root.child = NULL; n != NULL; n = next) {
		next = n->next;
		if (n->message == 0 && n->child->next == NULL)
			add_child(&t->root, n->child);
		else
			add_child(&t->root, n);
	}
}

static struct bytes subject_of(const struct thread_node *n, bool *is_reply_r)
{
	if (n->message == 0)
		n = n->child;
	*is_reply_r = n->is_reply;
	return n->subject;
}

/* Step 5 C of RFC 5256: NODE joins the thread KEPT of the same subject; KEPT's place is taken by what is returned. */
static struct thread_node *join(struct threads *t, struct thread_node *kept, struct thread_node *node)
{
	bool kept_is_reply, node_is_reply;
	struct thread_node *both, *next;

	(void)subject_of(kept, &kept_is_reply);
	(void)subject_of(node, &node_is_reply);
	if (kept->message == 0 && node->message == 0) {
		for (struct thread_node *c = node->child; c != NULL; c = next) {
			next = c->next;
			add_child(kept, c);
		}
		return kept;
	}
	if (kept->message == 0 || (node->message != 0 && !kept_is_reply && node_is_reply)) {
		add_child(kept, node);
		return kept;
	}
	both = arena_zalloc(t->a, sizeof(*both));
	add_child(both, kept);
	add_child(both, node);
	return both;
}

/* Steps 4 and 5: the subjects of the threads; those of one subject become one thread. */
static void gather_subjects(struct threads *t)
{
	struct map kept = { 0 }; /* base subject -> its place in ROOTS, plus one */
	struct thread_node **roots;
	size_t count = 0;
	struct thread_node *n, *next;

	for (n = t->root.child; n != NULL; n = n->next)
		count++;
	roots = must_realloc(NULL, count + 1, sizeof(struct thread_node *));
	count = 0;
	for (n = t->root.child; n != NULL; n = next) {
		bool is_reply, kept_is_reply;
		struct bytes subject = subject_of(n, &is_reply);
		size_t at = subject.n > 0 ? (size_t)(uintptr_t)map_get(&kept, subject) : 0;

		next = n->next;
		n->next = NULL;
		if (subject.n == 0 || at == 0) {
			roots[count++] = n;
			if (subject.n > 0)
				(void)map_put(&kept, subject, (void *)(uintptr_t)count);
			continue;
		}
		(void)subject_of(roots[at - 1], &kept_is_reply);
		/* Step 4 B: a dummy before a message, then what is no reply before what is one. */
		if ((n->message == 0 && roots[at - 1]->message != 0) ||
		    ((n->message == 0) == (roots[at - 1]->message == 0) && kept_is_reply && !is_reply))
			roots[at - 1] = join(t, n, roots[at - 1]);
		else
			roots[at - 1] = join(t, roots[at - 1], n);
	}
	t->root.child = NULL;
	for (size_t i = 0; i < count; i++)
		add_child(&t->root, roots[i]);
	free(roots);
	map_fini(&kept);
}

static int by_subject(const void *a, const void *b)
{
	const struct thread_node *x = *(struct thread_node *const *)a, *y = *(struct thread_node *const *)b;
	int order = bytes_compare(x->subject, y->subject);

	return order != 0 ? order : by_date(a, b);
}

/* All messages of one subject: the oldest, below it all others. */
static void order_by_subject(struct threads *t)
{
	struct thread_node *first = NULL;

	qsort(t->nodes, t->count, sizeof(struct thread_node *), by_subject);
	for (size_t i = 0; i < t->count; i++) {
		struct thread_node *n = t->nodes[i];

		if (first == NULL || !bytes_equal(first->subject, n->subject)) {
			add_child(&t->root, n);
			first = n;
		} else {
			add_child(first, n);
		}
	}
}

/* REFS: a thread's date is that of its newest arrival. */
static void note_newest(struct threads *t)
{
	for (struct thread_node *top = t->root.child; top != NULL; top = top->next) {
		int64_t newest = INT64_MIN;

		for (struct thread_node *n = top; n != NULL; n = n == top && n->child == NULL ? NULL : walk_on(n, top, true)) {
			if (n->message != 0 && n->arrival > newest)
				newest = n->arrival;
		}
		top->arrival = newest;
	}
}

void threads_step(struct threads *t, unsigned step)
{
	if (t->count == 0)
		return;
	switch (step) {
	case 0:
		if (t->algorithm == THREAD_ORDEREDSUBJECT)
			order_by_subject(t);
		else
			make_tree(t);
		break;
	case 1:
		sort_below(t);
		sort_children(&t->root, by_date);
		if (t->algorithm == THREAD_REFERENCES)
			gather_subjects(t);
		break;
	case 2:
		if (t->algorithm == THREAD_REFERENCES)
			sort_below(t);
		if (t->algorithm == THREAD_REFS)
			note_newest(t);
		sort_children(&t->root, t->algorithm == THREAD_REFS ? by_arrival : by_date);
		break;
	}
}

/* Writing. */

static void write_thread(const struct thread_node *top, struct buffer *to)
{
	const struct thread_node *n = top;

	buffer_add_u8(to, '(');
	for (;;) {
		if (n->message != 0) {
			if (to->p[to->n - 1] != '(')
				buffer_add_u8(to, ' ');
			buffer_add_u64(to, n->message);
		}
		if (n->child != NULL) {
			/* An only child goes on in the line, several are each a branch. */
			if (n->child->next != NULL)
				buffer_add_str(to, n->message != 0 ? " (" : "(");
			n = n->child;
			continue;
		}
		/* Up to where another branch begins. */
		for (; n != top; n = n->parent) {
			bool is_branch = n->parent->child->next != NULL;

			if (is_branch)
				buffer_add_u8(to, ')');
			if (n->next != NULL)
				break;
		}
		if (n == top)
			break;
		n = n->next;
		buffer_add_u8(to, '(');
	}
	buffer_add_u8(to, ')');
}

void threads_write(const struct threads *t, const struct thread_node **at, struct buffer *to, size_t max)
{
	(void)t;
	while (*at != NULL && to->n < max) {
		write_thread(*at, to);
		*at = (*at)->next;
	}
}
