// What goes wrong in a run, and when.
#include <fmt/format.h>

#include "sim/world.h"

namespace weir::sim {

using namespace std::chrono_literals;

Fault World::pick_fault(const Ask& ask, uint64_t length) {
    using Kind = Fault::Kind;
    Fault fault;
    if (!stormy_ || (!troubles_.breaks && !troubles_.damage)) return fault;
    if (fault_random_.unit() > 0.25) return fault;
    std::vector<Kind> kinds;
    if (ask.method == "HEAD") {
        if (troubles_.breaks) kinds = {Kind::slow, Kind::error};
        if (troubles_.breaks && ask.what == What::manifest) kinds.push_back(Kind::no_digest);
    } else if (ask.what == What::manifest) {
        if (troubles_.breaks) kinds = {Kind::cut, Kind::slow, Kind::stall, Kind::error};
        if (troubles_.damage) kinds.push_back(Kind::flip);
    } else {
        if (troubles_.breaks)
            kinds = {Kind::cut,  Kind::cut,       Kind::cut,  Kind::stall,
                     Kind::slow, Kind::no_length, Kind::error};
        if (troubles_.damage)
            kinds.insert(kinds.end(), {Kind::flip, Kind::short_body, Kind::more_length,
                                       Kind::less_length, Kind::wrong_offset, Kind::ignore_range,
                                       Kind::refuse_range, Kind::nothing});
    }
    if (kinds.empty()) return fault;
    fault.kind = kinds[fault_random_.below(kinds.size())];
    fault.at = fault_random_.below(length + 1);
    if (fault.kind == Kind::slow) fault.at = fault_random_.below(12'000);
    return fault;
}

DepotFault World::pick_depot_fault(const Visit&, uint64_t length) {
    using Kind = DepotFault::Kind;
    DepotFault fault;
    if (!stormy_ || !troubles_.s3_breaks || fault_random_.unit() > 0.25) return fault;
    static constexpr Kind kKinds[] = {Kind::cut,  Kind::cut,   Kind::stall, Kind::flip,
                                      Kind::lost, Kind::error, Kind::slow};
    fault.kind = kKinds[fault_random_.below(std::size(kKinds))];
    fault.at = fault_random_.below(fault.kind == Kind::slow ? 5'000 : length + 1);
    return fault;
}

Task<> World::weather() {
    while (!over_) {
        co_await sleep_for(between(100ms, 6s));
        if (over_) break;
        if (chance(0.3)) move_a_tag();
        if (troubles_.moods && chance(0.5)) co_await change_a_mood();
        if (troubles_.s3_moods && chance(0.5)) {
            depot_.mood = chance(0.5) ? Mood::well : static_cast<Mood>(random_.below(8));
            note(fmt::format("S3 {}", mood_name(depot_.mood)));
        }
        if ((troubles_.full || troubles_.errors) && chance(0.4)) co_await disk_episode();
        if (troubles_.crashes && chance(0.25)) co_await restart(true);
        if (troubles_.restarts && chance(0.25)) co_await restart(false);
    }
}

Task<> World::change_a_mood() {
    const Mood mood = static_cast<Mood>(random_.below(8));
    if (chance(0.15)) {
        note(fmt::format("the token server {}", mood_name(mood)));
        internet_.token_server().mood = mood;
        co_return;
    }
    const auto& mirrors = machine_->options().mirrors;
    const size_t registry = random_.below(mirrors.size());
    for (size_t m = 0; m < mirrors[registry]; ++m) {
        if (chance(0.4)) continue;
        note(fmt::format("mirror {} of registry {} {}", m, registry, mood_name(mood)));
        internet_.mirror(registry, m).mood = mood;
    }
}

Task<> World::disk_episode() {
    FaultFiles& files = machine_->files();
    const bool full = troubles_.full && (!troubles_.errors || chance(0.5));
    note(full ? "the disk is full" : "the disk fails now and then");
    if (full) {
        files.set_capacity(files.stored_bytes() + random_.below(30'000));
    } else {
        files.set_error_rates({.read = 0.02, .write = 0.02, .sync = 0.05, .name = 0.05});
    }
    unsettled_until_ = kNever;
    co_await sleep_for(between(100ms, 5s));
    files.set_capacity(UINT64_MAX);
    files.set_error_rates({});
    unsettled_until_ = now() + 1s;
    note("the disk is well");
}

Task<> World::restart(bool crash) {
    changing_ = true;
    const auto idle = [this] { return busy_ == 0; };
    const TimePoint began = now();
    if (crash) {
        static constexpr FaultFiles::Loss kLosses[] = {
            FaultFiles::Loss::everything, FaultFiles::Loss::some, FaultFiles::Loss::nothing};
        const auto loss = kLosses[chance(0.5) ? 2 : random_.below(2)];
        // In the midst of what changes the disk: between two steps of one job.
        machine_->files().power_off_after(random_.below(12));
        const TimePoint latest = now() + 2s;
        while (machine_->files().powered() && now() < latest) co_await sleep_for(100us);
        note(loss == FaultFiles::Loss::nothing ? "kill" : "power cut");
        co_await machine_->crash(loss, idle);
        after_crash();
        if (troubles_.tiers()) check_rows();
    } else {
        note("stop");
        co_await machine_->stop(idle);
        // An upload that S3 does not answer is waited for.
        const bool ill = troubles_.s3_moods || troubles_.s3_breaks;
        if (now() - began > (ill ? Duration(5min) : Duration(20s)))
            wrong(fmt::format("stopping took {} ms", (now() - began) / 1ms));
    }
    co_await sleep_for(between(10ms, 2s));
    machine_->boot();
    changing_ = false;
    note("boot");
}

void World::move_a_tag() {
    const Route& route = any_of(routes_);
    const auto& [registry, name] = route.candidates[random_.below(route.candidates.size())];
    Repository& repo = content_.repository(registry, name);
    if (repo.tags.empty()) return;
    const std::string tag = chance(0.15) ? "new" : any_of(repo.tags).first;
    const auto layer = content_.make_blob(content_random_, 1 + content_random_.below(20'000));
    const auto manifest = content_.make_manifest({layer, any_of(content_.blobs).first});
    if (name == "poor") return;
    for (const auto& blob : content_.manifests.at(manifest).blobs) appeared_[blob] = now();
    content_.tag(registry, name, tag, manifest, now());
    note(fmt::format("r{}/{}:{} is {} now", registry, name, tag, manifest.text()));
}

void World::heal() {
    note("all is well again");
    stormy_ = false;
    depot_.heal();
    internet_.token_server().mood = Mood::well;
    for (size_t registry = 0; registry < machine_->options().mirrors.size(); ++registry)
        for (size_t m = 0; m < machine_->options().mirrors[registry]; ++m)
            internet_.mirror(registry, m).mood = Mood::well;
}

}  // namespace weir::sim
