/* url_token.c - HMAC-SHA-256, as hexadecimal digits. */
#include "url_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sys/random.h>

bool url_key_make(uint8_t key[URL_KEY_SIZE])
{
	return getrandom(key, URL_KEY_SIZE, 0) == URL_KEY_SIZE;
}

static void token(struct bytes key, struct bytes rump, char hex[URL_TOKEN_SIZE])
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (key.n > INT32_MAX || HMAC(EVP_sha256(), key.p, (int)key.n, rump.p, rump.n, mac, &n) == NULL || n * 2 != URL_TOKEN_SIZE)
		abort(); /* a key is some 64 octets, and SHA-256 is there */
	for (unsigned i = 0; i < n; i++) {
		hex[2 * i] = "0123456789abcdef"[mac[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[mac[i] & 15];
	}
}

void url_token_write(struct bytes key, struct bytes rump, struct buffer *to)
{
	char hex[URL_TOKEN_SIZE];

	token(key, rump, hex);
	buffer_add(to, bytes_make(hex, sizeof(hex)));
}

bool url_token_is_right(struct bytes key, struct bytes rump, struct bytes given)
{
	char hex[URL_TOKEN_SIZE], other[URL_TOKEN_SIZE];

	if (given.n != URL_TOKEN_SIZE)
		return false;
	for (size_t i = 0; i < URL_TOKEN_SIZE; i++)
		other[i] = (char)ascii_lower(given.p[i]);
	token(key, rump, hex);
	return CRYPTO_memcmp(hex, other, URL_TOKEN_SIZE) == 0;
}
