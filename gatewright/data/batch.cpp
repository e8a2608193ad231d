#include "gatewright/data/batch.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <fmt/ranges.h>

#include "gatewright/base/check.h"

namespace gw::inline data {
namespace {

std::string names_in(const std::map<std::string, at::Tensor>& tensors) {
  std::vector<std::string> names;
  for (const auto& item : tensors) names.push_back(item.first);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

const at::Tensor& TensorSet::at(const std::string& name) const {
  const auto it = fields.find(name);
  GW_CHECK(it != fields.end(), "data: expected the field \"{}\", got {}; take a data set that has it", name,
           fields.empty() ? "no fields" : names_in(fields));
  return it->second;
}

const at::Tensor& TensorSet::whole(const std::string& name) const {
  const auto it = common.find(name);
  GW_CHECK(it != common.end(),
           "data: expected \"{}\" among what batches see whole, got {}; take a data set that has it", name,
           common.empty() ? "nothing" : names_in(common));
  return it->second;
}

at::Tensor TensorSet::find(const std::string& name) const {
  return has(name) ? fields.at(name) : at::Tensor();
}

int64_t TensorSet::size() const { return fields.empty() ? 0 : fields.begin()->second.size(0); }

TensorSet TensorSet::rows(const at::Tensor& index) const {
  TensorSet out;
  out.common = common, out.images = images;
  for (const auto& [name, tensor] : fields) out.fields[name] = tensor.index_select(0, index);
  return out;
}

TensorSet TensorSet::first(int64_t count) const {
  if (count <= 0 || count >= size()) return *this;
  return rows(at::arange(count, at::kLong));
}

TensorSet joined(const std::vector<TensorSet>& sets) {
  TensorSet out;
  if (sets.empty()) return out;
  out.common = sets.front().common, out.images = sets.front().images;
  for (const auto& item : sets.front().fields) {
    std::vector<at::Tensor> parts;
    for (const auto& set : sets) parts.push_back(set.at(item.first));
    out.fields[item.first] = at::cat(parts);
  }
  return out;
}

void TensorSet::check(const char* part) const {
  for (const auto& [name, tensor] : fields) {
    GW_CHECK(tensor.defined() && tensor.dim() >= 1, "{}: expected rows in the field \"{}\", got none", part,
             name);
    GW_CHECK(tensor.size(0) == size(), "{}: expected {} rows in the field \"{}\", as in \"{}\", got {}", part,
             size(), name, fields.begin()->first, tensor.size(0));
  }
}

}  // namespace gw::inline data
