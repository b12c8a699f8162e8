/* store_turn.c - a master's turn and the flush. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "store_private.h"

void store_fail(struct store *s, const struct fault *why)
{
	if (s->is_failed)
		return;
	s->is_failed = true;
	s->failure = *why;
}

uint64_t intent_cost(const struct intent *in)
{
	uint64_t cost = 1024;

	switch (in->op) {
	case INTENT_APPEND:
		cost += in->append.body.n + in->append.structure.n + in->append.target_count * 1024;
		for (size_t i = 0; i < in->append.target_count; i++) {
			const struct append_target *t = &in->append.targets[i];

			/* Keywords that are new to the mailbox are an entry of all that it has then. */
			cost += attributes_cost(&t->attributes) + (t->keyword_count > 0 ? KEYWORDS_MAX * KEYWORD_NAME_MAX : 0);
		}
		break;
	case INTENT_RENAME:
		cost += in->rename.count * (MAILBOX_NAME_MAX + 16);
		break;
	case INTENT_CREATE:
		cost += 2 * MAILBOX_NAME_MAX + in->create.acl.n + attributes_cost(&in->create.attributes);
		break;
	case INTENT_RENAME_INBOX:
		cost += rename_inbox_cost(&in->rename_inbox, in->rename_inbox.messages);
		break;
	case INTENT_SET_ACL:
		cost += in->set_acl.new_acl.n;
		break;
	case INTENT_STORE:
		for (size_t i = 0; i < in->store.uid_count; i++)
			cost += ((uint64_t)in->store.uids[i].last - in->store.uids[i].first + 1) * 13;
		cost += KEYWORDS_MAX * KEYWORD_NAME_MAX;
		break;
	case INTENT_COPY:
	case INTENT_MOVE:
		for (size_t i = 0; i < in->copy.uid_count; i++)
			cost += ((uint64_t)in->copy.uids[i].last - in->copy.uids[i].first + 1) * (37 + 256);
		cost += KEYWORDS_MAX * KEYWORD_NAME_MAX + COPIED_ATTRIBUTES(0);
		break;
	case INTENT_EXPUNGE:
		cost += in->expunge.is_all ? 4u << 20 : 4096;
		for (size_t i = 0; i < in->expunge.uid_count; i++)
			cost += ((uint64_t)in->expunge.uids[i].last - in->expunge.uids[i].first + 1) * 4;
		break;
	case INTENT_SALVAGE:
		cost += in->salvage.item->body.n + in->salvage.item->structure.n + in->salvage.item->acl.n + 4096 +
		        KEYWORDS_MAX * KEYWORD_NAME_MAX;
		break;
	case INTENT_DIGEST:
		cost += 4096;
		break;
	case INTENT_PLACE:
		cost += place_cost(&in->place);
		break;
	case INTENT_RECLAIM:
		cost += in->reclaim.most * 12;
		break;
	case INTENT_UNDELETE:
		cost += UNDELETE_MOST * (37 + 12);
		break;
	case INTENT_ATTRIBUTE: {
		uint64_t messages = in->attribute.mailbox == 0;

		for (size_t i = 0; i < in->attribute.uid_count; i++)
			messages += (uint64_t)in->attribute.uids[i].last - in->attribute.uids[i].first + 1;
		cost += messages * attributes_cost(&in->attribute.changes);
		break;
	}
	case INTENT_SET_QUOTA:
		cost += MAILBOX_NAME_MAX;
		break;
	case INTENT_EPOCH:
	case INTENT_DELETE:
	case INTENT_SUBSCRIBE:
	case INTENT_UNSUBSCRIBE:
		break;
	}
	/* Sets may name many UIDs that are not there. */
	return cost > (1u << 30) ? 1u << 30 : cost;
}

enum store_result store_reserve_space(struct store *s, uint64_t bytes, struct fault *why)
{
	enum store_result result;

	if (s->is_failed) {
		*why = s->failure;
		return STORE_FAILED;
	}
	/* Sets may cost less than their numbers say, never more than what a mailbox holds. */
	if (bytes > (64u << 20) + ENTRY_BODY_MAX)
		bytes = (64u << 20) + ENTRY_BODY_MAX;
	result = journal_reserve(&s->journal, bytes, why);
	if (result == STORE_FAILED)
		store_fail(s, why);
	return result;
}

enum store_result store_turn_begin(struct store *s, epoch_t epoch, struct fault *why)
{
	assert(!s->is_turn);
	if (s->is_failed) {
		*why = s->failure;
		return STORE_FAILED;
	}
	s->changes = (struct store_changes){ 0 };
	/* A suffix that earlier reigns left becomes visible with this turn. Large ones are brought close first. */
	s->txn = kv_write(s->kv, why);
	if (s->txn == NULL) {
		store_fail(s, why);
		return STORE_FAILED;
	}
	for (lsn_t lsn = store_applied_lsn(s) + 1; lsn <= s->journal.last; lsn++) {
		struct arena a = { 0 };
		struct entry e;
		bool ok = store_read_entry(s, lsn, false, &a, &e, why) && apply_entry(s->txn, &e, &s->changes);

		arena_fini(&a);
		if (!ok) {
			kv_end(&s->txn);
			store_fail(s, why);
			return STORE_FAILED;
		}
	}
	s->is_turn = true;
	s->epoch = epoch;
	s->turn_first = s->journal.last + 1;
	s->turn_count = 0;
	s->turn_changed = s->turn_records = 0;
	s->turn_flushed = false;
	return STORE_OK;
}

enum store_result turn_entry(struct store *s, struct entry *e)
{
	struct buffer head = { 0 };
	struct fault why;
	bool ok;

	if (!index_has_room_for(s, s->txn, e, &why)) {
		log_event(LOG_ERROR, "store.index.no_room", LOG_FAULT(&why));
		return STORE_NO_SPACE;
	}
	e->lsn = s->journal.last + 1;
	e->epoch = s->epoch;
	e->committed = store_applied_lsn(s);
	entry_write(&head, e);
	if (head.n > ENTRY_HEAD_MAX) {
		buffer_fini(&head);
		return STORE_LIMIT;
	}
	ok = journal_append(&s->journal, e->epoch, buffer_bytes(&head), e->body, false);
	buffer_fini(&head);
	if (!ok)
		return STORE_NO_SPACE;
	s->turn_count++;
	if (!apply_entry(s->txn, e, &s->changes)) {
		(void)fault_set(&why, FAULT_OPERATOR, "%s: the index cannot be written: see the line before", s->dir);
		return STORE_FAILED;
	}
	if (e->type == ENTRY_EPOCH) {
		const struct store_reign reign = store_reign_of(e);

		store_note_reign(s, &reign);
	}
	return STORE_OK;
}

static enum store_result do_intent(struct store *s, struct intent *in, struct arena *a, struct intent_answer *out)
{
	switch (in->op) {
	case INTENT_DIGEST:
		return op_digest(s, out);
	case INTENT_EPOCH:
		return op_epoch(s, &in->epoch, out);
	case INTENT_CREATE:
		return op_create(s, &in->create, a, out);
	case INTENT_DELETE:
		return op_delete(s, &in->delete, out);
	case INTENT_RENAME:
		return op_rename(s, &in->rename, a, out);
	case INTENT_RENAME_INBOX:
		return op_rename_inbox(s, &in->rename_inbox, a, out);
	case INTENT_SET_ACL:
		return op_set_acl(s, &in->set_acl, out);
	case INTENT_APPEND:
		return op_append(s, &in->append, out);
	case INTENT_STORE:
		return op_store(s, &in->store, a, out);
	case INTENT_EXPUNGE:
		return op_expunge(s, &in->expunge, a, out);
	case INTENT_RECLAIM:
		return op_reclaim(s, &in->reclaim, a, out);
	case INTENT_UNDELETE:
		return op_undelete(s, &in->undelete, a, out);
	case INTENT_COPY:
	case INTENT_MOVE:
		return op_copy(s, &in->copy, in->op == INTENT_MOVE, false, a, out);
	case INTENT_ATTRIBUTE:
		return op_attribute(s, &in->attribute, a, out);
	case INTENT_SUBSCRIBE:
	case INTENT_UNSUBSCRIBE:
		return op_subscribe(s, &in->subscribe, in->op == INTENT_SUBSCRIBE, out);
	case INTENT_SET_QUOTA:
		return op_set_quota(s, &in->set_quota, out);
	case INTENT_PLACE:
		return op_place(s, &in->place, a, out);
	case INTENT_SALVAGE:
		return op_salvage(s, &in->salvage, a, out);
	}
	return STORE_BAD;
}

void store_turn_add(struct store *s, struct intent *in, struct arena *a, struct intent_answer *answer_r)
{
	size_t before = s->turn_count;

	*answer_r = (struct intent_answer){ 0 };
	answer_r->result = do_intent(s, in, a, answer_r);
	answer_r->lsn = s->turn_count > before ? s->journal.last : 0;
}

const struct store_entry *store_turn_entries(const struct store *s, size_t *count_r)
{
	const struct journal *j = &s->journal;

	*count_r = s->turn_count;
	/* The turn's entries are the pending batch until their flush begins, then the flushing one; and between the flush's end
	 * and the turn's a copy of the rows, whose octets the batch's arena handed over. */
	if (s->turn_entries != NULL)
		return s->turn_entries;
	return s->turn_flushed ? j->flushing.entries : j->pending.entries;
}

bool store_flush_begin(struct store *s)
{
	if (s->is_failed || !journal_flush_begin(&s->journal))
		return false;
	s->turn_flushed = s->is_turn;
	return true;
}

void store_flush_run(struct store *s)
{
	journal_flush_run(&s->journal);
}

bool store_flush_done(struct store *s, struct fault *why)
{
	struct journal *j = &s->journal;

	if (s->is_turn && s->turn_flushed && !j->is_failed) {
		s->turn_entries = must_calloc(s->turn_count, sizeof(*s->turn_entries));
		memcpy(s->turn_entries, j->flushing.entries, s->turn_count * sizeof(*s->turn_entries));
		s->turn_arena = j->flushing.arena;
		j->flushing.arena = (struct arena){ 0 };
	}
	if (!journal_flush_done(j, why)) {
		store_fail(s, why);
		return false;
	}
	return true;
}

static void turn_over(struct store *s)
{
	s->is_turn = false;
	free(s->turn_entries);
	s->turn_entries = NULL;
	arena_fini(&s->turn_arena);
	store_changes_fini(&s->changes);
}

enum store_result store_turn_commit(struct store *s, lsn_t lsn, struct store_changes *changes_r, struct fault *why)
{
	lsn_t last = s->turn_first + s->turn_count - 1;

	assert(s->is_turn && lsn >= last && last <= s->journal.durable);
	if (s->turn_count == 0 && store_applied_lsn(s) == last) {
		kv_end(&s->txn);
	} else if (!kv_commit(&s->txn, why)) {
		store_fail(s, why);
		turn_over(s);
		return STORE_FAILED;
	}
	atomic_store(&s->applied, last);
	s->freed += s->changes.freed;
	if (changes_r != NULL) {
		*changes_r = s->changes;
		s->changes = (struct store_changes){ 0 };
	}
	turn_over(s);
	return STORE_OK;
}

void store_turn_abort(struct store *s)
{
	assert(s->is_turn);
	kv_end(&s->txn);
	if (!s->turn_flushed)
		journal_drop_pending(&s->journal);
	turn_over(s);
}
