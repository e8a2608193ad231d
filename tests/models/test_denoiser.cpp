// The network that makes variations of images: what it is not shown, what its draws are.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/image_varier.h"
#include "gatewright/ops/random.h"
#include "tests/support/refusal.h"

namespace gw::test::denoiser_cases {

std::shared_ptr<Model> denoiser(const Json& options, int64_t channels = 2, int64_t answer = -1) {
  DataSpec data;
  data.channels = channels, data.height = 9, data.width = 8;
  return make_part<Model>("denoiser", options, {data, {answer < 0 ? channels * 72 : answer, false}, 5});
}

ImageVarier& varier(Model& model) { return dynamic_cast<ImageVarier&>(model); }

at::Tensor pictures(int64_t count, int64_t channels = 2) {
  return ops::uniform(Rng(7), {count, channels, 9, 8}, 0, 1);
}

Batch batch_of(const at::Tensor& images) {
  Batch batch;
  batch.fields["image"] = images;
  return batch;
}

// No pixel of a variation depends on that pixel of the image, in any channel: the square was hidden.
TEST(Denoiser, APixelOfAVariationWasNotSeen) {
  const auto model = denoiser({{"block", 3}, {"share", 0.25}, {"width", 16}});
  const auto images = pictures(3);
  const auto made = varier(*model).vary(images, Rng(11));
  ASSERT_EQ(made.sizes(), images.sizes());
  int64_t changed_elsewhere = 0;
  for (int64_t y = 0; y < 9; ++y) {
    for (int64_t x = 0; x < 8; ++x) {
      auto other = images.clone();
      for (int64_t c = 0; c < 2; ++c) other[1][c][y][x] = 1 - other[1][c][y][x];
      const auto again = varier(*model).vary(other, Rng(11));
      EXPECT_TRUE(again.select(2, y).select(2, x).equal(made.select(2, y).select(2, x))) << y << " " << x;
      EXPECT_TRUE(again[0].equal(made[0])) << "images do not mix";
      changed_elsewhere += again[1].ne(made[1]).sum().item<int64_t>();
    }
  }
  EXPECT_GT(changed_elsewhere, 0);
}

// A patch on a dark image is no neighbour's continuation: it goes, and what surprises nobody stays as it is.
TEST(Denoiser, KeepsWhatSurprisesNobody) {
  const auto model = denoiser({{"block", 4}, {"width", 8}, {"keep", 0.3}, {"looks", 3}});
  auto images = at::zeros({5, 2, 9, 8});
  for (int64_t y = 0; y < 3; ++y) {
    for (int64_t x = 0; x < 3; ++x) images.select(2, 6 + y).select(2, 5 + x).fill_((x + y) % 2 == 0 ? 1 : 0);
  }
  const auto made = varier(*model).vary(images, Rng(4));
  const auto patch = [](const at::Tensor& t) { return t.slice(2, 6, 9).slice(3, 5, 8); };
  EXPECT_LT(patch(made).amax().item<double>(), 0.6) << "no pixel of the patch is left";
  EXPECT_TRUE(made.slice(2, 0, 4).equal(images.slice(2, 0, 4))) << "far from it nothing changes";
  const auto all = denoiser({{"block", 4}, {"width", 8}});
  EXPECT_FALSE(varier(*all).vary(images, Rng(4)).slice(2, 0, 4).equal(images.slice(2, 0, 4)));
}

TEST(Denoiser, AnswersOnlyWhatIsHiddenAndHidesItsShare) {
  const auto model = denoiser({{"block", 2}, {"share", 0.25}, {"width", 8}});
  const auto images = pictures(400);
  Pass pass;
  pass.rng = Rng(3);
  const auto out = model->answer(batch_of(images), pass).answer.view(images.sizes());
  const double changed = out.ne(images).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(changed, 0.25, 0.01);
  const auto both = out[0].ne(images[0]).to(at::kLong).sum(0);
  EXPECT_TRUE(both.eq(0).logical_or(both.eq(2)).all().item<bool>()) << "channels are hidden together";
}

TEST(Denoiser, VariationsAreFunctionsOfTheDraws) {
  for (const char* corruption : {"blocks", "noise"}) {
    const auto model = denoiser({{"corruption", corruption}, {"width", 8}});
    const auto images = pictures(4);
    const auto a = varier(*model).vary(images, Rng(1)), b = varier(*model).vary(images, Rng(1)),
               c = varier(*model).vary(images, Rng(2));
    EXPECT_TRUE(a.equal(b)) << corruption;
    EXPECT_FALSE(a.equal(c)) << corruption;
    EXPECT_FALSE(a.requires_grad());
    const auto planes = images.contiguous(at::MemoryFormat::ChannelsLast);
    EXPECT_TRUE(varier(*model).vary(planes, Rng(1)).allclose(a)) << "whatever the memory format";
  }
}

TEST(Denoiser, RefusesOtherImagesAndTasks) {
  const auto model = denoiser({{"width", 8}});
  expect_part(refusal<ValueError>([&] {
                model->answer(batch_of(at::zeros({2, 1, 9, 8})), Pass{});
              }),
              "expected images [B, 2, 9, 8]");
  expect_part(refusal<ValueError>([] { denoiser({{"width", 8}}, 2, 10); }), "take denoising");
  expect_part(refusal<ValueError>([] { denoiser({{"width", 8}}, 0, 1); }), "expected data with images");
  expect_part(refusal<ValueError>([] { denoiser({{"share", 0.9}}); }), "share");
}

}  // namespace gw::test::denoiser_cases
