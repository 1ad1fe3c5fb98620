#include "s3/credential_sources.h"

#include <fmt/format.h>

#include <boost/json/object.hpp>

#include "base/failure.h"
#include "base/named_file.h"
#include "base/text.h"
#include "client/guard.h"
#include "client/url.h"
#include "oci/json.h"
#include "s3/answers.h"
#include "s3/deadline.h"
#include "s3/shared_file.h"

namespace weir::s3 {
namespace {

constexpr uint64_t kMaxTokenBytes = 64 * 1024;
constexpr uint64_t kMaxAnswerBytes = 256 * 1024;
constexpr std::chrono::milliseconds kImdsConnect{1'000}, kImdsResponse{2'000};

Found failed(std::string why) {
    return {std::nullopt, std::move(why)};
}

// What several sources share.
struct Setting {
    CredentialOptions options;
    client::HttpClient& http;
    Pool& pool;
    Leashes& leashes;

    std::string variable(const char* name) const {
        return options.environment ? options.environment(name).value_or("") : "";
    }
    // nullopt when it isn't there or can't be read.
    Task<std::optional<std::string>> file(std::string path, uint64_t max_bytes) const {
        co_return co_await pool.run([path, max_bytes]() -> std::optional<std::string> {
            try {
                return read_named_file(path, max_bytes);
            } catch (const Failure&) {
                return std::nullopt;
            }
        });
    }
};
using SettingPtr = std::shared_ptr<const Setting>;

// A token as a file holds it: one line.
std::optional<std::string> one_line(std::optional<std::string> text) {
    if (!text) return std::nullopt;
    while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
    if (text->empty() || text->find('\n') != std::string::npos) return std::nullopt;
    return text;
}

struct Said {
    int status = 0;
    std::string text;
    std::string failure;  // empty: a whole answer came
    bool good() const { return failure.empty() && status == 200; }
    std::string why() const {
        return failure.empty() ? fmt::format("the answer is {}", status) : failure;
    }
};

Task<Said> say(const Setting& at, client::Call call, TimePoint deadline) {
    const auto leash = std::make_shared<client::Leash>();
    const Leashes::Held held(at.leashes, leash);
    const auto sink = std::make_shared<client::TextSink>();
    call.started = [leash](auto handle) { leash->attach(std::move(handle)); };
    call.max_body_bytes = kMaxAnswerBytes;
    const UntilDeadline watch(leash, deadline);
    const auto reply = co_await at.http.send(std::move(call), sink);
    Said said{reply.head.status, std::move(sink->text), {}};
    if (reply.end != client::End::complete)
        said.failure = fmt::format("{} ({})", client::end_name(reply.end), reply.detail);
    co_return said;
}

// For the machine itself: never over a proxy.
client::Call local_call(std::string method, std::string url) {
    client::Call call;
    call.method = std::move(method);
    call.url = std::move(url);
    call.proxy = "none";
    call.guard = {.enabled = false, .allow_loopback = true, .allow_metadata = true};
    call.timeouts.connect = kImdsConnect;
    call.timeouts.response = kImdsResponse;
    return call;
}

// {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}: of containers and of IMDS.
Found from_json(const std::string& text) {
    const auto value = oci::parse_json(text);
    if (!value || !value->is_object()) return failed("the answer is no JSON object");
    const auto& object = value->as_object();
    const auto code = oci::text_member(object, "Code");
    if (!code.empty() && code != "Success") return failed(fmt::format("the answer says {}", code));
    Credentials out;
    out.access_key = oci::text_member(object, "AccessKeyId");
    out.secret_key = Secret(std::string(oci::text_member(object, "SecretAccessKey")));
    out.session_token = Secret(std::string(oci::text_member(object, "Token")));
    if (out.access_key.empty() || out.secret_key.empty()) return failed("the answer has no keys");
    const auto expiration = oci::text_member(object, "Expiration");
    if (!expiration.empty()) {
        const auto time = read_iso_time(expiration);
        if (!time) return failed("the answer has a broken Expiration");
        out.expires = *time;
    }
    return {std::move(out), {}};
}

class Source : public CredentialSource {
public:
    explicit Source(SettingPtr setting) : at(std::move(setting)) {}

protected:
    SettingPtr at;
};

class FromConfiguration : public Source {
public:
    using Source::Source;
    const char* name() const override { return "configuration"; }
    Task<Found> ask(TimePoint) override { co_return Found{at->options.configured, {}}; }
};

class FromEnvironment : public Source {
public:
    using Source::Source;
    const char* name() const override { return "environment"; }
    Task<Found> ask(TimePoint) override {
        Credentials out;
        out.access_key = at->variable("AWS_ACCESS_KEY_ID");
        out.secret_key = Secret(at->variable("AWS_SECRET_ACCESS_KEY"));
        out.session_token = Secret(at->variable("AWS_SESSION_TOKEN"));
        if (out.access_key.empty() || out.secret_key.empty()) co_return Found{};
        co_return Found{std::move(out), {}};
    }
};

class FromWebIdentity : public Source {
public:
    using Source::Source;
    const char* name() const override { return "web identity"; }
    Task<Found> ask(TimePoint deadline) override {
        const std::string file = at->variable("AWS_WEB_IDENTITY_TOKEN_FILE");
        const std::string role = at->variable("AWS_ROLE_ARN");
        if (file.empty() || role.empty()) co_return Found{};
        const auto token = one_line(co_await at->file(file, kMaxTokenBytes));
        if (!token) co_return failed(fmt::format("no token in {}", file));
        std::string session = at->variable("AWS_ROLE_SESSION_NAME");
        if (session.empty()) session = "weir";
        client::Call call;
        call.method = "POST";
        call.url = at->options.sts_endpoint.empty() ? "https://sts.amazonaws.com"
                                                    : at->options.sts_endpoint;
        call.guard.enabled = false;
        call.fields = {{"Content-Type", "application/x-www-form-urlencoded"}};
        call.body = fmt::format(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&"
            "WebIdentityToken={}",
            percent_encode(role), percent_encode(session), percent_encode(*token));
        const Said said = co_await say(*at, std::move(call), deadline);
        if (!said.good()) co_return failed(fmt::format("STS: {}{}", said.why(), words_of(said)));
        const auto answer = read_sts(said.text);
        if (!answer) co_return failed("STS: the answer has no credentials");
        co_return Found{Credentials{answer->access_key, Secret(answer->secret_key),
                                    Secret(answer->session_token), answer->expires},
                        {}};
    }

private:
    static std::string words_of(const Said& said) {
        const auto error = read_error(said.text);
        return error ? fmt::format(", {}: {}", error->code, error->message) : "";
    }
};

class FromSharedFile : public Source {
public:
    using Source::Source;
    const char* name() const override { return "shared file"; }
    Task<Found> ask(TimePoint) override {
        std::string path = at->variable("AWS_SHARED_CREDENTIALS_FILE");
        if (path.empty() && at->options.home.empty()) co_return Found{};
        if (path.empty()) path = at->options.home + "/.aws/credentials";
        const std::string asked = at->variable("AWS_PROFILE");
        const auto text = co_await at->file(path, kMaxSharedFileBytes);
        auto found =
            text ? read_shared_file(*text, asked.empty() ? "default" : asked) : std::nullopt;
        if (!found && !asked.empty())
            co_return failed(fmt::format("no keys for profile {} in {}", asked, path));
        co_return Found{std::move(found), {}};
    }
};

class FromContainer : public Source {
public:
    using Source::Source;
    const char* name() const override { return "container"; }
    Task<Found> ask(TimePoint deadline) override {
        const std::string relative = at->variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        const std::string full = at->variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        if (relative.empty() && full.empty()) co_return Found{};
        const std::string address = relative.empty() ? full : at->options.container_host + relative;
        if (relative.empty() && !may_ask(full))
            co_return failed(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor of this host");
        client::Call call = local_call("GET", address);
        const std::string file = at->variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        std::string token = at->variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        if (!file.empty()) {
            const auto held = one_line(co_await at->file(file, kMaxTokenBytes));
            if (!held) co_return failed(fmt::format("no token in {}", file));
            token = *held;
        }
        call.authorization = Secret(token);
        const Said said = co_await say(*at, std::move(call), deadline);
        if (!said.good()) co_return failed(said.why());
        co_return from_json(said.text);
    }

private:
    // As AWS's own tools have it: in the clear only to this machine or its container agents.
    static bool may_ask(const std::string& address) {
        const auto url = client::Url::parse(address);
        if (!url) return false;
        return url->secure() || client::is_loopback_host(url->host) ||
               url->host == "169.254.170.2" || url->host == "169.254.170.23" ||
               url->host == "fd00:ec2::23";
    }
};

// IMDSv2: a token is asked for first; the older way without one is never used.
class FromImds : public Source {
public:
    using Source::Source;
    const char* name() const override { return "imds"; }
    Task<Found> ask(TimePoint deadline) override {
        if (at->options.imds_endpoint.empty() ||
            iequals(at->variable("AWS_EC2_METADATA_DISABLED"), "true"))
            co_return Found{};
        client::Call call = local_call("PUT", at->options.imds_endpoint + "/latest/api/token");
        call.fields = {{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}};
        const Said token = co_await say(*at, std::move(call), deadline);
        if (!token.good()) co_return failed(fmt::format("no token: {}", token.why()));
        const Said roles = co_await get("", token.text, deadline);
        if (!roles.good()) co_return failed(fmt::format("no role: {}", roles.why()));
        const auto lines = split(roles.text, '\n');
        const auto role = trim(lines.front());
        if (role.empty()) co_return failed("no role");
        const Said said = co_await get(percent_encode(role), token.text, deadline);
        if (!said.good()) co_return failed(said.why());
        co_return from_json(said.text);
    }

private:
    Task<Said> get(std::string what, std::string token, TimePoint deadline) {
        client::Call call =
            local_call("GET", fmt::format("{}/latest/meta-data/iam/security-credentials/{}",
                                          at->options.imds_endpoint, what));
        call.fields = {{"X-aws-ec2-metadata-token", std::move(token)}};
        co_return co_await say(*at, std::move(call), deadline);
    }
};

}  // namespace

std::vector<std::unique_ptr<CredentialSource>> credential_sources(CredentialOptions options,
                                                                  client::HttpClient& http,
                                                                  Pool& pool, Leashes& leashes) {
    const auto setting = std::make_shared<const Setting>(std::move(options), http, pool, leashes);
    std::vector<std::unique_ptr<CredentialSource>> out;
    out.push_back(std::make_unique<FromConfiguration>(setting));
    out.push_back(std::make_unique<FromEnvironment>(setting));
    out.push_back(std::make_unique<FromWebIdentity>(setting));
    out.push_back(std::make_unique<FromSharedFile>(setting));
    out.push_back(std::make_unique<FromContainer>(setting));
    out.push_back(std::make_unique<FromImds>(setting));
    return out;
}

}  // namespace weir::s3
