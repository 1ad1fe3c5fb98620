// The rule of upstream/parts.h: every request with Range has a plan for "no".
#include "upstream/parts.h"
#include "unit/upstream/world.h"

namespace weir::upstream {
namespace {

using client::End;

constexpr const char* kWhole = "0123456789";

class PartsTest : public World {
protected:
    PartsTest() {
        http.handle([this](const client::Call& call) {
            const std::string range = FakeHttp::field(call, "Range");
            ranges.push_back(range);
            return range.empty() ? plain : to_range(range);
        });
    }
    // Bytes 4 to 9, as a resume asks for them.
    BlobAnswer rest(bool size_known = true, bool may_be_plain = false) {
        sink = std::make_shared<Bytes>();
        BlobRange range;
        range.first = 4;
        range.plain = may_be_plain;
        if (size_known) {
            range.last = 9;
            range.size = 10;
        }
        return blob(sink, range);
    }
    // What a sink that skips what is here makes of it.
    std::string taken() const {
        return sink->head ? sink->text.substr(4 - sink->head->first) : "nothing";
    }
    static FakeAnswer part(const std::string& bytes, const std::string& range) {
        return answer(206, bytes, {{"Content-Range", range}});
    }

    FakeAnswer plain = answer(200, kWhole);
    std::function<FakeAnswer(const std::string&)> to_range = [](const std::string&) {
        return answer(416);
    };
    std::vector<std::string> ranges;
    std::shared_ptr<Bytes> sink;
};

TEST_F(PartsTest, after_every_no_to_a_range_the_whole_is_asked_for) {
    struct Shape {
        const char* name;
        FakeAnswer no;
    };
    auto unannounced = part("456789", "bytes 4-9/10");
    unannounced.fields.emplace_back("Content-Type", "multipart/byteranges; boundary=x");
    const Shape shapes[] = {
        {"416", answer(416)},
        {"416 with the right size", answer(416, "", {{"Content-Range", "bytes */10"}})},
        {"416 with a size before it", answer(416, "", {{"Content-Range", "bytes */3"}})},
        {"416 with no size at all", answer(416, "", {{"Content-Range", "bytes */0"}})},
        {"400", answer(400)},
        {"405", answer(405)},
        {"406", answer(406)},
        {"409", answer(409)},
        {"412", answer(412)},
        {"413", answer(413)},
        {"500", answer(500)},
        {"501", answer(501)},
        {"505", answer(505)},
        {"403", answer(403)},
        {"404", answer(404)},
        {"204", answer(204)},
        {"304", answer(304)},
        {"a part without Content-Range", answer(206, "456789")},
        {"a nonsensical Content-Range", part("456789", "456789")},
        {"another unit", part("456789", "lines 4-9/10")},
        {"bytes before", part("3456789", "bytes 3-9/10")},
        {"bytes behind", part("56789", "bytes 5-9/10")},
        {"the whole as a part", part(kWhole, "bytes 0-9/10")},
        {"the size of the part as that of the whole", part("456789", "bytes 4-9/6")},
        {"another size of the whole", part("456789", "bytes 4-9/11")},
        {"a length that is not the part's", part("4567", "bytes 4-9/10")},
        {"several parts", unannounced},
        {"the whole, of another size", answer(200, "456789")},
        {"a whole of nothing", answer(200, "")},
    };
    for (const auto& [name, no] : shapes) {
        ranges.clear();
        to_range = [&](const std::string&) { return no; };
        const auto got = rest();
        EXPECT_EQ(got.outcome, Outcome::ok) << name << ": " << got.detail;
        EXPECT_EQ(got.end, TransferEnd::complete) << name;
        EXPECT_EQ(taken(), "456789") << name;
        EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=4-9", ""})) << name;
        EXPECT_FALSE(up().gives_parts(0)) << name;
        upstream.reset();
    }
}

TEST_F(PartsTest, the_whole_in_place_of_the_part_is_taken_at_once) {
    to_range = [this](const std::string&) { return plain; };
    EXPECT_EQ(rest().end, TransferEnd::complete);
    EXPECT_EQ(taken(), "456789");
    EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=4-9"}));
    EXPECT_FALSE(up().gives_parts(0));
}

TEST_F(PartsTest, a_part_that_is_not_marked_as_one_is_taken_as_such) {
    to_range = [](const std::string&) {
        return answer(200, "456789", {{"Content-Range", "bytes 4-9/10"}});
    };
    EXPECT_EQ(rest().end, TransferEnd::complete);
    EXPECT_EQ(sink->head->first, 4u);
    EXPECT_EQ(sink->head->whole_size, 10u);
    EXPECT_EQ(taken(), "456789");
}

TEST_F(PartsTest, an_open_range_is_closed_where_the_refusal_tells_the_size) {
    to_range = [](const std::string& range) {
        return range == "bytes=4-9" ? part("456789", "bytes 4-9/10")
                                    : answer(416, "", {{"Content-Range", "bytes */10"}});
    };
    EXPECT_EQ(rest(false).end, TransferEnd::complete);
    EXPECT_EQ(taken(), "456789");
    EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=4-", "bytes=4-9"}));
    EXPECT_TRUE(up().gives_parts(0));
}

TEST_F(PartsTest, a_suffix_that_is_refused_is_read_from_the_start) {
    sink = std::make_shared<Bytes>();
    BlobRange range;
    range.suffix = 3;
    EXPECT_EQ(blob(sink, range).end, TransferEnd::complete);
    EXPECT_EQ(sink->head->first, 0u);
    EXPECT_EQ(sink->text, kWhole);
    EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=-3", ""}));
}

TEST_F(PartsTest, a_refusal_is_remembered_for_a_while_and_until_a_reload) {
    EXPECT_EQ(rest().end, TransferEnd::complete);
    ranges.clear();
    EXPECT_EQ(rest().end, TransferEnd::complete);
    EXPECT_EQ(ranges, (std::vector<std::string>{""})) << "not tried each time";
    up().forget();
    EXPECT_TRUE(up().gives_parts(0));
    EXPECT_EQ(rest().end, TransferEnd::complete);
    advance(Parts::kRefusedTime);
    EXPECT_TRUE(up().gives_parts(0));
    to_range = [](const std::string&) { return part("456789", "bytes 4-9/10"); };
    ranges.clear();
    EXPECT_EQ(rest().end, TransferEnd::complete);
    EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=4-9"}));
}

TEST_F(PartsTest, what_speaks_of_the_host_is_no_refusal_of_the_range) {
    options.breaker_failures = 1000;
    for (const int status : {408, 421, 425, 429, 502, 503, 504}) {
        ranges.clear();
        to_range = [&](const std::string&) { return answer(status); };
        EXPECT_NE(rest().outcome, Outcome::ok) << status;
        EXPECT_EQ(ranges.size(), 1u) << status;
        EXPECT_TRUE(up().gives_parts(0)) << status;
        upstream.reset();
    }
    to_range = [](const std::string&) { return broken(End::cut); };
    ranges.clear();
    EXPECT_NE(rest().outcome, Outcome::ok);
    EXPECT_EQ(ranges.size(), 1u);
}

TEST_F(PartsTest, of_a_blob_that_has_not_begun_not_found_is_the_answer) {
    for (const int status : {403, 404}) {
        ranges.clear();
        to_range = [&](const std::string&) { return answer(status); };
        EXPECT_NE(rest(false).outcome, Outcome::ok) << status;
        EXPECT_EQ(ranges.size(), 1u) << status;
    }
}

TEST_F(PartsTest, a_mirror_that_breaks_at_every_range_is_asked_for_the_whole_in_a_later_round) {
    to_range = [](const std::string&) { return broken(End::cut); };
    EXPECT_NE(rest().outcome, Outcome::ok);
    EXPECT_EQ(rest(true, true).end, TransferEnd::complete);
    EXPECT_EQ(taken(), "456789");
    EXPECT_EQ(ranges.back(), "");
    EXPECT_TRUE(up().gives_parts(0)) << "it may have been ill for a moment";
}

TEST_F(PartsTest, one_that_gave_a_part_a_moment_ago_is_not_asked_for_the_whole) {
    to_range = [](const std::string&) { return part("456789", "bytes 4-9/10"); };
    EXPECT_EQ(rest().end, TransferEnd::complete);
    EXPECT_EQ(rest(true, true).end, TransferEnd::complete);
    EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=4-9", "bytes=4-9"}));
    to_range = [](const std::string&) { return broken(End::cut); };
    EXPECT_NE(rest(true, true).outcome, Outcome::ok);
    EXPECT_EQ(ranges.size(), 3u);
}

TEST_F(PartsTest, a_range_beyond_the_end_is_no_refusal) {
    BlobRange range;
    range.first = 20;
    range.last = 29;
    to_range = [](const std::string&) {
        return answer(416, "", {{"Content-Range", "bytes */10"}});
    };
    EXPECT_EQ(blob(std::make_shared<Bytes>(), range).beyond, 10u);
    EXPECT_EQ(ranges.size(), 1u);
    EXPECT_TRUE(up().gives_parts(0));
    // One that doesn't say how long the blob is: the whole tells it, and is no sign either.
    to_range = [](const std::string&) { return answer(416); };
    EXPECT_EQ(blob(std::make_shared<Bytes>(), range).outcome, Outcome::ok);
    EXPECT_EQ(ranges.back(), "");
    EXPECT_TRUE(up().gives_parts(0));
}

TEST_F(PartsTest, the_size_is_learnt_without_a_range_where_that_is_refused) {
    http.handle([this](const client::Call& call) {
        if (call.method == "HEAD") return answer(405);
        const std::string range = FakeHttp::field(call, "Range");
        ranges.push_back(range);
        return range.empty() ? plain : answer(501);
    });
    const auto got = blob_head();
    EXPECT_EQ(got.outcome, Outcome::ok) << got.detail;
    EXPECT_EQ(got.size, 10u);
    EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=0-0", ""}));
}

}  // namespace
}  // namespace weir::upstream
