/* inflater.c - raw DEFLATE to plain octets, by zlib's inflate(). */
#include "inflater.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "alloc.h"

struct inflater {
	z_stream z;
	bool is_over; /* the stream said that it ends */
	bool is_bad;
};

/* What zlib asks for is bounded by what inflater.h says: where even that is refused the process ends, as elsewhere. */
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

struct inflater *inflater_new(void)
{
	struct inflater *i = must_calloc(1, sizeof(*i));
	int rc;

	i->z.zalloc = take;
	i->z.zfree = give;
	rc = inflateInit2(&i->z, -15);
	assert(rc == Z_OK);
	return i;
}

void inflater_free(struct inflater **i)
{
	if (*i == NULL)
		return;
	(void)inflateEnd(&(*i)->z);
	free(*i);
	*i = NULL;
}

static enum inflate_result bad(struct inflater *i, const char *text, struct fault *why)
{
	i->is_bad = true;
	(void)fault_set(why, FAULT_CLIENT, "the peer's DEFLATE stream: %s", text);
	return INFLATE_BAD;
}

enum inflate_result inflater_step(struct inflater *i, struct bytes *in, uint8_t *to, size_t room, size_t *n_r,
                                  struct fault *why)
{
	uInt take_max = in->n > UINT_MAX ? UINT_MAX : (uInt)in->n;
	uInt room_max = room > UINT_MAX ? UINT_MAX : (uInt)room;
	int rc;

	assert(room > 0);
	*n_r = 0;
	if (i->is_bad)
		return bad(i, "broken before", why);
	if (!i->is_over) {
		/* zlib reads only; its pointer is not const where it is built as Debian builds it. */
		i->z.next_in = (Bytef *)(uintptr_t)in->p;
		i->z.avail_in = take_max;
		i->z.next_out = to;
		i->z.avail_out = room_max;
		rc = inflate(&i->z, Z_SYNC_FLUSH);
		*n_r = room_max - i->z.avail_out;
		*in = bytes_from(*in, take_max - i->z.avail_in);
		if (rc == Z_STREAM_END)
			i->is_over = true;
		else if (rc != Z_OK && rc != Z_BUF_ERROR)
			return bad(i, i->z.msg != NULL ? i->z.msg : "broken", why);
		else if (i->z.avail_out == 0 || in->n > 0)
			return INFLATE_FULL;
	}
	/* RFC 4978 knows no second stream behind the first. */
	return in->n > 0 ? bad(i, "octets behind its end", why) : INFLATE_MORE;
}
