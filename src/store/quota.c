/* quota.c - one form of limits wherever they stand, and one way to compare with them. */
#include "quota.h"

#define UNIT 1024 /* octets of STORAGE */

void quota_limits_write(struct buffer *to, const struct quota_limits *l)
{
	uint8_t which = 0;

	for (unsigned r = 0; r < QUOTA_RESOURCES; r++)
		which |= (uint8_t)((unsigned)l->is_limited[r] << r);
	buffer_add_u8(to, which);
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (l->is_limited[r])
			buffer_add_u64le(to, l->limit[r]);
	}
}

bool quota_limits_read(struct cursor *in, struct quota_limits *l_r)
{
	uint8_t which;

	*l_r = (struct quota_limits){ 0 };
	if (!cursor_u8(in, &which) || which >> QUOTA_RESOURCES != 0)
		return false;
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		l_r->is_limited[r] = (which >> r & 1) != 0;
		if (l_r->is_limited[r] && (!cursor_u64le(in, &l_r->limit[r]) || l_r->limit[r] > INT64_MAX))
			return false;
	}
	return true;
}

bool quota_limits_equal(const struct quota_limits *a, const struct quota_limits *b)
{
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (a->is_limited[r] != b->is_limited[r] || a->limit[r] != b->limit[r])
			return false;
	}
	return true;
}

/* N of R in units of the limit, rounded up. */
static uint64_t in_units(unsigned r, uint64_t n)
{
	return r == QUOTA_STORAGE ? n / UNIT + (n % UNIT != 0) : n;
}

bool quota_is_exceeded_by(const struct quota *q, const uint64_t more[QUOTA_RESOURCES])
{
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (more[r] > 0 && q->limits.is_limited[r] && in_units(r, q->used[r] + more[r]) > q->limits.limit[r])
			return true;
	}
	return false;
}

bool quota_is_over(const struct quota *q)
{
	static const unsigned of_messages[] = { QUOTA_STORAGE, QUOTA_MESSAGE };

	for (size_t i = 0; i < 2; i++) {
		unsigned r = of_messages[i];

		if (q->limits.is_limited[r] && in_units(r, q->used[r]) > q->limits.limit[r])
			return true;
	}
	return false;
}

uint64_t quota_used(const struct quota *q, enum quota_resource r)
{
	return r == QUOTA_STORAGE ? q->used[r] / UNIT : q->used[r];
}

bool quota_above(struct bytes *name)
{
	size_t domain = bytes_find(*name, '!'), local = domain < name->n ? domain + 1 : 0;
	size_t dot = bytes_rfind(bytes_from(*name, local), '.');

	if (dot == name->n - local)
		return false;
	name->n = local + dot;
	return true;
}
