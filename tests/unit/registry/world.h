// A registry over the real cache, SQLite and a disk, under a clock that stands still; the upstream
// is a FakeHttp.
#pragma once
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "async/scope.h"
#include "base/text.h"
#include "crypto/hasher.h"
#include "http/range.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "oci/manifest.h"
#include "registry/registry.h"
#include "store/disk_store.h"
#include "support/fake_http.h"
#include "support/run_task.h"
#include "support/temporary_directory.h"

namespace weir::registry {

using test::FakeAnswer;
using test::FakeHttp;
using Fields = std::vector<std::pair<std::string, std::string>>;

inline std::string digest_of(std::string_view text) {
    return crypto::digest_of(oci::Digest::Algorithm::sha256, text).text();
}

// What a client sees.
struct Seen {
    int status = 0;
    std::string fields;
    std::string body;
    std::string route, cache;
    std::string field(std::string_view name) const {
        for (std::string_view line : split(fields, '\n')) {
            const size_t colon = line.find(": ");
            if (colon != line.npos && iequals(line.substr(0, colon), name))
                return std::string(line.substr(colon + 2, line.size() - colon - 3));
        }
        return {};
    }
};

class World : public ::testing::Test {
protected:
    World() {
        http.handle([this](const client::Call& call) { return upstream_answers(call); });
        config::Config config;
        config.registries.emplace_back();
        config.registries[0].name = "docker.io";
        config.registries[0].urls = {"https://registry-1.docker.io"};
        config.registries[0].on_demand = true;
        config.registries[0].max_retries = 0;
        config.registries[0].quirks.hub = true;
        set_config(std::move(config));
        registry = std::make_unique<Registry>(log::Format::json, std::vector<Loop*>{&loop}, *cache,
                                              targets);
    }
    ~World() override {
        run([this] { return cache->stop(); });
    }

    void set_config(config::Config config) {
        shared = std::make_shared<const config::Config>(std::move(config));
        upstream::Options options;
        options.name = "docker.io";
        options.mirrors = {{.url = "https://registry-1.docker.io", .tls = {}}};
        std::vector<cache::Candidate> sources(1);
        sources[0].upstream = std::make_shared<upstream::Upstream>(
            options, http, clock, random,
            [](std::string_view, std::string_view) { return std::nullopt; });
        targets = std::make_shared<const Targets>(shared, std::move(sources));
        if (registry) registry->set_targets(targets);
    }

    void run(std::function<Task<>()> work) {
        Scope scope("test");
        scope.spawn(loop, std::move(work));
        for (int turn = 0; scope.running() != 0; ++turn) {
            if (loop.run_ready()) continue;
            ASSERT_LT(turn, 10'000) << "the loop has nothing left to do";
            clock.set(std::min(loop.next_timer(), clock.now() + std::chrono::seconds(30)));
        }
    }

    FakeAnswer upstream_answers(const client::Call& call) {
        FakeAnswer answer;
        if (down) {
            answer.status = 0;
            answer.end = client::End::unreachable;
            answer.detail = "Connection refused";
            return answer;
        }
        const auto at =
            objects.find(call.url.substr(std::string("https://registry-1.docker.io").size()));
        if (at == objects.end()) {
            answer.status = 404;
            return answer;
        }
        answer = at->second;
        const auto specs = http::parse_range(FakeHttp::field(call, "Range"));
        if (!specs || answer.status != 200) return answer;
        const auto ranges = http::resolve(*specs, answer.body.size());
        if (ranges.size() != 1) return answer;
        answer.status = 206;
        answer.fields.emplace_back("Content-Range",
                                   http::content_range(ranges[0], answer.body.size()));
        answer.body = answer.body.substr(ranges[0].first, ranges[0].length);
        return answer;
    }

    void put(const std::string& path, std::string body, Fields fields = {}) {
        FakeAnswer answer;
        answer.body = std::move(body);
        answer.fields = std::move(fields);
        objects["/v2/" + path] = std::move(answer);
    }
    std::string put_manifest(const std::string& repository, const std::string& tag,
                             const std::string& body) {
        const std::string digest = digest_of(body);
        const Fields fields = {{"Content-Type", std::string(oci::kOciManifest)},
                               {"Docker-Content-Digest", digest}};
        put(repository + "/manifests/" + tag, body, fields);
        put(repository + "/manifests/" + digest, body, fields);
        return digest;
    }
    std::string put_blob(const std::string& repository, const std::string& body) {
        const std::string digest = digest_of(body);
        put(repository + "/blobs/" + digest, body);
        return digest;
    }

    Seen ask(http::Method method, const std::string& target, const Fields& given = {}) {
        Seen seen;
        run([&]() -> Task<> {
            http::Request request;
            request_fields.clear();
            for (const auto& [name, value] : given) request_fields.emplace_back(name, value);
            request.method = method;
            request.method_text = method == http::Method::head ? "HEAD" : "GET";
            request.target = target;
            const size_t question = target.find('?');
            request.path = request.target.substr(0, question);
            if (question != target.npos) request.query = request.target.substr(question + 1);
            request.host = "cache.lab:5000";
            request.fields = request_fields;
            request.id = 1;
            std::optional<http::Response> response;
            std::exception_ptr error;
            try {
                response = registry->handle_now(request);
                hot = response.has_value();
                if (!response) response.emplace(co_await registry->handle(request));
            } catch (...) {
                error = std::current_exception();
            }
            if (error) response.emplace(registry->failed(&request, error));
            seen.status = response->status;
            seen.fields = response->fields;
            if (response->shared_fields) seen.fields += *response->shared_fields;
            seen.route = response->notes.route;
            seen.cache = response->notes.cache;
            if (method != http::Method::head) co_await collect(*response, seen.body);
            if (response->content_length && response->status != 304) {
                EXPECT_TRUE(method == http::Method::head ||
                            *response->content_length == seen.body.size());
            }
            registry->finished(request, *response, {});
        });
        return seen;
    }
    Seen get(const std::string& target, const Fields& given = {}) {
        return ask(http::Method::get, target, given);
    }

    static Task<> collect(http::Response& response, std::string& into) {
        if (auto* text = std::get_if<std::shared_ptr<const std::string>>(&response.body))
            into = **text;
        auto* source = std::get_if<std::unique_ptr<http::Source>>(&response.body);
        if (source == nullptr) co_return;
        while (auto piece = co_await (*source)->next(1 << 20)) {
            if (auto* file = std::get_if<http::FilePiece>(&*piece)) {
                std::string text(file->length, '\0');
                file->file->read_at(file->offset,
                                    std::as_writable_bytes(std::span(text.data(), text.size())));
                into += text;
            } else {
                into += as_text(std::get<std::span<const std::byte>>(*piece));
            }
        }
    }

    ManualClock clock;
    Loop loop{clock};
    SeededRandom random{1};
    InlinePool pool;
    TemporaryDirectory directory;
    std::map<std::string, FakeAnswer> objects;
    bool down = false;
    bool hot = false;  // the last answer needed no coroutine
    FakeHttp http;
    std::unique_ptr<meta::Metadata> metadata =
        meta::open_sqlite({.path = directory / "weir.db", .durable = false, .readers = 1});
    std::unique_ptr<store::Store> store =
        store::open_disk_store({.root = directory.path(), .durable = false}, posix_files(), pool);
    store::Space space{{}, 0, [] { return DiskSpace{1ull << 40, 1ull << 40}; }};
    std::unique_ptr<cache::Cache> cache = std::make_unique<cache::Cache>(
        cache::Options(), nullptr, *metadata, *store, space, pool, clock, random);
    std::shared_ptr<const config::Config> shared;
    std::shared_ptr<const Targets> targets;
    std::unique_ptr<Registry> registry;
    std::vector<std::pair<std::string_view, std::string_view>> request_fields;
};

}  // namespace weir::registry
