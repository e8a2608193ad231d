// What the CUDA level of moe_ffn reaches on this device: TFLOP/s forward and in a training step. Never run on
// a GPU so far (docs/cuda.md).
// Compared with nothing yet: torch._grouped_mm and a loop of cuBLAS calls are to be timed beside it, in the
// same run.
//   bench_cuda [rounds]       exit code 77 where there is no device
#include <fmt/format.h>

#include "bench/cuda/ffn_timing.h"
#include "gatewright/kernels/cuda/device.h"

namespace {

using gw::bench::CudaShape;

template <class T>
void line(gw::kernels::cuda::CudaDevice& device, const char* type, const CudaShape& shape, int64_t tokens,
          int rounds) {
  const auto t = gw::bench::time_ffn<T>(device, shape, tokens, rounds);
  fmt::print("{} {} T={:<5} forward {:8.3f} ms {:7.1f} TFLOP/s   training {:8.3f} ms {:7.1f} TFLOP/s\n", type,
             shape.name, tokens, t.forward_s * 1e3, t.forward_flop / t.forward_s * 1e-12, t.training_s * 1e3,
             3 * t.forward_flop / t.training_s * 1e-12);
}

}  // namespace

int main(int argc, char** argv) {
  gw::kernels::cuda::CudaDevice device;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 20;
  if (!device.missing().empty()) {
    fmt::print("skipped: no CUDA device: {}\n", device.missing());
    return 77;
  }
  try {
    for (const CudaShape& shape : {CudaShape{"M", 8, 2, 1024, 3584},
                                   {"O", 64, 8, 2048, 1024},
                                   {"Q", 128, 8, 2048, 768},
                                   {"S", 32, 4, 1024, 512}}) {
      for (const int64_t tokens : {64, 512, 2048, 8192}) {
        line<gw::kernels::Bf16>(device, "bf16", shape, tokens, rounds);
        line<float>(device, "f32 ", shape, tokens, rounds);
      }
    }
  } catch (const gw::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
  return 0;
}
