/* progress.c - the rate is taken once a second, and half of it is the one before. */
#include "progress.h"

#include "json.h"

#define STEP_MS 1000

void progress_note(struct progress *p, uint64_t now_ms, uint64_t left)
{
	uint64_t rate;

	if (p->since_ms == 0) {
		p->since_ms = now_ms;
		p->since_left = p->left;
	}
	p->left = left;
	if (now_ms < p->since_ms + STEP_MS)
		return;
	rate = left < p->since_left ? (p->since_left - left) * 1000 / (now_ms - p->since_ms) : 0;
	p->rate = p->has_rate ? (p->rate + rate) / 2 : rate;
	p->has_rate = true;
	p->since_ms = now_ms;
	p->since_left = left;
}

void progress_json(struct buffer *to, const struct progress *p, uint64_t total)
{
	uint64_t done = total > p->left ? total - p->left : 0;

	json_key_u64(to, "total", total);
	json_key_u64(to, "left", p->left);
	json_key_u64(to, "percent", total == 0 ? 100 : (uint64_t)((double)done * 100 / (double)total));
	json_key_u64(to, "rate", p->rate);
	if (p->rate > 0)
		json_key_u64(to, "seconds_left", (p->left + p->rate - 1) / p->rate);
}
