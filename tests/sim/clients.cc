// Who asks in a run, and how patiently.
#include <fmt/format.h>

#include "http/range.h"
#include "sim/world.h"

namespace weir::sim {

using namespace std::chrono_literals;

// A request that uses the cache's memory: the machine can't go while it lasts.
class World::Busy {
public:
    explicit Busy(World& world) : world_(world) { ++world_.busy_; }
    ~Busy() { --world_.busy_; }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

private:
    World& world_;
};

Task<> World::client(size_t number) {
    co_await sleep_for(between(0ms, 5s));
    const size_t things = 1 + random_.below(5);
    for (size_t i = 0; i < things; ++i) {
        while (!machine_->up()) co_await sleep_for(50ms);
        const size_t route = random_.below(routes_.size());
        note(fmt::format("client {} at {}", number, routes_[route].local));
        if (chance(0.5)) {
            co_await pull(route);
        } else {
            co_await one_thing(route);
        }
        co_await sleep_for(chance(0.1) ? between(10s, 90s) : between(0ms, 3s));
    }
    --clients_;
}

Task<> World::one_thing(size_t route) {
    const auto blob = any_of(content_.blobs).first;
    if (!pushed_.empty() && chance(0.2)) {
        co_await read(any_wish(routes_.size(), any_of(pushed_)));
        co_return;
    }
    switch (random_.below(6)) {
        case 0:
            co_await blob_head(route, blob);
            break;
        case 1:
            co_await lists(route);
            break;
        case 2:
            co_await get_manifest(route, oci::Reference(any_of(content_.manifests).first),
                                  chance(0.3));
            break;
        default:
            co_await read(any_wish(route, blob));
    }
}

Task<> World::pull(size_t route) {
    const auto& [registry, name] = routes_[route].candidates.front();
    const Repository& repo = content_.repository(registry, name);
    std::string tag = chance(0.1) || repo.tags.empty() ? "absent" : any_of(repo.tags).first;
    if (chance(0.1)) tag = "new";
    std::optional<oci::Digest> digest;
    if (chance(0.4)) {
        const auto head = co_await get_manifest(route, oci::Reference(tag), true);
        if (!head) co_return;
        digest = head->digest;
    }
    while (!machine_->up()) co_await sleep_for(50ms);
    auto manifest = digest ? co_await get_manifest(route, oci::Reference(*digest), false)
                           : co_await get_manifest(route, oci::Reference(tag), false);
    if (!manifest || !content_.manifests.contains(manifest->digest)) co_return;
    Document document = content_.manifests.at(manifest->digest);
    if (!document.children.empty()) {
        const auto child = any_of(document.children);
        while (!machine_->up()) co_await sleep_for(50ms);
        manifest = co_await get_manifest(route, oci::Reference(child), false);
        if (!manifest) co_return;
        document = content_.manifests.at(child);
    }
    co_await pull_blobs(route, document);
}

// As clients do: a few at a time.
Task<> World::pull_blobs(size_t route, const Document& document) {
    auto left = std::make_shared<size_t>(document.blobs.size());
    const bool careful = chance(0.3);
    for (const auto& digest : std::vector<oci::Digest>(document.blobs)) {
        Wish wish;
        wish.route = route;
        wish.digest = digest;
        wish.bytes_at_once = 1 + random_.below(65536);
        if (chance(0.2)) wish.pause = between(1ms, 200ms);
        if (chance(0.1)) wish.leaves_after = random_.below(100'000);
        scope_.spawn(loops_[0], [this, wish, careful, left]() -> Task<> {
            while (!machine_->up()) co_await sleep_for(50ms);
            if (careful) co_await blob_head(wish.route, wish.digest);
            while (!machine_->up()) co_await sleep_for(50ms);
            co_await read(wish);
            --*left;
        });
    }
    while (*left > 0) co_await sleep_for(20ms);
}

Wish World::any_wish(size_t route, const oci::Digest& digest) {
    Wish wish;
    wish.route = route;
    wish.digest = digest;
    wish.bytes_at_once = 1 + random_.below(65536);
    if (chance(0.3)) wish.pause = between(1ms, 300ms);
    if (chance(0.2)) wish.leaves_after = random_.below(100'000);
    const uint64_t size = content_.bytes(digest).size();
    const size_t ranges = chance(0.3) ? 0 : 1 + random_.below(chance(0.2) ? 3 : 1);
    for (size_t i = 0; i < ranges; ++i) {
        const uint64_t at = random_.below(size + size / 10 + 2);
        switch (random_.below(4)) {
            case 0:
                wish.ranges.push_back({std::nullopt, 1 + random_.below(5000)});
                break;
            case 1:
                wish.ranges.push_back({at, std::nullopt});
                break;
            case 2:
                wish.ranges.push_back({at, at + random_.below(size + 1)});
                break;
            default:
                wish.ranges.push_back({at, at + random_.below(1000)});
        }
    }
    return wish;
}

Task<std::shared_ptr<const cache::Manifest>> World::get_manifest(size_t route,
                                                                 oci::Reference reference,
                                                                 bool head) {
    const Busy busy(*this);
    const auto& target = machine_->target(route);
    const std::string what =
        fmt::format("{} {}:{}", head ? "HEAD" : "GET", target->repository, reference.text());
    for (const auto& [registry, name] : routes_[route].candidates)
        asked_.insert(fmt::format("{} {} {}", registry, name, reference.text()));
    const Expected expected = expect_manifest(route, reference);
    note(what);
    try {
        std::optional<cache::ManifestView> view;
        if (!head) view = machine_->cache().manifest_now(target, reference.text());
        if (!view) view = co_await machine_->cache().manifest(target, reference, head);
        check_answer(expected, what, machine_->options().cache.miss_timeout + 1s);
        check_manifest(route, reference, head, *view, expected.asked_at);
        if (!head && !reference.is_digest()) answered_.insert({route, reference.tag()});
        co_return view->manifest;
    } catch (const Failure& failure) {
        // A tag that came into being a moment ago.
        check_failure(expected, what, failure, what.ends_with(":new"));
    }
    co_return nullptr;
}

Task<> World::blob_head(size_t route, oci::Digest digest) {
    const Busy busy(*this);
    const auto& target = machine_->target(route);
    const std::string what = fmt::format("HEAD {} blob {}", target->repository, digest.text());
    const Expected expected = expect_blob(route, digest);
    note(what);
    try {
        const auto view = co_await machine_->cache().blob(target, digest, {}, true);
        check_answer(expected, what, machine_->options().cache.miss_timeout + 1s);
        if (view.size != content_.bytes(digest).size() && !internet_.given(digest).damaged)
            wrong(what + ": a wrong size");
        if (!exists(route, oci::Reference(digest), true)) wrong(what + ": not of this repository");
    } catch (const Failure& failure) {
        check_failure(expected, what, failure, is_new(digest));
    }
}

Task<bool> World::read(Wish wish) {
    const Busy busy(*this);
    const uint64_t boot = machine_->boots();
    const auto& target = machine_->target(wish.route);
    std::string what = fmt::format("GET {} blob {}", target->repository, wish.digest.text());
    std::vector<http::RangeSpec> specs;
    for (const auto& range : wish.ranges) {
        specs.push_back({range.first, range.last});
        what += fmt::format(" {}-{}", range.first ? std::to_string(*range.first) : "",
                            range.last ? std::to_string(*range.last) : "");
    }
    read_.insert(wish.digest);
    const Expected expected = expect_blob(wish.route, wish.digest);
    note(what);
    try {
        std::optional<cache::BlobView> view = machine_->cache().blob_now(target, wish.digest);
        if (!view) view = co_await machine_->cache().blob(target, wish.digest, wish.ranges, false);
        note(fmt::format("{}: {} bytes, {}", what, view->size, cache::from_name(view->from)));
        check_answer(expected, what, machine_->options().cache.miss_timeout + 1s);
        const bool damaged = internet_.given(wish.digest).damaged;
        if (view->size != content_.bytes(wish.digest).size() && !damaged)
            wrong(what + ": a wrong size");
        if (!exists(wish.route, oci::Reference(wish.digest), true))
            wrong(what + ": not of this repository");
        std::vector<http::ByteRange> parts;
        if (specs.empty()) {
            parts.push_back({0, view->size});
        } else {
            parts = http::resolve(specs, view->size);
        }
        if (parts.size() == 1 && specs.size() > 1 && parts[0].length == view->size) {
            // As the registry does: more than all was asked for.
            view = co_await machine_->cache().blob(target, wish.digest, {}, false);
            parts = {{0, view->size}};
        }
        for (const auto& part : parts) {
            if (part.length == 0) continue;
            if (!co_await read_range(*view, part.first, part.length, wish, boot)) co_return false;
        }
        note(what + ": done");
        co_return true;
    } catch (const Failure& failure) {
        check_failure(expected, what, failure, is_new(wish.digest));
    }
    co_return false;
}

// false: left early, or the machine went.
Task<bool> World::read_range(const cache::BlobView& view, uint64_t first, uint64_t length,
                             const Wish& wish, uint64_t boot) {
    const auto reader = view.reader(first, length);
    uint64_t got = 0;
    bool right = true;
    std::string buffer;
    for (;;) {
        const TimePoint asked = now();
        const auto bytes = co_await reader->next(wish.bytes_at_once);
        if (now() - asked > 60s)
            wrong(fmt::format("a reader of {} waited {} s", view.digest.text(),
                              (now() - asked) / 1s));
        if (!bytes) break;
        std::string_view text;
        if (const auto* file = std::get_if<cache::FileBytes>(&*bytes)) {
            buffer.resize(file->length);
            const size_t count =
                file->file->read_at(file->offset, std::as_writable_bytes(std::span(buffer)));
            if (count != file->length) wrong(view.digest.text() + ": a file shorter than promised");
            if (file->offset != first + got) wrong(view.digest.text() + ": bytes out of order");
            text = buffer;
        } else {
            const auto& span = std::get<std::span<const std::byte>>(*bytes);
            text = {reinterpret_cast<const char*>(span.data()), span.size()};
        }
        if (text.empty() || text.size() > wish.bytes_at_once)
            wrong(view.digest.text() + ": a piece of no sensible size");
        check_bytes(view.digest, view, first + got, text, right);
        got += text.size();
        if (got >= wish.leaves_after) co_return false;
        if (wish.pause > Duration{}) co_await sleep_for(wish.pause);
        if (machine_->boots() != boot || changing_) co_return false;
    }
    if (got != length)
        wrong(fmt::format("{}: {} of {} bytes came as if they were all", view.digest.text(), got,
                          length));
    const bool whole = first == 0 && length == view.size;
    if (!right && (whole || view.from == cache::From::hit_disk))
        wrong(view.digest.text() + ": wrong bytes were completed");
    co_return true;
}

Task<> World::lists(size_t route) {
    const Busy busy(*this);
    const auto& target = machine_->target(route);
    const bool tags = chance(0.5);
    Expected expected;
    expected.asked_at = now();
    expected.exists = true;
    const std::string what =
        fmt::format("{} of {}", tags ? "tags" : "referrers", target->repository);
    for (const auto& [registry, name] : routes_[route].candidates)
        for (const auto& [digest, document] : content_.manifests)
            asked_.insert(fmt::format("{} {} {}", registry, name, oci::referrers_tag(digest)));
    note(what);
    try {
        auto view = tags ? co_await machine_->cache().tags(target, "")
                         : co_await machine_->cache().referrers(
                               target, any_of(content_.manifests).first, "");
        check_answer(expected, what, machine_->options().cache.miss_timeout + 1s);
        if (!view.items) wrong(what + ": an empty answer");
    } catch (const Failure& failure) {
        check_failure(expected, what, failure);
    }
}

}  // namespace weir::sim
