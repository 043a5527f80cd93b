#include "core/base/late_library.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace forge {

namespace {

[[noreturn]] void give_up() {
    const char* why = ::dlerror();
    std::fprintf(stderr, "forge-backup: error while loading shared libraries: %s\n", why != nullptr ? why : "unknown");
    std::_Exit(127);
}

}  // namespace

void* LateLibrary::find(const char* function) {
    void* handle = handle_.load(std::memory_order_acquire);
    if (handle == nullptr) {
        // Two threads may both come here: they get the same handle, which is never closed.
        handle = ::dlopen(soname_, RTLD_LAZY | RTLD_LOCAL);
        if (handle == nullptr) give_up();
        handle_.store(handle, std::memory_order_release);
    }
    void* address = ::dlsym(handle, function);
    if (address == nullptr) give_up();
    return address;
}

// The names are those of the libraries that were there when this was built (CMakeLists.txt).
constinit LateLibrary libarchive(FORGE_LIBARCHIVE);
constinit LateLibrary libcrypto(FORGE_LIBCRYPTO);
constinit LateLibrary libcurl(FORGE_LIBCURL);

}  // namespace forge
