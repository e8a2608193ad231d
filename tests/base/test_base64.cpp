#include <gtest/gtest.h>

#include "gatewright/base/base64.h"
#include "gatewright/base/error.h"

using namespace gw;

// RFC 4648, section 10.
TEST(Base64, TestVectors) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(base64_encode(plain), text);
    EXPECT_EQ(base64_decode(text, "test"), plain);
  }
  EXPECT_EQ(base64_decode(base64_encode(std::string("\0\xff\x80", 3)), "test"), std::string("\0\xff\x80", 3));
  for (const char* bad : {"Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9*", "Zm 9"})
    EXPECT_THROW(base64_decode(bad, "test"), ValueError) << bad;
}
