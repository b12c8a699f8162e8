/* utf8.h - characters of UTF-8 (RFC 3629). Pure. */
#ifndef ROOST_BASE_UTF8_H
#define ROOST_BASE_UTF8_H

#include "buffer.h"
#include "bytes.h"

/* Octets of the valid character at the start of TEXT, which is not empty; 0: there is none. */
size_t utf8_valid(struct bytes text);
/* Octets of the character at the start of TEXT, which is not empty, as its first octet tells: 1 to 4, and no more than there are. What
 * goes on a character counts as one. */
size_t utf8_length(struct bytes text);
/* The number of the character in the N octets at the start of TEXT. */
uint32_t utf8_value(struct bytes text, size_t n);
/* Append one octet of Latin-1. */
void utf8_add_latin1(struct buffer *to, uint8_t c);

#endif
