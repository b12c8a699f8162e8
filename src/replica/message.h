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
	MESSAGE_OFFER,      /* master: what you need is not in my journal; take the copy of COPY.LSN, of which you keep up to COMMON */
	MESSAGE_TAKE,       /* follower: give me the copy of COPY.LSN, of which I have COPY.OFFSET octets and entries below NEXT */
	MESSAGE_PIECE,      /* master: octets of the checkpoint from COPY.OFFSET on; none: still here */
	MESSAGE_BODIES,     /* master: raw entries of the copy; go on with COPY.NEXT, 0: that was all, whole once at COMMITTED */
	MESSAGE_TAKEN,      /* follower: stored up to COPY.OFFSET, and entries below NEXT */
	MESSAGE_COPY_LAST = MESSAGE_TAKEN,
	/* Either way, at any time, and nothing of the core's: */
	MESSAGE_WANTED, /* entry LSN is damaged here */
	MESSAGE_ENTRY,  /* it is RAW */
	MESSAGE_NONE,   /* it is not here, or damaged, too */
	MESSAGE_SALVAGE = 16, /* follower: an item of a suffix that only it had */
	MESSAGE_SALVAGED,     /* master: what came of it: an outcome, by entry LSN, of epoch COMMITTED */
};

/* Of a copy: the checkpoint of LSN, then the entries up to LSN whose bodies are alive (store_copy.h). */
struct message_copy {
	uint64_t lsn;
	uint64_t offset; /* in the checkpoint */
	uint64_t next;   /* LSN of the entries that follow */
	uint64_t left, total; /* octets to come after this message, and of all; an estimate */
};

/* Which fields a type uses stands behind them. */
struct peer_message {
	enum message_type type;
	uint64_t epoch;     /* all: the one the sender acts in (REFUSE: knows of) */
	uint64_t lsn;       /* WANTED, ENTRY, NONE: of the entry; HELLO: last durable; WELCOME, OFFER: common; ACK, BEACON_ACK: durable;
	                       BEACON: durable with all who may take over (replica_replicated()) */
	uint64_t committed; /* HELLO: applied; ENTRIES, BEACON, WELCOME: committed */
	uint64_t time_ms;   /* BEACON, BEACON_ACK */
	struct message_copy copy; /* OFFER to TAKEN */
	struct bytes raw;   /* ENTRIES, BODIES: the entries; PIECE: the octets; ENTRY: one entry; SALVAGE, SALVAGED: which item, and what it is; borrowed */
	const struct history *history; /* HELLO, when written */
};

/* Append the message's octets, the raw ones included. */
void message_write(struct buffer *to, const struct peer_message *m);
/* Read one message. HISTORY_R gets a HELLO's rows. False with WHY: not a message. */
bool message_read(struct bytes in, struct peer_message *m_r, struct history *history_r, struct fault *why);

#endif
