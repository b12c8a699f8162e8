/* config.h - the configuration file: the syntax of imapd.conf ("key: value", '#' starts a comment line), one table of
 * every key with its type and default (config_keys.c), checked whole when read.
 *
 * An unknown key, a value of the wrong type or out of range, or a key given twice is a fault that names file, line and
 * (for an unknown key) the nearest known one. A struct config never changes after config_read(): any thread may read it. */
#ifndef ROOST_BASE_CONFIG_H
#define ROOST_BASE_CONFIG_H

#include "bytes.h"
#include "fault.h"

enum config_type {
	CONFIG_STRING, /* the rest of the line, trimmed */
	CONFIG_WORDS,  /* words separated by white space */
	CONFIG_NUMBER, /* decimal within MIN..MAX, with an optional K, M or G (powers of 1024) behind it */
	CONFIG_SWITCH, /* yes/no, true/false, on/off, 1/0 */
	CONFIG_CHOICE, /* one of the words in CHOICES */
};

struct config_key {
	const char *name; /* a trailing '-' makes it a family: "partition-" takes partition-NAME */
	enum config_type type;
	const char *preset; /* default, as it would be written; NULL: none (empty) */
	uint64_t min, max;
	const char *choices; /* separated by spaces */
	const char *help;    /* one sentence, for docs/operations.md */
};

/* Every key there is, ended by a NULL name. */
extern const struct config_key config_keys[];

struct config;

/* Read PATH. Returns NULL with WHY set. The caller frees with config_free(). */
struct config *config_read(const char *path, struct fault *why);
/* The same from TEXT; PATH is for messages. */
struct config *config_parse(struct bytes text, const char *path, struct fault *why);
void config_free(struct config **c);

/* The file's path, lent for the life of C. */
const char *config_path(const struct config *c);
/* Whether the file itself sets KEY. */
bool config_is_set(const struct config *c, const char *key);
/* The value, else the default, else NULL (string) or 0. Asking for a key not in the table, or as another type than the
 * table's, is our bug and ends the process. Strings are lent for the life of C. */
const char *config_string(const struct config *c, const char *key);
uint64_t config_number(const struct config *c, const char *key);
bool config_switch(const struct config *c, const char *key);
/* Whether WORD is among the words of KEY. */
bool config_has_word(const struct config *c, const char *key, struct bytes word);
/* Word I of KEY; false past the last. */
bool config_word(const struct config *c, const char *key, size_t i, struct bytes *word_r);
/* Member I of a family such as "partition-": its NAME and value; false past the last. In the file's order. */
bool config_family(const struct config *c, const char *family, size_t i, const char **name_r, const char **value_r);
/* A fault about KEY: "FILE: line N: KEY: ..." (or without a line where only the default stands). Returns false. */
bool config_fault(const struct config *c, const char *key, struct fault *why, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
