# room(NAME SOURCES... [DEPENDS rooms...] [LIBS targets...])
#
# One room, one static library, one include root: `#include "store/disk.h"` is found only by rooms that name `store`
# (or a room that does) in DEPENDS, so an arrow that points the wrong way does not compile. tools/lint.py checks that
# each include is of a room declared directly.
set(WEIR_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror)
set(WEIR_DEFINITIONS BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_SEPARATE_COMPILATION
    _GLIBCXX_ASSERTIONS _FILE_OFFSET_BITS=64)

add_library(weir_options INTERFACE)
target_compile_options(weir_options INTERFACE ${WEIR_WARNINGS} -pthread -fPIC -fno-omit-frame-pointer -Xclang -fno-pch-timestamp)
target_compile_definitions(weir_options INTERFACE ${WEIR_DEFINITIONS})
target_link_options(weir_options INTERFACE -fuse-ld=lld)
if(WEIR_SANITIZE)
    string(REPLACE "fuzzer" "fuzzer-no-link" _compile_sanitize "${WEIR_SANITIZE}")
    string(REGEX REPLACE "fuzzer,?" "" _link_sanitize "${WEIR_SANITIZE}")
    target_compile_options(weir_options INTERFACE -fsanitize=${_compile_sanitize} -fno-sanitize-recover=all)
    if(_link_sanitize)
        target_link_options(weir_options INTERFACE -fsanitize=${_link_sanitize})
    endif()
endif()

function(room NAME)
    cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;LIBS" ${ARGN})
    set(root ${CMAKE_BINARY_DIR}/include/${NAME})
    file(MAKE_DIRECTORY ${root})
    file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${NAME} ${root}/${NAME} SYMBOLIC)
    add_library(weir_${NAME} STATIC ${ROOM_SOURCES})
    target_include_directories(weir_${NAME} PUBLIC ${root})
    list(TRANSFORM ROOM_DEPENDS PREPEND weir_ OUTPUT_VARIABLE depends)
    target_link_libraries(weir_${NAME} PUBLIC ${depends} ${ROOM_LIBS} PRIVATE weir_options)
    if(NOT NAME STREQUAL "base")
        target_precompile_headers(weir_${NAME} REUSE_FROM weir_pch)
    endif()
endfunction()
