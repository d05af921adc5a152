// Work beside a name that may be taken, and a swap when it is done: NAME.partial takes the place of
// NAME in one step, so that whatever is killed when, NAME holds the old or the new, each whole.
//
// NAME.partial is a directory with a mark in it, which says what it is for and is locked while its
// owner lives. After the swap the mark is what goes last: a mark under NAME says that the clearing
// up was cut short. Thread safety: one thread. Errors: kInvalidArgument where a place holds
// something else, is in use, or could not be swapped; kIo.
#pragma once

#include <functional>
#include <string>

namespace alambic {

// NAME without slashes at its end, and what a link leads to in place of the link.
std::string settled_name(const std::string& name);
// Ends what a killed swap of NAME left to do.
void settle_swap(const std::string& name);
// NAME is there and is more than an empty directory; temporary files that a killed program left do
// not count.
bool is_taken(const std::string& name);
// Of a file that a killed program left behind (AtomicFile).
bool is_temporary_name(const std::string& file_name);

class Workplace {
 public:
  enum class Begin { kAnew, kGoOn };
  // What an earlier attempt left in NAME.partial goes away, or with kGoOn is gone on with.
  Workplace(const std::string& name, Begin begin);
  ~Workplace();
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  // Whether an earlier attempt on NAME left its work.
  static bool is_begun(const std::string& name);
  static std::string path_for(const std::string& name);

  const std::string& path() const { return path_; }
  // NAME is now what was made, and what it was before is gone.
  void publish();
  void discard();

 private:
  std::string name_, path_;
  int lock_ = -1;
};

enum class Made { kFile, kDirectory };
// kInvalidArgument where the name is taken, or make_beside() could not give it.
void check_free(const std::string& name, Made made);
// Lets `work` make a file or directory at a path beside NAME, which must not be taken, and gives it
// that name. Where it throws nothing stays, and the error speaks of NAME.
void make_beside(const std::string& name, Made made,
                 const std::function<void(const std::string& path)>& work);

}  // namespace alambic
