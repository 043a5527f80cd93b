// Frames between the server side and the helper, over a socket pair. Either side treats the other's bytes as untrusted:
// bounded length, version byte, no pointers. Header: u32 length of the rest (little-endian), u8 protocol version, u8
// type. Body: fields, each u16 tag, u32 length, bytes; unknown tags are ignored, a repeated tag makes a list. Knows
// neither sockets nor the server: bytes in, frames out.
//
// The conversation. The server side starts with kHello and kConfigure; the helper answers kWelcome and kConfigured.
//
// kHello        kVersion (of the software), kRole, kDataDirectory (absolute), kSegmentSize (bytes), kSystemIdentifier,
//               kServerVersion, kClusterName
// kWelcome      kVersion, kPid. With another version than its own the server side drops the helper.
// kConfigure    kEpoch, kSetting* "name=value": names without prefix, empty value = not set; a secret is never sent,
//               only the name of a file
// kConfigured   kEpoch, kState "on" | "off" | "error", kStorage (shown URL), kSetting* "name<TAB>value<TAB>source",
//               kKey* "fingerprint<TAB>source" (the active one first), with "error" kKind, kMessage, kHint. Sent unasked as well when a file the settings come from changed.
// kLog          kLevel "debug" | "info" | "notice" | "warning", kMessage: at any time
// kFailed       kKind, kMessage, kHint: instead of any other answer
// kKeyUse       kKey* "fingerprint<TAB>objects": what keys have opened since it was said last; before the end of an
//               answer
// kStatistics   kValue (core/base/statistics.h): what the helper has measured since it was said last; before the end of
//               an answer
//
// Role "archiver", one long-lived helper of the archiver process:
// kArchive      kName, kPath, kEpoch, kTimeoutMs. Asking again for a name joins its running job.
// kArchived     kName, kEpoch, kState, kKind ("ok" or an error kind), kMessage, kHint. With state "off" the answer is
//               "ok" at once and nothing is stored; with state "foreign" the same, since the prefix belongs to another
//               cluster and the settings say to drop WAL then. Of a segment, kLatestLsn and kLatestTime: end and time
//               of its last commit or abort.
// kForget       kName: the server side stopped waiting; the job may go on
// kStoreState   kState "closed" | "open" | "half-open", kFailures, kNextTry (microseconds since 1970, 0 = none),
//               kKind, kMessage, and kConditionalPut ("yes" | "no") once that is known: on each change
//
// kOwner        kState "ours" | "foreign" | "unknown", kValue (whose prefix it is), kKind, kMessage, kHint: on each
// change
//
// Role "backup", one helper for one base backup; end of file on its input means: abandon it, remove what was uploaded:
// kBackupBegin  kTimeline, kStartLsn, kFromStandby, kTablespace* "oid<TAB>directory", kStartTime (microseconds since
//               1970), kPermanent, kUserData, kVerifyChecksums, kFull (1: no delta)
//               -> kProgress (at most 4 a second, with kName), then kBackupCopied kName
// kWalExists    kName -> kDone kState "yes" | "no"
// kBackupStop   kFinishLsn, kTimeline (of the finish), kLabel, kTablespaceMap
//               -> kProgress, then kDone kName, kUncompressed, kCompressed, kParts, kFiles, kCorruptPages,
//               kCorruptFile*, and of a delta kParent, kSkippedFiles, kIncrementedFiles
//
// Role "query", one helper for questions of a backend or the scheduler, one after the other:
// kList         -> kRow with the columns of backup_list(), then kDone
// kPlan         kTargetType "latest" | "immediate" | "time" | "lsn" | "xid" | "name", kTargetValue (as text),
//               kTargetTimeline, kBackup, kInclusive, kAllowNearest -> kRow name, value, then kDone
// kRestorePoints -> kRow with the columns of restore_points, then kDone
// kCheck        -> kRow check, level, detail, hint, then kDone
// kVerify       kName (or "LATEST") -> kRow object, level, size, detail while it goes on, then kDone
// kMarkBackup   kName, kPermanent -> kRow backup, permanent for each that was something else before, then kDone
// kDeleteBackup kName, kForce -> kRow backup, objects, bytes for each that was deleted, then kDone
// kContinuity   kTimeline, kFinishLsn (0: only look for a backup), kFull (1: read what the backup consists of)
//               -> kRow "hole", first, last, count; "on disk", name, for each; then kDone kState "none" | "foreign" |
//               "damaged" | "backup", kMessage, kName, kStartTime and kFinishTime (microseconds since 1970), kWal (its
//               first segment), kCounter (segments that wait for the archiver). With kWindow 1, or where one of the
//               kBackup* that the server knows is gone or the newest is none of them, or there are holes: kWindow (the
//               oldest backup of the window; empty = there is none) with kEarliestLsn, kEarliestTime, and where a
//               transaction ended kLatestLsn, kLatestTime
// kRetain       kTimeline, kSchedule (cron expression, may be empty), kExecute -> kRow backup, keep, reason, objects,
//               bytes; the last row, with null for the backup, is WAL; then kDone. With kExecute 1 the plan is carried
//               out: kDone kMessage (what was removed, empty = nothing), kState (why nothing may be, empty = it may),
//               kBackup* (those that are gone), kFailures (objects the store refused to remove), kHint (the first refusal)
// kReport       kTimeline, kSchedule as for kRetain, kValue (a JSON object: what the server knows; none: nothing)
//               -> kRow with one piece of the page each, then kDone. A store that cannot be read, and settings that are
//               wrong or say nothing, make a page that says so.
// kAdoptPrefix  -> kRow when ("before", "after"), system identifier, cluster name, namespace, id, created by,
//               created at; then kDone
// kSearchKeys   kKey* "fingerprint<TAB>object": old keys whose need is asked for, and an object that needed each (may
//               be empty) -> kKeys: kKey* "fingerprint<TAB>yes|no|unknown<TAB>object", kCounter (objects that were
//               looked at), then kDone
// kVerify, kDeleteBackup and kRetain send kProgress (kBytesTotal, kBytesDone, kFilesTotal, kFilesDone: of objects), at most 4 a
// second, before the kDone.
// A row has one kValue or kNull field a column, in order; instants in rows are texts as format_postgres() makes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forge::protocol {

inline constexpr std::uint8_t kProtocolVersion = 1;
inline constexpr std::uint32_t kMaxFrame = 4u << 20;

enum class FrameType : std::uint8_t {
    // server -> helper
    kHello = 1,        // version, role, data_directory, segment_size, system_identifier, server_version
    kConfigure = 2,    // epoch, setting (repeated "name=value")
    kArchive = 3,      // name, path, epoch, timeout_ms
    kForget = 4,       // name: nobody waits for it any more
    kBackupBegin = 5,  // backup start data
    kBackupStop = 6,   // finish_lsn, timeline, label, tablespace_map
    kList = 7,         // -> rows
    kPlan = 8,         // target -> rows
    kCheck = 9,        // -> rows
    kWalExists = 10,   // name -> kDone or kFailed(not found)
    kPing = 11,
    kVerify = 12,        // name -> rows
    kMarkBackup = 13,    // name, permanent -> rows
    kDeleteBackup = 14,  // name, force -> rows
    kContinuity = 15,    // timeline, finish_lsn, full, measure, window, backup -> rows, bytes_stored, window
    kRetain = 16,        // timeline, schedule, execute -> rows
    kAdoptPrefix = 17,   // -> rows
    kSearchKeys = 18,    // key -> kKeys
    kReport = 19,         // timeline, schedule, value -> rows
    kRestorePoints = 20,  // -> rows
    kLastToHelper = kRestorePoints,
    // helper -> server
    kWelcome = 64,  // version, pid
    kConfigured =
        65,  // epoch, state (off | clone | on | error), storage, message, hint, kind, setting rows
             // "name\tvalue\tsource"; of a restored data directory: source, restored_at, clone
    kArchived = 66,  // name, epoch, kind (ok or error), message, hint
    kProgress = 67,  // bytes_total, bytes_done, bytes_stored, files_total, files_done, tablespaces_done
    kBackupCopied = 68,
    kDone = 69,        // end of a request; backup: name, sizes
    kFailed = 70,      // kind, message, hint
    kRow = 71,         // value (repeated), null flags
    kLog = 72,         // level, message
    kStoreState = 73,  // breaker state, failures, next try, last error
    kOwner = 74,       // state, whose prefix it is, what is wrong
    kKeyUse = 75,      // key (repeated)
    kKeys = 76,        // key (repeated), counter
    kStatistics = 77,  // value
    kLastToServer = kStatistics,
};

enum class Tag : std::uint16_t {
    kVersion = 1,
    kRole,
    kDataDirectory,
    kSegmentSize,
    kSystemIdentifier,
    kServerVersion,
    kEpoch,
    kSetting,
    kName,
    kPath,
    kTimeoutMs,
    kKind,
    kMessage,
    kHint,
    kStorage,
    kState,
    kPid,
    kValue,
    kNull,
    kLevel,
    kBytesTotal,
    kBytesDone,
    kBytesStored,
    kFilesTotal,
    kFilesDone,
    kTablespacesDone,
    kTimeline,
    kStartLsn,
    kFinishLsn,
    kFromStandby,
    kTablespace,
    kStartTime,
    kPermanent,
    kUserData,
    kVerifyChecksums,
    kLabel,
    kTablespaceMap,
    kParts,
    kFiles,
    kCorruptPages,
    kCorruptFile,
    kTargetType,
    kTargetValue,
    kTargetTimeline,
    kBackup,
    kInclusive,
    kFailures,
    kNextTry,
    kUncompressed,
    kCompressed,
    kAllowNearest,
    kCounter,
    kFull,
    kParent,
    kSkippedFiles,
    kIncrementedFiles,
    kForce,
    kFinishTime,
    kWal,
    kSchedule,
    kExecute,
    kConditionalPut,
    kClusterName,
    kKey,
    kSource,
    kRestoredAt,
    kClone,
    kMeasure,
    kWindow,
    kEarliestLsn,
    kEarliestTime,
    kLatestLsn,
    kLatestTime,
};

struct Frame {
    FrameType type{};
    struct Field {
        Tag tag;
        std::string value;
    };
    std::vector<Field> fields;

    explicit Frame(FrameType t = FrameType::kPing) : type(t) {}
    Frame& add(Tag tag, std::string_view value);
    Frame& add_number(Tag tag, std::uint64_t value);
    // First value of the tag; empty / 0 / false when absent.
    std::string_view text(Tag tag) const;
    std::uint64_t number(Tag tag) const;
    bool has(Tag tag) const;
    std::vector<std::string_view> all(Tag tag) const;
};

// Bytes to send. Frames over kMaxFrame are refused with nothing.
std::optional<std::string> encode(const Frame& frame);

// Collects bytes as they come and cuts frames out of them.
class Decoder {
public:
    void feed(std::string_view bytes) { buffer_.append(bytes); }
    enum class Outcome { kFrame, kNeedMore, kBroken };  // broken: wrong version or nonsense; the peer must be dropped
    Outcome next(Frame& frame);

private:
    std::string buffer_;
    std::size_t at_ = 0;
};

}  // namespace forge::protocol
