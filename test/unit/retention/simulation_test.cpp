// Years of a cluster's backups in a directory, on a clock of their own: a schedule of twelve hours, outages,
// failovers, restores in place, permanent backups, backups of a foreign cluster, deletions that are interrupted or
// refused. After each step the model, which knows what was ever stored, looks at what is left.
//
// FORGE_TEST_SEED=N repeats a run, FORGE_TEST_YEARS=N says how long it is (5).
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>

#include "core/retention/policy.h"
#include "core/store/forwarding_store.h"
#include "test/unit/retention/inventories.h"

namespace forge::retention {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSize = layout::kDefaultSegmentSize;
constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kStep = 12 * kHour;
constexpr int kStepsOfYear = 365 * 2;
constexpr int kRetain = 5;
constexpr std::uint64_t kOurs = 7'000'000'001, kTheirs = 7'000'000'002;

// What was ever made, whatever became of it.
struct Made {
    std::string name, parent;
    Timeline timeline = 0;
    std::uint64_t first = 0, last = 0;  // its segments
    std::int64_t finished = 0;
    bool permanent = false;
    bool foreign = false;
};

// A store that ends in the middle of a deletion, or refuses to remove some objects (S21).
class UnwillingStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    Status remove(const std::vector<std::string>& keys, const store::CallContext& context) override {
        for (const std::string& key : keys) {
            if (patience >= 0 && patience-- == 0) return {Kind::kUnavailable, "the store does not answer"};
            if (locked && std::hash<std::string>()(key) % 7 == 0) return {Kind::kDenied, "the object is locked"};
            FORGE_TRY(ForwardingStore::remove({key}, context));
        }
        return {};
    }
    int patience = -1;  // objects until it ends; -1 = never
    bool locked = false;
};

class Cluster {
public:
    explicit Cluster(std::uint64_t seed) : random_(seed) {
        const std::string parent = fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path().string();
        std::string name = parent + "/forge_simulation_XXXXXX";
        root_ = mkdtemp(name.data());
        for (const char* folder : {"basebackups_005", "wal_005"}) fs::create_directories(root_ / folder);
        store_ = std::make_shared<UnwillingStore>(store::open_local_store(root_.string()).value());
    }
    ~Cluster() { fs::remove_all(root_); }

    void live(int step, bool quiet);
    void check();
    std::string story() const {
        return "step " + std::to_string(step_) + ", " + std::to_string(timeline_) + " timelines";
    }
    std::size_t listed() const {
        return static_cast<std::size_t>(
            std::count_if(made_.begin(), made_.end(), [this](const Made& made) { return is_listed(made); }));
    }
    std::size_t wal_objects() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(root_ / "wal_005"), {}));
    }
    std::size_t made() const { return ever_made_; }
    std::uint64_t refused() const { return refused_; }
    std::uint64_t interrupted() const { return interrupted_; }
    std::uint64_t removed() const { return removed_; }

private:
    bool chance(double probability) { return std::bernoulli_distribution(probability)(random_); }
    int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

    void put(const std::string& key, std::string_view content = "x") {
        const fs::path path = root_ / key;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << content;
        const timespec times[2] = {{now_, 0}, {now_, 0}};
        ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    }
    static std::string segment(Timeline timeline, std::uint64_t number) {
        return layout::segment_name({timeline, number}, kSize);
    }
    void write_wal(int count, double loss) {
        for (int i = 0; i < count; ++i, ++position_)
            if (!chance(loss)) put("wal_005/" + segment(timeline_, position_) + ".zst");
    }
    layout::Sentinel sentinel_of(const Made& made) const;
    void write_sentinel(const Made& made) {
        put(layout::sentinel_key(made.name), layout::sentinel_json(sentinel_of(made)));
    }
    void write_metadata(const Made& made) {
        put(layout::metadata_key(made.name), layout::metadata_json(sentinel_of(made)));
    }
    void write_parts(const std::string& name) {
        put(layout::parts_folder(name) + "part_001.tar.zst");
        put(layout::parts_folder(name) + "pg_control.tar.zst");
    }

    void back_up();
    void leave_failed_backup() { write_parts(full_name(timeline_, position_)); }
    void branch(std::uint64_t at);
    void fail_over();
    void restore_in_place();
    void change_a_mark();
    void let_a_stranger_in();
    void retain();

    bool exists(const std::string& key) const { return fs::exists(root_ / key); }
    bool has_segment(Timeline timeline, std::uint64_t number) const {
        return exists("wal_005/" + segment(timeline, number) + ".zst");
    }
    bool is_listed(const Made& made) const { return exists(layout::sentinel_key(made.name)); }
    const Made* find(const std::string& name) const {
        const auto found =
            std::find_if(made_.rbegin(), made_.rend(), [&](const Made& made) { return made.name == name; });
        return found == made_.rend() ? nullptr : &*found;
    }
    Made* find_mutable(const std::string& name) { return const_cast<Made*>(find(name)); }
    bool is_on_lineage(const Made& made) const;
    bool is_restorable(const Made& made) const;
    std::vector<const Made*> restorable() const;  // on the lineage, newest first
    void check_kept(const Made& made) const;
    void check_recovery_from(const Made& made) const;
    void check_window(const std::vector<const Made*>& usable) const;

    std::mt19937_64 random_;
    fs::path root_;
    std::shared_ptr<UnwillingStore> store_;
    std::int64_t now_ = 1'600'000'000;
    int step_ = 0;
    int outage_ = 0;  // steps it goes on
    Timeline timeline_ = 1;
    std::uint64_t position_ = 1;                                                   // next segment
    std::map<Timeline, std::vector<std::pair<Timeline, std::uint64_t>>> history_;  // ancestor, first segment without it
    std::map<Timeline, std::uint64_t> reached_;                                    // segment after the last one of each
    std::vector<Made> made_;  // those that were listed after the last step, or were made since
    std::size_t ever_made_ = 0;
    std::set<std::string> stored_;  // WAL that was there after the last step
    int deltas_ = 0;
    std::uint64_t refused_ = 0, interrupted_ = 0, removed_ = 0;
};

layout::Sentinel Cluster::sentinel_of(const Made& made) const {
    layout::Sentinel sentinel;
    sentinel.start_lsn = made.first * kSize + 0x28;
    sentinel.finish_lsn = made.last * kSize + 0x100;
    sentinel.start_time = Instant::from_seconds(made.finished - 600);
    sentinel.finish_time = Instant::from_seconds(made.finished);
    sentinel.system_identifier = made.foreign ? kTheirs : kOurs;
    sentinel.delta_from = made.parent;
    sentinel.is_permanent = made.permanent;
    return sentinel;
}

// --- what happens ----------------------------------------------------------------------------------------------------

void Cluster::back_up() {
    Made made;
    made.timeline = timeline_;
    made.first = position_;
    made.last = position_ + static_cast<std::uint64_t>(between(0, 1));
    made.finished = now_;
    const auto candidates = restorable();
    if (!candidates.empty() && deltas_ < 3 && chance(0.6)) {
        made.parent = candidates.front()->name;
        made.name =
            full_name(timeline_, made.first) + "_D_" + segment(candidates.front()->timeline, candidates.front()->first);
        ++deltas_;
    } else {
        made.name = full_name(timeline_, made.first);
        deltas_ = 0;
    }
    write_wal(static_cast<int>(made.last - made.first) + 1, 0);
    write_parts(made.name);
    write_metadata(made);
    write_sentinel(made);
    made_.push_back(made);
    ++ever_made_;
}

// A new timeline that leaves the present one at the beginning of segment `at`.
void Cluster::branch(std::uint64_t at) {
    auto history = history_[timeline_];
    history.emplace_back(timeline_, at);
    reached_[timeline_] = std::max(position_, reached_[timeline_]);
    Timeline next = timeline_;
    while (reached_.contains(next) || next == timeline_) ++next;
    timeline_ = next;
    position_ = at;
    std::string text;
    for (const auto& [ancestor, end] : history)
        text += std::to_string(ancestor) + "\t" + format_lsn(end * kSize) + "\tno reason\n";
    history_[timeline_] = std::move(history);
    put("wal_005/" + layout::history_name(timeline_), text);
}

// The old primary goes on for a while and nobody will ever need what it writes.
void Cluster::fail_over() {
    const std::uint64_t at = position_;
    write_wal(between(0, 2), 0);
    if (chance(0.1)) back_up();
    branch(at);
    deltas_ = 0;
}

void Cluster::restore_in_place() {
    const auto candidates = restorable();
    if (candidates.size() < 3) return;
    const Made& from = *candidates[static_cast<std::size_t>(between(0, static_cast<int>(candidates.size()) - 1))];
    // Back to a moment on the timeline of that backup, which others may have left earlier or later.
    std::uint64_t end = from.last + 1;
    while (has_segment(from.timeline, end) && chance(0.8)) ++end;
    reached_[timeline_] = std::max(position_, reached_[timeline_]);
    timeline_ = from.timeline;
    position_ = end;
    branch(end);
    deltas_ = 3;  // a full one next
}

void Cluster::change_a_mark() {
    std::vector<Made*> candidates;
    for (Made& made : made_)
        if (is_listed(made) && !made.foreign) candidates.push_back(&made);
    if (candidates.empty()) return;
    Made* made = candidates[static_cast<std::size_t>(between(0, static_cast<int>(candidates.size()) - 1))];
    const bool permanent = chance(0.4);
    if (!permanent && std::any_of(made_.begin(), made_.end(), [&](const Made& other) {
            return other.parent == made->name && is_listed(other) && other.permanent;
        }))
        return;
    for (; made != nullptr; made = permanent ? find_mutable(made->parent) : nullptr) {
        made->permanent = permanent;
        write_metadata(*made);
    }
}

// A clone that was configured with the prefix of its source.
void Cluster::let_a_stranger_in() {
    Made made;
    made.timeline = timeline_ + 1'000;
    made.first = made.last = position_ + 500;
    made.finished = now_;
    made.foreign = true;
    made.name = full_name(made.timeline, made.first);
    if (find(made.name) != nullptr) return;
    put("wal_005/" + segment(made.timeline, made.first) + ".zst");
    write_parts(made.name);
    write_metadata(made);
    write_sentinel(made);
    made_.push_back(made);
    ++ever_made_;
}

void Cluster::retain() {
    repository::Repository repository(store_, settings::Settings());
    const store::CallContext context;
    const auto inventory = take_inventory(repository, Instant::from_seconds(now_), context);
    ASSERT_TRUE(inventory.ok()) << inventory.status().to_string();
    Policy policy;
    policy.retain = kRetain;
    policy.timeline = timeline_;
    policy.system_identifier = kOurs;
    policy.schedule = schedule::parse_cron("0 */12 * * *").value();
    const RetentionPlan plan = plan_by_policy(*inventory, policy);
    DeleteResult result;
    const Status status = execute(*store_, *inventory, plan.deletion, result, context);
    if (!status.ok()) ++interrupted_;
    refused_ += result.refused;
    removed_ += result.objects;
}

void Cluster::live(int step, bool quiet) {
    step_ = step;
    now_ += kStep;
    store_->locked = !quiet && chance(0.05);
    store_->patience = !quiet && chance(0.05) ? between(0, 30) : -1;
    write_wal(between(1, 3), quiet ? 0 : 0.002);
    if (quiet) outage_ = 0;
    if (!quiet && outage_ == 0 && chance(0.01)) outage_ = between(1, 40);
    if (!quiet && chance(0.01)) fail_over();
    if (!quiet && chance(0.004)) restore_in_place();
    if (!quiet && chance(0.03)) change_a_mark();
    if (!quiet && chance(0.003)) let_a_stranger_in();
    if (outage_ > 0)
        --outage_;
    else if (!quiet && chance(0.08))
        leave_failed_backup();
    else
        back_up();
    retain();
    // Once a day in the quiet hours besides, whatever became of the backup.
    now_ += kHour;
    if (step % 2 == 0) retain();
    now_ -= kHour;
}

// --- what must be true -----------------------------------------------------------------------------------------------

bool Cluster::is_on_lineage(const Made& made) const {
    if (made.foreign) return false;
    if (made.timeline == timeline_) return true;
    const auto history = history_.find(timeline_);
    if (history == history_.end()) return false;
    for (const auto& [ancestor, end] : history->second)
        if (ancestor == made.timeline) return made.last < end;
    return false;
}

bool Cluster::is_restorable(const Made& made) const {
    const Made* at = &made;
    while (true) {
        if (at == nullptr || !is_listed(*at) || !exists(layout::parts_folder(at->name) + "part_001.tar.zst") ||
            !exists(layout::parts_folder(at->name) + "pg_control.tar.zst"))
            return false;
        if (at->parent.empty()) break;
        at = find(at->parent);
    }
    for (std::uint64_t number = made.first; number <= made.last; ++number)
        if (!has_segment(made.timeline, number)) return false;
    return true;
}

std::vector<const Made*> Cluster::restorable() const {
    std::vector<const Made*> found;
    for (const Made& made : made_)
        if (is_on_lineage(made) && is_listed(made) && is_restorable(made)) found.push_back(&made);
    std::sort(found.begin(), found.end(), [](const Made* a, const Made* b) { return a->first > b->first; });
    return found;
}

// All there was of the WAL from its start to now is still there, on the way to the present timeline.
void Cluster::check_recovery_from(const Made& made) const {
    std::uint64_t from = made.first;
    auto path = history_.contains(timeline_) ? history_.at(timeline_) : decltype(history_)::mapped_type();
    path.emplace_back(timeline_, position_);
    bool reached = false;
    for (const auto& [timeline, end] : path) {
        reached |= timeline == made.timeline;
        if (!reached) continue;
        for (; from < end; ++from) {
            const std::string name = segment(timeline, from);
            ASSERT_TRUE(!stored_.contains(name) || has_segment(timeline, from))
                << "segment " << name << ", needed after backup " << made.name;
        }
    }
}

void Cluster::check_kept(const Made& made) const {
    ASSERT_TRUE(is_restorable(made)) << "backup " << made.name << " is listed, but cannot be restored";
}

// Recovery reaches back N backups and N days: to the first backup that lies behind both.
void Cluster::check_window(const std::vector<const Made*>& usable) const {
    for (std::size_t i = 0; i < usable.size(); ++i) {
        check_recovery_from(*usable[i]);
        if (i + 1 >= kRetain && now_ - usable[i]->finished >= kRetain * 24 * kHour) return;
    }
}

void Cluster::check() {
    const auto usable = restorable();
    ASSERT_FALSE(ever_made_ > 0 && usable.empty()) << "no backup that can be restored is left";
    for (const Made& made : made_) {
        if (is_listed(made)) {
            check_kept(made);
            if (testing::Test::HasFatalFailure()) return;
            continue;
        }
        ASSERT_FALSE(made.permanent) << "permanent backup " << made.name << " is gone";
        ASSERT_FALSE(made.foreign) << "backup " << made.name << " of another cluster is gone";
        // It went by the policy: never a young one, nor one of the newest, nor while backups fail.
        ASSERT_GE(now_ + kHour - made.finished, kRetain * 24 * kHour)
            << "backup " << made.name << " was too young to go";
        if (is_on_lineage(made)) {
            ASSERT_GE(usable.size(), static_cast<std::size_t>(kRetain)) << made.name;
            ASSERT_LT(made.first, usable[kRetain - 1]->first) << "backup " << made.name << " was one of the newest";
            ASSERT_LT(now_ - usable[0]->finished, 24 * kHour) << "backup " << made.name << " went while backups fail";
        }
    }
    check_window(usable);
    std::erase_if(made_, [this](const Made& made) { return !is_listed(made); });
    stored_.clear();
    for (const auto& entry : fs::directory_iterator(root_ / "wal_005")) stored_.insert(entry.path().stem().string());
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* const given = std::getenv(name);
    return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

TEST(RetentionSimulation, YearsNeverLoseWhatIsNeeded) {
    const std::uint64_t seed = from_environment("FORGE_TEST_SEED", std::random_device()());
    const int steps = static_cast<int>(from_environment("FORGE_TEST_YEARS", 5)) * kStepsOfYear;
    std::cout << "seed " << seed << "\n";
    SCOPED_TRACE("FORGE_TEST_SEED=" + std::to_string(seed));
    Cluster cluster(seed);
    constexpr int kQuietEnd = 4 * kRetain * 2;
    for (int step = 0; step < steps + kQuietEnd; ++step) {
        cluster.live(step, step >= steps);
        cluster.check();
        ASSERT_FALSE(HasFatalFailure()) << cluster.story();
    }
    std::cout << cluster.story() << "; " << cluster.made() << " backups made, " << cluster.listed() << " listed, "
              << cluster.wal_objects() << " WAL objects, " << cluster.removed() << " objects removed, "
              << cluster.refused() << " refused, " << cluster.interrupted() << " deletions interrupted\n";
    // 2N + 1 of the schedule, the chain of the last of them, and what somebody marked or a stranger left.
    EXPECT_LT(cluster.listed(), 120U);
    EXPECT_LT(cluster.wal_objects(), 600U);
    EXPECT_GT(cluster.refused(), 0U);
    EXPECT_GT(cluster.interrupted(), 0U);
}

}  // namespace
}  // namespace forge::retention
