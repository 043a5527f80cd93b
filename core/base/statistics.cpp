#include "core/base/statistics.h"

#include <algorithm>
#include <bit>

#include "core/base/text.h"

namespace forge {

namespace {

// Every number of it, in the order of the text.
template <typename AnyStatistics, typename Visit>
void for_each_number(AnyStatistics& statistics, Visit&& visit) {
    visit(statistics.objects);
    visit(statistics.bytes_plain);
    visit(statistics.bytes_stored);
    for (auto& number : statistics.retries) visit(number);
    for (auto& stage : statistics.stages) {
        visit(stage.count);
        visit(stage.sum);
        visit(stage.min);
        visit(stage.max);
        for (auto& number : stage.buckets) visit(number);
    }
}

}  // namespace

void Histogram::add(std::uint64_t micros) {
    min = count == 0 ? micros : std::min(min, micros);
    max = std::max(max, micros);
    ++count;
    sum += micros;
    ++buckets[std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(micros)), kBuckets - 1)];
}

void Histogram::merge(const Histogram& other) {
    if (other.count == 0) return;
    min = count == 0 ? other.min : std::min(min, other.min);
    max = std::max(max, other.max);
    count += other.count;
    sum += other.sum;
    for (std::size_t i = 0; i < kBuckets; ++i) buckets[i] += other.buckets[i];
}

std::uint64_t Histogram::quantile(double part) const {
    const double wanted = part * static_cast<double>(count);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i + 1 < kBuckets; ++i) {
        seen += buckets[i];
        if (seen > 0 && static_cast<double>(seen) >= wanted)
            return std::min<std::uint64_t>(max, (std::uint64_t{1} << i) - 1);
    }
    return max;
}

void Statistics::merge(const Statistics& other) {
    for (std::size_t i = 0; i < kStages; ++i) stages[i].merge(other.stages[i]);
    objects += other.objects;
    bytes_plain += other.bytes_plain;
    bytes_stored += other.bytes_stored;
    for (std::size_t i = 0; i < kKindCount; ++i) retries[i] += other.retries[i];
}

bool Statistics::empty() const {
    bool empty = true;
    for_each_number(*this, [&](std::uint64_t number) { empty = empty && number == 0; });
    return empty;
}

std::string encode_statistics(const Statistics& statistics) {
    std::string text;
    for_each_number(statistics, [&](std::uint64_t number) {
        if (!text.empty()) text += ' ';
        text += std::to_string(number);
    });
    return text;
}

std::optional<Statistics> decode_statistics(std::string_view text) {
    Statistics statistics;
    bool good = true;
    for_each_number(statistics, [&](std::uint64_t& number) {
        const std::size_t end = text.find(' ');
        const auto value = parse_number<std::uint64_t>(text.substr(0, end));
        good = good && value.has_value();
        number = value.value_or(0);
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    });
    if (!good || !text.empty()) return std::nullopt;
    return statistics;
}

}  // namespace forge
