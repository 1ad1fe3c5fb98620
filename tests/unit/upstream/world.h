// A registry, its token server and its CDN as a FakeHttp, under one upstream and a clock that
// stands still until told.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "async/scope.h"
#include "base/text.h"
#include "crypto/hasher.h"
#include "oci/manifest.h"
#include "support/fake_http.h"
#include "upstream/upstream.h"

namespace weir::upstream {

using namespace std::chrono_literals;
using test::FakeAnswer;
using test::FakeHttp;
using test::kForever;

inline FakeAnswer answer(int status, std::string body = {},
                         std::vector<std::pair<std::string, std::string>> fields = {}) {
    FakeAnswer made;
    made.status = status;
    made.body = std::move(body);
    made.fields = std::move(fields);
    return made;
}

inline FakeAnswer broken(client::End end, std::string detail = "broken") {
    FakeAnswer made;
    made.status = 0;
    made.end = end;
    made.detail = std::move(detail);
    return made;
}

inline FakeAnswer challenge(std::string header) {
    return answer(401, "", {{"WWW-Authenticate", std::move(header)}});
}

inline FakeAnswer token_answer(std::string token, int expires_in = 300) {
    return answer(
        200, R"({"token":")" + token + R"(","expires_in":)" + std::to_string(expires_in) + "}");
}

inline const std::string kManifest = R"({"schemaVersion":2})";
inline const std::string kDigestText = "sha256:" + std::string(64, 'a');

inline oci::Digest digest() {
    return *oci::Digest::parse(kDigestText);
}

// Of kManifest.
inline oci::Digest manifest_digest() {
    return crypto::digest_of(oci::Digest::Algorithm::sha256, kManifest);
}

inline FakeAnswer manifest_answer() {
    return answer(200, kManifest,
                  {{"Content-Type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8"},
                   {"Docker-Content-Digest", manifest_digest().text()}});
}

// Collects a blob.
struct Bytes : BlobSink {
    std::optional<BlobHead> head;
    std::string text;
    client::BodyAction at_head = client::BodyAction::go_on;
    bool throws = false;
    client::BodyAction on_head(const BlobHead& given) override {
        head = given;
        return at_head;
    }
    client::BodyAction on_data(std::span<const std::byte> data) override {
        if (throws) throw std::runtime_error("the disk is full");
        text += as_text(data);
        return client::BodyAction::go_on;
    }
};

class World : public ::testing::Test {
protected:
    World() {
        options.name = "test";
        options.mirrors = {{"https://registry.example", {}}};
        options.retry_delay = 0ms;
    }
    ~World() override {
        upstream.reset();
        // What the upstream does behind its answers ends too.
        for (TimePoint next = clock.now(); next != kNever; next = loop.next_timer()) {
            clock.set(std::max(next, clock.now()));
            while (loop.run_ready()) {
            }
        }
    }

    Upstream& up() {
        if (!upstream)
            upstream.emplace(
                options, http, clock, random, [this](std::string_view host, std::string_view name) {
                    asked_credentials.insert(std::string(host) + " " + std::string(name));
                    return credential;
                });
        return *upstream;
    }

    // Runs to the end, moving the clock to each timer when nothing else is ready, for at most
    // `limit` of its time.
    void settle(Duration limit = std::chrono::hours(1)) {
        const TimePoint end = clock.now() + limit;
        while (true) {
            while (loop.run_ready()) {
            }
            const TimePoint next = loop.next_timer();
            if (scope.running() == 0 || next == kNever || next > end) return;
            clock.set(std::max(next, clock.now()));
        }
    }
    void advance(Duration by) {
        settle(by);
        clock.advance(by);
    }

    template <class A>
    std::shared_ptr<std::optional<A>> start(std::function<Task<A>()> make) {
        auto out = std::make_shared<std::optional<A>>();
        scope.spawn(loop, [out, make]() { return keep<A>(out, make); });
        return out;
    }
    template <class A>
    A finish(std::shared_ptr<std::optional<A>> out) {
        settle();
        EXPECT_TRUE(out->has_value());
        return out->value_or(A{});
    }

    std::shared_ptr<std::optional<ManifestAnswer>> start_manifest(
        bool head = false, Duration within = 10s, std::string name = "library/debian",
        std::string tag = "12") {
        const auto reference = *oci::Reference::parse(tag);
        return start<ManifestAnswer>([this, head, within, name, reference]() {
            return up().manifest(name, reference, head, clock.now() + within);
        });
    }
    ManifestAnswer manifest(bool head = false, Duration within = 10s,
                            std::string name = "library/debian") {
        return finish(start_manifest(head, within, name));
    }
    BlobAnswer blob(std::shared_ptr<BlobSink> sink, BlobRange range = {}, size_t mirror = 0,
                    Duration within = 10s, std::string name = "library/debian") {
        return finish(start<BlobAnswer>([this, sink, range, mirror, within, name]() {
            return up().blob(
                mirror, name, digest(), range, sink,
                [this](auto given) { handle = std::move(given); }, clock.now() + within);
        }));
    }
    ListAnswer list(ListKind kind, std::string reference = {}, std::string query = {},
                    std::string name = "library/debian") {
        return finish(start<ListAnswer>([this, kind, reference, query, name]() {
            return up().list(name, kind, reference, query, clock.now() + 10s);
        }));
    }
    BlobHeadAnswer blob_head() {
        return finish(start<BlobHeadAnswer>(
            [this]() { return up().blob_head("library/debian", digest(), clock.now() + 10s); }));
    }

    ManualClock clock;
    Loop loop{clock};
    Scope scope{"test"};
    SeededRandom random{7};
    FakeHttp http;
    Options options;
    std::optional<Credential> credential;
    std::set<std::string> asked_credentials;
    std::shared_ptr<client::TransferHandle> handle;
    std::optional<Upstream> upstream;

private:
    template <class A>
    static Task<> keep(std::shared_ptr<std::optional<A>> out, std::function<Task<A>()> make) {
        out->emplace(co_await make());
    }
};

// Asks for a token of `realm` before it answers anything.
class TokenWorld : public World {
protected:
    TokenWorld() {
        options.trusted_hosts = {"auth.registry.example"};
        http.handle([this](const client::Call& call) { return serve(call); });
    }
    FakeAnswer serve(const client::Call& call) {
        if (call.url.starts_with(realm)) return token_server(call);
        const std::string& sent = call.authorization.reveal();
        if (sent.starts_with("Bearer ") && good.contains(sent.substr(7))) return content(call);
        return challenge(header());
    }
    virtual std::string header() const {
        return "Bearer realm=\"" + realm + "\",service=\"registry.example\",scope=\"" + scope_text +
               "\"";
    }
    std::string next_token() {
        const std::string token = "token-" + std::to_string(++issued);
        good.insert(token);
        return token;
    }

    std::string realm = "https://auth.registry.example/token";
    std::string scope_text = "repository:library/debian:pull";
    std::set<std::string> good;
    int issued = 0;
    std::function<FakeAnswer(const client::Call&)> token_server = [this](const client::Call&) {
        return token_answer(next_token());
    };
    std::function<FakeAnswer(const client::Call&)> content = [](const client::Call&) {
        return manifest_answer();
    };
};

inline Credential login(std::string user, std::string password) {
    Credential made;
    made.username = std::move(user);
    made.password = Secret(std::move(password));
    return made;
}

}  // namespace weir::upstream
