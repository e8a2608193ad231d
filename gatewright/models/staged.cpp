#include "gatewright/models/staged.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"

namespace gw::inline models {
namespace {

BucketedBatch one_bucket(const at::Tensor& maps, BucketedPass& pass) {
  pass.pass.train = false;
  return into_buckets(maps, index_buckets(constant_plan(maps.size(0), 1, 0), Execution::kBucketed), &pass);
}

}  // namespace

at::Tensor Staged::all_stages(const BucketedBatch& images) {
  auto x = images;
  for (int64_t i = 0; i < stages(); ++i) x = stage(i, x);
  return finish(x);
}

NetworkStages::NetworkStages(Network& network) : staged_(dynamic_cast<Staged*>(&network.backbone())) {
  GW_CHECK(network.shape().experts == 1, "stages: expected a dense network, got one of {} experts",
           network.shape().experts);
  GW_CHECK(staged_ != nullptr, "stages: expected a backbone of the zoo, got one that is not made of stages");
}

at::Tensor NetworkStages::stage(int64_t index, const at::Tensor& maps) const {
  GW_CHECK(index >= 0 && index < count(), "stages: expected a stage below {}, got {}", count(), index);
  BucketedPass pass;
  const auto x = index == 0 ? maps.contiguous(at::MemoryFormat::ChannelsLast) : maps;
  return out_of_buckets(staged_->stage(index, one_bucket(x, pass)));
}

at::Tensor NetworkStages::finish(const at::Tensor& maps) const {
  BucketedPass pass;
  return staged_->finish(one_bucket(maps, pass));
}

}  // namespace gw::inline models
