/* Real sockets on loopback; each test runs its own loops and ends with all of them joined. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "buffer.h"
#include "conn.h"
#include "listener.h"
#include "loop.h"

#define TOTAL (1024 * 1024)

static struct loop *home;
static struct loops one_loop;
static struct listener *listener;

static void echo_input(struct conn *c, void *arg)
{
	struct bytes in = conn_input(c);

	(void)arg;
	conn_write(c, in);
	conn_consume(c, in.n);
}

static const struct conn_events echo_events = { .on_input = echo_input };

static void echo_called(struct conn *c, void *arg)
{
	conn_set_events(c, &echo_events, arg);
}

static void stop_all(void)
{
	listener_close(&listener);
	loop_stop(home);
}

static void open_home(listener_fn *called, void *arg, size_t max)
{
	struct fault why;

	home = loop_new(&why);
	assert_non_null(home);
	one_loop.at = must_calloc(1, sizeof(*one_loop.at));
	one_loop.at[0] = home;
	one_loop.count = 1;
	listener = listener_open(home, &one_loop, "127.0.0.1:0", NULL, max, called, arg, &why);
	assert_non_null(listener);
}

static void run_home(void)
{
	loop_run(home);
	loop_join(&home);
	free(one_loop.at);
}

struct probe {
	struct buffer got;
	size_t sent;
	size_t drained;
	unsigned closed, timeouts, ready;
	char why[FAULT_WHAT_MAX];
};

static void probe_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct probe *p = arg;

	(void)c;
	p->closed++;
	if (why != NULL)
		memcpy(p->why, why->what, sizeof(p->why));
	stop_all();
}

static void send_more(struct conn *c, struct probe *p)
{
	static uint8_t piece[7919];

	while (p->sent < TOTAL && conn_pending(c) < CONN_OUTPUT_HIGH) {
		size_t n = TOTAL - p->sent < sizeof(piece) ? TOTAL - p->sent : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = (uint8_t)((p->sent + i) * 31 >> 3);
		conn_write(c, bytes_make(piece, n));
		p->sent += n;
	}
}

static void probe_ready(struct conn *c, void *arg)
{
	struct probe *p = arg;

	p->ready++;
	send_more(c, p);
}

static void probe_drained(struct conn *c, void *arg)
{
	struct probe *p = arg;

	p->drained++;
	send_more(c, p);
}

static void probe_input(struct conn *c, void *arg)
{
	struct probe *p = arg;
	struct bytes in = bytes_sub(conn_input(c), 0, 1021);

	buffer_add(&p->got, in);
	conn_consume(c, in.n);
	if (conn_input(c).n > 0)
		conn_kick(c);
	if (p->got.n == TOTAL)
		conn_close(c);
}

static const struct conn_events probe_events = {
	.on_ready = probe_ready, .on_input = probe_input, .on_drained = probe_drained, .on_closed = probe_closed
};

static void megabyte_comes_back_the_same_in_odd_pieces(void **state)
{
	struct probe p = { 0 };

	(void)state;
	open_home(echo_called, NULL, 10);
	(void)conn_dial(home, listener_address(listener), NULL, 5000, &probe_events, &p);
	run_home();
	assert_int_equal(p.got.n, TOTAL);
	for (size_t i = 0; i < TOTAL; i++)
		assert_int_equal(p.got.p[i], (uint8_t)(i * 31 >> 3));
	assert_int_equal(p.closed, 1);
	assert_true(p.drained > 0);
	buffer_fini(&p.got);
}

/* An echo that writes in each way, so that what is written through meets both an empty queue and one that is not. */
static void mixed_input(struct conn *c, void *arg)
{
	static unsigned turn;
	struct bytes in = conn_input(c);
	size_t part = in.n / 3 + 1;

	(void)arg;
	if (turn++ % 2 == 0)
		conn_write_through(c, bytes_sub(in, 0, part));
	else
		conn_write(c, bytes_sub(in, 0, part));
	conn_write_through(c, bytes_sub(in, part, part));
	conn_write_through(c, bytes_from(in, 2 * part));
	conn_consume(c, in.n);
}

static const struct conn_events mixed_events = { .on_input = mixed_input };

static void mixed_called(struct conn *c, void *arg)
{
	conn_set_events(c, &mixed_events, arg);
}

static void what_is_written_through_stays_in_its_order(void **state)
{
	struct probe p = { 0 };

	(void)state;
	open_home(mixed_called, NULL, 10);
	(void)conn_dial(home, listener_address(listener), NULL, 5000, &probe_events, &p);
	run_home();
	assert_int_equal(p.got.n, TOTAL);
	for (size_t i = 0; i < TOTAL; i++)
		assert_int_equal(p.got.p[i], (uint8_t)(i * 31 >> 3));
	buffer_fini(&p.got);
}

static void refused_dial_says_why_once(void **state)
{
	struct probe p = { 0 };
	char address[80];

	(void)state;
	open_home(echo_called, NULL, 10);
	(void)snprintf(address, sizeof(address), "%s", listener_address(listener));
	listener_close(&listener);
	(void)conn_dial(home, "127.0.0.1:1", NULL, 5000, &probe_events, &p);
	run_home();
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.ready, 0);
	assert_non_null(strstr(p.why, "cannot connect: connection refused"));
}

static void malformed_address_is_an_orderly_failure(void **state)
{
	struct probe p = { 0 };

	(void)state;
	open_home(echo_called, NULL, 10);
	(void)conn_dial(home, "nowhere", NULL, 5000, &probe_events, &p);
	run_home();
	assert_int_equal(p.closed, 1);
	assert_non_null(strstr(p.why, "is not HOST:PORT"));
}

/* A server that wants 100,000 octets before it is called, then says goodbye with a lent body and closes. */
static unsigned released;

static void count_release(void *arg)
{
	(void)arg;
	released++;
}

static void want_input(struct conn *c, void *arg)
{
	static uint8_t big[300000];

	(void)arg;
	assert_true(conn_input(c).n >= 100000);
	conn_consume(c, conn_input(c).n);
	memset(big, 'b', sizeof(big));
	conn_write(c, BYTES_LIT("small"));
	conn_write_lent(c, bytes_make(big, sizeof(big)), count_release, NULL);
	conn_close(c);
}

static const struct conn_events want_events = { .on_input = want_input };

static void want_called(struct conn *c, void *arg)
{
	conn_set_events(c, &want_events, arg);
	conn_want(c, 100000);
}

static void collect_ready(struct conn *c, void *arg)
{
	static uint8_t hundred[1000];

	(void)arg;
	for (int i = 0; i < 100; i++)
		conn_write(c, bytes_make(hundred, sizeof(hundred)));
}

static void collect_input(struct conn *c, void *arg)
{
	struct probe *p = arg;

	buffer_add(&p->got, conn_input(c));
	conn_consume(c, conn_input(c).n);
}

static const struct conn_events collect_events = {
	.on_ready = collect_ready, .on_input = collect_input, .on_closed = probe_closed
};

static void wanted_octets_come_at_once_and_close_flushes(void **state)
{
	struct probe p = { 0 };

	(void)state;
	released = 0;
	open_home(want_called, NULL, 10);
	(void)conn_dial(home, listener_address(listener), NULL, 5000, &collect_events, &p);
	run_home();
	assert_int_equal(p.got.n, 300005);
	assert_int_equal(released, 1);
	assert_int_equal(p.closed, 1);
	assert_string_equal(p.why, "");
	buffer_fini(&p.got);
}

static void quiet_ready(struct conn *c, void *arg)
{
	(void)arg;
	conn_set_timeout(c, 50);
}

static void quiet_timeout(struct conn *c, void *arg)
{
	struct probe *p = arg;

	if (++p->timeouts == 2)
		conn_abort(c);
}

static const struct conn_events quiet_events = {
	.on_ready = quiet_ready, .on_timeout = quiet_timeout, .on_closed = probe_closed
};

static void silence_is_told_and_told_again(void **state)
{
	struct probe p = { 0 };

	(void)state;
	open_home(echo_called, NULL, 10);
	(void)conn_dial(home, listener_address(listener), NULL, 5000, &quiet_events, &p);
	run_home();
	assert_int_equal(p.timeouts, 2);
	assert_int_equal(p.closed, 1);
}

static void port_in_use_is_named(void **state)
{
	struct fault why;

	(void)state;
	open_home(echo_called, NULL, 10);
	assert_null(listener_open(home, &one_loop, listener_address(listener), NULL, 10, echo_called, NULL, &why));
	assert_non_null(strstr(why.what, listener_address(listener)));
	assert_non_null(strstr(why.what, "Address already in use"));
	stop_all();
	run_home();
}

static unsigned posts_left;

static void count_post(void *arg)
{
	(void)arg;
	if (--posts_left == 0)
		stop_all();
}

static void post_many(void *arg)
{
	for (int i = 0; i < 1000; i++)
		loop_post(home, count_post, arg);
}

static void posts_of_four_threads_all_arrive(void **state)
{
	struct loops others;
	struct fault why;

	(void)state;
	open_home(echo_called, NULL, 10);
	posts_left = 4000;
	assert_true(loops_start(&others, 4, &why));
	for (size_t i = 0; i < others.count; i++)
		loop_post(others.at[i], post_many, NULL);
	loop_run(home);
	loops_stop(&others);
	loop_join(&home);
	free(one_loop.at);
	assert_int_equal(posts_left, 0);
}

static void tell_mask(void *arg)
{
	(void)pthread_sigmask(SIG_BLOCK, NULL, arg);
}

static void signals_of_its_own_faults_reach_a_loops_thread(void **state)
{
	struct fault why;
	struct loop *l = loop_start("masked", &why);
	sigset_t mask;

	(void)state;
	assert_non_null(l);
	(void)sigemptyset(&mask);
	loop_post(l, tell_mask, &mask);
	loop_stop(l);
	loop_join(&l);
	assert_int_equal(sigismember(&mask, SIGTERM), 1);
	assert_int_equal(sigismember(&mask, SIGBUS), 0);
	assert_int_equal(sigismember(&mask, SIGSEGV), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(megabyte_comes_back_the_same_in_odd_pieces),
		cmocka_unit_test(what_is_written_through_stays_in_its_order),
		cmocka_unit_test(refused_dial_says_why_once),
		cmocka_unit_test(malformed_address_is_an_orderly_failure),
		cmocka_unit_test(wanted_octets_come_at_once_and_close_flushes),
		cmocka_unit_test(silence_is_told_and_told_again),
		cmocka_unit_test(port_in_use_is_named),
		cmocka_unit_test(posts_of_four_threads_all_arrive),
		cmocka_unit_test(signals_of_its_own_faults_reach_a_loops_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
