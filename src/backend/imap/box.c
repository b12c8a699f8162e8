/* box.c - keeping a client's picture of its mailbox.
 *
 * New messages are found by UID (everything above last_uid), changed and gone ones by modseq. Changes of flags may be told
 * in part: modseq then stands at the last one told. */
#include "box.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "annotation.h"
#include "answer.h"
#include "clock.h"
#include "context.h"
#include "imap_flags.h"
#include "imap_writer.h"
#include "log.h"
#include "notify.h"
#include "picture.h"
#include "radix.h"
#include "seqset.h"

#define BOX_STEPS 8
#define VANISHED_LINE_MAX 8000
#define SYNC_TURN_NS 5000000u
#define SYNC_OUTPUT_MAX (4 * CONN_OUTPUT_HIGH) /* changes of flags are told until so much output waits */

/* UIDs of its own, which can be changed. */
static void own_uids(struct box *box)
{
	const uint32_t *shared = box->uids;

	if (box->shared == NULL)
		return;
	box->cap = box->count + box->count / 16 + 16;
	box->uids = must_realloc(NULL, box->cap, sizeof(*box->uids));
	memcpy(box->uids, shared, box->count * sizeof(*box->uids));
	column_release(&box->shared);
}

static void add_uid(struct box *box, uint32_t uid)
{
	own_uids(box);
	if (box->count == box->cap) {
		box->cap = box->cap < 16 ? 16 : box->cap + box->cap / 2;
		box->uids = must_realloc(box->uids, box->cap, sizeof(*box->uids));
	}
	box->uids[box->count++] = uid;
}

/* Where UID is or would be in the sorted AT[0..N). */
static size_t position(const uint32_t *at, size_t n, uint32_t uid)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (at[mid] < uid)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

uint32_t box_number(const struct box *box, uint32_t uid)
{
	size_t at = position(box->uids, box->count, uid);

	return at < box->count && box->uids[at] == uid ? (uint32_t)at + 1 : 0;
}

size_t box_position(const struct box *box, uint32_t uid)
{
	return position(box->uids, box->count, uid);
}

bool box_read(struct box_reader *r, uint32_t uid, struct message *m_r)
{
	/* A few steps are cheaper than a search from the top. */
	for (unsigned steps = 0; r->is_open && steps < BOX_STEPS && r->msg.uid < uid; steps++) {
		if (!view_messages_next(&r->it, &r->msg))
			return false;
	}
	if (!r->is_open || r->msg.uid < uid || uid <= r->asked) {
		box_read_end(r);
		r->is_open = true;
		store_view_messages(r->view, r->mailbox, uid, &r->it);
		r->msg.uid = 0;
		if (!view_messages_next(&r->it, &r->msg)) {
			box_read_end(r);
			return false;
		}
	}
	r->asked = uid;
	*m_r = r->msg;
	return r->msg.uid == uid;
}

void box_read_end(struct box_reader *r)
{
	if (r->is_open)
		view_messages_end(&r->it);
	r->is_open = false;
}

void box_save(struct box *box, const uint32_t *index, size_t count)
{
	free(box->saved);
	box->saved = must_realloc(NULL, count + 1, sizeof(*box->saved));
	box->saved_count = count;
	for (size_t i = 0; i < count; i++)
		box->saved[i] = box->uids[index[i]];
}

bool box_is_saved(const struct box *box, uint32_t uid)
{
	size_t at = position(box->saved, box->saved_count, uid);

	return at < box->saved_count && box->saved[at] == uid;
}

/* In IMAP4rev2 nothing is recent, and so nothing is claimed. */
bool box_is_recent(const struct box *box, uint32_t uid)
{
	for (size_t i = 0; i < box->recent_count; i++) {
		if (uid > box->recents[i].above && uid <= box->recents[i].last)
			return true;
	}
	return false;
}

size_t box_recent_count(const struct box *box)
{
	size_t n = 0;

	for (size_t i = 0; i < box->recent_count; i++)
		n += position(box->uids, box->count, box->recents[i].last + 1) -
		     position(box->uids, box->count, box->recents[i].above + 1);
	return n;
}

/* Messages up to LAST are known now: which of them are this session's recent ones? */
static void claim(struct session *s, struct box *box, uint32_t last)
{
	bool is_rev2 = (s->features & IMAP_F_REV2) != 0;
	uint32_t above = recent_claim(&s->client.backend->recent, box->id, last, !box->is_readonly && !is_rev2);

	if (above >= last || is_rev2)
		return;
	if (box->recent_count > 0 && box->recents[box->recent_count - 1].last >= above) {
		box->recents[box->recent_count - 1].last = last;
		return;
	}
	box->recents = must_realloc(box->recents, box->recent_count + 1, sizeof(*box->recents));
	box->recents[box->recent_count++] = (struct box_recent){ above, last };
}

/* Add the messages above last_uid. */
static enum store_result take_new(struct session *s, struct box *box, struct store_view *v, const struct mailbox *m)
{
	struct view_messages it;
	struct message msg;

	store_view_messages(v, box->id, box->last_uid + 1, &it);
	while (view_messages_next(&it, &msg))
		add_uid(box, msg.uid);
	view_messages_end(&it);
	if (m->uidnext - 1 > box->last_uid) {
		box->last_uid = m->uidnext - 1;
		claim(s, box, box->last_uid);
	}
	return it.result;
}

bool box_take_rights(struct box *box, acl_rights_t rights)
{
	const acl_rights_t changing = ACL_WRITE | ACL_SEEN | ACL_DELETE | ACL_EXPUNGE | ACL_INSERT; /* RFC 4314 section 5.2 */
	bool are_others = box->rights != rights;

	box->rights = rights;
	box->is_readonly = box->is_examine || (rights & changing) == 0;
	return are_others;
}

enum store_result box_open(struct session *s, struct store_view *v, const struct mailbox *m, acl_rights_t rights,
                           bool is_examine, struct box **box_r, uint32_t *first_unseen_r, struct fault *why)
{
	struct column *all = picture_take(&s->client.backend->columns, v, m, why);
	struct box *box;

	*box_r = NULL;
	if (all == NULL)
		return STORE_FAILED;
	box = must_calloc(1, sizeof(*box));
	box->id = m->id;
	box->uidvalidity = m->uidvalidity;
	box->is_examine = is_examine;
	(void)box_take_rights(box, rights);
	box->modseq = m->highestmodseq;
	box->keyword_count = m->keyword_count;
	box->shared = all;
	box->uids = all->uids;
	box->count = all->count;
	box->last_uid = all->last_uid;
	*first_unseen_r = all->first_unseen == 0 ? 0 : box_number(box, all->first_unseen);
	claim(s, box, box->last_uid);
	*box_r = box;
	return STORE_OK;
}

void box_free(struct box **boxp)
{
	struct box *box = *boxp;

	if (box == NULL)
		return;
	*boxp = NULL;
	contexts_free(box);
	if (box->shared == NULL)
		free(box->uids);
	column_release(&box->shared);
	free(box->gone);
	free(box->saved);
	free(box->recents);
	free(box);
}

/* What was saved and is still there. */
static void resolve_saved(const struct box *box, struct arena *a, uint32_t **index_r, size_t *count_r)
{
	*index_r = arena_array(a, box->saved_count, sizeof(**index_r));
	*count_r = 0;
	for (size_t i = 0; i < box->saved_count; i++) {
		uint32_t number = box_number(box, box->saved[i]);

		if (number != 0)
			(*index_r)[(*count_r)++] = number - 1;
	}
}

bool box_resolve(const struct box *box, struct seqset *set, bool is_uid, struct arena *a, uint32_t **index_r,
                 size_t *count_r)
{
	uint32_t max = (uint32_t)box->count;
	uint32_t *index;
	size_t n = 0, room = 0;

	if (set->is_saved) {
		resolve_saved(box, a, index_r, count_r);
		return true;
	}
	if (is_uid)
		max = box->count > 0 ? box->uids[box->count - 1] : 0;
	if (max == 0) {
		*index_r = NULL;
		*count_r = 0;
		return is_uid;
	}
	seqset_resolve(set, max);
	/* Two passes: how many, then which. */
	for (size_t pass = 0; pass < 2; pass++) {
		index = pass == 0 ? NULL : arena_array(a, room, sizeof(*index));
		for (size_t i = 0; i < set->count; i++) {
			const struct seq_range *r = &set->ranges[i];
			size_t from, to;

			if (!is_uid && r->last > max)
				return false;
			from = is_uid ? position(box->uids, box->count, r->first) : r->first - 1;
			to = !is_uid ? r->last : r->last == UINT32_MAX ? box->count : position(box->uids, box->count, r->last + 1);
			if (pass == 0)
				room += to - from;
			for (size_t at = from; pass == 1 && at < to; at++)
				index[n++] = (uint32_t)at;
		}
	}
	*index_r = index;
	*count_r = n;
	return true;
}

struct uid_range *box_ranges(const struct box *box, const uint32_t *index, size_t count, struct arena *a,
                             size_t *range_count_r)
{
	struct uid_range *ranges;
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += i == 0 || index[i] != index[i - 1] + 1;
	ranges = arena_array(a, n, sizeof(*ranges));
	n = 0;
	for (size_t i = 0; i < count; i++) {
		uint32_t uid = box->uids[index[i]];

		/* Neighbours by number are one range: no message of this picture lies between. */
		if (i > 0 && index[i] == index[i - 1] + 1)
			ranges[n - 1].last = uid;
		else
			ranges[n++] = (struct uid_range){ uid, uid };
	}
	*range_count_r = n;
	return ranges;
}

void box_write_flags(struct session *s, const struct mailbox *m)
{
	const struct box *box = s->box;
	struct buffer line = { 0 };
	uint64_t all = m->keyword_count >= 64 ? UINT64_MAX : (1ull << m->keyword_count) - 1;
	uint32_t flags = 0;

	if ((box->rights & ACL_WRITE) != 0)
		flags |= IMAP_FLAG_ANSWERED | IMAP_FLAG_FLAGGED | IMAP_FLAG_DRAFT;
	if ((box->rights & ACL_SEEN) != 0)
		flags |= IMAP_FLAG_SEEN;
	if ((box->rights & ACL_DELETE) != 0)
		flags |= IMAP_FLAG_DELETED;
	buffer_add_str(&line, "* FLAGS ");
	imap_write_flags(&line, IMAP_FLAGS_ALL, false, all, m->keywords, m->keyword_count);
	buffer_add_str(&line, "\r\n* OK [PERMANENTFLAGS ");
	if (box->is_readonly) {
		buffer_add_str(&line, "()");
	} else {
		imap_write_flags(&line, flags, false, (box->rights & ACL_WRITE) != 0 ? all : 0, m->keywords, m->keyword_count);
		if ((box->rights & ACL_WRITE) != 0) {
			line.n--; /* the parenthesis */
			buffer_add_str(&line, flags != 0 || m->keyword_count > 0 ? " \\*)" : "\\*)");
		}
	}
	buffer_add_str(&line, "] these are kept\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	s->box->keyword_count = m->keyword_count;
}

void box_write_fetch_flags(struct session *s, uint32_t number, const struct message *msg, const struct mailbox *m,
                           bool with_uid)
{
	struct buffer line = { 0 };

	if ((s->features & IMAP_F_UIDONLY) != 0)
		buffer_addf(&line, "* %u UIDFETCH (", msg->uid);
	else if (with_uid || (s->features & IMAP_F_QRESYNC) != 0)
		buffer_addf(&line, "* %u FETCH (UID %u ", number, msg->uid);
	else
		buffer_addf(&line, "* %u FETCH (", number);
	buffer_add_str(&line, "FLAGS ");
	imap_write_flags(&line, msg->flags, box_is_recent(s->box, msg->uid), msg->keywords, m->keywords, m->keyword_count);
	if ((s->features & IMAP_F_CONDSTORE) != 0)
		buffer_addf(&line, " MODSEQ (%llu)", (unsigned long long)msg->modseq);
	buffer_add_str(&line, ")\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

void box_write_fetch_modseq(struct session *s, uint32_t number, const struct message *msg)
{
	struct buffer line = { 0 };

	if ((s->features & IMAP_F_UIDONLY) != 0)
		buffer_addf(&line, "* %u UIDFETCH (MODSEQ (%llu))\r\n", msg->uid, (unsigned long long)msg->modseq);
	else
		buffer_addf(&line, "* %u FETCH (UID %u MODSEQ (%llu))\r\n", number, msg->uid, (unsigned long long)msg->modseq);
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

void box_write_vanished(struct session *s, bool is_earlier, const uint32_t *uids, size_t count)
{
	struct buffer out = { 0 };
	size_t i = 0;

	while (i < count) {
		buffer_add_str(&out, is_earlier ? "* VANISHED (EARLIER) " : "* VANISHED ");
		for (size_t begin = out.n; i < count && out.n - begin < VANISHED_LINE_MAX;) {
			struct seq_range r = { uids[i], uids[i] };

			for (i++; i < count && uids[i] == r.last + 1; i++)
				r.last++;
			if (out.n > begin)
				buffer_add_u8(&out, ',');
			seqset_write(&out, &r, 1);
		}
		buffer_add_str(&out, "\r\n");
		session_write(s, buffer_bytes(&out));
		buffer_clear(&out);
	}
	buffer_fini(&out);
}

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

static void add_gone(struct box *box, uint32_t uid)
{
	size_t at = position(box->gone, box->gone_count, uid);

	if (box_number(box, uid) == 0 || (at < box->gone_count && box->gone[at] == uid))
		return;
	if (box->gone_count == box->gone_cap) {
		box->gone_cap = box->gone_cap == 0 ? 8 : 2 * box->gone_cap;
		box->gone = must_realloc(box->gone, box->gone_cap, sizeof(*box->gone));
	}
	memmove(box->gone + at + 1, box->gone + at, (box->gone_count - at) * sizeof(*box->gone));
	box->gone[at] = uid;
	box->gone_count++;
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
			add_gone(box, c.uid);
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
	own_uids(box);
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
			result = take_new(s, box, v, &m);
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
