// Pictures that stay in their files until a batch wants them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/image_source.h"
#include "gatewright/data/loader.h"
#include "tests/data/picture_writers.h"
#include "tests/data/temp_directory.h"

namespace gw::test::image_source_cases {

using gw::Json;

/// Counts what is read; image n has every byte n.
struct Counted : gw::ImageSource {
  mutable std::atomic<int64_t> reads{0};
  Counted() : ImageSource({1, 2, 3}, 40) {}
  void read(int64_t number, uint8_t* planes) const override {
    ++reads;
    std::fill_n(planes, 6, static_cast<uint8_t>(number));
  }
};

TEST(KeptImages, KeepsTheFirstThatFitAndReadsTheOthersAnew) {
  auto made = std::make_unique<Counted>();
  const auto& counted = *made;
  const gw::KeptImages kept(std::move(made), 6 * 10 + 5);
  std::vector<uint8_t> planes(6);
  for (int round = 0; round < 3; ++round) {
    for (int64_t n = 0; n < 40; ++n) {
      kept.read(n, planes.data());
      EXPECT_EQ(planes, std::vector<uint8_t>(6, static_cast<uint8_t>(n)));
    }
  }
  EXPECT_EQ(kept.kept(), 10);
  EXPECT_EQ(counted.reads, 40 + 30 + 30);
}

TEST(KeptImages, ThreadsMayReadTheSameImages) {
  const gw::KeptImages kept(std::make_unique<Counted>(), 6 * 20);
  std::vector<std::thread> threads;
  std::atomic<int64_t> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      std::vector<uint8_t> planes(6);
      for (int64_t i = 0; i < 4000; ++i) {
        kept.read(i % 40, planes.data());
        if (planes != std::vector<uint8_t>(6, static_cast<uint8_t>(i % 40))) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(kept.kept(), 20);
}

class OnUse : public TempDirectory {
 protected:
  void put(const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(std::filesystem::path(directory_ + "/" + name).parent_path());
    file(name, bytes);
  }
  void pictures(int each) {
    for (int i = 0; i < each; ++i)
      for (const char* name : {"a/", "b/"})
        put(name + std::to_string(10 + i) + ".jpg",
            jpeg_of(3, 9, 12, some_pixels(3, 9, 12, static_cast<uint64_t>(2 * i + (*name == 'a' ? 0 : 1)))));
  }
  gw::TaskData load(Json more = Json::object()) const {
    more["path"] = directory_, more["height"] = 8, more["width"] = 8;
    return gw::make_part<gw::Dataset>("image_folder", more, {})->load();
  }
  template <class Call>
  static std::string refused(const Call& call) {
    try {
      call();
    } catch (const gw::ValueError& error) {
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return "";
  }
};

void expect_equal_batches(const gw::TaskData& eager, const gw::TaskData& lazy) {
  gw::AugmentOptions augment;
  augment.pad = 1, augment.flip = true;
  const auto a = gw::split_validation(eager.train, 2, 0.25, 3),
             b = gw::split_validation(lazy.train, 2, 0.25, 3);
  for (const auto& [first, second] : {std::pair(a.train, b.train), std::pair(a.validation, b.validation),
                                      std::pair(eager.test, lazy.test)}) {
    const gw::Loader x(first, 7, augment, true, gw::Rng(1)), y(second, 7, augment, true, gw::Rng(1));
    ASSERT_EQ(x.batches(), y.batches());
    for (const int64_t epoch : {0, 1, 5}) {
      for (int64_t n = 0; n < x.batches(); ++n) {
        const auto one = x.get(epoch, n), other = y.get(epoch, n);
        EXPECT_TRUE(one.at("image").equal(other.at("image")));
        EXPECT_TRUE(one.at("label").equal(other.at("label")));
      }
      // Any batch may be asked for, not the one after the last alone.
      EXPECT_TRUE(x.get(epoch, 0).at("image").equal(y.get(epoch, 0).at("image")));
    }
  }
}

TEST_F(OnUse, GivesTheBitsOfDecodingAtLoadForAnyThreadsAndMemory) {
  pictures(20);
  const auto eager = load();
  const int threads = at::get_num_threads();
  for (const double memory : {0.0, 1e-6, 1.0}) {
    for (const int count : {1, 4}) {
      at::set_num_threads(count);
      const auto lazy = load({{"decode", "on_use"}, {"memory_gb", memory}});
      ASSERT_TRUE(lazy.train.images);
      EXPECT_EQ(lazy.train.at("image").dim(), 1);
      EXPECT_EQ(lazy.train.size(), eager.train.size());
      expect_equal_batches(eager, lazy);
    }
  }
  at::set_num_threads(threads);
}

TEST_F(OnUse, NeedsNoMemoryForWhatIsRefusedAtLoad) {
  pictures(3);
  EXPECT_NE(refused([&] {
              load({{"memory_gb", 0.0}});
            }).find("or set decode = \"on_use\""),
            std::string::npos);
  const auto lazy = load({{"memory_gb", 0.0}, {"decode", "on_use"}});
  EXPECT_EQ(dynamic_cast<const gw::KeptImages&>(*lazy.train.images).kept(), 0);
  const auto kept = load({{"memory_gb", 1.0}, {"decode", "on_use"}});
  EXPECT_EQ(dynamic_cast<const gw::KeptImages&>(*kept.train.images).kept(), kept.train.size())
      << "the check fills what is kept";
}

TEST_F(OnUse, BadFilesAreKnownBeforeTrainingAndNamed) {
  pictures(6);
  const auto jpeg = jpeg_of(3, 9, 12, some_pixels(3, 9, 12));
  put("a/cut.jpg", jpeg.substr(0, jpeg.size() - 60));
  put("b/text.png", "this is no picture");
  for (const double memory : {0.0, 1.0}) {
    const Json lazy{{"decode", "on_use"}, {"memory_gb", memory}};
    EXPECT_NE(refused([&] { load(lazy); }).find("set skip_bad = true"), std::string::npos);
    auto skipping = lazy;
    skipping["skip_bad"] = true;
    const auto data = load(skipping);
    EXPECT_EQ(data.train.size() + data.test.size(), 12);
    EXPECT_NE(data.origin.find("; 2 bad files left out: "), std::string::npos) << data.origin;
    EXPECT_NE(data.origin.find("a/cut.jpg"), std::string::npos) << data.origin;
    expect_equal_batches(load({{"skip_bad", true}}), data);
  }
}

// Headers alone: what is damaged behind its header is an error of the batch, which names the file.
TEST_F(OnUse, ContentThatWasNotCheckedFailsWhenItsBatchComes) {
  pictures(4);
  const auto jpeg = jpeg_of(3, 9, 12, some_pixels(3, 9, 12));
  put("a/cut.jpg", jpeg.substr(0, jpeg.size() - 60));
  const auto data =
      load({{"decode", "on_use"}, {"check", "header"}, {"skip_bad", true}, {"test_share", 0.1}});
  EXPECT_EQ(data.train.size() + data.test.size(), 9);
  const auto read_all = [](const gw::TensorSet& set) {
    const gw::Loader loader(set, 2, {}, false, gw::Rng(1));
    for (int64_t b = 0; b < loader.batches(); ++b) loader.get(0, b);
  };
  const auto text = refused([&] { read_all(data.train), read_all(data.test); });
  EXPECT_NE(text.find("a/cut.jpg"), std::string::npos) << text;
}

TEST_F(OnUse, AFileThatGoesAwayIsNamed) {
  pictures(4);
  const auto data = load({{"decode", "on_use"}, {"memory_gb", 0.0}});
  std::filesystem::remove_all(directory_ + "/a");
  const gw::Loader loader(data.train, 3, {}, false, gw::Rng(1));
  EXPECT_THROW(loader.get(0, 0), gw::IoError);
}

}  // namespace gw::test::image_source_cases
