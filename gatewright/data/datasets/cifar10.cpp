// CIFAR-10: 50 000 + 10 000 colour images, 32 x 32, ten classes, in the published binary version.
#include <ATen/ops/cat.h>

#include "gatewright/base/registry.h"
#include "gatewright/data/cifar.h"
#include "gatewright/data/locate.h"

namespace {

constexpr int64_t kClasses = 10;
const std::vector<std::string> kTrainFiles = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                              "data_batch_4.bin", "data_batch_5.bin"};
constexpr const char* kTestFile = "test_batch.bin";

class Cifar10 : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string path;
    void fields(gw::OptionVisitor& v) override {
      v.text("path", path,
             "directory of the binary batches; empty: $GATEWRIGHT_DATA/cifar-10-batches-bin, then "
             "/usr/share/datasets/cifar-10-batches-bin");
    }
  };
  static constexpr const char* kSummary = "60 000 colour images, 32 x 32, ten classes";
  static constexpr const char* kSource =
      "Krizhevsky 2009, Learning multiple layers of features from tiny images";

  Cifar10(Options options, const Context&) : options_(std::move(options)) {}

  gw::TaskData load() override {
    const auto place = find();
    if (place.directory.empty()) throw gw::IoError("datasets/cifar10: " + missing());
    gw::TaskData data;
    std::vector<at::Tensor> images, labels;
    for (const auto& file : kTrainFiles) {
      const auto batch = read(place.directory, file);
      images.push_back(batch.at("image"));
      labels.push_back(batch.at("label"));
    }
    data.train = gw::labelled_images(at::cat(images), at::cat(labels));
    data.test = read(place.directory, kTestFile);
    data.classes = kClasses;
    data.class_names = {"airplane", "automobile", "bird",  "cat",  "deer",
                        "dog",      "frog",       "horse", "ship", "truck"};
    data.origin = place.directory;
    return data;
  }

  std::string missing() override {
    const auto place = find();
    if (!place.directory.empty()) return "";
    return place.missing +
           "; get cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html; unpack it and "
           "give its "
           "cifar-10-batches-bin as \"path\" or the directory above as GATEWRIGHT_DATA";
  }

 private:
  static gw::TensorSet read(const std::string& directory, const std::string& file) {
    return gw::read_cifar("datasets/cifar10", gw::dataset_file(directory, file), {1, 0, kClasses});
  }

  gw::DatasetPlace find() const {
    auto files = kTrainFiles;
    files.emplace_back(kTestFile);
    return gw::find_dataset(options_.path, "cifar-10-batches-bin", files);
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Cifar10);
