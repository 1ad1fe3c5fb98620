// The promises of cache/origin.h about a round that brought nothing: what the client is told of it.
#include <gtest/gtest.h>

#include "cache/origin.h"

namespace weir::cache {
namespace {

using upstream::Outcome;

upstream::Answer answer(Outcome outcome, int status = 0) {
    upstream::Answer made;
    made.outcome = outcome;
    made.status = status;
    made.detail = "because";
    return made;
}

Kind told(std::initializer_list<upstream::Answer> answers) {
    Verdict verdict;
    for (const auto& each : answers) verdict.add(each);
    return verdict.failure(Kind::blob_unknown, "blob").kind();
}

TEST(Verdict, a_4xx_about_the_request_stays_one) {
    for (int status = 400; status < 500; ++status) {
        const bool policy = status == 402 || status == 412 || status == 423 || status == 451;
        EXPECT_EQ(told({answer(Outcome::rejected, status)}), policy ? Kind::upstream_denied
                                                             : status == 410
                                                                 ? Kind::blob_unknown
                                                                 : Kind::upstream_rejected)
            << status;
    }
}

TEST(Verdict, each_outcome_has_its_kind) {
    EXPECT_EQ(told({answer(Outcome::not_found, 404)}), Kind::blob_unknown);
    EXPECT_EQ(told({answer(Outcome::refused, 401)}), Kind::upstream_refused);
    EXPECT_EQ(told({answer(Outcome::throttled, 429)}), Kind::too_many);
    EXPECT_EQ(told({answer(Outcome::failed, 500)}), Kind::upstream_bad);
    EXPECT_EQ(told({answer(Outcome::too_large, 200)}), Kind::upstream_bad);
    EXPECT_EQ(told({answer(Outcome::unreachable)}), Kind::upstream_unreachable);
    EXPECT_EQ(told({answer(Outcome::offline)}), Kind::upstream_unreachable);
    EXPECT_EQ(told({answer(Outcome::timeout)}), Kind::upstream_timeout);
    EXPECT_EQ(told({answer(Outcome::forbidden)}), Kind::target_forbidden);
}

TEST(Verdict, of_several_the_ranking_of_the_upstream_room_decides) {
    for (size_t i = 0; i < upstream::kOutcomes; ++i)
        for (size_t j = 0; j < upstream::kOutcomes; ++j) {
            const auto a = static_cast<Outcome>(i), b = static_cast<Outcome>(j);
            if (a == Outcome::ok || b == Outcome::ok) continue;
            const auto wins = upstream::outranks(a, b) ? a : b;
            EXPECT_EQ(told({answer(a), answer(b)}), told({answer(wins)})) << i << " " << j;
        }
}

TEST(Verdict, a_rejection_is_not_worth_a_retry) {
    Verdict verdict;
    verdict.add(answer(Outcome::rejected, 412));
    verdict.add(answer(Outcome::not_found, 404));
    EXPECT_FALSE(verdict.worth_a_retry());
    EXPECT_FALSE(verdict.all_not_found());
}

}  // namespace
}  // namespace weir::cache
