// s3/deadline.h: ends the transfers on a leash at a deadline, for as long as it lives.
#pragma once
#include <functional>
#include <memory>

#include "async/loop.h"
#include "client/leash.h"

namespace weir::s3 {

// Made and destroyed on the same loop.
class UntilDeadline {
public:
    // `holds`, when given, is asked at the deadline: false lets the transfer go on.
    UntilDeadline(std::shared_ptr<client::Leash> leash, TimePoint at,
                  std::function<bool()> holds = {})
        : loop_(Loop::current()),
          timer_(loop_.at(at, [leash = std::move(leash), holds = std::move(holds)] {
              if (!holds || holds()) leash->expire();
          })) {}
    ~UntilDeadline() { loop_.cancel(timer_); }
    UntilDeadline(const UntilDeadline&) = delete;
    UntilDeadline& operator=(const UntilDeadline&) = delete;

private:
    Loop& loop_;
    Loop::TimerId timer_;
};

}  // namespace weir::s3
