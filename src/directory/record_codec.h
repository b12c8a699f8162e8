/* record_codec.h - records and configurations to and from octets, as they are stored (docs/formats.md "Directory"). Pure. */
#ifndef ROOST_DIRECTORY_RECORD_CODEC_H
#define ROOST_DIRECTORY_RECORD_CODEC_H

#include "buffer.h"
#include "record.h"
#include "reign.h"

/* Append u8 state, then location and ACL, each a u32 length and octets. */
void record_encode(struct buffer *to, const struct record *record);
/* *record_r borrows from VALUE; false: damaged. */
bool record_decode(struct bytes value, struct record *record_r);

/* Append u64 epoch, then master and in-sync set, each a u32 length and octets. */
void reign_encode(struct buffer *to, const struct reign *reign);
bool reign_decode(struct bytes value, struct reign *reign_r);

#endif
