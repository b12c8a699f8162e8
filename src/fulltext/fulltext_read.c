/* fulltext_read.c - asking: the trigrams of a string, all of which a text that holds it must have. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "fulltext_private.h"
#include "utf8.h"

/* Trigrams asked for; of a longer string some that stand apart. More would not make the hits fewer to speak of. */
#define GRAMS_MAX 16

struct fulltext_reader {
	sqlite3 *db;
	sqlite3_stmt *mailbox, *find;
	bool is_open;
};

enum fulltext_result fulltext_reader_open(const char *path, struct fulltext_reader **r_r, struct fault *why)
{
	struct fulltext_reader *r = must_calloc(1, sizeof(*r));
	enum fulltext_result result;
	int rc;

	*r_r = NULL;
	r->db = fulltext_connect(path, false, &result, why);
	if (r->db == NULL) {
		free(r);
		return result;
	}
	rc = sqlite3_prepare_v3(r->db, "SELECT scope, next FROM mailbox WHERE id = ?1", -1, SQLITE_PREPARE_PERSISTENT, &r->mailbox, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(r->db,
		                        "SELECT text.body FROM texts CROSS JOIN text ON text.id = (texts.rowid & ~2147483648)"
		                        " WHERE texts MATCH ?1 AND texts.rowid BETWEEN ?2 AND ?3",
		                        -1, SQLITE_PREPARE_PERSISTENT, &r->find, NULL);
	result = fulltext_result_of(r->db, rc, why);
	if (result != FULLTEXT_OK)
		fulltext_reader_close(&r);
	*r_r = r;
	return result;
}

void fulltext_reader_close(struct fulltext_reader **r)
{
	if (*r == NULL)
		return;
	(void)sqlite3_finalize((*r)->mailbox);
	(void)sqlite3_finalize((*r)->find);
	(void)sqlite3_close((*r)->db);
	free(*r);
	*r = NULL;
}

void fulltext_read_end(struct fulltext_reader *r)
{
	if (r->is_open)
		(void)sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
	r->is_open = false;
}

enum fulltext_result fulltext_read_begin(struct fulltext_reader *r, uint64_t mailbox, struct fulltext_mailbox *m_r, struct fault *why)
{
	int rc = sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL);
	enum fulltext_result result;

	*m_r = (struct fulltext_mailbox){ 0 };
	r->is_open = rc == SQLITE_OK;
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(r->mailbox, 1, (int64_t)mailbox);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(r->mailbox);
	if (rc == SQLITE_ROW)
		*m_r = (struct fulltext_mailbox){ (uint32_t)sqlite3_column_int64(r->mailbox, 0), (uint32_t)sqlite3_column_int64(r->mailbox, 1) };
	result = fulltext_result_of(r->db, rc, why);
	(void)sqlite3_reset(r->mailbox);
	if (result != FULLTEXT_OK)
		fulltext_read_end(r);
	return result;
}

static size_t characters(struct bytes key)
{
	size_t count = 0;

	for (size_t i = 0; i < key.n; i += utf8_length(bytes_from(key, i)))
		count++;
	return count;
}

bool fulltext_may_ask(struct bytes key)
{
	return bytes_find(key, '\0') == key.n && characters(key) >= FULLTEXT_KEY_MIN;
}

static void add_gram(struct buffer *to, struct bytes gram)
{
	buffer_add_u8(to, '"');
	for (size_t i = 0; i < gram.n; i++) {
		if (gram.p[i] == '"')
			buffer_add_u8(to, '"');
		buffer_add_u8(to, gram.p[i]);
	}
	buffer_add_u8(to, '"');
}

/* ("abc" AND "bcd") OR what is in every text that is not whole. */
static void write_query(struct buffer *to, struct bytes key)
{
	size_t grams = characters(key) - 2, every = (grams + GRAMS_MAX - 1) / GRAMS_MAX, at = 0;
	bool is_first = true;

	buffer_add_u8(to, '(');
	for (size_t i = 0; i < grams; i++) {
		size_t n = 0;

		/* The last one as well: of a long string the end is often what tells it from others. */
		if (i % every == 0 || i == grams - 1) {
			for (unsigned k = 0; k < 3; k++)
				n += utf8_length(bytes_from(key, at + n));
			if (!is_first)
				buffer_add_str(to, " AND ");
			add_gram(to, bytes_sub(key, at, n));
			is_first = false;
		}
		at += utf8_length(bytes_from(key, at));
	}
	buffer_add_str(to, ") OR ");
	add_gram(to, BYTES_LIT(FULLTEXT_UNKNOWN));
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int collect(sqlite3_stmt *s, size_t limit, struct fulltext_hits *hits)
{
	size_t cap = 0;
	int rc;

	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (hits->count == limit) {
			hits->is_over = true;
			return SQLITE_DONE;
		}
		if (hits->count == cap) {
			cap = cap == 0 ? 256 : cap * 2;
			hits->bodies = must_realloc(hits->bodies, cap, sizeof(*hits->bodies));
		}
		hits->bodies[hits->count++] = (uint64_t)sqlite3_column_int64(s, 0);
	}
	return rc;
}

/* Ascending, each once. Mostly they are already: bodies grow as texts are added. */
static void tidy(struct fulltext_hits *hits)
{
	bool is_tidy = true;
	size_t n = 0;

	for (size_t i = 1; is_tidy && i < hits->count; i++)
		is_tidy = hits->bodies[i - 1] < hits->bodies[i];
	if (is_tidy)
		return;
	qsort(hits->bodies, hits->count, sizeof(*hits->bodies), compare);
	for (size_t i = 0; i < hits->count; i++) {
		if (n == 0 || hits->bodies[n - 1] != hits->bodies[i])
			hits->bodies[n++] = hits->bodies[i];
	}
	hits->count = n;
}

enum fulltext_result fulltext_find(struct fulltext_reader *r, uint32_t scope, unsigned kinds, struct bytes key, size_t limit,
                                   struct fulltext_hits *hits_r, struct fault *why)
{
	struct buffer query = { 0 };
	enum fulltext_result result;
	int64_t first = FULLTEXT_ROW(scope, (kinds & FULLTEXT_HEADER) != 0 ? 0 : FULLTEXT_BODY_BIT);
	int64_t last = FULLTEXT_ROW(scope, (kinds & FULLTEXT_BODY) != 0 ? UINT32_MAX : FULLTEXT_NUMBER_MAX);
	int rc;

	*hits_r = (struct fulltext_hits){ 0 };
	write_query(&query, key);
	rc = sqlite3_bind_text64(r->find, 1, (const char *)query.p, query.n, SQLITE_STATIC, SQLITE_UTF8);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(r->find, 2, first);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(r->find, 3, last);
	if (rc == SQLITE_OK)
		rc = collect(r->find, limit, hits_r);
	result = fulltext_result_of(r->db, rc, why);
	(void)sqlite3_reset(r->find);
	(void)sqlite3_clear_bindings(r->find);
	buffer_fini(&query);
	if (result != FULLTEXT_OK || hits_r->is_over) {
		free(hits_r->bodies);
		*hits_r = (struct fulltext_hits){ .is_over = hits_r->is_over };
		return result;
	}
	tidy(hits_r);
	return FULLTEXT_OK;
}
