#include "core/store/local_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <random>
#include <set>

#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::store {

namespace {

constexpr std::size_t kChunk = 1 << 20;  // between two looks at deadline and token
constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kFileMode = 0600;
constexpr std::string_view kTemporaryMark = ".tmp.";
constexpr std::size_t kTemporarySuffix = 38;  // ".tmp.YYYYMMDDThhmmssZ-" and 16 hex digits

std::string temporary_suffix() {
    const std::time_t now = std::time(nullptr);
    std::tm fields{};
    gmtime_r(&now, &fields);
    std::array<char, 32> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ-", &fields);
    std::random_device device;
    Bytes random;
    for (int i = 0; i < 8; ++i) random.push_back(static_cast<std::uint8_t>(device()));
    return std::string(kTemporaryMark) + std::string(text.data(), size) + to_hex(random);
}

bool is_temporary(std::string_view name) {
    if (name.size() <= kTemporarySuffix) return false;
    const std::string_view suffix = name.substr(name.size() - kTemporarySuffix);
    constexpr std::string_view kForm = ".tmp.ddddddddTddddddZ-hhhhhhhhhhhhhhhh";
    for (std::size_t i = 0; i < suffix.size(); ++i) {
        const char c = suffix[i];
        const bool digit = c >= '0' && c <= '9';
        const bool good = i >= 22 ? digit || (c >= 'a' && c <= 'f') : kForm[i] == 'd' ? digit : c == kForm[i];
        if (!good) return false;
    }
    return true;
}

constexpr std::string_view kNoRoomHint = "Make room in the file system of the store, or raise its quota.";

Status with_room_hint(Status status) {
    return status.is(Kind::kExhausted) ? std::move(status).with_hint(std::string(kNoRoomHint)) : status;
}

// rename(2) that fails with EEXIST instead of replacing. Network file systems that lack it have hard links.
int rename_without_replacing(const std::string& from, const std::string& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return errno;
    if (::link(from.c_str(), to.c_str()) != 0) return errno;
    return ::unlink(from.c_str()) == 0 ? 0 : errno;
}

ObjectInfo object_info(std::string key, const struct ::stat& st) {
    ObjectInfo info;
    info.key = std::move(key);
    info.size = static_cast<std::uint64_t>(st.st_size);
    info.modified = Instant{st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec};
    return info;
}

bool starts_with(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

// A file that is not visible under its name yet. Removed again unless it was published.
class PendingFile {
public:
    PendingFile(std::string root, std::string path) : root_(std::move(root)), path_(std::move(path)) {}
    PendingFile(const PendingFile&) = delete;
    PendingFile& operator=(const PendingFile&) = delete;
    ~PendingFile() {
        if (fd_.valid()) ::unlink(temporary_.c_str());
    }
    Status open();
    Status write(ByteView data, const CallContext& context);
    // Durable under its name after success. False: something was there already, and `replace` is false.
    Result<bool> publish(bool replace);
    // In the place of the file that `expected` describes; kConflict or kNotFound when it is another one.
    Status publish_instead_of(const ObjectInfo& expected);

private:
    Status exchange(const ObjectInfo& expected);
    Status make_parents(const std::string& directory);

    std::string root_;
    std::string path_;
    std::string temporary_;
    Fd fd_;
    WriteBack write_back_;
};

Status PendingFile::open() {
    temporary_ = path_ + temporary_suffix();
    // Again and again because a remove() may take away the directory that has just become empty.
    for (int attempt = 0;; ++attempt) {
        FORGE_TRY(make_parents(parent_path(path_)));
        const int fd = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
        if (fd >= 0) {
            fd_ = Fd(fd);
            return {};
        }
        if (errno != ENOENT || attempt == 10)
            return with_room_hint(errno_status(errno, "could not create file", temporary_));
    }
}

// Each new directory is made durable in its parent, or a crash could take the objects in it away.
Status PendingFile::make_parents(const std::string& directory) {
    if (is_directory(directory)) return {};
    if (directory.size() <= root_.size()) {
        return Status(Kind::kInvalid, "directory " + quoted(root_) + " does not exist",
                      "Create or mount the directory.");
    }
    FORGE_TRY(make_parents(parent_path(directory)));
    if (::mkdir(directory.c_str(), kDirectoryMode) != 0 && errno != EEXIST && errno != ENOENT) {
        return with_room_hint(errno_status(errno, "could not create directory", directory));
    }
    return sync_directory(parent_path(directory));
}

Status PendingFile::write(ByteView data, const CallContext& context) {
    while (!data.empty()) {
        FORGE_TRY(check_context(context));
        const std::size_t n = std::min(data.size(), kChunk);
        FORGE_TRY(with_room_hint(write_fd(fd_.get(), data.first(n), temporary_)));
        data = data.subspan(n);
        write_back_.wrote(fd_.get(), n);
        FORGE_CRASH_POINT("file-written");
    }
    return {};
}

Result<bool> PendingFile::publish(bool replace) {
    FORGE_TRY(with_room_hint(sync_fd(fd_.get(), temporary_)));
    const int error = replace ? (::rename(temporary_.c_str(), path_.c_str()) == 0 ? 0 : errno)
                              : rename_without_replacing(temporary_, path_);
    if (error == EEXIST && !replace) return false;
    if (error != 0) return errno_status(error, "could not rename file to", path_);
    fd_.reset();
    FORGE_CRASH_POINT("file-renamed");
    FORGE_TRY(sync_directory(parent_path(path_)));
    return true;
}

Status replaced_meanwhile(const std::string& key) {
    return Status(Kind::kConflict, "object " + quoted(key) + " was replaced meanwhile");
}

bool is_same(const ObjectInfo& expected, const struct ::stat& st) {
    const ObjectInfo found = object_info(expected.key, st);
    return found.size == expected.size && found.modified == expected.modified;
}

Status PendingFile::publish_instead_of(const ObjectInfo& expected) {
    FORGE_TRY(with_room_hint(sync_fd(fd_.get(), temporary_)));
    FORGE_TRY(exchange(expected));
    FORGE_CRASH_POINT("file-exchanged");
    return sync_directory(parent_path(path_));
}

// Both names are exchanged at once, and what was there is judged afterwards: nobody can come between.
Status PendingFile::exchange(const ObjectInfo& expected) {
    struct ::stat st {};
    const auto gone = [&] { return Status(Kind::kNotFound, "object " + quoted(expected.key) + " does not exist"); };
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0) {
        if (::stat(temporary_.c_str(), &st) == 0 && is_same(expected, st)) return {};
        (void)::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE);
        return replaced_meanwhile(expected.key);
    }
    if (errno == ENOENT) return gone();
    if (errno != EINVAL && errno != ENOSYS) return errno_status(errno, "could not replace file", path_);
    // Network file systems cannot do that.
    if (::stat(path_.c_str(), &st) != 0) return gone();
    if (!is_same(expected, st)) return replaced_meanwhile(expected.key);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return errno_status(errno, "could not replace file", path_);
    fd_.reset();
    return {};
}

class LocalSink final : public Sink {
public:
    LocalSink(std::string root, std::string path, const CallContext& context)
        : file_(std::move(root), std::move(path)), context_(context) {}
    Status open() { return file_.open(); }
    Status write(ByteView data) override { return file_.write(data, context_); }
    Status finish() override {
        FORGE_TRY(check_context(context_));
        return file_.publish(true).status();
    }

private:
    PendingFile file_;
    CallContext context_;
};

class LocalSource final : public Source {
public:
    LocalSource(Fd fd, std::string key, std::uint64_t left, const CallContext& context)
        : fd_(std::move(fd)), key_(std::move(key)), left_(left), context_(context) {}

    Result<std::size_t> read(MutableBytes buffer) override {
        FORGE_TRY(check_context(context_));
        const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>({buffer.size(), left_, kChunk}));
        if (want == 0) return std::size_t{0};
        FORGE_ASSIGN(const std::size_t n, read_fd(fd_.get(), buffer.first(want), key_));
        if (n < want) return Status(Kind::kCorrupt, "object " + quoted(key_) + " became shorter while it was read");
        left_ -= n;
        return n;
    }

private:
    Fd fd_;
    std::string key_;
    std::uint64_t left_;
    CallContext context_;
};

class ReplacingSink final : public Sink {
public:
    ReplacingSink(std::string root, std::string path, ObjectInfo expected, const CallContext& context)
        : file_(std::move(root), std::move(path)), expected_(std::move(expected)), context_(context) {}
    Status open() { return file_.open(); }
    Status write(ByteView data) override { return file_.write(data, context_); }
    Status finish() override {
        FORGE_TRY(check_context(context_));
        return file_.publish_instead_of(expected_);
    }

private:
    PendingFile file_;
    ObjectInfo expected_;
    CallContext context_;
};

// One walk over the tree, in the order of the keys.
class Walk {
public:
    using Visit =
        std::function<Status(const std::string& key, const std::string& path, const struct ::stat&, bool temporary)>;

    Walk(std::string root, std::string prefix, std::string start_after, const CallContext& context, Visit visit)
        : root_(std::move(root)), prefix_(std::move(prefix)), start_after_(std::move(start_after)), context_(context),
          visit_(std::move(visit)) {}

    // `folder` is "" or ends in "/". A directory that is gone meanwhile is an empty one.
    Status folder(const std::string& folder_key) {
        FORGE_TRY(check_context(context_));
        FORGE_ASSIGN(const std::vector<Entry> entries, read_entries(folder_key));
        for (const Entry& entry : entries) {
            const std::string key = folder_key + entry.name;
            if (entry.is_directory) {
                if (may_hold(key)) FORGE_TRY(folder(key));
                continue;
            }
            if (!starts_with(key, prefix_) || key <= start_after_) continue;
            const std::string path = join_path(root_, key);
            struct ::stat st {};
            if (::stat(path.c_str(), &st) != 0) {
                if (errno == ENOENT) continue;  // removed meanwhile
                return errno_status(errno, "could not stat file", path);
            }
            if (S_ISREG(st.st_mode)) FORGE_TRY(visit_(key, path, st, is_temporary(entry.name)));
        }
        return {};
    }

private:
    struct Entry {
        std::string name;  // of a directory with "/", which is what makes the order of names the order of keys
        bool is_directory = false;
    };

    // Can a key below the folder match prefix and start?
    bool may_hold(const std::string& folder_key) const {
        if (!starts_with(folder_key, prefix_) && !starts_with(prefix_, folder_key)) return false;
        return folder_key > start_after_ || starts_with(start_after_, folder_key);
    }

    Result<std::vector<Entry>> read_entries(const std::string& folder_key) {
        const std::string path = join_path(root_, folder_key);
        std::vector<Entry> entries;
        DIR* directory = ::opendir(path.c_str());
        if (directory == nullptr) {
            if (errno == ENOENT || errno == ENOTDIR) return entries;
            return errno_status(errno, "could not open directory", path);
        }
        const std::unique_ptr<DIR, int (*)(DIR*)> closer(directory, ::closedir);
        for (;;) {
            errno = 0;
            const dirent* found = ::readdir(directory);
            if (found == nullptr) break;
            const std::string name = found->d_name;
            if (name == "." || name == "..") continue;
            bool is_folder = found->d_type == DT_DIR;
            if (found->d_type == DT_UNKNOWN) {
                struct ::stat st {};
                is_folder = ::lstat(join_path(path, name).c_str(), &st) == 0 && S_ISDIR(st.st_mode);
            }
            entries.push_back({is_folder ? name + "/" : name, is_folder});
        }
        if (errno != 0) return errno_status(errno, "could not read directory", path);
        std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
        return entries;
    }

    std::string root_;
    std::string prefix_;
    std::string start_after_;
    CallContext context_;
    Visit visit_;
};

class LocalStore final : public ObjectStore {
public:
    explicit LocalStore(std::string root) : root_(std::move(root)) {}

    std::string url() const override { return "file://" + root_; }
    StoreFeatures features() override { return {.conditional_put = true, .conditional_replace = true}; }
    std::optional<StoreFeatures> known_features() override { return features(); }

    Result<ObjectInfo> head(const std::string& key, const CallContext& context) override;
    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<ByteRange> range,
                                        const CallContext& context) override;
    Status put(const std::string& key, ByteView content, const CallContext& context) override;
    Result<PutOutcome> put_if_absent(const std::string& key, ByteView content, const CallContext& context) override;
    Result<std::unique_ptr<Sink>> create(const std::string& key, const CallContext& context) override;
    Result<std::unique_ptr<Sink>> replace(const ObjectInfo& expected, const CallContext& context) override;
    Status list(const std::string& prefix, const std::function<bool(const ObjectInfo&)>& visit,
                const CallContext& context) override;
    Status list_after(const std::string& prefix, const std::string& start_after,
                      const std::function<bool(const ObjectInfo&)>& visit, const CallContext& context) override;
    Result<Folder> list_folder(const std::string& prefix, const CallContext& context) override;
    Status remove(const std::vector<std::string>& keys, const CallContext& context) override;
    Result<int> remove_leftovers(const std::string& prefix, seconds age, const CallContext& context) override;

private:
    std::string path_of(const std::string& key) const { return join_path(root_, key); }
    Status check(const std::string& key, const CallContext& context) const;
    Status check_root() const;
    Status missing(const std::string& key) const;
    Result<Fd> open_object(const std::string& key, struct ::stat& st) const;
    Result<bool> store_object(const std::string& key, ByteView content, bool replace, const CallContext& context) const;
    void remove_empty_parents(std::string directory) const;

    std::string root_;
};

Status LocalStore::check(const std::string& key, const CallContext& context) const {
    FORGE_TRY(check_key(key));
    if (is_temporary(key))
        return Status(Kind::kInvalid, "object key " + quoted(key) + " has the form of a temporary name");
    return check_context(context);
}

// An unmounted disk must not look like an empty store.
Status LocalStore::check_root() const {
    if (is_directory(root_)) return {};
    return Status(Kind::kInvalid, "directory " + quoted(root_) + " does not exist", "Create or mount the directory.");
}

Status LocalStore::missing(const std::string& key) const {
    FORGE_TRY(check_root());
    return Status(Kind::kNotFound, "object " + quoted(key) + " does not exist");
}

Result<Fd> LocalStore::open_object(const std::string& key, struct ::stat& st) const {
    const std::string path = path_of(key);
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid()) {
        if (errno == ENOENT || errno == ENOTDIR) return missing(key);
        return errno_status(errno, "could not open file", path);
    }
    if (::fstat(fd.get(), &st) != 0) return errno_status(errno, "could not stat file", path);
    if (!S_ISREG(st.st_mode)) return missing(key);
    return fd;
}

Result<ObjectInfo> LocalStore::head(const std::string& key, const CallContext& context) {
    FORGE_TRY(check(key, context));
    struct ::stat st {};
    if (::stat(path_of(key).c_str(), &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return missing(key);
        return errno_status(errno, "could not stat file", path_of(key));
    }
    if (!S_ISREG(st.st_mode)) return missing(key);
    return object_info(key, st);
}

Result<std::unique_ptr<Source>> LocalStore::get(const std::string& key, std::optional<ByteRange> range,
                                                const CallContext& context) {
    FORGE_TRY(check(key, context));
    struct ::stat st {};
    FORGE_ASSIGN(Fd fd, open_object(key, st));
    const auto size = static_cast<std::uint64_t>(st.st_size);
    std::uint64_t length = size;
    if (range) {
        if (range->length == 0 || range->offset >= size) {
            return Status(Kind::kInvalid, "range starts behind the end of object " + quoted(key));
        }
        length = std::min(range->length, size - range->offset);
        if (::lseek(fd.get(), static_cast<off_t>(range->offset), SEEK_SET) < 0) {
            return errno_status(errno, "could not seek in file", path_of(key));
        }
    }
    return std::unique_ptr<Source>(std::make_unique<LocalSource>(std::move(fd), key, length, context));
}

Result<bool> LocalStore::store_object(const std::string& key, ByteView content, bool replace,
                                      const CallContext& context) const {
    FORGE_TRY(check(key, context));
    PendingFile file(root_, path_of(key));
    FORGE_TRY(file.open());
    FORGE_TRY(file.write(content, context));
    return file.publish(replace);
}

Status LocalStore::put(const std::string& key, ByteView content, const CallContext& context) {
    return store_object(key, content, true, context).status();
}

Result<PutOutcome> LocalStore::put_if_absent(const std::string& key, ByteView content, const CallContext& context) {
    FORGE_ASSIGN(const bool stored, store_object(key, content, false, context));
    return stored ? PutOutcome::kStored : PutOutcome::kAlreadyThere;
}

Result<std::unique_ptr<Sink>> LocalStore::create(const std::string& key, const CallContext& context) {
    FORGE_TRY(check(key, context));
    auto sink = std::make_unique<LocalSink>(root_, path_of(key), context);
    FORGE_TRY(sink->open());
    return std::unique_ptr<Sink>(std::move(sink));
}

Result<std::unique_ptr<Sink>> LocalStore::replace(const ObjectInfo& expected, const CallContext& context) {
    FORGE_TRY(check(expected.key, context));
    auto sink = std::make_unique<ReplacingSink>(root_, path_of(expected.key), expected, context);
    FORGE_TRY(sink->open());
    return std::unique_ptr<Sink>(std::move(sink));
}

Status LocalStore::list(const std::string& prefix, const std::function<bool(const ObjectInfo&)>& visit,
                        const CallContext& context) {
    return list_after(prefix, {}, visit, context);
}

Status LocalStore::list_after(const std::string& prefix, const std::string& start_after,
                              const std::function<bool(const ObjectInfo&)>& visit, const CallContext& context) {
    FORGE_TRY(check_root());
    bool enough = false;
    const auto take = [&](const std::string& key, const std::string&, const struct ::stat& st, bool temporary) {
        if (temporary || visit(object_info(key, st))) return Status();
        enough = true;
        return Status(Kind::kCancelled, "enough");  // ends the walk; not an error of this call
    };
    const Status status = Walk(root_, prefix, start_after, context, take).folder({});
    return enough ? Status() : status;
}

Result<ObjectStore::Folder> LocalStore::list_folder(const std::string& prefix, const CallContext& context) {
    FORGE_TRY(check_root());
    FORGE_TRY(check_context(context));
    Folder result;
    const std::string path = join_path(root_, prefix);
    if (!path_exists(path)) return result;
    FORGE_ASSIGN(const std::vector<std::string> names, list_directory(path));
    for (const std::string& name : names) {
        if (is_temporary(name)) continue;
        struct ::stat st {};
        if (::stat(join_path(path, name).c_str(), &st) != 0) continue;  // removed meanwhile
        if (S_ISREG(st.st_mode)) result.objects.push_back(object_info(prefix + name, st));
        if (S_ISDIR(st.st_mode)) result.folders.push_back(prefix + name + "/");
    }
    std::sort(result.folders.begin(), result.folders.end());
    return result;
}

Status LocalStore::remove(const std::vector<std::string>& keys, const CallContext& context) {
    FORGE_TRY(check_root());
    std::set<std::string> changed;
    for (const std::string& key : keys) {
        FORGE_TRY(check(key, context));
        const std::string path = path_of(key);
        if (::unlink(path.c_str()) == 0) {
            FORGE_CRASH_POINT("file-removed");
            changed.insert(parent_path(path));
        } else if (errno != ENOENT && errno != ENOTDIR && errno != EISDIR) {
            return errno_status(errno, "could not remove file", path);
        }
    }
    for (const std::string& directory : changed) {
        FORGE_TRY(sync_directory(directory));
        remove_empty_parents(directory);
    }
    return {};
}

// As far as they are empty; somebody else may use them meanwhile.
void LocalStore::remove_empty_parents(std::string directory) const {
    while (directory.size() > root_.size() && ::rmdir(directory.c_str()) == 0) directory = parent_path(directory);
}

Result<int> LocalStore::remove_leftovers(const std::string& prefix, seconds age, const CallContext& context) {
    FORGE_TRY(check_root());
    const std::int64_t limit = SystemClock().now().nanos - std::chrono::nanoseconds(age).count();
    int removed = 0;
    const auto visit = [&](const std::string& key, const std::string& path, const struct ::stat& st, bool temporary) {
        if (!temporary || object_info(key, st).modified.nanos > limit) return Status();
        FORGE_TRY(remove_file(path));
        remove_empty_parents(parent_path(path));
        ++removed;
        return Status();
    };
    FORGE_TRY(Walk(root_, prefix, {}, context, visit).folder({}));
    return removed;
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> open_local_store(const std::string& directory) {
    std::string root = directory;
    while (root.size() > 1 && root.back() == '/') root.pop_back();
    if (root.empty() || root.front() != '/') {
        return Status(Kind::kInvalid, "store directory " + quoted(directory) + " is not an absolute path");
    }
    if (!is_directory(root) && ::mkdir(root.c_str(), kDirectoryMode) != 0) {
        const int error = errno;
        if (error == ENOENT) {
            return Status(Kind::kInvalid, "the parent of store directory " + quoted(root) + " does not exist",
                          "Create it, or correct the storage setting.");
        }
        return errno_status(error, "could not create store directory", root);
    }
    return std::unique_ptr<ObjectStore>(std::make_unique<LocalStore>(std::move(root)));
}

}  // namespace forge::store
