// Reads one tar stream: ustar, pax and GNU headers, with or without end blocks (walg-format 3.1, 11.2).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "core/base/stream.h"

struct archive;
struct archive_entry;

namespace forge::restore {

struct TarEntry {
    enum class Type { kFile, kDirectory, kSymlink, kHardlink, kOther };
    Type type = Type::kOther;
    std::string name;    // as it is in the header
    std::string target;  // of a link
    std::uint64_t size = 0;
    mode_t mode = 0;  // permission bits
};

class TarReader {
public:
    static Result<std::unique_ptr<TarReader>> open(std::unique_ptr<Source> source);
    ~TarReader();
    TarReader(const TarReader&) = delete;
    TarReader& operator=(const TarReader&) = delete;

    // The next member; false at the end of the archive. What was not read of the last one is skipped.
    Result<bool> next(TarEntry& entry);
    // Content of the member; 0 at its end.
    Result<std::size_t> read(MutableBytes buffer);
    // Reads what is behind the archive to the end of the source, which may be zeros only.
    Status finish();

private:
    explicit TarReader(std::unique_ptr<Source> source);
    static ssize_t pull(::archive* archive, void* self, const void** data);
    Status failure() const;

    std::unique_ptr<Source> source_;
    ::archive* archive_ = nullptr;
    Status error_;  // of the source
    Bytes block_;
    std::size_t block_size_ = 0;   // bytes in block_
    std::uint64_t delivered_ = 0;  // bytes given to the archive
};

}  // namespace forge::restore
