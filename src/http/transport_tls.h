// http/transport_tls.h: made by TlsContext only.
#pragma once
#include <memory>

#include "http/transport.h"

struct ssl_ctx_st;

namespace weir::http {

std::unique_ptr<Transport> tls_transport(ssl_ctx_st* context, Socket);

}  // namespace weir::http
