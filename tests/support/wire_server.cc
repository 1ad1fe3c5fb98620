#include "support/wire_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace weir::test {
namespace {

void must(bool holds, const char* what) {
    if (!holds) throw std::runtime_error(what);
}

void add_extension(X509* certificate, int id, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value);
    must(extension != nullptr, "an extension");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

}  // namespace

TestIdentity::TestIdentity(const std::string& names)
    : certificate_(directory_ / "identity.crt"), key_(directory_ / "identity.key") {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    must(key && certificate, "a key and a certificate");
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("weir test"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate, NID_subject_alt_name, names.c_str());
    must(X509_sign(certificate, key, EVP_sha256()) > 0, "a signature");
    FILE* file = std::fopen(certificate_.c_str(), "w");
    PEM_write_X509(file, certificate);
    std::fclose(file);
    file = std::fopen(key_.c_str(), "w");
    PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

Peer::~Peer() {
    close();
    SSL_free(ssl_);
}

bool Peer::start_tls() {
    return !ssl_ || SSL_accept(ssl_) == 1;
}

bool Peer::fill() {
    char piece[16 * 1024];
    const auto count =
        ssl_ ? SSL_read(ssl_, piece, sizeof piece) : recv(descriptor_, piece, sizeof piece, 0);
    if (count <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(count));
    return true;
}

std::string Peer::read_head() {
    size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
        if (!fill()) return {};
    std::string head = buffer_.substr(0, end + 4);
    buffer_.erase(0, end + 4);
    return head;
}

std::string Peer::read_bytes(size_t count) {
    while (buffer_.size() < count)
        if (!fill()) break;
    std::string out = buffer_.substr(0, count);
    buffer_.erase(0, out.size());
    return out;
}

bool Peer::write(std::string_view text) {
    while (!text.empty()) {
        const auto count = ssl_ ? SSL_write(ssl_, text.data(), static_cast<int>(text.size()))
                                : send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
        if (count <= 0) return false;
        text.remove_prefix(static_cast<size_t>(count));
    }
    return true;
}

bool Peer::leaves_within(std::chrono::milliseconds time) {
    pollfd entry{descriptor_, POLLIN, 0};
    if (poll(&entry, 1, static_cast<int>(time.count())) <= 0) return false;
    return !fill();
}

void Peer::close() {
    std::lock_guard lock(mutex_);
    if (descriptor_ < 0) return;
    ::close(std::exchange(descriptor_, -1));
}

void Peer::reset() {
    const linger hard{1, 0};
    setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
}

void Peer::shut() {
    std::lock_guard lock(mutex_);
    if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_RDWR);
}

WireServer::WireServer(Script script, WireTls tls) : script_(std::move(script)) {
    std::signal(SIGPIPE, SIG_IGN);
    if (!tls.certificate_file.empty()) {
        context_ = SSL_CTX_new(TLS_server_method());
        must(SSL_CTX_use_certificate_chain_file(context_, tls.certificate_file.c_str()) == 1,
             "a certificate");
        must(SSL_CTX_use_PrivateKey_file(context_, tls.key_file.c_str(), SSL_FILETYPE_PEM) == 1,
             "a key");
        if (!tls.client_ca_file.empty()) {
            must(SSL_CTX_load_verify_file(context_, tls.client_ca_file.c_str()) == 1, "a CA");
            SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                               nullptr);
        }
    }
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    must(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0, "a port");
    must(listen(listener_, 512) == 0, "a listening port");
    must(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0,
         "a port's number");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { serve(); });
}

WireServer::~WireServer() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        for (const auto& peer : peers_) peer->shut();
    }
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (auto& thread : threads_) thread.join();
    ::close(listener_);
    peers_.clear();
    SSL_CTX_free(context_);
}

void WireServer::serve() {
    for (;;) {
        const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (descriptor < 0) return;
        const timeval patience{20, 0};
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        std::lock_guard lock(mutex_);
        if (stopping_) {
            ::close(descriptor);
            return;
        }
        ++accepted_;
        threads_.emplace_back([this, descriptor] { converse(descriptor); });
    }
}

void WireServer::converse(int descriptor) {
    SSL* ssl = nullptr;
    if (context_) {
        ssl = SSL_new(context_);
        SSL_set_fd(ssl, descriptor);
    }
    auto peer = std::make_shared<Peer>(descriptor, ssl);
    {
        std::lock_guard lock(mutex_);
        peers_.push_back(peer);
        if (stopping_) peer->shut();
    }
    if (peer->start_tls()) script_(*peer);
    peer->close();
}

WireServer::Script WireServer::answers(std::function<std::string(const std::string&)> answer) {
    return [answer = std::move(answer)](Peer& peer) {
        for (;;) {
            const std::string head = peer.read_head();
            if (head.empty() || !peer.write(answer(head))) return;
        }
    };
}

std::string WireServer::url(std::string_view host) const {
    return fmt::format("{}://{}:{}", context_ ? "https" : "http", host, port_);
}

int WireServer::accepted() const {
    std::lock_guard lock(mutex_);
    return accepted_;
}

std::vector<std::string> WireServer::requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
}

void WireServer::note(const std::string& head) {
    std::lock_guard lock(mutex_);
    requests_.push_back(head);
}

std::string http_answer(int status, std::string_view body, std::string_view fields) {
    return fmt::format("HTTP/1.1 {} Said\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(),
                       fields, body);
}

}  // namespace weir::test
