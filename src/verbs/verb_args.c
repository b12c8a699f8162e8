/* verb_args.c - reading what follows a verb. */
#include "verb_args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "log.h"
#include "verbs.h"

int verb_failed(const char *verb, const struct fault *why)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "roost %s: %s\n", verb, why->what);
	return 1;
}

static int usage_error(const char *verb, const char *usage)
{
	(void)fprintf(stderr, "usage: roost %s %s\n", verb, usage);
	return EXIT_USAGE;
}

/* The configuration file meant where none is named. */
static char *default_path(void)
{
	const char *home = getenv("HOME");

	if (home != NULL) {
		char *path = must_printf("%s/roost-murder/cli.conf", home);

		if (access(path, R_OK) == 0)
			return path;
		free(path);
	}
	return must_strdup("/etc/roost.conf");
}

static bool read_rate(const char *text, uint64_t *rate_r)
{
	struct bytes b = bytes_of(text);
	unsigned shift = 0;

	if (b.n > 0 && bytes_find(BYTES_LIT("KMG"), b.p[b.n - 1]) < 3) {
		shift = 10 * (unsigned)(bytes_find(BYTES_LIT("KMG"), b.p[b.n - 1]) + 1);
		b.n--;
	}
	if (!bytes_to_u64(b, UINT64_MAX >> 31, rate_r))
		return false;
	*rate_r <<= shift;
	return true;
}

/* Of undelete: the option at *I with its value. */
static bool take_undelete(struct verb_args *a, int argc, char **argv, int *i)
{
	bool is_since = strcmp(argv[*i], "--since") == 0, is_uid = strcmp(argv[*i], "--uid") == 0;

	if (strcmp(argv[*i], "--list") == 0)
		return a->is_list = true;
	if ((!is_since && !is_uid) || *i + 1 == argc)
		return false;
	++*i;
	if (is_since)
		a->since = argv[*i];
	else
		a->uids = argv[*i];
	return true;
}

/* Take ARGV apart; false: it is not what the verb takes. */
static bool take(struct verb_args *a, int argc, char **argv, unsigned takes, size_t most, char **path)
{
	for (int i = 1; i < argc; i++) {
		bool is_config = (takes & VERB_CONFIG) != 0 && strcmp(argv[i], "-C") == 0;
		bool is_murder = (takes & VERB_MURDER) != 0 && strcmp(argv[i], "--murder") == 0;

		if (is_config || is_murder) {
			if (++i == argc || *path != NULL)
				return false;
			*path = is_config ? must_strdup(argv[i]) : must_printf("%s/cli.conf", argv[i]);
		} else if ((takes & VERB_JSON) != 0 && strcmp(argv[i], "--json") == 0) {
			a->is_json = true;
		} else if ((takes & VERB_YES) != 0 && strcmp(argv[i], "--yes") == 0) {
			a->is_meant = true;
		} else if ((takes & VERB_RATE) != 0 && strcmp(argv[i], "--rate") == 0) {
			if (++i == argc || !read_rate(argv[i], &a->rate))
				return false;
			a->has_rate = true;
		} else if ((takes & VERB_VERIFY) != 0 && strcmp(argv[i], "--verify") == 0) {
			a->is_verify = true;
		} else if ((takes & VERB_FROM) != 0 && strcmp(argv[i], "--from") == 0) {
			if (++i == argc)
				return false;
			a->from = argv[i];
		} else if ((takes & VERB_FROM) != 0 && strcmp(argv[i], "--lsn") == 0) {
			if (++i == argc || !bytes_to_u64(bytes_of(argv[i]), UINT64_MAX, &a->lsn) || a->lsn == 0)
				return false;
		} else if ((takes & VERB_FROM) != 0 && strcmp(argv[i], "--exact") == 0) {
			a->is_exact = true;
		} else if ((takes & VERB_UNDELETE) != 0 && argv[i][0] == '-') {
			if (!take_undelete(a, argc, argv, &i))
				return false;
		} else if (argv[i][0] == '-' || a->count == most) {
			return false;
		} else {
			a->words[a->count++] = argv[i];
		}
	}
	return true;
}

int verb_args_read(struct verb_args *a, int argc, char **argv, unsigned takes, size_t least, size_t most,
                   const char *usage)
{
	char *path = NULL;
	struct fault why;

	*a = (struct verb_args){ .verb = argv[0] };
	log_set_level(LOG_ERROR); /* a verb speaks for itself */
	if (!take(a, argc, argv, takes, most, &path) || a->count < least) {
		free(path);
		return usage_error(argv[0], usage);
	}
	if (a->is_verify) {
		free(path);
		return 0;
	}
	if (path == NULL)
		path = default_path();
	a->config = config_read(path, &why);
	free(path);
	return a->config == NULL ? verb_failed(argv[0], &why) : 0;
}

void verb_args_fini(struct verb_args *a)
{
	config_free(&a->config);
}
