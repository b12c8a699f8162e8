/* A small journal of several segments with entries of all types, each octet of it changed in three ways, and the files cut at
 * every length. Each time what is damaged is told, by file and place, and all else is there as it was. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "file.h"
#include "journal.h"
#include "log.h"

#define SEGMENT_SIZE (SEGMENT_HEADER + 1800)
#define ENTRIES 26
#define FILES_MAX 8

static char dir[96], path_of[FILES_MAX][128];
static struct buffer whole[FILES_MAX]; /* the segments' octets, undamaged */
static size_t files;
static struct buffer octets[ENTRIES + 1]; /* of each entry */
static struct { size_t file; uint64_t at, end, batch_end; } place[ENTRIES + 1];

static void write_file(const char *path, struct bytes b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n);
	(void)close(fd);
}

static struct entry entry_of(lsn_t lsn)
{
	static struct entry_delivery delivery = { 1, 1, 2, 1000, 8, 1 };
	static struct entry_flag flag = { 1, 1, 1 };
	static uint32_t uid = 1;
	static struct entry_copy copy = { 1, 1, 7, 11, 1000, 1, 1 };
	static struct bytes names[2];
	static mailbox_id_t ids[2] = { 1, 2 };
	struct entry e = { .type = (enum entry_type)(1 + (lsn - 1) % ENTRY_SUBSCRIBE), .lsn = lsn, .epoch = 1 + lsn / 9, .committed = lsn / 2,
		           .mailbox = 1, .modseq = 2, .uidvalidity = 1000, .acl = BYTES_LIT("fred\tlrs\t"), .name = BYTES_LIT("user.fred"),
		           .partition = BYTES_LIT("default"), .user = BYTES_LIT("fred"), .is_on = true, .master = BYTES_LIT("a1"),
		           .in_sync = BYTES_LIT("a1 a2"), .op_id = BYTES_LIT("op"), .structure = BYTES_LIT("structure"), .count = 1,
		           .deliveries = &delivery, .flags = &flag, .uids = &uid, .copies = &copy, .names = names, .mailboxes = ids };

	names[0] = BYTES_LIT("name");
	if (e.type == ENTRY_APPEND) {
		e.body = BYTES_LIT("Subject: x\r\n\r\nHello\r\n");
		e.body_hash = entry_hash(e.body);
	}
	return e;
}

static void must(bool ok, const struct fault *why)
{
	if (!ok)
		fail_msg("%s", why->what);
}

/* Batches of one to three entries. */
static void fill(void)
{
	struct journal j;
	struct fault why;
	lsn_t lsn = 0;

	must(journal_open(&j, dir, SEGMENT_SIZE, false, &why), &why);
	for (size_t batch = 0; lsn < ENTRIES; batch++) {
		assert_int_equal(journal_reserve(&j, 700, &why), STORE_OK);
		for (size_t i = 0; i <= batch % 3 && lsn < ENTRIES; i++) {
			struct entry e = entry_of(++lsn);
			struct buffer head = { 0 };

			entry_write(&head, &e);
			assert_true(journal_append(&j, e.epoch, buffer_bytes(&head), e.body, true));
			buffer_add(&octets[lsn], buffer_bytes(&head));
			buffer_add(&octets[lsn], e.body);
			buffer_fini(&head);
		}
		assert_true(journal_flush_begin(&j));
		journal_flush_run(&j);
		must(journal_flush_done(&j, &why), &why);
	}
	files = j.count;
	assert_in_range(files, 3, FILES_MAX);
	for (size_t i = 0; i < files; i++)
		(void)snprintf(path_of[i], sizeof(path_of[i]), "%s", j.segments[i]->path);
	journal_close(&j);
}

/* Remember all octets, and where each entry is. */
static void look(void)
{
	for (size_t i = 0; i < files; i++) {
		struct fault why;
		uint64_t off = SEGMENT_HEADER, at;
		struct segment *s = segment_open(path_of[i], true, &why);
		uint64_t bytes;
		lsn_t first;

		must(s != NULL, &why);
		must(file_read_all(path_of[i], 1u << 20, &whole[i], NULL, &why), &why);
		for (; segment_batch(s, off, &bytes, &first); off += BATCH_HEADER + bytes) {
			for (at = off + BATCH_HEADER; at < off + BATCH_HEADER + bytes; at += journal_padded(octets[first].n), first++) {
				place[first].file = i;
				place[first].at = at;
				place[first].end = at + octets[first].n;
				place[first].batch_end = off + BATCH_HEADER + bytes;
			}
		}
		segment_free(s);
	}
	assert_int_equal(place[ENTRIES].file, files - 1);
}

static int make(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/roost-test-journal-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
	log_set_level(LOG_ERROR);
	fill();
	look();
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < files; i++) {
		(void)unlink(path_of[i]);
		buffer_fini(&whole[i]);
	}
	for (size_t i = 0; i <= ENTRIES; i++)
		buffer_fini(&octets[i]);
	return rmdir(dir);
}

/* Whether entry LSN reads as it was written; else WHY names the entry. */
static bool reads(struct journal *j, lsn_t lsn, struct fault *why)
{
	struct bytes head, body;
	struct arena a = { 0 };
	struct entry e = { 0 };
	bool ok = journal_find(j, lsn, &head, &body, why) && entry_read(head, body, true, &a, &e, why);

	arena_fini(&a);
	if (ok)
		assert_true(head.n + body.n == octets[lsn].n && memcmp(head.p, octets[lsn].p, octets[lsn].n) == 0);
	return ok;
}

/* Octet AT of FILE is damaged. Which entry is it in? 0: none, but a header, padding, or room. */
static lsn_t hit(size_t file, uint64_t at)
{
	for (lsn_t lsn = 1; lsn <= ENTRIES; lsn++) {
		if (place[lsn].file == file && at >= place[lsn].at && at < place[lsn].end)
			return lsn;
	}
	return 0;
}

static uint64_t used_end(size_t file)
{
	uint64_t end = SEGMENT_HEADER;

	for (lsn_t lsn = 1; lsn <= ENTRIES; lsn++) {
		if (place[lsn].file == file)
			end = place[lsn].batch_end;
	}
	return end;
}

static char *findings(struct journal *j, uint64_t *count_r)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	*count_r = 0;
	for (size_t i = 0; i < j->count; i++)
		*count_r += journal_verify_segment(j, i, j->last, out);
	(void)fclose(out);
	return text;
}

/* As a reader: all that is whole is there, and `verify` names the place. */
static void check_reader(size_t file, uint64_t at)
{
	lsn_t damaged = hit(file, at);
	bool in_header = at < SEGMENT_HEADER;
	struct journal j;
	struct fault why = { 0 };
	uint64_t count;
	char *text;

	if (!journal_open(&j, dir, SEGMENT_SIZE, true, &why)) {
		assert_true(in_header && strstr(why.what, path_of[file]) != NULL);
		journal_close(&j);
		return;
	}
	assert_false(in_header);
	for (lsn_t lsn = 1; lsn <= j.last; lsn++) {
		if (!reads(&j, lsn, &why) && lsn != damaged)
			fail_msg("octet %llu of file %zu: entry %llu: %s", (unsigned long long)at, file, (unsigned long long)lsn, why.what);
	}
	/* Nothing but the end of the last batch may seem not to be there. */
	assert_true(j.last == ENTRIES || (file == files - 1 && at >= place[j.last].batch_end - BATCH_HEADER) || damaged > j.last);
	text = findings(&j, &count);
	if (at < used_end(file) && j.last == ENTRIES && (count == 0 || strstr(text, path_of[file]) == NULL))
		fail_msg("octet %llu of file %zu: nothing is found: %s", (unsigned long long)at, file, text);
	free(text);
	journal_close(&j);
}

/* As the member: it opens, or says what is wrong and where; and what was known to be whole is never cut. */
static void check_member(size_t file, uint64_t at, struct bytes damaged)
{
	struct journal j;
	struct fault why = { 0 };
	struct buffer now = { 0 };
	bool ok = journal_open(&j, dir, SEGMENT_SIZE, false, &why) && journal_settle(&j, ENTRIES, &why);

	if (ok)
		assert_int_equal(j.last, ENTRIES);
	else if (strstr(why.what, path_of[file]) == NULL)
		fail_msg("octet %llu of file %zu: %s", (unsigned long long)at, file, why.what);
	journal_close(&j);
	if (at < used_end(file)) {
		must(file_read_all(path_of[file], 1u << 20, &now, NULL, &why), &why);
		assert_true(bytes_equal(buffer_bytes(&now), damaged));
	}
	buffer_fini(&now);
	/* Without knowing, the end of the last batch may be taken for torn, and nothing else. */
	if (journal_open(&j, dir, SEGMENT_SIZE, false, &why) && journal_settle(&j, 0, &why)) {
		assert_true(j.last == ENTRIES || place[j.last + 1].batch_end == place[ENTRIES].batch_end);
		for (lsn_t lsn = 1; lsn <= j.last; lsn++)
			assert_true(reads(&j, lsn, &why) || lsn == hit(file, at) || place[lsn].file != files - 1);
	} else if (strstr(why.what, path_of[file]) == NULL) {
		fail_msg("octet %llu of file %zu: %s", (unsigned long long)at, file, why.what);
	}
	journal_close(&j);
}

static void every_changed_octet_is_told_and_all_else_is_kept(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };

	(void)state;
	for (size_t file = 0; file < files; file++) {
		uint64_t end = used_end(file) + 64;

		for (uint64_t at = 0; at < end && at < whole[file].n; at++) {
			/* Of the zeros in the header some are enough. */
			if (at > 400 && at < SEGMENT_HEADER - 16 && at % 1000 != 0)
				continue;
			for (size_t i = 0; i < sizeof(masks); i++) {
				whole[file].p[at] ^= masks[i];
				write_file(path_of[file], buffer_bytes(&whole[file]));
				check_reader(file, at);
				check_member(file, at, buffer_bytes(&whole[file]));
				whole[file].p[at] ^= masks[i];
				write_file(path_of[file], buffer_bytes(&whole[file]));
			}
		}
	}
}

static void a_journal_cut_anywhere_keeps_what_is_whole_or_says_what_is_missing(void **state)
{
	struct fault why;
	struct journal j;

	(void)state;
	for (size_t file = 0; file < files; file++) {
		for (uint64_t cut = 0; cut < used_end(file); cut += cut < SEGMENT_HEADER - 8 ? 3000 : 1) {
			bool ok;

			if (cut > 0 && cut < SEGMENT_HEADER && cut + 3000 > SEGMENT_HEADER)
				cut = SEGMENT_HEADER - 1;
			write_file(path_of[file], bytes_sub(buffer_bytes(&whole[file]), 0, (size_t)cut));
			ok = journal_open(&j, dir, SEGMENT_SIZE, false, &why) && journal_settle(&j, ENTRIES, &why);
			if (!ok)
				assert_non_null(strstr(why.what, path_of[file]));
			for (lsn_t lsn = 1; ok && lsn <= ENTRIES; lsn++) {
				if (reads(&j, lsn, &why) ? place[lsn].file == file && place[lsn].end > cut : place[lsn].file != file || place[lsn].batch_end < cut)
					fail_msg("file %zu cut at %llu: entry %llu", file, (unsigned long long)cut, (unsigned long long)lsn);
			}
			journal_close(&j);
			/* What has lost its end is written on. */
			ok = journal_open(&j, dir, SEGMENT_SIZE, false, &why) && journal_settle(&j, 0, &why);
			if (ok && file == files - 1) {
				struct entry e = entry_of(j.last + 1);
				struct buffer head = { 0 };

				assert_int_equal(journal_reserve(&j, 700, &why), STORE_OK);
				entry_write(&head, &e);
				assert_true(journal_append(&j, 99, buffer_bytes(&head), e.body, true));
				buffer_fini(&head);
				assert_true(journal_flush_begin(&j));
				journal_flush_run(&j);
				must(journal_flush_done(&j, &why), &why);
				must(journal_truncate_after(&j, j.last - 1, &why) == STORE_OK, &why);
			}
			if (ok && j.count > files)
				(void)unlink(j.segments[j.count - 1]->path);
			journal_close(&j);
			write_file(path_of[file], buffer_bytes(&whole[file]));
		}
	}
}

/* The machine goes down when of the last batch only the first octets are on the disk, and zeros where the others should be. */
static void what_is_written_after_a_torn_batch_is_found_again(void **state)
{
	size_t file = files - 1;
	uint64_t batch = place[ENTRIES].batch_end;
	lsn_t first = ENTRIES;
	struct buffer torn = { 0 };
	struct fault why;
	struct journal j;

	(void)state;
	while (place[first].file == file && place[first].batch_end == batch)
		first--;
	first++;
	for (uint64_t kept = place[first].at - BATCH_HEADER; kept < batch; kept += 8) {
		struct entry e = entry_of(ENTRIES);
		struct buffer head = { 0 };
		lsn_t last;

		buffer_clear(&torn);
		buffer_add(&torn, buffer_bytes(&whole[file]));
		memset(torn.p + kept, 0, torn.n - kept);
		write_file(path_of[file], buffer_bytes(&torn));
		must(journal_open(&j, dir, SEGMENT_SIZE, false, &why) && journal_settle(&j, first - 1, &why), &why);
		last = j.last;
		e.lsn = last + 1;
		entry_write(&head, &e);
		assert_int_equal(journal_reserve(&j, 100, &why), STORE_OK);
		assert_true(journal_append(&j, 99, buffer_bytes(&head), e.body, true));
		buffer_fini(&head);
		assert_true(journal_flush_begin(&j));
		journal_flush_run(&j);
		must(journal_flush_done(&j, &why), &why);
		journal_close(&j);
		must(journal_open(&j, dir, SEGMENT_SIZE, false, &why) && journal_settle(&j, last + 1, &why), &why);
		assert_true(j.last == last + 1 && j.count == files);
		journal_close(&j);
	}
	write_file(path_of[file], buffer_bytes(&whole[file]));
	buffer_fini(&torn);
}

static void a_missing_segment_is_told(void **state)
{
	struct fault why;
	struct journal j;
	uint64_t count;

	(void)state;
	for (size_t file = 0; file < files; file++) {
		bool ok;
		char *text;

		(void)unlink(path_of[file]);
		ok = journal_open(&j, dir, SEGMENT_SIZE, true, &why) && journal_settle(&j, ENTRIES, &why);
		if (ok) {
			text = findings(&j, &count);
			assert_true(count > 0);
			for (lsn_t lsn = 1; lsn <= ENTRIES; lsn++)
				assert_true(reads(&j, lsn, &why) == (place[lsn].file != file));
			free(text);
		} else {
			assert_true(strstr(why.what, "missing") != NULL);
		}
		journal_close(&j);
		write_file(path_of[file], buffer_bytes(&whole[file]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_changed_octet_is_told_and_all_else_is_kept),
		cmocka_unit_test(a_journal_cut_anywhere_keeps_what_is_whole_or_says_what_is_missing),
		cmocka_unit_test(what_is_written_after_a_torn_batch_is_found_again),
		cmocka_unit_test(a_missing_segment_is_told),
	};

	return cmocka_run_group_tests(tests, make, clean_up);
}
