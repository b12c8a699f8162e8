/* ground.c - clock, log and SASL in place of src/base and src/auth. A member's clock is the world's, with its own rate. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "log.h"
#include "sasl.h"
#include "whole.h"

uint64_t member_ms(const struct whole_member *m)
{
	return m->offset_ms + m->ghost_ms + (uint64_t)((double)w.now * m->rate / 1000);
}

uint64_t clock_mono_ms(void)
{
	return w.current == NULL ? w.now / 1000 : member_ms(w.current);
}

uint64_t clock_mono_ns(void)
{
	return clock_mono_ms() * 1000000;
}

int64_t clock_wall_us(void)
{
	return (int64_t)(1700000000ull * SECOND + w.now);
}

int64_t clock_wall_s(void)
{
	return clock_wall_us() / 1000000;
}

/* Events go to the trace. */
void log_fields(enum log_level level, const char *name, const struct log_field *fields)
{
	struct buffer line = { 0 };

	if (w.trace == NULL || w.current == NULL || w.current->is_ghost || level == LOG_DEBUG)
		return;
	for (const struct log_field *f = fields; f->key != NULL; f++) {
		if (f->type == LOG_FIELD_TEXT)
			buffer_addf(&line, " %s=\"%.*s\"", f->key, BYTES_FMT(f->text));
		else
			buffer_addf(&line, " %s=%llu", f->key, (unsigned long long)f->u64);
	}
	tell("%s: %s%.*s", node_names[w.current->self], name, BYTES_FMT(buffer_bytes(&line)));
	buffer_fini(&line);
}

void log_set_level(enum log_level level)
{
	(void)level;
}

bool log_is_on(enum log_level level)
{
	return level != LOG_DEBUG;
}

/* SASL: who dials says who it is, and is believed. One exchange each way, as with SCRAM's last two messages. */
struct sasl_client {
	char *authcid, *authzid;
	bool has_begun;
};

struct sasl_server {
	char *authcid, *authzid;
};

struct sasl_client *sasl_client_new(const char *mechanism, struct bytes authcid, struct bytes authzid, struct bytes password)
{
	struct sasl_client *c = must_calloc(1, sizeof(*c));

	(void)mechanism;
	(void)password;
	c->authcid = bytes_to_str(authcid);
	c->authzid = bytes_to_str(authzid);
	return c;
}

void sasl_client_free(struct sasl_client **c)
{
	if (*c != NULL) {
		free((*c)->authcid);
		free((*c)->authzid);
		free(*c);
	}
	*c = NULL;
}

enum sasl_result sasl_client_step(struct sasl_client *c, struct bytes challenge, struct buffer *out, struct fault *why)
{
	(void)challenge;
	(void)why;
	if (c->has_begun)
		return SASL_OK;
	c->has_begun = true;
	buffer_add_str(out, c->authcid);
	buffer_add_str(out, " ");
	buffer_add_str(out, c->authzid);
	return SASL_MORE;
}

struct sasl_server *sasl_server_new(const struct sasl_options *options, struct bytes mechanism)
{
	(void)options;
	(void)mechanism;
	return must_calloc(1, sizeof(struct sasl_server));
}

void sasl_server_free(struct sasl_server **s)
{
	if (*s != NULL) {
		free((*s)->authcid);
		free((*s)->authzid);
		free(*s);
	}
	*s = NULL;
}

enum sasl_result sasl_server_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                  struct fault *why)
{
	size_t n = bytes_find(response, ' ');

	(void)has_response;
	(void)why;
	s->authcid = bytes_to_str(bytes_sub(response, 0, n));
	s->authzid = bytes_to_str(bytes_from(response, n + 1));
	buffer_add_str(out, "welcome");
	return SASL_OK;
}

struct bytes sasl_server_authcid(const struct sasl_server *s)
{
	return bytes_of(s->authcid);
}

struct bytes sasl_server_authzid(const struct sasl_server *s)
{
	return bytes_of(s->authzid);
}
