/* imap_date.h - date-time and date of RFC 3501 section 9. Pure; the Gregorian calendar, years 1 to 9999. */
#ifndef ROOST_IMAP_DATE_H
#define ROOST_IMAP_DATE_H

#include "buffer.h"
#include "bytes.h"

/* Days since 1970-01-01. */
int64_t imap_days(int year, int month, int day);
/* Seconds since 1970 of "17-Jul-1996 02:44:25 -0700" (the day may be " 7"). False: not a date-time. */
bool imap_datetime_parse(struct bytes text, int64_t *seconds_r);
/* Append it quoted, in UTC: "17-Jul-1996 09:44:25 +0000". */
void imap_datetime_write(struct buffer *to, int64_t seconds);
/* Seconds since 1970 of "2006-11-09T08:00:00.5-08:00" (RFC 3339), fractions dropped. False: not such a time. */
bool imap_rfc3339_parse(struct bytes text, int64_t *seconds_r);
/* Days since 1970 of "1-Feb-1994", with or without quotes. False: not a date. */
bool imap_date_parse(struct bytes text, int64_t *days_r);

#endif
