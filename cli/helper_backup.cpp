// The helper of one base backup: the server starts and stops the backup, this process moves every byte.
#include <unistd.h>

#include <algorithm>
#include <array>

#include "cli/helper_roles.h"
#include "core/backup/engine.h"
#include "core/base/text.h"
#include "core/repository/lease.h"
#include "core/retention/execute.h"

namespace forge::cli {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

constexpr milliseconds kProgressInterval{250};
constexpr std::chrono::minutes kTidyTime{10};

class BackupRole {
public:
    BackupRole(Channel& channel, Logger& logger, const Hello& hello)
        : channel_(channel),
          logger_(logger),
          hello_(hello),
          config_(channel, logger, hello),
          jobs_(logger),
          tidying_(logger) {}
    void run();

private:
    void handle(const Frame& frame);
    void begin(const Frame& frame);
    void stop(const Frame& frame);
    void look_for_wal(const std::string& name);
    Result<backup::BackupStart> start_of(const Frame& frame) const;
    void tidy(std::shared_ptr<repository::Repository> repository);
    void follow_keys();
    Status take_lease(const std::shared_ptr<repository::Repository>& repository);
    Status reason_of(const Status& failure) const;
    void let_go();
    void copy(backup::BackupStart start, const std::shared_ptr<repository::Repository>& repository);
    void send_progress();
    void send_report(const backup::BackupReport& report);

    Channel& channel_;
    Logger& logger_;
    const Hello& hello_;
    Configuration config_;
    CancelToken cancel_;
    backup::Progress progress_;
    std::unique_ptr<settings::Watch> watch_;
    Steady::time_point looked_{};
    std::atomic<bool> working_{false};  // progress is of interest
    std::mutex name_mutex_;
    std::string name_;                                 // of the backup, once it is known
    std::shared_ptr<repository::Repository> writing_;  // while it is made: repository_ for the receiving thread
    crypto::KeyRing used_keys_;                        // by writing_
    // Used by the job thread only, until that has ended. Without a lease, where the store does not let us look, the
    // repository is that of the settings.
    std::shared_ptr<repository::Repository> leased_from_;  // what the leased one passes its calls on to
    std::unique_ptr<repository::Lease> lease_;
    std::shared_ptr<repository::Repository> repository_;
    std::unique_ptr<backup::BackupEngine> engine_;
    JobThread jobs_;  // after everything its jobs use
    JobThread tidying_;
};

void BackupRole::run() {
    while (true) {
        Frame frame;
        const Channel::Event event = channel_.receive(frame, working_ ? kProgressInterval : milliseconds(1000));
        if (event == Channel::Event::kEnd) break;
        if (event == Channel::Event::kFrame) handle(frame);
        if (event == Channel::Event::kTimeout && working_) send_progress();
        follow_keys();
    }
    // Removing what was uploaded may take a while where the store is slow; longer than this nobody should wait for it.
    end_process_after(seconds(20));
    cancel_.cancel();
    jobs_.add([this] {
        if (engine_) engine_->abandon();
        let_go();
    });
    while (jobs_.busy()) std::this_thread::sleep_for(milliseconds(5));
}

void BackupRole::handle(const Frame& frame) {
    switch (frame.type) {
        case FrameType::kConfigure: return config_.configure(frame);
        case FrameType::kBackupBegin: return begin(frame);
        case FrameType::kBackupStop: return stop(frame);
        case FrameType::kWalExists: return look_for_wal(std::string(frame.text(Tag::kName)));
        default: return;
    }
}

Result<backup::BackupStart> BackupRole::start_of(const Frame& frame) const {
    backup::BackupStart start;
    start.data_directory = hello_.data_directory;
    start.timeline = static_cast<Timeline>(frame.number(Tag::kTimeline));
    const std::string_view lsn_text = frame.text(Tag::kStartLsn);
    const std::optional<Lsn> lsn = lsn_text.find('/') != std::string_view::npos
                                       ? parse_lsn(lsn_text)
                                       : std::optional<Lsn>(frame.number(Tag::kStartLsn));
    if (!lsn || *lsn == 0 || start.timeline == 0)
        return Status(Kind::kInternal, "the server sent no start of the backup");
    start.start_lsn = *lsn;
    start.from_standby = frame.number(Tag::kFromStandby) != 0;
    start.pg_version = hello_.server_version;
    start.segment_size = hello_.segment_size;
    for (const std::string_view entry : frame.all(Tag::kTablespace)) {
        const std::size_t tab = entry.find('\t');
        if (tab == std::string_view::npos)
            return Status(Kind::kInternal, "the server sent a tablespace without directory");
        start.tablespaces.push_back({std::string(entry.substr(0, tab)), std::string(entry.substr(tab + 1))});
    }
    start.start_time = frame.has(Tag::kStartTime)
                           ? Instant::from_micros(static_cast<std::int64_t>(frame.number(Tag::kStartTime)))
                           : SystemClock().now();
    start.permanent = frame.number(Tag::kPermanent) != 0;
    start.user_data = std::string(frame.text(Tag::kUserData));
    start.full = frame.number(Tag::kFull) != 0;
    start.verify_checksums = !frame.has(Tag::kVerifyChecksums) || frame.number(Tag::kVerifyChecksums) != 0;
    return start;
}

void BackupRole::begin(const Frame& frame) {
    auto repository = config_.repository_or_error();
    if (!repository.ok()) return channel_.send(failed_frame(repository.status()));
    auto start = start_of(frame);
    if (!start.ok()) return channel_.send(failed_frame(start.status()));
    if (working_ || jobs_.busy())
        return channel_.send(failed_frame(Status(Kind::kInternal, "a backup is running already")));
    working_ = true;
    jobs_.add([this, start = std::move(start).value(), repository = std::move(repository).value()]() mutable {
        copy(std::move(start), repository);
    });
}

// What earlier helpers left behind when they were killed costs money until somebody removes it. Beside the backup,
// which neither waits for it nor fails by it: the next one tries again.
void BackupRole::tidy(std::shared_ptr<repository::Repository> repository) {
    tidying_.add([this, repository = std::move(repository)] {
        store::CallContext context;
        context.cancel = &cancel_;
        context.deadline = Deadline::after(kTidyTime);
        context.max_attempts = 2;
        const auto removed = retention::remove_leftovers(repository->store(), context);
        if (!removed.ok())
            logger_.debug("could not look for unfinished uploads: " + removed.status().to_string());
        else if (*removed > 0)
            logger_.log(LogLevel::kNotice,
                        "removed " + std::to_string(*removed) +
                            (*removed == 1 ? " unfinished upload that was" : " unfinished uploads that were") +
                            " older than a day");
    });
}

// Two members of a cluster may be asked for a base backup at the same time, and the helper of a server that was killed
// may still be tidying up.
Status BackupRole::take_lease(const std::shared_ptr<repository::Repository>& repository) {
    repository_ = repository;
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
    repository::LeaseOptions options;
    options.member = std::string(host.data()) + ":" + hello_.data_directory;
    options.on_lost = [this] { cancel_.cancel(); };
    store::CallContext context;
    context.cancel = &cancel_;
    auto lease = repository::Lease::take(repository->shared_store(), std::move(options), logger_, context);
    if (lease.status().is(Kind::kDenied)) {
        logger_.debug("base backups of other members are not kept apart: " + lease.status().message());
        return {};
    }
    if (!lease.ok()) return lease.status();
    lease_ = std::move(lease).value();
    repository_ = std::make_shared<repository::Repository>(
        std::make_shared<repository::LeasedStore>(repository->store(), *lease_), repository->settings());
    leased_from_ = repository;
    return {};
}

// A backup may take days. Another active key is used for every object that is begun from then on; all other settings
// stay what they were. A ring without the key so far is none that fits: the backup could not be read with it.
void BackupRole::follow_keys() {
    if (!working_ || Steady::now() - looked_ < seconds(1)) return;
    looked_ = Steady::now();
    if (watch_ && !watch_->changed()) return;
    watch_ = std::make_unique<settings::Watch>(config_.inputs());
    const auto loaded = settings::load(config_.inputs());
    if (!loaded.ok() || loaded->keys.empty()) return;
    const std::lock_guard lock(name_mutex_);
    const auto has = [&loaded](const crypto::Key& key) {
        return std::any_of(loaded->keys.keys().begin(), loaded->keys.keys().end(),
                           [&key](const crypto::Key& one) { return one.fingerprint() == key.fingerprint(); });
    };
    if (!writing_ || used_keys_.empty() || !has(used_keys_.active())) return;
    const std::string& active = loaded->keys.active().fingerprint();
    if (used_keys_.active().fingerprint() != active)
        logger_.log(LogLevel::kNotice, "the base backup goes on with encryption key " + active);
    used_keys_ = loaded->keys;
    writing_->use_keys(used_keys_);
}

// What a lost lease has cancelled.
Status BackupRole::reason_of(const Status& failure) const {
    const Status lost = lease_ ? lease_->check() : Status();
    return lost.ok() ? failure : lost;
}

void BackupRole::let_go() {
    engine_.reset();
    {
        const std::lock_guard lock(name_mutex_);
        writing_.reset();
    }
    repository_.reset();
    lease_.reset();
    leased_from_.reset();
}

void BackupRole::copy(backup::BackupStart start, const std::shared_ptr<repository::Repository>& repository) {
    store::CallContext context;
    context.cancel = &cancel_;
    Status result = make_guard(repository, hello_)->may_write(start.timeline, context);
    if (result.ok()) result = take_lease(repository);
    if (result.ok()) {
        const std::lock_guard lock(name_mutex_);
        writing_ = repository_;
        used_keys_ = repository_->settings().keys;
    }
    if (result.ok()) tidy(repository);  // elsewhere another cluster's uploads may be under way
    auto engine = result.ok() ? backup::begin_backup(repository_, std::move(start), progress_, cancel_, logger_)
                              : Result<std::unique_ptr<backup::BackupEngine>>(result);
    if (engine.ok()) {
        engine_ = std::move(engine).value();
        {
            const std::lock_guard lock(name_mutex_);
            name_ = engine_->name();
        }
        result = engine_->copy_files();
        // A delta may have become a full backup.
        const std::lock_guard lock(name_mutex_);
        name_ = engine_->name();
    } else {
        result = engine.status();
    }
    working_ = false;
    send_progress();
    if (!result.ok()) {
        result = reason_of(result);
        if (engine_) engine_->abandon();
        let_go();
        return channel_.send(failed_frame(result));
    }
    Frame frame(FrameType::kBackupCopied);
    channel_.send(frame.add(Tag::kName, engine_->name()));
}

void BackupRole::stop(const Frame& frame) {
    const std::string_view lsn_text = frame.text(Tag::kFinishLsn);
    const std::optional<Lsn> lsn = lsn_text.find('/') != std::string_view::npos
                                       ? parse_lsn(lsn_text)
                                       : std::optional<Lsn>(frame.number(Tag::kFinishLsn));
    if (!lsn || *lsn == 0)
        return channel_.send(failed_frame(Status(Kind::kInternal, "the server sent no end of the backup")));
    backup::BackupStop stop{*lsn, static_cast<Timeline>(frame.number(Tag::kTimeline)),
                            std::string(frame.text(Tag::kLabel)), std::string(frame.text(Tag::kTablespaceMap))};
    jobs_.add([this, stop = std::move(stop)] {
        if (!engine_) return channel_.send(failed_frame(Status(Kind::kInternal, "there is no backup to finish")));
        working_ = true;
        auto report = engine_->finish(stop);
        working_ = false;
        const Status failure = report.ok() ? Status() : reason_of(report.status());
        if (!report.ok()) engine_->abandon();
        let_go();
        if (!report.ok()) return channel_.send(failed_frame(failure));
        send_progress();
        send_report(*report);
    });
}

void BackupRole::send_report(const backup::BackupReport& report) {
    Frame frame(FrameType::kDone);
    frame.add(Tag::kName, report.name)
        .add_number(Tag::kUncompressed, report.uncompressed)
        .add_number(Tag::kCompressed, report.compressed)
        .add_number(Tag::kParts, static_cast<std::uint64_t>(report.parts))
        .add_number(Tag::kFiles, static_cast<std::uint64_t>(report.files))
        .add_number(Tag::kCorruptPages, report.corrupt_pages);
    if (!report.parent.empty())
        frame.add(Tag::kParent, report.parent)
            .add_number(Tag::kSkippedFiles, static_cast<std::uint64_t>(report.skipped_files))
            .add_number(Tag::kIncrementedFiles, static_cast<std::uint64_t>(report.incremented_files));
    for (const std::string& file : report.corrupt_files) frame.add(Tag::kCorruptFile, file);
    channel_.send(frame);
}

void BackupRole::look_for_wal(const std::string& name) {
    auto repository = config_.repository_or_error();
    if (!repository.ok()) return channel_.send(failed_frame(repository.status()));
    jobs_.add([this, name, repository = std::move(repository).value()] {
        store::CallContext context;
        context.cancel = &cancel_;
        context.deadline = Deadline::after(seconds(30));
        bool found = false;
        const Status listed = repository->store().list(
            std::string(layout::kWalFolder) + name,
            [&](const store::ObjectInfo& object) {
                const auto parsed = layout::parse_wal_key(object.key);
                found = parsed && parsed->name == name;
                return !found;
            },
            context);
        if (!listed.ok()) return channel_.send(failed_frame(listed));
        Frame frame(FrameType::kDone);
        channel_.send(frame.add(Tag::kName, name).add(Tag::kState, found ? "yes" : "no"));
    });
}

void BackupRole::send_progress() {
    Frame frame(FrameType::kProgress);
    frame.add_number(Tag::kBytesTotal, progress_.bytes_total)
        .add_number(Tag::kBytesDone, progress_.bytes_done)
        .add_number(Tag::kBytesStored, progress_.bytes_stored)
        .add_number(Tag::kFilesTotal, progress_.files_total)
        .add_number(Tag::kFilesDone, progress_.files_done)
        .add_number(Tag::kTablespacesDone, progress_.tablespaces_done);
    {
        const std::lock_guard lock(name_mutex_);
        if (!name_.empty()) frame.add(Tag::kName, name_);
    }
    channel_.send(frame);
}

}  // namespace

void run_backup_role(Channel& channel, Logger& logger, const Hello& hello) {
    BackupRole role(channel, logger, hello);
    role.run();
}

}  // namespace forge::cli
