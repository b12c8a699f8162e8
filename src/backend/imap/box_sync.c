/* box_sync.c - finding what changed in a mailbox since a client's picture of it was right, and telling it.
 *
 * New messages are found by UID (everything above last_uid), changed and gone ones by modseq. Changes of flags may be told
 * in part: modseq then stands at the last one told. */
#include "box.h"

#include <stdlib.h>

#include "alloc.h"
#include "annotation.h"
#include "answer.h"
#include "box_private.h"
#include "clock.h"
#include "context.h"
#include "log.h"
#include "notify.h"
#include "radix.h"
#include "seqset.h"

#define SYNC_TURN_NS 5000000u
#define SYNC_OUTPUT_MAX (4 * CONN_OUTPUT_HIGH) /* changes of flags are told until so much output waits */

/* RANGES are ascending. */
static bool is_in(const struct uid_range *ranges, size_t count, uint32_t uid)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ranges[mid].last < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < count && ranges[low].first <= uid;
}

/* The number of UID, 0: it is not known; the one AT is looked at first, and it is left behind the one that was found: many changes of one
 * modseq are in the order of UIDs. */
static uint32_t number_near(const struct box *box, uint32_t uid, size_t *at)
{
	uint32_t number = *at < box->count && box->uids[*at] == uid ? (uint32_t)*at + 1 : box_number(box, uid);

	*at = number;
	return number;
}

/* What was changed or removed since, in order of modseq and UID; where the output is full it goes on another time. */
static bool tell_changes(struct session *s, const struct command *cmd, struct store_view *v, const struct mailbox *m)
{
	struct box *box = s->box;
	struct view_changes it;
	struct view_change c;
	struct message msg;
	struct fault why;
	bool with_uid = (cmd != NULL && cmd->c.is_uid) || s->notify != NULL; /* RFC 5465 section 5.1 */
	unsigned events = notify_selected(s) & NOTIFY_CHANGES;
	bool is_all = true, has_contexts = contexts_are_there(box);
	uint64_t until = has_contexts ? clock_mono_ns() + SYNC_TURN_NS : 0;
	size_t at = 0;

	/* Nothing happened but what the command did and told itself: that may be much. */
	if (cmd != NULL && cmd->is_told_own && cmd->told_modseq == m->highestmodseq && box->modseq + 1 == m->highestmodseq &&
	    box->modseq_uid == 0 && !has_contexts) {
		box->modseq = m->highestmodseq;
		box->is_behind = false;
		return true;
	}
	store_view_changes_from(v, box->id, box->modseq + 1, box->modseq_uid + 1, &it);
	while (is_all && view_changes_next(&it, &c)) {
		uint32_t number = c.uid <= box->last_uid ? number_near(box, c.uid, &at) : 0;
		bool was_told = events == 0 || (cmd != NULL && c.modseq <= cmd->told_modseq && is_in(cmd->told, cmd->told_count, c.uid));

		if (c.is_gone) {
			box_add_gone(box, c.uid);
			if (has_contexts && number != 0)
				contexts_gone(s, number - 1);
		} else if (number != 0 && (!was_told || has_contexts) &&
		           store_view_message(v, box->id, c.uid, &msg, &why) == STORE_OK) {
			if (!was_told && (events & NOTIFY_FLAG_CHANGE) != 0)
				box_write_fetch_flags(s, number, &msg, m, with_uid);
			if (!was_told && (events & NOTIFY_ANNOTATION_CHANGE) != 0)
				annotation_tell(s, v, number, &msg);
			if (has_contexts)
				contexts_look(s, v, m, &msg, number - 1);
			is_all = s->client.conn == NULL || conn_pending(s->client.conn) < SYNC_OUTPUT_MAX;
		}
		if (has_contexts && is_all) /* one that goes is looked for in each of them, too */
			is_all = clock_mono_ns() < until;
		box->modseq = c.modseq - 1;
		box->modseq_uid = c.uid;
	}
	view_changes_end(&it);
	if (is_all && it.result == STORE_OK) {
		box->modseq = m->highestmodseq;
		box->modseq_uid = 0;
	}
	box->is_behind = !is_all;
	return it.result == STORE_OK;
}

static void sort_numbers(uint32_t *at, size_t n)
{
	struct radix_item *items;
	size_t i = 1;

	while (i < n && at[i - 1] <= at[i])
		i++;
	if (i >= n)
		return;
	items = must_realloc(NULL, 2 * n, sizeof(*items));
	for (i = 0; i < n; i++)
		items[i] = (struct radix_item){ at[i], 0 };
	radix_sort(items, items + n, n);
	for (i = 0; i < n; i++)
		at[i] = (uint32_t)items[i].key;
	free(items);
}

struct number_list {
	uint32_t *at; /* owned */
	size_t count, cap;
};

static void add_number(struct number_list *l, uint32_t n)
{
	if (l->count == l->cap) {
		l->cap = l->cap == 0 ? 64 : l->cap + l->cap / 2;
		l->at = must_realloc(l->at, l->cap, sizeof(*l->at));
	}
	l->at[l->count++] = n;
}

/* The sorted list as the arena's; L is empty then. */
static uint32_t *take_sorted(struct number_list *l, struct arena *a)
{
	sort_numbers(l->at, l->count);
	if (l->at != NULL)
		arena_on_free(a, free, l->at);
	return l->at;
}

bool box_changes(struct session *s, struct command *cmd, modseq_t since, const struct seqset *gone,
                 struct box_changes *changes_r)
{
	struct number_list there = { 0 }, away = { 0 };
	struct store_view *v = session_view(s, cmd);
	struct view_changes it;
	struct view_change c;
	struct fault why;
	size_t at = 0;

	if (v == NULL)
		return false;
	store_view_changes(v, s->box->id, since, &it);
	while (view_changes_next(&it, &c)) {
		uint32_t number = number_near(s->box, c.uid, &at);

		if (!c.is_gone && number != 0)
			add_number(&there, number - 1);
		else if (c.is_gone && number == 0 && gone != NULL && seqset_has(gone, c.uid))
			add_number(&away, c.uid);
	}
	view_changes_end(&it);
	store_view_close(&v);
	*changes_r = (struct box_changes){ .count = there.count, .gone_count = away.count };
	changes_r->index = take_sorted(&there, &cmd->arena);
	changes_r->gone = take_sorted(&away, &cmd->arena);
	if (it.result == STORE_OK)
		return true;
	(void)fault_set(&why, FAULT_OPERATOR, "mailbox %llu cannot be read", (unsigned long long)s->box->id);
	(void)answer_fault(s, cmd, &why);
	return false;
}

static void drop_from_contexts(struct box *box)
{
	uint32_t *index;

	if (!contexts_are_there(box))
		return;
	index = must_realloc(NULL, box->gone_count + 1, sizeof(*index));
	for (size_t i = 0; i < box->gone_count; i++)
		index[i] = box_number(box, box->gone[i]) - 1;
	contexts_drop(box, index, box->gone_count);
	free(index);
}

/* EXPUNGE from the highest number down, so that each number is right as it is told; or VANISHED (RFC 7162, 9586). */
static void tell_gone(struct session *s)
{
	struct box *box = s->box;
	struct buffer out = { 0 };
	size_t to = 0, g = 0;
	bool by_uid = (s->features & (IMAP_F_QRESYNC | IMAP_F_UIDONLY)) != 0;

	if (by_uid)
		box_write_vanished(s, false, box->gone, box->gone_count);
	for (size_t i = by_uid ? 0 : box->gone_count; i-- > 0;) {
		buffer_addf(&out, "* %u EXPUNGE\r\n", box_number(box, box->gone[i]));
		if (out.n > 32 * 1024) {
			session_write(s, buffer_bytes(&out));
			buffer_clear(&out);
		}
	}
	session_write(s, buffer_bytes(&out));
	buffer_fini(&out);
	drop_from_contexts(box);
	box_own_uids(box);
	for (size_t i = 0; i < box->count; i++) {
		if (g < box->gone_count && box->uids[i] == box->gone[g])
			g++;
		else
			box->uids[to++] = box->uids[i];
	}
	box->count = to;
	free(box->gone);
	box->gone = NULL;
	box->gone_count = box->gone_cap = 0;
}

static void tell_count(struct session *s)
{
	struct buffer out = { 0 };

	buffer_addf(&out, "* %zu EXISTS\r\n", s->box->count);
	if ((s->features & IMAP_F_REV2) == 0)
		buffer_addf(&out, "* %zu RECENT\r\n", box_recent_count(s->box));
	session_write(s, buffer_bytes(&out));
	buffer_fini(&out);
}

/* Whether the client does not want to hear of the selected mailbox (RFC 5465 section 3.1), but for what it does itself. */
static bool is_muted(const struct session *s, const struct command *cmd)
{
	return (notify_selected(s) & NOTIFY_BOTH) == 0 &&
	       (cmd == NULL || (cmd->c.verb != IMAP_EXPUNGE && cmd->c.verb != IMAP_MOVE && cmd->c.verb != IMAP_REPLACE));
}

static bool sync(struct session *s, const struct command *cmd, bool may_expunge)
{
	struct box *box = s->box;
	struct mailbox m;
	struct fault why = { 0 };
	struct store_view *v = store_view_open(s->client.backend->store, &why);
	enum store_result result = STORE_FAILED;
	size_t before = box->count;

	box->is_behind = false;
	if (v != NULL)
		result = store_view_mailbox_by_id(v, box->id, &m, &why);
	if (result == STORE_OK && m.highestmodseq != box->modseq) {
		if (m.keyword_count != box->keyword_count)
			box_write_flags(s, &m);
		if (!tell_changes(s, cmd, v, &m))
			result = STORE_FAILED;
		else
			result = box_take_new(s, box, v, &m);
	}
	if (result == STORE_OK) {
		contexts_tell(s); /* with the numbers that EXPUNGE will change */
		if (may_expunge && box->gone_count > 0) {
			/* New numbers come behind: what is gone leaves before they are told. */
			size_t added = box->count - before;

			tell_gone(s);
			before = box->count - added;
		}
		if (box->count != before)
			tell_count(s);
		if (!notify_fetch_new(s, v, &m, clock_mono_ns() + SYNC_TURN_NS))
			box->is_behind = true;
		if (contexts_are_there(box)) {
			if (!contexts_take_new(s, v, &m, clock_mono_ns() + SYNC_TURN_NS))
				box->is_behind = true;
			contexts_tell(s);
		}
	}
	store_view_close(&v);
	if (result == STORE_OK)
		return true;
	if (result == STORE_NO_MAILBOX) {
		session_bye(s, "[NONEXISTENT] the selected mailbox was deleted");
	} else {
		log_event(LOG_ERROR, "imap.select.failed", LOG_U64("conn", s->client.id), LOG_FAULT(&why));
		session_bye(s, "[SERVERBUG] the mail store has a problem");
	}
	return false;
}

bool box_sync(struct session *s, const struct command *cmd, bool may_expunge)
{
	return is_muted(s, cmd) || sync(s, cmd, may_expunge);
}
