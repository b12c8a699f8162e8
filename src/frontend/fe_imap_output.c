/* fe_imap_output.c - what goes to the client: whole responses, one after the other, whichever server they are from. */
#include <stdarg.h>

#include "fe_imap.h"

void fe_imap_write(struct fe_imap *s, struct bytes b)
{
	if (s->mid == NULL)
		conn_write(s->conn, b);
	else
		buffer_add(&s->held_output, b);
}

void fe_imap_passed(struct fe_imap *s, struct imap_link *l, bool has_more)
{
	bool has_ended = s->mid == l && !has_more;

	if (has_more)
		s->mid = l;
	if (!has_ended)
		return;
	s->mid = NULL;
	if (!s->is_mid_awaited && s->held_output.n == 0)
		return;
	s->is_mid_awaited = false;
	conn_write(s->conn, buffer_bytes(&s->held_output));
	buffer_fini(&s->held_output);
	LIST_EACH(m, &s->links) {
		struct imap_link *other = LIST_OBJECT(m, struct imap_link, in_session);

		if (other != l)
			conn_pause(other->conn, false);
	}
	conn_kick(s->conn);
}

bool fe_imap_is_news(const struct fe_imap *s, const struct imap_link *l)
{
	return l == s->selected || s->notify != NULL;
}

void fe_imap_say(struct fe_imap *s, const char *fmt, ...)
{
	struct buffer out = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buffer_vaddf(&out, fmt, ap);
	va_end(ap);
	buffer_add_str(&out, "\r\n");
	fe_imap_write(s, buffer_bytes(&out));
	buffer_fini(&out);
}
