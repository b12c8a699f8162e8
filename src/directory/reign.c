/* reign.c - the arbiter's decisions as functions of the present reign and a claim. */
#include "reign.h"

static bool next_word(struct bytes *words, struct bytes *word_r)
{
	size_t n;

	while (words->n > 0 && words->p[0] == ' ')
		*words = bytes_from(*words, 1);
	n = bytes_find(*words, ' ');
	*word_r = bytes_sub(*words, 0, n);
	*words = bytes_from(*words, n);
	return n > 0;
}

bool reign_has_member(struct bytes words, struct bytes member)
{
	struct bytes word;

	while (next_word(&words, &word)) {
		if (bytes_equal(word, member))
			return true;
	}
	return false;
}

static bool is_subset(struct bytes words, struct bytes of)
{
	struct bytes word;

	while (next_word(&words, &word)) {
		if (!reign_has_member(of, word))
			return false;
	}
	return true;
}

const char *reign_refusal(const struct reign *now, struct bytes member, uint64_t asked_epoch, struct bytes master,
                          struct bytes in_sync)
{
	if (now->epoch == 0)
		return "the server has no configuration yet";
	if (asked_epoch != now->epoch)
		return "the epoch is another";
	if (!reign_has_member(now->in_sync, member))
		return "not a member of the in-sync set";
	if (master.n == 0 || !reign_has_member(in_sync, master))
		return "the master must be in the in-sync set";
	if (!reign_has_member(now->in_sync, master))
		return "the new master is not in the present in-sync set";
	if (bytes_equal(member, now->master))
		return NULL;
	if (!bytes_equal(master, member))
		return "only the master may name another";
	if (!is_subset(in_sync, now->in_sync))
		return "only the master may add members";
	return NULL;
}

static const struct reign_claim *newest(const struct reign_claim *claims, size_t count)
{
	const struct reign_claim *best = NULL;

	for (size_t i = 0; i < count; i++) {
		if (claims[i].last.epoch > 0 && (best == NULL || claims[i].last.epoch > best->last.epoch))
			best = &claims[i];
	}
	return best;
}

bool reign_first(const struct reign_claim *claims, size_t count, struct reign *next_r)
{
	const struct reign_claim *best = newest(claims, count);
	struct bytes words, word;

	if (count == 0)
		return false;
	if (best == NULL) {
		*next_r = (struct reign){ 1, claims[0].member, claims[0].member };
		return true;
	}
	words = best->last.in_sync;
	while (next_word(&words, &word)) {
		bool has_joined = false;

		for (size_t i = 0; i < count; i++)
			has_joined = has_joined || bytes_equal(claims[i].member, word);
		if (!has_joined)
			return false;
	}
	/* A new epoch: nobody may still act on the old one. */
	*next_r = (struct reign){ best->last.epoch + 1, best->last.master, best->last.in_sync };
	return true;
}
