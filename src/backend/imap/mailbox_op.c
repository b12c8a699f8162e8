/* mailbox_op.c - the steps of a change, each started by the answer to the one before: names are reserved at the
 * directory, the intents are committed, the directory is told the outcome. What fails before the commit is undone at
 * the directory; what fails after it is logged and left to the comparison of both lists. */
#include "mailbox_op.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "answer.h"
#include "log.h"

static void step(struct mailbox_op *op);

struct mailbox_op *mailbox_op_new(struct client *c, mailbox_op_fn *ended)
{
	struct mailbox_op *op = must_calloc(1, sizeof(*op));

	op->backend = c->backend;
	op->shard = c->shard;
	op->client = c->id;
	op->ended = ended;
	c->waiting++;
	return op;
}

static void set_names(struct mailbox_op *op, struct op_name **at, size_t *count, size_t n)
{
	*at = arena_array(&op->arena, n, sizeof(**at));
	*count = n;
}

static struct bytes copy(struct mailbox_op *op, struct bytes b)
{
	return arena_copy(&op->arena, b);
}

static struct intent *set_intents(struct mailbox_op *op, size_t n, enum intent_op kind)
{
	op->intents = arena_array(&op->arena, n, sizeof(*op->intents));
	op->intent_count = n;
	for (size_t i = 0; i < n; i++)
		op->intents[i].op = kind;
	return op->intents;
}

/* What a user's INBOX may hold from its beginning. NULL: it is none, or nothing is said of it. */
static const struct quota_limits *first_limits(struct mailbox_op *op, struct bytes name)
{
	const struct config *cfg = op->backend->cfg;
	const struct names n = names_of(cfg, BYTES_NONE, true);
	uint64_t storage = config_number(cfg, "autocreate_quota"), messages = config_number(cfg, "autocreate_quota_messages");
	struct quota_limits *l = NULL;
	struct buffer owner = { 0 };

	if ((storage > 0 || messages > 0) && names_owner(&n, name, &owner) && names_is_inbox(&n, name, buffer_bytes(&owner))) {
		l = arena_zalloc(&op->arena, sizeof(*l));
		l->is_limited[QUOTA_STORAGE] = storage > 0;
		l->limit[QUOTA_STORAGE] = storage;
		l->is_limited[QUOTA_MESSAGE] = messages > 0;
		l->limit[QUOTA_MESSAGE] = messages;
	}
	buffer_fini(&owner);
	return l;
}

static struct attribute_changes copy_changes(struct mailbox_op *op, const struct attribute_changes *from)
{
	struct attribute_change *at = arena_array(&op->arena, from->count, sizeof(*at));

	for (size_t i = 0; i < from->count; i++)
		at[i] = (struct attribute_change){ copy(op, from->at[i].user), copy(op, from->at[i].name), copy(op, from->at[i].value),
			                           from->at[i].is_set, copy(op, from->at[i].words_unique_below) };
	return (struct attribute_changes){ at, from->count, from->most };
}

void mailbox_op_create(struct mailbox_op *op, struct bytes name, struct bytes acl, const struct attribute_changes *attributes)
{
	name = copy(op, name);
	acl = copy(op, acl);
	set_names(op, &op->reserve, &op->reserve_count, 1);
	set_names(op, &op->activate, &op->activate_count, 1);
	op->reserve[0] = op->activate[0] = (struct op_name){ name, acl };
	set_intents(op, 1, INTENT_CREATE)->create =
		(struct intent_create){ .name = name, .acl = acl, .partition = bytes_of(op->backend->partition),
		                        .limits = first_limits(op, name) };
	if (attributes != NULL)
		op->intents[0].create.attributes = copy_changes(op, attributes);
	op->must_activate = true;
}

static void add_name(struct mailbox_op *op, struct op_name **at, size_t *count, struct op_name name)
{
	struct op_name *more = arena_array(&op->arena, *count + 1, sizeof(*more));

	if (*count > 0)
		memcpy(more, *at, *count * sizeof(*more));
	more[(*count)++] = name;
	*at = more;
}

void mailbox_op_also_create(struct mailbox_op *op, struct bytes name, struct bytes acl, const struct attribute_changes *attributes,
                            bool is_subscribed, struct bytes user)
{
	struct intent *more = arena_array(&op->arena, op->intent_count + 2, sizeof(*more));
	const struct op_name one = { copy(op, name), copy(op, acl) };

	add_name(op, &op->reserve, &op->reserve_count, one);
	add_name(op, &op->activate, &op->activate_count, one);
	more[0].op = INTENT_CREATE;
	more[0].create = (struct intent_create){ .name = one.name, .acl = one.acl, .partition = bytes_of(op->backend->partition),
		                                 .limits = first_limits(op, one.name) };
	if (attributes != NULL)
		more[0].create.attributes = copy_changes(op, attributes);
	if (op->intent_count > 0)
		memcpy(more + 1, op->intents, op->intent_count * sizeof(*more));
	op->intents = more;
	op->intent_count++;
	if (is_subscribed) {
		more[op->intent_count].op = INTENT_SUBSCRIBE;
		more[op->intent_count++].subscribe = (struct intent_subscribe){ copy(op, user), one.name };
	}
	op->takes_existing = true;
}

void mailbox_op_delete(struct mailbox_op *op, const struct bytes *names, size_t count)
{
	struct intent *intents = set_intents(op, count, INTENT_DELETE);

	set_names(op, &op->remove, &op->remove_count, count);
	for (size_t i = 0; i < count; i++) {
		op->remove[i].name = copy(op, names[i]);
		intents[i].delete.name = op->remove[i].name;
	}
}

void mailbox_op_rename(struct mailbox_op *op, const struct rename_pair *pairs, const struct bytes *acls, size_t count)
{
	struct rename_pair *mine = arena_array(&op->arena, count, sizeof(*mine));

	set_names(op, &op->reserve, &op->reserve_count, count);
	set_names(op, &op->activate, &op->activate_count, count);
	set_names(op, &op->remove, &op->remove_count, count);
	for (size_t i = 0; i < count; i++) {
		mine[i] = (struct rename_pair){ copy(op, pairs[i].from), copy(op, pairs[i].to) };
		op->reserve[i] = op->activate[i] = (struct op_name){ mine[i].to, copy(op, acls[i]) };
		op->remove[i].name = mine[i].from;
	}
	set_intents(op, 1, INTENT_RENAME)->rename = (struct intent_rename){ mine, count };
}

void mailbox_op_rename_inbox(struct mailbox_op *op, struct bytes from, struct bytes to, struct bytes acl, uint64_t messages)
{
	to = copy(op, to);
	acl = copy(op, acl);
	set_names(op, &op->reserve, &op->reserve_count, 1);
	set_names(op, &op->activate, &op->activate_count, 1);
	op->reserve[0] = op->activate[0] = (struct op_name){ to, acl };
	set_intents(op, 1, INTENT_RENAME_INBOX)->rename_inbox =
		(struct intent_rename_inbox){ copy(op, from), to, acl, bytes_of(op->backend->partition), messages };
}

void mailbox_op_set_acl(struct mailbox_op *op, struct bytes name, struct bytes old_acl, struct bytes new_acl)
{
	name = copy(op, name);
	new_acl = copy(op, new_acl);
	set_names(op, &op->activate, &op->activate_count, 1);
	op->activate[0] = (struct op_name){ name, new_acl };
	set_intents(op, 1, INTENT_SET_ACL)->set_acl = (struct intent_set_acl){ name, copy(op, old_acl), new_acl };
}

/* Somebody else has made it meanwhile: what the directory says of it is his. */
static bool is_made(struct mailbox_op *op, struct bytes name)
{
	struct fault why;
	struct store_view *v = store_view_open(op->backend->store, &why);
	struct mailbox m;
	bool is = v != NULL && store_view_mailbox(v, name, &m, &why) == STORE_OK;

	store_view_close(&v);
	return is;
}

/* The driver's comparison with the directory leaves the names alone that are being changed. */
static void mark_names(struct mailbox_op *op, void (*mark)(struct backend *b, struct bytes name))
{
	for (size_t i = 0; i < op->activate_count; i++)
		mark(op->backend, op->activate[i].name);
	for (size_t i = 0; i < op->remove_count; i++)
		mark(op->backend, op->remove[i].name);
}

static void finish(struct mailbox_op *op)
{
	struct client *c = map_get_u64(&op->shard->clients, op->client);

	mark_names(op, backend_name_end);
	if (c != NULL) {
		c->waiting--;
		op->ended(c, op);
	}
	arena_fini(&op->arena);
	free(op);
}

static void directory_answered(void *arg)
{
	struct mailbox_op *op = arg;
	enum mupdate_outcome outcome = op->directory.outcome;
	const struct op_name *name;

	switch (op->phase) {
	case OP_RESERVE:
		if (outcome != MUPDATE_OUTCOME_OK) {
			op->result = STORE_CONFLICT;
			op->is_refused = outcome != MUPDATE_OUTCOME_LOST;
			op->is_unreachable = !op->is_refused;
			op->reserved = op->at + (size_t)op->is_unreachable;
			op->phase = OP_UNDO;
			op->at = 0;
			break;
		}
		op->reserved = ++op->at;
		break;
	case OP_ACTIVATE:
		name = &op->activate[op->at++];
		if (outcome == MUPDATE_OUTCOME_OK)
			break;
		log_event(LOG_WARNING, "imap.directory.untold", LOG_BYTES("mbox", name->name), LOG_STR("text", op->directory.text));
		if (op->must_activate) {
			op->result = STORE_CONFLICT;
			op->is_refused = outcome != MUPDATE_OUTCOME_LOST;
			op->is_unreachable = !op->is_refused;
			op->phase = OP_UNDO_COMMIT;
			op->at = 0;
		}
		break;
	case OP_REMOVE:
		if (outcome != MUPDATE_OUTCOME_OK)
			log_event(LOG_WARNING, "imap.directory.untold", LOG_BYTES("mbox", op->remove[op->at].name),
			          LOG_STR("text", op->directory.text));
		op->at++;
		break;
	case OP_UNDO:
		op->at++;
		break;
	default:
		abort(); /* a directory's answer out of place */
	}
	step(op);
}

static void committed(void *arg)
{
	struct mailbox_op *op = arg;
	enum store_result result = op->request.answer.result;

	if (op->phase == OP_UNDO_COMMIT) {
		op->phase = OP_UNDO;
		op->at = 0;
	} else if (result == STORE_OK || (result == STORE_NO_MAILBOX && op->at > 0) || (result == STORE_EXISTS && op->takes_existing)) {
		op->at++; /* a child that somebody else has deleted meanwhile is as gone as it should be */
	} else {
		op->result = result;
		op->had_no_effect = op->request.had_no_effect;
		/* Where the outcome is not known the directory is left to the next master's comparison. */
		op->phase = answer_is_unknown(result, op->had_no_effect) ? OP_END : OP_UNDO;
		op->at = 0;
	}
	step(op);
}

static void call(struct mailbox_op *op, enum driver_directory_verb verb, const struct op_name *name)
{
	op->directory = (struct driver_directory_request){
		.verb = verb, .name = name->name, .acl = name->acl, .done = directory_answered, .arg = op,
	};
	backend_call_directory(op->backend, &op->directory);
}

static void commit(struct mailbox_op *op, struct intent *in)
{
	op->request = (struct driver_request){ .intent = in, .arena = &op->arena, .done = committed, .arg = op };
	backend_submit(op->backend, &op->request);
}

static void step(struct mailbox_op *op)
{
	for (;;) {
		switch (op->phase) {
		case OP_RESERVE:
			if (op->at < op->reserve_count) {
				call(op, DRIVER_RESERVE, &op->reserve[op->at]);
				return;
			}
			op->phase = OP_COMMIT;
			break;
		case OP_COMMIT:
			if (op->at < op->intent_count) {
				commit(op, &op->intents[op->at]);
				return;
			}
			op->phase = OP_ACTIVATE;
			break;
		case OP_ACTIVATE:
			if (op->at < op->activate_count) {
				call(op, DRIVER_ACTIVATE, &op->activate[op->at]);
				return;
			}
			op->phase = OP_REMOVE;
			break;
		case OP_REMOVE:
			if (op->at < op->remove_count) {
				call(op, DRIVER_DELETE, &op->remove[op->at]);
				return;
			}
			op->phase = OP_END;
			break;
		case OP_UNDO_COMMIT: {
			struct intent *in = arena_zalloc(&op->arena, sizeof(*in));

			in->op = INTENT_DELETE;
			in->delete.name = op->activate[0].name;
			commit(op, in);
			return;
		}
		case OP_UNDO:
			while (op->at < op->reserved && is_made(op, op->reserve[op->at].name))
				op->at++;
			if (op->at < op->reserved) {
				call(op, DRIVER_DELETE, &op->reserve[op->at]);
				return;
			}
			op->phase = OP_END;
			break;
		case OP_END:
			finish(op);
			return;
		}
		op->at = 0;
	}
}

void mailbox_op_start(struct mailbox_op *op)
{
	mark_names(op, backend_name_begin);
	step(op);
}

enum cmd_step mailbox_op_answer(struct session *s, struct command *cmd, const struct mailbox_op *op)
{
	if (op->is_refused)
		return answer_no(cmd, "ALREADYEXISTS", "the directory has a mailbox of that name");
	if (op->is_unreachable)
		return answer_no(cmd, "UNAVAILABLE", "the directory cannot be reached, try again later");
	if (answer_is_unknown(op->result, op->had_no_effect)) {
		s->is_leaving = true;
		s->farewell = FAREWELL_NOT_MASTER;
		return CMD_DONE;
	}
	return answer_store_result(s, cmd, op->result, op->had_no_effect);
}
