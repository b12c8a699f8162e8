/* Attributes of the server, of mailboxes and of messages: set, removed, carried along, gone with what they are of, and the same on a
 * follower, after a rebuild and in an index of before there were any. */
#include "store_lib.h"

#include <lmdb.h>
#include <xxhash.h>

#include "store_private.h"

#define VALUE_NONE "(none)"

static const char *value_of(struct store *s, const char *mailbox, uint32_t uid, const char *user, const char *name)
{
	static char text[64];
	const struct attribute of = { .uid = uid, .user = bytes_of(user), .name = bytes_of(name) };
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct mailbox m = { 0 };
	struct bytes value;
	enum store_result result = STORE_OK;

	if (mailbox[0] != '\0')
		result = store_view_mailbox(v, bytes_of(mailbox), &m, &why);
	if (result == STORE_OK)
		result = store_view_attribute(v, m.id, &of, &value, &why);
	if (result == STORE_OK)
		(void)snprintf(text, sizeof(text), "%.*s", BYTES_FMT(value));
	else
		(void)snprintf(text, sizeof(text), VALUE_NONE);
	store_view_close(&v);
	return text;
}

static modseq_t modseq_of(struct store *s, mailbox_id_t mailbox, uint32_t uid)
{
	struct fault why;
	struct store_view *v = store_view_open(s, &why);
	struct message m = { 0 };

	(void)store_view_message(v, mailbox, uid, &m, &why);
	store_view_close(&v);
	return m.modseq;
}

static size_t count(struct store *s)
{
	struct fault why;
	struct kv_txn *t = kv_read(s->kv, &why);
	size_t n = kv_count(t, T_ATTRIBUTE);

	kv_end(&t);
	return n;
}

static mailbox_id_t make(struct store *s, const char *name, int messages)
{
	struct arena a = { 0 };
	mailbox_id_t id = run(s, create(name), &a).mailbox;

	for (int i = 0; i < messages; i++)
		assert_int_equal(append(s, name, "body", "", NULL), STORE_OK);
	arena_fini(&a);
	return id;
}

static void values_are_of_one_object_and_one_user(void **state)
{
	struct store *s = must_open("values");
	struct arena a = { 0 };
	struct intent_answer out;

	(void)state;
	(void)make(s, "user.fred", 2);
	(void)make(s, "user.fred.sub", 0);
	assert_int_equal(set_attribute(s, "user.fred", "", "/comment", "shared", &a).result, STORE_OK);
	assert_int_equal(set_attribute(s, "user.fred", "fred", "/comment", "mine", &a).result, STORE_OK);
	assert_int_equal(set_attribute(s, "user.fred.sub", "fred", "/comment", "", &a).result, STORE_OK);
	assert_int_equal(set_attribute(s, "", "fred", "/comment", "server", &a).result, STORE_OK);
	assert_string_equal(value_of(s, "user.fred", 0, "", "/comment"), "shared");
	assert_string_equal(value_of(s, "user.fred", 0, "fred", "/comment"), "mine");
	assert_string_equal(value_of(s, "user.fred", 0, "bob", "/comment"), VALUE_NONE);
	assert_string_equal(value_of(s, "user.fred.sub", 0, "fred", "/comment"), "");
	assert_string_equal(value_of(s, "user.fred.sub", 0, "", "/comment"), VALUE_NONE);
	assert_string_equal(value_of(s, "", 0, "fred", "/comment"), "server");
	/* What is so already is not journaled. */
	assert_int_equal(set_attribute(s, "user.fred", "", "/comment", "shared", &a).lsn, 0);
	assert_int_equal(set_attribute(s, "user.fred", "", "/nothing", NULL, &a).lsn, 0);
	out = set_attribute(s, "user.fred", "", "/comment", NULL, &a);
	assert_int_equal(out.result, STORE_OK);
	assert_true(out.lsn > 0);
	assert_string_equal(value_of(s, "user.fred", 0, "", "/comment"), VALUE_NONE);
	assert_string_equal(value_of(s, "user.fred", 0, "fred", "/comment"), "mine");
	assert_int_equal(set_attribute(s, "user.none", "", "/comment", "x", &a).result, STORE_NO_MAILBOX);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("values"), 0);
}

static void the_last_change_of_one_attribute_counts(void **state)
{
	struct store *s = must_open("last");
	struct arena a = { 0 };
	const struct bytes n = BYTES_LIT("/n"), none = BYTES_NONE;
	const struct attribute_change twice[] = { { none, n, BYTES_LIT("1"), true, none }, { none, n, none, false, none } };
	const struct attribute_change again[] = { { none, n, none, false, none }, { none, n, BYTES_LIT("2"), true, none } };

	(void)state;
	(void)make(s, "user.fred", 0);
	(void)run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .name = BYTES_LIT("user.fred"), .changes = { .at = again, .count = 2 } } }, &a);
	assert_string_equal(value_of(s, "user.fred", 0, "", "/n"), "2");
	(void)run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .name = BYTES_LIT("user.fred"), .changes = { .at = twice, .count = 2 } } }, &a);
	assert_string_equal(value_of(s, "user.fred", 0, "", "/n"), VALUE_NONE);
	arena_fini(&a);
	store_close(&s);
}

static void one_that_is_there_stays_where_only_new_ones_are_made(void **state)
{
	struct store *s = must_open("first");
	struct attribute_change c[] = { { BYTES_LIT("fred"), BYTES_LIT(ATTRIBUTE_SECRET "x"), BYTES_LIT("one"), true, BYTES_NONE },
		                        { BYTES_LIT("bob"), BYTES_LIT(ATTRIBUTE_SECRET "x"), BYTES_LIT("two"), true, BYTES_NONE } };
	struct intent in = { .op = INTENT_ATTRIBUTE, .attribute = { .name = BYTES_LIT("user.fred"), .changes = { .at = c, .count = 1 }, .only_new = true } };
	struct arena a = { 0 };
	char *text;
	lsn_t last;

	(void)state;
	(void)run(s, create("user.fred"), &a);
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	last = store_last_lsn(s);
	c[0].value = BYTES_LIT("other");
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(store_last_lsn(s), last);
	in.attribute.changes.count = 2;
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(store_last_lsn(s), last + 1);
	text = dump(s);
	/* The hash of "one", and nobody sees what it is of. */
	assert_non_null(strstr(text, "user=fred name=secret:x hash="));
	assert_null(strstr(text, "value="));
	free(text);
	in.attribute.only_new = false;
	in.attribute.changes.count = 1;
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(store_last_lsn(s), last + 2);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("first"), 0);
}

static void limits_refuse_the_whole_intent(void **state)
{
	static char long_name[ATTRIBUTE_NAME_MAX + 2], long_user[300], big[ATTRIBUTE_VALUE_MAX + 2];
	struct store *s = must_open("limits");
	struct arena a = { 0 };
	struct attribute_change c[12];
	struct intent_answer out;

	(void)state;
	(void)make(s, "user.fred", 0);
	memset(long_name, 'n', sizeof(long_name) - 1);
	memset(long_user, 'u', sizeof(long_user) - 1);
	memset(big, 'v', sizeof(big) - 1);
	assert_int_equal(set_attribute(s, "user.fred", "", long_name, "x", &a).result, STORE_BAD);
	long_name[ATTRIBUTE_NAME_MAX] = '\0';
	assert_int_equal(set_attribute(s, "user.fred", "", long_name, "x", &a).result, STORE_OK);
	assert_int_equal(set_attribute(s, "user.fred", long_user, long_name, "x", &a).result, STORE_LIMIT);
	assert_int_equal(set_attribute(s, "user.fred", "", "", "x", &a).result, STORE_BAD);
	assert_int_equal(set_attribute(s, "user.fred", "", "/big", big, &a).result, STORE_LIMIT);
	big[ATTRIBUTE_VALUE_MAX] = '\0';
	assert_int_equal(set_attribute(s, "user.fred", "", "/big", big, &a).result, STORE_OK);
	/* Nine more would be eleven; one is removed by the same intent: ten. */
	for (size_t i = 0; i < 9; i++)
		c[i] = (struct attribute_change){ BYTES_NONE, bytes_of(arena_printf(&a, "/%zu", i)), BYTES_LIT("x"), true, BYTES_NONE };
	c[9] = (struct attribute_change){ BYTES_NONE, BYTES_LIT("/big"), BYTES_NONE, false, BYTES_NONE };
	out = run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .name = BYTES_LIT("user.fred"), .changes = { .at = c, .count = 9, .most = 10 } } }, &a);
	assert_int_equal(out.result, STORE_LIMIT);
	assert_int_equal(out.at, 8);
	assert_string_equal(value_of(s, "user.fred", 0, "", "/0"), VALUE_NONE);
	out = run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .name = BYTES_LIT("user.fred"), .changes = { .at = c, .count = 10, .most = 10 } } }, &a);
	assert_int_equal(out.result, STORE_OK);
	/* A user's own are counted by themselves. */
	assert_int_equal(set_attribute(s, "user.fred", "fred", "/0", "x", &a).result, STORE_OK);
	assert_int_equal(set_attribute(s, "user.fred", "", "/one more", "x", &a).result, STORE_LIMIT);
	assert_int_equal(set_attribute(s, "user.fred", "", "/0", "another", &a).result, STORE_OK);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("limits"), 0);
}

static struct intent use(const char *mailbox, const char *value, struct attribute_change *c)
{
	*c = (struct attribute_change){ BYTES_LIT("fred"), BYTES_LIT("/use"), bytes_of(value), true, BYTES_LIT("user.fred") };
	return (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .name = bytes_of(mailbox),
	                        .changes = { .at = c, .count = 1 } } };
}

static void a_word_is_one_mailboxs_below_one_root(void **state)
{
	struct store *s = must_open("words");
	struct arena a = { 0 };
	struct attribute_change c;
	struct intent made = create("user.fred.c");
	struct intent_answer out;

	(void)state;
	(void)make(s, "user.fred", 0);
	(void)make(s, "user.fred.a", 0);
	(void)make(s, "user.fred.b", 0);
	(void)make(s, "user.freddy", 0);
	assert_int_equal(run(s, use("user.freddy", "\\Sent", &c), &a).result, STORE_OK);
	assert_int_equal(run(s, use("user.fred.a", "\\Sent \\Junk", &c), &a).result, STORE_OK);
	out = run(s, use("user.fred.b", "\\Trash \\sent", &c), &a);
	assert_int_equal(out.result, STORE_CONFLICT);
	assert_true(bytes_equal_str(out.taken_by, "user.fred.a"));
	assert_int_equal(run(s, use("user.fred.b", "\\Trash", &c), &a).result, STORE_OK);
	/* Its own words are no others'. */
	assert_int_equal(run(s, use("user.fred.a", "\\Junk", &c), &a).result, STORE_OK);
	assert_int_equal(run(s, use("user.fred", "\\Junk", &c), &a).result, STORE_CONFLICT);
	/* Made with it, or not at all. */
	c = (struct attribute_change){ BYTES_LIT("fred"), BYTES_LIT("/use"), BYTES_LIT("\\Junk"), true, BYTES_LIT("user.fred") };
	made.create.attributes = (struct attribute_changes){ .at = &c, .count = 1 };
	assert_int_equal(run(s, made, &a).result, STORE_CONFLICT);
	assert_string_equal(value_of(s, "user.fred.c", 0, "fred", "/use"), VALUE_NONE);
	c.value = BYTES_LIT("\\Drafts");
	assert_int_equal(run(s, made, &a).result, STORE_OK);
	assert_string_equal(value_of(s, "user.fred.c", 0, "fred", "/use"), "\\Drafts");
	arena_fini(&a);
	store_close(&s);
}

static void mailboxes_keep_and_lose_theirs(void **state)
{
	struct store *s = must_open("boxes");
	struct arena a = { 0 };
	const struct rename_pair pair = { BYTES_LIT("user.fred.a"), BYTES_LIT("user.fred.b") };

	(void)state;
	(void)make(s, "user.fred", 0);
	(void)make(s, "user.fred.a", 3);
	assert_int_equal(set_attribute(s, "user.fred.a", "fred", "/x", "1", &a).result, STORE_OK);
	assert_int_equal(run(s, (struct intent){ .op = INTENT_RENAME, .rename = { &pair, 1 } }, &a).result, STORE_OK);
	assert_string_equal(value_of(s, "user.fred.b", 0, "fred", "/x"), "1");
	assert_int_equal(annotate(s, 2, (struct uid_range){ 1, 3 }, "", "/y", "2", &a).result, STORE_OK);
	assert_int_equal(count(s), 4);
	assert_int_equal(run(s, (struct intent){ .op = INTENT_DELETE, .delete = { BYTES_LIT("user.fred.b") } }, &a).result, STORE_OK);
	assert_int_equal(count(s), 0);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("boxes"), 0);
}

static void messages_carry_theirs_along(void **state)
{
	struct store *s = must_open("messages");
	struct arena a = { 0 };
	mailbox_id_t from = make(s, "user.fred", 5), to = make(s, "user.fred.to", 1);
	const struct uid_range some = { 2, 4 }, one = { 2, 2 };
	struct intent_answer out;

	(void)state;
	out = annotate(s, from, (struct uid_range){ 2, 3 }, "", "/y", "2", &a);
	assert_int_equal(out.result, STORE_OK);
	assert_int_equal(out.message_count, 2);
	assert_int_equal(modseq_of(s, from, 2), out.modseq);
	assert_int_equal(modseq_of(s, from, 3), out.modseq);
	assert_true(modseq_of(s, from, 4) < out.modseq);
	assert_int_equal(annotate(s, from, (struct uid_range){ 2, 3 }, "", "/y", "2", &a).lsn, 0);
	assert_int_equal(annotate(s, from, (struct uid_range){ 3, 4 }, "fred", "/z", "3", &a).message_count, 2);
	/* UIDs without a message are passed over. */
	assert_int_equal(annotate(s, from, (struct uid_range){ 40, 50 }, "fred", "/z", "3", &a).lsn, 0);
	out = run(s, (struct intent){ .op = INTENT_COPY, .copy = { .mailbox = from, .uids = &some, .uid_count = 1, .target = BYTES_LIT("user.fred.to"), .user = BYTES_LIT("fred") } }, &a);
	assert_int_equal(out.result, STORE_OK);
	assert_string_equal(value_of(s, "user.fred.to", 2, "", "/y"), "2");
	assert_string_equal(value_of(s, "user.fred.to", 3, "", "/y"), "2");
	assert_string_equal(value_of(s, "user.fred.to", 4, "", "/y"), VALUE_NONE);
	assert_string_equal(value_of(s, "user.fred.to", 4, "fred", "/z"), "3");
	assert_string_equal(value_of(s, "user.fred", 2, "", "/y"), "2");
	assert_int_equal(modseq_of(s, to, 2), out.modseq);
	(void)run(s, (struct intent){ .op = INTENT_MOVE, .copy = { .mailbox = from, .uids = &one, .uid_count = 1, .target = BYTES_LIT("user.fred.to"), .user = BYTES_LIT("fred") } }, &a);
	assert_string_equal(value_of(s, "user.fred.to", 5, "", "/y"), "2");
	assert_string_equal(value_of(s, "user.fred", 2, "", "/y"), VALUE_NONE);
	/* Within one mailbox. */
	(void)run(s, (struct intent){ .op = INTENT_MOVE, .copy = { .mailbox = to, .uids = &one, .uid_count = 1, .target = BYTES_LIT("user.fred.to"), .user = BYTES_LIT("fred") } }, &a);
	assert_string_equal(value_of(s, "user.fred.to", 6, "", "/y"), "2");
	assert_string_equal(value_of(s, "user.fred.to", 2, "", "/y"), VALUE_NONE);
	(void)run(s, (struct intent){ .op = INTENT_EXPUNGE, .expunge = { to, &some, 1, true, false } }, &a);
	assert_int_equal(count(s), 3); /* what is left in user.fred */
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("messages"), 0);
}

static void conditional_changes_leave_newer_messages_alone(void **state)
{
	struct store *s = must_open("conditional");
	struct arena a = { 0 };
	mailbox_id_t id = make(s, "user.fred", 3);
	const struct attribute_change c = { BYTES_NONE, BYTES_LIT("/y"), BYTES_LIT("v"), true, BYTES_NONE };
	const struct uid_range all = { 1, 3 };
	struct intent_answer out;

	(void)state;
	out = run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .mailbox = id, .uids = &all, .uid_count = 1, .is_conditional = true,
	                              .unchanged_since = modseq_of(s, id, 2), .changes = { .at = &c, .count = 1 } } }, &a);
	assert_int_equal(out.message_count, 2);
	assert_int_equal(out.new_uid_count, 1);
	assert_int_equal(out.new_uids[0].first, 3);
	assert_string_equal(value_of(s, "user.fred", 3, "", "/y"), VALUE_NONE);
	arena_fini(&a);
	store_close(&s);
}

static void too_much_to_copy_is_refused_before_anything_is_done(void **state)
{
	static char big[200000];
	struct store_options o = options("much");
	struct fault why;
	struct store *s;
	struct arena a = { 0 };
	const struct uid_range all = { 1, 2 };
	mailbox_id_t id;

	(void)state;
	o.segment_size = 4u << 20;
	s = store_open(&o, &why);
	assert_non_null(s);
	id = make(s, "user.fred", 2);
	(void)make(s, "user.fred.to", 0);
	memset(big, 'v', sizeof(big) - 1);
	(void)annotate(s, id, all, "", "/y", big, &a);
	assert_int_equal(run(s, (struct intent){ .op = INTENT_COPY, .copy = { .mailbox = id, .uids = &all, .uid_count = 1, .target = BYTES_LIT("user.fred.to"), .user = BYTES_LIT("fred") } }, &a).result, STORE_LIMIT);
	assert_string_equal(value_of(s, "user.fred.to", 1, "", "/y"), VALUE_NONE);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("much"), 0);
}

static void new_messages_have_theirs_from_the_beginning(void **state)
{
	static uint8_t big[ATTRIBUTE_VALUE_MAX];
	struct store *s = must_open("new");
	struct arena a = { 0 };
	struct attribute_change many[17];
	const struct attribute_change c = { BYTES_LIT("fred"), BYTES_LIT("/y"), BYTES_LIT("v"), true, BYTES_NONE };
	const struct attribute_change bad = { BYTES_NONE, BYTES_NONE, BYTES_LIT("v"), true, BYTES_NONE };
	struct append_target t = { .mailbox = BYTES_LIT("user.fred"), .attributes = { .at = &c, .count = 1, .most = 1 } };
	struct intent in = { .op = INTENT_APPEND, .append = { &t, 1, BYTES_LIT("op"), BYTES_LIT("body"), BYTES_LIT("structure"), BYTES_NONE } };
	struct place_message m[2] = { { .body = BYTES_LIT("one"), .structure = BYTES_LIT("s") }, { .body = BYTES_LIT("two"), .structure = BYTES_LIT("s") } };
	lsn_t last;

	(void)state;
	(void)make(s, "user.fred", 0);
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_string_equal(value_of(s, "user.fred", 1, "fred", "/y"), "v");
	/* A second time it was there already. */
	last = store_last_lsn(s);
	assert_int_equal(run(s, in, &a).result, STORE_OK);
	assert_int_equal(store_last_lsn(s), last);
	t.attributes.at = &bad;
	in.append.op_id = BYTES_LIT("other");
	assert_int_equal(run(s, in, &a).result, STORE_BAD);
	for (int i = 0; i < 17; i++)
		many[i] = (struct attribute_change){ BYTES_NONE, bytes_make((const uint8_t *)"abcdefghijklmnopq" + i, 1), bytes_make(big, ATTRIBUTE_VALUE_MAX), true, BYTES_NONE };
	t.attributes = (struct attribute_changes){ .at = many, .count = 2, .most = 1 };
	assert_int_equal(run(s, in, &a).result, STORE_LIMIT);
	/* More octets than one entry has are refused before the message is made. */
	t.attributes = (struct attribute_changes){ .at = many, .count = 17 };
	assert_int_equal(run(s, in, &a).result, STORE_LIMIT);
	m[1].attributes = t.attributes;
	assert_int_equal(run(s, (struct intent){ .op = INTENT_PLACE, .place = { .target = BYTES_LIT("user.fred"), .messages = m, .count = 2 } }, &a).result,
	                 STORE_LIMIT);
	assert_int_equal(run(s, (struct intent){ .op = INTENT_CREATE, .create = { .name = BYTES_LIT("user.fred.big"), .attributes = t.attributes } }, &a).result,
	                 STORE_LIMIT);
	assert_int_equal(store_last_lsn(s), last);
	m[1].attributes = (struct attribute_changes){ .at = &c, .count = 1 };
	assert_int_equal(run(s, (struct intent){ .op = INTENT_PLACE, .place = { .target = BYTES_LIT("user.fred"), .messages = m, .count = 2 } }, &a).result,
	                 STORE_OK);
	assert_string_equal(value_of(s, "user.fred", 2, "fred", "/y"), VALUE_NONE);
	assert_string_equal(value_of(s, "user.fred", 3, "fred", "/y"), "v");
	m[0].attributes = (struct attribute_changes){ .at = &bad, .count = 1 };
	assert_int_equal(run(s, (struct intent){ .op = INTENT_PLACE, .place = { .target = BYTES_LIT("user.fred"), .messages = m, .count = 2 } }, &a).result,
	                 STORE_BAD);
	assert_string_equal(value_of(s, "user.fred", 5, "fred", "/y"), VALUE_NONE);
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("new"), 0);
}

/* What is there and what is said of it come or are lost together: they are one entry. */
static void it_and_its_attributes_are_one_entry(void **state)
{
	struct store *s = must_open("one"), *f = must_open("one.follower");
	struct arena a = { 0 };
	const struct attribute_change c[] = { { BYTES_LIT("fred"), BYTES_LIT("/y"), BYTES_LIT("v"), true, BYTES_NONE },
		                              { BYTES_NONE, BYTES_LIT("/z"), BYTES_LIT("1"), true, BYTES_NONE },
		                              { BYTES_NONE, BYTES_LIT("/z"), BYTES_LIT("2"), true, BYTES_NONE },
		                              { BYTES_NONE, BYTES_LIT("/none"), BYTES_NONE, false, BYTES_NONE } };
	const struct attribute_changes all = { .at = c, .count = 4 };
	struct append_target t[] = { { .mailbox = BYTES_LIT("user.fred"), .attributes = { .at = c, .count = 1 } },
		                     { .mailbox = BYTES_LIT("user.mary"), .attributes = all } };
	struct place_message m[2] = { { .body = BYTES_LIT("one"), .structure = BYTES_LIT("s"), .attributes = all },
		                      { .body = BYTES_LIT("two"), .structure = BYTES_LIT("s"), .attributes = { .at = c, .count = 1 } } };
	const struct uid_range both = { 1, 2 };
	struct intent copy = { .op = INTENT_COPY, .copy = { .uids = &both, .uid_count = 1, .target = BYTES_LIT("user.mary"), .user = BYTES_LIT("fred") } };
	lsn_t last = store_last_lsn(s);
	char *was, *is;

	(void)state;
	assert_int_equal(run(s, (struct intent){ .op = INTENT_CREATE, .create = { .name = BYTES_LIT("user.mary"), .attributes = all } }, &a).result, STORE_OK);
	assert_int_equal(store_last_lsn(s), last + 1);
	assert_string_equal(value_of(s, "user.mary", 0, "", "/z"), "2");
	copy.copy.mailbox = make(s, "user.fred", 0);
	last = store_last_lsn(s);
	assert_int_equal(run(s, (struct intent){ .op = INTENT_APPEND, .append = { t, 2, BYTES_NONE, BYTES_LIT("body"), BYTES_LIT("s"), BYTES_NONE } }, &a).result,
	                 STORE_OK);
	assert_int_equal(store_last_lsn(s), last + 1);
	assert_string_equal(value_of(s, "user.fred", 1, "fred", "/y"), "v");
	assert_string_equal(value_of(s, "user.fred", 1, "", "/z"), VALUE_NONE);
	assert_string_equal(value_of(s, "user.mary", 1, "", "/z"), "2");
	assert_int_equal(modseq_of(s, copy.copy.mailbox, 1), t[0].modseq);
	assert_int_equal(run(s, (struct intent){ .op = INTENT_PLACE, .place = { .target = BYTES_LIT("user.fred"), .messages = m, .count = 2 } }, &a).result,
	                 STORE_OK);
	assert_int_equal(store_last_lsn(s), last + 4);
	assert_string_equal(value_of(s, "user.fred", 2, "", "/z"), "2");
	assert_int_equal(run(s, copy, &a).result, STORE_OK);
	assert_int_equal(store_last_lsn(s), last + 5);
	assert_string_equal(value_of(s, "user.mary", 3, "", "/z"), "2");
	/* The mailbox with what it has itself, then all messages with theirs. */
	assert_int_equal(set_attribute(s, "user.fred", "", "/own", "o", &a).result, STORE_OK);
	last = store_last_lsn(s);
	assert_int_equal(run(s, (struct intent){ .op = INTENT_RENAME_INBOX, .rename_inbox = { .from = BYTES_LIT("user.fred"), .to = BYTES_LIT("user.old") } }, &a).result,
	                 STORE_OK);
	assert_int_equal(store_last_lsn(s), last + 2);
	assert_string_equal(value_of(s, "user.old", 0, "", "/own"), "o");
	assert_string_equal(value_of(s, "user.old", 2, "", "/z"), "2");
	assert_string_equal(value_of(s, "user.old", 3, "fred", "/y"), "v");
	was = dump(s);
	copy_entries(s, f);
	is = dump(f);
	assert_string_equal(is, was);
	free(was);
	free(is);
	arena_fini(&a);
	store_close(&s);
	store_close(&f);
	assert_int_equal(verify("one"), 0);
	assert_int_equal(verify("one.follower"), 0);
}

static bool reads(const struct entry *e, struct buffer *head)
{
	struct buffer again = { 0 };
	struct arena a = { 0 };
	struct entry read;
	struct fault why;
	bool ok;

	buffer_clear(head);
	entry_write(head, e);
	ok = entry_read(buffer_bytes(head), BYTES_NONE, false, &a, &read, &why);
	if (ok) {
		entry_write(&again, &read);
		assert_true(bytes_equal(buffer_bytes(&again), buffer_bytes(head)));
		assert_int_equal(read.given_count, e->given_count);
	}
	buffer_fini(&again);
	arena_fini(&a);
	return ok;
}

static void what_is_given_has_one_form(void **state)
{
	static const enum entry_type types[] = { ENTRY_CREATE, ENTRY_APPEND, ENTRY_COPY, ENTRY_PLACE, ENTRY_FLAGS, ENTRY_DELETE };
	struct entry_delivery delivery = { .mailbox = 1, .uid = 1, .modseq = 2 };
	struct entry_copy copy = { .source = 1, .uid = 1, .body = 1, .size = 4 };
	struct entry_flag flag = { .uid = 1 };
	const struct entry_given good = { 0, BYTES_LIT("fred"), BYTES_LIT("/y"), BYTES_LIT("v") };
	const struct entry_given bad[] = { { 1, BYTES_NONE, BYTES_LIT("/y"), BYTES_LIT("v") },
		                           { 0, BYTES_NONE, BYTES_NONE, BYTES_LIT("v") },
		                           { 0, { (const uint8_t *)"a\0b", 3 }, BYTES_LIT("/y"), BYTES_LIT("v") },
		                           { 0, BYTES_NONE, { (const uint8_t *)"/\0y", 3 }, BYTES_LIT("v") } };
	struct buffer head = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct entry_given given[2] = { good, good };
		struct entry e = { .type = types[i], .lsn = 9, .epoch = 1, .mailbox = 2, .name = BYTES_LIT("user.fred"), .given = given };

		if (types[i] != ENTRY_CREATE) {
			e.modseq = 3;
			e.count = 1;
			e.deliveries = &delivery;
			e.copies = &copy;
			e.flags = &flag;
		}
		assert_true(reads(&e, &head));
		e.given_count = 2;
		e.time = types[i] == ENTRY_CREATE || types[i] == ENTRY_FLAGS || types[i] == ENTRY_DELETE ? 0 : 5;
		/* Others make nothing. */
		assert_int_equal(reads(&e, &head), i < 4);
		for (size_t k = 0; i < 4 && k < sizeof(bad) / sizeof(bad[0]); k++) {
			given[1] = bad[k];
			assert_false(reads(&e, &head));
		}
	}
	/* A count of none, and one that is a lie. */
	for (uint32_t count = 0; count < 2; count++) {
		struct entry_given given = good;
		struct entry e = { .type = ENTRY_CREATE, .lsn = 9, .epoch = 1, .mailbox = 2, .name = BYTES_LIT("n"), .given = &given, .given_count = 1 };
		struct entry plain = e, read;
		struct arena a = { 0 };
		struct fault why;
		size_t at;
		XXH64_hash_t sum;

		plain.given_count = 0;
		(void)reads(&plain, &head);
		at = head.n;
		(void)reads(&e, &head);
		buffer_set_u32le(&head, at, count == 0 ? 0 : UINT32_MAX);
		sum = XXH3_64bits(head.p, 40) ^ XXH3_64bits(head.p + ENTRY_HEADER, head.n - ENTRY_HEADER);
		buffer_set_u64le(&head, 40, sum);
		assert_false(entry_read(buffer_bytes(&head), BYTES_NONE, false, &a, &read, &why));
		arena_fini(&a);
	}
	buffer_fini(&head);
}

/* The loop waits for what is applied at once. */
static void large_values_are_not_applied_all_at_once(void **state)
{
	static char big[ATTRIBUTE_VALUE_MAX + 1];
	struct store *s = must_open("large"), *f = must_open("slow");
	struct arena a = { 0 };
	struct fault why;
	char *was, *is;

	(void)state;
	for (char c = 'a'; c < 'a' + 12; c++) {
		const char name[] = { c, '\0' };

		memset(big, c, sizeof(big) - 1);
		assert_int_equal(run(s, (struct intent){ .op = INTENT_ATTRIBUTE, .attribute = { .changes = { .count = 1,
		                 .at = &(struct attribute_change){ .name = bytes_of(name), .value = bytes_of(big), .is_set = true } } } }, &a).result, STORE_OK);
	}
	follow_entries(s, f);
	assert_int_equal(store_apply_committed(f, store_last_lsn(f), NULL, &why), STORE_OK);
	assert_true(store_applied_lsn(f) < store_last_lsn(f));
	copy_entries(s, f);
	was = dump(s);
	is = dump(f);
	assert_string_equal(is, was);
	free(was);
	free(is);
	arena_fini(&a);
	store_close(&s);
	store_close(&f);
}

static void a_copy_leaves_what_is_not_its_users(void **state)
{
	struct store *s = must_open("users");
	struct arena a = { 0 };
	mailbox_id_t id = make(s, "user.fred", 1);
	const struct uid_range one = { 1, 1 };

	(void)state;
	(void)annotate(s, id, one, "fred", "/y", "freds", &a);
	(void)annotate(s, id, one, "bob", "/y", "bobs", &a);
	(void)annotate(s, id, one, "", "/y", "all", &a);
	(void)run(s, (struct intent){ .op = INTENT_COPY, .copy = { .mailbox = id, .uids = &one, .uid_count = 1, .target = BYTES_LIT("user.fred"),
	                                                           .user = BYTES_LIT("bob"), .leaves_shared = true } }, &a);
	assert_string_equal(value_of(s, "user.fred", 2, "bob", "/y"), "bobs");
	assert_string_equal(value_of(s, "user.fred", 2, "fred", "/y"), VALUE_NONE);
	assert_string_equal(value_of(s, "user.fred", 2, "", "/y"), VALUE_NONE);
	/* A RENAME of INBOX leaves nothing. */
	(void)set_attribute(s, "user.fred", "bob", "/own", "x", &a);
	(void)run(s, (struct intent){ .op = INTENT_RENAME_INBOX, .rename_inbox = { BYTES_LIT("user.fred"), BYTES_LIT("user.fred.old"), BYTES_LIT("fred\tlrs\t"),
	                                                                           BYTES_LIT("default"), 2 } }, &a);
	assert_string_equal(value_of(s, "user.fred.old", 1, "fred", "/y"), "freds");
	assert_string_equal(value_of(s, "user.fred.old", 1, "", "/y"), "all");
	assert_string_equal(value_of(s, "user.fred.old", 0, "bob", "/own"), "x");
	assert_string_equal(value_of(s, "user.fred", 0, "bob", "/own"), "x");
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("users"), 0);
}

static void all_of_it_comes_back(void **state)
{
	struct store *s = must_open("all"), *f = must_open("follower");
	struct store_options o = options("all");
	struct fault why;
	char *was, *is;

	(void)state;
	some_life(s, 7);
	some_life(s, 8);
	assert_true(count(s) > 0);
	was = dump(s);
	assert_non_null(strstr(was, "\nattribute uid="));
	copy_entries(s, f);
	is = dump(f);
	assert_string_equal(is, was);
	free(is);
	checkpoint(s);
	some_life(s, 9);
	free(was);
	was = dump(s);
	store_close(&s);
	store_close(&f);
	assert_int_equal(verify("all"), 0);
	assert_int_equal(verify("follower"), 0);
	assert_true(store_rebuild(&o, stdout, &why));
	s = must_open("all");
	assert_int_equal(store_apply_committed(s, store_last_lsn(s), NULL, &why), STORE_OK);
	is = dump(s);
	assert_string_equal(is, was);
	free(is);
	free(was);
	store_close(&s);
}

/* An index that was left by a version that knew no attributes lacks their table. */
static void index_of_before_is_taken_as_it_is(void **state)
{
	struct store *s = must_open("before");
	struct store_options o = options("before");
	struct arena a = { 0 };
	char path[128], *was, *is;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	(void)state;
	(void)make(s, "user.fred", 3);
	was = dump(s);
	store_close(&s);
	(void)snprintf(path, sizeof(path), "%s/index", o.dir);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 20), 0);
	assert_int_equal(mdb_env_set_mapsize(env, 64u << 20), 0);
	assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "attribute", 0, &dbi), 0);
	assert_int_equal(mdb_drop(txn, dbi, 1), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	/* To who only reads it has none, and is whole. */
	assert_int_equal(verify("before"), 0);
	s = must_open("before");
	is = dump(s);
	assert_string_equal(is, was);
	assert_int_equal(set_attribute(s, "user.fred", "", "/x", "1", &a).result, STORE_OK);
	assert_string_equal(value_of(s, "user.fred", 0, "", "/x"), "1");
	arena_fini(&a);
	store_close(&s);
	assert_int_equal(verify("before"), 0);
	free(was);
	free(is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_of_one_object_and_one_user),
		cmocka_unit_test(the_last_change_of_one_attribute_counts),
		cmocka_unit_test(one_that_is_there_stays_where_only_new_ones_are_made),
		cmocka_unit_test(limits_refuse_the_whole_intent),
		cmocka_unit_test(a_word_is_one_mailboxs_below_one_root),
		cmocka_unit_test(mailboxes_keep_and_lose_theirs),
		cmocka_unit_test(messages_carry_theirs_along),
		cmocka_unit_test(conditional_changes_leave_newer_messages_alone),
		cmocka_unit_test(too_much_to_copy_is_refused_before_anything_is_done),
		cmocka_unit_test(new_messages_have_theirs_from_the_beginning),
		cmocka_unit_test(it_and_its_attributes_are_one_entry),
		cmocka_unit_test(what_is_given_has_one_form),
		cmocka_unit_test(large_values_are_not_applied_all_at_once),
		cmocka_unit_test(a_copy_leaves_what_is_not_its_users),
		cmocka_unit_test(all_of_it_comes_back),
		cmocka_unit_test(index_of_before_is_taken_as_it_is),
	};

	return cmocka_run_group_tests(tests, make_base, drop_base);
}
