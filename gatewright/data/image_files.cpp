#include "gatewright/data/image_files.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <numeric>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/picture.h"

namespace gw::inline data {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPictureLimit_bytes = uint64_t{256} << 20;
constexpr size_t kNamedFiles = 100;  // of those left out; the others are counted

bool hidden(const fs::path& path) { return path.filename().string().rfind('.', 0) == 0; }

bool is_picture_name(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
  return !hidden(path) && (ending == ".png" || ending == ".jpg" || ending == ".jpeg");
}

/// Entries of a folder (Iterator: or of the whole tree) that `wanted` takes, sorted: a folder has no order of
/// its own.
template <class Iterator>
std::vector<std::string> listed(const std::string& folder,
                                const std::function<bool(const fs::directory_entry&)>& wanted) {
  std::vector<std::string> found;
  std::error_code error;
  Iterator entries(folder, error);
  while (!error && entries != Iterator()) {
    if (wanted(*entries)) found.push_back(entries->path().string());
    entries.increment(error);
  }
  if (error)
    throw IoError(fmt::format("images: expected a folder that can be read at \"{}\", got: {}", shown(folder),
                              error.message()));
  std::sort(found.begin(), found.end());
  return found;
}

/// What is wrong with each file, empty where nothing is.
using Complaints = std::vector<std::string>;

/// `each` for every file, in parallel; what it throws of a bad file is kept.
Complaints for_each_index(size_t count, const std::function<void(size_t)>& each) {
  Complaints complaints(count);
  at::parallel_for(0, static_cast<int64_t>(count), 8, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      try {
        each(i);
      } catch (const ValueError& error) {
        complaints[i] = error.what();
      }
    }
  });
  return complaints;
}

Complaints for_each_file(const std::vector<ImageFile>& files,
                         const std::function<void(size_t, std::string_view)>& each) {
  return for_each_index(files.size(),
                        [&](size_t i) { each(i, read_file(files[i].path, kPictureLimit_bytes)); });
}

/// Files that no complaint is about. Errors: ValueError with the first complaint, unless bad files may be
/// skipped; then they are noted.
std::vector<size_t> good_files(const std::string& part, const Complaints& complaints, bool skip_bad,
                               std::vector<std::string>& skipped) {
  std::vector<size_t> good;
  std::vector<std::string> bad;
  for (size_t i = 0; i < complaints.size(); ++i) {
    if (complaints[i].empty()) good.push_back(i);
    if (!complaints[i].empty()) bad.push_back(complaints[i]);
  }
  if (!bad.empty() && !skip_bad) {
    const auto others = bad.size() == 1 ? "" : fmt::format(" ({} more files like it)", bad.size() - 1);
    fail("{}: {}{}; set skip_bad = true to leave bad files out", part, bad.front(), others);
  }
  skipped.insert(skipped.end(), bad.begin(), bad.end());
  return good;
}

template <class T>
std::vector<T> taken(const std::vector<T>& values, const std::vector<size_t>& index) {
  std::vector<T> out;
  for (const size_t i : index) out.push_back(values[i]);
  return out;
}

/// The shape that all images get.
PictureShape common_shape(const std::string& part, const std::vector<ImageFile>& files,
                          const std::vector<PictureShape>& shapes, const ImageFileOptions& options) {
  PictureShape common{1, options.height, options.width};
  const bool grey = std::all_of(shapes.begin(), shapes.end(), [](const auto& s) { return s.channels == 1; });
  if (options.colours == "rgb" || (options.colours == "as_found" && !grey)) common.channels = 3;
  if (options.height > 0) return common;
  common.height = shapes.front().height, common.width = shapes.front().width;
  for (size_t i = 0; i < files.size(); ++i) {
    GW_CHECK(
        shapes[i].height == common.height && shapes[i].width == common.width,
        "{}: expected pictures of one size, got {} x {} in \"{}\" and {} x {} in \"{}\"; give \"height\" "
        "and \"width\" to resize them",
        part, common.height, common.width, shown(files.front().path), shapes[i].height, shapes[i].width,
        shown(files[i].path));
  }
  return common;
}

void check_memory(const std::string& part, size_t count, const PictureShape& shape, double memory_gb) {
  const double gb = static_cast<double>(count) * static_cast<double>(shape.channels) *
                    static_cast<double>(shape.height) * static_cast<double>(shape.width) / (1 << 30);
  GW_CHECK(
      gb <= memory_gb,
      "{}: expected at most {:g} GiB of pixels, got {} images of {} x {} x {}, {:.2f} GiB; make \"height\" "
      "and \"width\" smaller, set \"first_per_class\", raise \"memory_gb\", or set decode = \"on_use\"",
      part, memory_gb, count, shape.channels, shape.height, shape.width, gb);
}

/// Pictures that are decoded whenever they are read.
class PictureFiles : public ImageSource {
 public:
  PictureFiles(std::vector<ImageFile> files, const PictureShape& shape, bool crop)
      : ImageSource({shape.channels, shape.height, shape.width}, static_cast<int64_t>(files.size())),
        files_(std::move(files)),
        shape_(shape),
        crop_(crop) {}
  void read(int64_t number, uint8_t* planes) const override {
    const auto& path = files_[static_cast<size_t>(number)].path;
    fit_picture(decode_picture(read_file(path, kPictureLimit_bytes), shown(path)), shape_, crop_, planes);
  }

 private:
  std::vector<ImageFile> files_;
  PictureShape shape_;
  bool crop_;
};

/// The files with what their headers say, bad ones refused or left out.
struct Listed {
  std::vector<ImageFile> files;
  std::vector<PictureShape> shapes;
};

Listed read_headers(const std::string& part, const std::vector<ImageFile>& files, bool skip_bad,
                    std::vector<std::string>& skipped) {
  std::vector<PictureShape> shapes(files.size());
  const auto complaints = for_each_file(files, [&](size_t i, std::string_view bytes) {
    shapes[i] = picture_shape(bytes, shown(files[i].path));
  });
  const auto good = good_files(part, complaints, skip_bad, skipped);
  return {taken(files, good), taken(shapes, good)};
}

/// The pictures that can be read, in their files; what is read to find out is kept as long as it fits.
TensorSet left_in_files(const std::string& part, const std::vector<ImageFile>& files,
                        const PictureShape& shape, const ImageFileOptions& options, int64_t most_bytes,
                        std::vector<std::string>& skipped) {
  auto images = std::make_shared<KeptImages>(
      std::make_unique<PictureFiles>(files, shape, options.fit == "crop"), most_bytes);
  std::vector<size_t> good(files.size());
  std::iota(good.begin(), good.end(), size_t{0});
  if (options.check == "content") {
    const auto complaints = for_each_index(files.size(), [&](size_t i) {
      std::vector<uint8_t> planes(static_cast<size_t>(images->shape().bytes()));
      images->read(static_cast<int64_t>(i), planes.data());
    });
    good = good_files(part, complaints, options.skip_bad, skipped);
  }
  std::vector<int64_t> labels, numbers;
  for (const size_t i : good) labels.push_back(files[i].label), numbers.push_back(static_cast<int64_t>(i));
  auto set = labelled_images(at::tensor(numbers, at::kLong), at::tensor(labels, at::kLong));
  set.images = std::move(images);
  return set;
}

TensorSet decode_all(const std::string& part, const std::vector<ImageFile>& files, const PictureShape& shape,
                     const ImageFileOptions& options, std::vector<std::string>& skipped) {
  const int64_t size = shape.channels * shape.height * shape.width,
                count = static_cast<int64_t>(files.size());
  const auto images = at::empty({count, shape.channels, shape.height, shape.width}, at::kByte);
  auto* pixels = images.data_ptr<uint8_t>();
  const bool crop = options.fit == "crop";
  const auto complaints = for_each_file(files, [&](size_t i, std::string_view bytes) {
    fit_picture(decode_picture(bytes, shown(files[i].path)), shape, crop,
                pixels + static_cast<int64_t>(i) * size);
  });
  const auto good = good_files(part, complaints, options.skip_bad, skipped);
  std::vector<int64_t> labels, rows;
  for (const size_t i : good) labels.push_back(files[i].label), rows.push_back(static_cast<int64_t>(i));
  const bool all = good.size() == files.size();
  const auto kept = all ? images : images.index_select(0, at::tensor(rows, at::kLong));
  return labelled_images(kept, at::tensor(labels, at::kLong));
}

void check_classes(const std::string& part, const TaskData& data) {
  std::set<int64_t> met;
  const auto label = data.train.at("label");
  for (int64_t i = 0; i < label.size(0); ++i) met.insert(label.data_ptr<int64_t>()[i]);
  for (int64_t c = 0; c < data.classes; ++c) {
    GW_CHECK(met.count(c) > 0, "{}: expected a training image of every class, got none of \"{}\"", part,
             shown(data.class_names[static_cast<size_t>(c)]));
  }
}

std::string note_of(const std::vector<std::string>& skipped) {
  if (skipped.empty()) return "";
  const auto count = std::min(skipped.size(), kNamedFiles);
  return fmt::format("; {}{}{}{}", skipped.size(), kLeftOut,
                     fmt::join(skipped.begin(), skipped.begin() + static_cast<int64_t>(count), "; "),
                     count < skipped.size() ? " …" : "");
}

}  // namespace

void ImageFileOptions::fields(OptionVisitor& v) {
  v.integer("height", height, "of the images, in pixels; 0: as the files have it", 0, 4096);
  v.integer("width", width, "of the images, in pixels; 0: as the files have it", 0, 4096);
  v.text("fit", fit, "how another size is reached: all of the picture stretched, or its middle cropped",
         {"stretch", "crop"});
  v.text("colours", colours, "grey or rgb for all; as_found: grey if every file is",
         {"as_found", "grey", "rgb"});
  v.flag("skip_bad", skip_bad, "leave damaged files out and note them, in place of an error");
  v.integer("first_per_class", first_per_class, "files of each class that are read, by name; 0: all", 0,
            INT64_MAX);
  v.real("memory_gb", memory_gb,
         "most memory for the decoded images, in GiB; more are refused, or decoded on every use", 0, 1e6);
  v.text("decode", decode,
         "all once at load; or on_use: in threads when a batch wants them, the first within memory_gb kept",
         {"at_load", "on_use"});
  v.text(
      "check", check,
      "with decode = \"on_use\", what of a file is looked at before training: all of it, or its header alone",
      {"content", "header"});
}

std::vector<std::string> list_images(const std::string& folder) {
  return listed<fs::recursive_directory_iterator>(folder, [](const fs::directory_entry& entry) {
    return is_picture_name(entry.path()) && entry.is_regular_file();
  });
}

std::vector<std::string> list_folders(const std::string& folder) {
  auto found = listed<fs::directory_iterator>(
      folder, [](const fs::directory_entry& entry) { return !hidden(entry.path()) && entry.is_directory(); });
  for (auto& path : found) path = fs::path(path).filename().string();
  return found;
}

std::vector<ImageFile> list_classes(const std::string& part, const std::string& folder,
                                    const std::vector<std::string>& classes, const std::string& inner,
                                    int64_t first_per_class) {
  std::vector<ImageFile> files;
  for (size_t label = 0; label < classes.size(); ++label) {
    const auto place = folder + "/" + classes[label] + (inner.empty() ? "" : "/" + inner);
    auto paths = list_images(place);
    GW_CHECK(!paths.empty(), "{}: expected PNG or JPEG files in \"{}\", got none; remove the folder", part,
             shown(place));
    const auto most = static_cast<size_t>(first_per_class);
    if (first_per_class > 0 && paths.size() > most) paths.resize(most);
    for (auto& path : paths) files.push_back({std::move(path), static_cast<int64_t>(label)});
  }
  return files;
}

void read_images(const std::string& part, const std::vector<ImageFile>& train,
                 const std::vector<ImageFile>& test, const ImageFileOptions& options, TaskData& data) {
  GW_CHECK((options.height == 0) == (options.width == 0),
           "{}: expected \"height\" and \"width\" together, got {} and {}", part, options.height,
           options.width);
  std::vector<std::string> skipped;
  const auto first = read_headers(part, train, options.skip_bad, skipped),
             second = read_headers(part, test, options.skip_bad, skipped);
  Listed all = first;
  all.files.insert(all.files.end(), second.files.begin(), second.files.end());
  all.shapes.insert(all.shapes.end(), second.shapes.begin(), second.shapes.end());
  GW_CHECK(!all.files.empty(), "{}: expected pictures that can be read, got none of {}", part,
           train.size() + test.size());
  const auto shape = common_shape(part, all.files, all.shapes, options);
  const auto taken_in = [&](const std::vector<ImageFile>& files) {
    if (options.decode == "at_load") return decode_all(part, files, shape, options, skipped);
    const double share = static_cast<double>(files.size()) / static_cast<double>(all.files.size());
    return left_in_files(part, files, shape, options,
                         static_cast<int64_t>(share * options.memory_gb * (1 << 30)), skipped);
  };
  if (options.decode == "at_load") check_memory(part, all.files.size(), shape, options.memory_gb);
  data.train = taken_in(first.files);
  data.test = taken_in(second.files);
  GW_CHECK(data.test.size() > 0, "{}: expected test images that can be read, got none", part);
  check_classes(part, data);
  data.origin += note_of(skipped);
}

}  // namespace gw::inline data
