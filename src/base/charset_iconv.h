/* charset_iconv.h - text of the charsets that iconv knows as UTF-8. Any thread; what each keeps open for the next time ends with it. */
#ifndef ROOST_BASE_CHARSET_ICONV_H
#define ROOST_BASE_CHARSET_ICONV_H

#include "buffer.h"
#include "bytes.h"

/* Append IN of CHARSET, whatever name mail gives it, to TO: what is broken as Latin-1. It may be not quite UTF-8, as iconv takes code
 * points for characters that are none. False: iconv knows no such charset; nothing is appended. */
bool charset_iconv(struct bytes charset, struct bytes in, struct buffer *to);
bool charset_iconv_knows(struct bytes charset);

#endif
