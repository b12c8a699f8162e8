/* threads.h - THREAD (RFC 5256): from what each message says of itself to a forest, and that as an answer. Pure; the steps are apart
 * so that a caller can do other things between them. No step's time grows faster than the number of messages and references
 * times its logarithm, and none recurses. */
#ifndef ROOST_IMAP_THREADS_H
#define ROOST_IMAP_THREADS_H

#include "imap_command.h"
#include "map.h"

struct thread_node {
	uint32_t message;  /* as threads_add() had it; 0: none of the messages, but referred to */
	int64_t date, arrival;
	struct bytes subject; /* base subject; lent */
	bool is_reply;
	bool is_at_root;   /* no message, and has its place as a thread's root */
	struct thread_node *parent, *child, *next; /* next: sibling */
};

struct threads {
	enum thread_algorithm algorithm;
	struct arena *a;
	struct map ids;             /* Message-ID -> node; owned */
	struct thread_node **nodes; /* owned: all of messages, in the order of threads_add() */
	size_t count, cap;
	struct thread_node root;    /* its children are the threads */
};

/* A's memory is used until threads_fini(). */
void threads_init(struct threads *t, enum thread_algorithm algorithm, struct arena *a);
void threads_fini(struct threads *t);
/* One more message (NUMBER is not 0). IDS are its Message-ID, "" if it has none, then what it refers to, oldest first; ORDEREDSUBJECT
 * takes none. Bytes are copied. ARRIVAL is its INTERNALDATE. */
void threads_add(struct threads *t, uint32_t number, int64_t date, int64_t arrival, struct bytes subject, bool is_reply,
                 const struct bytes *ids, size_t id_count);
/* When all are added: these in turn, 0 to THREADS_STEPS - 1. */
#define THREADS_STEPS 3
void threads_step(struct threads *t, unsigned step);

/* Append the threads, "(1 2)(3 (4)(5))", from *AT (first t->root.child) on until TO holds MAX octets or more; one thread is
 * never cut. *AT is NULL at the end. */
void threads_write(const struct threads *t, const struct thread_node **at, struct buffer *to, size_t max);

/* Take the next "<...>" from FIELD, without the brackets: of References or In-Reply-To. False: no more. */
bool threads_next_id(struct bytes *field, struct bytes *id_r);

#endif
