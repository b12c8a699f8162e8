/* imap_url.h - IMAP URLs that name a message or a part of one (RFC 5092 section 11; of RFC 4467 what authorizes them), absolute or
 * relative. Pure. */
#ifndef ROOST_IMAP_IMAP_URL_H
#define ROOST_IMAP_IMAP_URL_H

#include "arena.h"
#include "fault.h"
#include "imap_command.h"

/* Longest URL that is looked at, octets. */
#define IMAP_URL_MAX 4096

enum imap_url_access {
	URL_ACCESS_NONE,      /* no ";URLAUTH=" */
	URL_ACCESS_SUBMIT,    /* "submit+" access_user */
	URL_ACCESS_USER,      /* "user+" access_user */
	URL_ACCESS_AUTHUSER,
	URL_ACCESS_ANONYMOUS,
};

/* Decoded; in the arena, or borrowed from the URL. */
struct imap_url {
	bool has_server;           /* "imap://..." or "//..." */
	bool has_scheme;           /* the former */
	struct bytes user, host;   /* user.p NULL: none is named */
	struct bytes mailbox;      /* external name, UTF-8; p NULL: the one that is selected */
	uint32_t uidvalidity, uid; /* 0: not named */
	struct fetch_item section; /* FETCH_SECTION; without one SECTION_ALL of no part; partial included, length 0: to the end */
	bool has_expire;
	int64_t expire; /* seconds since 1970 UTC */
	enum imap_url_access access;
	struct bytes access_user;
	struct bytes rump;         /* the URL up to and with its access: what a verifier is for; empty without ";URLAUTH=" */
	struct bytes mechanism, verifier; /* p NULL: none behind the rump */
};

/* Parse TEXT, the whole of it. False with WHY (client or limit). */
bool imap_url_parse(struct bytes text, const struct imap_command_limits *limits, struct arena *a, struct imap_url *url_r,
                    struct fault *why);
/* Append TEXT as it may stand in a response code in brackets (RFC 4469 section 5): what may not is "%XX". */
void imap_url_write_safe(struct buffer *to, struct bytes text);

#endif
