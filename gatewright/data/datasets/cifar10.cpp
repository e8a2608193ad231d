// CIFAR-10: 50 000 + 10 000 colour images, 32 x 32, ten classes, in the published binary version.
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/gzip.h"
#include "gatewright/data/locate.h"

namespace {

constexpr int64_t kChannels = 3, kSide = 32, kClasses = 10;
constexpr int64_t kImageBytes = kChannels * kSide * kSide,
                  kRecordBytes = 1 + kImageBytes;            // a label, then the red, green and blue planes
constexpr uint64_t kCifarLimit_bytes = uint64_t{128} << 20;  // four times the published batch (30.7 MB)
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
      const auto batch = read(gw::dataset_file(place.directory, file));
      images.push_back(batch.at("image"));
      labels.push_back(batch.at("label"));
    }
    data.train = gw::labelled_images(at::cat(images), at::cat(labels));
    data.test = read(gw::dataset_file(place.directory, kTestFile));
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
  gw::DatasetPlace find() const {
    auto files = kTrainFiles;
    files.emplace_back(kTestFile);
    return gw::find_dataset(options_.path, "cifar-10-batches-bin", files);
  }

  static gw::TensorSet read(const std::string& path) {
    const std::string bytes = gw::read_gzip(path, kCifarLimit_bytes);
    const auto size = static_cast<int64_t>(bytes.size());
    GW_CHECK(size > 0 && size % kRecordBytes == 0,
             "datasets/cifar10: expected records of {} bytes in \"{}\", got {} bytes ({} left over); the "
             "file is cut short or no binary batch",
             kRecordBytes, path, size, size % kRecordBytes);
    const int64_t count = size / kRecordBytes;
    const auto images = at::empty({count, kChannels, kSide, kSide}, at::kByte),
               labels = at::empty({count}, at::kLong);
    auto* image = images.data_ptr<uint8_t>();
    auto* label = labels.data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      const char* record = bytes.data() + i * kRecordBytes;
      label[i] = static_cast<unsigned char>(record[0]);
      GW_CHECK(label[i] < kClasses,
               "datasets/cifar10: expected labels below {} in \"{}\", got {} at record {}", kClasses, path,
               label[i], i);
      std::memcpy(image + i * kImageBytes, record + 1, static_cast<size_t>(kImageBytes));
    }
    return gw::labelled_images(images, labels);
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Cifar10);
