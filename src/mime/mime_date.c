/* mime_date.c - the Date field. */
#include "mime_private.h"

static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static bool take_int(struct cursor *c, int *v_r)
{
	int v = 0, n = 0;

	mime_skip_cfws(c);
	while (n < 6 && !cursor_at_end(c) && ascii_is_digit(*c->p)) {
		v = v * 10 + (*c->p++ - '0');
		n++;
	}
	*v_r = v;
	return n > 0;
}

static int64_t days_of(int year, int month, int day)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	int64_t y = year - 1;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + before[month - 1] + day - 1;

	if (month > 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		days++;
	return days - 719162;
}

/* RFC 5322 section 4.3: obsolete zones; what is unknown counts as UTC. */
static int take_zone(struct cursor *c)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = { { "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 }, { "MST", -7 }, { "MDT", -6 }, { "PST", -8 },
		      { "PDT", -7 } };
	int sign = 0, zone;

	mime_skip_cfws(c);
	if (cursor_take(c, '+'))
		sign = 1;
	else if (cursor_take(c, '-'))
		sign = -1;
	if (sign != 0 && take_int(c, &zone) && zone % 100 < 60 && zone < 2400)
		return sign * (zone / 100 * 3600 + zone % 100 * 60);
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		if (cursor_take_nocase(c, bytes_of(zones[i].name)))
			return zones[i].hours * 3600;
	}
	return 0;
}

bool mime_date(struct bytes body, int64_t *seconds_r, int64_t *local_days_r)
{
	struct cursor c = cursor_of(body);
	int day, month = 0, year, hour = 0, minute = 0, second = 0;
	size_t comma = bytes_find(body, ',');

	if (comma < body.n)
		c.p += comma + 1;
	if (!take_int(&c, &day))
		return false;
	mime_skip_cfws(&c);
	(void)cursor_take(&c, '-');
	for (int i = 0; i < 12 && month == 0; i++) {
		if (cursor_take_nocase(&c, bytes_of(months[i])))
			month = i + 1;
	}
	while (!cursor_at_end(&c) && ascii_is_alpha(*c.p))
		c.p++;
	(void)cursor_take(&c, '-');
	if (month == 0 || !take_int(&c, &year) || day < 1 || day > 31)
		return false;
	year += year < 50 ? 2000 : year < 1000 ? 1900 : 0;
	if (year > 9999)
		return false;
	if (take_int(&c, &hour) && cursor_take(&c, ':') && take_int(&c, &minute) && cursor_take(&c, ':'))
		(void)take_int(&c, &second);
	if (hour > 24 || minute > 60 || second > 61)
		return false;
	*local_days_r = days_of(year, month, day);
	*seconds_r = *local_days_r * 86400 + hour * 3600 + minute * 60 + second - take_zone(&c);
	return true;
}
