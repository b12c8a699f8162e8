/* threads.c - REFERENCES is RFC 5256 section 3's, in its own steps: link by references, drop what is no message, order, gather the
 * threads of one subject, order again. Nodes are one array and known by their places in it, which is half of the memory that
 * pointers would take, and most of the time goes to memory. */
#include "threads.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* Where a reference would lead to a level deeper than this it is left out: threads that are made to be slow are cut instead. */
#define LOOK_UP_MAX 1000
#define IDS_FIRST 1024

static uint32_t new_node(struct threads *t)
{
	if (t->node_count == t->node_cap) {
		t->node_cap = t->node_cap == 0 ? 256 : t->node_cap * 2;
		t->nodes = must_realloc(t->nodes, t->node_cap, sizeof(*t->nodes));
	}
	t->nodes[t->node_count] = (struct thread_node){ 0 };
	return (uint32_t)t->node_count++;
}

void threads_init(struct threads *t, enum thread_algorithm algorithm)
{
	*t = (struct threads){ .algorithm = algorithm };
	while (t->node_count <= THREADS_ROOT)
		(void)new_node(t);
}

void threads_fini(struct threads *t)
{
	free(t->nodes);
	free(t->ids);
	free(t->messages);
	free(t->items);
	*t = (struct threads){ 0 };
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

static struct thread_id *place_of(struct thread_id *ids, size_t cap, uint64_t hash)
{
	size_t at = hash & (cap - 1);

	while (ids[at].hash != 0 && ids[at].hash != hash)
		at = (at + 1) & (cap - 1);
	return &ids[at];
}

static void grow_ids(struct threads *t)
{
	size_t cap = t->id_cap == 0 ? IDS_FIRST : t->id_cap * 2;
	struct thread_id *ids = must_calloc(cap, sizeof(*ids));

	for (size_t i = 0; i < t->id_cap; i++) {
		if (t->ids[i].hash != 0)
			*place_of(ids, cap, t->ids[i].hash) = t->ids[i];
	}
	free(t->ids);
	t->ids = ids;
	t->id_cap = cap;
}

static uint32_t node_of(struct threads *t, uint64_t hash)
{
	struct thread_id *id;

	if (t->id_count * 2 >= t->id_cap)
		grow_ids(t);
	id = place_of(t->ids, t->id_cap, hash);
	if (id->hash == 0) {
		*id = (struct thread_id){ hash, new_node(t) };
		t->id_count++;
	}
	return id->node;
}

/* Whether ABOVE is NODE or one of those above it; true also where that would take too long to find out. */
static bool is_above(const struct threads *t, uint32_t above, uint32_t node)
{
	unsigned levels = 0;

	while (node != 0 && node != above && levels++ < LOOK_UP_MAX)
		node = t->nodes[node].parent;
	return node != 0;
}

void threads_add(struct threads *t, uint32_t number, uint32_t date, uint32_t arrival, uint32_t subject, bool is_reply,
                 const uint64_t *ids, size_t id_count)
{
	uint32_t node = id_count > 0 && ids[0] != 0 ? node_of(t, ids[0]) : 0, before = 0;

	/* Without an id of its own, or with another's: one that nothing refers to. */
	if (node == 0 || t->nodes[node].message != 0)
		node = new_node(t);
	t->nodes[node].message = number;
	t->nodes[node].date = date;
	t->nodes[node].arrival = arrival;
	t->nodes[node].subject = subject;
	t->nodes[node].is_reply = is_reply;
	if (subject > t->last_subject)
		t->last_subject = subject;
	if (t->count == t->cap) {
		t->cap = t->cap == 0 ? 256 : t->cap * 2;
		t->messages = must_realloc(t->messages, t->cap, sizeof(*t->messages));
	}
	t->messages[t->count++] = node;
	for (size_t i = 1; i < id_count; i++) {
		uint32_t n = node_of(t, ids[i]);

		/* What is linked stays so, and no circles. */
		if (before != 0 && t->nodes[n].parent == 0 && !is_above(t, n, before))
			t->nodes[n].parent = before;
		before = n;
	}
	/* Its own references tell its parent, whatever others said of it. */
	t->nodes[node].parent = before != 0 && before != node && !is_above(t, node, before) ? before : 0;
}

/* Order: by date, then as they came (RFC 5256 section 3: the sequence number). */

/* What stands for N: itself, or if it is no message its first child. */
static const struct thread_node *face_of(const struct threads *t, const struct thread_node *n)
{
	return n->message == 0 && n->child != 0 ? &t->nodes[n->child] : n;
}

static uint64_t by_date(const struct threads *t, const struct thread_node *n)
{
	const struct thread_node *face = face_of(t, n);

	return (uint64_t)face->date << 32 | face->message;
}

static uint64_t by_arrival(const struct threads *t, const struct thread_node *n)
{
	return (uint64_t)n->arrival << 32 | face_of(t, n)->message;
}

/* Room for N items twice. */
static struct radix_item *room(struct threads *t, size_t n)
{
	if (t->item_cap < n) {
		t->item_cap = 2 * n;
		free(t->items);
		t->items = must_realloc(NULL, 2 * t->item_cap, sizeof(*t->items));
	}
	return t->items;
}

static void sort_children(struct threads *t, uint32_t parent,
                          uint64_t (*key)(const struct threads *t, const struct thread_node *n))
{
	struct thread_node *nodes = t->nodes;
	struct radix_item *items;
	size_t count = 0;

	if (nodes[parent].child == 0 || nodes[nodes[parent].child].next == 0)
		return;
	for (uint32_t n = nodes[parent].child; n != 0; n = nodes[n].next)
		count++;
	items = room(t, count);
	count = 0;
	for (uint32_t n = nodes[parent].child; n != 0; n = nodes[n].next)
		items[count++] = (struct radix_item){ key(t, &nodes[n]), n };
	radix_sort(items, items + count, count);
	nodes[parent].child = items[0].value;
	for (size_t i = 0; i < count; i++)
		nodes[items[i].value].next = i + 1 < count ? items[i + 1].value : 0;
}

static void add_child(struct threads *t, uint32_t parent, uint32_t child)
{
	t->nodes[child].parent = parent;
	t->nodes[child].next = t->nodes[parent].child;
	t->nodes[parent].child = child;
}

/* The next node in the order of a walk: children, then siblings, then those of the levels above; within ROOT. */
static uint32_t walk_on(const struct threads *t, uint32_t n, uint32_t root)
{
	if (t->nodes[n].child != 0)
		return t->nodes[n].child;
	while (n != root && t->nodes[n].next == 0)
		n = t->nodes[n].parent;
	return n == root ? 0 : t->nodes[n].next;
}

/* Children before their parents: sort each node's children. */
static void sort_below(struct threads *t)
{
	/* Every parent is a message's, or a dummy at the root: all parents are met from their children. */
	for (size_t i = 0; i < t->count; i++)
		sort_children(t, t->messages[i], by_date);
	for (uint32_t n = t->nodes[THREADS_ROOT].child; n != 0; n = t->nodes[n].next) {
		if (t->nodes[n].message == 0)
			sort_children(t, n, by_date);
	}
}

/* Steps 2 and 3: children from parents; a node that is no message gives its children to the next message above it, or, if it has
 * several and none is above, stays as the root of a thread. */
static void make_tree(struct threads *t)
{
	struct thread_node *nodes = t->nodes;

	for (size_t i = 0; i < t->count; i++) {
		uint32_t n = t->messages[i], up = nodes[n].parent, top = 0, next;

		/* The way up from a node that is no message is shortened for those who come after. */
		while (up != 0 && up != THREADS_ROOT && nodes[up].message == 0) {
			top = up;
			up = nodes[up].parent;
		}
		if (up == THREADS_ROOT)
			up = 0;
		for (uint32_t d = nodes[n].parent; d != 0 && d != top && nodes[d].message == 0; d = next) {
			next = nodes[d].parent;
			nodes[d].parent = up != 0 ? up : top;
		}
		add_child(t, up != 0 ? up : top != 0 ? top : THREADS_ROOT, n);
		if (up == 0 && top != 0 && !nodes[top].is_at_root) {
			nodes[top].is_at_root = true;
			add_child(t, THREADS_ROOT, top);
		}
	}
}

/* A root that is no message and has one child: the child. The list is taken apart and made anew. */
static void drop_single_roots(struct threads *t)
{
	uint32_t n = t->nodes[THREADS_ROOT].child, next;

	t->nodes[THREADS_ROOT].child = 0;
	for (; n != 0; n = next) {
		const struct thread_node *node = &t->nodes[n];
		bool is_single = node->message == 0 && t->nodes[node->child].next == 0;

		next = node->next;
		add_child(t, THREADS_ROOT, is_single ? node->child : n);
	}
}

/* Step 5 C of RFC 5256: NODE joins the thread KEPT of the same subject; KEPT's place is taken by what is returned. */
static uint32_t join(struct threads *t, uint32_t kept, uint32_t node)
{
	const struct thread_node *k = &t->nodes[kept], *n = &t->nodes[node];
	bool kept_is_reply = face_of(t, k)->is_reply, node_is_reply = face_of(t, n)->is_reply;
	uint32_t both, next;

	if (k->message == 0 && n->message == 0) {
		for (uint32_t c = n->child; c != 0; c = next) {
			next = t->nodes[c].next;
			add_child(t, kept, c);
		}
		return kept;
	}
	if (k->message == 0 || (n->message != 0 && !kept_is_reply && node_is_reply)) {
		add_child(t, kept, node);
		return kept;
	}
	both = new_node(t);
	add_child(t, both, kept);
	add_child(t, both, node);
	return both;
}

/* Steps 4 and 5: the subjects of the threads; those of one subject become one thread. */
static void gather_subjects(struct threads *t)
{
	uint32_t *kept = must_calloc((size_t)t->last_subject + 1, sizeof(*kept)); /* by subject: its place in ROOTS, plus one */
	uint32_t *roots, n, next;
	size_t count = 0;

	for (n = t->nodes[THREADS_ROOT].child; n != 0; n = t->nodes[n].next)
		count++;
	roots = must_realloc(NULL, count + 1, sizeof(*roots));
	count = 0;
	for (n = t->nodes[THREADS_ROOT].child; n != 0; n = next) {
		const struct thread_node *face = face_of(t, &t->nodes[n]);
		uint32_t subject = face->subject, at = subject != 0 ? kept[subject] : 0, other;
		bool kept_is_reply;

		next = t->nodes[n].next;
		t->nodes[n].next = 0;
		if (at == 0) {
			roots[count++] = n;
			if (subject != 0)
				kept[subject] = (uint32_t)count;
			continue;
		}
		other = roots[at - 1];
		kept_is_reply = face_of(t, &t->nodes[other])->is_reply;
		/* Step 4 B: a dummy before a message, then what is no reply before what is one. */
		if ((t->nodes[n].message == 0 && t->nodes[other].message != 0) ||
		    ((t->nodes[n].message == 0) == (t->nodes[other].message == 0) && kept_is_reply && !face->is_reply))
			roots[at - 1] = join(t, n, other);
		else
			roots[at - 1] = join(t, other, n);
	}
	t->nodes[THREADS_ROOT].child = 0;
	for (size_t i = 0; i < count; i++)
		add_child(t, THREADS_ROOT, roots[i]);
	free(roots);
	free(kept);
}

/* All messages of one subject: the oldest, below it all others. */
static void order_by_subject(struct threads *t)
{
	struct radix_item *items = room(t, t->count);
	uint32_t first = 0;

	for (size_t i = 0; i < t->count; i++)
		items[i] = (struct radix_item){ by_date(t, &t->nodes[t->messages[i]]), t->messages[i] };
	radix_sort(items, items + t->count, t->count);
	for (size_t i = 0; i < t->count; i++)
		items[i].key = t->nodes[items[i].value].subject;
	radix_sort(items, items + t->count, t->count);
	for (size_t i = 0; i < t->count; i++) {
		uint32_t n = items[i].value;

		if (first == 0 || t->nodes[first].subject != t->nodes[n].subject) {
			add_child(t, THREADS_ROOT, n);
			first = n;
		} else {
			add_child(t, first, n);
		}
	}
}

/* REFS: a thread's date is that of its newest arrival. */
static void note_newest(struct threads *t)
{
	for (uint32_t top = t->nodes[THREADS_ROOT].child; top != 0; top = t->nodes[top].next) {
		uint32_t newest = 0;

		for (uint32_t n = top; n != 0; n = n == top && t->nodes[n].child == 0 ? 0 : walk_on(t, n, top)) {
			if (t->nodes[n].message != 0 && t->nodes[n].arrival > newest)
				newest = t->nodes[n].arrival;
		}
		t->nodes[top].arrival = newest;
	}
}

void threads_step(struct threads *t, unsigned step)
{
	bool is_by_reference = t->algorithm != THREAD_ORDEREDSUBJECT;

	if (t->count == 0)
		return;
	switch (step) {
	case 0:
		if (is_by_reference)
			make_tree(t);
		else
			order_by_subject(t);
		break;
	case 1:
		if (is_by_reference)
			drop_single_roots(t);
		sort_below(t);
		break;
	case 2:
		sort_children(t, THREADS_ROOT, by_date);
		if (t->algorithm == THREAD_REFERENCES)
			gather_subjects(t);
		break;
	case 3:
		if (t->algorithm == THREAD_REFERENCES)
			sort_below(t);
		if (t->algorithm == THREAD_REFS)
			note_newest(t);
		break;
	case 4:
		sort_children(t, THREADS_ROOT, t->algorithm == THREAD_REFS ? by_arrival : by_date);
		break;
	}
}

/* Writing. */

uint32_t threads_first(const struct threads *t)
{
	return t->nodes[THREADS_ROOT].child;
}

static void write_thread(const struct threads *t, uint32_t top, struct buffer *to)
{
	const struct thread_node *nodes = t->nodes;
	uint32_t at = top;

	buffer_add_u8(to, '(');
	for (;;) {
		const struct thread_node *n = &nodes[at];

		if (n->message != 0) {
			if (to->p[to->n - 1] != '(')
				buffer_add_u8(to, ' ');
			buffer_add_u64(to, n->message);
		}
		if (n->child != 0) {
			/* An only child goes on in the line, several are each a branch. */
			if (nodes[n->child].next != 0)
				buffer_add_str(to, n->message != 0 ? " (" : "(");
			at = n->child;
			continue;
		}
		/* Up to where another branch begins. */
		for (; at != top; at = nodes[at].parent) {
			bool is_branch = nodes[nodes[nodes[at].parent].child].next != 0;

			if (is_branch)
				buffer_add_u8(to, ')');
			if (nodes[at].next != 0)
				break;
		}
		if (at == top)
			break;
		at = nodes[at].next;
		buffer_add_u8(to, '(');
	}
	buffer_add_u8(to, ')');
}

void threads_write(const struct threads *t, uint32_t *at, struct buffer *to, size_t max)
{
	while (*at != 0 && to->n < max) {
		write_thread(t, *at, to);
		*at = t->nodes[*at].next;
	}
}
