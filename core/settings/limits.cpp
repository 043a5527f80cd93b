// Numbers: how many, how fast, how much.
#include <algorithm>
#include <thread>

#include "core/base/text.h"
#include "core/settings/draft.h"

namespace forge::settings {

namespace {

constexpr int kMostStreams = 100;
constexpr int kStandardStreams = 10;
constexpr std::uint64_t kLeastMemory = 16ULL << 20;
constexpr int kLeastRetainOfVariable = 2;  // what the scripts make of smaller numbers

// "268435456", "256MB", "1 GB": units as PostgreSQL has them.
std::optional<std::uint64_t> parse_size(std::string_view text) {
    struct Unit {
        std::string_view name;
        int shift;
    };
    constexpr Unit kUnits[] = {{"kB", 10}, {"MB", 20}, {"GB", 30}, {"TB", 40}, {"B", 0}, {"", 0}};
    const std::string_view trimmed = trim(text);
    for (const Unit& unit : kUnits) {
        if (!trimmed.ends_with(unit.name)) continue;
        const auto number = parse_number<std::uint64_t>(trim(trimmed.substr(0, trimmed.size() - unit.name.size())));
        if (!number || *number > (UINT64_MAX >> 1 >> unit.shift)) return std::nullopt;
        return *number << unit.shift;
    }
    return std::nullopt;
}

Status bad_size(const Found& found) {
    return found.invalid("invalid size " + quoted(found.value),
                         "Write a number of bytes, or one with the unit kB, MB, GB or TB.");
}

Status bad_number(const Found& found, int lowest, int highest) {
    return found.invalid("invalid value " + quoted(found.value), "Use a whole number between " +
                                                                     std::to_string(lowest) + " and " +
                                                                     std::to_string(highest) + ".");
}

Status load_streams(Draft& draft, const std::string& name, std::string_view variable, int& target) {
    auto found = draft.sources.setting(name, "0");
    const bool own = found.has_value();
    if (!found) found = draft.sources.variable({variable});
    if (found) {
        const auto number = parse_number<int>(trim(found->value));
        if (!number || *number < 1 || (own && *number > kMostStreams)) return bad_number(*found, 1, kMostStreams);
        // WAL-G takes any number; a file written for it must not stop us.
        target = std::min(*number, kMostStreams);
    } else {
        target = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kStandardStreams);
    }
    draft.note(name, std::to_string(target), found);
    return {};
}

Status load_rate(Draft& draft, const std::string& name, std::string_view variable, std::uint64_t& target) {
    auto found = draft.sources.setting(name, "0");
    if (!found) found = draft.sources.variable({variable});
    if (found) {
        const auto size = parse_size(found->value);
        if (!size) return bad_size(*found);
        target = *size;
    }
    draft.note(name, std::to_string(target), found);
    return {};
}

Status load_cpu_limit(Draft& draft) {
    constexpr int kStandard = 5;
    const auto found = draft.sources.setting("cpu_limit", std::to_string(kStandard));
    int percent = kStandard;
    if (found) {
        const auto number = parse_number<int>(trim(found->value));
        if (!number || *number < 1 || *number > 100) return bad_number(*found, 1, 100);
        percent = *number;
    }
    draft.settings.cpu_limit = percent / 100.0;
    draft.note("cpu_limit", std::to_string(percent), found);
    return {};
}

Status load_memory_limit(Draft& draft) {
    std::uint64_t& target = draft.settings.memory_limit;
    const auto found = draft.sources.setting("memory_limit", std::to_string(target));
    if (found) {
        const auto size = parse_size(found->value);
        if (!size) return bad_size(*found);
        if (*size < kLeastMemory) {
            return found->invalid("the limit " + quoted(found->value) + " is too low", "Use at least \"16MB\".");
        }
        target = *size;
    }
    draft.note("memory_limit", std::to_string(target), found);
    return {};
}

Status load_part_size(Draft& draft) {
    const auto found = draft.sources.variable({"WALG_TAR_SIZE_THRESHOLD"});
    if (found) {
        const auto size = parse_size(found->value);
        if (!size || *size == 0) return bad_size(*found);
        draft.settings.part_size_limit = *size;
    }
    draft.note("part_size_limit", std::to_string(draft.settings.part_size_limit), found);
    return {};
}

Status load_corrupt_pages(Draft& draft) {
    const auto found = draft.sources.setting("corrupt_pages", "warn");
    bool& fail = draft.settings.fail_on_corrupt_pages;
    if (found) {
        if (found->value != "warn" && found->value != "fail")
            return found->invalid("unrecognized policy " + quoted(found->value),
                                  "Available policies are \"warn\" and \"fail\".");
        fail = found->value == "fail";
    }
    draft.note("corrupt_pages", fail ? "fail" : "warn", found);
    return {};
}

Status load_retain(Draft& draft) {
    auto found = draft.sources.setting("retain", "-1");
    const bool own = found.has_value();
    if (!found) found = draft.sources.variable({"BACKUP_NUM_TO_RETAIN"});
    int& target = draft.settings.retain;
    if (found) {
        constexpr int kMost = 1'000'000;
        const auto number = parse_number<int>(trim(found->value));
        if (!number || *number < 0 || *number > kMost) return bad_number(*found, 0, kMost);
        target = own ? *number : std::max(*number, kLeastRetainOfVariable);
    }
    draft.note("retain", std::to_string(target), found);
    return {};
}

}  // namespace

Status load_limits(Draft& draft) {
    Settings& settings = draft.settings;
    FORGE_TRY(load_streams(draft, "upload_concurrency", "WALG_UPLOAD_CONCURRENCY", settings.upload_concurrency));
    FORGE_TRY(load_streams(draft, "download_concurrency", "WALG_DOWNLOAD_CONCURRENCY", settings.download_concurrency));
    FORGE_TRY(load_rate(draft, "disk_rate_limit", "WALG_DISK_RATE_LIMIT", settings.disk_rate_limit));
    FORGE_TRY(load_rate(draft, "network_rate_limit", "WALG_NETWORK_RATE_LIMIT", settings.network_rate_limit));
    FORGE_TRY(load_cpu_limit(draft));
    FORGE_TRY(load_memory_limit(draft));
    FORGE_TRY(load_part_size(draft));
    FORGE_TRY(load_corrupt_pages(draft));
    return load_retain(draft);
}

}  // namespace forge::settings
