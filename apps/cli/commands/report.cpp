#include <fmt/format.h>

#include "apps/cli/command.h"
#include "gatewright/base/shown.h"
#include "gatewright/report/write_report.h"

namespace gw {
namespace {

/// Makes the HTML report of runs or checks again; several are compared on one page.
class ReportCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Make the HTML report of runs or checks; several are compared on one page.";

  const char* example() const override {
    return "gatewright report runs/check-advmoe-tiny --out report.html";
  }

  void declare(CLI::App& app) override {
    app.add_option("runs", runs_, "run or check directories")->required();
    app.add_option("--out", out_, "the file; default report.html in the only directory given, or here")
        ->check(not_empty);
  }

  int run() override {
    const auto path = !out_.empty()       ? out_
                      : runs_.size() == 1 ? runs_.front() + "/report.html"
                                          : std::string("report.html");
    write_report(path, runs_);
    fmt::print("{}\n", shown(path));
    return 0;
  }

 private:
  std::vector<std::string> runs_;
  std::string out_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::ReportCommand);
