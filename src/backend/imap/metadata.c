/* metadata.c - the rows are collected by name, which is little; the values are read as the client takes them. */
#include "metadata.h"

#include <string.h>

#include "imap_writer.h"
#include "map.h"
#include "special_use.h"

#define RESPONSE_OCTETS (16u << 10)

static bool is_private(struct bytes name)
{
	return bytes_starts(name, BYTES_LIT("/private"));
}

struct bytes metadata_user(struct session *s, struct arena *a, struct bytes internal, struct bytes name)
{
	struct buffer owner = { 0 };
	struct bytes user = bytes_of(s->identity.user);

	if (!is_private(name))
		return BYTES_NONE;
	if (s->identity.is_admin && bytes_equal_str(name, METADATA_SPECIAL_USE) && names_owner(&s->names, internal, &owner)) {
		user = arena_copy(a, buffer_bytes(&owner));
		buffer_fini(&owner);
	}
	return user;
}

bool metadata_use_change(struct session *s, struct arena *a, struct bytes internal, struct attribute_change *c)
{
	struct buffer text = { 0 };
	unsigned uses;

	if (!special_use_parse(c->value, &uses) || !names_is_owner(&s->names, internal, c->user) ||
	    names_is_inbox(&s->names, internal, c->user))
		return false;
	special_use_write(&text, uses);
	c->value = arena_copy(a, buffer_bytes(&text));
	buffer_clear(&text);
	names_inbox(&s->names, c->user, &text);
	c->words_unique_below = arena_copy(a, buffer_bytes(&text));
	buffer_fini(&text);
	return true;
}

bool metadata_may(acl_rights_t rights)
{
	return (rights & ACL_LOOKUP) != 0 && (rights & (ACL_READ | ACL_SEEN | ACL_WRITE | ACL_INSERT | ACL_POST)) != 0;
}

struct collecting {
	struct session *s;
	struct store_view *v;
	struct arena *a;
	struct bytes internal;
	const struct metadata_args *args;
	struct metadata_rows *rows;
	struct map seen; /* names */
};

static void add_row(struct collecting *c, struct bytes user, struct bytes name, bool is_named)
{
	struct metadata_rows *r = c->rows;

	if (map_get(&c->seen, name) != NULL)
		return;
	(void)map_put(&c->seen, name, c);
	if (r->count == r->cap) {
		size_t cap = r->cap == 0 ? 8 : r->cap * 2;
		struct metadata_row *more = arena_array(c->a, cap, sizeof(*more));

		if (r->count > 0)
			memcpy(more, r->at, r->count * sizeof(*more));
		r->at = more;
		r->cap = cap;
	}
	r->at[r->count++] = (struct metadata_row){ { .user = user, .name = arena_copy(c->a, name) }, is_named };
}

/* Whether NAME is TOP, or below it as far as DEPTH. */
static bool is_wanted(struct bytes name, struct bytes top, enum metadata_depth depth)
{
	if (!bytes_starts(name, top))
		return false;
	if (name.n == top.n)
		return true;
	return name.p[top.n] == '/' && (depth == METADATA_DEPTH_INFINITY || bytes_find(bytes_from(name, top.n + 1), '/') == name.n - top.n - 1);
}

static void add_those_of(struct collecting *c, struct bytes user, struct bytes top)
{
	struct view_attributes it;
	struct attribute of;

	store_view_attributes(c->v, c->rows->mailbox, 0, user, &it);
	while (view_attributes_next(&it, &of)) {
		if (is_wanted(of.name, top, c->args->depth))
			add_row(c, user, of.name, false);
	}
	view_attributes_end(&it);
}

static void add_below(struct collecting *c, struct bytes top)
{
	struct bytes use = BYTES_LIT(METADATA_SPECIAL_USE), admin = BYTES_LIT(METADATA_ADMIN);
	struct bytes user = is_private(top) ? bytes_of(c->s->identity.user) : BYTES_NONE;
	struct bytes owner = metadata_user(c->s, c->a, c->internal, use);

	add_those_of(c, user, top);
	if (is_private(top) && !bytes_equal(owner, user) && is_wanted(use, top, c->args->depth))
		add_those_of(c, owner, use);
	if (c->rows->mailbox == 0 && config_string(c->s->client.backend->cfg, "metadata_admin") != NULL &&
	    is_wanted(admin, top, c->args->depth))
		add_row(c, BYTES_NONE, admin, false);
}

void metadata_collect(struct session *s, struct store_view *v, struct arena *a, mailbox_id_t mailbox, struct bytes internal,
                      struct bytes external, const struct metadata_args *args, struct metadata_rows *rows_r)
{
	struct collecting c = { .s = s, .v = v, .a = a, .internal = internal, .args = args, .rows = rows_r };

	*rows_r = (struct metadata_rows){ .mailbox = mailbox, .external = arena_copy(a, external), .has_maxsize = args->has_maxsize,
		                          .maxsize = args->maxsize };
	for (size_t i = 0; i < args->count; i++) {
		struct bytes name = args->entries[i].name;

		if (args->depth == METADATA_DEPTH_0)
			add_row(&c, metadata_user(s, a, internal, name), name, true);
		else
			add_below(&c, name);
	}
	map_fini(&c.seen);
}

/* The value of a row; p is NULL: there is none. */
static struct bytes value_of(struct session *s, struct store_view *v, const struct metadata_rows *rows, const struct attribute *of)
{
	struct bytes value;
	struct fault why;

	if (rows->mailbox == 0 && bytes_equal_str(of->name, METADATA_ADMIN))
		return bytes_of(config_string(s->client.backend->cfg, "metadata_admin"));
	if (store_view_attribute(v, rows->mailbox, of, &value, &why) != STORE_OK)
		return BYTES_NONE;
	return value.n == 0 ? BYTES_LIT("") : value;
}

bool metadata_write(struct session *s, struct store_view *v, struct metadata_rows *rows, struct buffer *to)
{
	size_t start = to->n;
	const char *before = " (";

	while (rows->next < rows->count && to->n - start < RESPONSE_OCTETS) {
		const struct metadata_row *row = &rows->at[rows->next++];
		struct bytes value = value_of(s, v, rows, &row->of);

		if (rows->has_maxsize && value.n > rows->maxsize) {
			rows->longest = value.n > rows->longest ? value.n : rows->longest;
			continue;
		}
		if (value.p == NULL && !row->is_named)
			continue;
		if (before[1] == '(') {
			buffer_add_str(to, "* METADATA ");
			imap_write_mailbox(to, rows->external, s->names.is_utf8);
		}
		buffer_add_str(to, before);
		imap_write_astring(to, row->of.name, false);
		buffer_add_u8(to, ' ');
		imap_write_nstring8(to, value);
		before = " ";
	}
	if (before[1] != '(')
		buffer_add_str(to, ")\r\n");
	return rows->next == rows->count;
}
