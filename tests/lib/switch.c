/* switch.c - a network of namespaces for tests: each node has an interface, and this process carries what it sends.
 *
 *   switch NETWORK NODE...   such as: switch 10.77.0 mupdate frontend backenda1 backenda2
 *
 * Node i gets a network namespace of its own with a TUN interface, address NETWORK.i (from 1) of a /24, and loopback. On
 * standard output the process says "ready" and holds the namespaces open as /proc/PID/fd/N, told in a line "NODE N" each
 * before. Everything is gone when it ends, which it does at the end of standard input. Rules come on standard input:
 *
 *   FROM TO LOSS DELAY JITTER   packets from node FROM to node TO (numbers): lost, per million; delayed by DELAY..DELAY+JITTER us
 *
 * Each answered by "ok". The kernel here has no netem; and so no privilege but making namespaces is needed. Packets stay in
 * their order, as delay is per direction and never shrinks below what is under way. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX 16
#define MTU 9000
#define WAITING_MAX 20000 /* packets under way in one direction; more are lost, as in any router */

struct packet {
	struct packet *next;
	uint64_t due;
	size_t n;
	uint8_t p[];
};

struct way {
	uint32_t loss, delay, jitter;
	struct packet *first, *last;
	size_t count;
};

static int tun[NODES_MAX], names[NODES_MAX], nodes;
static struct way ways[NODES_MAX][NODES_MAX];

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "switch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void bring_up(int s, const char *name)
{
	struct ifreq r = { 0 };

	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	must(ioctl(s, SIOCGIFFLAGS, &r) == 0, name);
	r.ifr_flags |= IFF_UP | IFF_RUNNING;
	must(ioctl(s, SIOCSIFFLAGS, &r) == 0, name);
}

static void set_address(int s, unsigned long what, const char *text)
{
	struct ifreq r = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&r.ifr_addr;

	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "wire");
	in->sin_family = AF_INET;
	must(inet_pton(AF_INET, text, &in->sin_addr) == 1, text);
	must(ioctl(s, what, &r) == 0, text);
}

static void make_node(int i, const char *network)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	char address[64];
	int s;

	must(unshare(CLONE_NEWNET) == 0, "a network namespace");
	names[i] = open("/proc/self/ns/net", O_RDONLY);
	must(names[i] >= 0, "/proc/self/ns/net");
	tun[i] = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	must(tun[i] >= 0, "/dev/net/tun");
	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "wire");
	must(ioctl(tun[i], TUNSETIFF, &r) == 0, "a TUN interface");
	s = socket(AF_INET, SOCK_DGRAM, 0);
	must(s >= 0, "socket");
	(void)snprintf(address, sizeof(address), "%s.%d", network, i + 1);
	set_address(s, SIOCSIFADDR, address);
	set_address(s, SIOCSIFNETMASK, "255.255.255.0");
	r.ifr_mtu = MTU;
	must(ioctl(s, SIOCSIFMTU, &r) == 0, "the MTU");
	bring_up(s, "wire");
	bring_up(s, "lo");
	(void)close(s);
}

static void send_packet(int to, const uint8_t *p, size_t n)
{
	/* What the interface does not take is lost. */
	if (write(tun[to], p, n) < 0)
		return;
}

static void carry(int from, const uint8_t *p, size_t n)
{
	int to = n >= 20 && p[0] >> 4 == 4 ? p[19] - 1 : -1;
	struct way *w;
	struct packet *q;

	if (to < 0 || to >= nodes)
		return;
	w = &ways[from][to];
	if (w->loss > 0 && (uint32_t)rand() % 1000000 < w->loss)
		return;
	if (w->delay == 0 && w->jitter == 0 && w->first == NULL) {
		send_packet(to, p, n);
		return;
	}
	if (w->count >= WAITING_MAX)
		return;
	q = malloc(sizeof(*q) + n);
	must(q != NULL, "memory");
	*q = (struct packet){ .due = now_us() + w->delay + (w->jitter > 0 ? (uint32_t)rand() % w->jitter : 0), .n = n };
	if (w->last != NULL && q->due < w->last->due)
		q->due = w->last->due;
	memcpy(q->p, p, n);
	if (w->last != NULL)
		w->last->next = q;
	else
		w->first = q;
	w->last = q;
	w->count++;
}

/* Send what is due; how long, in microseconds, until more is, at most a second. */
static uint64_t send_due(void)
{
	uint64_t now = now_us(), wait = 1000000;

	for (int from = 0; from < nodes; from++) {
		for (int to = 0; to < nodes; to++) {
			struct way *w = &ways[from][to];

			while (w->first != NULL && w->first->due <= now) {
				struct packet *q = w->first;

				w->first = q->next;
				if (w->first == NULL)
					w->last = NULL;
				w->count--;
				send_packet(to, q->p, q->n);
				free(q);
			}
			if (w->first != NULL && w->first->due - now < wait)
				wait = w->first->due - now;
		}
	}
	return wait;
}

/* Take the rules that have come; false at the end of input. */
static bool take_rules(void)
{
	static char text[4096];
	static size_t have;
	ssize_t got = read(0, text + have, sizeof(text) - 1 - have);
	char *line = text, *end;

	if (got <= 0)
		return false;
	have += (size_t)got;
	text[have] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		unsigned from, to, loss, delay, jitter;

		if (sscanf(line, "%u %u %u %u %u", &from, &to, &loss, &delay, &jitter) == 5 && from < (unsigned)nodes && to < (unsigned)nodes) {
			ways[from][to].loss = loss;
			ways[from][to].delay = delay;
			ways[from][to].jitter = jitter;
			(void)printf("ok\n");
		} else {
			(void)printf("bad rule\n");
		}
		line = end + 1;
	}
	have = strlen(line);
	memmove(text, line, have + 1);
	(void)fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	struct pollfd polled[NODES_MAX + 1];
	static uint8_t p[65536];

	nodes = argc - 2;
	if (nodes < 1 || nodes > NODES_MAX)
		return 2;
	srand((unsigned)now_us());
	for (int i = 0; i < nodes; i++) {
		make_node(i, argv[1]);
		(void)printf("%s %d\n", argv[i + 2], names[i]);
		polled[i] = (struct pollfd){ .fd = tun[i], .events = POLLIN };
	}
	polled[nodes] = (struct pollfd){ .fd = 0, .events = POLLIN };
	(void)printf("ready\n");
	(void)fflush(stdout);
	for (;;) {
		uint64_t wait = send_due();
		struct timespec t = { (time_t)(wait / 1000000), (long)(wait % 1000000) * 1000 };

		if (ppoll(polled, (nfds_t)nodes + 1, &t, NULL) < 0)
			continue;
		for (int i = 0; i < nodes; i++) {
			ssize_t n;

			/* A few at a time, so that nobody waits for one who talks much. */
			for (int k = 0; k < 16 && (polled[i].revents & POLLIN) != 0 && (n = read(tun[i], p, sizeof(p))) > 0; k++)
				carry(i, p, (size_t)n);
		}
		if (polled[nodes].revents != 0 && !take_rules())
			return 0;
	}
}
