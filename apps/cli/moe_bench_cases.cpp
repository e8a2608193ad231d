// Which shapes `gatewright bench` measures, and with which marks.
#include <fmt/format.h>

#include "apps/cli/moe_bench.h"

namespace gw {
namespace {

using Mode = MoeBenchCase::Mode;
using Against = MoeBenchCase::Against;

struct Shape {
  const char* name;
  int64_t experts, k, in, hidden;
};

constexpr Shape kM{"M", 8, 2, 1024, 3584}, kO{"O", 64, 8, 2048, 1024}, kQ{"Q", 128, 8, 2048, 768},
    kS{"S", 32, 4, 1024, 512}, kR{"R", 16, 2, 128, 256};
// Odd multiples of the kernels' tiles (Qwen2's and GPT-OSS's), many small experts, and sides that no tile
// divides.
constexpr Shape kW{"W", 60, 4, 2048, 1408}, kG{"G", 32, 4, 2880, 2880}, kF{"F", 256, 8, 1024, 256},
    kU{"U", 16, 2, 1000, 500};

using Cases = std::vector<MoeBenchCase>;

void add(Cases& cases, const Shape& shape, int64_t tokens, bool bf16, Mode mode, Against against, double mark,
         double zipf = 0) {
  const char* kind = against == Against::loop          ? " against the loop"
                     : against == Against::bookkeeping ? " bookkeeping"
                                                       : "";
  const auto name = fmt::format("{} {} {} T={}{}{}", mode == Mode::forward ? "forward" : "training",
                                bf16 ? "bf16" : "f32", shape.name, tokens, zipf > 0 ? " skewed" : "", kind);
  cases.push_back({name, shape.experts, shape.k, shape.in, shape.hidden, tokens, shape.name[0] != 'R', bf16,
                   mode, zipf, against, mark});
}

void add_quantised(Cases& cases, const Shape& shape, int64_t tokens, int64_t bits, int64_t group,
                   double mark) {
  const auto name = fmt::format("forward int{} group {} {} T={}", bits, group, shape.name, tokens);
  cases.push_back({name, shape.experts, shape.k, shape.in, shape.hidden, tokens, true, true, Mode::forward, 0,
                   Against::roof, mark, bits, group});
}

Cases all_cases() {
  Cases cases;
  const auto add_to = [&](const auto&... of) { add(cases, of...); };
  for (const auto& shape : {kM, kO, kQ})
    add_to(shape, 2048, false, Mode::forward, Against::roof, 0.92),
        add_to(shape, 2048, true, Mode::forward, Against::roof, 0.90);
  add_to(kO, 512, true, Mode::forward, Against::roof, 0.88),
      add_to(kS, 512, true, Mode::forward, Against::roof, 0.84);
  for (const auto& shape : {kW, kG}) add_to(shape, 2048, true, Mode::forward, Against::roof, 0.90);
  for (const bool bf16 : {false, true}) {
    for (const auto& shape : {kF, kU}) add_to(shape, 2048, bf16, Mode::forward, Against::roof, 0.84);
  }
  for (const auto& shape : {kM, kO, kQ})
    add_to(shape, 2048, false, Mode::training, Against::roof, 0.86),
        add_to(shape, 2048, true, Mode::training, Against::roof, 0.80);
  add_to(kS, 512, true, Mode::training, Against::roof, 0.66);
  for (const bool bf16 : {false, true}) {
    add_to(kS, 16, bf16, Mode::forward, Against::roof, 0.72);
    add_to(kS, 64, bf16, Mode::forward, Against::roof, bf16 ? 0.85 : 0.80);
    for (const int64_t tokens : {1, 2, 4, 8}) add_to(kS, tokens, bf16, Mode::forward, Against::roof, 0.88);
    for (const int64_t tokens : {8, 64}) add_to(kS, tokens, bf16, Mode::training, Against::loop, 3);
    add_to(kO, 2048, bf16, Mode::training, Against::loop, bf16 ? 1.6 : 2);
  }
  for (const int64_t tokens : {256, 1024, 4096})
    add_to(kR, tokens, false, Mode::training, Against::roof, 0.60),
        add_to(kR, tokens, false, Mode::training, Against::loop, 3);
  add_to(kO, 2048, false, Mode::forward, Against::balanced, 0.93, 1.2);
  for (const auto& shape : {kM, kO, kQ, kS})
    add_to(shape, 2048, true, Mode::forward, Against::bookkeeping, 0.03);
  add_quantised(cases, kO, 512, 8, 0, 0.60), add_quantised(cases, kO, 512, 8, 128, 0.60);
  add_quantised(cases, kO, 512, 4, 128, 0.60);
  for (const int64_t bits : {8, 4}) {
    for (const int64_t tokens : {1, 2, 4, 8, 16, 64})
      add_quantised(cases, kS, tokens, bits, 128,
                    tokens <= 8                 ? 0.88
                    : tokens == 16 && bits == 4 ? 0.85
                                                : 0.72);
  }
  return cases;
}

}  // namespace

const std::vector<MoeBenchCase>& moe_bench_cases() {
  static const auto cases = all_cases();
  return cases;
}

}  // namespace gw
