// The filters that take a sequence apart. Registered in jinja_filters.cc.
// Thread safety: stateless. Errors: through Run.
#pragma once

#include <string_view>

#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

using FilterCall = Value(Run&, const Value&, const Arguments&);
struct Filter {
  std::string_view name;
  FilterCall* call;
};

FilterCall batch_filter, slice_filter, dictsort_filter, items_filter, first_filter, last_filter,
    join_filter, list_filter, map_filter, select_filter, reject_filter, selectattr_filter,
    rejectattr_filter, min_filter, max_filter, reverse_filter, sort_filter, sum_filter,
    unique_filter;

}  // namespace alambic::jinja
