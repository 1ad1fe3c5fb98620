// http/session.h: HTTP/1.1 on one connection: requests in order, one answer each.
//
// One coroutine, serve(), which lives in the listener's Scope. What needs no waiting (a whole head
// has arrived, the handler answers now, the socket takes it all) happens without another coroutine
// and without an allocation of ours.
#pragma once
#include <optional>
#include <string>

#include "async/pool.h"
#include "http/connection.h"
#include "http/head.h"
#include "http/message.h"
#include "http/read_buffer.h"
#include "http/request_body.h"
#include "http/sender.h"

namespace weir::http {

class Session {
public:
    // References outlive the session.
    Session(Lane&, std::unique_ptr<Transport>, std::string peer, Handler&, Pool&);
    ~Session();

    // Until the connection's end.
    Task<> serve();

    // Own loop. No further request after the running one; an idle connection ends now.
    void drain();
    // Ends the connection in the middle of whatever it does.
    void cut();

    size_t place = 0;  // in the lane's list

private:
    Task<bool> open();
    Task<bool> fill();
    void prepare();
    bool answer_now();
    Task<> answer();
    void start(Response);
    void finish();
    Task<> refuse(HeadError);
    Task<> close();
    Task<> linger();
    Response response_to(std::exception_ptr, const Request*);

    Lane& lane_;
    Handler& handler_;
    Pool& pool_;
    std::string peer_;
    Connection connection_;
    ReadBuffer buffer_;
    Head head_;
    Request request_;
    RequestBody body_;
    Sender sender_;
    std::optional<Response> response_;
    bool has_body_ = false;
    bool keep_ = true;  // another request may follow
    bool lingers_ =
        false;  // the client may still be sending: it must see the answer before the end
};

}  // namespace weir::http
