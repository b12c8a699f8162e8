/* fulltext.c - the writer's side: the file, its tables, and transactions.
 *
 * "texts" is a contentless FTS5 table of trigrams with the documents they occur in, without positions (detail=none); "text" tells which
 * body a document is. FTS5 keeps sorted runs that it merges by and by, so that writing is sequential whatever the texts are; it does not
 * forget documents of a contentless table, so what is gone stays until the index is made anew.
 *
 * Write-ahead log, synced at its checkpoints only (synchronous=NORMAL): an indexed message is not a promise. */
#include "fulltext.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fulltext_private.h"

#define STRINGIFY(x) #x
#define STRING(x) STRINGIFY(x)

#define BUSY_MS 10000
/* Octets: pages kept, by whoever writes and by a reader; texts not yet in a sorted run; the log at its checkpoint, in pages. */
#define WRITER_CACHE "-8192"
#define READER_CACHE "-2048"
#define HASH_SIZE "8388608"
#define LOG_PAGES 4096

enum statement {
	S_BEGIN,
	S_COMMIT,
	S_ROLLBACK,
	S_FACT,
	S_PUT_FACT,
	S_SCOPE,
	S_NEW_SCOPE,
	S_MAILBOX,
	S_PUT_MAILBOX,
	S_HAS,
	S_LAST,
	S_ADD,
	S_ADD_TEXT,
	S_COUNT,
};

static const char *const statements[S_COUNT] = {
	[S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_ROLLBACK] = "ROLLBACK",
	[S_FACT] = "SELECT value FROM fact WHERE id = ?1",
	[S_PUT_FACT] = "INSERT OR REPLACE INTO fact(id, value) VALUES(?1, ?2)",
	[S_SCOPE] = "SELECT id FROM scope WHERE name = ?1",
	[S_NEW_SCOPE] = "INSERT INTO scope(name) VALUES(?1)",
	[S_MAILBOX] = "SELECT scope, next FROM mailbox WHERE id = ?1",
	[S_PUT_MAILBOX] = "INSERT OR REPLACE INTO mailbox(id, scope, next) VALUES(?1, ?2, ?3)",
	[S_HAS] = "SELECT 1 FROM text WHERE body = ?1 AND id BETWEEN ?2 AND ?3",
	[S_LAST] = "SELECT max(id) FROM text WHERE id BETWEEN ?1 AND ?2",
	[S_ADD] = "INSERT INTO text(id, body) VALUES(?1, ?2)",
	[S_ADD_TEXT] = "INSERT INTO texts(rowid, content) VALUES(?1, ?2)",
};

struct fulltext {
	sqlite3 *db;
	sqlite3_stmt *s[S_COUNT];
	uint64_t texts, texts_before; /* as of now, and at the transaction's beginning */
	uint64_t facts[FULLTEXT_FACTS], facts_before[FULLTEXT_FACTS];
	bool is_open; /* a transaction */
	enum fulltext_result result;
	struct fault why;
	uint32_t scope; /* to which a text was added last in this transaction; 0: none */
	int64_t last;   /* its row */
	uint8_t *text;  /* a copy without NUL and with what marks it; owned */
	size_t text_cap;
	int log_pages;  /* in the log, as of the last commit */
};

enum fulltext_result fulltext_result_of(sqlite3 *db, int rc, struct fault *why)
{
	const char *path = db != NULL ? sqlite3_db_filename(db, "main") : NULL;
	int extended = db != NULL ? sqlite3_extended_errcode(db) : rc;
	enum fulltext_result result;

	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return FULLTEXT_OK;
	case SQLITE_FULL:
		result = FULLTEXT_NO_SPACE;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		result = FULLTEXT_DAMAGED;
		break;
	case SQLITE_IOERR:
		if ((extended & 0xff) != SQLITE_IOERR)
			extended = rc;
		result = extended == SQLITE_IOERR_DATA || extended == SQLITE_IOERR_READ || extended == SQLITE_IOERR_SHORT_READ ||
		                         extended == SQLITE_IOERR_CORRUPTFS ?
		                 FULLTEXT_DAMAGED :
		                 FULLTEXT_FAILED;
		break;
	default:
		result = FULLTEXT_FAILED;
	}
	(void)fault_set(why, FAULT_OPERATOR, "%s: %s (SQLite's code %d)", path != NULL ? path : "the search index",
	                db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc), extended);
	return result;
}

/* The number that SQL, which has no parameters, answers in its one row. */
static int ask_number(sqlite3 *db, const char *sql, int64_t *value_r)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(s);
		*value_r = sqlite3_column_int64(s, 0);
		rc = rc == SQLITE_ROW ? SQLITE_OK : rc;
	}
	(void)sqlite3_finalize(s);
	return rc;
}

static int make(sqlite3 *db)
{
	static const char schema[] = "PRAGMA page_size = " STRING(FULLTEXT_PAGE) ";"
		"PRAGMA journal_mode = WAL;"
		"BEGIN IMMEDIATE;"
		"CREATE TABLE fact(id INTEGER PRIMARY KEY, value INTEGER NOT NULL);"
		"CREATE TABLE scope(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);"
		"CREATE TABLE mailbox(id INTEGER PRIMARY KEY, scope INTEGER NOT NULL, next INTEGER NOT NULL);"
		"CREATE TABLE text(id INTEGER PRIMARY KEY, body INTEGER NOT NULL);"
		"CREATE UNIQUE INDEX text_body ON text(body, id);"
		"CREATE VIRTUAL TABLE texts USING fts5(content, content='', detail=none, columnsize=0,"
		" tokenize='trigram case_sensitive 1');"
		"INSERT INTO texts(texts, rank) VALUES('hashsize', " HASH_SIZE ");"
		"PRAGMA application_id = " STRING(FULLTEXT_APPLICATION) ";"
		"PRAGMA user_version = " STRING(FULLTEXT_FORMAT) ";"
		"COMMIT;";
	int reserved = 8;
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);

	return rc != SQLITE_OK ? rc : sqlite3_exec(db, schema, NULL, NULL, NULL);
}

/* Ours, of this format and with room for the hashes; made where there is nothing. */
static enum fulltext_result check(sqlite3 *db, const char *path, bool may_write, struct fault *why)
{
	int64_t pages = 0, application = 0, format = 0, size = 0;
	int rc = ask_number(db, "PRAGMA page_count", &pages);

	if (rc == SQLITE_OK && pages == 0 && may_write)
		rc = make(db);
	if (rc == SQLITE_OK)
		rc = ask_number(db, "PRAGMA application_id", &application);
	if (rc == SQLITE_OK)
		rc = ask_number(db, "PRAGMA user_version", &format);
	if (rc == SQLITE_OK)
		rc = ask_number(db, "PRAGMA page_size", &size);
	if (rc != SQLITE_OK)
		return fulltext_result_of(db, rc, why);
	if (application == FULLTEXT_APPLICATION && format == FULLTEXT_FORMAT && size == FULLTEXT_PAGE)
		return FULLTEXT_OK;
	(void)fault_set(why, FAULT_OPERATOR, "%s: not a search index of format %d", path, FULLTEXT_FORMAT);
	return FULLTEXT_DAMAGED;
}

sqlite3 *fulltext_connect(const char *path, bool may_write, enum fulltext_result *result_r, struct fault *why)
{
	const char *vfs = fulltext_vfs();
	sqlite3 *db = NULL;
	int rc;

	if (vfs == NULL) {
		(void)fault_set(why, FAULT_OPERATOR, "SQLite was built without threads (SQLITE_THREADSAFE=0) or files");
		*result_r = FULLTEXT_FAILED;
		return NULL;
	}
	/* Readers share memory with the writer, so they write as well, if not to the database. */
	rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | (may_write ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX, vfs);
	if (rc == SQLITE_OK) {
		(void)sqlite3_extended_result_codes(db, 1);
		(void)sqlite3_busy_timeout(db, BUSY_MS);
		rc = sqlite3_exec(db, may_write ? "PRAGMA cache_size = " WRITER_CACHE "; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF;"
		                                  "PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY" :
		                                  "PRAGMA cache_size = " READER_CACHE "; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY",
		                  NULL, NULL, NULL);
	}
	*result_r = rc == SQLITE_OK ? check(db, path, may_write, why) : fulltext_result_of(db, rc, why);
	if (*result_r == FULLTEXT_OK)
		return db;
	(void)fault_context(why, "%s", path);
	(void)sqlite3_close(db);
	return NULL;
}

/* False always: what failed is remembered. */
static bool failed(struct fulltext *f, int rc)
{
	if (f->result == FULLTEXT_OK)
		f->result = fulltext_result_of(f->db, rc, &f->why);
	return false;
}

static bool is_failed(const struct fulltext *f)
{
	return f->result != FULLTEXT_OK;
}

/* One step of a statement whose values are bound, then ready again. HAS_ROW_R (NULL allowed): it gave a row, whose first two numbers
 * are A_R and B_R. */
static bool step(struct fulltext *f, enum statement which, bool *has_row_r, int64_t *a_r, int64_t *b_r)
{
	sqlite3_stmt *s = f->s[which];
	int rc = sqlite3_step(s);

	if (has_row_r != NULL)
		*has_row_r = rc == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL;
	if (rc == SQLITE_ROW && a_r != NULL)
		*a_r = sqlite3_column_int64(s, 0);
	if (rc == SQLITE_ROW && b_r != NULL)
		*b_r = sqlite3_column_int64(s, 1);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		(void)failed(f, rc);
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
	return !is_failed(f);
}

static bool number(struct fulltext *f, enum statement which, int at, int64_t v)
{
	int rc = sqlite3_bind_int64(f->s[which], at, v);

	return rc == SQLITE_OK || failed(f, rc);
}

/* B is borrowed until the statement is stepped. */
static bool blob(struct fulltext *f, enum statement which, int at, struct bytes b)
{
	int rc = sqlite3_bind_blob64(f->s[which], at, b.n > 0 ? (const void *)b.p : "", b.n, SQLITE_STATIC);

	return rc == SQLITE_OK || failed(f, rc);
}

static bool load(struct fulltext *f)
{
	int64_t value;
	bool has;
	int rc;

	for (int i = 0; i < S_COUNT; i++) {
		rc = sqlite3_prepare_v3(f->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &f->s[i], NULL);
		if (rc != SQLITE_OK)
			return failed(f, rc);
	}
	for (int i = 0; i < FULLTEXT_FACTS; i++) {
		if (!number(f, S_FACT, 1, i) || !step(f, S_FACT, &has, &value, NULL))
			return false;
		f->facts[i] = has ? (uint64_t)value : 0;
	}
	rc = ask_number(f->db, "SELECT count(*) FROM text", &value);
	if (rc != SQLITE_OK)
		return failed(f, rc);
	f->texts = (uint64_t)value;
	return true;
}

/* SQLite's wal_hook: after each commit. */
static int note_log(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct fulltext *f = arg;

	(void)db;
	(void)name;
	f->log_pages = pages;
	return SQLITE_OK;
}

enum fulltext_result fulltext_checkpoint(struct fulltext *f, struct fault *why)
{
	int rc;

	if (f->log_pages < LOG_PAGES)
		return FULLTEXT_OK;
	rc = sqlite3_wal_checkpoint_v2(f->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	/* A reader that is still there keeps part of it: the next time. */
	return rc == SQLITE_BUSY ? FULLTEXT_OK : fulltext_result_of(f->db, rc, why);
}

enum fulltext_result fulltext_open(const char *path, struct fulltext **f_r, struct fault *why)
{
	struct fulltext *f = must_calloc(1, sizeof(*f));
	enum fulltext_result result;

	*f_r = NULL;
	f->db = fulltext_connect(path, true, &result, why);
	if (f->db != NULL && !load(f)) {
		result = f->result;
		*why = f->why;
	}
	if (result != FULLTEXT_OK) {
		fulltext_close(&f);
		return result;
	}
	(void)sqlite3_wal_hook(f->db, note_log, f);
	*f_r = f;
	return FULLTEXT_OK;
}

void fulltext_close(struct fulltext **f)
{
	if (*f == NULL)
		return;
	for (int i = 0; i < S_COUNT; i++)
		(void)sqlite3_finalize((*f)->s[i]);
	(void)sqlite3_close((*f)->db);
	free((*f)->text);
	free(*f);
	*f = NULL;
}

uint64_t fulltext_texts(const struct fulltext *f)
{
	return f->texts;
}

uint64_t fulltext_fact(const struct fulltext *f, enum fulltext_fact fact)
{
	return f->facts[fact];
}

bool fulltext_begin(struct fulltext *f)
{
	f->texts_before = f->texts;
	memcpy(f->facts_before, f->facts, sizeof(f->facts));
	f->scope = 0;
	f->is_open = !is_failed(f) && step(f, S_BEGIN, NULL, NULL, NULL);
	return f->is_open;
}

enum fulltext_result fulltext_end(struct fulltext *f, bool is_kept, struct fault *why)
{
	enum fulltext_result result;
	bool was_open = f->is_open;

	f->is_open = false;
	if (was_open && is_kept && !is_failed(f))
		is_kept = step(f, S_COMMIT, NULL, NULL, NULL);
	result = f->result;
	if (result != FULLTEXT_OK)
		*why = f->why;
	if (was_open && (!is_kept || result != FULLTEXT_OK)) {
		/* What failed may have rolled it back already. */
		if (sqlite3_get_autocommit(f->db) == 0)
			(void)step(f, S_ROLLBACK, NULL, NULL, NULL);
		f->texts = f->texts_before;
		memcpy(f->facts, f->facts_before, sizeof(f->facts));
	}
	f->result = FULLTEXT_OK;
	return result;
}

bool fulltext_scope(struct fulltext *f, struct bytes name, uint32_t *scope_r)
{
	bool has;
	int64_t id;

	if (is_failed(f) || !blob(f, S_SCOPE, 1, name) || !step(f, S_SCOPE, &has, &id, NULL))
		return false;
	if (!has) {
		if (!blob(f, S_NEW_SCOPE, 1, name) || !step(f, S_NEW_SCOPE, NULL, NULL, NULL))
			return false;
		id = sqlite3_last_insert_rowid(f->db);
	}
	if (id < 1 || id > FULLTEXT_SCOPE_MAX)
		return failed(f, SQLITE_TOOBIG);
	*scope_r = (uint32_t)id;
	return true;
}

bool fulltext_mailbox(struct fulltext *f, uint64_t mailbox, struct fulltext_mailbox *m_r)
{
	int64_t scope = 0, next = 0;
	bool has;

	*m_r = (struct fulltext_mailbox){ 0 };
	if (is_failed(f) || !number(f, S_MAILBOX, 1, (int64_t)mailbox) || !step(f, S_MAILBOX, &has, &scope, &next))
		return false;
	if (has)
		*m_r = (struct fulltext_mailbox){ (uint32_t)scope, (uint32_t)next };
	return true;
}

bool fulltext_put_mailbox(struct fulltext *f, uint64_t mailbox, const struct fulltext_mailbox *m)
{
	return !is_failed(f) && number(f, S_PUT_MAILBOX, 1, (int64_t)mailbox) && number(f, S_PUT_MAILBOX, 2, m->scope) &&
	       number(f, S_PUT_MAILBOX, 3, m->next) && step(f, S_PUT_MAILBOX, NULL, NULL, NULL);
}

bool fulltext_has(struct fulltext *f, uint32_t scope, uint64_t body, bool *has_r)
{
	return !is_failed(f) && number(f, S_HAS, 1, (int64_t)body) && number(f, S_HAS, 2, FULLTEXT_ROW(scope, 0)) &&
	       number(f, S_HAS, 3, FULLTEXT_ROW(scope, FULLTEXT_NUMBER_MAX)) && step(f, S_HAS, has_r, NULL, NULL);
}

/* The row for the next text of SCOPE. */
static bool next_row(struct fulltext *f, uint32_t scope, int64_t *row_r)
{
	bool has;

	if (f->scope != scope) {
		if (!number(f, S_LAST, 1, FULLTEXT_ROW(scope, 0)) || !number(f, S_LAST, 2, FULLTEXT_ROW(scope, FULLTEXT_NUMBER_MAX)) ||
		    !step(f, S_LAST, &has, &f->last, NULL))
			return false;
		if (!has)
			f->last = FULLTEXT_ROW(scope, 0);
		f->scope = scope;
	}
	if (f->last == FULLTEXT_ROW(scope, FULLTEXT_NUMBER_MAX))
		return failed(f, SQLITE_TOOBIG);
	*row_r = ++f->last;
	return true;
}

/* FTS5 would end at a NUL; no string with one is asked for. */
static struct bytes copy_text(struct fulltext *f, struct bytes text, bool is_whole)
{
	size_t n = text.n + sizeof(FULLTEXT_UNKNOWN);

	if (n > f->text_cap) {
		free(f->text);
		f->text = must_alloc(n);
		f->text_cap = n;
	}
	n = text.n;
	for (size_t i = 0; i < n; i++)
		f->text[i] = text.p[i] == '\0' ? '\n' : text.p[i];
	if (!is_whole) {
		f->text[n++] = '\n';
		memcpy(f->text + n, FULLTEXT_UNKNOWN, sizeof(FULLTEXT_UNKNOWN) - 1);
		n += sizeof(FULLTEXT_UNKNOWN) - 1;
	}
	return bytes_make(f->text, n);
}

bool fulltext_add(struct fulltext *f, uint32_t scope, uint64_t body, int64_t *row_r)
{
	if (is_failed(f) || !next_row(f, scope, row_r) || !number(f, S_ADD, 1, *row_r) || !number(f, S_ADD, 2, (int64_t)body) ||
	    !step(f, S_ADD, NULL, NULL, NULL))
		return false;
	f->texts++;
	return true;
}

bool fulltext_add_text(struct fulltext *f, int64_t row, enum fulltext_kind kind, struct bytes text, bool is_whole)
{
	struct bytes copy = copy_text(f, text, is_whole);
	int rc;

	if (is_failed(f) || !number(f, S_ADD_TEXT, 1, kind == FULLTEXT_BODY ? row | (int64_t)FULLTEXT_BODY_BIT : row))
		return false;
	rc = sqlite3_bind_text64(f->s[S_ADD_TEXT], 2, (const char *)copy.p, copy.n, SQLITE_STATIC, SQLITE_UTF8);
	if (rc != SQLITE_OK)
		return failed(f, rc);
	return step(f, S_ADD_TEXT, NULL, NULL, NULL);
}

bool fulltext_set_fact(struct fulltext *f, enum fulltext_fact fact, uint64_t value)
{
	if (is_failed(f) || !number(f, S_PUT_FACT, 1, fact) || !number(f, S_PUT_FACT, 2, (int64_t)value) ||
	    !step(f, S_PUT_FACT, NULL, NULL, NULL))
		return false;
	f->facts[fact] = value;
	return true;
}
