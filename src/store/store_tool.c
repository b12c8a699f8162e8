/* store_tool.c - dump, verify, rebuild. */
#include "store_tool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "checkpoint_file.h"
#include "imap_flags.h"
#include "map.h"
#include "quota.h"
#include "store_private.h"

/* A text of one line: octets outside of printable ASCII, and '%', as %XX. */
static void put_text(FILE *out, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] > ' ' && b.p[i] <= '~' && b.p[i] != '%')
			(void)fputc(b.p[i], out);
		else
			(void)fprintf(out, "%%%02X", b.p[i]);
	}
}

static void dump_messages(struct store_view *v, struct kv_txn *t, const struct mailbox *m, FILE *out)
{
	struct view_messages it;
	struct message msg;

	store_view_messages(v, m->id, 1, &it);
	while (view_messages_next(&it, &msg)) {
		struct index_body b = { 0 };

		(void)index_body(t, msg.body, &b);
		(void)fprintf(out, "message uid=%u modseq=%llu flags=%02x internaldate=%lld size=%u body=%llu hash=%016llx keywords=",
		              msg.uid, (unsigned long long)msg.modseq, msg.flags, (long long)msg.internaldate, msg.size,
		              (unsigned long long)msg.body, (unsigned long long)b.hash);
		for (unsigned i = 0; i < m->keyword_count; i++) {
			if ((msg.keywords >> i & 1) == 0)
				continue;
			put_text(out, m->keywords[i]);
			(void)fputc(',', out);
		}
		if (msg.savedate != 0)
			(void)fprintf(out, " savedate=%lld", (long long)msg.savedate);
		(void)fputc('\n', out);
	}
	view_messages_end(&it);
}

/* What was expunged and is kept of mailbox M. */
static void dump_kept(struct kv_txn *t, const struct mailbox *m, FILE *out)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, T_EXPUNGED, bytes_make(start, key_message(start, m->id, 0)), &key, &value);
	bool has = c != NULL;

	for (; has && key_read_u64(key, 0) == m->id; has = kv_next(c, &key, &value)) {
		struct message msg;
		int64_t time;

		if (index_decode_kept(key, value, &msg, &time))
			(void)fprintf(out, "expunged uid=%u time=%lld internaldate=%lld size=%u body=%llu\n", msg.uid, (long long)time,
			              (long long)msg.internaldate, msg.size, (unsigned long long)msg.body);
	}
	kv_cursor_end(&c);
}

/* Of mailbox ID and its messages; 0: of the server. */
static void dump_attributes(struct kv_txn *t, mailbox_id_t id, FILE *out)
{
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, T_ATTRIBUTE, bytes_make(start, key_u64(start, id)), &key, &value);
	bool has = c != NULL;

	for (; has && key_read_u64(key, 0) == id; has = kv_next(c, &key, &value)) {
		struct attribute of;

		if (!index_decode_attribute(key, value, &of))
			continue;
		(void)fprintf(out, "attribute uid=%u user=", of.uid);
		put_text(out, of.user);
		(void)fprintf(out, " name=");
		put_text(out, of.name);
		if (bytes_starts(of.name, BYTES_LIT(ATTRIBUTE_SECRET))) {
			(void)fprintf(out, " hash=%016llx\n", (unsigned long long)entry_hash(of.value));
			continue;
		}
		(void)fprintf(out, " value=");
		put_text(out, of.value);
		(void)fputc('\n', out);
	}
	kv_cursor_end(&c);
}

static void put_limit(FILE *out, const char *name, const struct quota_limits *l, enum quota_resource r)
{
	if (l->is_limited[r])
		(void)fprintf(out, " %s=%llu", name, (unsigned long long)l->limit[r]);
	else
		(void)fprintf(out, " %s=-", name);
}

static void dump_quotas(struct kv_txn *t, FILE *out)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, T_QUOTA, BYTES_NONE, &key, &value);

	for (bool has = c != NULL; has; has = kv_next(c, &key, &value)) {
		struct quota q;

		if (index_quota(t, key, &q) != KV_OK)
			continue;
		(void)fprintf(out, "quota ");
		put_text(out, key);
		put_limit(out, "storage", &q.limits, QUOTA_STORAGE);
		put_limit(out, "message", &q.limits, QUOTA_MESSAGE);
		put_limit(out, "mailbox", &q.limits, QUOTA_MAILBOX);
		(void)fprintf(out, " bytes=%llu messages=%llu mailboxes=%llu\n", (unsigned long long)q.used[QUOTA_STORAGE],
		              (unsigned long long)q.used[QUOTA_MESSAGE], (unsigned long long)q.used[QUOTA_MAILBOX]);
	}
	kv_cursor_end(&c);
}

static bool dump_view(struct store *s, FILE *out, struct fault *why)
{
	struct store_view *v = store_view_open(s, why);
	struct kv_txn *t;
	struct view_names it;
	struct bytes name, key, value;
	struct kv_cursor *c;
	mailbox_id_t id;
	bool is_whole;

	if (v == NULL)
		return false;
	t = store_view_txn(v);
	(void)fprintf(out, "roost-dump 1\nlsn %llu\n", (unsigned long long)store_view_lsn(v));
	dump_attributes(t, 0, out);
	store_view_names(v, BYTES_NONE, &it);
	while (view_names_next(&it, &name, &id)) {
		struct mailbox m;

		if (store_view_mailbox_by_id(v, id, &m, why) != STORE_OK)
			continue;
		(void)fprintf(out, "mailbox ");
		put_text(out, m.name);
		(void)fprintf(out, " id=%llu uidvalidity=%u uidnext=%u highestmodseq=%llu exists=%u unseen=%u deleted=%u bytes=%llu acl=",
		              (unsigned long long)m.id, m.uidvalidity, m.uidnext, (unsigned long long)m.highestmodseq, m.exists,
		              m.unseen, m.deleted, (unsigned long long)m.bytes);
		put_text(out, m.acl);
		(void)fprintf(out, " partition=");
		put_text(out, m.partition);
		(void)fputc('\n', out);
		dump_messages(v, t, &m, out);
		dump_kept(t, &m, out);
		dump_attributes(t, m.id, out);
	}
	view_names_end(&it);
	dump_quotas(t, out);
	c = kv_seek(t, T_SUBSCRIPTION, BYTES_NONE, &key, &value);
	if (c != NULL) {
		do {
			(void)fprintf(out, "subscription ");
			put_text(out, key);
			(void)fputc('\n', out);
		} while (kv_next(c, &key, &value));
	}
	kv_cursor_end(&c);
	is_whole = !kv_has_failed(t) && it.result == STORE_OK;
	store_view_close(&v);
	if (!is_whole)
		return fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", s->dir);
	return ferror(out) == 0 || fault_set(why, FAULT_OPERATOR, "the dump cannot be written");
}

bool store_dump_open(struct store *s, FILE *out, struct fault *why)
{
	return dump_view(s, out, why);
}

static bool read_meta(struct store *s, struct kv_txn *t, struct fault *why)
{
	uint64_t applied = 0, format = 0;

	(void)index_meta(t, "applied", &applied);
	(void)index_meta(t, "format", &format);
	atomic_store(&s->applied, applied);
	return format == INDEX_FORMAT ||
	       fault_set(why, FAULT_OPERATOR, "%s/index: was written by another version; start the member, or run \"roost rebuild\"",
	                 s->dir);
}

struct store *store_open_reader(const struct store_options *o, struct kv_txn **t_r, struct fault *why)
{
	struct store *s = must_calloc(1, sizeof(*s));
	char *journal = must_printf("%s/journal", o->dir);
	struct kv_txn *t = NULL;

	s->dir = must_strdup(o->dir);
	s->lock_fd = -1;
	if (store_open_kv(s, o, true, why) && (t = kv_read(s->kv, why)) != NULL &&
	    journal_open(&s->journal, journal, 1 << 20, true, why) && read_meta(s, t, why)) {
		free(journal);
		if (t_r != NULL)
			*t_r = t;
		else
			kv_end(&t);
		return s;
	}
	kv_end(&t);
	free(journal);
	kv_close(&s->kv);
	if (s->journal.dir != NULL)
		journal_close(&s->journal);
	free(s->dir);
	free(s);
	return NULL;
}

void store_close_reader(struct store *s)
{
	kv_close(&s->kv);
	journal_close(&s->journal);
	free(s->dir);
	free(s);
}

bool store_dump(const struct store_options *options, FILE *out, struct fault *why)
{
	struct store *s = store_open_reader(options, NULL, why);
	bool ok = s != NULL && dump_view(s, out, why);

	if (s != NULL)
		store_close_reader(s);
	return ok;
}

bool store_each_mailbox(const struct store_options *options, store_mailbox_fn *fn, void *arg, struct fault *why)
{
	struct store *s = store_open_reader(options, NULL, why);
	struct store_view *v = s == NULL ? NULL : store_view_open(s, why);
	struct view_names it;
	struct bytes name;
	mailbox_id_t id;
	bool ok = v != NULL;

	if (ok) {
		store_view_names(v, BYTES_NONE, &it);
		while (ok && view_names_next(&it, &name, &id)) {
			struct mailbox m;

			ok = store_view_mailbox_by_id(v, id, &m, why) == STORE_OK;
			if (ok)
				fn(arg, m.name, m.partition, m.acl);
		}
		view_names_end(&it);
	}
	store_view_close(&v);
	if (s != NULL)
		store_close_reader(s);
	return ok;
}

/* Counters of a mailbox against its messages, and references of bodies. */
struct verify {
	struct store *s;
	struct kv_txn *t;
	FILE *out;
	uint64_t problems, mailboxes, messages, bodies;
	uint64_t digest; /* of the records seen */
	struct map roots; /* quota roots by name -> what their mailboxes come to, in ARENA */
	struct arena arena;
};

/* What the root of M has to have. */
static void add_to_root(struct verify *v, const struct mailbox *m)
{
	struct quota q;
	uint64_t *sum;

	if (index_quota_of(v->t, m->name, &q) != KV_OK)
		return;
	sum = map_get(&v->roots, q.root);
	if (sum == NULL) {
		sum = arena_zalloc(&v->arena, QUOTA_RESOURCES * sizeof(*sum));
		(void)map_put(&v->roots, q.root, sum);
	}
	sum[QUOTA_STORAGE] += m->bytes;
	sum[QUOTA_MESSAGE] += m->exists;
	sum[QUOTA_MAILBOX]++;
}

static void verify_quotas(struct verify *v)
{
	static const uint64_t none[QUOTA_RESOURCES];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(v->t, T_QUOTA, BYTES_NONE, &key, &value);

	for (bool has = c != NULL; has; has = kv_next(c, &key, &value)) {
		struct quota q;
		const uint64_t *sum = map_get(&v->roots, key);

		v->digest += digest_of(key, value);
		if (index_quota(v->t, key, &q) == KV_OK && memcmp(q.used, sum == NULL ? none : sum, sizeof(q.used)) == 0 &&
		    index_has_below(v->t, key))
			continue;
		v->problems++;
		(void)fprintf(v->out, "quota root ");
		put_text(v->out, key);
		(void)fprintf(v->out, ": its record is damaged, or its counters differ from its mailboxes\n");
	}
	kv_cursor_end(&c);
	map_fini(&v->roots);
	arena_fini(&v->arena);
}

static void problem(struct verify *v, const struct mailbox *m, const char *what)
{
	v->problems++;
	(void)fprintf(v->out, "mailbox ");
	put_text(v->out, m->name);
	(void)fprintf(v->out, ": %s\n", what);
}

static void verify_mailbox(struct verify *v, const struct mailbox *m)
{
	struct mailbox sum = { 0 };
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(v->t, T_MESSAGE, bytes_make(start, key_message(start, m->id, 0)), &key, &value);
	bool has = c != NULL;

	for (; has && key_read_u64(key, 0) == m->id; has = kv_next(c, &key, &value)) {
		struct message msg;
		struct index_body b;

		if (!index_decode_message(key, value, &msg)) {
			problem(v, m, "a message's record is damaged");
			continue;
		}
		v->messages++;
		sum.exists++;
		sum.bytes += msg.size;
		sum.digest += digest_of(key, value);
		sum.unseen += (msg.flags & IMAP_FLAG_SEEN) == 0;
		sum.deleted += (msg.flags & IMAP_FLAG_DELETED) != 0;
		if (msg.uid >= m->uidnext || msg.modseq > m->highestmodseq)
			problem(v, m, "a message is beyond UIDNEXT or HIGHESTMODSEQ");
		if (index_body(v->t, msg.body, &b) != KV_OK || b.size != msg.size)
			problem(v, m, "a message has no body, or one of another size");
	}
	kv_cursor_end(&c);
	v->mailboxes++;
	if (sum.exists != m->exists || sum.bytes != m->bytes || sum.unseen != m->unseen || sum.deleted != m->deleted || sum.digest != m->digest)
		problem(v, m, "the counters or the digest differ from the messages");
}

/* The octets themselves were checked with the journal: what is left is that the index speaks of the same. */
static bool is_body(struct verify *v, lsn_t lsn)
{
	struct bytes head, body;
	struct arena a = { 0 };
	struct index_body b;
	struct entry e;
	struct fault why;
	bool ok = index_body(v->t, lsn, &b) == KV_OK && journal_find(&v->s->journal, lsn, &head, &body, &why) && body.n == b.size;

	if (ok && entry_read(head, body, false, &a, &e, &why))
		ok = e.body_hash == b.hash;
	else
		ok = ok && entry_hash(body) == b.hash;
	arena_fini(&a);
	return ok;
}

/* Whether the index still has it: a daemon beside may have expunged it, and given its room back, since the snapshot. */
static bool is_still_there(const struct verify *v, lsn_t body)
{
	struct index_body b;
	struct fault why;
	struct kv_txn *t = kv_read(v->s->kv, &why);
	bool is = t == NULL || index_body(t, body, &b) != KV_NOT_FOUND;

	kv_end(&t);
	return is;
}

static void verify_bodies(struct verify *v)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(v->t, T_BODY, BYTES_NONE, &key, &value);
	bool has = c != NULL;

	for (; has; has = kv_next(c, &key, &value)) {
		lsn_t lsn = key_read_u64(key, 0);

		v->bodies++;
		if (!is_body(v, lsn)) {
			if (!is_still_there(v, lsn))
				continue;
			v->problems++;
			(void)fprintf(v->out, "body of entry %llu: missing, or not the one that the index means\n", (unsigned long long)lsn);
		}
	}
	kv_cursor_end(&c);
}

/* What is kept has its body, and its row in the order of time. */
static void verify_kept(struct verify *v)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(v->t, T_EXPUNGED, BYTES_NONE, &key, &value);
	uint64_t rows = 0;
	bool has = c != NULL;

	for (; has; has = kv_next(c, &key, &value)) {
		struct message m;
		struct index_body b;
		int64_t time;

		rows++;
		if (index_decode_kept(key, value, &m, &time) && index_body(v->t, m.body, &b) == KV_OK && b.size == m.size)
			continue;
		v->problems++;
		(void)fprintf(v->out, "mailbox %llu: expunged message %u has no body, or one of another size\n",
		              (unsigned long long)key_read_u64(key, 0), key_read_u32(key, 8));
	}
	kv_cursor_end(&c);
	if (rows == kv_count(v->t, T_EXPUNGED_ORDER))
		return;
	v->problems++;
	(void)fprintf(v->out, "%llu expunged messages are kept, but their order has %llu\n", (unsigned long long)rows,
	              (unsigned long long)kv_count(v->t, T_EXPUNGED_ORDER));
}

/* A damaged checkpoint is only passed over, but whoever looks should know. */
static void verify_checkpoints(struct verify *v)
{
	lsn_t *lsns;
	size_t count;
	struct fault why;

	if (!checkpoint_list(v->s->journal.dir, &lsns, &count, &why))
		return;
	for (size_t i = 0; i < count; i++) {
		char *path = checkpoint_path(v->s->journal.dir, lsns[i]);
		struct checkpoint_reader r = { 0 };

		/* A running daemon may have removed it since. */
		if (!checkpoint_file_read(v->s->journal.dir, lsns[i], &r, &why) && access(path, F_OK) == 0) {
			v->problems++;
			(void)fprintf(v->out, "%s (the next start goes by an older one; remove it)\n", why.what);
		}
		checkpoint_reader_fini(&r);
		free(path);
	}
	free(lsns);
}

/* What is said of something that is not there. */
static void verify_attributes(struct verify *v)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(v->t, T_ATTRIBUTE, BYTES_NONE, &key, &value);

	for (bool has = c != NULL; has; has = kv_next(c, &key, &value)) {
		mailbox_id_t id = key_read_u64(key, 0);
		struct attribute of;
		struct mailbox m;
		struct message msg;

		v->digest += digest_of(key, value);
		if (index_decode_attribute(key, value, &of) && (id == 0 ? of.uid == 0 : index_mailbox(v->t, id, &m) == KV_OK) &&
		    (of.uid == 0 || index_message(v->t, id, of.uid, &msg) == KV_OK))
			continue;
		v->problems++;
		(void)fprintf(v->out, "mailbox %llu: an attribute of what is not there (message %u)\n", (unsigned long long)id,
		              key_read_u32(key, 8));
	}
	kv_cursor_end(&c);
}

/* The records of mailboxes, attributes and quota roots, summed up already, and of subscriptions against their sum. */
static void verify_digest(struct verify *v)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(v->t, T_SUBSCRIPTION, BYTES_NONE, &key, &value);
	uint64_t all;

	for (bool has = c != NULL; has; has = kv_next(c, &key, &value))
		v->digest += digest_of(key, value);
	kv_cursor_end(&c);
	if (index_meta(v->t, "digest", &all) == KV_OK && all == v->digest)
		return;
	v->problems++;
	(void)fprintf(v->out, "the digest of all mailboxes, subscriptions, attributes and quota roots is not that of their records\n");
}

bool store_verify(const struct store_options *options, FILE *out, uint64_t *problems_r, struct fault *why)
{
	struct kv_txn *t = NULL;
	struct store *s = store_open_reader(options, &t, why);
	struct verify v = { .s = s, .t = t, .out = out };
	struct pace pace;
	struct bytes key, value;
	struct kv_cursor *c;
	bool has;

	if (s == NULL)
		return false;
	c = kv_seek(v.t, T_MAILBOX, BYTES_NONE, &key, &value);
	for (has = c != NULL; has; has = kv_next(c, &key, &value)) {
		struct mailbox m;

		v.digest += digest_of(key, value);
		if (index_mailbox(v.t, key_read_u64(key, 0), &m) == KV_OK) {
			verify_mailbox(&v, &m);
			add_to_root(&v, &m);
		} else {
			v.problems++;
			(void)fprintf(out, "mailbox %llu: its record is damaged\n", (unsigned long long)key_read_u64(key, 0));
		}
	}
	kv_cursor_end(&c);
	verify_attributes(&v);
	verify_quotas(&v);
	verify_digest(&v);
	verify_bodies(&v);
	verify_kept(&v);
	verify_checkpoints(&v);
	if (kv_has_failed(v.t)) {
		v.problems++;
		(void)fprintf(out, "the index cannot be read to its end\n");
	}
	kv_end(&v.t);
	/* This takes longest, and needs no snapshot that keeps a daemon's index from using its pages again. */
	pace_init(&pace, options->verify_rate);
	s->journal.pace = &pace;
	for (size_t i = 0; i < s->journal.count; i++)
		v.problems += journal_verify_segment(&s->journal, i, s->journal.last, out);
	if (v.problems == 0)
		(void)fprintf(out, "ok: %llu entries, %llu applied, %llu mailboxes, %llu messages, %llu bodies\n",
		              (unsigned long long)s->journal.last, (unsigned long long)store_applied_lsn(s),
		              (unsigned long long)v.mailboxes, (unsigned long long)v.messages, (unsigned long long)v.bodies);
	*problems_r = v.problems;
	store_close_reader(s);
	return true;
}

bool store_rebuild(const struct store_options *options, FILE *out, struct fault *why)
{
	struct store_options o = *options;
	uint64_t problems;
	struct store *s;

	o.rebuilds = true;
	s = store_open(&o, why);
	if (s == NULL)
		return false;
	(void)fprintf(out, "rebuilt: %llu entries in the journal, applied up to %llu\n", (unsigned long long)store_last_lsn(s),
	              (unsigned long long)store_applied_lsn(s));
	store_close(&s);
	/* The index needs no body: what is wrong with one is found only by looking. */
	if (!store_verify(options, out, &problems, why))
		return false;
	return problems == 0 || fault_set(why, FAULT_OPERATOR,
	                                  "%s: the index is made, but the journal has %llu problems (above): restore this member from "
	                                  "the other",
	                                  options->dir, (unsigned long long)problems);
}
