/* salvage_file.c - writing, mapping and removing the files of salvage/. */
#include "salvage_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "cursor.h"
#include "file.h"

#define HEADER 64
#define RECORD 24
#define STATE_ROW 24
#define MAGIC_SUFFIX "ROOSTSX1"
#define MAGIC_ITEMS "ROOSTSV1"
#define MAGIC_STATE "ROOSTST1"
#define OUT_PIECE (1u << 20)
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

void salvage_name_text(struct salvage_name name, char to[SALVAGE_NAME_TEXT])
{
	(void)snprintf(to, SALVAGE_NAME_TEXT, "%" PRIu64 "-%" PRIu64, name.epoch, name.first);
}

static char *path_of(const char *dir, struct salvage_name name, const char *extension)
{
	char text[SALVAGE_NAME_TEXT];

	salvage_name_text(name, text);
	return must_printf("%s/%s%s", dir, text, extension);
}

static bool read_name(struct bytes file, const char *extension, struct salvage_name *name_r)
{
	size_t dash = bytes_find(file, '-');
	struct bytes end = bytes_of(extension);

	return bytes_ends(file, end) && dash < file.n && bytes_to_u64(bytes_sub(file, 0, dash), UINT64_MAX, &name_r->epoch) &&
	       bytes_to_u64(bytes_sub(file, dash + 1, file.n - dash - 1 - end.n), UINT64_MAX, &name_r->first);
}

static int by_place(const void *x, const void *y)
{
	const struct salvage_name *a = x, *b = y;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->epoch < b->epoch ? -1 : a->epoch > b->epoch;
}

struct salvage_name *salvage_names(const char *dir, const char *extension, size_t *count_r, struct fault *why)
{
	struct salvage_name *names = must_calloc(1, sizeof(*names)), name;
	DIR *d = opendir(dir);
	struct dirent *e;

	*count_r = 0;
	if (d == NULL && errno == ENOENT)
		return names;
	if (d == NULL) {
		(void)fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot list", dir);
		free(names);
		return NULL;
	}
	while ((e = readdir(d)) != NULL) {
		if (!read_name(bytes_of(e->d_name), extension, &name))
			continue;
		names = must_realloc(names, *count_r + 1, sizeof(*names));
		names[(*count_r)++] = name;
	}
	(void)closedir(d);
	qsort(names, *count_r, sizeof(*names), by_place);
	return names;
}

/* A file that is being written under another name. */
struct out {
	int fd;
	const char *dir;
	char *path, *fresh;
	off_t at;
	struct buffer b;
	bool ok;
	struct fault *why;
};

static void put_header(struct buffer *b, const char *magic, struct salvage_name name, lsn_t last, uint64_t count)
{
	size_t start = b->n;

	buffer_add_str(b, magic);
	buffer_add_u32le(b, 1);
	buffer_add_u32le(b, 0);
	buffer_add_u32le(b, HEADER);
	buffer_add_u32le(b, 0);
	buffer_add_u64le(b, name.epoch);
	buffer_add_u64le(b, name.first);
	buffer_add_u64le(b, last);
	buffer_add_u64le(b, count);
	buffer_add_u64le(b, entry_hash(bytes_from(buffer_bytes(b), start)));
}

static bool read_header(struct bytes all, const char *magic, struct salvage_name name, const char *path, lsn_t *last_r,
                        uint64_t *count_r, struct fault *why)
{
	struct cursor c = cursor_of(all);
	struct salvage_name found;
	struct bytes m;
	uint32_t major, minor, size, zero;
	uint64_t hash;

	if (!cursor_bytes(&c, 8, &m) || !bytes_equal_str(m, magic))
		return fault_set(why, FAULT_OPERATOR, "%s: is not what its name says", path);
	if (!cursor_u32le(&c, &major) || major != 1)
		return fault_set(why, FAULT_OPERATOR, "%s: has another format version than this program reads, 1", path);
	if (!cursor_u32le(&c, &minor) || !cursor_u32le(&c, &size) || size != HEADER || !cursor_u32le(&c, &zero) ||
	    !cursor_u64le(&c, &found.epoch) || !cursor_u64le(&c, &found.first) || !cursor_u64le(&c, last_r) ||
	    !cursor_u64le(&c, count_r) || !cursor_u64le(&c, &hash) || hash != entry_hash(bytes_sub(all, 0, HEADER - 8)) ||
	    found.epoch != name.epoch || found.first != name.first || *last_r < found.first)
		return fault_set(why, FAULT_OPERATOR, "%s: the header is damaged", path);
	return true;
}

static void out_open(struct out *o, const char *dir, struct salvage_name name, const char *extension, struct fault *why)
{
	*o = (struct out){ .fd = -1, .dir = dir, .path = path_of(dir, name, extension), .why = why };
	o->fresh = must_printf("%s.new", o->path);
	o->ok = file_make_dirs(dir, 0700, why);
	if (o->ok) {
		char *parent = must_printf("%s/..", dir);

		o->ok = file_sync_dir(parent, why);
		free(parent);
	}
	if (o->ok)
		o->fd = file_open(o->fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600, why);
	o->ok = o->fd >= 0;
}

static void out_flush(struct out *o)
{
	struct iovec v = { o->b.p, o->b.n };
	size_t written;

	if (o->ok && o->b.n > 0)
		o->ok = file_pwritev(o->fd, &v, 1, o->at, o->fresh, &written, o->why);
	o->at += (off_t)o->b.n;
	buffer_clear(&o->b);
}

static void out_add(struct out *o, struct bytes b)
{
	buffer_add(&o->b, b);
	if (o->b.n >= OUT_PIECE)
		out_flush(o);
}

static void out_pad(struct out *o)
{
	while (((uint64_t)o->at + o->b.n) % 8 != 0)
		buffer_add_u8(&o->b, 0);
}

/* Sync, and give it its name. */
static bool out_close(struct out *o)
{
	out_flush(o);
	o->ok = o->ok && file_datasync(o->fd, o->fresh, o->why);
	if (o->ok && rename(o->fresh, o->path) != 0)
		o->ok = fault_errno(o->why, FAULT_OPERATOR, errno, "%s: cannot make", o->path);
	if (o->ok)
		o->ok = file_sync_dir(o->dir, o->why);
	else
		(void)unlink(o->fresh);
	file_close(&o->fd);
	buffer_fini(&o->b);
	free(o->path);
	free(o->fresh);
	return o->ok;
}

static bool map_file(const char *path, const uint8_t **map_r, size_t *size_r, struct fault *why)
{
	int fd = file_open(path, O_RDONLY, 0, why);
	struct stat st;
	void *map = MAP_FAILED;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size >= HEADER)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	file_close(&fd);
	if (map == MAP_FAILED)
		return fault_set(why, FAULT_OPERATOR, "%s: too short, or cannot be mapped", path);
	*map_r = map;
	*size_r = (size_t)st.st_size;
	return true;
}

static bool remove_file(const char *dir, struct salvage_name name, const char *extension, struct fault *why)
{
	char *path = path_of(dir, name, extension);
	bool ok = unlink(path) == 0 || errno == ENOENT || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot remove", path);

	free(path);
	return ok;
}

/* The suffix. */

bool salvage_suffix_write(const char *dir, struct salvage_name name, struct journal *j, lsn_t last, struct fault *why)
{
	struct buffer header = { 0 };
	struct out o;

	out_open(&o, dir, name, ".suffix", why);
	put_header(&header, MAGIC_SUFFIX, name, last, last - name.first + 1);
	out_add(&o, buffer_bytes(&header));
	buffer_fini(&header);
	for (lsn_t lsn = name.first; o.ok && lsn <= last; lsn++) {
		struct arena a = { 0 };
		struct bytes head, body;
		struct entry e;

		/* What the disk has spoilt is found now, while the journal is all there. */
		o.ok = journal_find(j, lsn, &head, &body, why) && (entry_read(head, body, true, &a, &e, why) ||
		                                                   fault_context(why, "%s", j->dir));
		arena_fini(&a);
		if (!o.ok)
			break;
		out_add(&o, head);
		out_add(&o, body);
		out_pad(&o);
	}
	return out_close(&o);
}

bool salvage_suffix_open(const char *dir, struct salvage_name name, struct salvage_suffix *x, struct fault *why)
{
	char *path = path_of(dir, name, ".suffix");
	uint64_t count;
	bool ok;

	*x = (struct salvage_suffix){ .name = name };
	ok = map_file(path, &x->map, &x->size, why) &&
	     read_header(bytes_make(x->map, x->size), MAGIC_SUFFIX, name, path, &x->last, &count, why);
	free(path);
	if (!ok)
		salvage_suffix_close(x);
	return ok;
}

void salvage_suffix_close(struct salvage_suffix *x)
{
	if (x->map != NULL)
		(void)munmap((void *)(uintptr_t)x->map, x->size);
	*x = (struct salvage_suffix){ 0 };
}

bool salvage_suffix_next(const struct salvage_suffix *x, size_t *at, struct arena *a, struct entry *e_r, bool *is_over_r,
                         struct fault *why)
{
	struct entry_header h;
	struct bytes rest;

	if (*at == 0)
		*at = HEADER;
	rest = bytes_from(bytes_make(x->map, x->size), *at);
	*is_over_r = rest.n == 0;
	if (rest.n == 0)
		return false;
	if (!entry_header_read(rest, &h) || (uint64_t)h.head_size + h.body_size > rest.n)
		return fault_set(why, FAULT_OPERATOR, "a suffix in salvage/ is damaged at %zu", *at);
	*at += (size_t)journal_padded((uint64_t)h.head_size + h.body_size);
	return entry_read(bytes_sub(rest, 0, h.head_size), bytes_sub(rest, h.head_size, h.body_size), true, a, e_r, why);
}

bool salvage_suffix_remove(const char *dir, struct salvage_name name, struct fault *why)
{
	return remove_file(dir, name, ".suffix", why) && file_sync_dir(dir, why);
}

/* Items. */

bool salvage_items_write(const char *dir, struct salvage_name name, lsn_t last, const struct salvage_item *items, size_t count,
                         struct fault *why)
{
	struct buffer b = { 0 }, head = { 0 };
	struct out o;

	out_open(&o, dir, name, ".items", why);
	put_header(&b, MAGIC_ITEMS, name, last, count);
	out_add(&o, buffer_bytes(&b));
	for (size_t i = 0; o.ok && i < count; i++) {
		buffer_clear(&b);
		buffer_clear(&head);
		salvage_item_write(&b, &items[i]);
		buffer_add_u32le(&head, (uint32_t)b.n);
		buffer_add_u32le(&head, (uint32_t)items[i].body.n);
		buffer_add_u64le(&head, entry_hash(buffer_bytes(&b)));
		buffer_add_u64le(&head, entry_hash(items[i].body));
		out_add(&o, buffer_bytes(&head));
		out_add(&o, buffer_bytes(&b));
		out_add(&o, items[i].body);
		out_pad(&o);
	}
	buffer_fini(&b);
	buffer_fini(&head);
	return out_close(&o);
}

static bool find_records(struct salvage_file *f, uint64_t count, const char *path, struct fault *why)
{
	uint64_t at = HEADER;

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
	char *path = path_of(f->dir, f->name, ".state");
	struct buffer b = { 0 };
	uint64_t count, hash;
	struct bytes all;
	struct cursor c;
	lsn_t last;
	int err;
	bool ok = file_read_all(path, HEADER + f->count * STATE_ROW + 8, &b, &err, why);

	if (!ok) {
		free(path);
		return err == ENOENT;
	}
	all = buffer_bytes(&b);
	ok = read_header(all, MAGIC_STATE, f->name, path, &last, &count, why);
	if (ok && (count != f->count || all.n != HEADER + f->count * STATE_ROW + 8))
		ok = fault_set(why, FAULT_OPERATOR, "%s: is of other items", path);
	c = cursor_of(bytes_from(all, all.n - 8));
	if (ok && (!cursor_u64le(&c, &hash) || hash != entry_hash(bytes_sub(all, 0, all.n - 8))))
		ok = fault_set(why, FAULT_OPERATOR, "%s: damaged; without it all items are looked at again", path);
	c = cursor_of(bytes_from(all, HEADER));
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
	char *path = path_of(dir, name, ".items");
	uint64_t count;
	bool ok;

	f->dir = must_strdup(dir);
	f->name = name;
	ok = map_file(path, &f->map, &f->size, why) &&
	     read_header(bytes_make(f->map, f->size), MAGIC_ITEMS, name, path, &f->last, &count, why) &&
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
	char *path;
	bool ok;

	if (!f->is_changed)
		return true;
	put_header(&b, MAGIC_STATE, f->name, f->last, f->count);
	for (size_t i = 0; i < f->count; i++) {
		buffer_add_u8(&b, f->rows[i].state);
		buffer_add_u8(&b, f->rows[i].outcome);
		buffer_add_u16le(&b, 0);
		buffer_add_u32le(&b, 0);
		buffer_add_u64le(&b, f->rows[i].lsn);
		buffer_add_u64le(&b, f->rows[i].epoch);
	}
	buffer_add_u64le(&b, entry_hash(buffer_bytes(&b)));
	path = path_of(f->dir, f->name, ".state");
	ok = file_replace(path, buffer_bytes(&b), 0600, why);
	f->is_changed = !ok;
	free(path);
	buffer_fini(&b);
	return ok;
}

bool salvage_file_remove(struct salvage_file *f, struct fault *why)
{
	/* The items first: a state without items means nothing. */
	return remove_file(f->dir, f->name, ".items", why) && file_sync_dir(f->dir, why) &&
	       remove_file(f->dir, f->name, ".state", why) && remove_file(f->dir, f->name, ".asked", why);
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
	char *path = path_of(dir, name, ".asked");
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
	char *path = path_of(f->dir, f->name, ".asked");
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
	ok = ok && salvage_file_save(f, why) && remove_file(f->dir, f->name, ".asked", why);
	file_close(&fd);
	buffer_fini(&b);
	free(path);
	return ok;
}
