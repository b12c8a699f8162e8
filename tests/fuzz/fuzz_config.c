/* fuzz_config.c - the configuration file: whatever it holds, every key can then be asked for as its type. */
#include "config.h"
#include "fuzz.h"

static void ask(const struct config *c, const struct config_key *key)
{
	struct bytes word;

	switch (key->type) {
	case CONFIG_STRING:
	case CONFIG_CHOICE:
		fuzz_touch(bytes_of(config_string(c, key->name)));
		break;
	case CONFIG_WORDS:
		for (size_t i = 0; config_word(c, key->name, i, &word); i++) {
			FUZZ_CHECK(word.n > 0);
			FUZZ_CHECK(config_has_word(c, key->name, word));
		}
		break;
	case CONFIG_NUMBER:
		if (config_is_set(c, key->name)) {
			FUZZ_CHECK(config_number(c, key->name) >= key->min);
			FUZZ_CHECK(config_number(c, key->name) <= key->max);
		}
		break;
	case CONFIG_SWITCH:
		(void)config_switch(c, key->name);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault why = { 0 };
	struct config *c = config_parse(bytes_make(data, size), "file", &why);
	const char *name, *value;

	if (c == NULL) {
		FUZZ_CHECK(why.kind == FAULT_OPERATOR);
		FUZZ_CHECK(strncmp(why.what, "file: line ", 11) == 0);
		return 0;
	}
	for (const struct config_key *k = config_keys; k->name != NULL; k++) {
		if (k->name[strlen(k->name) - 1] != '-') {
			ask(c, k);
			continue;
		}
		for (size_t i = 0; config_family(c, k->name, i, &name, &value); i++) {
			FUZZ_CHECK(name[0] != '\0');
			fuzz_touch(bytes_of(value));
		}
	}
	config_free(&c);
	return 0;
}
