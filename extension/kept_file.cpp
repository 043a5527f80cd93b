#include "extension/kept_file.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace forge::server {

namespace {

constexpr std::size_t kLongest = 32 << 10;

}  // namespace

std::string read_kept_file(const char* path) {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path, "re"), fclose);
    if (file == nullptr) return {};
    std::string text(kLongest, '\0');
    text.resize(fread(text.data(), 1, text.size(), file.get()));
    return text;
}

void replace_kept_file(const char* path, const std::string& text) {
    (void)mkdir(kStatisticsDirectory, static_cast<mode_t>(pg_dir_create_mode));
    const std::string temporary = std::string(path) + "." + std::to_string(MyProcPid);
    const int file =
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, static_cast<mode_t>(pg_file_create_mode));
    if (file < 0) return;
    const bool whole = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(file);
    if (!whole || rename(temporary.c_str(), path) != 0) (void)unlink(temporary.c_str());
}

}  // namespace forge::server
