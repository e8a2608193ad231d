#include "gatewright/language/sampling.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"

namespace gw::inline language {
namespace {

struct Candidate {
  double logit;
  int64_t token;
  double chance = 0;
};

/// Larger logits first, of equals the earlier token.
bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// All logits, those of tokens in the text made smaller by the penalty.
std::vector<double> penalised(const at::Tensor& row, const std::vector<int32_t>& text, double penalty) {
  const auto* values = row.data_ptr<float>();
  std::vector<double> all(values, values + row.numel());
  if (penalty == 1) return all;
  auto seen = text;
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const auto token : seen) {
    if (token < 0 || token >= row.numel()) continue;
    auto& logit = all[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  return all;
}

[[noreturn]] void none_finite() {
  throw NumericError("sampling: expected a finite logit, got none; the weights or the text are broken");
}

/// The first of the largest finite logits.
template <class Real>
int64_t likeliest(const Real* logits, int64_t count) {
  constexpr Real kMost = std::numeric_limits<Real>::max();
  Real best = -std::numeric_limits<Real>::infinity();
  int64_t at = -1;
  for (int64_t i = 0; i < count; ++i)  // NaN is larger than nothing
    if (logits[i] > best && logits[i] <= kMost) best = logits[i], at = i;
  if (at < 0) none_finite();
  return at;
}

std::vector<Candidate> candidates(const std::vector<double>& logits) {
  std::vector<Candidate> all;
  all.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    if (std::isfinite(logits[i])) all.push_back({logits[i], static_cast<int64_t>(i)});
  if (all.empty()) none_finite();
  return all;
}

/// Candidates, the likeliest first, as many as are asked for: sorting a vocabulary takes as long as a small
/// model's token.
class Likely {
 public:
  /// Those of at least a share of the likeliest one's chance.
  Likely(std::vector<Candidate> all, double temperature, double least) : heap_(std::move(all)) {
    const double most = std::min_element(heap_.begin(), heap_.end(), before)->logit;
    double sum = 0;
    for (auto& c : heap_) sum += c.chance = std::exp((c.logit - most) / temperature);
    std::erase_if(heap_, [&](const Candidate& c) { return c.chance < least; });
    for (auto& c : heap_) all_ += c.chance /= sum;
    std::make_heap(heap_.begin(), heap_.end(), after);
  }
  /// Null where there are no more.
  const Candidate* next() {
    if (heap_.empty()) return nullptr;
    std::pop_heap(heap_.begin(), heap_.end(), after);
    last_ = heap_.back(), heap_.pop_back();
    return &last_;
  }
  double all() const { return all_; }  ///< the chance of all that were there

 private:
  static bool after(const Candidate& a, const Candidate& b) { return before(b, a); }
  std::vector<Candidate> heap_;
  Candidate last_{};
  double all_ = 0;
};

/// The fewest that have this probability together.
std::vector<Candidate> fewest(Likely& likely, double together) {
  std::vector<Candidate> kept;
  double sum = 0;
  while (kept.empty() || sum < together) {
    const auto* one = likely.next();
    if (one == nullptr) break;
    kept.push_back(*one), sum += one->chance;
  }
  return kept;
}

}  // namespace

void SamplingOptions::fields(OptionVisitor& v) {
  v.real("temperature", temperature, "divides the logits; 0: the likeliest token", 0, 1e6);
  v.integer("top_k", top_k, "only the k likeliest tokens; 0: all", 0, 1 << 24);
  v.real("top_p", top_p, "only the fewest tokens that have this probability together", 0, 1);
  v.real("min_p", min_p, "only tokens of at least this share of the likeliest one's probability", 0, 1);
  v.real("repetition_penalty", repetition_penalty, "above 1: tokens of the text become less likely", 1e-3,
         1e3);
  v.integer("seed", seed, "of the draws", 0, INT64_MAX);
}

int64_t choose_token(const at::Tensor& logits, const std::vector<int32_t>& text, const SamplingOptions& o) {
  const auto row = logits.to(at::kFloat).contiguous();
  if (o.temperature == 0 && o.repetition_penalty == 1) return likeliest(row.data_ptr<float>(), row.numel());
  const auto values = penalised(row, text, o.repetition_penalty);
  if (o.temperature == 0) return likeliest(values.data(), row.numel());
  auto all = candidates(values);
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < all.size()) {
    std::nth_element(all.begin(), all.begin() + o.top_k, all.end(), before);
    all.resize(static_cast<size_t>(o.top_k));
  }
  Likely likely(std::move(all), o.temperature, o.min_p);
  const double drawn = Rng(static_cast<uint64_t>(o.seed)).fork("sampling").uniform(text.size());
  if (o.top_p >= 1) {
    double left = drawn * likely.all();
    int64_t token = 0;
    for (const auto* one = likely.next(); one != nullptr; one = likely.next())
      if (token = one->token, (left -= one->chance) < 0) break;
    return token;
  }
  const auto kept = fewest(likely, o.top_p);
  double left = 0;
  for (const auto& c : kept) left += c.chance;
  left *= drawn;
  for (const auto& c : kept)
    if ((left -= c.chance) < 0) return c.token;
  return kept.back().token;
}

}  // namespace gw::inline language
