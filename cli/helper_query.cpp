// The helper that answers questions about the store: lists, plans, checks.
#include "cli/checks.h"
#include "cli/common.h"
#include "cli/helper_roles.h"
#include "cli/list_rows.h"
#include "cli/plan_rows.h"

namespace forge::cli {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

// A backend cancels earlier by closing the link; this only bounds a question nobody waits for.
constexpr std::chrono::minutes kLongest{10};

class QueryRole {
public:
    QueryRole(Channel& channel, Logger& logger, const Hello&)
        : channel_(channel), logger_(logger), config_(channel, logger), jobs_(logger) {}

    void run() {
        while (true) {
            Frame frame;
            const Channel::Event event = channel_.receive(frame, seconds(60));
            if (event == Channel::Event::kEnd) break;
            if (event == Channel::Event::kFrame) handle(frame);
        }
        end_process_after(seconds(2));
        cancel_.cancel();
    }

private:
    void handle(const Frame& frame) {
        if (frame.type == FrameType::kConfigure) {
            // The job thread may hold the settings of before; it works with copies.
            config_.configure(frame);
        } else if (frame.type == FrameType::kList || frame.type == FrameType::kPlan) {
            auto repository = config_.repository_or_error();
            if (!repository.ok()) return channel_.send(failed_frame(repository.status()));
            jobs_.add([this, frame, repository = std::move(repository).value(), inputs = config_.inputs()] {
                const Status result =
                    frame.type == FrameType::kList ? list(*repository) : plan(frame, *repository, inputs);
                finish(result);
            });
        } else if (frame.type == FrameType::kCheck) {
            jobs_.add([this, loaded = config_.settings_or_error()] {
                for (const Finding& finding : run_checks(loaded, context(), logger_))
                    send_row({finding.check, std::string(level_name(finding.level)), finding.detail,
                              finding.hint.empty() ? std::optional<std::string>() : finding.hint});
                finish({});
            });
        }
    }

    Status list(repository::Repository& repository) {
        FORGE_ASSIGN(const std::vector<Row> rows, backup_rows(repository, context()));
        for (const Row& row : rows) send_row(row);
        return {};
    }

    Status plan(const Frame& frame, repository::Repository& repository, const settings::Inputs& inputs) {
        const auto text = [&frame](Tag tag) { return std::string(frame.text(tag)); };
        const bool inclusive = !frame.has(Tag::kInclusive) || frame.number(Tag::kInclusive) != 0;
        FORGE_ASSIGN(const restore::Target target,
                     parse_target(text(Tag::kTargetType), text(Tag::kTargetValue), text(Tag::kTargetTimeline),
                                  text(Tag::kBackup), inclusive));
        const bool allow_nearest = frame.number(Tag::kAllowNearest) != 0;
        FORGE_ASSIGN(const restore::Plan found,
                     restore::make_plan(repository, target, allow_nearest, context(), logger_));
        CommandParts parts;
        parts.executable = own_path();
        parts.words = words_for_inputs(inputs);
        for (auto& [name, value] : plan_rows(found, repository.settings(), parts)) send_row({name, value});
        return {};
    }

    void finish(const Status& result) { channel_.send(result.ok() ? Frame(FrameType::kDone) : failed_frame(result)); }

    void send_row(const Row& row) {
        Frame frame(FrameType::kRow);
        for (const auto& field : row) frame.add(field ? Tag::kValue : Tag::kNull, field.value_or(""));
        channel_.send(frame);
    }

    store::CallContext context() const {
        store::CallContext context;
        context.cancel = &cancel_;
        context.deadline = Deadline::after(kLongest);
        return context;
    }

    Channel& channel_;
    Logger& logger_;
    Configuration config_;
    CancelToken cancel_;
    JobThread jobs_;  // last: its jobs use the rest
};

}  // namespace

void run_query_role(Channel& channel, Logger& logger, const Hello& hello) {
    QueryRole role(channel, logger, hello);
    role.run();
}

}  // namespace forge::cli
