// Delta backups: how long their chains may become and what they build on (walg-format 8.3).
#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/settings/draft.h"

namespace forge::settings {

namespace {

constexpr int kMostSteps = 1000;

Status load_max_steps(Draft& draft) {
    auto found = draft.sources.setting("delta_max_steps", "-1");
    if (!found) found = draft.sources.variable({"WALG_DELTA_MAX_STEPS"});
    int& target = draft.settings.delta_max_steps;
    if (found) {
        const auto number = parse_number<int>(trim(found->value));
        if (!number || *number < 0 || *number > kMostSteps)
            return found->invalid("invalid value " + forge::quoted(found->value),
                                  "Use a whole number between 0 and " + std::to_string(kMostSteps) + ".");
        target = *number;
    }
    draft.note("delta_max_steps", std::to_string(target), found);
    return {};
}

Status load_origin(Draft& draft) {
    const auto found = draft.sources.find("delta_origin", {"WALG_DELTA_ORIGIN"});
    if (found) {
        if (found->value != "LATEST" && found->value != "LATEST_FULL")
            return found->invalid("unrecognized origin " + forge::quoted(found->value),
                                  "Available origins are \"LATEST\" and \"LATEST_FULL\".");
        draft.settings.delta_origin = found->value == "LATEST" ? DeltaOrigin::kLatest : DeltaOrigin::kLatestFull;
    }
    draft.note("delta_origin", draft.settings.delta_origin == DeltaOrigin::kLatest ? "LATEST" : "LATEST_FULL", found);
    return {};
}

Status load_candidate(Draft& draft) {
    const auto name = draft.sources.variable({"WALG_DELTA_FROM_NAME"});
    const auto user_data = draft.sources.variable({"WALG_DELTA_FROM_USER_DATA"});
    if (name && user_data)
        return name->invalid("WALG_DELTA_FROM_USER_DATA names a backup as well", "Set only one of the two.");
    if (name) draft.settings.delta_from_name = name->value;
    if (user_data) {
        if (!nlohmann::json::accept(user_data->value))
            return user_data->invalid("the user data is not valid JSON",
                                      "Write the JSON value that the backup was made with.");
        draft.settings.delta_from_user_data = user_data->value;
    }
    draft.note("delta_from_name", draft.settings.delta_from_name, name);
    draft.note("delta_from_user_data", draft.settings.delta_from_user_data, user_data);
    return {};
}

}  // namespace

Status load_delta(Draft& draft) {
    FORGE_TRY(load_max_steps(draft));
    FORGE_TRY(load_origin(draft));
    return load_candidate(draft);
}

}  // namespace forge::settings
