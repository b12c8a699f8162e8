/* context.c - see context.h. The command is parsed once more, into memory of the context's own: numbers and "$" in its program are made
 * UIDs as they were then, and "*" goes on to stand for what comes.
 *
 * A new message's place among sorted results is found by comparing it with some of them, read from the store: log2 of how many there
 * are. One that cannot be read, as it just went, has a neighbour that can.
 *
 * BUGS: OLDER and YOUNGER are looked at when a message changes, not as time goes by. A message that is damaged matches nothing. */
#include "context.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "answer.h"
#include "box.h"
#include "clock.h"
#include "column_fill.h"
#include "fetch_answer.h"
#include "imap_writer.h"
#include "search.h"
#include "seqset.h"

#define CONTEXT_LINE_MAX 8000

struct context_op {
	bool is_add;
	uint32_t position; /* from 1 of SORT's results; 0 of SEARCH's */
	uint32_t uid;
};

struct context {
	struct list in_box;
	struct arena arena;       /* holds CMD */
	struct imap_command cmd;  /* its program is ready */
	uint8_t *bits;            /* owned; by index into the box: it is among the results */
	size_t bits_cap;          /* octets */
	uint32_t *order;          /* owned; SORT: the results' UIDs in their order */
	size_t count, cap;
	uint32_t looked_uid;      /* up to here messages were looked at when they came */
	struct context_op *ops;   /* owned; still to be told */
	size_t op_count, op_cap;
};

static bool is_sort(const struct context *x)
{
	return x->cmd.verb == IMAP_SORT;
}

static bool has_bit(const struct context *x, size_t index)
{
	return index / 8 < x->bits_cap && (x->bits[index / 8] >> index % 8 & 1) != 0;
}

static void set_bit(struct context *x, size_t index, bool is_on)
{
	if (index / 8 >= x->bits_cap) {
		size_t cap = index / 8 + index / 16 + 64;

		x->bits = must_realloc(x->bits, cap, 1);
		memset(x->bits + x->bits_cap, 0, cap - x->bits_cap);
		x->bits_cap = cap;
	}
	if (is_on)
		x->bits[index / 8] |= (uint8_t)(1u << index % 8);
	else
		x->bits[index / 8] &= (uint8_t)~(1u << index % 8);
}

static void free_context(struct context *x)
{
	list_remove(&x->in_box);
	arena_fini(&x->arena);
	free(x->bits);
	free(x->order);
	free(x->ops);
	free(x);
}

static struct context *find(const struct box *box, struct bytes tag)
{
	if (box->contexts.next == NULL)
		return NULL;
	LIST_EACH(l, &box->contexts) {
		struct context *x = LIST_OBJECT(l, struct context, in_box);

		if (bytes_equal(x->cmd.tag, tag))
			return x;
	}
	return NULL;
}

bool contexts_are_there(const struct box *box)
{
	return box->contexts.next != NULL && !list_is_empty(&box->contexts);
}

bool context_check(struct session *s, struct command *cmd)
{
	if ((cmd->c.return_options & SEARCH_RETURN_UPDATE) == 0 || s->box == NULL || find(s->box, cmd->c.tag) == NULL)
		return true;
	(void)answer_bad(cmd, "that tag is in use with results that are kept up to date");
	return false;
}

/* Sets as they are meant now, as UIDs. */
static void fix_sets(const struct box *box, struct search_key *k, struct arena *a)
{
	for (; k != NULL; k = k->next) {
		struct seqset *set = &k->set;
		uint32_t *index = NULL;
		size_t n = 0;

		fix_sets(box, k->children, a);
		if (k->type != SEARCH_SEQ && k->type != SEARCH_UID)
			continue;
		if (k->type == SEARCH_UID && !set->is_saved) {
			for (size_t i = 0; i < set->count; i++) {
				struct seq_range *r = &set->ranges[i];
				uint32_t low = r->first < r->last ? r->first : r->last, last = box->count > 0 ? box->uids[box->count - 1] : 1;

				if (low == SEQ_STAR)
					*r = (struct seq_range){ last, last };
				else if (r->first == SEQ_STAR || r->last == SEQ_STAR)
					*r = (struct seq_range){ low < last ? low : last, SEQ_STAR - 1 };
			}
			continue;
		}
		if (!set->is_saved) {
			/* A set that reaches beyond the end names what is there of it. */
			seqset_resolve(set, (uint32_t)box->count);
			while (set->count > 0 && set->ranges[set->count - 1].first > box->count)
				set->count--;
			if (set->count > 0 && set->ranges[set->count - 1].last > box->count)
				set->ranges[set->count - 1].last = (uint32_t)box->count;
		}
		if (set->is_saved || set->count > 0)
			(void)box_resolve(box, set, false, a, &index, &n);
		*set = (struct seqset){ .ranges = arena_array(a, n, sizeof(*set->ranges)) };
		for (size_t i = 0; i < n; i++) {
			uint32_t uid = box->uids[index[i]];

			if (i > 0 && index[i] == index[i - 1] + 1)
				set->ranges[set->count - 1].last = uid;
			else
				set->ranges[set->count++] = (struct seq_range){ uid, uid };
		}
		k->type = SEARCH_UID;
	}
}

static void refuse(struct session *s, struct command *cmd, const char *why)
{
	struct buffer line = { 0 };

	atomic_fetch_add(&s->client.backend->counters.limits_hit, 1);
	buffer_add_str(&line, "* NO [NOUPDATE ");
	imap_write_string(&line, cmd->c.tag, false);
	buffer_addf(&line, "] %s\r\n", why);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

static size_t count_contexts(const struct box *box)
{
	size_t n = 0;

	LIST_EACH(l, &box->contexts)
		n++;
	return n;
}

void context_add(struct session *s, struct command *cmd, const uint32_t *results, size_t count)
{
	struct box *box = s->box;
	struct context *x;
	struct bytes octets;
	struct fault why;

	if ((cmd->c.return_options & SEARCH_RETURN_UPDATE) == 0)
		return;
	if (box->contexts.next == NULL)
		list_init(&box->contexts);
	if (cmd->limited_uid != 0) {
		refuse(s, cmd, "not all of the mailbox was searched");
		return;
	}
	for (size_t i = 0; i < cmd->c.criterion_count; i++) {
		if (cmd->c.criteria[i].by != SORT_RELEVANCY && cmd->c.criteria[i].by != SORT_ANNOTATION)
			continue;
		refuse(s, cmd, "an order by relevancy or annotations is not kept up to date");
		return;
	}
	if (count_contexts(box) >= s->client.backend->max_contexts) {
		refuse(s, cmd, "too many results are kept up to date");
		return;
	}
	x = must_calloc(1, sizeof(*x));
	list_push(&box->contexts, &x->in_box);
	octets = arena_copy(&x->arena, cmd->octets);
	if (imap_command_parse(octets, &s->client.backend->command_limits, &x->arena, &x->cmd, &why) == IMAP_PARSE_OK)
		fix_sets(box, x->cmd.search, &x->arena);
	if (x->cmd.search == NULL || !search_prepare(box, &x->cmd, &x->arena)) { /* it was parsed and ready once */
		free_context(x);
		refuse(s, cmd, "not now");
		return;
	}
	x->looked_uid = box->count > 0 ? box->uids[box->count - 1] : 0;
	if (box->count > 0)
		set_bit(x, box->count - 1, false);
	for (size_t i = 0; i < count; i++)
		set_bit(x, results[i], true);
	if (!is_sort(x))
		return;
	x->count = x->cap = count;
	x->order = must_realloc(NULL, count + 1, sizeof(*x->order));
	for (size_t i = 0; i < count; i++)
		x->order[i] = box->uids[results[i]];
}

bool context_cancel(struct box *box, struct bytes tag)
{
	struct context *x = find(box, tag);

	if (x != NULL)
		free_context(x);
	return x != NULL;
}

void contexts_free(struct box *box)
{
	if (box->contexts.next == NULL)
		return;
	LIST_EACH(l, &box->contexts)
		free_context(LIST_OBJECT(l, struct context, in_box));
}

static void note(struct context *x, bool is_add, size_t position, uint32_t uid)
{
	if (x->op_count == x->op_cap) {
		x->op_cap = x->op_cap == 0 ? 16 : x->op_cap + x->op_cap / 2;
		x->ops = must_realloc(x->ops, x->op_cap, sizeof(*x->ops));
	}
	x->ops[x->op_count++] = (struct context_op){ is_add, (uint32_t)position, uid };
}

/* What a message is sorted by. */
struct sort_values {
	struct column *of[SORT_CRITERIA_MAX];
	uint32_t uid;
};

static void read_values(const struct context *x, struct store_view *v, const struct message *msg, struct sort_values *values)
{
	values->uid = msg->uid;
	for (size_t i = 0; i < x->cmd.criterion_count; i++)
		values->of[i] = column_fill_one(v, msg, column_fill_kind(x->cmd.criteria[i].by));
}

static void free_values(const struct context *x, struct sort_values *values)
{
	for (size_t i = 0; i < x->cmd.criterion_count; i++)
		column_release(&values->of[i]);
}

static int compare(const struct context *x, const struct sort_values *a, const struct sort_values *b)
{
	for (size_t i = 0; i < x->cmd.criterion_count; i++) {
		int order = column_fill_compare(a->of[i], b->of[i]);

		if (order != 0)
			return x->cmd.criteria[i].is_reverse ? -order : order;
	}
	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

/* Where MSG belongs among the sorted results. */
static size_t place_of(const struct context *x, struct store_view *v, mailbox_id_t mailbox, const struct message *msg)
{
	struct sort_values own, other;
	size_t low = 0, high = x->count;
	struct message at;
	struct fault why;

	read_values(x, v, msg, &own);
	while (low < high) {
		size_t mid = low + (high - low) / 2, probe = mid;

		/* One that went, and was not told yet, is passed over. */
		while (probe < high && store_view_message(v, mailbox, x->order[probe], &at, &why) != STORE_OK)
			probe++;
		if (probe == high) {
			high = mid;
			continue;
		}
		read_values(x, v, &at, &other);
		if (compare(x, &other, &own) < 0)
			low = probe + 1;
		else
			high = mid;
		free_values(x, &other);
	}
	free_values(x, &own);
	return low;
}

static void add_result(struct context *x, struct store_view *v, const struct box *box, const struct message *msg, size_t index)
{
	size_t place = 0;

	set_bit(x, index, true);
	if (is_sort(x)) {
		place = place_of(x, v, box->id, msg);
		if (x->count == x->cap) {
			x->cap += x->cap / 2 + 16;
			x->order = must_realloc(x->order, x->cap, sizeof(*x->order));
		}
		memmove(x->order + place + 1, x->order + place, (x->count - place) * sizeof(*x->order));
		x->order[place] = msg->uid;
		x->count++;
	}
	note(x, true, is_sort(x) ? place + 1 : 0, msg->uid);
}

static void remove_result(struct context *x, uint32_t uid, size_t index)
{
	size_t place = 0;

	set_bit(x, index, false);
	if (is_sort(x)) {
		while (place < x->count && x->order[place] != uid)
			place++;
		if (place == x->count)
			return;
		x->count--;
		memmove(x->order + place, x->order + place + 1, (x->count - place) * sizeof(*x->order));
	}
	note(x, false, is_sort(x) ? place + 1 : 0, uid);
}

static void look(struct context *x, struct session *s, struct store_view *v, const struct mailbox *m, const struct message *msg,
                 size_t index)
{
	bool was = has_bit(x, index), is = search_matches(s, s->box, v, m, msg, (uint32_t)index + 1, x->cmd.search);

	if (is && !was)
		add_result(x, v, s->box, msg, index);
	else if (was && !is)
		remove_result(x, msg->uid, index);
}

void contexts_look(struct session *s, struct store_view *v, const struct mailbox *m, const struct message *msg, size_t index)
{
	LIST_EACH(l, &s->box->contexts) {
		struct context *x = LIST_OBJECT(l, struct context, in_box);

		if (msg->uid <= x->looked_uid)
			look(x, s, v, m, msg, index);
	}
}

void contexts_gone(struct session *s, size_t index)
{
	LIST_EACH(l, &s->box->contexts) {
		struct context *x = LIST_OBJECT(l, struct context, in_box);

		if (has_bit(x, index))
			remove_result(x, s->box->uids[index], index);
	}
}

bool contexts_take_new(struct session *s, struct store_view *v, const struct mailbox *m, uint64_t until_ns)
{
	const struct box *box = s->box;
	bool is_all = true;

	LIST_EACH(l, &box->contexts) {
		struct context *x = LIST_OBJECT(l, struct context, in_box);
		struct box_reader reader = { .view = v, .mailbox = box->id };
		struct message msg;
		size_t i = box_position(box, x->looked_uid + 1);

		for (; i < box->count && clock_mono_ns() < until_ns; i++) {
			if (box_read(&reader, box->uids[i], &msg)) {
				look(x, s, v, m, &msg, i);
				if (has_bit(x, i) && x->cmd.update_item_count > 0) /* RFC 5465 section 7 */
					fetch_answer_tell(s, v, m, (uint32_t)i + 1, &msg, x->cmd.update_items, x->cmd.update_item_count);
			}
			x->looked_uid = box->uids[i];
		}
		box_read_end(&reader);
		is_all = is_all && i >= box->count;
	}
	return is_all;
}

/* Telling. */

static int by_uid(const void *a, const void *b)
{
	const struct context_op *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static uint32_t number_of(const struct context *x, const struct box *box, uint32_t uid)
{
	return x->cmd.is_uid ? uid : box_number(box, uid);
}

static void begin_line(struct buffer *line, const struct context *x)
{
	buffer_clear(line);
	buffer_add_str(line, "* ESEARCH (TAG ");
	imap_write_string(line, x->cmd.tag, false);
	buffer_add_str(line, x->cmd.is_uid ? ") UID" : ")");
}

static void end_line(struct session *s, struct buffer *line)
{
	buffer_add_str(line, "\r\n");
	session_write(s, buffer_bytes(line));
}

/* " ADDTO (0 4:7,9)": those of the ops, sorted by UID, that are of the kind. */
static void write_set(struct session *s, const struct context *x, bool is_add, struct buffer *line)
{
	struct seq_range r = { 0, 0 };
	bool has_begun = false;

	for (size_t i = 0; i <= x->op_count; i++) {
		bool is_one = i < x->op_count && x->ops[i].is_add == is_add;
		uint32_t n = is_one ? number_of(x, s->box, x->ops[i].uid) : 0;

		if (i < x->op_count && n == 0)
			continue;
		if (n != 0 && r.first != 0 && n == r.last + 1) {
			r.last = n;
			continue;
		}
		if (r.first != 0) {
			buffer_add_str(line, !has_begun ? is_add ? " ADDTO (0 " : " REMOVEFROM (0 " : ",");
			seqset_write(line, &r, 1);
			has_begun = true;
			if (line->n > CONTEXT_LINE_MAX && n != 0) {
				buffer_add_u8(line, ')');
				end_line(s, line);
				begin_line(line, x);
				has_begun = false;
			}
		}
		r = (struct seq_range){ n, n };
	}
	if (has_begun)
		buffer_add_u8(line, ')');
}

/* " REMOVEFROM (3 17) ADDTO (1 20 5 21)": one after the other. */
static void write_moves(struct session *s, const struct context *x, struct buffer *line)
{
	bool is_open = false;

	for (size_t i = 0; i < x->op_count; i++) {
		const struct context_op *op = &x->ops[i];

		if (is_open && (op->is_add != x->ops[i - 1].is_add || line->n > CONTEXT_LINE_MAX)) {
			buffer_add_u8(line, ')');
			is_open = false;
			if (line->n > CONTEXT_LINE_MAX) {
				end_line(s, line);
				begin_line(line, x);
			}
		}
		buffer_add_str(line, is_open ? " " : op->is_add ? " ADDTO (" : " REMOVEFROM (");
		buffer_addf(line, "%u %u", op->position, number_of(x, s->box, op->uid));
		is_open = true;
	}
	buffer_add_u8(line, ')');
}

void contexts_tell(struct session *s)
{
	struct buffer line = { 0 };

	if (!contexts_are_there(s->box))
		return;
	LIST_EACH(l, &s->box->contexts) {
		struct context *x = LIST_OBJECT(l, struct context, in_box);

		if (x->op_count == 0)
			continue;
		begin_line(&line, x);
		if (is_sort(x)) {
			write_moves(s, x, &line);
		} else {
			qsort(x->ops, x->op_count, sizeof(*x->ops), by_uid);
			write_set(s, x, false, &line);
			write_set(s, x, true, &line);
		}
		end_line(s, &line);
		x->op_count = 0;
	}
	buffer_fini(&line);
}

void contexts_drop(struct box *box, const uint32_t *index, size_t count)
{
	if (box->contexts.next == NULL)
		return;
	LIST_EACH(l, &box->contexts) {
		struct context *x = LIST_OBJECT(l, struct context, in_box);
		size_t to = 0, g = 0;

		for (size_t i = 0; i < box->count; i++) {
			if (g < count && index[g] == i)
				g++;
			else
				set_bit(x, to++, has_bit(x, i));
		}
		for (; to < box->count; to++)
			set_bit(x, to, false);
	}
}
