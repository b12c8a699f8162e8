/* dispatch.c - which function serves which verb. Where a verb is legal and what it means for others stands in the
 * grammar's table (imap_command.c). */
#include "dispatch.h"

static cmd_fn *const handlers[IMAP_VERB_COUNT] = {
	[IMAP_APPEND] = cmd_append,
	[IMAP_AUTHENTICATE] = cmd_authenticate,
	[IMAP_CANCELUPDATE] = cmd_cancelupdate,
	[IMAP_CAPABILITY] = cmd_capability,
	[IMAP_CHECK] = cmd_noop,
	[IMAP_CLOSE] = cmd_close,
	[IMAP_COMPRESS] = cmd_compress,
	[IMAP_COPY] = cmd_copy,
	[IMAP_CREATE] = cmd_create,
	[IMAP_DELETE] = cmd_delete,
	[IMAP_DELETEACL] = cmd_deleteacl,
	[IMAP_ENABLE] = cmd_enable,
	[IMAP_ESEARCH] = cmd_esearch,
	[IMAP_EXAMINE] = cmd_select,
	[IMAP_EXPUNGE] = cmd_expunge,
	[IMAP_FETCH] = cmd_fetch,
	[IMAP_GETACL] = cmd_getacl,
	[IMAP_GETQUOTA] = cmd_getquota,
	[IMAP_GETQUOTAROOT] = cmd_getquotaroot,
	[IMAP_GETMETADATA] = cmd_getmetadata,
	[IMAP_ID] = cmd_id,
	[IMAP_IDLE] = cmd_idle,
	[IMAP_LIST] = cmd_list,
	[IMAP_LISTRIGHTS] = cmd_listrights,
	[IMAP_LOGIN] = cmd_login,
	[IMAP_LOGOUT] = cmd_logout,
	[IMAP_LSUB] = cmd_lsub,
	[IMAP_MOVE] = cmd_copy,
	[IMAP_MYRIGHTS] = cmd_myrights,
	[IMAP_NAMESPACE] = cmd_namespace,
	[IMAP_NOOP] = cmd_noop,
	[IMAP_RENAME] = cmd_rename,
	[IMAP_REPLACE] = cmd_append,
	[IMAP_SEARCH] = cmd_search,
	[IMAP_SELECT] = cmd_select,
	[IMAP_SETACL] = cmd_setacl,
	[IMAP_SETQUOTA] = cmd_setquota,
	[IMAP_SETMETADATA] = cmd_setmetadata,
	[IMAP_SORT] = cmd_sort,
	[IMAP_STARTTLS] = cmd_starttls,
	[IMAP_STATUS] = cmd_status,
	[IMAP_STORE] = cmd_store,
	[IMAP_SUBSCRIBE] = cmd_subscribe,
	[IMAP_THREAD] = cmd_thread,
	[IMAP_UNAUTHENTICATE] = cmd_unauthenticate,
	[IMAP_UNSELECT] = cmd_unselect,
	[IMAP_UNSUBSCRIBE] = cmd_subscribe,
	[IMAP_XAUTOCREATE] = cmd_xautocreate,
};

cmd_fn *dispatch_handler(enum imap_verb verb)
{
	return handlers[verb];
}
