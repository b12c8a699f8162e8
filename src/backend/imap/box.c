/* box.c - a client's picture of its mailbox: numbers and UIDs, what is recent, what was saved, and sets resolved to it. How it is
 * brought up to date is box_sync.c's, the lines that tell of it box_tell.c's. */
#include "box.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "box_private.h"
#include "context.h"
#include "picture.h"
#include "seqset.h"

#define BOX_STEPS 8

void box_own_uids(struct box *box)
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
	box_own_uids(box);
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

enum store_result box_take_new(struct session *s, struct box *box, struct store_view *v, const struct mailbox *m)
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

void box_add_gone(struct box *box, uint32_t uid)
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
