#include "http/tls_context.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/failure.h"
#include "base/named_file.h"
#include "http/transport_tls.h"

namespace weir::http {
namespace {

// AES-128-GCM first: the cheapest with AES instructions on both sides; a client without them that
// puts ChaCha20 first gets it (SSL_OP_PRIORITIZE_CHACHA).
constexpr const char* kCiphers13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kCiphers12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kGroups = "X25519:P-256:P-384";

std::string reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    char text[256] = "unknown error";
    if (code != 0) ERR_error_string_n(code, text, sizeof text);
    return text;
}

[[noreturn]] void invalid(const char* what, const std::string& file) {
    throw Failure(Kind::config_invalid, fmt::format("{} {}: {}", what, file, reason()));
}

// RFC 7301: http/1.1 or nothing in common.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_length,
                    const unsigned char* in, unsigned int in_length, void*) {
    static constexpr unsigned char kOurs[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char* chosen = nullptr;
    const int found =
        SSL_select_next_proto(&chosen, out_length, kOurs, sizeof kOurs, in, in_length);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// A Go client keeps no sessions and says so by leaving the extension out; a ticket costs a tenth of
// its handshake.
int on_client_hello(SSL* ssl, int*, void*) {
    const unsigned char* modes = nullptr;
    size_t length = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk_kex_modes, &modes, &length) != 1)
        SSL_set_num_tickets(ssl, 0);
    return SSL_CLIENT_HELLO_SUCCESS;
}

// Without it every handshake would ask the kernel twice in vain.
bool kernel_has_tls() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    // A socket that is not connected can't have it: ENOTCONN. ENOENT: nobody can.
    const bool has = ::setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) == 0 || errno == ENOTCONN;
    ::close(fd);
    return has;
}

void set_options(SSL_CTX* context) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (kernel_has_tls()) SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_cipher_list(context, kCiphers12);
    SSL_CTX_set_ciphersuites(context, kCiphers13);
    SSL_CTX_set1_groups_list(context, kGroups);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    SSL_CTX_set_client_hello_cb(context, on_client_hello, nullptr);
    // Tickets resume without a table of ours. One is enough: each resumption brings a fresh one.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    static constexpr unsigned char kId[] = "weir";
    SSL_CTX_set_session_id_context(context, kId, sizeof kId - 1);
    // A record in one read instead of its header first.
    SSL_CTX_set_read_ahead(context, 1);
}

}  // namespace

std::shared_ptr<const TlsContext> TlsContext::load(const TlsFiles& files) {
    require_file("certificate", files.certificate);
    require_file("key", files.key);
    if (!files.client_ca.empty()) require_file("client CA", files.client_ca);
    ERR_clear_error();
    std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    if (!context) throw Failure(Kind::internal, "no TLS context: " + reason());
    set_options(context.get());
    // A key with a password is an error, not a question on a terminal.
    SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
    if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1)
        invalid("certificate", files.certificate);
    if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1)
        invalid("key", files.key);
    if (SSL_CTX_check_private_key(context.get()) != 1)
        invalid("the key does not belong to the certificate:", files.key);
    if (!files.client_ca.empty()) {
        if (SSL_CTX_load_verify_locations(context.get(), files.client_ca.c_str(), nullptr) != 1)
            invalid("client CA", files.client_ca);
        SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(files.client_ca.c_str()));
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           nullptr);
    }
    return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

std::unique_ptr<Transport> TlsContext::transport(Socket socket) const {
    return tls_transport(context_.get(), std::move(socket));
}

}  // namespace weir::http
