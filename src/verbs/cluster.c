/* cluster.c - one question to the mupdate server: connect, ask, take the answer, go. */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "tls.h"

#define CONNECT_MS 5000

/* One visit. */
struct visit {
	struct loop *loop;
	struct mupdate_client *client;
	struct timer *deadline;
	struct tls_context *tls;
	struct cluster *cluster; /* NULL: a command */

	const char *verb;
	const struct bytes *args;
	size_t count;
	uint64_t timeout_ms;
	mupdate_record_fn *record;
	void *arg;

	struct fault *why;
	bool is_asked, is_answered, is_over, ok;
};

static void over(struct visit *v, bool ok)
{
	if (v->is_over)
		return;
	v->is_over = true;
	v->ok = ok;
	mupdate_client_stop(&v->client);
	timer_free(&v->deadline);
	loop_stop(v->loop);
}

static void over_posted(void *arg)
{
	struct visit *v = arg;

	over(v, v->ok);
}

static void late(void *arg)
{
	struct visit *v = arg;
	const char *problem = v->client == NULL ? "" : mupdate_client_problem(v->client);

	if (v->is_asked)
		(void)fault_set(v->why, FAULT_TRANSIENT, "the mupdate server did not answer %s in time", v->verb);
	else
		(void)fault_set(v->why, FAULT_TRANSIENT, "the mupdate server cannot be asked: %s", problem);
	over(v, false);
}

static void answered(void *arg, enum mupdate_outcome outcome, struct bytes text)
{
	struct visit *v = arg;

	if (v->is_over || !v->is_asked)
		return;
	if (outcome == MUPDATE_OUTCOME_LOST)
		(void)fault_set(v->why, FAULT_TRANSIENT, "the connection to the mupdate server was lost before its answer");
	else if (outcome != MUPDATE_OUTCOME_OK)
		(void)fault_set(v->why, FAULT_CLIENT, "the mupdate server says: %.*s", BYTES_FMT(text));
	v->ok = outcome == MUPDATE_OUTCOME_OK;
	v->is_answered = true; /* pushes that come yet would be a second telling */
	/* Not from within the client's own call. */
	loop_post(v->loop, over_posted, v);
}

static void on_record(void *arg, struct bytes name, struct bytes location, bool is_active, struct bytes acl)
{
	struct visit *v = arg;

	if (v->record != NULL)
		v->record(v->arg, name, location, is_active, acl);
}

static void on_up(void *arg, bool is_roost)
{
	struct visit *v = arg;

	if (v->is_asked)
		return;
	if (!is_roost && v->cluster != NULL) {
		(void)fault_set(v->why, FAULT_CLIENT, "this mupdate server is not one of Roost's: it knows no members and roles");
		v->is_asked = true;
		loop_post(v->loop, over_posted, v);
		return;
	}
	v->is_asked = true;
	timer_start(v->deadline, v->timeout_ms, 0);
	(void)mupdate_client_send(v->client, v->verb, v->args, v->count, on_record, answered, v);
}

static int member_order(const void *a, const void *b)
{
	const struct cluster_member *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int server_order(const void *a, const void *b)
{
	const struct cluster_server *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int front_order(const void *a, const void *b)
{
	const struct cluster_front *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void on_server(void *arg, struct bytes server, uint64_t epoch, struct bytes master, struct bytes in_sync)
{
	struct visit *v = arg;
	struct cluster *c = v->cluster;

	if (c == NULL || v->is_answered)
		return;
	c->servers = must_realloc(c->servers, c->server_count + 1, sizeof(*c->servers));
	c->servers[c->server_count++] = (struct cluster_server){ .name = bytes_to_str(server),
		                                                 .master = bytes_to_str(master),
		                                                 .in_sync = bytes_to_str(in_sync),
		                                                 .epoch = epoch };
}

static void on_member(void *arg, struct bytes server, struct bytes member, struct bytes imap, struct bytes lmtp,
                      struct bytes sync, struct bytes admin, bool is_up)
{
	struct visit *v = arg;
	struct cluster *c = v->cluster;

	if (c == NULL || v->is_answered)
		return;
	c->members = must_realloc(c->members, c->member_count + 1, sizeof(*c->members));
	c->members[c->member_count++] = (struct cluster_member){ .server = bytes_to_str(server),
		                                                 .name = bytes_to_str(member),
		                                                 .imap = bytes_to_str(imap),
		                                                 .lmtp = bytes_to_str(lmtp),
		                                                 .sync = bytes_to_str(sync),
		                                                 .admin = bytes_to_str(admin),
		                                                 .is_up = is_up };
}

static void on_front(void *arg, struct bytes name, struct bytes imap, struct bytes lmtp, struct bytes admin, bool is_up)
{
	struct visit *v = arg;
	struct cluster *c = v->cluster;

	if (c == NULL || v->is_answered)
		return;
	c->fronts = must_realloc(c->fronts, c->front_count + 1, sizeof(*c->fronts));
	c->fronts[c->front_count++] = (struct cluster_front){ .name = bytes_to_str(name),
		                                              .imap = bytes_to_str(imap),
		                                              .lmtp = bytes_to_str(lmtp),
		                                              .admin = bytes_to_str(admin),
		                                              .is_up = is_up };
}

static void on_pop3(void *arg, struct bytes server, struct bytes name, struct bytes pop3)
{
	struct visit *v = arg;
	struct cluster *c = v->cluster;

	if (c == NULL || v->is_answered)
		return;
	/* It belongs to the line before it, the last that was added. */
	if (server.n == 0 && c->front_count > 0 && bytes_equal_str(name, c->fronts[c->front_count - 1].name) &&
	    c->fronts[c->front_count - 1].pop3 == NULL)
		c->fronts[c->front_count - 1].pop3 = bytes_to_str(pop3);
	else if (server.n > 0 && c->member_count > 0 && bytes_equal_str(name, c->members[c->member_count - 1].name) &&
	         c->members[c->member_count - 1].pop3 == NULL)
		c->members[c->member_count - 1].pop3 = bytes_to_str(pop3);
}

static const struct mupdate_client_events events = {
	.on_up = on_up,
	.on_server = on_server,
	.on_member = on_member,
	.on_front = on_front,
	.on_pop3 = on_pop3,
};

static bool run(struct visit *v, const struct config *config)
{
	const char *ca = config_string(config, "tls_client_ca_file");
	struct mupdate_client_options o = { .config = config, .events = &events, .arg = v };
	struct bytes word;

	if (!config_word(config, "mupdate_server", 0, &word))
		return config_fault(config, "mupdate_server", v->why, "is missing; give -C the file of a backend, a frontend or a client");
	if (config_string(config, "mupdate_authname") == NULL)
		return config_fault(config, "mupdate_authname", v->why, "is missing; it is who asks");
	if (ca != NULL && (v->tls = tls_client_new(ca, v->why)) == NULL)
		return false;
	v->loop = loop_new(v->why);
	if (v->loop == NULL) {
		tls_free(&v->tls);
		return false;
	}
	o.tls = v->tls;
	v->deadline = timer_new(v->loop, late, v);
	timer_start(v->deadline, CONNECT_MS, 0);
	v->client = mupdate_client_start(v->loop, &o);
	loop_run(v->loop);
	loop_join(&v->loop);
	tls_free(&v->tls);
	return v->ok;
}

bool cluster_read(const struct config *config, struct cluster *c, struct fault *why)
{
	struct visit v = { .cluster = c, .verb = "XWATCH", .timeout_ms = CONNECT_MS, .why = why };

	*c = (struct cluster){ 0 };
	if (!run(&v, config))
		return false;
	if (c->server_count > 0)
		qsort(c->servers, c->server_count, sizeof(*c->servers), server_order);
	if (c->member_count > 0)
		qsort(c->members, c->member_count, sizeof(*c->members), member_order);
	if (c->front_count > 0)
		qsort(c->fronts, c->front_count, sizeof(*c->fronts), front_order);
	return true;
}

void cluster_fini(struct cluster *c)
{
	for (size_t i = 0; i < c->server_count; i++) {
		free(c->servers[i].name);
		free(c->servers[i].master);
		free(c->servers[i].in_sync);
	}
	for (size_t i = 0; i < c->member_count; i++) {
		free(c->members[i].server);
		free(c->members[i].name);
		free(c->members[i].imap);
		free(c->members[i].lmtp);
		free(c->members[i].sync);
		free(c->members[i].admin);
		free(c->members[i].pop3);
	}
	for (size_t i = 0; i < c->front_count; i++) {
		free(c->fronts[i].name);
		free(c->fronts[i].imap);
		free(c->fronts[i].lmtp);
		free(c->fronts[i].admin);
		free(c->fronts[i].pop3);
	}
	free(c->servers);
	free(c->members);
	free(c->fronts);
	*c = (struct cluster){ 0 };
}

bool cluster_command(const struct config *config, const char *verb, const struct bytes *args, size_t count,
                     uint64_t timeout_ms, mupdate_record_fn *record, void *arg, struct fault *why)
{
	struct visit v = { .verb = verb, .args = args, .count = count, .timeout_ms = timeout_ms, .record = record,
		           .arg = arg, .why = why };

	return run(&v, config);
}
