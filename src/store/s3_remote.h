// store/s3_remote.h: Remote in an S3 bucket.
#pragma once
#include <memory>

#include "s3/bucket.h"
#include "store/remote.h"

namespace weir::store {

// The bucket and the clock outlive it.
std::unique_ptr<Remote> make_s3_remote(s3::Bucket&, Clock&);

}  // namespace weir::store
