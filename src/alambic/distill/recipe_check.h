// What must hold between the keys of a recipe, beyond the type of each. Private to this room.
#pragma once

#include <string_view>

#include "alambic/distill/recipe.h"

namespace alambic {

// Throws kInvalidArgument naming `where` and the keys, or kUnsupported for what stands in the way
// of the use that the recipe names.
void check_recipe(const Recipe& recipe, std::string_view where);

}  // namespace alambic
