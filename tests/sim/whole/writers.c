/* writers.c - those who write: deliveries that are sent again under their operation ids to whoever is master, as the LMTP
 * frontend does, until they are answered OK; and other changes by the way, which nobody waits for. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "whole.h"

#define MAILBOX "user.fred"
#define OTHER "user.fred.other"
#define PATIENCE SECOND

struct delivery {
	struct driver_request request;
	struct whole_member *m;
	uint64_t conn, op;
	enum write_kind kind;
	struct arena arena;
	struct intent intent;
	struct append_target target;
	struct place_message messages[3];
	struct uid_range uids;
	struct rename_pair pair;
	struct attribute_change change;
};

static void delivered(void *arg)
{
	struct delivery *d = arg;
	enum store_result result = d->request.answer.result;
	struct packet p = { .kind = PACKET_RESULT, .conn = d->conn, .id = d->op, .outcome = (int)result };

	if (!member_is_unseen(d->m)) {
		if (result == STORE_OK && d->kind == WRITE_APPEND) {
			w.mailbox = d->target.mailbox_id;
			w.uid = d->target.uid > w.uid ? d->target.uid : w.uid;
			check_ack(d->m, d->op, d->op < w.op_cap ? w.lsn_of_op[d->op] : 0);
		} else if (result == STORE_OK) {
			check_answer(d->m, d->op);
		}
		packet_send(d->m->self, CLIENTS, &p);
	}
	arena_fini(&d->arena);
	free(d);
}

/* What messages, or a mailbox, that D makes have from the beginning. */
static struct attribute_changes given(struct delivery *d)
{
	d->change = (struct attribute_change){ chance(2) == 0 ? BYTES_NONE : BYTES_LIT("fred"), BYTES_LIT("a"),
		                               chance(2) == 0 ? BYTES_LIT("3") : BYTES_LIT("4"), true, BYTES_NONE };
	return (struct attribute_changes){ .at = &d->change, .count = (size_t)chance(2) };
}

static struct intent append_intent(struct delivery *d)
{
	size_t n = 16 + (size_t)chance(chance(8) == 0 ? 6000 : 300);
	char *body = arena_alloc(&d->arena, n + 64);
	int head = snprintf(body, 64, "operation-%llu;", (unsigned long long)d->op);

	for (size_t i = 0; i < n; i++)
		body[head + (int)i] = (char)('a' + (d->op * 31 + i) % 26);
	d->target = (struct append_target){ .mailbox = BYTES_LIT(MAILBOX), .internaldate = 1000, .attributes = given(d) };
	return (struct intent){ .op = INTENT_APPEND,
		                .append = { .targets = &d->target,
		                            .target_count = 1,
		                            .op_id = bytes_make(body, (size_t)head),
		                            .body = bytes_make(body, (size_t)head + n) } };
}

/* Of the server, of a mailbox, or of messages. */
static struct intent_attribute attribute_intent(struct delivery *d)
{
	struct intent_attribute in = { .changes = { .at = &d->change, .count = 1 } };

	switch (chance(3)) {
	case 0:
		in.name = chance(2) == 0 ? BYTES_LIT(MAILBOX) : BYTES_LIT(OTHER);
		break;
	case 1:
		in.mailbox = w.mailbox;
		in.uids = &d->uids;
		in.uid_count = 1;
		break;
	default:
		break;
	}
	return in;
}

/* Several messages together, and perhaps one that goes for them. */
static struct intent place_intent(struct delivery *d, uint32_t replaced)
{
	size_t count = 1 + (size_t)chance(3);

	for (size_t i = 0; i < count; i++) {
		size_t n = 16 + (size_t)chance(chance(8) == 0 ? 6000 : 300);
		uint8_t *body = arena_alloc(&d->arena, n);
		struct attribute_changes attributes = given(d);

		memset(body, (int)('a' + chance(26)), n);
		d->messages[i] = (struct place_message){ .body = bytes_make(body, n), .internaldate = 2000, .flags = (uint32_t)chance(16), .attributes = attributes };
	}
	return (struct intent){ .op = INTENT_PLACE,
		                .place = { .target = chance(4) == 0 ? BYTES_LIT(OTHER) : BYTES_LIT(MAILBOX),
		                           .messages = d->messages,
		                           .count = count,
		                           .source = replaced != 0 ? w.mailbox : 0,
		                           .replaced = replaced } };
}

static struct intent intent_of(struct delivery *d)
{
	const struct bytes acl = BYTES_LIT("fred\tlrs\t"), other = BYTES_LIT(OTHER), third = BYTES_LIT(OTHER "2");
	uint32_t uid = 1 + (uint32_t)chance(w.uid + 1);

	d->uids = (struct uid_range){ uid, uid + (uint32_t)chance(3) };
	switch (d->kind) {
	case WRITE_CREATE:
		return (struct intent){ .op = INTENT_CREATE, .create = { .name = BYTES_LIT(MAILBOX), .acl = acl, .partition = BYTES_LIT("default") } };
	case WRITE_FLAGS:
		return (struct intent){ .op = INTENT_STORE,
			                .store = { .mailbox = w.mailbox, .uids = &d->uids, .uid_count = 1, .how = INTENT_FLAGS_REPLACE,
			                           .flags = (uint32_t)chance(16) } };
	case WRITE_EXPUNGE:
		return (struct intent){ .op = INTENT_EXPUNGE, .expunge = { w.mailbox, &d->uids, 1, false, false } };
	case WRITE_COPY:
		return (struct intent){ .op = chance(2) == 0 ? INTENT_COPY : INTENT_MOVE, .copy = { .mailbox = w.mailbox, .uids = &d->uids, .uid_count = 1, .target = other, .user = BYTES_LIT("fred") } };
	case WRITE_PLACE:
		return place_intent(d, chance(2) == 0 ? uid : 0);
	case WRITE_OTHER_CREATE:
		return (struct intent){ .op = INTENT_CREATE, .create = { .name = other, .acl = acl, .partition = BYTES_LIT("default"), .attributes = given(d) } };
	case WRITE_OTHER_DELETE:
		return (struct intent){ .op = INTENT_DELETE, .delete = { chance(2) == 0 ? other : third } };
	case WRITE_OTHER_RENAME:
		d->pair = (struct rename_pair){ other, third };
		return (struct intent){ .op = INTENT_RENAME, .rename = { &d->pair, 1 } };
	case WRITE_ATTRIBUTE:
		d->change = (struct attribute_change){ chance(2) == 0 ? BYTES_NONE : BYTES_LIT("fred"), BYTES_LIT("a"),
			                               chance(2) == 0 ? BYTES_LIT("1") : BYTES_LIT("2"), chance(4) != 0, BYTES_NONE };
		if (!d->change.is_set)
			d->change.value = BYTES_NONE;
		return (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = attribute_intent(d) };
	case WRITE_QUOTA:
		return (struct intent){ .op = INTENT_SET_QUOTA,
			                .set_quota = { chance(2) == 0 ? BYTES_LIT(MAILBOX) : other,
			                               { .is_limited = { false, true, true }, .limit = { 0, 1000000 + chance(3), 1000 } } } };
	default:
		return append_intent(d);
	}
}

void writer_take_write(struct whole_member *m, const struct packet *p)
{
	struct delivery *d = must_calloc(1, sizeof(*d));

	d->m = m;
	d->conn = p->conn;
	d->op = p->id;
	d->kind = (enum write_kind)p->outcome;
	d->intent = intent_of(d);
	d->request = (struct driver_request){ .intent = &d->intent, .arena = &d->arena, .done = delivered, .arg = d };
	driver_submit(m->driver, &d->request);
}

/* Something that nobody waits for, so that the index sees more than messages that come. */
static void write_by_the_way(int to)
{
	struct packet p = { .kind = PACKET_WRITE, .conn = ++w.conns,
		            .outcome = WRITE_FLAGS + (int)chance(WRITE_KINDS - WRITE_FLAGS) };

	/* What was removed again is not salvaged: in asynchronous mode nothing is removed, so that all has to be found. */
	if (w.mailbox != 0 && !w.is_async)
		packet_send(CLIENTS, to, &p);
}

static void writer_submit(struct writer *r, bool creates)
{
	struct packet p = { .kind = PACKET_WRITE, .conn = ++w.conns, .id = r->op,
		            .outcome = creates ? WRITE_CREATE : WRITE_APPEND };

	r->to = chance(8) != 0 ? directory_master() : (int)chance(w.count);
	r->conn = p.conn;
	r->give_up_at = w.now + PATIENCE;
	packet_send(CLIENTS, r->to, &p);
}

uint64_t writer_due(const struct writer *r)
{
	if (r->conn != 0)
		return r->give_up_at;
	return r->op == 0 && w.writers_rest ? NEVER : r->next_at;
}

void writers_run(void)
{
	for (size_t i = 0; i < WRITERS; i++) {
		struct writer *r = &w.writers[i];

		if (writer_due(r) > w.now)
			continue;
		if (r->conn != 0) {
			r->conn = 0;
			r->next_at = w.now + 5 * MS + chance(50 * MS);
			continue;
		}
		if (r->op == 0) {
			r->op = ++w.ops;
			r->floor = w.acked_last;
		}
		writer_submit(r, false);
	}
}

void writer_take_result(const struct packet *p)
{
	struct writer *r = NULL;

	for (size_t i = 0; i < WRITERS; i++) {
		if (w.writers[i].conn == p->conn && p->conn != 0)
			r = &w.writers[i];
	}
	if (r == NULL)
		return;
	r->conn = 0;
	r->next_at = w.now + 5 * MS + chance(50 * MS);
	if (p->kind != PACKET_RESULT)
		return;
	if (p->outcome == STORE_NO_MAILBOX) {
		writer_submit(r, true);
	} else if (p->outcome == STORE_OK && r->op < w.op_cap && w.lsn_of_op[r->op] != 0) {
		if (w.lsn_of_op[r->op] <= r->floor && !w.is_async)
			problem("operation %llu stands at %llu, though %llu was acknowledged before it began",
			        (unsigned long long)r->op, (unsigned long long)w.lsn_of_op[r->op], (unsigned long long)r->floor);
		r->op = 0;
		r->next_at = w.now + chance(40 * MS);
		if (chance(2) == 0)
			write_by_the_way(r->to);
	}
}
