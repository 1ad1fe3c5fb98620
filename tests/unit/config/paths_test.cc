// The registry said twice: by a path and by ?ns=, Host, a destination, or before /v2/. A table of
// what the clients of our time send (the comment says who), and of what must not be confused.
#include "unit/config/support.h"

namespace weir::config {
namespace {

struct Case {
    const char* host;
    const char* ns;
    const char* before;
    const char* repository;
    const char* outcome;
};

std::string by(const Config& config, const Routing& routing, const Case& c, bool escaped = false) {
    const Target target{.host = c.host,
                        .ns = c.ns,
                        .repository = c.repository,
                        .before = c.before,
                        .escaped = escaped};
    return outcome(config, routing.resolve(target));
}

void expect_all(const std::string& text, std::initializer_list<Case> cases) {
    const auto config =
        std::make_shared<const Config>(text.empty() ? defaults(quiet_machine()) : read_good(text));
    const auto routing = Routing::build(config);
    for (const Case& c : cases)
        EXPECT_EQ(by(*config, routing, c), c.outcome)
            << "Host " << c.host << ", ns " << c.ns << ", /" << c.before << "/v2/" << c.repository;
}

constexpr const char* kDebian = "docker.io/library/debian <- docker.io:library/debian by ";
std::string debian(const char* via) {
    return std::string(kDebian) + via;
}

// Without a file: names follow from the URLs.
TEST(Paths, with_public_registries) {
    const std::string ns = debian("ns"), prefix = debian("prefix"), host = debian("host"),
                      bare = debian("bare");
    expect_all(
        "",
        {
            // containerd, CRI, BuildKit with a mirror at the root.
            {"cache.lab", "docker.io", "", "library/debian", ns.c_str()},
            // containerd's override_path, k3s's and RKE2's rewrite, BuildKit and Talos with a path.
            {"cache.lab", "docker.io", "", "docker.io/library/debian", ns.c_str()},
            {"cache.lab", "docker.io", "", "index.docker.io/library/debian", ns.c_str()},
            {"cache.lab", "registry-1.docker.io", "", "docker.io/library/debian", ns.c_str()},
            {"cache.lab", "ghcr.io", "", "ghcr.io/acme/x",
             "ghcr.io/acme/x <- ghcr.io:acme/x by ns"},
            // The same address without override_path.
            {"cache.lab", "docker.io", "", "docker.io/v2/library/debian", ns.c_str()},
            {"cache.lab", "docker.io", "", "docker.io/v2/app",
             "docker.io/v2/app <- docker.io:v2/app by ns"},
            {"cache.lab", "ghcr.io", "", "docker.io/v2/acme/x",
             "ghcr.io/docker.io/v2/acme/x <- ghcr.io:docker.io/v2/acme/x by ns"},
            // podman, skopeo, crane, helm: the path only.
            {"cache.lab", "", "", "docker.io/library/debian", prefix.c_str()},
            // DNS led here; with the path beside it.
            {"registry-1.docker.io", "", "", "library/debian", host.c_str()},
            {"registry-1.docker.io", "", "", "docker.io/library/debian", prefix.c_str()},
            // docker's registry-mirrors, at the root and (docker 25, Homebrew) with a path.
            {"cache.lab", "", "", "library/debian", bare.c_str()},
            {"cache.lab", "", "docker.io", "library/debian", prefix.c_str()},
            {"cache.lab", "", "ghcr.io", "acme/x", "ghcr.io/acme/x <- ghcr.io:acme/x by prefix"},
            {"cache.lab", "docker.io", "docker.io", "library/debian", prefix.c_str()},
            // A path that means nothing, and ns all the same.
            {"cache.lab", "docker.io", "dockerhub-proxy", "library/debian", ns.c_str()},
            // A mirror whose address ends in /v2, without override_path.
            {"cache.lab", "docker.io", "", "v2/library/debian", ns.c_str()},
            {"cache.lab", "docker.io", "", "v2/docker.io/library/debian", ns.c_str()},
            {"cache.lab", "", "", "v2/library/debian", bare.c_str()},
            // A project called v2.
            {"cache.lab", "docker.io", "", "v2/app", "docker.io/v2/app <- docker.io:v2/app by ns"},
            {"cache.lab", "", "", "v2/app", "docker.io/v2/app <- docker.io:v2/app by bare"},
            {"cache.lab", "", "", "docker.io/v2/app",
             "docker.io/v2/app <- docker.io:v2/app by prefix"},
            {"cache.lab", "", "docker.io", "v2/app",
             "docker.io/v2/app <- docker.io:v2/app by prefix"},
            {"registry-1.docker.io", "", "", "v2/acme/app",
             "docker.io/v2/acme/app <- docker.io:v2/acme/app by host"},
            // Signs that disagree: the first in order, with the whole path; nothing before /v2/.
            {"cache.lab", "gcr.io", "", "ghcr.io/acme/x",
             "gcr.io/ghcr.io/acme/x <- gcr.io:ghcr.io/acme/x by ns"},
            {"cache.lab", "docker.io", "ghcr.io", "acme/x", "not found"},
            {"cache.lab", "docker.io", "evil.example", "library/debian", "not found"},
            {"cache.lab", "evil.example", "docker.io", "library/debian", "not found"},
            // Unknown ones: the world is closed.
            {"cache.lab", "", "evil.example", "library/debian", "not found"},
            {"cache.lab", "", "nonsense", "library/debian", "not found"},
            {"cache.lab", "", "a/b", "library/debian", "not found"},
        });
}

// zot's destinations, and names for them.
TEST(Paths, with_destinations_and_hosts) {
    const std::string name =
        "docker-images/library/debian <- mirror.ccs.tencentyun.com:library/debian by ";
    const std::string ns = name + "ns", host = name + "host", destination = name + "destination",
                      prefix = name + "prefix";
    expect_all(
        seed(R"({"hosts": {"docker.io": "docker-images", "ghcr.io": "ghcr-images"},
                 "bareUpstream": "none"})"),
        {
            {"cache.lab", "docker.io", "", "library/debian", ns.c_str()},
            {"cache.lab", "docker.io", "", "docker.io/library/debian", ns.c_str()},
            // k3s: rewrite "^(.*)$": "docker-images/$1".
            {"cache.lab", "docker.io", "", "docker-images/library/debian", ns.c_str()},
            {"cache.lab", "docker.io", "", "docker-images/v2/library/debian", ns.c_str()},
            {"docker.io", "", "", "docker-images/library/debian", host.c_str()},
            {"docker.io", "", "", "library/debian", host.c_str()},
            {"cache.lab", "", "", "docker-images/library/debian", destination.c_str()},
            {"cache.lab", "", "docker-images", "library/debian", destination.c_str()},
            {"cache.lab", "docker.io", "docker-images", "library/debian", destination.c_str()},
            {"cache.lab", "", "docker.io", "library/debian", prefix.c_str()},
            // An organisation at Docker Hub that has a destination's name: clients write two parts.
            {"cache.lab", "docker.io", "", "docker-images/tool",
             "docker-images/docker-images/tool <- mirror.ccs.tencentyun.com:docker-images/tool by "
             "ns"},
            {"cache.lab", "ghcr.io", "", "ghcr-images/acme/x",
             "ghcr-images/acme/x <- ghcr.io:acme/x by ns"},
            // Disagreeing.
            {"cache.lab", "ghcr.io", "", "docker-images/library/debian",
             "ghcr-images/docker-images/library/debian <- ghcr.io:docker-images/library/debian by "
             "ns"},
            {"cache.lab", "ghcr.io", "docker-images", "library/debian", "not found"},
            {"cache.lab", "", "docker", "library/debian", "not found"},
        });
}

// Names from URLs and a destination beside them.
TEST(Paths, with_destinations_and_no_hosts) {
    expect_all(
        with_registries(
            registry_of("https://reg.lab", R"({"prefix": "**", "destination": "/hub"})") + "," +
                registry_of("https://other.lab", R"({"prefix": "**", "destination": "/other"})"),
            R"("weir": {"bareUpstream": "none"})"),
        {
            {"cache.lab", "reg.lab", "", "acme/x", "hub/acme/x <- reg.lab:acme/x by ns"},
            {"cache.lab", "reg.lab", "", "hub/acme/x", "hub/acme/x <- reg.lab:acme/x by ns"},
            {"cache.lab", "reg.lab", "", "reg.lab/acme/x", "hub/acme/x <- reg.lab:acme/x by ns"},
            {"reg.lab", "", "", "hub/acme/x", "hub/acme/x <- reg.lab:acme/x by host"},
            {"cache.lab", "", "hub", "acme/x", "hub/acme/x <- reg.lab:acme/x by destination"},
            {"cache.lab", "", "reg.lab", "acme/x", "hub/acme/x <- reg.lab:acme/x by prefix"},
            {"cache.lab", "reg.lab", "hub", "acme/x",
             "hub/acme/x <- reg.lab:acme/x by destination"},
            {"cache.lab", "other.lab", "", "hub/acme/x",
             "other/hub/acme/x <- other.lab:hub/acme/x by ns"},
            {"cache.lab", "other.lab", "hub", "acme/x", "not found"},
        });
}

TEST(Paths, that_are_strict_or_were_sent_with_escapes_have_one_reading) {
    const Case cases[] = {
        {"cache.lab", "docker.io", "", "docker.io/library/debian",
         "docker.io/docker.io/library/debian <- docker.io:docker.io/library/debian by ns"},
        {"cache.lab", "docker.io", "", "v2/library/debian",
         "docker.io/v2/library/debian <- docker.io:v2/library/debian by ns"},
        {"cache.lab", "", "", "v2/library/debian",
         "docker.io/v2/library/debian <- docker.io:v2/library/debian by bare"},
        {"cache.lab", "", "", "docker.io/library/debian",
         "docker.io/library/debian <- docker.io:library/debian by prefix"},
    };
    auto config = std::make_shared<Config>(defaults(quiet_machine()));
    const auto tolerant = Routing::build(config);
    for (const Case& c : cases)
        EXPECT_EQ(by(*config, tolerant, c, true), c.outcome) << c.repository;
    config = std::make_shared<Config>(*config);
    config->tolerant_paths = false;
    const auto strict = Routing::build(config);
    for (const Case& c : cases) EXPECT_EQ(by(*config, strict, c), c.outcome) << c.repository;
}

TEST(Paths, the_other_reading_of_a_doubled_v2_is_kept) {
    const auto config = std::make_shared<const Config>(defaults(quiet_machine()));
    const auto routing = Routing::build(config);
    const auto doubled = routing.resolve({.host = "", .ns = "", .repository = "v2/acme/x"});
    ASSERT_TRUE(doubled.route && doubled.otherwise);
    EXPECT_EQ(doubled.route->repository, "docker.io/acme/x");
    EXPECT_EQ(doubled.otherwise->repository, "docker.io/v2/acme/x");
    const auto project = routing.resolve({.host = "", .ns = "", .repository = "v2/x"});
    ASSERT_TRUE(project.route && project.otherwise);
    EXPECT_EQ(project.route->repository, "docker.io/v2/x");
    EXPECT_EQ(project.otherwise->repository, "docker.io/library/x");
    EXPECT_FALSE(routing.resolve({.host = "", .ns = "", .repository = "acme/x"}).otherwise);
}

TEST(Paths, addresses_of_weir_are_names_and_destinations) {
    const auto routing = Routing::build(
        std::make_shared<const Config>(read_good(seed(R"({"bareUpstream": "none"})"))));
    for (const char* served : {"", "ghcr.io", "docker-images", "docker-images/below"})
        EXPECT_TRUE(routing.serves(served)) << served;
    for (const char* unknown : {"nonsense", "docker", "evil.example"})
        EXPECT_FALSE(routing.serves(unknown)) << unknown;
}

TEST(Paths, are_tolerant_unless_they_are_strict) {
    EXPECT_TRUE(read_good(R"({"weir": {"paths": "Tolerant"}})").tolerant_paths);
    EXPECT_FALSE(read_good(R"({"weir": {"paths": "strict"}})").tolerant_paths);
    EXPECT_NE(only_error(R"({"weir": {"paths": "loose"}})").find("weir.paths"), std::string::npos);
}

}  // namespace
}  // namespace weir::config
