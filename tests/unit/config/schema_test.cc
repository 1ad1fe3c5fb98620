// The promises of config/schema.h.
#include "config/schema.h"

#include <set>

#include "base/text.h"
#include "unit/config/support.h"

namespace weir::config {
namespace {

void walk(const Shape& shape, const std::string& prefix,
          const std::function<void(const std::string&, const Key&)>& visit) {
    std::set<std::string> names;
    for (const Key& key : shape.keys) {
        EXPECT_TRUE(names.insert(ascii_lower(key.name)).second)
            << prefix << key.name << " is there twice";
        visit(prefix + key.name, key);
        if (key.inner) walk(*key.inner, prefix + key.name + ".", visit);
    }
}

TEST(Schema, every_key_without_effect_says_why) {
    walk(file_shape(), "", [](const std::string& path, const Key& key) {
        if (key.status == Status::no_effect) EXPECT_FALSE(key.note.empty()) << path;
    });
}

TEST(Schema, every_honoured_key_of_ours_goes_somewhere) {
    walk(weir_shape(), "weir.", [](const std::string& path, const Key& key) {
        EXPECT_EQ(key.status, Status::honoured) << path;
        EXPECT_TRUE(key.read || key.inner) << path;
    });
}

TEST(Schema, knows_zots_keys_of_sync) {
    for (const char* name : {"urls",
                             "content",
                             "onDemand",
                             "pollInterval",
                             "manifestCheckInterval",
                             "tlsVerify",
                             "certDir",
                             "maxRetries",
                             "retryDelay",
                             "maxRetryDelay",
                             "onlySigned",
                             "syncLegacyCosignTags",
                             "credentialHelper",
                             "oauth2CredentialHelper",
                             "preserveDigest",
                             "syncTimeout",
                             "reqConcurrent",
                             "reqPerSec",
                             "disableHTTP2",
                             "maxIdleConnsPerHost",
                             "stream",
                             "maxConcurrentStreams",
                             "platforms"}) {
        EXPECT_NE(registry_shape().find(name), nullptr) << name;
    }
}

TEST(Schema, finds_the_nearest_key) {
    EXPECT_EQ(registry_shape().nearest("urlz"), "urls");
    EXPECT_EQ(registry_shape().nearest("OnDemnad"), "onDemand");
    EXPECT_EQ(registry_shape().nearest("quitedifferent"), "");
    EXPECT_EQ(registry_shape().nearest(""), "");
}

TEST(Schema, shows_defaults_in_the_words_of_a_file) {
    std::map<std::string, std::string> defaults;
    for (const OwnKey& key : own_keys()) defaults[key.path] = key.default_value;
    EXPECT_EQ(defaults.at("freshness.ttl"), "5m");
    EXPECT_EQ(defaults.at("fetch.chunkSize"), "4MiB");
    EXPECT_EQ(defaults.at("fetch.rest"), "none");
    EXPECT_EQ(defaults.at("missTimeout"), "10s");
    EXPECT_EQ(defaults.at("upstreams.<name>.segments.count"), "1");
    EXPECT_EQ(defaults.at("limits.headerBytes"), "32KiB");
    EXPECT_TRUE(defaults.contains("freshness.rules[].ttl"));
    EXPECT_TRUE(defaults.contains("upstreams.<name>.credentials[].passwordFile"));
}

}  // namespace
}  // namespace weir::config
