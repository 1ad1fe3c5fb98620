// upstream/curfew.h: ends the transfers on a leash at a deadline, for as long as it lives.
#pragma once
#include <functional>
#include <memory>

#include "async/loop.h"
#include "client/leash.h"

namespace weir::upstream {

// Made and destroyed on the same loop.
class Curfew {
public:
    // `holds`, when given, is asked at the deadline: false lets the transfer go on.
    Curfew(std::shared_ptr<client::Leash> leash, TimePoint at, std::function<bool()> holds = {})
        : loop_(Loop::current()),
          timer_(loop_.at(at, [leash = std::move(leash), holds = std::move(holds)] {
              if (!holds || holds()) leash->expire();
          })) {}
    ~Curfew() { loop_.cancel(timer_); }
    Curfew(const Curfew&) = delete;
    Curfew& operator=(const Curfew&) = delete;

private:
    Loop& loop_;
    Loop::TimerId timer_;
};

}  // namespace weir::upstream
