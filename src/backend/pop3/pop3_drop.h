/* pop3_drop.h - the maildrop: the messages of a mailbox as one POP3 session numbers them, from login to QUIT. */
#ifndef ROOST_BACKEND_POP3_DROP_H
#define ROOST_BACKEND_POP3_DROP_H

#include "store_view.h"

struct pop3_item {
	uint32_t uid, size;
	bool is_deleted; /* marked by DELE */
};

/* Zero: none. */
struct pop3_drop {
	mailbox_id_t mailbox;
	uint32_t uidvalidity;
	struct pop3_item *items; /* owned; message N is items[N - 1] */
	size_t count;
	size_t deleted;          /* how many are marked */
	uint64_t deleted_octets;
	uint64_t octets;         /* of all */
};

/* Take in the messages of M, the newest LIMIT of them. FAILED with WHY, *DROP_R empty. */
enum store_result pop3_drop_open(struct store_view *v, const struct mailbox *m, size_t limit, struct pop3_drop *drop_r,
                                 struct fault *why);
void pop3_drop_fini(struct pop3_drop *drop);

/* Message NUMBER; NULL: there is none, or it is marked. */
struct pop3_item *pop3_drop_item(const struct pop3_drop *drop, uint32_t number);
void pop3_drop_delete(struct pop3_drop *drop, struct pop3_item *item);
/* Take all marks off. */
void pop3_drop_reset(struct pop3_drop *drop);
/* The UIDs of those that are marked, in A. */
struct uid_range *pop3_drop_ranges(const struct pop3_drop *drop, struct arena *a, size_t *count_r);

#endif
