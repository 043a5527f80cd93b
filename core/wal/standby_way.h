// What a standby may replay of a timeline, by the histories it has.
//
// The server looks for each segment on the timeline it goes to, then on the older ones, and does not ask where these
// were left. After a restore to an earlier moment the archive has WAL of the old timeline from behind that point; while
// the new timeline's first segment is not archived yet, a standby would replay that, and could go on nowhere.
#pragma once

#include <optional>
#include <string>

#include "core/base/lsn.h"
#include "core/base/status.h"

namespace forge::wal {

// Where the way to the newest timeline that pg_wal has a history of leaves `timeline`; nothing when it does not, or
// when no history there can be read.
std::optional<Lsn> left_at(const std::string& wal_directory, Timeline timeline);

// A segment that was just fetched. From the point where its timeline was left on it is made empty, as the server does
// with the copy that begins the new timeline. kNotFound when all of it lies behind; it is removed then.
Status keep_to_way(const std::string& path, const std::string& name, const std::string& wal_directory);

}  // namespace forge::wal
