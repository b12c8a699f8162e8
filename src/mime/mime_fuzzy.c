/* mime_fuzzy.c - matching a string more or less (RFC 6203): its words in any order, each as it stands, as the beginning or a part of a
 * word, or with errors.
 *
 * A word is a run of ASCII letters, digits, and whatever is not ASCII. Accents are left out of both sides. Each word of the string has to be
 * somewhere in what is looked at; the best place counts:
 *
 *	100  a word
 *	 90  the beginning of one
 *	 75  a part of one
 *	 60  the beginning of one, or all of it, but for one error, of a word of four characters or more
 *	 40  but for two, of eight or more
 *
 * An error is a character that is missing, too many, or another one; the first one has to be right, else short words would be like any
 * other. The score is the mean over the words; a string without any word is looked for as it stands. */
#include <string.h>

#include "mime_private.h"
#include "utf8.h"

#define WORDS_MAX 32
/* Characters of a word that may have errors. */
#define LETTERS_MAX 64
/* What is kept of the memory that a text took. */
#define KEEP_BUFFER (1u << 20)

enum { SCORE_WORD = 100, SCORE_BEGINNING = 90, SCORE_PART = 75, SCORE_ONE_ERROR = 60, SCORE_TWO_ERRORS = 40 };

struct fuzzy_word {
	struct bytes text;
	uint32_t *letters; /* its characters; none if they are more than LETTERS_MAX */
	size_t count;
	size_t errors; /* that it may have */
	unsigned score; /* of the message at hand */
};

struct mime_fuzzy {
	struct bytes key; /* without accents */
	struct fuzzy_word *words; /* one at least, for the score */
	size_t count;
	struct buffer text; /* being looked at; freed with the arena */
};

static bool is_letter(uint8_t c)
{
	return c >= 0x80 || ascii_is_alnum(c);
}

static size_t word_length(struct bytes text)
{
	size_t n = 0;

	while (n < text.n && is_letter(text.p[n]))
		n++;
	return n;
}

/* The character at the start of TEXT, which is UTF-8, and how many octets it has. */
static uint32_t letter(struct bytes text, size_t *n_r)
{
	*n_r = utf8_length(text);
	return utf8_value(text, *n_r);
}

/* Append TEXT, in lower case, without combining marks (U+0300 to U+036F: CC 80 to CD AF). */
static void add_plain(struct buffer *to, struct bytes text)
{
	uint8_t *out = buffer_reserve(to, text.n);
	size_t n = 0;

	if (bytes_is_ascii(text)) {
		bytes_lower(out, text);
		to->n += text.n;
		return;
	}
	for (size_t i = 0; i < text.n; i++) {
		if (i + 1 < text.n && (text.p[i] == 0xcc || (text.p[i] == 0xcd && text.p[i + 1] <= 0xaf)))
			i++;
		else
			out[n++] = ascii_lower(text.p[i]);
	}
	to->n += n;
}

static void add_word(struct mime_fuzzy *f, struct arena *a, struct bytes text)
{
	struct fuzzy_word *w = &f->words[f->count++];
	uint32_t letters[LETTERS_MAX];
	size_t n;

	w->text = text;
	for (size_t at = 0; at < text.n; at += n) {
		if (w->count == LETTERS_MAX) {
			w->count = 0;
			return;
		}
		letters[w->count++] = letter(bytes_from(text, at), &n);
	}
	w->errors = w->count >= 8 ? 2 : w->count >= 4 ? 1 : 0;
	w->letters = arena_array(a, w->count, sizeof(*w->letters));
	memcpy(w->letters, letters, w->count * sizeof(*letters));
}

/* The next word of REST, which then stands behind it. False: there is none. */
static bool next_word(struct bytes *rest, struct bytes *word_r)
{
	while (rest->n > 0) {
		size_t n = word_length(*rest);

		*word_r = bytes_sub(*rest, 0, n);
		*rest = bytes_from(*rest, n > 0 ? n : 1);
		if (n > 0)
			return true;
	}
	return false;
}

static void free_text(void *arg)
{
	buffer_fini(arg);
}

struct mime_fuzzy *mime_fuzzy_new(struct arena *a, struct bytes key)
{
	struct mime_fuzzy *f = arena_zalloc(a, sizeof(*f));
	struct bytes rest, word;
	size_t count = 0;

	arena_on_free(a, free_text, &f->text);
	add_plain(&f->text, key);
	f->key = arena_copy(a, buffer_bytes(&f->text));
	buffer_fini(&f->text);
	for (rest = f->key; count < WORDS_MAX && next_word(&rest, &word);)
		count++;
	f->words = arena_array(a, count > 0 ? count : 1, sizeof(*f->words));
	for (rest = f->key; f->count < count && next_word(&rest, &word);)
		add_word(f, a, word);
	return f;
}

/* How many errors W needs to be the beginning of TEXT, a word; more than it may have: W->errors + 1. By rows of the usual table, of
 * which only the diagonals that can matter are looked at. */
static size_t errors_in(const struct fuzzy_word *w, struct bytes text)
{
	size_t above[LETTERS_MAX + 1], here[LETTERS_MAX + 1] = { 0 }, m = w->count, k = w->errors, best = k + 1, n;

	for (size_t j = 0; j <= m; j++)
		above[j] = j;
	for (size_t i = 1; text.n > 0 && i <= m + k; i++) {
		uint32_t c = letter(text, &n);
		size_t least = k + 1, from = i > k ? i - k : 1, to = i + k < m ? i + k : m;

		text = bytes_from(text, n);
		here[from - 1] = from == 1 ? i : k + 1;
		for (size_t j = from; j <= to; j++) {
			size_t v = above[j - 1] + (w->letters[j - 1] != c);

			if (j < i + k && above[j] + 1 < v)
				v = above[j] + 1;
			if (here[j - 1] + 1 < v)
				v = here[j - 1] + 1;
			here[j] = v;
			least = v < least ? v : least;
		}
		if (to == m && here[m] < best)
			best = here[m];
		if (least > k)
			break;
		memcpy(above, here, sizeof(above));
	}
	return best;
}

static void note(struct fuzzy_word *w, unsigned score)
{
	w->score = score > w->score ? score : w->score;
}

/* TEXT is plain. */
static void look_for_word(struct fuzzy_word *w, struct bytes text)
{
	if (w->score < SCORE_PART && bytes_search(text, w->text) < text.n)
		note(w, SCORE_PART);
	for (size_t at = 0; at < text.n && w->score < SCORE_WORD;) {
		struct bytes word = bytes_sub(text, at, word_length(bytes_from(text, at)));
		size_t errors;

		at += word.n + 1;
		if (word.n == 0 || word.p[0] != w->text.p[0])
			continue;
		if (bytes_starts(word, w->text)) {
			note(w, word.n == w->text.n ? SCORE_WORD : SCORE_BEGINNING);
		} else if (w->errors > 0 && w->score < SCORE_ONE_ERROR) {
			errors = errors_in(w, word);
			if (errors <= w->errors)
				note(w, errors <= 1 ? SCORE_ONE_ERROR : SCORE_TWO_ERRORS);
		}
	}
}

/* mime_text_fn. */
static bool look(void *arg, struct bytes text, unsigned what)
{
	struct mime_fuzzy *f = arg;
	bool is_over = true;

	(void)what;
	buffer_clear(&f->text);
	add_plain(&f->text, text);
	for (size_t i = 0; i < f->count; i++) {
		look_for_word(&f->words[i], buffer_bytes(&f->text));
		is_over = is_over && f->words[i].score == SCORE_WORD;
	}
	if (f->count > 0)
		return is_over;
	f->words[0].score = f->key.n == 0 || bytes_search(buffer_bytes(&f->text), f->key) < f->text.n ? SCORE_WORD : 0;
	return f->words[0].score > 0;
}

static size_t words_of(const struct mime_fuzzy *f)
{
	return f->count > 0 ? f->count : 1;
}

static void begin(struct mime_fuzzy *f)
{
	for (size_t i = 0; i < words_of(f); i++)
		f->words[i].score = 0;
}

/* The mean, 0 if any word is missing. */
static unsigned end(struct mime_fuzzy *f)
{
	unsigned sum = 0;

	if (f->text.cap > KEEP_BUFFER)
		buffer_fini(&f->text);
	for (size_t i = 0; i < words_of(f); i++) {
		if (f->words[i].score == 0)
			return 0;
		sum += f->words[i].score;
	}
	return sum / (unsigned)words_of(f);
}

unsigned mime_fuzzy_header(struct mime_fuzzy *f, struct bytes header, struct bytes name)
{
	unsigned best = 0, score;

	for (struct bytes field, body; mime_next_field(&header, &field, &body);) {
		if (!bytes_equal_nocase(field, name))
			continue;
		begin(f);
		(void)mime_field_text(body, look, f);
		score = end(f);
		best = score > best ? score : best;
	}
	return best;
}

unsigned mime_fuzzy_text(struct mime_fuzzy *f, struct bytes message, const struct mime_limits *limits, bool with_headers)
{
	begin(f);
	(void)mime_each_text(message, limits, with_headers, look, f);
	return end(f);
}
