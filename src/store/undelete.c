/* undelete.c - requests as files: whoever may write to the partition may ask. */
#include "undelete.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "cursor.h"
#include "file.h"
#include "store_private.h"

#define MAGIC "roost-undelete 1\n"
#define REQUEST_MAX (64u << 10)

bool undelete_parse_uids(struct bytes text, struct arena *a, struct intent_undelete *in)
{
	struct uid_range *ranges = arena_array(a, UNDELETE_RANGES, sizeof(*ranges));
	size_t count = 0;

	while (text.n > 0) {
		size_t comma = bytes_find(text, ',');
		struct bytes one = bytes_sub(text, 0, comma);
		size_t colon = bytes_find(one, ':');
		uint64_t first, last;

		if (count == UNDELETE_RANGES || !bytes_to_u64(bytes_sub(one, 0, colon), UINT32_MAX, &first) || first == 0)
			return false;
		last = first;
		if (colon < one.n && (!bytes_to_u64(bytes_from(one, colon + 1), UINT32_MAX, &last) || last < first))
			return false;
		ranges[count++] = (struct uid_range){ (uint32_t)first, (uint32_t)last };
		if (comma + 1 == text.n)
			return false;
		text = bytes_from(text, comma + 1);
	}
	in->uids = ranges;
	in->uid_count = count;
	return true;
}

bool undelete_ask(const char *dir, const struct intent_undelete *in, char **name_r, struct fault *why)
{
	char *folder = must_printf("%s/undelete", dir), *path;
	struct buffer b = { 0 };
	bool ok = file_make_dirs(folder, 0700, why);

	*name_r = must_printf("%ld-%llu", (long)getpid(), (unsigned long long)clock_wall_us());
	path = must_printf("%s/%s.request", folder, *name_r);
	buffer_add_str(&b, MAGIC);
	buffer_addf(&b, "%lld\n", (long long)in->since);
	for (size_t i = 0; i < in->uid_count; i++)
		buffer_addf(&b, "%s%u:%u", i > 0 ? "," : "", in->uids[i].first, in->uids[i].last);
	buffer_add_str(&b, "\n");
	buffer_add(&b, in->name);
	ok = ok && file_replace(path, buffer_bytes(&b), 0600, why);
	buffer_fini(&b);
	free(path);
	free(folder);
	return ok;
}

bool undelete_answered(const char *dir, const char *name, struct buffer *text)
{
	char *path = must_printf("%s/undelete/%s.answer", dir, name);
	bool is = file_read_all(path, REQUEST_MAX, text, NULL, NULL);

	if (is)
		(void)unlink(path);
	free(path);
	return is;
}

bool undelete_give_up(const char *dir, const char *name)
{
	char *path = must_printf("%s/undelete/%s.request", dir, name);
	bool ok = unlink(path) == 0;

	free(path);
	return ok;
}

static bool next_line(struct bytes *text, struct bytes *line_r)
{
	size_t end = bytes_find(*text, '\n');

	if (end == text->n)
		return false;
	*line_r = bytes_sub(*text, 0, end);
	*text = bytes_from(*text, end + 1);
	return true;
}

static bool parse(struct bytes text, struct undelete_request *r)
{
	struct bytes since, uids;
	uint64_t time;

	if (!bytes_starts(text, BYTES_LIT(MAGIC)))
		return false;
	text = bytes_from(text, sizeof(MAGIC) - 1);
	if (!next_line(&text, &since) || !bytes_to_u64(since, INT64_MAX, &time) || !next_line(&text, &uids) || text.n == 0 ||
	    text.n > MAILBOX_NAME_MAX || !undelete_parse_uids(uids, &r->a, &r->intent))
		return false;
	r->intent.since = (int64_t)time;
	r->intent.name = arena_copy(&r->a, text);
	return true;
}

bool undelete_take(const char *dir, struct undelete_request *r_r)
{
	char *folder = must_printf("%s/undelete", dir);
	DIR *d = opendir(folder);
	struct dirent *e;
	bool is = false;

	while (d != NULL && !is && (e = readdir(d)) != NULL) {
		struct bytes name = bytes_of(e->d_name);
		struct buffer text = { 0 };
		char *path;

		if (!bytes_ends(name, BYTES_LIT(".request")))
			continue;
		path = must_printf("%s/%s", folder, e->d_name);
		*r_r = (struct undelete_request){ 0 };
		is = file_read_all(path, REQUEST_MAX, &text, NULL, NULL) && parse(buffer_bytes(&text), r_r);
		(void)unlink(path);
		if (is)
			r_r->name = bytes_to_str(bytes_sub(name, 0, name.n - 8));
		else
			arena_fini(&r_r->a);
		buffer_fini(&text);
		free(path);
	}
	if (d != NULL)
		(void)closedir(d);
	free(folder);
	return is;
}

void undelete_fini(struct undelete_request *r)
{
	free(r->name);
	arena_fini(&r->a);
	*r = (struct undelete_request){ 0 };
}

bool undelete_answer(const char *dir, const char *name, const char *text, struct fault *why)
{
	char *path = must_printf("%s/undelete/%s.answer", dir, name);
	bool ok = file_replace(path, bytes_of(text), 0600, why);

	free(path);
	return ok;
}

static void print_time(FILE *out, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;
	char text[32] = "?";

	if (gmtime_r(&t, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)fputs(text, out);
}

bool undelete_list(const struct store_options *o, struct bytes name, FILE *out, struct fault *why)
{
	struct kv_txn *t = NULL;
	struct store *s = store_open_reader(o, &t, why);
	uint8_t start[KEY_MAX];
	struct bytes key, value;
	struct kv_cursor *c;
	mailbox_id_t id;
	bool has, ok;

	if (s == NULL)
		return false;
	ok = index_name(t, name, &id) == KV_OK || fault_set(why, FAULT_OPERATOR, "there is no mailbox %.*s", BYTES_FMT(name));
	c = ok ? kv_seek(t, T_EXPUNGED, bytes_make(start, key_message(start, id, 0)), &key, &value) : NULL;
	for (has = c != NULL; has && key_read_u64(key, 0) == id; has = kv_next(c, &key, &value)) {
		struct message m;
		int64_t time;

		if (!index_decode_kept(key, value, &m, &time))
			break;
		(void)fprintf(out, "uid %u size %u expunged ", m.uid, m.size);
		print_time(out, time);
		(void)fputs(" received ", out);
		print_time(out, m.internaldate);
		(void)fputc('\n', out);
	}
	kv_cursor_end(&c);
	if (ok && kv_has_failed(t))
		ok = fault_set(why, FAULT_OPERATOR, "%s/index: damaged; \"roost rebuild\" makes it anew", o->dir);
	kv_end(&t);
	store_close_reader(s);
	return ok;
}
