/* imap_parse_private.h - the parsers of single commands' arguments, for imap/ only. */
#ifndef ROOST_IMAP_PARSE_PRIVATE_H
#define ROOST_IMAP_PARSE_PRIVATE_H

#include "imap_command.h"
#include "imap_lex.h"

struct imap_parser {
	struct cursor c;
	struct arena *a;
	const struct imap_command_limits *limits;
	struct imap_command *cmd;
	struct fault *why;
};

/* A growing array of bytes in an arena. */
struct bytes_list {
	struct bytes *at;
	size_t count, cap;
};
/* False with WHY where LIMIT is reached. */
bool bytes_list_add(struct imap_parser *p, struct bytes_list *l, struct bytes b);

bool imap_parse_urlauth(struct imap_parser *p);
bool imap_parse_append(struct imap_parser *p);
/* The section TEXT of a URL, "1.2.MIME", to ITEM. False with WHY. */
bool imap_section_parse(struct bytes text, const struct imap_command_limits *limits, struct arena *a, struct fetch_item *item, struct fault *why);
bool imap_parse_fetch(struct imap_parser *p);
/* "(UID FLAGS)". */
bool imap_take_fetch_list(struct imap_parser *p, struct fetch_item **items_r, size_t *count_r);
bool imap_parse_search(struct imap_parser *p);
/* "subtree (a b)". */
bool imap_take_filter(struct imap_parser *p, struct mailbox_filter *f);
/* The next of a growing array in the arena, AT with room for CAP of SIZE octets, not zeroed. */
void *imap_one_more(struct imap_parser *p, void **at, size_t *count, size_t *cap, size_t size);
bool imap_parse_esearch(struct imap_parser *p);
bool imap_parse_notify(struct imap_parser *p);
bool imap_parse_sort(struct imap_parser *p);
bool imap_parse_thread(struct imap_parser *p);
/* "1:500" or "-1:-100" (RFC 9394): to cmd->partial_from and partial_to. */
bool imap_take_partial(struct imap_parser *p);
bool imap_parse_setquota(struct imap_parser *p);
/* imap_parse_annotate.c, each behind the word ANNOTATION and the blank behind that: "(entries attributes)", "(entry (attribute value ...) ...)",
 * "entry value.priv string", "entry value.priv". */
bool imap_take_annotation_item(struct imap_parser *p, struct fetch_item *item);
bool imap_take_annotations(struct imap_parser *p, struct annotation **at_r, size_t *count_r);
bool imap_take_annotation_key(struct imap_parser *p, struct search_key *k);
bool imap_take_annotation_criterion(struct imap_parser *p, struct sort_criterion *c);
/* nstring / literal8; NIL: p is NULL. */
bool imap_take_nstring8(struct imap_parser *p, struct bytes *value_r);
bool imap_parse_getmetadata(struct imap_parser *p);
bool imap_parse_setmetadata(struct imap_parser *p);
/* The entries of LIST RETURN (METADATA ...): to cmd->metadata. */
bool imap_take_metadata_entries(struct imap_parser *p);
bool imap_parse_args(struct imap_parser *p);
/* "(\Seen keyword)", or without parentheses where BARE is allowed: bits to cmd->flags, keywords to cmd->keywords. */
bool imap_parse_flags(struct imap_parser *p, bool may_be_bare);

#endif
