// What the neighbour's clients do, and what they may be given.
#include <fmt/format.h>

#include "crypto/hasher.h"
#include "sim/street.h"

namespace weir::sim {

using namespace std::chrono_literals;

Task<> Street::visitor() {
    co_await sleep_for(between(evil_random_, 0s, 50s));
    for (uint64_t i = 1 + evil_random_.below(5); i > 0 && !over_; --i) {
        // Mostly in the evil repositories; now and then where the honest are.
        const bool own = evil_random_.unit() < 0.8;
        const size_t route =
            own ? honest_routes_ + evil_random_.below(routes_.size() - honest_routes_)
                : evil_random_.below(honest_routes_);
        co_await trespass(route);
        if (evil_random_.unit() < 0.5) co_await sleep_for(between(evil_random_, 0s, 3s));
    }
    --visitors_;
}

Task<> Street::trespass(size_t route) {
    auto& cache = machine_->cache();
    const auto target = machine_->target(route);
    oci::Digest digest = evil_->others[evil_random_.below(evil_->others.size())];
    if (evil_random_.unit() < 0.3)
        digest =
            crypto::digest_of(oci::Digest::Algorithm::sha256, std::to_string(evil_random_.next()));
    const auto what = evil_random_.below(6);
    note(fmt::format("visitor {} {} {}", what, target->repository, digest.text()));
    try {
        if (what == 0) {
            co_await cache.tags(target, evil_random_.unit() < 0.5
                                            ? ""
                                            : fmt::format("n={}", evil_random_.below(100)));
        } else if (what == 1) {
            co_await cache.referrers(target, digest, "");
        } else if (what == 2) {
            const bool by_digest = evil_random_.unit() < 0.7, head = evil_random_.unit() < 0.4;
            const auto reference = by_digest
                                       ? oci::Reference(digest)
                                       : oci::Reference(fmt::format("t{}", evil_random_.below(5)));
            const auto view = co_await cache.manifest(target, reference, head);
            if (is_evil(route) && !head) check_given(route, view.manifest->digest);
            if (view.manifest->bytes &&
                crypto::digest_of(view.manifest->digest.algorithm(), *view.manifest->bytes) !=
                    view.manifest->digest)
                wrong("a manifest that is not what its digest says");
        } else if (what == 3) {
            co_await cache.blob(target, digest, {}, true);
        } else {
            std::vector<cache::WantedRange> wanted;
            for (uint64_t n = evil_random_.unit() < 0.5 ? 0 : 1 + evil_random_.below(20); n > 0;
                 --n)
                wanted.push_back(
                    {evil_random_.below(100'000), evil_random_.below(200'000) + 100'000});
            const auto view = co_await cache.blob(target, digest, wanted, false);
            if (wanted.empty()) co_await loiter(view, route, digest);
            if (!wanted.empty() && *wanted[0].first < view.size)
                co_await peek(view, *wanted[0].first, *wanted[0].last);
        }
    } catch (const Failure& failure) {
        if (failure.kind() == Kind::internal)
            wrong(fmt::format("an internal error: {}", failure.what()));
    }
}

// A reader that leaves at once, reads slowly, sleeps, or wants all.
Task<> Street::loiter(const cache::BlobView& view, size_t route, const oci::Digest& digest) {
    if (view.size == 0 || evil_random_.unit() < 0.3) co_return;
    const auto reader = view.reader(0, view.size);
    const bool greedy = evil_random_.unit() < 0.5;
    const uint64_t at_once = greedy ? 65536 : 1 + evil_random_.below(2000);
    std::string all, buffer;
    for (uint64_t n = greedy ? 10'000 : evil_random_.below(20); n > 0 && !over_; --n) {
        if (!greedy) co_await sleep_for(between(evil_random_, 0s, 5s));
        const auto bytes = co_await reader->next(at_once);
        if (!bytes) break;
        if (const auto* file = std::get_if<cache::FileBytes>(&*bytes)) {
            buffer.resize(file->length);
            file->file->read_at(file->offset, std::as_writable_bytes(std::span(buffer)));
            all += buffer;
        } else {
            const auto& span = std::get<std::span<const std::byte>>(*bytes);
            all.append(reinterpret_cast<const char*>(span.data()), span.size());
        }
    }
    if (all.size() != view.size) co_return;
    if (crypto::digest_of(digest.algorithm(), all) != digest)
        wrong("a blob was completed that is not what its digest says");
    if (is_evil(route)) check_given(route, digest);
}

// Some of what it asked for.
Task<> Street::peek(const cache::BlobView& view, uint64_t first, uint64_t last) {
    const auto reader = view.reader(first, std::min(last, view.size - 1) + 1 - first);
    for (uint64_t n = evil_random_.below(20); n > 0; --n) {
        if (!co_await reader->next(1 + evil_random_.below(20'000))) break;
        if (evil_random_.unit() < 0.3) co_await sleep_for(between(evil_random_, 0s, 5s));
    }
}

// A repository gives what its own upstream gave. What is public it gives too where its upstream
// says that it has it.
void Street::check_given(size_t route, const oci::Digest& digest) {
    if (!routes_[route].local.starts_with("evil") || evil_->gave(digest)) return;
    const bool known = content_.blobs.contains(digest) || content_.manifests.contains(digest);
    if (private_.contains(digest))
        wrong(
            fmt::format("{} gave away {}, which is private", routes_[route].local, digest.text()));
    else if (known && !evil_->said_yes(digest))
        wrong(fmt::format("{} gave {}, which its upstream never said it has", routes_[route].local,
                          digest.text()));
}

}  // namespace weir::sim
