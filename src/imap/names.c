/* names.c - the two forms of a name, by namespace, separator and domain. Each way has one function per namespace;
 * what one makes is tried the other way before it is taken, so that both stay inverse to each other. */
#include "names.h"

#include <string.h>

#define OTHERS "Other Users"
#define SHARED "Shared Folders"
/* By so much the external form may be longer than the internal one. */
#define PREFIX_MAX 16

static bool is_word(const struct config *config, const char *key, const char *word)
{
	return bytes_equal_nocase_str(bytes_of(config_string(config, key)), word);
}

struct names names_of(const struct config *config, struct bytes user, bool is_admin)
{
	struct names n = { .alt = config_switch(config, "altnamespace") && !is_admin,
		           .unix_sep = config_switch(config, "unixhierarchysep"),
		           .virt = !is_word(config, "virtdomains", "off") && !is_word(config, "virtdomains", "no"),
		           .default_domain = config_string(config, "defaultdomain"),
		           .is_admin = is_admin,
		           .user = user,
		           .config = config };

	n.sep = n.unix_sep ? '/' : '.';
	return n;
}

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == ',' ? 63 : -1;
}

/* The UTF-16 of one shifted run: no lone surrogates, no printable ASCII. */
static bool is_good_run(struct bytes run)
{
	uint32_t bits = 0, high = 0;
	unsigned have = 0;

	for (size_t i = 0; i < run.n; i++) {
		int v = base64_value(run.p[i]);
		uint32_t unit;

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 16)
			continue;
		have -= 16;
		unit = bits >> have & 0xffff;
		bits &= (1u << have) - 1;
		if (high != 0 ? unit < 0xdc00 || unit > 0xdfff : unit >= 0xdc00 && unit <= 0xdfff)
			return false;
		high = unit >= 0xd800 && unit <= 0xdbff ? unit : 0;
		if (unit >= 0x20 && unit <= 0x7e)
			return false;
		if (unit == 0)
			return false;
	}
	return run.n > 0 && have < 6 && bits == 0 && high == 0;
}

bool names_is_mutf7(struct bytes text)
{
	while (text.n > 0) {
		size_t end;

		if (text.p[0] < ' ' || text.p[0] > '~')
			return false;
		if (text.p[0] != '&') {
			text = bytes_from(text, 1);
			continue;
		}
		end = bytes_find(text, '-');
		if (end == text.n || (end > 1 && !is_good_run(bytes_sub(text, 1, end - 1))))
			return false;
		text = bytes_from(text, end + 1);
	}
	return true;
}

/* Append one or more levels, the separator and '.' exchanged for the internal ones. */
static void add_levels(const struct names *n, struct buffer *to, struct bytes external)
{
	for (size_t i = 0; i < external.n; i++) {
		uint8_t c = external.p[i];

		buffer_add_u8(to, c == (uint8_t)n->sep ? '.' : c == '.' ? '^' : c);
	}
}

static void add_external(const struct names *n, struct buffer *to, struct bytes internal)
{
	for (size_t i = 0; i < internal.n; i++) {
		uint8_t c = internal.p[i];

		buffer_add_u8(to, c == '.' ? (uint8_t)n->sep : c == '^' && n->unix_sep ? '.' : c);
	}
}

static bool check_levels(const struct names *n, struct bytes external, struct fault *why)
{
	struct bytes rest = external;

	if (external.n == 0 || external.n > NAMES_MAX + PREFIX_MAX)
		return fault_set(why, FAULT_CLIENT, "a mailbox name has 1 to %d octets", NAMES_MAX);
	if (!names_is_mutf7(external))
		return fault_set(why, FAULT_CLIENT, "the mailbox name is not modified UTF-7");
	for (;;) {
		size_t end = bytes_find(rest, (uint8_t)n->sep);

		if (end == 0)
			return fault_set(why, FAULT_CLIENT, "the mailbox name has an empty level");
		if (end == rest.n)
			break;
		rest = bytes_from(rest, end + 1);
		if (rest.n == 0)
			return fault_set(why, FAULT_CLIENT, "the mailbox name has an empty level");
	}
	for (size_t i = 0; i < external.n; i++) {
		uint8_t c = external.p[i];

		if (c == '*' || c == '%' || c == '!' || (c == '^' && n->unix_sep) || (c == '/' && !n->unix_sep) || c == '\\' || c == '"')
			return fault_set(why, FAULT_CLIENT, "a mailbox name may not hold '%c'", c);
	}
	return true;
}

/* "fred@example.com" with virtual domains: the domain's prefix, and the rest. */
static struct bytes add_domain(const struct names *n, struct bytes user, struct buffer *to)
{
	size_t at = n->virt ? bytes_rfind(user, '@') : user.n;

	if (at == user.n || (n->default_domain != NULL && bytes_equal_nocase_str(bytes_from(user, at + 1), n->default_domain)))
		return bytes_sub(user, 0, at);
	for (size_t i = at + 1; i < user.n; i++)
		buffer_add_u8(to, ascii_lower(user.p[i]));
	buffer_add_u8(to, '!');
	return bytes_sub(user, 0, at);
}

void names_inbox(const struct names *n, struct bytes user, struct buffer *to)
{
	struct bytes local = add_domain(n, user, to);

	buffer_add_str(to, "user.");
	for (size_t i = 0; i < local.n; i++)
		buffer_add_u8(to, local.p[i] == '.' ? '^' : local.p[i]);
}

/* Whether EXTERNAL is WORD, or begins with WORD and a separator; the rest behind it. */
static bool first_level(const struct names *n, struct bytes external, const char *word, bool nocase, struct bytes *rest_r)
{
	struct bytes w = bytes_of(word);

	if (!(nocase ? bytes_starts_nocase(external, w) : bytes_starts(external, w)))
		return false;
	*rest_r = bytes_from(external, w.n);
	if (rest_r->n == 0)
		return true;
	if (rest_r->p[0] != (uint8_t)n->sep)
		return false;
	*rest_r = bytes_from(*rest_r, 1);
	return true;
}

static bool personal(const struct names *n, struct bytes external, struct buffer *to, struct fault *why)
{
	struct bytes rest;

	if (first_level(n, external, "INBOX", true, &rest)) {
		names_inbox(n, n->user, to);
		if (rest.n > 0) {
			buffer_add_str(to, n->alt ? ".INBOX." : ".");
			add_levels(n, to, rest);
		}
		return true;
	}
	if (!n->alt) {
		/* user/bob and shared names alike. */
		(void)add_domain(n, n->user, to);
		add_levels(n, to, external);
		return true;
	}
	if (first_level(n, external, OTHERS, false, &rest)) {
		if (rest.n == 0)
			return fault_set(why, FAULT_CLIENT, "\"" OTHERS "\" is not a mailbox");
		(void)add_domain(n, n->user, to);
		buffer_add_str(to, "user.");
		add_levels(n, to, rest);
		return true;
	}
	if (first_level(n, external, SHARED, false, &rest)) {
		if (rest.n == 0)
			return fault_set(why, FAULT_CLIENT, "\"" SHARED "\" is not a mailbox");
		(void)add_domain(n, n->user, to);
		add_levels(n, to, rest);
		return true;
	}
	names_inbox(n, n->user, to);
	buffer_add_u8(to, '.');
	add_levels(n, to, external);
	return true;
}

static bool is_domain(struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!ascii_is_alnum(text.p[i]) && text.p[i] != '-' && text.p[i] != '.' && text.p[i] != '_')
			return false;
	}
	return text.n > 0;
}

static bool as_admin(const struct names *n, struct bytes external, struct buffer *to, struct fault *why)
{
	size_t at = n->virt ? bytes_rfind(external, '@') : external.n;
	struct bytes rest;

	if (first_level(n, external, "INBOX", true, &rest)) {
		names_inbox(n, n->user, to);
		if (rest.n > 0) {
			buffer_add_u8(to, '.');
			add_levels(n, to, rest);
		}
		return true;
	}
	if (at < external.n) {
		if (at == 0 || external.p[at - 1] == (uint8_t)n->sep || !is_domain(bytes_from(external, at + 1)))
			return fault_set(why, FAULT_CLIENT, "behind '@' stands no domain, or nothing before it");
		(void)add_domain(n, external, to);
	}
	add_levels(n, to, bytes_sub(external, 0, at));
	return true;
}

/* INTERNAL without its domain; the domain (without '!') in *domain_r. */
static struct bytes split_domain(struct bytes internal, struct bytes *domain_r)
{
	size_t mark = bytes_find(internal, '!');

	if (mark == internal.n) {
		*domain_r = BYTES_NONE;
		return internal;
	}
	*domain_r = bytes_sub(internal, 0, mark);
	return bytes_from(internal, mark + 1);
}

/* With virtual domains "user.fred@example.com" would be taken for the mailbox of a user whose real one is
 * "example.com!user.fred". */
static bool has_false_owner(const struct names *n, struct bytes internal)
{
	struct bytes domain, local = split_domain(internal, &domain);

	if (!n->virt || !bytes_starts(local, BYTES_LIT("user.")))
		return false;
	local = bytes_from(local, 5);
	return bytes_find(bytes_sub(local, 0, bytes_find(local, '.')), '@') < bytes_find(local, '.');
}

static void to_external(const struct names *n, struct bytes internal, struct buffer *to);

/* Whether what INTERNAL is shown as leads back to it: "Other Users/fred/INBOX" does not, as Fred has it as INBOX. */
static bool leads_back(const struct names *n, struct bytes internal)
{
	struct buffer shown = { 0 }, again = { 0 };
	struct fault why;
	bool ok;

	to_external(n, internal, &shown);
	ok = personal(n, buffer_bytes(&shown), &again, &why) && bytes_equal(buffer_bytes(&again), internal);
	buffer_fini(&shown);
	buffer_fini(&again);
	return ok;
}

static bool to_internal(const struct names *n, struct bytes external, struct buffer *to, struct fault *why)
{
	size_t start = to->n;
	struct bytes made;
	bool ok;

	if (external.n > 1 && external.p[external.n - 1] == (uint8_t)n->sep)
		external.n--;
	if (!check_levels(n, external, why))
		return false;
	ok = n->is_admin ? as_admin(n, external, to, why) : personal(n, external, to, why);
	made = bytes_from(buffer_bytes(to), start);
	if (ok && made.n > NAMES_MAX)
		ok = fault_set(why, FAULT_CLIENT, "the mailbox name is too long");
	if (ok && bytes_equal_str(made, "user"))
		ok = fault_set(why, FAULT_CLIENT, "\"user\" is not a mailbox");
	if (ok && has_false_owner(n, made))
		ok = fault_set(why, FAULT_CLIENT, "'@' does not belong in that level of the mailbox name");
	if (ok && !n->is_admin && !leads_back(n, made))
		ok = fault_set(why, FAULT_CLIENT, "the mailbox would be shown under another one's name");
	if (!ok)
		to->n = start;
	return ok;
}

bool names_to_internal(const struct names *n, struct bytes external, struct buffer *to, struct fault *why)
{
	struct buffer mutf7 = { 0 };
	bool ok;

	if (!n->is_utf8)
		return to_internal(n, external, to, why);
	if (external.n > 2 * (NAMES_MAX + PREFIX_MAX)) /* some scripts take more octets in UTF-8 */
		return fault_set(why, FAULT_CLIENT, "a mailbox name has 1 to %d octets", NAMES_MAX);
	ok = names_utf8_to_mutf7(external, &mutf7) ? to_internal(n, buffer_bytes(&mutf7), to, why) :
	                                             fault_set(why, FAULT_CLIENT, "the mailbox name is not UTF-8, or holds a control");
	buffer_fini(&mutf7);
	return ok;
}

void names_to_external(const struct names *n, struct bytes internal, struct buffer *to)
{
	struct buffer mutf7 = { 0 };

	if (!n->is_utf8) {
		to_external(n, internal, to);
		return;
	}
	to_external(n, internal, &mutf7);
	names_mutf7_to_utf8(buffer_bytes(&mutf7), to);
	buffer_fini(&mutf7);
}

bool names_is_below(struct bytes child, struct bytes parent)
{
	/* A '!' behind it would make PARENT the beginning of a domain: "user.fred.org!x" is not Fred's. */
	return child.n > parent.n && bytes_starts(child, parent) && child.p[parent.n] == '.' &&
	       bytes_find(bytes_from(child, parent.n), '!') == child.n - parent.n;
}

bool names_is_visible(const struct names *n, struct bytes internal)
{
	struct buffer own = { 0 };
	struct bytes domain;
	bool is_same;

	if (n->is_admin)
		return true;
	(void)split_domain(internal, &domain);
	(void)add_domain(n, n->user, &own);
	own.n -= own.n > 0;
	is_same = bytes_equal_nocase(domain, buffer_bytes(&own));
	buffer_fini(&own);
	return is_same;
}

bool names_is_inbox(const struct names *n, struct bytes internal, struct bytes user)
{
	struct buffer inbox = { 0 };
	bool is_same;

	names_inbox(n, user, &inbox);
	is_same = bytes_equal(internal, buffer_bytes(&inbox));
	buffer_fini(&inbox);
	return is_same;
}

bool names_is_owner(const struct names *n, struct bytes internal, struct bytes user)
{
	struct buffer inbox = { 0 };
	bool is_own;

	names_inbox(n, user, &inbox);
	is_own = bytes_equal(internal, buffer_bytes(&inbox)) || names_is_below(internal, buffer_bytes(&inbox));
	buffer_fini(&inbox);
	return is_own;
}

bool names_owner(const struct names *n, struct bytes internal, struct buffer *to)
{
	struct bytes domain, local = split_domain(internal, &domain);

	(void)n;
	if (!bytes_starts(local, BYTES_LIT("user.")) || local.n == 5)
		return false;
	local = bytes_from(local, 5);
	local = bytes_sub(local, 0, bytes_find(local, '.'));
	for (size_t i = 0; i < local.n; i++)
		buffer_add_u8(to, local.p[i] == '^' ? '.' : local.p[i]);
	if (domain.n > 0) {
		buffer_add_u8(to, '@');
		buffer_add(to, domain);
	}
	return true;
}

static void add_recipient_folder(const struct names *n, struct bytes whole, bool is_shared, struct bytes detail, struct buffer *to)
{
	size_t start = to->n;
	size_t first;
	struct bytes levels;
	struct fault ignored;

	if (detail.n == 0 || !check_levels(n, detail, &ignored))
		return;
	if (is_shared) {
		(void)add_domain(n, whole, to);
	} else {
		names_inbox(n, whole, to);
		buffer_add_u8(to, '.');
	}
	first = to->n;
	add_levels(n, to, detail);
	levels = bytes_from(buffer_bytes(to), first);
	if (to->n - start > NAMES_MAX || (is_shared && (bytes_equal_str(levels, "user") || bytes_starts(levels, BYTES_LIT("user.")))))
		to->n = start;
}

void names_recipient(const struct config *config, struct bytes address, bool in_lower_case, struct buffer *user, struct buffer *folder)
{
	const struct names n = names_of(config, BYTES_NONE, true);
	const char *post = config_string(config, "postuser");
	size_t at = bytes_rfind(address, '@'), plus = bytes_find(bytes_sub(address, 0, at), '+');
	bool is_shared = plus < at && bytes_equal_str(bytes_sub(address, 0, plus), post == NULL ? "" : post);
	struct buffer whole = { 0 };

	for (size_t i = 0; i < plus; i++)
		buffer_add_u8(&whole, in_lower_case ? ascii_lower(address.p[i]) : address.p[i]);
	if (n.virt && at < address.n)
		buffer_add(&whole, bytes_from(address, at));
	if (!is_shared && plus > 0)
		buffer_add(user, buffer_bytes(&whole));
	if (is_shared || plus > 0)
		add_recipient_folder(&n, buffer_bytes(&whole), is_shared, bytes_sub(address, plus + 1, at > plus ? at - plus - 1 : 0), folder);
	buffer_fini(&whole);
}

static void to_external(const struct names *n, struct bytes internal, struct buffer *to)
{
	struct buffer inbox = { 0 };
	struct bytes domain, local = split_domain(internal, &domain);

	if (n->is_admin) {
		add_external(n, to, local);
		if (domain.n > 0) {
			buffer_add_u8(to, '@');
			buffer_add(to, domain);
		}
		return;
	}
	names_inbox(n, n->user, &inbox);
	if (bytes_equal(internal, buffer_bytes(&inbox))) {
		buffer_add_str(to, "INBOX");
	} else if (names_is_below(internal, buffer_bytes(&inbox))) {
		if (!n->alt) {
			buffer_add_str(to, "INBOX");
			buffer_add_u8(to, (uint8_t)n->sep);
		}
		add_external(n, to, bytes_from(internal, inbox.n + 1));
	} else if (n->alt && bytes_starts(local, BYTES_LIT("user."))) {
		buffer_add_str(to, OTHERS);
		buffer_add_u8(to, (uint8_t)n->sep);
		add_external(n, to, bytes_from(local, 5));
	} else if (n->alt) {
		buffer_add_str(to, SHARED);
		buffer_add_u8(to, (uint8_t)n->sep);
		add_external(n, to, local);
	} else {
		add_external(n, to, local);
	}
	buffer_fini(&inbox);
}

const char *names_special_use(const struct names *n, struct bytes internal)
{
	static const struct {
		const char *key, *attribute;
	} uses[] = {
		{ "specialuse_drafts", "\\Drafts" }, { "specialuse_sent", "\\Sent" },       { "specialuse_junk", "\\Junk" },
		{ "specialuse_trash", "\\Trash" },   { "specialuse_archive", "\\Archive" },
	};
	struct buffer inbox = { 0 };
	const char *found = NULL;

	names_inbox(n, n->user, &inbox);
	if (names_is_below(internal, buffer_bytes(&inbox))) {
		struct bytes name = bytes_from(internal, inbox.n + 1);

		for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
			const char *want = config_string(n->config, uses[i].key);

			if (want != NULL && want[0] != '\0' && bytes_equal_str(name, want))
				found = uses[i].attribute;
		}
	}
	buffer_fini(&inbox);
	return found;
}

const char *names_others_prefix(const struct names *n)
{
	return n->alt ? OTHERS : "user";
}

const char *names_shared_prefix(const struct names *n)
{
	return n->alt ? SHARED : "";
}

void names_write_namespace(const struct names *n, struct buffer *to)
{
	const char *shared = names_shared_prefix(n);

	if (n->alt)
		buffer_addf(to, "((\"\" \"%c\")) ", n->sep);
	else
		buffer_addf(to, "((\"INBOX%c\" \"%c\")) ", n->sep, n->sep);
	buffer_addf(to, "((\"%s%c\" \"%c\")) ", names_others_prefix(n), n->sep, n->sep);
	if (shared[0] != '\0')
		buffer_addf(to, "((\"%s%c\" \"%c\"))", shared, n->sep, n->sep);
	else
		buffer_addf(to, "((\"\" \"%c\"))", n->sep);
}
