// http/tls_context.h: one set of certificate files, ready for handshakes. Shared by all loops;
// immutable.
#pragma once
#include <memory>

#include "http/listener.h"
#include "http/transport.h"

struct ssl_ctx_st;

namespace weir::http {

class TlsContext {
public:
    // Failure{config_invalid} that names the file and what is wrong with it.
    static std::shared_ptr<const TlsContext> load(const TlsFiles&);

    std::unique_ptr<Transport> transport(Socket) const;

private:
    explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
    std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace weir::http
