#include "core/keys/objects.h"

#include <algorithm>
#include <atomic>

#include "core/backup/worker_group.h"
#include "core/crypto/secretstream.h"

namespace forge::keys {

namespace {

constexpr std::size_t kBatch = 500;
constexpr std::size_t kEnough = 512;  // bytes of content to tell what it is
constexpr std::string_view kManifest = "forge_manifest.json";
constexpr std::string_view kPartsFolder = "tar_partitions/";

std::optional<codec::Method> method_by_name(std::string_view name) {
    const std::size_t dot = name.rfind('.');
    const auto method = dot == name.npos ? std::nullopt : codec::method_from_extension(name.substr(dot + 1));
    return method.value_or(codec::Method::kNone);
}

bool starts_with_bytes(ByteView data, std::initializer_list<std::uint8_t> bytes) {
    return data.size() >= bytes.size() && std::equal(bytes.begin(), bytes.end(), data.begin());
}

// What plain objects hold: a tar stream, a WAL segment (its first page has the magic 0xD1..), or text.
bool looks_like_content(ByteView plain) {
    constexpr std::size_t kTarMagic = 257;
    if (plain.size() >= kTarMagic + 5 && as_text(plain.subspan(kTarMagic, 5)) == "ustar") return true;
    if (plain.size() >= 2 && plain[1] == 0xD1) return true;
    const auto is_text = [](std::uint8_t byte) { return byte == '\n' || byte == '\t' || (byte >= 32 && byte < 127); };
    return !plain.empty() && std::all_of(plain.begin(), plain.end(), is_text);
}

// An encrypted object begins with random bytes.
bool is_plain(codec::Method method, ByteView beginning) {
    if (beginning.size() < crypto::kSmallestObject) return true;
    switch (method) {
        case codec::Method::kZstd: return starts_with_bytes(beginning, {0x28, 0xB5, 0x2F, 0xFD});
        case codec::Method::kLz4: return starts_with_bytes(beginning, {0x04, 0x22, 0x4D, 0x18});
        case codec::Method::kGzip: return starts_with_bytes(beginning, {0x1F, 0x8B, 0x08});
        case codec::Method::kLzma: return starts_with_bytes(beginning, {0x5D, 0x00, 0x00});
        case codec::Method::kNone: return looks_like_content(beginning.first(std::min(beginning.size(), kEnough)));
        case codec::Method::kBrotli: break;  // has no mark: what comes out of it must make sense
    }
    Bytes copy(beginning.begin(), beginning.end());
    auto source = codec::decompressor(method, std::make_unique<MemorySource>(std::move(copy)));
    if (!source.ok()) return false;
    Bytes plain(kEnough);
    std::size_t filled = 0;
    while (filled < plain.size()) {
        const auto got = (*source)->read(MutableBytes(plain).subspan(filled));
        if (!got.ok() || *got == 0) break;  // cut off, as it must be
        filled += *got;
    }
    return looks_like_content(ByteView(plain).first(filled));
}

}  // namespace

std::optional<codec::Method> method_of_encrypted(std::string_view key) {
    if (key.starts_with(layout::kWalFolder)) {
        const std::string_view name = key.substr(layout::kWalFolder.size());
        if (name.find('/') != name.npos || name.ends_with(".json")) return std::nullopt;
        return method_by_name(name);
    }
    if (layout::segment_of_restore_points(key)) return codec::Method::kNone;
    const std::string backup = backup_of(key);
    if (backup.empty()) return std::nullopt;
    const std::string_view name = key.substr(layout::kBackupsFolder.size() + backup.size() + 1);
    if (name.starts_with(kPartsFolder)) return layout::part_method(name.substr(kPartsFolder.size()));
    if (!name.starts_with(kManifest) || name.find('/') != name.npos) return std::nullopt;
    return name == kManifest ? codec::Method::kNone : method_by_name(name);
}

std::string backup_of(std::string_view key) {
    if (!key.starts_with(layout::kBackupsFolder)) return {};
    const std::string_view below = key.substr(layout::kBackupsFolder.size());
    const std::size_t slash = below.find('/');
    if (slash == below.npos || !layout::is_backup_name(below.substr(0, slash))) return {};
    return std::string(below.substr(0, slash));
}

Result<KeyOf> find_key(store::ObjectStore& store, const crypto::KeyRing& ring, const store::ObjectInfo& object,
                       const store::CallContext& context) {
    Bytes beginning;
    if (object.size >= crypto::kSmallestObject) {
        FORGE_ASSIGN(const std::unique_ptr<Source> source,
                     store.get(object.key, store::ByteRange{0, crypto::kBeginning}, context));
        FORGE_ASSIGN(beginning, read_all(*source, crypto::kBeginning));
    }
    KeyOf found;
    found.key = crypto::key_of_beginning(ring, beginning);
    if (found.key == nullptr)
        found.plain = is_plain(method_of_encrypted(object.key).value_or(codec::Method::kNone), beginning);
    return found;
}

Status each_batch(store::ObjectStore& store, std::string_view folder, const store::CallContext& context,
                  const std::function<Result<bool>(const std::vector<store::ObjectInfo>&)>& take) {
    std::string after;
    for (;;) {
        std::vector<store::ObjectInfo> batch;
        bool more = false;
        const auto visit = [&](const store::ObjectInfo& object) {
            after = object.key;
            if (method_of_encrypted(object.key)) batch.push_back(object);
            more = batch.size() == kBatch;
            return !more;
        };
        FORGE_TRY(store.list_after(std::string(folder), std::string(after), visit, context));
        if (!batch.empty()) {
            FORGE_ASSIGN(const bool go_on, take(batch));
            if (!go_on) return {};
        }
        if (!more) return {};
    }
}

Status in_parallel(const std::vector<store::ObjectInfo>& objects, int jobs, const store::CallContext& context,
                   const std::function<Status(const store::ObjectInfo&, const store::CallContext&)>& work) {
    backup::WorkerGroup workers(store::cancel_of(context));
    store::CallContext inner = context;
    inner.cancel = &workers.stop();
    std::atomic<std::size_t> next{0};
    for (int i = 0; i < std::max(1, jobs); ++i) {
        const bool started = workers.start([&]() -> Status {
            for (std::size_t at = next++; at < objects.size(); at = next++) {
                FORGE_TRY(workers.stop().check());
                FORGE_TRY(work(objects[at], inner));
            }
            return {};
        });
        if (!started) break;
    }
    return workers.wait();
}

}  // namespace forge::keys
