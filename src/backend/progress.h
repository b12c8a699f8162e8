/* progress.h - how fast something that is to come to an end gets there. */
#ifndef ROOST_BACKEND_PROGRESS_H
#define ROOST_BACKEND_PROGRESS_H

#include "buffer.h"

/* Begins as { .left = N }. */
struct progress {
	uint64_t left;
	uint64_t rate; /* of what is left, a second; 0: not known yet, or it does not get less */
	uint64_t since_ms, since_left;
	bool has_rate;
};

/* LEFT is what is left now; the rate follows with some seconds' delay. */
void progress_note(struct progress *p, uint64_t now_ms, uint64_t left);
/* Members of a JSON object: total, left, percent, rate, and seconds_left where it can be said. */
void progress_json(struct buffer *to, const struct progress *p, uint64_t total);

#endif
