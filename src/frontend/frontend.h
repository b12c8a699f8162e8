/* frontend.h - the role that clients connect to: IMAP, LMTP and POP3 proxy, holding no mail. */
#ifndef ROOST_FRONTEND_H
#define ROOST_FRONTEND_H

#include "config.h"
#include "fault.h"

/* Run the role on this thread until SIGTERM or SIGINT. False with WHY where it could not start; true after an orderly end. */
bool frontend_run(const struct config *config, struct fault *why);

#endif
