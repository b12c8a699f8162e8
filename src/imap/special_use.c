/* special_use.c - one table for all directions. */
#include "special_use.h"

static const struct {
	const char *name;
	unsigned use;
} uses[] = {
	{ "\\Archive", SPECIAL_USE_ARCHIVE }, { "\\Drafts", SPECIAL_USE_DRAFTS }, { "\\Important", SPECIAL_USE_IMPORTANT },
	{ "\\Junk", SPECIAL_USE_JUNK },       { "\\Sent", SPECIAL_USE_SENT },     { "\\Trash", SPECIAL_USE_TRASH },
};
#define COUNT (sizeof(uses) / sizeof(uses[0]))

static unsigned use_of(struct bytes word)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (bytes_equal_nocase_str(word, uses[i].name))
			return uses[i].use;
	}
	return 0;
}

bool special_use_parse(struct bytes value, unsigned *uses_r)
{
	*uses_r = 0;
	for (value = bytes_trim(value); value.n > 0; value = bytes_trim(value)) {
		size_t n = bytes_find(value, ' ');
		unsigned use = use_of(bytes_sub(value, 0, n));

		if (use == 0)
			return false;
		*uses_r |= use;
		value = bytes_from(value, n);
	}
	return true;
}

void special_use_write(struct buffer *to, unsigned set)
{
	const char *before = "";

	for (size_t i = 0; i < COUNT; i++) {
		if ((set & uses[i].use) == 0)
			continue;
		buffer_add_str(to, before);
		buffer_add_str(to, uses[i].name);
		before = " ";
	}
}

void special_uses_add(struct special_uses *u, struct bytes internal, unsigned set)
{
	(void)map_put(&u->of, internal, (void *)(uintptr_t)(set + 1));
	u->set |= set;
}

void special_uses_fini(struct special_uses *u)
{
	map_fini(&u->of);
	*u = (struct special_uses){ 0 };
}

unsigned special_use_of(const struct special_uses *u, const struct names *n, struct bytes internal)
{
	const void *set = map_get(&u->of, internal);
	const char *name;

	if (set != NULL)
		return (unsigned)(uintptr_t)set - 1;
	name = u->is_whole ? NULL : names_special_use(n, internal);
	return name == NULL ? 0 : use_of(bytes_of(name)) & ~u->set;
}
