/* salvage_file.c - items, what came of them, and what an operator has decided. */
#include "salvage_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "cursor.h"
#include "file.h"
#include "salvage_out.h"

#define RECORD 24
#define STATE_ROW 24
#define MAGIC_ITEMS "ROOSTSV1"
#define MAGIC_STATE "ROOSTST1"
#define ASKED_MAX (64u << 20)

struct salvage_file {
	char *dir;
	struct salvage_name name;
	lsn_t last;
	const uint8_t *map;
	size_t size, count;
	uint64_t *offsets; /* of the records */
	struct row {
		uint8_t state, outcome;
		lsn_t lsn;
		epoch_t epoch;
	} *rows;
	bool is_changed;
};

bool salvage_items_write(const char *dir, struct salvage_name name, lsn_t last, const struct salvage_item *items, size_t count,
                         struct fault *why)
{
	struct buffer b = { 0 }, head = { 0 };
	struct salvage_out o;

	salvage_out_open(&o, dir, name, ".items", why);
	salvage_out_header(&b, MAGIC_ITEMS, name, last, count);
	salvage_out_add(&o, buffer_bytes(&b));
	for (size_t i = 0; o.ok && i < count; i++) {
		buffer_clear(&b);
		buffer_clear(&head);
		salvage_item_write(&b, &items[i]);
		buffer_add_u32le(&head, (uint32_t)b.n);
		buffer_add_u32le(&head, (uint32_t)items[i].body.n);
		buffer_add_u64le(&head, entry_hash(buffer_bytes(&b)));
		buffer_add_u64le(&head, entry_hash(items[i].body));
		salvage_out_add(&o, buffer_bytes(&head));
		salvage_out_add(&o, buffer_bytes(&b));
		salvage_out_add(&o, items[i].body);
		salvage_out_pad(&o);
	}
	buffer_fini(&b);
	buffer_fini(&head);
	return salvage_out_close(&o);
}

static bool find_records(struct salvage_file *f, uint64_t count, const char *path, struct fault *why)
{
	uint64_t at = SALVAGE_HEADER;

	if (count == 0 || count > f->size / RECORD)
		return fault_set(why, FAULT_OPERATOR, "%s: the header is damaged", path);
	f->count = (size_t)count;
	f->offsets = must_calloc(f->count, sizeof(*f->offsets));
	f->rows = must_calloc(f->count, sizeof(*f->rows));
	for (size_t i = 0; i < f->count; i++) {
		struct cursor c = cursor_of(bytes_from(bytes_make(f->map, f->size), (size_t)at));
		uint32_t item, body;

		if (!cursor_u32le(&c, &item) || !cursor_u32le(&c, &body) ||
		    RECORD + (uint64_t)item + body > f->size - at)
			return fault_set(why, FAULT_OPERATOR, "%s: damaged at %" PRIu64, path, at);
		f->offsets[i] = at;
		at += journal_padded(RECORD + (uint64_t)item + body);
	}
	return at == f->size || fault_set(why, FAULT_OPERATOR, "%s: goes on behind its last item", path);
}

/* Without a state file every item is pending: it is done once only, however often it is sent. */
static bool read_state(struct salvage_file *f, struct fault *why)
{
	char *path = salvage_out_path(f->dir, f->name, ".state");
	struct buffer b = { 0 };
	uint64_t count, hash;
	struct bytes all;
	struct cursor c;
	lsn_t last;
	int err;
	bool ok = file_read_all(path, SALVAGE_HEADER + f->count * STATE_ROW + 8, &b, &err, why);

	if (!ok) {
		free(path);
		return err == ENOENT;
	}
	all = buffer_bytes(&b);
	ok = salvage_out_read_header(all, MAGIC_STATE, f->name, path, &last, &count, why);
	if (ok && (count != f->count || all.n != SALVAGE_HEADER + f->count * STATE_ROW + 8))
		ok = fault_set(why, FAULT_OPERATOR, "%s: is of other items", path);
	c = cursor_of(bytes_from(all, all.n - 8));
	if (ok && (!cursor_u64le(&c, &hash) || hash != entry_hash(bytes_sub(all, 0, all.n - 8))))
		ok = fault_set(why, FAULT_OPERATOR, "%s: damaged; without it all items are looked at again", path);
	c = cursor_of(bytes_from(all, SALVAGE_HEADER));
	for (size_t i = 0; ok && i < f->count; i++) {
		uint16_t zero;
		uint32_t zero4;

		ok = cursor_u8(&c, &f->rows[i].state) && cursor_u8(&c, &f->rows[i].outcome) && cursor_u16le(&c, &zero) &&
		     cursor_u32le(&c, &zero4) && cursor_u64le(&c, &f->rows[i].lsn) && cursor_u64le(&c, &f->rows[i].epoch) && f->rows[i].state <= SALVAGE_IS_DISCARDED &&
		     f->rows[i].outcome < SALVAGE_OUTCOMES;
		if (!ok)
			(void)fault_set(why, FAULT_OPERATOR, "%s: a state that is not known here", path);
	}
	buffer_fini(&b);
	free(path);
	return ok;
}

struct salvage_file *salvage_file_open(const char *dir, struct salvage_name name, struct fault *why)
{
	struct salvage_file *f = must_calloc(1, sizeof(*f));
	char *path = salvage_out_path(dir, name, ".items");
	uint64_t count;
	bool ok;

	f->dir = must_strdup(dir);
	f->name = name;
	ok = salvage_out_map(path, &f->map, &f->size, why) &&
	     salvage_out_read_header(bytes_make(f->map, f->size), MAGIC_ITEMS, name, path, &f->last, &count, why) &&
	     find_records(f, count, path, why) && read_state(f, why);
	free(path);
	if (!ok)
		salvage_file_close(&f);
	return f;
}

void salvage_file_close(struct salvage_file **fp)
{
	struct salvage_file *f = *fp;

	if (f == NULL)
		return;
	*fp = NULL;
	if (f->map != NULL)
		(void)munmap((void *)(uintptr_t)f->map, f->size);
	free(f->offsets);
	free(f->rows);
	free(f->dir);
	free(f);
}

struct salvage_name salvage_file_name(const struct salvage_file *f)
{
	return f->name;
}

size_t salvage_file_count(const struct salvage_file *f)
{
	return f->count;
}

struct record {
	struct bytes item, body;
	uint64_t item_hash, body_hash;
};

static struct record record_at(const struct salvage_file *f, size_t i)
{
	struct cursor c = cursor_of(bytes_from(bytes_make(f->map, f->size), (size_t)f->offsets[i]));
	struct record r = { 0 };
	uint32_t item = 0, body = 0;

	/* Lengths were checked when the file was opened. */
	(void)cursor_u32le(&c, &item);
	(void)cursor_u32le(&c, &body);
	(void)cursor_u64le(&c, &r.item_hash);
	(void)cursor_u64le(&c, &r.body_hash);
	(void)cursor_bytes(&c, item, &r.item);
	(void)cursor_bytes(&c, body, &r.body);
	return r;
}

bool salvage_file_item(const struct salvage_file *f, size_t i, struct arena *a, struct salvage_item *item_r, struct fault *why)
{
	struct record r = record_at(f, i);

	if (entry_hash(r.item) != r.item_hash || entry_hash(r.body) != r.body_hash)
		return fault_set(why, FAULT_OPERATOR, "%s/%" PRIu64 "-%" PRIu64 ".items: item %zu has a wrong checksum", f->dir,
		                 f->name.epoch, f->name.first, i);
	if (!salvage_item_read(r.item, a, item_r, why))
		return false;
	item_r->body = r.body;
	return true;
}

uint64_t salvage_file_item_size(const struct salvage_file *f, size_t i)
{
	struct record r = record_at(f, i);

	return (uint64_t)r.item.n + r.body.n;
}

struct salvage_fate salvage_file_fate(const struct salvage_file *f, size_t i)
{
	const struct row *r = &f->rows[i];

	return (struct salvage_fate){ (enum salvage_state)r->state, (enum salvage_outcome)r->outcome, r->lsn, r->epoch };
}

void salvage_file_set(struct salvage_file *f, size_t i, const struct salvage_fate *fate)
{
	f->rows[i] = (struct row){ (uint8_t)fate->state, (uint8_t)fate->outcome, fate->lsn, fate->epoch };
	f->is_changed = true;
}

bool salvage_file_save(struct salvage_file *f, struct fault *why)
{
	struct buffer b = { 0 };
	struct salvage_out o;

	if (!f->is_changed)
		return true;
	salvage_out_header(&b, MAGIC_STATE, f->name, f->last, f->count);
	for (size_t i = 0; i < f->count; i++) {
		buffer_add_u8(&b, f->rows[i].state);
		buffer_add_u8(&b, f->rows[i].outcome);
		buffer_add_u16le(&b, 0);
		buffer_add_u32le(&b, 0);
		buffer_add_u64le(&b, f->rows[i].lsn);
		buffer_add_u64le(&b, f->rows[i].epoch);
	}
	buffer_add_u64le(&b, entry_hash(buffer_bytes(&b)));
	salvage_out_open(&o, f->dir, f->name, ".state", why);
	salvage_out_add(&o, buffer_bytes(&b));
	buffer_fini(&b);
	f->is_changed = !salvage_out_close(&o);
	return !f->is_changed;
}

bool salvage_file_remove(struct salvage_file *f, struct fault *why)
{
	/* The items first: a state without items means nothing. A kill may have left one that was being written. */
	return salvage_out_remove(f->dir, f->name, ".items", why) && file_sync_dir(f->dir, why) &&
	       salvage_out_remove(f->dir, f->name, ".state", why) && salvage_out_remove(f->dir, f->name, ".state.new", why) &&
	       salvage_out_remove(f->dir, f->name, ".asked", why);
}

static char *wanted_path(const char *dir)
{
	return must_printf("%s/wanted", dir);
}

bool salvage_want(const char *dir, struct fault *why)
{
	char *path = wanted_path(dir);
	bool ok = file_make_dirs(dir, 0700, why) && file_replace(path, BYTES_NONE, 0600, why);

	free(path);
	return ok;
}

bool salvage_is_wanted(const char *dir)
{
	char *path = wanted_path(dir);
	bool is = access(path, F_OK) == 0;

	free(path);
	return is;
}

void salvage_want_no_more(const char *dir)
{
	char *path = wanted_path(dir);

	(void)unlink(path);
	free(path);
}

/* Decisions. Lines "apply N" and "discard N"; the directory's lock keeps who adds from who takes. */

static int lock_dir(const char *dir, struct fault *why)
{
	int fd = file_open(dir, O_RDONLY | O_DIRECTORY, 0, why);

	if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot lock", dir);
		file_close(&fd);
	}
	return fd;
}

bool salvage_file_ask(const char *dir, struct salvage_name name, const struct salvage_decision *decisions, size_t count,
                      struct fault *why)
{
	char *path = salvage_out_path(dir, name, ".asked");
	struct buffer b = { 0 };
	int fd = lock_dir(dir, why), err;
	bool ok = fd >= 0;

	if (ok && !file_read_all(path, ASKED_MAX, &b, &err, why))
		ok = err == ENOENT;
	for (size_t i = 0; ok && i < count; i++)
		buffer_addf(&b, "%s %" PRIu64 "\n", decisions[i].is_apply ? "apply" : "discard", decisions[i].item);
	ok = ok && file_replace(path, buffer_bytes(&b), 0600, why);
	file_close(&fd);
	buffer_fini(&b);
	free(path);
	return ok;
}

static void take_line(struct salvage_file *f, struct bytes line)
{
	size_t blank = bytes_find(line, ' ');
	bool is_apply = bytes_equal_str(bytes_sub(line, 0, blank), "apply");
	uint64_t i;

	if (!bytes_to_u64(bytes_from(line, blank + 1), f->count - 1, &i) ||
	    (!is_apply && !bytes_equal_str(bytes_sub(line, 0, blank), "discard")))
		return;
	/* What is done is done. */
	if (f->rows[i].state == SALVAGE_IS_MERGED)
		return;
	salvage_file_set(f, (size_t)i, &(struct salvage_fate){ .state = is_apply ? SALVAGE_IS_FORCED : SALVAGE_IS_DISCARDED });
}

bool salvage_file_take_asked(struct salvage_file *f, struct fault *why)
{
	char *path = salvage_out_path(f->dir, f->name, ".asked");
	struct buffer b = { 0 };
	struct bytes rest;
	bool ok = true;
	int fd;

	if (access(path, F_OK) != 0) {
		free(path);
		return true;
	}
	fd = lock_dir(f->dir, why);
	ok = fd >= 0 && file_read_all(path, ASKED_MAX, &b, NULL, why);
	for (rest = buffer_bytes(&b); ok && rest.n > 0;) {
		size_t n = bytes_find(rest, '\n');

		take_line(f, bytes_sub(rest, 0, n));
		rest = bytes_from(rest, n + 1);
	}
	ok = ok && salvage_file_save(f, why) && salvage_out_remove(f->dir, f->name, ".asked", why);
	file_close(&fd);
	buffer_fini(&b);
	free(path);
	return ok;
}
