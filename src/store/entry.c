/* entry.c - a fixed header, then the fields of the type in a fixed order; one writer and one reader, side by side.
 * There is one form of each entry: what is read and written again is the same octets. */
#include "entry.h"

#include <xxhash.h>

#include "cursor.h"
#include "quota.h"

#define LIST_MAX (1u << 24)
/* Octet 13. */
#define FLAG_SUMS 1
#define FLAG_TIME 2
#define FLAG_GIVEN 4

uint64_t entry_hash(struct bytes b)
{
	return XXH3_64bits(b.p == NULL ? (const void *)"" : b.p, b.n);
}

void entry_sums(struct bytes body, struct buffer *to)
{
	if (body.n <= ENTRY_BLOCK)
		return;
	for (; body.n > 0; body = bytes_from(body, ENTRY_BLOCK))
		buffer_add_u64le(to, entry_hash(bytes_sub(body, 0, ENTRY_BLOCK)));
}

bool entry_blocks_are_whole(struct bytes sums, uint64_t first, struct bytes b)
{
	struct cursor c = cursor_of(bytes_from(sums, first > sums.n / 8 ? sums.n : (size_t)first * 8));
	uint64_t sum;

	for (; b.n > 0; b = bytes_from(b, ENTRY_BLOCK)) {
		if (!cursor_u64le(&c, &sum) || sum != entry_hash(bytes_sub(b, 0, ENTRY_BLOCK)))
			return false;
	}
	return true;
}

/* The checksum's own eight octets, at 40, do not count. */
static uint64_t checksum(struct bytes head)
{
	return entry_hash(bytes_sub(head, 0, 40)) ^ entry_hash(bytes_from(head, ENTRY_HEADER));
}

static void write_list(struct buffer *b, const struct entry *e)
{
	buffer_add_u32le(b, (uint32_t)e->count);
	for (size_t i = 0; i < e->count; i++) {
		switch (e->type) {
		case ENTRY_APPEND:
			buffer_add_u64le(b, e->deliveries[i].mailbox);
			buffer_add_u32le(b, e->deliveries[i].uid);
			buffer_add_u64le(b, e->deliveries[i].modseq);
			buffer_add_u64le(b, (uint64_t)e->deliveries[i].internaldate);
			buffer_add_u8(b, e->deliveries[i].flags);
			buffer_add_u64le(b, e->deliveries[i].keywords);
			break;
		case ENTRY_FLAGS:
			buffer_add_u32le(b, e->flags[i].uid);
			buffer_add_u8(b, e->flags[i].flags);
			buffer_add_u64le(b, e->flags[i].keywords);
			break;
		case ENTRY_EXPUNGE:
		case ENTRY_RETAIN:
			buffer_add_u32le(b, e->uids[i]);
			break;
		case ENTRY_RECLAIM:
			buffer_add_u64le(b, e->mailboxes[i]);
			buffer_add_u32le(b, e->uids[i]);
			break;
		case ENTRY_COPY:
		case ENTRY_PLACE:
			if (e->type == ENTRY_COPY)
				buffer_add_u32le(b, e->copies[i].source);
			buffer_add_u32le(b, e->copies[i].uid);
			buffer_add_u64le(b, e->copies[i].body);
			buffer_add_u32le(b, e->copies[i].size);
			buffer_add_u64le(b, (uint64_t)e->copies[i].internaldate);
			buffer_add_u8(b, e->copies[i].flags);
			buffer_add_u64le(b, e->copies[i].keywords);
			break;
		case ENTRY_RENAME:
			buffer_add_u64le(b, e->mailboxes[i]);
			buffer_add_bytes32(b, e->names[i]);
			break;
		case ENTRY_KEYWORDS:
			buffer_add_bytes32(b, e->names[i]);
			break;
		case ENTRY_DIGEST:
			buffer_add_u64le(b, e->digests[i].mailbox);
			buffer_add_u64le(b, e->digests[i].record);
			buffer_add_u32le(b, e->digests[i].first);
			buffer_add_u32le(b, e->digests[i].last);
			buffer_add_u64le(b, e->digests[i].rows);
			break;
		case ENTRY_ATTRIBUTE:
			buffer_add_u32le(b, e->attributes[i].of.uid);
			buffer_add_u8(b, e->attributes[i].is_set);
			buffer_add_bytes32(b, e->attributes[i].of.user);
			buffer_add_bytes32(b, e->attributes[i].of.name);
			buffer_add_bytes32(b, e->attributes[i].of.value);
			break;
		default:
			break;
		}
	}
}

static void write_data(struct buffer *b, const struct entry *e)
{
	switch (e->type) {
	case ENTRY_EPOCH:
		buffer_add_bytes32(b, e->master);
		buffer_add_bytes32(b, e->in_sync);
		if (e->uidvalidity != 0)
			buffer_add_u32le(b, e->uidvalidity);
		break;
	case ENTRY_CREATE:
		buffer_add_u64le(b, e->mailbox);
		buffer_add_u32le(b, e->uidvalidity);
		buffer_add_bytes32(b, e->name);
		buffer_add_bytes32(b, e->acl);
		buffer_add_bytes32(b, e->partition);
		break;
	case ENTRY_DELETE:
		buffer_add_u64le(b, e->mailbox);
		break;
	case ENTRY_ACL:
		buffer_add_u64le(b, e->mailbox);
		buffer_add_bytes32(b, e->acl);
		break;
	case ENTRY_RENAME:
		write_list(b, e);
		break;
	case ENTRY_KEYWORDS:
		buffer_add_u64le(b, e->mailbox);
		write_list(b, e);
		break;
	case ENTRY_APPEND:
		buffer_add_u64le(b, e->body_hash);
		buffer_add_bytes32(b, e->op_id);
		buffer_add_bytes32(b, e->structure);
		if (e->sums.n > 0)
			buffer_add(b, e->sums);
		write_list(b, e);
		break;
	case ENTRY_FLAGS:
	case ENTRY_EXPUNGE:
	case ENTRY_ATTRIBUTE:
		buffer_add_u64le(b, e->mailbox);
		buffer_add_u64le(b, e->modseq);
		write_list(b, e);
		break;
	case ENTRY_RETAIN:
		buffer_add_u64le(b, e->mailbox);
		buffer_add_u64le(b, e->modseq);
		buffer_add_u64le(b, e->value);
		write_list(b, e);
		break;
	case ENTRY_RECLAIM:
		write_list(b, e);
		break;
	case ENTRY_COPY:
		buffer_add_u64le(b, e->mailbox);
		buffer_add_u64le(b, e->modseq);
		buffer_add_u64le(b, e->source);
		buffer_add_u64le(b, e->source_modseq);
		write_list(b, e);
		break;
	case ENTRY_SUBSCRIBE:
		buffer_add_u8(b, e->is_on);
		buffer_add_bytes32(b, e->user);
		buffer_add_bytes32(b, e->name);
		break;
	case ENTRY_DIGEST:
		buffer_add_u64le(b, e->value);
		write_list(b, e);
		break;
	case ENTRY_SALVAGED:
		buffer_add_bytes32(b, e->key);
		buffer_add_u64le(b, e->value);
		break;
	case ENTRY_QUOTA:
		buffer_add_bytes32(b, e->name);
		quota_limits_write(b, &e->limits);
		break;
	case ENTRY_PLACE:
		buffer_add_u64le(b, e->mailbox);
		buffer_add_u64le(b, e->modseq);
		buffer_add_u64le(b, e->source);
		buffer_add_u32le(b, e->replaced);
		buffer_add_u64le(b, e->source_modseq);
		buffer_add_u64le(b, e->value);
		write_list(b, e);
		break;
	}
}

static void write_given(struct buffer *b, const struct entry *e)
{
	buffer_add_u32le(b, (uint32_t)e->given_count);
	for (size_t i = 0; i < e->given_count; i++) {
		buffer_add_u32le(b, e->given[i].at);
		buffer_add_bytes32(b, e->given[i].user);
		buffer_add_bytes32(b, e->given[i].name);
		buffer_add_bytes32(b, e->given[i].value);
	}
}

void entry_write(struct buffer *to, const struct entry *e)
{
	size_t start = to->n;
	struct bytes head;

	buffer_add_u32le(to, ENTRY_MAGIC);
	buffer_add_u32le(to, 0);
	buffer_add_u32le(to, (uint32_t)e->body.n);
	buffer_add_u8(to, (uint8_t)e->type);
	buffer_add_u8(to, (uint8_t)((e->sums.n > 0 ? FLAG_SUMS : 0) | (e->time != 0 ? FLAG_TIME : 0) |
	                           (e->given_count > 0 ? FLAG_GIVEN : 0)));
	buffer_add_u16le(to, 0);
	buffer_add_u64le(to, e->lsn);
	buffer_add_u64le(to, e->epoch);
	buffer_add_u64le(to, e->committed);
	buffer_add_u64le(to, 0);
	write_data(to, e);
	if (e->given_count > 0)
		write_given(to, e);
	if (e->time != 0)
		buffer_add_u64le(to, (uint64_t)e->time);
	buffer_set_u32le(to, start + 4, (uint32_t)(to->n - start));
	head = bytes_from(buffer_bytes(to), start);
	buffer_set_u64le(to, start + 40, checksum(head));
}

static bool makes_messages(enum entry_type type)
{
	return type == ENTRY_APPEND || type == ENTRY_COPY || type == ENTRY_PLACE;
}

bool entry_header_read(struct bytes raw, struct entry_header *h_r)
{
	struct cursor c = cursor_of(raw);
	uint32_t magic;
	uint16_t zero;
	uint8_t type, flags;

	if (!cursor_u32le(&c, &magic) || magic != ENTRY_MAGIC || !cursor_u32le(&c, &h_r->head_size) ||
	    !cursor_u32le(&c, &h_r->body_size) || !cursor_u8(&c, &type) || !cursor_u8(&c, &flags) || !cursor_u16le(&c, &zero) ||
	    !cursor_u64le(&c, &h_r->lsn) || !cursor_u64le(&c, &h_r->epoch) || !cursor_u64le(&c, &h_r->committed) ||
	    !cursor_u64le(&c, &h_r->checksum))
		return false;
	h_r->type = (enum entry_type)type;
	h_r->has_sums = (flags & FLAG_SUMS) != 0 && type == ENTRY_APPEND && h_r->body_size > ENTRY_BLOCK;
	h_r->has_time = (flags & FLAG_TIME) != 0 && makes_messages(h_r->type);
	h_r->has_given = (flags & FLAG_GIVEN) != 0 && (makes_messages(h_r->type) || type == ENTRY_CREATE);
	/* What a later version may mean by these is not known here. */
	if (flags != ((h_r->has_sums ? FLAG_SUMS : 0) | (h_r->has_time ? FLAG_TIME : 0) | (h_r->has_given ? FLAG_GIVEN : 0)) || zero != 0)
		return false;
	return h_r->head_size >= ENTRY_HEADER && h_r->head_size <= ENTRY_HEAD_MAX && h_r->body_size <= ENTRY_BODY_MAX &&
	       type >= ENTRY_EPOCH && type <= ENTRY_TYPE_LAST && h_r->lsn > 0;
}

bool entry_head_is_whole(struct bytes head)
{
	struct entry_header h;

	return entry_header_read(head, &h) && h.head_size == head.n && checksum(head) == h.checksum;
}

static bool read_i64(struct cursor *c, int64_t *v_r)
{
	uint64_t v;

	if (!cursor_u64le(c, &v))
		return false;
	*v_r = (int64_t)v;
	return true;
}

static bool read_attribute(struct cursor *c, struct entry_attribute *t)
{
	uint8_t is_set;

	if (!cursor_u32le(c, &t->of.uid) || !cursor_u8(c, &is_set) || is_set > 1)
		return false;
	t->is_set = is_set != 0;
	return cursor_bytes32(c, MAILBOX_NAME_MAX, &t->of.user) && cursor_bytes32(c, ATTRIBUTE_NAME_MAX, &t->of.name) &&
	       cursor_bytes32(c, t->is_set ? ATTRIBUTE_VALUE_MAX : 0, &t->of.value);
}

static bool read_one(struct cursor *c, struct entry *e, size_t i)
{
	switch (e->type) {
	case ENTRY_APPEND: {
		struct entry_delivery *d = &e->deliveries[i];

		return cursor_u64le(c, &d->mailbox) && cursor_u32le(c, &d->uid) && cursor_u64le(c, &d->modseq) &&
		       read_i64(c, &d->internaldate) && cursor_u8(c, &d->flags) && cursor_u64le(c, &d->keywords);
	}
	case ENTRY_FLAGS:
		return cursor_u32le(c, &e->flags[i].uid) && cursor_u8(c, &e->flags[i].flags) &&
		       cursor_u64le(c, &e->flags[i].keywords);
	case ENTRY_EXPUNGE:
	case ENTRY_RETAIN:
		return cursor_u32le(c, &e->uids[i]);
	case ENTRY_RECLAIM:
		return cursor_u64le(c, &e->mailboxes[i]) && cursor_u32le(c, &e->uids[i]);
	case ENTRY_COPY:
	case ENTRY_PLACE: {
		struct entry_copy *k = &e->copies[i];

		return (e->type == ENTRY_PLACE || cursor_u32le(c, &k->source)) && cursor_u32le(c, &k->uid) && cursor_u64le(c, &k->body) &&
		       cursor_u32le(c, &k->size) && read_i64(c, &k->internaldate) && cursor_u8(c, &k->flags) &&
		       cursor_u64le(c, &k->keywords);
	}
	case ENTRY_RENAME:
		return cursor_u64le(c, &e->mailboxes[i]) && cursor_bytes32(c, MAILBOX_NAME_MAX, &e->names[i]);
	case ENTRY_KEYWORDS:
		return cursor_bytes32(c, KEYWORD_NAME_MAX, &e->names[i]);
	case ENTRY_DIGEST: {
		struct entry_digest *g = &e->digests[i];

		return cursor_u64le(c, &g->mailbox) && cursor_u64le(c, &g->record) && cursor_u32le(c, &g->first) &&
		       cursor_u32le(c, &g->last) && cursor_u64le(c, &g->rows);
	}
	case ENTRY_ATTRIBUTE:
		return read_attribute(c, &e->attributes[i]);
	default:
		return false;
	}
}

/* The least octets that one member of a list takes. */
static size_t least_size(enum entry_type type)
{
	switch (type) {
	case ENTRY_APPEND:
		return 8 + 4 + 8 + 8 + 1 + 8;
	case ENTRY_FLAGS:
		return 4 + 1 + 8;
	case ENTRY_COPY:
		return 4 + 4 + 8 + 4 + 8 + 1 + 8;
	case ENTRY_PLACE:
		return 4 + 8 + 4 + 8 + 1 + 8;
	case ENTRY_RENAME:
	case ENTRY_RECLAIM:
		return 8 + 4;
	case ENTRY_DIGEST:
		return 8 + 8 + 4 + 4 + 8;
	case ENTRY_ATTRIBUTE:
		return 4 + 1 + 4 + 4 + 4;
	default:
		return 4;
	}
}

static bool read_list(struct cursor *c, struct arena *a, struct entry *e)
{
	uint32_t count;

	/* A count of more members than there is room for is a lie, and must not become memory. */
	if (!cursor_u32le(c, &count) || count > LIST_MAX || count > cursor_left(c) / least_size(e->type))
		return false;
	e->count = count;
	e->deliveries = e->type == ENTRY_APPEND ? arena_array(a, count, sizeof(*e->deliveries)) : NULL;
	e->flags = e->type == ENTRY_FLAGS ? arena_array(a, count, sizeof(*e->flags)) : NULL;
	e->uids = e->type == ENTRY_EXPUNGE || e->type == ENTRY_RETAIN || e->type == ENTRY_RECLAIM ? arena_array(a, count, sizeof(*e->uids)) : NULL;
	e->copies = e->type == ENTRY_COPY || e->type == ENTRY_PLACE ? arena_array(a, count, sizeof(*e->copies)) : NULL;
	e->digests = e->type == ENTRY_DIGEST ? arena_array(a, count, sizeof(*e->digests)) : NULL;
	e->attributes = e->type == ENTRY_ATTRIBUTE ? arena_array(a, count, sizeof(*e->attributes)) : NULL;
	e->mailboxes = e->type == ENTRY_RENAME || e->type == ENTRY_RECLAIM ? arena_array(a, count, sizeof(*e->mailboxes)) : NULL;
	e->names = e->type == ENTRY_RENAME || e->type == ENTRY_KEYWORDS ? arena_array(a, count, sizeof(*e->names)) : NULL;
	for (size_t i = 0; i < count; i++) {
		if (!read_one(c, e, i))
			return false;
	}
	return true;
}

/* The least octets of one: a name is not empty. */
#define GIVEN_LEAST (4 + 4 + 4 + 1 + 4)

/* There is one form of each entry: none at all are not written. */
static bool read_given(struct cursor *c, struct arena *a, struct entry *e)
{
	size_t made = e->type == ENTRY_CREATE ? 1 : e->count;
	uint32_t count;

	if (!cursor_u32le(c, &count) || count == 0 || count > cursor_left(c) / GIVEN_LEAST)
		return false;
	e->given_count = count;
	e->given = arena_array(a, count, sizeof(*e->given));
	for (size_t i = 0; i < count; i++) {
		struct entry_given *g = &e->given[i];

		if (!cursor_u32le(c, &g->at) || g->at >= made || !cursor_bytes32(c, MAILBOX_NAME_MAX, &g->user) ||
		    !cursor_bytes32(c, ATTRIBUTE_NAME_MAX, &g->name) || !cursor_bytes32(c, ATTRIBUTE_VALUE_MAX, &g->value))
			return false;
	}
	return true;
}

static bool read_append(struct cursor *c, struct arena *a, struct entry *e, const struct entry_header *h)
{
	size_t sums = h->has_sums ? ((size_t)(h->body_size - 1) / ENTRY_BLOCK + 1) * 8 : 0;

	return cursor_u64le(c, &e->body_hash) && cursor_bytes32(c, OP_ID_MAX, &e->op_id) &&
	       cursor_bytes32(c, STRUCTURE_MAX, &e->structure) && cursor_bytes(c, sums, &e->sums) && read_list(c, a, e);
}

static bool read_data(struct cursor *c, struct arena *a, struct entry *e, const struct entry_header *h)
{
	uint8_t on;

	switch (e->type) {
	case ENTRY_EPOCH:
		return cursor_bytes32(c, 4096, &e->master) && cursor_bytes32(c, 65536, &e->in_sync) &&
		       (cursor_at_end(c) || (cursor_u32le(c, &e->uidvalidity) && e->uidvalidity != 0));
	case ENTRY_CREATE:
		return cursor_u64le(c, &e->mailbox) && cursor_u32le(c, &e->uidvalidity) &&
		       cursor_bytes32(c, MAILBOX_NAME_MAX, &e->name) && cursor_bytes32(c, MAILBOX_ACL_MAX, &e->acl) &&
		       cursor_bytes32(c, 255, &e->partition);
	case ENTRY_DELETE:
		return cursor_u64le(c, &e->mailbox);
	case ENTRY_ACL:
		return cursor_u64le(c, &e->mailbox) && cursor_bytes32(c, MAILBOX_ACL_MAX, &e->acl);
	case ENTRY_RENAME:
		return read_list(c, a, e);
	case ENTRY_KEYWORDS:
		return cursor_u64le(c, &e->mailbox) && read_list(c, a, e) && e->count <= KEYWORDS_MAX;
	case ENTRY_APPEND:
		return read_append(c, a, e, h);
	case ENTRY_FLAGS:
	case ENTRY_EXPUNGE:
	case ENTRY_ATTRIBUTE:
		return cursor_u64le(c, &e->mailbox) && cursor_u64le(c, &e->modseq) && read_list(c, a, e);
	case ENTRY_RETAIN:
		return cursor_u64le(c, &e->mailbox) && cursor_u64le(c, &e->modseq) && cursor_u64le(c, &e->value) && read_list(c, a, e);
	case ENTRY_RECLAIM:
		return read_list(c, a, e);
	case ENTRY_COPY:
		return cursor_u64le(c, &e->mailbox) && cursor_u64le(c, &e->modseq) && cursor_u64le(c, &e->source) &&
		       cursor_u64le(c, &e->source_modseq) && read_list(c, a, e);
	case ENTRY_SUBSCRIBE:
		if (!cursor_u8(c, &on) || on > 1)
			return false;
		e->is_on = on != 0;
		return cursor_bytes32(c, MAILBOX_NAME_MAX, &e->user) && cursor_bytes32(c, MAILBOX_NAME_MAX, &e->name);
	case ENTRY_DIGEST:
		return cursor_u64le(c, &e->value) && read_list(c, a, e);
	case ENTRY_SALVAGED:
		return cursor_bytes32(c, SALVAGED_KEY_MAX, &e->key) && e->key.n > 0 && cursor_u64le(c, &e->value);
	case ENTRY_QUOTA:
		return cursor_bytes32(c, MAILBOX_NAME_MAX, &e->name) && quota_limits_read(c, &e->limits);
	case ENTRY_PLACE:
		return cursor_u64le(c, &e->mailbox) && cursor_u64le(c, &e->modseq) && cursor_u64le(c, &e->source) &&
		       cursor_u32le(c, &e->replaced) && cursor_u64le(c, &e->source_modseq) && cursor_u64le(c, &e->value) &&
		       read_list(c, a, e);
	}
	return false;
}

static bool is_name(struct bytes name)
{
	return name.n > 0 && bytes_find(name, '\0') == name.n;
}

/* Its key in the index must fit. */
static bool is_attribute(struct bytes user, struct bytes name)
{
	return is_name(name) && bytes_find(user, '\0') == user.n && user.n + name.n <= ATTRIBUTE_USER_AND_NAME_MAX;
}

/* What no master writes, whatever the index holds. */
static bool makes_sense(const struct entry *e, uint32_t body_size)
{
	bool ok = body_size == 0 || e->type == ENTRY_APPEND;

	for (size_t i = 0; i < e->given_count; i++)
		ok = ok && is_attribute(e->given[i].user, e->given[i].name);
	switch (e->type) {
	case ENTRY_CREATE:
		return ok && e->mailbox > 0 && is_name(e->name);
	case ENTRY_QUOTA:
		return ok && is_name(e->name);
	case ENTRY_DELETE:
	case ENTRY_ACL:
	case ENTRY_KEYWORDS:
	case ENTRY_FLAGS:
	case ENTRY_EXPUNGE:
		return ok && e->mailbox > 0;
	case ENTRY_RENAME:
		for (size_t i = 0; i < e->count; i++)
			ok = ok && e->mailboxes[i] > 0 && is_name(e->names[i]);
		return ok;
	case ENTRY_APPEND:
		for (size_t i = 0; i < e->count; i++)
			ok = ok && e->deliveries[i].mailbox > 0 && e->deliveries[i].uid > 0;
		return ok;
	case ENTRY_COPY:
		for (size_t i = 0; i < e->count; i++)
			ok = ok && e->copies[i].uid > 0 && e->copies[i].body > 0;
		return ok && e->mailbox > 0;
	case ENTRY_ATTRIBUTE:
		/* Only a message's has a modseq. */
		for (size_t i = 0; i < e->count; i++) {
			const struct attribute *of = &e->attributes[i].of;

			ok = ok && is_attribute(of->user, of->name) && (of->uid == 0 || (e->mailbox > 0 && e->modseq > 0));
		}
		return ok;
	case ENTRY_PLACE:
		for (size_t i = 0; i < e->count; i++)
			ok = ok && e->copies[i].uid > 0 && e->copies[i].body > 0 && e->copies[i].body < e->lsn;
		return ok && e->mailbox > 0 && (e->source > 0) == (e->replaced > 0);
	default:
		return ok;
	}
}

/* There is one form of each entry: no time is not written. */
static bool read_time(struct cursor *c, struct entry *e)
{
	return read_i64(c, &e->time) && e->time != 0;
}

bool entry_read(struct bytes head, struct bytes body, bool check_body, struct arena *a, struct entry *e_r, struct fault *why)
{
	struct entry_header h;
	struct cursor c;

	*e_r = (struct entry){ 0 };
	if (!entry_head_is_whole(head) || !entry_header_read(head, &h))
		return fault_set(why, FAULT_OPERATOR, "an entry's checksum is wrong");
	e_r->type = h.type;
	e_r->lsn = h.lsn;
	e_r->epoch = h.epoch;
	e_r->committed = h.committed;
	e_r->body = body;
	c = cursor_of(bytes_from(head, ENTRY_HEADER));
	if (!read_data(&c, a, e_r, &h) || (h.has_given && !read_given(&c, a, e_r)) || (h.has_time && !read_time(&c, e_r)) ||
	    !cursor_at_end(&c) || !makes_sense(e_r, h.body_size))
		return fault_set(why, FAULT_OPERATOR, "entry %llu is malformed", (unsigned long long)h.lsn);
	if (check_body && (body.n != h.body_size || (h.type == ENTRY_APPEND && entry_hash(body) != e_r->body_hash) ||
	                   (h.has_sums && !entry_blocks_are_whole(e_r->sums, 0, body))))
		return fault_set(why, FAULT_OPERATOR, "the body of entry %llu has a wrong checksum", (unsigned long long)h.lsn);
	return true;
}
