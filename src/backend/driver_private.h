/* driver_private.h - the engine's inside. Everything is the writer thread's, but for what says otherwise. */
#ifndef ROOST_BACKEND_DRIVER_PRIVATE_H
#define ROOST_BACKEND_DRIVER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "conn.h"
#include "driver.h"
#include "listener.h"
#include "map.h"
#include "pace.h"
#include "progress.h"
#include "replica.h"
#include "sasl.h"
#include "store_copy.h"

struct link;
struct salvager;

enum { DRIVER_EVENTS_MAX = 4096 };

struct peer {
	char name[REPLICA_NAME_MAX + 1];
	char *address; /* of its sync port */
	struct link *link; /* authenticated; NULL: none */
	/* A copy that was broken off, and until when it may be gone on with. */
	struct store_source *kept;
	uint64_t kept_until_ms;
	uint64_t give_not_before_ms;
	struct progress lag; /* as entries; since it was none LAG_TOTAL at most */
	uint64_t lag_total;
};

/* Commands and queries for the flusher thread, under its lock. */
struct flusher {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, done;
	bool is_asked, is_done, is_stopping;
};

/* The thread for what may take long; JOB and IS_STOPPING under its lock, the rest the writer's loop's. */
enum keeper_job { KEEPER_IDLE, KEEPER_CHECKPOINT, KEEPER_COMPACTION };
struct keeper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	enum keeper_job job;
	bool is_stopping; /* set on the loop */

	enum keeper_job running; /* begun and not yet ended */
	enum keeper_job last;    /* that was begun */
	bool wants_checkpoint;   /* as soon as may be, for a member that has to take a copy */
	uint64_t began_ns;
	uint64_t not_before_ms[3]; /* of each job, after it failed */
};

enum { SCRUB_FOUND_MAX = 64, GIVEN_UP_MAX = 64 };

/* Reading the journal through. While is_running what is above the line is the pool's. */
struct scrub {
	lsn_t next;
	struct buffer raw;
	uint64_t piece; /* octets of the last piece */
	lsn_t found[SCRUB_FOUND_MAX];
	size_t found_count;
	bool is_over; /* the pass */

	bool is_running;
	struct pace pace;
	uint64_t due_ms, began_ms, pass_octets, pass_found;
	atomic_uint_fast64_t lsn, octets, passes; /* read last; all since the start */
};

struct driver {
	char *addresses[4]; /* of the options: copies */
	struct driver_options o;
	const char *server, *member, *partition;
	char *location; /* "server!partition" */
	struct loop *loop;
	struct loops loops; /* just that one */
	struct timer *ticker;
	struct listener *sync;

	struct replica *core;
	struct replica_actions actions;
	bool is_stepping;
	struct replica_event *queue; /* events that came up while stepping: without foreign memory */
	size_t queue_count;
	const struct peer_message *message; /* of the event at hand, for ACTION_FOLLOW */
	size_t message_peer;

	size_t self, count;
	struct peer peers[REPLICA_MEMBERS_MAX];
	int connect_to; /* -1: nobody */
	struct link *dialled; /* being set up */
	struct list callers; /* who has not authenticated yet */
	struct timer *redial;
	uint64_t redial_ms;
	bool has_refused; /* an entry of the master's, for want of room */

	struct list waiting; /* struct driver_request */
	bool is_gate_open;
	bool wants_epoch;
	uint64_t digest_due_ms;
	struct intent digest_intent;
	struct intent epoch_intent;
	char epoch_master[REPLICA_NAME_MAX + 1], epoch_in_sync[REPLICA_MEMBERS_MAX * (REPLICA_NAME_MAX + 1)];
	bool is_turn_open;
	struct list in_turn;
	lsn_t turn_first, turn_last;
	struct arena turn_arena;

	struct flusher flusher;
	struct keeper keeper;
	struct expunged *expunged;
	struct scrub scrub;
	struct list mendings; /* struct mending */
	size_t mending_count, serving_count;
	struct given_up {
		lsn_t lsn;
		uint64_t until_ms;
	} given_up[GIVEN_UP_MAX]; /* a ring */
	size_t given_up_next;
	bool is_flushing;
	lsn_t apply_to; /* follower: committed by the master */
	bool is_applying; /* the next piece is posted */

	bool is_async;
	struct salvager *salvager; /* NULL before the start and after the end */
	struct list merges; /* of others' items, and of our own */
	uint64_t merging;   /* their octets */
	struct take *take;
	unsigned gives;    /* jobs of driver_give.c under way */
	bool is_replacing; /* the partition is closed and opened anew: nothing of it may be touched */

	struct mupdate_client *directory;
	bool is_joined, wants_join; /* to join when it is open again */
	uint64_t ask_epoch;
	struct map listed; /* name -> struct listed: the directory's list while it comes */
	bool is_comparing;
	bool was_serving;
	struct store_stats stats; /* of the last look */
	uint64_t paced_until_ns; /* copy_rate is used up until then */

	bool is_stopping, is_closed;
	bool has_given_up; /* the disk failed, the process was told to end */
	uint64_t stop_ms;

	/* For other threads. */
	atomic_uint_fast64_t act_until; /* driver_may_serve(): 0: not, UINT64_MAX: while the process lives */
	atomic_bool is_ready;
	atomic_uint_fast64_t turns, turned, conflicts;
	atomic_uint_fast64_t damaged, mended, not_mended; /* entries: once for each time that one is named */
	atomic_uint_fast64_t copied; /* octets given in copies */
	pthread_mutex_t lock; /* guards what is below */
	pthread_cond_t no_readers;
	unsigned readers; /* pool threads that read the partition */
	struct map busy_names; /* name -> count, as a pointer */
	struct buffer status, metrics;
};

void driver_event(struct driver *d, const struct replica_event *ev);
/* An event of TYPE with LSN and EPOCH. */
void driver_tell(struct driver *d, enum replica_event_type type, uint64_t lsn, uint64_t epoch);
/* An event of TYPE, START or COPIED, with what the journal holds. */
void driver_journal_is(struct driver *d, enum replica_event_type type);
void driver_answer(struct driver_request *r);
void driver_words(const struct driver *d, member_set_t set, char *to, size_t size);

/* driver_status.c */
/* Make the figures anew. */
void driver_status_refresh(struct driver *d);

/* driver_turn.c */
void driver_turn(struct driver *d);
/* End the process in order: nothing can be assumed of what is on the disk, and whoever starts us anew recovers from what is there.
 * Once: a second signal would end it before it has closed. */
void driver_give_up(struct driver *d);
void driver_turn_commit(struct driver *d, lsn_t lsn);
void driver_turn_abort(struct driver *d);
void driver_fail_waiting(struct driver *d);
/* Have everything that was appended flushed before the journal is changed or read otherwise, or the flusher stopped. */
void driver_flush_wait(struct driver *d);
void driver_follow(struct driver *d);
void driver_apply(struct driver *d, lsn_t lsn);
void driver_truncate(struct driver *d, lsn_t lsn);
void driver_save(struct driver *d, lsn_t lsn);
bool driver_flusher_start(struct driver *d, struct fault *why);
void driver_flusher_stop(struct driver *d);

/* driver_expunged.c */
void driver_expunged_tick(struct driver *d);
void driver_expunged_free(struct driver *d);

/* driver_keeper.c */
bool driver_keeper_start(struct driver *d, struct fault *why);
/* What it runs ends soon and is dropped. Not on the writer's loop, which goes on running. */
void driver_keeper_stop(struct driver *d);
/* See what is to be done, and begin it. */
void driver_keeper_tick(struct driver *d);

/* driver_stream.c */
/* copy_rate: whether more may be read for who is behind; and that so much was. */
bool driver_pace_allows(const struct driver *d);
void driver_pace_note(struct driver *d, uint64_t octets);
/* A pool thread reads the partition: begin on the loop, end on the thread. */
void driver_reader_begin(struct driver *d);
void driver_reader_end(struct driver *d);
/* Before the journal is cut or closed. */
void driver_wait_readers(struct driver *d);
bool driver_has_readers(struct driver *d);

/* driver_give.c */
/* ACTION_GIVE: offer PEER, whose journal is ours up to COMMON, a copy. */
void driver_give(struct driver *d, size_t peer, lsn_t common);
void driver_give_tick(struct driver *d);
/* What is kept for PEER, who goes on with the copy or needs none, is let go. */
void driver_give_forget(struct driver *d, size_t peer);
bool driver_give_is_idle(const struct driver *d);
/* Entries from this LSN on are wanted by who takes a copy or follows now; 0: none are. */
lsn_t driver_give_hold(const struct driver *d);
/* "copy" of a peer's JSON object, if one is given. */
void driver_give_status(const struct driver *d, size_t peer, struct buffer *to);

/* driver_take.c */
void driver_take_open(struct driver *d);
void driver_take_free(struct driver *d);
/* ACTION_TAKE: take the copy that PEER's OFFER names. */
void driver_take(struct driver *d, size_t peer, const struct peer_message *offer);
/* See whether one that is here can be put in place. */
void driver_take_tick(struct driver *d);
/* One is here and not in place: nobody is dialled. */
bool driver_take_is_waiting(const struct driver *d);
/* After one that did not fit: whether there is as much room as is lacking. */
bool driver_take_has_room(const struct driver *d);
/* The directory's word while one is put in place, for later. */
void driver_take_keep_reign(struct driver *d, uint64_t epoch, struct bytes master, struct bytes in_sync);
/* "copy" of the status, if one is taken; octets that are to come. */
void driver_take_status(const struct driver *d, struct buffer *to);
uint64_t driver_take_left(const struct driver *d);

/* driver_mend.c */
/* false: M is none of these. */
bool driver_mend_message(struct driver *d, size_t peer, const struct peer_message *m);
void driver_mend_tick(struct driver *d);
void driver_mend_close(struct driver *d);

/* driver_scrub.c */
void driver_scrub_init(struct driver *d);
void driver_scrub_fini(struct driver *d);
void driver_scrub_tick(struct driver *d);

/* driver_sync.c */
bool driver_sync_open(struct driver *d, struct fault *why);
void driver_sync_close(struct driver *d);
void driver_sync_connect(struct driver *d, int peer);
void driver_sync_disconnect(struct driver *d, size_t peer);
void driver_sync_send(struct driver *d, size_t peer, const struct peer_message *m);
/* The same with RAW and then BODY behind it. */
void driver_sync_send_with(struct driver *d, size_t peer, const struct peer_message *m, struct bytes raw, struct bytes body);
void driver_sync_stream(struct driver *d, size_t peer, lsn_t from);
void driver_sync_stop_streams(struct driver *d);
void driver_sync_pump(struct driver *d);

/* driver_directory.c */
void driver_directory_open(struct driver *d);
void driver_directory_close(struct driver *d);
void driver_directory_ask(struct driver *d, const struct replica_action *a);
/* Join, if that had to wait. */
void driver_directory_join(struct driver *d);
/* Serving began, or the directory came (back): see whether its list is ours. */
void driver_compare(struct driver *d);
/* A mailbox is here, with that ACL; is here no more. */
void driver_announce(struct driver *d, struct bytes name, struct bytes acl);
void driver_retract(struct driver *d, struct bytes name);

/* driver_salvage.c: what only this member had goes to the master. */
enum { DRIVER_ITEM_ID = 24 };
void driver_salvage_open(struct driver *d);
void driver_salvage_close(struct driver *d);
void driver_salvage_tick(struct driver *d);
/* There may be something new. */
void driver_salvage_look(struct driver *d);
/* What was sent will not be answered. */
void driver_salvage_forget_sent(struct driver *d);
void driver_salvage_heard(struct driver *d, size_t peer, const struct peer_message *m);
void driver_salvage_counts(const struct driver *d, uint64_t *kept_r, uint64_t *pending_r);

/* driver_merge.c: do an item, as octets, here; MERGED is called once with what came of it, perhaps from within, and not at all
 * when the driver ends. ID is of DRIVER_ITEM_ID octets; all is copied. */
typedef void driver_merged_fn(struct driver *d, size_t peer, struct bytes id, enum salvage_outcome outcome, lsn_t lsn,
                              epoch_t epoch);
void driver_merge(struct driver *d, struct bytes item, struct bytes body, bool is_forced, size_t peer, struct bytes id,
                  driver_merged_fn *merged);
/* Free those under way; the loop has ended. */
void driver_merges_drop(struct driver *d);

#endif
