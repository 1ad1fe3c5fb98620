// tests/unit/store/remote_contract.h: what store/remote.h promises, asked of any implementation.
//
// Include in one file of a test binary and instantiate RemoteContract with the implementations to
// ask.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/text.h"
#include "crypto/hasher.h"
#include "store/remote.h"
#include "support/text_file.h"

namespace weir::store {

// One empty tier for one test.
class RemoteBackend {
public:
    virtual ~RemoteBackend() = default;
    virtual Remote& remote() = 0;
    // Runs a task to its end.
    virtual void run(std::function<Task<>()>) = 0;
    // Of the tier's loop.
    virtual TimePoint now() = 0;
    // It gives no answer until it is told to.
    virtual void silence(bool on) = 0;
};

struct RemoteImplementation {
    std::string name;
    std::function<std::unique_ptr<RemoteBackend>()> make;
};

inline void PrintTo(const RemoteImplementation& implementation, std::ostream* out) {
    *out << implementation.name;
}

class RemoteContract : public testing::TestWithParam<RemoteImplementation> {
protected:
    using Kind = Remote::Kind;

    struct Got : client::Sink {
        int status = 0;
        std::string range, text;
        client::BodyAction action = client::BodyAction::go_on;
        client::BodyAction on_head(const client::ReplyHead& head) override {
            status = head.status;
            range = head.fields.get("Content-Range");
            return action;
        }
        client::BodyAction on_data(std::span<const std::byte> data) override {
            text += as_text(data);
            return client::BodyAction::go_on;
        }
    };

    static oci::Digest digest_of(const std::string& text) {
        return crypto::digest_of(oci::Digest::Algorithm::sha256, text);
    }
    template <class A>
    A ask(std::function<Task<A>()> make) {
        A answer;
        backend->run([&]() -> Task<> { answer = co_await make(); });
        return answer;
    }
    RemoteEnd put(const std::string& text) {
        return ask<RemoteAnswer>([&] {
                   return remote.put_blob(digest_of(text), std::make_shared<TextFile>(text),
                                          text.size(), {});
               })
            .end;
    }
    RemoteEnd get(const oci::Digest& digest, uint64_t first = 0,
                  std::optional<uint64_t> last = {}) {
        return ask<RemoteAnswer>([&] {
                   return remote.get(
                       digest, first, last, sink, [](auto) {},
                       backend->now() + std::chrono::seconds(20));
               })
            .end;
    }
    std::vector<RemoteObject> list(Kind kind) {
        std::vector<RemoteObject> all;
        std::string next;
        do {
            auto page = ask<RemotePage>([&] { return remote.list(kind, next); });
            EXPECT_EQ(page.end, RemoteEnd::ok) << page.detail;
            all.insert(all.end(), page.objects.begin(), page.objects.end());
            next = page.next;
        } while (!next.empty());
        return all;
    }

    std::unique_ptr<RemoteBackend> backend = GetParam().make();
    Remote& remote = backend->remote();
    std::shared_ptr<Got> sink = std::make_shared<Got>();
};

TEST_P(RemoteContract, a_blob_comes_back_as_it_went_up) {
    for (const size_t size : {size_t{1}, size_t{4096}, size_t{100'000}}) {
        const std::string text(size, 'x');
        ASSERT_EQ(put(text), RemoteEnd::ok);
        sink = std::make_shared<Got>();
        EXPECT_EQ(get(digest_of(text)), RemoteEnd::ok);
        EXPECT_EQ(sink->status, 200);
        EXPECT_EQ(sink->text, text);
        uint64_t told = 0;
        EXPECT_EQ(ask<RemoteAnswer>([&] { return remote.head(digest_of(text), &told); }).end,
                  RemoteEnd::ok);
        EXPECT_EQ(told, size);
    }
}

TEST_P(RemoteContract, a_range_is_what_was_asked_for) {
    const std::string text = "0123456789";
    ASSERT_EQ(put(text), RemoteEnd::ok);
    EXPECT_EQ(get(digest_of(text), 3, 6), RemoteEnd::ok);
    EXPECT_EQ(sink->status, 206);
    EXPECT_EQ(sink->range, "bytes 3-6/10");
    EXPECT_EQ(sink->text, "3456");
    sink = std::make_shared<Got>();
    EXPECT_EQ(get(digest_of(text), 8), RemoteEnd::ok);
    EXPECT_EQ(sink->text, "89");
}

TEST_P(RemoteContract, what_a_sink_stops_is_no_fault_of_the_tier) {
    ASSERT_EQ(put("0123456789"), RemoteEnd::ok);
    sink->action = client::BodyAction::stop;
    EXPECT_EQ(get(digest_of("0123456789")), RemoteEnd::stopped);
    EXPECT_TRUE(remote.usable());
}

TEST_P(RemoteContract, what_is_not_there_is_absent) {
    uint64_t size = 0;
    EXPECT_EQ(get(digest_of("never")), RemoteEnd::absent);
    EXPECT_EQ(ask<RemoteAnswer>([&] { return remote.head(digest_of("never"), &size); }).end,
              RemoteEnd::absent);
    EXPECT_TRUE(sink->text.empty());
    EXPECT_TRUE(remote.usable());
}

TEST_P(RemoteContract, after_a_stop_everything_ends_as_unavailable) {
    ASSERT_EQ(put("0123456789"), RemoteEnd::ok);
    remote.stop();
    EXPECT_EQ(put("abc"), RemoteEnd::unavailable);
    EXPECT_EQ(get(digest_of("0123456789")), RemoteEnd::unavailable);
    EXPECT_TRUE(sink->text.empty());
}

TEST_P(RemoteContract, manifests_and_tags_come_back_with_all_they_had) {
    const auto digest = digest_of("{}");
    ask<RemoteAnswer>([&] { return remote.put_manifest(digest, "type/x", "{}"); });
    ask<RemoteAnswer>([&] { return remote.put_tag("a/b", "v1", "text"); });
    const auto manifests = list(Kind::manifests), tags = list(Kind::tags);
    ASSERT_EQ(manifests.size(), 1u);
    ASSERT_EQ(tags.size(), 1u);
    EXPECT_EQ(manifests[0].digest, digest);
    EXPECT_EQ(tags[0].name, "a/b\nv1");
    std::string type;
    EXPECT_EQ(
        ask<RemoteText>([&] { return remote.text(Kind::manifests, manifests[0], &type); }).text,
        "{}");
    EXPECT_EQ(type, "type/x");
    EXPECT_EQ(ask<RemoteText>([&] { return remote.text(Kind::tags, tags[0], nullptr); }).text,
              "text");
    ask<RemoteAnswer>([&] { return remote.remove_tag("a/b", "v1"); });
    EXPECT_TRUE(list(Kind::tags).empty());
    EXPECT_EQ(ask<RemoteText>([&] { return remote.text(Kind::tags, tags[0], nullptr); }).end,
              RemoteEnd::absent);
}

TEST_P(RemoteContract, what_is_removed_is_gone_whether_blob_or_manifest) {
    ASSERT_EQ(put("one"), RemoteEnd::ok);
    ASSERT_EQ(put("two"), RemoteEnd::ok);
    ask<RemoteAnswer>([&] { return remote.put_manifest(digest_of("m"), "type/x", "m"); });
    std::vector<oci::Digest> failed;
    const std::vector<oci::Digest> all{digest_of("one"), digest_of("m"), digest_of("never")};
    EXPECT_EQ(ask<RemoteAnswer>([&] { return remote.remove(all, &failed); }).end, RemoteEnd::ok);
    EXPECT_TRUE(failed.empty());
    EXPECT_TRUE(list(Kind::manifests).empty());
    const auto left = list(Kind::blobs);
    ASSERT_EQ(left.size(), 1u);
    EXPECT_EQ(left[0].digest, digest_of("two"));
    EXPECT_EQ(left[0].size, 3u);
}

TEST_P(RemoteContract, an_upload_that_is_gone_is_aborted_with_success) {
    EXPECT_EQ(ask<RemoteAnswer>([&] { return remote.abort_blob(digest_of("one"), "never"); }).end,
              RemoteEnd::ok);
    EXPECT_TRUE(ask<RemoteUploads>([&] { return remote.list_uploads(""); }).uploads.empty());
}

TEST_P(RemoteContract, silence_is_a_value_and_says_so_until_it_ends) {
    ASSERT_EQ(put("bytes"), RemoteEnd::ok);
    backend->silence(true);
    EXPECT_EQ(get(digest_of("bytes")), RemoteEnd::unavailable);
    EXPECT_EQ(put("more"), RemoteEnd::unavailable);
    EXPECT_FALSE(remote.usable());
    backend->silence(false);
    EXPECT_EQ(get(digest_of("bytes")), RemoteEnd::ok);
    EXPECT_TRUE(remote.usable());
}

}  // namespace weir::store
