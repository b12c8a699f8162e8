/* verb_args.h - what follows a verb: -C FILE or --murder DIR, --json, and plain words. */
#ifndef ROOST_VERB_ARGS_H
#define ROOST_VERB_ARGS_H

#include "config.h"

#define VERB_WORDS_MAX 64

struct verb_args {
	const char *verb;
	const char *words[VERB_WORDS_MAX];
	size_t count;
	bool is_json;
	bool is_meant; /* --yes */
	bool has_rate;
	uint64_t rate; /* octets a second */
	bool is_verify;
	const char *from; /* NULL: not given */
	uint64_t lsn;     /* 0: not given */
	bool is_exact;    /* --exact */
	const char *since, *uids; /* NULL: not given */
	bool is_list;
	struct config *config; /* owned */
};

/* What a verb takes beside its words. */
enum verb_takes {
	VERB_CONFIG = 1, /* -C FILE */
	VERB_MURDER = 2, /* --murder DIR: DIR/cli.conf; the default where neither is given is ~/roost-murder, else /etc/roost.conf */
	VERB_JSON = 4,
	VERB_YES = 256, /* --yes */
	VERB_RATE = 8, /* --rate OCTETS, with an optional K, M or G */
	VERB_VERIFY = 16, /* --verify: no configuration is read then */
	VERB_FROM = 32, /* --from DIR, --lsn N, --exact */
	VERB_UNDELETE = 64, /* --since TIME, --uid SET, --list */
};

/* Read ARGV and the configuration it leads to. LEAST..MOST: how many words. Returns 0, or the exit status after printing
 * why; USAGE is printed behind "usage: roost VERB ". The caller ends with verb_args_fini() in either case. */
int verb_args_read(struct verb_args *a, int argc, char **argv, unsigned takes, size_t least, size_t most,
                   const char *usage);
void verb_args_fini(struct verb_args *a);
/* The partition of a member, by its configuration. False with WHY: it is not one of a backend. */
struct store_options;
bool verb_store_options(const struct config *c, struct store_options *o, struct fault *why);
/* Print "roost VERB: WHY" on standard error; returns 1. */
int verb_failed(const char *verb, const struct fault *why);

#endif
