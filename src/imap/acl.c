/* acl.c - a walk over "identifier TAB rights TAB" pairs, on which everything else is built. */
#include "acl.h"

static const char letters[] = "lrswipkxtean";

bool acl_rights_parse(struct bytes text, acl_rights_t *rights_r)
{
	acl_rights_t rights = 0;

	for (size_t i = 0; i < text.n; i++) {
		size_t at = bytes_find(bytes_of(letters), text.p[i]);

		if (text.p[i] == 'c')
			rights |= ACL_CREATE;
		else if (text.p[i] == 'd')
			rights |= ACL_DELETE_MAILBOX | ACL_DELETE | ACL_EXPUNGE;
		else if (at < sizeof(letters) - 1)
			rights |= 1u << at;
		else
			return false;
	}
	*rights_r = rights;
	return true;
}

void acl_rights_write(struct buffer *to, acl_rights_t rights, bool with_obsolete)
{
	for (size_t i = 0; i + 1 < sizeof(letters); i++) {
		if ((rights >> i & 1) != 0)
			buffer_add_u8(to, (uint8_t)letters[i]);
	}
	if (with_obsolete && (rights & ACL_CREATE) != 0)
		buffer_add_u8(to, 'c');
	if (with_obsolete && (rights & (ACL_DELETE_MAILBOX | ACL_DELETE | ACL_EXPUNGE)) != 0)
		buffer_add_u8(to, 'd');
}

static struct bytes take_field(struct bytes *in)
{
	size_t n = bytes_find(*in, '\t');
	struct bytes field = bytes_sub(*in, 0, n);

	*in = bytes_from(*in, n + 1);
	return field;
}

static acl_rights_t stored_rights(struct bytes text)
{
	acl_rights_t rights = 0, obsolete = 0, one;

	for (size_t i = 0; i < text.n; i++) {
		if (!acl_rights_parse(bytes_sub(text, i, 1), &one))
			continue;
		if (text.p[i] == 'c' || text.p[i] == 'd')
			obsolete |= one;
		else
			rights |= one;
	}
	return (rights & (ACL_CREATE | ACL_DELETE_MAILBOX | ACL_DELETE | ACL_EXPUNGE)) != 0 ? rights : rights | obsolete;
}

bool acl_next(struct bytes *acl, struct bytes *identifier_r, acl_rights_t *rights_r)
{
	while (acl->n > 0) {
		*identifier_r = take_field(acl);
		*rights_r = stored_rights(take_field(acl));
		if (identifier_r->n > 0)
			return true;
	}
	return false;
}

static void add_entry(struct buffer *to, struct bytes identifier, acl_rights_t rights)
{
	buffer_add(to, identifier);
	buffer_add_u8(to, '\t');
	acl_rights_write(to, rights, false);
	buffer_add_u8(to, '\t');
}

void acl_set(struct buffer *to, struct bytes acl, struct bytes identifier, acl_rights_t rights)
{
	struct bytes who;
	acl_rights_t has;
	bool is_done = false;

	while (acl_next(&acl, &who, &has)) {
		if (!bytes_equal(who, identifier)) {
			add_entry(to, who, has);
		} else if (rights != 0 && !is_done) {
			add_entry(to, who, rights);
			is_done = true;
		}
	}
	if (rights != 0 && !is_done)
		add_entry(to, identifier, rights);
}

acl_rights_t acl_get(struct bytes acl, struct bytes identifier)
{
	struct bytes who;
	acl_rights_t rights;

	while (acl_next(&acl, &who, &rights)) {
		if (bytes_equal(who, identifier))
			return rights;
	}
	return 0;
}

acl_rights_t acl_effective(struct bytes acl, struct bytes user, bool is_owner)
{
	acl_rights_t has = 0, lacks = 0, rights;
	struct bytes who;

	while (acl_next(&acl, &who, &rights)) {
		bool is_negative = who.p[0] == '-';

		if (is_negative)
			who = bytes_from(who, 1);
		if (!bytes_equal(who, user) && !bytes_equal_str(who, "anyone"))
			continue;
		if (is_negative)
			lacks |= rights;
		else
			has |= rights;
	}
	has &= ~lacks;
	if (is_owner)
		has |= ACL_OWNER;
	return has;
}

void acl_write_default(struct buffer *to, struct bytes owner)
{
	add_entry(to, owner, ACL_ALL);
}
