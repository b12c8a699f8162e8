/* fuzz_journal_open.c - recovery: a journal of two segments with octets changed, or with the input as the content of the last.
 * The first octet says how: 'c': changes, each u8 segment, u16 offset, u8 value; 'r': what follows its header; 'b': the entries
 * of its only batch; 'e': the heads of those, one a line, each made whole.
 *
 * Whatever is there, a reader looks at all of it without tripping. What opens as a member's can be written on, and what was
 * written is there when it is opened again, behind all that was there before. */
#include <fcntl.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "fuzz.h"
#include "journal.h"
#include "log.h"

#define SEGMENTS 2
#define SEGMENT_SIZE (SEGMENT_HEADER + 1024)
#define CHANGES_MAX 64

static char *dir, *path[SEGMENTS];
static struct buffer whole[SEGMENTS];
static lsn_t first_of_last;

static void clean_up(void)
{
	for (size_t i = 0; i < SEGMENTS; i++) {
		(void)unlink(path[i]);
		free(path[i]);
		buffer_fini(&whole[i]);
	}
	(void)rmdir(dir);
	free(dir);
}

static bool append(struct journal *j, const char *text, struct fault *why)
{
	struct entry e = { .type = ENTRY_APPEND, .lsn = j->last + 1, .epoch = journal_epoch_at(j, j->last) + 1, .structure = BYTES_LIT("s"),
		           .body = bytes_of(text), .body_hash = entry_hash(bytes_of(text)) };
	struct buffer head = { 0 };
	bool ok;

	entry_write(&head, &e);
	ok = journal_reserve(j, head.n + e.body.n, why) == STORE_OK && journal_append(j, e.epoch, buffer_bytes(&head), e.body, true);
	buffer_fini(&head);
	if (!ok || !journal_flush_begin(j))
		return false;
	journal_flush_run(j);
	return journal_flush_done(j, why);
}

static void make(void)
{
	struct journal j;
	struct fault why;

	/* Where a sync costs nothing. */
	dir = must_printf("%s/roost-fuzz-journal.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_CHECK(mkdtemp(dir) != NULL);
	log_set_level(LOG_ERROR);
	FUZZ_CHECK(journal_open(&j, dir, SEGMENT_SIZE, false, &why));
	while (j.count < SEGMENTS || j.last < j.segments[SEGMENTS - 1]->first + 2)
		FUZZ_CHECK(append(&j, "Subject: x\r\n\r\nA message of some length, so that few of them fill what is there.\r\n", &why));
	FUZZ_CHECK(j.count == SEGMENTS);
	first_of_last = j.segments[SEGMENTS - 1]->first;
	for (size_t i = 0; i < SEGMENTS; i++) {
		path[i] = must_strdup(j.segments[i]->path);
		FUZZ_CHECK(file_read_all(path[i], 1u << 20, &whole[i], NULL, &why));
	}
	journal_close(&j);
	(void)atexit(clean_up);
}

static void put(size_t i, struct bytes b)
{
	int fd = open(path[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n);
	(void)close(fd);
}

static void change(struct bytes in, struct buffer to[SEGMENTS])
{
	for (size_t n = 0; n < CHANGES_MAX && in.n >= 4; n++, in = bytes_from(in, 4)) {
		struct buffer *b = &to[in.p[0] % SEGMENTS];
		size_t at = (size_t)(in.p[1] << 8 | in.p[2]);

		/* The header is mostly zeros: what is behind it is most of what is worth changing. */
		at = at % 5 == 0 ? at % 64 : SEGMENT_HEADER + at % (b->n - SEGMENT_HEADER);
		b->p[at] = in.p[3];
	}
}

static void add_entries(struct bytes in, struct buffer *to)
{
	lsn_t lsn = first_of_last;

	while (in.n > 0) {
		struct bytes line = fuzz_take_line(&in);
		size_t start = to->n;

		buffer_add_u32le(to, ENTRY_MAGIC);
		buffer_add_u32le(to, 0);
		buffer_add_u32le(to, 0);
		buffer_add_u8(to, fuzz_take_octet(&line));
		buffer_add_u8(to, 0);
		buffer_add_u16le(to, 0);
		buffer_add_u64le(to, lsn++);
		buffer_add_u64le(to, 1000);
		buffer_add_u64le(to, 0);
		buffer_add_u64le(to, 0);
		buffer_add(to, line);
		buffer_set_u32le(to, start + 4, (uint32_t)(to->n - start));
		buffer_set_u64le(to, start + 40, entry_hash(bytes_make(to->p + start, 40)) ^ entry_hash(bytes_from(buffer_bytes(to), start + ENTRY_HEADER)));
		while (to->n % 8 != 0)
			buffer_add_u8(to, 0);
	}
}

static void set_last(uint8_t how, struct bytes in, struct buffer *to)
{
	struct buffer content = { 0 };
	uint8_t header[BATCH_HEADER];

	if (how == 'e')
		add_entries(in, &content);
	else
		buffer_add(&content, in);
	to->n = SEGMENT_HEADER;
	segment_write_batch_header(header, content.n, first_of_last);
	if (how != 'r')
		buffer_add(to, bytes_make(header, BATCH_HEADER));
	buffer_add(to, buffer_bytes(&content));
	while (to->n < SEGMENT_SIZE)
		buffer_add_u8(to, 0);
	buffer_fini(&content);
}

static lsn_t look(void)
{
	struct journal j;
	struct fault why;
	lsn_t last = 0;

	if (journal_open(&j, dir, SEGMENT_SIZE, true, &why)) {
		last = j.last;
		for (lsn_t lsn = 0; lsn <= last + 1; lsn++) {
			struct bytes head, body;
			struct arena a = { 0 };
			struct entry e = { 0 };

			if (journal_find(&j, lsn, &head, &body, &why)) {
				fuzz_touch(head);
				fuzz_touch(body);
				(void)entry_read(head, body, true, &a, &e, &why);
			}
			arena_fini(&a);
		}
		for (size_t i = 0; i < j.count; i++)
			(void)journal_verify_segment(&j, i, last, NULL);
	} else {
		FUZZ_CHECK(bytes_search(bytes_of(why.what), bytes_of(dir)) < strlen(why.what));
	}
	journal_close(&j);
	return last;
}

static void write_on(lsn_t seen)
{
	struct journal j;
	struct fault why;
	lsn_t last;
	bool ok = journal_open(&j, dir, SEGMENT_SIZE, false, &why) && journal_settle(&j, 0, &why);

	last = j.last;
	if (ok) {
		FUZZ_CHECK(last == seen);
		FUZZ_CHECK(append(&j, "new", &why));
	}
	if (j.count > SEGMENTS)
		(void)journal_truncate_after(&j, last, &why); /* its file is not one of ours */
	journal_close(&j);
	if (!ok)
		return;
	FUZZ_CHECK(journal_open(&j, dir, SEGMENT_SIZE, false, &why) && (j.last == last + 1 || j.last == last) && !j.has_tail);
	journal_close(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	struct buffer now[SEGMENTS] = { { 0 } };
	uint8_t how = fuzz_take_octet(&in);

	if (dir == NULL)
		make();
	for (size_t i = 0; i < SEGMENTS; i++)
		buffer_add(&now[i], buffer_bytes(&whole[i]));
	if (how == 'c')
		change(in, now);
	else
		set_last(how, in, &now[SEGMENTS - 1]);
	for (size_t i = 0; i < SEGMENTS; i++) {
		put(i, buffer_bytes(&now[i]));
		buffer_fini(&now[i]);
	}
	write_on(look());
	return 0;
}
