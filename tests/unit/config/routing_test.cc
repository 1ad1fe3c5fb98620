// The promises of config/routing.h: the world is closed, and every way of saying a name leads to
// the same repository.
#include "config/routing.h"

#include "base/failure.h"
#include "unit/config/support.h"

namespace weir::config {
namespace {

// A configuration and its routing.
struct World {
    explicit World(Config from)
        : config(std::make_shared<const Config>(std::move(from))),
          routing(Routing::build(config)) {}
    explicit World(const std::string& text) : World(read_good(text)) {}

    std::string to(std::string_view repository, std::string_view host = "cache.lab",
                   std::string_view ns = "") const {
        return outcome(*config, routing.resolve({host, ns, repository}));
    }
    std::string by_ns(std::string_view ns, std::string_view repository) const {
        return to(repository, "cache.lab:5000", ns);
    }
    std::string at(std::string_view host, std::string_view repository) const {
        return to(repository, host);
    }

    std::shared_ptr<const Config> config;
    Routing routing;
};

World public_world() {
    return World(defaults(quiet_machine()));
}

// ---- no file ------------------------------------------------------------------------------------

TEST(RoutingDefaults, every_public_registry_is_reached_by_ns_prefix_and_host) {
    const World w = public_world();
    for (const char* name : {"ghcr.io", "quay.io", "gcr.io", "registry.k8s.io", "mcr.microsoft.com",
                             "public.ecr.aws", "nvcr.io", "registry.gitlab.com"}) {
        const std::string target = fmt::format("{0}/acme/x <- {0}:acme/x by ", name);
        EXPECT_EQ(w.by_ns(name, "acme/x"), target + "ns");
        EXPECT_EQ(w.to(std::string(name) + "/acme/x"), target + "prefix");
        EXPECT_EQ(w.at(name, "acme/x"), target + "host");
    }
}

TEST(RoutingDefaults, all_names_of_docker_hub_are_one_repository) {
    const World w = public_world();
    const std::string debian = "docker.io/library/debian <- docker.io:library/debian by ";
    for (const char* name : {"docker.io", "index.docker.io", "registry-1.docker.io"}) {
        EXPECT_EQ(w.by_ns(name, "library/debian"), debian + "ns");
        EXPECT_EQ(w.by_ns(name, "debian"), debian + "ns");
        EXPECT_EQ(w.at(name, "library/debian"), debian + "host");
        EXPECT_EQ(w.to(std::string(name) + "/debian"), debian + "prefix");
        EXPECT_EQ(w.to(std::string(name) + "/library/debian"), debian + "prefix");
    }
    EXPECT_EQ(w.to("library/debian"), debian + "bare");
    EXPECT_EQ(w.to("debian"), debian + "bare");
    EXPECT_EQ(w.to("grafana/grafana"),
              "docker.io/grafana/grafana <- docker.io:grafana/grafana by bare");
}

TEST(RoutingDefaults, one_part_names_elsewhere_stay_as_they_are) {
    const World w = public_world();
    EXPECT_EQ(w.by_ns("registry.k8s.io", "pause"),
              "registry.k8s.io/pause <- registry.k8s.io:pause by ns");
    EXPECT_EQ(w.to("registry.k8s.io/pause"),
              "registry.k8s.io/pause <- registry.k8s.io:pause by prefix");
}

TEST(RoutingDefaults, ns_is_read_with_port_and_in_any_case) {
    const World w = public_world();
    EXPECT_EQ(w.by_ns("GHCR.IO", "acme/x"), "ghcr.io/acme/x <- ghcr.io:acme/x by ns");
    EXPECT_EQ(w.by_ns("ghcr.io:443", "acme/x"), "ghcr.io/acme/x <- ghcr.io:acme/x by ns");
    EXPECT_EQ(w.by_ns("Docker.io:443", "debian"),
              "docker.io/library/debian <- docker.io:library/debian by ns");
    EXPECT_EQ(w.by_ns("ghcr.io:5000", "acme/x"), "not found");
}

TEST(RoutingDefaults, an_unknown_ns_is_not_found_whatever_the_rest_says) {
    const World w = public_world();
    EXPECT_EQ(w.to("library/debian", "docker.io", "evil.example"), "not found");
    EXPECT_EQ(w.to("ghcr.io/acme/x", "ghcr.io", "169.254.169.254.nip.io"), "not found");
    EXPECT_EQ(w.by_ns("docker.io.evil.com", "library/debian"), "not found");
    const auto resolution = w.routing.resolve({"cache.lab", "Evil.Example", "a/b"});
    EXPECT_NE(resolution.unknown.find("evil.example"), std::string::npos);
}

TEST(RoutingDefaults, weirs_own_name_as_ns_says_nothing) {
    const World w = public_world();
    EXPECT_EQ(w.by_ns("cache1:5000", "ghcr.io/acme/x"),
              "ghcr.io/acme/x <- ghcr.io:acme/x by prefix");
    // Any other address is another registry, and the world is closed.
    EXPECT_EQ(w.by_ns("192.0.2.7:5000", "debian"), "not found");
    EXPECT_EQ(w.by_ns("169.254.169.254", "debian"), "not found");
    EXPECT_EQ(w.by_ns("localhost:1", "debian"), "not found");
}

TEST(RoutingDefaults, ns_comes_before_prefix_before_host) {
    const World w = public_world();
    EXPECT_EQ(w.to("ghcr.io/acme/x", "quay.io", "gcr.io"),
              "gcr.io/ghcr.io/acme/x <- gcr.io:ghcr.io/acme/x by ns");
    EXPECT_EQ(w.to("ghcr.io/acme/x", "quay.io"), "ghcr.io/acme/x <- ghcr.io:acme/x by prefix");
    EXPECT_EQ(w.to("acme/x", "quay.io"), "quay.io/acme/x <- quay.io:acme/x by host");
}

TEST(RoutingDefaults, an_unknown_host_is_weir_itself) {
    const World w = public_world();
    EXPECT_EQ(w.at("whatever.lab:5000", "ghcr.io/acme/x"),
              "ghcr.io/acme/x <- ghcr.io:acme/x by prefix");
    EXPECT_EQ(w.at("", "ghcr.io/acme/x"), "ghcr.io/acme/x <- ghcr.io:acme/x by prefix");
}

TEST(RoutingDefaults, an_unknown_registry_as_prefix_is_not_found) {
    EXPECT_EQ(public_world().to("evil.example/acme/x"), "not found");
}

TEST(RoutingDefaults, a_registry_name_alone_is_no_repository_there) {
    EXPECT_EQ(public_world().to("ghcr.io"),
              "docker.io/library/ghcr.io <- docker.io:library/ghcr.io by bare");
}

TEST(RoutingDefaults, local_names_lead_back_to_their_upstreams) {
    const World w = public_world();
    EXPECT_EQ(w.routing.candidates("docker.io/library/debian"),
              (std::vector<Candidate>{{0, "library/debian"}}));
    EXPECT_EQ(w.routing.candidates("ghcr.io/acme/x"), (std::vector<Candidate>{{1, "acme/x"}}));
    EXPECT_TRUE(w.routing.candidates("nowhere/acme/x").empty());
}

// ---- the seed's shape
// -----------------------------------------------------------------------------

const char* const kSeedHosts =
    R"({"hosts": {"docker.io": "docker-images", "*.docker.io": "docker-images", "ghcr.io": "ghcr-images",
                  "default": "docker-images"}})";

TEST(RoutingSeed, destinations_are_zots) {
    const World w(seed());
    EXPECT_EQ(
        w.to("docker-images/library/debian"),
        "docker-images/library/debian <- mirror.ccs.tencentyun.com:library/debian by destination");
    EXPECT_EQ(w.to("ghcr-images/acme/x"), "ghcr-images/acme/x <- ghcr.io:acme/x by destination");
    EXPECT_EQ(w.at("10.0.0.1:8187", "ghcr-images/acme/x"),
              "ghcr-images/acme/x <- ghcr.io:acme/x by destination");
    EXPECT_EQ(w.to("other/acme/x"), "not found");
}

TEST(RoutingSeed, names_follow_from_the_urls) {
    const World w(seed());
    EXPECT_EQ(w.by_ns("ghcr.io", "acme/x"), "ghcr-images/acme/x <- ghcr.io:acme/x by ns");
    EXPECT_EQ(w.at("ghcr.io", "acme/x"), "ghcr-images/acme/x <- ghcr.io:acme/x by host");
    EXPECT_EQ(w.to("ghcr.io/acme/x"), "ghcr-images/acme/x <- ghcr.io:acme/x by prefix");
    // Nobody said that the mirror is Docker Hub's.
    EXPECT_EQ(w.by_ns("docker.io", "library/debian"), "not found");
    EXPECT_EQ(w.to("library/debian"), "not found");
}

TEST(RoutingSeed, the_operators_map_of_hosts_is_weir_hosts) {
    const World w(seed(kSeedHosts));
    const std::string debian =
        "docker-images/library/debian <- mirror.ccs.tencentyun.com:library/debian by ";
    for (const char* name :
         {"docker.io", "index.docker.io", "registry-1.docker.io", "mirror.docker.io"}) {
        EXPECT_EQ(w.at(name, "library/debian"), debian + "host");
        EXPECT_EQ(w.by_ns(name, "library/debian"), debian + "ns");
        EXPECT_EQ(w.to(std::string(name) + "/library/debian"), debian + "prefix");
        EXPECT_EQ(w.at(name, "debian"), debian + "host");
    }
    EXPECT_EQ(w.at("ghcr.io", "acme/x"), "ghcr-images/acme/x <- ghcr.io:acme/x by host");
    EXPECT_EQ(w.at("cache1:8187", "library/debian"), debian + "bare");
    EXPECT_EQ(w.at("10.0.0.1", "debian"), debian + "bare");
}

TEST(RoutingSeed, zots_destinations_come_before_default) {
    const World w(seed(kSeedHosts));
    EXPECT_EQ(w.at("some.name.of.ours", "ghcr-images/acme/x"),
              "ghcr-images/acme/x <- ghcr.io:acme/x by destination");
}

TEST(RoutingSeed, one_part_names_at_hubs_destination_are_one_repository) {
    const World w(seed(kSeedHosts));
    EXPECT_EQ(
        w.to("docker-images/debian"),
        "docker-images/library/debian <- mirror.ccs.tencentyun.com:library/debian by destination");
    EXPECT_EQ(w.to("ghcr-images/x"), "ghcr-images/x <- ghcr.io:x by destination");
}

TEST(RoutingSeed, default_is_for_names_that_dns_led_here_and_never_for_weir_itself) {
    const World w(seed(kSeedHosts));
    const std::string x = "docker-images/acme/x <- mirror.ccs.tencentyun.com:acme/x by host";
    EXPECT_EQ(w.at("quay.io", "acme/x"), x);
    EXPECT_EQ(w.at("Quay.IO:443", "acme/x"), x);
    // The image that ?ns= and a path mean is said; another registry's is never given for it.
    EXPECT_EQ(w.by_ns("quay.io", "acme/x"), "not found");
    for (const char* own :
         {"10.0.0.1:8187", "[::1]:8187", "localhost:8187", "cache1", "cache1:8187", "weir"}) {
        EXPECT_EQ(w.at(own, "ghcr-images/acme/x"),
                  "ghcr-images/acme/x <- ghcr.io:acme/x by destination")
            << own;
    }
}

TEST(RoutingSeed, own_names_are_no_upstreams) {
    const World w(seed(R"({"hosts": {"docker.io": "docker-images", "default": "docker-images"},
                            "ownNames": ["Cache.Lab:8187"]})"));
    EXPECT_EQ(w.at("cache.lab:8187", "ghcr-images/acme/x"),
              "ghcr-images/acme/x <- ghcr.io:acme/x by destination");
    EXPECT_EQ(w.at("quay.io", "acme/x"),
              "docker-images/acme/x <- mirror.ccs.tencentyun.com:acme/x by host");
}

TEST(RoutingSeed, without_default_unknown_hosts_are_weir_itself) {
    const World w(seed(R"({"hosts": {"docker.io": "/docker-images/", "ghcr.io": "ghcr-images"}})"));
    EXPECT_EQ(w.at("quay.io", "acme/x"),
              "docker-images/acme/x <- mirror.ccs.tencentyun.com:acme/x by bare");
    EXPECT_EQ(w.by_ns("quay.io", "acme/x"), "not found");
    EXPECT_EQ(w.at("docker.io", "a/x"),
              "docker-images/a/x <- mirror.ccs.tencentyun.com:a/x by host");
}

TEST(RoutingSeed, with_weir_hosts_the_urls_give_no_names) {
    const World w(seed(R"({"hosts": {"docker.io": "docker-images"}})"));
    EXPECT_EQ(w.by_ns("ghcr.io", "acme/x"), "not found");
    EXPECT_EQ(w.to("ghcr-images/acme/x"), "ghcr-images/acme/x <- ghcr.io:acme/x by destination");
}

// ---- weir.hosts
// -----------------------------------------------------------------------------------

TEST(RoutingHosts, the_longest_wildcard_wins_and_exact_names_win_over_it) {
    const World w(with_registries(
        registry_of("https://a.lab", R"({"prefix": "**", "destination": "/a"})") + "," +
            registry_of("https://b.lab", R"({"prefix": "**", "destination": "/b"})") + "," +
            registry_of("https://c.lab", R"({"prefix": "**", "destination": "/c"})"),
        R"("weir": {"hosts": {"*.lab": "a", "*.deep.lab": "b", "x.deep.lab": "c"}})"));
    EXPECT_EQ(w.at("y.lab", "i/m"), "a/i/m <- a.lab:i/m by host");
    EXPECT_EQ(w.at("y.deep.lab", "i/m"), "b/i/m <- b.lab:i/m by host");
    EXPECT_EQ(w.at("z.y.deep.lab", "i/m"), "b/i/m <- b.lab:i/m by host");
    EXPECT_EQ(w.at("x.deep.lab", "i/m"), "c/i/m <- c.lab:i/m by host");
    EXPECT_EQ(w.at("lab", "i/m"), "not found");
    EXPECT_EQ(w.by_ns("y.deep.lab:5000", "i/m"), "b/i/m <- b.lab:i/m by ns");
}

TEST(RoutingHosts, a_name_without_port_stands_for_all_and_one_with_port_for_itself) {
    const World w(with_registries(
        registry_of("https://a.lab", R"({"prefix": "**", "destination": "/a"})") + "," +
            registry_of("https://b.lab", R"({"prefix": "**", "destination": "/b"})"),
        R"("weir": {"hosts": {"x.lab": "a", "x.lab:5000": "b"}})"));
    EXPECT_EQ(w.by_ns("x.lab:5000", "i/m"), "b/i/m <- b.lab:i/m by ns");
    EXPECT_EQ(w.by_ns("x.lab:6000", "i/m"), "a/i/m <- a.lab:i/m by ns");
    EXPECT_EQ(w.by_ns("x.lab", "i/m"), "a/i/m <- a.lab:i/m by ns");
}

TEST(RoutingHosts, a_group_is_asked_in_the_files_order) {
    const World w(with_registries(
        registry_of("https://a.lab", R"({"prefix": "only/**", "destination": "/g"})") + "," +
            registry_of("https://b.lab", R"({"prefix": "**", "destination": "/g"})"),
        R"("weir": {"hosts": {"x.lab": "g"}})"));
    EXPECT_EQ(w.by_ns("x.lab", "only/m"), "g/only/m <- a.lab:only/m b.lab:only/m by ns");
    EXPECT_EQ(w.by_ns("x.lab", "i/m"), "g/i/m <- b.lab:i/m by ns");
}

TEST(RoutingHosts, a_stripped_prefix_is_what_the_client_said) {
    const World w(with_registries(
        registry_of("https://a.lab",
                    R"({"prefix": "acme/**", "destination": "/a", "stripPrefix": true})"),
        R"("weir": {"hosts": {"x.lab": "a"}})"));
    EXPECT_EQ(w.by_ns("x.lab", "acme/tools/ctl"), "a/tools/ctl <- a.lab:acme/tools/ctl by ns");
    EXPECT_EQ(w.to("a/tools/ctl"), "a/tools/ctl <- a.lab:acme/tools/ctl by destination");
}

TEST(RoutingHosts, a_place_below_a_destination_will_do) {
    const World w(
        with_registries(registry_of("https://a.lab", R"({"prefix": "**", "destination": "/hub"})"),
                        R"("weir": {"hosts": {"x.lab": "hub/acme"}})"));
    EXPECT_EQ(w.by_ns("x.lab", "ctl"), "hub/acme/ctl <- a.lab:acme/ctl by ns");
}

TEST(RoutingHosts, a_destination_that_nobody_has_is_an_error_with_the_ones_there_are) {
    const std::string error = only_error(seed(R"({"hosts": {"docker.io": "docker-imgs"}})"));
    EXPECT_NE(error.find("weir.hosts.docker.io"), std::string::npos) << error;
    EXPECT_NE(error.find("/docker-images, /ghcr-images"), std::string::npos) << error;
}

TEST(RoutingHosts, filtered_repositories_are_not_found) {
    const World w(with_registries(
        registry_of("https://a.lab", R"({"prefix": "acme/**", "destination": "/a"})"),
        R"("weir": {"hosts": {"x.lab": "a"}})"));
    EXPECT_EQ(w.by_ns("x.lab", "other/x"), "not found");
    EXPECT_EQ(w.at("x.lab", "other/x"), "not found");
    EXPECT_EQ(w.to("x.lab/other/x"), "not found");
}

// ---- names from URLs
// ------------------------------------------------------------------------------

TEST(RoutingUrls, mirrors_hosts_are_names_too) {
    const World w(with_registries(
        R"({"urls": ["https://registry-1.docker.io", "https://mirror.lab"], "onDemand": true,
                                       "content": [{"prefix": "**", "destination": "/hub"}]})"));
    for (const char* name :
         {"docker.io", "index.docker.io", "registry-1.docker.io", "mirror.lab"}) {
        EXPECT_EQ(w.by_ns(name, "debian"), "hub/library/debian <- docker.io:library/debian by ns")
            << name;
    }
    EXPECT_EQ(w.to("hub/debian"), "hub/library/debian <- docker.io:library/debian by destination");
    EXPECT_EQ(w.to("debian"), "hub/library/debian <- docker.io:library/debian by bare");
}

TEST(RoutingUrls, registries_at_the_root_never_answer_for_each_other_by_name) {
    const World w(
        with_registries(registry_of("https://ghcr.io") + "," + registry_of("https://quay.io")));
    // zot's mapping: a group, in order.
    EXPECT_EQ(w.to("acme/x"), "acme/x <- ghcr.io:acme/x quay.io:acme/x by destination");
    // A name means one registry; what it has is kept apart from the group's.
    EXPECT_EQ(w.by_ns("ghcr.io", "acme/x"), "ghcr.io/acme/x <- ghcr.io:acme/x by ns");
    EXPECT_EQ(w.by_ns("quay.io", "acme/x"), "quay.io/acme/x <- quay.io:acme/x by ns");
    EXPECT_EQ(w.to("quay.io/acme/x"), "quay.io/acme/x <- quay.io:acme/x by prefix");
    EXPECT_EQ(w.routing.candidates("quay.io/acme/x"), (std::vector<Candidate>{{1, "acme/x"}}));
    EXPECT_EQ(w.routing.candidates("acme/x"),
              (std::vector<Candidate>{{0, "acme/x"}, {1, "acme/x"}}));
}

TEST(RoutingUrls, a_single_registry_at_the_root_shares_its_names_with_zots) {
    const World w(with_registries(registry_of("https://ghcr.io")));
    EXPECT_EQ(w.to("acme/x"), "acme/x <- ghcr.io:acme/x by destination");
    EXPECT_EQ(w.by_ns("ghcr.io", "acme/x"), "acme/x <- ghcr.io:acme/x by ns");
    EXPECT_EQ(w.to("ghcr.io/acme/x"), "acme/x <- ghcr.io:acme/x by prefix");
}

TEST(RoutingUrls, several_contents_of_one_host_are_one_name) {
    const World w(with_registries(
        registry_of("https://ghcr.io",
                    R"({"prefix": "acme/**", "destination": "/a", "stripPrefix": true})") +
        "," + registry_of("https://ghcr.io", R"({"prefix": "tools/**", "destination": "/t"})")));
    EXPECT_EQ(w.by_ns("ghcr.io", "acme/x"), "a/x <- ghcr.io:acme/x by ns");
    EXPECT_EQ(w.by_ns("ghcr.io", "tools/x"), "t/tools/x <- ghcr.io:tools/x by ns");
    EXPECT_EQ(w.by_ns("ghcr.io", "other/x"), "not found");
}

TEST(RoutingUrls, an_unusual_port_belongs_to_the_name) {
    const World w(with_registries(
        registry_of("https://reg.lab:5001", R"({"prefix": "**", "destination": "/r"})")));
    EXPECT_EQ(w.by_ns("reg.lab:5001", "i/m"), "r/i/m <- reg.lab:5001:i/m by ns");
    EXPECT_EQ(w.by_ns("reg.lab", "i/m"), "not found");
    EXPECT_EQ(w.by_ns("reg.lab:5002", "i/m"), "not found");
    // Host and a path can't say a port; there is only this one.
    EXPECT_EQ(w.at("reg.lab:5001", "i/m"), "r/i/m <- reg.lab:5001:i/m by host");
    EXPECT_EQ(w.at("reg.lab", "i/m"), "r/i/m <- reg.lab:5001:i/m by host");
    EXPECT_EQ(w.to("reg.lab/i/m"), "r/i/m <- reg.lab:5001:i/m by prefix");
}

TEST(RoutingUrls, ports_that_a_host_cannot_tell_apart_are_said_by_ns_only) {
    const World w(with_registries(
        registry_of("https://reg.lab:5001", R"({"prefix": "**", "destination": "/r1"})") + "," +
        registry_of("https://reg.lab:5002", R"({"prefix": "**", "destination": "/r2"})")));
    EXPECT_EQ(w.by_ns("reg.lab:5001", "i/m"), "r1/i/m <- reg.lab:5001:i/m by ns");
    EXPECT_EQ(w.by_ns("reg.lab:5002", "i/m"), "r2/i/m <- reg.lab:5002:i/m by ns");
    EXPECT_EQ(w.at("reg.lab", "i/m"), "not found");
    EXPECT_EQ(w.to("reg.lab/i/m"), "not found");
}

TEST(RoutingUrls, the_usual_port_is_what_a_bare_name_means) {
    const World w(with_registries(
        registry_of("https://reg.lab:5001", R"({"prefix": "**", "destination": "/r1"})") + "," +
        registry_of("https://reg.lab", R"({"prefix": "**", "destination": "/r2"})")));
    EXPECT_EQ(w.by_ns("reg.lab", "i/m"), "r2/i/m <- reg.lab:i/m by ns");
    EXPECT_EQ(w.at("reg.lab", "i/m"), "r2/i/m <- reg.lab:i/m by host");
    EXPECT_EQ(w.by_ns("reg.lab:5001", "i/m"), "r1/i/m <- reg.lab:5001:i/m by ns");
}

TEST(RoutingUrls, an_upstreams_address_in_host_is_weir_itself) {
    const World w(with_registries(
        registry_of("http://127.0.0.1:5001", R"({"prefix": "**", "destination": "/up"})")));
    EXPECT_EQ(w.at("127.0.0.1:5000", "up/i/m"), "up/i/m <- 127.0.0.1:5001:i/m by destination");
    EXPECT_EQ(w.at("127.0.0.1:5000", "i/m"), "not found");
    EXPECT_EQ(w.by_ns("127.0.0.1:5001", "i/m"), "up/i/m <- 127.0.0.1:5001:i/m by ns");
    const World local(with_registries(
        registry_of("http://localhost:5001", R"({"prefix": "**", "destination": "/up"})")));
    EXPECT_EQ(local.at("localhost:5000", "up/i/m"), "up/i/m <- localhost:5001:i/m by destination");
    EXPECT_EQ(local.to("localhost/i/m"), "up/i/m <- localhost:5001:i/m by prefix");
}

TEST(RoutingUrls, a_destination_that_looks_like_another_registrys_name_keeps_zots_meaning) {
    const World w(with_registries(
        registry_of("https://mirror.lab", R"({"prefix": "**", "destination": "/ghcr.io"})") + "," +
        registry_of("https://ghcr.io", R"({"prefix": "**", "destination": "/direct"})")));
    EXPECT_EQ(w.to("ghcr.io/acme/x"), "ghcr.io/acme/x <- mirror.lab:acme/x by destination");
    EXPECT_EQ(w.by_ns("ghcr.io", "acme/x"), "direct/acme/x <- ghcr.io:acme/x by ns");
}

TEST(RoutingUrls, a_registry_that_is_not_asked_on_demand_is_never_asked) {
    const World w(with_registries(
        R"({"urls": ["https://quay.io"], "pollInterval": "6h", "content": [{"prefix": "**"}]},)" +
        registry_of("https://ghcr.io", R"({"prefix": "**", "destination": "/g"})")));
    EXPECT_EQ(w.to("acme/x"), "not found");
    EXPECT_EQ(w.by_ns("quay.io", "acme/x"), "not found");
    EXPECT_EQ(w.to("g/acme/x"), "g/acme/x <- ghcr.io:acme/x by destination");
}

TEST(RoutingUrls, contents_filter_on_demand_pulls) {
    const World w(with_registries(registry_of(
        "https://ghcr.io",
        R"({"prefix": "acme/*"}, {"prefix": "tools/ctl", "destination": "/t", "stripPrefix": true})")));
    EXPECT_EQ(w.to("acme/x"), "acme/x <- ghcr.io:acme/x by destination");
    EXPECT_EQ(w.to("acme/x/y"), "not found");
    EXPECT_EQ(w.to("t"), "t <- ghcr.io:tools/ctl by destination");
    EXPECT_EQ(w.to("tools/ctl"), "not found");
}

// ---- bare names
// -----------------------------------------------------------------------------------

TEST(RoutingBare, is_whose_the_configuration_says) {
    const std::string registries =
        registry_of("https://ghcr.io", R"({"prefix": "**", "destination": "/g"})");
    const World w(with_registries(registries, R"("weir": {"bareUpstream": "ghcr.io"})"));
    EXPECT_EQ(w.to("acme/x"), "g/acme/x <- ghcr.io:acme/x by bare");
    EXPECT_EQ(World(with_registries(registries)).to("acme/x"), "not found");
    EXPECT_NE(only_error(with_registries(registries, R"("weir": {"bareUpstream": "quay.io"})"))
                  .find("weir.bareUpstream"),
              std::string::npos);
}

TEST(RoutingBare, can_be_nobodys) {
    const World w(R"({"weir": {"bareUpstream": "none"}})");
    EXPECT_EQ(w.to("library/debian"), "not found");
    EXPECT_EQ(w.to("docker.io/library/debian"),
              "docker.io/library/debian <- docker.io:library/debian by prefix");
}

// ---- words
// ----------------------------------------------------------------------------------------

TEST(RoutingWords, explain_tells_each_step) {
    const World w(seed(kSeedHosts));
    const std::string found = w.routing.explain({"registry-1.docker.io", "", "debian"});
    EXPECT_NE(found.find("host: \"registry-1.docker.io\" is docker.io"), std::string::npos)
        << found;
    EXPECT_NE(found.find("local repository: docker-images/library/debian (by host)"),
              std::string::npos)
        << found;
    EXPECT_NE(found.find("ask mirror.ccs.tencentyun.com for library/debian"), std::string::npos)
        << found;
    EXPECT_NE(w.routing.explain({"", "evil.example", "a/b"}).find("not found"), std::string::npos);
}

TEST(RoutingWords, names_lists_what_clients_may_say) {
    const World w(seed(kSeedHosts));
    EXPECT_EQ(w.routing.names(),
              (std::vector<std::string>{"docker.io", "ghcr.io", "*.docker.io", "default"}));
}

TEST(RoutingWords, an_empty_repository_is_not_found) {
    EXPECT_EQ(public_world().to(""), "not found");
}

}  // namespace
}  // namespace weir::config
