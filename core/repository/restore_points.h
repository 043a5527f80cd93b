// The named restore points (pg_create_restore_point()) of one archived segment: one JSON object in a folder of its own
// for each segment that has any, so that nobody has to read WAL to list them (docs/format.md, "Restore points"). Who
// archives the segment writes it; it goes when the segment goes. Encrypted like the WAL that the names come from. WAL-G
// ignores it.
#pragma once

#include <string>
#include <vector>

#include "core/layout/names.h"
#include "core/repository/repository.h"

namespace forge::repository {

struct RestorePoint {
    std::string segment;  // in which its record ends
    std::string name;     // as the server wrote it: 1 to 63 bytes in whatever encoding
    Lsn lsn = 0;          // just after its record, as pg_create_restore_point() returns it
    Instant time;

    Timeline timeline() const;  // of the segment
};

struct RestorePoints {
    std::string segment;
    std::vector<RestorePoint> points;  // in the order of the WAL
    std::uint64_t left_out = 0;        // more that the segment has
};

// In ASCII, so that it is told from an encrypted object by its first bytes.
std::string restore_points_json(const RestorePoints& points);
// Ignores members it does not know. kInvalid for an object of a later version, kCorrupt for what is none, or that of
// another segment; the message names the object.
Result<RestorePoints> parse_restore_points(std::string_view json, const std::string& segment);

// Nothing where there are no points. The same again changes nothing.
Status store_restore_points(Repository& repository, const RestorePoints& points, const store::CallContext& context);
Result<RestorePoints> read_restore_points(Repository& repository, const std::string& segment,
                                          const store::CallContext& context);

}  // namespace forge::repository
