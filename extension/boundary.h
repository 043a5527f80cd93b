// The two crossings between the server's ERROR (a longjmp) and C++ (an unwind). Neither may pass a frame of the other
// kind.
//
//   call_server   C++ calls a server function that may raise ERROR: the ERROR becomes a ServerError exception.
//   guarded       the server calls C++: every exception becomes an ERROR, raised after the last catch block and the
//   last
//                 destructor are left.
//
// FATAL needs neither: it ends the process through its exit handlers and unwinds nothing.
#pragma once

#include "extension/compat.h"

namespace forge::server {

// An ERROR on its way through C++ frames. The data lives in the memory context that was current at the call.
struct ServerError {
    ErrorData* data;
};

// Errors and refusals of ours on their way to the guard.
struct UserError {
    int sqlstate;
    Status status;
};

inline int sqlstate_of(Kind kind) {
    switch (kind) {
        case Kind::kOk: return ERRCODE_SUCCESSFUL_COMPLETION;
        case Kind::kNotFound: return ERRCODE_UNDEFINED_OBJECT;
        case Kind::kAlreadyExists:
        case Kind::kConflict: return ERRCODE_DUPLICATE_OBJECT;
        case Kind::kForeign: return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
        case Kind::kDenied: return ERRCODE_INSUFFICIENT_PRIVILEGE;
        case Kind::kInvalid: return ERRCODE_INVALID_PARAMETER_VALUE;
        case Kind::kCorrupt: return ERRCODE_DATA_CORRUPTED;
        case Kind::kThrottled:
        case Kind::kUnavailable: return ERRCODE_CONNECTION_FAILURE;
        case Kind::kTimeout:
        case Kind::kCancelled: return ERRCODE_QUERY_CANCELED;
        case Kind::kExhausted: return ERRCODE_INSUFFICIENT_RESOURCES;
        case Kind::kInternal: return ERRCODE_INTERNAL_ERROR;
    }
    return ERRCODE_INTERNAL_ERROR;
}

[[noreturn]] inline void throw_status(Status status) {
    const int sqlstate = sqlstate_of(status.kind());
    throw UserError{sqlstate, std::move(status)};
}
inline void throw_if_error(Status status) {
    if (!status.ok()) throw_status(std::move(status));
}
template <typename T>
T value_or_throw(Result<T> result) {
    if (!result.ok()) throw_status(result.status());
    return std::move(result).value();
}

// Calls `function`, whose frames below this one hold trivially destructible objects only. An ERROR inside is thrown as
// ServerError, with the error state of the server already flushed.
template <typename Function>
auto call_server(Function&& function) -> decltype(function()) {
    using Value = decltype(function());
    static_assert(std::is_void_v<Value> || std::is_trivially_destructible_v<Value>);
    sigjmp_buf* const outer_stack = PG_exception_stack;
    ErrorContextCallback* const outer_context = error_context_stack;
    const MemoryContext memory = CurrentMemoryContext;
    sigjmp_buf here;
    if (sigsetjmp(here, 0) == 0) {
        PG_exception_stack = &here;
        if constexpr (std::is_void_v<Value>) {
            function();
            PG_exception_stack = outer_stack;
            error_context_stack = outer_context;
            return;
        } else {
            Value value = function();
            PG_exception_stack = outer_stack;
            error_context_stack = outer_context;
            return value;
        }
    }
    PG_exception_stack = outer_stack;
    error_context_stack = outer_context;
    MemoryContextSwitchTo(memory);
    ErrorData* const data = CopyErrorData();
    FlushErrorState();
    throw ServerError{data};
}

// What an exception says, in plain data: it outlives the catch block and needs no destructor.
struct Failure {
    bool failed = false;
    ErrorData* server_error = nullptr;  // set for an ERROR of the server
    int sqlstate = 0;
    Kind kind = Kind::kOk;
    char message[768] = {};
    char hint[512] = {};
};

inline void describe(Failure& failure, int sqlstate, Kind kind, std::string_view message, std::string_view hint) {
    failure.sqlstate = sqlstate;
    failure.kind = kind;
    copy_bounded(failure.message, message);
    copy_bounded(failure.hint, hint);
}

// Runs C++ code and reports what it threw; never throws, never raises ERROR.
template <typename Function>
Failure run_caught(Function&& function) noexcept {
    Failure failure;
    try {
        function();
    } catch (const ServerError& error) {
        failure.failed = true;
        failure.server_error = error.data;
        const char* message = error.data->message ? error.data->message : "";
        const char* hint = error.data->hint ? error.data->hint : "";
        const Kind kind = error.data->sqlerrcode == ERRCODE_QUERY_CANCELED ? Kind::kCancelled : Kind::kUnavailable;
        describe(failure, error.data->sqlerrcode, kind, message, hint);
    } catch (const UserError& error) {
        failure.failed = true;
        describe(failure, error.sqlstate, error.status.kind(), error.status.message(), error.status.hint());
    } catch (const std::bad_alloc&) {
        failure.failed = true;
        describe(failure, ERRCODE_OUT_OF_MEMORY, Kind::kExhausted, "out of memory", {});
    } catch (const std::exception& error) {
        failure.failed = true;
        describe(failure, ERRCODE_INTERNAL_ERROR, Kind::kInternal, error.what(), {});
    } catch (...) {
        failure.failed = true;
        describe(failure, ERRCODE_INTERNAL_ERROR, Kind::kInternal, "unexpected exception", {});
    }
    return failure;
}

// Raises what run_caught() caught. The caller holds nothing that has a destructor.
inline void raise(const Failure& failure) {
    if (failure.server_error != nullptr) ReThrowError(failure.server_error);
    ereport(ERROR, (errcode(failure.sqlstate), errmsg("%s", failure.message),
                    failure.hint[0] != '\0' ? errhint("%s", failure.hint) : 0));
}

// The same in every encoding of a server.
inline bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
}

// Texts from outside the server may be in no encoding at all; a database accepts its own only.
inline std::string in_server_encoding(std::string text) {
    if (is_plain(text)) return text;
    const char* const data = text.c_str();
    const int length = static_cast<int>(text.size());
    if (call_server([=] { return pg_verify_mbstr(GetDatabaseEncoding(), data, length, true); })) return text;
    for (char& c : text) {
        if ((static_cast<unsigned char>(c) & 0x80) != 0 || c == '\0') c = '?';
    }
    return text;
}

// The body of every function the server calls: `function` does the work in C++ and returns a plain value.
template <typename Function>
auto guarded(Function&& function) -> decltype(function()) {
    using Value = decltype(function());
    static_assert(std::is_trivially_destructible_v<Value>);
    Value value{};
    const Failure failure = run_caught([&] { value = function(); });
    if (failure.failed) raise(failure);
    return value;
}

}  // namespace forge::server
