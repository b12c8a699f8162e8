/* imap_envelope.c - ten fields, four of them strings, six of them lists of addresses. */
#include "imap_envelope.h"

#include "imap_lex.h"

static bool string(struct cursor *c, struct arena *a, struct bytes *s_r)
{
	struct fault why;

	return imap_take_nstring(c, a, s_r, &why);
}

/* NIL, or "((name route mailbox host)(...))": the first is kept. */
static bool addresses(struct cursor *c, struct arena *a, struct envelope_address *first_r)
{
	bool is_first = true;

	if (cursor_take_nocase(c, BYTES_LIT("NIL")))
		return true;
	if (!cursor_take(c, '('))
		return false;
	while (cursor_take(c, '(')) {
		struct envelope_address one;
		struct bytes route;

		if (!string(c, a, &one.name) || !cursor_take(c, ' ') || !string(c, a, &route) || !cursor_take(c, ' ') ||
		    !string(c, a, &one.mailbox) || !cursor_take(c, ' ') || !string(c, a, &one.host) || !cursor_take(c, ')'))
			return false;
		if (is_first)
			*first_r = one;
		is_first = false;
		(void)cursor_take(c, ' ');
	}
	return cursor_take(c, ')');
}

bool envelope_read(struct bytes text, enum envelope_field up_to, struct arena *a, struct envelope *e)
{
	struct cursor c = cursor_of(text);
	struct envelope_address ignored;

	*e = (struct envelope){ 0 };
	if (!cursor_take(&c, '(') || !string(&c, a, &e->date))
		return false;
	if (up_to == ENVELOPE_DATE)
		return true;
	if (!cursor_take(&c, ' ') || !string(&c, a, &e->subject))
		return false;
	if (up_to == ENVELOPE_SUBJECT)
		return true;
	if (!cursor_take(&c, ' ') || !addresses(&c, a, &e->from))
		return false;
	if (up_to == ENVELOPE_FROM)
		return true;
	return cursor_take(&c, ' ') && addresses(&c, a, &ignored) && cursor_take(&c, ' ') && addresses(&c, a, &ignored) &&
	       cursor_take(&c, ' ') && addresses(&c, a, &e->to) && cursor_take(&c, ' ') && addresses(&c, a, &e->cc) &&
	       cursor_take(&c, ' ') && addresses(&c, a, &ignored) && cursor_take(&c, ' ') && string(&c, a, &e->in_reply_to) &&
	       cursor_take(&c, ' ') && string(&c, a, &e->message_id);
}
