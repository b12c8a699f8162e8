/* sasl_private.h - a server's exchange, for the files that each have a mechanism. */
#ifndef ROOST_AUTH_SASL_PRIVATE_H
#define ROOST_AUTH_SASL_PRIVATE_H

#include "sasl.h"

#define SASL_PASSWORD_MAX 1024

struct scram;

typedef enum sasl_result sasl_step_fn(struct sasl_server *s, bool has_response, struct bytes response, struct buffer *out,
                                      struct fault *why);

struct sasl_mechanism {
	const char *name;
	sasl_step_fn *step;
	bool is_plus;
};

struct sasl_server {
	const struct sasl_mechanism *mechanism;
	struct sasl_options o;
	char *authcid, *authzid; /* owned; set once known */
	struct bytes secret;     /* owned; a password or token that is asked about; wiped */
	enum sasl_question_kind asked;
	bool is_refused;         /* a token was; the client has been told why */
	unsigned step;
	struct scram *scram;     /* owned */
};

sasl_step_fn sasl_scram_step, sasl_oauthbearer_step, sasl_xoauth2_step;
void sasl_scram_free(struct scram **x);
/* What a refused token is answered with. */
enum sasl_result sasl_oauth_refuse(struct sasl_server *s, const char *status, struct buffer *out);

/* Whether it can be anybody's name: 1 to USERS_NAME_MAX octets, no controls. */
bool sasl_name_is_fine(struct bytes name);
/* NAME proves itself, and wants to act as AUTHZID (empty: as itself). */
void sasl_set_names(struct sasl_server *s, struct bytes name, struct bytes authzid);
/* SECRET is kept and asked about. */
enum sasl_result sasl_ask(struct sasl_server *s, enum sasl_question_kind kind, struct bytes secret);

#endif
