/* imap_feature.c - one table for both directions. */
#include "imap_feature.h"

static const struct {
	const char *name;
	unsigned bit, with;
} features[] = {
	{ "CONDSTORE", IMAP_F_CONDSTORE, 0 },
	{ "QRESYNC", IMAP_F_QRESYNC, IMAP_F_CONDSTORE },
	{ "IMAP4rev2", IMAP_F_REV2, 0 },
	{ "UTF8=ACCEPT", IMAP_F_UTF8, 0 },
	{ "UIDONLY", IMAP_F_UIDONLY, 0 },
};

unsigned imap_feature_of(struct bytes name)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (bytes_equal_nocase_str(name, features[i].name))
			return features[i].bit | features[i].with;
	}
	return 0;
}

void imap_write_features(struct buffer *to, unsigned set)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if ((set & features[i].bit) == 0)
			continue;
		buffer_add_u8(to, ' ');
		buffer_add_str(to, features[i].name);
	}
}
