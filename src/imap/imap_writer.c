/* imap_writer.c - picks the plainest form that can carry the octets. */
#include "imap_writer.h"

#include <string.h>

#include "imap_flags.h"
#include "imap_lex.h"

void imap_write_literal_head(struct buffer *to, uint64_t n, bool non_sync)
{
	buffer_add_u8(to, '{');
	buffer_add_u64(to, n);
	buffer_add_str(to, non_sync ? "+}\r\n" : "}\r\n");
}

void imap_write_string(struct buffer *to, struct bytes s, bool non_sync)
{
	bool can_quote = s.n <= 1000;

	for (size_t i = 0; can_quote && i < s.n; i++)
		can_quote = s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0' && s.p[i] < 0x80;
	if (!can_quote) {
		imap_write_literal_head(to, s.n, non_sync);
		buffer_add(to, s);
		return;
	}
	buffer_add_u8(to, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buffer_add_u8(to, '\\');
		buffer_add_u8(to, s.p[i]);
	}
	buffer_add_u8(to, '"');
}

void imap_write_astring(struct buffer *to, struct bytes s, bool non_sync)
{
	bool is_atom = s.n > 0 && s.n <= 1000 && !bytes_equal_nocase_str(s, "NIL");

	for (size_t i = 0; is_atom && i < s.n; i++)
		is_atom = imap_is_astring_char(s.p[i]);
	if (is_atom)
		buffer_add(to, s);
	else
		imap_write_string(to, s, non_sync);
}

void imap_write_mailbox(struct buffer *to, struct bytes name, bool is_utf8)
{
	bool is_plain = is_utf8 && name.n <= 1000, has_8bit = false;

	for (size_t i = 0; is_plain && i < name.n; i++) {
		is_plain = name.p[i] >= ' ' && name.p[i] != 0x7f && name.p[i] != '"' && name.p[i] != '\\';
		has_8bit = has_8bit || name.p[i] >= 0x80;
	}
	if (!is_plain || !has_8bit) {
		imap_write_astring(to, name, false);
		return;
	}
	buffer_add_u8(to, '"');
	buffer_add(to, name);
	buffer_add_u8(to, '"');
}

void imap_write_nstring8(struct buffer *to, struct bytes s)
{
	if (s.n > 0 && bytes_find(s, '\0') < s.n) {
		buffer_add_u8(to, '~');
		imap_write_literal_head(to, s.n, false);
		buffer_add(to, s);
	} else {
		imap_write_nstring(to, s);
	}
}

void imap_write_nstring(struct buffer *to, struct bytes s)
{
	if (s.p == NULL)
		buffer_add_str(to, "NIL");
	else
		imap_write_string(to, s, false);
}

void imap_write_text(struct buffer *to, struct bytes text)
{
	text = bytes_sub(text, 0, 512);
	for (size_t i = 0; i < text.n; i++)
		buffer_add_u8(to, text.p[i] < ' ' || text.p[i] > '~' ? '?' : text.p[i]);
}

void imap_write_flags(struct buffer *to, uint32_t flags, bool is_recent, uint64_t mask, const struct bytes *keywords,
                      size_t keyword_count)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{ IMAP_FLAG_ANSWERED, "\\Answered" }, { IMAP_FLAG_FLAGGED, "\\Flagged" }, { IMAP_FLAG_DRAFT, "\\Draft" },
		{ IMAP_FLAG_DELETED, "\\Deleted" },   { IMAP_FLAG_SEEN, "\\Seen" },
	};
	const char *blank = "";

	buffer_add_u8(to, '(');
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((flags & names[i].bit) == 0)
			continue;
		buffer_add_str(to, blank);
		buffer_add_str(to, names[i].name);
		blank = " ";
	}
	if (is_recent) {
		buffer_add_str(to, blank);
		buffer_add_str(to, "\\Recent");
		blank = " ";
	}
	for (size_t i = 0; i < keyword_count && i < 64; i++) {
		if ((mask >> i & 1) == 0)
			continue;
		buffer_add_str(to, blank);
		buffer_add(to, keywords[i]);
		blank = " ";
	}
	buffer_add_u8(to, ')');
}
