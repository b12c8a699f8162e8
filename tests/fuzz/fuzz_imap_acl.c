/* fuzz_imap_acl.c - access control lists. Input: identifier LF rights LF list. */
#include "acl.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size), who, acl = BYTES_NONE;
	struct bytes identifier = fuzz_take_line(&in);
	struct bytes letters = fuzz_take_line(&in);
	struct buffer set = { 0 }, again = { 0 };
	acl_rights_t rights = 0, one, negative;

	acl = in;
	while (acl_next(&acl, &who, &one)) {
		FUZZ_CHECK(who.n > 0 && (one & ~(acl_rights_t)ACL_ALL) == 0);
		fuzz_touch(who);
	}
	(void)acl_effective(in, identifier, true);
	if (!acl_rights_parse(letters, &rights) || identifier.n == 0 || bytes_find(identifier, '\t') < identifier.n)
		return 0;
	acl_rights_write(&again, rights, false);
	FUZZ_CHECK(acl_rights_parse(buffer_bytes(&again), &one) && one == rights);
	buffer_clear(&again);

	acl_set(&set, in, identifier, rights);
	FUZZ_CHECK(acl_get(buffer_bytes(&set), identifier) == rights);
	acl_set(&again, buffer_bytes(&set), identifier, rights);
	FUZZ_CHECK(bytes_equal(buffer_bytes(&set), buffer_bytes(&again)));
	/* A negative entry takes away, whatever else stands there. */
	negative = acl_effective(buffer_bytes(&set), bytes_from(identifier, 1), false);
	if (identifier.p[0] == '-')
		FUZZ_CHECK((negative & rights) == 0);
	buffer_clear(&again);
	acl_set(&again, buffer_bytes(&set), identifier, 0);
	FUZZ_CHECK(acl_get(buffer_bytes(&again), identifier) == 0);
	buffer_fini(&set);
	buffer_fini(&again);
	return 0;
}
