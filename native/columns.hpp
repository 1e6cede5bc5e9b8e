// The softmax of one thread's rows whose logits come in tiles of classes.
#pragma once
#include <vector>

#include "interface.hpp"

namespace xent {

// Scan every tile, finish, then turn every tile into the gradient (kernels/tiles.hpp). Targets' arrays must outlive it.
template <class CT>
class Columns {
 public:
  Columns(const Kernels& set, const Targets& targets, std::vector<int64_t> rows, int64_t classes);
  int64_t rows() const { return live_; }
  // z (classes, rows) at `first`, rows ldz apart, with room for whole vectors; peak: room for as many numbers.
  int64_t filled() const { return filled_; }
  Totals scan(CT* z, int64_t ldz, int64_t first, int64_t classes, CT* peak);
  Totals finish();
  void residual(CT* z, int64_t ldz, int64_t first, int64_t classes, const CT* peak) const;
  void save(double* out) const;         // (rows, kKept), after finish
  void restore(const double* in);       // (rows, kGiven), instead of scan and finish

 private:
  const CT* soft(int64_t ldz, int64_t first, int64_t classes, std::vector<CT>& q, int64_t* bad_row) const;
  const TileKernels<CT>& kernels_;
  Targets targets_;
  std::vector<int64_t> index_;
  int64_t classes_, live_, filled_;
  std::vector<double> state_;
};

}  // namespace xent
