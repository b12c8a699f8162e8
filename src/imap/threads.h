/* threads.h - THREAD (RFC 5256): from what each message says of itself to a forest, and that as an answer. Pure; the steps are apart
 * so that a caller can do other things between them. No step's time grows faster than the number of messages and references,
 * and none recurses.
 *
 * What messages say is numbers here: dates, arrivals and subjects as ranks, which are compared; Message-IDs as hashes, which are alike
 * where the ids are. */
#ifndef ROOST_IMAP_THREADS_H
#define ROOST_IMAP_THREADS_H

#include "buffer.h"
#include "imap_command.h"
#include "radix.h"

struct thread_node {
	uint32_t message; /* as threads_add() had it; 0: none of the messages, but referred to */
	uint32_t date, arrival, subject;
	uint32_t parent, child, next; /* in nodes, 0: none; next: sibling */
	bool is_reply;
	bool is_at_root; /* no message, and has its place as a thread's root */
};

struct thread_id {
	uint64_t hash; /* 0: free */
	uint32_t node;
};

#define THREADS_ROOT 1

struct threads {
	enum thread_algorithm algorithm;
	struct thread_node *nodes; /* owned; 0 is none, THREADS_ROOT's children are the threads */
	size_t node_count, node_cap;
	struct thread_id *ids;     /* owned; a table of a power of two */
	size_t id_count, id_cap;
	uint32_t *messages;        /* owned; nodes in the order of threads_add() */
	size_t count, cap;
	uint32_t last_subject;     /* the highest */
	struct radix_item *items;  /* owned; room for sorting */
	size_t item_cap;
};

void threads_init(struct threads *t, enum thread_algorithm algorithm);
void threads_fini(struct threads *t);
/* One more message (NUMBER is not 0). DATE, ARRIVAL (of its INTERNALDATE), SUBJECT: ranks; SUBJECT of the base subject, 0 where that is
 * empty; an array of so many is made. IDS are its Message-ID's hash, 0 if it has none, then those of what it refers to, none
 * of them 0, oldest first; ORDEREDSUBJECT takes none. Copied. */
void threads_add(struct threads *t, uint32_t number, uint32_t date, uint32_t arrival, uint32_t subject, bool is_reply,
                 const uint64_t *ids, size_t id_count);
/* When all are added: these in turn, 0 to THREADS_STEPS - 1. */
#define THREADS_STEPS 5
void threads_step(struct threads *t, unsigned step);

/* Append the threads, "(1 2)(3 (4)(5))", from the node *AT (first that of threads_first()) on until TO holds MAX octets or more; one
 * thread is never cut. *AT is 0 at the end. */
uint32_t threads_first(const struct threads *t);
void threads_write(const struct threads *t, uint32_t *at, struct buffer *to, size_t max);

/* Take the next "<...>" from FIELD, without the brackets: of References or In-Reply-To. False: no more. */
bool threads_next_id(struct bytes *field, struct bytes *id_r);

#endif
