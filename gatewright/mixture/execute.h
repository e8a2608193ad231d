#pragma once
// How a plan is carried out: the executors of token layers.
#include "gatewright/experts/bank.h"
#include "gatewright/mixture/seams.h"

namespace gw::inline mixture {

/// Ways to the same answer, but for the last. Networks over buckets (gatewright/mixture/buckets.h) know the
/// last three.
enum class Execution {
  kFused,     ///< gather, experts and weighted scatter in one pass of the bank's kernel
  kBucketed,  ///< rows of one expert lie together: gather, every expert on its bucket, scatter
  kMasked,    ///< every expert sees every token and the plan selects: what published code does, and the
              ///< reference of the tests
  kMerged,    ///< convolutions alone, and a network of its own: the kernels of all experts are merged by the
              ///< weights of each image (gatewright/ops/merged_conv.h)
};
/// Those of token layers.
std::vector<std::string> execution_names();
/// Errors: ValueError with the near miss.
Execution execution_named(const std::string& name);

/// y_t = Σ_{r: token_r = t} weight_r · expert(x_t); soft plans: combine · experts(dispatch · x). With an
/// exchange the rows go to where their experts live and back.
/// Shapes: x [T, in] or [T, in, H, W] → [T, out(, H', W')]; tokens without rows: zero.
/// Errors: as the bank and the seams. What the store acquires it gets back in any case.
/// Cost:   fused: the bank's mix(); bucketed: one gather and one weighted index_add of N rows besides;
///         masked: E times the work of one expert on T rows.
at::Tensor execute(Bank& bank, const at::Tensor& x, const RoutingPlan& plan, Execution execution,
                   WeightStore& store, TokenExchange* exchange);

}  // namespace gw::inline mixture
