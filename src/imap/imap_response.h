/* imap_response.h - a server's responses, as a proxy reads them: segment by segment, a segment being the octets up to a
 * line end, which may announce a literal (RFC 3501 section 4.3). Pure. */
#ifndef ROOST_IMAP_RESPONSE_H
#define ROOST_IMAP_RESPONSE_H

#include "bytes.h"

/* Find the first segment of IN: *n_r octets with its line end; *literal_r the octets of the literal that follows, 0 if it
 * ends a response (HAS_LITERAL_R tells an empty literal apart). False: there is no line end yet. */
bool imap_response_segment(struct bytes in, size_t *n_r, bool *has_literal_r, uint64_t *literal_r);

/* Take a response's first segment apart: "TAG STATUS rest", "* WORD rest", "+ rest". Borrowed from SEGMENT. */
struct imap_response {
	bool is_untagged, is_continuation;
	struct bytes tag;
	struct bytes word; /* OK, NO, BAD, BYE, PREAUTH, CAPABILITY, ... or a number */
	struct bytes rest; /* without the line end */
	struct bytes code; /* of a status: what stands between [ and ]; empty if none */
	struct bytes text; /* of a status: behind the code */
};
bool imap_response_parse(struct bytes segment, struct imap_response *r_r);

#endif
