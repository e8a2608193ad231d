#include <gtest/gtest.h>

#include "gatewright/text/tokenizer.h"

TEST(Tokenizer, Placeholder) {}
