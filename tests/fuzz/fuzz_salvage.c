/* fuzz_salvage.c - items of a lost suffix as octets: what can be read is written again to the same. And suffixes of any entries, eight
 * octets each, most of which fit: what they come to has one item of a name, in order, and nothing of what is gone. */
#include "fuzz.h"
#include "salvage.h"

#define MAILBOXES 6
#define UIDS 5

static void try_item(struct bytes in)
{
	struct arena a = { 0 };
	struct salvage_item item;
	struct fault why;
	struct buffer again = { 0 };

	if (salvage_item_read(in, &a, &item, &why)) {
		salvage_item_write(&again, &item);
		FUZZ_CHECK(bytes_equal(buffer_bytes(&again), in));
		buffer_clear(&again);
		salvage_item_describe(&again, &item);
		for (size_t i = 0; i < again.n; i++)
			FUZZ_CHECK(again.p[i] >= ' ' && again.p[i] <= '~');
	}
	buffer_fini(&again);
	arena_fini(&a);
}

/* Before: mailboxes 1 to 3 with messages 1 to 3. */
static bool was_mailbox(void *arg, mailbox_id_t id, struct mailbox *m_r)
{
	(void)arg;
	*m_r = (struct mailbox){ .id = id, .name = BYTES_LIT("before") };
	return id >= 1 && id <= 3;
}

static bool was_message(void *arg, mailbox_id_t mailbox, uint32_t uid, struct message *m_r)
{
	(void)arg;
	*m_r = (struct message){ .uid = uid, .modseq = 5 };
	return mailbox >= 1 && mailbox <= 3 && uid >= 1 && uid <= 3;
}

static bool was_body(void *arg, lsn_t body, struct bytes *body_r, struct bytes *structure_r)
{
	(void)arg;
	(void)body;
	*body_r = *structure_r = BYTES_LIT("body");
	return true;
}

static bool was_subscribed(void *arg, struct bytes user, struct bytes name)
{
	(void)arg;
	(void)user;
	return name.n > 0 && name.p[0] % 2 == 0;
}

static bool had_attribute(void *arg, mailbox_id_t mailbox, const struct attribute *of, struct bytes *value_r)
{
	(void)arg;
	*value_r = BYTES_LIT("old");
	return mailbox <= 3 && of->name.n > 0 && of->name.p[0] % 2 == 0;
}

static bool was_limited(void *arg, struct bytes root, struct quota_limits *limits_r)
{
	(void)arg;
	*limits_r = (struct quota_limits){ .is_limited = { true }, .limit = { 100 } };
	return bytes_equal_str(root, "a");
}

/* Type, mailbox, UID, flags, another mailbox, another UID, a name's octet, the count of what it has several of. */
static void add(struct salvage *s, const uint8_t *p, lsn_t lsn)
{
	struct bytes name = bytes_make(p + 6, 1);
	mailbox_id_t mailbox = p[1] % MAILBOXES;
	uint32_t uid = p[2] % UIDS + 1;
	struct entry_delivery d[2] = { { mailbox, uid, 9, 1, p[3] & 31, 0 }, { p[4] % MAILBOXES, p[5] % UIDS + 1, 9, 1, 0, 0 } };
	struct entry_flag f[2] = { { uid, p[3] & 31, 0 }, { p[5] % UIDS + 1, 0, 0 } };
	uint32_t uids[2] = { uid, p[5] % UIDS + 1 };
	struct entry_copy c[2] = { { uid, uid + 10, lsn - 1, 4, 1, 0, 0 }, { p[5] % UIDS + 1, uid + 11, 1, 4, 1, 0, 0 } };
	mailbox_id_t mailboxes[2] = { mailbox, p[4] % MAILBOXES };
	struct bytes names[2] = { name, name };
	struct entry_attribute t[2] = { { { p[3] & 1 ? uid : 0, name, name, bytes_make(p + 4, 1) }, p[3] & 2 }, { { 0, BYTES_NONE, name, name }, true } };
	struct entry e = { .type = (enum entry_type)(p[0] % (ENTRY_TYPE_LAST + 1)), .lsn = lsn, .epoch = 2, .mailbox = mailbox, .name = name, .user = name,
		           .acl = name, .is_on = p[3] & 1, .source = p[3] & 1 ? p[4] % MAILBOXES : 0, .replaced = uid, .count = p[7] % 2 + 1u, .deliveries = d,
		           .flags = f, .uids = uids, .copies = c, .mailboxes = mailboxes, .attributes = t, .names = names, .body = bytes_make(p, 8),
		           .limits = { .is_limited = { (p[3] & 2) != 0 }, .limit = { (p[3] & 2) != 0 ? p[4] : 0 } } };
	struct fault why;

	(void)salvage_add(s, &e, &why);
}

static int phase(const struct salvage_item *item)
{
	if (item->kind == SALVAGE_MAILBOX || item->kind == SALVAGE_RENAME)
		return 0;
	if (item->kind == SALVAGE_ATTRIBUTE && item->uid > 0)
		return 2;
	return item->kind == SALVAGE_EXPUNGE || item->kind == SALVAGE_DELETE ? 3 : 1;
}

static void check_items(const struct salvage_item *items, size_t count)
{
	uint8_t key[SALVAGED_KEY_MAX], other[SALVAGED_KEY_MAX];

	for (size_t i = 0; i < count; i++) {
		struct buffer b = { 0 };

		salvage_item_write(&b, &items[i]);
		try_item(buffer_bytes(&b));
		buffer_fini(&b);
		FUZZ_CHECK(i == 0 || phase(&items[i - 1]) <= phase(&items[i]));
		FUZZ_CHECK(i == 0 || phase(&items[i - 1]) < phase(&items[i]) || items[i - 1].lsn <= items[i].lsn);
		for (size_t k = 0; k < i; k++) {
			FUZZ_CHECK(!bytes_equal(salvage_item_key(&items[i], key), salvage_item_key(&items[k], other)));
			/* Nothing is said of what is in a mailbox that is gone. */
			FUZZ_CHECK(items[i].kind != SALVAGE_DELETE || items[k].kind == SALVAGE_SUBSCRIBE || items[k].kind == SALVAGE_QUOTA ||
			           items[k].mailbox != items[i].mailbox);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct salvage_before before = { was_mailbox, was_message, was_body, was_subscribed, had_attribute, was_limited, NULL };
	struct salvage *s = salvage_new(&before);
	const struct salvage_item *items;
	size_t count;
	struct fault why;

	try_item(bytes_make(data, size));
	for (size_t at = 0; at + 8 <= size && at < 800; at += 8)
		add(s, data + at, 10 + at / 8);
	FUZZ_CHECK(salvage_items(s, &items, &count, &why));
	check_items(items, count);
	salvage_free(&s);
	return 0;
}
