#include "gatewright/data/text_domains.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "gatewright/base/rng.h"

namespace gw::inline data {

bool TextDomains::add(const TensorSet& windows, const std::string& origin) {
  const int64_t n = windows.size(),
                held = std::max<int64_t>(1, std::llround(test_share_ * static_cast<double>(n)));
  if (n - held < 1) return false;
  // The same windows for every seed of a run, and each part in the text's order.
  const auto order = scattered_ ? at::tensor(Rng(0x7e57).permutation(n), at::kLong) : at::arange(n);
  const auto part = [&](int64_t from, int64_t count) {
    return windows.rows(std::get<0>(order.narrow(0, from, count).sort()));
  };
  train_.push_back(part(0, n - held)), test_.push_back(part(n - held, held));
  origins_.push_back(origin);
  return true;
}

void TextDomains::finish(TaskData& data) const {
  data.train = joined(train_), data.test = joined(test_);
  for (const auto& origin : origins_) {
    data.domain_names.push_back(std::filesystem::path(origin).stem().string());
    data.origin += (data.origin.empty() ? "" : ", ") + origin;
  }
  data.classes = static_cast<int64_t>(origins_.size());
  data.class_names = data.domain_names;
}

}  // namespace gw::inline data
