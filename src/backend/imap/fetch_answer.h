/* fetch_answer.h - FETCH responses: to FETCH, and those that no FETCH asked for. */
#ifndef ROOST_BACKEND_IMAP_FETCH_ANSWER_H
#define ROOST_BACKEND_IMAP_FETCH_ANSWER_H

#include "imap_session.h"
#include "intent.h"

/* What is wanted of each message. */
struct fetch_wanted {
	const struct fetch_item *items; /* borrowed, as SEEN */
	size_t count;
	bool uid, flags, modseq;
	const struct uid_range *seen; /* set by the command: their FLAGS are told too */
	size_t seen_count;
};

/* One message's answer, in pieces: LINE is the last, and becomes one where a large body comes between. */
struct fetch_answer {
	struct buffer *pieces;
	size_t count, cap;
	struct session *s;
	struct store_view *v;
	const struct mailbox *m;
	const struct message *msg;
	struct bytes blob; /* its structure, if asked for */
	bool has_blob, is_broken, has_unknown_encoding;
	bool is_damaged; /* and it may be mended */
	struct buffer line; /* of several messages; the present one's from START on */
	size_t start;
	size_t slow; /* messages that took a while */
	struct fault why;
};

/* W's items are the COUNT ITEMS. */
void fetch_answer_want(struct fetch_wanted *w, const struct fetch_item *items, size_t count);
/* Write o->msg, which has NUMBER. False: it could not be read (o->why; is_damaged), and nothing of it is sent. */
bool fetch_answer_write(struct fetch_answer *o, const struct fetch_wanted *w, uint32_t number);
/* Send what waits. O is to be begun anew then. */
void fetch_answer_end(struct fetch_answer *o);

/* Tell of message NUMBER, MSG of mailbox M, the COUNT ITEMS; \Seen is left alone. One that cannot be read is not told. */
void fetch_answer_tell(struct session *s, struct store_view *v, const struct mailbox *m, uint32_t number, const struct message *msg,
                       const struct fetch_item *items, size_t count);

#endif
