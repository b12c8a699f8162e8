/* load.h - the load generator of bench/: one thread, many connections, one epoll. For bench/ only. */
#ifndef ROOST_BENCH_LOAD_H
#define ROOST_BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define INPUT_SIZE 8192

struct run;

struct client {
	struct run *run;
	int fd; /* -1: not connected */
	SSL *ssl; /* NULL: in clear; owned */
	int step;
	size_t number;
	char in[INPUT_SIZE];
	size_t in_size;
	char *out; /* what is not sent yet; owned */
	size_t out_size, out_at, out_cap;
	bool is_waiting_to_write;
	uint64_t begun_ns;  /* the operation under way */
	uint64_t id;        /* of the message under way; 0: none */
	uint64_t again_ns;  /* when to connect again; 0: not waiting */
	bool is_settled;    /* logged in and idle */
};

/* A mode: what to do when connected, and with each line. */
struct mode {
	const char *name;
	void (*connected)(struct client *c);
	/* A line without its CRLF. False: it makes no sense; the connection is ended. */
	bool (*line)(struct client *c, char *line);
};

struct run {
	const struct mode *mode;
	struct sockaddr_in to;
	SSL_CTX *tls; /* NULL: in clear; owned */
	int epoll;
	struct client *clients;
	size_t connections;
	uint64_t count;     /* operations wanted; 0: by time */
	double seconds;
	size_t size;        /* of a message */
	char **words;       /* recipients, or user:password */
	size_t word_count;
	const char *id;     /* in each message's mark */
	FILE *journal;      /* one line an answer; NULL: none */
	char *body;         /* after the mark; SIZE octets */
	bool wants_idle;    /* mode idle: send IDLE */

	uint64_t started, done, errors, lost;
	uint64_t first_ns, last_ns; /* of the good answers */
	uint64_t stall_ns;          /* longest time between two */
	uint32_t *times_us;         /* of each good answer */
	size_t times_cap;
	size_t settled;
	bool is_over;
	uint64_t begun_ns, end_ns;
};

extern const struct mode mode_lmtp, mode_noop, mode_append, mode_login, mode_idle;

uint64_t now_ns(void);
void client_send(struct client *c, const char *data, size_t n);
void client_sendf(struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drop the connection; a new one is made after a moment. */
void client_again(struct client *c);
/* Whether another operation is to be begun. */
bool run_wants_more(struct run *r);
/* The operation begun at c->begun_ns was answered well; or refused. */
void client_good(struct client *c);
void client_bad(struct client *c, const char *line);

#endif
