/* driver_expunged.c - messages that were expunged and are kept for a while: the master lets go of them when their time is over, and
 * gives them back to an operator who asks (undelete.h). */
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "driver_private.h"
#include "log.h"
#include "undelete.h"

#define LOOK_MS 500
/* At once: so few are let go of on a nearly full disk, too (store_room.c), and it is there that it matters. */
#define RECLAIM_MOST 200
#define RECLAIM_REST_MS 100 /* between two, while there are more */

/* One of each at a time. */
struct expunged {
	struct driver *driver;
	uint64_t look_ms, reclaim_ms; /* not before */
	const char *dir; /* of the partition */

	struct driver_request reclaim, undelete;
	struct intent reclaim_intent, undelete_intent;
	struct arena reclaim_arena, undelete_arena;
	bool is_reclaiming, is_undeleting;
	struct undelete_request asked;
};

static void reclaimed(void *arg)
{
	struct expunged *x = arg;

	x->is_reclaiming = false;
	if (x->reclaim.answer.result == STORE_OK && x->reclaim.answer.message_count > 0)
		log_event(LOG_DEBUG, "driver.expunged.reclaimed", LOG_U64("messages", x->reclaim.answer.message_count));
	/* There may be more: not at once, others wait, too. */
	if (x->reclaim.answer.result == STORE_OK && x->reclaim.answer.message_count == RECLAIM_MOST)
		x->reclaim_ms = clock_mono_ms() + RECLAIM_REST_MS;
	arena_fini(&x->reclaim_arena);
}

static void reclaim(struct driver *d, struct expunged *x)
{
	int64_t before = clock_wall_s() - (int64_t)config_number(d->o.config, "expunge_delay");

	if (x->is_reclaiming || clock_mono_ms() < x->reclaim_ms)
		return;
	x->reclaim_ms = clock_mono_ms() + LOOK_MS;
	if (!store_has_reclaimable(d->o.store, before))
		return;
	x->is_reclaiming = true;
	x->reclaim_intent = (struct intent){ .op = INTENT_RECLAIM, .reclaim = { before, RECLAIM_MOST } };
	x->reclaim = (struct driver_request){ .intent = &x->reclaim_intent, .arena = &x->reclaim_arena, .done = reclaimed, .arg = x };
	driver_submit(d, &x->reclaim);
}

static void answer(struct expunged *x, const char *text)
{
	struct fault why;

	if (!undelete_answer(x->dir, x->asked.name, text, &why))
		log_event(LOG_ERROR, "driver.expunged.unanswered", LOG_FAULT(&why));
	undelete_fini(&x->asked);
}

static void undeleted(void *arg)
{
	struct expunged *x = arg;
	const struct intent_answer *a = &x->undelete.answer;
	char text[160];

	x->is_undeleting = false;
	if (a->result == STORE_OK && a->message_count > 0) {
		log_event(LOG_INFO, "driver.expunged.undeleted", LOG_BYTES("mailbox", x->asked.intent.name), LOG_U64("messages", a->message_count),
		          LOG_U64("lsn", a->lsn));
		(void)snprintf(text, sizeof(text), "ok %zu messages are back, under the UIDs %u:%u%s\n", a->message_count, a->new_uids[0].first,
		               a->new_uids[0].last, a->message_count == UNDELETE_MOST ? "; there may be more, ask again" : "");
	} else if (a->result == STORE_OK) {
		(void)snprintf(text, sizeof(text), "ok nothing of that is kept\n");
	} else {
		(void)snprintf(text, sizeof(text), "no %s\n", store_result_name(a->result));
	}
	answer(x, text);
	arena_fini(&x->undelete_arena);
}

static void undelete(struct driver *d, struct expunged *x)
{
	if (x->is_undeleting || !undelete_take(x->dir, &x->asked))
		return;
	if (!driver_may_serve(d)) {
		answer(x, "no this member is not the master; ask at the other\n");
		return;
	}
	x->is_undeleting = true;
	x->undelete_intent = (struct intent){ .op = INTENT_UNDELETE, .undelete = x->asked.intent };
	x->undelete = (struct driver_request){ .intent = &x->undelete_intent, .arena = &x->undelete_arena, .done = undeleted, .arg = x };
	driver_submit(d, &x->undelete);
}

void driver_expunged_tick(struct driver *d)
{
	struct expunged *x = d->expunged;
	const char *name;

	if (d->is_stopping)
		return;
	if (x == NULL) {
		x = d->expunged = must_calloc(1, sizeof(*x));
		x->driver = d;
		(void)config_family(d->o.config, "partition-", 0, &name, &x->dir);
	}
	if (driver_may_serve(d))
		reclaim(d, x);
	if (clock_mono_ms() < x->look_ms)
		return;
	x->look_ms = clock_mono_ms() + LOOK_MS;
	undelete(d, x);
}

void driver_expunged_free(struct driver *d)
{
	struct expunged *x = d->expunged;

	if (x == NULL)
		return;
	undelete_fini(&x->asked);
	arena_fini(&x->reclaim_arena);
	arena_fini(&x->undelete_arena);
	free(x);
	d->expunged = NULL;
}
