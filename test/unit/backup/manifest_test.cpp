#include "core/backup/manifest.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "test/unit/backup/manifest_text.h"

namespace forge::backup {
namespace {

using test::each_of;
using test::parse_manifest;
using test::signed_again;
using test::text_of;
using test::WholeManifest;
using ::testing::HasSubstr;

WholeManifest sample() {
    WholeManifest manifest;
    manifest.backup = "base_000000010000000000000005";
    manifest.sentinel_sha256 = sha256(as_bytes("{}"));
    manifest.parts = {{"part_001.tar.zst", 100, 2048, sha256(as_bytes("p"))},
                      {"pg_control.tar.zst", 50, 9728, sha256(as_bytes("c"))}};
    manifest.listed = {{"base/5/1259", 8192, 1'795'000'000, file_checksum(as_bytes("123456789"))},
                       {"odd \"name\" \xC3\xBC\\", 3, 1'795'000'001, sha256(as_bytes("2"))}};
    manifest.files.wal = {{3, 0x5000028, 0x100000128}};
    return manifest;
}

WholeManifest delta_sample() {
    WholeManifest manifest = sample();
    manifest.backup = "base_000000010000000000000007_D_000000010000000000000005";
    manifest.parent = "base_000000010000000000000005";
    manifest.parent_sentinel_sha256 = sha256(as_bytes("parent"));
    manifest.incremented = {"base/5/1259"};
    manifest.skipped = {"odd \"name\" \xC3\xBC\\"};
    manifest.listed.front().checksum.reset();
    return manifest;
}

// The form that pg_verifybackup demands, and its checksum over everything before the last line.
TEST(FileManifest, TextOfTheServer) {
    MemorySink sink;
    const WholeManifest manifest = sample();
    ASSERT_TRUE(write_file_manifest(manifest.files, each_of(manifest.listed), sink).ok());
    const std::string text(as_text(sink.bytes()));
    const std::string body =
        "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
        "\"Files\": [\n"
        "{ \"Path\": \"base/5/1259\", \"Size\": 8192, \"Last-Modified\": \"2026-11-18 11:06:40 GMT\", "
        "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"839206e3\" },\n"
        "{ \"Path\": \"odd \\\"name\\\" \xC3\xBC\\\\\", \"Size\": 3, \"Last-Modified\": \"2026-11-18 11:06:41 GMT\", "
        "\"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"" +
        to_hex(sha256(as_bytes("2"))) +
        "\" }\n"
        "],\n"
        "\"WAL-Ranges\": [\n"
        "{ \"Timeline\": 3, \"Start-LSN\": \"0/5000028\", \"End-LSN\": \"1/128\" }\n"
        "],\n";
    EXPECT_EQ(text, body + "\"Manifest-Checksum\": \"" + to_hex(sha256(as_bytes(body))) + "\"}\n");
}

TEST(FileManifest, SystemIdentifierIsInVersionTwoOnly) {
    FileManifest manifest = sample().files;
    manifest.system_identifier = 7710922509866642591ULL;
    manifest.version = 2;
    MemorySink sink;
    ASSERT_TRUE(write_file_manifest(
                    manifest, [](ManifestFile&) { return false; }, sink)
                    .ok());
    EXPECT_THAT(std::string(as_text(sink.bytes())),
                HasSubstr("Version\": 2,\n\"System-Identifier\": 7710922509866642591,\n"));
}

TEST(Manifest, ReadsWhatItWrites) {
    const WholeManifest before = sample();
    auto after = parse_manifest(text_of(before));
    ASSERT_TRUE(after.ok()) << after.status().to_string();
    EXPECT_EQ(after->backup, before.backup);
    ASSERT_EQ(after->parts.size(), 2U);
    EXPECT_EQ(after->parts[1].name, "pg_control.tar.zst");
    EXPECT_EQ(after->parts[0].stored_size, 100U);
    EXPECT_EQ(after->parts[0].plain_size, 2048U);
    EXPECT_EQ(after->parts[0].sha256, before.parts[0].sha256);
    ASSERT_EQ(after->listed.size(), 2U);
    EXPECT_EQ(after->listed[1].path, before.listed[1].path);
    EXPECT_EQ(after->listed[1].mtime_seconds, 1'795'000'001);
    EXPECT_EQ(after->listed[1].checksum, before.listed[1].checksum);
    ASSERT_EQ(after->files.wal.size(), 1U);
    EXPECT_EQ(after->files.wal[0].timeline, 3U);
    EXPECT_EQ(after->files.wal[0].end, 0x100000128U);
    EXPECT_EQ(text_of(*after), text_of(before));
}

TEST(Manifest, ReadsTheManifestOfADelta) {
    const WholeManifest before = delta_sample();
    auto after = parse_manifest(text_of(before));
    ASSERT_TRUE(after.ok()) << after.status().to_string();
    EXPECT_EQ(after->parent, before.parent);
    EXPECT_EQ(after->parent_sentinel_sha256, before.parent_sentinel_sha256);
    EXPECT_EQ(after->sentinel_sha256, before.sentinel_sha256);
    EXPECT_EQ(after->incremented, before.incremented);
    EXPECT_EQ(after->skipped, before.skipped);
    EXPECT_FALSE(after->listed[0].checksum);
    EXPECT_EQ(after->listed[1].checksum, before.listed[1].checksum);
    EXPECT_EQ(text_of(*after), text_of(before));
}

TEST(Manifest, EveryCutAndEveryChangedByteIsCorrupt) {
    const std::string text = text_of(delta_sample());
    for (std::size_t size = 0; size < text.size(); ++size)
        ASSERT_EQ(parse_manifest(text.substr(0, size)).status().kind(), Kind::kCorrupt) << size;
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string changed = text;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        ASSERT_EQ(parse_manifest(changed).status().kind(), Kind::kCorrupt) << "byte " << i << ": " << text[i];
    }
    EXPECT_EQ(parse_manifest(text + "\n").status().kind(), Kind::kCorrupt);
    EXPECT_EQ(parse_manifest("[]").status().kind(), Kind::kCorrupt);
    EXPECT_EQ(parse_manifest("{\"version\":\"1\"}").status().kind(), Kind::kCorrupt);
}

// H11
TEST(Manifest, LaterVersionIsRefusedAndUnknownMembersAreNot) {
    const std::string text = text_of(sample());
    EXPECT_TRUE(parse_manifest(signed_again(text, ",\"parts\"", ",\"new\":1,\"parts\"")).ok());
    const Status status = parse_manifest(signed_again(text, "\"version\":3", "\"version\":4")).status();
    EXPECT_EQ(status.kind(), Kind::kInvalid);
    EXPECT_THAT(status.hint(), HasSubstr("at least as new"));
    EXPECT_EQ(parse_manifest(signed_again(text, to_hex(sha256(as_bytes("{}"))), "12")).status().kind(), Kind::kCorrupt);
}

// More than the reader holds at a time, with every escape that the list can need.
TEST(Manifest, LongListsAreReadFileByFile) {
    WholeManifest before = sample();
    for (int i = 0; i < 20'000; ++i)
        before.listed.push_back({"base/5/" + std::to_string(i) + "\"\\\b\f\n\r\t\x01\x1F/", 8192, i, Crc32c{7}});
    const auto after = parse_manifest(text_of(before));
    ASSERT_TRUE(after.ok()) << after.status().to_string();
    ASSERT_EQ(after->listed.size(), before.listed.size());
    for (std::size_t i = 0; i < before.listed.size(); ++i) ASSERT_EQ(after->listed[i].path, before.listed[i].path);
    EXPECT_EQ(text_of(*after), text_of(before));
}

TEST(Manifest, WhatTheTakerFailsWithIsTheResult) {
    const std::string text = text_of(sample());
    MemorySource source(Bytes(text.begin(), text.end()));
    int taken = 0;
    const auto result = read_manifest(source, [&](const ManifestFile&) {
        ++taken;
        return Status(Kind::kUnavailable, "no room");
    });
    EXPECT_EQ(result.status().kind(), Kind::kUnavailable);
    EXPECT_EQ(taken, 1);
}

TEST(Manifest, FailureOfTheSourceIsTheResult) {
    class Broken final : public Source {
    public:
        explicit Broken(std::string text) : text_(std::move(text)) {}
        Result<std::size_t> read(MutableBytes buffer) override {
            if (text_.empty()) return Status(Kind::kTimeout, "no answer");
            const std::size_t size = std::min(buffer.size(), text_.size());
            std::copy_n(text_.begin(), size, buffer.begin());
            text_.erase(0, size);
            return size;
        }

    private:
        std::string text_;
    };
    const std::string text = text_of(sample());
    for (std::size_t size = 0; size < text.size(); size += 10) {
        Broken source(text.substr(0, size));
        EXPECT_EQ(read_manifest(source, [](const ManifestFile&) { return Status(); }).status().kind(), Kind::kTimeout);
    }
}

// A list with something else among the files, or in place of them.
TEST(Manifest, OtherThingsInTheListAreCorrupt) {
    const std::string text = text_of(sample());
    const std::string first = "{ \\\"Path\\\"";
    for (const char* other : {"7, ", "[], ", "\\\"x\\\", ", "{}, ", "{ \\\"Path\\\": 5 }, "}) {
        const auto result = parse_manifest(test::with_list_changed(text, first, other + first));
        EXPECT_EQ(result.status().kind(), Kind::kCorrupt) << other;
        EXPECT_EQ(result.status().message().find("digest"), std::string::npos) << result.status().message();
        EXPECT_EQ(result.status().message().find("checksum"), std::string::npos) << result.status().message();
    }
    EXPECT_EQ(parse_manifest(test::with_list_changed(text, "Files", "Other")).status().kind(), Kind::kCorrupt);
}

TEST(Manifest, VersionOneHasDigestsOfTarStreams) {
    const WholeManifest before = sample();
    const auto after = parse_manifest(test::version_one(before));
    ASSERT_TRUE(after.ok()) << after.status().to_string();
    EXPECT_TRUE(after->parts[0].of_tar_stream);
    EXPECT_EQ(after->parts[0].sha256, before.parts[0].sha256);
    EXPECT_FALSE(parse_manifest(text_of(before))->parts[0].of_tar_stream);
}

TEST(Manifest, OtherChecksumsOfFilesAreCorrupt) {
    const auto kind = [](const char* algorithm, const char* text) {
        return parse_file_checksum(algorithm, text).status().kind();
    };
    EXPECT_EQ(kind("SHA512", "839206e3"), Kind::kCorrupt);
    EXPECT_EQ(kind("CRC32C", "839206"), Kind::kCorrupt);
    EXPECT_EQ(kind("CRC32C", "839206xx"), Kind::kCorrupt);
    EXPECT_EQ(kind("SHA256", "839206e3"), Kind::kCorrupt);
}

// Numbers were wrapped and rounded to fit: a version of 1.9 passed for 1, a size of -1 for the largest of all.
TEST(Manifest, NumbersThatDoNotFitAreCorrupt) {
    const std::string text = text_of(sample());
    for (const char* version : {"1.9", "-1", "1e300", "\"1\"", "null"})
        EXPECT_EQ(
            parse_manifest(signed_again(text, "\"version\":3", "\"version\":" + std::string(version))).status().kind(),
            Kind::kCorrupt)
            << version;
    for (const char* size : {"-1", "1.5", "1e300", "18446744073709551616"})
        EXPECT_EQ(
            parse_manifest(signed_again(text, "\"stored_size\":", "\"stored_size\":" + std::string(size) + ",\"was\":"))
                .status()
                .kind(),
            Kind::kCorrupt)
            << size;
}

TEST(Manifest, KeysAndTheirMethods) {
    EXPECT_EQ(manifest_key("base_1", codec::Method::kZstd), "basebackups_005/base_1/forge_manifest.json.zst");
    EXPECT_EQ(manifest_key("base_1", codec::Method::kNone), "basebackups_005/base_1/forge_manifest.json");
    EXPECT_EQ(manifest_method("forge_manifest.json.br"), codec::Method::kBrotli);
    EXPECT_EQ(manifest_method("forge_manifest.json"), codec::Method::kNone);
    EXPECT_FALSE(manifest_method("forge_manifest.json.txt"));
    EXPECT_FALSE(manifest_method("forge_manifest.json."));
    EXPECT_FALSE(manifest_method("forge_manifest.jsonx"));
    EXPECT_FALSE(manifest_method("metadata.json"));
}

}  // namespace
}  // namespace forge::backup
