/* store_restored.c - the mark "restored" of a partition that was made from a backup: what clients were told after the last entry that
 * it has is not known. So the EPOCH entry of the first reign from there on gives all mailboxes UIDVALIDITYs of which that is not so,
 * and clients forget what they have seen of them. It is one entry: a member that follows that reign has both or neither.
 *
 * The mark holds the last LSN that was restored. With any entry beyond that it says nothing any more: somebody has begun a reign from
 * there, this member or one that it follows, which went by its own. What is left of the file is removed at an opening.
 *
 * BUGS: mailboxes made after the backup have taken UIDVALIDITYs too; where they were more than UIDVALIDITY_AHEAD, and more than there
 * were seconds since, one of these may be given again, to another mailbox unless two have had one name. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "log.h"
#include "store_private.h"

static char *mark_path(const char *dir)
{
	return must_printf("%s/restored", dir);
}

bool store_mark_restored(const char *dir, lsn_t lsn, struct fault *why)
{
	char *path = mark_path(dir);
	bool ok = store_write_lsn(path, lsn, why);

	free(path);
	return ok;
}

bool store_unmark_restored(const char *dir, struct fault *why)
{
	char *path = mark_path(dir);
	bool ok = unlink(path) == 0 || errno == ENOENT || fault_errno(why, FAULT_OPERATOR, errno, "%s: cannot be removed", path);

	free(path);
	return ok;
}

bool store_read_restored(struct store *s, struct fault *why)
{
	char *path = mark_path(s->dir);
	bool ok = store_read_lsn(path, &s->restored, why);

	free(path);
	/* Applied is committed: it is never cut off in the face of a reign that has it not. */
	if (ok && s->restored != 0 && store_applied_lsn(s) > s->restored) {
		s->restored = 0;
		return store_unmark_restored(s->dir, why);
	}
	return ok;
}

bool store_must_renew(const struct store *s)
{
	return s->restored != 0 && s->journal.last <= s->restored;
}
