#include <ATen/ATen.h>

#include <cstdlib>

#include "gatewright/base/registry.h"
#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"
#include "tests/data/temp_directory.h"

namespace gw::test::datasets_cases {

std::shared_ptr<gw::Dataset> dataset(const std::string& name, const gw::Json& options = gw::Json::object()) {
  return gw::make_part<gw::Dataset>(name, options, {});
}

/// Sets GATEWRIGHT_DATA for a test and puts the old value back.
class DataRoot {
 public:
  explicit DataRoot(const std::string& value) {
    const char* old = std::getenv("GATEWRIGHT_DATA");
    if (old != nullptr) old_ = old, had_ = true;
    ::setenv("GATEWRIGHT_DATA", value.c_str(), 1);
  }
  ~DataRoot() { had_ ? ::setenv("GATEWRIGHT_DATA", old_.c_str(), 1) : ::unsetenv("GATEWRIGHT_DATA"); }

 private:
  std::string old_;
  bool had_ = false;
};

TEST(Datasets, EveryPartHasASummaryAndItsFilesStem) {
  const auto parts = gw::Registry::instance().list("datasets");
  ASSERT_GE(parts.size(), 3u);
  for (const auto& part : parts) {
    EXPECT_FALSE(part.summary.empty()) << part.name;
    EXPECT_EQ(part.file, "gatewright/data/datasets/" + part.name + ".cpp");
    EXPECT_THROW(dataset(part.name, {{"no_such_option", 1}}), gw::ValueError) << part.name;
  }
}

class FashionMnist : public TempDirectory {
 protected:
  void write(const std::string& images, const std::string& labels) {
    file("train-images-idx3-ubyte", images);
    file("train-labels-idx1-ubyte", labels);
    file("t10k-images-idx3-ubyte.gz", gzip(idx({1, 28, 28}, std::string(784, 'z'))));
    file("t10k-labels-idx1-ubyte.gz", gzip(idx({1}, "\x09")));
  }
  std::string error() const {
    return value_error_of([&] { dataset("fashion_mnist", {{"path", directory_}})->load(); });
  }
};

TEST_F(FashionMnist, ReadsPlainAndPackedFiles) {
  write(idx({2, 28, 28}, std::string(784, 'a') + std::string(784, 'b')),
        idx({2}, std::string("\x03\x00", 2)));
  const auto data = dataset("fashion_mnist", {{"path", directory_}})->load();
  EXPECT_EQ(data.train.at("image").sizes(), (std::vector<int64_t>{2, 1, 28, 28}));
  EXPECT_EQ(data.train.at("image")[1].min().item<int>(), 'b');
  EXPECT_TRUE(data.train.at("label").equal(at::tensor({3, 0}, at::kLong)));
  EXPECT_TRUE(data.test.at("label").equal(at::tensor({9}, at::kLong)));
  EXPECT_EQ(data.class_names.size(), static_cast<size_t>(data.classes));
}

TEST_F(FashionMnist, RefusesFilesThatDoNotFit) {
  const std::string two = idx({2, 28, 28}, std::string(2 * 784, 'a'));
  write(two, idx({3}, std::string(3, '\0')));
  EXPECT_NE(error().find("got 3 labels"), std::string::npos) << error();
  write(two, idx({2}, std::string("\x00\x0a", 2)));
  EXPECT_NE(error().find("got 10 at image 1"), std::string::npos) << error();
  write(idx({2, 14, 14}, std::string(2 * 196, 'a')), idx({2}, std::string(2, '\0')));
  EXPECT_NE(error().find("got 14 x 14"), std::string::npos) << error();
  write(idx({2}, "ab"), two);
  EXPECT_NE(error().find("swapped"), std::string::npos) << error();
}

TEST_F(FashionMnist, SaysWhereItLookedAndHowToGetTheFiles) {
  const auto part = dataset("fashion_mnist", {{"path", directory_ + "/none"}});
  EXPECT_NE(part->missing().find("train-images-idx3-ubyte in " + directory_ + "/none"), std::string::npos)
      << part->missing();
  EXPECT_NE(part->missing().find("dataset-fashion-mnist"), std::string::npos);
  EXPECT_EQ(part->missing().find('\n'), std::string::npos);
  EXPECT_THROW(part->load(), gw::IoError);
}

TEST_F(FashionMnist, FindsTheRootOfTheEnvironment) {
  const DataRoot root(directory_);
  std::filesystem::create_directory(directory_ + "/fashion-mnist");
  directory_ += "/fashion-mnist";
  write(idx({1, 28, 28}, std::string(784, 'a')), idx({1}, std::string(1, '\x05')));
  const auto data = dataset("fashion_mnist")->load();
  EXPECT_EQ(data.origin, directory_);
  EXPECT_EQ(data.train.size(), 1);
  directory_ = directory_.substr(0, directory_.rfind('/'));
}

TEST(FashionMnistFiles, ThePublishedFilesAreRead) {
  const auto part = dataset("fashion_mnist");
  if (!part->missing().empty()) GTEST_SKIP() << part->missing();
  const auto data = part->load();
  EXPECT_EQ(data.train.at("image").sizes(), (std::vector<int64_t>{60000, 1, 28, 28}));
  EXPECT_EQ(data.test.at("image").sizes(), (std::vector<int64_t>{10000, 1, 28, 28}));
  EXPECT_TRUE(at::bincount(data.train.at("label")).eq(6000).all().item<bool>());
  EXPECT_TRUE(at::bincount(data.test.at("label")).eq(1000).all().item<bool>());
  EXPECT_EQ(data.train.at("label")[0].item<int64_t>(), 9);  // the first training image is an ankle boot
}

class Cifar10 : public TempDirectory {
 protected:
  static std::string record(char label, char red) {
    return label + std::string(1024, red) + std::string(1024, 'g') + std::string(1024, 'b');
  }
  void write() {
    for (int i = 1; i <= 5; ++i)
      file("data_batch_" + std::to_string(i) + ".bin", record(static_cast<char>(i), 'r'));
    file("test_batch.bin", record(0, 'x') + record(9, 'y'));
  }
};

TEST_F(Cifar10, ReadsRecords) {
  write();
  const auto data = dataset("cifar10", {{"path", directory_}})->load();
  EXPECT_TRUE(data.train.at("label").equal(at::tensor({1, 2, 3, 4, 5}, at::kLong)));
  EXPECT_EQ(data.test.at("image").sizes(), (std::vector<int64_t>{2, 3, 32, 32}));
  EXPECT_EQ(data.test.at("image")[1][0][31][31].item<int>(), 'y');
  EXPECT_EQ(data.test.at("image")[1][2][0][0].item<int>(), 'b');
}

TEST_F(Cifar10, RefusesWhatIsNoBatch) {
  EXPECT_THROW(dataset("cifar10", {{"path", directory_}})->load(), gw::IoError);
  EXPECT_NE(dataset("cifar10", {{"path", directory_}})->missing().find("cifar-10-binary.tar.gz"),
            std::string::npos);
  write();
  const auto error = [&] {
    return value_error_of([&] { dataset("cifar10", {{"path", directory_}})->load(); });
  };
  file("data_batch_3.bin", record(1, 'a') + "cut");
  EXPECT_NE(error().find("(3 left over)"), std::string::npos) << error();
  file("data_batch_3.bin", record(1, 'a') + record(10, 'a'));
  EXPECT_NE(error().find("got 10 at record 1"), std::string::npos) << error();
  file("data_batch_3.bin", "");
  EXPECT_NE(error().find("got 0 bytes"), std::string::npos) << error();
}

gw::TaskData synthetic(gw::Json options) { return dataset("synthetic", options)->load(); }

TEST(Synthetic, IsAPureFunctionOfItsOptions) {
  const auto a = synthetic({{"train", 40}}), b = synthetic({{"train", 40}}),
             c = synthetic({{"train", 40}, {"seed", 1}}), d = synthetic({{"train", 60}});
  EXPECT_TRUE(a.train.at("image").equal(b.train.at("image")));
  EXPECT_FALSE(a.train.at("image").equal(c.train.at("image")));
  EXPECT_TRUE(d.train.at("image").slice(0, 0, 40).equal(a.train.at("image")))
      << "more images must not change the first ones";
  EXPECT_FALSE(a.train.at("image").equal(a.test.at("image").slice(0, 0, 40)));
  EXPECT_TRUE(at::bincount(a.train.at("label")).eq(4).all().item<bool>());
}

/// Share of test images that ridge regression on `features` classifies right.
double ridge_accuracy(const at::Tensor& train, const at::Tensor& train_labels, const at::Tensor& test,
                      const at::Tensor& test_labels, int64_t classes) {
  const auto with_one = [](const at::Tensor& x) {
    return at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1);
  };
  const at::Tensor x = with_one(train), y = at::one_hot(train_labels, classes).to(at::kDouble) * 2 - 1;
  const at::Tensor gram =
      x.t().mm(x) + 1e-2 * static_cast<double>(x.size(0)) * at::eye(x.size(1), x.options());
  const at::Tensor weights = at::cholesky_solve(x.t().mm(y), at::linalg_cholesky(gram));
  return with_one(test).mm(weights).argmax(1).eq(test_labels).to(at::kDouble).mean().item<double>();
}

/// One layer of 64 random 5 x 5 filters, rectified and averaged: what the simplest convolutional network sees
/// before training.
at::Tensor filter_energy(const at::Tensor& images) {
  const gw::Rng rng(5);
  const at::Tensor filters = at::empty({64, images.size(1), 5, 5}, at::kDouble);
  auto* weight = filters.data_ptr<double>();
  for (int64_t i = 0; i < filters.numel(); ++i) weight[i] = rng.uniform(static_cast<uint64_t>(i)) - 0.5;
  const at::Tensor response = at::conv2d(images.to(at::kDouble) / 255 - 0.5, filters).relu();
  const at::Tensor energy = response.mean({2, 3});
  return energy / energy.norm(2, 1, true);
}

TEST(Synthetic, NeedsMoreThanALinearClassifierAndIsLearnable) {
  for (const int64_t channels : {1, 3}) {
    const auto data = synthetic({{"train", 1000}, {"test", 500}, {"channels", channels}});
    const auto flat = [](const gw::TensorSet& set) {
      return set.at("image").flatten(1).to(at::kDouble) / 255 - 0.5;
    };
    const double linear = ridge_accuracy(flat(data.train), data.train.at("label"), flat(data.test),
                                         data.test.at("label"), data.classes);
    const double convolutional =
        ridge_accuracy(filter_energy(data.train.at("image")), data.train.at("label"),
                       filter_energy(data.test.at("image")), data.test.at("label"), data.classes);
    EXPECT_LT(linear, 0.5)
        << "a score that favours an image disfavours its negative, which is as frequent in the class";
    EXPECT_GT(convolutional, 0.9);
    RecordProperty("linear" + std::to_string(channels), std::to_string(linear));
    RecordProperty("convolutional" + std::to_string(channels), std::to_string(convolutional));
  }
}

gw::TensorSet small_set(const std::vector<int64_t>& labels) {
  auto set =
      gw::labelled_images(at::arange(static_cast<int64_t>(labels.size()), at::kByte).view({-1, 1, 1, 1}),
                          at::tensor(labels, at::kLong));
  return set;
}

TEST(TakePerClass, TakesTheFirstOfEveryClassInFileOrder) {
  const auto set = small_set({2, 0, 0, 1, 2, 1, 0, 2, 1});
  const auto taken = gw::take_per_class(set, 3, 2);
  EXPECT_TRUE(taken.at("image").flatten().equal(at::tensor({0, 1, 2, 3, 4, 5}, at::kByte)));
  EXPECT_TRUE(taken.at("label").equal(at::tensor({2, 0, 0, 1, 2, 1}, at::kLong)));
  EXPECT_TRUE(gw::take_per_class(set, 3, 0).at("label").equal(set.at("label")));
  EXPECT_THROW(gw::take_per_class(set, 3, -1), gw::ValueError);
  EXPECT_THROW(gw::take_per_class(set, 2, 1), gw::ValueError);
  EXPECT_EQ(value_error_of([&] { gw::take_per_class(set, 3, 4); }),
            "take_per_class: expected at least 4 examples of every class, got 3 of class 0; ask for fewer");
}

TEST(SplitValidation, CutsTheSameShareOfEveryClassWithoutOverlap) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 90; ++i) labels.push_back(i % 3);
  const auto set = small_set(labels);
  const auto split = gw::split_validation(set, 3, 0.1, 7);
  EXPECT_TRUE(at::bincount(split.validation.at("label")).eq(3).all().item<bool>());
  EXPECT_TRUE(at::bincount(split.train.at("label")).eq(27).all().item<bool>());
  const at::Tensor all =
      std::get<0>(at::cat({split.train.at("image"), split.validation.at("image")}).flatten().sort());
  EXPECT_TRUE(all.equal(set.at("image").flatten()));
  EXPECT_TRUE(
      gw::split_validation(set, 3, 0.1, 7).validation.at("image").equal(split.validation.at("image")));
  EXPECT_FALSE(
      gw::split_validation(set, 3, 0.1, 8).validation.at("image").equal(split.validation.at("image")));
  EXPECT_EQ(gw::split_validation(set, 3, 0, 7).train.size(), 90);
  EXPECT_EQ(gw::split_validation(set, 3, 0, 7).validation.size(), 0);
  for (const double bad : {-0.1, 1.0, std::nan(""), 0.01})
    EXPECT_THROW(gw::split_validation(set, 3, bad, 7), gw::ValueError) << bad;
  try {
    gw::split_validation(set, 3, 0.01, 7);
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("raise \"validation\", or set it to 0"), std::string::npos)
        << error.what();
  }
}

}  // namespace gw::test::datasets_cases
