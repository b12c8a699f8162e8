/* sasl_oauth.c - the server's side of OAUTHBEARER (RFC 7628) and XOAUTH2: one message with a token, on which somebody else decides. What is
 * refused is explained in JSON as a challenge; the client answers it with ^A (XOAUTH2: nothing), and the exchange has failed. */
#include "alloc.h"
#include "json.h"
#include "oauth_message.h"
#include "sasl_private.h"

enum sasl_result sasl_oauth_refuse(struct sasl_server *s, const char *status, struct buffer *out)
{
	bool is_xoauth2 = s->mechanism->step == sasl_xoauth2_step;

	s->is_refused = true;
	buffer_add_u8(out, '{');
	json_key_string(out, "status", bytes_of(is_xoauth2 ? "400" : status));
	if (is_xoauth2)
		json_key_string(out, "schemes", BYTES_LIT("bearer"));
	if (s->o.oauth_error != NULL && s->o.oauth_error[0] != '\0') {
		json_sep(out);
		buffer_add_str(out, s->o.oauth_error);
	}
	buffer_add_u8(out, '}');
	return SASL_MORE;
}

static enum sasl_result step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out, struct fault *why,
                             bool (*parse)(struct bytes in, struct oauth_message *m_r, struct fault *why))
{
	struct oauth_message m;
	enum sasl_result result;

	if (!has_response)
		return SASL_MORE;
	if (s->is_refused) {
		(void)fault_set(why, FAULT_CLIENT, "the token was refused");
		return SASL_FAIL;
	}
	if (!parse(response, &m, why) || (m.authzid.n > 0 && !sasl_name_is_fine(buffer_bytes(&m.authzid)))) {
		result = sasl_oauth_refuse(s, "invalid_request", out);
	} else {
		if (m.authzid.n > 0)
			s->authzid = bytes_to_str(buffer_bytes(&m.authzid));
		result = sasl_ask(s, SASL_TOKEN, m.token);
	}
	oauth_message_fini(&m);
	return result;
}

enum sasl_result sasl_oauthbearer_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                       struct fault *why)
{
	return step(s, has_response, response, out, why, oauthbearer_parse);
}

enum sasl_result sasl_xoauth2_step(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                   struct fault *why)
{
	return step(s, has_response, response, out, why, xoauth2_parse);
}
