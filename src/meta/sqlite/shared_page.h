// meta/sqlite/shared_page.h: the first bytes of a file, mapped for reading, that no cut of the file
// can end the process by.
//
// An access to mapped memory has no error but SIGBUS, which comes where the page has to be brought
// in from a disk that fails, or lies beyond the end of a file that somebody has cut short. So the
// page is locked in memory: then no access asks the disk. And a SIGBUS in it puts a page of zeros
// in its place and says lost(): the owner then reads the file some other way.
//
// A SIGBUS anywhere else (SQLite maps weir.db-shm, and can't do without it) ends the process as
// ever, but says first what to do.
#pragma once
#include <atomic>
#include <cstddef>

namespace weir::meta {

class SharedPage {
public:
    // Not mapped where the system gives no locked memory, or has too many such pages.
    SharedPage(int file, size_t bytes);
    ~SharedPage();
    SharedPage(const SharedPage&) = delete;
    SharedPage& operator=(const SharedPage&) = delete;

    // nullptr: not mapped.
    const void* data() const { return data_; }
    // From now on the bytes are zeros, whatever the file has.
    bool lost() const noexcept;

private:
    void* data_ = nullptr;
    size_t place_ = 0;
};

}  // namespace weir::meta
