#pragma once
// Data sets that are folders of pictures.
#include <map>
#include <string>
#include <vector>

#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// In `TaskData::origin`, between their number and their names.
inline constexpr const char* kLeftOut = " bad files left out: ";

/// A picture and its class.
struct ImageFile {
  std::string path;
  int64_t label = 0;
};

/// How pictures become images; options of every data set that is made of them.
struct ImageFileOptions : OptionSet {
  int64_t height = 0, width = 0, first_per_class = 0;
  std::string colours = "as_found", fit = "stretch", decode = "at_load", check = "content";
  bool skip_bad = false;
  double memory_gb = 8;
  void fields(OptionVisitor& v) override;
};

/// Pictures (.png, .jpg, .jpeg, whatever the case) of a folder and of the folders in it, by name; what is
/// hidden or has another ending is no picture.
/// Errors: IoError for a folder that cannot be read.
std::vector<std::string> list_images(const std::string& folder);

/// The folders in `folder`, by name, hidden ones left out. Errors: as list_images.
std::vector<std::string> list_folders(const std::string& folder);

/// A folder of pictures per class of `classes` → the first `first_per_class` files of each (0: all), in the
/// order of their names.
/// `inner`: the pictures lie in this folder of the class's. Errors: ValueError naming a class without
/// pictures.
std::vector<ImageFile> list_classes(const std::string& part, const std::string& folder,
                                    const std::vector<std::string>& classes, const std::string& inner,
                                    int64_t first_per_class);

/// Reads the pictures of training and test into images of one shape, decoded by libtorch's threads; the same
/// bits for any number of them.
/// Shapes: "image" [n, C, H, W] uint8, "label" [n] int64, in the order of the files. With decode = "on_use"
/// the
///         pictures stay in their files: "image" [n] int64 are numbers in TensorSet::images, which loaders
///         read from; the first that are read are kept as long as they fit `memory_gb`.
/// Errors: ValueError naming the file for one that is damaged, unless `skip_bad` leaves it out and notes it
/// in
///         `origin` with the number of such files; for pictures of different sizes without `height` and
///         `width`, naming two of them; for more pixels than `memory_gb` at load, before any memory is taken;
///         for a class that bad files leave without a training image. IoError for a file that cannot be read.
/// Cost:   every file is read twice, its header first; C·H·W bytes for each image, with decode = "on_use" at
///         most `memory_gb` for training and test together. There the second reading is a check, which fills
///         what is kept, so that bad files are known before training; check = "header" leaves it out, and a
///         file whose content is damaged is then an error when its batch comes.
void read_images(const std::string& part, const std::vector<ImageFile>& train,
                 const std::vector<ImageFile>& test, const ImageFileOptions& options, TaskData& data);

}  // namespace gw::inline data
