/* file.h - checked file I/O: every function does all of its work or says why not. They block: not for a loop's thread,
 * except at start. Faults name the path and are FAULT_OPERATOR. */
#ifndef ROOST_BASE_FILE_H
#define ROOST_BASE_FILE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "buffer.h"
#include "fault.h"

/* Open PATH; O_CLOEXEC is added. Returns the descriptor, or -1 with WHY set. */
int file_open(const char *path, int flags, mode_t mode, struct fault *why);
/* Close and set to -1; an error of close() is logged by nobody: data that matters was synced before. */
void file_close(int *fd);
/* Exactly N octets from OFF. False with WHY set also where the file is shorter. PATH is for the message. */
bool file_pread(int fd, void *to, size_t n, off_t off, const char *path, struct fault *why);
/* All of the vector at OFF, going on after short writes. V is used up. *written_r octets were written even on failure. */
bool file_pwritev(int fd, struct iovec *v, int count, off_t off, const char *path, size_t *written_r, struct fault *why);
bool file_datasync(int fd, const char *path, struct fault *why);
/* Sync a directory, after creating, renaming or removing an entry in it. */
bool file_sync_dir(const char *dir, struct fault *why);
/* Replace PATH so that a crash leaves either the old or the new content: write beside it, sync, rename, sync the
 * directory. MODE is that of the new file. */
bool file_replace(const char *path, struct bytes content, mode_t mode, struct fault *why);
/* Append the whole file to B; over LIMIT octets is a fault. *errno_r (NULL allowed) tells ENOENT apart; 0 if other. */
bool file_read_all(const char *path, size_t limit, struct buffer *b, int *errno_r, struct fault *why);
/* Create DIR (and its parents) with MODE where missing; their names are durable then. */
bool file_make_dirs(const char *dir, mode_t mode, struct fault *why);

#endif
