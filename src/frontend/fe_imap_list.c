/* fe_imap_list.c - LIST from the frontend's own mailbox list (RFC 3501 section 6.3.8, RFC 3348, RFC 6154).
 *
 * BUGS: a pattern that may match other users' or shared mailboxes walks the whole list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fe_imap.h"
#include "imap_writer.h"
#include "list_pattern.h"
#include "map.h"

acl_rights_t fe_imap_rights(const struct fe_imap *s, struct bytes internal, struct bytes acl)
{
	if (s->is_admin)
		return ACL_ALL;
	return acl_effective(acl, bytes_of(s->user), names_is_owner(&s->names, internal, bytes_of(s->user)));
}

struct listing {
	struct fe_imap *s;
	struct buffer *patterns; /* with the reference before them */
	size_t pattern_count;
	struct map told;         /* parents that were told */
	struct buffer out;
	/* One behind: whether a mailbox has children is known from the next. */
	struct buffer held, held_internal;
	bool has_held;
};

static void write_name(struct listing *l, const char *attributes, const char *use, struct bytes external)
{
	buffer_addf(&l->out, "* LIST (%s%s%s) \"%c\" ", attributes, use != NULL ? " " : "", use != NULL ? use : "", l->s->names.sep);
	imap_write_astring(&l->out, external, false);
	buffer_add_str(&l->out, "\r\n");
}

static bool matches(const struct listing *l, struct bytes name)
{
	for (size_t i = 0; i < l->pattern_count; i++) {
		if (list_match(buffer_bytes(&l->patterns[i]), name, l->s->names.sep))
			return true;
	}
	return false;
}

static void flush_held(struct listing *l, bool has_children)
{
	const char *use = names_special_use(&l->s->names, buffer_bytes(&l->held_internal));

	if (!l->has_held)
		return;
	l->has_held = false;
	if ((l->s->cmd.list_options & LIST_SELECT_SPECIAL_USE) != 0 && use == NULL)
		return;
	write_name(l, has_children ? "\\HasChildren" : "\\HasNoChildren", use, buffer_bytes(&l->held));
}

/* Levels above NAME that are no mailboxes but match: "%" finds them. */
static void tell_parents(struct listing *l, struct bytes name)
{
	for (size_t i = 0; i < l->pattern_count; i++) {
		size_t n = 0;

		while (list_match_parent(buffer_bytes(&l->patterns[i]), name, l->s->names.sep, &n)) {
			struct bytes parent = bytes_sub(name, 0, n);
			struct buffer internal = { 0 };
			struct arena a = { 0 };
			struct place place;
			struct fault why;

			if (map_get(&l->told, parent) != NULL)
				continue;
			(void)map_put(&l->told, parent, l);
			if (!names_to_internal(&l->s->names, parent, &internal, &why) ||
			    places_find(fe_imap_frontend(l->s)->places, buffer_bytes(&internal), &a, &place) != PLACES_FOUND)
				write_name(l, "\\Noselect \\HasChildren", NULL, parent);
			buffer_fini(&internal);
			arena_fini(&a);
		}
	}
}

static bool each(void *arg, struct bytes name, struct bytes location, struct bytes acl)
{
	struct listing *l = arg;
	struct buffer external = { 0 };

	(void)location;
	if (!names_is_visible(&l->s->names, name) || (fe_imap_rights(l->s, name, acl) & ACL_LOOKUP) == 0)
		return true;
	flush_held(l, l->has_held && names_is_below(name, buffer_bytes(&l->held_internal)));
	names_to_external(&l->s->names, name, &external);
	if ((l->s->cmd.list_options & LIST_SELECT_SPECIAL_USE) == 0)
		tell_parents(l, buffer_bytes(&external));
	if (matches(l, buffer_bytes(&external))) {
		buffer_clear(&l->held);
		buffer_add(&l->held, buffer_bytes(&external));
		buffer_clear(&l->held_internal);
		buffer_add(&l->held_internal, name);
		l->has_held = true;
	}
	buffer_fini(&external);
	return true;
}

/* Whether a pattern could match outside of the user's own tree. */
static bool looks_elsewhere(const struct listing *l)
{
	const char *others = names_others_prefix(&l->s->names);

	if (l->s->is_admin || !l->s->names.alt)
		return true;
	for (size_t i = 0; i < l->pattern_count; i++) {
		struct bytes p = buffer_bytes(&l->patterns[i]);
		size_t wild = 0;

		while (wild < p.n && p.p[wild] != '*' && p.p[wild] != '%')
			wild++;
		p = bytes_sub(p, 0, wild);
		if (bytes_starts(bytes_of(others), bytes_sub(p, 0, strlen(others))) ||
		    bytes_starts(bytes_of(names_shared_prefix(&l->s->names)), bytes_sub(p, 0, strlen(names_shared_prefix(&l->s->names)))))
			return true;
	}
	return false;
}

void fe_imap_list(struct fe_imap *s)
{
	struct listing l = { .s = s };
	struct buffer own = { 0 };

	if ((s->cmd.list_options & (LIST_SELECT_SUBSCRIBED | LIST_RETURN_SUBSCRIBED)) != 0) {
		fe_imap_tagged(s, "NO", "[CANNOT] LIST does not tell subscriptions here: use LSUB");
		return;
	}
	if (s->cmd.pattern_count == 1 && s->cmd.patterns[0].n == 0) {
		fe_imap_say(s, "* LIST (\\Noselect) \"%c\" \"\"", s->names.sep);
		fe_imap_tagged(s, "OK", "done");
		return;
	}
	l.pattern_count = s->cmd.pattern_count;
	l.patterns = must_calloc(l.pattern_count, sizeof(*l.patterns));
	for (size_t i = 0; i < l.pattern_count; i++) {
		buffer_add(&l.patterns[i], s->cmd.mailbox);
		buffer_add(&l.patterns[i], s->cmd.patterns[i]);
	}
	names_inbox(&s->names, bytes_of(s->user), &own);
	places_each(fe_imap_frontend(s)->places, looks_elsewhere(&l) ? BYTES_NONE : buffer_bytes(&own), each, &l);
	flush_held(&l, false);
	conn_write(s->conn, buffer_bytes(&l.out));
	fe_imap_tagged(s, "OK", "done");
	for (size_t i = 0; i < l.pattern_count; i++)
		buffer_fini(&l.patterns[i]);
	free(l.patterns);
	map_fini(&l.told);
	buffer_fini(&l.out);
	buffer_fini(&l.held);
	buffer_fini(&l.held_internal);
	buffer_fini(&own);
}
