#include "cache/lists.h"

#include <fmt/format.h>

#include "base/text.h"
#include "cache/origin.h"
#include "cache/past_disk.h"
#include "oci/link.h"
#include "oci/list_items.h"
#include "oci/name.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
using upstream::Outcome;
// With an older answer at hand, an upstream gets this long before that is given.
constexpr Duration kPatience = 1s;
constexpr Duration kQuietTime = 5s;
// After the first page an upstream has so long to give the others, and may give so many.
constexpr Duration kGatherTime = 2s;
constexpr size_t kGatherPages = 256;
// What is asked of an upstream that gives pages.
constexpr size_t kPageSize = 1000;
constexpr size_t kLocalTags = 10'000;
constexpr size_t kMaxNextQueryBytes = 2048;
// A piece of this size is found, and copied or compared, on a serving loop; more is for the pool.
constexpr size_t kLoopBytes = 64 * 1024;
// An entry in memory, with its key, beside the list.
constexpr uint64_t kEntryBytes = 256;

// It says nothing of what was asked for: an older list stands, and no fall-back is tried. What a
// host did that the registry led to says that the registry itself has no such list.
bool is_about_the_host(const upstream::Answer& answer) {
    if (answer.elsewhere) return false;
    switch (answer.outcome) {
        case Outcome::throttled:
        case Outcome::failed:
        case Outcome::unreachable:
        case Outcome::timeout:
        case Outcome::offline:
        case Outcome::too_large:
            return true;
        default:
            return false;
    }
}

// `query`, with n as large as every registry allows.
std::string with_page_size(std::string_view query) {
    std::string wide = fmt::format("n={}", kPageSize);
    for (const std::string_view pair : split(query, '&'))
        if (!pair.empty() && !pair.starts_with("n=")) wide.append("&").append(pair);
    return wide;
}

struct Page {
    size_t limit = SIZE_MAX;
    std::string last;
    bool foreign = false;  // has parameters that only an upstream can mean
};

Page page_of(std::string_view query) {
    Page page;
    if (const auto n = oci::query_parameter(query, "n")) {
        const auto number = parse_u64(*n);
        if (!number) throw Failure(Kind::request_invalid, "n is not a number");
        page.limit = static_cast<size_t>(std::min<uint64_t>(*number, kMaxListedTags));
    }
    page.last = oci::query_parameter(query, "last").value_or("");
    for (const std::string_view pair : split(query, '&'))
        page.foreign =
            page.foreign || !(pair.empty() || pair.starts_with("n=") || pair.starts_with("last="));
    return page;
}

// Members `first` to `first + limit` of the list, and how it goes on.
ListView view_of(std::shared_ptr<const ListText> list, From from, bool stale, size_t first,
                 size_t limit) {
    ListView view;
    view.from = from;
    view.stale = stale;
    first = std::min(first, list->count());
    const size_t count = std::min(limit, list->count() - first);
    if (count > 0) {
        view.first = list->starts[first];
        view.length = list->end_of(first, count) - view.first;
    }
    if (first + count == list->count())
        view.next_query = list->next_query;
    else if (count > 0)
        view.next_query = fmt::format(
            "n={}&last={}", limit, percent_encode(oci::string_of(list->item(first + count - 1))));
    const std::string* text = &list->items;
    view.items = std::shared_ptr<const std::string>(std::move(list), text);
    return view;
}

}  // namespace

Lists::Lists(const Options& options, const MemoryShares& shares, meta::Metadata& metadata,
             store::Space& space, Pool& pool, Clock& clock, Scope& scope, Answers& answers)
    : options_(options),
      metadata_(metadata),
      space_(space),
      pool_(pool),
      clock_(clock),
      answers_(answers),
      memory_(shares.lists, 1),
      quiet_(shares.negative / 3, clock),
      flights_(scope),
      loads_(scope) {}

std::string Lists::Ask::key() const {
    return fmt::format("{} {} {}", target->repository, kind, rest);
}

Duration Lists::Ask::ttl() const {
    return subject ? target->freshness->signature_negative_ttl : target->freshness->list_ttl;
}

// ---- what clients ask for

Task<ListView> Lists::tags(TargetPtr target, std::string query) {
    const Page page = page_of(query);
    Got got = co_await get(Ask{target, "tags", std::nullopt, ""});
    const bool goes_on = !got.list->next_query.empty();
    if (goes_on && page.foreign) {
        got = co_await get(Ask{target, "tags", std::nullopt, query});
        co_return view_of(got.list, got.from, got.stale, 0, page.limit);
    }
    size_t first = 0;
    if (!page.last.empty()) {
        std::optional<size_t> after;
        if (got.list->sorted || got.list->items.size() <= kLoopBytes)
            after = got.list->after(page.last);
        else
            after = co_await pool_.run([&] { return got.list->after(page.last); });
        // Behind all that was gathered: the upstream knows the rest.
        if (goes_on && after.value_or(got.list->count()) == got.list->count()) {
            got = co_await get(Ask{target, "tags", std::nullopt, query});
            after = 0;
        }
        first = after.value_or(0);
    }
    if (page.limit == 0) first = got.list->count();
    ListView view = view_of(got.list, got.from, got.stale, first, page.limit);
    if (page.limit == 0) view.next_query.clear();
    co_return view;
}

Task<ListView> Lists::referrers(TargetPtr target, oci::Digest digest, std::string query) {
    const auto wanted = oci::query_parameter(query, "artifactType").value_or("");
    Got got = co_await get(Ask{target, "referrers " + digest.text(), digest, ""});
    if (wanted.empty()) co_return view_of(got.list, got.from, got.stale, 0, SIZE_MAX);
    const auto select = [this, list = got.list, wanted]() -> ListPtr {
        auto kept = std::make_shared<ListText>(list->filtered(wanted));
        kept->charge = answers_.charge(kept->bytes());
        return kept;
    };
    const ListPtr kept =
        got.list->items.size() <= kLoopBytes ? select() : co_await pool_.run(select);
    ListView view = view_of(kept, got.from, got.stale, 0, SIZE_MAX);
    view.filters_applied = true;
    co_return view;
}

Task<std::vector<std::string>> Lists::catalog(std::string last, size_t limit) {
    co_return co_await pool_.run(
        [this, last, limit] { return metadata_.repositories(last, limit); });
}

// ---- memory, database, upstream

Task<Lists::Got> Lists::get(Ask ask) {
    const std::string key = ask.key();
    Got known;
    if (auto kept = memory_.get(key)) {
        known = {std::move(*kept), From::hit_memory, false};
    } else if (ask.rest.empty()) {
        known = {co_await stored(ask), From::hit_disk, false};
    }
    const bool there = known.list != nullptr;
    if (there && known.list->fetched && clock_.now() - *known.list->fetched <= ask.ttl())
        co_return known;
    const Got stale{known.list, From::stale, true};
    if (there && quiet_.holds(key)) co_return stale;

    const Duration patience = there ? kPatience : options_.miss_timeout;
    std::exception_ptr error;
    try {
        Got fresh;
        fresh.list = co_await flights_.run(
            key, [this, ask] { return ask_upstream(ask); }, clock_.now() + patience);
        co_return fresh;
    } catch (const Failure& failure) {
        // What is too much to be read now is not the upstream's fault.
        if (failure.kind() == Kind::overloaded && !there) throw;
        error = std::current_exception();
    }
    if (there) {
        quiet_.remember(key, kQuietTime);
        co_return stale;
    }
    if (!ask.subject && ask.rest.empty())
        if (auto local = co_await local_tags(ask)) co_return Got{local, From::stale, true};
    std::rethrow_exception(error);
}

Task<Lists::ListPtr> Lists::stored(Ask ask) {
    co_return co_await loads_.run(
        ask.key(),
        [this, ask]() -> Task<ListPtr> {
            auto load = [this, ask]() -> ListPtr {
                auto row = metadata_.find_list(ask.target->repository, ask.kind, "");
                if (!row) return nullptr;
                auto list = std::make_shared<ListText>(
                    read_list(std::move(row->body), ask.subject.has_value()));
                list->next_query = std::move(row->next_query);
                const Duration age = clock_.wall() - row->fetched;
                if (age >= Duration{}) list->fetched = clock_.now() - age;
                list->charge = answers_.charge(list->bytes());
                return list;
            };
            auto list = co_await ask_disk(pool_, std::move(load), ListPtr());
            if (list) remember(ask, list);
            co_return list;
        },
        kNever);
}

void Lists::remember(const Ask& ask, const ListPtr& list) {
    const std::string key = ask.key();
    memory_.put(key, list, list->bytes() + 2 * key.size() + kEntryBytes);
}

// The list is whole: counted, and kept where it says something.
Task<Lists::ListPtr> Lists::finish(Ask ask, std::shared_ptr<ListText> list, std::string upstream) {
    list->fetched = clock_.now();
    meta::ListRow row;
    row.fetched = clock_.wall();
    row.upstream = std::move(upstream);
    auto put = [this, ask, list, row]() mutable {
        list->charge = answers_.charge(list->bytes());
        if (!ask.rest.empty()) return true;
        if (list->count() == 0 && !metadata_.find_list(ask.target->repository, ask.kind, ""))
            return true;
        // Where the disk has no room for it, it is served uncached.
        if (!space_.grow_metadata(2 * list->items.size())) return true;
        row.next_query = list->next_query;
        row.body = list->items;
        metadata_.put_list(ask.target->repository, ask.kind, "", row);
        return true;
    };
    co_await ask_disk(pool_, std::move(put), false);
    remember(ask, list);
    co_return list;
}

Task<Lists::ListPtr> Lists::ask_upstream(Ask ask) {
    Verdict verdict;
    const TimePoint deadline = clock_.now() + options_.miss_timeout * 9 / 10;
    for (const Candidate& candidate : ask.target->candidates) {
        Said said = co_await gather(ask, candidate, deadline);
        if (!said.list && ask.subject && !is_about_the_host(said.answer))
            said = co_await referrers_by_tag(ask, candidate, deadline);
        if (said.list) co_return said.list;
        verdict.add(said.answer);
    }
    // Nobody has any.
    if (ask.subject && verdict.all_not_found())
        co_return co_await finish(ask, std::make_shared<ListText>(), "");
    throw verdict.failure(Kind::name_unknown,
                          fmt::format("{} of {}", ask.kind, ask.target->repository));
}

Task<Lists::Said> Lists::gather(Ask ask, const Candidate& candidate, TimePoint deadline) {
    const auto list = std::make_shared<ListText>();
    const auto kind = ask.subject ? upstream::ListKind::referrers : upstream::ListKind::tags;
    std::string query = ask.rest;
    TimePoint until = deadline;
    for (size_t pages = 0; pages < kGatherPages; ++pages) {
        auto answer = co_await candidate.upstream->list(
            candidate.repository, kind, ask.subject ? ask.subject->text() : "", query, until);
        Said said;
        said.answer = answer;  // without the body
        if (answer.outcome == Outcome::ok) {
            const auto added = co_await pool_.run([&] {
                return ask.subject ? add_referrers(*list, answer.body)
                                   : add_tags(*list, answer.body);
            });
            if (!added) {
                said.answer.outcome = ask.subject ? Outcome::not_found : Outcome::failed;
                said.answer.detail = fmt::format("{}: {}", answer.mirror, added.error());
            }
        }
        if (said.answer.outcome != Outcome::ok) {
            if (pages == 0) co_return said;
            break;  // what came stands; it goes on where it broke off
        }
        if (pages == 0) until = std::min(deadline, clock_.now() + kGatherTime);
        if (answer.next_query.size() > kMaxNextQueryBytes) answer.next_query.clear();
        const bool again = answer.next_query == list->next_query;
        list->next_query = again ? "" : std::move(answer.next_query);
        // A page that a client asked for is that page.
        if (list->next_query.empty() || !ask.rest.empty() || clock_.now() >= until ||
            list->items.size() >= kMaxListBytes)
            break;
        query = with_page_size(list->next_query);
    }
    Said whole;
    whole.list = co_await finish(std::move(ask), list, candidate.upstream->name());
    co_return whole;
}

Task<Lists::Said> Lists::referrers_by_tag(Ask ask, const Candidate& candidate, TimePoint deadline) {
    const oci::Reference tag(oci::referrers_tag(*ask.subject));
    const auto answer =
        co_await candidate.upstream->manifest(candidate.repository, tag, false, deadline);
    Said said;
    said.answer = answer;
    if (answer.outcome != Outcome::ok) {
        // A page for people, or a no to such a tag: there is none.
        const bool page =
            answer.outcome == Outcome::failed && iequals(answer.media_type, "text/html");
        const bool no = !is_about_the_host(answer) && answer.outcome != Outcome::refused;
        if (page || no) said.answer.outcome = Outcome::not_found;
        co_return said;
    }
    const auto list = std::make_shared<ListText>();
    co_await pool_.run([&] {
        if (is_referrers_index(answer.bytes, answer.media_type, *ask.subject))
            add_referrers(*list, answer.bytes).value();
    });
    said.list = co_await finish(std::move(ask), list, candidate.upstream->name());
    co_return said;
}

// The upstream is silent and no list was ever remembered: the tags that were pulled are still true.
Task<Lists::ListPtr> Lists::local_tags(Ask ask) {
    co_return co_await pool_.run([this, ask]() -> ListPtr {
        const auto names = metadata_.tags(ask.target->repository, "", kLocalTags);
        if (names.empty()) return nullptr;
        auto list = std::make_shared<ListText>();
        add_tags(*list, oci::tag_list_body(ask.target->repository, names)).value();
        list->charge = answers_.charge(list->bytes());
        return list;
    });
}

}  // namespace weir::cache
