#include "gatewright/runs/table_scores.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/train/field_pairs.h"

namespace gw::inline runs {
namespace {

constexpr double kNormal = 1.959963984540054;  // of 95 %
constexpr int64_t kMostShuffledRows = 10000, kFewestShuffledRows = 1000;
constexpr int64_t kShuffledAnswers = 300000;  // a second or two of one core; wide tables shuffle fewer rows

/// Responses of the test in units of the table.
at::Tensor true_values(const TableEncoding& encoding, const TensorSet& set) {
  return set.at("y").to(at::kDouble) * encoding.y_deviation + encoding.y_mean;
}

/// Of values that are not negative.
HeldOutScore mean_score(const char* name, const at::Tensor& each) {
  const double mean = each.mean().item<double>();
  const auto n = static_cast<double>(each.numel());
  const double error = n > 1 ? each.std().item<double>() / std::sqrt(n) : 0;
  return {name, mean, std::max(0.0, mean - kNormal * error), mean + kNormal * error};
}

HeldOutScore share_score(const char* name, const at::Tensor& right) {
  const auto n = static_cast<double>(right.numel());
  const double p = right.to(at::kDouble).mean().item<double>(), z2 = kNormal * kNormal;
  const double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {name, p, std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

std::vector<HeldOutScore> class_scores(const LearnedModel::Answers& answers, const TaskData& data) {
  const auto label = data.test.at("label");
  const auto p = answers.probability.gather(1, label.unsqueeze(1)).squeeze(1);
  const int64_t usual = at::bincount(data.train.at("label")).argmax().item<int64_t>();
  return {share_score("accuracy", answers.probability.argmax(1).eq(label)),
          mean_score("log_loss", -p.clamp_min(1e-300).log()), share_score("most_frequent", label.eq(usual))};
}

std::vector<HeldOutScore> value_scores(const TableEncoding& encoding, const LearnedModel::Answers& answers,
                                       const TaskData& data) {
  const auto y = true_values(encoding, data.test), error = answers.value - y;
  auto square = mean_score("rmse", error.square());
  const double r2_of = (y - encoding.y_mean).square().mean().item<double>();
  const auto r2 = [&](double mean_square) { return r2_of > 0 ? 1 - mean_square / r2_of : 0; };
  HeldOutScore explained{"r2", r2(square.value), r2(square.high), r2(square.low)};
  for (double* end : {&square.value, &square.low, &square.high}) *end = std::sqrt(std::max(0.0, *end));
  return {square, mean_score("mean_absolute_error", error.abs()), explained};
}

/// What a shuffle makes worse: larger is better.
double score_of(const TableEncoding& encoding, const LearnedModel::Answers& answers, const TensorSet& set) {
  if (encoding.classes.empty())
    return -std::sqrt((answers.value - true_values(encoding, set)).square().mean().item<double>());
  return answers.probability.argmax(1).eq(set.at("label")).to(at::kDouble).mean().item<double>();
}

}  // namespace

std::vector<HeldOutScore> held_out_scores(const TableEncoding& encoding, const LearnedModel::Answers& answers,
                                          const TaskData& data) {
  GW_CHECK(data.test.size() > 0, "scores: expected rows to score, got none");
  return encoding.classes.empty() ? value_scores(encoding, answers, data) : class_scores(answers, data);
}

std::vector<InputImportance> permutation_importance(const LearnedModel& model, const TaskData& data,
                                                    int64_t repeats, const Rng& rng) {
  const auto drawn = at::tensor(rng.fork("rows").permutation(data.test.size()), at::kLong);
  const auto passes = static_cast<int64_t>(model.encoding.columns.size()) * std::max<int64_t>(repeats, 1);
  const int64_t most = std::clamp(kShuffledAnswers / passes, kFewestShuffledRows, kMostShuffledRows);
  const auto set = data.test.rows(drawn.slice(0, 0, most));  // a file may be sorted
  const auto x = set.at("x");
  const double whole = score_of(model.encoding, model.answers(x), set);
  std::vector<InputImportance> out;
  int64_t offset = 0;
  for (size_t c = 0; c < model.encoding.columns.size(); ++c) {
    const auto& column = model.encoding.columns[c];
    std::vector<double> lost;
    for (int64_t r = 0; r < repeats; ++r) {
      const auto stream = rng.fork("input", c).fork("repeat", static_cast<uint64_t>(r));
      const auto order = at::tensor(stream.permutation(x.size(0)), at::kLong);
      auto shuffled = x.clone();
      shuffled.narrow(1, offset, column.width())
          .copy_(x.narrow(1, offset, column.width()).index_select(0, order));
      lost.push_back(whole - score_of(model.encoding, model.answers(shuffled), set));
    }
    offset += column.width();
    const auto each = at::tensor(lost, at::kDouble);
    out.push_back({column.name, each.mean().item<double>(), repeats > 1 ? each.std().item<double>() : 0});
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.loss > b.loss; });
  return out;
}

std::vector<InputPair> input_pairs(const LearnedModel& model, const TaskData& data, size_t most,
                                   const Rng& rng) {
  constexpr int64_t kRows = 1000;
  const auto fields = model.encoding.fields();
  const auto x = data.test.at("x");
  const auto answer = answering(*model.model, Rng(model.seed).fork("learned"));
  if (fields.size() < 2 || x.size(0) < 2 || !answer(x.slice(0, 0, 2)).attention.defined()) return {};
  std::vector<InputPair> out;
  for (const auto& pair : field_pairs(answer, x, fields, kRows, rng)) {
    if (out.size() == most) break;
    out.push_back({fields[static_cast<size_t>(pair.a)].name, fields[static_cast<size_t>(pair.b)].name,
                   pair.together * (model.encoding.classes.empty() ? model.encoding.y_deviation : 1),
                   pair.attention});
  }
  return out;
}

TableExpertUse expert_use(const TableEncoding& encoding, const LearnedModel::Answers& answers,
                          const TaskData& data) {
  TableExpertUse out;
  if (!answers.weight.defined()) return out;
  at::Tensor group;
  if (encoding.classes.empty()) {
    constexpr int64_t kQuarters = 4;
    const auto y = true_values(encoding, data.test);
    const auto order = y.argsort(int64_t{0}).argsort(int64_t{0});  // ranks
    group = (order * kQuarters).to(at::kDouble).div(static_cast<double>(y.numel())).floor().to(at::kLong);
    const auto sorted = std::get<0>(y.sort(0));
    for (int64_t q = 0; q < kQuarters; ++q) {
      const int64_t last = std::clamp<int64_t>((q + 1) * y.numel() / kQuarters - 1, 0, y.numel() - 1);
      out.groups.push_back(fmt::format("up to {:.4g}", sorted[last].item<double>()));
    }
  } else {
    group = data.test.at("label"), out.groups = encoding.classes;
  }
  for (size_t g = 0; g < out.groups.size(); ++g) {
    const auto rows = group.eq(static_cast<int64_t>(g)).nonzero().squeeze(1);
    out.rows.push_back(rows.numel());
    const auto mean = rows.numel() > 0 ? answers.weight.index_select(0, rows).to(at::kDouble).mean(0)
                                       : at::zeros({answers.weight.size(1)}, at::kDouble);
    const auto list = mean.contiguous();
    out.weight.emplace_back(list.data_ptr<double>(), list.data_ptr<double>() + list.numel());
  }
  return out;
}

}  // namespace gw::inline runs
