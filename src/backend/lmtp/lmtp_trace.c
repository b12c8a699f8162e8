/* lmtp_trace.c - what the client said of itself is written as far as a comment may hold it. */
#include "lmtp_trace.h"

#include <string.h>
#include <time.h>

#include "clock.h"
#include "lmtp_command.h"

void lmtp_trace_write(struct buffer *to, struct bytes from, const char *helo, const struct conn *c, const char *server,
                      bool is_authenticated)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	const char *peer = conn_peer(c);
	time_t now = (time_t)clock_wall_s();
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	buffer_add_str(to, "Return-Path: <");
	(void)lmtp_address_write(to, from);
	buffer_add_str(to, ">\r\nReceived: from ");
	for (const char *p = helo; *p != '\0'; p++)
		buffer_add_u8(to, *p > ' ' && *p < 0x7f && *p != '(' && *p != ')' ? (uint8_t)*p : '?');
	buffer_addf(to, " ([%.*s])\r\n\tby %s (Roost) with LMTP%s%s;\r\n\t%s, %d %s %d %02d:%02d:%02d +0000\r\n",
	            (int)(strrchr(peer, ':') == NULL ? strlen(peer) : (size_t)(strrchr(peer, ':') - peer)), peer, server,
	            conn_is_tls(c) ? "S" : "", is_authenticated ? "A" : "", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
	            tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}
