// Where segments that were fetched ahead wait for recovery. Each has its name only when it is whole, and is taken by
// renaming it. Besides them there is the file "lock", held by the one process that fetches ahead; in it stands how far
// recovery has come, which is what that process follows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/store/object_store.h"

namespace forge::wal {

class Spool {
public:
    explicit Spool(std::string directory) : directory_(std::move(directory)) {}

    std::string path(const std::string& segment) const { return join_path(directory_, segment); }
    // Of a segment on its way into the spool.
    std::string part_path(const std::string& segment) const;

    // The segment that recovery got last.
    struct Position {
        std::string segment;
        std::uint64_t segment_size = 0;
        bool operator==(const Position&) const = default;
    };
    Status note(const Position& position) const;
    std::optional<Position> position() const;  // nothing = not known

    // For the process that fetches ahead; kAlreadyExists while another does.
    Result<Fd> lock() const;
    // Is there such a process?
    bool is_locked() const;

    // What a segment here must be, as far as the caller knows.
    struct Expected {
        std::optional<std::uint64_t> segment_size;
        std::uint64_t system_identifier = 0;
    };
    // Moves `segment` to `destination`. kNotFound: it is not here. While it is on its way here, waiting for it is
    // faster than fetching it again; as long as it gets on, and until the deadline of `context`. What is wrong here is
    // removed: the store has it.
    Status take(const std::string& segment, const std::string& destination, const Expected& expected,
                const store::CallContext& context) const;

    // Leaves only what is `wanted`, which bounds the spool. For the holder of the lock; `parts`: those too, which
    // belong to nobody when it begins.
    Status clean(const std::vector<std::string>& wanted, bool parts) const;

private:
    void wait_for_part(const std::string& segment, const store::CallContext& context) const;
    Result<std::uint64_t> check(const std::string& segment, const Expected& expected) const;

    std::string directory_;
};

// In pg_wal the server removes what is called "xlogtemp.*" when it starts after a crash, so not even kill -9 leaves
// garbage there.
std::string temporary_path(const std::string& destination);

}  // namespace forge::wal
