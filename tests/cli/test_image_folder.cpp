// Training on pictures of one's own, with the command of docs/robust-moe.md.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/base/rng.h"
#include "gatewright/report/png.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::image_folder_cases {

namespace fs = std::filesystem;

/// A colour picture: a bright left half for class 0, a bright upper half for class 1, and noise.
std::string photo(int label, int number, int64_t height, int64_t width) {
  std::vector<uint8_t> pixels;
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const bool bright = label == 0 ? 2 * x < width : 2 * y < height;
        const auto noise = Rng(static_cast<uint64_t>(number)).below(pixels.size(), 80);
        pixels.push_back(static_cast<uint8_t>((bright ? 140 : 20) + noise));
      }
  return gw::encode_png(pixels, 3, height, width);
}

/// Photos of two classes, all of different sizes unless `one_size`.
void write_photos(const std::string& folder, bool one_size) {
  const char* names[] = {"cat", "dog"};
  for (int label = 0; label < 2; ++label) {
    fs::create_directories(folder + "/" + names[label]);
    for (int i = 0; i < 30; ++i)
      write_file(folder + "/" + names[label] + "/" + std::to_string(i) + ".png",
                 photo(label, 2 * i + label, 13 + (one_size ? 0 : i), 9 + (one_size ? 0 : 2 * i)));
  }
}

/// The command of the page, as it stands there.
std::string documented_command() {
  const auto page = read_file(std::string(GW_SOURCE_ROOT) + "docs/robust-moe.md");
  const auto at =
      page.find("\n    gatewright train advmoe --size tiny --arm adv_moe --set data='{part=\"image_folder\"");
  if (at == std::string::npos) return "";
  const auto from = at + std::string("\n    gatewright ").size();
  return page.substr(from, page.find('\n', from) - from);
}

TEST(ImageFolder, TheCommandOfThePageTrainsOnAFolderOfPhotos) {
  const Scratch scratch;
  write_photos(scratch / "photos", false);
  write_file(scratch / "photos/dog/broken.png", "no picture");
  const auto command = documented_command();
  ASSERT_FALSE(command.empty());
  const auto there = "cd " + scratch.path() + " && " GW_CLI " --threads 1 " + command;
  expect(shell(there + " --quiet"), 2, "photos/dog/broken.png\": expected a PNG or a JPEG file");
  EXPECT_FALSE(fs::exists(scratch / "runs/photos"));
  const auto skipping = shell(there + " --set data.skip_bad=true");
  expect(skipping, 0, "1 bad files left out: ");
  expect(skipping, 0, "report: ");
  const auto evaluation = Json::parse(read_file(scratch / "runs/photos/evaluation.json"));
  EXPECT_EQ(evaluation.at("classes"), (Json{"cat", "dog"}));
  EXPECT_EQ(evaluation.at("dataset"), "image_folder");
  EXPECT_NE(evaluation.at("data").get<std::string>().find("photos/dog/broken.png"), std::string::npos);
  EXPECT_EQ(evaluation.at("images"), 12);
}

// Sides that no pooling divides, and the size of the files.
TEST(ImageFolder, ANetworkTakesTheSizeOfThePhotos) {
  const Scratch scratch;
  write_photos(scratch / "photos", true);
  const auto run =
      "train advmoe --size tiny --arm at_dense --quiet --threads 1 --set train_per_class=0 --set "
      "test_per_class=0 --set data.part=image_folder --set data.path=" +
      (scratch / "photos");
  expect(cli(run + " --out " + (scratch / "run")), 0, "report: ");
  const auto recipe = Json::parse(read_file(scratch / "run/recipe.json"));
  EXPECT_EQ(recipe.at("data").at("part"), "image_folder");
  expect(cli("attack " + (scratch / "run") + " --with pgd --beside published --threads 1"), 0,
         "published, beside the worst case");
  expect(cli(run + " --set data.height=7 --set data.width=9 --out " + (scratch / "small")), 2,
         "expected images of at least 8x8, got 7x9");
}

}  // namespace gw::test::image_folder_cases
