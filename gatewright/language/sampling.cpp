#include "gatewright/language/sampling.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

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

std::vector<Candidate> candidates(const at::Tensor& logits, const std::vector<int32_t>& text,
                                  double penalty) {
  const auto row = logits.to(at::kFloat).contiguous();
  const auto* values = row.data_ptr<float>();
  std::vector<Candidate> all;
  for (int64_t i = 0; i < row.numel(); ++i) all.push_back({values[i], i});
  if (penalty != 1) {
    auto seen = text;
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    for (const auto token : seen) {
      if (token < 0 || token >= row.numel()) continue;
      auto& logit = all[static_cast<size_t>(token)].logit;
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  std::erase_if(all, [](const Candidate& c) { return !std::isfinite(c.logit); });
  if (all.empty())
    throw NumericError("sampling: expected a finite logit, got none; the weights or the text are broken");
  return all;
}

void make_chances(std::vector<Candidate>& kept, double temperature) {
  double sum = 0;
  for (auto& c : kept) sum += c.chance = std::exp((c.logit - kept.front().logit) / temperature);
  for (auto& c : kept) c.chance /= sum;
}

void keep_likely(std::vector<Candidate>& kept, const SamplingOptions& o) {
  size_t count = 0;
  for (double sum = 0; count < kept.size() && sum < o.top_p; ++count) sum += kept[count].chance;
  kept.resize(std::max<size_t>(count, 1));
  const double least = o.min_p * kept.front().chance;
  std::erase_if(kept, [&](const Candidate& c) { return c.chance < least; });
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
  auto kept = candidates(logits, text, o.repetition_penalty);
  if (o.temperature == 0) return std::min_element(kept.begin(), kept.end(), before)->token;
  const auto most = o.top_k > 0 ? std::min(kept.size(), static_cast<size_t>(o.top_k)) : kept.size();
  std::partial_sort(kept.begin(), kept.begin() + static_cast<int64_t>(most), kept.end(), before);
  kept.resize(most);
  make_chances(kept, o.temperature), keep_likely(kept, o);
  double sum = 0;
  for (const auto& c : kept) sum += c.chance;
  double left = Rng(static_cast<uint64_t>(o.seed)).fork("sampling").uniform(text.size()) * sum;
  for (const auto& c : kept)
    if ((left -= c.chance) < 0) return c.token;
  return kept.back().token;
}

}  // namespace gw::inline language
