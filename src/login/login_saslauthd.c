/* login_saslauthd.c - four counted strings (two octets of length, the higher first: name, password, service, realm) out, one back: "OK..." or
 * "NO...". One connection for each question, as saslauthd wants it. */
#include "login_saslauthd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"

#define ANSWER_MAX 1024
#define LOOK_MS 200 /* so often a worker looks whether it should stop */

static void add_counted(struct buffer *to, struct bytes text)
{
	buffer_add_u8(to, (uint8_t)(text.n >> 8));
	buffer_add_u8(to, (uint8_t)text.n);
	buffer_add(to, text);
}

/* Wait until FD can be read or written. False with WHY. */
static bool wait_until(int fd, short events, uint64_t until_ms, struct worker *on, struct fault *why)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = events };
		int rc;

		if (now >= until_ms)
			return fault_set(why, FAULT_TRANSIENT, "no answer in time");
		if (worker_is_stopping(on))
			return fault_set(why, FAULT_TRANSIENT, "the daemon is being stopped");
		rc = poll(&p, 1, (int)(until_ms - now < LOOK_MS ? until_ms - now : LOOK_MS));
		if (rc > 0)
			return true;
		if (rc < 0 && errno != EINTR)
			return fault_errno(why, FAULT_TRANSIENT, errno, "poll");
	}
}

static int connect_to(const char *path, struct fault *why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct bytes name = bytes_of(path);
	int fd;

	if (name.n == 0 || name.n >= sizeof(addr.sun_path)) {
		(void)fault_set(why, FAULT_OPERATOR, "the path is too long for a socket");
		return -1;
	}
	memcpy(addr.sun_path, name.p, name.n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A full queue is EAGAIN at once: whoever is so far behind is not to be waited for. */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
		(void)fault_errno(why, FAULT_TRANSIENT, errno, "cannot connect");
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	return fd;
}

static bool send_all(int fd, struct bytes b, uint64_t until_ms, struct worker *on, struct fault *why)
{
	while (b.n > 0) {
		ssize_t n = send(fd, b.p, b.n, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (!wait_until(fd, POLLOUT, until_ms, on, why))
				return false;
		} else if (n < 0) {
			return fault_errno(why, FAULT_TRANSIENT, errno, "cannot send");
		} else {
			b = bytes_from(b, (size_t)n);
		}
	}
	return true;
}

/* N octets to TO. */
static bool take(int fd, uint8_t *to, size_t n, uint64_t until_ms, struct worker *on, struct fault *why)
{
	while (n > 0) {
		ssize_t got = recv(fd, to, n, 0);

		if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (!wait_until(fd, POLLIN, until_ms, on, why))
				return false;
		} else if (got < 0) {
			return fault_errno(why, FAULT_TRANSIENT, errno, "cannot read the answer");
		} else if (got == 0) {
			return fault_set(why, FAULT_TRANSIENT, "the connection ended before the answer");
		} else {
			to += got;
			n -= (size_t)got;
		}
	}
	return true;
}

static enum saslauthd_result take_answer(int fd, uint64_t until_ms, struct worker *on, struct fault *why)
{
	uint8_t head[2], text[ANSWER_MAX];
	size_t n;

	if (!take(fd, head, sizeof(head), until_ms, on, why))
		return SASLAUTHD_UNAVAILABLE;
	n = (size_t)head[0] << 8 | head[1];
	if (n < 2 || n > ANSWER_MAX) {
		(void)fault_set(why, FAULT_TRANSIENT, "an answer of %zu octets", n);
		return SASLAUTHD_UNAVAILABLE;
	}
	if (!take(fd, text, n, until_ms, on, why))
		return SASLAUTHD_UNAVAILABLE;
	if (memcmp(text, "OK", 2) == 0)
		return SASLAUTHD_RIGHT;
	if (memcmp(text, "NO", 2) == 0) {
		(void)fault_set(why, FAULT_CLIENT, "wrong name or password");
		return SASLAUTHD_WRONG;
	}
	(void)fault_set(why, FAULT_TRANSIENT, "an answer that is neither OK nor NO");
	return SASLAUTHD_UNAVAILABLE;
}

enum saslauthd_result login_saslauthd(const char *path, struct bytes name, struct bytes password, const char *service,
                                      uint64_t timeout_ms, struct worker *on, struct fault *why)
{
	uint64_t until_ms = clock_mono_ms() + timeout_ms;
	size_t at = bytes_rfind(name, '@');
	enum saslauthd_result result = SASLAUTHD_UNAVAILABLE;
	struct buffer question = { 0 };
	int fd = connect_to(path, why);

	if (fd >= 0) {
		add_counted(&question, bytes_sub(name, 0, at));
		add_counted(&question, password);
		add_counted(&question, bytes_of(service));
		add_counted(&question, bytes_from(name, at + 1));
		if (send_all(fd, buffer_bytes(&question), until_ms, on, why))
			result = take_answer(fd, until_ms, on, why);
		explicit_bzero(question.p, question.n);
		buffer_fini(&question);
		(void)close(fd);
	}
	if (result == SASLAUTHD_UNAVAILABLE)
		(void)fault_context(why, "saslauthd at %s", path);
	return result;
}
