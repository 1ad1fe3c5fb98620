// The promises of config/load.h: a zot file means here what it means there, and what is wrong is
// said with its place.
#include "config/load.h"

#include <fstream>

#include "base/failure.h"
#include "unit/config/support.h"

namespace weir::config {
namespace {

using namespace std::chrono_literals;
using testing::TempDir;

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// ---- no file ------------------------------------------------------------------------------------

TEST(Defaults, listen_on_port_5000_with_the_public_registries) {
    const Config config = defaults(quiet_machine());
    EXPECT_EQ(config.http.address, "0.0.0.0");
    EXPECT_EQ(config.http.port, 5000);
    ASSERT_EQ(config.registries.size(), 9u);
    EXPECT_EQ(config.registries[0].name, "docker.io");
    EXPECT_TRUE(config.registries[0].quirks.hub);
    EXPECT_TRUE(config.registry("registry.k8s.io")->quirks.redirects_manifests);
    EXPECT_TRUE(config.registry("public.ecr.aws")->quirks.head_lacks_digest);
    EXPECT_TRUE(config.registry("mcr.microsoft.com")->quirks.no_challenge);
    for (const Registry& registry : config.registries) {
        EXPECT_TRUE(registry.on_demand);
        EXPECT_TRUE(registry.tls_verify);
    }
}

TEST(Defaults, keep_their_state_where_the_user_keeps_it) {
    const auto root = [](Environment environment) {
        return defaults(environment).storage.root_directory;
    };
    EXPECT_EQ(root(quiet_machine({{"XDG_STATE_HOME", "/s"}, {"HOME", "/h"}})), "/s/weir");
    EXPECT_EQ(root(quiet_machine({{"HOME", "/h"}})), "/h/.local/state/weir");
    EXPECT_EQ(root(quiet_machine({})), "/var/lib/weir");
    Environment as_root = quiet_machine({{"HOME", "/root"}});
    as_root.root = true;
    EXPECT_EQ(root(as_root), "/var/lib/weir");
}

TEST(Defaults, look_for_logins_where_docker_and_podman_keep_them) {
    const Config config = defaults(quiet_machine(
        {{"HOME", "/h"}, {"REGISTRY_AUTH_FILE", "/a.json"}, {"XDG_RUNTIME_DIR", "/run/user/1"}}));
    EXPECT_EQ(config.docker_config_files,
              (std::vector<std::string>{"/a.json", "/h/.docker/config.json",
                                        "/run/user/1/containers/auth.json",
                                        "/h/.config/containers/auth.json"}));
    EXPECT_EQ(
        defaults(quiet_machine({{"HOME", "/h"}, {"DOCKER_CONFIG", "/d"}})).docker_config_files[0],
        "/d/config.json");
}

TEST(Defaults, hold_for_a_file_that_says_nothing_of_them) {
    const Config config = read_good(R"({"log": {"level": "debug"}})");
    EXPECT_EQ(config.http.port, 5000);
    EXPECT_EQ(config.http.address, "0.0.0.0");
    EXPECT_EQ(config.registries.size(), 9u);
    EXPECT_EQ(config.storage.root_directory, "/home/u/.local/state/weir");
}

// ---- zot's files
// ----------------------------------------------------------------------------------

TEST(ZotFile, of_the_seed_serves_as_it_is) {
    const Config config = read_good(seed());
    EXPECT_EQ(config.http.address, "0.0.0.0");
    EXPECT_EQ(config.http.port, 8187);
    EXPECT_EQ(config.log.threshold(), log::Level::debug);
    EXPECT_EQ(config.credentials_file, "/etc/zot/config/sync-auth.json");
    EXPECT_EQ(config.storage.root_directory, "/home/u/.local/state/weir");
    ASSERT_EQ(config.registries.size(), 2u);
    const Registry& hub = config.registries[0];
    EXPECT_EQ(hub.urls, std::vector<std::string>{"https://mirror.ccs.tencentyun.com"});
    EXPECT_EQ(hub.content[0].destination, "/docker-images");
    EXPECT_TRUE(hub.on_demand);
    EXPECT_EQ(hub.max_retries, 3u);
    EXPECT_EQ(hub.retry_delay, 30s);
    EXPECT_EQ(hub.max_retry_delay, 30s);
    EXPECT_EQ(config.registries[1].max_retries, 6u);
    EXPECT_EQ(config.registries[1].retry_delay, 1min);
}

TEST(ZotFile, is_read_without_regard_to_case_and_with_weak_types) {
    const Config config = read_good(R"({
        "HTTP": {"Address": "127.0.0.1", "PORT": 5001, "readtimeout": 5000000000, "tls": {"CERT": "c", "key": "k"}},
        "storage": {"ROOTdirectory": "/r", "commit": "true", "gc": "false"},
        "extensions": {"sync": {"registries": {"urls": "https://ghcr.io", "ondemand": "1", "tlsverify": "false",
                                               "maxretries": "2", "content": {"prefix": "**"}}}}})");
    EXPECT_EQ(config.http.port, 5001);
    EXPECT_EQ(config.http.read_timeout, 5s);
    EXPECT_EQ(config.http.tls->cert, "c");
    EXPECT_TRUE(config.storage.commit);
    ASSERT_EQ(config.registries.size(), 1u);
    EXPECT_EQ(config.registries[0].urls, std::vector<std::string>{"https://ghcr.io"});
    EXPECT_TRUE(config.registries[0].on_demand);
    EXPECT_FALSE(config.registries[0].tls_verify);
    EXPECT_EQ(config.registries[0].max_retries, 2u);
    EXPECT_EQ(config.registries[0].content.size(), 1u);
}

TEST(ZotFile, reads_the_same_in_yaml) {
    const Config config = read_good(
        "http:\n  address: 0.0.0.0\n  port: 8187\nlog: {level: debug}\nextensions:\n  sync:\n    "
        "registries:\n"
        "      - urls: [https://ghcr.io]\n        onDemand: true\n        retryDelay: 30s\n",
        "c.yaml");
    EXPECT_EQ(config.http.port, 8187);
    EXPECT_EQ(config.registries[0].retry_delay, 30s);
}

TEST(ZotFile, with_an_http_section_listens_as_zot_would) {
    const Config config = read_good(R"({"http": {"realm": "x"}})");
    EXPECT_EQ(config.http.address, "127.0.0.1");
    EXPECT_EQ(config.http.port, 8080);
    EXPECT_TRUE(has(problems(read(R"({"http": {"port": 5000}})"), false),
                    "http.address: not given: 127.0.0.1, as in zot"));
}

TEST(ZotFile, with_all_keys_of_the_schema_is_accepted) {
    const Report report = read(R"({
      "distSpecVersion": "1.1.1", "goVersion": "x", "commit": "x", "releaseTag": "x", "binaryType": "x",
      "storage": {"rootDirectory": "/var/lib/cache", "dedupe": true, "remoteCache": true, "fastRestart": true,
        "gc": true, "gcDelay": "2h", "gcInterval": "6h", "gcTimeWindow": "01:00-04:00", "maxRepos": 5, "redirectBlobURL": true,
        "storageDriver": {"name": "s3", "region": "eu-x", "bucket": "images", "regionendpoint": "https://s3.lab:9000",
                          "rootdirectory": "/pool", "secure": true, "skipverify": false},
        "cacheDriver": {"name": "redis", "url": "redis://cachedb:6379", "keyprefix": "pool"},
        "retention": {"dryRun": false, "delay": "24h", "policies": [
          {"repositories": ["hub/**"], "deleteUntagged": true, "deleteReferrers": false,
           "keepTags": [{"patterns": ["v.*"], "mostRecentlyPulledCount": 20, "mostRecentlyPushedCount": 2}, {"pulledWithin": "720h", "pushedWithin": "1h"}],
           "keepUntagged": {"pulledWithin": "1h"}}]},
        "subPaths": {"/infra": {"rootDirectory": "/var/lib/cache-infra", "dedupe": true}}},
      "http": {"address": "0.0.0.0", "port": "443", "compat": ["docker2s2"], "tls": {"cert": "c", "key": "k"},
        "realm": "zot", "allowOrigin": "a,b", "externalUrl": "https://cache.lab",
        "ratelimit": {"rate": 10, "methods": [{"method": "GET", "rate": 5}]}},
      "log": {"level": "info", "output": "/tmp/x.log", "audit": "/var/log/c-audit.log"},
      "scheduler": {"numWorkers": 3},
      "cluster": {"members": ["a:1", "b:2"], "hashKey": "loremipsumdolors", "tls": {"cert": "c", "key": "k", "cacert": "a"}},
      "extensions": {
        "metrics": {"enable": true, "prometheus": {"path": "/metrics"}}, "search": {"enable": true, "cve": {"updateInterval": "2h",
          "trivy": {"dbRepository": "x", "javaDBRepository": "y", "vulnSeveritySources": ["auto"], "sbom": {"enable": true, "format": "x"}}}},
        "scrub": {"enable": true, "interval": "24h"}, "lint": {"enable": true, "mandatoryAnnotations": ["a"]},
        "ui": {"enable": true}, "mgmt": {"enable": true}, "apikey": {"enable": true},
        "trust": {"enable": true, "cosign": true, "notation": true},
        "events": {"enable": true, "sinks": [{"type": "http", "address": "https://x", "timeout": "1s", "proxy": "", "headers": {"a": "b"},
          "channel": "c", "credentials": {"username": "u", "password": "p"}, "cacertfile": "a", "certfile": "b", "keyfile": "c"}]},
        "sync": {"enable": true, "credentialsFile": "/etc/c/upstreams.json", "downloadDir": "/var/tmp/c", "registries": [
          {"urls": ["https://registry-1.docker.io", "https://mirror.lab"], "onDemand": true, "tlsVerify": true, "certDir": "/certs",
           "maxRetries": 3, "retryDelay": "2s", "maxRetryDelay": "30s", "preserveDigest": true, "manifestCheckInterval": "10m",
           "onlySigned": false, "syncLegacyCosignTags": true, "syncTimeout": "3h", "reqConcurrent": 5, "reqPerSec": 1.5,
           "disableHTTP2": true, "maxIdleConnsPerHost": 4, "stream": true, "maxConcurrentStreams": 3, "platforms": ["linux/amd64"],
           "credentialHelper": "oauth2", "oauth2CredentialHelper": {"tokenURL": "https://t", "grantType": "client_credentials",
             "clientID": "c", "clientSecretFile": "/f", "assertionFile": "/a", "signingFile": "/s", "scopes": ["a"], "username": "u",
             "audience": "a", "subjectTokenType": "urn:x", "requestedTokenType": "urn:y"},
           "content": [{"prefix": "**", "destination": "/hub"}]},
          {"urls": ["https://quay.io"], "pollInterval": "6h",
           "content": [{"prefix": "/acme/tools", "destination": "/tools", "stripPrefix": true,
                        "tags": {"regex": "^v1\\.", "excludeRegex": "-rc", "semver": true}}]}]}}})",
                               "c.json", true);
    ASSERT_TRUE(report.ok()) << problems(report);
    const Config& config = *report.config;
    EXPECT_EQ(config.storage.driver, "s3");
    EXPECT_EQ(config.registries[0].name, "docker.io");
    EXPECT_EQ(config.registries[0].max_retry_delay, 30s);
    EXPECT_EQ(config.registries[0].tag_ttl(5min), 10min);
    EXPECT_EQ(config.registries[0].settings.max_concurrent, 5u);
    EXPECT_EQ(config.registries[1].tag_ttl(5min), 5min);
    EXPECT_EQ(config.registries[1].content[0].tags_regex, "^v1\\.");
    EXPECT_EQ(config.own_names, (std::vector<std::string>{"cache1", "cache.lab"}));
    const std::string warnings = problems(report, false);
    EXPECT_TRUE(has(warnings, "extensions.sync.registries[1].pollInterval: not supported yet"))
        << warnings;
}

TEST(ZotFile, that_guards_access_is_not_served_open) {
    for (
        const char* text :
        {R"({"http": {"auth": {"htpasswd": {"path": "/etc/htpasswd"}}}})",
         R"({"http": {"auth": {"ldap": {"address": "a", "port": 389, "baseDN": "x"}}}})",
         R"({"http": {"auth": {"bearer": {"realm": "r", "service": "s", "cert": "c"}}}})",
         R"({"http": {"auth": {"openid": {"providers": {"oidc": {"issuer": "x", "claimMapping": {"username": "u"}}}}}}})",
         R"({"http": {"auth": {"mtls": {"identityAttributes": ["CommonName"]}}}})",
         R"({"http": {"accessControl": {"repositories": {"**": {"anonymousPolicy": ["read"],
                                 "policies": [{"users": ["u"], "actions": ["read"], "conditions": [{"expression": "x", "message": "m"}]}]}},
                                 "adminPolicy": {"users": ["u"], "actions": ["read"]}, "groups": {"ci": {"users": ["r"]}},
                                 "metrics": {"users": ["x"]}}}})"}) {
        EXPECT_TRUE(has(only_error(text), "would not be safe")) << text;
        const Report lenient = read(text, "c.json", true);
        EXPECT_TRUE(lenient.ok()) << problems(lenient);
        EXPECT_TRUE(has(problems(lenient, false), "not supported yet")) << text;
    }
}

TEST(ZotFile, that_wants_only_signed_images_is_not_served_without) {
    EXPECT_TRUE(has(only_error(with_registries(
                        R"({"urls": ["https://x.lab"], "onDemand": true, "onlySigned": true})")),
                    "registries[0].onlySigned: not supported yet"));
    EXPECT_FALSE(
        read_good(with_registries(
                      R"({"urls": ["https://x.lab"], "onDemand": true, "onlySigned": false})"))
            .registries[0]
            .only_signed);
}

TEST(ZotFile, with_sync_switched_off_has_no_upstreams) {
    EXPECT_TRUE(
        read_good(
            R"({"extensions": {"sync": {"enable": false, "registries": [{"urls": ["https://x.lab"], "onDemand": true}]}}})")
            .registries.empty());
}

// Combinations that zot refuses: ours are better, or the message is the same (features.md 6.2).
TEST(ZotFile, combinations_that_are_harmless_here_are_accepted) {
    read_good(with_registries(R"({"urls": ["https://x.lab"], "onDemand": true, "maxRetries": 3})"));
    read_good(with_registries(
        R"({"urls": ["https://x.lab"], "onDemand": true, "preserveDigest": true})"));
    read_good(with_registries(R"({"urls": ["https://x.lab"], "manifestCheckInterval": "1m"})"));
    const std::string s3 =
        with_registries(registry_of("https://x.lab"),
                        R"("storage": {"storageDriver": {"name": "s3", "bucket": "b"}})");
    read_good(s3);
    read_good(R"({"extensions": {"ui": {"enable": true}}})");
    read_good(R"({"http": {"compat": ["whatever"]}})");
}

TEST(ZotFile, combinations_that_mean_nothing_get_zots_message) {
    const auto error = [](const char* keys) {
        return only_error(with_registries(
            fmt::format(R"({{"urls": ["https://x.lab"], "onDemand": true, {}}})", keys)));
    };
    EXPECT_TRUE(has(error(R"("retryDelay": "30s", "maxRetryDelay": "1s")"),
                    "maxRetryDelay must be greater than or equal to retryDelay"));
    EXPECT_TRUE(has(error(R"("maxRetryDelay": "1s", "retryDelay": "30s")"),
                    "maxRetryDelay must be greater than or equal to retryDelay"));
    EXPECT_TRUE(has(error(R"("manifestCheckInterval": "-1s")"),
                    "manifestCheckInterval cannot be negative"));
    EXPECT_TRUE(has(error(R"("reqConcurrent": 0)"), "reqConcurrent must be greater than 0"));
    EXPECT_TRUE(
        has(error(R"("content": [{"prefix": "a/b", "destination": "/", "stripPrefix": true}])"),
            "can not use stripPrefix true and destination '/'"));
    EXPECT_TRUE(has(error(R"("content": [{"prefix": "[a"}])"),
                    "content[0]: sync prefix could not be compiled: [a"));
    EXPECT_TRUE(has(error(R"("content": [{"prefix": "**", "tags": {"regex": "["}}])"),
                    "regex could not be compiled"));
    EXPECT_TRUE(has(only_error(R"({"log": {"level": "loud"}})"), "log.level"));
}

TEST(ZotFile, a_url_that_is_weir_itself_is_left_out) {
    const Config config = read_good(with_registries(
        R"({"urls": ["http://localhost:5000", "http://192.0.2.7:5000", "http://cache1:5000", "https://x.lab"], "onDemand": true})"));
    EXPECT_EQ(config.registries[0].urls, std::vector<std::string>{"https://x.lab"});
    EXPECT_EQ(config.registries[0].name, "x.lab");
    EXPECT_TRUE(
        has(only_error(with_registries(registry_of("http://127.0.0.1:5000"))), "no urls left"));
    EXPECT_EQ(read_good(with_registries(registry_of("http://127.0.0.1:5001"))).registries[0].name,
              "127.0.0.1:5001");
}

TEST(ZotFile, a_url_without_scheme_or_host_is_an_error_and_is_not_repeated) {
    const std::string error = only_error(with_registries(registry_of("user:hunter2@ghcr.io")));
    EXPECT_TRUE(has(error, "registries[0]: urls: not a URL")) << error;
    EXPECT_FALSE(has(error, "hunter2"));
    EXPECT_TRUE(
        has(only_error(with_registries(R"({"urls": [], "onDemand": true})")), "at least one URL"));
    const Report report = read(with_registries(registry_of("https://user:hunter2@ghcr.io")));
    EXPECT_EQ(report.config->registries[0].urls[0], "https://ghcr.io");
    EXPECT_TRUE(has(problems(report, false), "are not used"));
    EXPECT_FALSE(has(problems(report, false), "hunter2"));
}

// ---- what is wrong
// --------------------------------------------------------------------------------

TEST(Mistakes, an_unknown_key_is_named_with_path_line_and_the_nearest_known_one) {
    const std::string text =
        "{\n\"extensions\": {\"sync\": {\n\"registries\": [\n{\"urlz\": "
        "[\"https://x\"],\n\"onDemand\": true}]}}}";
    const Report report = read(text);
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.problems[0].text("c.json"),
              "c.json:4: extensions.sync.registries[0].urlz: unknown key; did you mean \"urls\"?");
    EXPECT_TRUE(has(only_error(R"({"htpp": {}})"), R"(htpp: unknown key; did you mean "http"?)"));
    EXPECT_TRUE(has(only_error(R"({"log": {"completelyother": 1}})"),
                    "log.completelyother: unknown key\n"));
    EXPECT_TRUE(has(only_error(R"({"weir": {"fetch": {"chunksizes": 1}}})"),
                    R"(did you mean "chunkSize"?)"));
    // Within what isn't supported, too: zot would refuse it.
    EXPECT_TRUE(has(only_error(R"({"cluster": {"member": []}})"), R"(did you mean "members"?)"));
}

TEST(Mistakes, an_unknown_key_is_a_warning_when_lenient) {
    const Report report = read(R"({"log": {"level": "info", "levle": "x"}})", "c.json", true);
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(has(problems(report, false), "log.levle: unknown key"));
}

TEST(Mistakes, no_known_key_at_all_is_an_error_even_when_lenient) {
    for (bool lenient : {false, true}) {
        EXPECT_TRUE(has(problems(read("{}", "c.json", lenient)), "absence of any key:value pair"));
        EXPECT_TRUE(
            has(problems(read(R"({"x": 1})", "c.json", lenient)), "absence of any key:value pair"));
    }
    EXPECT_TRUE(has(only_error("[]"), "expected an object"));
    EXPECT_FALSE(read("null").ok());
}

TEST(Mistakes, keys_that_differ_in_case_only_are_an_error) {
    EXPECT_TRUE(has(only_error(R"({"log": {"level": "info"}, "LOG": {"level": "debug"}})"),
                    "log: the key is given twice"));
    EXPECT_TRUE(has(
        only_error(R"({"weir": {"hosts": {"docker.io": "/docker.io", "Docker.IO": "ghcr.io"}}})"),
        "given twice"));
}

TEST(Mistakes, all_of_them_are_told_at_once) {
    const std::string errors =
        only_error(R"({"http": {"port": "x", "readTimeout": "2d"}, "log": {"levl": 1}})");
    EXPECT_TRUE(has(errors, "http.port: expected a whole number")) << errors;
    EXPECT_TRUE(has(errors, "http.readTimeout: \"2d\" is not a duration")) << errors;
    EXPECT_TRUE(has(errors, "log.levl")) << errors;
}

TEST(Mistakes, wrong_types_say_what_was_expected) {
    EXPECT_TRUE(has(only_error(R"({"http": []})"), "http: expected an object, got a list"));
    EXPECT_TRUE(
        has(only_error(R"({"http": {"port": 70000}})"), "70000 is not between 0 and 65535"));
    EXPECT_TRUE(has(only_error(with_registries(R"("x")")), "expected a list of objects"));
    EXPECT_TRUE(has(only_error(R"({"storage": {"commit": "maybe"}})"), "expected true or false"));
    EXPECT_TRUE(
        has(only_error(R"({"http": {"tls": {"cert": "c"}}})"), "cert and key are both needed"));
}

TEST(Mistakes, a_duration_of_a_few_nanoseconds_is_doubted) {
    EXPECT_TRUE(
        has(problems(read(R"({"http": {"readTimeout": 30}})"), false), R"(did you mean "30s"?)"));
}

TEST(Mistakes, null_is_as_if_the_key_were_not_there) {
    const Config config = read_good(R"({"log": {"level": null}, "extensions": {"sync": null}})");
    EXPECT_EQ(config.log.level, "info");
    EXPECT_EQ(config.registries.size(), 9u);
}

TEST(Mistakes, a_file_that_is_too_large_or_absent_is_refused) {
    EXPECT_TRUE(has(problems(read(std::string(kMaxFileBytes + 1, ' '))), "larger than 4MiB"));
    EXPECT_TRUE(has(problems(inspect("/nonexistent/c.json", {}, quiet_machine())), "no such file"));
}

// ---- our own keys
// ---------------------------------------------------------------------------------

TEST(OwnKeys, are_read) {
    const Config config = read_good(R"({"weir": {
        "missTimeout": "3s", "drainTimeout": "1m", "catalog": false, "bareUpstream": "ghcr.io",
        "freshness": {"ttl": "1m", "negativeTtl": "1s", "signatureNegativeTtl": "500ms", "listTtl": "2m", "maxStale": "6h", "immutable": ["v[0-9.]+"],
                      "rules": [{"repositories": "ghcr.io/**", "tags": "nightly", "ttl": "10s"}]},
        "fetch": {"maxConcurrent": 8, "queue": 9, "chunkSize": "1MiB", "rangeAhead": "8MiB", "recordInterval": "16MiB", "rest": "whole"},
        "memory": {"bytes": "64MiB", "manifestBytes": "1MiB", "openFiles": 7}, "cache": {"maxBytes": "80%", "minFree": "1GiB"},
        "relay": {"bufferBytes": "128KiB", "maxConcurrent": 2}, "threads": {"loops": 2, "pool": 3, "transfers": 4},
        "limits": {"connections": 5, "headerBytes": "16KiB", "headerFields": 32, "urlBytes": "4KiB", "manifestBytes": "8MiB", "requestBodyBytes": 1},
        "timeouts": {"header": "1s", "handshake": "2s", "idle": "3s"}, "log": {"format": "text", "access": "/var/log/a.log"},
        "reload": {"watch": false, "interval": "1s"}, "ownNames": "Cache.lab"}})");
    EXPECT_EQ(config.timeouts.miss, 3s);
    EXPECT_EQ(config.timeouts.drain, 1min);
    EXPECT_EQ(config.freshness.ttl, 1min);
    EXPECT_EQ(config.freshness.list_ttl, 2min);
    EXPECT_EQ(config.freshness.max_stale, 6h);
    EXPECT_EQ(config.freshness.signature_negative_ttl, 500ms);
    EXPECT_EQ(config.freshness.rules[0], (FreshnessRule{"ghcr.io/**", "nightly", 10s}));
    EXPECT_EQ(config.fetch, (Fetch{8, 9, kMiB, 8 * kMiB, 16 * kMiB, true}));
    EXPECT_EQ(config.memory, (Memory{64 * kMiB, kMiB, 7}));
    EXPECT_EQ(config.cache.max_bytes.percent, 80);
    EXPECT_EQ(config.cache.min_free.bytes, kGiB);
    EXPECT_EQ(config.relay, (Relay{128 * kKiB, 2}));
    EXPECT_EQ(config.threads, (Threads{2, 3, 4}));
    EXPECT_EQ(config.limits, (Limits{5, 16 * kKiB, 4 * kKiB, 32, 8 * kMiB, 1}));
    EXPECT_EQ(config.timeouts.header, 1s);
    EXPECT_EQ(config.log.format, "text");
    EXPECT_TRUE(config.log.access);
    EXPECT_EQ(config.log.access_output, "/var/log/a.log");
    EXPECT_FALSE(config.reload_watch);
    EXPECT_FALSE(config.catalog);
    EXPECT_EQ(config.own_names[0], "cache.lab");
}

TEST(OwnKeys, the_access_log_can_be_switched_off_and_on) {
    EXPECT_FALSE(read_good(R"({"weir": {"log": {"access": false}}})").log.access);
    EXPECT_FALSE(read_good(R"({"weir": {"log": {"access": "false"}}})").log.access);
    EXPECT_TRUE(read_good(R"({"weir": {"log": {"access": true}}})").log.access_output.empty());
    EXPECT_TRUE(
        has(only_error(R"({"weir": {"log": {"access": []}}})"), "expected true, false or a path"));
}

TEST(OwnKeys, settings_of_upstreams_are_laid_over_each_other) {
    const Config config = read_good(seed(R"({"upstreams": {
        "ghcr.io": {"ttl": "1h", "segments": {"count": 4}},
        "docker-images": {"offline": true, "maxConcurrent": 3},
        "default": {"ttl": "2m", "segments": {"count": 2, "size": "8MiB"}, "responseTimeout": "3s", "proxy": "none"}}})"));
    const UpstreamSettings& hub = config.registries[0].settings;
    const UpstreamSettings& ghcr = config.registries[1].settings;
    EXPECT_TRUE(hub.offline);
    EXPECT_EQ(hub.max_concurrent, 3u);
    EXPECT_EQ(hub.ttl, 2min);
    EXPECT_EQ(hub.segments.count, 2u);
    EXPECT_FALSE(ghcr.offline);
    EXPECT_EQ(ghcr.ttl, 1h);
    EXPECT_EQ(ghcr.segments.count, 4u);
    EXPECT_EQ(ghcr.segments.bytes, 8 * kMiB);
    EXPECT_EQ(ghcr.segments.min_bytes, 64 * kMiB);
    EXPECT_EQ(ghcr.response_timeout, 3s);
    EXPECT_EQ(ghcr.proxy, "none");
}

TEST(OwnKeys, docker_hub_is_named_by_any_of_its_names) {
    for (const char* name : {"docker.io", "registry-1.docker.io", "Index.Docker.io"}) {
        const Config config = read_good(
            fmt::format(R"({{"weir": {{"upstreams": {{"{}": {{"offline": true}}}}}}}})", name));
        EXPECT_TRUE(config.registries[0].settings.offline) << name;
        EXPECT_FALSE(config.registries[1].settings.offline);
    }
}

TEST(OwnKeys, settings_of_an_upstream_that_is_not_there_are_an_error) {
    const std::string error = only_error(seed(R"({"upstreams": {"quay.io": {"offline": true}}})"));
    EXPECT_TRUE(has(error, "weir.upstreams.quay.io: no registry has this host or destination"))
        << error;
    EXPECT_TRUE(has(error, "ghcr.io")) << error;
}

TEST(OwnKeys, reqConcurrent_stands_between_the_default_and_the_upstreams_own) {
    const std::string registry =
        R"({"urls": ["https://x.lab"], "onDemand": true, "reqConcurrent": 5})";
    const auto max = [&](const char* weir) {
        return read_good(
                   with_registries(registry, fmt::format(R"("weir": {{"upstreams": {}}})", weir)))
            .registries[0]
            .settings.max_concurrent;
    };
    EXPECT_EQ(max("{}"), 5u);
    EXPECT_EQ(max(R"({"default": {"maxConcurrent": 9}})"), 5u);
    EXPECT_EQ(max(R"({"x.lab": {"maxConcurrent": 7}})"), 7u);
}

TEST(OwnKeys, credentials_of_an_upstream_are_checked_and_never_shown) {
    const auto logins = [](const char* login) {
        return seed(
            fmt::format(R"({{"upstreams": {{"ghcr.io": {{"credentials": [{}]}}}}}})", login));
    };
    const Config config = read_good(logins(
        R"({"repositories": "acme/**", "username": "u", "password": "p"}, {"tokenEnv": "T"})"));
    ASSERT_EQ(config.registries[1].settings.credentials.size(), 2u);
    EXPECT_EQ(config.registries[1].settings.credentials[0].password.reveal(), "p");
    EXPECT_TRUE(has(only_error(logins(R"({"username": "u"})")), "needs exactly one of"));
    EXPECT_TRUE(
        has(only_error(logins(R"({"password": "hunter2"})")), "a password needs a username"));
    const std::string error = only_error(logins(R"({"username": "u", "password": ["hunter2"]})"));
    EXPECT_FALSE(has(error, "hunter2")) << error;
}

TEST(OwnKeys, values_that_can_not_be_meant_are_refused) {
    for (const auto& [keys, part] : std::initializer_list<std::pair<const char*, const char*>>{
             {R"("missTimeout": "0s")", "weir.missTimeout"},
             {R"("fetch": {"chunkSize": 1})", "weir.fetch.chunkSize"},
             {R"("fetch": {"rest": "half"})", "expected \"none\" or \"whole\""},
             {R"("freshness": {"immutable": ["("]})",
              "weir.freshness.immutable[0]: \"(\" is not a regular expression"},
             {R"("freshness": {"rules": [{"repositories": "[", "ttl": "1s"}]})",
              "weir.freshness.rules[0].repositories"},
             {R"("freshness": {"ttl": "-1s"})", "weir.freshness"},
             {R"("log": {"format": "xml"})", "weir.log.format"},
             {R"("threads": {"pool": 0})", "weir.threads.pool"},
             {R"("limits": {"headerBytes": "1KiB"})", "weir.limits.headerBytes"},
             {R"("hosts": {"*": "docker.io"})", "weir.hosts.*"},
             {R"("hosts": {"a.lab": ["x"]})", "weir.hosts.a.lab: expected a text"},
             {R"("upstreams": {"docker.io": {"segments": {"count": 0}}})", "segments.count"},
             {R"("upstreams": {"docker.io": {"proxy": "proxy.lab"}})", "proxy: expected a URL"},
             {R"("cache": {"maxBytes": "120%"})", "weir.cache.maxBytes"}}) {
        const std::string error = only_error(fmt::format(R"({{"weir": {{{}}}}})", keys));
        EXPECT_TRUE(has(error, part)) << keys << ": " << error;
    }
}

TEST(OwnKeys, hub_from_a_mirror_is_known_by_weir_hosts) {
    const Config config =
        read_good(seed(R"({"hosts": {"docker.io": "docker-images", "ghcr.io": "ghcr-images"}})"));
    EXPECT_TRUE(config.registries[0].quirks.hub);
    EXPECT_FALSE(config.registries[1].quirks.hub);
}

// ---- the file
// -------------------------------------------------------------------------------------

TEST(Load, throws_what_is_wrong_and_gives_warnings) {
    const std::string path = TempDir() + "weir_load_test.json";
    std::ofstream(path) << seed();
    std::vector<std::string> warnings;
    EXPECT_EQ(load(path, {}, quiet_machine(), warnings)->registries.size(), 2u);
    std::ofstream(path) << R"({"storage": {"maxRepos": 5}, "x": 1})";
    try {
        load(path, {}, quiet_machine(), warnings);
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::config_invalid);
        EXPECT_TRUE(has(failure.what(), path + ":1: x: unknown key"));
    }
    EXPECT_TRUE(has(warnings.back(), "storage.maxRepos: not supported yet"));
    std::remove(path.c_str());
}

TEST(Load, reports_each_key_with_its_fate) {
    const Report report = read(seed());
    std::map<std::string, Status> fates;
    for (const KeyReport& key : report.keys) fates[key.path] = key.status;
    EXPECT_EQ(fates.at("http.port"), Status::honoured);
    EXPECT_EQ(fates.at("http.compat"), Status::no_effect);
    EXPECT_EQ(fates.at("extensions.sync.registries[1].urls"), Status::honoured);
    EXPECT_EQ(fates.at("extensions.sync.registries[0].preserveDigest"), Status::no_effect);
    EXPECT_EQ(fates.at("extensions.sync.registries[0].content[0].destination"), Status::honoured);
    EXPECT_EQ(fates.at("extensions.sync.downloadDir"), Status::no_effect);
    // What isn't supported is reported as a whole.
    const Report more = read(R"({"cluster": {"members": ["a:1"], "hashKey": "loremipsumdolors"}})");
    ASSERT_EQ(more.keys.size(), 1u);
    EXPECT_EQ(more.keys[0].path, "cluster");
    EXPECT_EQ(more.keys[0].status, Status::unsupported);
}

}  // namespace
}  // namespace weir::config
