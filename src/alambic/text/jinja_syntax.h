// The tree of a parsed template. Owned by a Template; immutable once parsed.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

inline constexpr int kMaxNesting = 300;  // of a template's own expressions and statements
inline constexpr size_t kMaxSourceBytes = size_t{1} << 20;

using NameId = int;  // names are numbered: scopes compare numbers

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr spread, spread_named;  // *args, **kwargs; may be null
};

enum class ExpressionKind {
  kConstant,
  kName,
  kTuple,
  kList,
  kDict,         // parts: key, value, key, value …
  kConditional,  // parts: condition, then, else or null
  kOr,
  kAnd,
  kNot,
  kCompare,    // parts: operands, one more than comparisons
  kCalculate,  // parts: left, right
  kConcat,
  kNegate,
  kPlus,
  kAttribute,
  kItem,
  kSlice,   // parts: object, then start, stop, step, each may be null
  kCall,    // parts: what is called
  kFilter,  // parts: subject, or null in a filter block
  kTest
};

struct Expression {
  ExpressionKind kind;
  int line;
  int depth = 1;  // of the tree from here down
  Value constant;
  NameId id = -1;
  std::string name;  // of a variable, attribute, filter or test
  std::vector<ExpressionPtr> parts;
  std::vector<Comparison> comparisons;
  Operator operation = Operator::kAdd;
  CallArguments arguments;
  bool known = true;  // whether the filter or test exists
};

struct Statement;
using Block = std::vector<Statement>;

// What a value is assigned to: a name, an attribute of a namespace, or several of them.
struct Target {
  NameId id = -1;
  std::string name, attribute;  // attribute empty: the name itself
  bool many = false;
  std::vector<Target> parts;
};

struct Signature {
  std::vector<std::pair<NameId, std::string>> parameters;
  std::vector<ExpressionPtr> defaults;  // of the last parameters
  bool wants_varargs = false, wants_kwargs = false, wants_caller = false;
};

enum class StatementKind {
  kData,
  kPrint,      // expressions: what is printed
  kIf,         // expressions: conditions; blocks: one for each, and one more for else
  kFor,        // expressions: items, filter or null; blocks: body, else
  kSet,        // expressions: value
  kSetBlock,   // expressions: filter over the text, or null; blocks: body
  kMacro,      // name, signature; blocks: body
  kCallBlock,  // expressions: call; signature of the caller; blocks: body
  kFilterBlock,
  kWith,  // targets and expressions in pairs; blocks: body
  kGeneration,
  kBreak,
  kContinue
};

struct Statement {
  StatementKind kind;
  int line;
  int depth = 1;
  std::string data;
  NameId id = -1;
  std::string name;
  std::vector<ExpressionPtr> expressions;
  std::vector<Target> targets;
  std::vector<Block> blocks;
  Signature signature;
};

// A parsed template: the tree and the names in it.
class Template {
 public:
  Block body;
  std::vector<std::string> names;  // by NameId
  bool marks_generation = false;
};

}  // namespace alambic::jinja
