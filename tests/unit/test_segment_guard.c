/* A page of a segment that cannot be read ends the process by a line that names it; other SIGBUS are as they were. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "journal.h"
#include "log.h"

#define SIZE (SEGMENT_HEADER + 65536)

static char dir[96], path[128], said_path[128];

static int make(void **state)
{
	struct buffer header = { 0 };
	int fd;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/roost-test-guard-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
	log_set_level(LOG_ERROR);
	(void)snprintf(path, sizeof(path), "%s/0000000000000001.seg", dir);
	(void)snprintf(said_path, sizeof(said_path), "%s/said", dir);
	segment_header_write(&header, NULL, 0, 1, 0, 0, 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, header.p, header.n) == (ssize_t)header.n && ftruncate(fd, SIZE) == 0);
	(void)close(fd);
	buffer_fini(&header);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)unlink(said_path);
	return rmdir(dir);
}

/* READ a page of the segment that is not there, or of another file, in a process of its own. Its status, and what it said. */
static int read_page(bool of_segment, struct buffer *said)
{
	struct fault why;
	int status;
	pid_t child;

	assert_int_equal(truncate(path, SIZE), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int fd = open(said_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		struct segment *s;
		const volatile uint8_t *at;

		/* What the test's own framework, or a sanitizer, does about it is not wanted. */
		(void)signal(SIGBUS, SIG_DFL);
		s = segment_open(path, false, &why);
		if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || s == NULL || ftruncate(s->fd, SEGMENT_HEADER) != 0)
			_exit(2);
		at = of_segment ? s->map + SEGMENT_HEADER + 4096 : mmap(NULL, 1u << 20, PROT_READ, MAP_SHARED, fd, 0);
		if (!of_segment && at == MAP_FAILED)
			_exit(2);
		_exit(at[of_segment ? 5 : 65536] == 0 ? 3 : 4);
	}
	assert_true(waitpid(child, &status, 0) == child);
	if (!file_read_all(said_path, 65536, said, NULL, &why))
		fail_msg("%s", why.what);
	buffer_add_u8(said, 0);
	return status;
}

static void who_reads_it_ends_by_a_line_that_names_it(void **state)
{
	struct buffer said = { 0 };
	int status = read_page(true, &said);

	(void)state;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || strstr((const char *)said.p, "store.segment.unreadable") == NULL ||
	    strstr((const char *)said.p, path) == NULL || strstr((const char *)said.p, "offset=20485") == NULL)
		fail_msg("status %x: %s", (unsigned)status, (const char *)said.p);
	buffer_fini(&said);
}

static void another_files_page_is_none_of_it(void **state)
{
	struct buffer said = { 0 };
	int status = read_page(false, &said);

	(void)state;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS || strstr((const char *)said.p, "store.segment") != NULL)
		fail_msg("status %x: %s", (unsigned)status, (const char *)said.p);
	buffer_fini(&said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_files_page_is_none_of_it),
		cmocka_unit_test(who_reads_it_ends_by_a_line_that_names_it),
	};

	return cmocka_run_group_tests(tests, make, clean_up);
}
