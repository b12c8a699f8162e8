/* The core alone, event by event: what the simulator found once, as a story. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "replica.h"

#define LEASE 1000

static struct replica *core;
static struct replica_actions out;
static uint64_t now;

static void step(struct replica_event ev)
{
	ev.now_ms = now;
	replica_step(core, &ev, &out);
}

static const struct replica_action *find(enum replica_action_type type)
{
	for (size_t i = 0; i < out.count; i++) {
		if (out.at[i].type == type)
			return &out.at[i];
	}
	return NULL;
}

static void config(uint64_t epoch, const char *master, const char *in_sync)
{
	step((struct replica_event){ .type = EVENT_CONFIG, .reign = { epoch, bytes_of(master), bytes_of(in_sync) } });
}

/* Member b of a and b starts with ten entries of epoch 7, and hears of the configuration. */
static void start(void)
{
	const struct replica_options o = { .count = 2, .names = { "a", "b" }, .self = 1, .lease_ms = LEASE };
	static struct history h;

	h.count = 0;
	history_append(&h, 7, 1);
	now = 5000;
	core = replica_new(&o);
	step((struct replica_event){ .type = EVENT_START, .start = { 10, 10, 10, .history = &h } });
	step((struct replica_event){ .type = EVENT_DIRECTORY_UP });
}

static void hear(enum message_type type, uint64_t lsn)
{
	const struct peer_message m = { .type = type, .epoch = 7, .lsn = lsn, .committed = 10, .time_ms = 77 };

	step((struct replica_event){ .type = EVENT_MESSAGE, .peer = 0, .message = &m });
}

static void open_reign(void)
{
	assert_non_null(find(ACTION_APPEND_EPOCH));
	step((struct replica_event){ .type = EVENT_LOCAL_APPENDED, .lsn = 11, .epoch = replica_epoch(core) });
	step((struct replica_event){ .type = EVENT_LOCAL_DURABLE, .lsn = 11 });
}

static void a_grant_to_an_earlier_life_waits_for_the_lease_that_this_one_gave(void **state)
{
	(void)state;
	start();
	config(7, "a", "a b");
	step((struct replica_event){ .type = EVENT_PEER_UP, .peer = 0 });
	hear(MESSAGE_WELCOME, 10);
	now += 3 * LEASE;
	hear(MESSAGE_BEACON, 0);
	assert_int_equal(find(ACTION_SEND)->message.type, MESSAGE_BEACON_ACK);
	/* What was asked before the restart is granted only now. */
	now += 10;
	config(8, "b", "b");
	open_reign();
	assert_null(find(ACTION_COMMIT));
	now += LEASE;
	step((struct replica_event){ .type = EVENT_TICK });
	assert_null(find(ACTION_COMMIT));
	now += LEASE / 4;
	step((struct replica_event){ .type = EVENT_TICK });
	assert_non_null(find(ACTION_COMMIT));
	replica_free(&core);
}

static void a_member_that_starts_as_master_waits_for_what_an_earlier_life_may_have_promised(void **state)
{
	(void)state;
	start();
	config(8, "b", "b");
	assert_non_null(find(ACTION_ASK));
	config(9, "b", "b");
	open_reign();
	assert_null(find(ACTION_COMMIT));
	now += LEASE + LEASE / 4;
	step((struct replica_event){ .type = EVENT_TICK });
	assert_non_null(find(ACTION_COMMIT));
	replica_free(&core);
}

static void a_handed_over_reign_waits_for_nobody_that_it_names(void **state)
{
	const struct peer_message hello_ack = { .type = MESSAGE_BEACON_ACK, .epoch = 8, .lsn = 11, .time_ms = 0 };
	struct peer_message beacon_ack = hello_ack;
	struct peer_message hello = { .type = MESSAGE_HELLO, .epoch = 8, .lsn = 10, .committed = 10 };
	struct history h = { 0 };

	(void)state;
	history_append(&h, 7, 1);
	start();
	config(7, "a", "a b");
	step((struct replica_event){ .type = EVENT_PEER_UP, .peer = 0 });
	hear(MESSAGE_WELCOME, 10);
	hear(MESSAGE_BEACON, 0);
	config(8, "b", "a b");
	open_reign();
	step((struct replica_event){ .type = EVENT_PEER_UP, .peer = 0 });
	step((struct replica_event){ .type = EVENT_MESSAGE, .peer = 0, .message = &hello, .history = &h });
	for (size_t i = 0; i < out.count; i++) {
		if (out.at[i].type == ACTION_SEND && out.at[i].message.type == MESSAGE_BEACON)
			beacon_ack.time_ms = out.at[i].message.time_ms;
	}
	assert_int_equal(beacon_ack.time_ms, now);
	step((struct replica_event){ .type = EVENT_MESSAGE, .peer = 0, .message = &beacon_ack });
	assert_non_null(find(ACTION_COMMIT));
	replica_free(&core);
}

/* "b" follows "a", having all that it has. */
static void follow(void)
{
	config(7, "a", "a b");
	step((struct replica_event){ .type = EVENT_PEER_UP, .peer = 0 });
	hear(MESSAGE_WELCOME, 10);
}

static void a_failed_journal_is_not_cut_and_does_not_follow(void **state)
{
	(void)state;
	start();
	follow();
	step((struct replica_event){ .type = EVENT_LOCAL_FAILED });
	assert_int_equal(find(ACTION_DISCONNECT)->peer, 0);
	step((struct replica_event){ .type = EVENT_PEER_DOWN, .peer = 0 });
	step((struct replica_event){ .type = EVENT_PEER_UP, .peer = 0 });
	assert_non_null(find(ACTION_DISCONNECT));
	assert_null(find(ACTION_SEND));
	hear(MESSAGE_WELCOME, 5);
	assert_null(find(ACTION_TRUNCATE));
	assert_non_null(find(ACTION_DISCONNECT));
	replica_free(&core);
}

static void hear_of_epoch(uint64_t epoch)
{
	const struct peer_message m = { .type = MESSAGE_BEACON, .epoch = epoch, .committed = 10, .time_ms = 77 };

	step((struct replica_event){ .type = EVENT_MESSAGE, .peer = 0, .message = &m });
}

static void an_epoch_that_the_directory_does_not_confirm_is_forgotten(void **state)
{
	(void)state;
	start();
	follow();
	hear_of_epoch(UINT64_MAX);
	config(8, "", "b");
	config(9, "b", "b");
	assert_int_equal(replica_epoch(core), 7);
	/* Nobody to confirm it, nobody to forget it for. */
	step((struct replica_event){ .type = EVENT_DIRECTORY_DOWN });
	now += 20 * LEASE;
	step((struct replica_event){ .type = EVENT_TICK });
	step((struct replica_event){ .type = EVENT_DIRECTORY_UP });
	now += 9 * LEASE;
	hear_of_epoch(UINT64_MAX);
	step((struct replica_event){ .type = EVENT_TICK });
	assert_int_equal(replica_epoch(core), 7);
	now += LEASE;
	step((struct replica_event){ .type = EVENT_TICK });
	assert_non_null(find(ACTION_REPORT));
	assert_int_equal(replica_epoch(core), 9);
	assert_int_equal(replica_role(core), REPLICA_MASTER);
	replica_free(&core);
}

static void old_news_stays_old_where_the_journal_is_newer_or_the_new_is_confirmed(void **state)
{
	(void)state;
	start();
	follow();
	hear_of_epoch(9);
	config(8, "b", "b");
	config(9, "a", "a b");
	now += 20 * LEASE;
	step((struct replica_event){ .type = EVENT_TICK });
	assert_int_equal(replica_epoch(core), 9);
	assert_int_equal(replica_master(core), 0);
	replica_free(&core);

	start();
	follow();
	hear_of_epoch(9);
	step((struct replica_event){ .type = EVENT_FOLLOWED, .lsn = 11, .epoch = 9 });
	config(8, "b", "b");
	now += 20 * LEASE;
	step((struct replica_event){ .type = EVENT_TICK });
	assert_int_equal(replica_epoch(core), 7);
	replica_free(&core);
}

static void what_may_be_taken_back_is_what_not_all_who_may_take_over_have(void **state)
{
	const struct replica_options o = { .count = 3, .names = { "a", "b", "c" }, .self = 1, .lease_ms = LEASE, .is_async = true };
	struct peer_message beacon = { .type = MESSAGE_BEACON, .epoch = 7, .lsn = 8, .committed = 10, .time_ms = 77 };
	struct peer_message hello = { .type = MESSAGE_HELLO, .epoch = 8, .lsn = 6, .committed = 6 };
	struct history h = { 0 };

	(void)state;
	history_append(&h, 7, 1);
	now = 5000;
	core = replica_new(&o);
	step((struct replica_event){ .type = EVENT_START, .start = { 10, 10, 10, .history = &h } });
	config(7, "a", "a b c");
	assert_int_equal(replica_replicated(core), 0);
	step((struct replica_event){ .type = EVENT_PEER_UP, .peer = 0 });
	hear(MESSAGE_WELCOME, 10);
	step((struct replica_event){ .type = EVENT_MESSAGE, .peer = 0, .message = &beacon });
	assert_int_equal(replica_replicated(core), 8);
	/* As master it knows by itself, and says so. */
	config(8, "b", "b c");
	open_reign();
	assert_int_equal(replica_replicated(core), 0);
	step((struct replica_event){ .type = EVENT_PEER_UP, .peer = 2 });
	step((struct replica_event){ .type = EVENT_MESSAGE, .peer = 2, .message = &hello, .history = &h });
	assert_int_equal(replica_replicated(core), 6);
	for (size_t i = 0; i < out.count; i++) {
		if (out.at[i].type == ACTION_SEND && out.at[i].message.type == MESSAGE_BEACON)
			beacon = out.at[i].message;
	}
	assert_int_equal(beacon.lsn, 6);
	config(9, "b", "b");
	assert_int_equal(replica_replicated(core), UINT64_MAX);
	replica_free(&core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grant_to_an_earlier_life_waits_for_the_lease_that_this_one_gave),
		cmocka_unit_test(a_member_that_starts_as_master_waits_for_what_an_earlier_life_may_have_promised),
		cmocka_unit_test(a_handed_over_reign_waits_for_nobody_that_it_names),
		cmocka_unit_test(a_failed_journal_is_not_cut_and_does_not_follow),
		cmocka_unit_test(an_epoch_that_the_directory_does_not_confirm_is_forgotten),
		cmocka_unit_test(old_news_stays_old_where_the_journal_is_newer_or_the_new_is_confirmed),
		cmocka_unit_test(what_may_be_taken_back_is_what_not_all_who_may_take_over_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
