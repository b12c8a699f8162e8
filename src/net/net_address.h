/* net_address.h - "host:port", "[v6]:port" and "*:port" taken apart. Any thread. */
#ifndef ROOST_NET_ADDRESS_H
#define ROOST_NET_ADDRESS_H

#include "bytes.h"
#include "fault.h"

#define NET_HOST_MAX 256

/* False with WHY: no port, a port over 65535, an empty or over-long host. PORT may be 0. */
bool net_address_split(const char *address, char host_r[NET_HOST_MAX], unsigned *port_r, struct fault *why);

#endif
