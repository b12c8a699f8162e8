/* test_login.c - who waits how long at the gate (login_gate.h), by its own clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "login_gate.h"

static struct config *cfg;

static struct gate *gate(size_t max_addresses)
{
	const struct gate_options o = {
		.delay_ms = 100, .delay_max_ms = 1000, .forget_ms = 60000, .max_addresses = max_addresses, .trusted = cfg
	};
	struct fault why;
	struct gate *g = gate_new(&o, &why);

	assert_non_null(g);
	return g;
}

static int read_config(void **state)
{
	struct fault why;

	(void)state;
	cfg = config_parse(BYTES_LIT("login_trusted_networks: 127.0.0.0/8 10.1.2.0/23 2001:db8:1::/48\n"), "test", &why);
	return cfg == NULL;
}

static int free_config(void **state)
{
	(void)state;
	config_free(&cfg);
	return 0;
}

/* How long an attempt at NOW waits; it ends at once. UINT64_MAX: turned away. */
static uint64_t wait_of(struct gate *g, const char *peer, uint64_t now)
{
	struct gate_address a = gate_address_of(g, peer);
	uint64_t ms;

	if (!gate_enter(g, &a, now, &ms))
		return UINT64_MAX;
	gate_leave(g, &a);
	return ms;
}

static unsigned failed(struct gate *g, const char *peer, uint64_t now, uint64_t what)
{
	struct gate_address a = gate_address_of(g, peer);

	return gate_failed(g, &a, now, what);
}

static void delays_double_up_to_the_most(void **state)
{
	static const uint64_t want[] = { 0, 100, 200, 400, 800, 1000, 1000 };
	struct gate *g = gate(16);

	(void)state;
	for (unsigned n = 0; n < sizeof(want) / sizeof(want[0]); n++)
		assert_int_equal(gate_delay_ms(g, n), want[n]);
	assert_int_equal(gate_delay_ms(g, 1000000), 1000);
	gate_free(&g);
}

static void an_address_that_failed_waits_and_others_do_not(void **state)
{
	struct gate *g = gate(16);

	(void)state;
	assert_int_equal(wait_of(g, "192.0.2.1:1000", 5000), 0);
	assert_int_equal(failed(g, "192.0.2.1:1000", 5000, 0), 1);
	assert_int_equal(wait_of(g, "192.0.2.1:1001", 5000), 100);
	/* The attempt that waits takes its turn: the next comes behind it. */
	assert_int_equal(wait_of(g, "192.0.2.1:1002", 5000), 200);
	assert_int_equal(wait_of(g, "192.0.2.2:1000", 5000), 0);
	assert_int_equal(failed(g, "192.0.2.1:1000", 5000, 0), 2);
	assert_int_equal(wait_of(g, "192.0.2.1:1001", 5300), 0);
	assert_int_equal(wait_of(g, "192.0.2.1:1001", 5300), 200);
	assert_int_equal(gate_count(g), 1);
	gate_free(&g);
}

static void too_many_at_once_are_turned_away(void **state)
{
	struct gate *g = gate(16);
	unsigned may = 0;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		(void)failed(g, "192.0.2.1:1", 1000, 0);
	for (unsigned i = 0; i < 20; i++)
		may += wait_of(g, "192.0.2.1:1", 1000) != UINT64_MAX;
	assert_int_equal(may, 2);
	assert_int_equal(wait_of(g, "192.0.2.1:1", 1000 + 60000), 0);
	gate_free(&g);
}

static void a_crowd_without_failures_is_slowed_past_its_first(void **state)
{
	struct gate *g = gate(16);
	struct gate_address a = gate_address_of(g, "192.0.2.1:1");
	uint64_t ms;

	(void)state;
	for (unsigned i = 0; i < GATE_SIDE_BY_SIDE; i++) {
		assert_true(gate_enter(g, &a, 1000, &ms));
		assert_int_equal(ms, 0);
	}
	assert_true(gate_enter(g, &a, 1000, &ms));
	assert_true(gate_enter(g, &a, 1000, &ms));
	assert_int_equal(ms, 100);
	for (unsigned i = 0; i < GATE_SIDE_BY_SIDE + 2; i++)
		gate_leave(g, &a);
	assert_int_equal(wait_of(g, "192.0.2.1:1", 2000), 0);
	gate_free(&g);
}

static void the_same_again_is_no_new_failure(void **state)
{
	struct gate *g = gate(16);

	(void)state;
	assert_int_equal(failed(g, "192.0.2.1:1", 1000, 7), 1);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(failed(g, "192.0.2.1:1", 1000 + i * 1000, 7), 1);
	assert_int_equal(failed(g, "192.0.2.1:1", 52000, 8), 2);
	assert_int_equal(failed(g, "192.0.2.1:1", 52000, 0), 3);
	assert_int_equal(failed(g, "192.0.2.1:1", 52000, 0), 4);
	gate_free(&g);
}

static void what_is_long_ago_is_forgotten(void **state)
{
	struct gate *g = gate(16);

	(void)state;
	(void)failed(g, "192.0.2.1:1", 1000, 0);
	(void)failed(g, "192.0.2.1:1", 2000, 0);
	assert_int_equal(wait_of(g, "192.0.2.1:1", 2000 + 60000), 0);
	assert_int_equal(gate_count(g), 0);
	assert_int_equal(failed(g, "192.0.2.1:1", 63000, 0), 1);
	gate_free(&g);
}

static void a_full_table_forgets_who_was_quiet_longest(void **state)
{
	struct gate *g = gate(16);
	char peer[32];

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		(void)snprintf(peer, sizeof(peer), "192.0.2.%u:1", i);
		(void)failed(g, peer, 1000 + i, 0);
	}
	(void)failed(g, "192.0.2.0:1", 1100, 0);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(peer, sizeof(peer), "198.51.%u.%u:1", i / 250, i % 250);
		(void)failed(g, peer, 1200, 0);
		(void)failed(g, "192.0.2.0:1", 1200, 7);
		assert_true(gate_count(g) <= 16);
	}
	assert_true(wait_of(g, "192.0.2.0:1", 1200) > 0);
	assert_int_equal(wait_of(g, "192.0.2.1:1", 1200), 0);
	gate_free(&g);
}

static void a_network_of_ipv6_is_one_address(void **state)
{
	struct gate *g = gate(16);

	(void)state;
	(void)failed(g, "[2001:db8::1]:1000", 1000, 0);
	assert_int_equal(wait_of(g, "[2001:db8::ffff:1]:1000", 1000), 100);
	assert_int_equal(wait_of(g, "[2001:db8:0:1::1]:1000", 1000), 0);
	/* An IPv4 address is the same whichever way it comes. */
	(void)failed(g, "[::ffff:192.0.2.1]:1000", 1000, 0);
	assert_int_equal(wait_of(g, "192.0.2.1:1000", 1000), 100);
	gate_free(&g);
}

static void trusted_networks_are_not_slowed(void **state)
{
	static const struct {
		const char *peer;
		bool is_trusted;
	} rows[] = {
		{ "127.1.2.3:1", true },   { "10.1.2.3:1", true },         { "10.1.3.255:1", true },         { "10.1.4.0:1", false },
		{ "10.1.1.255:1", false }, { "[2001:db8:1:5::1]:1", true }, { "[2001:db8:2::1]:1", false },   { "[::ffff:127.0.0.1]:1", true },
		{ "[::1]:1", false },
	};
	struct gate *g = gate(16);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(failed(g, rows[i].peer, 1000, 0), rows[i].is_trusted ? 0 : 1);
		assert_int_equal(wait_of(g, rows[i].peer, 1000), rows[i].is_trusted ? 0 : 100);
	}
	gate_free(&g);
}

static void an_address_of_a_proxy_is_trusted_for_a_day(void **state)
{
	struct gate *g = gate(16);
	struct gate_address a = gate_address_of(g, "192.0.2.1:1");

	(void)state;
	(void)gate_failed(g, &a, 1000, 0);
	gate_trust(g, &a, 1000);
	assert_int_equal(wait_of(g, "192.0.2.1:1", 1100), 0);
	assert_int_equal(failed(g, "192.0.2.1:1", 2000, 0), 0);
	assert_int_equal(gate_count(g), 0);
	assert_int_equal(failed(g, "192.0.2.1:1", 1000 + 24ull * 3600 * 1000, 0), 1);
	gate_free(&g);
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const rows[] = { "10.0.0.0/33", "10.0.0", "fred", "2001:db8::/129", "10.0.0.0/", "/8", "10.0.0.0/8x", "::1/-1",
		                            "0123456789012345678901234567890123456789012345678901234567890123456789" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[128];
		struct fault why;
		struct config *c;
		struct gate_options o = { .max_addresses = 16 };

		(void)snprintf(text, sizeof(text), "login_trusted_networks: %s\n", rows[i]);
		c = config_parse(bytes_of(text), "test", &why);
		assert_non_null(c);
		o.trusted = c;
		assert_null(gate_new(&o, &why));
		assert_int_equal(why.kind, FAULT_OPERATOR);
		config_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays_double_up_to_the_most),
		cmocka_unit_test(an_address_that_failed_waits_and_others_do_not),
		cmocka_unit_test(too_many_at_once_are_turned_away),
		cmocka_unit_test(a_crowd_without_failures_is_slowed_past_its_first),
		cmocka_unit_test(the_same_again_is_no_new_failure),
		cmocka_unit_test(what_is_long_ago_is_forgotten),
		cmocka_unit_test(a_full_table_forgets_who_was_quiet_longest),
		cmocka_unit_test(a_network_of_ipv6_is_one_address),
		cmocka_unit_test(trusted_networks_are_not_slowed),
		cmocka_unit_test(an_address_of_a_proxy_is_trusted_for_a_day),
		cmocka_unit_test(what_is_no_network_is_refused),
	};

	return cmocka_run_group_tests(tests, read_config, free_config);
}
