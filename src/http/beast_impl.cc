// Beast's separately compiled part: once, here.
#include <boost/beast/src.hpp>
