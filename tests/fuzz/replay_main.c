/* replay_main.c - runs a fuzz target without libFuzzer: once with every file of the directories (or each file) given. A
 * directory that is missing or empty is an error, so that a corpus does not get lost unnoticed. */
#include <dirent.h>
#include <sys/stat.h>

#include "buffer.h"
#include "file.h"
#include "fuzz.h"

static int run_file(const char *path)
{
	struct buffer content = { 0 };
	struct fault why;
	uint8_t *exact;

	if (!file_read_all(path, 1u << 24, &content, NULL, &why)) {
		fprintf(stderr, "%s\n", why.what);
		return 1;
	}
	/* Exactly as long as the input, so that a sanitizer sees a read behind its end. */
	exact = malloc(content.n > 0 ? content.n : 1);
	if (exact == NULL)
		abort();
	if (content.n > 0)
		memcpy(exact, content.p, content.n);
	(void)LLVMFuzzerTestOneInput(exact, content.n);
	free(exact);
	buffer_fini(&content);
	return 0;
}

static int no_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int run_dir(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, no_dots, alphasort);
	int failed = n <= 0;

	if (failed)
		fprintf(stderr, "%s: no inputs\n", dir);
	for (int i = 0; i < n; i++) {
		char path[4096];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		failed |= run_file(path);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	printf("%s: %d inputs\n", dir, n);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISREG(st.st_mode))
			failed |= run_file(argv[i]);
		else
			failed |= run_dir(argv[i]);
	}
	return failed;
}
