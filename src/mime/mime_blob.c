/* mime_blob.c - the structure as it is kept: three ready texts and a table of parts.
 *
 * u8 version (1), u8 zero x 3; three texts (ENVELOPE, BODY, BODYSTRUCTURE), each u32 length and octets; u32 count; then
 * for each part, parents before children: u32 parent (index, 0xffffffff: none), u32 number, u8 flags (1 multipart,
 * 2 message), and header offset, header length, body offset, body length as LEB128. Then, unless it is long or the blob is older
 * than that: u64 time it was sent, u32 length and octets of the fields that are often asked for; length 0xffffffff: they are too
 * long to be kept. Then, unless it is older than that: u32 length and octets of the preview. */
#include "mime_private.h"

#define VERSION 1
#define NO_PARENT UINT32_MAX
#define KEPT_MAX 8192 /* octets of fields */
#define PREFETCH_MAX 2048
#define CACHE_LINE 64
#define NOT_KEPT UINT32_MAX
#define PREVIEW_MAX (MIME_PREVIEW_CHARS * 4)

enum { IS_MULTIPART = 1, IS_MESSAGE = 2 };

struct row {
	uint32_t parent, number;
	uint8_t flags;
	uint64_t header_off, header_len, body_off, body_len;
};

static void write_part(struct buffer *to, const struct mime_part *part, uint32_t parent, uint32_t *count)
{
	uint32_t self = (*count)++;

	buffer_add_u32le(to, parent);
	buffer_add_u32le(to, part->number);
	buffer_add_u8(to, (uint8_t)((part->is_multipart ? IS_MULTIPART : 0) | (part->is_message ? IS_MESSAGE : 0)));
	buffer_add_varint(to, part->header_off);
	buffer_add_varint(to, part->header_len);
	buffer_add_varint(to, part->body_off);
	buffer_add_varint(to, part->body_len);
	for (const struct mime_part *c = part->children; c != NULL; c = c->next)
		write_part(to, c, self, count);
}

static const char *const kept[] = { "From", "To", "Cc", "Bcc", "Reply-To", "Sender", "Subject", "Date", "Message-ID", "In-Reply-To",
	                            "References", "List-Id", "Importance", "X-Priority" };
#define KEPT_COUNT (sizeof(kept) / sizeof(kept[0]))

bool mime_is_kept_field(struct bytes name)
{
	for (size_t i = 0; i < KEPT_COUNT; i++) {
		if (bytes_equal_nocase_str(name, kept[i]))
			return true;
	}
	return false;
}

/* IS_WHOLE: HEADER is no longer than what is looked at. */
static void write_kept(struct buffer *to, struct bytes header, bool is_whole)
{
	struct bytes names[KEPT_COUNT];
	struct buffer fields = { 0 };
	int64_t sent, day;

	for (size_t i = 0; i < KEPT_COUNT; i++)
		names[i] = bytes_of(kept[i]);
	if (is_whole)
		mime_header_fields(&fields, header, names, KEPT_COUNT, false);
	if (is_whole && fields.n <= KEPT_MAX) {
		if (!mime_date(mime_field(header, "Date"), &sent, &day))
			sent = INT64_MIN;
		buffer_add_u64le(to, (uint64_t)sent);
		buffer_add_bytes32(to, buffer_bytes(&fields));
	} else {
		buffer_add_u64le(to, (uint64_t)INT64_MIN);
		buffer_add_u32le(to, NOT_KEPT);
	}
	buffer_fini(&fields);
}

void mime_blob_write(struct buffer *to, struct bytes message, const struct mime_limits *limits)
{
	struct arena a = { 0 };
	struct buffer text = { 0 };
	const struct mime_part *root = mime_parse(message, limits, &a);
	size_t count_at;
	uint32_t count = 0;

	buffer_add_u32le(to, VERSION);
	mime_write_envelope(&text, bytes_sub(message, root->header_off, root->header_len < limits->header ? root->header_len :
	                                                                                                     limits->header));
	buffer_add_bytes32(to, buffer_bytes(&text));
	buffer_clear(&text);
	mime_write_structure(&text, message, root, false);
	buffer_add_bytes32(to, buffer_bytes(&text));
	buffer_clear(&text);
	mime_write_structure(&text, message, root, true);
	buffer_add_bytes32(to, buffer_bytes(&text));
	count_at = to->n;
	buffer_add_u32le(to, 0);
	write_part(to, root, NO_PARENT, &count);
	buffer_set_u32le(to, count_at, count);
	write_kept(to, bytes_sub(message, root->header_off, root->header_len), root->header_len <= limits->header);
	buffer_clear(&text);
	mime_preview_of(message, root, &text);
	buffer_add_bytes32(to, buffer_bytes(&text));
	buffer_fini(&text);
	arena_fini(&a);
}

/* Text I of three; the cursor then stands behind the last. */
static bool read_texts(struct bytes blob, struct bytes texts[3], struct cursor *c)
{
	uint32_t version;

	*c = cursor_of(blob);
	return cursor_u32le(c, &version) && version == VERSION && cursor_bytes32(c, UINT32_MAX, &texts[0]) &&
	       cursor_bytes32(c, UINT32_MAX, &texts[1]) && cursor_bytes32(c, UINT32_MAX, &texts[2]);
}

static struct bytes text(struct bytes blob, size_t i)
{
	struct bytes texts[3];
	struct cursor c;

	return read_texts(blob, texts, &c) ? texts[i] : BYTES_NONE;
}

struct bytes mime_blob_envelope(struct bytes blob)
{
	return text(blob, 0);
}

struct bytes mime_blob_body(struct bytes blob)
{
	return text(blob, 1);
}

struct bytes mime_blob_bodystructure(struct bytes blob)
{
	return text(blob, 2);
}

static bool read_row(struct cursor *c, struct row *r)
{
	return cursor_u32le(c, &r->parent) && cursor_u32le(c, &r->number) && cursor_u8(c, &r->flags) &&
	       cursor_varint(c, &r->header_off) && cursor_varint(c, &r->header_len) && cursor_varint(c, &r->body_off) &&
	       cursor_varint(c, &r->body_len);
}

/* Searches and lists pass over the rows of a great many messages. */
static bool skip_row(struct cursor *c)
{
	const uint8_t *p = c->p;

	if (cursor_left(c) < 4 + 4 + 1)
		return false;
	p += 4 + 4 + 1;
	for (unsigned varints = 4; varints > 0; varints--) {
		while (p < c->end && *p >= 0x80)
			p++;
		if (p == c->end)
			return false;
		p++;
	}
	c->p = p;
	return true;
}

/* Stand behind the parts. */
static bool skip_parts(struct bytes blob, struct cursor *c)
{
	struct bytes texts[3];
	uint32_t rows;

	/* What is wanted stands behind all else, and each length is in another line of the cache: have them all come at once. */
	for (size_t i = 0; i < blob.n && i < PREFETCH_MAX; i += CACHE_LINE)
		__builtin_prefetch(blob.p + i);
	if (!read_texts(blob, texts, c) || !cursor_u32le(c, &rows))
		return false;
	for (uint32_t i = 0; i < rows; i++) {
		if (!skip_row(c))
			return false;
	}
	return true;
}

bool mime_blob_header(struct bytes blob, struct bytes *header_r, int64_t *sent_r)
{
	struct cursor c;
	uint64_t sent;

	if (!skip_parts(blob, &c) || !cursor_u64le(&c, &sent) || !cursor_bytes32(&c, KEPT_MAX, header_r))
		return false;
	*sent_r = (int64_t)sent;
	return true;
}

bool mime_blob_preview(struct bytes blob, struct bytes *text_r)
{
	struct cursor c;
	uint64_t sent;
	uint32_t n;
	struct bytes header;

	return skip_parts(blob, &c) && cursor_u64le(&c, &sent) && cursor_u32le(&c, &n) &&
	       (n == NOT_KEPT || cursor_bytes(&c, n, &header)) && cursor_bytes32(&c, PREVIEW_MAX, text_r);
}

/* Parts stand parents first: from row AT, find the child NUMBER of it. */
static bool find_child(struct cursor *c, uint32_t *at, uint32_t count, uint32_t parent, uint32_t number, struct row *r)
{
	while (*at < count) {
		if (!read_row(c, r))
			return false;
		(*at)++;
		if (r->parent == parent && r->number == number)
			return true;
	}
	return false;
}

bool mime_blob_section(struct bytes blob, const uint32_t *parts, size_t count, enum mime_section what, uint64_t *off_r,
                       uint64_t *len_r)
{
	struct bytes texts[3];
	struct cursor c;
	uint32_t rows, at = 0;
	struct row r, child;

	if (!read_texts(blob, texts, &c) || !cursor_u32le(&c, &rows) || rows == 0 || !read_row(&c, &r))
		return false;
	at = 1;
	for (size_t i = 0; i < count; i++) {
		uint32_t parent = at - 1;

		/* A message's only part that is no multipart is its part 1, and is the message's own row. */
		if (i > 0 && (r.flags & IS_MESSAGE) != 0) {
			if (!find_child(&c, &at, rows, parent, 1, &r))
				return false;
			parent = at - 1;
		}
		if ((r.flags & IS_MULTIPART) == 0) {
			if (parts[i] != 1 || (i > 0 && r.parent != NO_PARENT && what != MIME_ALL && what != MIME_MIME &&
			                      (r.flags & IS_MESSAGE) == 0))
				return false;
			if (i + 1 < count && (r.flags & IS_MESSAGE) == 0)
				return false;
			continue;
		}
		if (!find_child(&c, &at, rows, parent, parts[i], &r))
			return false;
	}
	if (count > 0 && (what == MIME_HEADER || what == MIME_TEXT)) {
		if ((r.flags & IS_MESSAGE) == 0 || !find_child(&c, &at, rows, at - 1, 1, &child))
			return false;
		r = child;
	}
	switch (what) {
	case MIME_ALL:
		*off_r = count == 0 ? r.header_off : r.body_off;
		*len_r = count == 0 ? r.header_len + r.body_len : r.body_len;
		return true;
	case MIME_HEADER:
	case MIME_MIME:
		*off_r = r.header_off;
		*len_r = r.header_len;
		return true;
	case MIME_TEXT:
		*off_r = r.body_off;
		*len_r = r.body_len;
		return true;
	}
	return false;
}
