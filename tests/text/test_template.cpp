#include <gtest/gtest.h>

#include "gatewright/text/template/chat_template.h"

namespace gw::test::template_cases {
TEST(ChatTemplate, Runs) { EXPECT_EQ(ChatTemplate("a{{ x + 1 }}b").render({{"x", 1}}), "a2b"); }
}  // namespace gw::test::template_cases
