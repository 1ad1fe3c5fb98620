#include "app/left_uploads.h"

#include <fmt/format.h>

namespace weir::app {

Task<LeftUploads> abort_left_uploads(Rooms& rooms, Duration grace, bool dry_run,
                                     std::function<void(const std::string&)> tell) {
    LeftUploads report;
    if (!rooms.remote) co_return report;
    const WallTime before =
        rooms.clock.wall() - std::chrono::duration_cast<std::chrono::microseconds>(grace);
    std::string next;
    do {
        const auto page = co_await rooms.remote->list_uploads(next);
        if (page.end != store::RemoteEnd::ok) {
            ++report.failed;
            tell(fmt::format("uploads that were left could not be listed: {}", page.detail));
            co_return report;
        }
        for (const auto& upload : page.uploads) {
            if (upload.started >= before) continue;
            const bool known = co_await rooms.pool.run([&rooms, &upload] {
                return rooms.engine.upload_id_known(upload.digest, upload.upload_id);
            });
            if (known) continue;
            tell(fmt::format("upload {} of blob {}: nobody goes on with it", upload.upload_id,
                             upload.digest.text()));
            if (!dry_run) {
                const auto answer =
                    co_await rooms.remote->abort_blob(upload.digest, upload.upload_id);
                if (answer.end != store::RemoteEnd::ok) {
                    ++report.failed;
                    tell(fmt::format("upload {} stays: {}", upload.upload_id, answer.detail));
                    continue;
                }
            }
            ++report.aborted;
        }
        next = page.next;
    } while (!next.empty());
    co_return report;
}

}  // namespace weir::app
