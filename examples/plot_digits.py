"""Draw a digits model: its ten weight templates, and how its certificate fell.

xent fit digits -o digits.xent
python examples/plot_digits.py digits.xent digits.png
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from xent.export import model_file
from xent.tables.preparing import in_units


def main(model_path: Path, picture: Path) -> None:
    """Read the model file, write the picture."""
    (prepare, model), figures = model_file.load(model_path)
    templates = np.zeros((len(model.classes_), 8, 8))  # 0 where no digit has ink, so that no weight is fitted
    for name, weights in zip(in_units(prepare, model.coef_, model.intercept_)[0], model.coef_.T, strict=True):
        row, column = map(int, name.removeprefix("pixel_").split("_"))
        templates[:, row, column] = weights
    limit = np.abs(templates).max()

    figure = plt.figure(figsize=(10, 6.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    cells = above.subplots(2, 5)
    for label, template, cell in zip(model.classes_, templates, cells.flat, strict=True):
        image = cell.imshow(template, cmap="RdBu_r", vmin=-limit, vmax=limit)
        cell.set_title(str(label))
        cell.set_axis_off()
    above.colorbar(image, ax=cells, label="weight per standard deviation of the ink", shrink=0.85)
    above.suptitle("Where ink speaks for a digit (red) and against it (blue)")

    history = model.history_
    axes = below.subplots()
    axes.semilogy(history["n_passes"], history["suboptimality"], drawstyle="steps-post", label="certificate")
    rest = history["objective"] - (model.objective_ - model.suboptimality_)
    axes.semilogy(history["n_passes"], rest, label="objective − certified lower bound on its minimum")
    axes.axhline(model.tol, color="grey", linestyle=":", label=f"tol = {model.tol:g}")
    axes.set(xlabel="passes over the data", ylabel="nats")
    axes.set_title(
        f"{figures['rows']} digits: within {figures['suboptimality']:.1g} nats of the optimum "
        f"after {figures['passes']} passes"
    )
    axes.legend()
    figure.savefig(picture, dpi=120)
    print(f"picture written to {picture}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
