// WAL that nobody follows: what a former primary wrote on its timeline after the cluster had left it for another one.
//
// Archived under its own name it does harm: a standby that has not heard of the new timeline yet fetches it, replays
// past the point where the timelines part, and can go on nowhere. A primary that lost its place finishes its last
// segment when it stops, and Patroni archives what is left of a crashed one before pg_rewind.
#pragma once

#include <cstdint>
#include <string>

#include "core/repository/repository.h"

namespace forge::wal {

// The data directory whose pg_wal holds the file; empty when it is in none.
std::string data_directory_of(const std::string& wal_path);
// A server runs there and does not shut down. Such a primary writes the timeline it is on, whatever the archive says.
bool server_is_up(const std::string& data_directory);
// kConflict when a history in the archive leaves the segment's timeline before the segment ends. Success when none
// does, when `name` is no segment, and when the credentials do not allow to look.
Status check_timeline_not_left(repository::Repository& repository, const std::string& name, std::uint64_t segment_size,
                               const store::CallContext& context);

}  // namespace forge::wal
