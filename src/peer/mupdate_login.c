/* mupdate_login.c - from the banner to being authenticated. */
#include "base64.h"
#include "mupdate_client_private.h"
#include "policy.h"

static void send_auth(struct mupdate_client *c, const char *mechanism)
{
	const char *name = config_string(c->o.config, "mupdate_authname");
	const char *password = config_string(c->o.config, "mupdate_password");
	struct buffer raw = { 0 }, text = { 0 }, out = { 0 };
	struct fault why;

	c->sasl = sasl_client_new(mechanism, bytes_of(name), bytes_of(c->o.authzid), bytes_of(password));
	if (c->sasl == NULL || sasl_client_step(c->sasl, BYTES_NONE, &raw, &why) == SASL_FAIL) {
		client_fail(c, "cannot authenticate by %s", mechanism);
		return;
	}
	base64_encode(&text, buffer_bytes(&raw));
	buffer_addf(&out, "L1 AUTHENTICATE \"%s\"", mechanism);
	mupdate_add_string(&out, buffer_bytes(&text));
	buffer_add_str(&out, "\r\n");
	c->state = CLIENT_AUTH;
	conn_write(c->conn, buffer_bytes(&out));
	buffer_fini(&raw);
	buffer_fini(&text);
	buffer_fini(&out);
}

static void banner_over(struct mupdate_client *c)
{
	bool is_tls = conn_is_tls(c->conn);
	const char *mechanism;

	if (!is_tls && c->o.tls != NULL && c->offers_tls && !conn_is_loopback(c->conn)) {
		c->state = CLIENT_STARTTLS;
		conn_write(c->conn, BYTES_LIT("S1 STARTTLS\r\n"));
		return;
	}
	mechanism = sasl_client_choose(buffer_bytes(&c->mechanisms),
	                               auth_may_send_plain(c->o.config, is_tls, conn_is_loopback(c->conn)));
	if (mechanism == NULL)
		client_fail(c, "no common mechanism: the mupdate server offers \"%.*s\"",
		            BYTES_FMT(buffer_bytes(&c->mechanisms)));
	else
		send_auth(c, mechanism);
}

static void banner_line(struct mupdate_client *c, const struct mupdate_line *line)
{
	if (bytes_equal_str(line->word, "AUTH")) {
		for (size_t i = 0; i < line->count; i++) {
			buffer_add(&c->mechanisms, line->args[i]);
			buffer_add_u8(&c->mechanisms, ' ');
		}
	} else if (bytes_equal_str(line->word, "STARTTLS")) {
		c->offers_tls = true;
	} else if (bytes_equal_str(line->word, "X-ROOST")) {
		c->offers_roost = true;
	} else if (bytes_equal_str(line->word, "OK")) {
		banner_over(c);
	} else if (bytes_equal_str(line->word, "NO") || bytes_equal_str(line->word, "BYE")) {
		client_fail(c, "refused: %.*s", BYTES_FMT(line->count > 0 ? line->args[0] : BYTES_NONE));
	}
}

/* The name of the server that its certificate must prove: the host part of the address dialled. */
static void start_tls(struct mupdate_client *c)
{
	struct bytes word = BYTES_NONE;
	char host[256];
	size_t n;

	(void)config_word(c->o.config, "mupdate_server", c->next_address - 1, &word);
	word = bytes_sub(word, 0, bytes_find(word, ':'));
	for (n = 0; n < word.n && n + 1 < sizeof(host); n++)
		host[n] = (char)word.p[n];
	host[n] = '\0';
	conn_start_tls_client(c->conn, c->o.tls, host);
}

void client_login_line(struct mupdate_client *c, const struct mupdate_line *line)
{
	struct bytes text = line->count > 0 ? line->args[0] : BYTES_NONE;
	bool is_ok = bytes_equal_str(line->word, "OK");

	switch (c->state) {
	case CLIENT_BANNER:
		if (bytes_equal_str(line->tag, "*"))
			banner_line(c, line);
		break;
	case CLIENT_STARTTLS:
		if (is_ok)
			start_tls(c);
		else
			client_fail(c, "STARTTLS refused: %.*s", BYTES_FMT(text));
		break;
	case CLIENT_AUTH:
		if (bytes_equal_str(line->tag, "*"))
			break;
		if (is_ok)
			client_came_up(c);
		else
			client_fail(c, "the mupdate server refuses mupdate_authname: %.*s", BYTES_FMT(text));
		break;
	case CLIENT_WAITING:
	case CLIENT_UP:
		break;
	}
}

void client_auth_challenge(struct mupdate_client *c, struct bytes text)
{
	struct buffer raw = { 0 }, answer = { 0 }, out = { 0 };
	struct fault why;

	if (!base64_decode(&raw, text)) {
		client_fail(c, "a challenge is not base64");
	} else if (sasl_client_step(c->sasl, buffer_bytes(&raw), &answer, &why) == SASL_FAIL) {
		client_fail(c, "authentication: %s", why.what);
	} else {
		base64_encode(&out, buffer_bytes(&answer));
		buffer_add_str(&out, "\r\n");
		conn_write(c->conn, buffer_bytes(&out));
	}
	buffer_fini(&raw);
	buffer_fini(&answer);
	buffer_fini(&out);
}
