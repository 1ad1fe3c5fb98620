// upstream/over_mirrors.h: the mirrors in order, for any kind of answer.
#pragma once
#include <array>

#include "async/loop.h"
#include "base/failure.h"
#include "upstream/impl.h"

namespace weir::upstream {

template <class A>
Task<A> Upstream::Impl::once(std::shared_ptr<Site> site, Subject subject, Attempt<A> attempt,
                             TimePoint deadline) {
    A answer;
    answer.mirror = site->url.authority();
    static constexpr std::array kKinds{"manifests", "lists", "blobs", "tokens"};
    const Place place =
        co_await this->place(kKinds[static_cast<size_t>(subject.purpose)], deadline);
    if (!place.permit.holds()) {
        answer.outcome = Outcome::throttled;
        answer.detail = place.refusal;
        co_return answer;
    }
    Health::Ticket ticket;
    if (auto refusal =
            site->host->health.enter(subject.purpose, subject.repository, clock.now(), ticket)) {
        answer.outcome = refusal->outcome;
        answer.detail = answer.mirror + ": " + refusal->detail;
        if (refusal->outcome == Outcome::throttled) answer.retry_after = refusal->retry_after;
        co_return answer;
    }
    Sign sign = Sign::none;
    try {
        answer = co_await attempt(site, deadline);
        // A mirror that sent us on has done its part.
        sign = answer.elsewhere ? Sign::good : sign_of(answer.outcome, answer.status);
    } catch (const Failure& failure) {  // a limit of weir, not of the mirror
        answer.outcome = Outcome::throttled;
        answer.detail = failure.what();
    }
    settle(*site, subject, ticket, sign, answer);
    co_return answer;
}

template <class A>
Task<A> Upstream::Impl::over_mirrors(Subject subject, Attempt<A> attempt, TimePoint deadline) {
    A worst;
    if (options.offline) {
        worst.outcome = Outcome::offline;
        worst.detail = options.name + " is switched off";
        co_return worst;
    }
    std::vector<bool> spent(sites.size(), false);  // said what another try won't change
    std::vector<A> answers(sites.size());
    for (uint32_t round = 1;; ++round) {
        for (size_t i = 0; i < sites.size(); ++i) {
            if (spent[i]) continue;
            const TimePoint until = share_of(deadline, subject, spent, i);
            answers[i] = co_await once<A>(sites[i], subject, attempt, until);
            if (answers[i].outcome == Outcome::ok) co_return std::move(answers[i]);
            spent[i] = !is_transient(answers[i].outcome);
        }
        worst = {};
        for (const A& answer : answers)
            if (outranks(answer.outcome, worst.outcome)) worst = answer;
        if (round > options.max_retries || !is_transient(worst.outcome)) co_return worst;
        const Duration pause = pause_before(round, worst);
        if (deadline != kNever && clock.now() + pause >= deadline) co_return worst;
        // Mirrors that are set aside for longer than the pause would only be waited for in vain.
        bool any = false;
        for (size_t i = 0; i < sites.size(); ++i)
            any =
                any || (!spent[i] && sites[i]->host->health.usable(
                                         subject.purpose, subject.repository, clock.now() + pause));
        if (!any) co_return worst;
        co_await sleep_for(pause);
    }
}

}  // namespace weir::upstream
