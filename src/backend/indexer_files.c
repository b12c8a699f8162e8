/* indexer_files.c - the index's files, SEARCH/NUMBER.db: one that is written, and that or the one before it is asked.
 *
 * A file that is made anew gets the next number, so that whoever still reads the old one, whose name is gone, and SQLite, which knows
 * its log by its name, are not in each other's way. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"
#include "indexer_private.h"
#include "log.h"

#define REQUEST "anew"
#define RETRY_MS 2000

static const char *const endings[] = { "", "-wal", "-shm" };
#define ENDINGS (sizeof(endings) / sizeof(endings[0]))

static char *path_of(const struct indexer *ix, uint64_t number)
{
	return must_printf("%s/%" PRIu64 ".db", ix->dir, number);
}

static void remove_file(const struct indexer *ix, uint64_t number)
{
	for (size_t i = 0; i < ENDINGS; i++) {
		char *path = must_printf("%s/%" PRIu64 ".db%s", ix->dir, number, endings[i]);

		(void)unlink(path);
		free(path);
	}
}

/* Remove all but NUMBER; the highest one that there is. */
static uint64_t tidy(const struct indexer *ix, uint64_t number, bool only_look)
{
	DIR *d = opendir(ix->dir);
	uint64_t highest = 0, n;
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		struct bytes name = bytes_of(e->d_name);

		if (!bytes_to_u64(bytes_sub(name, 0, bytes_find(name, '.')), INT64_MAX, &n))
			continue;
		highest = n > highest ? n : highest;
		if (!only_look && n != number)
			remove_file(ix, n);
	}
	if (d != NULL)
		(void)closedir(d);
	return highest;
}

uint64_t files_octets(const struct indexer *ix)
{
	uint64_t octets = 0;

	for (size_t i = 0; i < ENDINGS; i++) {
		char *path = must_printf("%s/%" PRIu64 ".db%s", ix->dir, ix->number, endings[i]);
		struct stat st;

		octets += stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
		free(path);
	}
	return octets;
}

bool files_take_request(struct indexer *ix)
{
	char *path = must_printf("%s/" REQUEST, ix->dir);
	bool is_there = unlink(path) == 0;

	free(path);
	return is_there;
}

static void drop_readers(struct indexer *ix)
{
	for (size_t i = 0; i < READERS_KEPT; i++)
		fulltext_reader_close(&ix->idle[i]);
}

/* With the lock. */
static void serve(struct indexer *ix, uint64_t number)
{
	if (ix->serving != number)
		drop_readers(ix);
	ix->serving = number;
}

static void opened(struct indexer *ix, bool keeps_serving)
{
	(void)pthread_mutex_lock(&ix->history);
	ix->lsn = fulltext_fact(ix->text, FULLTEXT_LSN);
	ix->epoch = fulltext_fact(ix->text, FULLTEXT_EPOCH);
	(void)pthread_mutex_unlock(&ix->history);
	(void)pthread_mutex_lock(&ix->lock);
	ix->wants_scan = true;
	if (!keeps_serving)
		serve(ix, ix->number);
	(void)pthread_mutex_unlock(&ix->lock);
	ix->began_ns = clock_mono_ns();
	atomic_store(&ix->texts, fulltext_texts(ix->text));
	atomic_store(&ix->octets, files_octets(ix));
}

static void open_new(struct indexer *ix, bool keeps_serving)
{
	struct fault why;
	enum fulltext_result result;
	char *path;

	ix->number = tidy(ix, 0, true) + 1;
	path = path_of(ix, ix->number);
	result = file_make_dirs(ix->dir, 0700, &why) ? fulltext_open(path, &ix->text, &why) : FULLTEXT_FAILED;
	free(path);
	if (result == FULLTEXT_OK) {
		opened(ix, keeps_serving);
		return;
	}
	remove_file(ix, ix->number);
	files_failed(ix, result, &why);
}

void files_open(struct indexer *ix)
{
	struct fault why;
	enum fulltext_result result;
	char *path;

	ix->number = tidy(ix, 0, true);
	if (ix->number == 0) {
		open_new(ix, false);
		return;
	}
	path = path_of(ix, ix->number);
	result = fulltext_open(path, &ix->text, &why);
	free(path);
	if (result == FULLTEXT_DAMAGED) {
		log_event(LOG_WARNING, "search.index.damaged", LOG_FAULT(&why));
		(void)atomic_fetch_add(&ix->failures, 1);
		files_begin_anew(ix, false);
		return;
	}
	if (result != FULLTEXT_OK) {
		files_failed(ix, result, &why);
		return;
	}
	(void)tidy(ix, ix->number, false);
	opened(ix, false);
	log_event(LOG_INFO, "search.index.opened", LOG_STR("dir", ix->dir), LOG_U64("texts", fulltext_texts(ix->text)),
	          LOG_U64("lsn", ix->lsn));
}

void files_begin_anew(struct indexer *ix, bool keeps_serving)
{
	uint64_t serving;

	(void)pthread_mutex_lock(&ix->lock);
	ix->wants_anew = ANEW_NOT;
	if (!keeps_serving)
		serve(ix, 0);
	serving = ix->serving;
	(void)pthread_mutex_unlock(&ix->lock);
	log_event(LOG_INFO, "search.index.anew", LOG_STR("dir", ix->dir), LOG_U64("texts", atomic_load(&ix->texts)));
	(void)atomic_fetch_add(&ix->anews, 1);
	fulltext_close(&ix->text);
	atomic_store(&ix->through, 0);
	/* The next number first: the names of what is removed are not used again while it may be open. */
	open_new(ix, keeps_serving && serving != 0);
	if (serving == 0)
		(void)tidy(ix, ix->number, false);
}

void files_serve(struct indexer *ix)
{
	(void)pthread_mutex_lock(&ix->lock);
	serve(ix, ix->number);
	(void)pthread_mutex_unlock(&ix->lock);
	(void)tidy(ix, ix->number, false);
}

void files_close(struct indexer *ix)
{
	drop_readers(ix);
	fulltext_close(&ix->text);
}

void files_failed(struct indexer *ix, enum fulltext_result result, const struct fault *why)
{
	(void)atomic_fetch_add(&ix->failures, 1);
	ix->not_before_ms = clock_mono_ms() + RETRY_MS;
	if (result == FULLTEXT_DAMAGED) {
		log_event(LOG_WARNING, "search.index.damaged", LOG_FAULT(why));
		(void)pthread_mutex_lock(&ix->lock);
		ix->wants_anew = ANEW_DAMAGED;
		(void)pthread_mutex_unlock(&ix->lock);
		return;
	}
	(void)pthread_mutex_lock(&ix->lock);
	ix->wants_scan = true; /* of what the batch had */
	(void)pthread_mutex_unlock(&ix->lock);
	atomic_store(&ix->state, result == FULLTEXT_NO_SPACE ? INDEXER_FULL : INDEXER_FAILED);
	if (result == FULLTEXT_NO_SPACE && ix->told != INDEXER_FULL)
		log_event(LOG_WARNING, "search.index.full", LOG_FAULT(why));
	else if (result != FULLTEXT_NO_SPACE && ix->told != INDEXER_FAILED)
		log_event(LOG_WARNING, "search.index.failed", LOG_FAULT(why));
	ix->told = result == FULLTEXT_NO_SPACE ? INDEXER_FULL : INDEXER_FAILED;
}

/* Asking: any thread. */

static struct fulltext_reader *take_reader(struct indexer *ix, uint64_t *number_r)
{
	struct fulltext_reader *r = NULL;

	(void)pthread_mutex_lock(&ix->lock);
	*number_r = ix->serving;
	for (size_t i = 0; ix->serving != 0 && r == NULL && i < READERS_KEPT; i++) {
		r = ix->idle[i];
		ix->idle[i] = NULL;
	}
	(void)pthread_mutex_unlock(&ix->lock);
	return r;
}

static void give_back(struct indexer *ix, struct fulltext_reader *r, uint64_t number)
{
	(void)pthread_mutex_lock(&ix->lock);
	for (size_t i = 0; r != NULL && number == ix->serving && i < READERS_KEPT; i++) {
		if (ix->idle[i] == NULL) {
			ix->idle[i] = r;
			r = NULL;
		}
	}
	(void)pthread_mutex_unlock(&ix->lock);
	fulltext_reader_close(&r);
}

static enum fulltext_result ask(struct fulltext_reader *r, mailbox_id_t mailbox, struct indexer_key *keys, size_t count, size_t limit,
                                uint32_t *next_r, struct fault *why)
{
	struct fulltext_mailbox m;
	enum fulltext_result result = fulltext_read_begin(r, mailbox, &m, why);

	for (size_t i = 0; result == FULLTEXT_OK && m.next > 1 && i < count; i++) {
		result = fulltext_find(r, m.scope, keys[i].kinds, keys[i].key, limit, &keys[i].hits, why);
		keys[i].is_known = result == FULLTEXT_OK && !keys[i].hits.is_over;
	}
	fulltext_read_end(r);
	*next_r = result == FULLTEXT_OK ? m.next : 0;
	return result;
}

static bool exists(const struct indexer *ix, uint64_t number)
{
	char *path = path_of(ix, number);
	bool is_there = access(path, F_OK) == 0;

	free(path);
	return is_there;
}

/* File NUMBER could not be asked; IS_USELESS: nor will it be. */
static void ask_failed(struct indexer *ix, uint64_t number, bool is_useless, const struct fault *why)
{
	(void)atomic_fetch_add(&ix->failures, 1);
	if (!is_useless) {
		log_event(LOG_WARNING, "search.index.failed", LOG_FAULT(why));
		return;
	}
	(void)pthread_mutex_lock(&ix->lock);
	/* Not where it has been replaced meanwhile. */
	is_useless = number == ix->serving;
	if (is_useless) {
		serve(ix, 0);
		ix->wants_anew = ANEW_DAMAGED;
		(void)pthread_cond_signal(&ix->wake);
	}
	(void)pthread_mutex_unlock(&ix->lock);
	if (is_useless)
		log_event(LOG_WARNING, "search.index.damaged", LOG_FAULT(why));
}

void indexer_ask(struct indexer *ix, mailbox_id_t mailbox, struct indexer_key *keys, size_t count, size_t limit, uint32_t *next_r)
{
	uint64_t number;
	struct fulltext_reader *r = take_reader(ix, &number);
	enum fulltext_result result = FULLTEXT_OK;
	struct fault why;

	*next_r = 0;
	if (number == 0)
		return;
	(void)atomic_fetch_add(&ix->asked, 1);
	if (r == NULL) {
		char *path = path_of(ix, number);

		result = fulltext_reader_open(path, &r, &why);
		free(path);
	}
	if (result == FULLTEXT_OK)
		result = ask(r, mailbox, keys, count, limit, next_r, &why);
	if (result == FULLTEXT_OK) {
		(void)atomic_fetch_add(&ix->answered, *next_r > 0);
		give_back(ix, r, number);
		return;
	}
	fulltext_reader_close(&r);
	ask_failed(ix, number, result == FULLTEXT_DAMAGED || !exists(ix, number), &why);
}
