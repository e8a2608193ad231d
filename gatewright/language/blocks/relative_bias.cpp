#include "gatewright/language/blocks/relative_bias.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {
namespace {

std::vector<int64_t> buckets_of(int64_t count, int64_t farthest) {
  const int64_t exact = count / 2;
  const auto distance = at::arange(exact, farthest + 1, at::kLong).to(at::kFloat);
  const double span = std::log(static_cast<double>(farthest) / static_cast<double>(exact));
  const auto large = ((distance / exact).log() / span * (count - exact)).to(at::kLong) + exact;
  std::vector<int64_t> all;
  for (int64_t d = 0; d < exact; ++d) all.push_back(d);
  const auto* value = large.data_ptr<int64_t>();
  for (int64_t i = 0; i < large.size(0); ++i) all.push_back(std::min(value[i], count - 1));
  return all;
}

}  // namespace

RelativeBias::RelativeBias(const RelativeOptions& o, const Rng& rng, bool drawn)
    : torch::nn::Module("RelativeBias"), options_(o) {
  const int64_t each = o.both_ways ? o.buckets / 2 : o.buckets;
  GW_CHECK(
      each >= 2 && o.farthest > each / 2 && o.farthest <= 1 << 20,
      "relative positions: expected at least 2 buckets of a direction and a farthest distance above half "
      "of them, at most {}, got {} buckets and {}",
      1 << 20, each, o.farthest);
  bucket_of_ = buckets_of(each, o.farthest);
  weight_ = register_parameter("weight", drawn ? ops::normal(rng, {o.buckets, o.heads}, 0, o.deviation)
                                               : at::empty({o.buckets, o.heads}));
}

int64_t RelativeBias::bucket(int64_t distance) const {
  const auto place = [&](int64_t d) {
    return bucket_of_[static_cast<size_t>(std::min(d, options_.farthest))];
  };
  if (!options_.both_ways) return place(std::max<int64_t>(0, -distance));
  return distance > 0 ? options_.buckets / 2 + place(distance) : place(-distance);
}

at::Tensor RelativeBias::tile(int64_t at, int64_t queries, int64_t from, int64_t keys) const {
  // All distances of the tile in order: a query's row is a window of them, one further for the query before.
  std::vector<int64_t> which;
  for (int64_t d = from - (at + queries - 1); d <= from + keys - 1 - at; ++d) which.push_back(bucket(d));
  const auto value = weight_.index_select(0, at::tensor(which, at::kLong)).t();
  return value.unfold(1, keys, 1).flip(1);
}

}  // namespace gw::inline language
