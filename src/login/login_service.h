/* login_service.h - what all logins of one daemon share: the gate, who is asked about passwords and tokens, counters. */
#ifndef ROOST_LOGIN_LOGIN_SERVICE_H
#define ROOST_LOGIN_LOGIN_SERVICE_H

#include "buffer.h"
#include "config.h"
#include "fault.h"
#include "users.h"

struct login;
struct login_check;
struct login_service;

/* FOR_PEOPLE: tokens and saslauthd are of use here; else daemons log in, whom the users_file knows. CONFIG and USERS are lent. NULL with
 * WHY: a key's value is wrong, a file cannot be read. */
struct login_service *login_service_open(const struct config *config, struct users *users, bool for_people, struct fault *why);
/* Ask nobody any more; logins that wait are told. Before the loops are stopped. NULL is allowed. */
void login_service_stop(struct login_service *s);
/* When there are no logins any more. */
void login_service_close(struct login_service **s);
/* Read files of keys again (SIGHUP). */
void login_service_reload(struct login_service *s);
/* Append metrics. Any thread. */
void login_service_metrics(struct login_service *s, struct buffer *to);

#endif
