// Reads one tar stream: ustar, pax and GNU headers, with or without end blocks (walg-format 3.1, 11.2).
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
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

    // The next member; false at the end of the archive. What was not read of the last one is skipped. A sparse member
    // is kCorrupt: no backup has one, and a header of a few bytes could claim to be any number of zeroes.
    Result<bool> next(TarEntry& entry);
    // Content of the member; 0 at its end. A file has as many bytes as its entry says, or is kCorrupt.
    Result<std::size_t> read(MutableBytes buffer);
    // Reads what is behind the archive to the end of the source, which may be zeros only.
    Status finish();

private:
    explicit TarReader(std::unique_ptr<Source> source);
    static ssize_t pull(::archive* archive, void* self, const void** data);
    Status failure() const;
    std::uint64_t header_position() const;  // of the member at hand; at the end, where the archive ends

    std::unique_ptr<Source> source_;
    ::archive* archive_ = nullptr;
    Status error_;  // of the source
    Bytes block_;
    std::uint64_t delivered_ = 0;        // bytes given to the archive
    std::uint64_t nonzero_end_ = 0;      // just after the last of them that is not zero
    std::uint64_t content_ = 0;          // bytes of the member at hand that were read
    std::optional<std::uint64_t> size_;  // of the file at hand
};

}  // namespace forge::restore
