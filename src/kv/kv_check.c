/* kv_check.c - whether a file is as LMDB writes it: all pages in use are there, carry their own numbers and kinds, hold
 * what they say in its order, and are as many as is said. It is read as a file, before LMDB, which trusts its pages, sees
 * it. The layout is that of LMDB 0.9 on 64-bit little-endian machines:
 *
 *   page      u64 number, u16 unused, u16 flags, u16 lower, u16 upper (of an overflow's first: u32 pages), u16 nodes[]
 *   node      u16 low, u16 high, u16 flags, u16 key length, key, value; low and high: the value's length, in a branch
 *             the child's number, whose highest part is in the flags
 *   database  u32 page size, u16 flags, u16 depth, u64 branches, leaves, overflow pages, entries, root
 *   head      page 0 or 1, the newer counts: u32 magic, u32 version, u64 address, u64 map size, databases of free pages
 *             and of tables, u64 last page, u64 transaction
 *
 * BUGS: octets of a key or a value that are others than were written are not noticed. */
#include "kv_private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE_HEAD 16u
#define PAGE_BRANCH 1
#define PAGE_LEAF 2
#define PAGE_OVERFLOW 4
#define NODE_HEAD 8u
#define NODE_BIG 1
#define NODE_TABLE 2
#define DATABASE_SIZE 48u
#define HEAD_SIZE 152u
/* Of a database: which kind of keys and values it has. */
#define FLAGS_KIND 0x7e
#define FLAGS_NUMBERS 8
#define MAGIC 0xbeefc0de
#define VERSION 1
#define DEPTH_MAX 32
#define NO_PAGE UINT64_MAX

struct database {
	uint32_t page_size;
	uint16_t flags, depth;
	uint64_t branches, leaves, overflows, entries, root;
};

struct check {
	const uint8_t *p;
	uint64_t length; /* of the file */
	uint64_t page_size, last_page;
	const char *problem; /* the first, NULL while there is none */
	bool is_cut;         /* it is that the file is too short */

	/* Of the tree being walked. */
	const struct database *tree;
	bool is_free; /* it is that of free pages */
	uint64_t branches, leaves, overflows, entries;
	struct bytes last_key;
};

static uint16_t u16_at(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool bad(struct check *c, const char *problem)
{
	if (c->problem == NULL)
		c->problem = problem;
	return false;
}

static struct database database_at(const uint8_t *p)
{
	return (struct database){ u32_at(p),      u16_at(p + 4),  u16_at(p + 6),  u64_at(p + 8),
		                  u64_at(p + 16), u64_at(p + 24), u64_at(p + 32), u64_at(p + 40) };
}

/* Pages NUMBER to NUMBER + COUNT - 1, the first of which carries its number and KIND. */
static const uint8_t *pages(struct check *c, uint64_t number, uint64_t count, uint16_t kind)
{
	const uint8_t *page;

	if (number < 2 || number > c->last_page || count - 1 > c->last_page - number) {
		(void)bad(c, "is damaged: a page leads to one that cannot be");
		return NULL;
	}
	if (c->length / c->page_size < number + count) {
		c->is_cut = c->problem == NULL;
		(void)bad(c, "was cut short");
		return NULL;
	}
	page = c->p + number * c->page_size;
	if (u64_at(page) != number || u16_at(page + 10) != kind) {
		(void)bad(c, "is damaged: a page is another, or of another kind");
		return NULL;
	}
	return page;
}

/* A list of free pages: u64 count, then their numbers, the highest first. */
static bool check_free(struct check *c, struct bytes value)
{
	uint64_t count = value.n < 8 || value.n % 8 != 0 ? NO_PAGE : u64_at(value.p), last = NO_PAGE;

	if (count != value.n / 8 - 1)
		return bad(c, "is damaged: a list of free pages has a wrong length");
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t number = u64_at(value.p + 8 * i);

		if (number < 2 || number > c->last_page || number >= last)
			return bad(c, "is damaged: a list of free pages has a page that cannot be");
		last = number;
	}
	return true;
}

static bool check_value(struct check *c, uint16_t flags, struct bytes value, uint32_t length)
{
	if ((flags & NODE_BIG) != 0) {
		uint64_t count = (PAGE_HEAD + (uint64_t)length + c->page_size - 1) / c->page_size;
		const uint8_t *page = pages(c, u64_at(value.p), count, PAGE_OVERFLOW);

		if (page == NULL)
			return false;
		if (u32_at(page + 12) != count)
			return bad(c, "is damaged: a long value has another length than its pages");
		c->overflows += count;
		value = bytes_make(page + PAGE_HEAD, length);
	}
	if ((flags & NODE_TABLE) != 0 && value.n != DATABASE_SIZE)
		return bad(c, "is damaged: a table's entry is none");
	return !c->is_free || check_free(c, value);
}

static bool is_after(const struct check *c, struct bytes key)
{
	size_t common = key.n < c->last_key.n ? key.n : c->last_key.n;
	int order;

	if (c->is_free)
		return c->last_key.n == 0 || u64_at(key.p) > u64_at(c->last_key.p);
	order = common == 0 ? 0 : memcmp(key.p, c->last_key.p, common);
	return order > 0 || (order == 0 && key.n > c->last_key.n);
}

static bool check_leaf_node(struct check *c, const uint8_t *node, uint64_t room)
{
	uint16_t flags = u16_at(node + 4), key_length = u16_at(node + 6);
	uint32_t length = u16_at(node) | (uint32_t)u16_at(node + 2) << 16;
	uint64_t here = (flags & NODE_BIG) != 0 ? 8 : length;
	struct bytes key = bytes_make(node + NODE_HEAD, key_length);

	if (flags > (NODE_BIG | NODE_TABLE) || key_length == 0 || key_length > KV_KEY_MAX || (c->is_free && key_length != 8))
		return bad(c, "is damaged: a key is none");
	if (here > room - NODE_HEAD || key_length > room - NODE_HEAD - here)
		return bad(c, "is damaged: an entry is not within its page");
	if (!is_after(c, key))
		return bad(c, "is damaged: keys are not in order");
	c->last_key = key;
	c->entries++;
	return check_value(c, flags, bytes_make(key.p + key.n, here), length);
}

static bool check_tree(struct check *c, uint64_t number, unsigned depth);

static bool check_page(struct check *c, const uint8_t *page, unsigned depth, bool is_leaf)
{
	uint64_t lower = u16_at(page + 12), upper = u16_at(page + 14);

	if (lower <= PAGE_HEAD || lower % 2 != 0 || lower > upper || upper > c->page_size)
		return bad(c, "is damaged: a page is not filled as it can be");
	for (uint64_t at = PAGE_HEAD; at < lower; at += 2) {
		uint64_t offset = u16_at(page + at);
		const uint8_t *node = page + offset;

		if (offset < upper || offset > c->page_size - NODE_HEAD)
			return bad(c, "is damaged: an entry is not within its page");
		if (is_leaf ? !check_leaf_node(c, node, c->page_size - offset) :
		              !check_tree(c, u16_at(node) | (uint64_t)u16_at(node + 2) << 16 | (uint64_t)u16_at(node + 4) << 32, depth + 1))
			return false;
	}
	return true;
}

static bool check_tree(struct check *c, uint64_t number, unsigned depth)
{
	bool is_leaf = depth == c->tree->depth;
	const uint8_t *page = pages(c, number, 1, is_leaf ? PAGE_LEAF : PAGE_BRANCH);

	if (page == NULL)
		return false;
	/* Whatever refers to what, the walk ends. */
	if (is_leaf ? c->leaves++ >= c->tree->leaves : c->branches++ >= c->tree->branches)
		return bad(c, "is damaged: there are more pages than are counted");
	return check_page(c, page, depth, is_leaf);
}

static bool check_database(struct check *c, const struct database *d, bool is_free)
{
	c->tree = d;
	c->is_free = is_free;
	c->branches = c->leaves = c->overflows = c->entries = 0;
	c->last_key = BYTES_NONE;
	if ((d->flags & FLAGS_KIND) != (is_free ? FLAGS_NUMBERS : 0))
		return bad(c, "is damaged: a table is of another kind");
	if (d->root == NO_PAGE)
		return d->entries == 0 || bad(c, "is damaged: a table has entries and no page");
	if (d->depth == 0 || d->depth > DEPTH_MAX)
		return bad(c, "is damaged: a table is too deep");
	if (!check_tree(c, d->root, 1))
		return false;
	if (c->branches != d->branches || c->leaves != d->leaves || c->overflows != d->overflows || c->entries != d->entries)
		return bad(c, "is damaged: a table has not as many pages or entries as are counted");
	return true;
}

/* Each table: the entries of the tree of tables, which is known to be sound. */
static bool check_tables(struct check *c, uint64_t number, unsigned depth, const struct database *names)
{
	const uint8_t *page = c->p + number * c->page_size;
	uint64_t lower = u16_at(page + 12);

	for (uint64_t at = PAGE_HEAD; at < lower; at += 2) {
		const uint8_t *node = page + u16_at(page + at);
		struct database d;

		if (depth < names->depth) {
			if (!check_tables(c, u16_at(node) | (uint64_t)u16_at(node + 2) << 16 | (uint64_t)u16_at(node + 4) << 32, depth + 1,
			                  names))
				return false;
			continue;
		}
		if (u16_at(node + 4) != NODE_TABLE)
			return bad(c, "is damaged: a table's entry is none");
		d = database_at(node + NODE_HEAD + u16_at(node + 6));
		if (!check_database(c, &d, false))
			return false;
	}
	return true;
}

/* The newer head. NULL: none is sound; without a problem it is no file of LMDB's, which LMDB itself tells. */
static const uint8_t *head_of(struct check *c)
{
	const uint8_t *one = c->p + PAGE_HEAD, *two, *newer;
	uint64_t number;

	if (c->length < PAGE_HEAD + HEAD_SIZE || u32_at(one) != MAGIC || u32_at(one + 4) != VERSION)
		return NULL;
	c->page_size = u32_at(one + 24);
	two = one + c->page_size;
	if (c->page_size < 512 || c->page_size > 65536 || (c->page_size & (c->page_size - 1)) != 0)
		(void)bad(c, "is damaged: its head has no size of pages");
	else if (c->length < c->page_size + PAGE_HEAD + HEAD_SIZE)
		(void)bad(c, "was cut short, within its heads");
	else if (u32_at(two) != MAGIC || u32_at(two + 4) != VERSION || u32_at(two + 24) != c->page_size)
		(void)bad(c, "is damaged: its heads differ");
	if (c->problem != NULL)
		return NULL;
	number = u64_at(one + 128) >= u64_at(two + 128) ? 0 : 1;
	/* Transactions write them in turn. */
	newer = number == 0 ? one : two;
	if ((u64_at(newer + 128) & 1) != number)
		(void)bad(c, "is damaged: its heads are not in turn");
	return c->problem == NULL ? newer : NULL;
}

static void check_all(struct check *c, bool only_if_short)
{
	const uint8_t *head = head_of(c);
	struct database unused, names;

	if (head == NULL)
		return;
	c->last_page = u64_at(head + 120);
	if (c->last_page < 1 || c->last_page >= u64_at(head + 16) / c->page_size) {
		(void)bad(c, "is damaged: it has more pages than its head allows");
		return;
	}
	if (only_if_short && c->length / c->page_size > c->last_page)
		return;
	unused = database_at(head + 24);
	names = database_at(head + 72);
	if (check_database(c, &unused, true) && check_database(c, &names, false) && names.root != NO_PAGE)
		(void)check_tables(c, names.root, 1, &names);
}

bool kv_check(const struct kv *kv, int fd, bool only_if_short, struct fault *why)
{
	struct check c = { 0 };
	struct stat file;
	void *map;

	if (fstat(fd, &file) != 0)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s/data.mdb", kv->dir);
	if (!S_ISREG(file.st_mode) || file.st_size == 0)
		return true;
	c.length = (uint64_t)file.st_size;
	map = mmap(NULL, c.length, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return fault_errno(why, FAULT_OPERATOR, errno, "%s/data.mdb", kv->dir);
	(void)madvise(map, c.length, MADV_WILLNEED);
	c.p = map;
	kv_inside = kv; /* a page that the disk does not give */
	check_all(&c, only_if_short);
	kv_inside = NULL;
	(void)munmap(map, c.length);
	if (c.problem == NULL)
		return true;
	if (c.is_cut)
		return kv_is_damaged(kv, why, "was cut short: it has %llu octets of %llu", (unsigned long long)c.length,
		                     (unsigned long long)((c.last_page + 1) * c.page_size));
	return kv_is_damaged(kv, why, "%s", c.problem);
}
