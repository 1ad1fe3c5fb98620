// weir: a pull-through cache for container images. What it can do is in command_line.cc.
#include <iostream>

#include "app/command_line.h"
#include "app/process.h"

int main(int argc, char** argv) {
    weir::app::open_standard_descriptors();
    return weir::app::run(argc, argv, std::cout);
}
