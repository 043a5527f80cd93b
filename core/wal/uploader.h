// Ships WAL files, several at a time (postgres-hooks 6). request() asks for the file the server wants now; while it is
// on its way the uploader starts the successors whose ".ready" exists, so that most requests are answered at once.
// While some files are sent, as many others as there are processors are packed: neither waits for the other.
// A result nobody was told yet is remembered; a file that is asked for again is looked for in the store again.
//
// request() is called by one thread at a time; everything else happens on the uploader's own threads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/repository/repository.h"
#include "core/wal/segment_scan.h"
#include "core/wal/write_guard.h"

namespace forge::wal {

struct UploaderOptions {
    std::string data_directory;  // absolute; files are <data_directory>/pg_wal/NAME
    std::uint64_t segment_size = layout::kDefaultSegmentSize;
    std::uint64_t system_identifier = 0;  // of the server, checked against the segment's page header; 0 = do not check
    int concurrency = 2;  // uploads at a time; the file that the server waits for is sent besides
    std::uint64_t memory_limit = 256ULL << 20;
    bool upload_ahead = true;
    std::shared_ptr<WriteGuard> guard;  // asked before each file; null = nobody is asked
};

class Uploader {
public:
    virtual ~Uploader() = default;  // stops and joins; unfinished files are not in the store
    // Result of one file, reported once per request() through `done` (from one of the uploader's threads): the last end
    // of a transaction in a segment that is stored, where it has one.
    using Result = forge::Result<std::optional<WalEvent>>;
    using Done = std::function<void(const std::string& name, const Result& result)>;
    // Success = durable in the store with this content (stored now, or identical content found there).
    // kConflict = another content is there; both digests in the message; nothing was overwritten.
    // `path` as the server gave it (relative to the data directory or absolute). Joins a running job of the same name.
    virtual void request(const std::string& name, const std::string& path, Deadline deadline, Done done) = 0;
    // The server gave up waiting for `name`: its job may go on, its result is remembered.
    virtual void forget_request(const std::string& name) = 0;
    // Stops reading files at once, before the destructor waits for what is under way: from here on no file is read on.
    // For an uploader whose settings are no longer in force: its files may be recycled as soon as another one has
    // stored them.
    virtual void cancel() = 0;
    struct Counters {
        std::uint64_t files = 0, bytes_read = 0, bytes_stored = 0, ahead_hits = 0, failures = 0;
    };
    virtual Counters counters() const = 0;
};

std::unique_ptr<Uploader> make_uploader(std::shared_ptr<repository::Repository> repository, UploaderOptions options,
                                        Logger& logger);

// The same for one file without threads (`wal-push`).
Status push_wal_file(repository::Repository& repository, const std::string& name, const std::string& path,
                     std::uint64_t segment_size, const store::CallContext& context, WriteGuard* guard = nullptr);

}  // namespace forge::wal
