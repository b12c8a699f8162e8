/* fuzz_replica_peer.c - the replica core of one member of two, whose other member says anything. The first octet says whether
 * this one reigns; then come events: an octet for its kind, and for a message u16 length and the frame.
 *
 * Whatever the other says: nothing that is applied is cut, nothing is committed that is not durable here, the reign is the
 * directory's, and the core asks for no more than it has room to. */
#include "cursor.h"
#include "fuzz.h"
#include "replica.h"

struct member {
	struct replica *core;
	uint64_t now_ms, last, durable, applied, committed, epoch;
	bool is_connected, is_async;
	struct replica_event queue[64];
	size_t queued;
};

static struct replica_actions actions;

static void queue(struct member *m, struct replica_event ev)
{
	if (m->queued < sizeof(m->queue) / sizeof(m->queue[0]))
		m->queue[m->queued++] = ev;
}

static void act(struct member *m, const struct replica_action *a, const struct peer_message *said)
{
	switch (a->type) {
	case ACTION_TRUNCATE:
		FUZZ_CHECK(a->lsn >= m->applied && a->lsn <= m->last);
		m->last = a->lsn;
		m->durable = m->durable > m->last ? m->last : m->durable;
		break;
	case ACTION_COMMIT:
		FUZZ_CHECK(a->lsn <= m->durable && a->lsn >= m->committed);
		m->committed = m->applied = a->lsn;
		queue(m, (struct replica_event){ .type = EVENT_APPLIED, .lsn = a->lsn });
		break;
	case ACTION_TAKE:
		FUZZ_CHECK(a->lsn > m->applied && replica_role(m->core) == REPLICA_FOLLOWER);
		break;
	case ACTION_FOLLOW:
		FUZZ_CHECK(said != NULL && replica_role(m->core) == REPLICA_FOLLOWER);
		/* Two entries of the reign it names, if that may be. */
		if (said->epoch >= m->epoch) {
			m->epoch = said->epoch;
			m->last += 2;
			queue(m, (struct replica_event){ .type = EVENT_FOLLOWED, .lsn = m->last, .epoch = m->epoch });
		}
		break;
	case ACTION_APPEND_EPOCH:
		m->epoch = a->epoch;
		m->last++;
		queue(m, (struct replica_event){ .type = EVENT_LOCAL_APPENDED, .lsn = m->last, .epoch = a->epoch });
		break;
	case ACTION_DISCONNECT:
		if (m->is_connected)
			queue(m, (struct replica_event){ .type = EVENT_PEER_DOWN, .peer = 1 });
		m->is_connected = false;
		break;
	case ACTION_SEND:
	case ACTION_STREAM:
		FUZZ_CHECK(a->peer == 1);
		break;
	default:
		break;
	}
}

static void step(struct member *m, struct replica_event ev)
{
	m->queued = 0;
	for (size_t i = 0;; i++) {
		ev.now_ms = m->now_ms;
		replica_step(m->core, &ev, &actions);
		FUZZ_CHECK(actions.count < REPLICA_ACTIONS_MAX / 2);
		for (size_t n = 0; n < actions.count; n++)
			act(m, &actions.at[n], ev.message);
		if (i == m->queued)
			break;
		ev = m->queue[i];
	}
	FUZZ_CHECK(m->applied <= m->durable && m->durable <= m->last);
	/* Nobody's word but the directory's makes a master. */
	FUZZ_CHECK(replica_role(m->core) != REPLICA_MASTER || replica_master(m->core) == 0);
	FUZZ_CHECK(replica_act_until(m->core) == UINT64_MAX || replica_act_until(m->core) <= m->now_ms + 1000);
}

static void start(struct member *m, bool is_master, bool is_async)
{
	const struct replica_options o = { .count = 2, .names = { "a1", "a2" }, .self = 0, .lease_ms = 1000, .is_async = is_async };
	static struct history history;
	struct replica_event ev = { .type = EVENT_START, .start = { .last = 10, .durable = 10, .applied = 8, .history = &history } };

	history.count = 0;
	history_append(&history, 1, 1);
	history_append(&history, 3, 6);
	*m = (struct member){ .core = replica_new(&o), .now_ms = 5000, .last = 10, .durable = 10, .applied = 8, .committed = 8, .epoch = 3 };
	m->is_async = is_async;
	step(m, ev);
	step(m, (struct replica_event){ .type = EVENT_DIRECTORY_UP });
	ev = (struct replica_event){ .type = EVENT_CONFIG, .reign = { 4, BYTES_LIT("a2"), BYTES_LIT("a1 a2") } };
	step(m, ev);
	if (is_master) {
		ev.reign.epoch = 5;
		ev.reign.master = BYTES_LIT("a1");
		step(m, ev);
	}
}

static bool say(struct member *m, struct cursor *in)
{
	static struct history history;
	struct peer_message said;
	struct bytes frame;
	struct fault why;
	uint8_t n;

	if (!cursor_u8(in, &n) || !cursor_bytes(in, n, &frame))
		return false;
	history.count = 0;
	if (m->is_connected && message_read(frame, &said, &history, &why))
		step(m, (struct replica_event){ .type = EVENT_MESSAGE, .peer = 1, .message = &said, .history = &history,
			                        .kept = { m->now_ms % 8, m->now_ms % 16 >= 8 } });
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(bytes_make(data, size));
	struct member m;
	uint8_t how, kind;
	bool goes_on = true;

	if (!cursor_u8(&in, &how))
		return 0;
	start(&m, how % 2 != 0, how % 4 >= 2);
	while (goes_on && cursor_u8(&in, &kind)) {
		switch (kind % 6) {
		case 0:
			m.now_ms += 1 + kind;
			step(&m, (struct replica_event){ .type = EVENT_TICK });
			break;
		case 1:
			if (!m.is_connected)
				step(&m, (struct replica_event){ .type = EVENT_PEER_UP, .peer = 1 });
			m.is_connected = true;
			break;
		case 2:
			m.durable = m.last;
			step(&m, (struct replica_event){ .type = EVENT_LOCAL_DURABLE, .lsn = m.last });
			break;
		default:
			goes_on = say(&m, &in);
			break;
		}
	}
	replica_free(&m.core);
	return 0;
}
