/* undelete.h - what an operator asks of a running member about expunged messages: files in DIR/undelete (docs/formats.md). The
 * verb writes "NAME.request", the daemon takes it away and writes "NAME.answer", a line, which the verb takes away. */
#ifndef ROOST_STORE_UNDELETE_H
#define ROOST_STORE_UNDELETE_H

#include <stdio.h>

#include "arena.h"
#include "store.h"

struct undelete_request {
	char *name; /* of the request; owned */
	struct intent_undelete intent; /* its memory is A's */
	struct arena a;
};

/* Write a request for DIR's partition. *name_r is the caller's. */
bool undelete_ask(const char *dir, const struct intent_undelete *in, char **name_r, struct fault *why);
/* Take the answer to NAME. false: there is none yet. */
bool undelete_answered(const char *dir, const char *name, struct buffer *text);
/* Take the request back; false: it was taken up already. */
bool undelete_give_up(const char *dir, const char *name);

/* The daemon: take the next request, if there is one. What is no request is removed. The caller frees by undelete_fini(). */
bool undelete_take(const char *dir, struct undelete_request *r_r);
void undelete_fini(struct undelete_request *r);
bool undelete_answer(const char *dir, const char *name, const char *text, struct fault *why);

/* UIDs as "3,7:9", at most UNDELETE_RANGES ranges. */
#define UNDELETE_RANGES 1000
bool undelete_parse_uids(struct bytes text, struct arena *a, struct intent_undelete *in);

/* Print what is kept of mailbox NAME; also while a daemon has the partition open. */
bool undelete_list(const struct store_options *o, struct bytes name, FILE *out, struct fault *why);

#endif
