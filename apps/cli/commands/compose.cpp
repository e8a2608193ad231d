#include <fmt/format.h>

#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/team.h"

namespace gw {
namespace {

/// A team of programs: who is asked what, under a budget.
class ComposeCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Compose programs that answer questions into a team: score them by category, choose under a budget.";

  const char* example() const override { return "gatewright compose team.toml --out team.json"; }

  void declare(CLI::App& app) override {
    app.add_option("team", team_, "TOML file with questions, budget and a table of experts")->required();
    app.add_option("--out", out_, "file for the team; default: the same name with .json")->check(not_empty);
    app.add_option("--known", how_.router_share, "share of the questions that teaches the router")
        ->check(CLI::Range(0.05, 0.95))
        ->capture_default_str();
    app.add_option("--seed", how_.seed, "of the split")->check(at_least_zero)->capture_default_str();
    app.add_flag("--quiet", quiet_, "no progress");
  }

  int run() override {
    catch_signals();
    const auto options = read_team_options(team_);
    std::optional<Progress> progress;
    how_.stop = &stop_requested();
    how_.tick = [&](int64_t done, int64_t total) {
      if (quiet_) return;
      if (!progress) {
        auto show = progress_for(stderr, steady_now_s);
        show.label = "compose", show.unit = "answers";
        progress.emplace(total, show, 0);
      }
      progress->update(done);
    };
    const auto team = compose_team(options, how_);
    progress.reset();
    if (out_.empty()) out_ = team_.substr(0, team_.rfind('.')) + ".json";
    write_team(out_, team);
    print(team);
    return 0;
  }

 private:
  static void print(const Team& team) {
    std::vector<double> price;
    for (const auto& program : read_programs("experts", team.options.experts.json()))
      price.push_back(program.second.price);
    const auto map = best_map(team.table, price, team.options.budget);
    std::vector<std::vector<std::string>> rows{{"category", ">questions %", "expert", ">price", ">score %"}};
    for (size_t r = 0; r < team.table.score.size(); ++r) {
      const auto m = static_cast<size_t>(map.expert[r]);
      rows.push_back({r < team.categories.size() ? shown(team.categories[r]) : "(unsure)",
                      fmt::format("{:.1f}", 100 * team.table.share[r]), team.names[m],
                      fmt::format("{:g}", price[m]), fmt::format("{:.1f}", 100 * team.table.score[r][m])});
    }
    fmt::print("{}\n", format_table(rows));
    rows = {{"expert alone", ">price", ">quality %"}};
    for (size_t m = 0; m < team.names.size(); ++m)
      rows.push_back(
          {team.names[m], fmt::format("{:g}", price[m]), fmt::format("{:.1f}", 100 * team.alone[m])});
    fmt::print("{}\n", format_table(rows));
    fmt::print("expected: quality {:.1f} % (cautious), price {:.3g} of {:g}\n", 100 * map.score, map.price,
               team.options.budget);
  }

  std::string team_, out_;
  ComposeRun how_;
  bool quiet_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, ComposeCommand);
