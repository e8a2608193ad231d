#include "gatewright/routing/inputs.h"

#include <ATen/ATen.h>

#include <unordered_set>

#include "gatewright/base/check.h"

namespace gw::inline routing {

at::Tensor required_ids(const char* part, const char* field, const at::Tensor& ids, int64_t tokens,
                        int64_t limit) {
  GW_CHECK(ids.defined(), "{}: expected the \"{}\" of each token, got none; set RouterInputs::{}", part,
           field, field);
  GW_CHECK(ids.dim() == 1 && ids.size(0) == tokens && ids.scalar_type() == at::kLong,
           "{}: expected {} [{}] of int64, got {} values of {}", part, field, tokens, ids.numel(),
           c10::toString(ids.scalar_type()));
  const auto dense = ids.contiguous();
  const int64_t* id = dense.data_ptr<int64_t>();
  for (int64_t t = 0; t < tokens; ++t) {
    GW_CHECK(id[t] >= 0 && (limit < 0 || id[t] < limit),
             "{}: expected {} ids in [0, {}), got {} for token {}; number them from 0, or raise the option "
             "that says how many there are",
             part, field, limit < 0 ? std::string("…") : std::to_string(limit), id[t], t);
  }
  return dense;
}

std::vector<int64_t> neighbours(const char* part, const at::Tensor& sequence) {
  const auto* id = sequence.data_ptr<int64_t>();
  std::vector<int64_t> sizes;
  std::unordered_set<int64_t> met;
  for (int64_t t = 0; t < sequence.size(0); ++t) {
    if (t == 0 || id[t] != id[t - 1]) {
      GW_CHECK(met.insert(id[t]).second,
               "{}: expected the tokens of a sequence beside each other, got sequence {} again at token {}",
               part, id[t], t);
      sizes.push_back(0);
    }
    ++sizes.back();
  }
  return sizes;
}

}  // namespace gw::inline routing
