/* box_tell.c - the lines that tell a client of the messages of its picture. */
#include "box.h"

#include "imap_flags.h"
#include "imap_writer.h"
#include "seqset.h"

#define VANISHED_LINE_MAX 8000

void box_write_flags(struct session *s, const struct mailbox *m)
{
	const struct box *box = s->box;
	struct buffer line = { 0 };
	uint64_t all = m->keyword_count >= 64 ? UINT64_MAX : (1ull << m->keyword_count) - 1;
	uint32_t flags = 0;

	if ((box->rights & ACL_WRITE) != 0)
		flags |= IMAP_FLAG_ANSWERED | IMAP_FLAG_FLAGGED | IMAP_FLAG_DRAFT;
	if ((box->rights & ACL_SEEN) != 0)
		flags |= IMAP_FLAG_SEEN;
	if ((box->rights & ACL_DELETE) != 0)
		flags |= IMAP_FLAG_DELETED;
	buffer_add_str(&line, "* FLAGS ");
	imap_write_flags(&line, IMAP_FLAGS_ALL, false, all, m->keywords, m->keyword_count);
	buffer_add_str(&line, "\r\n* OK [PERMANENTFLAGS ");
	if (box->is_readonly) {
		buffer_add_str(&line, "()");
	} else {
		imap_write_flags(&line, flags, false, (box->rights & ACL_WRITE) != 0 ? all : 0, m->keywords, m->keyword_count);
		if ((box->rights & ACL_WRITE) != 0) {
			line.n--; /* the parenthesis */
			buffer_add_str(&line, flags != 0 || m->keyword_count > 0 ? " \\*)" : "\\*)");
		}
	}
	buffer_add_str(&line, "] these are kept\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
	s->box->keyword_count = m->keyword_count;
}

/* "* N FETCH (UID u ", of which with UIDONLY (RFC 9586) the UID is said in the number's place. */
static void add_head(const struct session *s, uint32_t number, const struct message *msg, bool with_uid, struct buffer *line)
{
	bool is_uid_only = (s->features & IMAP_F_UIDONLY) != 0;

	buffer_add_str(line, "* ");
	buffer_add_u64(line, is_uid_only ? msg->uid : number);
	buffer_add_str(line, is_uid_only ? " UIDFETCH (" : " FETCH (");
	if (!with_uid || is_uid_only)
		return;
	buffer_add_str(line, "UID ");
	buffer_add_u64(line, msg->uid);
	buffer_add_u8(line, ' ');
}

static void add_modseq(const struct message *msg, struct buffer *line)
{
	buffer_add_str(line, "MODSEQ (");
	buffer_add_u64(line, msg->modseq);
	buffer_add_u8(line, ')');
}

void box_write_fetch_flags(struct session *s, uint32_t number, const struct message *msg, const struct mailbox *m,
                           bool with_uid)
{
	struct buffer line = { 0 };

	add_head(s, number, msg, with_uid || (s->features & IMAP_F_QRESYNC) != 0, &line);
	buffer_add_str(&line, "FLAGS ");
	imap_write_flags(&line, msg->flags, box_is_recent(s->box, msg->uid), msg->keywords, m->keywords, m->keyword_count);
	if ((s->features & IMAP_F_CONDSTORE) != 0) {
		buffer_add_u8(&line, ' ');
		add_modseq(msg, &line);
	}
	buffer_add_str(&line, ")\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

void box_write_fetch_modseq(struct session *s, uint32_t number, const struct message *msg)
{
	struct buffer line = { 0 };

	add_head(s, number, msg, true, &line);
	add_modseq(msg, &line);
	buffer_add_str(&line, ")\r\n");
	session_write(s, buffer_bytes(&line));
	buffer_fini(&line);
}

void box_write_vanished(struct session *s, bool is_earlier, const uint32_t *uids, size_t count)
{
	struct buffer out = { 0 };
	size_t i = 0;

	while (i < count) {
		buffer_add_str(&out, is_earlier ? "* VANISHED (EARLIER) " : "* VANISHED ");
		for (size_t begin = out.n; i < count && out.n - begin < VANISHED_LINE_MAX;) {
			struct seq_range r = { uids[i], uids[i] };

			for (i++; i < count && uids[i] == r.last + 1; i++)
				r.last++;
			if (out.n > begin)
				buffer_add_u8(&out, ',');
			seqset_write(&out, &r, 1);
		}
		buffer_add_str(&out, "\r\n");
		session_write(s, buffer_bytes(&out));
		buffer_clear(&out);
	}
	buffer_fini(&out);
}
