#include "observe/write_report.h"

#include "base/file.h"
#include "observe/report.h"

namespace gw {

void write_report(const std::string& path, const std::vector<std::string>& directories) { write_atomic(path, render_report(directories)); }

}  // namespace gw
