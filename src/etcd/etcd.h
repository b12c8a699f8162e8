/* etcd.h - a client of etcd 3.4+ by the JSON gateway of its v3 interface.
 *
 * Calls block. One struct etcd is used by one thread at a time and keeps one connection; it goes on to the next
 * endpoint when one cannot be reached, is silent or has no leader. Keys and values are any octets. */
#ifndef ROOST_ETCD_H
#define ROOST_ETCD_H

#include "buffer.h"
#include "fault.h"

struct etcd;

struct etcd_options {
	struct bytes endpoints; /* URLs separated by blanks: "https://10.0.0.1:2379 https://10.0.0.2:2379" */
	const char *ca_file;    /* of the servers' certificates, PEM; NULL: the system's */
	const char *cert_file, *key_file; /* our own, PEM; NULL: none */
	const char *user, *password;      /* NULL: no authentication */
	unsigned timeout_ms;              /* of one call at one endpoint */
};

enum etcd_result {
	ETCD_OK,
	ETCD_DIFFERS, /* a transaction's comparison did not hold; nothing was written */
	ETCD_GONE,    /* the lease is not known any more, or the revision is compacted */
	ETCD_REFUSED, /* etcd said no (WHY: its words); nothing was written */
	ETCD_UNKNOWN, /* no answer came: a write may or may not have been done, or may yet be */
};

/* OPTIONS is copied. NULL with WHY: an endpoint is no URL, a file cannot be used. Nothing is connected yet. */
struct etcd *etcd_open(const struct etcd_options *options, struct fault *why);
/* Sets *E to NULL; NULL is allowed. */
void etcd_close(struct etcd **e);
/* The endpoint of the last call, lent until the next. */
const char *etcd_endpoint(const struct etcd *e);
/* Go on to the next endpoint. */
void etcd_switch(struct etcd *e);

/* A transaction: comparisons, and what is written where all hold. At most ETCD_TXN_KEYS of each, etcd's preset limit.
 * Zero-initialise; the bytes given are copied. */
#define ETCD_TXN_KEYS 120
struct etcd_txn {
	struct buffer compares, writes, reads;
	size_t compare_count, write_count;
};
void etcd_txn_fini(struct etcd_txn *t);
/* KEY has VALUE / is not there; also: should any comparison fail, KEY is read. */
void etcd_txn_if_equal(struct etcd_txn *t, struct bytes key, struct bytes value);
void etcd_txn_if_absent(struct etcd_txn *t, struct bytes key);
/* LEASE 0: none. */
void etcd_txn_put(struct etcd_txn *t, struct bytes key, struct bytes value, int64_t lease);
void etcd_txn_delete(struct etcd_txn *t, struct bytes key);

/* A key and its value, lent during the call. */
typedef void etcd_pair_fn(void *arg, struct bytes key, struct bytes value);

/* Do T. REVISION_R: the store's revision after it. With ETCD_DIFFERS each compared key that is there is given to FN. */
enum etcd_result etcd_txn_do(struct etcd *e, const struct etcd_txn *t, int64_t *revision_r, etcd_pair_fn *fn, void *arg,
                             struct fault *why);

/* Give FN at most LIMIT (0: all) of the keys FROM..TO (without TO), in their order, as of *REVISION (0: now; then set to
 * the revision read). *MORE_R: there are more. ETCD_GONE: that revision is compacted. Linearizable where *REVISION is 0. */
enum etcd_result etcd_range(struct etcd *e, struct bytes from, struct bytes to, size_t limit, int64_t *revision,
                            etcd_pair_fn *fn, void *arg, bool *more_r, struct fault *why);

/* A lease of TTL_S seconds. */
enum etcd_result etcd_lease_grant(struct etcd *e, unsigned ttl_s, int64_t *lease_r, struct fault *why);
/* Renew it. ETCD_GONE: it has run out. */
enum etcd_result etcd_lease_keep(struct etcd *e, int64_t lease, struct fault *why);
enum etcd_result etcd_lease_revoke(struct etcd *e, int64_t lease, struct fault *why);

struct etcd_watch {
	struct bytes from, to; /* without TO */
	int64_t start;         /* the first revision wanted */
	/* A key was written, or deleted (VALUE is then NULL). */
	void (*on_event)(void *arg, struct bytes key, const struct bytes *value);
	/* All events of one revision or several are given; REVISION is the last. */
	void (*on_events_end)(void *arg, int64_t revision);
	/* Asked several times a second: whether to go on. */
	bool (*go_on)(void *arg);
	void *arg;
};

/* Watch until go_on() says no (ETCD_OK), the stream ends (ETCD_UNKNOWN), etcd refuses (ETCD_REFUSED), or START is
 * compacted (ETCD_GONE). */
enum etcd_result etcd_watch(struct etcd *e, const struct etcd_watch *w, struct fault *why);

#endif
