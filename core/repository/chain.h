// The chain of a delta backup: the backup, its parent, the parent's parent, … down to a full backup. Parents are found
// by the sentinel's DeltaFrom, never by the name (walg-format 11.2).
#pragma once

#include <vector>

#include "core/repository/repository.h"

namespace forge::repository {

// Pointers into `backups`, which holds `backup` too or is asked for its parents only; the backup itself comes first.
// kCorrupt: a parent is missing or unreadable, or the chain leads back into itself.
Result<std::vector<const BackupEntry*>> chain_of(const std::vector<BackupEntry>& backups, const BackupEntry& backup);

// The name says that it is a delta and the sentinel does not, so nobody knows what it builds on.
bool has_lost_its_parent(const BackupEntry& backup);

}  // namespace forge::repository
