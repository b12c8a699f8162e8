/* dir_lmdb.c - the records in LMDB. Changes decide inside the transaction, so two that meet see each other. */
#include "dir_lmdb.h"

#include "log.h"
#include "record_store.h"

static enum kv_result get_record(void *at, struct bytes name, struct record *record_r)
{
	return record_get(at, name, record_r);
}

static enum kv_result get_deleted_by(void *at, struct bytes name, struct bytes *server_r)
{
	return record_deleted_by(at, name, server_r);
}

static enum kv_result put_record(void *at, struct bytes name, const struct record *record, struct bytes deleted_by)
{
	enum kv_result result = record_put(at, name, record);

	if (result == KV_OK && record->state == RECORD_NONE)
		result = record_note_deleted(at, name, deleted_by);
	return result;
}

static enum kv_result get_reign(void *at, struct bytes server, struct reign *reign_r)
{
	return reign_get(at, server, reign_r);
}

static enum kv_result put_reign(void *at, struct bytes server, const struct reign *reign)
{
	return reign_put(at, server, reign);
}

static const struct dir_view view = { get_record, get_deleted_by, put_record, get_reign, put_reign };

static bool decide_all(struct kv_txn *t, struct change *first)
{
	for (struct change *c = first; c != NULL; c = c->next) {
		if (change_decide(&view, t, c) != KV_OK)
			return false;
	}
	return true;
}

static bool makes_room(const struct change *c)
{
	return c->kind == CHANGE_RECORD && (c->command == RECORD_DEACTIVATE || c->command == RECORD_DELETE);
}

/* About what C adds, pages that are changed on the way to it included; 0: it makes room. */
static size_t growth(const struct change *c)
{
	if (!c->is_changed || makes_room(c))
		return 0;
	return 4096 + 2 * (c->name.n + c->location.n + c->acl.n);
}

static bool may_grow(struct kv_txn *t, const struct change *first, struct fault *why)
{
	size_t octets = 0;

	for (const struct change *c = first; c != NULL; c = c->next)
		octets += growth(c);
	return octets == 0 || kv_may_grow(t, octets, why);
}

static bool make_all(struct kv *kv, struct dir_writer *w, struct change *first, struct fault *why)
{
	struct kv_txn *t = kv_write(kv, why);

	if (t == NULL)
		return false;
	if (!decide_all(t, first)) {
		kv_end(&t);
		return fault_set(why, FAULT_OPERATOR, "the directory's store cannot be written: see the line before");
	}
	if (!may_grow(t, first, why)) {
		kv_end(&t);
		return false;
	}
	if (!kv_commit(&t, why))
		return false;
	dir_writer_count(w, 1);
	return true;
}

/* What does not fit takes nothing else with it: when a disk is full, what makes room must still be possible. */
static void make_each(struct kv *kv, struct dir_writer *w, struct change *first)
{
	for (struct change *c = first, *next; c != NULL; c = next) {
		struct fault why;
		bool ok;

		next = c->next;
		c->next = NULL;
		ok = make_all(kv, w, c, &why);
		if (!ok && makes_room(c) && kv_give_up_reserve(kv)) {
			log_event(LOG_WARNING, "directory.reserve.given_up", LOG_FAULT(&why));
			ok = make_all(kv, w, c, &why);
		}
		if (!ok) {
			log_event(LOG_ERROR, "directory.write.failed", LOG_FAULT(&why));
			change_refuse(c, "the directory cannot write now");
		}
		c->next = next;
	}
}

void dir_lmdb_batch(void *kv, struct dir_writer *w, struct change *first)
{
	struct fault why;

	if (!make_all(kv, w, first, &why))
		make_each(kv, w, first);
	dir_writer_deliver(w, first);
}
