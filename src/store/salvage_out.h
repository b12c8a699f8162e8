/* salvage_out.h - shared by the files that write salvage/ (docs/formats.md, "Salvage"). */
#ifndef ROOST_STORE_SALVAGE_OUT_H
#define ROOST_STORE_SALVAGE_OUT_H

#include "salvage_file.h"

#define SALVAGE_HEADER 64

/* A file that is being written under another name. */
struct salvage_out {
	int fd;
	const char *dir;
	char *path, *fresh;
	off_t at;
	struct buffer b;
	bool ok;
	struct fault *why;
};

/* The path of a file of that kind (".items"); freed by the caller. */
char *salvage_out_path(const char *dir, struct salvage_name name, const char *extension);
/* Begin one. What fails is kept, in o->ok and WHY, until it is closed; DIR and WHY are borrowed until then. */
void salvage_out_open(struct salvage_out *o, const char *dir, struct salvage_name name, const char *extension, struct fault *why);
void salvage_out_add(struct salvage_out *o, struct bytes b);
/* Zeros up to a multiple of 8. */
void salvage_out_pad(struct salvage_out *o);
/* Sync it, and give it its name; false with WHY: it is not there. */
bool salvage_out_close(struct salvage_out *o);

/* Append the header that all kinds have. */
void salvage_out_header(struct buffer *b, const char *magic, struct salvage_name name, lsn_t last, uint64_t count);
/* Read it from the beginning of ALL. False with WHY, which names PATH. */
bool salvage_out_read_header(struct bytes all, const char *magic, struct salvage_name name, const char *path, lsn_t *last_r,
                             uint64_t *count_r, struct fault *why);
/* At least SALVAGE_HEADER octets, for munmap(). False with WHY: it cannot be mapped, or is shorter. */
bool salvage_out_map(const char *path, const uint8_t **map_r, size_t *size_r, struct fault *why);
/* One that is not there is removed already. */
bool salvage_out_remove(const char *dir, struct salvage_name name, const char *extension, struct fault *why);

#endif
