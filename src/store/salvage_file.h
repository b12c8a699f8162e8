/* salvage_file.h - the files of a partition's salvage/ directory (docs/formats.md, "Salvage"):
 *
 *	EPOCH-LSN.suffix	the entries from LSN on, of EPOCH first, while they are being put aside
 *	EPOCH-LSN.items		what they came to; kept until each item is merged or discarded
 *	EPOCH-LSN.state		what came of each item
 *	EPOCH-LSN.asked		what an operator has decided, until the member has taken it in
 *	wanted			a mark, see salvage_want()
 *
 * EPOCH and LSN in decimal digits. Files appear whole, by a rename. One process writes .suffix, .items and .state: the one
 * that has the partition open. */
#ifndef ROOST_STORE_SALVAGE_FILE_H
#define ROOST_STORE_SALVAGE_FILE_H

#include "journal.h"
#include "salvage.h"

struct salvage_name {
	epoch_t epoch;
	lsn_t first; /* of the suffix */
};
#define SALVAGE_NAME_TEXT 48
/* "EPOCH-LSN" */
void salvage_name_text(struct salvage_name name, char to[SALVAGE_NAME_TEXT]);
/* The names of all files in DIR whose kind is EXTENSION (".items"), by LSN; freed by the caller. A directory that is not
 * there holds none. NULL with WHY: it cannot be read. */
struct salvage_name *salvage_names(const char *dir, const char *extension, size_t *count_r, struct fault *why);

/* A suffix, mapped. */
struct salvage_suffix {
	struct salvage_name name;
	lsn_t last;
	const uint8_t *map;
	size_t size;
};
/* Put the entries NAME.first..LAST of J aside, whatever was begun before of the same. */
bool salvage_suffix_write(const char *dir, struct salvage_name name, struct journal *j, lsn_t last, struct fault *why);
bool salvage_suffix_open(const char *dir, struct salvage_name name, struct salvage_suffix *x_r, struct fault *why);
void salvage_suffix_close(struct salvage_suffix *x);
/* Walk: *at_r is 0 before the first. The entry's bytes are the map's, its lists live in A. False with *is_over_r, or WHY. */
bool salvage_suffix_next(const struct salvage_suffix *x, size_t *at, struct arena *a, struct entry *e_r, bool *is_over_r,
                         struct fault *why);
bool salvage_suffix_remove(const char *dir, struct salvage_name name, struct fault *why);

/* Write .items. COUNT is not 0. */
bool salvage_items_write(const char *dir, struct salvage_name name, lsn_t last, const struct salvage_item *items, size_t count,
                         struct fault *why);

enum salvage_state {
	SALVAGE_IS_PENDING,   /* to be sent to the master */
	SALVAGE_IS_MERGED,    /* at the master */
	SALVAGE_IS_KEPT,      /* for a reason; an operator decides */
	SALVAGE_IS_FORCED,    /* pending, by an operator's decision */
	SALVAGE_IS_DISCARDED, /* by an operator's decision */
};

/* One .items file with its states. */
struct salvage_file;
/* NULL with WHY: missing, damaged. */
struct salvage_file *salvage_file_open(const char *dir, struct salvage_name name, struct fault *why);
void salvage_file_close(struct salvage_file **f);
struct salvage_name salvage_file_name(const struct salvage_file *f);
size_t salvage_file_count(const struct salvage_file *f);
/* Item I; lists live in A, bytes in the file. False with WHY: its checksum is wrong. */
bool salvage_file_item(const struct salvage_file *f, size_t i, struct arena *a, struct salvage_item *item_r, struct fault *why);
/* Octets of item I, its body included. */
uint64_t salvage_file_item_size(const struct salvage_file *f, size_t i);
/* What has become of an item. */
struct salvage_fate {
	enum salvage_state state;
	enum salvage_outcome outcome; /* KEPT: why */
	lsn_t lsn;                    /* MERGED: done once this entry, of EPOCH, is here, too */
	epoch_t epoch;
};
struct salvage_fate salvage_file_fate(const struct salvage_file *f, size_t i);
void salvage_file_set(struct salvage_file *f, size_t i, const struct salvage_fate *fate);
/* Bring the states to the disk, if they have changed. */
bool salvage_file_save(struct salvage_file *f, struct fault *why);
/* Every item is merged or discarded: remove the files. */
bool salvage_file_remove(struct salvage_file *f, struct fault *why);

/* A mark: an operator wants the next start of the member to put aside what the master lacks, also in synchronous mode. */
bool salvage_want(const char *dir, struct fault *why);
bool salvage_is_wanted(const char *dir);
void salvage_want_no_more(const char *dir);

/* An operator's decision on item I, added to those that wait; any process. Then the member takes them in: FN gets each.
 * salvage_file_take_asked() is cheap where there are none. */
struct salvage_decision {
	uint64_t item;
	bool is_apply; /* else discard */
};
bool salvage_file_ask(const char *dir, struct salvage_name name, const struct salvage_decision *decisions, size_t count,
                      struct fault *why);
/* The decisions that wait become states, saved. */
bool salvage_file_take_asked(struct salvage_file *f, struct fault *why);

#endif
