/* lmtp_reply.c - three digits, a separator, text. */
#include "lmtp_reply.h"

bool lmtp_reply_parse(struct bytes line, struct lmtp_reply *reply_r)
{
	uint64_t code;

	if (!bytes_to_u64(bytes_sub(line, 0, 3), 599, &code) || line.n < 3 || code < 200)
		return false;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return false;
	*reply_r = (struct lmtp_reply){ (unsigned)code, line.n == 3 || line.p[3] == ' ', bytes_from(line, 4) };
	return true;
}
