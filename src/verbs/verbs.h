/* verbs.h - the command line's verbs that are not roles. Each does its one thing and returns the process's exit status:
 * 0 done, 1 it failed (one line on standard error says why and what to do), 2 usage.
 *
 * ARGV[0] is the verb, as in main's argv + 1. Main thread only. */
#ifndef ROOST_VERBS_H
#define ROOST_VERBS_H

#define EXIT_USAGE 2

/* `roost murder`: a whole murder on this machine under one supervisor. */
int verb_murder(int argc, char **argv);
/* `roost status`: servers, members, roles, epochs, in-sync sets, lag, frontends. */
int verb_status(int argc, char **argv);
/* `roost promote SERVER MEMBER`, `roost failover SERVER`: orderly hand-over. */
int verb_promote(int argc, char **argv);
int verb_failover(int argc, char **argv);
/* `roost mailbox list|find|check`: the directory as seen from here. */
int verb_mailbox(int argc, char **argv);
/* `roost user add|passwd|del NAME`: the credential file. */
int verb_user(int argc, char **argv);
/* `roost dump|verify|rebuild`: a member's partition. */
int verb_dump(int argc, char **argv);
int verb_verify(int argc, char **argv);
int verb_rebuild(int argc, char **argv);
/* `roost backup DIR`, `roost restore --from DIR`: copies of a member's partition. */
int verb_backup(int argc, char **argv);
int verb_restore(int argc, char **argv);
/* `roost resync`: have a stopped member take everything anew from the master. */
int verb_resync(int argc, char **argv);
/* `roost reindex`: have the search index made anew. */
int verb_reindex(int argc, char **argv);
/* `roost undelete MAILBOX`: expunged messages that are kept. */
int verb_undelete(int argc, char **argv);
/* `roost salvage list|show|apply|discard|take`: what a member acknowledged alone and the master could not take. */
int verb_salvage(int argc, char **argv);

#endif
