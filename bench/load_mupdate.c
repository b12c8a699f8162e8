/* load_mupdate.c - the load generator for mupdate servers: one thread, few connections, one poll; the figures as one line of
 * JSON.
 *
 * usage: load-mupdate MODE --to HOST:PORT --user NAME:PASSWORD [options]
 * pairs   RESERVE and ACTIVATE of new names, for --seconds on --connections; with --depth D so many pairs of each connection
 *         are on their way at once, without it each command waits for the answer to the one before. --id TEXT goes into
 *         the names
 * update  UPDATE, until the list is complete
 * follow  --connections followers, then --count changes, --gap-ms between two on average: from reading ACTIVATE's OK to
 *         reading the change at each follower; what was read before the OK counts as 0. Nobody sends NOOP
 * find    FIND of --count names out of those that names prints for --names N
 * names   --names N mailboxes, as lines of an exported directory, or --json as Cyrus's ctl_mboxlist -u reads them */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM (256 * 1024)
#define CONNECTIONS_MAX 1024
#define LOCATION "backenda!default"
#define SILENCE_S 60

struct peer {
	int fd;
	char *in; /* ROOM octets */
	size_t in_at, in_size;
	char *out; /* what is not sent yet; owned */
	size_t out_size, out_at, out_cap;
	uint64_t begun, answered; /* pairs */
	uint64_t heard;           /* follow: changes */
};

static struct {
	struct sockaddr_in to;
	char *user, *password;
	const char *id;
	size_t connections, depth;
	double seconds;
	uint64_t count, names, gap_ms;
	bool is_json;
	struct peer peers[CONNECTIONS_MAX];
} run = { .connections = 1, .seconds = 3, .count = 100, .names = 1000, .gap_ms = 10, .id = "x", .to.sin_family = AF_INET };

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "load-mupdate: %s\n", what);
	exit(1);
}

static _Noreturn void die_errno(const char *what)
{
	(void)fprintf(stderr, "load-mupdate: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *grow(void *p, size_t n)
{
	p = realloc(p, n);
	if (p == NULL)
		die_errno("memory");
	return p;
}

/* Output. */

static void say(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct peer *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		die("a command is too long");
	if (p->out_cap - p->out_size < (size_t)n) {
		p->out_cap = (p->out_size + (size_t)n) * 2;
		p->out = grow(p->out, p->out_cap);
	}
	memcpy(p->out + p->out_size, text, (size_t)n);
	p->out_size += (size_t)n;
}

static void flush(struct peer *p)
{
	while (p->out_at < p->out_size) {
		ssize_t n = send(p->fd, p->out + p->out_at, p->out_size - p->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die_errno("send");
		p->out_at += (size_t)n;
	}
	p->out_at = p->out_size = 0;
}

/* Cyrus as a client sends each string as a literal. */
static void reserve(struct peer *p, const char *tag, const char *name)
{
	say(p, "%s RESERVE {%zu+}\r\n%s {%zu+}\r\n%s\r\n", tag, strlen(name), name, sizeof(LOCATION) - 1, LOCATION);
}

static void activate(struct peer *p, const char *tag, const char *name)
{
	const char *acl = "someone\tlrswipkxtecdan\t";

	say(p, "%s ACTIVATE {%zu+}\r\n%s {%zu+}\r\n%s {%zu+}\r\n%s\r\n", tag, strlen(name), name, sizeof(LOCATION) - 1, LOCATION,
	    strlen(acl), acl);
}

/* Input. */

/* Read once, what is there. False: nothing is. */
static bool fill(struct peer *p, int flags)
{
	int on = 1;
	ssize_t n;

	if (p->in_at > 0) {
		memmove(p->in, p->in + p->in_at, p->in_size - p->in_at);
		p->in_size -= p->in_at;
		p->in_at = 0;
	}
	if (p->in_size == ROOM)
		die("a record is too long");
	/* Or Cyrus, which writes in small pieces, would wait for acknowledgements. */
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	n = recv(p->fd, p->in + p->in_size, ROOM - p->in_size, flags);
	if (n == 0)
		die("the server has closed the connection");
	if (n < 0 && errno == EAGAIN && (flags & MSG_DONTWAIT) != 0)
		return false;
	if (n < 0)
		die_errno("recv");
	p->in_size += (size_t)n;
	return true;
}

/* The next answer, literals in it, ended with NUL where its last line's end was; lent until the next fill. NULL: it is not
 * there yet. */
static char *answer(struct peer *p)
{
	char *start = p->in + p->in_at, *end = p->in + p->in_size, *at = start;

	for (;;) {
		char *line = memchr(at, '\n', (size_t)(end - at)), *open;
		size_t literal = 0;

		if (line == NULL)
			return NULL;
		if (line < at + 3 || line[-2] != '}') {
			*line = '\0';
			p->in_at = (size_t)(line + 1 - p->in);
			return start;
		}
		for (open = line - 3; open > at && *open != '{'; open--)
			;
		literal = strtoul(open + 1, NULL, 10);
		if (literal > (size_t)(end - line - 1))
			return NULL;
		at = line + 1 + literal;
	}
}

static char *wait_answer(struct peer *p)
{
	char *line;

	while ((line = answer(p)) == NULL) {
		flush(p);
		(void)fill(p, 0);
	}
	return line;
}

static void expect(struct peer *p, const char *start)
{
	const char *line = wait_answer(p);

	if (strncmp(line, start, strlen(start)) != 0)
		die(line);
}

static void base64(const char *from, size_t n, char *to)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)(unsigned char)from[i] << 16;

		v |= i + 1 < n ? (unsigned)(unsigned char)from[i + 1] << 8 : 0;
		v |= i + 2 < n ? (unsigned)(unsigned char)from[i + 2] : 0;
		*to++ = digits[v >> 18];
		*to++ = digits[v >> 12 & 63];
		*to++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*to++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*to = '\0';
}

static void connect_peer(struct peer *p)
{
	const struct timeval patience = { .tv_sec = SILENCE_S };
	char plain[256], words[400];
	int on = 1, n;

	p->in = grow(NULL, ROOM + 1);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)&run.to, sizeof(run.to)) != 0)
		die_errno("connect");
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (strncmp(wait_answer(p), "* OK", 4) != 0)
		;
	n = snprintf(plain, sizeof(plain), "%c%s%c%s", 0, run.user, 0, run.password);
	if (n < 0 || (size_t)n >= sizeof(plain))
		die("--user is too long");
	base64(plain, (size_t)n, words);
	say(p, "a AUTHENTICATE \"PLAIN\" {%zu+}\r\n%s\r\n", strlen(words), words);
	expect(p, "a OK");
}

static void connect_all(void)
{
	for (size_t i = 0; i < run.connections; i++)
		connect_peer(&run.peers[i]);
}

/* Wait until one of COUNT peers has something to say, or can be told what waits. False: not in time. */
static bool wait_any(size_t count, int timeout_ms, struct pollfd *fds)
{
	for (size_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){ run.peers[i].fd, (short)(POLLIN | (run.peers[i].out_size > 0 ? POLLOUT : 0)), 0 };
	return poll(fds, count, timeout_ms) > 0;
}

/* The same numbers in each run. */
static uint64_t next_random(void)
{
	static uint64_t at = 1;

	at = at * 6364136223846793005ull + 1442695040888963407ull;
	return at >> 20;
}

/* Figures. */

static uint64_t *times;
static size_t time_count, time_cap;

static void note(uint64_t ns)
{
	if (time_count == time_cap) {
		time_cap = time_cap * 2 + 1024;
		times = grow(times, time_cap * sizeof(*times));
	}
	times[time_count++] = ns;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double part_ms(double part)
{
	return time_count == 0 ? 0 : (double)times[(size_t)(part * (double)(time_count - 1))] / 1e6;
}

static void report_times(const char *mode)
{
	if (time_count > 0)
		qsort(times, time_count, sizeof(*times), by_value);
	(void)printf("{\"mode\": \"%s\", \"done\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n", mode, time_count,
	             part_ms(0.5), part_ms(0.99), part_ms(1));
}

/* pairs */

static void pair_name(char name[128], size_t peer, uint64_t n)
{
	(void)snprintf(name, 128, "user.%s-%zu-%llu", run.id, peer, (unsigned long long)n);
}

static void begin_pair(struct peer *p, size_t number)
{
	char name[128];

	pair_name(name, number, p->begun++);
	reserve(p, "r", name);
	if (run.depth > 0)
		activate(p, "p", name);
}

static void pair_answered(struct peer *p, size_t number, const char *line)
{
	char name[128];

	if (strncmp(line + 1, " OK", 3) != 0)
		die(line);
	if (line[0] == 'p') {
		p->answered++;
	} else if (run.depth == 0) {
		pair_name(name, number, p->begun - 1);
		activate(p, "p", name);
	}
}

static bool take_pairs(struct peer *p, size_t number, bool is_over)
{
	char *line;

	while ((line = answer(p)) != NULL) {
		pair_answered(p, number, line);
		if (!is_over && line[0] == 'p')
			begin_pair(p, number);
	}
	flush(p);
	return !is_over || p->out_size > 0 || p->answered < p->begun;
}

static void begin_pairs(void)
{
	for (size_t i = 0; i < run.connections; i++) {
		for (size_t n = 0; n < (run.depth > 0 ? run.depth : 1); n++)
			begin_pair(&run.peers[i], i);
		flush(&run.peers[i]);
	}
}

/* When the time is over what is on its way is still waited for, and counts. */
static void mode_pairs(void)
{
	struct pollfd fds[CONNECTIONS_MAX];
	uint64_t start, end, done = 0;
	bool has_more = true;
	double seconds;

	connect_all();
	start = now_ns();
	end = start + (uint64_t)(run.seconds * 1e9);
	begin_pairs();
	while (has_more) {
		if (!wait_any(run.connections, SILENCE_S * 1000, fds))
			die("no answer within a minute");
		has_more = false;
		for (size_t i = 0; i < run.connections; i++) {
			struct peer *p = &run.peers[i];

			if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
				(void)fill(p, MSG_DONTWAIT);
			if (take_pairs(p, i, now_ns() > end))
				has_more = true;
		}
	}
	seconds = (double)(now_ns() - start) / 1e9;
	for (size_t i = 0; i < run.connections; i++)
		done += run.peers[i].answered;
	(void)printf("{\"mode\": \"pairs\", \"connections\": %zu, \"depth\": %zu, \"done\": %llu, \"seconds\": %.3f, \"rate\": %.1f}\n",
	             run.connections, run.depth, (unsigned long long)done, seconds, (double)done / seconds);
}

/* update */

static void mode_update(void)
{
	struct peer *p = &run.peers[0];
	uint64_t start, records = 0, octets = 0;
	bool is_over = false;
	double seconds;
	char *line;

	connect_peer(p);
	start = now_ns();
	say(p, "u UPDATE\r\n");
	flush(p);
	while (!is_over) {
		if (!fill(p, 0))
			continue;
		while (!is_over && (line = answer(p)) != NULL) {
			octets += (size_t)(p->in + p->in_at - line);
			is_over = strncmp(line, "u OK", 4) == 0;
			if (!is_over && line[2] != 'M' && line[2] != 'R')
				die(line);
			records += !is_over;
		}
	}
	seconds = (double)(now_ns() - start) / 1e9;
	(void)printf("{\"mode\": \"update\", \"records\": %llu, \"octets\": %llu, \"seconds\": %.4f, \"rate\": %.1f}\n",
	             (unsigned long long)records, (unsigned long long)octets, seconds, (double)records / seconds);
}

/* follow */

static void hear(struct peer *p, const char *name, uint64_t told_ns)
{
	char *line;

	while ((line = answer(p)) != NULL) {
		if (strncmp(line, "u MAILBOX", 9) == 0 && strstr(line, name) != NULL) {
			uint64_t now = now_ns();

			p->heard++;
			note(told_ns == 0 || now < told_ns ? 0 : now - told_ns);
		}
	}
}

static bool all_heard(size_t followers, uint64_t count)
{
	for (size_t i = 1; i <= followers; i++) {
		if (run.peers[i].heard < count)
			return false;
	}
	return true;
}

/* Peer 0 writes, the others follow. The OK is read before what followers hear in the same turn. */
static void one_change(uint64_t n)
{
	struct pollfd fds[CONNECTIONS_MAX];
	struct peer *writer = &run.peers[0];
	uint64_t told_ns = 0;
	char name[128], *line;

	pair_name(name, 0, n);
	reserve(writer, "r", name);
	flush(writer);
	expect(writer, "r OK");
	activate(writer, "p", name);
	flush(writer);
	while (told_ns == 0 || !all_heard(run.connections, n + 1)) {
		if (!wait_any(run.connections + 1, SILENCE_S * 1000, fds))
			die("a follower has not heard of a change within a minute");
		if (fds[0].revents != 0 && fill(writer, MSG_DONTWAIT) && (line = answer(writer)) != NULL) {
			if (strncmp(line, "p OK", 4) != 0)
				die(line);
			told_ns = now_ns();
		}
		for (size_t i = 1; i <= run.connections; i++) {
			if (fds[i].revents != 0 && fill(&run.peers[i], MSG_DONTWAIT))
				hear(&run.peers[i], name, told_ns);
		}
	}
}

static void mode_follow(void)
{
	if (run.connections >= CONNECTIONS_MAX)
		die("--connections: too many");
	for (size_t i = 0; i <= run.connections; i++) {
		connect_peer(&run.peers[i]);
		if (i > 0) {
			say(&run.peers[i], "u UPDATE\r\n");
			while (strncmp(wait_answer(&run.peers[i]), "u OK", 4) != 0)
				;
		}
	}
	for (uint64_t n = 0; n < run.count; n++) {
		uint64_t gap_ms = run.gap_ms == 0 ? 0 : next_random() % (2 * run.gap_ms);
		struct timespec gap = { (time_t)(gap_ms / 1000), (long)(gap_ms % 1000) * 1000000 };

		one_change(n);
		(void)nanosleep(&gap, NULL);
	}
	report_times("follow");
}

/* names, find: as of users with a few mailboxes each. */

static void made_name(char name[128], uint64_t n)
{
	static const char *const folders[] = { "", ".Sent", ".Drafts", ".Trash", ".Archive" };

	(void)snprintf(name, 128, "user.u%07llu%s", (unsigned long long)(n / 5), folders[n % 5]);
}

static void mode_find(void)
{
	struct peer *p = &run.peers[0];
	char name[128];

	connect_peer(p);
	for (uint64_t i = 0; i < run.count; i++) {
		uint64_t start;

		made_name(name, next_random() % run.names);
		start = now_ns();
		say(p, "f FIND {%zu+}\r\n%s\r\n", strlen(name), name);
		expect(p, "f MAILBOX");
		expect(p, "f OK");
		note(now_ns() - start);
	}
	report_times("find");
}

static void mode_names(void)
{
	char name[128];

	(void)printf(run.is_json ? "{\n" : "roost-directory\t1\n");
	for (uint64_t n = 0; n < run.names; n++) {
		int user = 0;

		made_name(name, n);
		user = (int)strcspn(name + 5, ".");
		if (run.is_json)
			(void)printf("%s\"%s\":{\"mbtype\":\"r\",\"server\":\"backenda\",\"partition\":\"default\",\"acl\":{\"%.*s\":\"lrswipkxtecdan\"},"
			             "\"uniqueid\":\"bench%llu\",\"uidvalidity\":1,\"createdmodseq\":1,\"foldermodseq\":1}",
			             n > 0 ? ",\n" : "", name, user, name + 5, (unsigned long long)n);
		else
			(void)printf("active\t%s\t" LOCATION "\t%.*s%%09lrswipkxtecdan%%09\n", name, user, name + 5);
	}
	if (run.is_json)
		(void)printf("\n}\n");
	else
		(void)printf("end\t%llu\n", (unsigned long long)run.names);
	if (fflush(stdout) != 0)
		die_errno("standard output");
}

static const struct {
	const char *name;
	void (*fn)(void);
} modes[] = { { "pairs", mode_pairs }, { "update", mode_update }, { "follow", mode_follow }, { "find", mode_find }, { "names", mode_names } };

static void take_option(const char *option, char *value)
{
	char *mark;

	if (strcmp(option, "--to") == 0) {
		mark = strchr(value, ':');
		if (mark == NULL)
			die("--to: it must be an IPv4 address and a port");
		*mark = '\0';
		if (inet_pton(AF_INET, value, &run.to.sin_addr) != 1)
			die("--to: it must be an IPv4 address and a port");
		run.to.sin_port = htons((uint16_t)strtoul(mark + 1, NULL, 10));
	} else if (strcmp(option, "--user") == 0) {
		run.user = value;
		mark = strchr(value, ':');
		if (mark == NULL)
			die("--user: it must be NAME:PASSWORD");
		*mark = '\0';
		run.password = mark + 1;
	} else if (strcmp(option, "--connections") == 0) {
		run.connections = strtoul(value, NULL, 10);
	} else if (strcmp(option, "--depth") == 0) {
		run.depth = strtoul(value, NULL, 10);
	} else if (strcmp(option, "--seconds") == 0) {
		run.seconds = strtod(value, NULL);
	} else if (strcmp(option, "--count") == 0) {
		run.count = strtoull(value, NULL, 10);
	} else if (strcmp(option, "--names") == 0) {
		run.names = strtoull(value, NULL, 10);
	} else if (strcmp(option, "--gap-ms") == 0) {
		run.gap_ms = strtoull(value, NULL, 10);
	} else if (strcmp(option, "--id") == 0) {
		run.id = value;
	} else {
		die("no such option; see the top of load_mupdate.c");
	}
}

int main(int argc, char **argv)
{
	void (*mode)(void) = NULL;

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) == 0)
			mode = modes[i].fn;
	}
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			run.is_json = true;
		else if (i + 1 < argc)
			take_option(argv[i], argv[i + 1]), i++;
		else
			die("an option lacks its value");
	}
	if (mode == NULL || (mode != mode_names && (run.user == NULL || run.to.sin_port == 0))) {
		(void)fprintf(stderr, "usage: load-mupdate pairs|update|follow|find|names --to HOST:PORT --user NAME:PASSWORD ...\n");
		return 2;
	}
	if (run.connections == 0 || run.connections > CONNECTIONS_MAX)
		die("--connections: 1 to 1024");
	mode();
	return 0;
}
