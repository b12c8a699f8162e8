/* salvage_item.c - one item as octets, as a key, and in words. There is one form: fields that a kind does not use are empty. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cursor.h"
#include "imap_flags.h"
#include "quota.h"
#include "salvage.h"

const char *salvage_outcome_text(enum salvage_outcome o)
{
	static const char *const texts[SALVAGE_OUTCOMES] = {
		[SALVAGE_MERGED] = "merged",
		[SALVAGE_RETRY] = "the master could not take it yet",
		[SALVAGE_NEEDS_NAME] = "the name has to be reserved",
		[SALVAGE_NAME_TAKEN] = "another mailbox has that name now",
		[SALVAGE_NO_MAILBOX] = "its mailbox is not there any more, or was not made again",
		[SALVAGE_NO_MESSAGE] = "the message was removed since",
		[SALVAGE_CHANGED] = "it was changed otherwise since",
		[SALVAGE_IS_REMOVAL] = "it would remove mail",
		[SALVAGE_REFUSED] = "the directory or a limit does not allow it",
	};

	return (size_t)o < SALVAGE_OUTCOMES ? texts[o] : "unknown";
}

static void write_words(struct buffer *to, const struct bytes *words, size_t count)
{
	buffer_add_u8(to, (uint8_t)count);
	for (size_t i = 0; i < count; i++)
		buffer_add_bytes32(to, words[i]);
}

void salvage_item_write(struct buffer *to, const struct salvage_item *item)
{
	buffer_add_u8(to, (uint8_t)item->kind);
	buffer_add_u64le(to, item->epoch);
	buffer_add_u64le(to, item->lsn);
	buffer_add_u64le(to, item->mailbox);
	buffer_add_u64le(to, item->mailbox_epoch);
	buffer_add_u32le(to, item->uid);
	buffer_add_u64le(to, item->modseq);
	buffer_add_u64le(to, (uint64_t)item->internaldate);
	buffer_add_u8(to, item->flags);
	buffer_add_u8(to, item->taken_flags);
	buffer_add_u8(to, item->is_on);
	buffer_add_bytes32(to, item->name);
	buffer_add_bytes32(to, item->from);
	buffer_add_bytes32(to, item->acl);
	buffer_add_bytes32(to, item->partition);
	buffer_add_bytes32(to, item->user);
	buffer_add_bytes32(to, item->op_id);
	write_words(to, item->keywords, item->keyword_count);
	write_words(to, item->taken_keywords, item->taken_count);
	buffer_add_bytes32(to, item->structure);
}

static bool read_words(struct cursor *c, struct arena *a, const struct bytes **words_r, size_t *count_r)
{
	struct bytes *words;
	uint8_t count;

	if (!cursor_u8(c, &count) || count > KEYWORDS_MAX)
		return false;
	words = arena_array(a, count, sizeof(*words));
	for (size_t i = 0; i < count; i++) {
		if (!cursor_bytes32(c, KEYWORD_NAME_MAX, &words[i]))
			return false;
	}
	*words_r = words;
	*count_r = count;
	return true;
}

bool salvage_item_read(struct bytes in, struct arena *a, struct salvage_item *item_r, struct fault *why)
{
	struct cursor c = cursor_of(in);
	struct salvage_item *i = item_r;
	uint8_t kind, on;
	uint64_t date;

	*i = (struct salvage_item){ 0 };
	if (!cursor_u8(&c, &kind) || kind < SALVAGE_MAILBOX || kind > SALVAGE_QUOTA || !cursor_u64le(&c, &i->epoch) ||
	    !cursor_u64le(&c, &i->lsn) || !cursor_u64le(&c, &i->mailbox) || !cursor_u64le(&c, &i->mailbox_epoch) ||
	    !cursor_u32le(&c, &i->uid) || !cursor_u64le(&c, &i->modseq) || !cursor_u64le(&c, &date) || !cursor_u8(&c, &i->flags) ||
	    !cursor_u8(&c, &i->taken_flags) || !cursor_u8(&c, &on) || on > 1 || !cursor_bytes32(&c, MAILBOX_NAME_MAX, &i->name) ||
	    !cursor_bytes32(&c, MAILBOX_ACL_MAX, &i->from) || !cursor_bytes32(&c, MAILBOX_ACL_MAX, &i->acl) ||
	    !cursor_bytes32(&c, 255, &i->partition) || !cursor_bytes32(&c, MAILBOX_NAME_MAX, &i->user) ||
	    !cursor_bytes32(&c, OP_ID_MAX, &i->op_id) || !read_words(&c, a, &i->keywords, &i->keyword_count) ||
	    !read_words(&c, a, &i->taken_keywords, &i->taken_count) || !cursor_bytes32(&c, STRUCTURE_MAX, &i->structure) ||
	    !cursor_at_end(&c))
		return fault_set(why, FAULT_OPERATOR, "a salvaged item is malformed");
	i->kind = (enum salvage_kind)kind;
	i->internaldate = (int64_t)date;
	i->is_on = on != 0;
	return true;
}

static size_t put_be(uint8_t *to, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		to[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
	return width;
}

struct bytes salvage_item_key(const struct salvage_item *item, uint8_t to[SALVAGED_KEY_MAX])
{
	size_t n = 0;

	if (item->kind == SALVAGE_MAILBOX)
		return salvage_mailbox_key(item, to);
	to[n++] = 'i';
	n += put_be(to + n, item->epoch, 8);
	n += put_be(to + n, item->lsn, 8);
	to[n++] = (uint8_t)item->kind;
	n += put_be(to + n, item->mailbox, 8);
	n += put_be(to + n, item->uid, 4);
	if (item->kind == SALVAGE_ATTRIBUTE) {
		struct buffer which = { 0 };

		buffer_add(&which, item->user);
		buffer_add_u8(&which, '\0');
		buffer_add(&which, item->from);
		n += put_be(to + n, entry_hash(buffer_bytes(&which)), 8);
		buffer_fini(&which);
	}
	return bytes_make(to, n);
}

uint64_t salvage_value_hash(struct bytes value)
{
	uint64_t hash = entry_hash(value);

	return hash == 0 ? 1 : hash;
}

struct bytes salvage_mailbox_key(const struct salvage_item *item, uint8_t to[SALVAGED_KEY_MAX])
{
	size_t n = 0;

	to[n++] = 'm';
	n += put_be(to + n, item->mailbox_epoch, 8);
	n += put_be(to + n, item->mailbox, 8);
	return bytes_make(to, n);
}

static void put_text(struct buffer *to, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] > ' ' && b.p[i] <= '~' && b.p[i] != '%')
			buffer_add_u8(to, b.p[i]);
		else
			buffer_addf(to, "%%%02X", b.p[i]);
	}
}

static void put_flags(struct buffer *to, char sign, uint8_t flags, const struct bytes *keywords, size_t count)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} known[] = { { IMAP_FLAG_ANSWERED, "\\Answered" }, { IMAP_FLAG_FLAGGED, "\\Flagged" }, { IMAP_FLAG_DELETED, "\\Deleted" },
		      { IMAP_FLAG_SEEN, "\\Seen" }, { IMAP_FLAG_DRAFT, "\\Draft" } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if ((flags & known[i].bit) != 0)
			buffer_addf(to, " %c%s", sign, known[i].name);
	}
	for (size_t i = 0; i < count; i++) {
		buffer_addf(to, " %c", sign);
		put_text(to, keywords[i]);
	}
}

static void put_limits(struct buffer *to, struct bytes text)
{
	static const char *const names[QUOTA_RESOURCES] = { "STORAGE", "MESSAGE", "MAILBOX" };
	struct cursor c = cursor_of(text);
	struct quota_limits l;
	bool has = false;

	if (!quota_limits_read(&c, &l))
		return;
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (l.is_limited[r])
			buffer_addf(to, " %s %" PRIu64, names[r], l.limit[r]);
		has = has || l.is_limited[r];
	}
	if (!has)
		buffer_add_str(to, " no limits");
}

static void put_date(struct buffer *to, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;
	char text[32];

	if (gmtime_r(&t, &tm) != NULL && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		buffer_add_str(to, text);
}

void salvage_item_describe(struct buffer *to, const struct salvage_item *item)
{
	switch (item->kind) {
	case SALVAGE_MAILBOX:
		buffer_add_str(to, "mailbox ");
		put_text(to, item->name);
		buffer_add_str(to, " was created");
		return;
	case SALVAGE_RENAME:
		buffer_add_str(to, "mailbox ");
		put_text(to, item->from);
		buffer_add_str(to, " was renamed to ");
		put_text(to, item->name);
		return;
	case SALVAGE_ACL:
		buffer_add_str(to, "the access rights of ");
		put_text(to, item->name);
		buffer_add_str(to, " were changed to ");
		put_text(to, item->acl);
		return;
	case SALVAGE_MESSAGE:
		buffer_add_str(to, "a message of ");
		buffer_add_u64(to, item->body.n);
		buffer_add_str(to, " octets arrived in ");
		put_text(to, item->name);
		buffer_addf(to, " (UID %" PRIu32 " there, ", item->uid);
		put_date(to, item->internaldate);
		buffer_add_u8(to, ')');
		return;
	case SALVAGE_FLAGS:
		buffer_addf(to, "UID %" PRIu32 " in ", item->uid);
		put_text(to, item->name);
		buffer_add_str(to, " was flagged:");
		put_flags(to, '+', item->flags, item->keywords, item->keyword_count);
		put_flags(to, '-', item->taken_flags, item->taken_keywords, item->taken_count);
		return;
	case SALVAGE_SUBSCRIBE:
		put_text(to, item->user);
		buffer_add_str(to, item->is_on ? " subscribed to " : " unsubscribed from ");
		put_text(to, item->name);
		return;
	case SALVAGE_EXPUNGE:
		buffer_addf(to, "UID %" PRIu32 " in ", item->uid);
		put_text(to, item->name);
		buffer_add_str(to, " was expunged");
		return;
	case SALVAGE_DELETE:
		buffer_add_str(to, "mailbox ");
		put_text(to, item->name);
		buffer_add_str(to, " was deleted");
		return;
	case SALVAGE_ATTRIBUTE:
		buffer_add_str(to, "the ");
		buffer_add_str(to, item->user.n == 0 ? "shared" : "private");
		buffer_add_str(to, " attribute ");
		put_text(to, item->from);
		if (item->user.n > 0) {
			buffer_add_str(to, " of ");
			put_text(to, item->user);
		}
		if (item->uid > 0)
			buffer_addf(to, " of UID %" PRIu32, item->uid);
		buffer_add_str(to, item->mailbox == 0 ? " of the server" : " in ");
		put_text(to, item->name);
		buffer_add_str(to, item->is_on ? " was set" : " was removed");
		return;
	case SALVAGE_QUOTA:
		buffer_add_str(to, "the quota of ");
		put_text(to, item->name);
		buffer_add_str(to, " was set:");
		put_limits(to, item->acl);
		return;
	}
}
