// The CUDA levels' launch logic on a device that fails where it is told to: what it takes, what it gives
// back, what it says.
#include <gtest/gtest.h>

#include <functional>

#include "bench/cuda/ffn_timing.h"
#include "gatewright/base/error.h"
#include "gatewright/kernels/cuda/level.h"
#include "gatewright/kernels/moe_ffn/cuda_driver.h"
#include "gatewright/kernels/plan/cuda_body.h"
#include "gatewright/kernels/top_k/cuda_body.h"
#include "gatewright/kernels/top_k/family.h"
#include "tests/support/cuda_emulator.h"
#include "tests/support/cuda_ffn_cases.h"

namespace {

using namespace gw::test;

using Arm = std::function<void()>;

/// One way into the CUDA levels. `run` makes its arrays, calls arm(), from when on the device fails as told,
/// and then the level.
struct Entry {
  const char* part;
  int allocations, launches;
  std::function<void(EmulatedDevice&, const Arm&)> run;
};

// The smallest problem that needs everything: biases, gate, an expert without rows.
const Case<float>& small() {
  static const Case<float> c({3, 8, 70, 9, 20, 2, true, true});
  return c;
}

void top_k_call(EmulatedDevice& device, const Arm& arm) {
  const Array<float, EmulatedDevice> in(device, tied_scores(20 * 6, 50)), weight(device, 40);
  const Array<int64_t, EmulatedDevice> expert(device, 40), fault(device, 1);
  arm();
  cuda::top_k(device, in.data(), 20, 6, 2, Score::softmax, true, expert.data(), weight.data(), fault.data());
}

void plan_call(EmulatedDevice& device, const Arm& arm) {
  const Array<int64_t, EmulatedDevice> ids(device, std::vector<int64_t>(40, -1)), offsets(device, 4),
      slots(device, 40), fault(device, 1);
  arm();
  cuda::sort_slots(device, ids.data(), 20, 2, 3, offsets.data(), slots.data(), fault.data());
}

void rows_call(EmulatedDevice& device, const Arm& arm) {
  const Array<float, EmulatedDevice> rows(device, small().x), weights(device, small().up),
      to(device, 20 * 70);
  const Array<int64_t, EmulatedDevice> offsets(device, std::vector<int64_t>{0, 5, 5, 20});
  arm();
  cuda::rows_product<float>(device, {3,
                                     20,
                                     8,
                                     70,
                                     offsets.data(),
                                     {{rows.data(), nullptr, weights.data()}, {}},
                                     false,
                                     nullptr,
                                     to.data()});
}

void groups_call(EmulatedDevice& device, const Arm& arm) {
  const Array<float, EmulatedDevice> left(device, small().x), right(device, small().dy),
      to(device, 3 * 8 * 9);
  const Array<int64_t, EmulatedDevice> offsets(device, std::vector<int64_t>{0, 5, 5, 20});
  arm();
  cuda::groups_product<float>(
      device, {3, 8, 9, offsets.data(), left.data(), right.data(), nullptr, nullptr, to.data()});
}

void forward_call(EmulatedDevice& device, const Arm& arm) {
  const FfnOnDevice<float, EmulatedDevice> on(device, small());
  const Array<float, EmulatedDevice> y(device, 20 * 9);
  arm();
  cuda::ffn_forward<float>(device, on.problem(), small().rows(), y.data(), {});
}

void backward_call(EmulatedDevice& device, const Arm& arm) {
  const auto& c = small();
  const FfnOnDevice<float, EmulatedDevice> on(device, c);
  const auto inner = static_cast<size_t>(c.rows() * 70);
  const Array<float, EmulatedDevice> gate(device, inner), up(device, inner), dy(device, c.dy),
      dx(device, c.x.size()), dw(device, c.weight.size());
  const Array<float, EmulatedDevice> dg(device, c.gate.size()), du(device, c.up.size()),
      dd(device, c.down.size());
  const Array<float, EmulatedDevice> bg(device, c.gate_bias.size()), bu(device, c.up_bias.size()),
      bd(device, c.down_bias.size());
  cuda::ffn_recompute<float>(device, on.problem(), c.rows(), {gate.data(), up.data()});
  arm();
  cuda::ffn_backward<float>(
      device, on.problem(), c.rows(), {gate.data(), up.data()}, dy.data(),
      {dx.data(), dw.data(), dg.data(), du.data(), dd.data(), bg.data(), bu.data(), bd.data()});
}

const std::vector<Entry> kEntries{
    {"top_k/cuda", 1, 2, top_k_call},       {"plan/cuda", 2, 4, plan_call},
    {"grouped_gemm/cuda", 1, 2, rows_call}, {"grouped_gemm/cuda", 0, 1, groups_call},
    {"moe_ffn/cuda", 6, 9, forward_call},   {"moe_ffn/cuda", 9, 16, backward_call}};

// The CPU's dispatch never takes it, compiled in or not, and says why.
TEST(CudaLevel, IsListedWithTheReason) {
  for (const gw::KernelFamilyBase* family :
       std::vector<const gw::KernelFamilyBase*>{&top_k_family(), &moe_ffn_family(), &moe_ffn_bf16_family()}) {
    const auto& level = family->levels().back();
    EXPECT_EQ(level.name, "cuda") << family->name();
    EXPECT_FALSE(level.available);
    EXPECT_NE(level.reason.find("docs/cuda.md"), std::string::npos) << level.reason;
    EXPECT_NE(cuda_report().find(level.reason), std::string::npos) << cuda_report();
  }
}

// Which launch, of how many, and that nothing else is launched or taken: one more than there are fails
// nothing.
TEST(CudaLaunch, EveryFailureNamesThePartAndGivesBackWhatWasTaken) {
  for (const auto& entry : kEntries) {
    for (const bool memory : {true, false}) {
      const int count = memory ? entry.allocations : entry.launches;
      for (int i = 0; i <= count; ++i) {
        SCOPED_TRACE(testing::Message()
                     << entry.part << (memory ? " allocation " : " launch ") << i << " of " << count);
        EmulatedDevice device;
        const auto arm = [&] { (memory ? device.fail_allocation : device.fail_launch) = i; };
        std::string message;
        try {
          entry.run(device, arm);
        } catch (const gw::IoError& error) {
          message = error.what();
        }
        EXPECT_EQ(message.rfind(entry.part, 0) == 0, i < count) << message;
        EXPECT_EQ(message.find(memory ? "bytes of device memory" : "invalid configuration argument") !=
                      std::string::npos,
                  i < count)
            << message;
        EXPECT_EQ(device.held(), 0);
      }
    }
  }
}

TEST(CudaLaunch, NoDeviceIsSaidBeforeAnythingIsTaken) {
  for (const auto& entry : kEntries) {
    EmulatedDevice device;
    int launches = 0;
    try {
      entry.run(device, [&] { device.present = false, launches = device.launches(); });
      FAIL() << entry.part;
    } catch (const gw::IoError& error) {
      EXPECT_EQ(std::string(error.what()).rfind(entry.part, 0), 0u);
      EXPECT_NE(std::string(error.what()).find("no CUDA-capable device is detected"), std::string::npos);
    }
    EXPECT_EQ(device.launches(), launches);
    EXPECT_EQ(device.held(), 0);
  }
}

TEST(CudaLaunch, RefusesMoreTilesThanALaunchHas) {
  EmulatedDevice device;
  const Array<int64_t, EmulatedDevice> offsets(device, std::vector<int64_t>{0, 0});
  const cuda::RowsProduct<float> p{1, int64_t{1} << 37, 1, 1, offsets.data(), {}, false, nullptr, nullptr};
  try {
    cuda::rows_product(device, p);
    FAIL();
  } catch (const gw::ValueError& error) {
    EXPECT_EQ(std::string(error.what()),
              "grouped_gemm/cuda: expected at most 2147483647 blocks for the product, got 2147483649; use "
              "fewer tokens in one call");
  }
}

// No buffer grows with experts × capacity: memory is to the byte what the header says.
TEST(CudaLaunch, MemoryIsWhatTheHeaderSays) {
  const auto& s = small().s;
  const int64_t n = small().rows();
  const auto bytes = [](const Entry& entry) {
    EmulatedDevice device;
    int64_t before = 0;
    entry.run(device, [&] { before = device.bytes(); });
    return device.most_bytes() - before;
  };
  EXPECT_EQ(bytes(kEntries[4]), n * (4 * s.hidden + 4 * s.out + 8) + 16 * s.tokens + 8 * s.experts + 16);
  EXPECT_EQ(bytes(kEntries[5]),
            n * (3 * 4 * s.hidden + 4 * s.in + 4 * 2 + 8) + 16 * s.tokens + 8 * s.experts + 16);
}

// Gradients that nobody wants cost nothing.
TEST(CudaLaunch, OnlyWantedGradientsAreComputed) {
  EmulatedDevice device;
  const auto& c = small();
  const FfnOnDevice<float, EmulatedDevice> on(device, c);
  const auto inner = static_cast<size_t>(c.rows() * 70);
  const Array<float, EmulatedDevice> gate(device, inner), up(device, inner), dy(device, c.dy),
      dd(device, c.down.size());
  cuda::ffn_recompute<float>(device, on.problem(), c.rows(), {gate.data(), up.data()});
  const int before = device.launches();
  FfnGradients<float> to;
  to.down = dd.data();
  cuda::ffn_backward<float>(device, on.problem(), c.rows(), {gate.data(), up.data()}, dy.data(), to);
  EXPECT_EQ(device.launches() - before, 3);  // tiles, inner gradients, the gradient of down
}

/// A device that spoils x and y of three tokens.
struct Spoiled : EmulatedDevice {
  void copy(void* to, const void* from, int64_t bytes) {
    EmulatedDevice::copy(to, from, bytes);
    if (bytes == 3 * 8 * 4) static_cast<unsigned char*>(to)[bytes - 1] ^= 0x40;  // the last number's exponent
  }
};

// What times the level on a GPU refuses to time a wrong answer.
TEST(CudaTiming, AnswersAreCheckedFirst) {
  const gw::bench::CudaShape shape{"tiny", 4, 2, 8, 16};
  EmulatedDevice device;
  EXPECT_EQ(gw::bench::time_ffn<float>(device, shape, 10, 1).forward_flop, 6.0 * 20 * 16 * 8);
  EXPECT_GT(gw::bench::time_ffn<Bf16>(device, shape, 10, 1).training_s, 0);
  EXPECT_EQ(device.held(), 0);
  Spoiled spoiled;
  EXPECT_THROW(gw::bench::time_ffn<float>(spoiled, shape, 3, 1), gw::InternalError);
}

}  // namespace
