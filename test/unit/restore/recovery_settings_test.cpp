#include "core/restore/recovery_settings.h"

#include <gmock/gmock.h>

#include "test/unit/backup/fake_cluster.h"

namespace forge::restore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

Plan plan_of(Target target) {
    Plan plan;
    plan.backup.name = "base_000000010000000000000005";
    plan.backup.start_segment = "000000010000000000000005";
    plan.target = std::move(target);
    plan.timeline = 2;
    return plan;
}
Target target_of(Target::Type type) {
    Target target;
    target.type = type;
    target.time = Instant::from_micros(1'795'000'000'123'456);
    target.lsn = 0x123456789;
    target.xid = 742;
    target.name = "before the change";
    return target;
}
RecoveryOptions options_of(std::string command = "forge-backup wal-fetch %f %p") {
    RecoveryOptions options;
    options.restore_command = std::move(command);
    return options;
}

// R5
TEST(RecoverySettings, OfEveryTarget) {
    const auto settings_of = [](Target::Type type) {
        const auto settings = recovery_settings(plan_of(target_of(type)), options_of());
        return std::map<std::string, std::string>(settings.begin(), settings.end());
    };
    EXPECT_EQ(settings_of(Target::Type::kTime)["recovery_target_time"], "2026-11-18 11:06:40.123456+00");
    EXPECT_EQ(settings_of(Target::Type::kTime)["recovery_target_inclusive"], "on");
    EXPECT_EQ(settings_of(Target::Type::kTime)["recovery_target_action"], "pause");
    EXPECT_EQ(settings_of(Target::Type::kLsn)["recovery_target_lsn"], "1/23456789");
    EXPECT_EQ(settings_of(Target::Type::kXid)["recovery_target_xid"], "742");
    EXPECT_EQ(settings_of(Target::Type::kName)["recovery_target_name"], "before the change");
    EXPECT_FALSE(settings_of(Target::Type::kName).contains("recovery_target_inclusive"));
    EXPECT_EQ(settings_of(Target::Type::kImmediate)["recovery_target"], "immediate");
    EXPECT_THAT(settings_of(Target::Type::kLatest),
                UnorderedElementsAre(Pair("restore_command", "forge-backup wal-fetch %f %p"),
                                     Pair("recovery_target_timeline", "2"), Pair("archive_mode", "off")));
}

TEST(RecoverySettings, InexactPlanAimsAtWhatCanBeReached) {
    Plan plan = plan_of(target_of(Target::Type::kTime));
    plan.exact = false;
    plan.target.inclusive = false;
    plan.reached_lsn = 0x7000060;
    plan.reached_time = Instant::from_seconds(1'790'000'000);
    const auto settings = recovery_settings(plan, options_of());
    EXPECT_THAT(settings, ::testing::Contains(Pair("recovery_target_lsn", "0/7000060")));
    EXPECT_THAT(settings, ::testing::Contains(Pair("recovery_target_inclusive", "on")));
    EXPECT_THAT(settings, Not(::testing::Contains(Pair("recovery_target_time", ::testing::_))));
}

TEST(RecoverySettings, ExclusiveAndCurrentTimeline) {
    Target target = target_of(Target::Type::kXid);
    target.inclusive = false;
    target.timeline = "current";
    const auto settings = recovery_settings(plan_of(target), options_of());
    EXPECT_THAT(settings, ::testing::Contains(Pair("recovery_target_inclusive", "off")));
    EXPECT_THAT(settings, ::testing::Contains(Pair("recovery_target_timeline", "current")));
}

class WriteRecoverySettings : public ::testing::Test {
protected:
    static backup::ControlFile control() {
        auto control = backup::parse_control_file(test::golden_control_file());
        EXPECT_TRUE(control.ok()) << control.status().to_string();
        return std::move(control).value();
    }
    std::string write(const Plan& plan, const RecoveryOptions& options = options_of()) {
        const Status status = write_recovery_settings(directory_.path(), control(), plan, options, logger_);
        EXPECT_TRUE(status.ok()) << status.to_string();
        return test::read_text(directory_ / "postgresql.auto.conf");
    }
    test::TestDirectory directory_;
    NullLogger logger_;
};

TEST_F(WriteRecoverySettings, OldTargetsAreGoneAndOthersAreEmptyBeforeTheNewOne) {
    test::write_text(
        directory_ / "postgresql.auto.conf",
        "# by hand\nwork_mem = '8MB'\nrecovery_target_time = 'yesterday'\n  Recovery_Target_Action = 'shutdown'\n"
        "restore_command = 'old'\nrestore_command_note.x = 'stays'\n");
    test::write_text(directory_ / "standby.signal", "");
    const std::string text = write(plan_of(target_of(Target::Type::kXid)));
    EXPECT_THAT(text, HasSubstr("work_mem = '8MB'\n"));
    EXPECT_THAT(text, HasSubstr("restore_command_note.x = 'stays'\n"));
    EXPECT_THAT(text, Not(HasSubstr("yesterday")));
    EXPECT_THAT(text, Not(HasSubstr("shutdown")));
    EXPECT_THAT(text, Not(HasSubstr("'old'")));
    for (const char* name : {"recovery_target", "recovery_target_time", "recovery_target_lsn", "recovery_target_name"})
        EXPECT_LT(text.find(std::string(name) + " = ''\n"), text.find("recovery_target_xid = '742'")) << name;
    EXPECT_THAT(text, Not(HasSubstr("recovery_target_xid = ''")));
    EXPECT_TRUE(path_exists(directory_ / "recovery.signal"));
    EXPECT_FALSE(path_exists(directory_ / "standby.signal"));
}

TEST_F(WriteRecoverySettings, ValuesAreQuotedAsTheServerDoes) {
    const std::string text = write(plan_of(target_of(Target::Type::kLatest)), options_of("cp '/a b/%f' C:\\x %p"));
    EXPECT_THAT(text, HasSubstr("restore_command = 'cp ''/a b/%f'' C:\\\\x %p'\n"));
}

TEST_F(WriteRecoverySettings, ValueWithNewlineIsRefused) {
    const Status status = write_recovery_settings(directory_.path(), control(), plan_of(target_of(Target::Type::kLatest)),
                                                  options_of("a\nport = 1"), logger_);
    EXPECT_EQ(status.kind(), Kind::kInvalid);
    EXPECT_FALSE(path_exists(directory_ / "recovery.signal"));
}

// A restored copy must not write into the archive of the cluster it came from.
TEST_F(WriteRecoverySettings, ArchivingIsOffUnlessAskedFor) {
    EXPECT_THAT(write(plan_of(target_of(Target::Type::kLatest))), HasSubstr("archive_mode = 'off'\n"));
    RecoveryOptions options = options_of();
    options.archive_off = false;
    std::filesystem::remove(directory_ / "postgresql.auto.conf");
    EXPECT_THAT(write(plan_of(target_of(Target::Type::kLatest)), options), Not(HasSubstr("archive_mode")));
}

TEST_F(WriteRecoverySettings, MinimalConfigurationWhereTheServerKeptItElsewhere) {
    write(plan_of(target_of(Target::Type::kLatest)));
    const std::string config = test::read_text(directory_ / "postgresql.conf");
    for (const char* line :
         {"max_connections = '100'", "max_worker_processes = '8'", "max_wal_senders = '10'",
          "max_prepared_transactions = '0'", "max_locks_per_transaction = '64'", "listen_addresses = 'localhost'"})
        EXPECT_THAT(config, HasSubstr(line));
    EXPECT_THAT(test::read_text(directory_ / "pg_hba.conf"), HasSubstr("\nlocal all all peer\n"));
    EXPECT_TRUE(path_exists(directory_ / "pg_ident.conf"));
}

TEST_F(WriteRecoverySettings, ConfigurationThatIsThereStays) {
    test::write_text(directory_ / "postgresql.conf", "port = 1\n");
    test::write_text(directory_ / "pg_hba.conf", "mine\n");
    write(plan_of(target_of(Target::Type::kLatest)));
    EXPECT_EQ(test::read_text(directory_ / "postgresql.conf"), "port = 1\n");
    EXPECT_EQ(test::read_text(directory_ / "pg_hba.conf"), "mine\n");
}

}  // namespace
}  // namespace forge::restore
