/* fe_imap_autocreate.c - a user's INBOX at his first login: the frontend chooses the server, as for CREATE, and asks it (XAUTOCREATE); that one makes what the
 * configuration says, unless the directory has the INBOX elsewhere already. It is done before the client's first command, which waits; where it cannot
 * be done that goes on without. */
#include "fe_imap.h"
#include "policy.h"

#define PATIENCE_MS 10000

static struct frontend *fe_of(const struct fe_imap *s)
{
	return fe_imap_frontend(s);
}

static enum places_result find_inbox(struct fe_imap *s, struct buffer *internal)
{
	struct place ignored;

	names_inbox(&s->names, bytes_of(s->user), internal);
	return places_find(fe_of(s)->places, buffer_bytes(internal), &s->arena, &ignored);
}

bool fe_autocreate_is_due(struct fe_imap *s)
{
	struct bytes user = bytes_of(s->user);
	struct buffer inbox = { 0 };
	bool is_due = config_switch(fe_of(s)->config, "autocreate") && !s->is_admin && !auth_is_proxy(fe_of(s)->config, user) &&
	              places_is_ready(fe_of(s)->places) && find_inbox(s, &inbox) == PLACES_NONE;

	buffer_fini(&inbox);
	return is_due;
}

static void done(struct fe_imap *s)
{
	fe_imap_op_done(s);
}

static void link_ready(struct fe_imap *s, struct imap_link *l)
{
	s->is_sent = true;
	conn_write(l->conn, BYTES_LIT(FE_TAG " XAUTOCREATE\r\n"));
}

static void response(struct fe_imap *s, struct imap_link *l, struct bytes text, bool is_tagged)
{
	(void)l;
	(void)text;
	/* Whatever it says: what is there now shows in the list. */
	if (is_tagged)
		fe_imap_sync_then(s, done);
}

static void lost(struct fe_imap *s, const char *why)
{
	(void)why;
	fe_imap_op_done(s);
}

static void choose(struct fe_imap *s)
{
	char server[PLACES_SERVER_MAX];
	struct buffer inbox = { 0 };
	bool is_due = find_inbox(s, &inbox) == PLACES_NONE && places_any_server(fe_of(s)->places, buffer_bytes(&inbox), server);

	buffer_fini(&inbox);
	if (is_due)
		fe_imap_forward_to(s, server);
	else
		fe_imap_op_done(s);
}

void fe_autocreate_begin(struct fe_imap *s)
{
	static const struct own_op op = { .link_ready = link_ready, .response = response, .lost = lost };

	s->has_op = true;
	s->own = &op;
	s->cmd = (struct imap_command){ .tag = BYTES_LIT("*"), .verb = IMAP_XAUTOCREATE, .row = imap_row(IMAP_XAUTOCREATE) };
	s->deadline_ms = loop_now_ms(s->base.shard->loop) + PATIENCE_MS;
	/* Another frontend may have done it just now. */
	fe_imap_sync_then(s, choose);
}
