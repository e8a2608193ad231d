#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "gatewright/base/error.h"
#include "gatewright/data/loader.h"

namespace gw::test::loader_cases {

gw::TensorSet images_of(int64_t count, int64_t channels, int64_t height, int64_t width) {
  auto set = gw::labelled_images(at::empty({count, channels, height, width}, at::kByte),
                                 at::arange(count, at::kLong) % 7);
  auto* pixels = set.at("image").data_ptr<uint8_t>();
  for (int64_t i = 0; i < set.at("image").numel(); ++i)
    pixels[i] = static_cast<uint8_t>(gw::Rng(1).bits(static_cast<uint64_t>(i)));
  return set;
}

gw::AugmentOptions augment(int64_t pad, bool flip) {
  gw::AugmentOptions options;
  options.pad = pad, options.flip = flip;
  return options;
}

TEST(Loader, GivesTheImagesChannelsLastInUnitRange) {
  for (const int64_t channels : {1, 3}) {
    const auto set = images_of(10, channels, 5, 6);
    const gw::Loader loader(set, 4, {}, false, gw::Rng(3));
    ASSERT_EQ(loader.batches(), 3);
    for (int64_t b = 0; b < 3; ++b) {
      const auto batch = loader.get(0, b);
      const int64_t end = std::min<int64_t>(10, 4 * b + 4);
      EXPECT_TRUE(batch.index.equal(at::arange(4 * b, end, at::kLong)));
      EXPECT_TRUE(batch.at("label").equal(set.at("label").slice(0, 4 * b, end)));
      EXPECT_TRUE(batch.at("image").is_contiguous(at::MemoryFormat::ChannelsLast));
      EXPECT_TRUE(batch.at("image").equal(set.at("image").slice(0, 4 * b, end).to(at::kFloat) / 255))
          << "uint8 / 255 must be exact";
    }
  }
}

TEST(Loader, AnEpochHoldsEveryImageOnceInAnOrderOfItsOwn) {
  const auto set = images_of(101, 1, 3, 3);
  const gw::Loader loader(set, 10, augment(2, true), true, gw::Rng(3));
  EXPECT_EQ(loader.batches(), 10) << "the last batch would hold one image only";
  EXPECT_EQ(gw::Loader(set, 10, {}, false, gw::Rng(3)).batches(), 11);
  EXPECT_EQ(gw::Loader(set, 1, {}, true, gw::Rng(3)).batches(), 101);
  EXPECT_EQ(gw::Loader(images_of(1, 1, 3, 3), 10, {}, true, gw::Rng(3)).batches(), 1);
  std::set<int64_t> seen;
  std::vector<at::Tensor> orders;
  for (const int64_t epoch : {0, 1}) {
    std::vector<at::Tensor> parts;
    for (int64_t b = 0; b < loader.batches(); ++b) {
      const auto batch = loader.get(epoch, b);
      EXPECT_TRUE(batch.at("label").equal(set.at("label").index_select(0, batch.index)));
      parts.push_back(batch.index);
    }
    orders.push_back(at::cat(parts));
    const auto* index = orders.back().data_ptr<int64_t>();
    EXPECT_EQ(std::set<int64_t>(index, index + 100).size(), 100u);
  }
  EXPECT_FALSE(orders[0].equal(orders[1]));
  const gw::Loader again(set, 10, augment(2, true), true, gw::Rng(3));
  EXPECT_TRUE(again.get(1, 7).at("image").equal(loader.get(1, 7).at("image")))
      << "resuming in the middle needs no earlier batch";
  EXPECT_TRUE(loader.get(0, 3).index.equal(orders[0].slice(0, 30, 40))) << "going back to an earlier epoch";
}

/// The same crop and flip with tensor operations: pad, mirror, search.
bool is_augmented(const at::Tensor& got, const at::Tensor& image, int64_t pad, bool flip, int64_t& place) {
  const at::Tensor padded = at::constant_pad_nd(image.to(at::kFloat) / 255, {pad, pad, pad, pad});
  place = 0;
  for (const bool mirrored : {false, true}) {
    if (mirrored && !flip) break;
    for (int64_t y = 0; y <= 2 * pad; ++y) {
      for (int64_t x = 0; x <= 2 * pad; ++x, ++place) {
        const at::Tensor crop = padded.slice(1, y, y + image.size(1)).slice(2, x, x + image.size(2));
        if (got.equal(mirrored ? crop.flip(2) : crop)) return true;
      }
    }
  }
  return false;
}

TEST(Loader, AugmentsByPaddedCropsAndFlips) {
  const auto set = images_of(400, 2, 4, 7);
  const gw::Loader loader(set, 400, augment(2, true), true, gw::Rng(3));
  const auto batch = loader.get(5, 0);
  std::vector<int> places(50, 0);
  for (int64_t i = 0; i < 400; ++i) {
    int64_t place = 0;
    ASSERT_TRUE(
        is_augmented(batch.at("image")[i], set.at("image")[batch.index[i].item<int64_t>()], 2, true, place))
        << i;
    ++places[static_cast<size_t>(place)];
  }
  EXPECT_EQ(std::count(places.begin(), places.end(), 0), 0)
      << "400 draws of 50 places: all are hit with probability 0.98, and this seed is fixed";
  EXPECT_FALSE(loader.get(6, 0).at("image").equal(batch.at("image")));
}

TEST(Loader, PaddingAboveTheImageIsBlackNotACrash) {
  const auto set = images_of(50, 1, 4, 4);
  const auto batch = gw::Loader(set, 50, augment(64, true), false, gw::Rng(3)).get(0, 0);
  int64_t black = 0;
  for (int64_t i = 0; i < 50; ++i) black += batch.at("image")[i].eq(0).all().item<bool>() ? 1 : 0;
  EXPECT_GT(black, 40);
}

TEST(Loader, NeitherBatchSizeNorThreadsChangeABit) {
  const auto set = images_of(100, 3, 8, 8);
  const gw::Loader whole(set, 100, augment(2, true), true, gw::Rng(3)),
      parts(set, 7, augment(2, true), true, gw::Rng(3));
  const auto all = whole.get(2, 0);
  std::vector<at::Tensor> pieces(static_cast<size_t>(parts.batches()));
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (auto b = static_cast<size_t>(t); b < pieces.size(); b += 2)
        pieces[b] = parts.get(2, static_cast<int64_t>(b)).at("image");
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(at::cat(pieces).equal(all.at("image")));
  const auto unshuffled = gw::Loader(set, 100, augment(2, true), false, gw::Rng(3)).get(2, 0);
  EXPECT_TRUE(unshuffled.at("image").index_select(0, all.index).equal(all.at("image")))
      << "draws belong to the position in the set";
}

TEST(Loader, ABatchLargeEnoughForTwoThreadsIsTheSame) {
  const auto set =
      images_of(600, 1, 64, 64);  // 2.4 million pixels: the loader splits the work at one million
  const gw::Loader loader(set, 600, augment(4, true), true, gw::Rng(3));
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = loader.get(0, 0);
  at::set_num_threads(2);
  const auto two = loader.get(0, 0);
  at::set_num_threads(threads);
  EXPECT_TRUE(one.at("image").equal(two.at("image")));
}

TEST(Loader, RefusesWhatItCannotLoad) {
  const auto set = images_of(4, 1, 2, 2);
  EXPECT_THROW(gw::Loader(set, 0, {}, true, gw::Rng(1)), gw::ValueError);
  EXPECT_THROW(gw::Loader({}, 1, {}, true, gw::Rng(1)), gw::ValueError);
  EXPECT_THROW(gw::Loader(gw::labelled_images(set.at("image").to(at::kFloat), set.at("label")), 1, {}, true,
                          gw::Rng(1)),
               gw::ValueError);
  EXPECT_THROW(gw::Loader(gw::labelled_images(set.at("image").slice(2, 0, 0), set.at("label")), 1, {}, true,
                          gw::Rng(1)),
               gw::ValueError)
      << "images without pixels";
  EXPECT_THROW(gw::Loader(gw::labelled_images(set.at("image"), set.at("label").slice(0, 0, 3)), 1, {}, true,
                          gw::Rng(1)),
               gw::ValueError);
  const gw::Loader loader(set, 2, {}, true, gw::Rng(1));
  EXPECT_THROW(loader.get(0, 2), gw::ValueError);
  EXPECT_THROW(loader.get(0, -1), gw::ValueError);
  EXPECT_THROW(loader.get(-1, 0), gw::ValueError);
}

}  // namespace gw::test::loader_cases
