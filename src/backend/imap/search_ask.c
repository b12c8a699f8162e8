/* search_ask.c - a question to the search index: the strings of a search, asked for together on a pool thread; and what its answer leaves out. */
#include "search_ask.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "box.h"
#include "indexer.h"
#include "mime.h"

/* As many messages as are looked at in the time that asking takes. */
#define MESSAGES_MIN 200
/* A search with more strings than that is about something else. */
#define KEYS_MAX 16
/* Hits for each message that would be looked at: reading one of them costs about a tenth of that. */
#define HITS_EACH 4
#define HITS_MIN 1000

struct question {
	struct indexer *indexer;
	mailbox_id_t mailbox;
	size_t limit, count;
	uint32_t next;
	struct search *search; /* alive if the client is: its command waits */
	struct indexer_key keys[KEYS_MAX];
	struct buffer octets;  /* of the keys */
};

static void free_hits(void *arg)
{
	struct search_plan *p = arg;

	free(p->hits);
}

static void add_plan(struct arena *a, struct search *sr, struct search_key *k)
{
	struct search_plan *p = arena_zalloc(a, sizeof(*p));

	p->key = k;
	p->is_kept = k->type == SEARCH_HEADER && mime_is_kept_field(k->field);
	p->next = sr->plans;
	sr->plans = p;
	k->plan = p;
	arena_on_free(a, free_hits, p);
}

void search_ask_plan(struct arena *a, struct search *sr, struct search_key *k)
{
	for (; k != NULL; k = k->next) {
		if (k->type == SEARCH_HEADER || k->type == SEARCH_BODY || k->type == SEARCH_TEXT)
			add_plan(a, sr, k);
		search_ask_plan(a, sr, k->children);
	}
}

bool search_ask_is_kept(const struct search_key *k)
{
	const struct search_plan *p = k->plan;

	return p->is_kept;
}

void search_ask_end(struct search *sr)
{
	for (struct search_plan *p = sr->plans; p != NULL; p = p->next) {
		free_hits(p);
		p->hits = NULL;
		p->is_known = false;
	}
}

/* loop_fn on a pool thread. */
static void ask(void *arg)
{
	struct question *q = arg;

	indexer_ask(q->indexer, q->mailbox, q->keys, q->count, q->limit, &q->next);
}

/* client_worked_fn: the plans were asked for in their order. */
static void told(struct client *c, void *arg)
{
	struct question *q = arg;
	struct session *s = (struct session *)c;
	size_t i = 0;

	for (struct search_plan *p = c == NULL ? NULL : q->search->plans; p != NULL && i < q->count; p = p->next) {
		if (!p->is_asked)
			continue;
		p->is_known = q->next > 0 && q->keys[i].is_known;
		p->hits = q->keys[i].hits.bodies;
		p->hit_count = q->keys[i].hits.count;
		q->keys[i++].hits.bodies = NULL;
	}
	for (i = 0; i < q->count; i++)
		free(q->keys[i].hits.bodies);
	if (c != NULL)
		q->search->indexed = q->next;
	buffer_fini(&q->octets);
	free(q);
	if (c != NULL)
		session_resume(s, s->cmd->resume(s, s->cmd));
}

bool search_ask_begin(struct session *s, struct search *sr)
{
	struct question *q;
	size_t range = sr->end - sr->at, octets = 0;

	if (s->client.backend->indexer == NULL || range < MESSAGES_MIN || sr->plans == NULL)
		return false;
	q = must_calloc(1, sizeof(*q));
	for (struct search_plan *p = sr->plans; p != NULL && q->count < KEYS_MAX; p = p->next) {
		p->is_asked = !p->key->is_fuzzy && fulltext_may_ask(p->key->string);
		if (!p->is_asked)
			continue;
		buffer_add(&q->octets, p->key->string);
		q->keys[q->count].kinds = p->key->type == SEARCH_HEADER ? FULLTEXT_HEADER :
		                          p->key->type == SEARCH_BODY   ? FULLTEXT_BODY :
		                                                          FULLTEXT_HEADER | FULLTEXT_BODY;
		q->keys[q->count++].key.n = p->key->string.n;
	}
	if (q->count == 0) {
		free(q);
		return false;
	}
	for (size_t i = 0; i < q->count; i++) {
		q->keys[i].key.p = q->octets.p + octets;
		octets += q->keys[i].key.n;
	}
	q->indexer = s->client.backend->indexer;
	q->mailbox = sr->box->id;
	q->limit = range * HITS_EACH + HITS_MIN;
	q->search = sr;
	client_work(&s->client, ask, told, q);
	return true;
}

bool search_ask_excludes(const struct search *sr, const struct search_key *k, const struct message *msg)
{
	struct search_plan *p = k->plan;
	size_t from = 0, to = p->hit_count;

	if (!p->is_known || msg->uid >= sr->indexed)
		return false;
	/* Bodies mostly come in order: it is often where the last one was, or the one after it. */
	if (p->at > 0 && p->hits[p->at - 1] < msg->body)
		from = p->at;
	if (from < to && p->hits[from] >= msg->body)
		to = from;
	else if (from + 1 < to && p->hits[from + 1] >= msg->body)
		from = to = from + 1;
	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (p->hits[middle] < msg->body)
			from = middle + 1;
		else
			to = middle;
	}
	p->at = from;
	return from == p->hit_count || p->hits[from] != msg->body;
}
