/* fuzz_imap_url.c - URLs that name messages. What is taken has what the grammar demands, all of it within the URL or decoded from it; and any
 * octets are written such that they break no line and no brackets. */
#include "fuzz.h"
#include "imap_url.h"

static const struct imap_command_limits limits = { 20, 5 };

static void check(const struct imap_url *u, struct bytes text)
{
	FUZZ_CHECK(u->uid > 0 && (u->uidvalidity == 0 || u->mailbox.p != NULL));
	FUZZ_CHECK(u->has_server == (u->host.n > 0) && (u->has_server || u->user.p == NULL) && (!u->has_server || u->mailbox.n > 0));
	FUZZ_CHECK(bytes_find(u->mailbox, '\0') == u->mailbox.n && bytes_find(u->mailbox, '\n') == u->mailbox.n);
	FUZZ_CHECK((u->access == URL_ACCESS_NONE) == (u->rump.n == 0) && u->rump.n <= text.n);
	FUZZ_CHECK((u->access == URL_ACCESS_SUBMIT || u->access == URL_ACCESS_USER) == (u->access_user.n > 0));
	FUZZ_CHECK(u->verifier.p == NULL || (u->access != URL_ACCESS_NONE && u->verifier.n >= 32 && u->mechanism.n > 0));
	FUZZ_CHECK(!u->has_expire || u->access != URL_ACCESS_NONE);
	FUZZ_CHECK(u->section.part_count <= 100 && u->section.field_count <= limits.list);
	fuzz_touch(u->user);
	fuzz_touch(u->mailbox);
	fuzz_touch(u->section.text);
	fuzz_touch(u->access_user);
	/* The rump alone is the same URL, without a verifier. */
	if (u->rump.n > 0) {
		struct arena a = { 0 };
		struct imap_url again;
		struct fault why;

		FUZZ_CHECK(imap_url_parse(u->rump, &limits, &a, &again, &why));
		FUZZ_CHECK(again.access == u->access && again.uid == u->uid && bytes_equal(again.rump, u->rump) && again.verifier.p == NULL);
		arena_fini(&a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_make(data, size);
	struct arena a = { 0 };
	struct buffer safe = { 0 };
	struct imap_url u;
	struct fault why;

	if (imap_url_parse(text, &limits, &a, &u, &why))
		check(&u, text);
	else
		FUZZ_CHECK(why.kind == FAULT_CLIENT || why.kind == FAULT_LIMIT);
	imap_url_write_safe(&safe, text);
	for (size_t i = 1; i + 1 < safe.n; i++)
		FUZZ_CHECK(safe.p[i] >= ' ' && safe.p[i] < 0x7f && safe.p[i] != ']' && safe.p[i] != '"' && safe.p[i] != '\\');
	buffer_fini(&safe);
	arena_fini(&a);
	return 0;
}
