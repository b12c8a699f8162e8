/* dir_writer.h - the thread that writes: it takes all waiting changes, makes them in one durable transaction, and only
 * then has them answered and told to followers. */
#ifndef ROOST_DIRECTORY_DIR_WRITER_H
#define ROOST_DIRECTORY_DIR_WRITER_H

#include "arena.h"
#include "kv.h"
#include "loop.h"
#include "record.h"
#include "reign.h"

enum change_kind {
	CHANGE_RECORD, /* RESERVE, ACTIVATE, DEACTIVATE, DELETE */
	CHANGE_REIGN,  /* XREIGN: compare-and-swap */
	CHANGE_FIRST_REIGN, /* only if there is none yet */
	CHANGE_FORCE_REIGN, /* hand a server whose members do not join to another of them */
};

/* One change; made by a session, filled by the writer, freed by change_free(). All bytes are in its arena. */
struct change {
	struct change *next;
	struct arena arena;
	uint64_t session; /* id of who asked; 0: nobody waits */
	struct bytes tag;
	enum change_kind kind;

	enum record_command command;
	struct bytes name, location, acl;
	struct bytes server; /* whose member (or account) asks; lower-cased; empty: an administrator */
	struct bytes member; /* which member; empty: not told apart, all may write */

	uint64_t asked_epoch;
	struct reign reign; /* wanted; after the commit of a change of configuration: the one in force */

	bool is_ok;
	const char *text; /* of the answer; in the arena or fixed */
	bool is_changed;
	bool is_move;
	struct record before, after; /* of a changed record; ACL of BEFORE is not kept */
};

struct change *change_new(enum change_kind kind);
void change_free(struct change **c);

struct dir_writer;

/* Called on L with a chain of changes that are decided and durable (or refused), in the order in which they were made;
 * the callee frees each. */
typedef void changes_done_fn(void *arg, struct change *first);

struct dir_writer *dir_writer_start(struct kv *kv, struct loop *l, changes_done_fn *done, void *arg, struct fault *why);
/* Give a change. Any thread. */
void dir_writer_submit(struct dir_writer *w, struct change *c);
/* Finish what was given, end the thread and free. Sets *W to NULL; NULL is allowed. Posts to the loop may still come. */
void dir_writer_stop(struct dir_writer **w);
/* Durable commits, and changes in them, since the start. Any thread. */
void dir_writer_counts(const struct dir_writer *w, uint64_t *commits_r, uint64_t *changes_r);

#endif
