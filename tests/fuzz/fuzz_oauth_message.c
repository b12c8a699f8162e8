/* fuzz_oauth_message.c - what a client sends with a token. Input: 'o' (OAUTHBEARER) or 'x' (XOAUTH2), then the message.
 *
 * A token is part of the message and has none but a token's octets; the name is no longer than the message. */
#include "fuzz.h"
#include "oauth_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	bool is_bearer = fuzz_take_octet(&in) != 'x';
	/* Exactly as long as it is, so that a sanitizer sees a read behind its end. */
	uint8_t *exact = malloc(in.n + (in.n == 0));
	struct oauth_message m;
	struct fault why = { 0 };

	FUZZ_CHECK(exact != NULL);
	if (in.n > 0)
		memcpy(exact, in.p, in.n);
	if ((is_bearer ? oauthbearer_parse : xoauth2_parse)(bytes_make(exact, in.n), &m, &why)) {
		FUZZ_CHECK(m.token.n > 0 && m.token.n <= OAUTH_TOKEN_MAX && m.token.p > exact && m.token.p + m.token.n < exact + in.n);
		for (size_t i = 0; i < m.token.n; i++)
			FUZZ_CHECK(m.token.p[i] > ' ' && m.token.p[i] < 0x7f && m.token.p[i] != ',');
		FUZZ_CHECK(m.authzid.n < in.n && (is_bearer || m.authzid.n > 0));
	} else {
		FUZZ_CHECK(why.kind == FAULT_CLIENT || why.kind == FAULT_LIMIT);
	}
	oauth_message_fini(&m);
	free(exact);
	return 0;
}
