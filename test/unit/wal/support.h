// What the tests of WAL and of plans share: directories that go away, repositories over directories, WAL files made to
// measure.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

#include "core/base/crc32c.h"
#include "core/base/file.h"
#include "core/repository/repository.h"
#include "core/store/local_store.h"

namespace forge::testing {

class TemporaryDirectory {
public:
    // In memory where that is possible: many small durable files take their time on a disk.
    TemporaryDirectory() {
        path_ = (::access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : ::testing::TempDir()) + "forge_wal_XXXXXX";
        if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary directory");
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    std::string path(const std::string& name = {}) const { return name.empty() ? path_ : path_ + "/" + name; }

private:
    std::string path_;
};

inline void write_text(const std::string& path, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    ASSERT_TRUE(file.good()) << path;
}
inline void write_bytes(const std::string& path, ByteView bytes) { write_text(path, as_text(bytes)); }
inline std::string read_text(const std::string& path) { return read_file(path, 1 << 30).value(); }
inline std::string read_all_text_of(Source& source) { return read_all_text(source, 1 << 30).value(); }

inline crypto::Key test_key(std::string_view hex) {
    return crypto::Key::parse(hex, crypto::KeyTransform::kHex, "test").value();
}
inline crypto::Key golden_key() { return test_key("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"); }
inline crypto::Key other_key() { return test_key("ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"); }

inline settings::Settings test_settings(codec::Method method = codec::Method::kLz4) {
    settings::Settings settings;
    settings.compression = settings.backup_compression = method;
    settings.keys = crypto::KeyRing({golden_key()});
    return settings;
}

inline std::shared_ptr<repository::Repository> repository_in(const std::string& directory,
                                                             const settings::Settings& settings = test_settings()) {
    std::shared_ptr<store::ObjectStore> store = store::open_local_store(directory).value();
    return std::make_shared<repository::Repository>(std::move(store), settings);
}

// The golden bucket, copied so that tests may change it.
inline void copy_golden_bucket(const std::string& directory) {
    std::filesystem::copy(FORGE_TEST_DATA "/walg/main/store", directory, std::filesystem::copy_options::recursive);
}
inline settings::Settings golden_settings() { return test_settings(codec::Method::kBrotli); }

inline constexpr std::uint64_t kMegabyte = 1 << 20;
inline constexpr std::uint64_t kSystemIdentifier = 7710922509866642591;

// A file as the server would archive it: a valid first page, the rest depends on `seed` and compresses somewhat.
inline Bytes make_segment(const std::string& name, std::uint64_t size, std::uint32_t seed = 1,
                          std::uint64_t system_identifier = kSystemIdentifier) {
    const auto segment = layout::parse_segment(name, size).value();
    Bytes bytes(size);
    std::minstd_rand random(seed);
    for (std::size_t i = 0; i < bytes.size(); i += 64) store_le(&bytes[i], static_cast<std::uint32_t>(random()));
    store_le<std::uint16_t>(&bytes[0], 0xD110);
    store_le<std::uint16_t>(&bytes[2], 0x0002);
    store_le<std::uint32_t>(&bytes[4], segment.timeline);
    store_le<std::uint64_t>(&bytes[8], segment.number * size);
    store_le<std::uint64_t>(&bytes[16], 0);
    store_le<std::uint64_t>(&bytes[24], system_identifier);
    store_le<std::uint32_t>(&bytes[32], static_cast<std::uint32_t>(size));
    store_le<std::uint32_t>(&bytes[36], 8192);
    return bytes;
}

// Writes records into WAL pages as the server does, from the start of a segment on.
class WalBuilder {
public:
    WalBuilder(std::uint64_t first_segment, std::uint64_t segment_size, std::uint16_t magic = 0xD110)
        : begin_(first_segment * segment_size), segment_size_(segment_size), magic_(magic) {}

    Lsn position() const { return begin_ + bytes_.size(); }
    // A record with main data only; returns where it begins.
    Lsn add(std::uint8_t rmgr, std::uint8_t info, std::uint32_t xid, ByteView main_data) {
        const bool is_short = main_data.size() < 256;
        const std::size_t header = is_short ? 26 : 29;
        Bytes record(header + main_data.size());
        if (is_short) {
            record[24] = 255;
            record[25] = static_cast<std::uint8_t>(main_data.size());
        } else {
            record[24] = 254;
            store_le(&record[25], static_cast<std::uint32_t>(main_data.size()));
        }
        std::copy(main_data.begin(), main_data.end(), record.begin() + static_cast<std::ptrdiff_t>(header));
        store_le(&record[0], static_cast<std::uint32_t>(record.size()));
        store_le(&record[4], xid);
        record[16] = info;
        record[17] = rmgr;
        return add_sealed(seal(std::move(record)));
    }
    Lsn add_commit(std::uint32_t xid, std::int64_t unix_micros) {
        Bytes data(8);
        store_le(data.data(), static_cast<std::uint64_t>(unix_micros - 946'684'800'000'000));
        return add(1, 0x00, xid, data);
    }
    Lsn add_restore_point(std::string_view name, std::int64_t unix_micros) {
        Bytes data(8 + 64);
        store_le(data.data(), static_cast<std::uint64_t>(unix_micros - 946'684'800'000'000));
        std::copy(name.begin(), name.end(), data.begin() + 8);
        return add(0, 0x70, 0, data);
    }
    Lsn add_filler(std::size_t size) { return add(10, 0x00, 0, Bytes(size, 0x5A)); }
    // A record as the server wrote it.
    Lsn add_sealed(ByteView record) {
        while (bytes_.size() % 8 != 0) bytes_.push_back(0);
        if (bytes_.size() % kPage == 0) start_page(0, 0);
        const Lsn start = position();
        append(record);
        return start;
    }
    // Begins a record of `size` bytes and crashes after `written` of them; what comes next replaces it, on a new page.
    void break_record(std::size_t size, std::size_t written) {
        Bytes record(size, 0x33);
        store_le(&record[0], static_cast<std::uint32_t>(size));
        add_sealed(ByteView(record).first(written));
        while (bytes_.size() % kPage != 0) bytes_.push_back(0);
        start_page(0x0008, 0);
    }
    // Whole records up to `keep` bytes (a multiple of 8) before the end of the page at hand.
    void fill_page(std::size_t keep) {
        for (;;) {
            const std::size_t used = (bytes_.size() + 7) / 8 * 8 % kPage;
            const std::size_t rest = used == 0 ? 0 : kPage - used;
            if (rest == keep) return;
            add_filler(rest > keep + 200 || rest < keep + 32 ? 100 : rest - keep - 26);
        }
    }
    // The segments so far, the last one filled with zeroes.
    std::vector<Bytes> segments() const {
        std::vector<Bytes> segments;
        for (std::size_t at = 0; at < bytes_.size(); at += segment_size_) {
            const auto end = static_cast<std::ptrdiff_t>(std::min<std::size_t>(at + segment_size_, bytes_.size()));
            segments.emplace_back(bytes_.begin() + static_cast<std::ptrdiff_t>(at), bytes_.begin() + end);
            segments.back().resize(segment_size_);
        }
        return segments;
    }

private:
    static constexpr std::size_t kPage = 8192;
    static Bytes seal(Bytes record) {
        const ByteView view(record);
        store_le(&record[20], crc32c(view.first(20), crc32c(view.subspan(24))));
        return record;
    }
    void start_page(std::uint16_t flags, std::size_t remaining) {
        const bool is_long = bytes_.size() % segment_size_ == 0;
        Bytes header(is_long ? 40 : 24);
        store_le<std::uint16_t>(&header[0], magic_);
        store_le<std::uint16_t>(&header[2], static_cast<std::uint16_t>(flags | (is_long ? 0x0002 : 0)));
        store_le<std::uint32_t>(&header[4], 1);
        store_le<std::uint64_t>(&header[8], position());
        store_le<std::uint32_t>(&header[16], static_cast<std::uint32_t>(remaining));
        if (is_long) {
            store_le<std::uint64_t>(&header[24], kSystemIdentifier);
            store_le<std::uint32_t>(&header[32], static_cast<std::uint32_t>(segment_size_));
            store_le<std::uint32_t>(&header[36], kPage);
        }
        bytes_.insert(bytes_.end(), header.begin(), header.end());
    }
    void append(ByteView rest) {
        while (!rest.empty()) {
            if (bytes_.size() % kPage == 0) start_page(0x0001, rest.size());
            const std::size_t piece = std::min(rest.size(), kPage - bytes_.size() % kPage);
            bytes_.insert(bytes_.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(piece));
            rest = rest.subspan(piece);
        }
    }

    Lsn begin_;
    std::uint64_t segment_size_;
    std::uint16_t magic_;
    Bytes bytes_;
};

}  // namespace forge::testing
