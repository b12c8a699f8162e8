/* log.h - one event, one line on standard error: "2026-11-23T19:00:00.123Z level part.object.outcome key=value ...".
 *
 * An event name is fixed text, never data. Values are escaped here: a text value is quoted where it holds anything but
 * plain characters, control characters and octets above 126 become \xNN, and a value is cut after LOG_VALUE_MAX octets.
 * Every event name is listed in docs/events.txt. An event that repeats at level warning or error is written at most
 * LOG_BURST times a second; the next line then carries suppressed=N.
 *
 * error: we malfunctioned, or an operator must act. warning: we coped. info: an operator's daily facts. debug: for
 * developers. A malformed request is not an error. Any thread. */
#ifndef ROOST_BASE_LOG_H
#define ROOST_BASE_LOG_H

#include "bytes.h"
#include "fault.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

#define LOG_VALUE_MAX 256
#define LOG_BURST 20

/* One key=value; made by the macros below. */
struct log_field {
	const char *key;
	enum log_field_type { LOG_FIELD_TEXT, LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_SECONDS } type;
	struct bytes text;
	uint64_t u64; /* also a signed number, or nanoseconds */
};

#define LOG_BYTES(k, v) ((struct log_field){ .key = (k), .type = LOG_FIELD_TEXT, .text = (v) })
#define LOG_STR(k, v) LOG_BYTES(k, bytes_of(v))
#define LOG_U64(k, v) ((struct log_field){ .key = (k), .type = LOG_FIELD_U64, .u64 = (v) })
#define LOG_I64(k, v) ((struct log_field){ .key = (k), .type = LOG_FIELD_I64, .u64 = (uint64_t)(int64_t)(v) })
/* A duration in nanoseconds, written as seconds with decimals. */
#define LOG_NS(k, v) ((struct log_field){ .key = (k), .type = LOG_FIELD_SECONDS, .u64 = (v) })
#define LOG_FAULT(f) LOG_STR("why", (f)->what)

/* log_event(LOG_INFO, "lmtp.deliver.committed", LOG_U64("lsn", lsn), LOG_BYTES("mbox", name)); */
#define log_event(level, name, ...)                                                                       \
	log_fields((level), (name), (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ) { .key = NULL } })

void log_fields(enum log_level level, const char *name, const struct log_field *fields);

/* Write events up to and including LEVEL (LOG_INFO at start). */
void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);
/* "error", "warning", "info" or "debug" to a level; false for anything else. */
bool log_level_of(struct bytes word, enum log_level *level_r);
/* Put " name=NAME" (a member's or frontend's) into every line; NAME lives for ever. NULL takes it out. */
void log_set_identity(const char *name);

#endif
