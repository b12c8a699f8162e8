/* fe_imap_enable.c - ENABLE (RFC 5161) through a frontend. */
#include "fe_imap.h"

/* What the command means to enable of that which is offered; the rest is passed over (RFC 5161 section 3.1). */
static unsigned features_of(const struct fe_imap *s)
{
	unsigned features = 0;

	for (size_t i = 0; i < s->cmd.word_count; i++)
		features |= imap_feature_of(s->cmd.words[i]);
	return features & capabilities_features(fe_imap_frontend(s)->capabilities);
}

static void enable(struct fe_imap *s, unsigned features)
{
	s->features |= features;
	s->names.is_utf8 = (s->features & (IMAP_F_REV2 | IMAP_F_UTF8)) != 0;
}

/* The backends are told with the next command that goes there; now, where they speak without one. */
static void enable_here(struct fe_imap *s)
{
	struct buffer out = { 0 };
	unsigned features = features_of(s);

	buffer_add_str(&out, "* ENABLED");
	imap_write_features(&out, features & ~s->features);
	buffer_add_str(&out, "\r\n");
	conn_write(s->conn, buffer_bytes(&out));
	buffer_fini(&out);
	enable(s, features);
	fe_imap_enable_all(s);
	fe_imap_tagged(s, "OK", "done");
}

/* The selected mailbox's server has to say more than that; it is asked for what is offered, which it has. */
static void enable_selected(struct fe_imap *s)
{
	unsigned features = features_of(s);
	struct buffer command = { 0 };

	imap_link_enable(s->selected);
	buffer_add(&command, s->cmd.tag);
	buffer_add_str(&command, " ENABLE");
	imap_write_features(&command, features);
	buffer_add_str(&command, features == 0 ? " X-NONE\r\n" : "\r\n");
	fe_imap_replace_raw(s, &command);
	enable(s, features);
	s->selected->features |= features;
	fe_imap_enable_all(s);
	fe_imap_forward_selected(s);
}

void fe_imap_enable_all(struct fe_imap *s)
{
	if (s->notify == NULL)
		return;
	LIST_EACH(m, &s->links) {
		struct imap_link *l = LIST_OBJECT(m, struct imap_link, in_session);

		if (l->state == ILINK_READY)
			imap_link_enable(l);
	}
}

bool fe_imap_enable(struct fe_imap *s)
{
	if (s->selected != NULL) {
		enable_selected(s);
		return false;
	}
	enable_here(s);
	return true;
}
