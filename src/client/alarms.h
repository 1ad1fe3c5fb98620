// client/alarms.h: one pending alarm an owner, for a thread that polls.
#pragma once
#include <map>
#include <unordered_map>

#include "base/clock.h"

namespace weir::client {

// Own thread only.
template <class Owner>
class Alarms {
public:
    // Replaces the owner's earlier alarm.
    void set(Owner* owner, TimePoint at) {
        clear(owner);
        places_[owner] = queue_.emplace(at, owner);
    }
    void clear(Owner* owner) {
        const auto found = places_.find(owner);
        if (found == places_.end()) return;
        queue_.erase(found->second);
        places_.erase(found);
    }
    TimePoint next() const { return queue_.empty() ? kNever : queue_.begin()->first; }
    // Takes one alarm that is due; nullptr when there is none.
    Owner* take_due(TimePoint now) {
        if (queue_.empty() || queue_.begin()->first > now) return nullptr;
        Owner* owner = queue_.begin()->second;
        clear(owner);
        return owner;
    }

private:
    using Queue = std::multimap<TimePoint, Owner*>;
    Queue queue_;
    std::unordered_map<Owner*, typename Queue::iterator> places_;
};

}  // namespace weir::client
