/* STARTTLS (RFC 3501 section 6.2.1): what was sent ahead in the clear is dropped with the input. */
#include "answer.h"
#include "dispatch.h"

enum cmd_step cmd_starttls(struct session *s, struct command *cmd)
{
	if (s->client.backend->tls == NULL)
		return answer_bad(cmd, "TLS is not configured");
	if (conn_is_tls(s->client.conn))
		return answer_bad(cmd, "TLS is on already");
	/* The answer has to leave before the handshake. */
	(void)answer_ok(cmd, "begin TLS");
	answer_send(s, cmd);
	cmd->was_sent = true;
	s->framer = (struct imap_framer){ 0 };
	conn_start_tls_server(s->client.conn, s->client.backend->tls);
	return CMD_DONE;
}
