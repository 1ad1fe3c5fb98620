#include "http/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/redirect_error.hpp>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "base/failure.h"
#include "base/log.h"
#include "http/bind.h"
#include "http/http_metrics.h"
#include "http/lane.h"
#include "http/session.h"
#include "http/tls_context.h"

namespace weir::http {
namespace {

using namespace std::chrono_literals;
using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, Executor>;
using boost::system::error_code;

// Accepted in one turn of loop 0, before its connections have theirs.
constexpr int kAcceptsPerTurn = 64;
// Without descriptors or memory for more connections.
constexpr Duration kAcceptBackoff = 100ms;

}  // namespace

struct Listener::Impl : std::enable_shared_from_this<Listener::Impl> {
    Impl(const Options& options, LoopGroup& group, Pool& p, Handler& h)
        : pool(p),
          handler(h),
          bound(bind_socket(options.address, options.port)),
          acceptor(group[0].context()) {
        for (size_t i = 0; i < group.size(); ++i)
            lanes.push_back(std::make_unique<Lane>(group[i], options.limits));
        if (options.tls) tls = TlsContext::load(*options.tls);
        spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    ~Impl() {
        if (spare >= 0) ::close(spare);
        if (bound.fd >= 0) ::close(bound.fd);
    }

    Lane& least_busy() {
        Lane* best = lanes[0].get();
        for (auto& lane : lanes)
            if (lane->connections.load(std::memory_order_relaxed) <
                best->connections.load(std::memory_order_relaxed))
                best = lane.get();
        return *best;
    }
    std::shared_ptr<const TlsContext> context() {
        std::lock_guard lock(tls_mutex);
        return tls;
    }

    Task<> accept_loop();
    bool accept_some();
    void shed();
    void hand_over(int fd, const sockaddr_storage& from);
    Task<> serve(Lane*, int fd, int family, std::string peer);
    void ended(Lane&);
    void refuse(int fd);
    // On each lane's loop.
    void on_lanes(const std::function<void(Lane&)>& f) {
        for (auto& lane : lanes)
            lane->loop().post([self = shared_from_this(), l = lane.get(), f] { f(*l); });
    }

    Pool& pool;
    Handler& handler;
    BoundSocket bound;
    Acceptor acceptor;  // loop 0
    std::vector<std::unique_ptr<Lane>> lanes;
    std::mutex tls_mutex;
    std::shared_ptr<const TlsContext> tls;
    int spare = -1;  // given up to accept, and close, a connection when no descriptor is left
    std::atomic<size_t> total{0};
    std::atomic<bool> draining{false};
    std::mutex drain_mutex;
    std::vector<Firing> emptied;  // fired when `total` comes to 0
    Scope scope{"http listener"};
};

// Accepts what waits. true: all of it.
bool Listener::Impl::accept_some() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        const int fd = ::accept4(acceptor.native_handle(), reinterpret_cast<sockaddr*>(&from),
                                 &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(fd, from);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return true;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            shed();
            return false;
        }
        // Anything else is about that one connection, which is gone.
    }
    return true;
}

// No descriptor is left: the client learns at once instead of waiting in the backlog.
void Listener::Impl::shed() {
    http_metrics().refused.Increment();
    if (spare < 0) return;
    ::close(std::exchange(spare, -1));
    const int fd = ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) ::close(fd);
    spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

Task<> Listener::Impl::accept_loop() {
    bool short_of_descriptors = false;
    while (acceptor.is_open()) {
        error_code error;
        co_await acceptor.async_wait(Acceptor::wait_read,
                                     boost::asio::redirect_error(use_task, error));
        if (draining || !acceptor.is_open()) break;
        const bool plenty = accept_some();
        if (!plenty && !short_of_descriptors)
            log::warn("http", "no descriptor is left for a new connection");
        short_of_descriptors = !plenty;
        if (!plenty) co_await sleep_for(kAcceptBackoff);
    }
}

void Listener::Impl::refuse(int fd) {
    http_metrics().refused.Increment();
    if (!context()) {
        static constexpr std::string_view kText =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
            "Connection: close\r\n\r\n";
        [[maybe_unused]] const auto sent =
            ::send(fd, kText.data(), kText.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        ::shutdown(fd, SHUT_WR);
    }
    ::close(fd);
}

void Listener::Impl::hand_over(int fd, const sockaddr_storage& from) {
    if (total.load() >= lanes[0]->limits().max_connections) return refuse(fd);
    http_metrics().accepted.Increment();
    http_metrics().connections.Increment();
    Lane& lane = least_busy();
    ++lane.connections;
    ++total;
    scope.spawn(lane.loop(),
                [self = shared_from_this(), &lane, fd, family = from.ss_family,
                 peer = address_text(from)] { return self->serve(&lane, fd, family, peer); });
}

Task<> Listener::Impl::serve(Lane* own, int fd, int family, std::string peer) {
    Lane& lane = *own;
    try {
        error_code error;
        Socket socket(lane.loop().context());
        socket.assign(family == AF_INET6 ? boost::asio::ip::tcp::v6() : boost::asio::ip::tcp::v4(),
                      fd, error);
        if (error) {
            ::close(fd);
        } else {
            auto secure = context();
            auto transport =
                secure ? secure->transport(std::move(socket)) : plain_transport(std::move(socket));
            secure.reset();
            Session session(lane, std::move(transport), std::move(peer), handler, pool);
            co_await session.serve();
        }
    } catch (const std::exception& e) {
        log::error("http", "a connection ended with: {}", e.what());
    }
    ended(lane);
}

void Listener::Impl::ended(Lane& lane) {
    http_metrics().connections.Decrement();
    --lane.connections;
    if (--total != 0) return;
    std::vector<Firing> wake;
    {
        std::lock_guard lock(drain_mutex);
        wake.swap(emptied);
    }
    for (const auto& firing : wake) firing.fire();
}

Listener::Listener(Options options, LoopGroup& loops, Pool& pool, Handler& handler)
    : impl_(std::make_shared<Impl>(options, loops, pool, handler)) {
    // sendfile and SSL_write have no flag against it; a client that leaves must not end the
    // process.
    std::signal(SIGPIPE, SIG_IGN);
}

Listener::~Listener() = default;

uint16_t Listener::port() const {
    return impl_->bound.port;
}

size_t Listener::connections() const {
    return impl_->total;
}

void Listener::start() {
    auto& impl = *impl_;
    impl.scope.spawn(impl.lanes[0]->loop(), [self = impl_] {
        auto& bound = self->bound;
        self->acceptor.assign(
            bound.family == AF_INET6 ? boost::asio::ip::tcp::v6() : boost::asio::ip::tcp::v4(),
            std::exchange(bound.fd, -1));
        return self->accept_loop();
    });
}

std::shared_ptr<const TlsContext> Listener::prepare_tls(const TlsFiles& files) const {
    if (!impl_->context()) throw Failure(Kind::config_invalid, "this listener has no TLS");
    return TlsContext::load(files);
}

void Listener::set_tls(std::shared_ptr<const TlsContext> fresh) {
    std::lock_guard lock(impl_->tls_mutex);
    impl_->tls = std::move(fresh);
}

void Listener::set_limits(const Limits& limits) {
    auto shared = std::make_shared<const Limits>(limits);
    impl_->on_lanes([shared](Lane& lane) { lane.set_limits(shared); });
}

Task<size_t> Listener::drain(TimePoint deadline) {
    auto impl = impl_;
    impl->draining = true;
    impl->lanes[0]->loop().post([impl] {
        error_code ignored;
        impl->acceptor.close(ignored);
    });
    impl->on_lanes([](Lane& lane) {
        lane.draining = true;
        for (Session* session : lane.sessions()) session->drain();
    });
    Signal signal;
    {
        std::lock_guard lock(impl->drain_mutex);
        impl->emptied.push_back(Firing(signal));
    }
    while (impl->total != 0 && co_await signal.wait(deadline)) {
    }
    const size_t left = impl->total;
    impl->on_lanes([](Lane& lane) {
        for (Session* session : lane.sessions()) session->cut();
    });
    // What was cut ends as soon as its handler lets go; only then may handler and pool die.
    co_await impl->scope.join();
    co_return left;
}

}  // namespace weir::http
