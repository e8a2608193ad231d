#include "gatewright/runs/composition_trials.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/runs/progress.h"

namespace gw::inline runs {
namespace {

constexpr const char* kWhere = "composition.experts";

using Qualities = std::vector<std::vector<double>>;

double mean_of(const std::vector<double>& values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return values.empty() ? std::nan("") : sum / static_cast<double>(values.size());
}

/// Qualities of the experts at `kept` alone.
Qualities columns_of(const Qualities& all, const std::vector<size_t>& kept) {
  Qualities out;
  for (const auto& of_question : all) {
    out.emplace_back();
    for (const size_t m : kept) out.back().push_back(of_question[m]);
  }
  return out;
}

/// The mean quality where the expert of each question's row answers it.
double mapped_quality(const Qualities& quality, const std::vector<int64_t>& row, const ExpertMap& map) {
  std::vector<double> values;
  for (size_t q = 0; q < quality.size(); ++q)
    values.push_back(quality[q][static_cast<size_t>(map.expert[static_cast<size_t>(row[q])])]);
  return mean_of(values);
}

class CompositionTrial {
 public:
  CompositionTrial(const CompositionTrialOptions& options, const std::string& arm, int64_t seed,
                   const ArmRun& run, ArmResult& result)
      : o_(options),
        arm_(arm),
        rng_(Rng(static_cast<uint64_t>(seed)).fork("arms/composition")),
        run_(run),
        result_(result) {}

  void run() {
    split_ = split_questions(questions(), o_.outside, {o_.router_share, o_.scores_share}, rng_);
    programs_ = make_programs(kWhere, o_.experts);
    choose_teams();
    ask_all();
    make_router();
    judge_team();
    ask_live();
    judge_outside();
    judge_swap();
    draw_curves();
    simulate_cache();
    tell_experts();
  }

 private:
  std::vector<Question> questions() const {
    const bool file = !o_.questions.empty(), gaps = !o_.gaps.empty();
    GW_CHECK(file != gaps,
             "arms/composition: expected either \"questions\" or \"gaps\" in arm \"{}\", got {}", arm_,
             file ? "both" : "neither");
    return file ? read_questions(o_.questions) : gap_questions(*o_.gaps, rng_.fork("gaps"));
  }

  size_t place_of(const std::string& name) const {
    std::vector<std::string> names;
    for (size_t m = 0; m < programs_.size(); ++m) {
      if (programs_[m].name() == name) return m;
      names.push_back(programs_[m].name());
    }
    fail("arms/composition: unknown expert \"{}\" in swap{}", name, near_miss(name, names));
  }

  /// The team, and the one after the swap, as places among the programs.
  void choose_teams() {
    GW_CHECK(o_.swap.empty() || o_.swap.size() == 2,
             "arms/composition: expected the expert that leaves and the one that joins in swap, got {} names",
             o_.swap.size());
    for (size_t m = 0; m < programs_.size(); ++m) {
      if (o_.swap.empty() || m != place_of(o_.swap[1])) team_.push_back(m);
      if (o_.swap.empty() || m != place_of(o_.swap[0])) next_team_.push_back(m);
    }
  }

  std::vector<double> prices(const std::vector<size_t>& team) const {
    std::vector<double> price;
    for (const size_t m : team) price.push_back(programs_[m].options().price);
    return price;
  }

  void ask_all() {
    std::optional<Progress> progress;
    int64_t done = 0;
    if (run_.progress != nullptr) {
      auto how = progress_for(run_.progress, run_.now_s);
      how.label = arm_, how.unit = "answers";
      const auto each = split_.scores.size() + split_.test.size() + split_.outside.size();
      progress.emplace(static_cast<int64_t>(each * programs_.size()), how, 0);
    }
    const auto tick = [&] {
      ++done;
      if (progress) progress->update(done);
    };
    const auto asked = [&](const std::vector<Question>& questions) {
      return ask_programs(programs_, questions, o_.quality, run_.stop, tick);
    };
    scores_ = asked(split_.scores), test_ = asked(split_.test), outside_ = asked(split_.outside);
    int64_t answers = 0;
    std::vector<std::string> names;
    for (const auto& program : programs_)
      answers += program.record().answers, names.push_back(program.name());
    GW_CHECK(answers > 0,
             "arms/composition: expected answers of {} in arm \"{}\", got none; try the commands",
             fmt::join(names, ", "), arm_);
  }

  void make_router() {
    std::vector<std::string> texts;
    std::vector<int64_t> category;
    for (const auto& q : split_.router) texts.push_back(q.text), category.push_back(category_of(q));
    router_.emplace(texts, category, static_cast<int64_t>(split_.categories.size()), *o_.router);
  }

  int64_t category_of(const Question& question) const {
    const auto& names = split_.categories;
    return std::find(names.begin(), names.end(), question.category) - names.begin();
  }

  std::vector<int64_t> rows_of(const std::vector<Question>& questions, bool fallback) const {
    std::vector<int64_t> rows;
    for (const auto& q : questions) rows.push_back(row_of(router_->route(q.text), categories(), fallback));
    return rows;
  }

  int64_t categories() const { return static_cast<int64_t>(split_.categories.size()); }
  int64_t rows(bool fallback) const { return categories() + (fallback ? 1 : 0); }

  ScoreTable table_for(const std::vector<size_t>& team, bool fallback) const {
    return score_table(columns_of(scores_, team), rows_of(split_.scores, fallback), rows(fallback),
                       o_.caution, o_.prior);
  }

  void judge_team() {
    auto& m = result_.metrics;
    table_ = table_for(team_, o_.fallback);
    const auto quality = columns_of(test_, team_);
    const auto price = prices(team_);
    map_ = best_map(table_, price, o_.budget);
    m["single.quality"] = best_single(quality, price, o_.budget).quality;
    m["oracle.quality"] = oracle_bound(quality, price, o_.budget);
    std::vector<int64_t> truth;
    std::vector<double> right, unsure;
    for (const auto& q : split_.test) {
      const auto routed = router_->route(q.text);
      truth.push_back(category_of(q));
      right.push_back(routed.category == truth.back() ? 1 : 0), unsure.push_back(routed.unsure ? 1 : 0);
    }
    m["category_accuracy"] = mean_of(right), m["unsure"] = mean_of(unsure);
    m["known.quality"] = best_map(score_table(quality, truth, categories(), 0, 0), price, o_.budget).score;
    measured_ = mapped_quality(quality, rows_of(split_.test, o_.fallback), map_);
  }

  /// The composition as a user has it: processes, ledger, retries and second choices.
  void ask_live() {
    std::vector<ProgramExpert> team = taken_team();
    Composition composed(team, *router_, table_, o_);
    std::vector<double> quality, unanswered, first;
    for (const auto& q : split_.test) {
      if (run_.stop.requested()) throw Interrupted("interrupted while asking; nothing is kept of this arm");
      const auto reply = composed.ask(q.text);
      quality.push_back(reply.answered ? answer_quality(o_.quality, q.answer, answer_text(reply.answer)) : 0);
      unanswered.push_back(reply.answered ? 0 : 1), first.push_back(reply.first_choice ? 1 : 0);
    }
    auto& m = result_.metrics;
    m["quality"] = mean_of(quality), m["price"] = composed.ledger().mean();
    m["gain"] = m["quality"] - m["single.quality"];
    m["gain_share"] = m["gain"] / (m["oracle.quality"] - m["single.quality"]);
    m["unanswered"] = mean_of(unanswered), m["first_choice"] = mean_of(first);
    for (size_t i = 0; i < team_.size(); ++i) programs_[team_[i]] = std::move(team[i]);
    for (const auto& program : programs_)
      m["failures"] += static_cast<double>(program.record().failures()),
          m["starts"] += static_cast<double>(program.record().starts);
  }

  std::vector<ProgramExpert> taken_team() {
    std::vector<ProgramExpert> team;
    for (const size_t m : team_) team.push_back(std::move(programs_[m]));
    return team;
  }

  void judge_outside() {
    if (split_.outside.empty()) return;
    auto& m = result_.metrics;
    const auto quality = columns_of(outside_, team_);
    const auto price = prices(team_);
    const auto judged = [&](bool fallback) {
      return mapped_quality(quality, rows_of(split_.outside, fallback),
                            best_map(table_for(team_, fallback), price, o_.budget));
    };
    m["outside.quality"] = judged(true), m["outside.forced"] = judged(false);
    m["outside.gain"] = m["outside.quality"] - m["outside.forced"];
    const auto map = best_map(table_for(team_, true), price, o_.budget);
    std::vector<double> unsure, paid;
    for (const int64_t row : rows_of(split_.outside, true)) {
      unsure.push_back(row == categories() ? 1 : 0);
      paid.push_back(price[static_cast<size_t>(map.expert[static_cast<size_t>(row)])]);
    }
    m["outside.unsure"] = mean_of(unsure), m["outside.price"] = mean_of(paid);
  }

  void judge_swap() {
    if (o_.swap.empty()) return;
    auto& m = result_.metrics;
    const auto price = prices(next_team_);
    const auto quality = columns_of(test_, next_team_);
    const auto map = best_map(table_for(next_team_, o_.fallback), price, o_.budget);
    m["swap.quality"] = mapped_quality(quality, rows_of(split_.test, o_.fallback), map);
    m["swap.gain"] = m["swap.quality"] - best_single(quality, price, o_.budget).quality;
    m["swap.change"] = m["swap.quality"] - measured_;
  }

  void draw_curves() {
    const auto price = prices(team_);
    const auto quality = columns_of(test_, team_);
    const auto rows = rows_of(split_.test, o_.fallback);
    const double cheapest = *std::min_element(price.begin(), price.end());
    auto budgets = o_.budgets.empty() ? std::vector<double>{o_.budget} : o_.budgets;
    std::sort(budgets.begin(), budgets.end());
    for (const char* name : {"quality", "single", "oracle"}) result_.curves[name].axis = "budget";
    for (const double budget : budgets) {
      if (budget < cheapest) continue;
      const auto add = [&](const char* name, double y) {
        result_.curves[name].x.push_back(budget), result_.curves[name].y.push_back(y);
      };
      add("quality", mapped_quality(quality, rows, best_map(table_, price, budget)));
      add("single", best_single(quality, price, budget).quality);
      add("oracle", oracle_bound(quality, price, budget));
    }
  }

  /// Experts in the order in which 10,000 questions ask for them whose categories come by Zipf's law.
  void simulate_cache() {
    constexpr int64_t kCalls = 10000;
    std::vector<double> up_to;
    for (int64_t k = 0; k < categories(); ++k)
      up_to.push_back((k == 0 ? 0 : up_to.back()) + std::pow(static_cast<double>(k + 1), -o_.zipf));
    const auto order = rng_.fork("categories").permutation(categories());
    const auto draw = rng_.fork("calls");
    std::vector<int64_t> calls;
    for (int64_t i = 0; i < kCalls; ++i) {
      const double at = draw.uniform(static_cast<uint64_t>(i)) * up_to.back();
      const auto k = std::min<int64_t>(std::upper_bound(up_to.begin(), up_to.end(), at) - up_to.begin(),
                                       categories() - 1);
      calls.push_back(map_.expert[static_cast<size_t>(order[static_cast<size_t>(k)])]);
    }
    auto& curve = result_.curves["hit_rate"];
    curve.axis = "slots";
    const auto experts = static_cast<int64_t>(team_.size());
    for (int64_t slots = 1; slots <= experts; ++slots)
      curve.x.push_back(static_cast<double>(slots)), curve.y.push_back(cache_hit_rate(calls, slots));
    result_.metrics["hit_rate"] = cache_hit_rate(calls, std::max<int64_t>(1, experts / 2));
  }

  void tell_experts() {
    ValueTable experts{"expert",
                       {"price", "quality", "answers", "failures", "timeouts", "deaths", "nonsense",
                        "declined", "missing", "starts", "given up", "ms an answer"},
                       {},
                       {}};
    for (size_t m = 0; m < programs_.size(); ++m) {
      const auto& r = programs_[m].record();
      const auto count = [](int64_t n) { return static_cast<double>(n); };
      experts.names.push_back(programs_[m].name());
      experts.values.push_back(
          {programs_[m].options().price, best_single(columns_of(test_, {m}), {0}, 0).quality,
           count(r.answers), count(r.failures()), count(r.timeouts), count(r.deaths), count(r.nonsense),
           count(r.declined), count(r.missing), count(r.starts), programs_[m].given_up() ? 1.0 : 0.0,
           1000 * r.seconds / count(std::max<int64_t>(r.answers, 1))});
    }
    ValueTable scores{"category", {"share"}, split_.categories, {}};
    if (o_.fallback) scores.names.emplace_back("unsure");
    for (const size_t m : team_) scores.columns.push_back(programs_[m].name());
    scores.columns.emplace_back("chosen");
    for (size_t r = 0; r < table_.score.size(); ++r) {
      scores.values.push_back({table_.share[r]});
      auto& row = scores.values.back();
      row.insert(row.end(), table_.score[r].begin(), table_.score[r].end());
      row.push_back(static_cast<double>(map_.expert[r] + 1));
    }
    result_.tables["experts"] = std::move(experts), result_.tables["scores"] = std::move(scores);
  }

  const CompositionTrialOptions& o_;
  std::string arm_;
  Rng rng_;
  const ArmRun& run_;
  ArmResult& result_;
  QuestionSplit split_;
  std::vector<ProgramExpert> programs_;
  std::vector<size_t> team_, next_team_;
  Qualities scores_, test_, outside_;
  std::optional<CategoryRouter> router_;
  ScoreTable table_;
  ExpertMap map_;
  double measured_ = 0;
};

}  // namespace

void TeamOptions::fields(OptionVisitor& v) {
  CompositionOptions::fields(v);
  v.table("experts", experts, "a name for each: { command = [\"python3\", \"mine.py\"], price = 2.0 }");
  v.text("questions", questions, "file of JSON lines with text, answer and category");
  v.text("quality", quality, "what an answer is worth", answer_qualities());
}

void CompositionTrialOptions::fields(OptionVisitor& v) {
  TeamOptions::fields(v);
  v.table("gaps", gaps, "gaps to fill in pieces of text files, in place of questions");
  v.texts("outside", outside, "categories that the router must not know");
  v.texts("swap", swap, "an expert that leaves later, and the one that joins in its place");
  v.real("router_share", router_share, "of the questions: known to the router", 0.01, 0.98);
  v.real("scores_share", scores_share, "of the questions: experts are scored on", 0.01, 0.98);
  v.real("zipf", zipf, "exponent of the categories' frequencies for the cache", 0, 10);
  v.reals("budgets", budgets, "budgets of the curves", 0, 1e12);
}

std::string answer_text(const Json& answer) { return answer.is_string() ? answer.text() : answer.dump(); }

std::vector<ProgramExpert> make_programs(const std::string& where, const OptionTable& table,
                                         const std::vector<std::string>& names) {
  std::vector<ProgramExpert> programs;
  for (auto& [name, options] : read_programs(where, table.json())) {
    if (names.empty() || std::find(names.begin(), names.end(), name) != names.end())
      programs.emplace_back(name, with_data_paths(where + "." + name, std::move(options)));
  }
  return programs;
}

std::vector<std::vector<double>> ask_programs(std::vector<ProgramExpert>& experts,
                                              const std::vector<Question>& questions,
                                              const std::string& quality, const Stop& stop,
                                              const std::function<void()>& tick) {
  Qualities all;
  for (const auto& question : questions) {
    all.emplace_back();
    for (auto& expert : experts) {
      if (stop.requested()) throw Interrupted("interrupted while asking; nothing is kept of this arm");
      const auto reply = expert.ask(question.text);
      all.back().push_back(
          reply.answered ? answer_quality(quality, question.answer, answer_text(reply.answer)) : 0);
      if (tick) tick();
    }
  }
  return all;
}

void try_composition(const CompositionTrialOptions& options, const std::string& arm, int64_t seed,
                     const ArmRun& run, ArmResult& result) {
  CompositionTrial(options, arm, seed, run, result).run();
}

LeftNames composition_trial_names() {
  return {{"quality",        "price",         "single.quality",    "gain",           "oracle.quality",
           "gain_share",     "known.quality", "category_accuracy", "unsure",         "outside.quality",
           "outside.forced", "outside.gain",  "outside.price",     "outside.unsure", "swap.quality",
           "swap.gain",      "swap.change",   "unanswered",        "first_choice",   "failures",
           "starts",         "hit_rate"},
          {"quality", "single", "oracle", "hit_rate"},
          {"experts", "scores"}};
}

}  // namespace gw::inline runs
