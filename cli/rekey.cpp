// forge-backup rekey: encrypts with the active key what an old one was used for. Without --confirm it only tells.
#include "core/keys/rekey.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/progress_line.h"
#include "cli/server_identity.h"
#include "cli/table.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

using keys::Amount;
using keys::RekeyReport;

struct Order {
    keys::RekeyOptions options;
    repository::Identity us;
    bool json = false;
};

std::string text_of(const Amount& amount) {
    return std::to_string(amount.objects) + (amount.objects == 1 ? " object, " : " objects, ") +
           format_size(amount.bytes);
}

// The keys of the ring, each once, the active one first.
std::vector<std::string> fingerprints(const crypto::KeyRing& ring) {
    std::vector<std::string> found;
    for (const crypto::Key& key : ring.keys())
        if (std::find(found.begin(), found.end(), key.fingerprint()) == found.end()) found.push_back(key.fingerprint());
    return found;
}

Amount amount_of(const std::map<std::string, Amount>& amounts, const std::string& fingerprint) {
    const auto found = amounts.find(fingerprint);
    return found == amounts.end() ? Amount() : found->second;
}

void print_table(const RekeyReport& report, const crypto::KeyRing& ring) {
    std::vector<Cells> rows;
    const auto add = [&rows](const std::string& key, const std::string& state, const Amount& amount) {
        rows.push_back({key, state, std::to_string(amount.objects), format_size(amount.bytes)});
    };
    const std::string& active = ring.active().fingerprint();
    for (const std::string& key : fingerprints(ring))
        add(key, key == active ? "active" : "old", amount_of(report.by_key, key));
    if (report.plain.objects > 0) add("none", "not encrypted", report.plain);
    if (report.unopened.objects > 0) add("none", "opened by no key", report.unopened);
    std::fputs(plain_table({"key", "state", "objects", "size"}, rows).c_str(), stdout);
}

void print_text(const Order& order, const RekeyReport& report, const crypto::KeyRing& ring, bool finished) {
    print_table(report, ring);
    for (const RekeyReport::Problem& problem : report.problems)
        std::printf("problem with %s: %s\n", problem.object.c_str(), problem.status.message().c_str());
    if (report.failed > report.problems.size())
        std::printf("and %llu more problems\n",
                    static_cast<unsigned long long>(report.failed - report.problems.size()));
    if (order.options.confirm)
        std::printf("encrypted anew with key %s: %s%s\n", ring.active().fingerprint().c_str(),
                    text_of(report.rewritten).c_str(), finished ? "" : ", not finished");
    if (report.unfinished.objects > 0)
        std::printf("left in backups that are being made or were never finished: %s\n",
                    text_of(report.unfinished).c_str());
    if (!finished) return;
    for (const std::string& key : fingerprints(ring)) {
        if (key == ring.active().fingerprint()) continue;
        const Amount left = amount_of(report.left, key);
        if (left.objects == 0)
            std::printf("old key %s is no longer needed: you may remove it\n", key.c_str());
        else
            std::printf("old key %s is still needed: %s\n", key.c_str(), text_of(left).c_str());
    }
}

nlohmann::ordered_json to_json(const Amount& amount) {
    return {{"objects", amount.objects}, {"bytes", amount.bytes}};
}

void print_json(const Order& order, const RekeyReport& report, const crypto::KeyRing& ring, const Status& result) {
    using Json = nlohmann::ordered_json;
    Json key_rows = Json::array();
    for (const std::string& key : fingerprints(ring)) {
        Json row = {{"fingerprint", key}, {"active", key == ring.active().fingerprint()}};
        row.update(to_json(amount_of(report.by_key, key)));
        row["left"] = to_json(amount_of(report.left, key));
        key_rows.push_back(row);
    }
    Json problems = Json::array();
    for (const RekeyReport::Problem& problem : report.problems)
        problems.push_back({{"object", problem.object}, {"problem", problem.status.message()}});
    const Json document = {{"confirmed", order.options.confirm},
                           {"keys", key_rows},
                           {"not_encrypted", to_json(report.plain)},
                           {"opened_by_no_key", to_json(report.unopened)},
                           {"rewritten", to_json(report.rewritten)},
                           {"in_unfinished_backups", to_json(report.unfinished)},
                           {"failed", report.failed},
                           {"problems", problems},
                           {"finished", result.ok()},
                           {"failure", result.message()}};
    std::printf("%s\n", document.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

// Somebody else's objects may be opened by the same keys, and are not ours to replace.
Status check_owner(const Order& order, repository::Repository& repository, const store::CallContext& context) {
    FORGE_ASSIGN(const wal::OwnerView view, wal::look_at_owner(repository, order.us, context));
    return view.problem;
}

int run(const Order& order, const CommandLine& line, Session& session, repository::Repository& repository) {
    const store::CallContext context = session.context();
    if (order.options.confirm)
        if (const Status owned = check_owner(order, repository, context); !owned.ok()) return session.fail(owned);
    RekeyReport report;
    keys::RekeyProgress progress;
    Status result;
    {
        ProgressLine shown(line.global(), session.log(), [&] {
            return ProgressSample{order.options.confirm ? "encrypting" : "looking", progress.bytes_done.load(),
                                  progress.bytes_total.load()};
        });
        result = keys::rekey(repository, order.options, report, progress, context);
    }
    const crypto::KeyRing& ring = repository.settings().keys;
    if (order.json)
        print_json(order, report, ring, result);
    else if (!ring.empty())
        print_text(order, report, ring, result.ok());
    if (!result.ok()) return session.fail(result);
    const bool is_left = !report.left.empty();
    if (!order.options.confirm && is_left)
        session.log().hint("Nothing was written. Add --confirm to encrypt anew.");
    return report.failed > 0 || (order.options.confirm && is_left) ? kExitFailure : kExitOk;
}

}  // namespace

int run_rekey(CommandLine& line) {
    Order order;
    std::string system_identifier;
    std::string rate;
    int jobs = 0;
    line.flag("--confirm", order.options.confirm, "replace the objects; without it nothing is written, only told");
    line.option("--system-identifier", system_identifier,
                "of the cluster that the storage belongs to, where its --pgdata is not at hand", "NUMBER");
    line.option("--rate-limit", rate,
                "stored bytes a second that are read, as 500k, 20M, 1G (default: network_rate_limit)", "BYTES");
    line.option("--jobs", jobs, "objects at a time (default: upload_concurrency)", "N");
    line.flag("--json", order.json, "as one line of JSON");
    line.more_help(
        "Looks at every encrypted object, WAL-G's included, and tells how many each key opens. With --confirm those that\n"
        "an old key opens are encrypted anew with the active key. Their content stays what it is; each is replaced only\n"
        "after the new one was decrypted again and compared. Interrupted at any moment, all can be read, and the same\n"
        "command goes on. Servers and base backups may run meanwhile.\n\n"
        "Example:\n"
        "  forge-backup --env-dir /etc/forge_backup rekey --pgdata /var/lib/postgresql/15/main --confirm\n\n"
        "Exit codes: 0 done, 1 failed, or an object is left that an old key or no key opens, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (jobs < 0 || jobs > 1000) return line.bad_usage("--jobs takes a number from 1 to 1000");
    const auto limit = rate.empty() ? std::optional<std::uint64_t>(0) : parse_rate(rate);
    if (!limit)
        return line.bad_usage("invalid rate " + forge::quoted(rate) +
                              ": write bytes a second, as 500000, 500k, 20M or 1G");
    if (!line.global().pgdata.empty()) order.us = identity_of_data_directory(absolute_path(line.global().pgdata));
    if (!system_identifier.empty()) {
        const auto number = parse_number<std::uint64_t>(system_identifier);
        if (!number || *number == 0) return line.bad_usage("--system-identifier takes a number");
        order.us.system_identifier = *number;
    }
    if (order.options.confirm && order.us.system_identifier == 0)
        return line.bad_usage(
            "--confirm needs --pgdata, a data directory of the cluster that the storage belongs to, or "
            "--system-identifier");
    Session session(line, seconds(5));
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const settings::Settings& settings = repository->settings();
    order.options.jobs = jobs > 0 ? jobs : settings.upload_concurrency;
    order.options.rate_limit = rate.empty() ? settings.network_rate_limit : *limit;
    return run(order, line, session, *repository);
}

}  // namespace forge::cli
