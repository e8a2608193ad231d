#include "experts/bank.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace gw {

void check_rows(const char* part, const at::Tensor& rows, const std::vector<int64_t>& offsets, const Bank::Context& context) {
  const bool shaped = rows.dim() >= 2 && rows.size(1) == context.in;
  check(shaped, "{}: expected rows [N, {}, …], got {} dimensions, second of size {}", part, context.in, rows.dim(), rows.dim() < 2 ? 0 : rows.size(1));
  const bool counted = static_cast<int64_t>(offsets.size()) == context.experts + 1;
  check(counted, "{}: expected {} offsets, got {}", part, context.experts + 1, offsets.size());
  const bool monotone = offsets.front() == 0 && std::is_sorted(offsets.begin(), offsets.end()) && offsets.back() == rows.size(0);
  check(monotone, "{}: expected offsets rising from 0 to {} rows, got {} to {}", part, rows.size(0), offsets.front(), offsets.back());
}

}  // namespace gw
