/* The DEFLATE stage: its two halves alone, then over real sockets on loopback. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc.h"
#include "buffer.h"
#include "conn.h"
#include "deflater.h"
#include "inflater.h"
#include "listener.h"
#include "loop.h"

/* The halves. */

static void collect(void *arg, struct bytes b)
{
	buffer_add(arg, b);
}

static void pack(struct deflater *d, struct bytes b, struct buffer *to)
{
	deflater_begin(d);
	deflater_add(d, b, collect, to);
	deflater_end(d, collect, to);
}

static const struct {
	const char *name;
	struct bytes in;
	const char *text, *why; /* WHY: NULL where the stream is good */
} streams[] = {
	{ "stored", BYTES_LIT("\x00\x05\x00\xfa\xffhello"), "hello", NULL },
	{ "fixed codes, flushed", BYTES_LIT("\xca\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"), "hello", NULL },
	{ "fixed codes, ended", BYTES_LIT("\xcb\x48\xcd\xc9\xc9\x07\x00"), "hello", NULL },
	{ "flushes alone", BYTES_LIT("\x00\x00\x00\xff\xff\x00\x00\x00\xff\xff"), "", NULL },
	{ "cut", BYTES_LIT("\x00\x05\x00\xfa\xffhel"), "hel", NULL },
	{ "nothing", BYTES_LIT(""), "", NULL },
	{ "no such block", BYTES_LIT("\x06"), "", "invalid block type" },
	{ "lengths that do not agree", BYTES_LIT("\x00\x05\x00\x00\x00hello"), "", "invalid stored block lengths" },
	{ "before the beginning", BYTES_LIT("\xca\x00\x11\x00\x00\x00\x00"), "h", "invalid distance too far back" },
	{ "clear text", BYTES_LIT("n NOOP\r\n"), "", "invalid" },
	{ "behind the end", BYTES_LIT("\xcb\x48\xcd\xc9\xc9\x07\x00n NOOP\r\n"), "hello", "octets behind its end" },
};

static void run_stream(size_t row, size_t cut, size_t room)
{
	struct inflater *i = inflater_new();
	struct bytes parts[2] = { bytes_sub(streams[row].in, 0, cut), bytes_from(streams[row].in, cut) };
	enum inflate_result result = INFLATE_MORE;
	struct buffer text = { 0 };
	struct fault why = { 0 };
	uint8_t to[64];
	size_t n;

	for (size_t p = 0; p < 2 && result != INFLATE_BAD; p++) {
		do {
			result = inflater_step(i, &parts[p], to, room, &n, &why);
			assert_true(n <= room);
			buffer_add(&text, bytes_make(to, n));
		} while (result == INFLATE_FULL);
	}
	assert_int_equal(result, streams[row].why == NULL ? INFLATE_MORE : INFLATE_BAD);
	assert_true(bytes_equal_str(buffer_bytes(&text), streams[row].text));
	if (streams[row].why != NULL) {
		assert_int_equal(why.kind, FAULT_CLIENT);
		assert_non_null(strstr(why.what, streams[row].why));
		parts[1] = BYTES_LIT("\x00");
		assert_int_equal(inflater_step(i, &parts[1], to, room, &n, &why), INFLATE_BAD);
	}
	buffer_fini(&text);
	inflater_free(&i);
	assert_null(i);
}

static void streams_are_read_the_same_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t row = 0; row < sizeof(streams) / sizeof(streams[0]); row++) {
		for (size_t cut = 0; cut <= streams[row].in.n; cut++) {
			run_stream(row, cut, 1);
			run_stream(row, cut, 3);
			run_stream(row, cut, 64);
		}
	}
}

static void few_octets_never_become_more_than_there_is_room_for(void **state)
{
	static uint8_t zeros[1 << 20];
	struct deflater *d = deflater_new();
	struct inflater *i = inflater_new();
	struct buffer packed = { 0 };
	struct bytes rest;
	struct fault why;
	uint8_t to[1000];
	size_t n, total = 0;

	(void)state;
	pack(d, bytes_make(zeros, sizeof(zeros)), &packed);
	assert_true(packed.n < sizeof(zeros) / 100);
	rest = buffer_bytes(&packed);
	while (inflater_step(i, &rest, to, sizeof(to), &n, &why) == INFLATE_FULL) {
		assert_int_equal(n, sizeof(to));
		total += n;
	}
	assert_int_equal(total + n, sizeof(zeros));
	assert_int_equal(rest.n, 0);
	buffer_fini(&packed);
	inflater_free(&i);
	deflater_free(&d);
}

static void batches_of_one_deflater_are_one_stream_to_each_of_many_readers(void **state)
{
	struct deflater *d = deflater_new();
	struct inflater *readers[3] = { inflater_new(), inflater_new(), inflater_new() };
	struct buffer packed = { 0 };
	uint8_t to[100];
	size_t n;

	(void)state;
	deflater_begin(d);
	deflater_end(d, collect, &packed);
	assert_int_equal(packed.n, 0);
	for (size_t k = 0; k < 60; k++) {
		char *want = must_printf("u1 MAILBOX \"user.fred%zu\" \"backenda!default\" \"fred lrs\"\r\n", k / 3);
		struct bytes rest;
		struct fault why;

		buffer_clear(&packed);
		pack(d, bytes_of(want), &packed);
		rest = buffer_bytes(&packed);
		assert_int_equal(inflater_step(readers[k % 3], &rest, to, sizeof(to), &n, &why), INFLATE_MORE);
		assert_true(bytes_equal_str(bytes_make(to, n), want));
		free(want);
	}
	buffer_fini(&packed);
	for (size_t k = 0; k < 3; k++)
		inflater_free(&readers[k]);
	deflater_free(&d);
}

static void a_reader_takes_no_more_memory_than_its_header_says(void **state)
{
	static uint8_t noise[100000], to[sizeof(noise) + 1000];
	struct deflater *d = deflater_new();
	struct buffer packed = { 0 };
	size_t before, n;
	struct inflater *i;
	struct bytes rest;
	struct fault why;

	(void)state;
	for (size_t k = 0; k < sizeof(noise); k++)
		noise[k] = (uint8_t)(k * k * 31 >> 7);
	pack(d, bytes_make(noise, sizeof(noise)), &packed);
	rest = buffer_bytes(&packed);
	before = mallinfo2().uordblks; /* 0 where a sanitizer has its own */
	i = inflater_new();
	assert_int_equal(inflater_step(i, &rest, to, sizeof(to), &n, &why), INFLATE_MORE);
	assert_int_equal(n, sizeof(noise));
	assert_true(mallinfo2().uordblks - before <= INFLATER_MEMORY_MAX);
	inflater_free(&i);
	buffer_fini(&packed);
	deflater_free(&d);
}

/* Connections. A server that does what the test says, and a client; the loop ends with the client. */

static struct loop *home;
static struct loops one_loop;
static struct listener *listener;

struct end {
	struct buffer got;
	size_t most; /* seen in conn_input() at once */
	size_t hold; /* consume nothing before so much has come */
	unsigned inputs, eofs, closed, drained;
	size_t to_send, sent;
	char why[FAULT_WHAT_MAX];
};

static struct end server, client;
static const struct conn_events *server_events;

static void called(struct conn *c, void *arg)
{
	(void)arg;
	conn_set_events(c, server_events, &server);
	conn_start_compress(c);
	assert_true(conn_is_compressed(c));
}

static void run(const struct conn_events *of_server, const struct conn_events *of_client)
{
	struct fault why;

	server_events = of_server;
	home = loop_new(&why);
	assert_non_null(home);
	one_loop.at = must_calloc(1, sizeof(*one_loop.at));
	one_loop.at[0] = home;
	one_loop.count = 1;
	listener = listener_open(home, &one_loop, "127.0.0.1:0", NULL, 10, called, NULL, &why);
	assert_non_null(listener);
	(void)conn_dial(home, listener_address(listener), NULL, 5000, of_client, &client);
	loop_run(home);
	loop_join(&home);
	free(one_loop.at);
}

static int reset(void **state)
{
	(void)state;
	memset(&server, 0, sizeof(server));
	memset(&client, 0, sizeof(client));
	return 0;
}

static int end(void **state)
{
	(void)state;
	buffer_fini(&server.got);
	buffer_fini(&client.got);
	return 0;
}

static void on_closed(struct conn *c, void *arg, const struct fault *why)
{
	struct end *e = arg;

	(void)c;
	e->closed++;
	if (why != NULL)
		memcpy(e->why, why->what, sizeof(e->why));
	if (server.closed + client.closed == 2) {
		listener_close(&listener);
		loop_stop(home);
	}
}

static void take_input(struct conn *c, void *arg)
{
	struct end *e = arg;
	struct bytes in = conn_input(c);

	e->inputs++;
	if (in.n > e->most)
		e->most = in.n;
	if (in.n < e->hold)
		return;
	buffer_add(&e->got, in);
	conn_consume(c, in.n);
}

static void on_eof(struct conn *c, void *arg)
{
	struct end *e = arg;

	e->eofs++;
	buffer_add(&e->got, conn_input(c));
	conn_close(c);
}

static void echo(struct conn *c, void *arg)
{
	(void)arg;
	conn_write(c, conn_input(c));
	conn_consume(c, conn_input(c).n);
}

static void send_more(struct conn *c, void *arg)
{
	struct end *e = arg;

	while (e->sent < e->to_send && conn_pending(c) < CONN_OUTPUT_HIGH) {
		uint8_t piece[7919];
		size_t n = e->to_send - e->sent < sizeof(piece) ? e->to_send - e->sent : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = (uint8_t)((e->sent + i) * 31 >> 3);
		conn_write(c, bytes_make(piece, n));
		e->sent += n;
	}
}

static void client_ready(struct conn *c, void *arg)
{
	conn_start_compress(c);
	send_more(c, arg);
}

static void client_drained(struct conn *c, void *arg)
{
	((struct end *)arg)->drained++;
	send_more(c, arg);
}

static void client_input(struct conn *c, void *arg)
{
	struct end *e = arg;

	buffer_add(&e->got, conn_input(c));
	conn_consume(c, conn_input(c).n);
	if (e->got.n == e->to_send)
		conn_close(c);
}

static const struct conn_events echo_server = { .on_input = echo, .on_closed = on_closed };
static const struct conn_events sending_client = {
	.on_ready = client_ready, .on_input = client_input, .on_drained = client_drained, .on_closed = on_closed
};

static void megabytes_come_back_the_same(void **state)
{
	(void)state;
	client.to_send = 3 << 20;
	run(&echo_server, &sending_client);
	assert_int_equal(client.got.n, client.to_send);
	for (size_t i = 0; i < client.got.n; i++)
		assert_int_equal(client.got.p[i], (uint8_t)(i * 31 >> 3));
	assert_true(client.drained > 0);
	assert_string_equal(client.why, "");
	assert_string_equal(server.why, "");
}

/* The client is not compressed: it sends what the test has packed, then ends its direction. */
static struct buffer packed;

static void raw_ready(struct conn *c, void *arg)
{
	(void)arg;
	conn_write(c, buffer_bytes(&packed));
	conn_close(c);
}

static const struct conn_events raw_client = { .on_ready = raw_ready, .on_closed = on_closed };
static const struct conn_events taking_server = { .on_input = take_input, .on_eof = on_eof, .on_closed = on_closed };

static void pack_zeros(size_t n)
{
	uint8_t *zeros = must_calloc(1, n);
	struct deflater *d = deflater_new();

	pack(d, bytes_make(zeros, n), &packed);
	deflater_free(&d);
	free(zeros);
}

static void a_bomb_comes_in_bounded_steps_and_the_end_after_all_of_it(void **state)
{
	(void)state;
	pack_zeros(20 << 20);
	run(&taking_server, &raw_client);
	assert_int_equal(server.got.n, 20 << 20);
	assert_true(server.most <= CONN_INPUT_MAX);
	assert_true(server.inputs >= (20 << 20) / CONN_INPUT_MAX);
	assert_int_equal(server.eofs, 1);
	assert_string_equal(server.why, "");
	buffer_fini(&packed);
}

static void resume(void *conn)
{
	struct conn *c = conn;

	server.hold = 0;
	conn_pause(c, false);
}

static void pause_input(struct conn *c, void *arg)
{
	struct end *e = arg;

	take_input(c, arg);
	if (e->hold > 0 && e->inputs == 1) {
		conn_pause(c, true);
		loop_post(home, resume, c);
	}
}

static const struct conn_events pausing_server = { .on_input = pause_input, .on_eof = on_eof, .on_closed = on_closed };

static void an_owner_that_holds_its_input_is_given_no_more_than_the_bound(void **state)
{
	(void)state;
	pack_zeros(1 << 20);
	server.hold = 1 << 30;
	run(&pausing_server, &raw_client);
	assert_int_equal(server.got.n, 1 << 20);
	assert_true(server.most <= CONN_INPUT_MAX);
	assert_int_equal(server.eofs, 1);
	buffer_fini(&packed);
}

static void want_input(struct conn *c, void *arg)
{
	struct end *e = arg;

	if (e->got.n == 0 && conn_input(c).n < 500000) {
		conn_want(c, 500000);
		return;
	}
	conn_want(c, 0);
	take_input(c, arg);
}

static const struct conn_events wanting_server = { .on_input = want_input, .on_eof = on_eof, .on_closed = on_closed };

static void wanted_octets_come_at_once(void **state)
{
	(void)state;
	pack_zeros(1 << 20);
	run(&wanting_server, &raw_client);
	assert_int_equal(server.got.n, 1 << 20);
	assert_true(server.most >= 500000 && server.most <= 500000 + CONN_INPUT_MAX);
	buffer_fini(&packed);
}

static void what_is_no_deflate_ends_it_after_what_came_before(void **state)
{
	struct deflater *d = deflater_new();

	(void)state;
	pack(d, BYTES_LIT("all is well"), &packed);
	buffer_add_str(&packed, "\xff\xff\xff");
	run(&taking_server, &raw_client);
	assert_true(bytes_equal_str(buffer_bytes(&server.got), "all is well"));
	assert_non_null(strstr(server.why, "DEFLATE stream: invalid block type"));
	assert_int_equal(server.eofs, 0);
	assert_int_equal(server.closed, 1);
	buffer_fini(&packed);
	deflater_free(&d);
}

/* Lent output, and much of it, at the moment of closing: all of it leaves, each piece is released once. */
static unsigned released;

static void count_release(void *arg)
{
	(void)arg;
	released++;
}

static void last_words(struct conn *c, void *arg)
{
	static uint8_t big[300000];

	(void)arg;
	if (conn_input(c).n == 0)
		return;
	conn_consume(c, conn_input(c).n);
	memset(big, 'b', sizeof(big));
	conn_write(c, BYTES_LIT("small"));
	for (int i = 0; i < 10; i++)
		conn_write_lent(c, bytes_make(big, sizeof(big)), count_release, NULL);
	assert_true(conn_pending(c) >= 3000005);
	conn_close(c);
	conn_write_lent(c, bytes_make(big, sizeof(big)), count_release, NULL);
}

static const struct conn_events closing_server = { .on_input = last_words, .on_closed = on_closed };

static void all_leaves_at_a_close_and_is_released_once(void **state)
{
	static const struct conn_events events = {
		.on_ready = client_ready, .on_input = take_input, .on_eof = on_eof, .on_closed = on_closed
	};

	(void)state;
	released = 0;
	client.to_send = 10;
	run(&closing_server, &events);
	assert_int_equal(client.got.n, 3000005);
	assert_memory_equal(client.got.p, "smallb", 6);
	assert_int_equal(released, 11);
	assert_string_equal(client.why, "");
}

static void abort_now(struct conn *c, void *arg)
{
	last_words(c, arg);
	conn_abort(c);
}

static const struct conn_events aborting_server = { .on_input = abort_now, .on_closed = on_closed };

static void what_is_lent_is_released_at_an_abort(void **state)
{
	(void)state;
	released = 0;
	client.to_send = 10;
	run(&aborting_server, &sending_client);
	assert_int_equal(released, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_read_the_same_however_they_are_cut),
		cmocka_unit_test(few_octets_never_become_more_than_there_is_room_for),
		cmocka_unit_test(batches_of_one_deflater_are_one_stream_to_each_of_many_readers),
		cmocka_unit_test(a_reader_takes_no_more_memory_than_its_header_says),
		cmocka_unit_test_setup_teardown(megabytes_come_back_the_same, reset, end),
		cmocka_unit_test_setup_teardown(a_bomb_comes_in_bounded_steps_and_the_end_after_all_of_it, reset, end),
		cmocka_unit_test_setup_teardown(an_owner_that_holds_its_input_is_given_no_more_than_the_bound, reset, end),
		cmocka_unit_test_setup_teardown(wanted_octets_come_at_once, reset, end),
		cmocka_unit_test_setup_teardown(what_is_no_deflate_ends_it_after_what_came_before, reset, end),
		cmocka_unit_test_setup_teardown(all_leaves_at_a_close_and_is_released_once, reset, end),
		cmocka_unit_test_setup_teardown(what_is_lent_is_released_at_an_abort, reset, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
