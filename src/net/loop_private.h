/* loop_private.h - what connections and listeners need of a loop; for net/ only. */
#ifndef ROOST_NET_LOOP_PRIVATE_H
#define ROOST_NET_LOOP_PRIVATE_H

#include <uv.h>

#include "list.h"
#include "loop.h"

#define LOOP_SCRATCH_SIZE (128 * 1024)
#define LOOP_PACKED_SIZE (64 * 1024) /* of it, for what has to be made clear before its owner sees it */

uv_loop_t *loop_uv(struct loop *l);
/* Memory of LOOP_SCRATCH_SIZE octets that a read may use until its callback returns. */
uint8_t *loop_scratch(struct loop *l);
/* The one deflater of the loop's connections, made when first asked for. */
struct deflater *loop_deflater(struct loop *l);
/* The heads to which a connection adds itself when it has output to flush, or wants on_input again. Call loop_wake()
 * after adding. */
struct list *loop_dirty(struct loop *l);
struct list *loop_kicked(struct loop *l);
void loop_wake(struct loop *l);
/* Set by conn.c: what a turn does with the members of the two lists. */
void loop_set_turn(struct loop *l, void (*flush)(struct list *m), void (*kick)(struct list *m));

#endif
