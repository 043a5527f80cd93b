#include "extension/configured.h"

#include "extension/events.h"
#include "extension/helper_link.h"
#include "extension/keys.h"

namespace forge::server {

using protocol::Frame;
using protocol::Tag;

namespace {

constexpr std::string_view kCredentials = "s3_credentials";

// "instance metadata, role app, …" about the source "instance metadata".
bool says_more(std::string_view issued, std::string_view source) {
    return issued.size() > source.size() && issued.starts_with(source) && issued[source.size()] == ',';
}

// Returns true if the state or the storage is another one than before.
bool store_configured(SharedState& state, const Frame& frame) {
    StoreInfo& store = state.store;
    const std::string_view said = frame.text(Tag::kState);
    const bool off = said == "off" || said == "clone";
    const StoreState now = said == "on" ? StoreState::kOn : off ? StoreState::kOff : StoreState::kError;
    const std::string_view storage = frame.text(Tag::kStorage);
    const bool changed =
        store.state != now || store.storage.view() != storage.substr(0, sizeof(store.storage.data) - 1);
    if (changed) state.window = {};
    store.state = now;
    store.storage.set(storage);
    store.problem.clear();
    if (now == StoreState::kError || said == "clone") store.problem.set(status_of(frame));
    store.restored.source.set(frame.text(Tag::kSource));
    store.restored.at = instant_of(frame, Tag::kRestoredAt);
    store.restored.is_clone = frame.number(Tag::kClone) != 0;
    // What a helper said of the credentials it was issued stays when another one has not asked for any yet.
    Text<sizeof(SettingRow::value)> issued;
    issued.set(effective_setting(store, kCredentials));
    store.setting_count = 0;
    for (const std::string_view row : frame.all(Tag::kSetting)) {
        if (store.setting_count == kMaxSettingRows) break;
        const std::size_t first = row.find('\t');
        const std::size_t second = first == row.npos ? row.npos : row.find('\t', first + 1);
        if (second == row.npos) continue;
        SettingRow& setting = store.settings[store.setting_count++];
        setting.name.set(row.substr(0, first));
        setting.value.set(row.substr(first + 1, second - first - 1));
        setting.source.set(row.substr(second + 1));
        if (setting.name.view() == kCredentials && says_more(issued.view(), setting.value.view()))
            setting.value.set(issued.view());
    }
    if (now != StoreState::kError) store_ring(state.keys, frame);
    return changed;
}

void add_events(const StoreInfo& store, const KeysInfo& keys) {
    add_change("configuration", store.storage.view(), state_name(store.state), store.problem.message.view());
    if (store.state == StoreState::kOn && keys.count > 0)
        add_change("key", keys.rows[0].fingerprint.view(), "active", keys.rows[0].source.view());
}

}  // namespace

bool note_configured(const Frame& frame) {
    bool changed = false;
    update_state([&](SharedState& state) { changed = store_configured(state, frame); });
    if (const auto state = copy_state(); state != nullptr) add_events(state->store, state->keys);
    return changed;
}

std::string_view effective_setting(const StoreInfo& store, std::string_view name) {
    for (int i = 0; i < store.setting_count; ++i)
        if (store.settings[i].name.view() == name) return store.settings[i].value.view();
    return {};
}

}  // namespace forge::server
