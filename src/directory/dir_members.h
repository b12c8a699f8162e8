/* dir_members.h - who is who in a server whose members do not join, by the configuration's rows
 *
 *     members-SERVER: MEMBER=AUTHNAME MEMBER=ADDRESS MEMBER=AUTHNAME@ADDRESS ...
 *
 * Such members are another mail server's: they speak RFC 3656 only, and log in for one command. An ADDRESS is IPv4 or
 * IPv6 in numbers (a prefix [ ] is allowed); a member may have several words. Of the words that fit a login the most
 * precise counts: AUTHNAME@ADDRESS before AUTHNAME before ADDRESS. An administrator is nobody's member, and an ADDRESS
 * alone takes in no frontend's and no other server's account. Any thread. */
#ifndef ROOST_DIRECTORY_DIR_MEMBERS_H
#define ROOST_DIRECTORY_DIR_MEMBERS_H

#include "config.h"

/* Check every row. False with WHY naming the file, the line and the word. */
bool dir_members_check(const struct config *c, struct fault *why);
/* Whether SERVER (in any case of letters) has a row. */
bool dir_members_has(const struct config *c, struct bytes server);
/* Take the next word of a row that was checked off *ROW. False: that was all. */
bool dir_members_next(struct bytes *row, struct bytes *member_r);
/* The server and member that a login of ACCOUNT from PEER ("192.0.2.1:4711", "[2001:db8::1]:4711") counts as, lent by
 * the configuration. False: no row names it. */
bool dir_members_find(const struct config *c, struct bytes account, const char *peer, const char **server_r,
                      struct bytes *member_r);

#endif
