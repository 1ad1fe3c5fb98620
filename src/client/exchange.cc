#include "client/exchange.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "client/guard.h"

namespace weir::client {
namespace {

constexpr long kUploadBufferBytes = 256 * 1024;

TimePoint now() {
    return system_clock().now();
}

bool has_line_break(std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

template <class T>
void set(CURL* easy, CURLoption option, T value) {
    // Fails only for options that this libcurl lacks; those that matter are covered by tests.
    curl_easy_setopt(easy, option, value);
}

}  // namespace

Exchange::Exchange(Call call, Url url, std::string proxy, std::shared_ptr<Sink> sink,
                   Reply<ReplyEnd>::Setter setter)
    : call_(std::move(call)),
      url_(std::move(url)),
      proxy_(std::move(proxy)),
      sink_(std::move(sink)),
      setter_(std::move(setter)) {}

Exchange::~Exchange() {
    if (easy_) curl_easy_cleanup(easy_);
    curl_slist_free_all(lines_);
    curl_slist_free_all(addresses_);
}

bool Exchange::begin(Workshop& workshop) {
    started_ = now();
    alarms_ = &workshop.alarms;
    gathering_ = &workshop.gathering;
    workshop_ = &workshop;
    // Behind a proxy only the proxy's address is seen, so an address that stands in the URL is
    // judged as it is.
    const auto kind = classify_host(url_.host);
    if (kind && !allowed(call_.guard, *kind)) {
        verdict_ = End::forbidden;
        detail_ = fmt::format("{} is a {} address", url_.host, address_kind_name(*kind));
        return false;
    }
    if (!set_places()) return false;
    easy_ = curl_easy_init();
    if (!easy_ || !set_fields()) {
        if (!verdict_) end_as(End::unreachable, "out of memory");
        return false;
    }
    set_request();
    set_network(workshop);
    alarms_->set(this, started_ + call_.timeouts.connect);
    return true;
}

bool Exchange::set_fields() {
    const auto add = [this](std::string_view name, std::string_view value) {
        if (has_line_break(name) || has_line_break(value)) {
            end_as(End::protocol, fmt::format("a line break in field {}", name.substr(0, 40)));
            return false;
        }
        // libcurl's way to say "with an empty value" is a semicolon.
        const std::string line =
            value.empty() ? fmt::format("{};", name) : fmt::format("{}: {}", name, value);
        curl_slist* longer = curl_slist_append(lines_, line.c_str());
        if (longer) lines_ = longer;
        return longer != nullptr;
    };
    bool has_encoding = false;
    for (const auto& [name, value] : call_.fields) {
        has_encoding |= iequals(name, "Accept-Encoding");
        if (!add(name, value)) return false;
    }
    if (call_.bulk && !has_encoding && !add("Accept-Encoding", "identity")) return false;
    if (!call_.authorization.empty() && !add("Authorization", call_.authorization.reveal())) {
        detail_ = "a line break in the authorization";
        return false;
    }
    curl_slist* longer = curl_slist_append(lines_, "Expect:");
    if (longer) lines_ = longer;
    return longer != nullptr;
}

void Exchange::set_request() {
    set(easy_, CURLOPT_URL, url_.text().c_str());
    set(easy_, CURLOPT_PATH_AS_IS, 1L);
    set(easy_, CURLOPT_HTTPHEADER, lines_);
    if (call_.method == "HEAD") {
        set(easy_, CURLOPT_NOBODY, 1L);
    } else if (call_.upload) {
        set_upload();
    } else if (call_.method == "GET" && call_.body.empty()) {
        set(easy_, CURLOPT_HTTPGET, 1L);
    } else {
        set(easy_, CURLOPT_POST, 1L);
        set(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call_.body.size()));
        set(easy_, CURLOPT_POSTFIELDS, call_.body.data());
        if (call_.method != "POST") set(easy_, CURLOPT_CUSTOMREQUEST, call_.method.c_str());
    }
    set(easy_, CURLOPT_HEADERFUNCTION, &Exchange::on_header_line);
    set(easy_, CURLOPT_HEADERDATA, static_cast<void*>(this));
    set(easy_, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
    set(easy_, CURLOPT_WRITEDATA, static_cast<void*>(this));
    set(easy_, CURLOPT_PREREQFUNCTION, &Exchange::on_request_ready);
    set(easy_, CURLOPT_PREREQDATA, static_cast<void*>(this));
    set(easy_, CURLOPT_OPENSOCKETFUNCTION, &Exchange::on_socket);
    set(easy_, CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
    set(easy_, CURLOPT_PRIVATE, static_cast<void*>(this));
}

void Exchange::set_upload() {
    set(easy_, CURLOPT_UPLOAD, 1L);
    set(easy_, CURLOPT_CUSTOMREQUEST, call_.method.c_str());
    set(easy_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(call_.upload_bytes));
    set(easy_, CURLOPT_READFUNCTION, &Exchange::on_upload);
    set(easy_, CURLOPT_READDATA, static_cast<void*>(this));
    set(easy_, CURLOPT_SEEKFUNCTION, &Exchange::on_rewind);
    set(easy_, CURLOPT_SEEKDATA, static_cast<void*>(this));
    if (call_.bulk) set(easy_, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
}

void Exchange::set_network(const Workshop& workshop) {
    set(easy_, CURLOPT_SHARE, workshop.share);
    set(easy_, CURLOPT_ERRORBUFFER, error_);
    set(easy_, CURLOPT_NOSIGNAL, 1L);
    set(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy_, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(easy_, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    set(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(easy_, CURLOPT_USERAGENT, workshop.options.user_agent.c_str());
    // Should libcurl ask for a name all the same, it is not to wait for its thread.
    set(easy_, CURLOPT_QUICK_EXIT, 1L);
    set(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
    set(easy_, CURLOPT_TCP_KEEPIDLE, 30L);
    set(easy_, CURLOPT_TCP_KEEPINTVL, 15L);
    if (call_.bulk)
        set(easy_, CURLOPT_BUFFERSIZE, static_cast<long>(workshop.options.bulk_buffer_bytes));
    // An empty string keeps libcurl from reading the environment: proxy.h has done so.
    set(easy_, CURLOPT_PROXY, proxy_.c_str());
    set(easy_, CURLOPT_NOPROXY, "");
    set(easy_, CURLOPT_SSL_VERIFYPEER, call_.tls.verify ? 1L : 0L);
    set(easy_, CURLOPT_SSL_VERIFYHOST, call_.tls.verify ? 2L : 0L);
    set(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (call_.tls.verify) set_trust(workshop);
    if (!call_.tls.client_certificate.empty()) {
        set(easy_, CURLOPT_SSLCERT, call_.tls.client_certificate.c_str());
        set(easy_, CURLOPT_SSLKEY, call_.tls.client_key.c_str());
    }
}

void Exchange::set_trust(const Workshop& workshop) {
    const std::string& directory = call_.tls.ca_directory;
    const std::string& bundle = call_.tls.ca_file.empty() ? workshop.ca_file : call_.tls.ca_file;
    if (!directory.empty() || bundle.empty()) {
        set(easy_, CURLOPT_CAPATH, directory.empty() ? nullptr : directory.c_str());
        if (!bundle.empty()) set(easy_, CURLOPT_CAINFO, bundle.c_str());
        return;
    }
    authorities_ = workshop.authorities;
    bundle_ = bundle;
    set(easy_, CURLOPT_SSL_CTX_FUNCTION, &Exchange::on_tls);
    set(easy_, CURLOPT_SSL_CTX_DATA, static_cast<void*>(this));
    set(easy_, CURLOPT_CAINFO, nullptr);
    // No such directory is ever looked into: on_tls() puts another store in its place. It is what
    // tells libcurl that a connection with other authorities is not to be used again.
    const std::string mark = bundle + ".parsed";
    set(easy_, CURLOPT_CAPATH, mark.c_str());
}

// A new connection's context, before its handshake.
CURLcode Exchange::on_tls(CURL*, void* context, void* self) {
    const auto& exchange = *static_cast<Exchange*>(self);
    const auto store = exchange.authorities_->of(exchange.bundle_);
    if (!store) return CURLE_SSL_CACERT_BADFILE;
    SSL_CTX_set1_cert_store(static_cast<SSL_CTX*>(context), store.get());
    return CURLE_OK;
}

curl_socket_t Exchange::on_socket(void* self, curlsocktype, curl_sockaddr* address) {
    auto& exchange = *static_cast<Exchange*>(self);
    if (exchange.proxy_.empty()) {
        const auto kind = classify(&address->addr);
        if (!allowed(exchange.call_.guard, kind)) {
            exchange.refused_ = address_kind_name(kind);
            return CURL_SOCKET_BAD;
        }
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// The connection stands, new or used again, and nothing has been sent on it. A connection that was
// opened by a call with a weaker guard is judged here.
int Exchange::on_request_ready(void* self, char* address, char*, int, int) {
    auto& exchange = *static_cast<Exchange*>(self);
    if (exchange.proxy_.empty()) {
        const auto kind = classify_host(address);
        exchange.reply_.from_private = kind == AddressKind::private_network;
        if (!kind || !allowed(exchange.call_.guard, *kind)) {
            exchange.end_as(End::forbidden,
                            fmt::format("{} leads to a {} address", exchange.url_.host,
                                        address_kind_name(kind.value_or(AddressKind::unknown))));
            return CURL_PREREQFUNC_ABORT;
        }
    }
    exchange.phase_ = Phase::sent;
    exchange.last_sent_ = now();
    exchange.alarms_->set(&exchange, exchange.head_due());
    return CURL_PREREQFUNC_OK;
}

size_t Exchange::on_header_line(char* data, size_t size, size_t count, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    const size_t bytes = size * count;
    return exchange.take_line(std::string_view(data, bytes)) ? bytes : 0;
}

size_t Exchange::on_upload(char* into, size_t size, size_t count, void* self) {
    return static_cast<Exchange*>(self)->give_upload(
        std::as_writable_bytes(std::span(into, size * count)));
}

int Exchange::on_rewind(void* self, curl_off_t offset, int origin) {
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
    static_cast<Exchange*>(self)->upload_offset_ = static_cast<uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
}

size_t Exchange::on_body(char* data, size_t size, size_t count, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    // A piece that isn't taken is kept by libcurl and comes again after resume().
    if (exchange.paused_) return CURL_WRITEFUNC_PAUSE;
    const size_t bytes = size * count;
    const auto piece = std::as_bytes(std::span(data, bytes));
    const bool gathers = exchange.call_.gather;
    if (gathers ? !exchange.gather(piece) : !exchange.take_data(piece)) return CURL_WRITEFUNC_ERROR;
    return exchange.paused_ ? CURL_WRITEFUNC_PAUSE : bytes;
}

size_t Exchange::give_upload(std::span<std::byte> into) {
    last_sent_ = now();
    const uint64_t left = call_.upload_bytes - std::min(upload_offset_, call_.upload_bytes);
    if (left == 0) return 0;
    try {
        const size_t wanted = static_cast<size_t>(std::min<uint64_t>(left, into.size()));
        const size_t bytes = call_.upload->read(upload_offset_, into.first(wanted));
        upload_offset_ += bytes;
        if (bytes > 0) return bytes;
        end_as(End::stopped, fmt::format("the upload ends {} bytes early", left));
    } catch (const std::exception& error) {
        end_as(End::stopped, error.what());
    } catch (...) {
        end_as(End::stopped, "an unknown exception");
    }
    return CURL_READFUNC_ABORT;
}

// Before the head of the answer: when it, or the next read of the upload, must have come.
TimePoint Exchange::head_due() const {
    return last_sent_ +
           (uploading() ? Duration(call_.timeouts.stall) : Duration(call_.timeouts.response));
}

// false: more than any answer has a use for.
bool Exchange::count_line(size_t bytes) {
    const bool trailer = phase_ == Phase::body;  // of a chunked body
    size_t& sum = trailer ? trailer_bytes_ : head_bytes_;
    size_t& lines = trailer ? trailer_lines_ : head_lines_;
    sum += bytes;
    ++lines;
    if (sum > (trailer ? kMaxTrailerBytes : kMaxHeadBytes) ||
        lines > (trailer ? kMaxTrailerLines : kMaxHeadLines)) {
        end_as(End::protocol, trailer ? "the trailers after the answer are too large"
                                      : "the answer's head is too large");
        return false;
    }
    return true;
}

bool Exchange::take_line(std::string_view line) {
    if (!count_line(line.size())) return false;
    if (phase_ == Phase::body) return true;
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    ReplyHead& head = reply_.head;
    if (line.empty()) {
        if (head.status >= 200) return take_head();
        head = {};  // 100, 103: another head follows
        if (++early_heads_ > kMaxEarlyHeads) {
            end_as(End::protocol,
                   fmt::format("more than {} heads before the answer", kMaxEarlyHeads));
            return false;
        }
        return true;
    }
    if (istarts_with(line, "HTTP/")) {
        head = {};
        const auto status =
            parse_u64(line.substr(std::min(line.find(' '), line.size() - 1) + 1, 3));
        head.status = static_cast<int>(status.value_or(0));
        return true;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || line.starts_with(' ') || line.starts_with('\t'))
        return true;
    head.fields.list.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
    return true;
}

bool Exchange::take_head() {
    const TimePoint at = now();
    phase_ = Phase::body;
    reply_.time_to_head = at - started_;
    last_data_ = window_start_ = at;
    alarms_->set(this, at + call_.timeouts.stall);
    ReplyHead& head = reply_.head;
    if (!head.fields.has("Transfer-Encoding"))
        head.content_length = parse_u64(head.fields.get("Content-Length"));
    if (call_.method != "HEAD" && head.content_length && too_large(*head.content_length)) {
        end_as(End::too_large, fmt::format("{} bytes announced, {} allowed", *head.content_length,
                                           call_.max_body_bytes));
        return false;
    }
    if (!sink_) return true;
    try {
        return act(sink_->on_head(head));
    } catch (const std::exception& error) {
        end_as(End::stopped, error.what());
    } catch (...) {
        end_as(End::stopped, "an unknown exception");
    }
    return false;
}

// false: the transfer ends. A pause leaves `data` untaken, and uncounted.
bool Exchange::take_data(std::span<const std::byte> data) {
    last_data_ = now();
    if (too_large(reply_.body_bytes + data.size())) {
        reply_.body_bytes += data.size();
        end_as(End::too_large, fmt::format("more than {} bytes", call_.max_body_bytes));
        return false;
    }
    try {
        const BodyAction action = sink_ ? sink_->on_data(data) : BodyAction::go_on;
        if (action != BodyAction::pause) {
            reply_.body_bytes += data.size();
            window_bytes_ += data.size();
        }
        return act(action);
    } catch (const std::exception& error) {
        end_as(End::stopped, error.what());
    } catch (...) {
        end_as(End::stopped, "an unknown exception");
    }
    return false;
}

// A copy: libcurl's own buffer is good for this call only. A piece in whose middle the sink pauses
// comes again from its start.
bool Exchange::gather(std::span<const std::byte> piece) {
    last_data_ = now();
    const size_t whole = piece.size();
    const size_t here = std::min(again_, whole);
    again_ -= here;
    piece = piece.subspan(here);
    if (!gathered_) gathered_ = std::make_unique_for_overwrite<std::byte[]>(kGatherBytes);
    while (!piece.empty()) {
        if (gathered_bytes_ == 0) gathering_->push_back(this);
        const size_t bytes = std::min(piece.size(), kGatherBytes - gathered_bytes_);
        std::memcpy(gathered_.get() + gathered_bytes_, piece.data(), bytes);
        gathered_bytes_ += bytes;
        piece = piece.subspan(bytes);
        if (gathered_bytes_ == kGatherBytes && !hand_over()) return false;
        if (paused_) {
            again_ = whole - piece.size();
            return true;
        }
    }
    return true;
}

bool Exchange::hand_over() {
    if (gathered_bytes_ == 0) return true;
    std::erase(*gathering_, this);
    if (paused_) return true;
    const bool goes_on = take_data({gathered_.get(), gathered_bytes_});
    if (!paused_) gathered_bytes_ = 0;
    return goes_on;
}

bool Exchange::keep_end(CURLcode code) {
    if (judged() || !paused_ || gathered_bytes_ == 0) return false;
    kept_end_ = code;
    return true;
}

std::optional<CURLcode> Exchange::kept_end() const {
    return paused_ ? std::nullopt : kept_end_;
}

bool Exchange::act(BodyAction action) {
    if (action == BodyAction::stop) {
        end_as(End::stopped, "stopped by its receiver");
        return false;
    }
    if (action == BodyAction::pause) paused_ = true;
    return true;
}

CURLcode Exchange::resume() {
    if (!paused_) return CURLE_OK;
    paused_ = false;
    last_data_ = window_start_ = now();
    window_bytes_ = 0;
    if (!hand_over()) return CURLE_WRITE_ERROR;
    if (paused_ || kept_end_) return CURLE_OK;
    return curl_easy_pause(easy_,
                           CURLPAUSE_CONT);  // may hand over the kept piece before it returns
}

bool Exchange::on_alarm(TimePoint at) {
    const auto& timeouts = call_.timeouts;
    if (phase_ == Phase::naming) {
        end_as(End::unreachable, fmt::format("{} is not resolved within {} ms",
                                             places_[named_].host, timeouts.connect.count()));
        return true;
    }
    if (phase_ == Phase::sent && call_.upload && head_due() > at) {
        alarms_->set(this, head_due());
        return false;
    }
    if (phase_ == Phase::sent && uploading()) {
        end_as(End::timeout, fmt::format("nothing could be sent for {} s", timeouts.stall.count()));
        return true;
    }
    if (phase_ != Phase::body) {
        end_as(End::timeout, fmt::format("no answer within {} ms", timeouts.response.count()));
        return true;
    }
    if (paused_) last_data_ = window_start_ = at;  // our own slowness is no stall
    const TimePoint silent_at = last_data_ + timeouts.stall;
    const TimePoint window_at = window_start_ + timeouts.stall;
    if (at >= silent_at) {
        end_as(End::stalled, fmt::format("no data for {} s", timeouts.stall.count()));
        return true;
    }
    if (at >= window_at) {
        const auto wanted =
            timeouts.stall_bytes_per_second * static_cast<uint64_t>(timeouts.stall.count());
        if (window_bytes_ < wanted) {
            end_as(End::stalled,
                   fmt::format("{} bytes in {} s", window_bytes_, timeouts.stall.count()));
            return true;
        }
        window_start_ = at;
        window_bytes_ = 0;
    }
    alarms_->set(this, std::min(last_data_, window_start_) + timeouts.stall);
    return false;
}

void Exchange::end_as(End verdict, std::string detail) {
    verdict_ = verdict;
    detail_ = std::move(detail);
}

End Exchange::judge(CURLcode code) const {
    if (verdict_) return *verdict_;
    if (phase_ == Phase::body) {
        switch (code) {
            case CURLE_OK:
                return End::complete;
            case CURLE_PARTIAL_FILE:
            case CURLE_RECV_ERROR:
            case CURLE_SEND_ERROR:
            case CURLE_GOT_NOTHING:
                return End::cut;
            default:
                return End::protocol;
        }
    }
    if (!refused_.empty() && connecting()) return End::forbidden;
    switch (code) {
        case CURLE_OK:
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
            return End::protocol;
        default:
            return End::unreachable;
    }
}

std::string Exchange::describe(CURLcode code) const {
    if (verdict_) return detail_;
    if (code == CURLE_OK) return phase_ == Phase::body ? "" : "no head in the answer";
    if (!refused_.empty() && connecting())
        return fmt::format("{} leads to a {} address", url_.host, refused_);
    return error_[0] ? error_ : curl_easy_strerror(code);
}

void Exchange::finish(CURLcode code) {
    let_go_of_names(code);
    reply_.end = judge(code);
    reply_.detail = describe(code);
    reply_.connected = phase_ != Phase::connecting;
    if (phase_ != Phase::body) reply_.head = {};
    if (alarms_) alarms_->clear(this);
    if (easy_) curl_easy_cleanup(std::exchange(easy_, nullptr));
    sink_.reset();
    call_.upload.reset();
    setter_.set(std::move(reply_));
}

}  // namespace weir::client
