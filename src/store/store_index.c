/* store_index.c - the index at the partition's opening: trusted, or made anew from a checkpoint and the journal. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "checkpoint_file.h"
#include "file.h"
#include "kv_boot.h"
#include "log.h"
#include "store_private.h"

#define LOAD_OCTETS (8u << 20)

/* "index.boot" beside the index is its mark (kv_boot.h): another boot's index is thrown away. */
static bool index_may_be_used(const char *dir)
{
	char *path = must_printf("%s/index.boot", dir);
	bool ok = kv_boot_is_sound(path);

	free(path);
	return ok;
}

bool store_mark_index(const char *dir, bool is_clean, struct fault *why)
{
	char *path = must_printf("%s/index.boot", dir);
	bool ok = kv_boot_mark(path, is_clean, why);

	free(path);
	return ok;
}

bool store_distrust_index(const char *dir, struct fault *why)
{
	char *path = must_printf("%s/index.boot", dir);
	bool ok = unlink(path) == 0 || errno == ENOENT;

	if (!ok)
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", path);
	/* A mark "clean" that came back with the power would be believed. */
	ok = ok && file_sync_dir(dir, why);
	free(path);
	return ok;
}

static void remove_index(const char *dir)
{
	static const char *const files[] = { "data.mdb", "lock.mdb" };

	for (size_t i = 0; i < 2; i++) {
		char *path = must_printf("%s/index/%s", dir, files[i]);

		(void)unlink(path);
		free(path);
	}
}

/* What "meta" says: LSN applied, and the form of the records. */
static bool read_meta(struct store *s, uint64_t *format_r, struct fault *why)
{
	struct kv_txn *t = kv_read(s->kv, why);
	uint64_t applied;
	bool ok;

	if (t == NULL)
		return false;
	ok = (index_meta(t, "applied", &applied) == KV_OK && index_meta(t, "format", format_r) == KV_OK) ||
	     fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", s->dir);
	kv_end(&t);
	if (ok)
		atomic_store(&s->applied, applied);
	return ok;
}

static bool write_format(struct store *s, struct fault *why)
{
	struct kv_txn *t = kv_write(s->kv, why);

	if (t == NULL)
		return false;
	if (index_put_meta(t, "format", INDEX_FORMAT) == KV_OK)
		return kv_commit(&t, why);
	kv_end(&t);
	return fault_set(why, FAULT_OPERATOR, "%s/index: cannot be written", s->dir);
}

/* An index with nothing in it. Until it is marked again whoever opens it throws it away. */
static bool begin_anew(struct store *s, const struct store_options *o, struct fault *why)
{
	kv_close(&s->kv);
	if (!store_distrust_index(o->dir, why))
		return false;
	remove_index(o->dir);
	atomic_store(&s->applied, 0);
	return store_open_kv(s, o, false, why) && write_format(s, why);
}

/* The same beside readers of what it was, whose mark the caller has removed. */
static bool empty_in_place(struct store *s, struct fault *why)
{
	struct kv_txn *t = kv_write(s->kv, why);
	bool ok = t != NULL;

	for (size_t i = 0; ok && i < T_COUNT; i++)
		ok = kv_clear(t, i) == KV_OK;
	ok = ok && index_put_meta(t, "format", INDEX_FORMAT) == KV_OK;
	if (t == NULL)
		return false;
	if (!ok) {
		kv_end(&t);
		return fault_set(why, FAULT_OPERATOR, "%s/index: cannot be cleared: see the line before", s->dir);
	}
	atomic_store(&s->applied, 0);
	return kv_commit(&t, why);
}

struct load {
	struct store *s;
	struct kv_txn *t;
	size_t octets;
	lsn_t applied;
};

static bool load_record(void *arg, size_t table, struct bytes key, struct bytes value, struct fault *why)
{
	struct load *l = arg;
	enum kv_result r;

	if (table >= T_COUNT)
		return fault_set(why, FAULT_OPERATOR, "has a table that this program does not know");
	/* The form is there already; how far the index goes is said when all of it is there. */
	if (table == T_META && (bytes_equal_str(key, "format") || bytes_equal_str(key, "applied")))
		return true;
	if (l->octets > LOAD_OCTETS) {
		l->octets = 0;
		if (!kv_commit(&l->t, why) || (l->t = kv_write(l->s->kv, why)) == NULL)
			return false;
	}
	l->octets += key.n + value.n;
	/* "meta" alone has something before. */
	r = table == T_META ? kv_put(l->t, table, key, value) : kv_put_last(l->t, table, key, value);
	return r == KV_OK || fault_set(why, FAULT_OPERATOR, "the index cannot be written: see the line before");
}

/* O is NULL: in place. */
static bool load_checkpoint(struct store *s, const struct store_options *o, lsn_t lsn, struct fault *why)
{
	struct load l = { .s = s };
	struct checkpoint_reader r = { .record = load_record, .arg = &l };
	bool ok = (o != NULL ? begin_anew(s, o, why) : empty_in_place(s, why)) && (l.t = kv_write(s->kv, why)) != NULL &&
	          checkpoint_file_read(s->journal.dir, lsn, &r, why);

	if (ok && r.head.format != INDEX_FORMAT)
		ok = fault_set(why, FAULT_OPERATOR, "%s/%016llx.ckp: has records of form %u, this program reads %d", s->journal.dir,
		               (unsigned long long)lsn, r.head.format, INDEX_FORMAT);
	if (ok && index_put_meta(l.t, "applied", lsn) != KV_OK)
		ok = fault_set(why, FAULT_OPERATOR, "%s/index: cannot be written", s->dir);
	ok = ok && kv_commit(&l.t, why);
	kv_end(&l.t);
	checkpoint_reader_fini(&r);
	if (ok)
		atomic_store(&s->applied, lsn);
	return ok;
}

/* From the newest checkpoint up to LIMIT that is whole and that the journal goes on from; without any from the journal's
 * beginning. O is NULL: in place. */
static bool make_index(struct store *s, const struct store_options *o, lsn_t limit, struct fault *why)
{
	lsn_t first = journal_first_whole(&s->journal);
	lsn_t *lsns;
	size_t count;
	bool is_made = false;

	if (!checkpoint_list(s->journal.dir, &lsns, &count, why))
		return false;
	if (s->journal.last > 0)
		log_event(LOG_WARNING, "store.index.rebuilding", LOG_STR("dir", s->dir), LOG_U64("entries", s->journal.last));
	for (size_t i = 0; !is_made && i < count && first <= lsns[i] + 1; i++) {
		if (lsns[i] > limit)
			continue;
		is_made = load_checkpoint(s, o, lsns[i], why);
		if (is_made)
			log_event(LOG_INFO, "store.checkpoint.loaded", LOG_STR("dir", s->dir), LOG_U64("lsn", lsns[i]));
		else
			log_event(LOG_WARNING, "store.checkpoint.damaged", LOG_FAULT(why));
	}
	free(lsns);
	if (is_made)
		return true;
	if (first > 1)
		return fault_set(why, FAULT_OPERATOR,
		                 "%s: the index must be made anew, but no whole checkpoint is left and the journal is whole only from "
		                 "entry %llu on: restore this member from the other",
		                 s->dir, (unsigned long long)first);
	return o != NULL ? begin_anew(s, o, why) : empty_in_place(s, why);
}

/* What of the journal is known committed: the newest "committed" that any entry of the last segment carries. */
static lsn_t known_committed(struct store *s)
{
	lsn_t known = 0;
	const struct segment *last = s->journal.count > 0 ? s->journal.segments[s->journal.count - 1] : NULL;

	for (lsn_t lsn = s->journal.last; last != NULL && !last->is_sparse && lsn >= last->first && lsn > 0; lsn--) {
		struct bytes head, body;
		struct entry_header h;
		struct fault why;

		if (journal_find(&s->journal, lsn, &head, &body, &why) && entry_header_read(head, &h)) {
			known = h.committed;
			break;
		}
	}
	return known;
}

static bool open_index(struct store *s, const struct store_options *o, struct fault *why)
{
	uint64_t format = 0;

	if (!index_may_be_used(o->dir))
		return make_index(s, o, UINT64_MAX, why) && store_mark_index(o->dir, false, why);
	if (!store_mark_index(o->dir, false, why) || !store_open_kv(s, o, false, why) || !read_meta(s, &format, why))
		return false;
	if (format == INDEX_FORMAT)
		return true;
	return make_index(s, o, UINT64_MAX, why) && store_mark_index(o->dir, false, why);
}

bool store_recover_index(struct store *s, const struct store_options *o, struct fault *why)
{
	lsn_t known;

	if (!open_index(s, o, why))
		return false;
	if (!journal_settle(&s->journal, store_applied_lsn(s), why))
		return false;
	known = known_committed(s);
	while (store_applied_lsn(s) < known) {
		if (store_apply_to(s, known, 4000, NULL, why) != STORE_OK)
			return false;
	}
	return true;
}

/* Whether what make_index() needs for LSN is there. */
static bool can_go_back(struct store *s, lsn_t lsn, struct fault *why)
{
	lsn_t first = journal_first_whole(&s->journal);
	lsn_t *lsns;
	size_t count;
	bool can = first <= 1;

	if (!checkpoint_list(s->journal.dir, &lsns, &count, why))
		return false;
	for (size_t i = 0; !can && i < count && first <= lsns[i] + 1; i++) {
		struct checkpoint_reader r = { 0 };

		can = lsns[i] <= lsn && checkpoint_file_read(s->journal.dir, lsns[i], &r, why);
		checkpoint_reader_fini(&r);
	}
	free(lsns);
	return can || fault_set(why, FAULT_OPERATOR,
	                        "%s: the index cannot be brought back to entry %llu: there is no whole checkpoint of before, and the "
	                        "journal is whole only from entry %llu on",
	                        s->dir, (unsigned long long)lsn, (unsigned long long)first);
}

/* Checkpoints of entries after LSN speak of what will be no more. */
static bool remove_checkpoints(struct store *s, lsn_t lsn, struct fault *why)
{
	lsn_t *lsns;
	size_t count;
	bool ok = checkpoint_list(s->journal.dir, &lsns, &count, why);

	for (size_t i = 0; ok && i < count && lsns[i] > lsn; i++) {
		char *path = checkpoint_path(s->journal.dir, lsns[i]);

		ok = unlink(path) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot remove", path);
		free(path);
	}
	free(lsns);
	return ok && file_sync_dir(s->journal.dir, why);
}

/* The index without what was applied after LSN; the journal has been cut. */
static bool bring_back(struct store *s, lsn_t lsn, struct fault *why)
{
	if (!make_index(s, NULL, lsn, why))
		return false;
	while (store_applied_lsn(s) < lsn) {
		if (store_apply_to(s, lsn, SIZE_MAX, NULL, why) != STORE_OK)
			return false;
	}
	return store_mark_index(s->dir, false, why);
}

enum store_result store_roll_back(struct store *s, lsn_t lsn, struct fault *why)
{
	bool is_applied = lsn < store_applied_lsn(s);
	enum store_result result;

	if (s->checkpoint != NULL || store_is_compacting(s)) {
		(void)fault_set(why, FAULT_TRANSIENT, "%s: a checkpoint is being made, or the journal compacted", s->dir);
		return STORE_NO_SPACE;
	}
	if (is_applied && !can_go_back(s, lsn, why))
		return STORE_CONFLICT;
	/* What it found worth writing anew may be cut. */
	store_compaction_drop(s);
	/* From here on whoever opens it makes the index anew, with the journal whole or cut. */
	if (is_applied && (!store_distrust_index(s->dir, why) || !remove_checkpoints(s, lsn, why)))
		result = STORE_FAILED;
	else
		result = journal_truncate_after(&s->journal, lsn, why);
	if (result == STORE_OK && is_applied && !bring_back(s, lsn, why))
		result = STORE_FAILED;
	if (result == STORE_OK && !store_find_reign(s, why))
		result = STORE_FAILED;
	if (result == STORE_FAILED)
		store_fail(s, why);
	else
		store_note_checkpoints(s);
	return result;
}
