/* imap_session.h - one IMAP connection: its states, the command at hand, and what handlers may do with them.
 *
 * A handler (cmd_*.c) is called with the command parsed and legal in the present state. It acts, sets the tagged answer
 * (answer.h) and says what it waits for. The session tells what changed in the selected mailbox, sends the tagged answer,
 * and takes the next command. One command runs at a time; what the client sends ahead waits unread. */
#ifndef ROOST_BACKEND_IMAP_SESSION_H
#define ROOST_BACKEND_IMAP_SESSION_H

#include "acl.h"
#include "backend_private.h"
#include "imap_command.h"
#include "names.h"
#include "store_view.h"

struct box;
struct command;
struct session;

/* listener_fn; ARG is the struct backend. */
void imap_session_called(struct conn *conn, void *arg);

enum cmd_step {
	CMD_DONE,        /* the tagged answer is set */
	CMD_WANT_INPUT,  /* a line of the client: command->on_line is set */
	CMD_WANT_OUTPUT, /* output waits: command->resume is called when it has drained */
	CMD_WANT_COMMIT, /* a submission or mailbox_op is under way; its function calls session_resume() */
	CMD_WANT_TURN,   /* others shall have their turn: command->resume is called in a later one */
};

typedef enum cmd_step cmd_fn(struct session *s, struct command *cmd);

enum answer_status { ANSWER_OK, ANSWER_NO, ANSWER_BAD };

/* The command at hand. */
struct command {
	struct arena arena;    /* dies with the command */
	struct imap_command c; /* its bytes are in the arena; those of APPEND only during the first call of its handler */
	struct bytes octets;   /* as it came, in the arena; none for APPEND */
	enum cmd_step step;
	cmd_fn *resume;
	/* LINE without its line end; lent during the call. */
	enum cmd_step (*on_line)(struct session *s, struct command *cmd, struct bytes line);
	void *state; /* the handler's own, in the arena */
	uint64_t started_ns;
	bool is_quiet;      /* no news of the selected mailbox before the tagged answer */
	bool tells_modseq;  /* the answer ends with the mailbox's HIGHESTMODSEQ, where QRESYNC is enabled */
	bool missed_one;    /* a message that was asked for is gone: OK [EXPUNGEISSUED] */
	uint32_t limited_uid; /* below this UID nothing was done, as it was too much (limit.h); 0: all was done */
	uint64_t progress_ns; /* when the client was last told how far it is; 0: never */
	uint64_t progress_done, progress_total; /* how far it said that it is; a total of 0: not known */
	/* The command's own answer told the flags of these messages: changes of them up to the modseq are not told again. */
	const struct uid_range *told;
	size_t told_count;
	modseq_t told_modseq;
	bool is_told_own; /* the command made the change of that modseq, all of it of these messages */

	/* answer.h: */
	bool has_answer;
	bool was_sent; /* the handler has sent it itself */
	enum answer_status status;
	struct buffer code, text;
};

enum session_state {
	SESSION_NOT_AUTHED,
	SESSION_AUTHED,
	SESSION_SELECTED,
	SESSION_ENDING, /* conn_close() was called */
};

struct session {
	struct client client; /* first: client_class functions get this */
	enum session_state state;
	struct identity identity;
	struct login login;
	struct names names; /* valid once authenticated */
	struct imap_framer framer;
	struct inflight_share share; /* of a message being read */
	struct box *box;     /* while SELECTED; owned */
	struct command *cmd; /* NULL: none; owned */
	uint64_t deadline_ms; /* until authenticated */
	struct arrival *arrival; /* of a large command that comes; NULL: none does */
	unsigned bad;        /* refused commands in a row */
	unsigned features;   /* enum imap_feature: what the client enabled */
	bool is_ready;       /* greeted */
	bool is_leaving;     /* good-bye once the command at hand is done */
	bool is_running;     /* session_run() is on the stack */
	bool is_turn_posted;
	enum farewell farewell;
	struct notify *notify;  /* what NOTIFY has asked for; owned; NULL: it was never used */
	struct timer *progress; /* of inprogress.c; owned; NULL: not made yet */
};

/* Every change of state goes through here. */
void session_enter(struct session *s, enum session_state state);
/* The command that waited for a commit goes on with STEP (not CMD_WANT_COMMIT twice without a waker). */
void session_resume(struct session *s, enum cmd_step step);
/* There may be news: tell them in a later turn, unless a command that runs then tells them. */
void session_wake(struct session *s);
/* "* BYE ..." and close; TEXT is ours, may begin with a code in brackets. */
void session_bye(struct session *s, const char *text);
/* The client proved who it is (identity is set). */
void session_logged_in(struct session *s);
/* The client uses FEATURES from now on; a selected mailbox's HIGHESTMODSEQ is told where CONDSTORE is new. */
void session_enable(struct session *s, unsigned features);
/* Nobody is logged in any more; a selected mailbox is left. */
void session_logged_out(struct session *s);
/* Append the mailbox's MAILBOXID (RFC 8474), which no other ever had: its number, its UIDVALIDITY and the server's name. */
void session_mailbox_id(const struct session *s, const struct mailbox *m, struct buffer *to);
/* A login that had to wait has its result. */
void session_login_done(void *session, enum login_result result);
/* Append the capabilities of the present state. */
void session_capabilities(struct session *s, struct buffer *to);
/* Write to the client. */
void session_write(struct session *s, struct bytes b);
void session_write_str(struct session *s, const char *text);
/* Whether a long answer should rest until the output drains. */
bool session_is_full(const struct session *s);

/* What the user may do with the mailbox INTERNAL that has ACL. */
acl_rights_t session_rights(struct session *s, struct bytes internal, struct bytes acl);
/* The internal form of a client's NAME, in the command's arena. False: the tagged answer is set. */
bool session_name(struct session *s, struct command *cmd, struct bytes name, struct bytes *internal_r);
/* Open a view; NULL: the tagged answer is set. */
struct store_view *session_view(struct session *s, struct command *cmd);
/* The ACL of the selected mailbox, or its name, has changed: what comes next is under the rights of now. The client is told what flags it may
 * set; who may not read it any more is left without connection. */
void session_take_rights(struct session *s);
/* The user has RIGHTS in a mailbox, and they do not do: answered NO [NOPERM] with TEXT; but who may not even know that it is there is
 * answered as if it were not. Returns CMD_DONE. */
enum cmd_step session_refuse(struct command *cmd, acl_rights_t rights, bool is_target, const char *text);
/* Find the mailbox and the user's rights in it. False: the tagged answer is set (NO [NONEXISTENT], also where the user may
 * not even know that it is there). TRYCREATE is said instead if IS_TARGET. */
bool session_mailbox(struct session *s, struct command *cmd, struct store_view *v, struct bytes internal, bool is_target,
                     struct mailbox *m_r, acl_rights_t *rights_r);

#endif
