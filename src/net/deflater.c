/* deflater.c - plain octets to raw DEFLATE, by zlib's deflate(). */
#include "deflater.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "alloc.h"

/* MUPDATE records repeat what stands just before them: level 1 finds nearly all of it, at more than twice the speed of
 * the default level, and while one batch is compressed all other sessions of the loop wait. */
#define LEVEL 1
#define WINDOW_BITS (-15)
#define MEM_LEVEL 8
#define OUT_SIZE (16 * 1024)

struct deflater {
	z_stream z;
	bool is_empty; /* nothing was added to the batch */
	uint8_t out[OUT_SIZE];
};

/* Two fixed sizes per loop: where they are refused the process ends, as elsewhere. */
static voidpf take(voidpf opaque, uInt items, uInt size)
{
	(void)opaque;
	return must_alloc((size_t)items * size);
}

static void give(voidpf opaque, voidpf p)
{
	(void)opaque;
	free(p);
}

struct deflater *deflater_new(void)
{
	struct deflater *d = must_calloc(1, sizeof(*d));
	int rc;

	d->z.zalloc = take;
	d->z.zfree = give;
	d->is_empty = true;
	rc = deflateInit2(&d->z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY);
	assert(rc == Z_OK);
	return d;
}

void deflater_free(struct deflater **d)
{
	if (*d == NULL)
		return;
	(void)deflateEnd(&(*d)->z); /* Z_DATA_ERROR only says that no stream was ended */
	free(*d);
	*d = NULL;
}

void deflater_begin(struct deflater *d)
{
	int rc = deflateReset(&d->z);

	assert(rc == Z_OK);
	d->is_empty = true;
}

static void run(struct deflater *d, int flush, deflater_sink_fn *sink, void *arg)
{
	do {
		size_t n;
		int rc;

		d->z.next_out = d->out;
		d->z.avail_out = sizeof(d->out);
		rc = deflate(&d->z, flush);
		assert(rc == Z_OK || rc == Z_BUF_ERROR); /* the latter: there was nothing left to do */
		n = sizeof(d->out) - d->z.avail_out;
		if (n > 0)
			sink(arg, bytes_make(d->out, n));
	} while (d->z.avail_out == 0);
	assert(d->z.avail_in == 0);
}

void deflater_add(struct deflater *d, struct bytes b, deflater_sink_fn *sink, void *arg)
{
	while (b.n > 0) {
		uInt n = b.n > UINT_MAX ? UINT_MAX : (uInt)b.n;

		d->is_empty = false;
		d->z.next_in = (Bytef *)(uintptr_t)b.p;
		d->z.avail_in = n;
		run(d, Z_NO_FLUSH, sink, arg);
		b = bytes_from(b, n);
	}
}

void deflater_end(struct deflater *d, deflater_sink_fn *sink, void *arg)
{
	if (!d->is_empty)
		run(d, Z_SYNC_FLUSH, sink, arg);
	d->is_empty = true;
}
