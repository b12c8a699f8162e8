/* search_apart.c - the strings of a search in one large message, on a pool thread. The message is read once for all of them, there, from a
 * snapshot of that time: one that was expunged meanwhile is not found any more by the search that goes on, either. What the thread uses is
 * its own, as the client may go at any time; it then ends with the message, and nobody is told. */
#include "search_apart.h"

#include <stdlib.h>

#include "alloc.h"
#include "mime.h"
#include "search_ask.h"

/* One key, in the order of the plans. */
struct looked_for {
	struct bytes string, field;
	struct mime_fuzzy *fuzzy; /* NULL: exactly */
	bool is_wanted, is_header, is_text;
	unsigned score;
};

struct look {
	struct arena arena;
	struct store *store;
	struct mime_limits limits;
	struct search *search; /* alive if the client is: its command waits */
	lsn_t body;
	uint32_t size;
	struct looked_for *keys;
	size_t count;
	enum store_result result;
	struct fault why;
};

static unsigned score_of(const struct look *l, struct looked_for *k, struct bytes message, struct bytes header)
{
	if (k->is_header && k->fuzzy != NULL)
		return mime_fuzzy_header(k->fuzzy, header, k->field);
	if (k->is_header)
		return mime_header_contains(header, k->field, k->string) ? 100 : 0;
	if (k->fuzzy != NULL)
		return mime_fuzzy_text(k->fuzzy, message, &l->limits, k->is_text);
	return mime_text_contains(message, &l->limits, k->string, k->is_text) ? 100 : 0;
}

/* loop_fn on a pool thread. */
static void look(void *arg)
{
	struct look *l = arg;
	struct store_view *v = store_view_open(l->store, &l->why);
	struct buffer body = { 0 };
	struct bytes header;

	l->result = v == NULL ? STORE_FAILED : store_view_body(v, l->body, 0, l->size, &body, &l->why);
	/* What was read is our own: an old snapshot is held no longer than that. */
	if (v != NULL)
		store_view_close(&v);
	header = mime_header_of(buffer_bytes(&body));
	for (size_t i = 0; l->result == STORE_OK && i < l->count; i++) {
		if (l->keys[i].is_wanted)
			l->keys[i].score = score_of(l, &l->keys[i], buffer_bytes(&body), header);
	}
	buffer_fini(&body);
}

/* client_worked_fn. */
static void looked(struct client *c, void *arg)
{
	struct look *l = arg;
	struct session *s = (struct session *)c;
	size_t i = 0;

	if (c != NULL) {
		for (struct search_plan *p = l->search->plans; p != NULL; p = p->next)
			p->score = l->keys[i++].score;
		l->search->apart = (struct search_apart){ .body = l->body, .result = l->result, .why = l->why };
	}
	arena_fini(&l->arena);
	free(l);
	if (c != NULL)
		session_resume(s, s->cmd->resume(s, s->cmd));
}

void search_apart_begin(struct session *s, struct search *sr, const struct message *msg)
{
	struct look *l = must_calloc(1, sizeof(*l));
	size_t i = 0;

	l->store = s->client.backend->store;
	l->limits = s->client.backend->mime_limits;
	l->search = sr;
	l->body = msg->body;
	l->size = msg->size;
	for (struct search_plan *p = sr->plans; p != NULL; p = p->next)
		l->count++;
	l->keys = arena_array(&l->arena, l->count, sizeof(*l->keys));
	for (struct search_plan *p = sr->plans; p != NULL; p = p->next) {
		struct looked_for *k = &l->keys[i++];
		struct bytes string = arena_copy(&l->arena, p->key->string);

		*k = (struct looked_for){
			.string = string,
			.field = arena_copy(&l->arena, p->key->field),
			.fuzzy = p->key->fuzzy != NULL ? mime_fuzzy_new(&l->arena, string) : NULL,
			.is_wanted = p->key->fuzzy != NULL || !search_ask_excludes(sr, p->key, msg),
			.is_header = p->key->type == SEARCH_HEADER,
			.is_text = p->key->type == SEARCH_TEXT,
		};
	}
	client_work(&s->client, look, looked, l);
}

bool search_apart_has(const struct search *sr, const struct message *msg)
{
	return sr->apart.body != 0 && sr->apart.body == msg->body;
}

unsigned search_apart_score(const struct search_key *k)
{
	const struct search_plan *p = k->plan;

	return p->score;
}
