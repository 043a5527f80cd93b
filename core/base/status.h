// The result of everything in core that can fail: a kind the caller can act on, a text in PostgreSQL's message
// style (lower case, no final period, names in quotes), and an optional hint (a full sentence saying what to do).
//
// Expected failures are values, never exceptions. Exceptions are left for what nobody handles (out of memory, a
// broken invariant) and are caught at thread entry, subcommand entry and the server boundary only.
// Status and Result are values without shared state: safe to move between threads, not to use from two at once.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace forge {

// Kinds exist only where the caller acts differently.
enum class Kind : std::uint8_t {
    kOk = 0,
    kNotFound,       // the store said that the object does not exist; nothing else may use this kind
    kAlreadyExists,  // a conditional write lost: something is there already
    kConflict,       // the same name with different content
    kForeign,        // the place belongs to another cluster: nothing may be written there
    kDenied,         // credentials or permissions
    kInvalid,        // bad input or configuration: retrying cannot help before somebody changes it
    kCorrupt,        // content fails a check: truncated, tampered with, wrong key
    kThrottled,      // the store asks to slow down
    kUnavailable,    // the store or the system cannot do it now
    kTimeout,        // a deadline of ours passed
    kCancelled,      // we were told to stop
    kExhausted,      // disk, memory or quota is used up
    kInternal,       // a bug or an answer that makes no sense
};

// "not found", "denied", … for logs and views.
std::string_view kind_name(Kind kind);
// Inverse of kind_name; kInternal for unknown names.
Kind kind_from_name(std::string_view name);

// True where trying the same call again later may succeed without anybody changing anything.
constexpr bool is_retryable(Kind kind) {
    return kind == Kind::kThrottled || kind == Kind::kUnavailable || kind == Kind::kTimeout;
}

class [[nodiscard]] Status {
public:
    Status() = default;  // success
    Status(Kind kind, std::string message, std::string hint = {});
    Status(const Status& other);
    Status& operator=(const Status& other);
    Status(Status&&) noexcept = default;
    Status& operator=(Status&&) noexcept = default;
    ~Status() = default;

    bool ok() const { return detail_ == nullptr; }
    Kind kind() const { return detail_ ? detail_->kind : Kind::kOk; }
    bool is(Kind k) const { return kind() == k; }
    bool retryable() const { return is_retryable(kind()); }
    const std::string& message() const;
    const std::string& hint() const;
    // HTTP status of the answer that caused this, 0 if none; the store's request id, empty if none.
    int http_status() const { return detail_ ? detail_->http_status : 0; }
    const std::string& request_id() const;
    // The store's own error code ("NoSuchBucket"), empty if none.
    const std::string& store_code() const;

    // "context: message", once per level, so that the final line reads like a path. No-op on success.
    Status with_context(std::string_view context) &&;
    Status with_context(std::string_view context) const&;
    Status with_hint(std::string hint) &&;
    Status with_kind(Kind kind) &&;
    Status with_http(int http_status, std::string store_code, std::string request_id) &&;

    // One line for logs: message, and " (hint: …)" where there is one.
    std::string to_string() const;

private:
    struct Detail {
        Kind kind;
        std::string message;
        std::string hint;
        int http_status = 0;
        std::string store_code;
        std::string request_id;
    };
    std::unique_ptr<Detail> detail_;  // null means success: one pointer when all is well
};

// Kind from errno (ENOENT is kInvalid here, not kNotFound: that one belongs to stores), text `what "path": strerror`.
Status errno_status(int error, std::string_view what, std::string_view path);

// Value or Status, shaped like std::expected so that it can be replaced when the compiler has it.
template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : data_(std::move(value)) {}         // NOLINT: implicit by design
    Result(Status status) : data_(std::move(status)) {   // NOLINT: implicit by design
        if (std::get<Status>(data_).ok()) std::abort();  // a Result without value must carry an error
    }
    bool ok() const { return std::holds_alternative<T>(data_); }
    explicit operator bool() const { return ok(); }
    T& value() & { return std::get<T>(data_); }
    const T& value() const& { return std::get<T>(data_); }
    // By value, unlike std::expected: `for (auto& x : list().value())` must not run over what is gone already.
    T value() && { return std::get<T>(std::move(data_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    // Success when there is a value.
    Status status() const { return ok() ? Status() : std::get<Status>(data_); }

private:
    std::variant<T, Status> data_;
};

}  // namespace forge

// Return the error of a Status expression / assign the value of a Result expression or return its error. Macros
// because nothing else in C++20 can return from the caller; they keep the error path of each function one line.
#define FORGE_TRY(expression)                                                                                          \
    do {                                                                                                               \
        if (::forge::Status forge_status_ = (expression); !forge_status_.ok()) return forge_status_;                   \
    } while (false)
#define FORGE_CONCAT_(a, b) a##b
#define FORGE_CONCAT(a, b) FORGE_CONCAT_(a, b)
#define FORGE_ASSIGN(declaration, expression)                                                                          \
    FORGE_ASSIGN_(FORGE_CONCAT(forge_result_, __LINE__), declaration, expression)
#define FORGE_ASSIGN_(temporary, declaration, expression)                                                              \
    auto temporary = (expression);                                                                                     \
    if (!temporary.ok()) return temporary.status();                                                                    \
    declaration = std::move(temporary).value()
