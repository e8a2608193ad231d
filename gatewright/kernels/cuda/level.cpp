#include "gatewright/kernels/cuda/level.h"

#include "gatewright/kernels/cuda/device.h"

namespace gw::kernels {
namespace {

#if defined(GW_CUDA)
constexpr const char* kState = "compiled; for arrays on a device, not yet for tensors (docs/cuda.md)";
std::string device() {
  const auto missing = cuda::CudaDevice().missing();
  return missing.empty() ? "; a device is there" : "; no device: " + missing;
}
#else
constexpr const char* kState = "not compiled in (GATEWRIGHT_CUDA=OFF, docs/cuda.md)";
std::string device() { return ""; }
#endif

}  // namespace

KernelLevel cuda_level() { return {"cuda", false, kState}; }
std::string cuda_report() { return "top_k, plan, grouped_gemm, moe_ffn: " + std::string(kState) + device(); }

}  // namespace gw::kernels
