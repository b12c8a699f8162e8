/* fuzz_kv_check.c - an LMDB file with octets changed. Input: u16 page, u16 offset, u8 value, and so on.
 *
 * What is opened as sound LMDB can read and change without tripping, and holds as many entries as it says. To trip ends the
 * process by _exit(), which libFuzzer does not see: the input is then left in the directory, as "input". */
#include <fcntl.h>
#include <unistd.h>

#include "alloc.h"
#include "buffer.h"
#include "cursor.h"
#include "file.h"
#include "fuzz.h"
#include "kv.h"
#include "log.h"

#define PAGE 4096
#define MAP (4u << 20)
#define CHANGES_MAX 64

static const char *const tables[] = { "one", "two", "none" };
static struct buffer whole;
static char *dir, *path, *kept;

static struct kv *open_it(bool must)
{
	struct fault why;
	struct kv *kv = kv_open(dir, MAP, tables, 3, true, false, &why);

	FUZZ_CHECK(kv != NULL || !must);
	FUZZ_CHECK(kv != NULL || bytes_search(bytes_of(why.what), bytes_of(path)) < bytes_of(why.what).n);
	return kv;
}

static void put(struct kv_txn *t, size_t table, int i, size_t n)
{
	struct buffer value = { 0 };
	char *key = must_printf("user.name%d", i);

	buffer_add(&value, bytes_of(key));
	while (value.n < n)
		buffer_add_u8(&value, (uint8_t)value.n);
	FUZZ_CHECK(kv_put(t, table, bytes_of(key), buffer_bytes(&value)) == KV_OK);
	buffer_fini(&value);
	free(key);
}

static void clean_up(void)
{
	static const char *const names[] = { "data.mdb", "lock.mdb", "reserve", "input" };

	for (size_t i = 0; i < 4; i++) {
		char *name = must_printf("%s/%s", dir, names[i]);

		(void)unlink(name);
		free(name);
	}
	(void)rmdir(dir);
	free(path);
	free(kept);
	free(dir);
	buffer_fini(&whole);
}

static void make(void)
{
	struct fault why;
	struct kv *kv;

	/* Where a sync costs nothing. */
	dir = must_printf("%s/roost-fuzz-kv.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_CHECK(mkdtemp(dir) != NULL);
	(void)atexit(clean_up);
	path = must_printf("%s/data.mdb", dir);
	kept = must_printf("%s/input", dir);
	kv = open_it(true);
	for (int round = 0; round < 3; round++) {
		struct kv_txn *t = kv_write(kv, &why);

		for (int i = round; i < 120; i += round + 1) {
			put(t, 0, i, 30 + (size_t)(round * 60));
			if (i % 30 == 0)
				put(t, 1, i, 3000 + (size_t)(i * 40));
			if (round == 2 && i % 4 == 0)
				(void)kv_del(t, 0, BYTES_LIT("user.name20"));
		}
		FUZZ_CHECK(kv_commit(&t, &why));
	}
	kv_close(&kv);
	FUZZ_CHECK(file_read_all(path, 1u << 24, &whole, NULL, &why));
	log_set_level(LOG_ERROR);
}

static void walk(struct kv_txn *t, size_t table)
{
	struct bytes key, value;
	struct kv_cursor *c = kv_seek(t, table, BYTES_NONE, &key, &value);
	size_t count = 0;

	for (bool has = c != NULL; has; has = kv_next(c, &key, &value)) {
		fuzz_touch(key);
		fuzz_touch(value);
		count++;
	}
	kv_cursor_end(&c);
	FUZZ_CHECK(!kv_has_failed(t) && count == kv_count(t, table));
}

static void use(struct kv *kv)
{
	struct fault why;
	struct kv_txn *t = kv_read(kv, &why);

	FUZZ_CHECK(t != NULL);
	for (size_t i = 0; i < 3; i++)
		walk(t, i);
	kv_end(&t);
	t = kv_write(kv, &why);
	FUZZ_CHECK(t != NULL);
	for (int i = 0; i < 120; i += 7) {
		char *key = must_printf("user.name%d", i);

		put(t, 0, i + 1, 200);
		put(t, 2, i + 1, 9000);
		FUZZ_CHECK(kv_del(t, 0, bytes_of(key)) <= KV_NOT_FOUND && kv_del(t, 1, bytes_of(key)) <= KV_NOT_FOUND);
		free(key);
	}
	FUZZ_CHECK(kv_commit(&t, &why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(bytes_make(data, size));
	uint32_t at;
	uint8_t octet;
	struct kv *kv;
	int fd;

	if (whole.n == 0)
		make();
	fd = open(kept, O_RDWR | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)close(fd);
	fd = open(path, O_RDWR | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, whole.p, whole.n) == (ssize_t)whole.n);
	for (int i = 0; i < CHANGES_MAX && cursor_u32le(&in, &at) && cursor_u8(&in, &octet); i++) {
		off_t offset = (off_t)((at >> 16) % (whole.n / PAGE)) * PAGE + (off_t)(at & 0xffff) % PAGE;

		/* The map's size in a head is what an operator has set: a wrong one is no damage. */
		if (offset < 2 * PAGE && offset % PAGE >= 32 && offset % PAGE < 40)
			continue;
		FUZZ_CHECK(pwrite(fd, &octet, 1, offset) == 1);
	}
	(void)close(fd);
	kv = open_it(false);
	if (kv != NULL)
		use(kv);
	kv_close(&kv);
	return 0;
}
