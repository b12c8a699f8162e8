/* answer.h - the tagged answer of a command. Free text is a literal of ours or a fault's; codes are ours. The last one
 * set counts. */
#ifndef ROOST_BACKEND_IMAP_ANSWER_H
#define ROOST_BACKEND_IMAP_ANSWER_H

#include "imap_session.h"

/* "OK text" / "STATUS [code] text"; CODE may be NULL. Returns CMD_DONE, for the handler to return. */
enum cmd_step answer_ok(struct command *cmd, const char *text);
enum cmd_step answer_no(struct command *cmd, const char *code, const char *text);
enum cmd_step answer_bad(struct command *cmd, const char *text);
/* The words of WHY by its kind: a client's or a limit's as NO (with [LIMIT]), else [UNAVAILABLE] or [SERVERBUG] without
 * detail, logged. */
enum cmd_step answer_fault(struct session *s, struct command *cmd, const struct fault *why);
/* What came of an intent, unless it is OK. */
enum cmd_step answer_result(struct session *s, struct command *cmd, const struct submission *sub);
/* Whether it is not known if it took effect: no answer may say that it did or did not, the session ends without one. */
bool answer_is_unknown(enum store_result result, bool had_no_effect);
enum cmd_step answer_store_result(struct session *s, struct command *cmd, enum store_result result, bool had_no_effect);
/* Put CODE before the text of the answer set; the buffer may be filled further. */
struct buffer *answer_code(struct command *cmd);
/* Write "TAG STATUS [code] text". */
void answer_send(struct session *s, struct command *cmd);

#endif
