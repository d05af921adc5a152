#include "alambic/models/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "alambic/base/file.h"
#include "alambic/formats/safetensors.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/test_models.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

constexpr WeightFormat kFormats[] = {WeightFormat::kInt8, WeightFormat::kInt4};

ModelConfig tied_or_not(bool tied) {
  ModelConfig config = tiny_config();
  config.tied_head = tied;
  return config;
}

Tensor logits_of(const LanguageModel& model, int rows = 20) {
  const auto tokens = random_tokens(rows, model.config().vocab_size, 9);
  return model.logits(model.hidden(tokens, {.groups = {{rows, 0}}}), Precision::kFp32);
}

bool same_numbers(const Tensor& a, const Tensor& b) {
  return std::equal(a.values().begin(), a.values().end(), b.values().begin(), b.values().end());
}

// A directory of a test's own with a quantised model that the test then damages.
class QuantizedDirectory : public testing::TestWithParam<std::tuple<WeightFormat, bool>> {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    directory_ = testing::TempDir() + "alambic_quantized_" + name;
    fs::remove_all(directory_);
    original_ = std::make_unique<Transformer>(tied_or_not(tied()));
    randomise(*original_, 3);
    // The embedding is stored in bf16: start from numbers that it holds exactly.
    original_->visit([](Parameter& p) {
      for (float& w : p.value.values()) w = std::nearbyint(w * 64) / 64;
    });
    weights_ = quantize(*original_, {.format = format()});
    save_quantized_model(*original_, weights_, false, {.task = "exact"}, directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  WeightFormat format() const { return std::get<0>(GetParam()); }
  bool tied() const { return std::get<1>(GetParam()); }
  std::string path(const char* file) const { return directory_ + "/" + file; }
  void edit_config(const std::function<void(Json&)>& edit) const {
    Json config = read_json_file(path("config.json"));
    edit(config);
    write_file_atomic(path("config.json"), dump_json(config));
  }
  void edit_weights(const std::function<void(std::vector<TensorEntry>&)>& edit) const {
    const std::string copy = path("copy.safetensors");
    fs::copy_file(path("model.safetensors"), copy, fs::copy_options::overwrite_existing);
    const SafetensorsFile file(copy);
    std::vector<TensorEntry> entries = file.entries();
    edit(entries);
    write_safetensors(path("model.safetensors"), entries);
  }
  // Loading either way fails with `code` in one line that holds every one of `parts`.
  void expect_failure(ErrorCode code, const std::vector<std::string>& parts) const {
    for (const Quantized as : {Quantized::kAsFloats, Quantized::kMapped}) {
      try {
        load_model(directory_, as);
        ADD_FAILURE() << "the model loaded";
      } catch (const Error& error) {
        const std::string line = error.what();
        EXPECT_EQ(error.code(), code) << line;
        EXPECT_EQ(line.find('\n'), std::string::npos) << line;
        for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
      }
    }
  }

  std::string directory_;
  std::unique_ptr<Transformer> original_;
  QuantizedWeights weights_;
};

TEST_P(QuantizedDirectory, WhatIsLoadedComputesWhatWasSaved) {
  const LoadedModel loaded = load_model(directory_, Quantized::kMapped);
  freeze_for_inference(*loaded.model, Precision::kFp32);
  EXPECT_EQ(loaded.card.task, "exact");
  EXPECT_EQ(stored_format(directory_), format());
  use_quantized(*original_, weights_);
  EXPECT_TRUE(same_numbers(logits_of(*loaded.model), logits_of(*original_)));
}

TEST_P(QuantizedDirectory, PanelsStayInTheFile) {
  const int64_t before = memory_use().live;
  const LoadedModel loaded = load_model(directory_, Quantized::kMapped);
  freeze_for_inference(*loaded.model, Precision::kFp32);
  // Norms alone are floats of our own: less than 4 KiB each.
  EXPECT_LT(memory_use().live - before, 5 * 4096);
  loaded.model->visit([](Parameter& p) {
    EXPECT_TRUE(is_quantized(p) || p.name == "embedding" || p.name.ends_with("norm")) << p.name;
  });
}

TEST_P(QuantizedDirectory, AsFloatsItHoldsTheGridsPoints) {
  const LoadedModel loaded = load_model(directory_);
  loaded.model->visit([&](Parameter& p) {
    EXPECT_FALSE(is_quantized(p));
    if (p.value.shape().size() == 2 && p.name != "embedding") {
      EXPECT_TRUE(same_numbers(p.value, weights_.at(p.name).dequantized())) << p.name;
    }
  });
  set_trainable(*loaded.model, true);
}

// Rows of 64 tokens alone and together, and as 8 rows after a cached beginning: the same bits.
TEST_P(QuantizedDirectory, CachedRowsEqualTheWholeForward) {
  const LoadedModel loaded = load_model(directory_, Quantized::kMapped);
  freeze_for_inference(*loaded.model, Precision::kFp32);
  const LanguageModel& model = *loaded.model;
  const auto tokens = random_tokens(20, model.config().vocab_size, 9);
  const Tensor whole = logits_of(model);
  KvCache cache = make_cache(model.config(), Precision::kFp32);
  for (int i = 0; i < 20; ++i) {
    Forward forward{.groups = {{.rows = 1, .position = i}}};
    forward.groups.front().cache = &cache;
    const Tensor row =
        model.logits(model.hidden({&tokens[static_cast<size_t>(i)], 1}, forward), Precision::kFp32);
    cache.commit(1);
    EXPECT_TRUE(std::equal(row.values().begin(), row.values().end(), whole.row(i))) << i;
  }
}

TEST_P(QuantizedDirectory, MissingAndMisshapenPartsAreNamed) {
  const std::string stem = "model.layers.1.mlp.up_proj.";
  std::vector<std::string> parts = {"qweight", "scales"};
  if (format() == WeightFormat::kInt4) parts.push_back("zeros");
  if (tied()) parts.push_back("../lm_head.qweight");
  for (const std::string& part : parts) {
    const std::string name = part.starts_with("../") ? part.substr(3) : stem + part;
    const std::string whole = read_file(path("model.safetensors"));
    edit_weights([&](auto& entries) {
      std::erase_if(entries, [&](const TensorEntry& e) { return e.name == name; });
    });
    expect_failure(ErrorCode::kCorruptData, {"model.safetensors", name, "missing"});
    write_file_atomic(path("model.safetensors"), whole);
    edit_weights([&](auto& entries) {
      for (TensorEntry& e : entries) {
        if (e.name == name) std::swap(e.shape.front(), e.shape.back());
      }
    });
    expect_failure(ErrorCode::kCorruptData, {"model.safetensors", name, "want"});
    write_file_atomic(path("model.safetensors"), whole);
  }
}

TEST_P(QuantizedDirectory, WrongElementTypesAreNamed) {
  edit_weights([&](auto& entries) {
    for (TensorEntry& e : entries) {
      if (e.name == "model.layers.0.self_attn.q_proj.scales") e.dtype = DType::kF16;
    }
  });
  expect_failure(ErrorCode::kCorruptData, {"q_proj.scales", "F16", "BF16"});
}

TEST_P(QuantizedDirectory, TruncatedFilesAreNamed) {
  const std::string whole = read_file(path("model.safetensors"));
  for (const size_t size : {size_t{0}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write_file_atomic(path("model.safetensors"), whole.substr(0, size));
    expect_failure(ErrorCode::kCorruptData, {"model.safetensors"});
  }
}

TEST_P(QuantizedDirectory, BadSettingsAreNamed) {
  const std::string good = read_file(path("config.json"));
  const auto expect = [&](ErrorCode code, const std::string& part, const auto& edit) {
    edit_config([&](Json& c) { edit(c["quantization_config"]); });
    expect_failure(code, {"config.json", part});
    write_file_atomic(path("config.json"), good);
  };
  expect(ErrorCode::kUnsupported, "gptq", [](Json& q) { q["quant_method"] = "gptq"; });
  expect(ErrorCode::kCorruptData, "quant_method", [](Json& q) { q = "x"; });
  expect(ErrorCode::kUnsupported, "int3", [](Json& q) { q["weights"] = "int3"; });
  expect(ErrorCode::kCorruptData, "weights", [](Json& q) { q.erase("weights"); });
  expect(ErrorCode::kUnsupported, "group_size", [](Json& q) { q["group_size"] = 128; });
  expect(ErrorCode::kCorruptData, "panel_columns", [](Json& q) { q["panel_columns"] = -0.5; });
}

// More layers and wider ones than the file has: refused at the first tensor, with nothing asked
// for.
TEST_P(QuantizedDirectory, AbsurdSizesFailBeforeAnythingIsAllocated) {
  const std::string good = read_file(path("config.json"));
  const int64_t live = memory_use().live;
  for (const auto& [key, value] : {std::pair{"vocab_size", 1 << 22},
                                   {"num_hidden_layers", 1000},
                                   {"intermediate_size", 1 << 18}}) {
    edit_config([&, key = key, value = value](Json& c) { c[key] = value; });
    expect_failure(ErrorCode::kCorruptData, {"model.safetensors"});
    write_file_atomic(path("config.json"), good);
  }
  EXPECT_EQ(memory_use().live, live);
}

// Any bytes may stand in the panels: whatever they say, computing with them ends.
TEST_P(QuantizedDirectory, ArbitraryPanelsAreSafeToComputeWith) {
  std::string bytes = read_file(path("model.safetensors"));
  Rng rng(5);
  for (size_t i = bytes.size() / 2; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(rng.below(256));
  write_file_atomic(path("model.safetensors"), bytes);
  const LoadedModel loaded = load_model(directory_, Quantized::kMapped);
  EXPECT_EQ(logits_of(*loaded.model).rows(), 20);
}

TEST_P(QuantizedDirectory, QuantisedWeightsAreNotTrainedAndNotSavedAsFloats) {
  const LoadedModel loaded = load_model(directory_, Quantized::kMapped);
  EXPECT_THROW(set_trainable(*loaded.model, true), Error);
  EXPECT_THROW(save_model(*loaded.model, {}, directory_ + "/again", DType::kF32), Error);
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedDirectory,
                         testing::Combine(testing::ValuesIn(kFormats), testing::Bool()),
                         [](const auto& test) {
                           return std::string(format_name(std::get<0>(test.param))) +
                                  (std::get<1>(test.param) ? "_tied" : "_untied");
                         });

// Squared distance of the logits from those of the floats.
double loss(const LanguageModel& model, const Tensor& want) {
  const Tensor got = logits_of(model, 60);
  double sum = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    const double gap = double{got.values()[i]} - double{want.values()[i]};
    sum += gap * gap;
  }
  return sum;
}

// On text of the kind it was calibrated with; half the loss of plain rounding was measured.
TEST(Quantize, CalibrationLosesLessThanPlainRounding) {
  const auto floats = [] {
    auto model = std::make_unique<Transformer>(tied_or_not(true));
    randomise(*model, 3);
    return model;
  };
  QuantizeOptions options{.format = WeightFormat::kInt4};
  double progress = 0;
  options.progress = [&](double done) {
    EXPECT_GE(done, progress);
    progress = done;
  };
  const Tensor want = logits_of(*floats(), 60);
  const auto plain = floats();
  use_quantized(*plain, quantize(*plain, options));
  for (uint64_t seed = 20; seed < 30; ++seed) options.texts.push_back(random_tokens(120, 61, seed));
  options.texts.push_back(random_tokens(1500, 61, 30));  // longer than a calibration forward
  progress = 0;
  const auto calibrated = floats();
  use_quantized(*calibrated, quantize(*calibrated, options));
  EXPECT_LT(loss(*calibrated, want), 0.9 * loss(*plain, want));
  EXPECT_GT(progress, 0.5);
}

}  // namespace
}  // namespace alambic
