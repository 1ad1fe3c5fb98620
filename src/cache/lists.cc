#include "cache/lists.h"

#include <fmt/format.h>

#include "oci/link.h"
#include "oci/manifest.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
using upstream::Outcome;
// With an older answer at hand, an upstream gets this long before that is given.
constexpr Duration kPatience = 1s;
constexpr Duration kQuietTime = 5s;
constexpr size_t kLocalTags = 10'000;

ListView view_of(const meta::ListRow& row, From from, bool stale) {
    ListView view;
    view.body = row.body;
    view.content_type = row.content_type;
    view.next_query = row.next_query;
    view.filters_applied = row.filters_applied;
    view.from = from;
    view.stale = stale;
    return view;
}

meta::ListRow row_of(std::string body, std::string content_type) {
    meta::ListRow row;
    row.body = std::move(body);
    row.content_type = std::move(content_type);
    return row;
}

}  // namespace

Lists::Lists(const Options& options, meta::Metadata& metadata, Pool& pool, Clock& clock,
             Scope& scope, Manifests& manifests)
    : options_(options),
      metadata_(metadata),
      pool_(pool),
      clock_(clock),
      manifests_(manifests),
      quiet_(options.negative_entries, clock),
      flights_(scope) {}

Task<ListView> Lists::tags(TargetPtr target, std::string query) {
    Ask ask{std::move(target), "tags", std::nullopt, std::move(query)};
    return list(std::move(ask));
}

Task<ListView> Lists::referrers(TargetPtr target, oci::Digest digest, std::string query) {
    Ask ask{std::move(target), "referrers " + digest.text(), digest, std::move(query)};
    return list(std::move(ask));
}

Task<std::vector<std::string>> Lists::catalog(std::string last, size_t limit) {
    co_return co_await pool_.run(
        [this, last, limit] { return metadata_.repositories(last, limit); });
}

Task<ListView> Lists::list(Ask ask) {
    const auto row = co_await pool_.run(
        [this, ask] { return metadata_.find_list(ask.target->repository, ask.kind, ask.query); });
    const Duration age = row ? Duration(clock_.wall() - row->fetched) : Duration::max();
    if (row && age <= ask.target->freshness->list_ttl)
        co_return view_of(*row, From::hit_disk, false);
    const std::string key = fmt::format("{} {} {}", ask.target->repository, ask.kind, ask.query);
    if (row && quiet_.holds(key)) co_return view_of(*row, From::stale, true);

    const Duration patience = row ? kPatience : options_.miss_timeout;
    std::exception_ptr error;
    try {
        co_return co_await flights_.run(
            key, [this, ask] { return ask_upstream(ask); }, clock_.now() + patience);
    } catch (const Failure&) {
        error = std::current_exception();
    }
    if (row) {
        quiet_.remember(key, kQuietTime);
        co_return view_of(*row, From::stale, true);
    }
    if (!ask.subject) {
        auto local = co_await local_tags(ask);
        if (!local.body.empty()) co_return local;
    }
    std::rethrow_exception(error);
}

Task<ListView> Lists::keep(Ask ask, meta::ListRow row) {
    row.fetched = clock_.wall();
    co_await pool_.run(
        [this, ask, row] { metadata_.put_list(ask.target->repository, ask.kind, ask.query, row); });
    co_return view_of(row, From::miss, false);
}

Task<ListView> Lists::ask_upstream(Ask ask) {
    Verdict verdict;
    const TimePoint deadline = clock_.now() + options_.miss_timeout * 9 / 10;
    const auto kind = ask.subject ? upstream::ListKind::referrers : upstream::ListKind::tags;
    for (const Candidate& candidate : ask.target->candidates) {
        auto answer = co_await candidate.upstream->list(candidate.repository, kind,
                                                        ask.subject ? ask.subject->text() : "",
                                                        ask.query, deadline);
        if (answer.outcome == Outcome::ok) {
            meta::ListRow row = row_of(std::move(answer.body), std::move(answer.content_type));
            row.next_query = std::move(answer.next_query);
            row.filters_applied = answer.filters_applied;
            co_return co_await keep(ask, std::move(row));
        }
        verdict.add(answer);
    }
    // No registry has the referrers API, or none has referrers of this: the tag schema tells.
    if (ask.subject && verdict.all_not_found()) co_return co_await referrers_by_tag(ask);
    throw verdict.failure(Kind::name_unknown,
                          fmt::format("{} of {}", ask.kind, ask.target->repository));
}

Task<ListView> Lists::referrers_by_tag(Ask ask) {
    std::string body = oci::empty_index();
    try {
        const auto view = co_await manifests_.manifest(
            ask.target, oci::Reference(oci::referrers_tag(*ask.subject)), false);
        if (view.manifest->media_type == oci::kOciIndex) body = *view.manifest->bytes;
    } catch (const Failure& failure) {
        if (failure.kind() != Kind::manifest_unknown) throw;
    }
    co_return co_await keep(ask, row_of(std::move(body), std::string(oci::kOciIndex)));
}

// The upstream is silent and no list was ever remembered: the tags that were pulled are still true.
Task<ListView> Lists::local_tags(Ask ask) {
    const auto names = co_await pool_.run(
        [this, ask] { return metadata_.tags(ask.target->repository, "", kLocalTags); });
    ListView view;
    if (names.empty()) co_return view;
    view.body = oci::tag_list_body(ask.target->repository, names);
    view.content_type = "application/json";
    view.from = From::stale;
    view.stale = true;
    co_return view;
}

}  // namespace weir::cache
