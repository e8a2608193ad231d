#include "observe/write_report.h"

#include "base/file.h"
#include "observe/report.h"

namespace gw {

std::vector<std::string> write_report(const std::string& path, const std::vector<std::string>& directories) {
  auto page = make_report(directories);
  write_atomic(path, page.html);
  return std::move(page.in_short);
}

}  // namespace gw
