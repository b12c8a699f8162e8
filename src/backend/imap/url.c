/* url.c - the mailbox as its reader names it, the message by its UID, the section as FETCH would give it. */
#include "url.h"

#include "box.h"
#include "policy.h"

struct url_reader url_reader_of(const struct session *s)
{
	struct url_reader r = { s->names, bytes_of(s->identity.user), s->identity.is_admin, s->state == SESSION_SELECTED ? s->box : NULL,
		                s->client.backend->frame_limits.messages };

	r.names.is_utf8 = true; /* RFC 5092 section 4 */
	return r;
}

bool url_is_here(const struct config *cfg, const struct imap_url *u)
{
	struct bytes word;

	if (!u->has_server)
		return true;
	for (size_t i = 0; config_word(cfg, "imap_url_hosts", i, &word); i++) {
		if (bytes_equal_str(word, "*") || bytes_equal_nocase(word, u->host))
			return true;
	}
	return false;
}

static enum url_result result_of(enum store_result result)
{
	return result == STORE_OK ? URL_READ : result == STORE_NO_MAILBOX ? URL_BAD : URL_FAILED;
}

enum url_result url_mailbox(struct store_view *v, const struct url_reader *r, const struct imap_url *u, struct mailbox *m_r,
                            acl_rights_t *rights_r, struct fault *why)
{
	struct buffer internal = { 0 };
	enum url_result result = URL_BAD;

	*rights_r = 0;
	if (u->mailbox.p == NULL) {
		if (r->box == NULL)
			return URL_BAD;
		*rights_r = r->box->rights;
		return result_of(store_view_mailbox_by_id(v, r->box->id, m_r, why));
	}
	if (names_to_internal(&r->names, u->mailbox, &internal, why)) {
		struct bytes name = buffer_bytes(&internal);

		result = result_of(store_view_mailbox(v, name, m_r, why));
		if (result == URL_READ)
			*rights_r = r->is_admin ? ACL_ALL : acl_effective(m_r->acl, r->user, names_is_owner(&r->names, name, r->user));
	}
	buffer_fini(&internal);
	return result == URL_READ && u->uidvalidity != 0 && u->uidvalidity != m_r->uidvalidity ? URL_BAD : result;
}

/* Which octets of the message; HEADER.FIELDS are made from them. False: there is no such section. */
static bool find_section(struct store_view *v, const struct message *msg, const struct fetch_item *s, uint64_t *off_r, uint64_t *len_r)
{
	static const enum mime_section kinds[] = {
		[SECTION_ALL] = MIME_ALL,           [SECTION_HEADER] = MIME_HEADER, [SECTION_FIELDS] = MIME_HEADER,
		[SECTION_FIELDS_NOT] = MIME_HEADER, [SECTION_TEXT] = MIME_TEXT,     [SECTION_MIME] = MIME_MIME,
	};
	struct bytes blob;
	struct fault ignored;

	*off_r = 0;
	*len_r = msg->size;
	if (s->kind == SECTION_ALL && s->part_count == 0)
		return true;
	return store_view_structure(v, msg->body, &blob, &ignored) == STORE_OK &&
	       mime_blob_section(blob, s->parts, s->part_count, kinds[s->kind], off_r, len_r);
}

static void clamp(const struct fetch_item *s, uint64_t *off, uint64_t *len)
{
	uint64_t skip = !s->has_partial ? 0 : s->offset < *len ? s->offset : *len;

	*off += skip;
	*len -= skip;
	if (s->has_partial && s->length != 0 && s->length < *len)
		*len = s->length;
}

static enum url_result read_fields(struct store_view *v, const struct message *msg, const struct fetch_item *s, uint64_t off, uint64_t len,
                                   size_t limit, struct buffer *to, struct fault *why)
{
	struct buffer header = { 0 }, picked = { 0 };
	enum url_result result = result_of(store_view_body(v, msg->body, off, (size_t)len, &header, why));
	uint64_t from = 0, n;

	if (result == URL_READ) {
		mime_header_fields(&picked, buffer_bytes(&header), s->fields, s->field_count, s->kind == SECTION_FIELDS_NOT);
		n = picked.n;
		clamp(s, &from, &n);
		if (n > limit)
			result = URL_TOO_BIG;
		else
			buffer_add(to, bytes_sub(buffer_bytes(&picked), (size_t)from, (size_t)n));
	}
	buffer_fini(&header);
	buffer_fini(&picked);
	return result;
}

enum url_result url_read(struct store_view *v, struct url_reader *r, const struct imap_url *u, size_t limit, struct buffer *to,
                         struct fault *why)
{
	const struct fetch_item *s = &u->section;
	struct mailbox m;
	struct message msg;
	acl_rights_t rights;
	uint64_t off, len;
	enum url_result result = url_mailbox(v, r, u, &m, &rights, why);

	if (result == URL_READ && (rights & ACL_READ) == 0)
		result = URL_BAD;
	if (result == URL_READ)
		result = result_of(store_view_message(v, m.id, u->uid, &msg, why));
	if (result != URL_READ)
		return result;
	if (!find_section(v, &msg, s, &off, &len))
		return URL_BAD;
	if (s->kind == SECTION_FIELDS || s->kind == SECTION_FIELDS_NOT) {
		if (len > r->budget)
			return URL_TOO_BIG;
		r->budget -= (size_t)len;
		return read_fields(v, &msg, s, off, len, limit, to, why);
	}
	clamp(s, &off, &len);
	if (len > limit || len > r->budget)
		return URL_TOO_BIG;
	r->budget -= (size_t)len;
	return len == 0 ? URL_READ : result_of(store_view_body(v, msg.body, off, (size_t)len, to, why));
}
