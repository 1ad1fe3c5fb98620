// The promises of client/resolver.h, over a name service that answers when the test says so.
#include "client/resolver.h"

#include <gtest/gtest.h>

#include <map>

namespace weir::client {
namespace {

using namespace std::chrono_literals;

struct Service : NameService {
    std::vector<std::string> asked;
    std::map<std::string, Done> open;
    uint64_t files = 1;

    void look_up(std::string name, Done done) override {
        asked.push_back(name);
        open.emplace(std::move(name), std::move(done));
    }
    uint64_t generation() override { return files; }
    void answer(const std::string& name, Found found) {
        auto node = open.extract(name);
        ASSERT_FALSE(node.empty()) << name;
        node.mapped()(std::move(found));
    }
};

Found at(std::vector<std::string> addresses, std::chrono::seconds ttl = 60s) {
    Found found;
    found.what = Found::What::addresses;
    found.addresses = std::move(addresses);
    found.ttl = ttl;
    return found;
}
Found absent() {
    Found found;
    found.what = Found::What::absent;
    return found;
}

class Resolving : public ::testing::Test {
protected:
    void make(Resolver::Limits limits) {
        auto made = std::make_unique<Service>();
        service = made.get();
        resolver = std::make_shared<Resolver>(std::move(made), clock, limits);
    }
    void SetUp() override { make({}); }

    // What is known at once; else null, and the answer is put under the name when it comes.
    Resolver::Result ask(const std::string& name, const std::string& party = "a") {
        const auto asked = resolver->ask(
            party, name, [this, name](const auto& found) { answers[name].push_back(found); });
        tickets[name] = asked.ticket;
        return asked.known;
    }
    std::string known(const std::string& name) {
        const auto found = ask(name);
        return found && !found->addresses.empty() ? found->addresses.front() : "";
    }

    ManualClock clock;
    Service* service = nullptr;
    std::shared_ptr<Resolver> resolver;
    std::map<std::string, std::vector<Resolver::Result>> answers;
    std::map<std::string, uint64_t> tickets;
};

TEST_F(Resolving, many_who_ask_for_one_name_are_one_look_up) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(ask("x.lab"), nullptr);
    EXPECT_EQ(service->asked.size(), 1u);
    service->answer("x.lab", at({"192.0.2.1", "2001:db8::1"}));
    ASSERT_EQ(answers["x.lab"].size(), 5u);
    for (const auto& found : answers["x.lab"])
        EXPECT_EQ(found->addresses, (std::vector<std::string>{"192.0.2.1", "2001:db8::1"}));
}

TEST_F(Resolving, an_answer_is_kept_for_its_time_within_bounds) {
    const struct {
        std::chrono::seconds said, kept;
    } cases[] = {{0s, 5s}, {60s, 60s}, {86400s, 300s}};
    for (const auto& [said, kept] : cases) {
        const std::string name = std::to_string(said.count()) + ".lab";
        ask(name);
        service->answer(name, at({"192.0.2.1"}, said));
        clock.advance(kept - 1s);
        EXPECT_EQ(known(name), "192.0.2.1") << name;
        clock.advance(2s);
        EXPECT_EQ(ask(name), nullptr) << name;
    }
}

TEST_F(Resolving, a_no_and_a_silence_are_kept_briefly) {
    ask("no.lab");
    service->answer("no.lab", absent());
    ask("quiet.lab");
    service->answer("quiet.lab", Found{});
    clock.advance(1s);
    EXPECT_EQ(ask("no.lab")->what, Found::What::absent);
    EXPECT_EQ(ask("quiet.lab")->what, Found::What::silent);
    clock.advance(2s);
    EXPECT_NE(ask("no.lab"), nullptr);
    EXPECT_EQ(ask("quiet.lab"), nullptr);
    clock.advance(3s);
    EXPECT_EQ(ask("no.lab"), nullptr);
}

TEST_F(Resolving, old_addresses_serve_while_the_name_server_is_silent_but_not_when_it_says_no) {
    ask("x.lab");
    service->answer("x.lab", at({"192.0.2.1"}, 10s));
    clock.advance(11s);
    ask("x.lab");
    service->answer("x.lab", Found{});
    EXPECT_EQ(known("x.lab"), "192.0.2.1");
    clock.advance(3s);
    ask("x.lab");
    service->answer("x.lab", absent());
    EXPECT_EQ(ask("x.lab")->what, Found::What::absent);
}

TEST_F(Resolving, old_addresses_do_not_serve_for_ever) {
    ask("x.lab");
    service->answer("x.lab", at({"192.0.2.1"}, 10s));
    clock.advance(601s);
    ask("x.lab");
    service->answer("x.lab", Found{});
    EXPECT_EQ(ask("x.lab")->what, Found::What::silent);
}

TEST_F(Resolving, names_that_never_resolve_use_up_the_share_of_their_upstream_only) {
    for (int i = 0; i < 300; ++i) ask("silent" + std::to_string(i) + ".lab", "evil");
    EXPECT_LE(service->asked.size(), 48u) << "three quarters of 64";
    ask("good.lab", "good");
    EXPECT_EQ(service->asked.back(), "good.lab");
    service->answer("good.lab", at({"192.0.2.1"}));
    EXPECT_EQ(known("good.lab"), "192.0.2.1");
}

TEST_F(Resolving, what_waits_is_begun_when_another_ends_and_not_when_nobody_waits_any_more) {
    make({.max_lookups = 1});
    ask("one.lab");
    ask("two.lab");
    ask("three.lab");
    EXPECT_EQ(service->asked, (std::vector<std::string>{"one.lab"}));
    resolver->leave("two.lab", tickets["two.lab"]);
    service->answer("one.lab", at({"192.0.2.1"}));
    EXPECT_EQ(service->asked, (std::vector<std::string>{"one.lab", "three.lab"}));
    EXPECT_EQ(ask("two.lab"), nullptr);
    EXPECT_TRUE(answers["two.lab"].empty());
}

TEST_F(Resolving, a_queue_that_is_full_says_so_at_once) {
    make({.max_lookups = 1, .max_queued = 2});
    ask("one.lab");
    ask("two.lab");
    ask("three.lab");
    const auto refused = ask("four.lab");
    ASSERT_NE(refused, nullptr);
    EXPECT_EQ(refused->what, Found::What::silent);
}

TEST_F(Resolving, a_waiter_that_left_is_not_called_and_the_answer_is_kept_all_the_same) {
    ask("x.lab");
    resolver->leave("x.lab", tickets["x.lab"]);
    service->answer("x.lab", at({"192.0.2.1"}));
    EXPECT_TRUE(answers["x.lab"].empty());
    EXPECT_EQ(known("x.lab"), "192.0.2.1");
}

TEST_F(Resolving, other_files_make_all_earlier_answers_void) {
    ask("x.lab");
    service->answer("x.lab", at({"192.0.2.1"}));
    ++service->files;
    EXPECT_EQ(ask("x.lab"), nullptr);
    service->answer("x.lab", at({"192.0.2.2"}));
    EXPECT_EQ(known("x.lab"), "192.0.2.2");
}

TEST_F(Resolving, files_that_change_while_a_name_is_looked_up_lose_nobody) {
    ask("x.lab");
    service->answer("x.lab", at({"192.0.2.1"}, 5s));
    clock.advance(6s);
    ask("x.lab");
    ++service->files;
    ask("y.lab");
    service->answer("x.lab", at({"192.0.2.2"}));
    EXPECT_EQ(answers["x.lab"].back()->addresses.front(), "192.0.2.2");
}

TEST_F(Resolving, addresses_where_nothing_answers_are_asked_for_anew_but_not_each_time) {
    ask("x.lab");
    service->answer("x.lab", at({"192.0.2.1"}, 300s));
    resolver->doubt("x.lab");
    EXPECT_EQ(known("x.lab"), "192.0.2.1");
    clock.advance(6s);
    EXPECT_EQ(ask("x.lab"), nullptr);
}

TEST_F(Resolving, the_table_keeps_to_its_bounds) {
    make({.max_names = 10, .max_addresses = 2});
    for (int i = 0; i < 100; ++i) {
        const std::string name = std::to_string(i) + ".lab";
        ask(name);
        service->answer(name, at({"192.0.2.1", "192.0.2.2", "192.0.2.3"}));
    }
    EXPECT_EQ(resolver->names(), 10u);
    EXPECT_EQ(ask("99.lab")->addresses.size(), 2u);
    EXPECT_EQ(ask("0.lab"), nullptr);
}

TEST_F(Resolving, localhost_is_this_machine_and_nobody_is_asked) {
    for (const std::string name : {"localhost", "localhost.", "a.localhost"})
        EXPECT_EQ(ask(name)->addresses, (std::vector<std::string>{"::1", "127.0.0.1"})) << name;
    EXPECT_TRUE(service->asked.empty());
    EXPECT_EQ(ask("localhost.lab"), nullptr);
}

}  // namespace
}  // namespace weir::client
