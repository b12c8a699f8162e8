/* directory.h - the mupdate server: RFC 3656 with the state table of docs/architecture.md, and the arbiter of reigns. */
#ifndef ROOST_DIRECTORY_H
#define ROOST_DIRECTORY_H

#include "config.h"
#include "fault.h"

/* Run the role on this thread until SIGTERM or SIGINT. False with WHY where it could not start (nothing is left open);
 * true after an orderly end. */
bool directory_run(const struct config *config, struct fault *why);

#endif
