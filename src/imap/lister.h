/* lister.h - which rows a LIST is answered with (RFC 3501 section 6.3.8, RFC 5258, 6154, 8440, 5819), for whoever has a list of
 * mailboxes: a backend its own, a frontend the murder's. Pure.
 *
 *	lister_init(&l, names, cmd, &source);
 *	lister_subscription(&l, internal) ...    all of the user's, if lister_wants_subscriptions()
 *	lister_name(&l, internal) ...            all mailboxes that he may look up, in octet order, if lister_wants_names()
 *	lister_finish(&l);
 *	lister_fini(&l);
 *
 * A level that is no mailbox but has some below it is a row where it matches. */
#ifndef ROOST_IMAP_LISTER_H
#define ROOST_IMAP_LISTER_H

#include "imap_command.h"
#include "map.h"
#include "names.h"
#include "special_use.h"

/* Where the names come from; lent for the lister's life. */
struct list_source {
	void *arg;
	/* Whether INTERNAL is a mailbox that the user may look up, and whether one is below it. */
	bool (*exists)(void *arg, struct bytes internal);
	bool (*has_children)(void *arg, struct bytes internal);
	/* A row: ROW is its response, with line end; INTERNAL is empty where there is no such mailbox. Lent during the call. */
	void (*row)(void *arg, struct bytes row, struct bytes external, struct bytes internal);
	const struct special_uses *uses; /* the user's */
};

struct lister {
	const struct names *names;
	const struct imap_command *cmd;
	const struct list_source *source;
	struct buffer *patterns; /* owned; with the reference before them */
	struct map told;         /* parents that were told */
	struct map subscribed;   /* external names */
	struct buffer *subscriptions; /* owned: the same, in octet order once finished */
	size_t subscription_count, subscription_cap;
	/* One behind: whether a mailbox has children is mostly known from the next. */
	struct buffer held, held_internal;
	bool has_held;
	struct buffer line, scratch;
};

/* NAMES, CMD (a LIST) and SOURCE are borrowed for the lister's life. */
void lister_init(struct lister *l, const struct names *names, const struct imap_command *cmd, const struct list_source *source);
void lister_fini(struct lister *l);
bool lister_wants_subscriptions(const struct lister *l);
bool lister_wants_names(const struct lister *l);
void lister_subscription(struct lister *l, struct bytes internal);
/* The same by the name that the user sees. */
void lister_subscription_external(struct lister *l, struct bytes external);
void lister_name(struct lister *l, struct bytes internal);
/* Tell what is still to be told. */
void lister_finish(struct lister *l);
/* The longest beginning that all that can match has in common, of the patterns with their reference. */
struct bytes lister_prefix(const struct lister *l, size_t pattern);

#endif
