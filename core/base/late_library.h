// A shared library that is loaded when one of its functions is first called. libcurl alone brings thirty others, which
// would cost three times what the rest of a start does; a call that needs no network, no tar and no digest, like
// "--version" or "help", does without.
//
// Which functions there are, with the types that the library's own header gives them, stands in one header a library:
// core/base/libcrypto.h, core/backup/libarchive.h, core/store/s3/libcurl.h. They have the names of the library and stand
// in namespace forge, where they are found first; a function that is missing there does not link.
//
// A library that cannot be loaded ends the process as one that is missing at its start would: with exit code 127 and a
// message on standard error. All of this may be used by several threads at once.
#pragma once

#include <atomic>

namespace forge {

class LateLibrary {
public:
    // The name that the dynamic loader knows; it must outlive the object.
    explicit constexpr LateLibrary(const char* soname) : soname_(soname) {}
    LateLibrary(const LateLibrary&) = delete;
    LateLibrary& operator=(const LateLibrary&) = delete;

    const char* soname() const { return soname_; }
    // The address of a function.
    void* find(const char* function);

private:
    const char* soname_;
    std::atomic<void*> handle_{nullptr};
};

template <typename Function>
class LateFunction {
public:
    constexpr LateFunction(LateLibrary& library, const char* name) : library_(library), name_(name) {}
    LateFunction(const LateFunction&) = delete;
    LateFunction& operator=(const LateFunction&) = delete;

    // Makes the object callable like the function itself, however many arguments that takes.
    operator Function*() const {
        Function* address = address_.load(std::memory_order_acquire);
        if (address == nullptr) {
            address = reinterpret_cast<Function*>(library_.find(name_));
            address_.store(address, std::memory_order_release);
        }
        return address;
    }

private:
    LateLibrary& library_;
    const char* name_;
    mutable std::atomic<Function*> address_{nullptr};
};

extern LateLibrary libarchive;
extern LateLibrary libcrypto;
extern LateLibrary libcurl;

}  // namespace forge

// Declares the function of that name in `library`.
#define FORGE_LATE_FUNCTION(library, name) inline constinit const LateFunction<decltype(::name)> name{library, #name}
