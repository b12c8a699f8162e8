/* fuzz_sasl_server.c - an exchange with whoever connects. Input: the mechanism LF, then a response a line; a line "-" stands
 * for none given.
 *
 * Nobody gets in but the one user, and only by what ends an exchange. */
#include <unistd.h>

#include "fuzz.h"
#include "sasl.h"
#include "users_private.h"

static char path[] = "/tmp/roost-fuzz-users-XXXXXX";

static void remove_file(void)
{
	(void)unlink(path);
}

/* One user with few iterations, so that trying a password is quick. */
static struct users *open_users(void)
{
	struct users_key key = { .iterations = 1, .salt_size = 4, .salt = "salt" };
	struct buffer line = { 0 };
	struct users *users;
	struct fault why;
	int fd = mkstemp(path);

	FUZZ_CHECK(fd >= 0 && atexit(remove_file) == 0);
	FUZZ_CHECK(users_derive(BYTES_LIT("pass"), key.salt, key.salt_size, key.iterations, key.stored, key.server));
	users_line_write(&line, BYTES_LIT("fred"), &key);
	FUZZ_CHECK(write(fd, line.p, line.n) == (ssize_t)line.n);
	(void)close(fd);
	users = users_open(path, &why);
	FUZZ_CHECK(users != NULL);
	buffer_fini(&line);
	return users;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct users *users;
	struct bytes in = bytes_make(data, size);
	struct sasl_options o = { .bindings = { BYTES_LIT("exporter"), BYTES_LIT("end-point"), BYTES_LIT("unique") }, .offers_plus = true,
		                  .certificate = BYTES_LIT("fred"), .oauth_error = "" };
	struct sasl_server *s;
	enum sasl_result result = SASL_MORE;
	struct buffer out = { 0 };
	struct sasl_question q;
	struct fault why;

	if (users == NULL)
		users = open_users();
	o.users = users;
	s = sasl_server_new(&o, fuzz_take_line(&in));
	if (s == NULL)
		return 0;
	for (int steps = 0; result == SASL_MORE && in.n > 0 && steps < 6; steps++) {
		struct bytes line = fuzz_take_line(&in);
		/* Exactly as long as it is, so that a sanitizer sees a read behind its end. */
		uint8_t *exact = malloc(line.n + (line.n == 0));

		FUZZ_CHECK(exact != NULL);
		if (line.n > 0)
			memcpy(exact, line.p, line.n);
		result = sasl_server_step(s, !bytes_equal_str(line, "-"), bytes_make(exact, line.n), &out, &why);
		free(exact);
		if (result == SASL_ASK) {
			sasl_server_question(s, &q);
			FUZZ_CHECK(q.kind == SASL_TOKEN && q.secret.n > 0);
			fuzz_touch(q.secret);
			result = sasl_server_verdict(s, bytes_equal_str(q.secret, "right") ? SASL_RIGHT : SASL_WRONG, BYTES_LIT("fred"), &out, &why);
		}
		FUZZ_CHECK(out.n < 4096);
	}
	if (result == SASL_OK) {
		FUZZ_CHECK(bytes_equal_str(sasl_server_authcid(s), "fred"));
		FUZZ_CHECK(sasl_server_authzid(s).n > 0);
		fuzz_touch(sasl_server_authzid(s));
	}
	sasl_server_free(&s);
	buffer_fini(&out);
	return 0;
}
