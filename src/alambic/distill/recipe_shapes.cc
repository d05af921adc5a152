// What a recipe says of a model and of its training, in the terms of those who make and train it.
#include <algorithm>
#include <bit>
#include <cmath>

#include "alambic/base/error.h"
#include "alambic/distill/recipe.h"
#include "alambic/models/hf_directory.h"

namespace alambic {

ModelConfig model_config(const ModelRecipe& recipe, int vocabulary, int max_positions,
                         std::string_view where) {
  ModelConfig c;
  c.vocab_size = vocabulary;
  c.dim = recipe.dim;
  c.layers = recipe.layers;
  c.heads = recipe.heads;
  c.kv_heads = recipe.kv_heads;
  c.head_dim = recipe.heads > 0 ? recipe.dim / recipe.heads : 0;
  c.ffn = recipe.ffn;
  c.max_positions = max_positions;
  validate(c, where);
  return c;
}

bool is_bidirectional(const Recipe& recipe) {
  return recipe.student.model.empty() ? recipe.attention == "all"
                                      : !read_model_config(recipe.student.model).causal;
}

int rotary_positions(int max_tokens) {
  constexpr int64_t kFew = 2048, kMost = int64_t{1} << 24;
  const auto twice = static_cast<int64_t>(std::bit_ceil(2 * static_cast<uint64_t>(max_tokens)));
  return static_cast<int>(std::clamp(twice, kFew, kMost));
}

ModelConfig student_config(const Recipe& recipe, int vocabulary) {
  const int positions = recipe.positions == "rotary" ? rotary_positions(recipe.data.max_tokens)
                                                     : recipe.data.max_tokens;
  ModelConfig c = model_config(recipe.student, vocabulary, positions, "student");
  c.causal = recipe.attention == "causal";
  if (!c.causal) c.family = "llada";
  if (recipe.positions == "rotary") return c;
  c.positions = PositionKind::kLearned;
  if (!c.causal) return c;
  if (c.kv_heads != c.heads) {
    fail(
        ErrorCode::kInvalidArgument,
        "[student] kv_heads = {} of {}; a causal student with learned positions has GPT-2's shape, "
        "where they are as many",
        c.kv_heads, c.heads);
  }
  c.family = "gpt2";
  c.layer_norm = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  c.gated_mlp = false;
  c.activation = Activation::kGeluTanh;
  // Two matrices instead of three: as many weights.
  c.ffn = recipe.student.ffn * 3 / 2;
  validate(c, "student");
  return c;
}

Precision train_precision(const TrainRecipe& recipe) {
  return recipe.precision == "fp32" ? Precision::kFp32 : Precision::kBf16;
}

TrainOptions train_options(const TrainRecipe& recipe, std::span<const Sequence> data, uint64_t seed,
                           const std::optional<Budget>& budget) {
  TrainOptions o;
  o.budget = budget ? *budget
             : recipe.steps > 0
                 ? Budget{.steps = recipe.steps}
                 : budget_of_epochs(data, recipe.epochs, recipe.tokens_per_step, seed);
  const auto steps = static_cast<double>(o.budget.steps);
  o.tokens_per_step = recipe.tokens_per_step;
  o.accumulation = recipe.accumulation;
  o.lr = recipe.lr;
  o.schedule = schedule_from_name(recipe.schedule);
  o.warmup = std::llround(recipe.warmup * steps);
  o.lr_floor = recipe.lr_floor;
  o.cooldown = recipe.cooldown;
  o.adamw.beta1 = recipe.beta1;
  const double half_life = std::min(7e6 / recipe.tokens_per_step, 0.05 * steps);
  o.adamw.beta2 = recipe.beta2 > 0
                      ? recipe.beta2
                      : std::clamp(std::exp2(-1 / std::max(1.0, half_life)), 0.9, 0.9999);
  o.adamw.weight_decay = recipe.weight_decay;
  o.adamw.clip = recipe.clip;
  o.dropout = recipe.dropout;
  o.precision = train_precision(recipe);
  o.seed = seed;
  o.checkpoint_seconds = recipe.checkpoint_seconds;
  o.log_every = std::max<int64_t>(1, o.budget.steps / 100);
  o.keep_best = recipe.validations > 0;
  o.validate_every =
      o.keep_best ? std::max<int64_t>(1, o.budget.steps / recipe.validations) : int64_t{0};
  return o;
}

}  // namespace alambic
