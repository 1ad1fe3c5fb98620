#include "registry/route.h"

#include <gtest/gtest.h>

namespace weir::registry {
namespace {

struct Case {
    const char* path;
    RouteKind kind;
    const char* before;
    const char* name;
    const char* reference;
};

void expect(const Case& c, Paths paths) {
    std::string buffer;
    const Route route = parse_route(c.path, paths, buffer);
    EXPECT_EQ(route.kind, c.kind) << c.path;
    if (c.kind == RouteKind::unknown) return;
    EXPECT_EQ(route.before, c.before) << c.path;
    EXPECT_EQ(route.name, c.name) << c.path;
    EXPECT_EQ(route.reference, c.reference) << c.path;
}

const Case kPlain[] = {
    {"/v2/", RouteKind::ping, "", "", ""},
    {"/v2", RouteKind::ping, "", "", ""},
    {"/v2/_catalog", RouteKind::catalog, "", "", ""},
    {"/v2/debian/manifests/12", RouteKind::manifest, "", "debian", "12"},
    {"/v2/docker.io/library/debian/manifests/12", RouteKind::manifest, "",
     "docker.io/library/debian", "12"},
    {"/v2/v2/library/debian/manifests/12", RouteKind::manifest, "", "v2/library/debian", "12"},
    {"/v2/a/v2/b/manifests/12", RouteKind::manifest, "", "a/v2/b", "12"},
    {"/v2/a/manifests/manifests/x", RouteKind::manifest, "", "a/manifests", "x"},
    {"/v2/a/tags/manifests/list", RouteKind::manifest, "", "a/tags", "list"},
    {"/v2/a/blobs/sha256:ab", RouteKind::blob, "", "a", "sha256:ab"},
    {"/v2/a/blobs/sha256%3Aab", RouteKind::blob, "", "a", "sha256:ab"},
    {"/v2/a/tags/list", RouteKind::tags, "", "a", "list"},
    {"/v2/a/b/referrers/sha256:ab", RouteKind::referrers, "", "a/b", "sha256:ab"},
    {"/v2/a/tags/other", RouteKind::unknown, "", "a", "other"},
    {"/v2/a/manifests/", RouteKind::manifest, "", "a", ""},
    {"/v2/manifests/x", RouteKind::unknown, "", "", ""},
    {"/v2/blobs", RouteKind::unknown, "", "", ""},
    {"/v3/a/manifests/x", RouteKind::unknown, "", "", ""},
    {"/", RouteKind::unknown, "", "", ""},
    {"", RouteKind::unknown, "", "", ""},
    {"/v2/a/manifests/%zz", RouteKind::unknown, "", "", ""},
};

TEST(Route, is_read_from_the_tail_of_the_path) {
    for (const Case& c : kPlain)
        for (const Paths paths : {Paths::strict, Paths::tolerant}) expect(c, paths);
}

// Each is found by a tolerant weir only.
const Case kTolerant[] = {
    {"//v2/", RouteKind::ping, "", "", ""},
    {"/v2/v2/", RouteKind::ping, "", "", ""},
    {"/docker.io/v2/", RouteKind::ping, "docker.io", "", ""},
    {"/docker.io/v2", RouteKind::ping, "docker.io", "", ""},
    {"//v2/debian/manifests/12", RouteKind::manifest, "", "debian", "12"},
    {"/v2//debian//manifests/12", RouteKind::manifest, "", "debian", "12"},
    {"/v2/docker.io//library/debian/manifests/12", RouteKind::manifest, "",
     "docker.io/library/debian", "12"},
    {"/docker.io/v2/library/debian/manifests/12", RouteKind::manifest, "docker.io",
     "library/debian", "12"},
    {"//docker.io//v2/library/debian/manifests/12", RouteKind::manifest, "docker.io",
     "library/debian", "12"},
    {"/mirrors/hub/v2/a/blobs/sha256:ab", RouteKind::blob, "mirrors/hub", "a", "sha256:ab"},
    {"/a/v2/b/v2/c/tags/list", RouteKind::tags, "a", "b/v2/c", "list"},
};

TEST(Route, of_another_form_is_read_where_paths_are_tolerant) {
    for (const Case& c : kTolerant) {
        expect(c, Paths::tolerant);
        std::string buffer;
        const Route strict = parse_route(c.path, Paths::strict, buffer);
        EXPECT_TRUE(strict.kind == RouteKind::unknown || strict.before.empty()) << c.path;
        EXPECT_NE(strict.kind, RouteKind::ping) << c.path;
    }
}

TEST(Route, with_a_registry_before_v2_has_no_catalog) {
    std::string buffer;
    EXPECT_EQ(parse_route("/docker.io/v2/_catalog", Paths::tolerant, buffer).kind,
              RouteKind::unknown);
}

// A second spelling of a path must not be a second path: a front may have a rule for the first.
TEST(Route, that_was_sent_with_escapes_has_one_reading) {
    for (const char* path :
         {"/%76%32/debian/manifests/12", "/v2/%76%32/debian/manifests/12",
          "/docker.io/%76%32/debian/manifests/12", "/%2Fv2/debian/manifests/12",
          "/docker%2Eio/v2/library/debian/manifests/12", "/v2%2F/a/manifests/x"}) {
        std::string buffer;
        const Route route = parse_route(path, Paths::tolerant, buffer);
        EXPECT_TRUE(route.kind == RouteKind::unknown || route.escaped) << path;
        EXPECT_EQ(route.before, "") << path;
        EXPECT_EQ(parse_route(path, Paths::strict, buffer).kind, RouteKind::unknown) << path;
    }
    std::string buffer;
    EXPECT_EQ(parse_route("/v2/%61/private/manifests/x", Paths::strict, buffer).kind,
              RouteKind::unknown);
    EXPECT_EQ(parse_route("/v2/a/blobs/sha256%3Aab", Paths::strict, buffer).kind, RouteKind::blob);
}

}  // namespace
}  // namespace weir::registry
