/* message.h - what members say to each other, as octets. One message is one frame of the sync stream; the frame's length
 * is the transport's. Format: docs/formats.md "Sync stream". Pure. */
#ifndef ROOST_REPLICA_MESSAGE_H
#define ROOST_REPLICA_MESSAGE_H

#include "buffer.h"
#include "fault.h"
#include "history.h"

enum message_type {
	MESSAGE_HELLO = 1,  /* follower: what I hold */
	MESSAGE_WELCOME,    /* master: keep up to COMMON, entries follow */
	MESSAGE_REFUSE,     /* master, or who is not: not now; EPOCH is the one I know */
	MESSAGE_ENTRIES,    /* master: COMMITTED, then raw entries */
	MESSAGE_ACK,        /* follower: durable up to LSN */
	MESSAGE_BEACON,     /* master: I act; sent at TIME of my clock */
	MESSAGE_BEACON_ACK, /* follower: heard; TIME is the beacon's */
};

/* Which fields a type uses stands behind them. */
struct peer_message {
	enum message_type type;
	uint64_t epoch;     /* all: the one the sender acts in (REFUSE: knows of) */
	uint64_t lsn;       /* HELLO: last durable; WELCOME: common; ACK, BEACON_ACK: durable */
	uint64_t committed; /* HELLO: applied; ENTRIES, BEACON, WELCOME: committed */
	uint64_t time_ms;   /* BEACON, BEACON_ACK */
	struct bytes raw;   /* ENTRIES: the entries, borrowed */
	const struct history *history; /* HELLO, when written */
};

/* Append the message's octets, ENTRIES' raw ones included. */
void message_write(struct buffer *to, const struct peer_message *m);
/* Read one message. HISTORY_R gets a HELLO's rows. False with WHY: not a message. */
bool message_read(struct bytes in, struct peer_message *m_r, struct history *history_r, struct fault *why);

#endif
