/* mime_write.c - ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2). */
#include "mime_private.h"

void mime_write_nstring(struct buffer *to, struct bytes s)
{
	if (s.p == NULL) {
		buffer_add_str(to, "NIL");
		return;
	}
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0' || s.p[i] >= 0x80) {
			/* A NUL cannot stand in a literal either (RFC 3501 section 9, CHAR8). */
			buffer_addf(to, "{%zu}\r\n", s.n);
			for (size_t k = 0; k < s.n; k++)
				buffer_add_u8(to, s.p[k] == '\0' ? '?' : s.p[k]);
			return;
		}
	}
	buffer_add_u8(to, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buffer_add_u8(to, '\\');
		buffer_add_u8(to, s.p[i]);
	}
	buffer_add_u8(to, '"');
}

static void unfolded(struct buffer *to, struct bytes body)
{
	struct arena a = { 0 };

	mime_write_nstring(to, body.p == NULL ? body : mime_unfold(body, &a));
	arena_fini(&a);
}

static void addresses(struct buffer *to, struct bytes body)
{
	buffer_add_u8(to, ' ');
	mime_write_addresses(to, body);
}

void mime_write_envelope(struct buffer *to, struct bytes header)
{
	static const char *const names[] = { "Date", "Subject", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To",
		                             "Message-Id" };
	enum { DATE, SUBJECT, FROM, SENDER, REPLY_TO, TO, CC, BCC, IN_REPLY_TO, MESSAGE_ID, COUNT };
	struct bytes f[COUNT] = { { NULL, 0 } };
	struct bytes name, body;

	while (mime_next_field(&header, &name, &body)) {
		for (size_t i = 0; i < COUNT; i++) {
			if (f[i].p == NULL && bytes_equal_nocase_str(name, names[i]))
				f[i] = body;
		}
	}
	/* RFC 3501: absent or empty, these are those of From. */
	if (bytes_trim(f[SENDER]).n == 0)
		f[SENDER] = f[FROM];
	if (bytes_trim(f[REPLY_TO]).n == 0)
		f[REPLY_TO] = f[FROM];
	buffer_add_u8(to, '(');
	unfolded(to, f[DATE]);
	buffer_add_u8(to, ' ');
	unfolded(to, f[SUBJECT]);
	for (size_t i = FROM; i <= BCC; i++)
		addresses(to, f[i]);
	buffer_add_u8(to, ' ');
	unfolded(to, f[IN_REPLY_TO]);
	buffer_add_u8(to, ' ');
	unfolded(to, f[MESSAGE_ID]);
	buffer_add_u8(to, ')');
}

static void write_params(struct buffer *to, const struct mime_params *p)
{
	if (p->count == 0) {
		buffer_add_str(to, "NIL");
		return;
	}
	buffer_add_u8(to, '(');
	for (size_t i = 0; i < p->count * 2; i++) {
		if (i > 0)
			buffer_add_u8(to, ' ');
		mime_write_nstring(to, p->at[i]);
	}
	buffer_add_u8(to, ')');
}

/* disposition, language, location: what BODYSTRUCTURE adds to both kinds of parts. */
static void write_extension(struct buffer *to, const struct mime_part *part)
{
	struct bytes rest = part->language;

	if (part->disposition.p == NULL) {
		buffer_add_str(to, " NIL ");
	} else {
		buffer_add_str(to, " (");
		mime_write_nstring(to, part->disposition);
		buffer_add_u8(to, ' ');
		write_params(to, &part->disposition_params);
		buffer_add_str(to, ") ");
	}
	if (rest.n == 0) {
		buffer_add_str(to, "NIL");
	} else {
		buffer_add_u8(to, '(');
		while (rest.n > 0) {
			size_t n = bytes_find(rest, ',');

			mime_write_nstring(to, bytes_trim(bytes_sub(rest, 0, n)));
			rest = bytes_from(rest, n + 1);
			if (rest.n > 0)
				buffer_add_u8(to, ' ');
		}
		buffer_add_u8(to, ')');
	}
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, part->location);
}

static void write_single(struct buffer *to, struct bytes message, const struct mime_part *part, bool is_extended)
{
	static struct bytes charset[] = { { (const uint8_t *)"CHARSET", 7 }, { (const uint8_t *)"US-ASCII", 8 } };
	struct mime_params params = part->params;
	bool is_text = bytes_equal_nocase_str(part->type, "text");
	/* A message within that was not looked at, as it is too deep: whoever reads its type expects its envelope and body. */
	bool is_octets = !part->is_message && bytes_equal_nocase_str(part->type, "message") &&
	                 (bytes_equal_nocase_str(part->subtype, "rfc822") || bytes_equal_nocase_str(part->subtype, "global"));

	if (is_text && params.count == 0)
		params = (struct mime_params){ 1, charset };
	mime_write_nstring(to, is_octets ? BYTES_LIT("application") : part->type);
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, is_octets ? BYTES_LIT("octet-stream") : part->subtype);
	buffer_add_u8(to, ' ');
	write_params(to, &params);
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, part->id);
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, part->description);
	buffer_add_u8(to, ' ');
	mime_write_nstring(to, part->encoding.n == 0 ? BYTES_LIT("7BIT") : part->encoding);
	buffer_addf(to, " %zu", part->body_len);
	if (part->is_message) {
		const struct mime_part *child = part->children;

		buffer_add_u8(to, ' ');
		mime_write_envelope(to, bytes_sub(message, child->header_off, child->header_len));
		buffer_add_u8(to, ' ');
		mime_write_structure(to, message, child, is_extended);
	}
	if (is_text || part->is_message)
		buffer_addf(to, " %u", part->body_lines);
	if (is_extended) {
		buffer_add_u8(to, ' ');
		mime_write_nstring(to, part->md5);
		write_extension(to, part);
	}
}

void mime_write_structure(struct buffer *to, struct bytes message, const struct mime_part *part, bool is_extended)
{
	buffer_add_u8(to, '(');
	if (part->is_multipart) {
		for (const struct mime_part *c = part->children; c != NULL; c = c->next)
			mime_write_structure(to, message, c, is_extended);
		buffer_add_u8(to, ' ');
		mime_write_nstring(to, part->subtype);
		if (is_extended) {
			buffer_add_u8(to, ' ');
			write_params(to, &part->params);
			write_extension(to, part);
		}
	} else {
		write_single(to, message, part, is_extended);
	}
	buffer_add_u8(to, ')');
}
