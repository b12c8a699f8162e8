/* lmtp_quota.c - strict, or up to the message that passes the limit; for now, or for good. */
#include "lmtp_quota.h"

#include "quota.h"

enum quota_check lmtp_quota_check(const struct backend *b, bool is_ignored)
{
	if (is_ignored)
		return QUOTA_CHECK_NONE;
	return config_switch(b->cfg, "lmtp_strict_quota") ? QUOTA_CHECK : QUOTA_CHECK_OVER;
}

bool lmtp_quota_is_over(const struct backend *b, struct store_view *v, struct bytes mailbox, uint64_t size)
{
	const uint64_t more[QUOTA_RESOURCES] = { [QUOTA_STORAGE] = size, [QUOTA_MESSAGE] = 1 };
	struct quota q;
	struct fault why;

	if (store_view_quota_of(v, mailbox, &q, &why) != STORE_OK)
		return false;
	return config_switch(b->cfg, "lmtp_strict_quota") ? quota_is_exceeded_by(&q, more) : quota_is_over(&q);
}

const char *lmtp_quota_text(const struct backend *b)
{
	return config_switch(b->cfg, "lmtp_over_quota_perm_failure") ? "552 5.2.2 over quota" : "452 4.2.2 over quota";
}
