// One tar stream (walg-format 3.1): ustar headers, pax ones only where ustar cannot express a value, two zero blocks at
// the end and no padding. Names are written byte for byte as given, whatever the locale.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>

#include "core/base/stream.h"

struct archive;

namespace forge::backup {

struct TarMember {
    enum class Type { kFile, kDirectory, kSymlink };
    Type type = Type::kFile;
    std::string name;
    std::string target;      // of a symbolic link
    std::uint64_t size = 0;  // of a file
    mode_t mode = 0;         // permission bits
    uid_t uid = 0;
    gid_t gid = 0;
    std::string user, group;
    std::int64_t mtime_seconds = 0;
};

class TarWriter {
public:
    static Result<std::unique_ptr<TarWriter>> create(std::unique_ptr<Sink> sink);
    ~TarWriter();
    TarWriter(const TarWriter&) = delete;
    TarWriter& operator=(const TarWriter&) = delete;

    // Starts a member; exactly member.size bytes of data must follow in write() calls.
    Status begin(const TarMember& member);
    Status write(ByteView data);
    // End of the archive, and finish() of the sink.
    Status finish();

private:
    explicit TarWriter(std::unique_ptr<Sink> sink) : sink_(std::move(sink)) {}
    static ssize_t pass_on(::archive* archive, void* self, const void* data, std::size_t size);
    Status failure(const std::string& what);

    std::unique_ptr<Sink> sink_;
    ::archive* archive_ = nullptr;
    Status error_;  // of the sink
    bool discard_ = false;
};

// Names of users and groups by number, as this host knows them; empty when it does not.
class OwnerNames {
public:
    const std::string& user(uid_t uid);
    const std::string& group(gid_t gid);

private:
    std::map<uid_t, std::string> users_;
    std::map<gid_t, std::string> groups_;
};

}  // namespace forge::backup
