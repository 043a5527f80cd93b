// Answers of S3 servers, and of whatever else may answer in their place: every document, and what an error becomes.
#include <pugixml.hpp>

#include "core/store/s3/errors.h"
#include "core/store/s3/xml.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

using namespace store::s3;

void documents(std::string_view text) {
    if (const auto page = parse_list(text)) {
        for (const auto& object : page->objects) require(!object.key.empty(), "every object has a key");
    }
    const auto id = parse_upload_id(text);
    require(!id || !id->empty(), "an upload has an id");
    static_cast<void>(parse_uploads(text));
    static_cast<void>(parse_delete(text));
    static_cast<void>(parse_complete(text));
}

void refusals(FuzzedDataProvider& input) {
    HttpResponse response;
    response.status = input.ConsumeIntegralInRange<int>(0, 999);
    const auto now = Instant::from_seconds(input.ConsumeIntegralInRange<std::int64_t>(0, 4'000'000'000));
    for (const char* name : {"retry-after", "date", "x-amz-request-id", "x-amz-bucket-region"})
        response.headers.emplace_back(name, input.ConsumeRandomLengthString(64));
    const Refusal refusal = read_refusal("GET", "bucket", response, input.ConsumeRemainingBytesAsString(), now);
    require(refusal.retry_after >= milliseconds(0) && refusal.retry_after <= milliseconds(60000), "a pause is bounded");
    const Status status = to_status(refusal);
    require(!status.ok(), "a refusal is no success");
    require(!status.is(Kind::kNotFound) || refusal.error.code == "NoSuchKey",
            "missing is only what the store calls so");
    const std::string& message = status.message();
    require(message.size() < 1000, "a message fits a line");
    require(std::none_of(message.begin(), message.end(), [](char c) { return c >= 0 && c < ' '; }),
            "a message is one line");
}

void requests(FuzzedDataProvider& input) {
    std::vector<std::string> keys;
    while (input.remaining_bytes() > 0 && keys.size() < 20) {
        std::string key = input.ConsumeRandomLengthString(60);
        if (!key.empty() && xml_can_express(key)) keys.push_back(std::move(key));
    }
    pugi::xml_document document;
    require(static_cast<bool>(
                document.load_string(delete_body(keys).c_str(), pugi::parse_default | pugi::parse_ws_pcdata_single)),
            "what we send is XML");
    std::vector<std::string> sent;
    for (const pugi::xml_node& node : document.child("Delete").children("Object"))
        sent.emplace_back(node.child_value("Key"));
    require(sent == keys, "the server reads the keys we mean");
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    switch (input.ConsumeIntegralInRange<int>(0, 2)) {
        case 0: return refusals(input);
        case 1: return requests(input);
        default: return documents(input.ConsumeRemainingBytesAsString());
    }
}

}  // namespace forge::fuzz
