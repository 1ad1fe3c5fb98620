#include "cache/origin.h"

#include <fmt/format.h>

#include <set>

#include "crypto/hasher.h"

namespace weir::cache {
namespace {

using upstream::Outcome;

class MirrorOrigin : public Origin {
public:
    MirrorOrigin(const Candidate& candidate, size_t mirror, std::string proves)
        : candidate_(candidate),
          mirror_(mirror),
          proves_(std::move(proves)),
          key_(fmt::format("{}/{} {}", candidate.upstream->name(), mirror, candidate.repository)) {}

    const std::string& key() const override { return key_; }
    const std::string& proves() const override { return proves_; }
    const FetchPolicy& policy() const override { return candidate_.fetch; }
    const std::string& upstream_name() const override { return candidate_.upstream->name(); }
    std::string registry() const override {
        const auto& options = candidate_.upstream->options();
        return options.name + " " + (options.mirrors.empty() ? "" : options.mirrors.front().url);
    }
    bool gives_parts() const override { return candidate_.upstream->gives_parts(mirror_); }
    bool usable() const override {
        return candidate_.upstream->usable(mirror_, candidate_.repository);
    }
    void report_bad() override { candidate_.upstream->report_bad(mirror_, candidate_.repository); }

    Task<upstream::BlobAnswer> read(
        oci::Digest digest, upstream::BlobRange range, std::shared_ptr<upstream::BlobSink> sink,
        std::function<void(std::shared_ptr<client::TransferHandle>)> started,
        TimePoint head_deadline) override {
        return candidate_.upstream->blob(mirror_, candidate_.repository, digest, range,
                                         std::move(sink), std::move(started), head_deadline);
    }

private:
    Candidate candidate_;
    size_t mirror_;
    std::string proves_;
    std::string key_;
};

// 402 Payment Required, 412 Precondition Failed (Harbor's policies), 423 Locked, 451 Unavailable
// For Legal Reasons: it is there, and one may not have it.
bool is_policy(int status) {
    return status == 402 || status == 412 || status == 423 || status == 451;
}

// 410: no longer here, told so for this one.
bool is_gone(const upstream::Answer& answer) {
    return answer.outcome == Outcome::rejected && answer.status == 410;
}

Kind kind_of(const upstream::Answer& answer) {
    switch (answer.outcome) {
        case Outcome::refused:
            return Kind::upstream_refused;
        case Outcome::rejected:
            return is_policy(answer.status) ? Kind::upstream_denied : Kind::upstream_rejected;
        case Outcome::throttled:
            return Kind::too_many;
        case Outcome::timeout:
            return Kind::upstream_timeout;
        case Outcome::forbidden:
            return Kind::target_forbidden;
        case Outcome::offline:
        case Outcome::unreachable:
            return Kind::upstream_unreachable;
        default:
            return Kind::upstream_bad;
    }
}

}  // namespace

Origins origins_of(const Target& target) {
    Origins origins;
    for (const Candidate& candidate : target.candidates)
        for (size_t mirror = 0; mirror < candidate.upstream->mirrors(); ++mirror)
            origins.push_back(std::make_shared<MirrorOrigin>(candidate, mirror, target.repository));
    return origins;
}

std::string group_of(const Origins& origins) {
    std::set<std::string> registries;
    for (const auto& origin : origins)
        if (auto registry = origin->registry(); !registry.empty())
            registries.insert(std::move(registry));
    std::string group;
    for (const auto& registry : registries) group += registry + "\n";
    return group;
}

bool names_nothing(const oci::Digest& digest) {
    return digest == crypto::digest_of(digest.algorithm(), "");
}

void Verdict::add(const upstream::Answer& answer) {
    ++answers_;
    if (answer.outcome == Outcome::timeout || answer.outcome == Outcome::throttled) ++pending_;
    if (answer.outcome == Outcome::not_found) ++not_found_;
    if (answer.outcome == Outcome::unreachable || answer.outcome == Outcome::failed ||
        answer.outcome == Outcome::ok)
        ++transient_;
    if (answers_ == 1 || upstream::outranks(answer.outcome, worst_.outcome)) worst_ = answer;
}

Failure Verdict::failure(Kind absent, const std::string& what) const {
    if (answers_ == 0)
        return Failure(absent,
                       fmt::format("{} is not stored here and no upstream serves it", what));
    if (all_not_found() || is_gone(worst_))
        return Failure(absent, fmt::format("{}: {}", what, worst_.detail));
    Failure failure(kind_of(worst_), fmt::format("{}: {}", what, worst_.detail));
    failure.retry_after = worst_.retry_after;
    return failure;
}

}  // namespace weir::cache
