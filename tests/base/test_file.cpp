#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "gatewright/base/append.h"
#include "gatewright/base/check.h"
#include "gatewright/base/file.h"

namespace {

namespace fs = std::filesystem;

class File : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "gw_file_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = directory_ + "/model.bin";
  }
  void TearDown() override {
    fs::permissions(directory_, fs::perms::owner_all);
    fs::remove_all(directory_);
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }
  std::string directory_, path_;
};

std::string io_error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const gw::IoError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no IoError";
  return "";
}

TEST_F(File, WritesReadsAndReplaces) {
  gw::write_atomic(path_, "old");
  std::string big(3 << 20, 'x');
  big[12345] = '\0';
  gw::write_atomic(path_, [&](gw::FileWriter& writer) {
    writer.write("head");
    writer.write(big);
  });
  EXPECT_EQ(gw::read_file(path_, big.size() + 4), "head" + big);
  gw::write_atomic(path_, "");
  EXPECT_EQ(gw::read_file(path_, 0), "");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, RefusesMoreThanTheLimit) {
  gw::write_atomic(path_, "12345");
  EXPECT_EQ(gw::read_file(path_, 5), "12345");
  EXPECT_THROW(gw::read_file(path_, 4), gw::ValueError);
  EXPECT_THROW(gw::read_file("/dev/zero", 1 << 20), gw::ValueError)
      << "a device has no size: the limit must hold while reading";
  EXPECT_FALSE(gw::read_file("/proc/self/status", 1 << 20).empty()) << "files of /proc report size 0";
}

TEST_F(File, ReadErrorsNamePathReasonAndRemedy) {
  EXPECT_EQ(io_error_of([&] { gw::read_file(path_, 10); }),
            "file \"" + path_ + "\": expected to open it, got \"No such file or directory\"; check the path");
  EXPECT_NE(io_error_of([&] { gw::read_file(directory_, 1 << 20); }).find("Is a directory"),
            std::string::npos);
}

TEST_F(File, MissingDirectoryIsAnError) {
  const std::string message = io_error_of([&] { gw::write_atomic(directory_ + "/none/model.bin", "new"); });
  EXPECT_NE(message.find(directory_ + "/none/model.bin"), std::string::npos) << message;
  EXPECT_NE(message.find("No such file or directory"), std::string::npos) << message;
  EXPECT_NE(message.find("create its directory"), std::string::npos) << message;
  EXPECT_NE(io_error_of([&] { gw::write_atomic(directory_, "new"); }).find("Is a directory"),
            std::string::npos);
  gw::write_atomic(path_, "old");
  EXPECT_NE(io_error_of([&] { gw::write_atomic(path_ + "/x", "new"); }).find("Not a directory"),
            std::string::npos);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, UnwritableDirectoryKeepsTheOldFile) {
  gw::write_atomic(path_, "old");
  const bool root = ::geteuid() == 0;  // permissions do not bind root: become nobody for the attempt
  if (root) {
    ASSERT_EQ(::chown(directory_.c_str(), 65534, 65534), 0);
  }
  fs::permissions(directory_, fs::perms::owner_read | fs::perms::owner_exec);
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const std::string message = io_error_of([&] { gw::write_atomic(path_, "new"); });
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_NE(message.find("Permission denied"), std::string::npos) << message;
  EXPECT_NE(message.find("permission or choose another place"), std::string::npos) << message;
  EXPECT_EQ(gw::read_file(path_, 10), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, FullDeviceIsAnErrorAndStaysADevice) {
  if (!fs::is_character_file("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  fs::create_symlink("/dev/full", path_);
  for (const std::string& target : {std::string("/dev/full"), path_}) {
    const std::string message = io_error_of([&] { gw::write_atomic(target, "new"); });
    EXPECT_NE(message.find("No space left on device"), std::string::npos) << message;
    EXPECT_NE(message.find("free space"), std::string::npos) << message;
  }
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  EXPECT_TRUE(fs::is_symlink(path_));
}

TEST_F(File, AWriteCutShortKeepsTheOldFile) {
  gw::write_atomic(path_, "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {  // 64 KiB fit, the second piece does not: the error strikes in the middle of the file
    gw::write_atomic(path_, [](gw::FileWriter& writer) {
      for (int i = 0; i < 4; ++i) writer.write(std::string(65536, 'n'));
    });
  } catch (const gw::IoError& error) {
    message = error.what();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_NE(message.find(path_), std::string::npos) << message;
  EXPECT_EQ(gw::read_file(path_, 10), "old");
  EXPECT_EQ(entries(), 1u) << "the temporary file must be gone";
}

TEST_F(File, AnExceptionOfTheWriterKeepsTheOldFile) {
  gw::write_atomic(path_, "old");
  const auto half = [](gw::FileWriter& writer) {
    writer.write("half");
    gw::fail("model: expected finite weights, got nan");
  };
  EXPECT_THROW(gw::write_atomic(path_, half), gw::ValueError);
  EXPECT_EQ(gw::read_file(path_, 10), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, KeepsModeAndReplacesLinks) {
  gw::write_atomic(path_, "old");
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  const std::string link = directory_ + "/latest.bin";
  fs::create_symlink("model.bin", link);
  gw::write_atomic(link, "new");
  EXPECT_FALSE(fs::is_symlink(link));
  EXPECT_EQ(gw::read_file(link, 10), "new");
  EXPECT_EQ(gw::read_file(path_, 10), "old") << "what the link pointed to is not ours";
  gw::write_atomic(path_, "new");
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  fs::create_symlink("nowhere", directory_ + "/dangling");
  gw::write_atomic(directory_ + "/dangling", "new");
  EXPECT_FALSE(fs::exists(directory_ + "/nowhere"));
  fs::create_symlink("model.bin", directory_ + "/log");
  EXPECT_NE(
      io_error_of([&] { gw::LogFile(directory_ + "/log"); }).find("outputs are not written through links"),
      std::string::npos);
}

}  // namespace
