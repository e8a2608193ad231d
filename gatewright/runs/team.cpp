#include "gatewright/runs/team.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/train/toml.h"

namespace gw::inline runs {
namespace {

constexpr const char* kTeamFormat = "gatewright team";
constexpr int64_t kTeamVersion = 1;
constexpr uint64_t kTeamFileBytes = uint64_t{1} << 20;

int64_t place_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) - names.begin();
}

CategoryRouter router_of(const Team& team) {
  std::vector<std::string> texts;
  std::vector<int64_t> category;
  for (const auto& q : team.known)
    texts.push_back(q.text), category.push_back(place_in(team.categories, q.category));
  return {texts, category, static_cast<int64_t>(team.categories.size()), *team.options.router};
}

std::vector<double> means_of(const std::vector<std::vector<double>>& quality, size_t experts) {
  std::vector<double> mean(experts, 0);
  for (const auto& of_question : quality)
    for (size_t m = 0; m < experts; ++m) mean[m] += of_question[m] / static_cast<double>(quality.size());
  return mean;
}

/// Lists of the file must be as long as each other, and its numbers finite.
void check_team(const Team& team, const std::string& where) {
  const size_t rows = team.categories.size() + (team.options.fallback ? 1 : 0);
  GW_CHECK(team.categories.size() >= 2 && !team.known.empty() && team.alone.size() == team.names.size(),
           "{}: expected categories, known questions and a quality for each of {} experts, got {}, {} and {}",
           where, team.names.size(), team.categories.size(), team.known.size(), team.alone.size());
  for (const auto& q : team.known)
    GW_CHECK(place_in(team.categories, q.category) < static_cast<int64_t>(team.categories.size()),
             "{}: expected a known category, got \"{}\"", where, shown(q.category, 40));
  GW_CHECK(team.table.score.size() == rows && team.table.share.size() == rows,
           "{}: expected {} rows of scores and shares, got {} and {}", where, rows, team.table.score.size(),
           team.table.share.size());
  for (const auto& row : team.table.score) {
    GW_CHECK(row.size() == team.names.size() &&
                 std::all_of(row.begin(), row.end(), [](double s) { return std::isfinite(s); }),
             "{}: expected {} scores in every row, got {}", where, team.names.size(), row.size());
  }
}

}  // namespace

Team compose_team(const TeamOptions& options, const ComposeRun& run) {
  GW_CHECK(!options.questions.empty(), "compose: expected \"questions\", a file of JSON lines, got none");
  Team team;
  team.options = options;
  const Rng rng = Rng(static_cast<uint64_t>(run.seed)).fork("compose");
  const double rest = 1 - run.router_share;
  auto split = split_questions(read_questions(options.questions), {}, {run.router_share, rest / 2}, rng);
  // Nothing is tested here: all that the router does not know is scored on.
  split.scores.insert(split.scores.end(), split.test.begin(), split.test.end());
  team.categories = split.categories, team.known = split.router;
  auto programs = make_programs("experts", options.experts);
  for (const auto& program : programs) team.names.push_back(program.name());
  const auto total = static_cast<int64_t>(split.scores.size() * programs.size());
  int64_t done = 0, answers = 0;
  const auto quality = ask_programs(programs, split.scores, options.quality, run.stop, [&] {
    if (run.tick) run.tick(++done, total);
  });
  for (const auto& program : programs) answers += program.record().answers;
  GW_CHECK(answers > 0, "compose: expected answers of {} experts, got none; try their commands",
           programs.size());
  const auto router = router_of(team);
  std::vector<int64_t> row;
  for (const auto& q : split.scores)
    row.push_back(row_of(router.route(q.text), router.categories(), options.fallback));
  team.table = score_table(quality, row, router.categories() + (options.fallback ? 1 : 0), options.caution,
                           options.prior);
  team.alone = means_of(quality, team.names.size());
  best_map(team.table, prices_of(programs), options.budget);  // refuses a budget that nobody is in
  return team;
}

TeamOptions read_team_options(const std::string& path) {
  TeamOptions options;
  parse_options(shown(path), parse_toml(read_file(path, kTeamFileBytes), shown(path)), options);
  read_programs("experts", options.experts.json());
  return options;
}

void write_team(const std::string& path, const Team& team) {
  auto options = team.options;
  Json known = Json::array();
  for (const auto& q : team.known) known.push_back({{"text", q.text}, {"category", q.category}});
  write_atomic(path, dump_json({{"format", kTeamFormat},
                                {"version", kTeamVersion},
                                {"options", write_options(options)},
                                {"names", team.names},
                                {"categories", team.categories},
                                {"known", known},
                                {"scores", team.table.score},
                                {"share", team.table.share},
                                {"alone", team.alone}}) +
                         "\n");
}

Team read_team(const std::string& path) {
  const auto file = read_json(path);
  const auto where = shown(path);
  GW_CHECK(file.is_object() && file.value("format", Json()) == kTeamFormat,
           "{}: expected a team of `gatewright compose`, got something else", where);
  GW_CHECK(file.value("version", Json()) == kTeamVersion, "{}: expected version {}, got {}", where,
           kTeamVersion, file.value("version", Json()).dump());
  Team team;
  try {
    parse_options(where, file.at("options"), team.options);
    team.names = file.at("names").get<std::vector<std::string>>();
    team.categories = file.at("categories").get<std::vector<std::string>>();
    for (const auto& q : file.at("known"))
      team.known.push_back({q.at("text").text(), "", q.at("category").text()});
    team.table.score = file.at("scores").get<std::vector<std::vector<double>>>();
    team.table.share = file.at("share").get<std::vector<double>>();
    team.alone = file.at("alone").get<std::vector<double>>();
  } catch (const JsonError& error) {
    throw ValueError(fmt::format("{}: {}; compose the team again", where, error.what()));
  }
  check_team(team, where);
  const auto programs = read_programs(where, team.options.experts.json());
  GW_CHECK(programs.size() == team.names.size(), "{}: expected {} experts, got {}", where, team.names.size(),
           programs.size());
  for (size_t m = 0; m < programs.size(); ++m)
    GW_CHECK(programs[m].first == team.names[m], "{}: expected the expert \"{}\", got \"{}\"", where,
             team.names[m], programs[m].first);
  return team;
}

AskedTeam::AskedTeam(const Team& team)
    : experts_(make_programs("experts", team.options.experts)),
      router_(router_of(team)),
      composed_(experts_, router_, team.table, team.options) {}

}  // namespace gw::inline runs
