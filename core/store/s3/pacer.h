// How fast one store is asked by all threads together. When it asks one of them to slow down, nobody sends before the
// pause is over, and from then on only half as many requests as there were may be under way; each success afterwards
// lets a little more through, until the bound is as good as none. Thread-safe.
#pragma once

#include <mutex>

#include "core/store/object_store.h"

namespace forge::store::s3 {

class Pacer {
public:
    // One request; ends with the object.
    class Turn {
    public:
        explicit Turn(Pacer& pacer) : pacer_(pacer) {}
        ~Turn();
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        // Waits until the request may be sent. kThrottled when the call's deadline comes first.
        Status begin(const CallContext& context);
        void succeeded();
        void throttled(milliseconds pause);

    private:
        Pacer& pacer_;
        bool begun_ = false;
    };

    // Requests that may be under way at once; 0 = any number.
    int limit() const;

private:
    // How long to wait before looking again; nothing when the request may be sent, which then counts as under way.
    milliseconds try_begin();

    mutable std::mutex mutex_;
    int under_way_ = 0;
    int most_ = 0;      // that were ever under way at once
    double limit_ = 0;  // 0 = none
    Steady::time_point gate_{};
};

}  // namespace forge::store::s3
