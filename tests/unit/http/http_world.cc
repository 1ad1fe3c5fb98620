#include "http_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <future>

#include "base/text.h"

namespace weir::http {

void Gate::open() {
    std::vector<Firing> wake;
    {
        std::lock_guard lock(mutex_);
        open_ = true;
        wake.swap(firings_);
    }
    for (const auto& firing : wake) firing.fire();
}

bool Gate::opened() const {
    std::lock_guard lock(mutex_);
    return open_;
}

Task<> Gate::wait() {
    Signal signal;
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            if (open_) co_return;
            firings_.push_back(Firing(signal));
            ++waiters_;
        }
        arrived_.notify_all();
        co_await signal.wait();
    }
}

void Gate::await_waiter() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(arrived_.wait_for(lock, kPatience, [this] { return waiters_ > 0; }));
}

Task<Response> ready(Response response) {
    co_return response;
}

Response text_response(std::string text) {
    Response response;
    response.set_body(std::make_shared<const std::string>(std::move(text)));
    return response;
}

std::optional<Response> TestHandler::handle_now(Request& request) {
    return now ? now(request) : std::nullopt;
}

Task<Response> TestHandler::handle(Request& request) {
    if (later) co_return co_await later(request);
    co_return text_response(std::string(request.path));
}

Response TestHandler::failed(const Request*, std::exception_ptr error) {
    Response response(500);
    try {
        std::rethrow_exception(error);
    } catch (const Failure& failure) {
        response = text_response(failure.what());
        response.status = failure.kind() == Kind::request_invalid ? 400
                          : failure.kind() == Kind::too_large     ? 413
                                                                  : 500;
    } catch (...) {
    }
    return response;
}

void TestHandler::finished(const Request& request, const Response& response,
                           const Outcome& outcome) {
    std::lock_guard lock(mutex_);
    ended_.push_back({std::string(request.method_text), std::string(request.path), response.status,
                      response.notes.detail, outcome});
    changed_.notify_all();
}

Ended TestHandler::next_ended() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return !ended_.empty(); })) {
        ADD_FAILURE() << "no answer ended";
        return {};
    }
    Ended first = ended_.front();
    ended_.pop_front();
    return first;
}

std::string Reply::field(std::string_view name) const {
    for (const auto line : split(head, '\n'))
        if (istarts_with(line, std::string(name) + ":"))
            return std::string(trim(line.substr(name.size() + 1, line.size() - name.size() - 2)));
    return {};
}

Client::Client(uint16_t port, int receive_buffer)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0)
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0) << errno;
    const timeval patience{std::chrono::seconds(kPatience).count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

Client::~Client() {
    close();
}

void Client::close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

ssize_t Client::raw_read(char* into, size_t size) {
    return ::recv(fd_, into, size, 0);
}
ssize_t Client::raw_write(const char* from, size_t size) {
    return ::send(fd_, from, size, MSG_NOSIGNAL);
}

void Client::send(std::string_view text) {
    while (!text.empty()) {
        const ssize_t put = raw_write(text.data(), text.size());
        if (put <= 0) return;  // the server may close early; the test sees it when it reads
        text.remove_prefix(static_cast<size_t>(put));
    }
}

bool Client::more() {
    char buffer[65536];
    const ssize_t got = raw_read(buffer, sizeof buffer);
    if (got < 0) EXPECT_NE(errno, EAGAIN) << "the server kept the client waiting";
    if (got > 0) received_.append(buffer, static_cast<size_t>(got));
    return got > 0;
}

std::string Client::read_exactly(size_t bytes) {
    while (received_.size() < bytes && more()) {
    }
    EXPECT_GE(received_.size(), bytes);
    std::string out = received_.substr(0, bytes);
    received_.erase(0, out.size());
    return out;
}

bool Client::ends() {
    if (!received_.empty()) return false;
    errno = 0;
    return !more() && errno != EAGAIN;
}

namespace {
// Takes a chunked body from the front of `text`; false while it is incomplete.
bool take_chunks(std::string& text, std::string& body) {
    size_t at = 0;
    body.clear();
    for (;;) {
        const size_t line = text.find("\r\n", at);
        if (line == text.npos) return false;
        const size_t size = std::stoul(text.substr(at, line - at), nullptr, 16);
        if (text.size() < line + 2 + size + 2) return false;
        body += text.substr(line + 2, size);
        at = line + 2 + size + 2;
        if (size == 0) break;
    }
    text.erase(0, at);
    return true;
}
}  // namespace

Reply Client::reply(bool head_only) {
    Reply reply;
    size_t end;
    while ((end = received_.find("\r\n\r\n")) == received_.npos)
        if (!more()) return reply;
    reply.head = received_.substr(0, end + 4);
    received_.erase(0, end + 4);
    reply.status = std::stoi(reply.head.substr(9, 3));
    const auto length = reply.field("Content-Length");
    if (head_only || reply.status == 204 || reply.status == 304 || reply.status == 100) {
        reply.complete = true;
    } else if (!length.empty()) {
        const size_t bytes = std::stoul(length);
        while (received_.size() < bytes && more()) {
        }
        reply.complete = received_.size() >= bytes;
        reply.body = received_.substr(0, bytes);
        received_.erase(0, reply.body.size());
    } else if (reply.field("Transfer-Encoding") == "chunked") {
        while (!(reply.complete = take_chunks(received_, reply.body)) && more()) {
        }
        if (!reply.complete) received_.clear();
    } else {
        errno = 0;
        while (more()) {
        }
        reply.complete = errno == 0;
        reply.body = std::exchange(received_, {});
    }
    return reply;
}

TlsClient::TlsClient(uint16_t port, const TlsClientOptions& options) : Client(port) {
    context_ = options.context ? options.context : SSL_CTX_new(TLS_client_method());
    if (options.context) SSL_CTX_up_ref(context_);
    if (!options.certificate.empty()) {
        EXPECT_EQ(
            SSL_CTX_use_certificate_file(context_, options.certificate.c_str(), SSL_FILETYPE_PEM),
            1);
        EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context_, options.key.c_str(), SSL_FILETYPE_PEM), 1);
    }
    ssl_ = SSL_new(context_);
    if (options.version != 0) {
        SSL_set_min_proto_version(ssl_, options.version);
        SSL_set_max_proto_version(ssl_, options.version);
    }
    if (!options.sni.empty()) SSL_set_tlsext_host_name(ssl_, options.sni.c_str());
    if (!options.alpn.empty()) {
        const std::string wire = static_cast<char>(options.alpn.size()) + options.alpn;
        SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned>(wire.size()));
    }
    if (options.session) SSL_set_session(ssl_, options.session);
    SSL_set_fd(ssl_, fd());
    connected_ = SSL_connect(ssl_) == 1;
    ERR_clear_error();
}

TlsClient::~TlsClient() {
    // As a client that keeps its session does: without it OpenSSL throws the session away.
    if (connected_ && fd() >= 0) SSL_shutdown(ssl_);
    ERR_clear_error();
    SSL_free(ssl_);
    SSL_CTX_free(context_);
}

ssize_t TlsClient::raw_read(char* into, size_t size) {
    const int got = SSL_read(ssl_, into, static_cast<int>(size));
    if (got <= 0 && SSL_get_error(ssl_, got) == SSL_ERROR_WANT_READ) errno = EAGAIN;
    ERR_clear_error();
    return got;
}
ssize_t TlsClient::raw_write(const char* from, size_t size) {
    const int put = SSL_write(ssl_, from, static_cast<int>(size));
    ERR_clear_error();
    return put;
}

std::string TlsClient::peer_name() const {
    X509* certificate = SSL_get1_peer_certificate(ssl_);
    if (!certificate) return {};
    char name[256] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                              sizeof name);
    X509_free(certificate);
    return name;
}
std::string TlsClient::version() const {
    return SSL_get_version(ssl_);
}
std::string TlsClient::alpn() const {
    const unsigned char* text = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_, &text, &length);
    return {reinterpret_cast<const char*>(text), length};
}
bool TlsClient::closed_properly() const {
    return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
}
bool TlsClient::resumed() const {
    return SSL_session_reused(ssl_) == 1;
}

Server::Server(Limits limits, std::optional<TlsFiles> tls) {
    Listener::Options options;
    options.address = "127.0.0.1";
    options.limits = limits;
    options.tls = std::move(tls);
    listener = std::make_unique<Listener>(options, loops, pool, handler);
    loops.start();
    listener->start();
}

Server::~Server() {
    if (!drained_) drain(0s);
}

size_t Server::drain(Duration time) {
    std::promise<size_t> done;
    auto result = done.get_future();
    drained_ = true;
    scope.spawn(loops[1], [&]() -> Task<> {
        const size_t cut = co_await listener->drain(Loop::current().now() + time);
        done.set_value(cut);
    });
    const bool ended = result.wait_for(kPatience + time) == std::future_status::ready;
    EXPECT_TRUE(ended) << "the drain hangs";
    if (!ended) std::abort();
    while (scope.running() != 0) std::this_thread::yield();
    return result.get();
}

void Server::await_connections(size_t count) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (listener->connections() != count) {
        if (std::chrono::steady_clock::now() > until) {
            ADD_FAILURE() << listener->connections() << " connections, not " << count;
            return;
        }
        std::this_thread::yield();
    }
}

TestFile::TestFile(size_t size) : bytes_(size, '\0') {
    char name[] = "/tmp/weir-http-XXXXXX";
    const int fd = ::mkstemp(name);
    path_ = name;
    uint64_t state = size;
    for (char& c : bytes_) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        c = static_cast<char>(state >> 56);
    }
    for (size_t at = 0; at < size;) {
        const ssize_t put = ::write(fd, bytes_.data() + at, size - at);
        if (put <= 0) std::abort();
        at += static_cast<size_t>(put);
    }
    ::close(fd);
}
TestFile::~TestFile() {
    ::unlink(path_.c_str());
}
std::shared_ptr<const File> TestFile::open() const {
    return posix_files().open(path_, false);
}

namespace {
class FileSource : public Source {
public:
    FileSource(FilePiece whole, uint64_t step) : whole_(std::move(whole)), step_(step) {}
    Task<std::optional<Piece>> next(uint64_t max) override {
        if (whole_.length == 0) co_return std::nullopt;
        FilePiece piece = whole_;
        piece.length = std::min({whole_.length, max, step_});
        whole_.offset += piece.length;
        whole_.length -= piece.length;
        co_return Piece(std::move(piece));
    }

private:
    FilePiece whole_;
    uint64_t step_;
};
}  // namespace

std::unique_ptr<Source> file_source(std::shared_ptr<const File> file, uint64_t offset,
                                    uint64_t bytes, bool hot, uint64_t step) {
    FilePiece piece;
    piece.file = std::move(file);
    piece.offset = offset;
    piece.length = bytes;
    piece.hot = hot;
    return std::make_unique<FileSource>(std::move(piece), step);
}

}  // namespace weir::http
