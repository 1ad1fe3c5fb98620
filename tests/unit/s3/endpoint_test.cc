#include "s3/endpoint.h"

#include <gtest/gtest.h>

#include "base/failure.h"

namespace weir::s3 {
namespace {

struct Case {
    std::string endpoint;
    bool path_style, secure;
    std::string bucket, origin, base;
};

TEST(Endpoint, both_styles_and_every_form_of_address) {
    const std::vector<Case> cases = {
        {"", false, true, "images", "https://images.s3.eu-x.amazonaws.com", "/"},
        {"", true, true, "images", "https://s3.eu-x.amazonaws.com", "/images/"},
        {"", false, false, "images", "http://images.s3.eu-x.amazonaws.com", "/"},
        {"https://s3.lab:9000", false, false, "images", "https://images.s3.lab:9000", "/"},
        {"https://S3.lab:443/", true, false, "images", "https://s3.lab", "/images/"},
        {"s3.lab:9000", true, true, "images", "https://s3.lab:9000", "/images/"},
        {"s3.lab:9000", true, false, "images", "http://s3.lab:9000", "/images/"},
        {"http://s3.lab/a%20b/", true, true, "images", "http://s3.lab", "/a b/images/"},
        {"http://s3.lab/base", false, true, "images", "http://images.s3.lab", "/base/"},
        // Where a bucket's name can't be part of a host's.
        {"http://127.0.0.1:9000", false, true, "images", "http://127.0.0.1:9000", "/images/"},
        {"http://[::1]:9000", false, true, "images", "http://[::1]:9000", "/images/"},
        {"https://s3.lab", false, true, "my.images", "https://s3.lab", "/my.images/"},
        {"http://s3.lab", false, true, "my.images", "http://my.images.s3.lab", "/"},
        {"http://s3.lab", false, true, "My_Images", "http://s3.lab", "/My_Images/"},
        {"http://localhost:9000", false, true, "images", "http://images.localhost:9000", "/"},
    };
    for (const auto& c : cases) {
        BucketOptions options;
        options.endpoint = c.endpoint;
        options.path_style = c.path_style;
        options.secure = c.secure;
        options.bucket = c.bucket;
        const auto endpoint = endpoint_of(options, "eu-x");
        EXPECT_EQ(endpoint.origin, c.origin) << c.endpoint << " " << c.bucket;
        EXPECT_EQ(endpoint.base, c.base) << c.endpoint << " " << c.bucket;
        EXPECT_TRUE(endpoint.origin.ends_with("//" + endpoint.host));
    }
}

TEST(Endpoint, china_has_a_domain_of_its_own) {
    BucketOptions options;
    options.bucket = "b";
    EXPECT_EQ(endpoint_of(options, "cn-north-1").host, "b.s3.cn-north-1.amazonaws.com.cn");
}

TEST(Endpoint, what_is_none_is_refused) {
    for (const char* text : {"ftp://x", "https://", "https://user@x", "https://x?y", "a b"}) {
        BucketOptions options;
        options.bucket = "b";
        options.endpoint = text;
        EXPECT_THROW(endpoint_of(options, "eu-x"), Failure) << text;
    }
    for (const char* bucket : {"", "a/b"}) {
        BucketOptions options;
        options.bucket = bucket;
        EXPECT_THROW(endpoint_of(options, "eu-x"), Failure) << bucket;
    }
}

TEST(Endpoint, a_prefix_and_a_key_are_joined_by_one_slash) {
    EXPECT_EQ(full_key("", "a/b"), "a/b");
    EXPECT_EQ(full_key("pool", "a/b"), "pool/a/b");
    EXPECT_EQ(full_key("/pool/x/", "a/b"), "pool/x/a/b");
    EXPECT_EQ(full_key("/", "a"), "a");
    EXPECT_EQ(full_key("pool", ""), "pool/");
}

}  // namespace
}  // namespace weir::s3
