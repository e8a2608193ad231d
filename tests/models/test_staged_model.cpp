#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "gatewright/models/staged_model.h"
#include "gatewright/ops/random.h"

namespace gw::test::staged_model_cases {
namespace {

TEST(StageRows, AreGatheredAsTheyLie) {
  const auto maps = ops::normal(Rng(1), {6, 3, 5, 4}, 0, 1), which = at::tensor({4, 0, 5}, at::kLong);
  const auto tokens = ops::normal(Rng(2), {6, 7, 3}, 0, 1);
  for (const bool recorded : {true, false}) {
    const at::AutoGradMode mode(recorded);
    for (const auto& x :
         {maps, maps.contiguous(at::MemoryFormat::ChannelsLast), tokens, maps.transpose(2, 3)}) {
      const auto rows = StageRows{x, {}}.at(which).x;
      EXPECT_TRUE(rows.equal(x.index_select(0, which)));
      EXPECT_EQ(x.dim() == 4 && rows.is_contiguous(at::MemoryFormat::ChannelsLast),
                x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast));
    }
    EXPECT_EQ((StageRows{maps, {}}.at(at::empty({0}, at::kLong)).size()), 0);
  }
}

}  // namespace
}  // namespace gw::test::staged_model_cases
