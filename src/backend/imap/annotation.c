/* annotation.c - looked up one by one where entries are named, walked where they are matched: a message has few. */
#include "annotation.h"

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "box.h"
#include "imap_writer.h"
#include "list_pattern.h"
#include "map.h"
#include "mime.h"

#define RANK_TURN 2000   /* messages looked at in one turn of the loop */
#define RANK_OCTETS 1000 /* of a value that are compared */

static const struct {
	unsigned attribute;
	const char *name;
	bool is_shared, is_size;
} attributes[] = {
	{ ANNOTATION_VALUE_PRIV, "value.priv", false, false },
	{ ANNOTATION_VALUE_SHARED, "value.shared", true, false },
	{ ANNOTATION_SIZE_PRIV, "size.priv", false, true },
	{ ANNOTATION_SIZE_SHARED, "size.shared", true, true },
};

static struct bytes user_of(const struct session *s, bool is_shared)
{
	return is_shared ? BYTES_NONE : bytes_of(s->identity.user);
}

static bool wants(const struct fetch_item *item, bool is_shared)
{
	return (item->attributes & (is_shared ? ANNOTATION_VALUE_SHARED | ANNOTATION_SIZE_SHARED : ANNOTATION_VALUE_PRIV | ANNOTATION_SIZE_PRIV)) != 0;
}

static bool has_wildcard(struct bytes entry)
{
	return bytes_find(entry, '*') < entry.n || bytes_find(entry, '%') < entry.n;
}

/* Its value; p is NULL: it has none. Lent by the view. */
static struct bytes value_of(struct session *s, struct store_view *v, mailbox_id_t mailbox, uint32_t uid, struct bytes entry, bool is_shared)
{
	const struct attribute of = { .uid = uid, .user = user_of(s, is_shared), .name = entry };
	struct bytes value;
	struct fault why;

	if (store_view_attribute(v, mailbox, &of, &value, &why) != STORE_OK)
		return BYTES_NONE;
	return value.n == 0 ? BYTES_LIT("") : value;
}

struct writing {
	struct session *s;
	struct store_view *v;
	mailbox_id_t mailbox;
	uint32_t uid;
	const struct fetch_item *item;
	struct buffer *to;
	struct map told; /* entries */
};

static void write_entry(struct writing *w, struct bytes entry)
{
	const char *before = " (";

	if (map_get(&w->told, entry) != NULL)
		return;
	buffer_add_str(w->to, w->told.n == 0 ? "ANNOTATION (" : " ");
	(void)map_put(&w->told, entry, w);
	imap_write_astring(w->to, entry, false);
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		struct bytes value;

		if ((w->item->attributes & attributes[i].attribute) == 0)
			continue;
		value = value_of(w->s, w->v, w->mailbox, w->uid, entry, attributes[i].is_shared);
		buffer_add_str(w->to, before);
		buffer_add_str(w->to, attributes[i].name);
		if (attributes[i].is_size) {
			buffer_addf(w->to, " \"%zu\"", value.n);
		} else {
			buffer_add_u8(w->to, ' ');
			imap_write_nstring8(w->to, value);
		}
		before = " ";
	}
	buffer_add_u8(w->to, ')');
}

static void write_matching(struct writing *w, struct bytes pattern, bool is_shared)
{
	struct view_attributes it;
	struct attribute of;

	store_view_attributes(w->v, w->mailbox, w->uid, user_of(w->s, is_shared), &it);
	while (view_attributes_next(&it, &of)) {
		if (list_match(pattern, of.name, '/'))
			write_entry(w, of.name);
	}
	view_attributes_end(&it);
}

bool annotation_write(struct session *s, struct store_view *v, mailbox_id_t mailbox, uint32_t uid, const struct fetch_item *item,
                      struct buffer *to)
{
	struct writing w = { s, v, mailbox, uid, item, to, { 0 } };
	bool has;

	for (size_t i = 0; i < item->field_count; i++) {
		if (!has_wildcard(item->fields[i])) {
			write_entry(&w, item->fields[i]);
			continue;
		}
		for (int shared = 0; shared < 2; shared++) {
			if (wants(item, shared != 0))
				write_matching(&w, item->fields[i], shared != 0);
		}
	}
	has = w.told.n > 0;
	if (has)
		buffer_add_u8(to, ')');
	map_fini(&w.told);
	return has;
}

void annotation_tell(struct session *s, struct store_view *v, uint32_t number, const struct message *msg)
{
	struct bytes all = BYTES_LIT("*");
	const struct fetch_item item = {
		.type = FETCH_ANNOTATION, .fields = &all, .field_count = 1, .attributes = ANNOTATION_VALUE_PRIV | ANNOTATION_VALUE_SHARED
	};
	struct buffer line = { 0 }, is = { 0 };

	if (annotation_write(s, v, s->box->id, msg->uid, &item, &is)) {
		if ((s->features & IMAP_F_UIDONLY) != 0)
			buffer_addf(&line, "* %u UIDFETCH (", msg->uid);
		else
			buffer_addf(&line, "* %u FETCH (UID %u ", number, msg->uid);
		if ((s->features & IMAP_F_CONDSTORE) != 0)
			buffer_addf(&line, "MODSEQ (%llu) ", (unsigned long long)msg->modseq);
		buffer_add(&line, buffer_bytes(&is));
		buffer_add_str(&line, ")\r\n");
		session_write(s, buffer_bytes(&line));
	} else if ((s->features & IMAP_F_CONDSTORE) != 0) {
		box_write_fetch_modseq(s, number, msg); /* it has none any more */
	}
	buffer_fini(&line);
	buffer_fini(&is);
}

static bool contains(struct bytes value, struct bytes folded)
{
	struct buffer b = { 0 };
	bool ok = mime_fold_key(value, BYTES_LIT("UTF-8"), &b);
	struct bytes in = ok ? buffer_bytes(&b) : value;
	bool has = bytes_search(in, folded) < in.n || folded.n == 0;

	buffer_fini(&b);
	return has;
}

bool annotation_matches(struct session *s, struct store_view *v, mailbox_id_t mailbox, uint32_t uid, const struct search_key *k)
{
	bool has = false;

	for (int shared = 0; !has && shared < 2; shared++) {
		struct view_attributes it;
		struct attribute of;

		if ((k->flags & (shared != 0 ? ANNOTATION_VALUE_SHARED : ANNOTATION_VALUE_PRIV)) == 0)
			continue;
		store_view_attributes(v, mailbox, uid, user_of(s, shared != 0), &it);
		while (!has && view_attributes_next(&it, &of))
			has = list_match(k->field, of.name, '/') && contains(of.value, k->string);
		view_attributes_end(&it);
	}
	return has;
}

/* Whether AN may be set. False: the tagged answer is set. */
static bool may_set(struct session *s, struct command *cmd, acl_rights_t rights, const struct annotation *an)
{
	const struct config *cfg = s->client.backend->cfg;

	if ((rights & (an->is_shared ? ACL_ANNOTATE : ACL_READ)) == 0)
		(void)answer_no(cmd, "NOPERM", "you may not set such annotations");
	else if (an->entry.n > config_number(cfg, "metadata_max_name") ||
	         an->entry.n + bytes_of(s->identity.user).n > ATTRIBUTE_USER_AND_NAME_MAX)
		(void)answer_no(cmd, "LIMIT", "an entry's name is too long");
	else if (an->value.n > config_number(cfg, "annotation_max_value"))
		(void)answer_no(cmd, "ANNOTATE TOOBIG", "the value is too long");
	else
		return true;
	return false;
}

bool annotation_changes(struct session *s, struct command *cmd, acl_rights_t rights, const struct annotation *at, size_t count,
                        struct arena *a, struct attribute_changes *to_r)
{
	struct attribute_change *changes = arena_array(a, count, sizeof(*changes));

	for (size_t i = 0; i < count; i++) {
		if (!may_set(s, cmd, rights, &at[i]))
			return false;
		changes[i] = (struct attribute_change){ .user = arena_copy(a, user_of(s, at[i].is_shared)), .name = arena_copy(a, at[i].entry),
			                                .value = arena_copy(a, at[i].value), .is_set = at[i].value.p != NULL };
	}
	*to_r = (struct attribute_changes){ changes, count, (size_t)config_number(s->client.backend->cfg, "annotation_max_entries") };
	return true;
}

bool annotation_names_parts(const struct annotation *at, size_t count)
{
	bool names = false;

	for (size_t i = 0; i < count; i++)
		names = names || ascii_is_digit(at[i].entry.p[1]);
	return names;
}

bool annotation_has_parts(const struct annotation *at, size_t count, struct bytes structure, struct arena *a)
{
	bool has = true;

	for (size_t i = 0; has && i < count; i++) {
		struct bytes part = bytes_from(at[i].entry, 1);
		uint32_t *numbers;
		uint64_t number, off, len;
		size_t n = 0;

		if (!ascii_is_digit(part.p[0]))
			continue;
		part = bytes_sub(part, 0, bytes_find(part, '/'));
		numbers = arena_array(a, part.n, sizeof(*numbers));
		while (part.n > 0) {
			size_t end = bytes_find(part, '.');

			(void)bytes_to_u64(bytes_sub(part, 0, end), UINT32_MAX, &number); /* the grammar has looked */
			numbers[n++] = (uint32_t)number;
			part = bytes_from(part, end + 1);
		}
		has = mime_blob_section(structure, numbers, n, MIME_ALL, &off, &len);
	}
	return has;
}

/* Of a message that has a value: where it is in what was found. */
struct annotation_rank {
	struct bytes value;
	size_t of;
};

static int by_value(const void *x, const void *y)
{
	const struct annotation_rank *a = x, *b = y;

	return bytes_compare(a->value, b->value);
}

enum fill_state annotation_rank(struct session *s, struct command *cmd, struct annotation_ranks *r, const struct sort_criterion *by,
                                const uint32_t *found, size_t count)
{
	struct store_view *v = session_view(s, cmd);
	size_t end, with_value = 0;

	if (v == NULL)
		return FILL_FAILED;
	if (r->values == NULL) {
		r->values = arena_array(&cmd->arena, count + 1, sizeof(*r->values));
		r->ranks = arena_array(&cmd->arena, count + 1, sizeof(*r->ranks));
	}
	end = count - r->at > RANK_TURN ? r->at + RANK_TURN : count;
	for (; r->at < end; r->at++) {
		struct bytes value = value_of(s, v, s->box->id, s->box->uids[found[r->at]], by->entry, by->is_shared);
		struct buffer folded = { 0 };

		if (value.n > 0) {
			value = mime_fold_key(value, BYTES_LIT("UTF-8"), &folded) ? buffer_bytes(&folded) : value;
			r->values[r->at].value = arena_copy(&cmd->arena, bytes_sub(value, 0, RANK_OCTETS));
		}
		buffer_fini(&folded);
	}
	store_view_close(&v);
	if (r->at < count)
		return FILL_GOES_ON;
	for (size_t i = 0; i < count; i++) {
		if (r->values[i].value.n > 0)
			r->values[with_value++] = (struct annotation_rank){ r->values[i].value, i };
	}
	qsort(r->values, with_value, sizeof(*r->values), by_value);
	for (size_t i = 0; i < with_value; i++) {
		bool is_same = i > 0 && bytes_equal(r->values[i].value, r->values[i - 1].value);

		r->ranks[r->values[i].of] = is_same ? r->ranks[r->values[i - 1].of] : (uint32_t)i + 1;
	}
	return FILL_ENDED;
}
