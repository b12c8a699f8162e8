/* dir_change.h - one change of the directory and how it is decided, whatever store holds the records. */
#ifndef ROOST_DIRECTORY_DIR_CHANGE_H
#define ROOST_DIRECTORY_DIR_CHANGE_H

#include "arena.h"
#include "kv.h"
#include "record.h"
#include "reign.h"

enum change_kind {
	CHANGE_RECORD, /* RESERVE, ACTIVATE, DEACTIVATE, DELETE */
	CHANGE_REIGN,  /* XREIGN: compare-and-swap */
	CHANGE_FIRST_REIGN, /* only if there is none yet */
	CHANGE_NONE,        /* FIND, where only the store knows for sure what is so now */
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
	struct reign wanted; /* of a change of configuration */
	bool may_be_done;    /* it was tried before and nobody knows with what success */

	bool is_ok;
	const char *text;   /* of the answer; in the arena or fixed */
	bool is_changed;
	bool is_move;
	bool is_ignored; /* of a member that is not master: answered positively, and nothing changed */
	struct record before, after; /* of a changed record (ACL of BEFORE is not kept); of CHANGE_NONE: AFTER is what is */
	struct reign reign;          /* of a change of configuration: the one in force after it */
};

struct change *change_new(enum change_kind kind);
void change_free(struct change **c);
/* A record that has become AFTER, was BEFORE, or a server's configuration that has become REIGN: what followers are
 * told, with nobody waiting for an answer. */
struct change *change_of_record(struct bytes name, const struct record *before, const struct record *after);
struct change *change_of_reign(struct bytes server, const struct reign *reign);

/* What a decision reads and writes; each KV_OK, or what went wrong. What is got is lent until the next put. */
struct dir_view {
	enum kv_result (*get_record)(void *at, struct bytes name, struct record *record_r);
	/* Which server deleted the last record of NAME; empty: not known. */
	enum kv_result (*get_deleted_by)(void *at, struct bytes name, struct bytes *server_r);
	/* A record of RECORD_NONE removes; it was DELETED_BY that server. */
	enum kv_result (*put_record)(void *at, struct bytes name, const struct record *record, struct bytes deleted_by);
	enum kv_result (*get_reign)(void *at, struct bytes server, struct reign *reign_r);
	enum kv_result (*put_reign)(void *at, struct bytes server, const struct reign *reign);
};

/* Decide C on what V shows at AT, put what it changes, and fill its outcome. May be called again for the same change,
 * when what it read has changed meanwhile. */
enum kv_result change_decide(const struct dir_view *v, void *at, struct change *c);
/* The outcome where it cannot be decided. */
void change_refuse(struct change *c, const char *text);

#endif
