/* pop3_message.c - lines copied from one line's end to the next; only what begins and ends a line is looked at. */
#include "pop3_message.h"

static void end_line(struct pop3_message *m, bool was_empty)
{
	if (m->in_text && m->lines != POP3_ALL_LINES)
		m->lines--;
	if (was_empty)
		m->in_text = true;
	m->in_line = m->is_after_cr = false;
}

bool pop3_message_add(struct pop3_message *m, struct bytes in, struct buffer *to)
{
	while (in.n > 0) {
		size_t n;

		if (m->in_text && m->lines == 0)
			return true;
		if (in.p[0] == '\n') {
			/* A CR at the start of a line sets in_line: "\r\n" alone is an empty line, too. */
			bool was_empty = !m->in_line;

			buffer_add_str(to, m->is_after_cr ? "\n" : "\r\n");
			end_line(m, was_empty);
			in = bytes_from(in, 1);
			continue;
		}
		if (!m->in_line && in.p[0] == '.' && !m->is_after_cr)
			buffer_add_u8(to, '.');
		n = bytes_find(in, '\n');
		buffer_add(to, bytes_sub(in, 0, n));
		m->in_line = m->in_line || m->is_after_cr || n > 1 || in.p[0] != '\r';
		m->is_after_cr = in.p[n - 1] == '\r';
		in = bytes_from(in, n);
	}
	return m->in_text && m->lines == 0;
}

void pop3_message_end(struct pop3_message *m, struct buffer *to)
{
	if (m->is_after_cr)
		buffer_add_u8(to, '\n');
	else if (m->in_line)
		buffer_add_str(to, "\r\n");
	m->in_line = m->is_after_cr = false;
	buffer_add_str(to, ".\r\n");
}
