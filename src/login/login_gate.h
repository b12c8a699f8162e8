/* login_gate.h - who has failed to log in from where: a bounded table of addresses that forgets, and how long the next attempt from
 * each has to wait.
 *
 * An address is an IPv4 address or the /64 of an IPv6 one. After N failures attempts from there follow each other no faster than
 * delay_ms, twice that, four times, ... up to delay_max_ms apart, however many connections they come over; one that would have to wait
 * longer than twice delay_max_ms is turned away. The same wrong password again is no new failure: it tells the guesser nothing, and is what a
 * forgotten device does all day. After forget_ms without a failure an address is like any other. When the table is full the address that
 * has been quiet longest is forgotten. Time is given by the caller. Any thread. */
#ifndef ROOST_LOGIN_LOGIN_GATE_H
#define ROOST_LOGIN_LOGIN_GATE_H

#include "config.h"

/* Attempts from one address that may be looked at side by side before the further ones count as failures. */
#define GATE_SIDE_BY_SIDE 16

struct gate;

struct gate_options {
	uint64_t delay_ms, delay_max_ms, forget_ms;
	size_t max_addresses;
	const struct config *trusted; /* networks in `login_trusted_networks`, which are not held up; lent */
};

/* NULL with WHY: a word of `login_trusted_networks` is no network. */
struct gate *gate_new(const struct gate_options *options, struct fault *why);
void gate_free(struct gate **g);

/* 4 or 8 octets that stand for an address; n 0: it is trusted, or none. */
struct gate_address {
	uint8_t octets[8];
	size_t n;
};
/* PEER is "192.0.2.1:4711" or "[2001:db8::1]:4711" (conn_peer()). */
struct gate_address gate_address_of(const struct gate *g, const char *peer);
/* The same without its port, as text, for logs. */
struct bytes gate_host_of(const char *peer);

/* An attempt begins: *WAIT_MS_R is how long it has to wait before anybody looks at it. False: too many wait already. Each that may begin ends
 * with gate_leave(). */
bool gate_enter(struct gate *g, const struct gate_address *a, uint64_t now_ms, uint64_t *wait_ms_r);
void gate_leave(struct gate *g, const struct gate_address *a);
/* It failed. WHAT stands for what was tried (a keyed hash of name and secret); 0: cannot be told. Returns how many failures the address
 * has by now; 0: it is trusted. */
unsigned gate_failed(struct gate *g, const struct gate_address *a, uint64_t now_ms, uint64_t what);
/* One of `proxyservers` has authenticated from there, so that many users' attempts will come from there: trusted for a day. */
void gate_trust(struct gate *g, const struct gate_address *a, uint64_t now_ms);
/* The delay after N failures. */
uint64_t gate_delay_ms(const struct gate *g, unsigned n);
/* Addresses that are held up. */
size_t gate_count(struct gate *g);

#endif
