#include "core/base/status.h"

#include <array>
#include <cerrno>
#include <system_error>

namespace forge {

namespace {

struct KindName {
    Kind kind;
    std::string_view name;
};

constexpr std::array kKindNames{
    KindName{Kind::kOk, "ok"},
    KindName{Kind::kNotFound, "not found"},
    KindName{Kind::kAlreadyExists, "already exists"},
    KindName{Kind::kConflict, "conflict"},
    KindName{Kind::kForeign, "foreign"},
    KindName{Kind::kDenied, "denied"},
    KindName{Kind::kInvalid, "invalid"},
    KindName{Kind::kCorrupt, "corrupt"},
    KindName{Kind::kThrottled, "throttled"},
    KindName{Kind::kUnavailable, "unavailable"},
    KindName{Kind::kTimeout, "timeout"},
    KindName{Kind::kCancelled, "cancelled"},
    KindName{Kind::kExhausted, "exhausted"},
    KindName{Kind::kInternal, "internal"},
};

const std::string& empty_text() {
    static const std::string empty;
    return empty;
}

}  // namespace

std::string_view kind_name(Kind kind) {
    for (const auto& entry : kKindNames) {
        if (entry.kind == kind) return entry.name;
    }
    return "internal";
}

Kind kind_from_name(std::string_view name) {
    for (const auto& entry : kKindNames) {
        if (entry.name == name) return entry.kind;
    }
    return Kind::kInternal;
}

Status::Status(Kind kind, std::string message, std::string hint)
    : detail_(std::make_unique<Detail>(Detail{kind, std::move(message), std::move(hint), 0, {}, {}})) {}

Status::Status(const Status& other) : detail_(other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr) {}

Status& Status::operator=(const Status& other) {
    if (this != &other) detail_ = other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr;
    return *this;
}

const std::string& Status::message() const { return detail_ ? detail_->message : empty_text(); }
const std::string& Status::hint() const { return detail_ ? detail_->hint : empty_text(); }
const std::string& Status::request_id() const { return detail_ ? detail_->request_id : empty_text(); }
const std::string& Status::store_code() const { return detail_ ? detail_->store_code : empty_text(); }

Status Status::with_context(std::string_view context) && {
    if (detail_) detail_->message = std::string(context) + ": " + detail_->message;
    return std::move(*this);
}

Status Status::with_context(std::string_view context) const& { return Status(*this).with_context(context); }

Status Status::with_hint(std::string hint) && {
    if (detail_) detail_->hint = std::move(hint);
    return std::move(*this);
}

Status Status::with_kind(Kind kind) && {
    if (detail_) detail_->kind = kind;
    return std::move(*this);
}

Status Status::with_http(int http_status, std::string store_code, std::string request_id) && {
    if (detail_) {
        detail_->http_status = http_status;
        detail_->store_code = std::move(store_code);
        detail_->request_id = std::move(request_id);
    }
    return std::move(*this);
}

std::string Status::to_string() const {
    if (!detail_) return "ok";
    if (detail_->hint.empty()) return detail_->message;
    return detail_->message + " (hint: " + detail_->hint + ")";
}

Status errno_status(int error, std::string_view what, std::string_view path) {
    Kind kind = Kind::kUnavailable;
    switch (error) {
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case ELOOP:
        case ENAMETOOLONG:
        case EINVAL:
        case ENOTEMPTY: kind = Kind::kInvalid; break;
        case EACCES:
        case EPERM:
        case EROFS: kind = Kind::kDenied; break;
        case EEXIST: kind = Kind::kAlreadyExists; break;
        case ENOSPC:
        case EDQUOT:
        case ENOMEM:
        case EMFILE:
        case ENFILE: kind = Kind::kExhausted; break;
        case ETIMEDOUT: kind = Kind::kTimeout; break;
        default: break;
    }
    std::string text(what);
    text += " \"";
    text += path;
    text += "\": ";
    text += std::generic_category().message(error);
    return Status(kind, std::move(text));
}

}  // namespace forge
