/* check.c - the promises, looked at after every step, as tests/sim/sim_check.c has them; and what must be so at rest: all members
 * are the same, octet by octet, and in asynchronous mode every acknowledged message is somewhere. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "driver_private.h"
#include "entry.h"
#include "file.h"
#include "store_tool.h"
#include "whole.h"

static void know_op(uint64_t op)
{
	uint64_t cap = op * 2 + 64;

	if (op < w.op_cap)
		return;
	w.lsn_of_op = must_realloc(w.lsn_of_op, cap, sizeof(*w.lsn_of_op));
	w.is_acked = must_realloc(w.is_acked, cap, sizeof(*w.is_acked));
	memset(w.lsn_of_op + w.op_cap, 0, (cap - w.op_cap) * sizeof(*w.lsn_of_op));
	memset(w.is_acked + w.op_cap, 0, (cap - w.op_cap) * sizeof(*w.is_acked));
	w.op_cap = cap;
}

static void note_op(const struct whole_member *m, struct bytes raw, uint64_t lsn)
{
	const char *at = memmem(raw.p, raw.n, "operation-", 10);
	uint64_t op;

	if (at == NULL)
		return;
	op = strtoull(at + 10, NULL, 10);
	know_op(op);
	if (w.lsn_of_op[op] != 0 && w.lsn_of_op[op] != lsn && !w.is_async)
		problem("%s commits operation %llu as entry %llu, and it was committed as %llu", node_names[m->self],
		        (unsigned long long)op, (unsigned long long)lsn, (unsigned long long)w.lsn_of_op[op]);
	w.lsn_of_op[op] = lsn;
}

static void compare_entry(const struct whole_member *m, struct bytes raw, uint64_t lsn)
{
	uint64_t hash = entry_hash(raw);

	if (lsn + 1 > w.agreed_cap) {
		w.agreed_cap = lsn * 2 + 64;
		w.agreed = must_realloc(w.agreed, w.agreed_cap, sizeof(*w.agreed));
	}
	/* Asynchronous: another member may have gone on without it. What is lasting shows at rest. */
	if (lsn > w.agreed_last || w.is_async) {
		w.agreed[lsn] = hash;
		w.agreed_last = lsn > w.agreed_last ? lsn : w.agreed_last;
		note_op(m, raw, lsn);
	} else if (w.agreed[lsn] != hash) {
		problem("%s commits another entry %llu than was committed", node_names[m->self], (unsigned long long)lsn);
	}
}

/* What M has applied since the last look is what everybody has. */
void check_new(struct whole_member *m)
{
	struct buffer raw = { 0 };
	struct fault why;

	/* What it had was put aside, or a copy took its place. */
	if (m->checked > store_applied_lsn(m->store))
		m->checked = store_applied_lsn(m->store);
	if (m->checked + 1 < store_first_lsn(m->store))
		m->checked = store_first_lsn(m->store) - 1;
	while (m->checked < store_applied_lsn(m->store)) {
		struct bytes rest;
		uint64_t n;
		lsn_t last, lsn;
		epoch_t epoch;

		buffer_clear(&raw);
		if (store_read_entries(m->store, m->checked + 1, 65536, &raw, &last, &why) != STORE_OK || last == m->checked) {
			problem("%s: entry %llu cannot be read: %s", node_names[m->self], (unsigned long long)m->checked + 1, why.what);
			break;
		}
		for (rest = buffer_bytes(&raw); rest.n > 0; rest = bytes_from(rest, (size_t)n)) {
			if (!store_entry_peek(rest, &lsn, &epoch, &n))
				break;
			if (lsn > store_applied_lsn(m->store))
				break;
			compare_entry(m, bytes_sub(rest, 0, (size_t)n), lsn);
			m->checked = lsn;
		}
	}
	buffer_fini(&raw);
}

bool member_acts(struct whole_member *m)
{
	bool yes;

	if (!m->is_alive || member_is_unseen(m) || m->driver == NULL)
		return false;
	w.current = m;
	yes = driver_may_serve(m->driver);
	w.current = NULL;
	return yes;
}

void check_all(void)
{
	int acting = -1;

	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!member_acts(m)) {
			m->was_acting = false;
			continue;
		}
		if (acting >= 0)
			problem("two masters at once: %s and %s", node_names[acting], node_names[i]);
		acting = (int)i;
		if (store_applied_lsn(m->store) < w.acked_last && !w.is_async)
			problem("%s acts, and its readers do not see acknowledged entry %llu", node_names[i],
			        (unsigned long long)w.acked_last);
		if (!m->was_acting)
			tell("%s: acts with %llu entries", node_names[i], (unsigned long long)store_last_lsn(m->store));
		m->was_acting = true;
	}
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!w.is_async && m->is_alive && !member_is_unseen(m) && directory_in_sync((int)i) && store_durable_lsn(m->store) < w.acked_last)
			problem("%s is in the in-sync set, and acknowledged entry %llu is not on its disk", node_names[i],
			        (unsigned long long)w.acked_last);
	}
}

void check_answer(const struct whole_member *m, uint64_t op)
{
	/* One that is closing serves nobody any more, but may still say what is committed under its lease. */
	if (!replica_may_act(m->driver->core, member_ms(m)))
		problem("%s answers operation %llu, and does not act", node_names[m->self], (unsigned long long)op);
}

void check_ack(struct whole_member *m, uint64_t op, uint64_t lsn)
{
	check_answer(m, op);
	check_new(m);
	if (op >= w.op_cap || w.lsn_of_op[op] == 0)
		problem("%s answers operation %llu, which is nowhere", node_names[m->self], (unsigned long long)op);
	know_op(op);
	w.is_acked[op] = true;
	w.acked++;
	if (lsn > w.acked_last)
		w.acked_last = lsn;
}

bool check_at_rest(void)
{
	bool has_master = false;

	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!m->is_alive || m->is_ghost || store_last_lsn(m->store) != store_last_lsn(w.members[0].store) ||
		    store_applied_lsn(m->store) != store_last_lsn(m->store))
			return false;
		has_master = has_master || member_acts(m);
	}
	return has_master && directory_all_in_sync();
}

/* What everybody holds, for the trace. */
void check_tell_state(void)
{
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		if (!m->is_alive || member_is_unseen(m)) {
			tell("%s: down", node_names[i]);
			continue;
		}
		tell("%s: last %llu, durable %llu, applied %llu; role %d in epoch %llu, committed %llu%s%s", node_names[i],
		     (unsigned long long)store_last_lsn(m->store), (unsigned long long)store_durable_lsn(m->store),
		     (unsigned long long)store_applied_lsn(m->store), (int)replica_role(m->driver->core),
		     (unsigned long long)replica_epoch(m->driver->core), (unsigned long long)replica_committed(m->driver->core),
		     member_acts(m) ? ", acts" : "", directory_in_sync((int)i) ? ", in sync" : "");
	}
}

/* Master and replica are the same, octet by octet. */
void check_dumps(void)
{
	char *first = NULL;

	for (size_t i = 0; i < w.count; i++) {
		char *text = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&text, &n);
		struct fault why;

		w.current = &w.members[i];
		if (!store_dump_open(w.members[i].store, f, &why))
			problem("%s cannot be dumped: %s", node_names[i], why.what);
		w.current = NULL;
		(void)fclose(f);
		if (first != NULL && strcmp(first, text) != 0)
			problem("the dumps of a and %s differ", node_names[i]);
		if (first == NULL)
			first = text;
		else
			free(text);
	}
	free(first);
}

/* Marks operations whose messages are in the files of a directory. */
static void look_into(const struct whole_member *m, const char *name, bool *is_found)
{
	char *path = must_printf("%s/%s", m->disk.dir, name);
	DIR *d = opendir(path);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *file = must_printf("%s/%s", path, e->d_name);
		struct buffer b = { 0 };
		const char *at;

		if (e->d_name[0] != '.' && file_read_all(file, 64u << 20, &b, NULL, NULL)) {
			for (size_t off = 0; off < b.n && (at = memmem(b.p + off, b.n - off, "operation-", 10)) != NULL;
			     off = (size_t)(at - (const char *)b.p) + 10) {
				uint64_t op = strtoull(at + 10, NULL, 10);

				if (op < w.op_cap)
					is_found[op] = true;
			}
		}
		buffer_fini(&b);
		free(file);
	}
	if (d != NULL)
		(void)closedir(d);
	free(path);
}

/* Asynchronous mode: whether every acknowledged operation is in the journal, or in a member's salvage. Those in the journal are
 * there once. */
bool check_all_there(void)
{
	bool *is_found = must_calloc(w.op_cap + 1, sizeof(bool));
	bool all = true;
	lsn_t first = 1;

	memset(w.lsn_of_op, 0, w.op_cap * sizeof(*w.lsn_of_op));
	for (size_t i = 0; i < w.count; i++)
		first = store_first_lsn(w.members[i].store) > first ? store_first_lsn(w.members[i].store) : first;
	w.agreed_last = first - 1; /* what all have whole */
	w.is_async = false; /* as strict as in the other mode, for this once */
	for (size_t i = 0; i < w.count; i++) {
		struct whole_member *m = &w.members[i];

		m->checked = first - 1;
		check_new(m);
		look_into(m, "salvage", is_found);
		look_into(m, "journal", is_found); /* a copy has the bodies, without their entries */
	}
	w.is_async = true;
	for (uint64_t op = 1; op < w.op_cap; op++) {
		if (!w.is_acked[op] || w.lsn_of_op[op] != 0 || is_found[op])
			continue;
		all = false;
		tell("operation %llu is not there yet", (unsigned long long)op);
	}
	free(is_found);
	return all;
}
