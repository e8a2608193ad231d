#include "gatewright/mixture/buckets.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"

namespace gw::inline mixture {
namespace {

std::vector<at::Tensor> cut(const at::Tensor& rows, const std::vector<int64_t>& sizes) {
  std::vector<at::Tensor> parts;
  parts.reserve(sizes.size());
  int64_t start = 0;
  for (const int64_t size : sizes) parts.push_back(rows.narrow(0, start, size)), start += size;
  return parts;
}

}  // namespace

void check_one_expert_each(const RoutingPlan& plan) {
  constexpr const char* kRemedy =
      "take a policy of one expert per image, without a limit of rows, and with weight 1 "
      "(top1_straight_through)";
  GW_CHECK(!plan.soft(),
           "network: expected one expert per image, got a policy with the trait \"soft slots\"; {}", kRemedy);
  GW_CHECK(plan.rows() == plan.tokens,
           "network: expected one expert per image, got {} rows for {} images; {}", plan.rows(), plan.tokens,
           kRemedy);
  std::vector<int64_t> rows(static_cast<size_t>(plan.tokens),
                            0);  // as many rows as images may still be two of one and none of another
  const auto token = plan.token.contiguous();
  const int64_t* image = token.data_ptr<int64_t>();
  for (int64_t n = 0; n < plan.rows(); ++n) {
    GW_CHECK(++rows[static_cast<size_t>(image[n])] == 1,
             "network: expected one expert per image, got several for image {} and none for another; {}",
             image[n], kRemedy);
  }
  const auto weight = plan.weight.detach();
  GW_CHECK(weight.eq(1).all().item<bool>(),
           "network: expected routing weights of 1, got {}: pathways are not multiplied by their weight; {}",
           weight.masked_select(weight.ne(1))[0].item<double>(), kRemedy);
}

namespace {

/// One part in original order; any plan without slots will do.
std::shared_ptr<const BucketIndex> merged_index(const RoutingPlan& plan) {
  GW_CHECK(!plan.soft(),
           "network: expected a policy that gives experts to images, got one with the trait \"soft slots\"; "
           "take dense_softmax");
  auto out = std::make_shared<BucketIndex>();
  out->batch = plan.tokens, out->sizes = {plan.tokens}, out->expert = {0};
  if (plan.experts() > 1) out->mixing = dense_weights(plan);
  return out;
}

}  // namespace

std::shared_ptr<const BucketIndex> index_buckets(const RoutingPlan& plan, Execution execution) {
  if (execution == Execution::kMerged) return merged_index(plan);
  check_one_expert_each(plan);
  auto out = std::make_shared<BucketIndex>();
  out->batch = plan.tokens;
  const bool gated = plan.weight.defined() && plan.weight.requires_grad();
  const auto inverse = plan.token.argsort();
  if (execution == Execution::kMasked && plan.experts() > 1) {
    out->expert = {0};
    out->masked_expert = chosen_experts(plan);
    if (gated) out->route_weight = {plan.weight.index_select(0, inverse)};
    out->sizes = {plan.tokens};
    return out;
  }
  for (int64_t e = 0; e < plan.experts(); ++e) {
    if (plan.rows_of(e) == 0) continue;
    out->expert.push_back(e);
    out->sizes.push_back(plan.rows_of(e));
  }
  if (out->expert.empty()) out->expert = {0}, out->sizes = {0};
  if (gated) out->route_weight = cut(plan.weight, out->sizes);
  if (out->expert.size() > 1)
    out->token = plan.token, out->inverse = inverse;  // one bucket: rows are sorted by token already
  return out;
}

BucketedBatch into_buckets(const at::Tensor& x, std::shared_ptr<const BucketIndex> index,
                           BucketedPass* pass) {
  GW_CHECK(x.size(0) == index->batch, "network: expected {} images as in the plan, got {}", index->batch,
           x.size(0));
  const auto rows = index->token.defined() ? x.index_select(0, index->token) : x;
  auto parts = index->sizes.size() == 1 ? std::vector<at::Tensor>{rows} : cut(rows, index->sizes);
  return {std::move(parts), std::move(index), pass};
}

at::Tensor out_of_buckets(const BucketedBatch& batch) {
  const auto rows = batch.parts.size() == 1 ? batch.parts[0] : at::cat(batch.parts, 0);
  return batch.index->inverse.defined() ? rows.index_select(0, batch.index->inverse) : rows;
}

BucketedBatch rebucketed(const BucketedBatch& batch, const std::shared_ptr<const BucketIndex>& index) {
  if (batch.index == index) return batch;
  return into_buckets(out_of_buckets(batch), index, batch.pass);
}

}  // namespace gw::inline mixture
