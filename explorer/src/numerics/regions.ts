/** Decision regions in the plane: straight lines, whatever the temperature. */
import { boundary, type Model } from './newton';

export type Segment = [[number, number], [number, number]];

/** The part of the line where classes k and l tie that lies in the square [−most, most]² and where no other
 *  class has a larger logit; null if there is none. */
export function tie(model: Model, k: number, l: number, most: number): Segment | null {
  const { w, c } = boundary(model, k, l);
  const square = w[0] ** 2 + w[1] ** 2;
  if (square === 0) return null;
  const foot = [(-c * w[0]) / square, (-c * w[1]) / square];
  const along = [-w[1], w[0]];
  let [from, to] = [-Infinity, Infinity];
  // Keeps the t with slope·t + value ≥ 0.
  const keep = (slope: number, value: number) => {
    if (slope > 0) from = Math.max(from, -value / slope);
    else if (slope < 0) to = Math.min(to, -value / slope);
    else if (value < 0) to = -Infinity;
  };
  for (const axis of [0, 1]) {
    keep(along[axis], most + foot[axis]);
    keep(-along[axis], most - foot[axis]);
  }
  for (let m = 0; m < model.b.length; m++) {
    if (m === k || m === l) continue;
    const over = boundary(model, k, m);
    keep(over.w[0] * along[0] + over.w[1] * along[1], over.w[0] * foot[0] + over.w[1] * foot[1] + over.c);
  }
  if (!(to > from)) return null;
  const at = (t: number): [number, number] => [foot[0] + t * along[0], foot[1] + t * along[1]];
  return [at(from), at(to)];
}
