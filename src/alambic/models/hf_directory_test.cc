#include "alambic/models/hf_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "alambic/base/file.h"
#include "alambic/formats/safetensors.h"
#include "alambic/models/test_models.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

// A directory of a test's own, holding a good model that the test then damages.
class HfDirectory : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = testing::TempDir() + "alambic_hf_" + info->name();
    fs::remove_all(directory_);
    ModelCard card;
    card.task = "extract";
    card.labels = {"yes", "no"};
    card.block = 8;
    card.prompt_template = "<s>{prompt}\n";
    card.provenance = {{"teacher", "t"}, {"seed", 3}};
    ModelConfig config = tiny_config();
    config.mask = 60;
    Transformer model(config);
    randomise(model, 3);
    save_model(model, card, directory_, DType::kF32);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path(const char* file) const { return directory_ + "/" + file; }
  void edit_config(const std::function<void(Json&)>& edit) const {
    Json config = read_json_file(path("config.json"));
    edit(config);
    write_file_atomic(path("config.json"), dump_json(config));
  }
  // Rewrites the weights through `edit`, which may drop or reshape entries.
  void edit_weights(const std::function<void(std::vector<TensorEntry>&)>& edit) const {
    const std::string copy = path("copy.safetensors");
    fs::copy_file(path("model.safetensors"), copy);
    const SafetensorsFile file(copy);
    std::vector<TensorEntry> entries = file.entries();
    edit(entries);
    write_safetensors(path("model.safetensors"), entries);
  }
  // Loading fails with `code` in one line that holds every one of `parts`.
  void expect_failure(ErrorCode code, const std::vector<std::string>& parts) const {
    try {
      load_model(directory_);
      ADD_FAILURE() << "the model loaded";
    } catch (const Error& error) {
      const std::string line = error.what();
      EXPECT_EQ(error.code(), code) << line;
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
      for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
    }
  }
  std::string directory_;
};

TEST_F(HfDirectory, WhatIsSavedComesBack) {
  LoadedModel loaded = load_model(directory_);
  EXPECT_EQ(loaded.card.task, "extract");
  EXPECT_EQ(loaded.card.labels, (std::vector<std::string>{"yes", "no"}));
  EXPECT_EQ(loaded.card.block, 8);
  EXPECT_EQ(loaded.card.prompt_template, "<s>{prompt}\n");
  EXPECT_EQ(loaded.card.provenance.at("seed"), 3);
  EXPECT_EQ(loaded.model->config().mask, 60);
  EXPECT_EQ(loaded.model->config().eos, std::vector<TokenId>{2});
  Transformer original(loaded.model->config());
  randomise(original, 3);
  std::vector<float> want, got;
  original.visit([&](Parameter& p) {
    want.insert(want.end(), p.value.values().begin(), p.value.values().end());
  });
  loaded.model->visit([&](Parameter& p) {
    got.insert(got.end(), p.value.values().begin(), p.value.values().end());
  });
  EXPECT_EQ(got, want);
}

// Packed as it is read, a model says to the bit what it says when packed afterwards.
TEST_F(HfDirectory, ForInferenceItIsReadIntoPanels) {
  const std::vector<TokenId> tokens = {1, 5, 9, 3, 3, 7};
  for (const bool tied : {false, true}) {
    ModelConfig config = tiny_config();
    config.tied_head = tied;
    Transformer original(config);
    randomise(original, 3);
    for (const DType dtype : {DType::kF32, DType::kBf16}) {
      save_model(original, {}, directory_, dtype);
      for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
        const auto logits = [&](const Transformer& model) {
          const NoGrad no_grad;
          const Forward forward{.groups = {{6, 0}}, .precision = precision};
          const Tensor out = model.logits(model.hidden(tokens, forward), precision);
          return std::vector<float>(out.values().begin(), out.values().end());
        };
        const LoadedModel whole = load_model(directory_);
        freeze_for_inference(*whole.model, precision);
        const LoadedModel packed = load_for_inference(directory_, precision);
        EXPECT_EQ(packed.file_bytes, whole.file_bytes);
        EXPECT_EQ(logits(*packed.model), logits(*whole.model));
      }
    }
  }
}

// Half the bytes; values to the format's rounding, 2^-11 and 2^-8 relative.
TEST_F(HfDirectory, HalfPrecisionFilesComeBackRounded) {
  Transformer original(tiny_config());
  randomise(original, 3);
  for (const auto& [dtype, rounding] : {std::pair{DType::kF16, 0x1p-11}, {DType::kBf16, 0x1p-8}}) {
    save_model(original, {}, directory_, dtype);
    const LoadedModel loaded = load_model(directory_);
    EXPECT_EQ(loaded.file_bytes, original.config().parameters() * 2);
    const std::span<const float> want = original.head().values(),
                                 got = loaded.model->head().values();
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_NEAR(got[i], want[i], std::abs(want[i]) * rounding + 1e-7) << dtype_name(dtype);
    }
  }
}

TEST_F(HfDirectory, ATiedHeadIsStoredOnceAndFoundUnderEitherName) {
  ModelConfig config = tiny_config();
  config.tied_head = true;
  Transformer model(config);
  randomise(model, 4);
  save_model(model, {}, directory_, DType::kF32);
  EXPECT_EQ(SafetensorsFile(path("model.safetensors")).find("lm_head.weight"), nullptr);
  edit_weights([](std::vector<TensorEntry>& entries) {
    for (TensorEntry& e : entries) {
      if (e.name == "model.embed_tokens.weight") e.name = "lm_head.weight";
    }
  });
  const LoadedModel loaded = load_model(directory_);
  EXPECT_TRUE(std::equal(model.head().values().begin(), model.head().values().end(),
                         loaded.model->head().values().begin()));
}

TEST_F(HfDirectory, ReadsRotaryAngleBaseWhereNewerFilesKeepIt) {
  edit_config([](Json& c) {
    c.erase("rope_theta");
    c["rope_parameters"] = {{"rope_theta", 500000.0}, {"rope_type", "default"}};
  });
  EXPECT_EQ(read_model_config(directory_).rope_theta, 500000.0);
  edit_config([](Json& c) { c["rope_parameters"]["rope_type"] = "longrope"; });
  expect_failure(ErrorCode::kUnsupported, {"config.json", "longrope", "supported"});
  edit_config([](Json& c) { c["rope_parameters"] = {{"rope_type", "yarn"}, {"factor", -3.0}}; });
  expect_failure(ErrorCode::kCorruptData, {"config.json", "yarn"});
}

// One shard holds the embedding, the other everything else.
TEST_F(HfDirectory, ShardsAreReadThroughTheirIndex) {
  const LoadedModel whole = load_model(directory_);
  std::vector<TensorEntry> first, second;
  Json map = Json::object();
  {
    const SafetensorsFile file(path("model.safetensors"));
    for (const TensorEntry& e : file.entries()) {
      const bool table = e.name == "model.embed_tokens.weight";
      (table ? first : second).push_back(e);
      map[e.name] = table ? "a.safetensors" : "b.safetensors";
    }
    write_safetensors(path("a.safetensors"), first);
    write_safetensors(path("b.safetensors"), second);
  }
  fs::remove(path("model.safetensors"));
  const auto write_index = [&](const Json& weight_map) {
    write_file_atomic(path("model.safetensors.index.json"),
                      dump_json(Json{{"weight_map", weight_map}}));
  };
  write_index(map);
  const LoadedModel again = load_model(directory_);
  EXPECT_EQ(again.file_bytes, whole.file_bytes);
  std::vector<float> want, got;
  const auto collect = [](std::vector<float>& all) {
    return [&all](Parameter& p) {
      all.insert(all.end(), p.value.values().begin(), p.value.values().end());
    };
  };
  whole.model->visit(collect(want));
  again.model->visit(collect(got));
  EXPECT_EQ(got, want);

  Json lies = map;
  lies["model.norm.weight"] = "a.safetensors";
  write_index(lies);
  expect_failure(ErrorCode::kCorruptData, {"index.json", "model.norm.weight", "a.safetensors"});
  lies["model.norm.weight"] = "../b.safetensors";
  write_index(lies);
  expect_failure(ErrorCode::kCorruptData, {"index.json", "../b.safetensors"});
  lies["model.norm.weight"] = 3;
  write_index(lies);
  expect_failure(ErrorCode::kCorruptData, {"index.json", "model.norm.weight"});
  map["model.norm.weight"] = "c.safetensors";
  write_index(map);
  expect_failure(ErrorCode::kNotFound, {"c.safetensors"});
  write_index(Json::array());
  expect_failure(ErrorCode::kCorruptData, {"index.json", "weight_map"});
}

TEST_F(HfDirectory, PicklesAreRefused) {
  fs::rename(path("model.safetensors"), path("pytorch_model.bin"));
  expect_failure(ErrorCode::kUnsupported, {"pytorch_model.bin", "safetensors"});
}

TEST_F(HfDirectory, MissingFilesAreNamed) {
  fs::remove(path("model.safetensors"));
  expect_failure(ErrorCode::kNotFound, {path("model.safetensors")});
  fs::remove(path("config.json"));
  expect_failure(ErrorCode::kNotFound, {path("config.json")});
  fs::remove_all(directory_);
  expect_failure(ErrorCode::kNotFound, {directory_});
}

TEST_F(HfDirectory, TruncatedWeightsAreNamedAtEveryLength) {
  const std::string whole = read_file(path("model.safetensors"));
  for (const size_t size :
       {size_t{0}, size_t{7}, size_t{8}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write_file_atomic(path("model.safetensors"), whole.substr(0, size));
    expect_failure(ErrorCode::kCorruptData, {"model.safetensors"});
  }
}

TEST_F(HfDirectory, CorruptHeadersAreNamed) {
  const std::string whole = read_file(path("model.safetensors"));
  for (const char byte : {'\0', '\xff', '}'}) {
    std::string bytes = whole;
    bytes[9] = byte;
    write_file_atomic(path("model.safetensors"), bytes);
    expect_failure(ErrorCode::kCorruptData, {"model.safetensors"});
  }
  std::string lying = whole;
  lying.replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
  write_file_atomic(path("model.safetensors"), lying);
  expect_failure(ErrorCode::kCorruptData, {"model.safetensors"});
}

TEST_F(HfDirectory, AMissingTensorIsNamed) {
  for (const char* name :
       {"model.norm.weight", "model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"}) {
    SetUp();
    edit_weights([&](std::vector<TensorEntry>& entries) {
      std::erase_if(entries, [&](const TensorEntry& e) { return e.name == name; });
    });
    expect_failure(ErrorCode::kCorruptData, {"model.safetensors", name});
  }
}

TEST_F(HfDirectory, AWrongShapeIsNamedWithTheShapeWanted) {
  edit_weights([](std::vector<TensorEntry>& entries) {
    for (TensorEntry& e : entries) {
      if (e.name == "model.layers.0.self_attn.k_proj.weight") std::swap(e.shape[0], e.shape[1]);
    }
  });
  expect_failure(ErrorCode::kCorruptData,
                 {"model.layers.0.self_attn.k_proj.weight", "[24, 20]", "[20, 24]"});
}

TEST_F(HfDirectory, ATensorOfIntegersIsRefused) {
  edit_weights([](std::vector<TensorEntry>& entries) {
    for (TensorEntry& e : entries) {
      if (e.name == "model.norm.weight") e.dtype = DType::kI32;
    }
  });
  expect_failure(ErrorCode::kUnsupported, {"model.norm.weight"});
}

// Sizes beyond any bound, and sizes that are sane one by one but describe more weights than the
// file or the machine has, fail before memory is asked for.
TEST_F(HfDirectory, AbsurdSizesFailBeforeAnythingIsAllocated) {
  const std::string good = read_file(path("config.json"));
  const int64_t live = memory_use().live;
  for (const char* key :
       {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "intermediate_size", "max_position_embeddings"}) {
    for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{2147483647}}) {
      edit_config([&](Json& c) { c[key] = value; });
      expect_failure(ErrorCode::kCorruptData, {"config.json", key});
      write_file_atomic(path("config.json"), good);
    }
  }
  edit_config([](Json& c) { c["num_hidden_layers"] = 1000; });
  expect_failure(ErrorCode::kCorruptData, {"model.safetensors", "its settings want"});
  edit_config([](Json& c) {
    c["hidden_size"] = 65536;
    c["intermediate_size"] = 262144;
    c["num_hidden_layers"] = 1024;
  });
  expect_failure(ErrorCode::kResourceExhausted, {directory_, "MiB"});
  EXPECT_EQ(memory_use().live, live);
}

TEST_F(HfDirectory, HeadsThatDoNotDivideAreExplained) {
  edit_config([](Json& c) { c["num_key_value_heads"] = 3; });
  expect_failure(ErrorCode::kCorruptData,
                 {"config.json", "num_attention_heads = 4", "num_key_value_heads = 3"});
  edit_config([](Json& c) { c["num_key_value_heads"] = 2, c["head_dim"] = 7; });
  expect_failure(ErrorCode::kCorruptData, {"config.json", "head_dim = 7"});
}

TEST_F(HfDirectory, OtherArchitecturesAreNamed) {
  edit_config([](Json& c) { c["model_type"] = "mamba"; });
  expect_failure(ErrorCode::kUnsupported, {"config.json", "mamba", "llama"});
  edit_config([](Json& c) { c["model_type"] = "llama", c["hidden_act"] = "gelu"; });
  expect_failure(ErrorCode::kUnsupported, {"config.json", "gelu"});
}

TEST_F(HfDirectory, SettingsOfTheWrongTypeAreNamed) {
  const std::string good = read_file(path("config.json"));
  const std::vector<std::pair<std::string, std::function<void(Json&)>>> edits = {
      {"vocab_size", [](Json& c) { c["vocab_size"] = "many"; }},
      {"hidden_size", [](Json& c) { c.erase("hidden_size"); }},
      {"model_type", [](Json& c) { c["model_type"] = nullptr; }},
      {"rope_theta", [](Json& c) { c["rope_theta"] = -1; }},
      {"rms_norm_eps", [](Json& c) { c["rms_norm_eps"] = 0; }},
      {"eos_token_id", [](Json& c) { c["eos_token_id"] = 61; }},
      {"mask_token_id", [](Json& c) { c["alambic"]["mask_token_id"] = 61; }},
      {"block", [](Json& c) { c["alambic"]["block"] = -1; }},
      {"labels",
       [](Json& c) {
         c["alambic"]["labels"] = {1, 2};
       }},
      {"provenance", [](Json& c) { c["alambic"]["provenance"] = 5; }},
      {"alambic", [](Json& c) { c["alambic"] = "x"; }},
      {"config.json", [](Json& c) { c = Json::array(); }},
  };
  for (const auto& [key, edit] : edits) {
    edit_config(edit);
    expect_failure(ErrorCode::kCorruptData, {"config.json", key});
    write_file_atomic(path("config.json"), good);
  }
  write_file_atomic(path("config.json"), good.substr(0, good.size() / 2));
  expect_failure(ErrorCode::kCorruptData, {"config.json"});
}

// As LLaMA 3's instruct models have it: config.json names the base's end, and
// generation_config.json those of a conversation as well.
TEST_F(HfDirectory, EveryEndTokenOfBothFilesCounts) {
  edit_config([](Json& c) { c["eos_token_id"] = 7; });
  write_file_atomic(path("generation_config.json"), R"({"eos_token_id": [7, 8, 9, 8]})");
  EXPECT_EQ(read_model_config(directory_).eos, (std::vector<TokenId>{7, 8, 9}));
  edit_config([](Json& c) { c["eos_token_id"] = {4, 7}; });
  EXPECT_EQ(read_model_config(directory_).eos, (std::vector<TokenId>{4, 7, 8, 9}));
}

TEST_F(HfDirectory, SavingKeepsEveryEndToken) {
  ModelConfig config = tiny_config();
  config.eos = {7, 8, 9};
  Transformer model(config);
  randomise(model, 4);
  save_model(model, {}, directory_, DType::kF32);
  EXPECT_EQ(read_json_file(path("generation_config.json")).at("eos_token_id"),
            Json::array({7, 8, 9}));
  EXPECT_EQ(read_model_config(directory_).eos, config.eos);
}

TEST_F(HfDirectory, EndTokensThatAreNoneAreNamed) {
  for (const char* bad : {R"({"eos_token_id": 61})", R"({"eos_token_id": [7, -1]})",
                          R"({"eos_token_id": [7, "x"]})", R"({"eos_token_id": [[7]]})",
                          R"({"eos_token_id": {"a": 1}})", R"({"eos_token_id": [4294967296]})"}) {
    write_file_atomic(path("generation_config.json"), bad);
    expect_failure(ErrorCode::kCorruptData, {"generation_config.json", "eos_token_id"});
  }
  write_file_atomic(path("generation_config.json"), "{");
  expect_failure(ErrorCode::kCorruptData, {"generation_config.json"});
}

TEST(ApplyTemplate, PutsThePromptInItsPlace) {
  ModelCard card;
  card.prompt_template = "a{prompt}b";
  EXPECT_EQ(apply_template(card, "{prompt}"), "a{prompt}b");
  card.prompt_template = "before ";
  EXPECT_EQ(apply_template(card, "x"), "before x");
}

// Writes a student and its logits for tests/golden/check_student_export.py, which opens it with
// Python's transformers.
TEST(StudentExport, IsWrittenForTransformersToCheck) {
  const char* directory = std::getenv("ALAMBIC_EXPORT_DIR");
  if (directory == nullptr) GTEST_SKIP() << "ALAMBIC_EXPORT_DIR names no directory to write to";
  ModelConfig config = tiny_config();
  config.mask = 60;
  config.rope_theta = 500000;
  ModelCard card;
  card.block = 8;
  for (const bool tied : {false, true}) {
    config.tied_head = tied;
    const std::string target = std::string(directory) + (tied ? "/tied" : "/untied");
    Transformer written(config);
    randomise(written, 5);
    save_model(written, card, target, DType::kBf16);
    const LoadedModel loaded = load_model(target);  // the weights as stored
    const auto tokens = random_tokens(30, config.vocab_size, 6);
    const Tensor logits =
        loaded.model->logits(loaded.model->hidden(tokens, {.groups = {{30, 0}}}), Precision::kFp32);
    const Json record = {
        {"tokens", tokens},
        {"logits", std::vector<float>(logits.values().begin(), logits.values().end())}};
    write_file_atomic(target + "/logits.json", dump_json(record));
  }
}

}  // namespace
}  // namespace alambic
