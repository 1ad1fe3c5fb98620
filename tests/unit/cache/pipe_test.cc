// The rules of cache/pipe.h: who joins, who stays, who rests, and how much memory it takes.
#include "cache/pipe.h"

#include <gtest/gtest.h>

#include "async/loop.h"
#include "async/scope.h"
#include "base/failure.h"
#include "unit/cache/fetch_world.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
using client::BodyAction;
constexpr uint64_t kKib = 1024, kPiece = 16 * kKib, kCapacity = 256 * kKib;

struct Handle : client::TransferHandle {
    void resume() override { ++resumed; }
    void cancel() override { ++cancelled; }
    int resumed = 0, cancelled = 0;
};

class PipeTest : public ::testing::Test {
protected:
    void SetUp() override {
        signal.reset();
        scope.spawn(loop, [this]() -> Task<> {
            signal.emplace();
            co_return;
        });
        loop.run_ready();
    }
    Firing firing() { return Firing(*signal); }

    RelayRequest wish(uint64_t first = 0) {
        RelayRequest request;
        request.digest = digest_of(content);
        request.first = first;
        request.length = content.size() - first;
        request.size = content.size();
        request.origins = origins;
        return request;
    }
    std::shared_ptr<Pipe> make(uint64_t first = 0) {
        auto pipe = std::make_shared<Pipe>(wish(first), kCapacity, clock);
        number = *pipe->join(pipe->request());
        EXPECT_TRUE(pipe->wanted(firing()));
        clock.advance(Pipe::kGatherTime);
        begin(*pipe);
        return pipe;
    }
    void begin(Pipe& pipe) {
        at = pipe.next_range().first;
        limit = pipe.next_range().last ? *pipe.next_range().last + 1 : content.size();
        handle = std::make_shared<Handle>();
        pipe.started(handle);
        ASSERT_EQ(pipe.on_head({at, content.size()}), BodyAction::go_on);
    }
    // As a transfer does; false when it was paused or stopped.
    bool give(Pipe& pipe) {
        const uint64_t bytes = std::min<uint64_t>(kPiece, limit - at);
        if (bytes == 0) return false;
        last = pipe.on_data(std::as_bytes(std::span(content.data() + at, bytes)));
        if (last == BodyAction::go_on) at += bytes;
        return last == BodyAction::go_on;
    }
    void fill(Pipe& pipe) {
        while (give(pipe)) {
        }
    }
    // What one reader takes in one go, at most so much.
    std::string read(Pipe& pipe, uint64_t who, uint64_t max = UINT64_MAX) {
        std::string text;
        while (text.size() < max) {
            const auto taken = pipe.take(who, max - text.size(), firing());
            if (!taken || taken->end) break;
            text += as_text(taken->bytes);
        }
        return text;
    }

    ManualClock clock;
    Loop loop{clock};
    Scope scope{"pipe test"};
    std::optional<Signal> signal;
    std::string content = content_of(2 * 1024 * kKib);
    Origins origins{std::make_shared<FakeOrigin>("hub/0", "")};
    std::shared_ptr<Handle> handle;
    uint64_t number = 0, at = 0, limit = 0;
    BodyAction last = BodyAction::go_on;
};

TEST_F(PipeTest, memory_is_the_window_and_a_piece_however_many_read) {
    const auto pipe = make();
    std::vector<uint64_t> readers{number};
    for (int i = 0; i < 63; ++i) readers.push_back(*pipe->join(wish()));
    std::vector<std::string> texts(readers.size());
    while (texts.back().size() + 1 < content.size()) {
        fill(*pipe);
        EXPECT_LE(pipe->window_bytes(), kCapacity + kPiece);
        for (size_t i = 0; i < readers.size(); ++i)
            texts[i] += read(*pipe, readers[i], 10'000 + 1000 * i);
        if (!pipe->over() && at == content.size()) break;
    }
    for (size_t i = 0; i < readers.size(); ++i) texts[i] += read(*pipe, readers[i]);
    for (const auto& text : texts) EXPECT_EQ(text, content);
}

TEST_F(PipeTest, a_reader_joins_while_its_first_byte_is_in_the_window_and_no_later) {
    const auto pipe = make();
    fill(*pipe);
    EXPECT_EQ(last, BodyAction::pause);
    const auto second = pipe->join(wish());
    ASSERT_TRUE(second);
    EXPECT_EQ(read(*pipe, number), content.substr(0, kCapacity));
    EXPECT_EQ(read(*pipe, *second), content.substr(0, kCapacity));
    EXPECT_TRUE(pipe->join(wish())) << "read bytes stay while there is room";
    pipe->leave(3);
    fill(*pipe);
    EXPECT_EQ(read(*pipe, number).size(), kCapacity);
    EXPECT_EQ(read(*pipe, *second).size(), kCapacity);
    EXPECT_FALSE(pipe->join(wish()));
}

TEST_F(PipeTest, those_who_come_at_the_same_time_find_each_other) {
    const auto pipe = std::make_shared<Pipe>(wish(), kCapacity, clock);
    number = *pipe->join(pipe->request());
    begin(*pipe);
    fill(*pipe);
    EXPECT_EQ(read(*pipe, number).size(), kCapacity);
    fill(*pipe);
    EXPECT_EQ(last, BodyAction::pause);
    clock.advance(Pipe::kGatherTime / 2);
    const auto second = pipe->join(wish());
    ASSERT_TRUE(second);
    EXPECT_EQ(pipe->rest_due(firing()), clock.now() + Pipe::kGatherTime / 2);
    clock.advance(Pipe::kGatherTime / 2);
    pipe->rest(clock.now());
    EXPECT_EQ(handle->resumed, 1);
    EXPECT_EQ(handle->cancelled, 0);
    EXPECT_FALSE(pipe->rests());
    EXPECT_EQ(read(*pipe, *second).size(), kCapacity);
    EXPECT_TRUE(give(*pipe));
    EXPECT_FALSE(pipe->join(wish()));
}

TEST_F(PipeTest, only_readers_of_the_same_bytes_join) {
    const auto pipe = make();
    RelayRequest shorter = wish();
    shorter.length -= 1;
    EXPECT_FALSE(pipe->join(shorter));
    RelayRequest other = wish();
    other.digest = digest_of("other");
    EXPECT_FALSE(pipe->join(other));
    RelayRequest elsewhere = wish();
    elsewhere.origins = {std::make_shared<FakeOrigin>("hub/1", "")};
    EXPECT_FALSE(pipe->join(elsewhere)) << "another upstream's";
    EXPECT_FALSE(pipe->join(wish(1)));
    EXPECT_TRUE(pipe->join(wish()));
    pipe->leave(number);
    EXPECT_EQ(handle->cancelled, 0) << "somebody still reads";
    pipe->leave(2);
    EXPECT_EQ(handle->cancelled, 1);
    EXPECT_FALSE(pipe->join(wish())) << "it has ended";
}

TEST_F(PipeTest, a_sleeping_reader_ends_the_transfer_and_the_rest_is_asked_for_in_pieces) {
    const auto pipe = make();
    std::string text = read(*pipe, number);
    fill(*pipe);
    EXPECT_EQ(last, BodyAction::pause);
    const TimePoint due = pipe->rest_due(firing());
    EXPECT_EQ(due, clock.now() + Pipe::kPauseTime);
    clock.advance(Pipe::kPauseTime);
    pipe->rest(clock.now());
    EXPECT_EQ(handle->cancelled, 1);
    EXPECT_TRUE(pipe->rests());
    EXPECT_LE(pipe->window_bytes(), Pipe::kRestBytes + kPiece);
    EXPECT_FALSE(pipe->wanted(firing())) << "nobody reads";
    int asked = 0;
    while (text.size() < content.size()) {
        text += read(*pipe, number, 20'000);
        clock.advance(1s);
        if (pipe->over() || !pipe->wanted(firing())) continue;
        ++asked;
        begin(*pipe);
        EXPECT_LE(limit - at, Pipe::kRestBytes);
        fill(*pipe);
        EXPECT_LE(pipe->window_bytes(), Pipe::kRestBytes + kPiece);
        pipe->rests();
    }
    EXPECT_EQ(text, content);
    EXPECT_GE(asked, 16);
    EXPECT_LE(asked, 24);
}

TEST_F(PipeTest, a_reader_that_wakes_up_gets_larger_pieces_and_a_transfer_without_end_again) {
    const auto pipe = make();
    fill(*pipe);
    clock.advance(Pipe::kPauseTime);
    pipe->rest(clock.now());
    pipe->rests();
    std::string text;
    for (int i = 0; i < 8 && pipe->rests(); ++i) {
        text += read(*pipe, number);
        if (!pipe->wanted(firing())) continue;
        begin(*pipe);
        fill(*pipe);
    }
    EXPECT_EQ(limit, content.size());
    EXPECT_FALSE(pipe->rests());
    while (!pipe->over()) {
        fill(*pipe);
        text += read(*pipe, number);
    }
    text += read(*pipe, number);
    EXPECT_EQ(text, content);
}

TEST_F(PipeTest, short_pauses_count_together) {
    const auto pipe = make();
    for (int i = 0; i < 3; ++i) {
        fill(*pipe);
        ASSERT_EQ(last, BodyAction::pause);
        clock.advance(300ms);
        EXPECT_GT(pipe->rest_due(firing()), clock.now());
        read(*pipe, number);
    }
    fill(*pipe);
    EXPECT_EQ(pipe->rest_due(firing()), clock.now() + 100ms);
}

TEST_F(PipeTest, an_origin_that_ignores_ranges_is_not_begun_again) {
    const auto pipe = make(64 * kKib);
    handle = std::make_shared<Handle>();
    pipe->started(handle);
    at = 0;
    pipe->on_head({0, content.size()});
    fill(*pipe);
    EXPECT_EQ(last, BodyAction::pause);
    clock.advance(1h);
    EXPECT_EQ(pipe->rest_due(firing()), kNever);
    pipe->rest(clock.now());
    EXPECT_EQ(handle->cancelled, 0);
}

TEST_F(PipeTest, a_slow_reader_is_parted_from_those_that_it_holds_up_and_both_get_all) {
    const auto pipe = make();
    const uint64_t slow = *pipe->join(wish());
    std::string fast_text, slow_text = read(*pipe, slow, 1000);
    for (int i = 0; i < 8; ++i) {
        fill(*pipe);
        fast_text += read(*pipe, number);
        clock.advance(Pipe::kAskAgain);
    }
    fast_text += read(*pipe, number);
    const auto moved = pipe->moved(slow);
    ASSERT_TRUE(moved);
    EXPECT_FALSE(pipe->moved(number));
    while (!pipe->over()) {
        fill(*pipe);
        fast_text += read(*pipe, number);
    }
    fast_text += read(*pipe, number);
    EXPECT_EQ(fast_text, content);
    Pipe& second = *moved->to;
    EXPECT_TRUE(second.take_start());
    slow_text += read(second, moved->number, 20'000);
    EXPECT_TRUE(second.wanted(firing()));
    begin(second);
    EXPECT_EQ(at, kCapacity) << "what the window held is not asked for again";
    while (!second.over()) {
        fill(second);
        slow_text += read(second, moved->number);
    }
    slow_text += read(second, moved->number);
    EXPECT_EQ(slow_text, content) << "and it is verified";
}

TEST_F(PipeTest, readers_that_take_turns_stay_together) {
    const auto pipe = make();
    const uint64_t other = *pipe->join(wish());
    for (int i = 0; i < 7; ++i) {
        fill(*pipe);
        read(*pipe, i % 2 ? number : other);
        clock.advance(300ms);
        read(*pipe, i % 2 ? other : number);
    }
    EXPECT_FALSE(pipe->moved(number));
    EXPECT_FALSE(pipe->moved(other));
}

TEST_F(PipeTest, a_cut_window_does_not_spoil_the_sum) {
    const auto pipe = make();
    std::string text = read(*pipe, number, 5000);
    fill(*pipe);
    clock.advance(Pipe::kPauseTime);
    pipe->rest(clock.now());
    pipe->rests();
    EXPECT_LT(pipe->position(), kCapacity);
    while (!pipe->over()) {
        text += read(*pipe, number);
        clock.advance(1s);
        if (!pipe->wanted(firing()) || pipe->over()) continue;
        begin(*pipe);
        fill(*pipe);
        pipe->rests();
    }
    text += read(*pipe, number);
    EXPECT_EQ(text, content);
}

TEST_F(PipeTest, wrong_bytes_are_withheld_from_each_reader) {
    std::string right = content;
    const auto pipe = make();
    const uint64_t other = *pipe->join(wish());
    content[1000] ^= 1;
    std::string text;
    while (at < content.size() && last != BodyAction::stop) {
        fill(*pipe);
        if (at == content.size()) break;
        text += read(*pipe, number);
        read(*pipe, other);
    }
    EXPECT_THROW(read(*pipe, number, UINT64_MAX), Failure);
    EXPECT_THROW(read(*pipe, other, UINT64_MAX), Failure);
}

}  // namespace
}  // namespace weir::cache
