/* fulltext_vfs.c - SQLite's file layer with a hash at the end of each page of a database.
 *
 * SQLite keeps eight octets of each page free for this (reserved octets, in the database's header). They are filled in as a page is
 * written to the database and compared as it is read from there; the hash is seeded with the page's place, so that a page that was
 * written elsewhere is found, too. What does not fit is SQLITE_IOERR_DATA. Frames of the write-ahead log have checksums of SQLite's
 * own. Memory mapping is not offered, as it would go round this; so would reading parts of pages, which some builds of SQLite do with
 * rows that go on over several (SQLITE_DIRECT_OVERFLOW_READ): we do not say that it may, and those that do not ask are given what
 * was compared. */
#include <pthread.h>
#include <string.h>
#include <xxhash.h>

#include "fulltext_private.h"

#define NAME "roost-fulltext"
#define HASH 8
/* Not in the headers of older ones. */
#ifndef SQLITE_IOCAP_SUBPAGE_READ
#define SQLITE_IOCAP_SUBPAGE_READ 0x00008000
#endif

struct file {
	sqlite3_file base;
	bool is_database;
	/* Behind it the file of the layer below. */
};

static sqlite3_vfs layer;
static sqlite3_vfs *below;
static const char *registered;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static sqlite3_file *under(sqlite3_file *f)
{
	return (sqlite3_file *)((struct file *)f + 1);
}

static bool is_page(const sqlite3_file *f, int n, sqlite3_int64 off)
{
	return ((const struct file *)f)->is_database && n == FULLTEXT_PAGE && off % FULLTEXT_PAGE == 0;
}

static uint64_t hash_of(const void *page, sqlite3_int64 off)
{
	return XXH3_64bits_withSeed(page, FULLTEXT_PAGE - HASH, (uint64_t)off + 1);
}

static int file_close(sqlite3_file *f)
{
	return under(f)->pMethods->xClose(under(f));
}

static int read_page(sqlite3_file *f, void *to, int n, sqlite3_int64 off)
{
	int rc = under(f)->pMethods->xRead(under(f), to, n, off);
	uint64_t hash;

	if (rc != SQLITE_OK || !is_page(f, n, off))
		return rc;
	hash = hash_of(to, off);
	return memcmp((const uint8_t *)to + FULLTEXT_PAGE - HASH, &hash, HASH) == 0 ? SQLITE_OK : SQLITE_IOERR_DATA;
}

static int file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 off)
{
	uint8_t page[FULLTEXT_PAGE];
	int rc;

	/* A page as far as it is SQLite's. The header alone, which is read before the size of pages is known, is shorter. */
	if (!is_page(f, n + HASH, off))
		return read_page(f, to, n, off);
	rc = read_page(f, page, FULLTEXT_PAGE, off);
	if (rc == SQLITE_OK)
		memcpy(to, page, (size_t)n);
	return rc;
}

static int file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 off)
{
	uint8_t page[FULLTEXT_PAGE];
	uint64_t hash;

	if (!is_page(f, n, off))
		return under(f)->pMethods->xWrite(under(f), from, n, off);
	memcpy(page, from, FULLTEXT_PAGE);
	hash = hash_of(page, off);
	memcpy(page + FULLTEXT_PAGE - HASH, &hash, HASH);
	return under(f)->pMethods->xWrite(under(f), page, n, off);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return under(f)->pMethods->xTruncate(under(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
	return under(f)->pMethods->xSync(under(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return under(f)->pMethods->xFileSize(under(f), size);
}

static int file_lock(sqlite3_file *f, int lock)
{
	return under(f)->pMethods->xLock(under(f), lock);
}

static int file_unlock(sqlite3_file *f, int lock)
{
	return under(f)->pMethods->xUnlock(under(f), lock);
}

static int file_check_reserved_lock(sqlite3_file *f, int *is_held)
{
	return under(f)->pMethods->xCheckReservedLock(under(f), is_held);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	return under(f)->pMethods->xFileControl(under(f), op, arg);
}

static int file_sector_size(sqlite3_file *f)
{
	return under(f)->pMethods->xSectorSize(under(f));
}

static int file_characteristics(sqlite3_file *f)
{
	return under(f)->pMethods->xDeviceCharacteristics(under(f)) & ~SQLITE_IOCAP_SUBPAGE_READ;
}

static int file_shm_map(sqlite3_file *f, int region, int size, int is_extended, void volatile **p)
{
	return under(f)->pMethods->xShmMap(under(f), region, size, is_extended, p);
}

static int file_shm_lock(sqlite3_file *f, int off, int n, int flags)
{
	return under(f)->pMethods->xShmLock(under(f), off, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
	under(f)->pMethods->xShmBarrier(under(f));
}

static int file_shm_unmap(sqlite3_file *f, int is_deleted)
{
	return under(f)->pMethods->xShmUnmap(under(f), is_deleted);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no mapping */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_reserved_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};

static int layer_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *flags_r)
{
	struct file *file = (struct file *)f;
	int rc;

	memset(file, 0, sizeof(*file));
	rc = below->xOpen(below, path, under(f), flags, flags_r);
	if (rc != SQLITE_OK)
		return rc;
	file->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
	file->base.pMethods = &methods;
	return SQLITE_OK;
}

static void register_layer(void)
{
	/* Built without its locks, SQLite cannot be used by several threads at all. */
	below = sqlite3_threadsafe() == 0 ? NULL : sqlite3_vfs_find("unix");
	if (below == NULL)
		return;
	layer = *below;
	layer.pNext = NULL;
	layer.zName = NAME;
	layer.szOsFile = (int)sizeof(struct file) + below->szOsFile;
	layer.xOpen = layer_open;
	if (sqlite3_vfs_register(&layer, 0) == SQLITE_OK)
		registered = NAME;
}

const char *fulltext_vfs(void)
{
	(void)pthread_once(&once, register_layer);
	return registered;
}
