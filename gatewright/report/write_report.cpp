#include "gatewright/report/write_report.h"

#include "gatewright/base/file.h"
#include "gatewright/report/report.h"

namespace gw::inline report {

std::vector<std::string> write_report(const std::string& path, const std::vector<std::string>& directories) {
  auto page = make_report(directories);
  write_atomic(path, page.html);
  return std::move(page.in_short);
}

}  // namespace gw::inline report
