// The promises of s3/credentials.h about order, keeping and renewal, on a clock that stands still
// until told.
#include "s3/credentials.h"

#include <fstream>
#include <map>

#include "base/failure.h"
#include "s3/shared_file.h"
#include "support/temporary_directory.h"
#include "unit/s3/world.h"

namespace weir::s3 {
namespace {

using Held = std::shared_ptr<const Credentials>;

std::string iso(WallTime at) {
    const time_t seconds = std::chrono::system_clock::to_time_t(at);
    tm parts{};
    gmtime_r(&seconds, &parts);
    char text[32];
    return {text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

// A machine with IMDS whose keys live for an hour.
class ChainTest : public Time {
protected:
    ChainTest() {
        options.environment = [this](const std::string& name) -> std::optional<std::string> {
            const auto found = variables.find(name);
            return found == variables.end() ? std::nullopt : std::optional(found->second);
        };
        http.handle([this](const client::Call& call) { return serve(call); });
    }
    ~ChainTest() override {
        settle();
        made.reset();
    }

    FakeAnswer serve(const client::Call& call) {
        EXPECT_EQ(call.proxy, "none");
        if (away) return broken(End::unreachable);
        if (call.method == "PUT") return answer(200, "TOKEN");
        EXPECT_EQ(FakeHttp::field(call, "X-aws-ec2-metadata-token"), "TOKEN");
        if (call.url.ends_with("security-credentials/")) return answer(200, "the role\n");
        EXPECT_TRUE(call.url.ends_with("security-credentials/the%20role"));
        ++given;
        auto said =
            answer(200, "{\"Code\":\"Success\",\"AccessKeyId\":\"IMDS" + std::to_string(given) +
                            "\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"" +
                            iso(clock.wall() + life) + "\"}");
        said.delay = slow;
        return said;
    }

    CredentialChain& chain() {
        if (!made) made.emplace(options, http, pool, clock, scope);
        return *made;
    }
    // The access key, or why there is none.
    std::string current(Duration within = 30s) {
        return run<std::string>([this, within]() { return ask(within); });
    }
    Task<std::string> ask(Duration within) {
        try {
            co_return (co_await chain().current(clock.now() + within))->access_key;
        } catch (const Failure& failure) {
            co_return std::string(kind_name(failure.kind())) + ": " + failure.what();
        }
    }
    void write(const std::string& name, const std::string& text) {
        std::ofstream(directory / name) << text;
    }

    TemporaryDirectory directory;
    std::map<std::string, std::string> variables;
    CredentialOptions options;
    std::optional<CredentialChain> made;
    Duration slow{0};
    std::chrono::microseconds life = 1h;
    bool away = false;
    int given = 0;
};

TEST_F(ChainTest, a_stop_ends_a_renewal_that_hangs) {
    slow = test::kForever;
    life = 1h;
    const auto got = start<std::string>([this]() { return ask(6h); });
    settle(0s);
    ASSERT_FALSE(*got);
    chain().stop();
    settle(0s);
    ASSERT_TRUE(*got);
    EXPECT_TRUE((*got)->starts_with("unauthorized")) << **got;
}

TEST_F(ChainTest, the_configuration_comes_first) {
    options.configured = Credentials{"CONFIG", Secret("s"), {}, Credentials::kNoExpiry};
    variables = {{"AWS_ACCESS_KEY_ID", "ENV"}, {"AWS_SECRET_ACCESS_KEY", "s"}};
    EXPECT_EQ(chain().source(), "");
    EXPECT_EQ(current(), "CONFIG");
    EXPECT_EQ(chain().source(), "configuration");
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(ChainTest, then_the_environment_with_its_token) {
    variables = {{"AWS_ACCESS_KEY_ID", "ENV"},
                 {"AWS_SECRET_ACCESS_KEY", "s"},
                 {"AWS_SESSION_TOKEN", "t"},
                 {"AWS_SHARED_CREDENTIALS_FILE", directory / "c"}};
    write("c", "[default]\naws_access_key_id=FILE\naws_secret_access_key=s\n");
    EXPECT_EQ(current(), "ENV");
    const auto held = run<Held>([this]() { return chain().current(clock.now() + 1s); });
    EXPECT_EQ(held->session_token.reveal(), "t");
    EXPECT_EQ(chain().source(), "environment");
}

TEST_F(ChainTest, then_the_shared_file_by_variable_or_home) {
    write("c", "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n");
    variables = {{"AWS_SHARED_CREDENTIALS_FILE", directory / "c"}};
    EXPECT_EQ(current(), "FILE");
    EXPECT_EQ(chain().source(), "shared file");
}

TEST_F(ChainTest, the_shared_file_of_the_home_with_a_profile) {
    options.home = directory.path();
    std::filesystem::create_directory(directory / ".aws");
    write(".aws/credentials", "[one]\naws_access_key_id=ONE\naws_secret_access_key=s\n");
    variables = {{"AWS_PROFILE", "one"}};
    EXPECT_EQ(current(), "ONE");
}

TEST_F(ChainTest, a_profile_that_is_asked_for_and_missing_is_a_failure_and_no_other_role) {
    variables = {{"AWS_PROFILE", "two"}, {"AWS_SHARED_CREDENTIALS_FILE", directory / "c"}};
    EXPECT_NE(current().find("no keys for profile two in"), std::string::npos) << current();
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(ChainTest, imds_is_the_last_and_may_reach_its_address) {
    EXPECT_EQ(current(), "IMDS1");
    EXPECT_EQ(chain().source(), "imds");
    ASSERT_EQ(http.calls().size(), 3u);
    EXPECT_EQ(http.calls()[0].url, "http://169.254.169.254/latest/api/token");
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "X-aws-ec2-metadata-token-ttl-seconds"), "21600");
}

TEST_F(ChainTest, imds_without_a_token_is_never_asked_the_old_way) {
    http.handle([](const client::Call& call) {
        EXPECT_EQ(call.method, "PUT");
        return answer(call.method == "PUT" ? 403 : 200);
    });
    EXPECT_EQ(current(),
              "unauthorized: no S3 credentials: configuration: nothing there; environment: nothing "
              "there; web identity: nothing there; shared file: nothing there; container: nothing "
              "there; imds: no token: the answer is 403");
    EXPECT_EQ(http.calls().size(), 1u);
}

TEST_F(ChainTest, imds_can_be_switched_off) {
    variables = {{"AWS_EC2_METADATA_DISABLED", "true"}};
    EXPECT_NE(current().find("imds: nothing there"), std::string::npos);
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(ChainTest, many_callers_cause_one_walk) {
    slow = 1s;
    std::vector<std::shared_ptr<std::optional<std::string>>> all;
    for (int i = 0; i < 10; ++i) all.push_back(start<std::string>([this]() { return ask(30s); }));
    settle();
    for (const auto& one : all) EXPECT_EQ(*one, "IMDS1");
    EXPECT_EQ(given, 1);
}

TEST_F(ChainTest, at_four_fifths_of_its_life_it_is_renewed_behind_the_answer) {
    EXPECT_EQ(current(), "IMDS1");
    clock.advance(47min);
    EXPECT_EQ(current(), "IMDS1");
    EXPECT_EQ(given, 1);
    clock.advance(2min);
    slow = 2s;
    const TimePoint before = clock.now();
    const auto first = start<std::string>([this]() { return ask(30s); });
    const auto second = start<std::string>([this]() { return ask(30s); });
    settle(0s);
    EXPECT_EQ(clock.now(), before);
    EXPECT_EQ(*first, "IMDS1");
    EXPECT_EQ(*second, "IMDS1");
    settle();
    EXPECT_EQ(given, 2);
    EXPECT_EQ(current(), "IMDS2");
}

TEST_F(ChainTest, while_it_cannot_be_renewed_the_old_one_is_good_until_its_end) {
    EXPECT_EQ(current(), "IMDS1");
    away = true;
    clock.advance(50min);
    EXPECT_EQ(current(), "IMDS1");
    const size_t asked = http.calls().size();
    EXPECT_EQ(current(), "IMDS1");  // and IMDS isn't asked with every call
    EXPECT_EQ(http.calls().size(), asked);
    clock.advance(9min);
    EXPECT_EQ(current(), "IMDS1");
    EXPECT_GT(http.calls().size(), asked);
    clock.advance(2min);
    EXPECT_NE(current().find("imds: no token: unreachable"), std::string::npos);
    away = false;
    clock.advance(2s);
    EXPECT_EQ(current(), "IMDS2");
}

TEST_F(ChainTest, a_failure_stands_for_a_second) {
    away = true;
    for (int i = 0; i < 5; ++i) EXPECT_NE(current().find("unauthorized"), std::string::npos);
    EXPECT_EQ(http.calls().size(), 1u);
    clock.advance(1s);
    away = false;
    EXPECT_EQ(current(), "IMDS1");
}

TEST_F(ChainTest, what_the_service_calls_expired_is_renewed_before_the_next_use) {
    EXPECT_EQ(current(), "IMDS1");
    const auto held = run<Held>([this]() { return chain().current(clock.now() + 1s); });
    chain().expired(*held);
    EXPECT_EQ(current(), "IMDS2");
    chain().expired(*held);  // a late word about the old one
    EXPECT_EQ(current(), "IMDS2");
}

TEST_F(ChainTest, what_has_expired_when_it_comes_is_not_given) {
    life = -1s;
    EXPECT_NE(current().find("imds: what it gives has expired"), std::string::npos) << current();
}

TEST_F(ChainTest, a_caller_with_little_time_leaves_and_the_walk_goes_on) {
    slow = 2s;
    EXPECT_EQ(current(500ms).substr(0, 17), "upstream_timeout:");
    EXPECT_EQ(current(), "IMDS1");
    EXPECT_EQ(given, 1);
}

TEST(SharedFile, profiles_comments_and_blanks_are_read) {
    const std::string text =
        "# comment\n; another\naws_access_key_id = NOBODY\n[default]\r\nAWS_ACCESS_KEY_ID = A\r\n"
        "aws_secret_access_key=s=1/+\r\nregion = x\n\n[ profile two ]\n"
        "aws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u\n[broken\n"
        "aws_access_key_id=C\n[half]\naws_access_key_id=D\n";
    const auto first = read_shared_file(text, "default");
    ASSERT_TRUE(first);
    EXPECT_EQ(first->access_key, "A");
    EXPECT_EQ(first->secret_key.reveal(), "s=1/+");
    EXPECT_TRUE(first->session_token.empty());
    const auto second = read_shared_file(text, "two");
    ASSERT_TRUE(second);
    EXPECT_EQ(second->access_key, "B");
    EXPECT_EQ(second->session_token.reveal(), "u");
    EXPECT_FALSE(read_shared_file(text, "half"));
    EXPECT_FALSE(read_shared_file(text, "three"));
    EXPECT_FALSE(read_shared_file("", "default"));
}

}  // namespace
}  // namespace weir::s3
