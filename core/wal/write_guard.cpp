#include "core/wal/write_guard.h"

#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/layout/history.h"
#include "core/wal/page_header.h"
#include "core/wal/push.h"

namespace forge::wal {

using repository::Identity;
using repository::OwnerRecord;
using repository::Repository;

namespace {

constexpr std::uint64_t kLargestHistory = 1 << 20;

// The object whose sentinel was written last, among those directly in the folder of backups.
Result<std::string> newest_sentinel(Repository& repository, const store::CallContext& context) {
    FORGE_ASSIGN(const auto folder, repository.store().list_folder(std::string(layout::kBackupsFolder), context));
    const store::ObjectInfo* newest = nullptr;
    for (const store::ObjectInfo& object : folder.objects)
        if (layout::backup_of_sentinel(object.key) && (newest == nullptr || newest->modified <= object.modified))
            newest = &object;
    return newest == nullptr ? std::string() : newest->key;
}

Result<std::uint64_t> system_identifier_of_sentinel(Repository& repository, const std::string& key,
                                                    const store::CallContext& context) {
    constexpr std::size_t kLargestSentinel = 64 << 20;  // old versions list every file in it
    FORGE_ASSIGN(const std::unique_ptr<Source> source, repository.store().get(key, std::nullopt, context));
    FORGE_ASSIGN(const std::string text, read_all_text(*source, kLargestSentinel));
    FORGE_ASSIGN(const layout::Sentinel sentinel, layout::parse_sentinel(text));
    return sentinel.system_identifier;
}

// The first segment in the order of names, else anything that is there.
Result<std::optional<layout::WalObject>> some_wal(Repository& repository, const store::CallContext& context) {
    std::optional<layout::WalObject> found;
    FORGE_TRY(repository.store().list(
        std::string(layout::kWalFolder),
        [&found](const store::ObjectInfo& object) {
            auto file = layout::parse_wal_key(object.key);
            if (file && (!found || file->kind == layout::WalKind::kSegment)) found = std::move(file);
            return !found || found->kind != layout::WalKind::kSegment;
        },
        context));
    return found;
}

Result<std::uint64_t> system_identifier_of_segment(Repository& repository, const std::string& name,
                                                   const store::CallContext& context) {
    FORGE_ASSIGN(const std::unique_ptr<Source> source, repository.open_wal(name, context));
    std::array<std::uint8_t, kLongHeaderSize> page{};
    FORGE_ASSIGN(const std::size_t got, read_full(*source, page));
    const auto header = parse_page_header(ByteView(page.data(), got));
    return header && header->is_long() ? header->system_identifier : 0;
}

// What is wrong with one object does not concern the store.
bool is_about_object(const Status& status) { return status.is(Kind::kCorrupt) || status.is(Kind::kInvalid); }

Status foreign_contents(Repository& repository, const Contents& contents, const Identity& us) {
    if (contents.kind == Contents::Kind::kCluster)
        return repository::foreign_prefix(repository.store().url(), {contents.system_identifier, {}, {}}, us)
            .with_context(contents.evidence);
    return Status(Kind::kForeign,
                  "whose archive is in " + quoted(repository.store().url()) + " cannot be told by " +
                      contents.evidence + ", this cluster is " + describe(us),
                  "If it is this cluster's, call forge_backup.adopt_prefix() or \"forge-backup adopt-prefix\"; "
                  "otherwise give this cluster a prefix of its own.");
}

bool is_foreign(const Contents& contents, const Identity& us) {
    if (contents.kind == Contents::Kind::kCluster) return contents.system_identifier != us.system_identifier;
    return contents.kind == Contents::Kind::kUnclear;
}

std::string since(const OwnerRecord& record) {
    return describe(record.cluster) + ", since " + format_human(record.created_at);
}

constexpr std::string_view kWriteOnly =
    "the credentials do not allow reading what is there; what is stored is never replaced";

}  // namespace

Result<Contents> look_at_contents(Repository& repository, const store::CallContext& context) {
    FORGE_ASSIGN(const std::string sentinel, newest_sentinel(repository, context));
    Contents contents;
    if (!sentinel.empty()) {
        contents = {Contents::Kind::kUnclear, 0, "object " + quoted(sentinel)};
        const auto read = system_identifier_of_sentinel(repository, sentinel, context);
        if (!read.ok() && !is_about_object(read.status())) return read.status();
        if (read.ok() && *read != 0) return Contents{Contents::Kind::kCluster, *read, contents.evidence};
    }
    FORGE_ASSIGN(const std::optional<layout::WalObject> wal, some_wal(repository, context));
    if (!wal) return contents;
    contents = {Contents::Kind::kUnclear, 0, "WAL file " + quoted(wal->name)};
    if (wal->kind != layout::WalKind::kSegment) return contents;
    const auto read = system_identifier_of_segment(repository, wal->name, context);
    if (!read.ok() && !is_about_object(read.status())) return read.status();
    if (read.ok() && *read != 0) return Contents{Contents::Kind::kCluster, *read, contents.evidence};
    return contents;
}

Result<OwnerView> look_at_owner(Repository& repository, const Identity& us, const store::CallContext& context) {
    OwnerView view;
    FORGE_ASSIGN(view.record, repository::read_owner(repository.store(), context));
    if (us.system_identifier == 0) return view;
    if (view.record) {
        if (!is_same_cluster(view.record->cluster, us))
            view.problem = repository::foreign_prefix(repository.store().url(), view.record->cluster, us);
        return view;
    }
    FORGE_ASSIGN(const Contents contents, look_at_contents(repository, context));
    if (is_foreign(contents, us)) view.problem = foreign_contents(repository, contents, us);
    return view;
}

bool is_write_only(const Status& status) {
    return status.is(Kind::kDenied) && status.http_status() == 403 &&
           (status.store_code().empty() || status.store_code() == "AccessDenied");
}

WriteGuard::WriteGuard(std::shared_ptr<Repository> repository, GuardOptions options, OnChange on_change)
    : repository_(std::move(repository)), options_(std::move(options)), on_change_(std::move(on_change)) {}

Status WriteGuard::may_store(const std::string& wal_name, const store::CallContext& context) {
    const bool is_history = layout::classify_wal_name(wal_name) == layout::WalKind::kHistory;
    const auto timeline = parse_number<Timeline>(std::string_view(wal_name).substr(0, 8), 16);
    return may_write(is_history ? 0 : timeline.value_or(0), context);
}

Status WriteGuard::may_write(Timeline timeline, const store::CallContext& context) {
    if (options_.identity.system_identifier == 0) return {};
    std::uint64_t before = 0;
    const auto remembered = [&]() -> std::optional<Status> {
        const auto found = answers_.find(timeline);
        if (found == answers_.end() || options_.now() >= *found->second.until) return std::nullopt;
        return found->second.status;
    };
    {
        const std::lock_guard lock(mutex_);
        if (const auto known = remembered()) return *known;
        before = rounds_;
    }
    const std::lock_guard asking(asking_);
    {
        const std::lock_guard lock(mutex_);
        if (const auto known = remembered()) return *known;
        // Whoever asked while this thread waited has just failed: the store is not asked once a thread.
        if (rounds_ != before && !last_failure_.ok()) return last_failure_;
    }
    const View seen = view();
    const Answer answer = ask(timeline, context);
    View now;
    {
        const std::lock_guard lock(mutex_);
        ++rounds_;
        last_failure_ = answer.until ? Status() : answer.status;
        if (answer.status.is(Kind::kForeign)) answers_.clear();  // what was ours on another timeline is not any more
        if (answer.until) answers_[timeline] = answer;
        now = view_;
    }
    if (on_change_ && (now.state != seen.state || now.detail != seen.detail)) on_change_(now);
    return answer.status;
}

WriteGuard::Answer WriteGuard::ask(Timeline timeline, const store::CallContext& context) {
    Status status = find_owner(context);
    if (status.ok() && timeline > 1) status = check_history(timeline, context);
    if (status.ok()) return {status, options_.now() + options_.trust};
    if (status.is(Kind::kForeign) || status.is(Kind::kConflict))
        return {status, options_.now() + options_.foreign_pause};
    return {status, std::nullopt};
}

Status WriteGuard::find_owner(const store::CallContext& context) {
    auto record = repository::read_owner(repository_->store(), context);
    if (record.ok()) return *record ? judge(**record) : claim_prefix(context);
    if (!is_write_only(record.status())) return record.status();
    // What was known before the permission was taken away still holds.
    const View known = view();
    if (known.state == State::kForeign) return known.problem;
    if (known.state != State::kOurs) set({State::kUnknown, std::string(kWriteOnly), {}});
    return {};
}

Status WriteGuard::claim_prefix(const store::CallContext& context) {
    auto contents = look_at_contents(*repository_, context);
    if (!contents.ok() && is_write_only(contents.status())) {
        set({State::kUnknown, std::string(kWriteOnly), {}});
        return {};
    }
    if (!contents.ok()) return contents.status();
    if (is_foreign(*contents, options_.identity)) {
        Status problem = foreign_contents(*repository_, *contents, options_.identity);
        set({State::kForeign, contents->evidence, problem});
        return problem;
    }
    FORGE_ASSIGN(const OwnerRecord record,
                 repository::claim(repository_->store(), repository::new_owner(options_.identity, options_.created_by),
                                   context));
    return judge(record);
}

Status WriteGuard::judge(const OwnerRecord& record) {
    if (is_same_cluster(record.cluster, options_.identity)) {
        set({State::kOurs, since(record), {}});
        return {};
    }
    Status problem = repository::foreign_prefix(repository_->store().url(), record.cluster, options_.identity);
    set({State::kForeign, since(record), problem});
    return problem;
}

// Everybody who restores or follows this cluster goes by the history; with another one in the store, segments of this
// timeline would continue a line that is not theirs. Storing it is the test: it is new, identical, or refused.
Status WriteGuard::check_history(Timeline timeline, const store::CallContext& context) {
    if (const auto known = histories_.find(timeline); known != histories_.end() && options_.now() < known->second)
        return {};
    PushRequest request;
    request.name = layout::history_name(timeline);
    request.path = join_path(options_.data_directory, "pg_wal/" + request.name);
    request.buffer_limit = kLargestHistory;
    if (path_exists(request.path)) {
        const Status pushed = push_file(*repository_, request, context).status();
        if (pushed.is(Kind::kConflict))
            return Status(Kind::kConflict,
                          "timeline " + std::to_string(timeline) +
                              " of this server is not the one in the archive: " + pushed.message(),
                          "Another server was promoted to the same timeline. Nothing of it is archived from here; "
                          "rebuild this server from the other one, promote it once more so that it takes the next "
                          "number, or give it a prefix of its own.");
        if (!pushed.ok() && !(view().state == State::kUnknown && is_write_only(pushed))) return pushed;
    }
    histories_[timeline] = options_.now() + options_.trust;
    return {};
}

void WriteGuard::doubt() {
    const std::lock_guard lock(mutex_);
    answers_.clear();
}

WriteGuard::View WriteGuard::view() const {
    const std::lock_guard lock(mutex_);
    return view_;
}

void WriteGuard::set(View view) {
    const std::lock_guard lock(mutex_);
    view_ = std::move(view);
}

std::string_view guard_state_name(WriteGuard::State state) {
    switch (state) {
        case WriteGuard::State::kUnchecked: return "unchecked";
        case WriteGuard::State::kOurs: return "ours";
        case WriteGuard::State::kForeign: return "foreign";
        case WriteGuard::State::kUnknown: return "unknown";
    }
    return "unchecked";
}

}  // namespace forge::wal
