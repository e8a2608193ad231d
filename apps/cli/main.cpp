#include "apps/cli/command_line.h"

int main(int argc, char** argv) { return gw::command_line(argc, argv); }
