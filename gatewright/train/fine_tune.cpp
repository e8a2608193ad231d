#include "gatewright/train/fine_tune.h"

#include "gatewright/base/registry.h"
#include "gatewright/data/loader.h"

namespace gw::inline train {

void FineTune::fields(OptionVisitor& v) {
  v.part("optimizer", optimizer, "part of the optimizers catalogue");
  v.table("schedule", schedule, "learning rate over these epochs");
  v.integer("epochs", epochs, "passes over the set", 1, 1 << 20);
  v.integer("batch", batch, "examples per step", 2, 1 << 20);
}

int64_t fine_tune(Model& model, const Task& task, const TensorSet& set, const FineTune& how, const Rng& rng,
                  const GoesOn& goes_on) {
  Optimizer::Context context;
  for (const auto& item : model.named_parameters())
    if (item.value().requires_grad()) context.parameters.push_back({item.key(), item.value(), false});
  const auto optimizer = make_chosen<Optimizer>(how.optimizer, context);
  const Loader loader(set, how.batch, {}, true, rng.fork("loader"));
  const int64_t per_epoch = loader.batches(), total = per_epoch * how.epochs;
  int64_t step = 0;
  for (; step < total && goes_on(step); ++step) {
    const int64_t epoch = step / per_epoch, place = step % per_epoch;
    const auto batch = loader.get(epoch, place);
    model.train();
    Pass pass;
    pass.rng = rng.fork("step", static_cast<uint64_t>(step)), pass.step = step;
    const auto out = model.answer(batch, pass);
    auto loss = task.loss(out, batch);
    if (const auto balance = balance_of(out.plans); balance.defined()) loss = loss + balance;
    optimizer->step(parameter_gradients(loss, optimizer->values(), "loss"),
                    how.schedule->at(epoch, place, per_epoch, static_cast<double>(how.epochs)));
    model.end_step();
  }
  if (step == total) goes_on(step);
  model.eval();
  return step;
}

}  // namespace gw::inline train
