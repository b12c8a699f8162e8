/* store_lib.h - what the tests of store/ share: stores in a temporary directory, intents one by one, and some life. */
#ifndef ROOST_UNIT_STORE_LIB_H
#define ROOST_UNIT_STORE_LIB_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "imap_flags.h"
#include "store.h"
#include "store_copy.h"
#include "store_tool.h"
#include "store_view.h"

static char base[64];

static inline struct store_options options(const char *name)
{
	static char dirs[4][128];
	static int next;
	char *dir = dirs[next++ % 4];

	(void)snprintf(dir, 128, "%s/%s", base, name);
	return (struct store_options){ .dir = dir, .map_size = 64u << 20, .segment_size = 128u << 10 };
}

static inline struct store *must_open(const char *name)
{
	struct store_options o = options(name);
	struct fault why;
	struct store *s = store_open(&o, &why);

	if (s == NULL)
		fail_msg("%s", why.what);
	return s;
}

static inline char *dump(struct store *s)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct fault why;

	assert_true(store_dump_open(s, f, &why));
	(void)fclose(f);
	return text;
}

static inline void flush(struct store *s)
{
	struct fault why;

	if (store_flush_begin(s)) {
		store_flush_run(s);
		assert_true(store_flush_done(s, &why));
	}
}

static const uint32_t epoch = 1;

/* One intent in a turn of its own. */
static inline struct intent_answer run(struct store *s, struct intent in, struct arena *a)
{
	struct intent_answer out;
	struct fault why;

	assert_int_equal(store_reserve_space(s, intent_cost(&in), &why), STORE_OK);
	assert_int_equal(store_turn_begin(s, epoch, &why), STORE_OK);
	store_turn_add(s, &in, a, &out);
	flush(s);
	assert_int_equal(store_turn_commit(s, store_last_lsn(s), NULL, &why), STORE_OK);
	return out;
}

static inline struct intent create(const char *name)
{
	return (struct intent){ .op = INTENT_CREATE, .create = { .name = bytes_of(name), .acl = BYTES_LIT("fred\tlrs\t"), .partition = BYTES_LIT("default") } };
}

static inline enum store_result append(struct store *s, const char *name, const char *body, const char *op_id, uint32_t *uid_r)
{
	struct arena a = { 0 };
	struct bytes keyword = BYTES_LIT("k1");
	struct append_target t = { .mailbox = bytes_of(name), .flags = IMAP_FLAG_SEEN, .keywords = &keyword, .keyword_count = 1,
		                   .internaldate = 1000 };
	struct intent in = { .op = INTENT_APPEND,
		             .append = { &t, 1, bytes_of(op_id), bytes_of(body), BYTES_LIT("structure"), BYTES_NONE } };
	struct intent_answer out = run(s, in, &a);

	arena_fini(&a);
	if (uid_r != NULL)
		*uid_r = t.uid;
	return out.result;
}

/* COUNT messages to NAME at once; REPLACED (0: none) of SOURCE goes. */
static inline struct intent_answer place(struct store *s, const char *name, size_t count, const char *body, mailbox_id_t source,
                                         uint32_t replaced)
{
	struct arena a = { 0 };
	struct bytes keyword = BYTES_LIT("k2");
	struct place_message *m = arena_array(&a, count, sizeof(*m));
	struct intent in = { .op = INTENT_PLACE, .place = { bytes_of(name), m, count, replaced == 0 ? 0 : source, replaced } };
	struct intent_answer out;

	for (size_t i = 0; i < count; i++)
		m[i] = (struct place_message){ .body = bytes_from(bytes_of(body), i), .structure = BYTES_LIT("structure"),
			                       .flags = i == 0 ? IMAP_FLAG_DRAFT : 0, .keywords = &keyword, .keyword_count = i % 2,
			                       .internaldate = 2000 + (int64_t)i };
	out = run(s, in, &a);
	if (out.new_uid_count > 0)
		out.message_count = out.new_uids[0].first; /* for who asks once the arena is gone */
	out.uids = out.new_uids = NULL;
	arena_fini(&a);
	return out;
}

/* TO gets in its journal what FROM has more. */
static inline void follow_entries(struct store *from, struct store *to)
{
	struct buffer raw = { 0 };
	struct fault why;
	lsn_t last = store_last_lsn(to);

	while (last < store_last_lsn(from)) {
		struct bytes rest;
		lsn_t lsn;
		epoch_t e;
		uint64_t n;

		buffer_clear(&raw);
		assert_int_equal(store_read_entries(from, last + 1, 4096, &raw, &last, &why), STORE_OK);
		for (rest = buffer_bytes(&raw); rest.n > 0; rest = bytes_from(rest, (size_t)n)) {
			struct bytes one = rest;
			enum store_follow result;

			assert_true(store_entry_peek(rest, &lsn, &e, &n));
			one.n = (size_t)n;
			result = store_follow_append(to, one, &why);
			if (result == STORE_FOLLOW_BUSY) { /* of a new segment */
				flush(to);
				result = store_follow_append(to, one, &why);
			}
			if (result != STORE_FOLLOW_OK)
				fail_msg("%s", why.what);
		}
		flush(to);
	}
	buffer_fini(&raw);
}

/* And has them applied. */
static inline void copy_entries(struct store *from, struct store *to)
{
	struct fault why;

	follow_entries(from, to);
	while (store_applied_lsn(to) < store_last_lsn(to))
		assert_int_equal(store_apply_committed(to, store_last_lsn(to), NULL, &why), STORE_OK);
}

/* OF's value of mailbox NAME; NULL: remove it. */
static inline struct intent_answer set_attribute(struct store *s, const char *mailbox, const char *user, const char *name,
                                                 const char *value, struct arena *a)
{
	const struct attribute_change c = { .user = bytes_of(user), .name = bytes_of(name), .value = bytes_of(value), .is_set = value != NULL };

	return run(s, (struct intent){ .op = INTENT_ATTRIBUTE,
	                               .attribute = { .name = bytes_of(mailbox), .changes = { .at = &c, .count = 1, .most = 10 } } }, a);
}

/* Of messages. */
static inline struct intent_answer annotate(struct store *s, mailbox_id_t id, struct uid_range uids, const char *user,
                                            const char *name, const char *value, struct arena *a)
{
	const struct attribute_change c = { .user = bytes_of(user), .name = bytes_of(name), .value = bytes_of(value), .is_set = value != NULL };

	return run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .mailbox = id, .uids = &uids, .uid_count = 1,
	                                                                      .changes = { .at = &c, .count = 1, .most = 10 } } }, a);
}

static inline void set_some_attribute(struct store *s, unsigned *seed)
{
	struct arena a = { 0 };
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct mailbox m = { 0 };
	char mailbox[32];
	const struct uid_range uids = { 1, 1 + (uint32_t)rand_r(seed) % 20 };
	const char *user = rand_r(seed) % 2 ? "" : "fred", *name = rand_r(seed) % 2 ? "/shared/a" : "/b";
	char value[32];

	(void)snprintf(mailbox, sizeof(mailbox), "user.fred.%d", rand_r(seed) % 5);
	(void)store_view_mailbox(v, bytes_of(mailbox), &m, &why);
	store_view_close(&v);
	(void)snprintf(value, sizeof(value), "%d", rand_r(seed) % 100);
	switch (rand_r(seed) % 3) {
	case 0:
		(void)set_attribute(s, "", user, name, rand_r(seed) % 4 ? value : NULL, &a);
		break;
	case 1:
		(void)set_attribute(s, mailbox, user, name, rand_r(seed) % 4 ? value : NULL, &a);
		break;
	case 2:
		(void)annotate(s, m.id, uids, user, name, rand_r(seed) % 4 ? value : NULL, &a);
		break;
	}
	arena_fini(&a);
}

static inline void some_life(struct store *s, unsigned seed)
{
	static char body[20000];
	struct arena a = { 0 };
	unsigned other = seed;

	memset(body, 'x', sizeof(body) - 1);
	srand(seed);
	for (int i = 0; i < 300; i++) {
		char name[32];
		struct uid_range r = { 1 + (uint32_t)rand() % 5, 5 + (uint32_t)rand() % 5 };
		struct bytes keyword = rand() % 2 ? BYTES_LIT("k1") : BYTES_LIT("other");
		struct store_view *v;
		struct mailbox m;
		struct fault why;
		mailbox_id_t id;

		if (i % 8 == 0)
			set_some_attribute(s, &other);
		(void)snprintf(name, sizeof(name), "user.fred.%d", rand() % 5);
		v = store_view_open(s, &why);
		id = store_view_mailbox(v, bytes_of(name), &m, &why) == STORE_OK ? m.id : 0;
		store_view_close(&v);
		switch (id == 0 ? 0 : rand() % 9) {
		case 0:
			(void)run(s, create(name), &a);
			break;
		case 1:
		case 2:
		case 3:
			body[rand() % 19000] = 'y';
			(void)append(s, name, body + rand() % 19000, "", NULL);
			break;
		case 8:
			(void)place(s, name, 1 + (size_t)rand() % 4, body + rand() % 19000, id, rand() % 2 ? 0 : r.first);
			break;
		case 4:
			(void)run(s, (struct intent){ .op = INTENT_STORE, .store = { id, &r, 1, (enum intent_store_how)(rand() % 3),
			                                                             (uint32_t)rand() % 32, &keyword, 1, false, 0 } }, &a);
			break;
		case 5:
			(void)run(s, (struct intent){ .op = INTENT_EXPUNGE, .expunge = { id, &r, 1, false, true } }, &a);
			break;
		case 6:
			(void)run(s, (struct intent){ .op = rand() % 2 ? INTENT_COPY : INTENT_MOVE,
			                              .copy = { .mailbox = id, .uids = &r, .uid_count = 1, .target = BYTES_LIT("user.fred.0"), .user = BYTES_LIT("fred") } }, &a);
			break;
		case 7:
			if (rand() % 4 == 0)
				(void)run(s, (struct intent){ .op = INTENT_DELETE, .delete = { bytes_of(name) } }, &a);
			else
				(void)run(s, (struct intent){ .op = INTENT_SUBSCRIBE,
				                              .subscribe = { BYTES_LIT("fred"), bytes_of(name) } }, &a);
			break;
		}
		arena_fini(&a);
	}
}

static inline uint64_t verify(const char *name)
{
	struct store_options o = options(name);
	uint64_t problems = 99;
	struct fault why;

	assert_true(store_verify(&o, stdout, &problems, &why));
	return problems;
}

static inline int make_base(void **state)
{
	(void)state;
	(void)snprintf(base, sizeof(base), "/tmp/roost-test-store-XXXXXX");
	return mkdtemp(base) == NULL;
}

static inline int drop_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static inline int drop_base(void **state)
{
	(void)state;
	return nftw(base, drop_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Journal what is applied as a checkpoint. */
static inline void checkpoint(struct store *s)
{
	struct fault why;

	assert_true(store_checkpoint_begin(s, &why));
	store_checkpoint_run(s);
	if (!store_checkpoint_done(s, &why))
		fail_msg("%s", why.what);
}

#endif
