/* quota_answer.c - a root's figures as the QUOTA response, and as a warning. */
#include "quota_answer.h"

#include "imap_writer.h"
#include "quota.h"

static const char *const resources[QUOTA_RESOURCES] = { "STORAGE", "MESSAGE", "MAILBOX" };

void quota_answer_write(struct session *s, const struct quota *q, struct buffer *to)
{
	struct buffer name = { 0 };
	bool has = false;

	names_to_external(&s->names, q->root, &name);
	buffer_add_str(to, "* QUOTA ");
	imap_write_mailbox(to, buffer_bytes(&name), s->names.is_utf8);
	buffer_add_str(to, " (");
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (!q->limits.is_limited[r])
			continue;
		buffer_addf(to, "%s%s %llu %llu", has ? " " : "", resources[r], (unsigned long long)quota_used(q, r),
		            (unsigned long long)q->limits.limit[r]);
		has = true;
	}
	buffer_add_str(to, ")\r\n");
	buffer_fini(&name);
}

/* Whether what is left of R, by Cyrus's keys, is little enough to say so. */
static bool is_worth_a_word(const struct config *cfg, const struct quota *q, unsigned r)
{
	uint64_t limit = q->limits.limit[r], most = r == QUOTA_STORAGE ? config_number(cfg, "quotawarnkb") :
	                                            r == QUOTA_MESSAGE ? config_number(cfg, "quotawarnmsg") : 0;

	return most == 0 || limit < most || limit - quota_used(q, r) < most;
}

void quota_answer_warn(struct session *s, struct store_view *v, const struct mailbox *m, struct buffer *to)
{
	const struct config *cfg = s->client.backend->cfg;
	struct quota q;
	struct fault why;
	double percent = 0;

	if (store_view_quota_of(v, m->name, &q, &why) != STORE_OK)
		return;
	if (quota_is_over(&q)) {
		buffer_add_str(to, "* NO [OVERQUOTA] Mailbox is over quota\r\n");
		return;
	}
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		double at;

		if (!q.limits.is_limited[r] || q.limits.limit[r] == 0 || quota_used(&q, r) > q.limits.limit[r])
			continue;
		at = (double)quota_used(&q, r) * 100 / (double)q.limits.limit[r];
		if (at > percent && is_worth_a_word(cfg, &q, r))
			percent = at;
	}
	if (percent > (double)config_number(cfg, "quotawarn"))
		buffer_addf(to, "* NO [ALERT] Mailbox is at %.0f%% of quota\r\n", percent);
}
