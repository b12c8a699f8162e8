/* dir_change.c - changes, and their decision on a view of the records. */
#include "dir_change.h"

#include <stdlib.h>

#include "alloc.h"

struct change *change_new(enum change_kind kind)
{
	struct change *c = must_calloc(1, sizeof(*c));

	c->kind = kind;
	return c;
}

void change_free(struct change **cp)
{
	struct change *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	arena_fini(&c->arena);
	free(c);
}

static struct record copy_record(struct arena *a, const struct record *r)
{
	return (struct record){ r->state, arena_copy(a, r->location), arena_copy(a, r->acl) };
}

static struct reign copy_reign(struct arena *a, const struct reign *r)
{
	return (struct reign){ r->epoch, arena_copy(a, r->master), arena_copy(a, r->in_sync) };
}

static bool is_other_server(struct bytes a, struct bytes b)
{
	return !bytes_equal_nocase(bytes_sub(a, 0, bytes_find(a, '!')), bytes_sub(b, 0, bytes_find(b, '!')));
}

struct change *change_of_record(struct bytes name, const struct record *before, const struct record *after)
{
	struct change *c = change_new(CHANGE_RECORD);

	c->name = arena_copy(&c->arena, name);
	c->before = copy_record(&c->arena, before);
	c->after = copy_record(&c->arena, after);
	c->is_ok = c->is_changed = true;
	c->text = "";
	c->is_move = before->state == RECORD_ACTIVE && after->state == RECORD_ACTIVE &&
	             is_other_server(before->location, after->location);
	return c;
}

struct change *change_of_reign(struct bytes server, const struct reign *reign)
{
	struct change *c = change_new(CHANGE_REIGN);

	c->server = arena_copy(&c->arena, server);
	c->reign = copy_reign(&c->arena, reign);
	c->is_ok = c->is_changed = true;
	c->text = "";
	return c;
}

void change_refuse(struct change *c, const char *text)
{
	c->is_ok = c->is_changed = c->is_move = c->is_ignored = false;
	c->text = text;
}

/* A member that does not reign is answered positively and changes nothing: it only repeats, perhaps late, what the
 * master has done. */
static enum kv_result may_write(const struct dir_view *v, void *at, const struct change *c, bool *may_r)
{
	struct reign reign;
	enum kv_result result;

	*may_r = true;
	if (c->member.n == 0)
		return KV_OK;
	result = v->get_reign(at, c->server, &reign);
	if (result == KV_OK)
		*may_r = bytes_equal(reign.master, c->member);
	return result;
}

/* Whether NOW is what C asked for, where the state table has another answer for who asks again. */
static bool is_done(const struct change *c, const struct record *now)
{
	if (c->command == RECORD_DEACTIVATE)
		return now->state == RECORD_RESERVED && bytes_equal(now->location, c->location);
	return c->command == RECORD_DELETE && now->state == RECORD_NONE;
}

static enum kv_result decide_record(const struct dir_view *v, void *at, struct change *c)
{
	struct record now;
	struct record_change decided;
	struct bytes deleted_by = BYTES_NONE;
	bool may;
	enum kv_result result = may_write(v, at, c, &may);

	if (result != KV_OK)
		return result;
	if (!may) {
		c->is_ok = c->is_ignored = true;
		c->text = "done";
		return KV_OK;
	}
	result = v->get_record(at, c->name, &now);
	if (result == KV_OK && c->command == RECORD_DELETE && now.state == RECORD_NONE)
		result = v->get_deleted_by(at, c->name, &deleted_by);
	if (result != KV_OK)
		return result;
	decided = record_decide(c->command, &now, c->location, c->acl, deleted_by, c->server);
	c->is_ok = decided.is_ok || (c->may_be_done && is_done(c, &now));
	c->text = decided.is_ok || !c->is_ok ? decided.text : "done";
	if (!decided.is_changed)
		return KV_OK;
	c->is_changed = true;
	c->is_move = decided.is_move;
	/* What the decision borrows from the view ends with the put. */
	c->before = (struct record){ now.state, arena_copy(&c->arena, now.location), BYTES_NONE };
	c->after = copy_record(&c->arena, &decided.next);
	return v->put_record(at, c->name, &c->after, bytes_sub(c->before.location, 0, bytes_find(c->before.location, '!')));
}

static bool is_same(const struct reign *a, const struct reign *b)
{
	return bytes_equal(a->master, b->master) && bytes_equal(a->in_sync, b->in_sync);
}

static enum kv_result decide_reign(const struct dir_view *v, void *at, struct change *c)
{
	struct reign now, next = c->wanted;
	const char *refusal = NULL;
	enum kv_result result = v->get_reign(at, c->server, &now);

	if (result != KV_OK)
		return result;
	c->reign = copy_reign(&c->arena, &now);
	if (c->kind == CHANGE_REIGN && c->may_be_done && now.epoch == c->asked_epoch + 1 && is_same(&now, &c->wanted)) {
		c->is_ok = true;
		c->text = "done";
		return KV_OK;
	}
	if (c->kind == CHANGE_REIGN)
		refusal = reign_refusal(&now, c->member, c->asked_epoch, c->wanted.master, c->wanted.in_sync);
	else if (c->kind == CHANGE_FIRST_REIGN && now.epoch > 0)
		refusal = "the server has a configuration";
	if (refusal != NULL) {
		change_refuse(c, arena_printf(&c->arena, "%s: epoch is %llu", refusal, (unsigned long long)now.epoch));
		return KV_OK;
	}
	if (c->kind != CHANGE_FIRST_REIGN)
		next.epoch = now.epoch + 1;
	c->is_ok = true;
	c->is_changed = true;
	c->text = "done";
	c->reign = next;
	return v->put_reign(at, c->server, &next);
}

static enum kv_result decide_nothing(const struct dir_view *v, void *at, struct change *c)
{
	struct record now;
	enum kv_result result = v->get_record(at, c->name, &now);

	if (result == KV_OK)
		c->after = copy_record(&c->arena, &now);
	c->is_ok = true;
	c->text = "Search completed";
	return result;
}

enum kv_result change_decide(const struct dir_view *v, void *at, struct change *c)
{
	c->is_ok = c->is_changed = c->is_move = c->is_ignored = false;
	if (c->kind == CHANGE_NONE)
		return decide_nothing(v, at, c);
	return c->kind == CHANGE_RECORD ? decide_record(v, at, c) : decide_reign(v, at, c);
}
