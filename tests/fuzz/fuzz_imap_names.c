/* fuzz_imap_names.c - mailbox names to the internal form and back. Input: an octet of switches, the user's name LF, the
 * name.
 *
 * A name that is taken has an external form that leads back to it: what is listed can be opened, and is the same mailbox. */
#include "fuzz.h"
#include "names.h"

static const char *const settings[] = { "altnamespace: no\n", "unixhierarchysep: no\n", "virtdomains: no\n",
	                                "altnamespace: yes\n", "unixhierarchysep: yes\n", "virtdomains: yes\n" };

static struct config *config_of(unsigned switches)
{
	static struct config *cache[16];
	struct buffer text = { 0 };
	struct fault why;

	switches = (switches & 7) | (switches >> 2 & 8);
	if ((switches & 8) != 0)
		buffer_add_str(&text, "defaultdomain: d.example\n");
	for (unsigned i = 0; i < 3 && cache[switches] == NULL; i++)
		buffer_add_str(&text, settings[(switches >> i & 1) * 3 + i]);
	if (cache[switches] == NULL)
		cache[switches] = config_parse(buffer_bytes(&text), "file", &why);
	FUZZ_CHECK(cache[switches] != NULL);
	buffer_fini(&text);
	return cache[switches];
}

/* Names that users have: what else a credential store holds does not become a mailbox that others could mean. */
static bool is_plain_user(struct bytes user)
{
	size_t at = bytes_find(user, '@');

	for (size_t i = 0; i < user.n; i++) {
		uint8_t c = user.p[i];

		if (!ascii_is_alnum(c) && c != '-' && c != '_' && !(c == '.' && i > 0) && !(c == '@' && i == at))
			return false;
	}
	return at > 0 && at + 1 != user.n && user.n > 0 && user.n < 64 && user.p[user.n - 1] != '.' &&
	       bytes_search(user, BYTES_LIT("..")) == user.n;
}

/* What is UTF-8 becomes modified UTF-7 that is good and leads back. */
static void check_utf8(struct bytes name)
{
	struct buffer there = { 0 }, back = { 0 };

	if (names_utf8_to_mutf7(name, &there)) {
		FUZZ_CHECK(names_is_mutf7(buffer_bytes(&there)));
		names_mutf7_to_utf8(buffer_bytes(&there), &back);
		FUZZ_CHECK(bytes_equal(buffer_bytes(&back), name));
	}
	buffer_clear(&back);
	names_mutf7_to_utf8(name, &back);
	buffer_fini(&there);
	buffer_fini(&back);
}

static void check_internal(const struct names *n, struct bytes internal)
{
	size_t mark = bytes_find(internal, '!');
	struct bytes local = mark < internal.n ? bytes_from(internal, mark + 1) : internal;

	FUZZ_CHECK(internal.n > 0 && internal.n <= NAMES_MAX && mark > 0);
	FUZZ_CHECK(n->virt || mark == internal.n);
	FUZZ_CHECK(names_is_mutf7(local));
	FUZZ_CHECK(local.n > 0 && local.p[0] != '.' && local.p[local.n - 1] != '.');
	FUZZ_CHECK(bytes_search(local, BYTES_LIT("..")) == local.n);
	for (size_t i = 0; i < internal.n; i++)
		FUZZ_CHECK(internal.p[i] > ' ' - 1 && internal.p[i] != 0x7f && internal.p[i] != '*' && internal.p[i] != '%');
}

static void check_owner(const struct names *n, struct bytes internal)
{
	struct buffer owner = { 0 }, inbox = { 0 };

	if (names_owner(n, internal, &owner)) {
		struct bytes is = buffer_bytes(&owner);

		if (is_plain_user(is)) {
			FUZZ_CHECK(names_is_owner(n, internal, is));
			names_inbox(n, is, &inbox);
			FUZZ_CHECK(bytes_equal(buffer_bytes(&inbox), internal) || names_is_below(internal, buffer_bytes(&inbox)));
			FUZZ_CHECK(names_is_inbox(n, internal, is) == bytes_equal(buffer_bytes(&inbox), internal));
		}
	} else {
		FUZZ_CHECK(!names_is_owner(n, internal, n->user));
	}
	buffer_fini(&owner);
	buffer_fini(&inbox);
}

static void check_name(const struct names *n, struct bytes external)
{
	struct buffer internal = { 0 }, shown = { 0 }, again = { 0 };
	struct fault why = { 0 };

	if (names_to_internal(n, external, &internal, &why)) {
		check_internal(n, buffer_bytes(&internal));
		names_to_external(n, buffer_bytes(&internal), &shown);
		FUZZ_CHECK(names_to_internal(n, buffer_bytes(&shown), &again, &why));
		FUZZ_CHECK(bytes_equal(buffer_bytes(&again), buffer_bytes(&internal)));
		check_owner(n, buffer_bytes(&internal));
		fuzz_touch(bytes_of(names_special_use(n, buffer_bytes(&internal))));
	} else {
		FUZZ_CHECK(why.kind == FAULT_CLIENT && internal.n == 0);
	}
	buffer_fini(&internal);
	buffer_fini(&shown);
	buffer_fini(&again);
}

static void check_recipient(const struct config *config, struct bytes address)
{
	struct buffer user = { 0 }, folder = { 0 };

	names_recipient(config, address, true, &user, &folder);
	FUZZ_CHECK(user.n <= address.n && folder.n <= NAMES_MAX);
	/* A shared one is nobody's. */
	if (user.n == 0 && folder.n > 0 && bytes_find(address, '!') == address.n) {
		struct buffer owner = { 0 };
		const struct names n = names_of(config, BYTES_NONE, true);

		FUZZ_CHECK(!names_owner(&n, buffer_bytes(&folder), &owner));
		buffer_fini(&owner);
	}
	buffer_fini(&user);
	buffer_fini(&folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	unsigned switches = fuzz_take_octet(&in);
	struct bytes user = fuzz_take_line(&in);
	struct names n = names_of(config_of(switches), user, (switches & 8) != 0);
	struct buffer any = { 0 };

	n.is_utf8 = (switches & 16) != 0;
	check_utf8(in);
	check_recipient(config_of(switches), in);
	/* Whatever stands in a directory must be shown without harm. */
	names_to_external(&n, in, &any);
	(void)names_owner(&n, in, &any);
	(void)names_is_owner(&n, in, user);
	(void)names_special_use(&n, in);
	buffer_clear(&any);
	names_write_namespace(&n, &any);
	buffer_fini(&any);
	if (is_plain_user(user))
		check_name(&n, in);
	return 0;
}
