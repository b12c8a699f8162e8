/* log.c - the line is put together in a buffer and written by one write(). Warnings and errors are counted by event
 * and second in a small table; two events that share a slot only make each other's count begin again. */
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"

#define RATE_SLOTS 64

static const char *const level_names[] = { "error", "warning", "info", "debug" };
static atomic_int max_level = LOG_INFO;
static const char *_Atomic identity;

/* Counts of this second by event name; guarded by lock. Names are fixed texts, so their addresses identify them. */
static struct rate {
	const char *name;
	uint64_t second;
	unsigned count;
	uint64_t suppressed;
} rates[RATE_SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level)
{
	atomic_store(&max_level, (int)level);
}

bool log_is_on(enum log_level level)
{
	return (int)level <= atomic_load(&max_level);
}

bool log_level_of(struct bytes word, enum log_level *level_r)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (bytes_equal_nocase_str(word, level_names[i])) {
			*level_r = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void log_set_identity(const char *name)
{
	atomic_store(&identity, name);
}

static bool is_plain(struct bytes v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] <= ' ' || v.p[i] > '~' || v.p[i] == '"' || v.p[i] == '\\' || v.p[i] == '=')
			return false;
	}
	return v.n > 0;
}

static void add_text(struct buffer *b, struct bytes v)
{
	bool is_cut = v.n > LOG_VALUE_MAX;

	v = bytes_sub(v, 0, LOG_VALUE_MAX);
	if (!is_cut && is_plain(v)) {
		buffer_add(b, v);
		return;
	}
	buffer_add_u8(b, '"');
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < ' ' || v.p[i] > '~')
			buffer_addf(b, "\\x%02x", v.p[i]);
		else if (v.p[i] == '"' || v.p[i] == '\\')
			buffer_addf(b, "\\%c", v.p[i]);
		else
			buffer_add_u8(b, v.p[i]);
	}
	buffer_add_str(b, is_cut ? "...\"" : "\"");
}

static void add_field(struct buffer *b, const struct log_field *f)
{
	buffer_addf(b, " %s=", f->key);
	switch (f->type) {
	case LOG_FIELD_TEXT:
		add_text(b, f->text);
		break;
	case LOG_FIELD_U64:
		buffer_add_u64(b, f->u64);
		break;
	case LOG_FIELD_I64:
		buffer_addf(b, "%lld", (long long)(int64_t)f->u64);
		break;
	case LOG_FIELD_SECONDS:
		buffer_addf(b, "%.6f", (double)f->u64 / 1e9);
		break;
	}
}

/* Whether the event may be written now; *suppressed_r is how many were not since the last that was. */
static bool take_turn(const char *name, uint64_t *suppressed_r)
{
	uint64_t now = clock_mono_ms() / 1000;
	struct rate *r = &rates[((uintptr_t)name >> 3) % RATE_SLOTS];
	bool may;

	*suppressed_r = 0;
	(void)pthread_mutex_lock(&lock);
	if (r->name != name || r->second != now) {
		if (r->name == name)
			*suppressed_r = r->suppressed;
		*r = (struct rate){ .name = name, .second = now };
	}
	may = r->count < LOG_BURST;
	if (may)
		r->count++;
	else
		r->suppressed++;
	(void)pthread_mutex_unlock(&lock);
	return may;
}

void log_fields(enum log_level level, const char *name, const struct log_field *fields)
{
	struct buffer line = { 0 };
	const char *who = atomic_load(&identity);
	uint64_t suppressed = 0;
	int64_t now_us;
	time_t now_s;
	struct tm tm;

	if (!log_is_on(level))
		return;
	if (level <= LOG_WARNING && !take_turn(name, &suppressed))
		return;
	now_us = clock_wall_us();
	now_s = (time_t)(now_us / 1000000);
	if (gmtime_r(&now_s, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	buffer_addf(&line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	            tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now_us / 1000 % 1000), level_names[level], name);
	if (who != NULL) {
		buffer_add_str(&line, " name=");
		add_text(&line, bytes_of(who));
	}
	for (; fields->key != NULL; fields++)
		add_field(&line, fields);
	if (suppressed > 0)
		buffer_addf(&line, " suppressed=%llu", (unsigned long long)suppressed);
	buffer_add_u8(&line, '\n');
	/* One write, so that lines of several threads do not mix. Nobody can be told if standard error is gone. */
	if (write(STDERR_FILENO, line.p, line.n) < 0)
		(void)0;
	buffer_fini(&line);
}
