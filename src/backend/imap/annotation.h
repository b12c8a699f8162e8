/* annotation.h - annotations of messages (RFC 5257), for the commands that know of them.
 *
 * One is an attribute of the message under its entry's name, "/comment", shared or one user's. To see them and to set one's own the right r is
 * needed, to set shared ones n. */
#ifndef ROOST_BACKEND_IMAP_ANNOTATION_H
#define ROOST_BACKEND_IMAP_ANNOTATION_H

#include "column_fill.h"
#include "imap_session.h"

/* Append "ANNOTATION (...)" of message UID as ITEM asks for it. False, and nothing: it has none that match. */
bool annotation_write(struct session *s, struct store_view *v, mailbox_id_t mailbox, uint32_t uid, const struct fetch_item *item,
                      struct buffer *to);
/* Tell all that message NUMBER has, as it was changed. */
void annotation_tell(struct session *s, struct store_view *v, uint32_t number, const struct message *msg);
/* Whether message UID has one that K, a SEARCH_ANNOTATION whose string is folded, is looking for. */
bool annotation_matches(struct session *s, struct store_view *v, mailbox_id_t mailbox, uint32_t uid, const struct search_key *k);
/* What AT sets, by a user with RIGHTS in the mailbox; all of it in A. False: the tagged answer is set. */
bool annotation_changes(struct session *s, struct command *cmd, acl_rights_t rights, const struct annotation *at, size_t count,
                        struct arena *a, struct attribute_changes *to_r);
/* Whether the parts that AT names are in a message with that STRUCTURE. */
bool annotation_has_parts(const struct annotation *at, size_t count, struct bytes structure, struct arena *a);
/* Whether AT names any. */
bool annotation_names_parts(const struct annotation *at, size_t count);

/* SORT ANNOTATION: the ranks of FOUND by the values of criterion BY, some of them in a turn; zero-initialise, all lives in the command's arena. */
struct annotation_ranks {
	struct annotation_rank *values;
	size_t at;
	uint32_t *ranks; /* when it has ENDED: of each of FOUND, 0 where there is no value */
};
enum fill_state annotation_rank(struct session *s, struct command *cmd, struct annotation_ranks *r, const struct sort_criterion *by,
                                const uint32_t *found, size_t count);

#endif
