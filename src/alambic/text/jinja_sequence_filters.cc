#include "alambic/text/jinja_sequence_filters.h"

#include <algorithm>
#include <optional>

#include "alambic/text/jinja_filters.h"
#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_print.h"
#include "alambic/text/jinja_text.h"

namespace alambic::jinja {
namespace {

Value iterator(Run& run, std::vector<Value> items) {
  return Value::sequence(run, SequenceForm::kIterator, std::move(items));
}

// A way to a part of an item: names and numbers between dots.
std::vector<Value> attribute_path(Run& run, const Value& attribute) {
  if (attribute.absent() || attribute.is_none()) return {};
  if (!attribute.is_text()) return {attribute};
  std::vector<Value> path;
  for (const std::string_view part : split_text(attribute.as_text(), ".", -1, Side::kLeft)) {
    if (part.size() <= 9 && !part.empty() &&
        part.find_first_not_of("0123456789") == std::string_view::npos) {
      path.push_back(Value::integer(std::stoi(std::string(part))));
    } else {
      path.push_back(Value::text(run, std::string(part)));
    }
  }
  return path;
}

Value follow(Run& run, Value item, const std::vector<Value>& path, const Value& fallback) {
  for (const Value& part : path) {
    item = item_of(run, item, part);
    if (item.is_undefined() && !fallback.absent() && !fallback.is_none()) item = fallback;
  }
  return item;
}

Value ignoring_case(Run& run, Value value, bool case_sensitive) {
  if (case_sensitive || !value.is_text()) return value;
  return Value::text(run, to_lower(value.as_text()));
}

Value chosen(Run& run, const Value& value, const Arguments& arguments, bool by_attribute,
             bool wanted) {
  Arguments rest = arguments;
  std::vector<Value> path;
  const auto take_first = [&] {
    Value first = std::move(rest.positional.front());
    rest.positional.erase(rest.positional.begin());
    return first;
  };
  if (by_attribute) {
    if (rest.positional.empty()) run.wrong("Missing parameter for attribute name");
    path = attribute_path(run, take_first());
  }
  std::optional<std::string> test;
  if (!rest.positional.empty()) {
    test = to_plain_text(run, take_first(), "the name of a test");
    if (!test_exists(*test)) run.unsupported("the test \"{}\"", *test);
  } else if (!rest.named.empty()) {
    run.wrong("a test by name is missing");
  }
  std::vector<Value> kept;
  if (!truth(value)) return iterator(run, {});
  for (const Value& item : iterate(run, value)) {
    run.step();
    const Value part = follow(run, item, path, Value());
    const bool fits = test ? apply_test(run, *test, part, rest) : truth(part);
    if (fits == wanted) kept.push_back(item);
  }
  return iterator(run, std::move(kept));
}

Value extreme(Run& run, const Value& value, const Arguments& arguments, bool want_max) {
  const auto args = bind(run, "min", arguments, {"case_sensitive", "attribute"}, 0);
  const auto path = attribute_path(run, args[1]);
  const auto items = iterate(run, value);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  const auto key_of = [&](const Value& item) {
    return ignoring_case(run, follow(run, item, path, Value()), truth(args[0]));
  };
  size_t best = 0;
  Value best_key = key_of(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = key_of(items[i]);
    if (want_max ? less(run, best_key, key) : less(run, key, best_key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items[best];
}

}  // namespace

Value batch_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t count = to_index(run, args[0], "linecount");
  std::vector<Value> lines, line;
  for (const Value& item : iterate(run, value)) {
    if (std::cmp_equal(line.size(), count)) {
      lines.push_back(Value::list(run, std::move(line)));
      line.clear();
    }
    line.push_back(item);
  }
  if (!line.empty()) {
    if (!args[1].absent() && !args[1].is_none() && std::cmp_less(line.size(), count)) {
      run.pay_for_items(static_cast<size_t>(count));
      line.resize(static_cast<size_t>(count), args[1]);
    }
    lines.push_back(Value::list(run, std::move(line)));
  }
  return iterator(run, std::move(lines));
}

Value slice_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "slice", arguments, {"slices", "fill_with"}, 1);
  const auto items = iterate(run, value);
  const int64_t slices = to_index(run, args[0], "slices");
  if (slices == 0) run.wrong("integer division or modulo by zero");
  std::vector<Value> columns;
  if (slices < 0) return iterator(run, {});
  run.pay_for_items(static_cast<size_t>(slices));
  const size_t each = items.size() / static_cast<size_t>(slices);
  const size_t longer = items.size() % static_cast<size_t>(slices);
  auto next = items.begin();
  for (size_t i = 0; i < static_cast<size_t>(slices); ++i) {
    const auto end = next + static_cast<std::ptrdiff_t>(each + (i < longer ? 1 : 0));
    std::vector<Value> column(next, end);
    next = end;
    if (!args[1].absent() && !args[1].is_none() && i >= longer) column.push_back(args[1]);
    columns.push_back(Value::list(run, std::move(column)));
  }
  return iterator(run, std::move(columns));
}

Value items_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "items", arguments, {}, 0);
  if (value.is_undefined()) return iterator(run, {});
  if (!value.is_dict()) run.wrong("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  run.pay_for_items(value.as_dict().entries.size());
  pairs.reserve(value.as_dict().entries.size());
  for (const auto& [key, item] : value.as_dict().entries) {
    pairs.push_back(Value::tuple(run, {key, item}));
  }
  return iterator(run, std::move(pairs));
}

Value dictsort_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0);
  const std::string by = args[1].absent() ? "key" : to_text(run, args[1]);
  if (by != "key" && by != "value") run.wrong("You can only sort by either \"key\" or \"value\"");
  if (!value.is_dict()) {
    if (value.is_undefined()) run.wrong("{}", value.why_undefined());
    run.wrong("dictsort wants a mapping; got '{}'", type_name(value));
  }
  struct Keyed {
    Value key, pair;
  };
  std::vector<Keyed> pairs;
  run.pay_for_items(value.as_dict().entries.size());
  pairs.reserve(value.as_dict().entries.size());
  for (const auto& [key, item] : value.as_dict().entries) {
    pairs.push_back({ignoring_case(run, by == "key" ? key : item, truth(args[0])),
                     Value::tuple(run, {key, item})});
  }
  const bool reverse = truth(args[2]);
  merge_sort(pairs, [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(run, b.key, a.key) : less(run, a.key, b.key);
  });
  std::vector<Value> sorted;
  sorted.reserve(pairs.size());
  for (Keyed& pair : pairs) sorted.push_back(std::move(pair.pair));
  return Value::list(run, std::move(sorted));
}

Value first_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "first", arguments, {}, 0);
  if (value.is_sequence(SequenceForm::kIterator)) {
    const Sequence& sequence = value.as_sequence();
    if (sequence.taken < sequence.items.size()) return sequence.items[sequence.taken++];
    return Value::undefined("No first item, sequence was empty.");
  }
  if (value.is_text() && !value.as_text().empty()) return item_of(run, value, Value::integer(0));
  const auto items = iterate(run, value);
  if (items.empty()) return Value::undefined("No first item, sequence was empty.");
  return items[0];
}

Value last_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "last", arguments, {}, 0);
  if (value.is_sequence(SequenceForm::kIterator)) {
    run.wrong("'generator' object is not reversible");
  }
  if (value.is_text() && !value.as_text().empty()) return item_of(run, value, Value::integer(-1));
  const auto items = iterate(run, value);
  if (items.empty()) return Value::undefined("No last item, sequence was empty.");
  return items[items.size() - 1];
}

Value join_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "join", arguments, {"d", "attribute"}, 0);
  const std::string separator = args[0].absent() ? "" : to_text(run, args[0]);
  const auto path = attribute_path(run, args[1]);
  std::string out;
  bool first = true;
  for (const Value& item : iterate(run, value)) {
    if (!first) out += separator;
    first = false;
    out += to_text(run, follow(run, item, path, Value()));
    run.step(1 + separator.size() / 32);
    if (out.size() > kMaxTextBytes) break;
  }
  return Value::text(run, std::move(out));
}

Value list_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "list", arguments, {}, 0);
  return Value::list(run, iterate(run, value).values());
}

Value map_filter(Run& run, const Value& value, const Arguments& arguments) {
  std::vector<Value> mapped;
  if (arguments.positional.empty()) {
    const auto args = bind(run, "map", arguments, {"attribute", "default"}, 0);
    if (args[0].absent()) run.wrong("map requires a filter argument");
    const auto path = attribute_path(run, args[0]);
    if (!truth(value)) return iterator(run, {});
    for (const Value& item : iterate(run, value)) {
      mapped.push_back(follow(run, item, path, args[1]));
    }
    return iterator(run, std::move(mapped));
  }
  const std::string& name = to_plain_text(run, arguments.positional[0], "the name of a filter");
  if (!filter_exists(name)) run.unsupported("the filter \"{}\"", name);
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  if (!truth(value)) return iterator(run, {});
  const Run::Nested nested(run);
  for (const Value& item : iterate(run, value)) {
    mapped.push_back(apply_filter(run, name, item, rest));
  }
  return iterator(run, std::move(mapped));
}

Value select_filter(Run& run, const Value& value, const Arguments& arguments) {
  return chosen(run, value, arguments, false, true);
}
Value reject_filter(Run& run, const Value& value, const Arguments& arguments) {
  return chosen(run, value, arguments, false, false);
}
Value selectattr_filter(Run& run, const Value& value, const Arguments& arguments) {
  return chosen(run, value, arguments, true, true);
}
Value rejectattr_filter(Run& run, const Value& value, const Arguments& arguments) {
  return chosen(run, value, arguments, true, false);
}

Value min_filter(Run& run, const Value& value, const Arguments& arguments) {
  return extreme(run, value, arguments, false);
}
Value max_filter(Run& run, const Value& value, const Arguments& arguments) {
  return extreme(run, value, arguments, true);
}

Value reverse_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "reverse", arguments, {}, 0);
  if (value.is_text()) return slice_of(run, value, Value(), Value(), Value::integer(-1));
  std::vector<Value> items = iterate(run, value).values();
  std::reverse(items.begin(), items.end());
  return value.is_sequence(SequenceForm::kIterator) ? Value::list(run, std::move(items))
                                                    : iterator(run, std::move(items));
}

Value sort_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0);
  std::vector<std::vector<Value>> paths;
  if (args[2].is_text()) {
    for (const std::string_view part : split_text(args[2].as_text(), ",", -1, Side::kLeft)) {
      paths.push_back(attribute_path(run, Value::text(run, std::string(part))));
    }
  } else {
    paths.push_back(attribute_path(run, args[2]));
  }
  struct Keyed {
    std::vector<Value> keys;
    Value item;
  };
  std::vector<Keyed> items;
  const auto all = iterate(run, value);
  items.reserve(all.size());
  for (const Value& item : all) {
    Keyed keyed{{}, item};
    run.step(paths.size());
    keyed.keys.reserve(paths.size());
    for (const auto& path : paths) {
      keyed.keys.push_back(ignoring_case(run, follow(run, item, path, Value()), truth(args[1])));
    }
    items.push_back(std::move(keyed));
  }
  const auto before = [&](const Keyed& a, const Keyed& b) {
    for (size_t i = 0; i < a.keys.size(); ++i) {
      if (!equal(run, a.keys[i], b.keys[i])) return less(run, a.keys[i], b.keys[i]);
    }
    return false;
  };
  const bool reverse = truth(args[0]);
  merge_sort(items,
             [&](const Keyed& a, const Keyed& b) { return reverse ? before(b, a) : before(a, b); });
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (Keyed& keyed : items) sorted.push_back(std::move(keyed.item));
  return Value::list(run, std::move(sorted));
}

Value sum_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "sum", arguments, {"attribute", "start"}, 0);
  const auto path = attribute_path(run, args[0]);
  Value total = args[1].absent() ? Value::integer(0) : args[1];
  if (total.is_text()) run.wrong("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : iterate(run, value)) {
    total = calculate(run, Operator::kAdd, total, follow(run, item, path, Value()));
  }
  return total;
}

Value unique_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "unique", arguments, {"case_sensitive", "attribute"}, 0);
  const auto path = attribute_path(run, args[1]);
  std::vector<std::pair<Value, Value>> seen;
  std::vector<Value> kept;
  for (const Value& item : iterate(run, value)) {
    const size_t before = seen.size();
    set_entry(run, seen, ignoring_case(run, follow(run, item, path, Value()), truth(args[0])),
              Value::none());
    if (seen.size() > before) kept.push_back(item);
  }
  return iterator(run, std::move(kept));
}

}  // namespace alambic::jinja
