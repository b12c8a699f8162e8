/* fuzz.h - what the fuzz targets share: the entry point, a check that ends the process, and ways to cut up the input. */
#ifndef ROOST_TESTS_FUZZ_H
#define ROOST_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

/* Each target has this one function; libFuzzer or replay_main.c calls it with every input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input. */
#define FUZZ_CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

/* The first octet of *IN, 0 where there is none; the rest is left in *IN. */
static inline uint8_t fuzz_take_octet(struct bytes *in)
{
	uint8_t octet = in->n > 0 ? in->p[0] : 0;

	*in = bytes_from(*in, 1);
	return octet;
}

/* What stands before the next LF, without it; the rest is left in *IN. */
static inline struct bytes fuzz_take_line(struct bytes *in)
{
	size_t n = bytes_find(*in, '\n');
	struct bytes line = bytes_sub(*in, 0, n);

	*in = bytes_from(*in, n + 1);
	return line;
}

/* Look at every octet, so that a sanitizer sees a view of memory that is not there. */
static inline void fuzz_touch(struct bytes b)
{
	static volatile uint8_t sum;

	for (size_t i = 0; i < b.n; i++)
		sum = (uint8_t)(sum ^ b.p[i]);
}

/* How many octets arrive at a time, by an octet of the input: '0' and below all at once, then 1 to 15. */
static inline size_t fuzz_chunk(uint8_t octet)
{
	return octet <= '0' ? SIZE_MAX : (size_t)(octet - '0') % 15 + 1;
}

#endif
