/* picture.c - the list of before, without what went, and what came behind it; or a new one, where too much changed. */
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "imap_flags.h"

#define KEPT_MIN 256      /* messages; fewer are read each time */
#define CHANGES_MAX 4096  /* beyond them, or a quarter of the messages, all are read anew */

/* Append the messages of C's mailbox from UID FROM on, and note the first that is not seen. */
static enum store_result read_from(struct column *c, size_t *cap, struct store_view *v, uint32_t from)
{
	struct view_messages it;
	struct message msg;

	store_view_messages(v, c->mailbox, from, &it);
	while (view_messages_next(&it, &msg)) {
		if (c->count == *cap) {
			*cap = *cap + *cap / 4 + 16;
			c->uids = must_realloc(c->uids, *cap, sizeof(*c->uids));
		}
		c->uids[c->count++] = msg.uid;
		if (c->first_unseen == 0 && (msg.flags & IMAP_FLAG_SEEN) == 0)
			c->first_unseen = msg.uid;
	}
	view_messages_end(&it);
	return it.result;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* What changed since BEFORE among its messages. */
struct changes {
	uint32_t gone[CHANGES_MAX], touched[CHANGES_MAX];
	size_t gone_count, touched_count;
};

/* False: too much changed, or it cannot be read. */
static bool read_changes(struct changes *ch, struct store_view *v, const struct column *before)
{
	struct view_changes it;
	struct view_change c;
	size_t n = 0;

	ch->gone_count = ch->touched_count = 0;
	store_view_changes(v, before->mailbox, before->modseq, &it);
	while (view_changes_next(&it, &c) && n <= CHANGES_MAX) {
		n++;
		if (c.uid > before->last_uid || n > CHANGES_MAX)
			continue;
		if (c.is_gone)
			ch->gone[ch->gone_count++] = c.uid;
		else
			ch->touched[ch->touched_count++] = c.uid;
	}
	view_changes_end(&it);
	qsort(ch->gone, ch->gone_count, sizeof(*ch->gone), by_value);
	return it.result == STORE_OK && n <= CHANGES_MAX && n <= before->count / 4;
}

static bool is_unseen(struct store_view *v, uint64_t mailbox, uint32_t uid)
{
	struct message msg;
	struct fault why;

	return store_view_message(v, mailbox, uid, &msg, &why) == STORE_OK && (msg.flags & IMAP_FLAG_SEEN) == 0;
}

/* The first message that is not seen among those that BEFORE had, 0: there is none. */
static uint32_t first_unseen(const struct changes *ch, struct store_view *v, const struct column *before)
{
	uint32_t first = before->first_unseen;
	struct view_messages it;
	struct message msg;
	bool has;

	if (first != 0 && !is_unseen(v, before->mailbox, first)) { /* the next one, of those that were not seen then */
		store_view_messages(v, before->mailbox, first, &it);
		while ((has = view_messages_next(&it, &msg)) && (msg.flags & IMAP_FLAG_SEEN) != 0)
			;
		first = has && msg.uid <= before->last_uid ? msg.uid : 0;
		view_messages_end(&it);
	}
	for (size_t i = 0; i < ch->touched_count; i++) {
		if ((first == 0 || ch->touched[i] < first) && is_unseen(v, before->mailbox, ch->touched[i]))
			first = ch->touched[i];
	}
	return first;
}

static void copy_but(struct column *c, const struct column *before, const struct changes *ch)
{
	size_t from = 0;

	for (size_t g = 0; g <= ch->gone_count; g++) {
		size_t to = from;

		if (g == ch->gone_count)
			to = before->count;
		while (g < ch->gone_count && to < before->count && before->uids[to] < ch->gone[g])
			to++;
		memcpy(c->uids + c->count, before->uids + from, (to - from) * sizeof(*c->uids));
		c->count += to - from;
		from = g < ch->gone_count && to < before->count && before->uids[to] == ch->gone[g] ? to + 1 : to;
	}
}

struct column *picture_take(struct column_cache *cache, struct store_view *v, const struct mailbox *m, struct fault *why)
{
	uint64_t epoch = store_view_epoch(v);
	struct column *before = column_cache_get(cache, COLUMN_UIDS, m->id, epoch), *c;
	struct changes *ch = NULL;
	size_t cap = m->exists;
	enum store_result result;
	uint32_t from = 0;
	bool is_newer;

	if (before != NULL && before->modseq == m->highestmodseq)
		return before;
	c = column_new(COLUMN_UIDS, m->id, epoch);
	c->modseq = m->highestmodseq;
	c->last_uid = m->uidnext - 1;
	if (before != NULL && before->modseq < m->highestmodseq) {
		ch = must_alloc(sizeof(*ch));
		if (!read_changes(ch, v, before)) {
			free(ch);
			ch = NULL;
		}
	}
	if (ch != NULL && cap < before->count)
		cap = before->count;
	c->uids = must_realloc(NULL, cap + 1, sizeof(*c->uids));
	if (ch != NULL) {
		copy_but(c, before, ch);
		c->first_unseen = first_unseen(ch, v, before);
		from = before->last_uid + 1;
		free(ch);
	}
	is_newer = before == NULL || before->modseq < m->highestmodseq;
	column_release(&before);
	result = read_from(c, &cap, v, from);
	if (result != STORE_OK) {
		(void)fault_set(why, FAULT_OPERATOR, "mailbox %llu cannot be read", (unsigned long long)m->id);
		column_release(&c);
		return NULL;
	}
	c->size = sizeof(*c) + (cap + 1) * sizeof(*c->uids);
	if (is_newer && c->count >= KEPT_MIN)
		column_cache_put(cache, c);
	return c;
}
