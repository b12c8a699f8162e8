/* dir_status.c - what the admin's thread may tell of servers and frontends: written down whenever they change, since the
 * registry itself is the loop's alone. */
#include <string.h>

#include "dir_session.h"
#include "json.h"

static const char *role_of_member(const struct server *server, const struct member *m)
{
	return strcmp(m->name, server->master) == 0 ? "master" : "replica";
}

static void status_member(struct buffer *b, const struct server *server, const struct member *m)
{
	json_key(b, m->name);
	buffer_add_u8(b, '{');
	json_key_string(b, "role", bytes_of(role_of_member(server, m)));
	json_key_bool(b, "up", m->session != 0);
	json_key_bool(b, "in_sync", reign_has_member(bytes_of(server->in_sync), bytes_of(m->name)));
	json_key_string(b, "imap", bytes_of(m->at.imap));
	json_key_string(b, "lmtp", bytes_of(m->at.lmtp));
	json_key_string(b, "sync", bytes_of(m->at.sync));
	json_key_string(b, "admin", bytes_of(m->at.admin));
	json_key_string(b, "pop3", bytes_of(m->at.pop3));
	buffer_add_u8(b, '}');
}

static void status_server(struct buffer *b, const struct server *server)
{
	json_key(b, server->name);
	buffer_add_u8(b, '{');
	json_key_u64(b, "epoch", server->epoch);
	json_key_string(b, "master", bytes_of(server->master));
	json_key_string(b, "in_sync", bytes_of(server->in_sync));
	json_key_bool(b, "joins", !server->is_foreign);
	json_key(b, "members");
	buffer_add_u8(b, '{');
	LIST_EACH(at, &server->members)
		status_member(b, server, LIST_OBJECT(at, struct member, in_server));
	buffer_add_str(b, "}}");
}

static void status_front(struct buffer *b, const struct front *f)
{
	json_key(b, f->name);
	buffer_add_u8(b, '{');
	json_key_bool(b, "up", f->session != 0);
	json_key_string(b, "imap", bytes_of(f->at.imap));
	json_key_string(b, "lmtp", bytes_of(f->at.lmtp));
	json_key_string(b, "admin", bytes_of(f->at.admin));
	json_key_string(b, "pop3", bytes_of(f->at.pop3));
	buffer_add_u8(b, '}');
}

/* A label's value in Prometheus's text format. */
static void add_label(struct buffer *b, const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == '\\' || *value == '"')
			buffer_add_u8(b, '\\');
		buffer_add_u8(b, *value == '\n' ? ' ' : (uint8_t)*value);
	}
}

static void metric_of_member(struct buffer *b, const struct server *server, const struct member *m)
{
	buffer_add_str(b, "roost_directory_master{server=\"");
	add_label(b, server->name);
	buffer_add_str(b, "\",member=\"");
	add_label(b, m->name);
	buffer_addf(b, "\"} %d\n", strcmp(m->name, server->master) == 0 ? 1 : 0);
}

static void status_servers(struct directory *d, struct buffer *status, struct buffer *metrics, struct map *roles)
{
	struct map_iter it = { 0 };
	struct bytes name;
	void *value;

	buffer_add_str(metrics, "# HELP roost_directory_master Whether the directory names that member of the server as its"
	                        " master.\n# TYPE roost_directory_master gauge\n");
	while (map_next(&d->registry.servers, &it, &name, &value)) {
		const struct server *server = value;

		status_server(status, server);
		LIST_EACH(at, &server->members) {
			struct member *m = LIST_OBJECT(at, struct member, in_server);
			struct buffer key = { 0 };

			metric_of_member(metrics, server, m);
			if (!server->is_foreign || server->epoch == 0)
				continue;
			buffer_addf(&key, "%s/%s", server->name, m->name);
			/* A map's values are not const; this one is only ever read. */
			(void)map_put(roles, buffer_bytes(&key), (void *)(uintptr_t)role_of_member(server, m));
			buffer_fini(&key);
		}
	}
}

static void forget(struct directory *d)
{
	buffer_fini(&d->status);
	buffer_fini(&d->metrics);
	map_fini(&d->roles);
}

void dir_status_changed(struct directory *d)
{
	struct buffer status = { 0 }, metrics = { 0 };
	struct map roles = { 0 };
	struct map_iter it = { 0 };
	struct bytes name;
	void *value;

	buffer_add_str(&status, "\"servers\":{");
	status_servers(d, &status, &metrics, &roles);
	buffer_add_str(&status, "},\"frontends\":{");
	while (map_next(&d->registry.fronts, &it, &name, &value))
		status_front(&status, value);
	buffer_add_u8(&status, '}');
	(void)pthread_mutex_lock(&d->status_lock);
	forget(d);
	d->status = status;
	d->metrics = metrics;
	d->roles = roles;
	(void)pthread_mutex_unlock(&d->status_lock);
}

void dir_status_fini(struct directory *d)
{
	forget(d);
}

const char *dir_status_role(struct directory *d, struct bytes member)
{
	const char *role;

	(void)pthread_mutex_lock(&d->status_lock);
	role = map_get(&d->roles, member);
	(void)pthread_mutex_unlock(&d->status_lock);
	return role;
}
