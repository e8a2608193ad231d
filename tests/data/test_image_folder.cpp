// Data sets made of files of one's own: folders of pictures, Tiny ImageNet's layout, IDX files, CIFAR-100.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "gatewright/base/registry.h"
#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"
#include "tests/data/picture_writers.h"
#include "tests/data/temp_directory.h"

namespace gw::test::image_folder_cases {

gw::TaskData load(const std::string& name, gw::Json options) {
  return gw::make_part<gw::Dataset>(name, options, {})->load();
}

template <class Expected = gw::ValueError>
std::string refused(const std::string& name, const gw::Json& options) {
  try {
    load(name, options);
  } catch (const Expected& error) {
    return error.what();
  }
  ADD_FAILURE() << name << " accepted " << options;
  return "";
}

#define EXPECT_PART(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

class Pictures : public TempDirectory {
 protected:
  void put(const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(std::filesystem::path(directory_ + "/" + name).parent_path());
    file(name, bytes);
  }
  /// A plain picture whose every byte is `value`.
  static std::string plain(char value, int64_t height = 6, int64_t width = 5, int64_t channels = 3) {
    return png_of(channels, height, width,
                  std::string(static_cast<size_t>(channels * height * width), value));
  }
  /// Two classes of `each` pictures, whose first bytes say which they are: 10 · class + number.
  void two_classes(const std::string& under, int each) {
    for (int i = 0; i < each; ++i) {
      put(under + "cat/" + std::to_string(i) + ".png", plain(static_cast<char>(i)));
      put(under + "dog/" + std::to_string(i) + ".PNG", plain(static_cast<char>(10 + i)));
    }
  }
  gw::Json here(gw::Json more = gw::Json::object()) const {
    more["path"] = directory_;
    return more;
  }
  static std::vector<int64_t> first_bytes(const gw::TensorSet& set) {
    std::vector<int64_t> found;
    for (int64_t i = 0; i < set.size(); ++i) found.push_back(set.at("image")[i][0][0][0].item<int64_t>());
    return found;
  }
};

using ImageFolder = Pictures;

TEST_F(ImageFolder, ReadsTrainingAndTestOfTheirOwnFolders) {
  two_classes("train/", 3);
  put("train/cat/notes.txt", "no picture");
  put("train/.hidden/x.png", "no class");
  put("train/dog/more/9.jpeg", jpeg_of(3, 6, 5, std::string(90, '\x32')));
  put("test/dog/a.png", plain(77));
  const auto data = load("image_folder", here());
  EXPECT_EQ(data.class_names, (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(data.classes, 2);
  EXPECT_EQ(data.train.at("image").sizes(), (std::vector<int64_t>{7, 3, 6, 5}));
  EXPECT_EQ(data.train.at("image").scalar_type(), at::kByte);
  EXPECT_EQ(first_bytes(data.train), (std::vector<int64_t>{0, 1, 2, 10, 11, 12, 50}));
  EXPECT_TRUE(data.train.at("label").equal(at::tensor({0, 0, 0, 1, 1, 1, 1}, at::kLong)));
  EXPECT_EQ(first_bytes(data.test), (std::vector<int64_t>{77}));
  EXPECT_TRUE(data.test.at("label").equal(at::tensor({1}, at::kLong)))
      << "a class keeps the label of training";
  EXPECT_EQ(data.origin, directory_);
}

TEST_F(ImageFolder, HoldsOutAShareWhereThereIsNoTestFolder) {
  two_classes("", 10);
  const auto a = load("image_folder", here({{"test_share", 0.3}})),
             b = load("image_folder", here({{"test_share", 0.3}, {"seed", 1}}));
  EXPECT_TRUE(at::bincount(a.train.at("label")).equal(at::tensor({7, 7}, at::kLong)));
  EXPECT_TRUE(at::bincount(a.test.at("label")).equal(at::tensor({3, 3}, at::kLong)));
  auto all = first_bytes(a.train), test = first_bytes(a.test);
  EXPECT_NE(test, first_bytes(b.test));
  all.insert(all.end(), test.begin(), test.end());
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end()) << "a picture is in both";
  EXPECT_EQ(all.size(), 20u);
}

TEST_F(ImageFolder, TheNumberOfThreadsChangesNothing) {
  for (int i = 0; i < 40; ++i)
    for (const char* name : {"a/", "b/"})
      put(name + std::to_string(i) + ".jpg",
          jpeg_of(3, 9, 12, some_pixels(3, 9, 12, static_cast<uint64_t>(i))));
  const gw::Json options = here({{"height", 8}, {"width", 8}, {"fit", "crop"}});
  const int threads = at::get_num_threads();
  const auto many = load("image_folder", options);
  at::set_num_threads(1);
  const auto one = load("image_folder", options);
  at::set_num_threads(threads);
  EXPECT_TRUE(one.train.at("image").equal(many.train.at("image")));
  EXPECT_TRUE(one.test.at("image").equal(many.test.at("image")));
}

TEST_F(ImageFolder, ColoursAreAsFoundOrAsAsked) {
  for (const char* name : {"a/1.png", "a/2.png", "b/1.png", "b/2.png"}) put(name, plain('x', 4, 4, 1));
  EXPECT_EQ(load("image_folder", here()).train.at("image").size(1), 1);
  EXPECT_EQ(load("image_folder", here({{"colours", "rgb"}})).train.at("image").size(1), 3);
  put("b/2.png", plain('x', 4, 4, 3));
  EXPECT_EQ(load("image_folder", here()).train.at("image").size(1), 3) << "one picture has colours";
  EXPECT_EQ(load("image_folder", here({{"colours", "grey"}})).train.at("image").size(1), 1);
}

TEST_F(ImageFolder, SizesThatDifferWantASize) {
  two_classes("", 2);
  put("dog/wide.png", plain(1, 6, 9));
  const auto text = refused("image_folder", here());
  EXPECT_PART(text, "expected pictures of one size, got 6 x 5 in \"");
  EXPECT_PART(text, "and 6 x 9 in \"" + directory_ + "/dog/wide.png\"; give \"height\" and \"width\"");
  const auto data = load("image_folder", here({{"height", 3}, {"width", 4}}));
  EXPECT_EQ(data.train.at("image").sizes().slice(1), (std::vector<int64_t>{3, 3, 4}));
  EXPECT_PART(refused("image_folder", here({{"height", 3}})), "expected \"height\" and \"width\" together");
  EXPECT_PART(refused("image_folder", here({{"height", 4000}, {"width", 4000}, {"memory_gb", 0.1}})),
              "expected at most 0.1 GiB of pixels, got 5 images of 3 x 4000 x 4000, 0.22 GiB");
}

TEST_F(ImageFolder, BadFilesAreNamedAndLeftOutWhereThatIsAsked) {
  two_classes("train/", 3), two_classes("test/", 2);
  const auto jpeg = jpeg_of(3, 6, 5, some_pixels(3, 6, 5));
  put("train/cat/cut.jpg", jpeg.substr(0, jpeg.size() - 60));
  put("train/dog/cut.png", plain(9).substr(0, 50));
  put("test/dog/text.png", "this is no picture");
  const auto text = refused("image_folder", here());
  EXPECT_PART(text, "/train/");
  EXPECT_PART(text, "; set skip_bad = true to leave bad files out");
  const auto data = load("image_folder", here({{"skip_bad", true}}));
  EXPECT_EQ(first_bytes(data.train), (std::vector<int64_t>{0, 1, 2, 10, 11, 12}));
  EXPECT_EQ(first_bytes(data.test), (std::vector<int64_t>{0, 1, 10, 11}));
  EXPECT_PART(data.origin, "; 3 bad files left out: ");
  for (const char* name : {"/train/cat/cut.jpg", "/train/dog/cut.png", "/test/dog/text.png"})
    EXPECT_PART(data.origin, directory_ + name);
  for (int i = 0; i < 3; ++i) put("train/cat/" + std::to_string(i) + ".png", "broken");
  EXPECT_PART(refused("image_folder", here({{"skip_bad", true}})),
              "expected a training image of every class, got none of \"cat\"");
}

TEST_F(ImageFolder, FoldersThatAreNoDataSetAreRefused) {
  EXPECT_PART(refused<gw::IoError>("image_folder", {{"path", directory_ + "/none"}}), "expected a folder at");
  EXPECT_PART(refused<gw::IoError>("image_folder", gw::Json::object()), "got no \"path\"; give it");
  EXPECT_PART(refused("image_folder", here()), "expected at least 2 folders");
  two_classes("", 3);
  std::filesystem::create_directories(directory_ + "/empty");
  EXPECT_PART(refused("image_folder", here()),
              "expected PNG or JPEG files in \"" + directory_ + "/empty\", got none; remove the folder");
  std::filesystem::remove(directory_ + "/empty");
  put("alone/1.png", plain(1));
  EXPECT_PART(refused("image_folder", here()), "at least 2 pictures of every class");
  EXPECT_PART(refused("image_folder", here()), "got 1 of \"alone\"");
  std::filesystem::remove_all(directory_ + "/alone");
  put("train/cat/1.png", plain(1));
  EXPECT_PART(refused("image_folder", here()), "expected \"train\" and \"test\"");
  two_classes("train/", 1), two_classes("test/", 1);
  EXPECT_EQ(load("image_folder", here()).train.size(), 3)
      << "a class of one picture trains, with a test apart";
  put("test/dgo/1.png", plain(1));
  EXPECT_PART(refused("image_folder", here()), "got \"dgo\"; did you mean \"dog\"?");
}

TEST_F(ImageFolder, TakesTheFirstFilesOfEachClass) {
  two_classes("train/", 4), two_classes("test/", 3);
  put("train/cat/z.png", "never opened");
  const auto data = load("image_folder", here({{"first_per_class", 2}}));
  EXPECT_EQ(first_bytes(data.train), (std::vector<int64_t>{0, 1, 10, 11}));
  EXPECT_EQ(first_bytes(data.test), (std::vector<int64_t>{0, 1, 10, 11}));
}

using TinyImageNet = Pictures;

TEST_F(TinyImageNet, ReadsItsLayout) {
  put("wnids.txt", "n02\nn01\n");
  put("words.txt", "n00\tnothing\nn01\tgoldfish, Carassius auratus\n");
  for (const char* name : {"n01", "n02"})
    for (int i = 0; i < 2; ++i)
      put(std::string("train/") + name + "/images/" + name + "_" + std::to_string(i) + ".JPEG",
          jpeg_of(1, 8, 8, std::string(64, static_cast<char>(name[2] == '1' ? 100 : 20))));
  for (int i = 0; i < 3; ++i)
    put("val/images/val_" + std::to_string(i) + ".JPEG", plain(static_cast<char>(i), 8, 8));
  put("val/val_annotations.txt",
      "val_2.JPEG\tn01\t0\t0\t7\t7\r\nval_0.JPEG\tn02\t0\t0\t7\t7\nval_1.JPEG\tn01\t1\t1\t2\t2\n");
  const auto data = load("tiny_imagenet", here());
  EXPECT_EQ(data.class_names, (std::vector<std::string>{"n02", "goldfish"}));
  EXPECT_EQ(data.train.at("image").sizes(), (std::vector<int64_t>{4, 3, 8, 8}));
  EXPECT_EQ(first_bytes(data.train), (std::vector<int64_t>{20, 20, 100, 100}));
  EXPECT_EQ(first_bytes(data.test), (std::vector<int64_t>{2, 0, 1}));
  EXPECT_TRUE(data.test.at("label").equal(at::tensor({1, 0, 1}, at::kLong)));
  EXPECT_EQ(first_bytes(load("tiny_imagenet", here({{"first_per_class", 1}})).test),
            (std::vector<int64_t>{2, 0}));
  put("val/val_annotations.txt", "val_2.JPEG\tn03\n");
  EXPECT_PART(refused("tiny_imagenet", here()), "expected a class of wnids.txt");
  put("val/val_annotations.txt", "../../etc/passwd\tn01\n");
  EXPECT_PART(refused("tiny_imagenet", here()), "expected a file's name");
  put("val/val_annotations.txt", "val_2.JPEG n01\n");
  EXPECT_PART(refused("tiny_imagenet", here()), "expected a file and a class in each line");
  std::filesystem::remove(directory_ + "/wnids.txt");
  EXPECT_PART(refused<gw::IoError>("tiny_imagenet", here()), "tiny-imagenet-200.zip");
}

class Cifar100 : public TempDirectory {
 protected:
  static std::string record(char coarse, char fine, char red) {
    return std::string{coarse, fine} + std::string(1024, red) + std::string(2048, 'b');
  }
};

TEST_F(Cifar100, ReadsFineAndCoarseLabels) {
  file("train.bin", record(19, 99, 'r') + record(3, 7, 's'));
  file("test.bin", record(0, 1, 't'));
  const auto fine = load("cifar100", {{"path", directory_}}),
             coarse = load("cifar100", {{"path", directory_}, {"labels", "coarse"}});
  EXPECT_TRUE(fine.train.at("label").equal(at::tensor({99, 7}, at::kLong)));
  EXPECT_TRUE(coarse.train.at("label").equal(at::tensor({19, 3}, at::kLong)));
  EXPECT_EQ(fine.classes, 100);
  EXPECT_EQ(coarse.classes, 20);
  EXPECT_EQ(fine.train.at("image").sizes(), (std::vector<int64_t>{2, 3, 32, 32}));
  EXPECT_EQ(fine.train.at("image")[1][0][31][31].item<int>(), 's');
  EXPECT_EQ(fine.train.at("image")[1][1][0][0].item<int>(), 'b');
  EXPECT_EQ(fine.class_names[99], "99");
  std::string names;
  for (int i = 0; i < 20; ++i) names += "group_" + std::to_string(i) + "\n";
  file("coarse_label_names.txt", names);
  EXPECT_EQ(load("cifar100", {{"path", directory_}, {"labels", "coarse"}}).class_names[19], "group_19");
  file("test.bin", record(20, 1, 't'));
  EXPECT_PART(refused("cifar100", {{"path", directory_}, {"labels", "coarse"}}), "got 20 at record 0");
  file("test.bin", record(0, 1, 't') + "cut");
  EXPECT_PART(refused("cifar100", {{"path", directory_}}), "expected records of 3074 bytes");
  std::filesystem::remove(directory_ + "/train.bin");
  EXPECT_PART(refused<gw::IoError>("cifar100", {{"path", directory_}}), "cifar-100-binary.tar.gz");
}

class IdxImages : public TempDirectory {
 protected:
  void put(const std::string& images, const std::string& labels) {
    file("train-images-idx3-ubyte", images), file("train-labels-idx1-ubyte", labels);
  }
};

TEST_F(IdxImages, ReadsAnySizeGreyOrColour) {
  put(idx({3, 4, 6}, std::string(72, 'a')), idx({3}, std::string("\0\1\2", 3)));
  file("t10k-images-idx3-ubyte.gz", gzip(idx({1, 4, 6}, std::string(24, 'z'))));
  file("t10k-labels-idx1-ubyte", idx({1}, std::string("\1", 1)));
  const auto grey = load("idx_images", {{"path", directory_}});
  EXPECT_EQ(grey.train.at("image").sizes(), (std::vector<int64_t>{3, 1, 4, 6}));
  EXPECT_EQ(grey.classes, 3);
  EXPECT_EQ(grey.class_names[2], "2");
  file("x", idx({2, 3, 4, 6}, std::string(144, 'a'))), file("y", idx({2}, std::string("\0\1", 2)));
  const gw::Json files = {"x", "y", "x", "y"};
  const auto colour =
      load("idx_images", {{"path", directory_}, {"files", files}, {"class_names", {"a", "b"}}});
  EXPECT_EQ(colour.test.at("image").sizes(), (std::vector<int64_t>{2, 3, 4, 6}));
  EXPECT_EQ(colour.class_names, (std::vector<std::string>{"a", "b"}));
}

TEST_F(IdxImages, RefusesWhatDoesNotFit) {
  const auto error = [&](const gw::Json& more = gw::Json::object()) {
    gw::Json options = more;
    options["path"] = directory_;
    return refused("idx_images", options);
  };
  file("t10k-images-idx3-ubyte", idx({1, 4, 6}, std::string(24, 'z')));
  file("t10k-labels-idx1-ubyte", idx({1}, std::string("\1", 1)));
  put(idx({2, 4, 4}, std::string(32, 'a')), idx({2}, std::string("\0\1", 2)));
  EXPECT_PART(error(), "expected test images of 1 x 4 x 4, as in training, got 1 x 4 x 6");
  put(idx({2, 4, 6}, std::string(48, 'a')), idx({3}, std::string(3, '\0')));
  EXPECT_PART(error(), "got 3 labels");
  put(idx({2, 4, 6}, std::string(48, 'a')), idx({2}, std::string("\0\2", 2)));
  EXPECT_PART(error(), "expected a training image of every class below 3, got none of 1");
  put(idx({2, 2, 4, 6}, std::string(96, 'a')), idx({2}, std::string("\0\1", 2)));
  EXPECT_PART(error(), "with 1 or 3 channels");
  put(idx({2, 4, 6}, std::string(48, 'a')), idx({2}, std::string("\0\1", 2)));
  EXPECT_PART(error({{"class_names", {"a"}}}), "expected 2 \"class_names\", got 1");
  EXPECT_PART(error({{"files", {"a"}}}), "expected 4 \"files\"");
  EXPECT_PART(refused<gw::IoError>("idx_images", gw::Json::object()), "got no \"path\"");
  EXPECT_PART(refused<gw::IoError>("idx_images", {{"path", directory_ + "/none"}}),
              "name the files in \"files\"");
}

#undef EXPECT_PART

}  // namespace gw::test::image_folder_cases
