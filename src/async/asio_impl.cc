// Asio's separately compiled part: once, here.
#include <boost/asio/impl/src.hpp>
