/** The traces that explorer/make_data.py writes: nothing is computed here but differences and look-ups. */

export type Picture = { scale: number; pixels: string };
export type Run = {
  rate: number;
  step: number[];
  objective: number[];
  gradient: number[];
  accuracy: number[];
  templates: Picture[];
};
export type Training = {
  C: number;
  batch: number;
  rows: number;
  classes: number;
  side: number;
  version: string;
  optimum: {
    objective: number;
    suboptimality: number;
    accuracy: number;
    solver: string;
    history: { n_passes: number[]; objective: number[]; suboptimality: number[] };
    templates: Picture;
  };
  examples: string[];
  runs: Run[];
};

/** Signed bytes from base64. */
export function bytes(text: string): Int8Array {
  return Int8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** The weights of each class, (K, side²), to 1/254 of the largest. */
export function templates(picture: Picture, classes: number): number[][] {
  const all = bytes(picture.pixels);
  const size = all.length / classes;
  const row = (k: number) =>
    Array.from(all.subarray(k * size, (k + 1) * size), (v) => (v / 127) * picture.scale);
  return Array.from({ length: classes }, (_, k) => row(k));
}

/** How many times the rows have been read after a step. */
export function passes(step: number, training: Training): number {
  return (step * training.batch) / training.rows;
}

/** F − F*, in nats, at each recorded step. */
export function distances(run: Run, training: Training): number[] {
  return run.objective.map((v) => v - training.optimum.objective);
}

/** The last recorded place at or before a step. */
export function placeOf(step: number, run: Run): number {
  let place = 0;
  while (place + 1 < run.step.length && run.step[place + 1] <= step) place++;
  return place;
}

/** Whether F fell from each record to the next until the end, over the last half of the steps. */
export function stillFalls(run: Run): boolean {
  const late = run.objective.filter((_, i) => run.step[i] >= run.step.at(-1)! / 2);
  return late.every((v, i) => i === 0 || v < late[i - 1]);
}
