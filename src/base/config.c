/* config.c - reads a file line by line against the table of keys: each value is checked when it is read, so that
 * asking for it later cannot fail. The nearest known key for a misspelt one is that of the least edit distance. */
#include "config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "arena.h"
#include "file.h"

#define CONFIG_MAX_SIZE (1024 * 1024)

struct setting {
	struct setting *next; /* in the file's order */
	const struct config_key *key;
	const char *name; /* as written, lower-cased but for a family's own part */
	const char *value;
	unsigned line;
};

struct config {
	struct arena arena; /* holds all below */
	const char *path;
	struct setting *first;
	struct setting **last;
};

static bool is_family(const struct config_key *key)
{
	return key->name[strlen(key->name) - 1] == '-';
}

static const struct config_key *key_of(struct bytes name)
{
	for (const struct config_key *k = config_keys; k->name != NULL; k++) {
		struct bytes known = bytes_of(k->name);

		if (is_family(k) ? name.n > known.n && bytes_starts_nocase(name, known) : bytes_equal_nocase(name, known))
			return k;
	}
	return NULL;
}

/* Levenshtein distance of two short words; long ones are far from everything. */
static size_t distance(struct bytes a, struct bytes b)
{
	size_t row[64];

	if (a.n >= 64 || b.n >= 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t cost = diagonal + (ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1]));

			diagonal = row[j];
			if (row[j] + 1 < cost)
				cost = row[j] + 1;
			if (row[j - 1] + 1 < cost)
				cost = row[j - 1] + 1;
			row[j] = cost;
		}
	}
	return row[b.n];
}

static const char *nearest(struct bytes name)
{
	const char *best = NULL;
	size_t least = SIZE_MAX;

	for (const struct config_key *k = config_keys; k->name != NULL; k++) {
		size_t d = distance(name, bytes_of(k->name));

		if (d < least) {
			least = d;
			best = k->name;
		}
	}
	return best;
}

static bool next_word(struct bytes *in, struct bytes *word_r)
{
	size_t n = 0;

	*in = bytes_trim(*in);
	while (n < in->n && in->p[n] != ' ' && in->p[n] != '\t')
		n++;
	*word_r = bytes_sub(*in, 0, n);
	*in = bytes_from(*in, n);
	return n > 0;
}

static bool parse_number(struct bytes text, const struct config_key *key, uint64_t *v_r)
{
	uint64_t unit = 1;
	uint64_t v;

	if (text.n > 0) {
		uint8_t last = ascii_lower(text.p[text.n - 1]);

		unit = last == 'k' ? 1u << 10 : last == 'm' ? 1u << 20 : last == 'g' ? 1u << 30 : 1;
		if (unit > 1)
			text.n--;
	}
	if (!bytes_to_u64(text, UINT64_MAX / unit, &v))
		return false;
	*v_r = v * unit;
	return *v_r >= key->min && *v_r <= key->max;
}

static bool parse_switch(struct bytes text, bool *v_r)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (bytes_equal_nocase_str(text, words[i])) {
			*v_r = i % 2 == 1;
			return true;
		}
	}
	return false;
}

static bool is_choice(struct bytes text, const char *choices)
{
	struct bytes rest = bytes_of(choices);
	struct bytes word;

	while (next_word(&rest, &word)) {
		if (bytes_equal_nocase(word, text))
			return true;
	}
	return false;
}

static bool check_value(const struct config_key *key, struct bytes value, struct fault *why)
{
	uint64_t number;
	bool is_on;

	switch (key->type) {
	case CONFIG_STRING:
	case CONFIG_WORDS:
		return true;
	case CONFIG_NUMBER:
		if (parse_number(value, key, &number))
			return true;
		return fault_set(why, FAULT_OPERATOR, "wants a number from %llu to %llu, not \"%.*s\"",
		                 (unsigned long long)key->min, (unsigned long long)key->max, BYTES_FMT(value));
	case CONFIG_SWITCH:
		return parse_switch(value, &is_on) ||
		       fault_set(why, FAULT_OPERATOR, "wants yes or no, not \"%.*s\"", BYTES_FMT(value));
	case CONFIG_CHOICE:
		return is_choice(value, key->choices) ||
		       fault_set(why, FAULT_OPERATOR, "wants one of: %s; not \"%.*s\"", key->choices, BYTES_FMT(value));
	}
	return false;
}

static struct setting *find(const struct config *c, const char *name)
{
	for (struct setting *s = c->first; s != NULL; s = s->next) {
		if (bytes_equal_nocase_str(bytes_of(s->name), name))
			return s;
	}
	return NULL;
}

static bool parse_line(struct config *c, struct bytes line, unsigned number, struct fault *why)
{
	size_t colon = bytes_find(line, ':');
	struct bytes name = bytes_trim(bytes_sub(line, 0, colon));
	struct bytes value = bytes_trim(bytes_from(line, colon + 1));
	const struct config_key *key;
	struct setting *s;

	line = bytes_trim(line);
	if (line.n == 0 || line.p[0] == '#')
		return true;
	if (bytes_find(line, '\0') < line.n)
		return fault_set(why, FAULT_OPERATOR, "holds a NUL octet");
	if (bytes_find(line, ':') == line.n)
		return fault_set(why, FAULT_OPERATOR, "is not \"key: value\": \"%.*s\"", BYTES_FMT(bytes_sub(line, 0, 80)));
	key = key_of(name);
	if (key == NULL)
		return fault_set(why, FAULT_OPERATOR, "unknown key \"%.*s\"; the nearest known one is \"%s\"",
		                 BYTES_FMT(bytes_sub(name, 0, 80)), nearest(name));
	if (!check_value(key, value, why))
		return fault_context(why, "%.*s", BYTES_FMT(name));
	s = arena_zalloc(&c->arena, sizeof(*s));
	s->key = key;
	s->name = arena_str(&c->arena, name);
	s->value = arena_str(&c->arena, value);
	s->line = number;
	if (find(c, s->name) != NULL)
		return fault_set(why, FAULT_OPERATOR, "%s: already set in line %u", s->name, find(c, s->name)->line);
	*c->last = s;
	c->last = &s->next;
	return true;
}

struct config *config_parse(struct bytes text, const char *path, struct fault *why)
{
	struct config *c = must_calloc(1, sizeof(*c));

	c->path = arena_str(&c->arena, bytes_of(path));
	c->last = &c->first;
	for (unsigned line = 1; text.n > 0; line++) {
		size_t n = bytes_find(text, '\n');

		if (!parse_line(c, bytes_sub(text, 0, n), line, why)) {
			(void)fault_context(why, "%s: line %u", path, line);
			config_free(&c);
			return NULL;
		}
		text = bytes_from(text, n + 1);
	}
	return c;
}

struct config *config_read(const char *path, struct fault *why)
{
	struct buffer text = { 0 };
	struct config *c = NULL;

	if (file_read_all(path, CONFIG_MAX_SIZE, &text, NULL, why))
		c = config_parse(buffer_bytes(&text), path, why);
	buffer_fini(&text);
	return c;
}

void config_free(struct config **c)
{
	if (*c == NULL)
		return;
	arena_fini(&(*c)->arena);
	free(*c);
	*c = NULL;
}

const char *config_path(const struct config *c)
{
	return c->path;
}

bool config_is_set(const struct config *c, const char *key)
{
	return find(c, key) != NULL;
}

/* The value as text, or NULL; checks that the table knows KEY as TYPE. */
static const char *value_of(const struct config *c, const char *key, enum config_type type)
{
	const struct config_key *k = key_of(bytes_of(key));
	const struct setting *s = find(c, key);

	assert(k != NULL && (k->type == type || (type == CONFIG_STRING && k->type == CONFIG_CHOICE)));
	return s != NULL ? s->value : k->preset;
}

const char *config_string(const struct config *c, const char *key)
{
	return value_of(c, key, CONFIG_STRING);
}

uint64_t config_number(const struct config *c, const char *key)
{
	const char *text = value_of(c, key, CONFIG_NUMBER);
	uint64_t v = 0;

	if (text != NULL) {
		bool ok = parse_number(bytes_of(text), key_of(bytes_of(key)), &v);

		assert(ok);
	}
	return v;
}

bool config_switch(const struct config *c, const char *key)
{
	const char *text = value_of(c, key, CONFIG_SWITCH);
	bool is_on = false;

	if (text != NULL) {
		bool ok = parse_switch(bytes_of(text), &is_on);

		assert(ok);
	}
	return is_on;
}

bool config_word(const struct config *c, const char *key, size_t i, struct bytes *word_r)
{
	struct bytes rest = bytes_of(value_of(c, key, CONFIG_WORDS));

	while (next_word(&rest, word_r)) {
		if (i-- == 0)
			return true;
	}
	return false;
}

bool config_has_word(const struct config *c, const char *key, struct bytes word)
{
	struct bytes w;

	for (size_t i = 0; config_word(c, key, i, &w); i++) {
		if (bytes_equal(w, word))
			return true;
	}
	return false;
}

bool config_family(const struct config *c, const char *family, size_t i, const char **name_r, const char **value_r)
{
	for (const struct setting *s = c->first; s != NULL; s = s->next) {
		if (strcmp(s->key->name, family) != 0 || i-- > 0)
			continue;
		*name_r = s->name + strlen(family);
		*value_r = s->value;
		return true;
	}
	return false;
}

bool config_fault(const struct config *c, const char *key, struct fault *why, const char *fmt, ...)
{
	const struct setting *s = find(c, key);
	char text[FAULT_WHAT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s == NULL)
		return fault_set(why, FAULT_OPERATOR, "%s: %s: %s", c->path, key, text);
	return fault_set(why, FAULT_OPERATOR, "%s: line %u: %s: %s", c->path, s->line, key, text);
}
