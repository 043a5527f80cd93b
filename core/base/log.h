// Where messages of core go: stderr of the executable, or frames to the server. Text in PostgreSQL's style, one line.
#pragma once

#include <string_view>

namespace forge {

enum class LogLevel { kDebug, kInfo, kNotice, kWarning };

// Thread-safe: implementations lock for themselves.
class Logger {
public:
    virtual ~Logger() = default;
    virtual void log(LogLevel level, std::string_view message) = 0;
    void debug(std::string_view m) { log(LogLevel::kDebug, m); }
    void info(std::string_view m) { log(LogLevel::kInfo, m); }
    void warning(std::string_view m) { log(LogLevel::kWarning, m); }
};

class NullLogger final : public Logger {
public:
    void log(LogLevel, std::string_view) override {}
};

}  // namespace forge
