/* login_oauth.h - whether a bearer token is right, and whose: by the issuer's public keys (a file, or a URL that is read again in the
 * background), or by asking the issuer (RFC 7662). Any thread. */
#ifndef ROOST_LOGIN_LOGIN_OAUTH_H
#define ROOST_LOGIN_LOGIN_OAUTH_H

#include "buffer.h"
#include "config.h"
#include "fault.h"
#include "login_workers.h"

struct oauth;

enum oauth_result { OAUTH_RIGHT, OAUTH_WRONG, OAUTH_EXPIRED, OAUTH_SCOPE, OAUTH_UNAVAILABLE, OAUTH_ASK };

/* Whether the configuration names anybody who knows about tokens. */
bool oauth_is_wanted(const struct config *c);
/* NULL with WHY: keys are missing or do not fit each other, or the file cannot be read. URLs are not asked yet. */
struct oauth *oauth_open(const struct config *c, struct fault *why);
void oauth_close(struct oauth **o);
/* Read the file of keys again. */
void oauth_reload(struct oauth *o);

/* What can be said at once; NAME_R: appended with OAUTH_RIGHT. OAUTH_ASK: oauth_ask() has to be called. */
enum oauth_result oauth_check(struct oauth *o, struct bytes token, struct buffer *name_r, struct fault *why);
/* The same on a worker's thread: may ask the issuer about the token, or for its keys. */
enum oauth_result oauth_ask(struct oauth *o, struct bytes token, struct worker *on, struct buffer *name_r, struct fault *why);
/* Whether the keys are old enough to be asked for again; says so once for each time. The caller has oauth_refresh() called on a worker. */
bool oauth_is_due(struct oauth *o);
void oauth_refresh(struct oauth *o, struct worker *on);
/* NAME, as a client writes it, as a token names him. */
struct bytes oauth_user_of(const struct oauth *o, struct bytes name);
/* Tokens that are remembered; keys there are. */
void oauth_count(struct oauth *o, size_t *tokens_r, size_t *keys_r);

#endif
