/* salvage_suffix.c - entries put aside, and read again. */
#include "salvage_file.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "file.h"
#include "salvage_out.h"

#define MAGIC_SUFFIX "ROOSTSX1"

bool salvage_suffix_write(const char *dir, struct salvage_name name, struct journal *j, lsn_t last, struct fault *why)
{
	struct buffer header = { 0 };
	struct salvage_out o;

	salvage_out_open(&o, dir, name, ".suffix", why);
	salvage_out_header(&header, MAGIC_SUFFIX, name, last, last - name.first + 1);
	salvage_out_add(&o, buffer_bytes(&header));
	buffer_fini(&header);
	for (lsn_t lsn = name.first; o.ok && lsn <= last; lsn++) {
		struct arena a = { 0 };
		struct bytes head, body;
		struct entry e;

		/* What the disk has spoilt is found now, while the journal is all there. */
		o.ok = journal_find(j, lsn, &head, &body, why) && (entry_read(head, body, true, &a, &e, why) ||
		                                                   fault_context(why, "%s", j->dir));
		arena_fini(&a);
		if (!o.ok)
			break;
		salvage_out_add(&o, head);
		salvage_out_add(&o, body);
		salvage_out_pad(&o);
	}
	return salvage_out_close(&o);
}

bool salvage_suffix_open(const char *dir, struct salvage_name name, struct salvage_suffix *x, struct fault *why)
{
	char *path = salvage_out_path(dir, name, ".suffix");
	uint64_t count;
	bool ok;

	*x = (struct salvage_suffix){ .name = name };
	ok = salvage_out_map(path, &x->map, &x->size, why) &&
	     salvage_out_read_header(bytes_make(x->map, x->size), MAGIC_SUFFIX, name, path, &x->last, &count, why);
	free(path);
	if (!ok)
		salvage_suffix_close(x);
	return ok;
}

void salvage_suffix_close(struct salvage_suffix *x)
{
	if (x->map != NULL)
		(void)munmap((void *)(uintptr_t)x->map, x->size);
	*x = (struct salvage_suffix){ 0 };
}

bool salvage_suffix_next(const struct salvage_suffix *x, size_t *at, struct arena *a, struct entry *e_r, bool *is_over_r,
                         struct fault *why)
{
	struct entry_header h;
	struct bytes rest;

	if (*at == 0)
		*at = SALVAGE_HEADER;
	rest = bytes_from(bytes_make(x->map, x->size), *at);
	*is_over_r = rest.n == 0;
	if (rest.n == 0)
		return false;
	if (!entry_header_read(rest, &h) || (uint64_t)h.head_size + h.body_size > rest.n)
		return fault_set(why, FAULT_OPERATOR, "a suffix in salvage/ is damaged at %zu", *at);
	*at += (size_t)journal_padded((uint64_t)h.head_size + h.body_size);
	return entry_read(bytes_sub(rest, 0, h.head_size), bytes_sub(rest, h.head_size, h.body_size), true, a, e_r, why);
}

bool salvage_suffix_remove(const char *dir, struct salvage_name name, struct fault *why)
{
	return salvage_out_remove(dir, name, ".suffix", why) && file_sync_dir(dir, why);
}
