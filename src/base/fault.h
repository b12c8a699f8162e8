/* fault.h - why something failed, filled by the floor that knows and worded once at the edge that speaks.
 *
 * The kind decides the treatment: a client's own mistake is answered and not logged as an error; a limit is answered
 * and counted; a transient fault is answered "try again"; an operator's fault is logged in full once while the client
 * sees no detail. A fault is a plain value without memory of its own. Either return it or log it, never both. Secrets
 * are never put into one. */
#ifndef ROOST_BASE_FAULT_H
#define ROOST_BASE_FAULT_H

#include <stdbool.h>

enum fault_kind {
	FAULT_NONE,
	FAULT_CLIENT,    /* what was asked is wrong */
	FAULT_LIMIT,     /* what was asked is over a configured limit */
	FAULT_TRANSIENT, /* asking again later may work */
	FAULT_OPERATOR,  /* somebody has to mend something */
};

#define FAULT_WHAT_MAX 384

struct fault {
	enum fault_kind kind;
	char what[FAULT_WHAT_MAX]; /* one line without a line end: what is wrong, where, and what to do; cut if longer */
};

/* Fill F (NULL is allowed and does nothing). Control characters in the text become '?'. Returns false always, so that
 * a failing function can say "return fault_set(...)". */
bool fault_set(struct fault *f, enum fault_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As fault_set() with ": " and the text of errno's value ERR behind. */
bool fault_errno(struct fault *f, enum fault_kind kind, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Put the text and ": " in front of what is there. Returns false always. */
bool fault_context(struct fault *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
