/* ops_place.c - several messages to one mailbox as one effect: first their octets, each as an APPEND that delivers nothing, then one
 * PLACE that names them all. A crash between leaves octets that no mailbox has; whatever entry comes next drops them (apply.c). */
#include "clock.h"
#include "imap_flags.h"
#include "quota.h"
#include "store_private.h"

/* Of one message beside its octets and its structure: both entries' headers, padding, its row. */
#define MESSAGE_REST 256
/* Of a PLACE. */
#define PLACE_ROW 33
#define PLACE_HEAD_MAX (ENTRY_HEAD_MAX - 4096)

uint64_t place_cost(const struct intent_place *in)
{
	uint64_t cost = KEYWORDS_MAX * KEYWORD_NAME_MAX + 1024;

	for (size_t i = 0; i < in->count; i++) {
		const struct place_message *m = &in->messages[i];

		cost += m->body.n + m->structure.n + m->body.n / ENTRY_BLOCK * 8 + 8 + MESSAGE_REST + attributes_cost(&m->attributes);
	}
	return cost;
}

/* What takes the place of a message under the same root adds only what it is more (RFC 8508 section 3.4). OLD: the message that goes. */
static enum store_result check_room(struct store *s, const struct intent_place *in, const struct mailbox *from, const struct message *old)
{
	uint64_t more[QUOTA_RESOURCES] = { [QUOTA_MESSAGE] = in->count };
	struct quota there, here;
	enum kv_result r = index_quota_of(s->txn, in->target, &there), r2 = KV_NOT_FOUND;

	if (r == KV_OK && in->source != 0)
		r2 = index_quota_of(s->txn, from->name, &here);
	if (r == KV_FAILED || r2 == KV_FAILED)
		return STORE_FAILED;
	if (r == KV_NOT_FOUND)
		return STORE_OK;
	for (size_t i = 0; i < in->count; i++)
		more[QUOTA_STORAGE] += in->messages[i].body.n;
	if (r2 == KV_OK && bytes_equal(there.root, here.root)) {
		more[QUOTA_MESSAGE]--;
		more[QUOTA_STORAGE] -= old->size < more[QUOTA_STORAGE] ? old->size : more[QUOTA_STORAGE];
	}
	return quota_is_exceeded_by(&there, more) ? STORE_OVER_QUOTA : STORE_OK;
}

/* Whether all can be done: nothing may fail once the first entry is made. */
static enum store_result check(struct store *s, const struct intent_place *in, struct arena *a, struct intent_answer *out,
                               struct mailbox *to, struct mailbox *from)
{
	struct message old;
	enum store_result result;
	uint64_t head;

	if (place_cost(in) > PLACE_MOST || in->count > PLACE_HEAD_MAX / PLACE_ROW)
		return STORE_LIMIT;
	head = in->count * PLACE_ROW;
	for (size_t i = 0; i < in->count; i++) {
		if (in->messages[i].body.n > ENTRY_BODY_MAX || in->messages[i].structure.n > STRUCTURE_MAX)
			return STORE_LIMIT;
		result = attributes_check_new(s, &in->messages[i].attributes, a);
		if (result != STORE_OK)
			return result;
		head += attributes_cost(&in->messages[i].attributes);
		if (head > PLACE_HEAD_MAX)
			return STORE_LIMIT;
	}
	result = find_mailbox(s, in->target, to);
	out->no_target = result == STORE_NO_MAILBOX;
	if (result == STORE_OK && to->uidnext > UINT32_MAX - 1 - in->count)
		result = STORE_LIMIT;
	if (result == STORE_OK)
		result = index_check_room(s, in->count);
	if (result == STORE_OK && in->source != 0)
		result = result_of_kv(index_mailbox(s->txn, in->source, from));
	if (result == STORE_OK && in->source != 0) {
		result = result_of_kv(index_message(s->txn, in->source, in->replaced, &old));
		if (result == STORE_NO_MAILBOX)
			result = STORE_CONFLICT;
	}
	return result == STORE_OK ? check_room(s, in, from, &old) : result;
}

/* All keywords become the mailbox's at once, before anything else is made. */
static enum store_result take_keywords(struct store *s, const struct intent_place *in, struct mailbox *to, struct arena *a)
{
	size_t count = 0;
	struct bytes *all;
	uint64_t mask;

	for (size_t i = 0; i < in->count; i++)
		count += in->messages[i].keyword_count;
	if (count == 0)
		return STORE_OK;
	all = arena_array(a, count, sizeof(*all));
	count = 0;
	for (size_t i = 0; i < in->count; i++) {
		for (size_t k = 0; k < in->messages[i].keyword_count; k++)
			all[count++] = in->messages[i].keywords[k];
	}
	keep_keywords(to, a);
	return keyword_mask(s, to, all, count, true, &mask);
}

static enum store_result add_octets(struct store *s, const struct place_message *m)
{
	struct entry e = { .type = ENTRY_APPEND, .body = m->body, .structure = m->structure, .body_hash = entry_hash(m->body) };
	struct buffer sums = { 0 };
	enum store_result result;

	entry_sums(m->body, &sums);
	e.sums = buffer_bytes(&sums);
	result = turn_entry(s, &e);
	buffer_fini(&sums);
	return result;
}

/* Half of an intent cannot be taken back: there was room for all of it. */
static enum store_result whole(enum store_result result)
{
	return result == STORE_OK ? STORE_OK : STORE_FAILED;
}

static void give_attributes(const struct intent_place *in, struct arena *a, struct entry *e)
{
	size_t count = 0;

	for (size_t i = 0; i < in->count; i++)
		count += in->messages[i].attributes.count;
	e->given = arena_array(a, count, sizeof(*e->given));
	for (size_t i = 0; i < in->count; i++)
		attributes_add_new(e, (uint32_t)i, &in->messages[i].attributes);
}

enum store_result op_place(struct store *s, const struct intent_place *in, struct arena *a, struct intent_answer *out)
{
	struct entry e = { .type = ENTRY_PLACE, .time = clock_wall_s(), .count = in->count };
	struct mailbox to, from;
	enum store_result result = check(s, in, a, out, &to, &from);

	if (result == STORE_OK)
		result = take_keywords(s, in, &to, a);
	if (result != STORE_OK)
		return result;
	e.mailbox = to.id;
	e.modseq = to.highestmodseq + 1;
	e.copies = arena_array(a, in->count, sizeof(*e.copies));
	give_attributes(in, a, &e);
	for (size_t i = 0; i < in->count; i++) {
		const struct place_message *m = &in->messages[i];
		uint64_t mask;

		result = keyword_mask(s, &to, m->keywords, m->keyword_count, false, &mask);
		if (result == STORE_OK)
			result = add_octets(s, m);
		if (result != STORE_OK)
			return whole(result);
		e.copies[i] = (struct entry_copy){ .uid = to.uidnext + (uint32_t)i, .body = s->journal.last, .size = (uint32_t)m->body.n,
			                           .internaldate = m->internaldate, .flags = (uint8_t)(m->flags & IMAP_FLAGS_ALL),
			                           .keywords = mask };
	}
	if (in->source != 0) {
		e.source = in->source;
		e.replaced = in->replaced;
		/* Within one mailbox the arrival comes first, then the departure, each with its modseq. */
		e.source_modseq = from.id == to.id ? e.modseq + 1 : from.highestmodseq + 1;
		e.value = s->expunge_delay > 0 ? (uint64_t)clock_wall_s() : 0;
		out->uids = arena_array(a, 1, sizeof(*out->uids));
		out->uids[0] = (struct uid_range){ in->replaced, in->replaced };
		out->uid_count = 1;
	}
	out->mailbox = to.id;
	out->uidvalidity = to.uidvalidity;
	out->modseq = e.modseq;
	out->new_uids = arena_array(a, 1, sizeof(*out->new_uids));
	out->new_uids[0] = (struct uid_range){ to.uidnext, to.uidnext + (uint32_t)in->count - 1 };
	out->new_uid_count = 1;
	out->message_count = in->count;
	return whole(turn_entry(s, &e));
}
