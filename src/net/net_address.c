/* net_address.c - the port stands behind the last ':', brackets go around a host that has ':' itself. */
#include "net_address.h"

#include <string.h>

bool net_address_split(const char *address, char host_r[NET_HOST_MAX], unsigned *port_r, struct fault *why)
{
	struct bytes all = bytes_of(address);
	size_t colon = bytes_rfind(all, ':');
	struct bytes host = bytes_sub(all, 0, colon);
	uint64_t port;

	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = bytes_sub(host, 1, host.n - 2);
	if (!bytes_to_u64(bytes_from(all, colon + 1), 65535, &port) || host.n == 0 || host.n >= NET_HOST_MAX)
		return fault_set(why, FAULT_OPERATOR, "\"%s\" is not HOST:PORT", address);
	memcpy(host_r, host.p, host.n);
	host_r[host.n] = '\0';
	*port_r = (unsigned)port;
	return true;
}
