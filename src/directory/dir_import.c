/* dir_import.c - the text of dir_export.c into a store. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dir_etcd.h"
#include "dir_move_private.h"
#include "kv.h"
#include "record_codec.h"
#include "record_store.h"

#define LINE_MAX_OCTETS (1u << 20)
#define FIELDS_MAX 5
#define TXN_KEYS 100
#define TXN_OCTETS (256 * 1024)

struct in {
	FILE *from;
	struct fault *why;
	uint64_t line; /* number of the present one */
	char *text;
	struct buffer octets; /* of all fields, decoded */
	struct bytes fields[FIELDS_MAX];
	size_t count;

	struct kv_txn *txn; /* LMDB; or */
	struct etcd *etcd;
	struct bytes prefix;
	struct etcd_txn batch;
	struct buffer expected; /* of the batch: key and value, each bytes32 */
	bool differs;
};

static bool bad(struct in *i, const char *what)
{
	return fault_set(i->why, FAULT_CLIENT, "line %llu: %s", (unsigned long long)i->line, what);
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Split the line into fields, decoded. */
static bool split(struct in *i, struct bytes line)
{
	size_t ends[FIELDS_MAX];

	buffer_clear(&i->octets);
	i->count = 0;
	for (size_t at = 0; at < line.n; at++) {
		uint8_t c = line.p[at];

		if (c == '\t') {
			if (i->count == FIELDS_MAX - 1)
				return bad(i, "too many fields");
			ends[i->count++] = i->octets.n;
		} else if (c == '%') {
			int high = at + 2 < line.n ? hex(line.p[at + 1]) : -1;
			int low = at + 2 < line.n ? hex(line.p[at + 2]) : -1;

			if (high < 0 || low < 0)
				return bad(i, "% without two hexadecimal digits");
			buffer_add_u8(&i->octets, (uint8_t)(high << 4 | low));
			at += 2;
		} else {
			buffer_add_u8(&i->octets, c);
		}
	}
	ends[i->count++] = i->octets.n;
	for (size_t f = 0, from = 0; f < i->count; from = ends[f++])
		i->fields[f] = bytes_sub(buffer_bytes(&i->octets), from, ends[f] - from);
	return true;
}

/* The next line, split. *END_R: there is none. */
static bool next_line(struct in *i, bool *end_r)
{
	size_t n;

	*end_r = fgets(i->text, LINE_MAX_OCTETS, i->from) == NULL;
	if (*end_r)
		return !ferror(i->from) || fault_errno(i->why, FAULT_OPERATOR, errno, "the input cannot be read");
	i->line++;
	n = strlen(i->text);
	if (n == 0 || i->text[n - 1] != '\n')
		return bad(i, "too long, holds a NUL, or has no end");
	return split(i, bytes_make(i->text, n - 1));
}

static void on_there(void *arg, struct bytes key, struct bytes value)
{
	struct in *i = arg;
	struct buffer pair = { 0 };

	/* Only what is the same may be there already. */
	buffer_add_bytes32(&pair, key);
	buffer_add_bytes32(&pair, value);
	if (bytes_search(buffer_bytes(&i->expected), buffer_bytes(&pair)) == i->expected.n)
		i->differs = true;
	buffer_fini(&pair);
}

/* Write the batch, but nothing over what is there. */
static bool flush_batch(struct in *i)
{
	int64_t revision;
	enum etcd_result result;

	if (i->batch.write_count == 0)
		return true;
	result = etcd_txn_do(i->etcd, &i->batch, &revision, on_there, i, i->why);
	if (result == ETCD_UNKNOWN)
		return fault_context(i->why, "line %llu: it is not known whether it was written; run the import again",
		                     (unsigned long long)i->line);
	if (result == ETCD_DIFFERS && i->differs)
		return bad(i, "the store has another record for one of the last names");
	if (result != ETCD_OK && result != ETCD_DIFFERS)
		return fault_context(i->why, "line %llu", (unsigned long long)i->line);
	etcd_txn_fini(&i->batch);
	buffer_clear(&i->expected);
	return true;
}

static bool put_etcd(struct in *i, const char *table, struct bytes name, struct bytes value)
{
	struct buffer key = { 0 };

	buffer_add(&key, i->prefix);
	buffer_add_str(&key, table);
	buffer_add(&key, name);
	etcd_txn_if_absent(&i->batch, buffer_bytes(&key));
	etcd_txn_put(&i->batch, buffer_bytes(&key), value, 0);
	buffer_add_bytes32(&i->expected, buffer_bytes(&key));
	buffer_add_bytes32(&i->expected, value);
	buffer_fini(&key);
	return (i->batch.write_count < TXN_KEYS && i->expected.n < TXN_OCTETS) || flush_batch(i);
}

static bool put_record(struct in *i, const struct record *r)
{
	struct buffer value = { 0 };
	struct bytes name = i->fields[1];
	struct record there;
	bool ok;

	if (name.n == 0 || name.n > RECORD_NAME_MAX || bytes_find(name, '\0') < name.n)
		return bad(i, "the mailbox name is empty, too long, or holds a NUL");
	if (r->location.n == 0)
		return bad(i, "the location is empty");
	if (i->etcd == NULL) {
		if (record_get(i->txn, name, &there) != KV_OK)
			return bad(i, "the store cannot be read");
		if (there.state != RECORD_NONE)
			return bad(i, "the name was on a line before");
		return record_put(i->txn, name, r) == KV_OK || bad(i, "the store cannot take it: see the line before");
	}
	record_encode(&value, r);
	ok = put_etcd(i, "mailbox/", name, buffer_bytes(&value));
	buffer_fini(&value);
	return ok;
}

static bool put_server(struct in *i)
{
	struct reign r = { 0, i->fields[3], i->fields[4] };
	struct buffer value = { 0 };
	bool ok;

	if (!bytes_to_u64(i->fields[2], UINT64_MAX, &r.epoch) || r.epoch == 0 || i->fields[1].n == 0)
		return bad(i, "a server's name and epoch are wanted");
	if (i->etcd == NULL)
		return reign_put(i->txn, i->fields[1], &r) == KV_OK || bad(i, "the store cannot take it: see the line before");
	reign_encode(&value, &r);
	ok = put_etcd(i, "server/", i->fields[1], buffer_bytes(&value));
	buffer_fini(&value);
	return ok;
}

static bool take_line(struct in *i, bool *end_r)
{
	struct bytes word = i->fields[0];
	uint64_t lines;

	if (bytes_equal_str(word, "active") && i->count == 4)
		return put_record(i, &(struct record){ RECORD_ACTIVE, i->fields[2], i->fields[3] });
	if (bytes_equal_str(word, "reserved") && i->count == 3)
		return put_record(i, &(struct record){ RECORD_RESERVED, i->fields[2], BYTES_NONE });
	if (bytes_equal_str(word, "server") && i->count == 5)
		return put_server(i);
	if (bytes_equal_str(word, "end") && i->count == 2) {
		*end_r = true;
		/* Without this line and the first. */
		return (bytes_to_u64(i->fields[1], UINT64_MAX, &lines) && lines + 2 == i->line) ||
		       bad(i, "lines are missing, or too many, by this count");
	}
	return bad(i, "not a line of an exported directory");
}

static bool read_all(struct in *i)
{
	bool end = false, is_whole = false;

	if (!next_line(i, &end))
		return false;
	if (end || i->count != 2 || !bytes_equal_str(i->fields[0], "roost-directory") || !bytes_equal_str(i->fields[1], "1"))
		return bad(i, "not an exported directory of version 1");
	while (!is_whole) {
		if (!next_line(i, &end))
			return false;
		if (end)
			return bad(i, "the input is cut: its end line is missing");
		if (!take_line(i, &is_whole))
			return false;
	}
	return i->etcd == NULL || flush_batch(i);
}

static void note_server(void *arg, struct bytes server, const struct reign *reign)
{
	*(bool *)arg = true;
}

static bool import_lmdb(const struct config *c, struct in *i)
{
	char *path = dir_store_path(c);
	struct kv *kv = record_store_open(path, (size_t)config_number(c, "index_map_size"), true, i->why);
	bool has_server = false, ok;

	i->txn = kv == NULL ? NULL : kv_write(kv, i->why);
	ok = i->txn != NULL;
	if (ok && !reign_each(i->txn, note_server, &has_server))
		ok = fault_set(i->why, FAULT_OPERATOR, "%s: is damaged: import into a new store (move that directory away first)", path);
	if (ok && (has_server || record_count(i->txn) > 0))
		ok = fault_set(i->why, FAULT_OPERATOR, "%s has records; import into a new store (move that directory away first)", path);
	ok = ok && read_all(i);
	if (ok)
		ok = kv_commit(&i->txn, i->why);
	kv_end(&i->txn);
	kv_close(&kv);
	free(path);
	return ok;
}

bool directory_import(const struct config *c, FILE *from, struct fault *why)
{
	struct in i = { .from = from, .why = why };
	bool ok;

	if (config_string(c, "configdirectory") == NULL)
		return config_fault(c, "configdirectory", why, "is missing; use the configuration of a mupdate server");
	if (config_is_set(c, "mupdate_server"))
		return config_fault(c, "mupdate_server", why, "makes this server a follower, which has its records from there only");
	i.text = must_alloc(LINE_MAX_OCTETS);
	if (dir_store_is_etcd(c)) {
		i.prefix = bytes_of(config_string(c, "etcd_prefix"));
		i.etcd = dir_etcd_client(c, why);
		ok = i.etcd != NULL && read_all(&i);
		etcd_close(&i.etcd);
	} else {
		ok = import_lmdb(c, &i);
	}
	etcd_txn_fini(&i.batch);
	buffer_fini(&i.expected);
	buffer_fini(&i.octets);
	free(i.text);
	return ok;
}
