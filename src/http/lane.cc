#include "http/lane.h"

#include <fmt/format.h>

#include <ctime>

#include "base/check.h"
#include "http/session.h"

namespace weir::http {

std::string_view Lane::date_line(TimePoint now) {
    if (now < date_until_) return date_line_;
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto wall = loop_.clock().wall();
    const auto second = std::chrono::floor<std::chrono::seconds>(wall);
    const time_t time = std::chrono::system_clock::to_time_t(second);
    tm t{};
    ::gmtime_r(&time, &t);
    date_line_ =
        fmt::format("Date: {}, {:02} {} {} {:02}:{:02}:{:02} GMT\r\n", kDays[t.tm_wday], t.tm_mday,
                    kMonths[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    date_until_ = now + (second + std::chrono::seconds(1) - wall);
    return date_line_;
}

std::span<char> Lane::scratch() {
    if (!scratch_) scratch_ = std::make_unique_for_overwrite<char[]>(kScratchBytes);
    return {scratch_.get(), kScratchBytes};
}

void Lane::add(Session& session) {
    session.place = sessions_.size();
    sessions_.push_back(&session);
}

void Lane::remove(Session& session) {
    check(sessions_[session.place] == &session, "a session is in its lane's list");
    sessions_[session.place] = sessions_.back();
    sessions_[session.place]->place = session.place;
    sessions_.pop_back();
}

}  // namespace weir::http
