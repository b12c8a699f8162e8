/* store_tool.h - what operators do with a partition from the command line: dump, verify, rebuild. */
#ifndef ROOST_STORE_TOOL_H
#define ROOST_STORE_TOOL_H

#include <stdio.h>

#include "store.h"

/* Print the partition's logical content at the last commit to OUT: sorted text, byte-identical on members at one LSN
 * (docs/formats.md "Dump"). Also while a daemon has it open. false with WHY set. */
bool store_dump(const struct store_options *options, FILE *out, struct fault *why);
/* The same of an open store. Any thread. */
bool store_dump_open(struct store *s, FILE *out, struct fault *why);

/* Call FN with every mailbox of the partition in the order of names; also while a daemon has it open. false with WHY set. */
typedef void store_mailbox_fn(void *arg, struct bytes name, struct bytes partition, struct bytes acl);
bool store_each_mailbox(const struct store_options *options, store_mailbox_fn *fn, void *arg, struct fault *why);

/* Check every checksum of the journal and every invariant of the index; each finding is a line on OUT. Also while a daemon
 * has it open (then up to the last commit). *problems_r is the number of findings; "ok: ..." with counts is printed where
 * there is none. false with WHY set: it could not be checked at all. */
bool store_verify(const struct store_options *options, FILE *out, uint64_t *problems_r, struct fault *why);

/* Throw the index away and make it anew from the journal, up to the last entry known committed; prints what it did.
 * Then verify. No daemon has the partition open. false with WHY set, also where it is made but something is wrong. */
bool store_rebuild(const struct store_options *options, FILE *out, struct fault *why);

/* Move what a member has in DIR, its journal and index, to a new directory below it, whose name is *aside_r (the caller frees), once
 * CONFIRM says so; it is called while no daemon can start. false with WHY: a daemon runs, CONFIRM said no (its WHY), nothing is
 * there, or the disk. */
typedef bool store_confirm_fn(void *arg, struct fault *why);
bool store_set_aside(const char *dir, store_confirm_fn *confirm, void *arg, char **aside_r, struct fault *why);

#endif
