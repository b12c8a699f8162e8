/* http_get.h - one HTTP GET, for reading what a daemon's admin_listen says. Blocks for at most the time given. */
#ifndef ROOST_VERBS_HTTP_GET_H
#define ROOST_VERBS_HTTP_GET_H

#include "buffer.h"

/* GET http://ADDRESS PATH; the body (at most 1 MiB) is appended to TO (NULL: dropped). Returns the status code, or 0 where
 * there was no answer within TIMEOUT_MS. */
long http_get(const char *address, const char *path, long timeout_ms, struct buffer *to);

#endif
