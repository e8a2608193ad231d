#include <cstdio>
#include <cstdlib>

#include "apps/cli/command_line.h"

int main(int argc, char** argv) {
  const int code = gw::command_line(argc, argv);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return code;  // what is left is reported then
#else
  // libtorch takes its operators off its tables one by one where a process ends in order.
  std::fflush(nullptr);
  std::_Exit(code);
#endif
}
