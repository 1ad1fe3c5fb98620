#include "registry/route.h"

#include <gtest/gtest.h>

namespace weir::registry {
namespace {

struct Case {
    const char* path;
    RouteKind kind;
    const char* name;
    const char* reference;
};

const Case kCases[] = {
    {"/v2/", RouteKind::ping, "", ""},
    {"/v2", RouteKind::ping, "", ""},
    {"/v2/v2/", RouteKind::ping, "", ""},
    {"/v2/_catalog", RouteKind::catalog, "", ""},
    {"/v2/debian/manifests/12", RouteKind::manifest, "debian", "12"},
    {"/v2/docker.io/library/debian/manifests/12", RouteKind::manifest, "docker.io/library/debian",
     "12"},
    {"/v2/v2/library/debian/manifests/12", RouteKind::manifest, "library/debian", "12"},
    {"/v2/a/manifests/manifests/x", RouteKind::manifest, "a/manifests", "x"},
    {"/v2/a/tags/manifests/list", RouteKind::manifest, "a/tags", "list"},
    {"/v2/a/blobs/sha256:ab", RouteKind::blob, "a", "sha256:ab"},
    {"/v2/a/blobs/sha256%3Aab", RouteKind::blob, "a", "sha256:ab"},
    {"/v2/a/tags/list", RouteKind::tags, "a", "list"},
    {"/v2/a/b/referrers/sha256:ab", RouteKind::referrers, "a/b", "sha256:ab"},
    {"/v2/a/tags/other", RouteKind::unknown, "a", "other"},
    {"/v2/a/manifests/", RouteKind::manifest, "a", ""},
    {"/v2/manifests/x", RouteKind::unknown, "", ""},
    {"/v2/blobs", RouteKind::unknown, "", ""},
    {"/v3/a/manifests/x", RouteKind::unknown, "", ""},
    {"/", RouteKind::unknown, "", ""},
    {"", RouteKind::unknown, "", ""},
    {"/v2/a/manifests/%zz", RouteKind::unknown, "", ""},
};

TEST(Route, is_read_from_the_tail_of_the_path) {
    for (const Case& c : kCases) {
        std::string decoded;
        const Route route = parse_route(c.path, decoded);
        EXPECT_EQ(route.kind, c.kind) << c.path;
        if (c.kind == RouteKind::unknown) continue;
        EXPECT_EQ(route.name, c.name) << c.path;
        EXPECT_EQ(route.reference, c.reference) << c.path;
    }
}

}  // namespace
}  // namespace weir::registry
