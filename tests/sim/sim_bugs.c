/* sim_bugs.c - the planted bugs by name. Where each sits is found by its enumerator. */
#include "sim.h"

const char *sim_bug_name(enum sim_bug bug)
{
	static const char *const names[BUG_COUNT] = {
		[BUG_NONE] = "none",
		[BUG_ACK_EARLY] = "the master answers before the replica has the entry",
		[BUG_ACK_NO_LEASE] = "the master answers what is on all disks without looking at its lease",
		[BUG_NO_GRACE] = "a replica does not wait for the end of its master's lease",
		[BUG_STALE_EPOCH] = "the arbiter grants a reign to a claim of an old epoch",
		[BUG_NO_TRUNCATE] = "a follower keeps the suffix that only it has",
		[BUG_APPLY_AHEAD] = "a follower applies what is on its disk and not committed",
		[BUG_BEACON_AFTER_ASK] = "a replica acknowledges beacons after it has asked for the reign",
		[BUG_ACK_UNSYNCED] = "a follower acknowledges what is not on its disk yet",
		[BUG_SHRINK_ALONE] = "the master drops a member from the in-sync set without the directory",
		[BUG_FORGET_OPS] = "a new master does not know the operation ids of the reigns before it",
		[BUG_TRUST_CACHE] = "recovery takes what a killed process left in the page cache for durable",
		[BUG_TORN_TAKEN] = "recovery takes a batch that is torn for whole",
		[BUG_CLOCK_STANDS] = "the clock stands still while the process is stopped",
		[BUG_COMMON_BY_LSN] = "two journals are taken for the same as far as their LSNs go",
		[BUG_TURN_NO_LEASE] = "what changes nothing is answered without looking at the lease",
		[BUG_SAVE_NOTHING] = "in asynchronous mode a suffix is dropped, not put aside",
	};

	return names[bug];
}
