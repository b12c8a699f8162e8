/* dir_members.c - the rows that say who is a member of which server, taken apart, checked, and searched. */
#include "dir_members.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "policy.h"
#include "reign_registry.h"

#define ADDRESS_TEXT_MAX 64
#define WORD_SHOWN 100 /* octets of a wrong word in a message */

/* One word of a row; without an account, or without an address, or with both. */
struct member_word {
	struct bytes member, account;
	bool has_address;
	struct in6_addr address; /* IPv4 as v4-mapped */
};

static bool read_address(struct bytes text, struct in6_addr *to)
{
	char s[ADDRESS_TEXT_MAX];
	struct in_addr v4;

	if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		text = bytes_sub(text, 1, text.n - 2);
	if (text.n == 0 || text.n >= sizeof(s) || bytes_find(text, '\0') < text.n)
		return false;
	memcpy(s, text.p, text.n);
	s[text.n] = '\0';
	if (inet_pton(AF_INET6, s, to) == 1)
		return true;
	if (inet_pton(AF_INET, s, &v4) != 1)
		return false;
	memset(to, 0, sizeof(*to));
	to->s6_addr[10] = to->s6_addr[11] = 0xff;
	memcpy(&to->s6_addr[12], &v4, sizeof(v4));
	return true;
}

static struct bytes take_word(struct bytes *row)
{
	struct bytes word;
	size_t n = 0;

	*row = bytes_trim(*row);
	while (n < row->n && row->p[n] != ' ' && row->p[n] != '\t')
		n++;
	word = bytes_sub(*row, 0, n);
	*row = bytes_from(*row, n);
	return word;
}

/* Whether WORD is one: *WORD_R is set as far as it goes. */
static bool read_word(struct bytes word, struct member_word *word_r)
{
	size_t mark = bytes_find(word, '='), at;
	struct bytes who;

	*word_r = (struct member_word){ .member = bytes_sub(word, 0, mark) };
	if (mark >= word.n)
		return false;
	who = bytes_from(word, mark + 1);
	at = bytes_rfind(who, '@');
	if (read_address(who, &word_r->address)) {
		word_r->has_address = true;
	} else if (at < who.n && read_address(bytes_from(who, at + 1), &word_r->address)) {
		word_r->has_address = true;
		word_r->account = bytes_sub(who, 0, at);
		if (at == 0)
			return false;
	} else {
		word_r->account = who;
	}
	return word_r->member.n > 0 && who.n > 0;
}

static bool is_same_login(const struct member_word *a, const struct member_word *b)
{
	return bytes_equal(a->account, b->account) && a->has_address == b->has_address &&
	       (!a->has_address || memcmp(&a->address, &b->address, sizeof(a->address)) == 0);
}

/* The first word of all rows that names the same login as WORD: WORD itself, if none does before. */
static const uint8_t *first_of_login(const struct config *c, const struct member_word *word)
{
	const char *server, *value;

	for (size_t i = 0; config_family(c, "members-", i, &server, &value); i++) {
		struct bytes row = bytes_of(value), text;
		struct member_word other;

		while ((text = take_word(&row)).n > 0) {
			if (read_word(text, &other) && is_same_login(&other, word))
				return other.member.p;
		}
	}
	return word->member.p;
}

static const char *word_complaint(const struct config *c, struct bytes text)
{
	struct member_word word;

	if (!read_word(text, &word))
		return "is not MEMBER=AUTHNAME, MEMBER=ADDRESS or MEMBER=AUTHNAME@ADDRESS";
	if (word.member.n > REGISTRY_TEXT_MAX)
		return "has too long a member's name";
	if (word.account.n > 0 && auth_is_admin(c, word.account))
		return "names one of admins, who is nobody's member: give the members an account of their own";
	if (first_of_login(c, &word) != word.member.p)
		return "names a login that another word names before";
	return NULL;
}

static bool check_row(const struct config *c, const char *key, struct bytes row, struct fault *why)
{
	struct bytes text, members[SERVER_MEMBERS_MAX];
	size_t count = 0;

	while ((text = take_word(&row)).n > 0) {
		const char *complaint = word_complaint(c, text);
		struct bytes member = bytes_sub(text, 0, bytes_find(text, '='));
		size_t i = 0;

		if (complaint != NULL)
			return config_fault(c, key, why, "\"%.*s\" %s", BYTES_FMT(bytes_sub(text, 0, WORD_SHOWN)), complaint);
		while (i < count && !bytes_equal(members[i], member))
			i++;
		if (i == SERVER_MEMBERS_MAX)
			return config_fault(c, key, why, "names more than %d members", SERVER_MEMBERS_MAX);
		members[i] = member;
		count = i == count ? count + 1 : count;
	}
	return count > 0 || config_fault(c, key, why, "names no members");
}

bool dir_members_check(const struct config *c, struct fault *why)
{
	const char *server, *value;

	for (size_t i = 0; config_family(c, "members-", i, &server, &value); i++) {
		char *key = must_printf("members-%s", server);
		bool ok = check_row(c, key, bytes_of(value), why);

		free(key);
		if (!ok)
			return false;
	}
	return true;
}

bool dir_members_has(const struct config *c, struct bytes server)
{
	const char *named, *value;

	for (size_t i = 0; config_family(c, "members-", i, &named, &value); i++) {
		if (bytes_equal_nocase_str(server, named))
			return true;
	}
	return false;
}

bool dir_members_next(struct bytes *row, struct bytes *member_r)
{
	struct bytes text = take_word(row);

	*member_r = bytes_sub(text, 0, bytes_find(text, '='));
	return text.n > 0;
}

/* How well WORD fits a login; 0: not at all. */
static int fit(const struct member_word *word, struct bytes account, const struct in6_addr *from)
{
	if (word->account.n > 0 && !bytes_equal(word->account, account))
		return 0;
	if (word->has_address && (from == NULL || memcmp(&word->address, from, sizeof(*from)) != 0))
		return 0;
	return (word->account.n > 0 ? 2 : 0) + (word->has_address ? 1 : 0);
}

/* Whether ACCOUNT is somebody whatever its address: that of a machine that is a SERVER's member does not change it. */
static bool is_others(const struct config *c, struct bytes account, const char *server)
{
	return auth_is_proxy(c, account) ||
	       (config_has_word(c, "servers", account) && !bytes_equal_nocase_str(account, server));
}

bool dir_members_find(const struct config *c, struct bytes account, const char *peer, const char **server_r,
                      struct bytes *member_r)
{
	struct bytes host = bytes_of(peer);
	const char *server, *value;
	struct in6_addr from;
	bool is_known;
	int best = 0;

	is_known = read_address(bytes_sub(host, 0, bytes_rfind(host, ':')), &from);
	for (size_t i = 0; config_family(c, "members-", i, &server, &value); i++) {
		struct bytes row = bytes_of(value), text;
		struct member_word word;

		while ((text = take_word(&row)).n > 0) {
			int n = read_word(text, &word) ? fit(&word, account, is_known ? &from : NULL) : 0;

			if (n > best && (word.account.n > 0 || !is_others(c, account, server))) {
				best = n;
				*server_r = server;
				*member_r = word.member;
			}
		}
	}
	return best > 0;
}
