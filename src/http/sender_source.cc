// The part of the Sender for bodies that are produced while they are sent.
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "http/sender.h"

namespace weir::http {
namespace {

// A file piece up to this size that follows waiting text is copied: one call instead of two, and
// the read is the probe.
constexpr uint64_t kCopyBytes = 16 * 1024;
// Of a file without a descriptor (simulated), read in the pool.
constexpr size_t kPoolReadBytes = 64 * 1024;
// A step of bringing a file into the page cache.
constexpr uint64_t kLoadBytes = 256 * 1024;

uint64_t size_of(const Piece& piece) {
    if (const auto* file = std::get_if<FilePiece>(&piece)) return file->length;
    return std::get<std::span<const std::byte>>(piece).size();
}

enum class Cached { yes, no, broken };

Cached read_now(int fd, uint64_t offset, std::span<char> into) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    return got == static_cast<ssize_t>(into.size()) ? Cached::yes : Cached::broken;
}

// Reads without waiting for a disk; `yes` only for all of it.
Cached read_cached(int fd, uint64_t offset, std::span<char> into) {
    const iovec piece{into.data(), into.size()};
    const ssize_t got = ::preadv2(fd, &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (got == static_cast<ssize_t>(into.size())) return Cached::yes;
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return Cached::no;
    if (got < 0 && errno == EOPNOTSUPP) {
        // A memory file system knows no waiting; any other that can't tell is read in the pool
        // first.
        struct statfs info{};
        if (::fstatfs(fd, &info) != 0 || (info.f_type != TMPFS_MAGIC && info.f_type != RAMFS_MAGIC))
            return Cached::no;
        return read_now(fd, offset, into);
    }
    return Cached::broken;
}

// On the pool: brings a window into the page cache and waits for it. Read, not readahead(): that
// fills the cache page by page, and every later sendfile() pays for each of them.
bool load_window(int fd, uint64_t offset, uint64_t length) {
    std::vector<char> scrap(std::min<uint64_t>(length, kLoadBytes));
    for (const uint64_t end = offset + length; offset < end;) {
        const ssize_t got =
            ::pread(fd, scrap.data(), std::min<uint64_t>(scrap.size(), end - offset),
                    static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        offset += static_cast<uint64_t>(got);
    }
    return true;
}

}  // namespace

Task<bool> Sender::run_source(Source* source) {
    const uint64_t whole = response_->content_length.value_or(UINT64_MAX);
    uint64_t left = whole;
    while (left > 0) {
        std::optional<Piece> piece;
        const uint64_t most = std::min(left, kTurnBytes);
        in_source_ = true;
        flush_while_waiting();
        piece = co_await source->next(most);
        in_source_ = false;
        if (connection_.gone() != Connection::Gone::no) co_return false;
        if (!piece) break;
        const uint64_t size = size_of(*piece);
        if (size == 0 || size > most) {
            log::error("http", "a source gave a piece of {} bytes of {}", size, most);
            co_return false;
        }
        if (chunked_) fmt::format_to(std::back_inserter(text_), "{:x}\r\n", size);
        bool sent;
        uint64_t unsent = 0;
        unreadable_ = false;
        if (auto* file = std::get_if<FilePiece>(&*piece)) {
            sent = co_await send(*file);
            unsent = file->length;
        } else {
            sent = co_await send(std::get<std::span<const std::byte>>(*piece));
        }
        // A chunk's size is out already.
        if (unreadable_ && !chunked_ && source->unreadable(unsent)) {
            left -= size - unsent;
            continue;
        }
        if (!sent) co_return false;
        if (chunked_) text_ += "\r\n";
        left -= size;
    }
    if (whole != UINT64_MAX && left > 0) {
        abort("the source ended early");
        co_return false;
    }
    if (chunked_) text_ += "0\r\n\r\n";
    const std::span<const std::byte> nothing;
    co_return co_await send(nothing);
}

// Runs when the source has made us wait: what is ready leaves without it.
void Sender::flush_while_waiting() {
    if (text().empty()) return;
    if (!self_) self_ = std::make_shared<Sender*>(this);
    connection_.loop().post([self = self_] {
        Sender* sender = *self;
        if (!sender || !sender->in_source_ || sender->text().empty()) return;
        const Step step = sender->push({}, false);
        if (step == Step::broken) sender->connection_.leave(Connection::Gone::broken);
        if (step == Step::sent) sender->note_first_byte();
        sender->connection_.tick_soon();
    });
}

// Now and then: has the client left while the source keeps us waiting?
bool Sender::watch() {
    if (!in_source_) return false;
    if (connection_.gone() == Connection::Gone::no && connection_.transport().hung_up())
        connection_.leave(Connection::Gone::closed);
    if (connection_.gone() != Connection::Gone::no)
        std::get<std::unique_ptr<Source>>(response_->body)->client_left();
    return true;
}

void Sender::client_cut() {
    watch();
}

Task<> Sender::turn(uint64_t bytes) {
    note_first_byte();
    turn_bytes_ += bytes;
    if (turn_bytes_ < kTurnBytes) co_return;
    turn_bytes_ = 0;
    co_await connection_.yield();
}

Task<bool> Sender::send(std::span<const std::byte> bytes) {
    std::string_view body = as_text(bytes);
    while (!body.empty() || !text().empty()) {
        const uint64_t before = outcome_.body_bytes_sent;
        const Step step = push(body, false);
        if (step == Step::broken) connection_.leave(Connection::Gone::broken);
        if (step == Step::broken || (step == Step::blocked && !co_await blocked())) co_return false;
        body.remove_prefix(outcome_.body_bytes_sent - before);
        if (step == Step::sent) co_await turn(outcome_.body_bytes_sent - before);
    }
    co_return connection_.gone() == Connection::Gone::no;
}

Task<bool> Sender::send(FilePiece& piece) {
    if (piece.file->descriptor() < 0) co_return co_await send_by_pool(piece);
    const bool copy =
        !connection_.transport().sends_files() || (!text().empty() && piece.length <= kCopyBytes);
    if (copy) co_return co_await send_by_copy(piece);
    co_return co_await send_by_kernel(piece);
}

Task<bool> Sender::send_by_kernel(FilePiece& piece) {
    const int fd = piece.file->descriptor();
    uint64_t& offset = piece.offset;
    const uint64_t end = piece.offset + piece.length;
    uint64_t warm_until = piece.hot ? end : offset;
    while (offset < end) {
        if (offset >= warm_until) {
            const uint64_t window = std::min(end - offset, kTurnBytes);
            if (!co_await warm(piece.file, offset, window)) co_return false;
            warm_until = offset + window;
        }
        while (!text().empty()) {
            const Step step = push({}, true);
            if (step == Step::broken) connection_.leave(Connection::Gone::broken);
            if (step == Step::broken || (step == Step::blocked && !co_await blocked()))
                co_return false;
        }
        const Io io = connection_.transport().send_file(fd, offset, warm_until - offset);
        if (io.kind == Io::Kind::moved) {
            offset += io.bytes;
            piece.length -= io.bytes;
            outcome_.body_bytes_sent += io.bytes;
            co_await turn(io.bytes);
        } else if (io.kind == Io::Kind::unreadable) {
            unreadable_ = true;
            co_return false;
        } else if (io.kind == Io::Kind::broken) {
            connection_.leave(Connection::Gone::broken);
        } else {
            waits_for_ = io.kind;
            if (!co_await blocked()) co_return false;
        }
        if (connection_.gone() != Connection::Gone::no) co_return false;
    }
    co_return true;
}

Task<bool> Sender::send_by_copy(FilePiece& piece) {
    const int fd = piece.file->descriptor();
    uint64_t& offset = piece.offset;
    const uint64_t end = piece.offset + piece.length;
    uint64_t warm_until = piece.hot ? end : offset;
    while (offset < end) {
        // The waiting text and the file's bytes in one buffer: one record, one call. A retry builds
        // the same bytes again, because other connections use the buffer meanwhile.
        const auto scratch = connection_.lane().scratch();
        const auto head = text();
        const size_t head_bytes = std::min(head.size(), scratch.size() / 2);
        const size_t room = scratch.size() - head_bytes;
        const uint64_t length = std::min<uint64_t>(end - offset, room);
        std::memcpy(scratch.data(), head.data(), head_bytes);
        const auto cached = offset < warm_until
                                ? read_now(fd, offset, scratch.subspan(head_bytes, length))
                                : read_cached(fd, offset, scratch.subspan(head_bytes, length));
        if (cached == Cached::broken) {
            unreadable_ = true;
            co_return false;
        }
        if (cached == Cached::no) {
            const uint64_t window = std::min(end - offset, kTurnBytes);
            if (!co_await warm(piece.file, offset, window)) co_return false;
            warm_until = offset + window;
            continue;
        }
        const uint64_t before = outcome_.body_bytes_sent;
        const Step step = push_all({scratch.data(), head_bytes + length});
        const uint64_t moved = outcome_.body_bytes_sent - before;
        offset += moved;
        piece.length -= moved;
        if (step == Step::broken) connection_.leave(Connection::Gone::broken);
        if (step == Step::blocked && !co_await blocked()) co_return false;
        if (connection_.gone() != Connection::Gone::no) co_return false;
        co_await turn(moved);
    }
    co_return true;
}

// Bytes that begin with the waiting text; TLS takes them record by record.
Sender::Step Sender::push_all(std::string_view bytes) {
    while (!bytes.empty()) {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        const Io io = connection_.transport().write({&piece, 1}, false);
        if (io.kind == Io::Kind::wait_read || io.kind == Io::Kind::wait_write) {
            waits_for_ = io.kind;
            return Step::blocked;
        }
        if (io.kind != Io::Kind::moved) return Step::broken;
        account(io.bytes);
        bytes.remove_prefix(io.bytes);
    }
    return Step::sent;
}

Task<bool> Sender::send_by_pool(FilePiece& piece) {
    auto buffer =
        std::make_shared<std::vector<std::byte>>(std::min<uint64_t>(piece.length, kPoolReadBytes));
    while (piece.length > 0) {
        const size_t length = std::min<uint64_t>(piece.length, buffer->size());
        const uint64_t offset = piece.offset;
        auto read = [file = piece.file, buffer, offset, length] {
            return file->read_at(offset, std::span(*buffer).first(length));
        };
        if (co_await pool_.run(std::move(read)) != length) {
            unreadable_ = true;
            co_return false;
        }
        const std::span<const std::byte> bytes(buffer->data(), length);
        if (!co_await send(bytes)) co_return false;
        piece.offset += length;
        piece.length -= length;
    }
    co_return true;
}

// false: the file is shorter than the piece, or can't be read; unreadable_ is set then.
Task<bool> Sender::warm(std::shared_ptr<const File> file, uint64_t offset, uint64_t length) {
    char byte;
    const int fd = file->descriptor();
    const auto cached = read_cached(fd, offset + length - 1, {&byte, 1});
    bool there = cached == Cached::yes;
    if (cached == Cached::no) {
        auto load = [file = std::move(file), fd, offset, length] {
            return load_window(fd, offset, length);
        };
        there = co_await pool_.run(std::move(load));
    }
    unreadable_ = !there;
    co_return there;
}

}  // namespace weir::http
