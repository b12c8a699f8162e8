/* imap_date.c - days by Howard Hinnant's algorithms, and the two forms that IMAP writes dates in. */
#include "imap_date.h"

#include "cursor.h"

static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* Howard Hinnant's "days from civil": eras of 400 years, years begin in March. */
int64_t imap_days(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t of_era = z - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;

	*day = (int)(of_year - (153 * m + 2) / 5 + 1);
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*year = (int)(y + era * 400 + (*month <= 2));
}

static bool take_int(struct cursor *c, size_t min, size_t max, int *v_r)
{
	size_t n = 0;
	int v = 0;

	while (n < max && !cursor_at_end(c) && ascii_is_digit(*c->p)) {
		v = v * 10 + (*c->p++ - '0');
		n++;
	}
	*v_r = v;
	return n >= min;
}

/* "1-Feb-1994" */
static bool take_date(struct cursor *c, int64_t *days_r)
{
	int day, month = 0, year;

	if (!take_int(c, 1, 2, &day) || !cursor_take(c, '-'))
		return false;
	for (int i = 0; i < 12 && month == 0; i++) {
		if (cursor_take_nocase(c, bytes_of(months[i])))
			month = i + 1;
	}
	if (month == 0 || !cursor_take(c, '-') || !take_int(c, 4, 4, &year) || year == 0)
		return false;
	*days_r = imap_days(year, month, day);
	/* The day must be one of that month. */
	return day >= 1 && day <= 31 && *days_r < imap_days(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1);
}

bool imap_datetime_parse(struct bytes text, int64_t *seconds_r)
{
	struct cursor c = cursor_of(text);
	int hour, minute, second, zone;
	int64_t days;
	bool is_east;

	(void)cursor_take(&c, ' ');
	if (!take_date(&c, &days) || !cursor_take(&c, ' ') || !take_int(&c, 2, 2, &hour) || !cursor_take(&c, ':') ||
	    !take_int(&c, 2, 2, &minute) || !cursor_take(&c, ':') || !take_int(&c, 2, 2, &second) || !cursor_take(&c, ' '))
		return false;
	is_east = cursor_take(&c, '+');
	if (!is_east && !cursor_take(&c, '-'))
		return false;
	if (!take_int(&c, 4, 4, &zone) || !cursor_at_end(&c) || hour > 23 || minute > 59 || second > 60 || zone % 100 > 59)
		return false;
	zone = (zone / 100 * 60 + zone % 100) * 60;
	*seconds_r = days * 86400 + hour * 3600 + minute * 60 + second - (is_east ? zone : -zone);
	return true;
}

/* Two digits, the first as FILL where it is 0. Answers hold many dates: no printf. */
static void add_two(struct buffer *to, int v, char fill)
{
	buffer_add_u8(to, (uint8_t)(v < 10 ? fill : '0' + v / 10));
	buffer_add_u8(to, (uint8_t)('0' + v % 10));
}

void imap_datetime_write(struct buffer *to, int64_t seconds)
{
	int64_t days = seconds >= 0 ? seconds / 86400 : -((86399 - seconds) / 86400);
	int64_t rest = seconds - days * 86400;
	int year, month, day;

	civil(days, &year, &month, &day);
	if (year < 1 || year > 9999) {
		civil(0, &year, &month, &day);
		rest = 0;
	}
	buffer_add_str(to, "\"");
	add_two(to, day, ' ');
	buffer_add_u8(to, '-');
	buffer_add_str(to, months[month - 1]);
	buffer_add_u8(to, '-');
	add_two(to, year / 100, '0');
	add_two(to, year % 100, '0');
	buffer_add_u8(to, ' ');
	add_two(to, (int)(rest / 3600), '0');
	buffer_add_u8(to, ':');
	add_two(to, (int)(rest / 60 % 60), '0');
	buffer_add_u8(to, ':');
	add_two(to, (int)(rest % 60), '0');
	buffer_add_str(to, " +0000\"");
}

bool imap_date_parse(struct bytes text, int64_t *days_r)
{
	struct cursor c;

	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = bytes_sub(text, 1, text.n - 2);
	c = cursor_of(text);
	return take_date(&c, days_r) && cursor_at_end(&c);
}

bool imap_rfc3339_parse(struct bytes text, int64_t *seconds_r)
{
	struct cursor c = cursor_of(text);
	int year, month, day, hour, minute, second, zone_hour = 0, zone_minute = 0, fraction;
	int64_t days;
	bool is_east = true;

	if (!take_int(&c, 4, 4, &year) || !cursor_take(&c, '-') || !take_int(&c, 2, 2, &month) || !cursor_take(&c, '-') ||
	    !take_int(&c, 2, 2, &day) || !cursor_take_nocase(&c, BYTES_LIT("T")) || !take_int(&c, 2, 2, &hour) || !cursor_take(&c, ':') ||
	    !take_int(&c, 2, 2, &minute) || !cursor_take(&c, ':') || !take_int(&c, 2, 2, &second))
		return false;
	if (cursor_take(&c, '.') && !take_int(&c, 1, 9, &fraction))
		return false;
	if (!cursor_take_nocase(&c, BYTES_LIT("Z"))) {
		is_east = cursor_take(&c, '+');
		if ((!is_east && !cursor_take(&c, '-')) || !take_int(&c, 2, 2, &zone_hour) || !cursor_take(&c, ':') ||
		    !take_int(&c, 2, 2, &zone_minute))
			return false;
	}
	if (!cursor_at_end(&c) || year < 1 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 60 || zone_hour > 23 ||
	    zone_minute > 59)
		return false;
	days = imap_days(year, month, day);
	if (day < 1 || days >= imap_days(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1))
		return false;
	zone_minute = (zone_hour * 60 + zone_minute) * 60;
	*seconds_r = days * 86400 + hour * 3600 + minute * 60 + second - (is_east ? zone_minute : -zone_minute);
	return true;
}
