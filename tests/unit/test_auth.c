/* test_auth.c - the credential file, SASL exchanges against each other, and who may act as whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <gsasl.h>

#include "base64.h"
#include "file.h"
#include "policy.h"
#include "sasl.h"
#include "users_private.h"

static char dir[64], path[96];

static int make_users(void **state)
{
	struct fault why;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/roost-test-auth-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/users", dir);
	assert_true(users_set_password(path, BYTES_LIT("fred"), BYTES_LIT("pencil"), &why));
	assert_true(users_set_password(path, BYTES_LIT("proxy"), BYTES_LIT("p w"), &why));
	return 0;
}

static int drop_users(void **state)
{
	char lock[128];

	(void)state;
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	(void)unlink(lock);
	(void)unlink(path);
	(void)rmdir(dir);
	return 0;
}

/* RFC 7677 section 3: user "user", password "pencil", salt W22ZaJ0SNY7soEsUEjb6gQ==, 4096 iterations. */
static void keys_are_those_of_the_rfc(void **state)
{
	struct users_line line;
	struct fault why;
	uint8_t stored[USERS_KEY_SIZE], server[USERS_KEY_SIZE];

	(void)state;
	assert_true(users_line_parse(BYTES_LIT("user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
	                                       "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	                                       "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
	                             &line, &why));
	assert_true(users_derive(BYTES_LIT("pencil"), line.key.salt, line.key.salt_size, 4096, stored, server));
	assert_memory_equal(stored, line.key.stored, USERS_KEY_SIZE);
	assert_memory_equal(server, line.key.server, USERS_KEY_SIZE);
}

static void malformed_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"fred",
		":SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
		"fred:plain",
		"fred:SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
		"fred:SCRAM-SHA-256$4096:$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"fred:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"fred:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:",
	};
	struct users_line line;
	struct fault why;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(users_line_parse(bytes_of(lines[i]), &line, &why));
	assert_true(users_line_parse(BYTES_LIT("# comment"), &line, &why));
	assert_int_equal(line.name.n, 0);
}

static void only_the_right_password_is_right(void **state)
{
	struct fault why;
	struct users *u = users_open(path, &why);

	(void)state;
	assert_non_null(u);
	for (int again = 0; again < 2; again++) {
		assert_true(users_verify(u, BYTES_LIT("fred"), BYTES_LIT("pencil")));
		assert_false(users_verify(u, BYTES_LIT("fred"), BYTES_LIT("pencils")));
		assert_false(users_verify(u, BYTES_LIT("fred"), BYTES_LIT("")));
		assert_false(users_verify(u, BYTES_LIT("nobody"), BYTES_LIT("pencil")));
		assert_false(users_verify(u, BYTES_LIT(""), BYTES_LIT("")));
	}
	users_close(&u);
}

static void deleted_and_unknown_users_are_told(void **state)
{
	struct fault why;
	bool found;

	(void)state;
	assert_false(users_delete(path, BYTES_LIT("nobody"), &why));
	assert_non_null(strstr(why.what, "no user \"nobody\""));
	assert_true(users_delete(path, BYTES_LIT("fred"), &why));
	assert_true(users_exists(path, BYTES_LIT("fred"), &found, &why));
	assert_false(found);
	assert_false(users_set_password(path, BYTES_LIT("a:b"), BYTES_LIT("x"), &why));
	assert_true(users_set_password(path, BYTES_LIT("fred"), BYTES_LIT("pencil"), &why));
}

/* Run a whole exchange; returns the server's result. */
static enum sasl_result exchange(struct users *u, const char *mechanism, const char *name, const char *as,
                                 const char *password, char *authzid_r)
{
	struct sasl_client *c = sasl_client_new(mechanism, bytes_of(name), bytes_of(as), bytes_of(password));
	const struct sasl_options o = { .users = u };
	struct sasl_server *s = sasl_server_new(&o, bytes_of(mechanism));
	struct buffer to_server = { 0 }, to_client = { 0 };
	enum sasl_result cr = SASL_MORE, sr = SASL_MORE;
	struct fault why;

	assert_non_null(c);
	assert_non_null(s);
	for (int i = 0; i < 6 && sr == SASL_MORE && cr != SASL_FAIL; i++) {
		buffer_clear(&to_server);
		cr = sasl_client_step(c, buffer_bytes(&to_client), &to_server, &why);
		assert_int_not_equal(cr, SASL_FAIL);
		buffer_clear(&to_client);
		sr = sasl_server_step(s, true, buffer_bytes(&to_server), &to_client, &why);
	}
	if (sr == SASL_OK) {
		(void)snprintf(authzid_r, 64, "%.*s", BYTES_FMT(sasl_server_authzid(s)));
		assert_true(bytes_equal_str(sasl_server_authcid(s), name));
		if (to_client.n > 0) {
			buffer_clear(&to_server);
			assert_int_equal(sasl_client_step(c, buffer_bytes(&to_client), &to_server, &why), SASL_OK);
		}
	}
	sasl_client_free(&c);
	sasl_server_free(&s);
	buffer_fini(&to_server);
	buffer_fini(&to_client);
	return sr;
}

static void both_mechanisms_tell_right_from_wrong(void **state)
{
	static const char *const mechanisms[] = { "PLAIN", "SCRAM-SHA-256" };
	struct fault why;
	struct users *u = users_open(path, &why);
	char as[64];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(exchange(u, mechanisms[i], "fred", "", "pencil", as), SASL_OK);
		assert_string_equal(as, "fred");
		assert_int_equal(exchange(u, mechanisms[i], "proxy", "fred", "p w", as), SASL_OK);
		assert_string_equal(as, "fred");
		assert_int_equal(exchange(u, mechanisms[i], "fred", "", "wrong", as), SASL_FAIL);
		assert_int_equal(exchange(u, mechanisms[i], "nobody", "", "pencil", as), SASL_FAIL);
	}
	users_close(&u);
}

/* GNU SASL as a client that is bound by tls-exporter to BINDING; the server has "exporter". */
static enum sasl_result bound_exchange(struct users *u, const char *password, struct bytes binding)
{
	const struct sasl_options o = { .users = u, .bindings = { .exporter = BYTES_LIT("exporter") }, .offers_plus = true };
	struct sasl_server *s = sasl_server_new(&o, BYTES_LIT("SCRAM-SHA-256-PLUS"));
	struct buffer to_client = { 0 }, text = { 0 };
	enum sasl_result result = SASL_MORE;
	Gsasl_session *client;
	struct fault why;
	Gsasl *ctx;
	char *answer;
	size_t n;

	assert_int_equal(gsasl_init(&ctx), GSASL_OK);
	assert_int_equal(gsasl_client_start(ctx, "SCRAM-SHA-256-PLUS", &client), GSASL_OK);
	base64_encode(&text, binding);
	buffer_add_u8(&text, '\0');
	(void)gsasl_property_set(client, GSASL_AUTHID, "fred");
	(void)gsasl_property_set(client, GSASL_PASSWORD, password);
	(void)gsasl_property_set(client, GSASL_CB_TLS_EXPORTER, (const char *)text.p);
	for (int i = 0; i < 4 && result == SASL_MORE; i++) {
		assert_true(gsasl_step(client, (const char *)to_client.p, to_client.n, &answer, &n) <= GSASL_NEEDS_MORE);
		buffer_clear(&to_client);
		result = sasl_server_step(s, true, bytes_make(answer, n), &to_client, &why);
		gsasl_free(answer);
	}
	if (result == SASL_OK) { /* and we have proved ourselves */
		assert_int_equal(gsasl_step(client, (const char *)to_client.p, to_client.n, &answer, &n), GSASL_OK);
		gsasl_free(answer);
	}
	gsasl_finish(client);
	gsasl_done(ctx);
	buffer_fini(&to_client);
	buffer_fini(&text);
	sasl_server_free(&s);
	return result;
}

static void scram_plus_is_bound(void **state)
{
	const struct sasl_options without = { 0 };
	struct fault why;
	struct users *u = users_open(path, &why);

	(void)state;
	assert_int_equal(bound_exchange(u, "pencil", BYTES_LIT("exporter")), SASL_OK);
	assert_int_equal(bound_exchange(u, "pencil", BYTES_LIT("exported")), SASL_FAIL);
	assert_int_equal(bound_exchange(u, "pencils", BYTES_LIT("exporter")), SASL_FAIL);
	assert_null(sasl_server_new(&without, BYTES_LIT("SCRAM-SHA-256-PLUS")));
	assert_null(sasl_server_new(&without, BYTES_LIT("EXTERNAL")));
	users_close(&u);
}

static void who_is_not_there_gets_a_salt(void **state)
{
	struct users_key a, b, c, again;
	struct fault why;
	struct users *u = users_open(path, &why), *other = users_open(path, &why);

	(void)state;
	assert_false(users_lookup_or_fake(u, BYTES_LIT("nobody"), &a));
	assert_false(users_lookup_or_fake(u, BYTES_LIT("nobody2"), &b));
	assert_true(users_lookup_or_fake(u, BYTES_LIT("fred"), &c));
	assert_false(users_lookup_or_fake(other, BYTES_LIT("nobody"), &again));
	assert_int_equal(a.iterations, c.iterations);
	assert_int_equal(a.salt_size, c.salt_size);
	assert_memory_not_equal(a.salt, b.salt, a.salt_size);
	assert_memory_equal(a.salt, again.salt, a.salt_size);
	users_close(&u);
	users_close(&other);
}

static void mechanisms_are_offered_by_what_there_is(void **state)
{
	static const struct {
		const char *config;
		struct auth_means means;
		const char *want;
	} rows[] = {
		{ "", { .may_send_plain = true }, "SCRAM-SHA-256 PLAIN LOGIN" },
		{ "", { 0 }, "SCRAM-SHA-256" },
		{ "", { .has_oauth = true }, "SCRAM-SHA-256" },
		{ "", { .may_send_plain = true, .has_oauth = true, .has_binding = true, .has_certificate = true },
		  "EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN" },
		{ "sasl_mech_list: plain Oauthbearer\n", { .may_send_plain = true, .has_oauth = true, .has_binding = true }, "OAUTHBEARER PLAIN" },
		{ "sasl_mech_list: PLAIN\n", { 0 }, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fault why;
		struct config *c = config_parse(bytes_of(rows[i].config), "test", &why);
		struct buffer words = { 0 };

		assert_non_null(c);
		auth_mechanisms(c, &rows[i].means, &words);
		assert_true(bytes_equal_str(buffer_bytes(&words), rows[i].want));
		buffer_fini(&words);
		config_free(&c);
	}
}

static void malformed_responses_fail(void **state)
{
	static const struct {
		const char *mechanism;
		struct bytes in;
	} rows[] = {
		{ "PLAIN", { (const uint8_t *)"fred", 4 } },
		{ "PLAIN", { (const uint8_t *)"\0fred", 5 } },
		{ "PLAIN", { (const uint8_t *)"\0\0", 2 } },
		{ "PLAIN", { (const uint8_t *)"", 0 } },
		{ "SCRAM-SHA-256", { (const uint8_t *)"n,,", 3 } },
		{ "SCRAM-SHA-256", { (const uint8_t *)"garbage", 7 } },
	};
	struct fault why;
	struct users *u = users_open(path, &why);
	const struct sasl_options o = { .users = u };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sasl_server *s = sasl_server_new(&o, bytes_of(rows[i].mechanism));
		struct buffer out = { 0 };
		enum sasl_result r = sasl_server_step(s, true, rows[i].in, &out, &why);

		/* An empty first response may only lead to another challenge. */
		assert_true(r == SASL_FAIL || (rows[i].in.n == 0 && r == SASL_MORE));
		sasl_server_free(&s);
		buffer_fini(&out);
	}
	assert_null(sasl_server_new(&o, BYTES_LIT("ANONYMOUS")));
	users_close(&u);
}

static void proxies_and_admins_may_act_for_others(void **state)
{
	struct fault why;
	struct config *c = config_parse(BYTES_LIT("admins: root\nproxyservers: fe1 fe2\n"), "test", &why);

	(void)state;
	assert_true(auth_may_act_as(c, BYTES_LIT("fred"), BYTES_LIT("fred")));
	assert_false(auth_may_act_as(c, BYTES_LIT("fred"), BYTES_LIT("bob")));
	assert_true(auth_may_act_as(c, BYTES_LIT("fe2"), BYTES_LIT("bob")));
	assert_true(auth_may_act_as(c, BYTES_LIT("root"), BYTES_LIT("bob")));
	assert_false(auth_may_send_plain(c, false, false));
	assert_true(auth_may_send_plain(c, true, false));
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_those_of_the_rfc),
		cmocka_unit_test(malformed_lines_are_refused),
		cmocka_unit_test(only_the_right_password_is_right),
		cmocka_unit_test(deleted_and_unknown_users_are_told),
		cmocka_unit_test(both_mechanisms_tell_right_from_wrong),
		cmocka_unit_test(scram_plus_is_bound),
		cmocka_unit_test(who_is_not_there_gets_a_salt),
		cmocka_unit_test(mechanisms_are_offered_by_what_there_is),
		cmocka_unit_test(malformed_responses_fail),
		cmocka_unit_test(proxies_and_admins_may_act_for_others),
	};

	return cmocka_run_group_tests(tests, make_users, drop_users);
}
