/* fulltext_private.h - shared by the files of fulltext/. */
#ifndef ROOST_FULLTEXT_PRIVATE_H
#define ROOST_FULLTEXT_PRIVATE_H

#include <sqlite3.h>

#include "fulltext.h"

#define FULLTEXT_APPLICATION 0x52544658 /* "RTFX", PRAGMA application_id */
#define FULLTEXT_FORMAT 1               /* PRAGMA user_version */
#define FULLTEXT_PAGE 4096

/* What every string finds: stands in texts that are not whole. No text that was folded has a control character thrice by chance
 * more often than it matters. */
#define FULLTEXT_UNKNOWN "\001\001\001"

/* Bodies are numbered within their scope: its number in the upper half of the row's. Of the two texts, that of the header has the row of
 * the body, the other one has the bit between the two set: so all texts of a scope and kind are one range of rows. */
#define FULLTEXT_ROW(scope, n) ((int64_t)(scope) << 32 | (int64_t)(n))
#define FULLTEXT_BODY_BIT 0x80000000u
#define FULLTEXT_NUMBER_MAX 0x7fffffffu
#define FULLTEXT_SCOPE_MAX 0x7fffffffu

/* Open a connection through the file layer that checks each page. MAY_WRITE: made where missing. NULL with WHY and *result_r. */
sqlite3 *fulltext_connect(const char *path, bool may_write, enum fulltext_result *result_r, struct fault *why);
/* What RC of DB means, with WHY set; OK where it is no failure. */
enum fulltext_result fulltext_result_of(sqlite3 *db, int rc, struct fault *why);
/* fulltext_vfs.c: the layer's name; registered at the first call. NULL: it cannot be. */
const char *fulltext_vfs(void);

#endif
