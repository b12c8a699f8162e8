/* store_private.h - the store's inside, for store/ only. */
#ifndef ROOST_STORE_PRIVATE_H
#define ROOST_STORE_PRIVATE_H

#include <stdatomic.h>

#include "cursor.h"
#include "checkpoint.h"
#include "journal.h"
#include "kv.h"
#include "store.h"
#include "store_view.h"

/* Tables of the index (docs/formats.md, "Index"). */
enum { T_META, T_NAME, T_MAILBOX, T_MESSAGE, T_MODSEQ, T_BODY, T_SUBSCRIPTION, T_OP, T_OP_ORDER, T_SALVAGED, T_EXPUNGED, T_EXPUNGED_ORDER,
       T_ATTRIBUTE, T_QUOTA, T_COUNT };
extern const char *const store_tables[T_COUNT];

/* Of the records' form, in "meta": an index or a checkpoint of another one is not read. */
#define INDEX_FORMAT 2

#define KEY_MAX 64
/* Deliveries of so many LSNs past are remembered by their operation ids. */
#define OP_KEEP_LSNS 100000

/* Of the digests seen, and where the next slice begins. */
struct store_digest {
	lsn_t lsn;
	bool differs; /* the newest, in all records */
	uint64_t differences;
	char *mailbox; /* in which one was found last; owned */
	mailbox_id_t next_mailbox;
	uint32_t next_uid;
};

struct store {
	struct store_digest digest;
	char *dir, *salvage_dir;
	int lock_fd;
	unsigned keywords_max;
	uint64_t expunge_delay;
	uint64_t map_size, segment_size; /* as store_options has them */
	lsn_t floor;       /* of the copy that this is; 0: none, or passed */
	lsn_t restored;    /* from a backup, up to here; 0: it was not, or somebody reigned since */
	pthread_mutex_t gate; /* guards the two below */
	size_t views;      /* open */
	bool is_reopening; /* none may be opened */
	struct journal journal;
	struct kv *kv;
	atomic_uint_fast64_t applied;
	bool is_failed;
	struct fault failure;
	bool is_relic; /* nobody will be served from it any more */

	bool is_turn;
	struct kv_txn *txn; /* of the turn */
	epoch_t epoch;
	size_t turn_count;  /* entries of the turn, in the pending or flushing batch */
	uint64_t turn_changed, turn_records; /* of changes of very many messages: how many, and octets of their records in the index */
	lsn_t turn_first;
	bool turn_flushed;  /* its flush has begun */
	struct store_entry *turn_entries; /* a copy of the rows, as long as the turn */
	struct arena turn_arena;          /* heads and rows */
	struct store_changes changes;
	bool has_reign;
	struct store_reign reign;
	char *reign_text; /* holds reign's strings */

	atomic_uint_fast64_t replicated; /* see store_note_replicated() */
	atomic_uint_fast64_t checkpoint_lsn; /* the newest; 0: none */
	uint64_t since_checkpoint;           /* octets journaled after it before the flushes counted from FLUSHED_BEFORE on */
	uint64_t flushed_before;
	lsn_t older_checkpoint;              /* the one kept beside it; 0: none */
	uint64_t freed;                      /* octets of bodies that nothing refers to any more, since the opening */
	struct compaction *compaction;       /* NULL: never was any, or of a journal that was cut since */
	atomic_uint_fast64_t mended;         /* entries put back, since the opening */
	atomic_bool is_stopping; /* what runs in the background is to end */
	struct checkpoint_job *checkpoint; /* being made; NULL: none */
};

/* Keys, big-endian so that they sort. Return the length. */
size_t key_u64(uint8_t *to, uint64_t v);
size_t key_message(uint8_t *to, mailbox_id_t mailbox, uint32_t uid);
/* What the attributes of one user (empty: shared) begin with; one attribute's. 0: that cannot be a key. */
size_t key_attributes(uint8_t to[KV_KEY_MAX], mailbox_id_t mailbox, uint32_t uid, struct bytes user);
size_t key_attribute(uint8_t to[KV_KEY_MAX], mailbox_id_t mailbox, const struct attribute *of);
size_t key_modseq(uint8_t *to, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid);
uint64_t key_read_u64(struct bytes key, size_t at);
uint32_t key_read_u32(struct bytes key, size_t at);

/* index.c: records of the tables. NOT_FOUND where there is none. Bytes are lent as long as the transaction's page. */
enum kv_result index_mailbox(struct kv_txn *t, mailbox_id_t id, struct mailbox *m_r);
enum kv_result index_put_mailbox(struct kv_txn *t, const struct mailbox *m);
enum kv_result index_del_mailbox(struct kv_txn *t, mailbox_id_t id);
/* KEY is user, NUL, name. */
enum kv_result index_subscribe(struct kv_txn *t, struct bytes key, bool is_on);
/* Records that count in the digest of all. */
enum kv_result index_put_counted(struct kv_txn *t, size_t table, struct bytes key, struct bytes value);
enum kv_result index_del_counted(struct kv_txn *t, size_t table, struct bytes key);
/* index_attribute.c. What OF's value is; set or remove it; remove all whose keys begin with PREFIX; count those of one user (empty: the
 * shared ones), up to MOST. */
bool index_decode_attribute(struct bytes key, struct bytes value, struct attribute *of_r);
enum kv_result index_attribute(struct kv_txn *t, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r);
enum kv_result index_put_attribute(struct kv_txn *t, mailbox_id_t mailbox, const struct attribute *of, bool is_set);
enum kv_result index_drop_attributes(struct kv_txn *t, struct bytes prefix);
enum kv_result index_count_attributes(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, struct bytes user, size_t most,
                                      size_t *count_r);
/* What a message adds to its mailbox's digest. */
uint64_t index_message_digest(mailbox_id_t mailbox, const struct message *m);
enum kv_result index_name(struct kv_txn *t, struct bytes name, mailbox_id_t *id_r);
enum kv_result index_message(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, struct message *m_r);
/* The same as index_message(), index_put_message() and index_del_modseq(), quicker for one message behind the other: see kv_get_next(). */
enum kv_result index_message_next(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, struct message *m_r);
enum kv_result index_put_message_here(struct kv_txn *t, mailbox_id_t mailbox, const struct message *m);
enum kv_result index_del_modseq_next(struct kv_txn *t, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid);
bool index_decode_message(struct bytes key, struct bytes value, struct message *m_r);
enum kv_result index_put_message(struct kv_txn *t, mailbox_id_t mailbox, const struct message *m);
/* Messages that were expunged and can be had back, with their reference to the body: in order of mailboxes and UIDs, and of
 * time. index_keep() takes over the reference; index_drop() gives it back. */
enum kv_result index_keep(struct kv_txn *t, mailbox_id_t mailbox, const struct message *m, int64_t time);
enum kv_result index_drop(struct kv_txn *t, mailbox_id_t mailbox, uint32_t uid, uint64_t *freed);
bool index_decode_kept(struct bytes key, struct bytes value, struct message *m_r, int64_t *time_r);
enum kv_result index_put_modseq(struct kv_txn *t, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid, bool is_gone);
enum kv_result index_del_modseq(struct kv_txn *t, mailbox_id_t mailbox, modseq_t modseq, uint32_t uid);
struct index_body {
	uint32_t size;
	uint64_t hash;
	uint32_t refs;
	struct bytes structure;
};
bool index_decode_body(struct bytes value, struct index_body *b_r);
enum kv_result index_body(struct kv_txn *t, lsn_t body, struct index_body *b_r);
bool index_decode_body(struct bytes value, struct index_body *b_r);
enum kv_result index_put_body(struct kv_txn *t, lsn_t body, const struct index_body *b);
/* One reference more or less; the last takes the record away and adds the body's size to *freed. */
/* One that nothing refers to. */
enum kv_result index_drop_body(struct kv_txn *t, lsn_t body, uint64_t *freed);
enum kv_result index_ref_body(struct kv_txn *t, lsn_t body, int by, uint64_t *freed);
enum kv_result index_meta(struct kv_txn *t, const char *key, uint64_t *v_r); /* 0 where not set */
enum kv_result index_put_meta(struct kv_txn *t, const char *key, uint64_t v);
/* The newest EPOCH entry that was applied. NOT_FOUND: none. */
enum kv_result index_reign(struct kv_txn *t, struct store_reign *r_r);
enum kv_result index_put_reign(struct kv_txn *t, const struct store_reign *r);
/* Call FN for the messages of MAILBOX in RANGES (COUNT 0 with IS_ALL: all), in order, until it says false. */
typedef bool index_each_fn(void *arg, const struct message *m);
void index_each(struct kv_txn *t, mailbox_id_t mailbox, const struct uid_range *ranges, size_t count, bool is_all,
                index_each_fn *fn, void *arg);

/* index_quota.c: the root of that very name; the nearest root of a mailbox, there or not. NOT_FOUND: there is none. ROOT and MAILBOX
 * are borrowed by q_r. */
enum kv_result index_quota(struct kv_txn *t, struct bytes root, struct quota *q_r);
enum kv_result index_quota_of(struct kv_txn *t, struct bytes mailbox, struct quota *q_r);
/* Mailbox ID is about to have record M (NULL: none any more): its roots are charged with the difference. */
enum kv_result index_recount(struct kv_txn *t, mailbox_id_t id, const struct mailbox *m);
/* Give ROOT these limits, and make it where it is not there. */
enum kv_result index_set_quota(struct kv_txn *t, struct bytes root, const struct quota_limits *limits);
/* The mailbox FROM is TO now: a root of its name goes with it, unless there is one already. */
enum kv_result index_move_quota(struct kv_txn *t, struct bytes from, struct bytes to);
/* The mailbox NAME is gone: with it go its root and those above, where they have no mailbox left. */
enum kv_result index_tidy_quotas(struct kv_txn *t, struct bytes name);
/* Whether there is a mailbox ROOT, or one below. */
bool index_has_below(struct kv_txn *t, struct bytes root);

/* apply.c: the only writer of the index. False: the transaction can only be aborted. */
bool apply_entry(struct kv_txn *t, const struct entry *e, struct store_changes *changes);
void changes_note(struct store_changes *c, mailbox_id_t mailbox, uint32_t what);

/* store_digest.c: of a record; and what an entry says against what T has. */
uint64_t digest_of(struct bytes key, struct bytes value);
void digest_check(struct store *s, struct kv_txn *t, const struct entry *e);
enum store_result op_digest(struct store *s, struct intent_answer *out);

/* store_room.c: what cannot be written to the index once it is committed ends the process, so a change of very many messages is refused
 * before: whether the disk has room for the change of COUNT (OK or NO_SPACE, which is logged); and for what entry E changes, which counts in the
 * turn from then on. T: the turn's, or NULL: as committed. False with WHY. */
enum store_result index_check_room(struct store *s, uint64_t count);
bool index_has_room_for(struct store *s, struct kv_txn *t, const struct entry *e, struct fault *why);
/* store_turn.c: journal and apply E (its lsn, epoch and committed are filled in) in the present turn. */
enum store_result turn_entry(struct store *s, struct entry *e);
void store_fail(struct store *s, const struct fault *why);
/* Remember the newest EPOCH entry; find it anew. */
void store_note_reign(struct store *s, const struct store_reign *r);
struct store_reign store_reign_of(const struct entry *e);
bool store_find_reign(struct store *s, struct fault *why);
/* store_salvage.c: go on with what a crash has interrupted. */
bool store_salvage_resume(struct store *s, struct fault *why);
/* store_index.c: drop all entries after LSN, applied ones as well: the journal is cut and the index is as it was then. Crash-safe: what is
 * left is the old state, or a cut journal with an index that is made anew at the next opening. OK; NO_SPACE with WHY set: not
 * now, nothing changed; CONFLICT: the index cannot be made as it was then, nothing changed; FAILED: the store is, too. */
enum store_result store_roll_back(struct store *s, lsn_t lsn, struct fault *why);
/* Read entry LSN from the journal into A. */
bool store_read_entry(struct store *s, lsn_t lsn, bool check_body, struct arena *a, struct entry *e_r, struct fault *why);

/* ops_*.c: one function per intent. Results as intent.h says. */
enum store_result op_create(struct store *s, const struct intent_create *in, struct arena *a, struct intent_answer *out);
/* FROM, not 0: a mailbox whose own attributes it has from the beginning. */
enum store_result make_mailbox(struct store *s, const struct intent_create *in, mailbox_id_t from, struct arena *a, struct intent_answer *out);
enum store_result op_delete(struct store *s, const struct intent_delete *in, struct intent_answer *out);
enum store_result op_rename(struct store *s, const struct intent_rename *in, struct arena *a, struct intent_answer *out);
enum store_result op_rename_inbox(struct store *s, const struct intent_rename_inbox *in, struct arena *a,
                                  struct intent_answer *out);
enum store_result op_set_acl(struct store *s, const struct intent_set_acl *in, struct intent_answer *out);
enum store_result op_append(struct store *s, struct intent_append *in, struct intent_answer *out);
enum store_result op_store(struct store *s, const struct intent_store *in, struct arena *a, struct intent_answer *out);
enum store_result op_expunge(struct store *s, const struct intent_expunge *in, struct arena *a, struct intent_answer *out);
enum store_result op_reclaim(struct store *s, const struct intent_reclaim *in, struct arena *a, struct intent_answer *out);
enum store_result op_undelete(struct store *s, const struct intent_undelete *in, struct arena *a, struct intent_answer *out);
/* IS_WHOLE: all attributes go along, whosever they are and however many. */
enum store_result op_copy(struct store *s, const struct intent_copy *in, bool is_move, bool is_whole, struct arena *a,
                          struct intent_answer *out);
enum store_result op_attribute(struct store *s, const struct intent_attribute *in, struct arena *a, struct intent_answer *out);
enum store_result op_subscribe(struct store *s, const struct intent_subscribe *in, bool is_on, struct intent_answer *out);
enum store_result op_set_quota(struct store *s, const struct intent_set_quota *in, struct intent_answer *out);
/* Whether MORE messages' octets, messages and mailboxes fit in the root of mailbox NAME. OK, OVER_QUOTA, FAILED. */
enum store_result check_quota(struct store *s, struct bytes name, const uint64_t more[QUOTA_RESOURCES]);
/* Whether messages that come to OCTETS, COUNT of them, may go from mailbox FROM (empty: from nowhere) to TO, and where WITH_MAILBOX a
 * mailbox with them: what stays in its root is nothing more. The same answers. */
enum store_result check_quota_of_move(struct store *s, struct bytes from, struct bytes to, uint64_t octets, uint64_t count,
                                      bool with_mailbox);
/* Whether a rename may be done. The same answers, and those of find_mailbox(). */
enum store_result check_quota_of_rename(struct store *s, const struct intent_rename *in, struct arena *a);
enum store_result op_salvage(struct store *s, const struct intent_salvage *in, struct arena *a, struct intent_answer *out);
enum store_result op_epoch(struct store *s, const struct intent_epoch *in, struct intent_answer *out);
/* ops_mailbox.c: octets of journal that it needs at most, where there are so many messages. */
uint64_t rename_inbox_cost(const struct intent_rename_inbox *in, uint64_t messages);
/* ops_message.c: a growing set of UIDs that come in ascending order. */
struct uid_list {
	struct arena *a;
	struct uid_range *at;
	size_t count, cap;
	size_t uids;
};
void uid_list_add(struct uid_list *l, uint32_t uid);
/* ops_attribute.c: octets of journal that they take. */
uint64_t attributes_cost(const struct attribute_changes *c);
/* Whether what has no attributes yet can have all these, by their number and their octets. */
bool attributes_fit(const struct attribute_changes *c);
/* Whether the changes can be made to MAILBOX (0: one that is not there yet), but for their number. */
enum store_result attributes_check(struct store *s, mailbox_id_t mailbox, const struct attribute_changes *in, struct arena *a,
                                   struct intent_answer *out);
/* Of what is about to be made: whether the changes can be; and give it to number AT of what E makes. E has room for as many. */
enum store_result attributes_check_new(struct store *s, const struct attribute_changes *in, struct arena *a);
void attributes_add_new(struct entry *e, uint32_t at, const struct attribute_changes *in);
/* Give E, which copies messages from mailbox FROM, what they have. LIMIT: that is more than MOST octets. */
enum store_result attributes_gather(struct store *s, const struct intent_copy *in, mailbox_id_t from, uint64_t most, struct arena *a,
                                    struct entry *e);
/* Give E, which makes a mailbox, what FROM itself has. LIMIT: with those of its messages it is more than a RENAME of INBOX may carry. */
enum store_result attributes_gather_own(struct store *s, mailbox_id_t from, struct arena *a, struct entry *e);
enum store_result op_place(struct store *s, const struct intent_place *in, struct arena *a, struct intent_answer *out);
/* Octets of journal that it needs at most. */
uint64_t place_cost(const struct intent_place *in);
/* ops_message.c: the bits of KEYWORDS in M, whose own must outlive a change of the index (keep_keywords()); unknown ones become the
 * mailbox's by an entry of their own, if CREATE. OK, LIMIT, BAD, FAILED. */
enum store_result keyword_mask(struct store *s, struct mailbox *m, const struct bytes *keywords, size_t count, bool create,
                               uint64_t *mask_r);
void keep_keywords(struct mailbox *m, struct arena *a);
/* STORE_NO_MAILBOX, STORE_FAILED, or OK. */
enum store_result find_mailbox(struct store *s, struct bytes name, struct mailbox *m_r);
enum store_result result_of_kv(enum kv_result r);

/* Bring the index up to LSN from the journal; in pieces of transactions. OK; BAD: an entry does not fit what is there; FAILED. */
enum store_result store_apply_to(struct store *s, lsn_t lsn, size_t max_entries, struct store_changes *changes,
                                 struct fault *why);
bool store_open_kv(struct store *s, const struct store_options *o, bool is_reader, struct fault *why);

/* store_index.c: have the index open, of this format, and caught up with what is known committed: as it is if it can be
 * trusted, else made anew from the newest whole checkpoint and the journal. */
bool store_recover_index(struct store *s, const struct store_options *o, struct fault *why);
/* "index.boot": the index is in use, or IS_CLEAN: synced. */
bool store_mark_index(const char *dir, bool is_clean, struct fault *why);
/* Take the mark away for good: whoever opens the index next makes it anew. */
bool store_distrust_index(const char *dir, struct fault *why);
/* store_tool.c: the partition for reading only, beside whoever has it open. *t_r (NULL allowed) is a snapshot of the index, older
 * than the journal's view; applied is its LSN. */
struct store *store_open_reader(const struct store_options *o, struct kv_txn **t_r, struct fault *why);
void store_close_reader(struct store *s);
/* store_incoming.c: remove DIR with what is in it, to DEPTH below; nothing is there: true. */
bool store_remove_tree(const char *dir, int depth, struct fault *why);
/* store_checkpoint.c: what a checkpoint of snapshot T says first. The caller frees h_r->epochs and *texts_r. false: damaged. */
bool store_checkpoint_head(struct store *s, struct kv_txn *t, struct checkpoint_head *h_r, char **texts_r);
/* store_checkpoint.c: what is there already, at the store's opening. */
void store_note_checkpoints(struct store *s);
void store_checkpoint_drop(struct store *s);
/* store_compact.c */
void store_compaction_drop(struct store *s);
bool store_is_compacting(const struct store *s);
/* Remove what one that was broken off has left. */
void store_compaction_tidy(const struct store *s);
/* store_incoming.c: take a finished copy in the old partition's place, and remove what is left over of one. */
bool store_take_incoming(const char *dir, struct fault *why);
/* Set store_floor(). */
bool store_read_floor(struct store *s, struct fault *why);
/* A file that holds an LSN in decimal; a missing one is 0. */
bool store_read_lsn(const char *path, lsn_t *lsn_r, struct fault *why);
bool store_write_lsn(const char *path, lsn_t lsn, struct fault *why);
/* store_restored.c: the partition in DIR is from a backup, up to LSN; or it is not. Read it, once the index is open. */
bool store_mark_restored(const char *dir, lsn_t lsn, struct fault *why);
bool store_unmark_restored(const char *dir, struct fault *why);
bool store_read_restored(struct store *s, struct fault *why);
/* store_view.c: the snapshot that V reads. */
struct kv_txn *store_view_txn(const struct store_view *v);
/* The next reign must give all mailboxes a new UIDVALIDITY. */
bool store_must_renew(const struct store *s);

#endif
