/* dir_export.c - the records to text: a line a record, fields separated by tabs, octets outside printable ASCII, tabs and
 * percent signs as %XX; the last line counts the others, so that a text that was cut is not taken for whole. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dir_etcd.h"
#include "dir_follow.h"
#include "dir_move_private.h"
#include "kv_copy.h"
#include "record_codec.h"
#include "record_store.h"

#define PAGE_KEYS 2000

struct out {
	FILE *to;
	uint64_t lines;
	struct bytes prefix; /* etcd's */
	struct buffer last;
	bool is_damaged;
};

bool dir_store_is_etcd(const struct config *c)
{
	return strcmp(config_string(c, "directory_store"), "etcd") == 0;
}

char *dir_store_path(const struct config *c)
{
	return must_printf("%s/directory", config_string(c, "configdirectory"));
}

static void field(struct out *o, struct bytes b)
{
	(void)putc('\t', o->to);
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] > ' ' && b.p[i] < 0x7f && b.p[i] != '%')
			(void)putc(b.p[i], o->to);
		else
			(void)fprintf(o->to, "%%%02X", b.p[i]);
	}
}

static void end_line(struct out *o)
{
	(void)putc('\n', o->to);
	o->lines++;
}

static void write_record(struct out *o, struct bytes name, const struct record *r)
{
	(void)fputs(r->state == RECORD_ACTIVE ? "active" : "reserved", o->to);
	field(o, name);
	field(o, r->location);
	if (r->state == RECORD_ACTIVE)
		field(o, r->acl);
	end_line(o);
}

static void write_reign(void *arg, struct bytes server, const struct reign *r)
{
	struct out *o = arg;

	(void)fputs("server", o->to);
	field(o, server);
	(void)fprintf(o->to, "\t%" PRIu64, r->epoch);
	field(o, r->master);
	field(o, r->in_sync);
	end_line(o);
}

/* Whether there is a whole list to read at PATH; a follower's may be one that its master had not told to its end. */
static bool may_export(const struct config *c, const char *path, struct fault *why)
{
	return !config_is_set(c, "mupdate_server") || kv_copy_is_whole(path) ||
	       fault_set(why, FAULT_OPERATOR, "%s: has no whole list yet; wait until /readyz of that follower is 200", path);
}

static bool export_lmdb(const struct config *c, struct out *o, struct fault *why)
{
	char *path = config_is_set(c, "mupdate_server") ? dir_follow_path(c) : dir_store_path(c);
	size_t size = (size_t)config_number(c, "index_map_size");
	struct kv *kv = may_export(c, path, why) ? record_store_open_reader(path, size, why) : NULL;
	struct kv_txn *t = kv == NULL ? NULL : kv_read(kv, why);
	bool ok = t != NULL;

	if (ok) {
		struct record_cursor at;
		struct bytes name;
		struct record r;
		size_t count = 0;

		o->is_damaged = !reign_each(t, write_reign, o);
		record_cursor_open(t, BYTES_NONE, false, &at);
		for (; record_cursor_get(&at, &name, &r); record_cursor_next(&at)) {
			count++;
			if (r.state != RECORD_NONE)
				write_record(o, name, &r);
		}
		if (!record_cursor_close(&at) || count != record_count(t))
			o->is_damaged = true;
	}
	kv_end(&t);
	kv_close(&kv);
	free(path);
	return ok;
}

static void on_pair(void *arg, struct bytes key, struct bytes value)
{
	struct out *o = arg;
	struct bytes rest = bytes_from(key, o->prefix.n);
	struct record r;
	struct reign reign;

	buffer_clear(&o->last);
	buffer_add(&o->last, key);
	if (bytes_starts(rest, BYTES_LIT("mailbox/"))) {
		if (!record_decode(value, &r))
			o->is_damaged = true;
		else if (r.state != RECORD_NONE)
			write_record(o, bytes_from(rest, 8), &r);
	} else if (bytes_starts(rest, BYTES_LIT("server/"))) {
		if (!reign_decode(value, &reign))
			o->is_damaged = true;
		else
			write_reign(o, bytes_from(rest, 7), &reign);
	}
}

void dir_prefix_end(struct bytes prefix, struct buffer *to)
{
	buffer_clear(to);
	buffer_add(to, prefix);
	while (to->n > 0 && to->p[to->n - 1] == 0xff)
		to->n--;
	if (to->n > 0)
		to->p[to->n - 1]++;
	else
		buffer_add_u8(to, 0);
}

static bool export_etcd(const struct config *c, struct out *o, struct fault *why)
{
	struct etcd *etcd = dir_etcd_client(c, why);
	enum etcd_result result = etcd == NULL ? ETCD_REFUSED : ETCD_OK;
	struct buffer to = { 0 };
	int64_t revision = 0;
	bool more = true;

	o->prefix = bytes_of(config_string(c, "etcd_prefix"));
	dir_prefix_end(o->prefix, &to);
	buffer_add(&o->last, o->prefix);
	while (result == ETCD_OK && more) {
		result = etcd_range(etcd, buffer_bytes(&o->last), buffer_bytes(&to), PAGE_KEYS, &revision, on_pair, o, &more, why);
		buffer_add_u8(&o->last, 0);
	}
	buffer_fini(&to);
	buffer_fini(&o->last);
	etcd_close(&etcd);
	return result == ETCD_OK;
}

bool directory_export(const struct config *c, FILE *to, struct fault *why)
{
	struct out o = { .to = to };
	bool ok;

	if (config_string(c, "configdirectory") == NULL && !dir_store_is_etcd(c))
		return config_fault(c, "configdirectory", why, "is missing; use the configuration of a mupdate server");
	(void)fputs(DIR_MOVE_HEAD "\n", to);
	ok = dir_store_is_etcd(c) ? export_etcd(c, &o, why) : export_lmdb(c, &o, why);
	if (!ok)
		return false;
	if (o.is_damaged)
		return fault_set(why, FAULT_OPERATOR, "a record is damaged; what was printed lacks it and has no end line");
	(void)fprintf(to, "end\t%" PRIu64 "\n", o.lines);
	if (fflush(to) != 0 || ferror(to))
		return fault_set(why, FAULT_OPERATOR, "the output could not be written");
	return true;
}
