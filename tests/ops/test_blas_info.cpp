#include <gtest/gtest.h>

#include <algorithm>

#include "gatewright/ops/blas_info.h"

using gw::ops::judge_blas;

TEST(BlasInfo, WarnsOfTheReferenceBlas) {
  const auto info = judge_blas(
      {"/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0"}, false);
  EXPECT_EQ(info.name, "reference");
  EXPECT_NE(info.warning.find("libopenblas0-openmp"), std::string::npos) << info.warning;
}

TEST(BlasInfo, AcceptsOpenBlasBehindTheAlternative) {
  const auto info = judge_blas({"/usr/lib/x86_64-linux-gnu/openblas-openmp/libblas.so.3"}, false);
  EXPECT_EQ(info.name, "OpenBLAS");
  EXPECT_EQ(info.warning, "");
  const auto own = judge_blas({"/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3"}, false);
  EXPECT_EQ(own.name, "OpenBLAS");
  EXPECT_NE(own.warning.find("libopenblas0-openmp"), std::string::npos) << own.warning;
  EXPECT_EQ(judge_blas({"/usr/lib/x86_64-linux-gnu/libopenblasp-r0.3.21.so"}, false).name, "OpenBLAS");
  EXPECT_NE(judge_blas({"/usr/lib/x86_64-linux-gnu/openblas-serial/libblas.so.3"}, false).warning, "");
}

TEST(BlasInfo, KnowsTheOthersAndIgnoresCblasFolders) {
  EXPECT_EQ(judge_blas({"/usr/lib/x86_64-linux-gnu/blis-pthread/libblas.so.3"}, false).name, "BLIS");
  EXPECT_EQ(judge_blas({"/usr/lib/x86_64-linux-gnu/blas/libother.so"}, false).name, "unknown");
  EXPECT_EQ(judge_blas({}, true).name, "MKL");
}

TEST(BlasInfo, SeesTheLibrariesOfThisProcess) {
  const auto libraries = gw::ops::loaded_libraries();
  const auto is_torch = [](const std::string& path) { return path.find("torch_cpu") != std::string::npos; };
  EXPECT_EQ(std::count_if(libraries.begin(), libraries.end(), is_torch), 1);
  EXPECT_NE(gw::ops::blas_info().name, "unknown");
}
