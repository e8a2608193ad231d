// CIFAR-100: 50 000 + 10 000 colour images, 32 x 32, 100 classes in 20 groups, in the published binary
// version.
#include <sstream>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/cifar.h"
#include "gatewright/data/gzip.h"
#include "gatewright/data/locate.h"

namespace {

constexpr int64_t kFine = 100, kCoarse = 20;
constexpr uint64_t kNamesLimit_bytes = uint64_t{1} << 20;

class Cifar100 : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string path, labels = "fine";
    void fields(gw::OptionVisitor& v) override {
      v.text("path", path,
             "directory of train.bin and test.bin; empty: $GATEWRIGHT_DATA/cifar-100-binary, then "
             "/usr/share/datasets/cifar-100-binary");
      v.text("labels", labels, "fine: 100 classes; coarse: the 20 groups that they are in",
             {"fine", "coarse"});
    }
  };
  static constexpr const char* kSummary =
      "60 000 colour images, 32 x 32, 100 classes or the 20 groups of them";
  static constexpr const char* kSource =
      "Krizhevsky 2009, Learning multiple layers of features from tiny images";

  Cifar100(Options options, const Context&) : options_(std::move(options)) {}

  gw::TaskData load() override {
    const auto place = find();
    if (place.directory.empty()) throw gw::IoError("datasets/cifar100: " + missing());
    const bool fine = options_.labels == "fine";
    const gw::CifarRecords records{2, fine ? 1 : 0, fine ? kFine : kCoarse};  // the group, then the class
    const auto read = [&](const char* file) {
      return gw::read_cifar("datasets/cifar100", gw::dataset_file(place.directory, file), records);
    };
    gw::TaskData data;
    data.train = read("train.bin"), data.test = read("test.bin");
    data.classes = records.classes;
    data.class_names = names(place.directory, options_.labels + "_label_names.txt", records.classes);
    data.origin = place.directory;
    return data;
  }

  std::string missing() override {
    const auto place = find();
    if (!place.directory.empty()) return "";
    return place.missing +
           "; get cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html; unpack it and "
           "give "
           "its cifar-100-binary as \"path\" or the directory above as GATEWRIGHT_DATA";
  }

 private:
  gw::DatasetPlace find() const {
    return gw::find_dataset(options_.path, "cifar-100-binary", {"train.bin", "test.bin"});
  }

  /// A name per line; numbers where the list is not there.
  static std::vector<std::string> names(const std::string& directory, const std::string& file,
                                        int64_t classes) {
    std::vector<std::string> found;
    if (!gw::find_dataset(directory, "", {file}).missing.empty()) {
      for (int64_t i = 0; i < classes; ++i) found.push_back(std::to_string(i));
      return found;
    }
    std::istringstream lines(gw::read_gzip(gw::dataset_file(directory, file), kNamesLimit_bytes));
    for (std::string line; std::getline(lines, line);)
      if (!line.empty()) found.push_back(line);
    GW_CHECK(static_cast<int64_t>(found.size()) == classes,
             "datasets/cifar100: expected {} names in \"{}/{}\", got {}", classes, directory, file,
             found.size());
    return found;
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Cifar100);
