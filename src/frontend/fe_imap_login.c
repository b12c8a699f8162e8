/* fe_imap_login.c - greeting, STARTTLS, AUTHENTICATE, capabilities: of the OK's code as most servers tell them, else asked for. */
#include "fe_imap_login.h"

#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "imap_response.h"
#include "log.h"
#include "policy.h"

/* More is not looked at. */
#define CAPABILITIES_MAX 8192

static enum imap_login_result fail(const char **why_r, const char *why)
{
	*why_r = why;
	return IMAP_LOGIN_FAILED;
}

static void send_base64(struct conn *c, const char *prefix, struct bytes raw)
{
	struct buffer out = { 0 };

	buffer_add_str(&out, prefix);
	if (raw.n == 0 && prefix[0] != '\0')
		buffer_add_u8(&out, '=');
	base64_encode(&out, raw);
	buffer_add_str(&out, "\r\n");
	conn_write(c, buffer_bytes(&out));
	buffer_fini(&out);
}

static enum imap_login_result authenticate(struct imap_login *g, struct conn *c, const char **why_r)
{
	const struct config *cfg = g->fe->config;
	const char *mechanism = auth_may_send_plain(cfg, conn_is_tls(c), conn_is_loopback(c)) ? "PLAIN" : "SCRAM-SHA-256";
	enum imap_login_result result = IMAP_LOGIN_MORE;
	struct buffer first = { 0 };
	char prefix[64];
	struct fault why;

	g->sasl = sasl_client_new(mechanism, bytes_of(config_string(cfg, "proxy_authname")), bytes_of(g->user),
	                          bytes_of(config_string(cfg, "proxy_password")));
	if (g->sasl == NULL || sasl_client_step(g->sasl, BYTES_NONE, &first, &why) == SASL_FAIL) {
		result = fail(why_r, "cannot authenticate");
	} else {
		(void)snprintf(prefix, sizeof(prefix), "FA AUTHENTICATE %s ", mechanism);
		g->state = IMAP_LOGIN_AUTH;
		send_base64(c, prefix, buffer_bytes(&first));
	}
	buffer_fini(&first);
	return result;
}

static enum imap_login_result on_greeting(struct imap_login *g, struct conn *c, const struct imap_response *r, const char **why_r)
{
	if (!r->is_untagged || !bytes_equal_nocase_str(r->word, "OK"))
		return fail(why_r, bytes_equal_nocase_str(r->word, "BYE") ? "it is not the master" : "it does not greet");
	if (!conn_is_tls(c) && !conn_is_loopback(c) && g->fe->tls_client != NULL &&
	    bytes_search(r->code, BYTES_LIT("STARTTLS")) < r->code.n) {
		g->state = IMAP_LOGIN_STARTTLS;
		conn_write(c, BYTES_LIT("FT STARTTLS\r\n"));
		return IMAP_LOGIN_MORE;
	}
	return authenticate(g, c, why_r);
}

static enum imap_login_result on_starttls(struct imap_login *g, struct conn *c, const struct imap_response *r, const char **why_r)
{
	char host[PLACES_ADDRESS_MAX];
	char *colon;

	if (!bytes_equal_str(r->tag, "FT") || !bytes_equal_nocase_str(r->word, "OK"))
		return fail(why_r, "it refuses STARTTLS");
	(void)snprintf(host, sizeof(host), "%s", g->address);
	colon = strrchr(host, ':');
	if (colon != NULL)
		*colon = '\0';
	conn_start_tls_client(c, g->fe->tls_client, host);
	return IMAP_LOGIN_MORE;
}

static void keep(struct imap_login *g, struct bytes list)
{
	buffer_clear(&g->capabilities);
	buffer_add(&g->capabilities, bytes_trim(bytes_sub(list, 0, CAPABILITIES_MAX)));
}

static enum imap_login_result on_auth(struct imap_login *g, struct conn *c, const struct imap_response *r, const char **why_r)
{
	enum imap_login_result result = IMAP_LOGIN_MORE;
	struct buffer raw = { 0 }, out = { 0 };
	struct fault why;

	if (r->is_continuation) {
		if (!base64_decode(&raw, bytes_trim(r->rest)) ||
		    sasl_client_step(g->sasl, buffer_bytes(&raw), &out, &why) == SASL_FAIL)
			result = fail(why_r, "its challenge is wrong");
		else
			send_base64(c, "", buffer_bytes(&out));
	} else if (bytes_equal_str(r->tag, "FA") && !bytes_equal_nocase_str(r->word, "OK")) {
		log_event(LOG_ERROR, "frontend.imap.auth_refused", LOG_STR("backend", g->address), LOG_BYTES("answer", r->rest));
		result = fail(why_r, "it refuses proxy_authname");
	} else if (bytes_equal_str(r->tag, "FA") && bytes_starts_nocase(r->code, BYTES_LIT("CAPABILITY "))) {
		keep(g, bytes_from(r->code, strlen("CAPABILITY ")));
		result = IMAP_LOGIN_DONE;
	} else if (bytes_equal_str(r->tag, "FA")) {
		g->state = IMAP_LOGIN_ASKING;
		conn_write(c, BYTES_LIT("FC CAPABILITY\r\n"));
	}
	buffer_fini(&raw);
	buffer_fini(&out);
	return result;
}

enum imap_login_result imap_login_line(struct imap_login *g, struct conn *c, struct bytes line, const char **why_r)
{
	struct imap_response r;

	if (!imap_response_parse(line, &r))
		return fail(why_r, "what it says is not IMAP");
	if (r.is_untagged && bytes_equal_nocase_str(r.word, "BYE") && g->state != IMAP_LOGIN_GREETING)
		return fail(why_r, "it is not the master");
	switch (g->state) {
	case IMAP_LOGIN_GREETING:
		return on_greeting(g, c, &r, why_r);
	case IMAP_LOGIN_STARTTLS:
		return on_starttls(g, c, &r, why_r);
	case IMAP_LOGIN_AUTH:
		return on_auth(g, c, &r, why_r);
	case IMAP_LOGIN_ASKING:
		if (r.is_untagged && bytes_equal_nocase_str(r.word, "CAPABILITY"))
			keep(g, r.rest);
		return bytes_equal_str(r.tag, "FC") ? IMAP_LOGIN_DONE : IMAP_LOGIN_MORE;
	}
	return IMAP_LOGIN_MORE;
}

enum imap_login_result imap_login_ready(struct imap_login *g, struct conn *c, const char **why_r)
{
	return g->state == IMAP_LOGIN_STARTTLS ? authenticate(g, c, why_r) : IMAP_LOGIN_MORE;
}

void imap_login_fini(struct imap_login *g)
{
	sasl_client_free(&g->sasl);
	buffer_fini(&g->capabilities);
}
