/* conn_queue.c - output that waits: small pieces are gathered in one block, large ones have one each, and lent ones none. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "conn_private.h"

#define PIECE_CAP 4096

void out_add(struct out_queue *q, struct bytes b)
{
	struct out_piece *last = q->last;

	if (b.n == 0)
		return;
	q->n += b.n;
	if (last != NULL && last->cap > 0) {
		size_t used = (size_t)(last->left.p - last->data) + last->left.n;

		if (b.n <= last->cap - used) {
			memcpy(last->data + used, b.p, b.n);
			last->left.n += b.n;
			return;
		}
	}
	{
		size_t cap = b.n > PIECE_CAP ? b.n : q->first == NULL && b.n < 256 ? 512 : PIECE_CAP;
		struct out_piece *piece = must_alloc(sizeof(*piece) + cap);

		*piece = (struct out_piece){ .cap = cap };
		memcpy(piece->data, b.p, b.n);
		piece->left = bytes_make(piece->data, b.n);
		if (last == NULL)
			q->first = piece;
		else
			last->next = piece;
		q->last = piece;
	}
}

void out_add_lent(struct out_queue *q, struct bytes b, loop_fn *release, void *arg)
{
	struct out_piece *piece = must_calloc(1, sizeof(*piece));

	piece->left = b;
	piece->release = release;
	piece->arg = arg;
	if (q->last == NULL)
		q->first = piece;
	else
		q->last->next = piece;
	q->last = piece;
	q->n += b.n;
}

void out_drop(struct out_queue *q, size_t n)
{
	assert(n <= q->n);
	q->n -= n;
	while (q->first != NULL && n >= q->first->left.n) {
		struct out_piece *piece = q->first;

		n -= piece->left.n;
		q->first = piece->next;
		if (q->first == NULL)
			q->last = NULL;
		if (piece->release != NULL)
			piece->release(piece->arg);
		free(piece);
	}
	if (n > 0)
		q->first->left = bytes_from(q->first->left, n);
}
