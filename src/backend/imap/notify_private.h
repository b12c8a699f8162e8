/* notify_private.h - the parts of NOTIFY, for notify*.c only. */
#ifndef ROOST_BACKEND_IMAP_NOTIFY_PRIVATE_H
#define ROOST_BACKEND_IMAP_NOTIFY_PRIVATE_H

#include "list.h"
#include "mailbox_filter.h"
#include "map.h"
#include "notify.h"

/* An entry of METADATA as it was when the client was told. */
struct notify_entry {
	char *name;    /* owned */
	uint64_t hash; /* of its value */
};
struct notify_entries {
	struct notify_entry *at; /* owned; in the order of names */
	size_t count;
};

enum notify_pending {
	PENDING_CHANGED = 1 << 0, /* messages, or entries */
	PENDING_NEW = 1 << 1,     /* made, or to be seen from now on */
	PENDING_GONE = 1 << 2,    /* removed, or to be seen no more: the watch ends when it is told */
	PENDING_RENAMED = 1 << 3, /* from OLD_NAME */
	PENDING_WITH_PARENT = 1 << 5, /* its rename goes without saying */
	PENDING_ACCESS = 1 << 4,  /* what can be told of it is another */
};

struct notify_box {
	struct notify *notify;
	struct watcher watcher;
	struct list in_pending; /* a ring of its own: nothing waits */
	mailbox_id_t id;
	char *name, *old_name; /* internal; owned; OLD_NAME only while a rename waits */
	unsigned events;       /* enum notify_event */
	unsigned pending;
	/* As the client was told, or knows. */
	uint32_t exists, uidnext, unseen, uidvalidity;
	modseq_t modseq;
	struct notify_entries entries;
};

struct notify {
	struct session *session;
	struct arena arena;      /* holds CMD */
	struct imap_command cmd; /* its filters are resolved */
	const struct notify_group *selected; /* NULL: nothing of the selected mailbox */
	unsigned events;         /* of all groups */
	struct map boxes;        /* id -> struct notify_box, owned */
	struct list pending;     /* notify_box.in_pending */
	struct map subscribed;   /* internal names of subscriptions; only where they matter */
	bool is_subscribed_known, subscriptions_changed, server_changed;
	struct watcher list_watcher, subscription_watcher, server_watcher;
	struct notify_entries server_entries;
	struct buffer subscription_names; /* while they are compared: each with a NUL */
	bool is_over;            /* more than may be watched: to be told, then it ends */
	size_t first_at;         /* of notify_write_first(): boxes that it has looked at */
	struct notify_box **first; /* owned */
	size_t first_count;
	uint32_t fetched_uid;    /* up to here messages of the selected mailbox are no news */
	struct uid_range own[16]; /* of those above, what this session put there itself */
	size_t own_count;
};

/* What the groups want of the mailbox INTERNAL. */
unsigned notify_events_of(const struct notify *n, struct bytes internal);
/* NULL: one too many. */
struct notify_box *notify_add_box(struct notify *n, struct store_view *v, const struct mailbox *m, unsigned events);
void notify_drop_box(struct notify_box *b);
/* As if NOTIFY NONE had come. */
void notify_silence(struct notify *n);
void notify_mark(struct notify_box *b, unsigned pending);
/* The subscriptions as they are; the names that are in one only of the old and the new set are given to FN, if it is not NULL. */
void notify_read_subscriptions(struct notify *n, struct store_view *v, void (*fn)(struct notify *n, struct bytes internal, bool is_on));
/* Add the mailboxes that the groups name, and that may be looked up. */
void notify_collect(struct notify *n, struct store_view *v);
/* The subscriptions are others, and so is what "subscribed" names. */
void notify_reconsider(struct notify *n, struct store_view *v);

/* notify_tell.c */
void notify_write_list(struct session *s, struct store_view *v, struct bytes internal, const char *old_name, const char *attribute,
                       struct buffer *to);
/* Read MAILBOX's entries (0: the server's) into E; the names of those that are not as they were are appended to CHANGED, if not NULL,
 * as " NAME". */
void notify_read_entries(struct session *s, struct store_view *v, mailbox_id_t mailbox, struct notify_entries *e, struct buffer *changed);
void notify_entries_fini(struct notify_entries *e);

#endif
