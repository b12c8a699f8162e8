/* url.h - reading what an IMAP URL names: for CATENATE (RFC 4469) and URLFETCH (RFC 4467). On the session's loop. */
#ifndef ROOST_BACKEND_IMAP_URL_H
#define ROOST_BACKEND_IMAP_URL_H

#include "imap_session.h"
#include "imap_url.h"

enum url_result {
	URL_READ,
	URL_BAD,     /* there is no such thing, or it may not be read: nobody is told which */
	URL_TOO_BIG, /* more octets than the limit, or than may still be read */
	URL_FAILED,  /* the octets cannot be read now: WHY */
};

/* Whose eyes read: names as he sees them, his rights. */
struct url_reader {
	struct names names;
	struct bytes user;
	bool is_admin;
	struct box *box; /* for a URL without a mailbox; NULL: there is none */
	size_t budget;   /* octets that may still be read: to pick a field out of a long header costs all of it */
};
/* The session's user, with the mailbox that he has selected; he may read as much as one command may bring. */
struct url_reader url_reader_of(const struct session *s);
/* Whether the host that U names, if it names one, is this murder (`imap_url_hosts`). */
bool url_is_here(const struct config *cfg, const struct imap_url *u);
/* The mailbox of U and what the reader may do there. URL_READ, URL_BAD, URL_FAILED. */
enum url_result url_mailbox(struct store_view *v, const struct url_reader *r, const struct imap_url *u, struct mailbox *m_r,
                            acl_rights_t *rights_r, struct fault *why);
/* Append what U names, at most LIMIT octets. Its access is not looked at: who reads has been decided. */
enum url_result url_read(struct store_view *v, struct url_reader *r, const struct imap_url *u, size_t limit, struct buffer *to,
                         struct fault *why);

#endif
