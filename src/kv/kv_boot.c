/* kv_boot.c - the boot id is Linux's own, and another after every start. */
#include "kv_boot.h"

#include "file.h"

static void boot_id(struct buffer *b)
{
	if (!file_read_all("/proc/sys/kernel/random/boot_id", 256, b, NULL, NULL))
		buffer_add_str(b, "unknown");
}

bool kv_boot_mark(const char *path, bool is_clean, struct fault *why)
{
	struct buffer b = { 0 };
	bool ok;

	if (is_clean)
		buffer_add_str(&b, "clean");
	else
		boot_id(&b);
	ok = file_replace(path, buffer_bytes(&b), 0600, why);
	buffer_fini(&b);
	return ok;
}

bool kv_boot_is_sound(const char *path)
{
	struct buffer was = { 0 }, is = { 0 };
	bool ok = file_read_all(path, 256, &was, NULL, NULL);

	boot_id(&is);
	ok = ok && (bytes_equal(buffer_bytes(&was), buffer_bytes(&is)) || bytes_equal_str(buffer_bytes(&was), "clean"));
	buffer_fini(&was);
	buffer_fini(&is);
	return ok;
}
