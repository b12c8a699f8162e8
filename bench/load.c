/* load.c - the load generator of bench/: options, connections, the loop, the figures as one line of JSON.
 *
 * usage: load MODE --to HOST:PORT --connections N (--count M | --seconds S) --words FILE [--size B] [--id TEXT]
 *             [--journal FILE] [--idle] [--tls]
 * MODE: lmtp (WORDS: recipients), noop, append, login, idle (WORDS: user:password); idle holds its connections until
 * standard input ends. With --tls the port is one of TLS from the first octet; no certificate is checked. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_NS 10000000ull
#define OUT_FIRST 1024

uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *grow(void *p, size_t n)
{
	p = realloc(p, n);
	if (p == NULL)
		die("memory");
	return p;
}

static void start_tls(struct client *c)
{
	c->ssl = SSL_new(c->run->tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		die("TLS");
	SSL_set_connect_state(c->ssl);
	(void)SSL_do_handshake(c->ssl); /* reading goes on with it */
}

static ssize_t tls_result(const struct client *c, int n)
{
	int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, n);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		errno = EAGAIN;
	else if (n <= 0)
		errno = ECONNRESET;
	return n > 0 ? n : -1;
}

static ssize_t send_some(struct client *c, const char *data, size_t n)
{
	return c->ssl != NULL ? tls_result(c, SSL_write(c->ssl, data, (int)n)) : send(c->fd, data, n, MSG_NOSIGNAL);
}

static ssize_t receive_some(struct client *c, char *data, size_t n)
{
	return c->ssl != NULL ? tls_result(c, SSL_read(c->ssl, data, (int)n)) : recv(c->fd, data, n, 0);
}

static void watch(struct client *c, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(c->run->epoll, op, c->fd, &ev) != 0)
		die("epoll_ctl");
}

static void flush(struct client *c)
{
	while (c->fd >= 0 && c->out_at < c->out_size) {
		ssize_t n = send_some(c, c->out + c->out_at, c->out_size - c->out_at);

		if (n < 0 && errno == EAGAIN) {
			if (!c->is_waiting_to_write)
				watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			c->is_waiting_to_write = true;
			return;
		}
		if (n < 0)
			return; /* reading tells */
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_size = 0;
	if (c->fd >= 0 && c->is_waiting_to_write)
		watch(c, EPOLL_CTL_MOD, EPOLLIN);
	c->is_waiting_to_write = false;
}

void client_send(struct client *c, const char *data, size_t n)
{
	if (c->out_cap - c->out_size < n) {
		c->out_cap = (c->out_size + n) * 2 + OUT_FIRST;
		c->out = grow(c->out, c->out_cap);
	}
	memcpy(c->out + c->out_size, data, n);
	c->out_size += n;
}

void client_sendf(struct client *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	client_send(c, text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void client_again(struct client *c)
{
	struct run *r = c->run;

	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->in_size = c->out_size = c->out_at = 0;
	c->is_waiting_to_write = false;
	if (c->id != 0 && r->mode == &mode_lmtp) {
		r->lost++;
		if (r->journal != NULL)
			(void)fprintf(r->journal, "%s-%llu --- %s\n", r->id, (unsigned long long)c->id, r->words[c->id % r->word_count]);
	}
	c->id = 0;
	c->again_ns = now_ns() + (r->mode == &mode_login ? 0 : AGAIN_NS);
}

bool run_wants_more(struct run *r)
{
	return !r->is_over && (r->count == 0 ? now_ns() < r->end_ns : r->started < r->count);
}

void client_good(struct client *c)
{
	struct run *r = c->run;
	uint64_t now = now_ns();

	if (r->done > 0 && now - r->last_ns > r->stall_ns)
		r->stall_ns = now - r->last_ns;
	if (r->done == 0)
		r->first_ns = now;
	r->last_ns = now;
	if (r->done == r->times_cap) {
		r->times_cap = r->times_cap * 2 + 1024;
		r->times_us = grow(r->times_us, r->times_cap * sizeof(*r->times_us));
	}
	r->times_us[r->done++] = (uint32_t)((now - c->begun_ns) / 1000);
}

void client_bad(struct client *c, const char *line)
{
	if (c->run->errors++ < 5)
		(void)fprintf(stderr, "load: refused: %s\n", line);
}

static void open_client(struct client *c)
{
	int on = 1;

	c->again_ns = 0;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (c->run->tls == NULL ? SOCK_NONBLOCK : 0), 0);
	if (c->fd < 0)
		die("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, (const struct sockaddr *)&c->run->to, sizeof(c->run->to)) != 0 && errno != EINPROGRESS) {
		client_again(c);
		return;
	}
	watch(c, EPOLL_CTL_ADD, EPOLLIN);
	if (c->run->tls != NULL) {
		if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
			die("fcntl");
		start_tls(c);
	}
	c->run->mode->connected(c);
}

/* False: nothing is left to be read, or the connection is over. */
static bool read_lines(struct client *c)
{
	ssize_t n = receive_some(c, c->in + c->in_size, INPUT_SIZE - c->in_size - 1);
	char *at = c->in, *end;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		client_again(c);
		return false;
	}
	/* Without a prompt acknowledgement, a server that leaves Nagle's algorithm on (Cyrus) stalls 40 ms an answer, and its
	 * figures would be those of a timer. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int));
	c->in_size += (size_t)n;
	c->in[c->in_size] = '\0';
	while ((end = memchr(at, '\n', c->in_size - (size_t)(at - c->in))) != NULL) {
		*end = '\0';
		if (end > at && end[-1] == '\r')
			end[-1] = '\0';
		if (!c->run->mode->line(c, at)) {
			client_again(c);
			return false;
		}
		if (c->fd < 0)
			return false;
		at = end + 1;
	}
	c->in_size -= (size_t)(at - c->in);
	memmove(c->in, at, c->in_size);
	if (c->in_size == INPUT_SIZE - 1)
		c->in_size = 0; /* a line longer than we care for */
	return true;
}

static void on_readable(struct client *c)
{
	/* What TLS has made clear already no event tells of. */
	while (read_lines(c) && c->ssl != NULL)
		;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void report(struct run *r)
{
	double span = (double)(r->last_ns - r->begun_ns) / 1e9;
	size_t n = (size_t)r->done;

	if (n > 0)
		qsort(r->times_us, n, sizeof(*r->times_us), by_value);
	(void)printf("{\"mode\": \"%s\", \"connections\": %zu, \"done\": %llu, \"refused\": %llu, \"lost\": %llu, \"seconds\": %.3f, "
	             "\"rate\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"stall_ms\": %.3f}\n",
	             r->mode->name, r->connections, (unsigned long long)r->done, (unsigned long long)r->errors,
	             (unsigned long long)r->lost, n > 0 ? span : 0, n > 0 ? (double)n / span : 0,
	             n > 0 ? r->times_us[n / 2] / 1e3 : 0, n > 0 ? r->times_us[n * 99 / 100] / 1e3 : 0,
	             n > 0 ? r->times_us[n - 1] / 1e3 : 0, (double)r->stall_ns / 1e6);
}

static bool all_settled(const struct run *r)
{
	for (size_t i = 0; i < r->connections; i++) {
		if (!r->clients[i].is_settled)
			return false;
	}
	return true;
}

static void connect_due(struct run *r)
{
	uint64_t now = now_ns();

	for (size_t i = 0; i < r->connections; i++) {
		struct client *c = &r->clients[i];

		if (c->again_ns != 0 && c->again_ns <= now) {
			if (r->mode == &mode_idle || run_wants_more(r))
				open_client(c);
			else
				c->is_settled = true;
		}
		flush(c);
	}
}

static void loop(struct run *r)
{
	struct epoll_event events[256];
	bool is_idle = r->mode == &mode_idle;
	struct epoll_event in = { .events = EPOLLIN };

	if (is_idle && epoll_ctl(r->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &in) != 0)
		die("standard input");
	r->begun_ns = now_ns();
	r->end_ns = r->begun_ns + (uint64_t)(r->seconds * 1e9);
	while (is_idle || !all_settled(r)) {
		int n = epoll_wait(r->epoll, events, 256, 5);

		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (c == NULL)
				return; /* standard input ended */
			if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
				on_readable(c);
			flush(c);
		}
		if (n < 256)
			connect_due(r);
		if (!is_idle && r->count == 0 && now_ns() > r->end_ns + 60000000000ull) {
			(void)fprintf(stderr, "load: some answers never came\n");
			return;
		}
	}
}

static void read_words(struct run *r, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[1024];

	if (f == NULL)
		die(path);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0')
			continue;
		r->words = grow(r->words, (r->word_count + 1) * sizeof(*r->words));
		r->words[r->word_count++] = strdup(line);
	}
	(void)fclose(f);
}

/* A plain message of SIZE octets after its mark. */
static void make_body(struct run *r)
{
	static const char head[] = "From: bench@example.org\r\nTo: you@example.org\r\nSubject: A message of the bench\r\n"
				   "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n"; /* no Message-ID: each is delivered */
	size_t n = sizeof(head) - 1;

	if (r->size < n + 2)
		r->size = n + 2;
	r->body = grow(NULL, r->size);
	memcpy(r->body, head, n);
	for (; n < r->size; n++)
		r->body[n] = n % 78 == 76 ? '\r' : n % 78 == 77 ? '\n' : (char)('a' + n % 26);
	r->body[r->size - 2] = '\r';
	r->body[r->size - 1] = '\n';
	if (r->body[r->size - 3] == '\r')
		r->body[r->size - 3] = 'x';
}

static const struct mode *const modes[] = { &mode_lmtp, &mode_noop, &mode_append, &mode_login, &mode_idle };

static void take_option(struct run *r, const char *option, const char *value)
{
	char host[64];
	unsigned port;

	if (strcmp(option, "--to") == 0) {
		if (sscanf(value, "%63[^:]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &r->to.sin_addr) != 1) {
			(void)fprintf(stderr, "load: --to %s: it must be an IPv4 address and a port\n", value);
			exit(2);
		}
		r->to.sin_port = htons((uint16_t)port);
	} else if (strcmp(option, "--connections") == 0) {
		r->connections = strtoul(value, NULL, 10);
	} else if (strcmp(option, "--count") == 0) {
		r->count = strtoul(value, NULL, 10);
	} else if (strcmp(option, "--seconds") == 0) {
		r->seconds = strtod(value, NULL);
	} else if (strcmp(option, "--size") == 0) {
		r->size = strtoul(value, NULL, 10);
	} else if (strcmp(option, "--words") == 0) {
		read_words(r, value);
	} else if (strcmp(option, "--id") == 0) {
		r->id = value;
	} else if (strcmp(option, "--journal") == 0) {
		r->journal = fopen(value, "we");
		if (r->journal == NULL)
			die(value);
	} else {
		(void)fprintf(stderr, "load: %s is not an option; see the top of load.c\n", option);
		exit(2);
	}
}

static void run_free(struct run *r)
{
	for (size_t i = 0; i < r->connections; i++) {
		SSL_free(r->clients[i].ssl);
		free(r->clients[i].out);
	}
	free(r->clients);
	for (size_t i = 0; i < r->word_count; i++)
		free(r->words[i]);
	free(r->words);
	free(r->times_us);
	free(r->body);
	SSL_CTX_free(r->tls);
}

int main(int argc, char **argv)
{
	struct run r = { .connections = 1, .size = 10240, .id = "m", .to.sin_family = AF_INET };
	struct rlimit files;

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i]->name) == 0)
			r.mode = modes[i];
	}
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--idle") == 0)
			r.wants_idle = true;
		else if (strcmp(argv[i], "--tls") == 0)
			r.tls = SSL_CTX_new(TLS_client_method());
		else if (i + 1 < argc)
			take_option(&r, argv[i], argv[i + 1]), i++;
	}
	if (r.mode == NULL || r.word_count == 0 || r.to.sin_port == 0) {
		(void)fprintf(stderr, "usage: load lmtp|noop|append|login|idle --to HOST:PORT --words FILE ...\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	make_body(&r);
	r.epoll = epoll_create1(EPOLL_CLOEXEC);
	r.clients = calloc(r.connections, sizeof(*r.clients));
	if (r.epoll < 0 || r.clients == NULL)
		die("start");
	for (size_t i = 0; i < r.connections; i++) {
		r.clients[i] = (struct client){ .run = &r, .fd = -1, .number = i };
		/* All at once would overrun a listener's queue. */
		r.clients[i].again_ns = now_ns() + i * 200000;
	}
	loop(&r);
	report(&r);
	if (r.journal != NULL && fclose(r.journal) != 0)
		die("journal");
	run_free(&r);
	return r.done > 0 || r.mode == &mode_idle ? 0 : 1;
}
