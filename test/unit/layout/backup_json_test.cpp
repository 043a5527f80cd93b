#include "core/layout/backup_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/layout/names.h"
#include "test/unit/base/streams.h"
#include "test/unit/layout/files_metadata_text.h"

namespace forge::layout {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFull = "base_000000010000000000000003";
constexpr const char* kDelta1 = "base_000000010000000000000005_D_000000010000000000000003";
constexpr const char* kDelta2 = "base_000000010000000000000007_D_000000010000000000000005";

std::string golden(const std::string& key) {
    auto content = read_file(std::string(FORGE_TEST_DATA) + "/walg/main/store/" + key, 16 << 20);
    EXPECT_TRUE(content.ok()) << content.status().to_string();
    return content.ok() ? *content : "";
}

Sentinel sentinel_of(const std::string& json) {
    auto sentinel = parse_sentinel(json);
    EXPECT_TRUE(sentinel.ok()) << sentinel.status().to_string();
    return sentinel.ok() ? *sentinel : Sentinel();
}

std::string sentinel_error(const std::string& json) {
    const auto sentinel = parse_sentinel(json);
    EXPECT_FALSE(sentinel.ok()) << json;
    if (sentinel.ok()) return {};
    EXPECT_TRUE(sentinel.status().is(Kind::kCorrupt));
    return sentinel.status().message();
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, SentinelIsWrittenByteForByteAsItWasRead) {
    const std::string json = golden(sentinel_key(GetParam()));
    EXPECT_EQ(sentinel_json(sentinel_of(json)), json);
}

TEST_P(Golden, MetadataIsWrittenByteForByteAsItWasRead) {
    const std::string json = golden(metadata_key(GetParam()));
    const auto metadata = parse_metadata(json);
    ASSERT_TRUE(metadata.ok()) << metadata.status().to_string();
    EXPECT_EQ(metadata_json(*metadata), json);
    // The sentinel says the same, so the one can be written from the other.
    EXPECT_EQ(metadata_json(sentinel_of(golden(sentinel_key(GetParam())))), json);
}

TEST_P(Golden, FilesMetadataKeepsItsContent) {
    const std::string json = golden(files_metadata_key(GetParam()));
    const auto metadata = parse_files_metadata(json);
    ASSERT_TRUE(metadata.ok()) << metadata.status().to_string();
    EXPECT_GT(metadata->files.size(), 900U);
    EXPECT_EQ(nlohmann::json::parse(test::files_metadata_json(*metadata)), nlohmann::json::parse(json));
}

INSTANTIATE_TEST_SUITE_P(Backups, Golden, testing::Values(kFull, kDelta1, kDelta2));

TEST(Sentinel, ReadsTheValuesOfADelta) {
    const Sentinel sentinel = sentinel_of(golden(sentinel_key(kDelta1)));
    EXPECT_EQ(sentinel.start_lsn, 83886120U);
    EXPECT_EQ(sentinel.finish_lsn, 83886336U);
    EXPECT_EQ(sentinel.delta_lsn, 50331688U);
    EXPECT_EQ(sentinel.delta_from, kFull);
    EXPECT_EQ(sentinel.delta_full_name, kFull);
    EXPECT_EQ(sentinel.delta_count, 1);
    EXPECT_EQ(sentinel.pg_version, 150020);
    EXPECT_EQ(sentinel.system_identifier, 7710922509866642591U);  // above 2^53
    EXPECT_EQ(sentinel.base_prefix, "/srv/fixture/pgdata");
    ASSERT_EQ(sentinel.tablespaces.size(), 1U);
    EXPECT_EQ(sentinel.tablespaces[0].oid, "16384");
    EXPECT_EQ(sentinel.tablespaces[0].location, "/srv/fixture/ts1");
    EXPECT_EQ(sentinel.user_data, R"({"fixture":"delta1"})");
    EXPECT_EQ(format_rfc3339(sentinel.start_time), "2026-11-22T09:17:34.365927Z");
    EXPECT_EQ(sentinel.hostname, "walg-fixture");
    EXPECT_TRUE(sentinel.is_delta());
}

TEST(Sentinel, ReadsUnknownMissingNullAndDifferentlyWrittenMembers) {  // R11
    const Sentinel sentinel = sentinel_of(R"( { "lsn" : 5, "FUTURE":{"x":[1,{"y":"}"}]}, "FinishLSN":null,
        "spec":{"base_prefix":"/d","tablespaces":null}, "PgVersion":1, "pgversion":150001, "Files":{"/a":{}} } )");
    EXPECT_EQ(sentinel.start_lsn, 5U);
    EXPECT_FALSE(sentinel.finish_lsn);
    EXPECT_EQ(sentinel.base_prefix, "/d");
    EXPECT_EQ(sentinel.pg_version, 150001);
    EXPECT_EQ(sentinel.version, 0);
    EXPECT_EQ(sentinel.start_time, Instant{});
    EXPECT_FALSE(sentinel_of("{}").start_lsn);
    EXPECT_EQ(sentinel_of(R"({"DeltaFromLSN":7})").delta_lsn, 7U);
}

TEST(Sentinel, WrongTypesAreRefusedByName) {
    EXPECT_THAT(sentinel_error(R"({"LSN":"5"})"), HasSubstr("\"LSN\""));
    EXPECT_THAT(sentinel_error(R"({"LSN":-1})"), HasSubstr("\"LSN\""));
    EXPECT_THAT(sentinel_error(R"({"LSN":1.5})"), HasSubstr("\"LSN\""));
    EXPECT_THAT(sentinel_error(R"({"SystemIdentifier":18446744073709551616})"), HasSubstr("\"SystemIdentifier\""));
    EXPECT_THAT(sentinel_error(R"({"DeltaFrom":{}})"), HasSubstr("\"DeltaFrom\""));
    EXPECT_THAT(sentinel_error(R"({"StartTime":"yesterday"})"), HasSubstr("\"StartTime\""));
    EXPECT_THAT(sentinel_error(R"({"IsPermanent":0})"), HasSubstr("\"IsPermanent\""));
    EXPECT_THAT(sentinel_error(R"({"Spec":[]})"), HasSubstr("\"Spec\""));
    EXPECT_THAT(sentinel_error(R"({"Spec":{"tablespaces":["16384"]}})"), HasSubstr("\"16384\""));
}

TEST(Sentinel, DamagedTextIsRefused) {  // S15
    const std::string json = golden(sentinel_key(kFull));
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, json.size() / 2, json.size() - 1}) {
        EXPECT_THAT(sentinel_error(json.substr(0, length)), HasSubstr("not valid JSON"));
    }
    EXPECT_THAT(sentinel_error("[]"), HasSubstr("not a JSON object"));
    EXPECT_THAT(sentinel_error("{}x"), HasSubstr("not valid JSON"));
    EXPECT_THAT(sentinel_error("{\"Hostname\":\"\xff\"}"), HasSubstr("not valid JSON"));
}

TEST(Sentinel, UserDataSurvivesByteForByte) {  // W27 of the format notes: no number passes through a double
    for (const char* data :
         {"12345678901234567890", "1.0", R"({"z":1,"a":[ 1.10, "\u003c<" ]})", R"("text")", "false"}) {
        Sentinel sentinel;
        sentinel.user_data = data;
        EXPECT_EQ(sentinel_of(sentinel_json(sentinel)).user_data, data);
        const auto metadata = parse_metadata(metadata_json(sentinel));
        ASSERT_TRUE(metadata.ok());
        EXPECT_EQ(metadata->user_data, data);
    }
    Sentinel sentinel;
    sentinel.user_data = "no JSON";
    EXPECT_EQ(sentinel_of(sentinel_json(sentinel)).user_data, "\"no JSON\"");
}

TEST(Sentinel, TextsAreEscapedAsTheReferenceDoes) {
    Sentinel sentinel;
    sentinel.hostname = "a<b>&\"\\\n\xE2\x80\xA8\xC3\xA9";
    const std::string json = sentinel_json(sentinel);
    EXPECT_THAT(json, HasSubstr("\"Hostname\":\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\u2028\xC3\xA9\""));
    EXPECT_EQ(sentinel_of(json).hostname, sentinel.hostname);
}

TEST(Sentinel, WithoutOptionalMembers) {
    EXPECT_EQ(
        sentinel_json(Sentinel()),
        R"({"LSN":null,"PgVersion":0,"FinishLSN":null,"UncompressedSize":0,"CompressedSize":0,"ChkpNum":null,"Version":2,)"
        R"("StartTime":"0001-01-01T00:00:00Z","FinishTime":"0001-01-01T00:00:00Z","DateFmt":"%Y-%m-%dT%H:%M:%S.%fZ",)"
        R"("Hostname":"","DataDir":"","IsPermanent":false})");
    EXPECT_EQ(sentinel_of(sentinel_json(Sentinel())).start_time, Instant{});
    Sentinel sentinel;
    sentinel.files_metadata_disabled = true;
    sentinel.start_time = Instant{1'000'000'001};  // rounded up to the microsecond
    EXPECT_THAT(sentinel_json(sentinel), HasSubstr("\"FilesMetadataDisabled\":true,\"ChkpNum\":null"));
    EXPECT_THAT(sentinel_json(sentinel), HasSubstr("\"StartTime\":\"1970-01-01T00:00:01.000001Z\""));
}

TEST(Sentinel, SeveralTablespacesKeepTheirOrder) {
    Sentinel sentinel;
    sentinel.base_prefix = "/data";
    sentinel.tablespaces = {{"9", "/b"}, {"16384", "/a"}};
    const std::string json = sentinel_json(sentinel);
    EXPECT_THAT(
        json,
        HasSubstr(R"("Spec":{"16384":{"loc":"/a","link":"pg_tblspc/16384"},"9":{"loc":"/b","link":"pg_tblspc/9"},)"
                  R"("base_prefix":"/data","tablespaces":["9","16384"]})"));
    const Sentinel read = sentinel_of(json);
    ASSERT_EQ(read.tablespaces.size(), 2U);
    EXPECT_EQ(read.tablespaces[0].oid, "9");
    EXPECT_EQ(read.tablespaces[1].location, "/a");
}

TEST(Metadata, SaysMoreThanTheSentinel) {
    Sentinel sentinel;
    sentinel.is_permanent = true;
    sentinel.hostname = "h";
    ASSERT_TRUE(apply_metadata("{}", sentinel).ok());
    EXPECT_TRUE(sentinel.is_permanent) << "nothing said, nothing changed";
    ASSERT_TRUE(apply_metadata(R"({"is_permanent":false})", sentinel).ok());
    EXPECT_FALSE(sentinel.is_permanent);
    EXPECT_EQ(sentinel.hostname, "h");
    EXPECT_FALSE(apply_metadata(R"({"hostname":"x","is_permanent":3})", sentinel).ok());
    EXPECT_EQ(sentinel.hostname, "h") << "a failure changes nothing";
}

TEST(FilesMetadata, ReadsEntriesOfEveryForm) {
    const auto metadata = parse_files_metadata(
        R"({"Files":{"/a \"q\" \u00e9":{"IsIncremented":true,"mtime":"2026-11-22T14:30:49.024762229+05:30","New":1},)"
        R"("/b":{"IsSkipped":true,"CorruptBlocks":{"CorruptBlocksCount":12,"SomeCorruptBlocks":[0,4294967295]}}},)"
        R"("TarFileSets":{"part_001.tar.br":["/","/a"],"empty":null},"DatabasesByNames":{"d":{"oid":5}}})");
    ASSERT_TRUE(metadata.ok()) << metadata.status().to_string();
    const FileEntry& a = metadata->files.at("/a \"q\" \xC3\xA9");
    EXPECT_TRUE(a.is_incremented);
    EXPECT_EQ(format_rfc3339(a.mtime, 9), "2026-11-22T09:00:49.024762229Z");
    const FileEntry& b = metadata->files.at("/b");
    EXPECT_TRUE(b.is_skipped);
    EXPECT_EQ(b.corrupt_count, 12U);
    EXPECT_THAT(b.corrupt_blocks, ElementsAre(0U, 4294967295U));
    ASSERT_EQ(metadata->tar_file_sets.size(), 2U);
    EXPECT_THAT(metadata->tar_file_sets[0].second, ElementsAre("/", "/a"));
    EXPECT_EQ(metadata->databases_by_names, R"({"d":{"oid":5}})");
}

TEST(FilesMetadata, EntriesAreReadOneByOne) {
    const std::string json =
        R"({"files":{"/b":{"IsSkipped":true,"MTime":"2026-11-22T14:30:49.5Z","New":{"a":[1,{}]}},"/a":null,"/c":{}},)"
        R"("TarFileSets":{"part_001.tar.br":["/","/a"],"Files":["/no"]},"DatabasesByNames":{"d":{"oid":5}}})";
    std::vector<std::pair<std::string, FileEntry>> found;
    const auto read = [&found](const std::string& text) {
        test::SlowSource source(Bytes(text.begin(), text.end()), 3);
        return each_file_entry(source, [&found](const std::string& name, const FileEntry& entry) {
            found.emplace_back(name, entry);
            return Status();
        });
    };
    ASSERT_TRUE(read(json).ok());
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found[0].first + found[1].first + found[2].first, "/b/a/c") << "as they stand";
    const auto whole = parse_files_metadata(json);
    ASSERT_TRUE(whole.ok()) << whole.status().to_string();
    for (const auto& [name, entry] : found) EXPECT_EQ(entry, whole->files.at(name)) << name;

    for (std::size_t size = 0; size < json.size(); ++size)
        EXPECT_TRUE(read(json.substr(0, size)).is(Kind::kCorrupt)) << "cut after " << size;
    for (const char* wrong : {"[]", R"({"Files":[{}]})", R"({"Files":1})", R"({"Files":{"/a":1}})", R"({} {})"})
        EXPECT_TRUE(read(wrong).is(Kind::kCorrupt)) << wrong;
    EXPECT_THAT(read(R"({"Files":{"/a":{"IsSkipped":"no"}}})").message(),
                AllOf(HasSubstr("\"/a\""), HasSubstr("\"IsSkipped\"")));
    for (const char* none : {"{}", R"({"Files":null})"}) EXPECT_TRUE(read(none).ok()) << none;
}

TEST(FilesMetadata, WhatTheSourceFailsWithComesBack) {
    test::FailingSource source;
    const auto ignore = [](const std::string&, const FileEntry&) { return Status(); };
    EXPECT_TRUE(each_file_entry(source, ignore).is(Kind::kUnavailable));
    const std::string json = R"({"Files":{"/a":{}}})";
    MemorySource whole(Bytes(json.begin(), json.end()));
    const auto refuse = [](const std::string&, const FileEntry&) { return Status(Kind::kInvalid, "not this one"); };
    EXPECT_TRUE(each_file_entry(whole, refuse).is(Kind::kInvalid));
}

TEST(FilesMetadata, ErrorsNameTheFile) {
    const auto metadata = parse_files_metadata(R"({"Files":{"/a":{"IsSkipped":"no"}}})");
    ASSERT_FALSE(metadata.ok());
    EXPECT_TRUE(metadata.status().is(Kind::kCorrupt));
    EXPECT_THAT(metadata.status().message(), HasSubstr("\"/a\""));
    EXPECT_THAT(metadata.status().message(), HasSubstr("\"IsSkipped\""));
}

TEST(FilesMetadata, OptionalMembersAreLeftOutAndNamesAreNotHtmlEscaped) {
    EXPECT_EQ(test::files_metadata_json({}), "{}");
    FilesMetadata metadata;
    metadata.files["/a<&>"].mtime = Instant{1};
    EXPECT_EQ(
        test::files_metadata_json(metadata),
        R"({"Files":{"/a<&>":{"IsIncremented":false,"IsSkipped":false,"MTime":"1970-01-01T00:00:00.000000001Z","UpdatesCount":0}}})");
}

TEST(FilesMetadata, AHundredThousandFilesAreReadInSeconds) {  // P15
    FilesMetadata metadata;
    for (int i = 0; i < 100'000; ++i)
        metadata.files["/base/5/" + std::to_string(i)].mtime = Instant{1'700'000'000'000'000'000 + i};
    const std::string json = test::files_metadata_json(metadata);
    const auto start = std::chrono::steady_clock::now();
    const auto read = parse_files_metadata(json);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->files.size(), metadata.files.size());
    EXPECT_EQ(read->files.at("/base/5/99999").mtime.nanos, 1'700'000'000'000'099'999);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

// Rounding up went beyond the last instant there is.
TEST(Sentinel, TheLastInstantIsNotRounded) {
    Sentinel sentinel;
    sentinel.start_time = Instant{INT64_MAX};
    const auto read = parse_sentinel(sentinel_json(sentinel));
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->start_time.micros(), sentinel.start_time.micros());
}

}  // namespace
}  // namespace forge::layout
