#include "extension/keys.h"

namespace forge::server {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

// "a<TAB>b<TAB>c": the piece at the front is taken off.
std::string_view take_piece(std::string_view& text) {
    const std::size_t tab = text.find('\t');
    const std::string_view piece = text.substr(0, tab);
    text.remove_prefix(tab == text.npos ? text.size() : tab + 1);
    return piece;
}

KeyRow* find_row(KeysInfo& keys, std::string_view fingerprint) {
    for (int i = 0; i < keys.count; ++i)
        if (keys.rows[i].fingerprint.view() == fingerprint) return &keys.rows[i];
    return nullptr;
}

void note_use(KeysInfo& keys, std::string_view text) {
    KeyRow* const row = find_row(keys, take_piece(text));
    if (row == nullptr) return;
    row->opened += parse_number<std::uint64_t>(text).value_or(0);
    row->last_opened = GetCurrentTimestamp();
}

void note_need(KeysInfo& keys, std::string_view text, std::uint64_t objects) {
    KeyRow* const row = find_row(keys, take_piece(text));
    if (row == nullptr) return;
    row->needed.set(take_piece(text));
    row->object.set(text);
    row->looked_at = GetCurrentTimestamp();
    row->objects = objects;
}

}  // namespace

void store_ring(KeysInfo& keys, const Frame& frame) {
    KeysInfo before = keys;
    keys.count = 0;
    for (std::string_view text : frame.all(Tag::kKey)) {
        const std::string_view fingerprint = take_piece(text);
        if (keys.count == kMaxKeys || find_row(keys, fingerprint) != nullptr) continue;
        const KeyRow* const known = find_row(before, fingerprint);
        KeyRow& row = keys.rows[keys.count++];
        row = known != nullptr ? *known : KeyRow{};
        row.fingerprint.set(fingerprint);
        row.source.set(text);
        // Whatever was known of its need says nothing once it encrypts again.
        if (keys.count == 1) row.needed.set("");
    }
}

void note_keys(const Frame& frame) {
    update_state([&](SharedState& state) {
        for (const std::string_view text : frame.all(Tag::kKey)) {
            if (frame.type == FrameType::kKeyUse)
                note_use(state.keys, text);
            else
                note_need(state.keys, text, frame.number(Tag::kCounter));
        }
    });
}

std::vector<std::string> keys_to_search(const KeysInfo& keys) {
    std::vector<std::string> wanted;
    for (int i = 1; i < keys.count; ++i) {
        const KeyRow& row = keys.rows[i];
        if (row.needed.view() != "no")
            wanted.push_back(std::string(row.fingerprint.view()) + "\t" + std::string(row.object.view()));
    }
    return wanted;
}

}  // namespace forge::server
