/* store_backup.c - see store_backup.h. A base is built from parts that are elsewhere, too: a checkpoint, and sparse segments, of
 * which those after the checkpoint happen to have all entries of their ranges. So it is read as a journal is. */
#include "store_backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "alloc.h"
#include "checkpoint_file.h"
#include "file.h"
#include "sparse.h"
#include "store_copy.h"
#include "store_private.h"

#define SEGMENT_DEFAULT (64ull << 20)
#define STALE_TRIES 3

/* ---- writing ---- */

struct backup {
	struct store *s; /* the partition, for reading */
	const char *dir;
	char *base;      /* directory being written to */
	uint64_t segment_size;
	struct sparse_writer segment;
	uint64_t octets;
	bool is_stale; /* an entry was not found: a daemon may have given its room back since the snapshot */
};

static bool end_segment(struct backup *b, lsn_t last, struct fault *why)
{
	char *fresh = must_printf("%s/segment.part", b->base);
	char *path = must_printf("%s/%016llx.seg", b->base, (unsigned long long)b->segment.first);
	bool ok = sparse_end(&b->segment, last, 0, b->s->journal.epochs, b->s->journal.epoch_count, why) &&
	          (rename(fresh, path) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot make", path)) &&
	          file_sync_dir(b->base, why);

	free(fresh);
	free(path);
	return ok;
}

static bool begin_segment(struct backup *b, lsn_t first, struct fault *why)
{
	char *fresh = must_printf("%s/segment.part", b->base);
	bool ok = sparse_begin(&b->segment, fresh, first, why);

	free(fresh);
	return ok;
}

/* Add entry LSN, in a new segment if the present one is full. */
static bool add_entry(struct backup *b, lsn_t lsn, struct fault *why)
{
	struct arena a = { 0 };
	struct bytes head, body;
	struct entry e;
	lsn_t next = b->segment.newest + 1;
	bool ok;

	if (!journal_find(&b->s->journal, lsn, &head, &body, why)) {
		b->is_stale = true;
		return false;
	}
	ok = entry_read(head, body, true, &a, &e, why) || fault_context(why, "%s", b->s->dir);
	arena_fini(&a);
	if (ok && b->segment.entries > 0 && b->segment.used + head.n + body.n > b->segment_size)
		ok = end_segment(b, b->segment.newest, why) && begin_segment(b, next, why);
	b->octets += ok ? head.n + body.n : 0;
	return ok && sparse_add(&b->segment, lsn, head, body, why);
}

/* The bodies that the snapshot refers to. */
static bool list_bodies(struct kv_txn *t, lsn_t **lsns_r, size_t *count_r)
{
	size_t cap = kv_count(t, T_BODY) + 1;
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, T_BODY, BYTES_NONE, &key, &value);
	bool has = c != NULL;

	*lsns_r = must_calloc(cap, sizeof(**lsns_r));
	for (*count_r = 0; has && *count_r < cap; has = kv_next(c, &key, &value))
		(*lsns_r)[(*count_r)++] = key_read_u64(key, 0);
	kv_cursor_end(&c);
	return !kv_has_failed(t);
}

static bool write_base(struct backup *b, struct kv_txn **t, struct fault *why)
{
	atomic_bool never = false;
	struct checkpoint_head head = { 0 };
	char *texts = NULL;
	lsn_t *bodies = NULL;
	size_t count = 0;
	bool ok = list_bodies(*t, &bodies, &count) && store_checkpoint_head(b->s, *t, &head, &texts);

	if (!ok)
		(void)fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", b->s->dir);
	ok = ok && checkpoint_file_write(b->base, t, &head, &never, why) && begin_segment(b, 1, why);
	for (size_t i = 0; ok && i < count; i++)
		ok = add_entry(b, bodies[i], why);
	ok = ok && end_segment(b, head.lsn, why);
	sparse_drop(&b->segment);
	free(head.epochs);
	free(texts);
	free(bodies);
	return ok;
}

static bool new_base(struct backup *b, struct kv_txn **t, FILE *out, struct fault *why)
{
	lsn_t lsn = store_applied_lsn(b->s);
	char *path = must_printf("%s/%016llx", b->dir, (unsigned long long)lsn);
	bool ok;

	b->base = must_printf("%s/new", b->dir);
	ok = store_remove_tree(b->base, 1, why) && file_make_dirs(b->base, 0700, why) && write_base(b, t, why) &&
	     (rename(b->base, path) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot make", path)) &&
	     file_sync_dir(b->dir, why);
	if (ok)
		(void)fprintf(out, "base %llu: the index, and %llu octets of messages\n", (unsigned long long)lsn,
		              (unsigned long long)b->octets);
	free(path);
	return ok;
}

static bool add_entries(struct backup *b, lsn_t base, lsn_t from, FILE *out, struct fault *why)
{
	lsn_t last = store_applied_lsn(b->s);
	bool ok;

	b->base = must_printf("%s/%016llx", b->dir, (unsigned long long)base);
	ok = begin_segment(b, from, why);
	for (lsn_t lsn = from; ok && lsn <= last; lsn++)
		ok = add_entry(b, lsn, why);
	ok = ok && end_segment(b, last, why);
	sparse_drop(&b->segment);
	if (ok)
		(void)fprintf(out, "base %llu: added entries %llu to %llu, %llu octets\n", (unsigned long long)base,
		              (unsigned long long)from, (unsigned long long)last, (unsigned long long)b->octets);
	return ok;
}

/* ---- what is there ---- */

static int newest_first(const void *a, const void *b)
{
	lsn_t x = *(const lsn_t *)a, y = *(const lsn_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

static bool list_bases(const char *dir, lsn_t **lsns_r, size_t *count_r, struct fault *why)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	*lsns_r = NULL;
	*count_r = 0;
	if (d == NULL)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot list", dir);
	while ((e = readdir(d)) != NULL) {
		char *end;
		lsn_t lsn = strtoull(e->d_name, &end, 16);

		if (end != e->d_name + 16 || *end != '\0')
			continue;
		*lsns_r = must_realloc(*lsns_r, *count_r + 1, sizeof(**lsns_r));
		(*lsns_r)[(*count_r)++] = lsn;
	}
	(void)closedir(d);
	if (*count_r > 0)
		qsort(*lsns_r, *count_r, sizeof(**lsns_r), newest_first);
	return true;
}

static bool open_base(struct journal *j, const char *dir, lsn_t base, struct fault *why)
{
	char *path = must_printf("%s/%016llx", dir, (unsigned long long)base);
	bool ok = journal_open(j, path, SEGMENT_DEFAULT, true, why);

	if (ok && j->last < base)
		ok = fault_set(why, FAULT_OPERATOR, "%s: its segments end with entry %llu", path, (unsigned long long)j->last);
	if (!ok)
		journal_close(j);
	free(path);
	return ok;
}

/* Whether both have entry LSN; *same_r: and the same one. */
static bool both_have(struct journal *a, struct journal *b, lsn_t lsn, bool *same_r)
{
	struct bytes head, body, other;
	struct fault ignored;
	bool have = journal_find(a, lsn, &head, &body, &ignored) && journal_find(b, lsn, &other, &body, &ignored);

	*same_r = have && bytes_equal(head, other);
	return have;
}

/* The last entry of the history that the base J and the partition's journal, up to APPLIED, have in common. Epochs tell; but those
 * of a restored partition, with a new directory, may be given again, so the entries are looked at, too. */
static lsn_t find_common(struct journal *j, struct journal *of, lsn_t applied)
{
	lsn_t common = journal_common(j, of);
	bool is_same = false;

	if (common > applied)
		common = applied;
	/* What a base has left out says nothing. */
	for (lsn_t lsn = common; lsn > 0 && !is_same; lsn--) {
		if (both_have(j, of, lsn, &is_same) && !is_same)
			common = lsn - 1;
	}
	return common;
}

/* Bases of a history that was left: they would pass for newer ones than what is made now. */
static bool set_parted_aside(const struct backup *b, const lsn_t *bases, size_t count, lsn_t common, FILE *out, struct fault *why)
{
	bool ok = true;

	for (size_t i = 0; ok && i < count && bases[i] > common; i++) {
		char *from = must_printf("%s/%016llx", b->dir, (unsigned long long)bases[i]), *to = must_printf("%s.parted", from);

		for (unsigned n = 2; access(to, F_OK) == 0; n++) {
			free(to);
			to = must_printf("%s.parted%u", from, n);
		}
		ok = rename(from, to) == 0 || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot become %s", from, to);
		if (ok)
			(void)fprintf(out, "base %llu is of the other history: it is in %s now\n", (unsigned long long)bases[i], to);
		free(from);
		free(to);
	}
	return ok && file_sync_dir(b->dir, why);
}

/* Where the newest base ends, and whether the partition goes on from there. 0: there is none that it goes on from. */
static bool find_end(struct backup *b, lsn_t *base_r, lsn_t *last_r, FILE *out, struct fault *why)
{
	struct store *s = b->s;
	lsn_t applied = store_applied_lsn(s), common;
	struct journal j;
	lsn_t *bases;
	size_t count;
	bool ok = true;

	*base_r = *last_r = 0;
	if (!list_bases(b->dir, &bases, &count, why))
		return false;
	if (count == 0) {
		free(bases);
		return true;
	}
	*base_r = bases[0];
	if (!open_base(&j, b->dir, *base_r, why)) {
		free(bases);
		return fault_context(why, "the newest base (move it away to begin a new one)");
	}
	*last_r = j.last;
	common = find_common(&j, &s->journal, applied);
	journal_close(&j);
	if (common < applied && common < *last_r) {
		(void)fprintf(out, "the partition has another history than base %llu from entry %llu on: a new base is made\n",
		              (unsigned long long)*base_r, (unsigned long long)common + 1);
		ok = set_parted_aside(b, bases, count, common, out, why);
		*base_r = 0;
	} else if (applied > *last_r && journal_first_whole(&s->journal) > *last_r + 1) {
		(void)fprintf(out, "the journal is whole only from entry %llu on, base %llu ends with %llu: a new base is made\n",
		              (unsigned long long)journal_first_whole(&s->journal), (unsigned long long)*base_r,
		              (unsigned long long)*last_r);
		*base_r = 0;
	}
	free(bases);
	return ok;
}

static int lock_backup(const char *dir, struct fault *why)
{
	char *path = must_printf("%s/lock", dir);
	int fd = file_open(path, O_RDWR | O_CREAT, 0600, why);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		(void)fault_set(why, FAULT_OPERATOR, "%s: in use by another process", dir);
		file_close(&fd);
	}
	free(path);
	return fd;
}

static bool bring_up(struct backup *b, struct kv_txn **t, FILE *out, struct fault *why)
{
	lsn_t base, last;

	if (!find_end(b, &base, &last, out, why))
		return false;
	if (base == 0)
		return new_base(b, t, out, why);
	kv_end(t);
	if (last < store_applied_lsn(b->s))
		return add_entries(b, base, last + 1, out, why);
	(void)fprintf(out, "base %llu: nothing to add, it ends with entry %llu\n", (unsigned long long)base, (unsigned long long)last);
	return true;
}

static bool back_up(const struct store_options *o, const char *dir, FILE *out, bool *is_stale_r, struct fault *why)
{
	struct backup b = { .dir = dir, .segment_size = o->segment_size == 0 ? SEGMENT_DEFAULT : o->segment_size };
	struct kv_txn *t = NULL;
	bool ok = (b.s = store_open_reader(o, &t, why)) != NULL;

	if (ok && store_applied_lsn(b.s) == 0)
		ok = fault_set(why, FAULT_OPERATOR, "%s: nothing is in there yet", o->dir);
	ok = ok && bring_up(&b, &t, out, why);
	kv_end(&t);
	if (b.s != NULL)
		store_close_reader(b.s);
	free(b.base);
	*is_stale_r = b.is_stale;
	return ok;
}

bool store_backup(const struct store_options *o, const char *dir, FILE *out, struct fault *why)
{
	int lock = file_make_dirs(dir, 0700, why) ? lock_backup(dir, why) : -1;
	bool is_stale = true, ok = false;

	for (int i = 0; lock >= 0 && !ok && is_stale && i < STALE_TRIES; i++)
		ok = back_up(o, dir, out, &is_stale, why);
	file_close(&lock);
	return ok;
}

/* ---- checking ---- */

struct check {
	struct journal *j;
	uint64_t missing;
};

static bool check_record(void *arg, size_t table, struct bytes key, struct bytes value, struct fault *why)
{
	struct check *c = arg;
	struct bytes head, body;
	struct index_body b;
	struct fault ignored;

	(void)why;
	if (table == T_BODY && (!index_decode_body(value, &b) || !journal_find(c->j, key_read_u64(key, 0), &head, &body, &ignored) ||
	                        body.n != b.size))
		c->missing++;
	return true;
}

static uint64_t verify_base(const char *dir, lsn_t base, FILE *out)
{
	char *path = must_printf("%s/%016llx", dir, (unsigned long long)base);
	struct journal j;
	struct check c = { .j = &j };
	struct checkpoint_reader r = { .record = check_record, .arg = &c };
	struct fault why;
	uint64_t problems = 0;

	if (!open_base(&j, dir, base, &why)) {
		(void)fprintf(out, "%s\n", why.what);
		free(path);
		return 1;
	}
	if (!checkpoint_file_read(path, base, &r, &why)) {
		(void)fprintf(out, "%s\n", why.what);
		problems++;
	}
	checkpoint_reader_fini(&r);
	if (c.missing > 0) {
		(void)fprintf(out, "%s: %llu messages are missing\n", path, (unsigned long long)c.missing);
		problems += c.missing;
	}
	for (size_t i = 0; i < j.count; i++)
		problems += journal_verify_segment(&j, i, j.last, out);
	for (lsn_t lsn = base + 1; lsn <= j.last; lsn++) {
		struct bytes head, body;

		if (journal_find(&j, lsn, &head, &body, &why))
			continue;
		(void)fprintf(out, "%s: entry %llu is missing\n", path, (unsigned long long)lsn);
		problems++;
	}
	if (problems == 0)
		(void)fprintf(out, "base %llu: whole, to be restored as of entry %llu to %llu\n", (unsigned long long)base,
		              (unsigned long long)base, (unsigned long long)j.last);
	journal_close(&j);
	free(path);
	return problems;
}

bool store_backup_verify(const char *dir, FILE *out, uint64_t *problems_r, struct fault *why)
{
	lsn_t *bases;
	size_t count;

	*problems_r = 0;
	if (!list_bases(dir, &bases, &count, why))
		return false;
	for (size_t i = 0; i < count; i++)
		*problems_r += verify_base(dir, bases[i], out);
	free(bases);
	return count > 0 || fault_set(why, FAULT_OPERATOR, "%s: holds no base", dir);
}

/* ---- restoring ---- */

/* The newest base that is not after *LSN (0: of all), open, and *lsn within it. */
static bool choose(const char *dir, lsn_t *lsn, lsn_t *base_r, struct journal *j, struct fault *why)
{
	lsn_t *bases, base = 0;
	size_t count;

	if (!list_bases(dir, &bases, &count, why))
		return false;
	for (size_t i = 0; i < count && base == 0; i++) {
		if (*lsn == 0 || bases[i] <= *lsn)
			base = bases[i];
	}
	free(bases);
	if (base == 0)
		return fault_set(why, FAULT_OPERATOR, "%s: no base is as old as that; `roost backup --verify` tells what there is", dir);
	if (!open_base(j, dir, base, why))
		return false;
	if (*lsn == 0)
		*lsn = j->last;
	*base_r = base;
	if (*lsn <= j->last)
		return true;
	(void)fault_set(why, FAULT_OPERATOR, "%s: base %llu ends with entry %llu", dir, (unsigned long long)base, (unsigned long long)j->last);
	journal_close(j);
	return false;
}

static bool is_empty(const struct store_options *o, struct fault *why)
{
	static const char *const names[] = { "journal", "index", "incoming" };
	bool ok = true;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = must_printf("%s/%s", o->dir, names[i]);

		if (access(path, F_OK) == 0)
			ok = fault_set(why, FAULT_OPERATOR, "%s: there is something already; move it away first", path);
		free(path);
	}
	return ok;
}

static bool take_checkpoint(struct store_incoming *in, const char *dir, lsn_t base, struct fault *why)
{
	char *folder = must_printf("%s/%016llx", dir, (unsigned long long)base), *path = checkpoint_path(folder, base);
	uint8_t *piece = must_alloc(256u << 10);
	int fd = file_open(path, O_RDONLY, 0, why);
	bool ok = fd >= 0;

	while (ok) {
		ssize_t n = read(fd, piece, 256u << 10);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ok = fault_errno(why, FAULT_OPERATOR, errno, "%s", path);
		if (n <= 0)
			break;
		ok = store_incoming_checkpoint(in, bytes_make(piece, (size_t)n), why) || fault_context(why, "%s", path);
	}
	file_close(&fd);
	free(piece);
	free(folder);
	free(path);
	return ok;
}

/* The checkpoint and its bodies, as a copy from another member would bring them. */
static bool take_base(const struct store_options *o, const char *dir, lsn_t base, struct journal *j, struct fault *why)
{
	struct store_incoming *in = store_incoming_open(o->dir, base, o->segment_size, why);
	struct buffer raw = { 0 };
	bool ok = in != NULL && take_checkpoint(in, dir, base, why);

	for (size_t i = 0; ok && i < j->count; i++) {
		const struct segment *s = j->segments[i];

		for (uint64_t row = 0; ok && row < s->table_count; row++) {
			struct bytes head, body;
			lsn_t lsn;
			uint64_t off;

			segment_row(s, row, &lsn, &off);
			if (lsn > base)
				break;
			ok = journal_find(j, lsn, &head, &body, why);
			if (!ok)
				break;
			buffer_clear(&raw);
			buffer_add(&raw, head);
			buffer_add(&raw, body);
			ok = store_incoming_entry(in, buffer_bytes(&raw), why);
		}
	}
	ok = ok && store_incoming_finish(in, base, why);
	store_incoming_close(&in);
	buffer_fini(&raw);
	return ok;
}

static bool flush(struct store *s, struct fault *why)
{
	if (!store_flush_begin(s))
		return true;
	store_flush_run(s);
	return store_flush_done(s, why);
}

static bool append(struct store *s, struct bytes raw, struct fault *why)
{
	enum store_follow r = store_follow_append(s, raw, why);

	if (r == STORE_FOLLOW_BUSY)
		r = flush(s, why) ? store_follow_append(s, raw, why) : STORE_FOLLOW_FAILED;
	return r == STORE_FOLLOW_OK;
}

static bool replay(struct store *s, struct journal *j, lsn_t last, struct fault *why)
{
	struct buffer raw = { 0 };
	uint64_t pending = 0;
	bool ok = true;

	for (lsn_t lsn = store_last_lsn(s) + 1; ok && lsn <= last; lsn++) {
		struct bytes head, body;

		ok = journal_find(j, lsn, &head, &body, why);
		if (!ok)
			break;
		buffer_clear(&raw);
		buffer_add(&raw, head);
		buffer_add(&raw, body);
		ok = append(s, buffer_bytes(&raw), why);
		pending += raw.n;
		if (ok && pending > (8u << 20)) {
			ok = flush(s, why);
			pending = 0;
		}
	}
	ok = ok && flush(s, why);
	while (ok && store_applied_lsn(s) < last)
		ok = store_apply_committed(s, last, NULL, why) == STORE_OK;
	buffer_fini(&raw);
	return ok;
}

bool store_restore(const struct store_options *o, const char *dir, lsn_t lsn, bool is_exact, FILE *out, struct fault *why)
{
	struct store *s = NULL;
	struct journal j;
	lsn_t base = 0;
	bool ok;

	if (!file_make_dirs(o->dir, 0700, why) || !is_empty(o, why) || !choose(dir, &lsn, &base, &j, why))
		return false;
	/* Marked before there is anything that could be served. */
	ok = (is_exact ? store_unmark_restored(o->dir, why) : store_mark_restored(o->dir, lsn, why)) && take_base(o, dir, base, &j, why) &&
	     (s = store_open(o, why)) != NULL;
	if (ok)
		store_pass_floor(s);
	ok = ok && replay(s, &j, lsn, why);
	store_close(&s);
	journal_close(&j);
	if (!ok)
		return fault_context(why, "%s is not restored", o->dir);
	(void)fprintf(out, "restored: as of entry %llu, from base %llu%s\n", (unsigned long long)lsn, (unsigned long long)base,
	              is_exact ? "" : "; its first reign gives all mailboxes a new UIDVALIDITY");
	return true;
}
