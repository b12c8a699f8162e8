/* fulltext.h - an index of texts by what they contain: which texts of a scope may hold a given string. SQLite's FTS5 with its trigram
 * tokenizer; the only home of sqlite3.h.
 *
 * A text is the header or the body's content of a body (a number that the caller gives), which belongs to a scope. What is asked comes back as a superset: every
 * text that holds the string is among the hits, some that do not may be, too: whoever asks looks at them. Texts and strings are
 * UTF-8, folded as the caller pleases, but both alike. Beside the texts it keeps, for each mailbox, its scope and up to which UID all
 * its messages are in; both change in one transaction.
 *
 * Each page of the file has a hash: what a disk has changed is FULLTEXT_DAMAGED, not a hit that is missing. A crash of the process or
 * the machine leaves what was committed, or, after a loss of power, what was some commits ago. Format: docs/formats.md "Search index".
 *
 * One writer (struct fulltext), on one thread; beside it any number of readers, each used by one thread at a time. */
#ifndef ROOST_FULLTEXT_H
#define ROOST_FULLTEXT_H

#include "bytes.h"
#include "fault.h"

/* Characters that a string has at least. */
#define FULLTEXT_KEY_MIN 3

enum fulltext_result {
	FULLTEXT_OK,
	FULLTEXT_NO_SPACE, /* the disk is full; nothing changed, reading goes on */
	FULLTEXT_DAMAGED,  /* the file is not what was written, or of another format: to be made anew */
	FULLTEXT_FAILED,   /* anything else */
};

/* What a body has; bits of KINDS. */
enum fulltext_kind { FULLTEXT_HEADER = 1 << 0, FULLTEXT_BODY = 1 << 1 };

struct fulltext_mailbox {
	uint32_t scope;
	uint32_t next; /* all messages below this UID are in; 1: none */
};

/* What is kept of the whole. */
enum fulltext_fact {
	FULLTEXT_LSN,     /* the newest state of which anything is in */
	FULLTEXT_EPOCH,   /* of the entry of that LSN */
	FULLTEXT_CURRENT, /* 1: it has once had everything that there was */
	FULLTEXT_TEXTS,   /* how many texts it had then */
	FULLTEXT_BODIES,  /* of how many bodies */
	FULLTEXT_FACTS,
};

struct fulltext;

/* Open the file at PATH to write, or make it. Any failure of what follows is remembered: the first one is what fulltext_end() says.
 * OK; else *f_r is NULL and WHY set. */
enum fulltext_result fulltext_open(const char *path, struct fulltext **f_r, struct fault *why);
/* No transaction is open. NULL is allowed. */
void fulltext_close(struct fulltext **f);

/* Bodies that are in, those that are gone as well. */
uint64_t fulltext_texts(const struct fulltext *f);
/* As last committed, or set since. */
uint64_t fulltext_fact(const struct fulltext *f, enum fulltext_fact fact);

/* One transaction at a time. Within it, false: it failed, and can only be ended. */
bool fulltext_begin(struct fulltext *f);
/* The number of scope NAME, a new one if need be. */
bool fulltext_scope(struct fulltext *f, struct bytes name, uint32_t *scope_r);
/* m_r->next is 0 where it is not known. Also outside of a transaction. */
bool fulltext_mailbox(struct fulltext *f, uint64_t mailbox, struct fulltext_mailbox *m_r);
bool fulltext_put_mailbox(struct fulltext *f, uint64_t mailbox, const struct fulltext_mailbox *m);
/* Also outside of a transaction. */
bool fulltext_has(struct fulltext *f, uint32_t scope, uint64_t body, bool *has_r);
/* Add BODY to SCOPE, in which it is not yet: *row_r is for its texts. */
bool fulltext_add(struct fulltext *f, uint32_t scope, uint64_t body, int64_t *row_r);
/* Its text of KIND, one of each. Of one that is not IS_WHOLE nothing is known but what is in TEXT: it is among the hits of every string.
 * In one transaction scopes ascend, and within a scope all of kind HEADER come before all of kind BODY, both in the order in which
 * they were added; else it is slow. */
bool fulltext_add_text(struct fulltext *f, int64_t row, enum fulltext_kind kind, struct bytes text, bool is_whole);
bool fulltext_set_fact(struct fulltext *f, enum fulltext_fact fact, uint64_t value);
/* End it, keeping its changes if nothing failed and IS_KEPT. WHY is set unless OK. Outside of a transaction: what failed. */
enum fulltext_result fulltext_end(struct fulltext *f, bool is_kept, struct fault *why);
/* Where the log has become long, bring it into the file, with a sync before and after. No transaction is open; takes as long as the
 * disk does. */
enum fulltext_result fulltext_checkpoint(struct fulltext *f, struct fault *why);

struct fulltext_reader;

enum fulltext_result fulltext_reader_open(const char *path, struct fulltext_reader **r_r, struct fault *why);
void fulltext_reader_close(struct fulltext_reader **r);
/* A snapshot in which MAILBOX is as *m_r says (next 0: nothing of it is in), until fulltext_read_end(). */
enum fulltext_result fulltext_read_begin(struct fulltext_reader *r, uint64_t mailbox, struct fulltext_mailbox *m_r, struct fault *why);
void fulltext_read_end(struct fulltext_reader *r);

struct fulltext_hits {
	uint64_t *bodies; /* ascending, each once; the caller frees */
	size_t count;
	bool is_over; /* there are more than were asked for: nothing is known */
};
/* Whether KEY can be asked for: long enough, and without NUL. */
bool fulltext_may_ask(struct bytes key);
/* Bodies of SCOPE whose texts of KINDS may hold KEY, at most LIMIT texts. hits_r is empty unless OK. */
enum fulltext_result fulltext_find(struct fulltext_reader *r, uint32_t scope, unsigned kinds, struct bytes key, size_t limit,
                                   struct fulltext_hits *hits_r, struct fault *why);

#endif
