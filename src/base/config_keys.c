/* Every configuration key: the one table that the parser checks against and docs/operations.md lists. */
#include "config.h"

#define NUMBER_MAX UINT64_MAX
#define MS_MAX (24ull * 3600 * 1000)

const struct config_key config_keys[] = {
	/* who and where */
	{ "servername", CONFIG_STRING, NULL, 0, 0, NULL, "Name of the server (the left side of a location); the same on both members" },
	{ "member", CONFIG_STRING, NULL, 0, 0, NULL, "Name of this member or frontend; unique in the murder" },
	{ "configdirectory", CONFIG_STRING, NULL, 0, 0, NULL, "Directory for what is not mail: directory records, mailbox list" },
	{ "defaultpartition", CONFIG_STRING, "default", 0, 0, NULL, "Partition of new mailboxes" },
	{ "partition-", CONFIG_STRING, NULL, 0, 0, NULL, "Directory of the partition NAME: its journal and index" },

	/* addresses, each host:port */
	{ "mupdate_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where the mupdate server listens" },
	{ "imap_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where IMAP is served (STARTTLS if there is a certificate)" },
	{ "imaps_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where IMAP over TLS is served" },
	{ "lmtp_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where LMTP is served" },
	{ "pop3_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where POP3 is served (STLS if there is a certificate)" },
	{ "pop3s_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where POP3 over TLS is served" },
	{ "sync_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where a backend listens for the other members of its server" },
	{ "admin_listen", CONFIG_STRING, NULL, 0, 0, NULL, "Where health, role, metrics and status are served over HTTP" },

	/* the directory, as a client of it */
	{ "mupdate_server", CONFIG_WORDS, NULL, 0, 0, NULL, "Host of the mupdate server; several are tried in turn, each may have its own :PORT. In a mupdate server's own configuration: whom it follows" },
	{ "mupdate_port", CONFIG_NUMBER, "3905", 1, 65535, NULL, "Port of the mupdate server" },
	{ "mupdate_authname", CONFIG_STRING, NULL, 0, 0, NULL, "Name to authenticate with at the mupdate server, and between members" },
	{ "mupdate_password", CONFIG_STRING, NULL, 0, 0, NULL, "Password of mupdate_authname" },

	/* people and daemons */
	{ "users_file", CONFIG_STRING, NULL, 0, 0, NULL, "File of user names and SCRAM keys" },
	{ "admins", CONFIG_WORDS, NULL, 0, 0, NULL, "Users with every right" },
	{ "imap_url_hosts", CONFIG_WORDS, "*", 0, 0, NULL, "Host names that IMAP URLs have for this murder; `*`: any" },
	{ "proxyservers", CONFIG_WORDS, NULL, 0, 0, NULL, "Users who may act for others: the frontends" },
	{ "proxy_authname", CONFIG_STRING, NULL, 0, 0, NULL, "Name a frontend authenticates with at the backends" },
	{ "proxy_password", CONFIG_STRING, NULL, 0, 0, NULL, "Password of proxy_authname" },
	{ "allowplaintext", CONFIG_SWITCH, "no", 0, 0, NULL, "Allow passwords in the clear from other machines without TLS" },

	{ "sasl_mech_list", CONFIG_WORDS, NULL, 0, 0, NULL, "SASL mechanisms that may be offered; without it all that can be used" },
	{ "sasl_pwcheck_method", CONFIG_CHOICE, "auxprop", 0, 0, "auxprop saslauthd", "Who knows passwords: the users_file alone, or saslauthd for whom that does not have" },
	{ "sasl_saslauthd_path", CONFIG_STRING, "/var/run/saslauthd/mux", 0, 0, NULL, "Socket of saslauthd" },

	/* failed logins, and others who are asked about logins */
	{ "login_delay_ms", CONFIG_NUMBER, "500", 0, MS_MAX, NULL, "Milliseconds that the first failed login costs; twice as many the next, and so on; 0: none" },
	{ "login_delay_max_ms", CONFIG_NUMBER, "15000", 0, MS_MAX, NULL, "Most that one costs" },
	{ "login_max_failures", CONFIG_NUMBER, "5", 1, 1000, NULL, "Failed logins after which a connection is ended" },
	{ "login_forget_s", CONFIG_NUMBER, "900", 1, 1u << 20, NULL, "Seconds without a failure after which an address is like any other" },
	{ "login_max_addresses", CONFIG_NUMBER, "16384", 16, 1u << 24, NULL, "Most addresses that failures are remembered of, some 200 octets each" },
	{ "login_trusted_networks", CONFIG_WORDS, "127.0.0.0/8 ::1", 0, 0, NULL, "Networks whose addresses are not slowed down as such, as many users come from each: webmail, frontends" },
	{ "login_check_threads", CONFIG_NUMBER, "8", 1, 256, NULL, "Threads on which saslauthd or an issuer of tokens is asked" },
	{ "login_check_timeout_ms", CONFIG_NUMBER, "5000", 10, MS_MAX, NULL, "How long that may take" },

	/* bearer tokens */
	{ "oauth_issuer", CONFIG_STRING, NULL, 0, 0, NULL, "Who must have issued a token (its iss)" },
	{ "oauth_audience", CONFIG_WORDS, NULL, 0, 0, NULL, "For whom a token must be (its aud): one of these" },
	{ "oauth_scope", CONFIG_WORDS, NULL, 0, 0, NULL, "Scopes that a token must have, all of them" },
	{ "oauth_username_claim", CONFIG_STRING, "preferred_username", 0, 0, NULL, "Claim that names the user" },
	{ "oauth_username_domain", CONFIG_STRING, NULL, 0, 0, NULL, "Domain that is cut off such a name" },
	{ "oauth_leeway_s", CONFIG_NUMBER, "60", 0, 3600, NULL, "Seconds that the issuer's clock and ours may differ" },
	{ "oauth_jwks_file", CONFIG_STRING, NULL, 0, 0, NULL, "The issuer's public keys (JWKS), by which signed tokens are checked here" },
	{ "oauth_jwks_url", CONFIG_STRING, NULL, 0, 0, NULL, "Where the issuer has them; https" },
	{ "oauth_jwks_refresh_s", CONFIG_NUMBER, "3600", 1, 1u << 24, NULL, "Seconds after which they are asked for again" },
	{ "oauth_introspection_url", CONFIG_STRING, NULL, 0, 0, NULL, "Where the issuer is asked about tokens that are not checked here (RFC 7662); https" },
	{ "oauth_client_id", CONFIG_STRING, NULL, 0, 0, NULL, "Name to ask there with" },
	{ "oauth_client_secret", CONFIG_STRING, NULL, 0, 0, NULL, "Its secret" },
	{ "oauth_cache_s", CONFIG_NUMBER, "60", 0, 3600, NULL, "Seconds that the issuer's yes is remembered, no longer than the token lasts" },
	{ "oauth_ca_file", CONFIG_STRING, NULL, 0, 0, NULL, "Certificates of the authorities that the issuer's is checked against, PEM; else the system's" },
	{ "oauth_discovery_url", CONFIG_STRING, NULL, 0, 0, NULL, "The issuer's openid-configuration, told to clients whose token is refused" },

	/* TLS */
	{ "tls_server_cert", CONFIG_STRING, NULL, 0, 0, NULL, "Certificate chain, PEM" },
	{ "tls_server_key", CONFIG_STRING, NULL, 0, 0, NULL, "Private key, PEM" },
	{ "tls_client_ca_file", CONFIG_STRING, NULL, 0, 0, NULL, "Certificates of the authorities that other daemons' certificates are checked against, PEM" },

	{ "tls_login_ca_file", CONFIG_STRING, NULL, 0, 0, NULL, "Authorities whose certificates users may log in with (EXTERNAL), PEM, with their lists of revoked ones if there are any" },
	{ "tls_login_name", CONFIG_CHOICE, "cn", 0, 0, "cn email", "What in such a certificate names the user: the subject's common name, or the subjectAltName's mail address" },

	/* pairs */
	{ "sync_peers", CONFIG_WORDS, NULL, 0, 0, NULL, "Every member of the server, MEMBER=HOST:PORT of its sync_listen; the same on both members" },
	{ "sync_remote", CONFIG_WORDS, NULL, 0, 0, NULL, "Members that only follow: nobody waits for them, and they do not become master; the same on all members" },
	{ "sync_mode", CONFIG_CHOICE, "sync", 0, 0, "sync async", "When a write is acknowledged: sync waits for every in-sync member, async only for the master's own disk; the same on all members" },
	{ "lease_ms", CONFIG_NUMBER, "1000", 100, MS_MAX, NULL, "How long a master may act without hearing from an in-sync member" },
	{ "servers", CONFIG_WORDS, NULL, 0, 0, NULL, "On the mupdate server: accounts whose members may join as the server of the same name" },
	{ "members-", CONFIG_WORDS, NULL, 0, 0, NULL, "On the mupdate server: members of SERVER that do not join, each MEMBER=AUTHNAME, MEMBER=ADDRESS or MEMBER=AUTHNAME@ADDRESS; the first starts as master" },
	{ "directory_store", CONFIG_CHOICE, "lmdb", 0, 0, "lmdb etcd", "Where the mupdate server keeps its records: below configdirectory, or in an etcd that several share" },
	{ "etcd_endpoints", CONFIG_WORDS, NULL, 0, 0, NULL, "URLs of the etcd servers" },
	{ "etcd_prefix", CONFIG_STRING, "/roost/", 0, 0, NULL, "What the keys in etcd begin with; one murder, one prefix" },
	{ "etcd_ca_file", CONFIG_STRING, NULL, 0, 0, NULL, "Certificates of the authorities that etcd's are checked against, PEM; else the system's" },
	{ "etcd_cert_file", CONFIG_STRING, NULL, 0, 0, NULL, "Certificate to show to etcd, PEM" },
	{ "etcd_key_file", CONFIG_STRING, NULL, 0, 0, NULL, "Its private key, PEM" },
	{ "etcd_user", CONFIG_STRING, NULL, 0, 0, NULL, "Name to authenticate with at etcd" },
	{ "etcd_password", CONFIG_STRING, NULL, 0, 0, NULL, "Password of etcd_user" },

	/* names */
	{ "altnamespace", CONFIG_SWITCH, "yes", 0, 0, NULL, "Show personal mailboxes beside INBOX instead of below it" },
	{ "unixhierarchysep", CONFIG_SWITCH, "yes", 0, 0, NULL, "Separate the levels of names with / instead of ." },
	{ "virtdomains", CONFIG_SWITCH, "no", 0, 0, NULL, "Take user@domain as a user of that domain" },
	{ "specialuse_drafts", CONFIG_STRING, "Drafts", 0, 0, NULL, "Name, below the INBOX's own level, shown as \\Drafts" },
	{ "specialuse_sent", CONFIG_STRING, "Sent", 0, 0, NULL, "The same for \\Sent" },
	{ "specialuse_junk", CONFIG_STRING, "Junk", 0, 0, NULL, "The same for \\Junk" },
	{ "specialuse_trash", CONFIG_STRING, "Trash", 0, 0, NULL, "The same for \\Trash" },
	{ "specialuse_archive", CONFIG_STRING, "Archive", 0, 0, NULL, "The same for \\Archive" },

	/* metadata */
	{ "metadata_server", CONFIG_STRING, NULL, 0, 0, NULL, "Server that keeps the metadata entries of the murder as a whole; without it the one whose name comes first. The same everywhere" },
	{ "metadata_admin", CONFIG_STRING, NULL, 0, 0, NULL, "How to reach the administrators, a URI such as mailto:..., shown as the entry /shared/admin; the same on all backends" },

	/* running */
	{ "autocreate_quota", CONFIG_NUMBER, "0", 0, INT64_MAX, NULL, "Limit of STORAGE, in units of 1024 octets, that a user's INBOX and what is below it begin with; 0: none" },
	{ "autocreate_quota_messages", CONFIG_NUMBER, "0", 0, INT64_MAX, NULL, "The same for MESSAGE, in messages" },
	{ "quotawarn", CONFIG_NUMBER, "90", 0, 1000, NULL, "Percent of a limit beyond which SELECT warns" },
	{ "quotawarnkb", CONFIG_NUMBER, "0", 0, INT64_MAX, NULL, "Of STORAGE it warns only where less than so many units of 1024 octets are left, or the limit is less; 0: always" },
	{ "quotawarnmsg", CONFIG_NUMBER, "0", 0, INT64_MAX, NULL, "Of MESSAGE it warns only where less than so many messages are left, or the limit is less; 0: always" },
	{ "lmtp_strict_quota", CONFIG_SWITCH, "no", 0, 0, NULL, "Refuse the message that would pass a limit; else the one that passes it is delivered, and those after it are refused" },
	{ "lmtp_over_quota_perm_failure", CONFIG_SWITCH, "no", 0, 0, NULL, "Refuse what is over quota for good (552), not for now (452)" },
	{ "duplicatesuppression", CONFIG_SWITCH, "no", 0, 0, NULL, "Whether LMTP delivers a message to a mailbox once only, by its Message-ID; the same on all members" },
	{ "log_level", CONFIG_CHOICE, "info", 0, 0, "error warning info debug", "What is logged" },
	{ "loops", CONFIG_NUMBER, "0", 0, 256, NULL, "Threads that serve connections; 0: one per core" },
	{ "journal_checkpoint", CONFIG_NUMBER, "256M", 1u << 16, 1ull << 44, NULL, "Octets of journal after which a checkpoint of the index is made, from which a start or a copy begins" },
	{ "copy_rate", CONFIG_NUMBER, "64M", 0, 1ull << 40, NULL, "Octets a second that a master reads for all members that are not in sync: copies, and what they lack; 0: without a limit" },
	{ "digest_interval_s", CONFIG_NUMBER, "60", 0, 1u << 20, NULL, "Seconds after which a master journals digests of what it has, if there were changes, for the other members to compare; 0: never" },
	{ "verify_rate", CONFIG_NUMBER, "4M", 0, 1ull << 40, NULL, "Octets a second at which a backend reads its journal through and mends what is damaged; 0: not at all" },
	{ "verify_interval_s", CONFIG_NUMBER, "86400", 1, 1u << 30, NULL, "Seconds from the beginning of one such pass to the next, if it does not take longer" },
	{ "expunge_delay", CONFIG_NUMBER, "604800", 0, 1ull << 32, NULL, "Seconds that expunged messages are kept for `roost undelete`; 0: they are gone at once" },
	{ "search_index", CONFIG_SWITCH, "yes", 0, 0, NULL, "Whether a backend keeps an index of the texts of its messages, for SEARCH" },
	{ "journal_keep", CONFIG_NUMBER, "2G", 0, 1ull << 50, NULL, "Newest octets of the journal that stay whole, for members that were away" },
	{ "compact_rate", CONFIG_NUMBER, "16M", 1u << 16, 1ull << 40, NULL, "Octets a second that are written to give back what expunged messages took" },
	{ "journal_segment_size", CONFIG_NUMBER, "64M", 64u << 10, 1ull << 40, NULL, "Size at which a new journal segment is begun" },

	/* limits */
	{ "maxmessagesize", CONFIG_NUMBER, "64M", 1024, 1u << 30, NULL, "Largest message accepted, octets" },
	{ "imap_max_append", CONFIG_NUMBER, "128M", 1024, 1u << 29, NULL, "Octets of all messages of one APPEND or REPLACE, at least one of `maxmessagesize`" },
	{ "imap_max_line", CONFIG_NUMBER, "64K", 1024, 1u << 24, NULL, "Longest command line without its literals, octets" },
	{ "imap_max_literal", CONFIG_NUMBER, "64K", 1024, 1u << 24, NULL, "Largest literal other than a message, octets" },
	{ "imap_max_command", CONFIG_NUMBER, "256K", 4096, 1u << 26, NULL, "Largest command with its literals, but for messages, octets" },
	{ "imap_max_list", CONFIG_NUMBER, "10000", 16, 1u << 24, NULL, "Most members of one list or ranges of one sequence set" },
	{ "imap_max_depth", CONFIG_NUMBER, "50", 4, 1000, NULL, "Deepest nesting of parentheses and search keys" },
	{ "metadata_max_value", CONFIG_NUMBER, "32K", 1024, 1u << 20, NULL, "Largest value of a metadata entry, octets; a literal is bounded by imap_max_literal, too" },
	{ "metadata_max_entries", CONFIG_NUMBER, "1000", 10, 100000, NULL, "Most metadata entries of one mailbox, or of the server: shared ones, and private ones of each user" },
	{ "metadata_max_name", CONFIG_NUMBER, "255", 32, 400, NULL, "Longest name of a metadata entry, octets" },
	{ "imap_max_keywords", CONFIG_NUMBER, "64", 1, 64, NULL, "Most different keywords in one mailbox" },
	{ "imap_message_limit", CONFIG_NUMBER, "0", 0, UINT32_MAX, NULL, "Most messages that one command works on, told to clients as MESSAGELIMIT; 0: no limit" },
	{ "imap_progress_ms", CONFIG_NUMBER, "1000", 1, MS_MAX, NULL, "Milliseconds after which a client is told how far its command is" },
	{ "mailbox_cache", CONFIG_NUMBER, "64M", 0, 1ull << 40, NULL, "Octets of memory for what is kept of the mailboxes that were used lately: the UIDs of large ones, and what messages are sorted and threaded by; 0: none" },
	{ "imap_max_search_mailboxes", CONFIG_NUMBER, "10000", 1, 1u << 24, NULL, "Most mailboxes that one ESEARCH looks through" },
	{ "imap_max_contexts", CONFIG_NUMBER, "20", 1, 1000, NULL, "Most search results that are kept up to date for one session (RETURN (UPDATE))" },
	{ "imap_idle_timeout_s", CONFIG_NUMBER, "1800", 1, 1u << 20, NULL, "Seconds after which a silent authenticated client is logged out" },
	{ "imap_login_timeout_s", CONFIG_NUMBER, "60", 1, 1u << 20, NULL, "Seconds a client may take to authenticate" },
	{ "imap_stall_timeout_s", CONFIG_NUMBER, "60", 1, 1u << 20, NULL, "Seconds in which 64 KiB more of a message that an IMAP client has announced, or its rest, must arrive" },
	{ "lmtp_max_recipients", CONFIG_NUMBER, "1000", 1, 1u << 20, NULL, "Most recipients of one delivery" },
	{ "lmtp_timeout_s", CONFIG_NUMBER, "300", 1, 1u << 20, NULL, "Seconds after which a silent LMTP client is disconnected" },
	{ "pop3_max_line", CONFIG_NUMBER, "4K", 255, 1u << 20, NULL, "Longest line of a POP3 client, octets" },
	{ "pop3_max_messages", CONFIG_NUMBER, "1000000", 1, 1u << 30, NULL, "Most messages of the INBOX that one POP3 session is shown, the newest; 12 octets of memory each" },
	{ "pop3_login_timeout_s", CONFIG_NUMBER, "60", 1, 1u << 20, NULL, "Seconds a POP3 client may take to authenticate" },
	{ "pop3_timeout_s", CONFIG_NUMBER, "600", 1, 1u << 20, NULL, "Seconds after which a silent POP3 client is disconnected, and nothing is deleted" },
	{ "mupdate_login_timeout_s", CONFIG_NUMBER, "60", 1, 1u << 20, NULL, "Seconds a client of the mupdate server may take to authenticate" },
	{ "mupdate_max_string", CONFIG_NUMBER, "64K", 4096, 1u << 24, NULL, "Longest string in a MUPDATE command, octets" },
	{ "mupdate_max_pending", CONFIG_NUMBER, "64M", 65536, 1ull << 34, NULL, "Octets waiting for a follower that does not read before it is disconnected" },
	{ "mupdate_max_pending_all", CONFIG_NUMBER, "1G", 65536, NUMBER_MAX, NULL, "Octets waiting for all followers together before the slowest are disconnected" },
	{ "sync_login_timeout_s", CONFIG_NUMBER, "10", 1, 1u << 20, NULL, "Seconds the other members of a server may take to authenticate" },
	{ "max_connections", CONFIG_NUMBER, "20000", 8, 1u << 24, NULL, "Most connections to one listener; one more is told so and closed" },
	{ "max_inflight", CONFIG_NUMBER, "1G", 1u << 20, NUMBER_MAX, NULL, "Octets of messages in memory at once; beyond it clients are told to try later" },
	{ "mime_max_parts", CONFIG_NUMBER, "10000", 16, 1u << 20, NULL, "Most MIME parts looked at in one message; the rest counts as text of the last" },
	{ "mime_max_depth", CONFIG_NUMBER, "100", 4, 1000, NULL, "Deepest MIME nesting looked at" },
	{ "mime_max_header", CONFIG_NUMBER, "1M", 4096, 1u << 26, NULL, "Octets of one part's header that are looked at" },
	{ "index_map_size", CONFIG_NUMBER, "64G", 1u << 20, 1ull << 44, NULL, "Address space for an LMDB environment; costs memory and disk only as used" },
	{ NULL, CONFIG_STRING, NULL, 0, 0, NULL, NULL },
};
