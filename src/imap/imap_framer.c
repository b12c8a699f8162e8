/* imap_framer.c - looks for line ends and for announcements of literals before them; what is between is not looked
 * at. A refused command is gone through to its end by the same rules, so that nothing of it is taken for another
 * command. */
#include "imap_framer.h"

/* A refused literal longer than so many times the largest message is not worth waiting for. */
#define SKIP_TIMES 4
/* The longest end of a line that announces a literal, without its LF: "{", digits, "+}", CR. */
#define DIGITS_MAX 20
#define ANNOUNCEMENT_MAX (DIGITS_MAX + 4)

static struct bytes tag_of(struct bytes in)
{
	size_t n = 0;

	while (n < in.n && n < 64 && in.p[n] > ' ' && in.p[n] < 0x7f && in.p[n] != '{')
		n++;
	return n > 0 && n < in.n && in.p[n] == ' ' ? bytes_sub(in, 0, n) : BYTES_LIT("*");
}

/* The words of the first line up to where it first ends or quotes: "tag APPEND", "tag UID REPLACE". Arguments before the mailbox's name are
 * counted by ARGUMENTS_R. */
static bool has_messages(struct bytes in, size_t *arguments_r)
{
	struct bytes line = bytes_sub(in, 0, bytes_find(in, '\n'));
	struct bytes rest = bytes_from(line, bytes_find(line, ' ') + 1);

	*arguments_r = 2;
	if (bytes_starts_nocase(rest, BYTES_LIT("APPEND ")) || bytes_starts_nocase(rest, BYTES_LIT("LOCALAPPEND ")))
		return true;
	*arguments_r = 3;
	if (bytes_starts_nocase(rest, BYTES_LIT("REPLACE ")))
		return true;
	*arguments_r = 4;
	return bytes_starts_nocase(rest, BYTES_LIT("UID REPLACE "));
}

bool imap_framer_has_messages(struct bytes command)
{
	size_t arguments;

	return has_messages(command, &arguments);
}

/* Whether the literal announced by the line that ends at f->at is part of a message: not so if the mailbox's name is one. */
static bool is_of_message(const struct imap_framer *f, struct bytes in)
{
	size_t arguments, blanks = 0;

	if (!has_messages(in, &arguments))
		return false;
	for (size_t i = f->segment; f->segment == 0 && i < f->at; i++)
		blanks += in.p[i] == ' ';
	return f->segment > 0 || blanks > arguments;
}

/* Whether LINE (without its end) announces a literal. False also for what only looks like one. */
static bool announces(struct bytes line, uint64_t *n_r, bool *is_sync_r)
{
	size_t open;

	if (line.n < 3 || line.p[line.n - 1] != '}')
		return false;
	line.n--;
	*is_sync_r = line.p[line.n - 1] != '+';
	if (!*is_sync_r)
		line.n--;
	open = bytes_rfind(line, '{');
	return open < line.n && line.n - open - 1 <= DIGITS_MAX && bytes_to_u64(bytes_from(line, open + 1), UINT64_MAX / 2, n_r);
}

static enum imap_frame refuse(struct imap_framer *f, struct bytes in, uint64_t skip, bool is_sync, size_t *n_r,
                              struct bytes *tag_r)
{
	*tag_r = tag_of(in);
	*n_r = f->at;
	/* A synchronising literal is not sent once it is refused: the command is over. */
	*f = (struct imap_framer){ .skip = is_sync ? 0 : skip, .is_skipping = !is_sync };
	return FRAME_REFUSED;
}

/* A refused command goes on: throw away its literal, then its lines up to one that announces no other. */
static enum imap_frame skip(struct imap_framer *f, struct bytes in, const struct imap_frame_limits *limits, size_t *n_r,
                            struct fault *why)
{
	size_t n, end;
	uint64_t literal;
	bool is_sync;

	if (in.n == 0) {
		*n_r = 1;
		return FRAME_MORE;
	}
	if (f->skip > 0) {
		*n_r = f->skip < in.n ? (size_t)f->skip : in.n;
		f->skip -= *n_r;
		return FRAME_SKIP;
	}
	n = bytes_find(in, '\n');
	if (n == in.n) {
		if (in.n > limits->line) {
			(void)fault_set(why, FAULT_LIMIT, "a line of more than %zu octets", limits->line);
			return FRAME_FATAL;
		}
		*n_r = in.n + 1;
		return FRAME_MORE;
	}
	end = n > 0 && in.p[n - 1] == '\r' ? n - 1 : n;
	*n_r = n + 1;
	if (announces(bytes_sub(in, 0, end), &literal, &is_sync) && !is_sync) {
		f->skip = literal;
		return FRAME_SKIP;
	}
	*f = (struct imap_framer){ 0 };
	return FRAME_SKIP;
}

static enum imap_frame on_literal(struct imap_framer *f, struct bytes in, uint64_t n, bool is_sync,
                                  const struct imap_frame_limits *limits, size_t *n_r, struct bytes *tag_r,
                                  struct fault *why)
{
	bool is_message = is_of_message(f, in);
	size_t limit = is_message ? limits->message : limits->literal;
	size_t left = is_message ? limits->messages - f->message : limits->command - f->literals;

	if (n > limit || n > left) {
		(void)fault_set(why, FAULT_LIMIT, n > limit ? "a %s of more than %zu octets" : "%ss of more than %zu octets in one command",
		                is_message ? "message" : "literal", n > limit ? limit : is_message ? limits->messages : limits->command);
		if (!is_sync && n / SKIP_TIMES > limits->message)
			return FRAME_FATAL;
		return refuse(f, in, n, is_sync, n_r, tag_r) == FRAME_REFUSED && is_message ? FRAME_TOO_BIG : FRAME_REFUSED;
	}
	if (is_sync && !f->is_continued) {
		f->is_continued = true;
		return FRAME_CONTINUE;
	}
	/* N fits: it is within a limit that is a size_t. */
	if (in.n - f->at < n) {
		*n_r = f->at + (size_t)n + 2;
		return FRAME_MORE;
	}
	if (is_message)
		f->message += (size_t)n;
	else
		f->literals += (size_t)n;
	f->at += (size_t)n;
	f->segment = f->at;
	f->is_continued = false;
	return FRAME_COMMAND; /* of this literal: the caller goes on with the next line */
}

enum imap_frame imap_framer_next(struct imap_framer *f, struct bytes in, const struct imap_frame_limits *limits, size_t *n_r,
                                 struct bytes *tag_r, struct fault *why)
{
	if (f->is_skipping)
		return skip(f, in, limits, n_r, why);
	for (;;) {
		struct bytes line;
		bool is_announced;
		size_t scan = f->is_continued || (f->at > f->segment && f->at > 0 && in.p[f->at - 1] == '\n') ? f->at - 1 : f->at;
		size_t n = scan + bytes_find(bytes_from(in, scan), '\n');
		size_t end;
		uint64_t literal;
		bool is_sync;
		enum imap_frame result;

		if (n >= in.n) {
			f->at = in.n;
			if (in.n - f->literals - f->message > limits->line) {
				(void)fault_set(why, FAULT_LIMIT, "a line of more than %zu octets", limits->line);
				/* The end may turn out to be that of an announcement. */
				*n_r = in.n - f->segment > ANNOUNCEMENT_MAX ? in.n - ANNOUNCEMENT_MAX : f->segment;
				*tag_r = tag_of(in);
				*f = (struct imap_framer){ .is_skipping = true };
				return FRAME_REFUSED;
			}
			*n_r = in.n + 1;
			return FRAME_MORE;
		}
		f->at = n + 1;
		end = n > f->segment && in.p[n - 1] == '\r' ? n - 1 : n;
		line = bytes_sub(in, f->segment, end - f->segment);
		is_announced = announces(line, &literal, &is_sync);
		if (f->at - f->literals - f->message > limits->line) {
			(void)fault_set(why, FAULT_LIMIT, "a line of more than %zu octets", limits->line);
			/* A literal that it announces is on its way, and is no command. */
			return is_announced && !is_sync ? refuse(f, in, literal, false, n_r, tag_r) : refuse(f, in, 0, true, n_r, tag_r);
		}
		if (!is_announced) {
			*n_r = f->at;
			*f = (struct imap_framer){ 0 };
			return FRAME_COMMAND;
		}
		result = on_literal(f, in, literal, is_sync, limits, n_r, tag_r, why);
		if (result != FRAME_COMMAND)
			return result;
	}
}

void imap_framer_add_non_sync(struct buffer *to, struct bytes command)
{
	for (;;) {
		size_t n = bytes_find(command, '\n');
		size_t end = n > 0 && n < command.n && command.p[n - 1] == '\r' ? n - 1 : n;
		struct bytes line = bytes_sub(command, 0, end);
		uint64_t literal;
		bool is_sync;

		if (n == command.n || !announces(line, &literal, &is_sync))
			break;
		buffer_add(to, bytes_sub(line, 0, line.n - 1));
		buffer_add_str(to, is_sync ? "+}\r\n" : "}\r\n");
		command = bytes_from(command, n + 1);
		/* What is found by its octets must not be looked at for line ends. */
		n = literal < command.n ? (size_t)literal : command.n;
		buffer_add(to, bytes_sub(command, 0, n));
		command = bytes_from(command, n);
	}
	buffer_add(to, command);
}
