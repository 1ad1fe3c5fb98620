#include "upstream/upstream.h"

#include <fmt/format.h>

#include <algorithm>

#include "async/loop.h"
#include "base/check.h"
#include "base/failure.h"
#include "base/log.h"
#include "client/guard.h"
#include "upstream/impl.h"
#include "upstream/over_mirrors.h"

namespace weir::upstream {
namespace {

client::Url parsed(const std::string& text) {
    auto url = client::Url::parse(text);
    if (!url)
        throw Failure(Kind::config_invalid,
                      fmt::format("{} is not an http or https address", text));
    return *std::move(url);
}

// The operator named exactly this host, so the guard only keeps it from what is never right.
client::Guard guard_of(const client::Url& url) {
    client::Guard guard;
    guard.enabled = false;
    guard.allow_loopback = client::is_loopback_host(url.host);
    return guard;
}

}  // namespace

Site::Site(const Mirror& m, const Options& options, Random& random)
    : mirror(m),
      url(parsed(m.url)),
      guard(guard_of(url)),
      host(std::make_shared<Host>(options, random)) {}

bool Site::is_news(const std::string& what) {
    std::lock_guard lock(mutex_);
    return std::exchange(last_news_, what) != what;
}

Upstream::Impl::Impl(Options o, client::HttpClient& h, Clock& c, Random& r, Credentials cr)
    : options(std::move(o)),
      http(h),
      clock(c),
      random(r),
      credentials(std::move(cr)),
      metrics(options.name),
      budget(metrics.limit, metrics.remaining),
      places(options.max_concurrent, options.max_queued),
      hosts(options, random),
      tokens(options.name, http, clock, hosts),
      scope("greetings"),
      greetings(scope) {
    for (const Mirror& mirror : options.mirrors)
        sites.push_back(std::make_shared<Site>(mirror, options, random));
}

void Upstream::Impl::count_open() {
    const auto is_open = [now = clock.now()](const auto& site) {
        const auto state = site->host->health.state(now);
        return state == Health::State::open || state == Health::State::probing;
    };
    metrics.breaker_open.Set(static_cast<double>(std::ranges::count_if(sites, is_open)));
}

void Upstream::Impl::settle(Site& site, const Subject& subject, Health::Ticket ticket, Sign sign,
                            Answer& answer) {
    const TimePoint now = clock.now();
    Health& health = site.host->health;
    const auto before = health.state(now);
    health.leave(subject.purpose, subject.repository, ticket, sign, now, answer.detail);
    if (answer.outcome == Outcome::throttled && answer.status != 0 && !answer.elsewhere)
        answer.retry_after =
            health.hold_off(subject.purpose, subject.repository, now, answer.retry_after);
    const auto after = health.state(now);
    if (before != Health::State::open && after == Health::State::open)
        log::warn("upstream", "{}: {} is set aside: {}", options.name, site.url.authority(),
                  answer.detail);
    if (before == Health::State::probing && after == Health::State::closed)
        log::info("upstream", "{}: {} is back", options.name, site.url.authority());
    metrics.requests(answer.outcome).Increment();
    count_open();
}

Task<Upstream::Impl::Place> Upstream::Impl::place(const char* kind, TimePoint deadline) {
    Place place;
    try {
        place.permit = co_await places.acquire(kind, deadline);
    } catch (const Failure& failure) {
        place.refusal =
            fmt::format("upstream {} is asked for too many {} at once (maxConcurrent {}): {}",
                        options.name, kind, options.max_concurrent, failure.what());
    }
    co_return place;
}

Duration Upstream::Impl::pause_before(uint32_t round, const Answer& answer) const {
    Duration pause = options.retry_delay;
    if (options.max_retry_delay >= options.retry_delay) {
        for (uint32_t i = 1; i < round && pause < options.max_retry_delay; ++i) pause *= 2;
        pause = std::min<Duration>(pause, options.max_retry_delay);
    }
    // A fifth either way, so that many requests don't come back in step.
    pause = Duration(
        static_cast<int64_t>(static_cast<double>(pause.count()) * (0.8 + 0.4 * random.unit())));
    if (answer.retry_after) pause = std::max<Duration>(pause, *answer.retry_after);
    return pause;
}

// A mirror that hangs must leave time for those after it.
TimePoint Upstream::Impl::share_of(TimePoint deadline, const Subject& subject,
                                   const std::vector<bool>& spent, size_t from) const {
    const TimePoint now = clock.now();
    if (deadline == kNever || deadline <= now) return deadline;
    int left = 1;
    for (size_t i = from + 1; i < sites.size(); ++i)
        if (!spent[i] && sites[i]->host->health.usable(subject.purpose, subject.repository, now))
            ++left;
    return now + (deadline - now) / left;
}

Upstream::Upstream(Options options, client::HttpClient& http, Clock& clock, Random& random,
                   Credentials credentials)
    : impl_(std::make_shared<Impl>(std::move(options), http, clock, random,
                                   std::move(credentials))) {}

Upstream::~Upstream() = default;

const std::string& Upstream::name() const {
    return impl_->options.name;
}
const Options& Upstream::options() const {
    return impl_->options;
}
bool Upstream::has_login(const std::string& repository) const {
    return std::ranges::any_of(impl_->sites, [&](const auto& site) {
        return !site->mirror.tls.client_certificate.empty() ||
               (impl_->credentials && impl_->credentials(site->url.authority(), repository));
    });
}
size_t Upstream::mirrors() const {
    return impl_->sites.size();
}

bool Upstream::usable(size_t mirror, std::string_view repository, Purpose purpose) const {
    check(mirror < impl_->sites.size(), "a mirror of this upstream");
    if (impl_->options.offline) return false;
    return impl_->sites[mirror]->host->health.usable(purpose, repository, impl_->clock.now());
}

bool Upstream::gives_parts(size_t mirror) const {
    check(mirror < impl_->sites.size(), "a mirror of this upstream");
    return !impl_->sites[mirror]->parts.refused(impl_->clock.now());
}

void Upstream::report_bad(size_t mirror, std::string_view repository) {
    check(mirror < impl_->sites.size(), "a mirror of this upstream");
    Site& site = *impl_->sites[mirror];
    site.host->health.leave(Purpose::blob, repository, {}, Sign::bad, impl_->clock.now(),
                            "it gave wrong bytes");
    impl_->count_open();
}

void Upstream::forget() {
    for (const auto& site : impl_->sites) {
        site->host->forget();
        site->parts.forget();
        site->greeted_until = TimePoint{};
    }
    impl_->hosts.forget();
    impl_->count_open();
}

Status Upstream::status() const {
    Status status;
    status.name = impl_->options.name;
    const TimePoint now = impl_->clock.now();
    for (const auto& site : impl_->sites)
        status.mirrors.emplace_back(site->url.authority(),
                                    state_name(site->host->health.state(now)));
    status.limit = impl_->budget.limit();
    status.remaining = impl_->budget.remaining();
    status.in_use = impl_->places.in_use();
    status.waiting = impl_->places.waiting();
    return status;
}

Task<ManifestAnswer> Upstream::manifest(std::string repository, oci::Reference reference, bool head,
                                        TimePoint deadline, std::string accept) {
    const auto impl = impl_;
    Impl::Attempt<ManifestAnswer> attempt = [&impl, &repository, &reference, head, &accept](
                                                std::shared_ptr<Site> site, TimePoint until) {
        return impl->manifest_at(std::move(site), repository, reference, head, accept, until);
    };
    co_return co_await impl->over_mirrors({Purpose::manifest, repository}, std::move(attempt),
                                          deadline);
}

Task<BlobHeadAnswer> Upstream::blob_head(std::string repository, oci::Digest digest,
                                         TimePoint deadline) {
    const auto impl = impl_;
    Impl::Attempt<BlobHeadAnswer> attempt = [&impl, &repository, &digest](
                                                std::shared_ptr<Site> site, TimePoint until) {
        return impl->blob_head_at(std::move(site), repository, digest, until);
    };
    co_return co_await impl->over_mirrors({Purpose::blob, repository}, std::move(attempt),
                                          deadline);
}

Task<ListAnswer> Upstream::list(std::string repository, ListKind kind, std::string reference,
                                std::string query, TimePoint deadline) {
    const auto impl = impl_;
    Impl::Attempt<ListAnswer> attempt = [&impl, &repository, kind, &reference, &query](
                                            std::shared_ptr<Site> site, TimePoint until) {
        return impl->list_at(std::move(site), repository, kind, reference, query, until);
    };
    co_return co_await impl->over_mirrors({Purpose::list, repository}, std::move(attempt),
                                          deadline);
}

Task<BlobAnswer> Upstream::blob(
    size_t mirror, std::string repository, oci::Digest digest, BlobRange range,
    std::shared_ptr<BlobSink> sink,
    std::function<void(std::shared_ptr<client::TransferHandle>)> started, TimePoint head_deadline) {
    const auto impl = impl_;
    check(mirror < impl->sites.size(), "a mirror of this upstream");
    co_return co_await impl->blob(impl->sites[mirror], std::move(repository), digest, range,
                                  std::move(sink), std::move(started), head_deadline);
}

}  // namespace weir::upstream
