/* test_fulltext.c - what is found by the index, against looking at each text; and a file that is damaged. */
#include <fcntl.h>
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

#include "buffer.h"
#include "fulltext.h"
#include "fulltext_private.h"

#define TEXTS 300

static unsigned seed = 11;
static char dir[64], path[80];

static unsigned below(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/roost-fulltext.XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/1.db", dir);
	return 0;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "1.db", "1.db-wal", "1.db-shm", "kept" };
	char name[100];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		(void)unlink(name);
	}
	return rmdir(dir);
}

/* Few different characters, of one to four octets, so that strings are often there. */
static void random_text(struct buffer *to, size_t characters)
{
	static const char *const alphabet[] = { "a", "b", "\"", "\n", "\xc3\xa9", "\xe3\x81\x82", "\xf0\x9f\x90\xa6", "\x01" };

	buffer_clear(to);
	for (size_t i = 0; i < characters; i++)
		buffer_add_str(to, alphabet[below(sizeof(alphabet) / sizeof(alphabet[0]))]);
}

static struct fulltext *open_it(void)
{
	struct fulltext *f;
	struct fault why;

	assert_int_equal(fulltext_open(path, &f, &why), FULLTEXT_OK);
	return f;
}

static struct fulltext_reader *open_reader(void)
{
	struct fulltext_reader *r;
	struct fault why;

	assert_int_equal(fulltext_reader_open(path, &r, &why), FULLTEXT_OK);
	return r;
}

/* Both texts of a body at once, which is slow, but allowed. */
static bool add(struct fulltext *f, uint32_t scope, uint64_t body, struct bytes header, struct bytes text, bool is_whole)
{
	int64_t row;

	return fulltext_add(f, scope, body, &row) && fulltext_add_text(f, row, FULLTEXT_HEADER, header, is_whole) &&
	       fulltext_add_text(f, row, FULLTEXT_BODY, text, is_whole);
}

static bool is_among(const struct fulltext_hits *hits, uint64_t body)
{
	for (size_t i = 0; i < hits->count; i++) {
		assert_true(i == 0 || hits->bodies[i - 1] < hits->bodies[i]);
		if (hits->bodies[i] == body)
			return true;
	}
	return false;
}

static void every_text_that_holds_a_string_is_found(void **state)
{
	struct buffer texts[TEXTS] = { 0 }, headers[TEXTS] = { 0 }, key = { 0 };
	bool is_whole[TEXTS];
	struct fulltext *f = open_it();
	struct fulltext_reader *r;
	struct fulltext_mailbox m;
	struct fault why;
	uint32_t scope[2];
	bool has;

	(void)state;
	for (size_t i = 0; i < TEXTS; i++) {
		random_text(&texts[i], below(60));
		random_text(&headers[i], below(20));
		is_whole[i] = below(20) > 0;
		if (i % 25 == 0)
			assert_true(fulltext_begin(f) && fulltext_scope(f, BYTES_LIT("user.a"), &scope[0]) &&
			            fulltext_scope(f, BYTES_LIT("user.b"), &scope[1]));
		/* Scopes may come in any order. */
		assert_true(add(f, scope[i % 2], i + 1, buffer_bytes(&headers[i]), buffer_bytes(&texts[i]), is_whole[i]));
		if (i % 25 == 24)
			assert_int_equal(fulltext_end(f, true, &why), FULLTEXT_OK);
	}
	assert_int_equal(fulltext_texts(f), TEXTS);
	assert_true(fulltext_has(f, scope[0], 1, &has) && has && fulltext_has(f, scope[1], 1, &has) && !has);
	assert_true(scope[0] != scope[1]);
	r = open_reader();
	assert_int_equal(fulltext_read_begin(r, 1, &m, &why), FULLTEXT_OK);
	for (unsigned round = 0; round < 400; round++) {
		struct fulltext_hits hits;
		struct bytes of = buffer_bytes(&texts[below(TEXTS)]);

		random_text(&key, 3 + below(3));
		if (round % 2 == 0 && of.n > 40) {
			size_t from = below(20);

			while ((of.p[from] & 0xc0) == 0x80)
				from++;
			buffer_clear(&key);
			buffer_add(&key, bytes_from(of, from));
		}
		if (!fulltext_may_ask(buffer_bytes(&key)))
			continue;
		for (unsigned s = 0; s < 2; s++) {
			unsigned kinds = 1 + below(3);

			assert_int_equal(fulltext_find(r, scope[s], kinds, buffer_bytes(&key), 2 * TEXTS, &hits, &why), FULLTEXT_OK);
			for (size_t i = 0; i < TEXTS; i++) {
				struct bytes text = buffer_bytes(&texts[i]), header = buffer_bytes(&headers[i]);
				bool is_there = !is_whole[i] ||
				                ((kinds & FULLTEXT_BODY) != 0 && bytes_search(text, buffer_bytes(&key)) < text.n) ||
				                ((kinds & FULLTEXT_HEADER) != 0 && bytes_search(header, buffer_bytes(&key)) < header.n);

				if (i % 2 != s)
					assert_false(is_among(&hits, i + 1));
				else if (is_there)
					assert_true(is_among(&hits, i + 1));
			}
			free(hits.bodies);
		}
	}
	{
		struct fulltext_hits hits;

		assert_int_equal(fulltext_find(r, scope[0], FULLTEXT_BODY, BYTES_LIT("aaa"), 1, &hits, &why), FULLTEXT_OK);
		assert_true(hits.is_over && hits.count == 0);
	}
	fulltext_read_end(r);
	fulltext_reader_close(&r);
	fulltext_close(&f);
	for (size_t i = 0; i < TEXTS; i++) {
		buffer_fini(&texts[i]);
		buffer_fini(&headers[i]);
	}
	buffer_fini(&key);
}

static void short_strings_and_nul_are_not_asked_for(void **state)
{
	(void)state;
	assert_false(fulltext_may_ask(BYTES_LIT("ab")));
	assert_false(fulltext_may_ask(BYTES_LIT("\xc3\xa9\xc3\xa9")));
	assert_true(fulltext_may_ask(BYTES_LIT("abc")));
	assert_true(fulltext_may_ask(BYTES_LIT("\xc3\xa9\xc3\xa9\xc3\xa9")));
	assert_false(fulltext_may_ask(BYTES_LIT("ab\0cd")));
}

static void what_is_not_kept_leaves_nothing(void **state)
{
	const struct fulltext_mailbox put = { 7, 100 };
	struct fulltext_mailbox m;
	struct fulltext *f = open_it();
	struct fault why;
	bool has;

	(void)state;
	assert_true(fulltext_begin(f) && fulltext_put_mailbox(f, 5, &put) && fulltext_set_fact(f, FULLTEXT_LSN, 9));
	assert_int_equal(fulltext_end(f, true, &why), FULLTEXT_OK);
	assert_true(fulltext_begin(f) && add(f, 1, 77, BYTES_LIT("text"), BYTES_NONE, true) && fulltext_set_fact(f, FULLTEXT_LSN, 10));
	assert_int_equal(fulltext_end(f, false, &why), FULLTEXT_OK);
	assert_int_equal(fulltext_fact(f, FULLTEXT_LSN), 9);
	assert_int_equal(fulltext_texts(f), 0);
	fulltext_close(&f);
	f = open_it();
	assert_int_equal(fulltext_fact(f, FULLTEXT_LSN), 9);
	assert_true(fulltext_has(f, 1, 77, &has) && !has);
	assert_true(fulltext_mailbox(f, 5, &m) && m.scope == 7 && m.next == 100);
	assert_true(fulltext_mailbox(f, 6, &m) && m.next == 0);
	fulltext_close(&f);
}

static void fill(void)
{
	struct buffer text = { 0 };
	struct fulltext *f = open_it();
	struct fulltext_mailbox m = { 1, 101 };
	struct fault why;
	uint32_t scope;

	assert_true(fulltext_begin(f) && fulltext_scope(f, BYTES_LIT("user.a"), &scope) && fulltext_put_mailbox(f, 1, &m));
	for (unsigned i = 0; i < 100; i++) {
		buffer_clear(&text);
		for (unsigned k = 0; k < 200; k++)
			buffer_addf(&text, "%x ", below(65536));
		buffer_addf(&text, "number%uend", i);
		assert_true(add(f, scope, i + 1, BYTES_NONE, buffer_bytes(&text), true));
	}
	assert_int_equal(fulltext_end(f, true, &why), FULLTEXT_OK);
	fulltext_close(&f);
	buffer_fini(&text);
}

static void copy(const char *from, const char *to)
{
	static uint8_t octets[1 << 22];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = read(in, octets, sizeof(octets));

	assert_true(n > 0 && (size_t)n < sizeof(octets) && write(out, octets, (size_t)n) == n);
	(void)close(in);
	(void)close(out);
}

/* Each answer is whole, or the file is called damaged: no hit is missing. */
static bool is_whole_or_damaged(void)
{
	struct fulltext_reader *r;
	struct fulltext_mailbox m;
	struct fulltext_hits hits;
	struct fault why;
	char key[32];
	bool is_well = true;
	enum fulltext_result result = fulltext_reader_open(path, &r, &why);

	if (result != FULLTEXT_OK) {
		assert_int_equal(result, FULLTEXT_DAMAGED);
		return false;
	}
	for (unsigned i = 0; i < 100 && is_well; i++) {
		result = fulltext_read_begin(r, 1, &m, &why);
		(void)snprintf(key, sizeof(key), "number%uend", i);
		if (result == FULLTEXT_OK) {
			result = fulltext_find(r, 1, FULLTEXT_HEADER | FULLTEXT_BODY, bytes_of(key), TEXTS, &hits, &why);
			if (result == FULLTEXT_OK)
				assert_true(m.next == 101 && is_among(&hits, i + 1));
			free(hits.bodies);
		}
		is_well = result == FULLTEXT_OK;
		assert_true(is_well || result == FULLTEXT_DAMAGED);
		fulltext_read_end(r);
	}
	fulltext_reader_close(&r);
	return is_well;
}

static void a_damaged_file_loses_no_hit_unseen(void **state)
{
	char kept[100];
	struct stat st;
	unsigned found = 0, rounds = 150;

	(void)state;
	fill();
	(void)snprintf(kept, sizeof(kept), "%s/kept", dir);
	copy(path, kept);
	assert_int_equal(stat(path, &st), 0);
	assert_true(is_whole_or_damaged());
	for (unsigned round = 0; round < rounds; round++) {
		uint8_t octet;
		off_t at = (off_t)below((unsigned)st.st_size);
		int fd;

		copy(kept, path);
		fd = open(path, O_RDWR);
		if (round % 3 == 0) {
			assert_int_equal(ftruncate(fd, at), 0);
		} else {
			assert_int_equal(pread(fd, &octet, 1, at), 1);
			octet = (uint8_t)(octet ^ (1u << below(8)));
			assert_int_equal(pwrite(fd, &octet, 1, at), 1);
		}
		(void)close(fd);
		found += !is_whole_or_damaged();
	}
	/* Some pages are not looked at by these questions. */
	assert_true(found > rounds / 2);
}

/* Some builds of SQLite read a page that a row goes on in without its end, where the hash is. */
static void a_page_without_its_end_is_compared_too(void **state)
{
	enum fulltext_result result;
	struct fulltext *f = open_it();
	uint8_t page[FULLTEXT_PAGE];
	sqlite3_file *file = NULL;
	struct fault why;
	sqlite3 *db;
	int fd;

	(void)state;
	fulltext_close(&f);
	db = fulltext_connect(path, true, &result, &why);
	assert_non_null(db);
	assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
	assert_int_equal(file->pMethods->xRead(file, page, FULLTEXT_PAGE - 8, FULLTEXT_PAGE), SQLITE_OK);
	assert_int_equal(file->pMethods->xDeviceCharacteristics(file) & 0x8000, 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	page[100] ^= 1;
	assert_int_equal(pwrite(fd, page + 100, 1, FULLTEXT_PAGE + 100), 1);
	assert_int_equal(file->pMethods->xRead(file, page, FULLTEXT_PAGE - 8, FULLTEXT_PAGE), SQLITE_IOERR_DATA);
	assert_int_equal(file->pMethods->xRead(file, page, FULLTEXT_PAGE, FULLTEXT_PAGE), SQLITE_IOERR_DATA);
	/* The lock is by process: not closed before the database is. */
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(close(fd), 0);
}

static void what_is_no_index_is_called_damaged(void **state)
{
	struct fulltext *f;
	struct fault why;
	FILE *file;

	(void)state;
	file = fopen(path, "w");
	(void)fprintf(file, "This is something else, and long enough to have a header of a hundred octets or so if one should look.\n");
	(void)fclose(file);
	assert_int_equal(fulltext_open(path, &f, &why), FULLTEXT_DAMAGED);
	assert_null(f);
	assert_non_null(strstr(why.what, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_text_that_holds_a_string_is_found, make_dir, remove_dir),
		cmocka_unit_test(short_strings_and_nul_are_not_asked_for),
		cmocka_unit_test_setup_teardown(what_is_not_kept_leaves_nothing, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_damaged_file_loses_no_hit_unseen, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_page_without_its_end_is_compared_too, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(what_is_no_index_is_called_damaged, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
