/* box.h - the selected mailbox as one session's client knows it: which message has which number, and what it was told.
 *
 * The store's view moves on with every commit; the client's picture changes only when it is told, and EXPUNGE may be told
 * only where RFC 3501 section 7.4.1 allows it. A message that is gone keeps its number here until then. */
#ifndef ROOST_BACKEND_IMAP_BOX_H
#define ROOST_BACKEND_IMAP_BOX_H

#include "imap_session.h"
#include "intent.h"

/* UIDs above FIRST, up to LAST, are \Recent in this session. */
struct box_recent {
	uint32_t above, last;
};

struct box {
	mailbox_id_t id;
	uint32_t uidvalidity;
	acl_rights_t rights;
	bool is_examine;
	bool is_readonly;    /* EXAMINE, or no right to change anything */
	bool hears_annotations; /* by SELECT (ANNOTATE) */
	bool has_new_rights; /* somebody has changed the ACL: see session_take_rights() */
	uint32_t *uids;   /* ascending; number N is uids[N - 1]; owned, unless they are SHARED's */
	struct column *shared; /* held; NULL: the session's picture has changed since it was opened */
	size_t count, cap;
	uint32_t last_uid;  /* all up to here are known, or were gone before they were */
	modseq_t modseq;    /* changes up to here were told (or are in GONE), */
	uint32_t modseq_uid; /* and of the modseq behind it those up to this UID */
	uint32_t *gone;     /* owned; known to be expunged, not told yet; ascending */
	size_t gone_count, gone_cap;
	struct box_recent *recents; /* owned */
	size_t recent_count;
	uint32_t *saved;    /* owned; UIDs that SEARCH RETURN (SAVE) found, ascending (RFC 5182) */
	size_t saved_count;
	unsigned keyword_count; /* told in FLAGS */
	bool is_deleted;
	struct list contexts; /* context.c's; owned; not a list before the first is added */
	bool is_behind;       /* not all was told, as it was too much for one turn */
};

/* Take in M and all its messages. *first_unseen_r is a number, 0: none. FAILED with WHY. */
enum store_result box_open(struct session *s, struct store_view *v, const struct mailbox *m, acl_rights_t rights,
                           bool is_examine, struct box **box_r, uint32_t *first_unseen_r, struct fault *why);
void box_free(struct box **box);

/* Whether RIGHTS are others than before; they are the session's from now on. */
bool box_take_rights(struct box *box, acl_rights_t rights);

/* The message number of UID; 0: it is not known. */
uint32_t box_number(const struct box *box, uint32_t uid);
/* Where UID is in box->uids, or would be. */
size_t box_position(const struct box *box, uint32_t uid);
bool box_is_recent(const struct box *box, uint32_t uid);
size_t box_recent_count(const struct box *box);
/* Reading many of a mailbox's messages, mostly in the order of UIDs, without looking for each. Begin with VIEW and MAILBOX alone set. */
struct box_reader {
	struct store_view *view;
	mailbox_id_t mailbox;
	struct view_messages it;
	struct message msg; /* the last that was read; uid 0: none */
	uint32_t asked;     /* the UID before: nothing lies between it and MSG */
	bool is_open;
};
/* False: it is gone, or cannot be read. */
bool box_read(struct box_reader *r, uint32_t uid, struct message *m_r);
/* Before the view is closed. */
void box_read_end(struct box_reader *r);

/* Keep the messages of the COUNT ascending indices as "$"; whether UID is one of them. */
void box_save(struct box *box, const uint32_t *index, size_t count);
bool box_is_saved(const struct box *box, uint32_t uid);
/* Resolve SET (of UIDs if IS_UID, else of numbers) to indices into box->uids: INDEX_R in A, COUNT_R. False: it names a
 * number that there is not (never with UIDs). */
bool box_resolve(const struct box *box, struct seqset *set, bool is_uid, struct arena *a, uint32_t **index_r,
                 size_t *count_r);
/* UIDs of the COUNT indices as ranges, in A. */
struct uid_range *box_ranges(const struct box *box, const uint32_t *index, size_t count, struct arena *a,
                             size_t *range_count_r);

/* What changed since a modseq, as the client's picture has it; in the command's arena. */
struct box_changes {
	uint32_t *index; /* messages with a higher modseq: indices, ascending */
	size_t count;
	uint32_t *gone;  /* UIDs that are gone, ascending */
	size_t gone_count;
};
/* Find it; of the UIDs that are gone those in GONE, a resolved set (NULL: none), which are not in the picture any more.
 * False: the tagged answer is set. */
bool box_changes(struct session *s, struct command *cmd, modseq_t since, const struct seqset *gone,
                 struct box_changes *changes_r);

/* Tell the client what changed: FETCH, and if MAY_EXPUNGE, EXPUNGE, then EXISTS and RECENT. CMD (NULL: none) may have told
 * some of it already (cmd->told), and FETCH carries UID if it is a UID command. False: the mailbox was deleted, or the store
 * failed: the session was ended. */
bool box_sync(struct session *s, const struct command *cmd, bool may_expunge);
/* "* VANISHED " or "* VANISHED (EARLIER) " and the COUNT UIDs, ascending, in lines of bounded length. */
void box_write_vanished(struct session *s, bool is_earlier, const uint32_t *uids, size_t count);
/* "* FLAGS (...)" and PERMANENTFLAGS. */
void box_write_flags(struct session *s, const struct mailbox *m);
/* "* N FETCH (FLAGS (...))", with UID if WITH_UID or the client uses QRESYNC, with MODSEQ if it uses CONDSTORE; with UIDONLY this and
 * the next are "* UID UIDFETCH (...)". */
void box_write_fetch_flags(struct session *s, uint32_t number, const struct message *msg, const struct mailbox *m,
                           bool with_uid);
/* "* N FETCH (UID u MODSEQ (m))". */
void box_write_fetch_modseq(struct session *s, uint32_t number, const struct message *msg);

#endif
