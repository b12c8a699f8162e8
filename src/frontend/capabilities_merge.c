/* capabilities_merge.c - a capability that is carried out by backends is offered if all have it. Rights (RFC 4314) are those that all
 * know; a limit is the lowest that any has. */
#include "capabilities_merge.h"

#include "imap_feature.h"

/* What a client may know before it has logged in. */
#define OUTSIDE "LITERAL+ ID ENABLE SASL-IR IMAP4rev2"
#define INSIDE OUTSIDE " IDLE NAMESPACE " IMAP_CAPABILITIES
/* What the frontend does by itself, with no more than RFC 3501 of any backend. */
#define BY_ITSELF \
	"LITERAL+ ID ENABLE SASL-IR NAMESPACE CHILDREN LIST-EXTENDED LIST-STATUS LIST-MYRIGHTS COMPRESS=DEFLATE UNAUTHENTICATE"
#define RIGHTS "RIGHTS="

/* The next word of *LIST, which is moved behind it. False: there is none. */
static bool next_word(struct bytes *list, struct bytes *word_r)
{
	while (list->n > 0 && list->p[0] == ' ')
		*list = bytes_from(*list, 1);
	*word_r = bytes_sub(*list, 0, bytes_find(*list, ' '));
	*list = bytes_from(*list, word_r->n);
	return word_r->n > 0;
}

static bool has_word(struct bytes list, struct bytes word)
{
	struct bytes w;

	while (next_word(&list, &w)) {
		if (bytes_equal_nocase(w, word))
			return true;
	}
	return false;
}

/* The word of LIST that begins with PREFIX, behind that. False: none does. */
static bool value_of(struct bytes list, struct bytes prefix, struct bytes *value_r)
{
	struct bytes w;

	while (next_word(&list, &w)) {
		if (bytes_starts_nocase(w, prefix)) {
			*value_r = bytes_from(w, prefix.n);
			return true;
		}
	}
	return false;
}

static bool all_have(const struct bytes *of, size_t count, struct bytes word)
{
	for (size_t i = 0; i < count; i++) {
		if (!has_word(of[i], word))
			return false;
	}
	return count > 0;
}

/* " RIGHTS=" and those of OURS that all servers know, if there are any. */
static void add_rights(const struct bytes *of, size_t count, struct bytes ours, struct buffer *to)
{
	struct buffer common = { 0 };
	struct bytes theirs;

	for (size_t k = 0; k < ours.n; k++) {
		bool is_common = count > 0;

		for (size_t i = 0; i < count; i++)
			is_common = is_common && value_of(of[i], BYTES_LIT(RIGHTS), &theirs) && bytes_find(theirs, ours.p[k]) < theirs.n;
		if (is_common)
			buffer_add_u8(&common, ours.p[k]);
	}
	if (common.n > 0) {
		buffer_add_str(to, " " RIGHTS);
		buffer_add(to, buffer_bytes(&common));
	}
	buffer_fini(&common);
}

/* " NAME=N", the lowest of what the servers say, and of OWN unless that is 0; nothing where nobody has a limit. */
static void add_limit(const struct bytes *of, size_t count, const char *name, uint64_t own, struct buffer *to)
{
	uint64_t lowest = own, n;
	struct bytes value;

	for (size_t i = 0; i < count; i++) {
		if (value_of(of[i], bytes_of(name), &value) && bytes_to_u64(value, UINT64_MAX, &n) && (lowest == 0 || n < lowest))
			lowest = n;
	}
	if (lowest > 0) {
		buffer_add_u8(to, ' ');
		buffer_add_str(to, name);
		buffer_add_u64(to, lowest);
	}
}

static void add_offered(const struct bytes *of, size_t count, struct bytes ours, struct buffer *to, unsigned *features)
{
	struct bytes word;

	while (next_word(&ours, &word)) {
		if (bytes_starts(word, BYTES_LIT(RIGHTS))) {
			add_rights(of, count, bytes_from(word, sizeof(RIGHTS) - 1), to);
		} else if (has_word(BYTES_LIT(BY_ITSELF), word) || all_have(of, count, word)) {
			buffer_add_u8(to, ' ');
			buffer_add(to, word);
			*features |= imap_feature_of(word);
		}
	}
}

void capabilities_merge(const struct bytes *of, size_t count, uint64_t max_message, struct buffer *outside, struct buffer *inside,
                        unsigned *features_r)
{
	*features_r = 0;
	add_offered(of, count, BYTES_LIT(OUTSIDE), outside, features_r);
	add_offered(of, count, BYTES_LIT(INSIDE), inside, features_r);
	add_limit(of, count, "APPENDLIMIT=", max_message, inside);
	add_limit(of, count, "MESSAGELIMIT=", 0, inside);
}
