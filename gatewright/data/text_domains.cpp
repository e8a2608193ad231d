#include "gatewright/data/text_domains.h"

#include <ATen/ops/arange.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace gw::inline data {

bool TextDomains::add(const TensorSet& windows, const std::string& origin) {
  const int64_t n = windows.size(),
                held = std::max<int64_t>(1, std::llround(test_share_ * static_cast<double>(n)));
  if (n - held < 1) return false;
  train_.push_back(windows.rows(at::arange(n - held)));
  test_.push_back(windows.rows(at::arange(n - held, n)));
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
