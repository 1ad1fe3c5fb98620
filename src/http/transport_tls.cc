#include "http/transport_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/failure.h"

namespace weir::http {
namespace {

// Head and the start of a body that fit are sent as one record.
constexpr size_t kRecordBytes = 16 * 1024;

class TlsTransport final : public Transport {
public:
    TlsTransport(SSL_CTX* context, Socket socket)
        : Transport(std::move(socket)), ssl_(SSL_new(context), SSL_free) {
        if (!ssl_ || SSL_set_fd(ssl_.get(), fd()) != 1)
            throw Failure(Kind::internal, "no memory for a TLS connection");
        SSL_set_accept_state(ssl_.get());
    }

    bool tls() const override { return true; }

    std::string_view sni() const override {
        const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
        return name ? name : std::string_view{};
    }

    Io handshake() override {
        ERR_clear_error();
        const int done = SSL_do_handshake(ssl_.get());
        if (done == 1) {
            sends_files_ = BIO_get_ktls_send(SSL_get_wbio(ssl_.get())) != 0;
            return {Io::Kind::moved, 0};
        }
        const unsigned long error = ERR_peek_error();
        const Io io = failed(done);
        if (io.kind == Io::Kind::broken && ERR_GET_LIB(error) == ERR_LIB_SSL &&
            ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST)
            say_wrong_port();
        return io;
    }

    Io read(std::span<char> into) override {
        ERR_clear_error();
        size_t got = 0;
        const int done = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
        if (done == 1) return {Io::Kind::moved, got};
        return failed(done);
    }

    Io write(std::span<const iovec> from, bool) override {
        if (from.size() == 1)
            return write_one({static_cast<const char*>(from[0].iov_base), from[0].iov_len});
        // One record for the front; what does not fit comes with the next call. Deterministic, so a
        // retry offers the same bytes again.
        char record[kRecordBytes];
        size_t filled = 0;
        for (const iovec& piece : from) {
            const size_t fits = std::min(piece.iov_len, sizeof record - filled);
            std::memcpy(record + filled, piece.iov_base, fits);
            filled += fits;
        }
        return write_one({record, filled});
    }

    bool sends_files() const override { return sends_files_; }

    Io send_file(int file, uint64_t offset, size_t length) override {
        ERR_clear_error();
        const ossl_ssize_t put =
            SSL_sendfile(ssl_.get(), file, static_cast<off_t>(offset), length, 0);
        if (put > 0) return {Io::Kind::moved, static_cast<size_t>(put)};
        if (put == 0) return {Io::Kind::broken, 0};
        return failed(static_cast<int>(put));
    }

    void end() override {
        ERR_clear_error();
        if (SSL_is_init_finished(ssl_.get()) && !broken_) SSL_shutdown(ssl_.get());
        ERR_clear_error();
    }

private:
    Io write_one(std::string_view bytes) {
        ERR_clear_error();
        size_t put = 0;
        const int done = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &put);
        if (done == 1) return {Io::Kind::moved, put};
        const Io io = failed(done);
        return {io.kind == Io::Kind::ended ? Io::Kind::broken : io.kind, 0};
    }

    Io failed(int result) {
        const int error = SSL_get_error(ssl_.get(), result);
        switch (error) {
            case SSL_ERROR_WANT_READ:
                return {Io::Kind::wait_read, 0};
            case SSL_ERROR_WANT_WRITE:
                return {Io::Kind::wait_write, 0};
            case SSL_ERROR_ZERO_RETURN:
                return {Io::Kind::ended, 0};
            default:
                break;
        }
        // SSL_shutdown must not follow a fatal error.
        broken_ = true;
        const unsigned long reason = ERR_peek_last_error();
        const bool bare_eof = (error == SSL_ERROR_SYSCALL && reason == 0 && errno == 0) ||
                              ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
        ERR_clear_error();
        return {bare_eof ? Io::Kind::ended : Io::Kind::broken, 0};
    }

    // Somebody speaks HTTP here; tell them in their language.
    void say_wrong_port() const {
        static constexpr std::string_view kText =
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 51\r\n"
            "Connection: close\r\n\r\nThis port speaks HTTPS; ask it with https:// URLs.\n";
        [[maybe_unused]] const auto sent =
            ::send(fd(), kText.data(), kText.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        ::shutdown(fd(), SHUT_WR);
    }

    std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
    bool sends_files_ = false;
    bool broken_ = false;
};

}  // namespace

std::unique_ptr<Transport> tls_transport(ssl_ctx_st* context, Socket socket) {
    return std::make_unique<TlsTransport>(context, std::move(socket));
}

}  // namespace weir::http
