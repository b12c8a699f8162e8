/* names.h - mailbox names: what a user sees, and the internal form that journal, directory and MUPDATE wire have.
 *
 * Internal (Cyrus's own): levels separated by '.', "user.fred.Work" is Fred's, anything else is shared; with virtual
 * domains "example.com!user.fred", but for the default domain's. A '.' within a level is '^'. Names stay in modified UTF-7 (RFC 3501 section 5.1.3).
 *
 * External, with altnamespace: INBOX, Work, "Other Users/bob/x", "Shared Folders/x"; without: INBOX, INBOX/Work,
 * user/bob/x, x. The separator is '/' with unixhierarchysep, else '.'. Administrators see user/fred/Work and x. Pure. */
#ifndef ROOST_IMAP_NAMES_H
#define ROOST_IMAP_NAMES_H

#include "buffer.h"
#include "bytes.h"
#include "config.h"
#include "fault.h"

/* Longest name in either form, octets. */
#define NAMES_MAX 480

struct names {
	bool alt, unix_sep, virt, is_admin;
	bool is_utf8; /* external names are UTF-8 (RFC 6855, 9051), not modified UTF-7 */
	char sep;
	const char *default_domain; /* users and mailboxes of it have names without a domain; NULL: none. Lent by the configuration */
	struct bytes user;          /* as authenticated; borrowed */
	const struct config *config; /* for the names of special use; borrowed */
};

struct names names_of(const struct config *config, struct bytes user, bool is_admin);

/* Append the internal form of EXTERNAL (a trailing separator is dropped). What is taken is shown under a name that leads
 * back to it. False with WHY (FAULT_CLIENT), TO as before: empty or over-long, an empty level, bad modified UTF-7, a
 * character that no name may hold, the root of a namespace, or a name that would be another user's tree root ("Other
 * Users"). */
bool names_to_internal(const struct names *n, struct bytes external, struct buffer *to, struct fault *why);
/* Append the external form of INTERNAL, as N's user sees it. */
void names_to_external(const struct names *n, struct bytes internal, struct buffer *to);

/* Whether N's user can name INTERNAL at all: other domains than his own only an administrator can. What is not visible is
 * not listed: the external form leaves the domain out. */
bool names_is_visible(const struct names *n, struct bytes internal);

/* Whose a recipient's ADDRESS is, "user", "user@domain", "user+folder@domain" (the domain counts with virtual domains): append the user to
 * USER, and to FOLDER the internal name of the folder, which need not be there. Levels are separated as in all names, whatever the
 * namespace. IN_LOWER_CASE: what stands before '+' is taken so. With `postuser` before '+' it is a shared folder, and there is no user. What there is not, or cannot be, stays empty. */
void names_recipient(const struct config *config, struct bytes address, bool in_lower_case, struct buffer *user, struct buffer *folder);

/* Append the internal name of USER's INBOX. */
void names_inbox(const struct names *n, struct bytes user, struct buffer *to);
/* Whether INTERNAL is USER's: his INBOX or below it. */
bool names_is_owner(const struct names *n, struct bytes internal, struct bytes user);
bool names_is_inbox(const struct names *n, struct bytes internal, struct bytes user);
/* Append the owner of a personal mailbox as a user name; false and nothing for a shared one. */
bool names_owner(const struct names *n, struct bytes internal, struct buffer *to);
/* Whether CHILD is below PARENT (both internal). */
bool names_is_below(struct bytes child, struct bytes parent);

/* "\Sent" and the like for INTERNAL as N's user's own mailbox, by the specialuse_ keys; NULL: none. */
const char *names_special_use(const struct names *n, struct bytes internal);

/* Append the data of the NAMESPACE response (RFC 2342): three lists. */
void names_write_namespace(const struct names *n, struct buffer *to);
/* The prefixes of the three kinds as external names, without the trailing separator; "" for the top level. */
const char *names_others_prefix(const struct names *n);
const char *names_shared_prefix(const struct names *n);

/* Append the one as the other. To modified UTF-7 false, TO in part: not UTF-8, or a control. To UTF-8 what is no modified UTF-7 is
 * left as it is. */
bool names_utf8_to_mutf7(struct bytes utf8, struct buffer *to);
void names_mutf7_to_utf8(struct bytes mutf7, struct buffer *to);
/* Modified UTF-7 with nothing that should have been plain ASCII. */
bool names_is_mutf7(struct bytes text);

#endif
