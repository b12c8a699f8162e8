/* dispatch.h - the table of commands: who handles each. Legality is the grammar's table (imap_command.h). */
#ifndef ROOST_BACKEND_IMAP_DISPATCH_H
#define ROOST_BACKEND_IMAP_DISPATCH_H

#include "imap_session.h"

/* The handler of VERB. */
cmd_fn *dispatch_handler(enum imap_verb verb);

cmd_fn cmd_append, cmd_authenticate, cmd_cancelupdate, cmd_capability, cmd_close, cmd_compress, cmd_copy, cmd_create, cmd_delete, cmd_deleteacl, cmd_enable,
	cmd_esearch, cmd_expunge, cmd_fetch, cmd_getacl, cmd_getmetadata, cmd_getquota, cmd_getquotaroot, cmd_id, cmd_idle, cmd_list, cmd_listrights, cmd_login, cmd_logout, cmd_lsub,
	cmd_myrights, cmd_namespace, cmd_noop, cmd_notify, cmd_rename, cmd_search, cmd_select, cmd_setacl, cmd_setmetadata, cmd_setquota, cmd_sort, cmd_starttls, cmd_status,
	cmd_store, cmd_subscribe, cmd_thread, cmd_unauthenticate, cmd_unselect, cmd_xautocreate,
	cmd_genurlauth, cmd_resetkey, cmd_urlfetch;

#endif
