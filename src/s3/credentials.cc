#include "s3/credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "async/semaphore.h"
#include "base/failure.h"
#include "base/log.h"
#include "s3/credential_sources.h"

namespace weir::s3 {
namespace {

using Held = std::shared_ptr<const Credentials>;
using namespace std::chrono_literals;

constexpr Duration kRenewalTime = 30s;  // for one walk through the sources
// After a walk in vain its failure stands for so long, so that many callers don't all ask.
constexpr Duration kFailureStands = 1s;
// While the old value is still good, a renewal that failed is tried again so often.
constexpr std::chrono::microseconds kLongestRetry = 60s, kShortestRetry = 1s;

WallTime when_to_renew(WallTime now, WallTime expires) {
    if (expires == Credentials::kNoExpiry) return expires;
    // IMDS gives the same keys until shortly before their end: then each renewal is for 80 % of
    // what is left.
    return now + std::max<std::chrono::microseconds>((expires - now) / 5 * 4, kShortestRetry);
}

}  // namespace

struct CredentialChain::Impl {
    Impl(CredentialOptions options, client::HttpClient& http, Pool& pool, Clock& time, Scope& scope)
        : sources(credential_sources(std::move(options), http, pool, leashes)),
          clock(time),
          flight(scope) {}

    Task<Held> renew();
    Task<Found> walk(TimePoint deadline, size_t& chosen, std::string& tried);
    Held keep(Credentials, size_t source);
    void note_failure(const std::string&);

    Leashes leashes;
    const std::vector<std::unique_ptr<CredentialSource>> sources;
    Clock& clock;
    Flight<int, Held> flight;

    std::mutex mutex;
    Held value;
    bool refused = false;  // the service takes it no longer
    WallTime renew_at = WallTime::min();
    std::optional<size_t> source;
    std::string failure;
    TimePoint failure_until{};
};

CredentialChain::CredentialChain(CredentialOptions options, client::HttpClient& http, Pool& pool,
                                 Clock& clock, Scope& scope)
    : impl_(std::make_unique<Impl>(std::move(options), http, pool, clock, scope)) {}
CredentialChain::~CredentialChain() = default;

Task<Held> CredentialChain::current(TimePoint deadline) {
    Impl& impl = *impl_;
    Held good;
    bool due = false;
    std::string failure;
    {
        std::lock_guard lock(impl.mutex);
        const WallTime now = impl.clock.wall();
        if (impl.value && !impl.refused && now < impl.value->expires) good = impl.value;
        due = now >= impl.renew_at;
        if (!good && impl.clock.now() < impl.failure_until) failure = impl.failure;
    }
    if (good) {
        if (due) impl.flight.start_behind(0, [&impl] { return impl.renew(); });
        co_return good;
    }
    if (!failure.empty()) throw Failure(Kind::unauthorized, failure);
    co_return co_await impl.flight.run(0, [&impl] { return impl.renew(); }, deadline);
}

// In a flight, so that it runs once for all callers; behind an answer nobody sees what it throws.
Task<Held> CredentialChain::Impl::renew() {
    size_t chosen = 0;
    std::string tried;
    Found found = co_await walk(clock.now() + kRenewalTime, chosen, tried);
    if (found.credentials && clock.wall() >= found.credentials->expires) {
        tried += fmt::format("{}{}: what it gives has expired", tried.empty() ? "" : "; ",
                             sources[chosen]->name());
        found.credentials.reset();
    }
    if (found.credentials) co_return keep(*std::move(found.credentials), chosen);
    note_failure(tried);
    throw Failure(Kind::unauthorized, fmt::format("no S3 credentials: {}", tried));
}

// The first source that is set up decides; once it has given something, it alone is asked.
Task<Found> CredentialChain::Impl::walk(TimePoint deadline, size_t& chosen, std::string& tried) {
    std::optional<size_t> kept;
    {
        std::lock_guard lock(mutex);
        kept = source;
    }
    for (size_t i = kept.value_or(0); i < (kept ? *kept + 1 : sources.size()); ++i) {
        chosen = i;
        Found found = co_await sources[i]->ask(deadline);
        if (found.credentials) co_return found;
        tried += fmt::format("{}{}: {}", tried.empty() ? "" : "; ", sources[i]->name(),
                             found.failure.empty() ? "nothing there" : found.failure);
        if (!found.failure.empty()) co_return found;
    }
    co_return Found{};
}

Held CredentialChain::Impl::keep(Credentials credentials, size_t from) {
    auto fresh = std::make_shared<const Credentials>(std::move(credentials));
    std::lock_guard lock(mutex);
    if (!source) log::info("s3", "credentials come from: {}", sources[from]->name());
    source = from;
    value = fresh;
    refused = false;
    renew_at = when_to_renew(clock.wall(), fresh->expires);
    failure.clear();
    return fresh;
}

void CredentialChain::Impl::note_failure(const std::string& why) {
    std::lock_guard lock(mutex);
    std::string text = fmt::format("no S3 credentials: {}", why);
    if (text != failure && !leashes.ended()) log::warn("s3", "{}", text);
    failure = std::move(text);
    failure_until = clock.now() + kFailureStands;
    const WallTime now = clock.wall();
    if (value && now < value->expires)
        renew_at = now + std::clamp((value->expires - now) / 5, kShortestRetry, kLongestRetry);
}

void CredentialChain::expired(const Credentials& old) {
    std::lock_guard lock(impl_->mutex);
    const auto& value = impl_->value;
    if (value && value->access_key == old.access_key && value->session_token == old.session_token)
        impl_->refused = true;
}

void CredentialChain::stop() {
    impl_->leashes.end();
}

std::string CredentialChain::source() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->source ? impl_->sources[*impl_->source]->name() : "";
}

}  // namespace weir::s3
