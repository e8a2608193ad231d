#include "gatewright/ops/random.h"

#include <ATen/CPUGeneratorImpl.h>

namespace gw::ops {

at::Tensor uniform(const Rng& rng, at::IntArrayRef shape, double lo, double hi) {
  return at::empty(shape).uniform_(lo, hi, at::detail::createCPUGenerator(rng.key()));
}

at::Tensor normal(const Rng& rng, at::IntArrayRef shape, double mean, double deviation) {
  return at::empty(shape).normal_(mean, deviation, at::detail::createCPUGenerator(rng.key()));
}

}  // namespace gw::ops
