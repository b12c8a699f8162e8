/* fault.c - the one line of text that says what is wrong. */
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void clean(char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	}
}

bool fault_set(struct fault *f, enum fault_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (f == NULL)
		return false;
	f->kind = kind;
	va_start(ap, fmt);
	(void)vsnprintf(f->what, sizeof(f->what), fmt, ap);
	va_end(ap);
	clean(f->what);
	return false;
}

bool fault_errno(struct fault *f, enum fault_kind kind, int err, const char *fmt, ...)
{
	char text[FAULT_WHAT_MAX];
	char reason[128];
	va_list ap;

	if (f == NULL)
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return fault_set(f, kind, "%s: %s", text, strerror_r(err, reason, sizeof(reason)));
}

bool fault_context(struct fault *f, const char *fmt, ...)
{
	char text[FAULT_WHAT_MAX];
	char old[FAULT_WHAT_MAX];
	va_list ap;

	if (f == NULL)
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(old, f->what, sizeof(old));
	return fault_set(f, f->kind, "%s: %s", text, old);
}
