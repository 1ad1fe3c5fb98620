// cache/fetch.cc: the shared state of a Fetch and its readers' side. The driver is in
// fetch_drive.cc.
#include "cache/fetch.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "cache/past_disk.h"
#include "cache/segment.h"

namespace weir::cache {
namespace {
void fire_all(const std::vector<Firing>& firings) {
    for (const Firing& firing : firings) firing.fire();
}

bool ended_by_disk(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const Failure& failure) {
        return is_disk_fault(failure);
    } catch (...) {
        return false;
    }
}
}  // namespace

void Fetch::Wakes::act() const {
    for (const auto& handle : handles) handle->cancel();
    fire_all(firings);
}

Fetch::Fetch(FetchContext& context, oci::Digest digest, std::string group, bool owns,
             std::shared_ptr<Fetch> predecessor, FetchTerms terms)
    : context_(context),
      digest_(digest),
      group_(std::move(group)),
      began_(context.clock.now()),
      terms_(std::move(terms)),
      predecessor_(std::move(predecessor)),
      owns_(owns),
      hasher_(digest.algorithm()),
      progress_(context.clock.now()) {}

Fetch::~Fetch() = default;

bool Fetch::want(const std::vector<WantedRange>& wanted, const Origins& origins) {
    std::optional<Firing> driver;
    {
        std::lock_guard lock(mutex_);
        if (state_ != State::running) return false;
        watched_from_ = context_.clock.now();
        watched_bytes_ = received_;
        if (wanted.empty()) whole_ = true;
        for (const WantedRange& spec : wanted) {
            const bool all = spec.first && *spec.first == 0 && !spec.last;
            if (all) {
                whole_ = true;
            } else {
                specs_.push_back(spec);
            }
        }
        for (const auto& origin : origins) {
            const bool known = std::any_of(origins_.begin(), origins_.end(), [&](const auto& o) {
                return o->key() == origin->key() && o->proves() == origin->proves();
            });
            if (!known) origins_.push_back(origin);
        }
        if (size_) resolve_wanted_locked();
        driver = driver_;
    }
    if (driver) driver->fire();
    return true;
}

void Fetch::close(std::function<void()> ended) {
    std::lock_guard lock(mutex_);
    ended_ = std::move(ended);
    state_ = State::parked;
}

bool Fetch::promised_locked(const std::vector<WantedRange>& wanted) const {
    if (!head_known_locked()) return false;
    if (verified_ || state_ != State::running) return true;
    const uint64_t size = *size_;
    if (size == 0 || mismatch_) return false;
    uint64_t first = 0, end = size;
    if (!wanted.empty()) {
        const WantedRange& spec = wanted.front();
        first =
            spec.first ? std::min(*spec.first, size) : size - std::min(size, spec.last.value_or(0));
        if (spec.first && spec.last) end = std::min(size, std::min(*spec.last, size - 1) + 1);
        if (first >= end) return true;  // nothing of it will be sent
    }
    const uint64_t missing = have_.end_from(first);
    // Those who read to the end wait for the verdict, which is near.
    if (missing >= end) return !(whole_ && missing >= size);
    bool under_way = false;
    for (const auto& segment : segments_) {
        if (segment->suffix > 0) continue;
        if (segment->position <= missing && missing < segment->limit) return segment->answered;
        under_way = under_way || segment->answered;
    }
    return under_way;
}

Task<uint64_t> Fetch::head(TimePoint deadline, std::vector<WantedRange> wanted) {
    Signal signal;
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            // Where it can't be kept the size is all that a relay needs of it.
            if (failure_ && !(unkept_ && size_ && file_)) std::rethrow_exception(failure_);
            if (promised_locked(wanted) || failure_) {
                head_given_ = true;
                co_return *size_;
            }
            waiters_.push_back(Waiter{0, 0, false, Firing(signal), &wanted});
        }
        const bool fired = co_await signal.wait(deadline);
        if (fired) continue;
        std::lock_guard lock(mutex_);
        std::erase_if(waiters_, [&](const Waiter& w) { return w.firing == Firing(signal); });
        throw no_head_locked();
    }
}

uint64_t Fetch::available_locked(uint64_t offset, bool whole) const {
    // Nobody who comes now is shown what is known to be wrong.
    if (mismatch_) return 0;
    uint64_t end = have_.end_from(offset);
    // The withheld tail: whoever reads the last byte of a whole blob holds the right blob.
    const auto size = size_ ? size_ : promised_size_;
    if (whole && whole_ && !verified_ && size && *size > 0 && end >= *size) end = *size - 1;
    return end > offset ? end - offset : 0;
}

uint64_t Fetch::available(uint64_t offset, bool whole) const {
    std::lock_guard lock(mutex_);
    return available_locked(offset, whole);
}

Task<uint64_t> Fetch::readable_from(uint64_t offset, uint64_t at_least, TimePoint soft, bool whole,
                                    Departure* departure) {
    Signal signal;
    if (departure) departure->waiting = Firing(signal);
    bool urged = false;
    for (;;) {
        if (departure && departure->gone) throw Failure(Kind::cancelled, "the reader has left");
        std::optional<Firing> driver;
        TimePoint deadline = kNever;
        {
            std::lock_guard lock(mutex_);
            const uint64_t count = available_locked(offset, whole);
            if (count > 0 && (count >= at_least || state_ != State::running ||
                              context_.clock.now() >= soft || verified_)) {
                shown_ = true;
                co_return count;
            }
            if (failure_) std::rethrow_exception(failure_);
            if (state_ != State::running)
                throw Failure(Kind::internal, "bytes are read that nobody asked for");
            if (count > 0) deadline = soft;
            const uint64_t wake_at = offset + std::max<uint64_t>(count > 0 ? at_least : 1, 1);
            waiters_.push_back(Waiter{wake_at, offset, whole, Firing(signal), nullptr});
            // A waiter far ahead of every transfer may need one of its own: the driver looks once.
            if (!urged && count == 0) driver = driver_;
            urged = true;
        }
        if (driver) driver->fire();
        co_await signal.wait(deadline);
        std::lock_guard lock(mutex_);
        std::erase_if(waiters_, [&](const Waiter& w) { return w.firing == Firing(signal); });
    }
}

std::shared_ptr<const File> Fetch::file() const {
    std::lock_guard lock(mutex_);
    return file_;
}

std::optional<uint64_t> Fetch::size() const {
    std::lock_guard lock(mutex_);
    return size_;
}

bool Fetch::proven(const std::string& repository) const {
    std::lock_guard lock(mutex_);
    return proven_locked(repository);
}

bool Fetch::proven_locked(const std::string& repository) const {
    const auto at = proven_.find(repository);
    return at != proven_.end() && (private_of_.empty() || private_of_ == at->second);
}

std::vector<std::string> Fetch::proven_now_locked() const {
    std::vector<std::string> repositories;
    for (const auto& [repository, upstream] : proven_)
        if (proven_locked(repository)) repositories.push_back(repository);
    return repositories;
}

void Fetch::prove_locked(const Origin& origin, const upstream::BlobHead& head) {
    if (head.with_login && private_of_ != origin.upstream_name())
        // Of two it is nobody's: their logins are no more than a name together.
        private_of_ = private_of_.empty() ? origin.upstream_name() : terms_.scope;
    if (head.whole_size) proven_[origin.proves()] = origin.upstream_name();
}

std::string Fetch::private_of() const {
    std::lock_guard lock(mutex_);
    return private_of_;
}

bool Fetch::whole() const {
    std::lock_guard lock(mutex_);
    return whole_;
}

std::string Fetch::upstream_name() const {
    std::lock_guard lock(mutex_);
    return upstream_name_;
}

Origins Fetch::origins() const {
    std::lock_guard lock(mutex_);
    return origins_;
}

std::exception_ptr Fetch::failure() const {
    std::lock_guard lock(mutex_);
    return failure_;
}

bool Fetch::running() const {
    std::lock_guard lock(mutex_);
    return state_ == State::running;
}

bool Fetch::verified() const {
    std::lock_guard lock(mutex_);
    return verified_;
}

bool Fetch::owns() const {
    std::lock_guard lock(mutex_);
    return owns_;
}

bool Fetch::nearly_there() const {
    std::lock_guard lock(mutex_);
    if (verified_) return true;
    if (state_ != State::running || !whole_ || mismatch_ || doubtful_) return false;
    const TimePoint now = context_.clock.now();
    if (received_ == 0) return now - began_ < kQuietTime;
    if (!size_ || now - progress_ >= kQuietTime) return false;
    // Seconds, in numbers that do not overflow.
    const double took = std::max(std::chrono::duration<double>(now - began_).count(), 0.001);
    const double left = static_cast<double>(*size_ - std::min(*size_, have_.total()));
    return left * took <=
           static_cast<double>(received_) * std::chrono::duration<double>(kNearTime).count();
}

bool Fetch::overtaken() {
    std::lock_guard lock(mutex_);
    overtaken_ = true;
    return state_ == State::running;
}

void Fetch::own() {
    std::lock_guard lock(mutex_);
    owns_ = true;
}

std::optional<Fetch::Front> Fetch::front() const {
    std::lock_guard lock(mutex_);
    if (hashing_) return std::nullopt;
    return Front{hashed_, hasher_.digest()};
}

void Fetch::fire_locked(std::vector<Firing>& out) {
    std::erase_if(waiters_, [&](const Waiter& waiter) {
        const bool head = waiter.wake_at == 0;
        const bool ready =
            head ? promised_locked(*waiter.wanted)
                 : waiter.offset + available_locked(waiter.offset, waiter.whole) >= waiter.wake_at;
        if (ready || verified_ || state_ != State::running) {
            out.push_back(waiter.firing);
            return true;
        }
        return false;
    });
}

void Fetch::fail_locked(std::exception_ptr error, Wakes& out) {
    if (state_ != State::running || verified_) return;
    state_ = State::failed;
    unkept_ = ended_by_disk(error);
    failure_ = std::move(error);
    fire_locked(out.firings);
    for (const auto& segment : segments_) {
        if (segment->wake) out.firings.push_back(*segment->wake);
        if (segment->handle) out.handles.push_back(segment->handle);
    }
    if (driver_) out.firings.push_back(*driver_);
}

void Fetch::fail(std::exception_ptr error) {
    Wakes wakes;
    {
        std::lock_guard lock(mutex_);
        fail_locked(std::move(error), wakes);
    }
    wakes.act();
}

void Fetch::cancel(const Failure& why) {
    fail(std::make_exception_ptr(why));
}

void Fetch::wake_driver() {
    std::optional<Firing> driver;
    {
        std::lock_guard lock(mutex_);
        driver = driver_;
    }
    if (driver) driver->fire();
}

bool Fetch::learn_size(uint64_t size, const Origin& origin) {
    uint64_t foreseen = 0;
    if ((size == 0) != names_nothing(digest_)) return false;
    {
        std::lock_guard lock(mutex_);
        if (size_) {
            doubtful_ = doubtful_ || *size_ != size;
            return *size_ == size;
        }
        if (promised_size_ && *promised_size_ != size)
            throw Failure(
                Kind::upstream_bad,
                fmt::format("{} has another size than the first answer said", digest_.text()));
        const auto here = have_.list();
        if (!here.empty() && here.back().end > size) {
            doubtful_ = true;
            return false;
        }
        // Told before there is room for it: a relay needs it.
        size_ = size;
        room_asked_ = true;
        size_from_ = origin.key();
        resolve_wanted_locked();
        for (const auto& segment : segments_) segment->limit = std::min(segment->limit, size);
        foreseen = foreseen_locked();
    }
    // room_asked_ stays: the failure answers.
    if (!could_hold(foreseen)) throw no_room();
    if (!reserve()) {
        if (!context_.make_room) throw no_room();
        // The transfer pauses here; the driver makes room and lets it go on.
        std::lock_guard lock(mutex_);
        room_wanted_ = true;
    }
    std::vector<Firing> out;
    {
        std::lock_guard lock(mutex_);
        room_asked_ = false;
        check_sum_locked(out);  // of an empty blob, or of one that was there but for its size
        fire_locked(out);
        if (driver_) out.push_back(*driver_);
    }
    fire_all(out);
    return true;
}

void Fetch::check_sum_locked(std::vector<Firing>& out) {
    if (!size_ || hashed_ != *size_ || verified_ || mismatch_ || hashing_) return;
    if (hasher_.digest() == digest_) {
        verified_ = true;
    } else {
        mismatch_ = true;
    }
    fire_locked(out);
    if (driver_) out.push_back(*driver_);
}

void Fetch::arrived(Segment& by, uint64_t first, std::span<const std::byte> bytes) {
    std::vector<Firing> out;
    bool hash = false;
    {
        std::lock_guard lock(mutex_);
        have_.insert(first, first + bytes.size());
        // In the same step: a position beyond bytes that are not here yet would look to the plan
        // like a gap that nobody fills.
        by.attempt_bytes += bytes.size();
        by.position = std::max(by.position, first + bytes.size());
        contributed_.insert(by.origin->key());
        progress_ = context_.clock.now();
        received_ += bytes.size();
        if (first == hashed_ && !hashing_) hash = hashing_ = true;
        const bool unhashed = !hashing_ && have_.end_from(hashed_) > hashed_;
        if (unhashed && driver_) out.push_back(*driver_);
        fire_locked(out);
        if (received_ - recorded_ >= context_.options.record_bytes && driver_)
            out.push_back(*driver_);
    }
    fire_all(out);
    // Ahead of the front: whoever owns the hasher, or the driver, reaches it later.
    if (!hash) return;
    hasher_.update(bytes);
    out.clear();
    {
        std::lock_guard lock(mutex_);
        hashing_ = false;
        hashed_ += bytes.size();
        check_sum_locked(out);
        if (have_.end_from(hashed_) > hashed_ && driver_) out.push_back(*driver_);
    }
    fire_all(out);
}

std::string Fetch::bad_key(const Origin& origin) const {
    return digest_.text() + " " + origin.key();
}

}  // namespace weir::cache
