#include "gatewright/train/field_pairs.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

constexpr size_t kMostFields = 32;

/// x with some fields taken from the shuffled rows.
at::Tensor with_fields(const at::Tensor& x, const at::Tensor& shuffled, const std::vector<InputField>& fields,
                       std::initializer_list<int64_t> taken) {
  auto out = x.clone();
  for (const int64_t m : taken) {
    const auto& field = fields[static_cast<size_t>(m)];
    out.narrow(1, field.first, field.width).copy_(shuffled.narrow(1, field.first, field.width));
  }
  return out;
}

at::Tensor centred(const at::Tensor& answer) {
  const auto y = answer.detach().to(at::kDouble);
  return y.size(1) > 1 ? y - y.mean(1, true) : y;
}

double root_mean_square(const at::Tensor& v) { return v.square().mean().sqrt().item<double>(); }

/// The fields whose own shuffle moves the answer most, in order.
std::vector<int64_t> kept_fields(const at::Tensor& base, const std::vector<at::Tensor>& single) {
  std::vector<int64_t> kept(single.size());
  std::iota(kept.begin(), kept.end(), 0);
  if (kept.size() <= kMostFields) return kept;
  std::vector<double> moves;
  for (const auto& one : single) moves.push_back(root_mean_square(one - base));
  std::stable_sort(kept.begin(), kept.end(), [&](int64_t a, int64_t b) {
    return moves[static_cast<size_t>(a)] > moves[static_cast<size_t>(b)];
  });
  kept.resize(kMostFields);
  std::sort(kept.begin(), kept.end());
  return kept;
}

}  // namespace

std::vector<FieldPair> field_pairs(const std::function<Output(const at::Tensor& x)>& answer,
                                   const at::Tensor& rows, const std::vector<InputField>& fields,
                                   int64_t most, const Rng& rng) {
  GW_CHECK(fields.size() >= 2 && rows.size(0) >= 2,
           "field pairs: expected at least 2 fields and 2 rows, got {} and {}", fields.size(), rows.size(0));
  const at::NoGradGuard no_grad;
  const int64_t n = std::min(rows.size(0), most);
  const auto drawn = at::tensor(rng.fork("rows").permutation(rows.size(0)), at::kLong).slice(0, 0, n);
  const auto x = rows.index_select(0, drawn);
  const auto shuffled = x.index_select(0, at::tensor(rng.fork("shuffle").permutation(n), at::kLong));
  const auto whole = answer(x);
  const auto base = centred(whole.answer);
  std::vector<at::Tensor> single;
  for (size_t m = 0; m < fields.size(); ++m)
    single.push_back(centred(answer(with_fields(x, shuffled, fields, {static_cast<int64_t>(m)})).answer));
  const auto kept = kept_fields(base, single);
  std::vector<FieldPair> pairs;
  for (size_t i = 0; i < kept.size(); ++i) {
    for (size_t j = i + 1; j < kept.size(); ++j) {
      const int64_t a = kept[i], b = kept[j];
      const auto both = centred(answer(with_fields(x, shuffled, fields, {a, b})).answer);
      FieldPair pair{a, b, 0, std::numeric_limits<double>::quiet_NaN()};
      pair.together =
          root_mean_square(base - single[static_cast<size_t>(a)] - single[static_cast<size_t>(b)] + both);
      if (whole.attention.defined())
        pair.attention = (whole.attention[a][b] + whole.attention[b][a]).item<double>() / 2;
      pairs.push_back(pair);
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const FieldPair& p, const FieldPair& q) { return p.together > q.together; });
  return pairs;
}

std::function<Output(const at::Tensor& x)> answering(Model& model, const Rng& draws) {
  return [&model, draws](const at::Tensor& x) {
    constexpr int64_t kRowsAtOnce = 1024;
    const at::NoGradGuard no_grad;
    Pass pass;
    pass.rng = draws, pass.train = false;
    std::vector<at::Tensor> answers;
    Output all;
    for (int64_t first = 0; first < x.size(0); first += kRowsAtOnce) {
      Batch batch;
      batch.fields["x"] = x.slice(0, first, first + kRowsAtOnce);
      const int64_t count = batch.fields["x"].size(0);
      batch.index = at::arange(first, first + count, at::kLong);
      const auto one = model.answer(batch, pass);
      answers.push_back(one.answer);
      if (!one.attention.defined()) continue;
      const auto part = one.attention * (static_cast<double>(count) / static_cast<double>(x.size(0)));
      all.attention = all.attention.defined() ? all.attention + part : part;
    }
    all.answer = at::cat(answers, 0);
    return all;
  };
}

ValueTable pair_table(const std::vector<FieldPair>& pairs, const std::vector<InputField>& fields,
                      size_t most) {
  ValueTable table{"pair of fields", {"together"}, {}, {}};
  const bool looks = !pairs.empty() && std::isfinite(pairs.front().attention);
  if (looks) table.columns.push_back("attention");
  for (size_t i = 0; i < std::min(most, pairs.size()); ++i) {
    const auto& pair = pairs[i];
    table.names.push_back(fmt::format("{} x {}", fields[static_cast<size_t>(pair.a)].name,
                                      fields[static_cast<size_t>(pair.b)].name));
    table.values.push_back({pair.together});
    if (looks) table.values.back().push_back(pair.attention);
  }
  return table;
}

double pairs_found(std::vector<FieldPair> pairs, const std::vector<std::pair<int64_t, int64_t>>& known,
                   bool by_attention) {
  if (known.empty() || pairs.empty() || (by_attention && !std::isfinite(pairs.front().attention)))
    return std::numeric_limits<double>::quiet_NaN();
  if (by_attention)
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const FieldPair& p, const FieldPair& q) { return p.attention > q.attention; });
  const size_t first = std::min(known.size(), pairs.size());
  const auto found =
      std::count_if(pairs.begin(), pairs.begin() + static_cast<std::ptrdiff_t>(first), [&](const auto& pair) {
        return std::find(known.begin(), known.end(), std::pair{pair.a, pair.b}) != known.end();
      });
  return static_cast<double>(found) / static_cast<double>(known.size());
}

}  // namespace gw::inline train
