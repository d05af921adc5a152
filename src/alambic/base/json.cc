#include "alambic/base/json.h"

#include <unordered_set>
#include <vector>

#include "alambic/base/file.h"

namespace alambic {
namespace {

constexpr int kMaxDepth = 200;

// Nesting depth outside strings, found without recursion.
int nesting_depth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

Json parse(std::string_view text, std::string_view where, const Json::parser_callback_t& watch) {
  if (nesting_depth(text) > kMaxDepth) {
    fail(ErrorCode::kCorruptData, "[{}] JSON nested more than {} deep", where, kMaxDepth);
  }
  try {
    return Json::parse(text, watch);
  } catch (const Json::parse_error& error) {
    fail(ErrorCode::kCorruptData, "[{}] not valid JSON at byte {}", where, error.byte);
  } catch (const Json::exception&) {
    fail(ErrorCode::kCorruptData, "[{}] not valid JSON: a number is out of range", where);
  }
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  return parse(text, where, nullptr);
}

Json parse_unique_json(std::string_view text, std::string_view where) {
  std::vector<std::unordered_set<std::string>> keys(kMaxDepth + 2);  // of the open objects
  return parse(text, where, [&](int depth, Json::parse_event_t event, Json& parsed) {
    const auto level = static_cast<size_t>(depth);
    if (event == Json::parse_event_t::object_start) keys[level + 1].clear();
    if (event == Json::parse_event_t::key &&
        !keys[level].insert(parsed.get_ref<const std::string&>()).second) {
      fail(ErrorCode::kCorruptData, "[{}] key {} occurs twice in one object", where,
           dump_json(parsed));
    }
    return true;
  });
}

OrderedJson parse_ordered_json(std::string_view text, std::string_view where) {
  if (nesting_depth(text) > kMaxDepth) {
    fail(ErrorCode::kCorruptData, "[{}] JSON nested more than {} deep", where, kMaxDepth);
  }
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  int64_t item = 0;                                   // of a list at the top
  bool list = false;
  const auto watch = [&](int depth, OrderedJson::parse_event_t event, OrderedJson& parsed) {
    using Event = OrderedJson::parse_event_t;
    if (depth == 0 && event == Event::array_start) list = true;
    if (depth == 1 && list && (event == Event::object_start || event == Event::array_start)) ++item;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      fail(ErrorCode::kCorruptData, "[{}{}] key \"{}\" occurs twice in one object", where,
           list ? fmt::format(": item {}", item) : "", parsed.get<std::string>().substr(0, 80));
    }
    if (depth == 1 && list && event == Event::value) ++item;
    return true;
  };
  try {
    return OrderedJson::parse(text, watch);
  } catch (const OrderedJson::parse_error& error) {
    fail(ErrorCode::kCorruptData, "[{}] not valid JSON at byte {}", where, error.byte);
  } catch (const OrderedJson::exception&) {
    fail(ErrorCode::kCorruptData, "[{}] not valid JSON: a number is out of range", where);
  }
}

Json read_json_file(const std::string& path) { return parse_unique_json(read_file(path), path); }

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string dump_json(const OrderedJson& value, int indent) {
  return value.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace alambic
